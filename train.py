"""Trains a GAN: `python train.py --config=configs/digits.py --workdir=runs/digits`.

The same command again resumes. Exit codes: 0 done, 1 training failed, 2 a wrong config, flag or data set,
130 after Ctrl-C and 143 after SIGTERM, with the state saved.
"""

import sys

from absl import app, flags
from ml_collections import ConfigDict, config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, a file in configs/.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's directory, made if missing.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check and compile everything, train nothing.")
ACCEPT = flags.DEFINE_bool("accept_changes", False, "Resume under a changed config or data set.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0; 'auto' on clusters.")
PROCESSES = flags.DEFINE_integer("processes", None, "Processes of the run.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "The index of this process.", lower_bound=0)


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    app.define_help_flags()
    if wrong := _read_flags(argv):
        return _refuse(wrong)

    from jaxgan import command
    from jaxgan.config import ConfigError, check
    from jaxgan.data import DataError

    try:
        check(CONFIG.value)
        wrong = command.wrong_workdir(WORKDIR.value) or command.wrong_processes(
            COORDINATOR.value, PROCESSES.value, PROCESS.value
        )
        return _refuse(wrong) if wrong else _run()
    except (ConfigError, DataError) as error:
        return _refuse(error)
    except KeyboardInterrupt:  # while images are converted; in training the state is saved
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130


def _read_flags(argv: list[str]) -> str:
    """What is wrong with the flags, or nothing."""
    try:
        extra = flags.FLAGS(argv)[1:]
        if extra:
            return f"{' '.join(extra)}: no flag; write --name=value, or see --help."
        if not CONFIG.present or not (WORKDIR.value or DRY_RUN.value):
            return "--config=configs/NAME.py and --workdir=DIRECTORY are needed; see --help."
        if not isinstance(CONFIG.value, ConfigDict):  # ml_collections keeps what it could not open
            missing = TypeError("get_config() returned no ConfigDict; start from configs/base.py")
            raise getattr(CONFIG.value, "_error", missing)
    except Exception as error:  # a config is a program: it may raise anything
        from jaxgan import command

        return command.explain(error, argv)
    return ""


def _run() -> int:
    from jaxgan import parallel, preview, records, training
    from jaxgan.checkpoints import CheckpointError
    from jaxgan.observation import Diverged

    try:
        parallel.keep_compilations()
        parallel.tune_xla()
        parallel.start(COORDINATOR.value, PROCESSES.value, PROCESS.value)
        if DRY_RUN.value:
            print(preview.preview(CONFIG.value))
            return 0
        run = training.train(CONFIG.value, str(WORKDIR.value), accept_changes=ACCEPT.value)
    except (parallel.BackendError, records.ResumeError, CheckpointError) as error:
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
