"""Trains a GAN: `python train.py --config=configs/digits.py --workdir=runs/digits`.

The same command again resumes. Exit codes: 0 done, 1 training failed, 2 a wrong config, flag or data set,
130 after Ctrl-C and 143 after SIGTERM, with the state saved.
"""

import os
import re
import sys
import traceback
from collections.abc import Sequence

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

    from jaxgan.config import ConfigError, check
    from jaxgan.data import DataError

    try:
        check(CONFIG.value)
        if wrong := _wrong_workdir() or _wrong_processes():
            return _refuse(wrong)
        return _run()
    except (ConfigError, DataError) as error:
        return _refuse(error)


def _read_flags(argv: Sequence[str]) -> str:
    """What is wrong with the flags, or nothing."""
    try:
        extra = flags.FLAGS(argv)[1:]
    except Exception as error:  # a config is a program: it may raise anything
        return _explain(error, argv)
    if extra:
        return f"{' '.join(extra)}: no flag; write --name=value, or see --help."
    if not CONFIG.present or not (WORKDIR.value or DRY_RUN.value):
        return "--config=configs/NAME.py and --workdir=DIRECTORY are needed; see --help."
    if not isinstance(CONFIG.value, ConfigDict):  # ml_collections keeps what it could not open for later
        error = getattr(CONFIG.value, "_error", TypeError("get_config() returned no ConfigDict"))
        return _explain(error, argv)
    return ""


def _explain(error: BaseException, argv: Sequence[str]) -> str:
    """The cause in a line: a field or file that is not there, the file's own error, or absl's words."""
    from jaxgan.config import unknown_fields

    fields = [match[1] for arg in argv if (match := re.match(r"--?(?:no)?config\.([^=]+)", arg))]
    if unknown := unknown_fields(fields):
        return "\n".join(unknown)
    named = re.search(r" --?config[= ]([^ :]+)", " ".join(argv))
    if not named or isinstance(error, flags.Error) and not str(error).startswith("flag --config="):
        return str(error)
    path = named[1]
    if not os.path.isfile(path):
        return f"--config={path}: there is no such file; expected one such as configs/digits.py."
    while str(error).startswith(("flag --config=", "Error whilst parsing")) and error.__context__:
        error = error.__context__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if os.path.basename(frame.filename) == os.path.basename(path)]
    where = f"{path}, line {own[-1]}" if own else path
    return f"{where}: {type(error).__name__}: {error}"


def _wrong_workdir() -> str:
    path = os.path.abspath(WORKDIR.value or ".")
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if os.path.isdir(there) and os.access(there, os.W_OK):
        return ""
    return f"--workdir={path} cannot be used: {there} is no directory that can be written; choose another."


def _wrong_processes() -> str:
    rest = (PROCESSES.value, PROCESS.value)
    if COORDINATOR.value in (None, "auto"):
        fits = rest == (None, None)
    else:
        fits = ":" in COORDINATOR.value and None not in rest and PROCESS.value < PROCESSES.value
    return "" if fits else (
        "Processes are given as --coordinator=HOST:PORT --processes=N --process=INDEX, with an index from 0 "
        "to N - 1, or as --coordinator=auto alone."
    )


def _run() -> int:
    from jaxgan import parallel, preview, training
    from jaxgan.checkpoints import CheckpointError
    from jaxgan.observation import Diverged

    if COORDINATOR.value == "auto":
        parallel.initialize(None, None, None)
    elif COORDINATOR.value:
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
