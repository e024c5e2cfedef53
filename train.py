"""Trains a GAN: `python train.py --config=configs/digits.py --workdir=runs/digits`.

The same command again resumes. Exit codes: 0 done, 1 training failed, 2 a wrong config, flag or data set,
130 after Ctrl-C and 143 after SIGTERM, with the state saved.
"""

import sys

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, a file in configs/.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's directory, made if missing.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check and compile everything, train nothing.")
ACCEPT = flags.DEFINE_bool("accept_changes", False, "Resume under a changed config or data set.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0; 'auto' on clusters.")
PROCESSES = flags.DEFINE_integer("processes", None, "Processes of the run.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "The index of this process.", lower_bound=0)


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    try:
        unknown = flags.FLAGS(argv)[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        return _refuse(error)
    if unknown or CONFIG.value is None or not (WORKDIR.value or DRY_RUN.value):
        extra = f"; unknown: {' '.join(unknown)}" if unknown else ""
        return _refuse(f"--config=configs/NAME.py and --workdir=DIRECTORY are needed{extra}.")

    from jaxgan.config import ConfigError, check
    from jaxgan.data import DataError

    try:
        check(CONFIG.value)
        return _run()
    except (ConfigError, DataError) as error:
        return _refuse(error)


def _run() -> int:
    from jaxgan import parallel, preview, training
    from jaxgan.checkpoints import CheckpointError
    from jaxgan.observation import Diverged

    if COORDINATOR.value:
        parallel.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    if DRY_RUN.value:
        print(preview.preview(CONFIG.value))
        return 0
    try:
        run = training.train(CONFIG.value, str(WORKDIR.value), accept_changes=ACCEPT.value)
    except (training.ResumeError, CheckpointError) as error:
        return _refuse(error)
    except Diverged as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{WORKDIR.value}: samples.png (a grid), progress.png (over time), curves.png, checkpoints/, "
        "metrics.jsonl, and tensorboard/ for `tensorboard --logdir`."
    )
    if run.interrupted:
        print("Stopped by a signal, state saved; the same command goes on.", file=sys.stderr)
    return 128 + run.interrupted if run.interrupted else 0


def _refuse(error: object) -> int:
    print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
