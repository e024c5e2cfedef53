"""What is wrong with a command line, in words: for `train.py`, before any device is touched."""

import os
import re
import traceback
from collections.abc import Sequence

from absl import flags

from jaxgan.config import unknown_fields

# How absl and ml_collections begin the messages of errors that hide a config file's own.
_WRAPPERS = ("flag --config=", "Error whilst parsing", "Configuration is not available")


def explain(error: BaseException, argv: Sequence[str]) -> str:
    """The cause in a line: a field or file that is not there, the config file's own error, or absl's words.

    Args:
      error: what reading the flags raised.
      argv: the command line, with `--config=FILE` and `--config.FIELD=VALUE` among it.
    """
    fields = [match[1] for arg in argv if (match := re.match(r"--?(?:no)?config\.([^=]+)", arg))]
    if unknown := unknown_fields(fields):
        return "\n".join(unknown)
    named = re.findall(r" --?config[= ]([^ :]+)", " ".join(argv))
    if fields and not named:
        return "--config=configs/NAME.py is needed, before its fields."
    if not named or (isinstance(error, flags.Error) and not str(error).startswith("flag --config=")):
        return str(error)
    path = named[-1]
    if not os.path.isfile(path):
        return f"--config={path}: there is no such file; expected one such as configs/digits.py."
    while str(error).startswith(_WRAPPERS) and (inner := error.__cause__ or error.__context__):
        error = inner
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if os.path.basename(frame.filename) == os.path.basename(path)]
    if isinstance(error, KeyError) and not own:
        return (
            f"{path}: get_config() returned no config with {', '.join(fields)}; start from configs/base.py."
        )
    where = f"{path}, line {own[-1]}" if own else path
    return f"{where}: {type(error).__name__}: {error}"


def wrong_workdir(workdir: str | None) -> str:
    """What is wrong with a run's directory, or nothing: it must be one that can be made and written."""
    if not workdir:
        return ""
    if "://" in workdir:
        return f"--workdir={workdir} cannot be used: runs are written to mounted directories; give a path."
    path = there = os.path.abspath(workdir)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if os.path.isdir(there) and os.access(there, os.W_OK):
        return ""
    return f"--workdir={path} cannot be used: {there} is no directory that can be written; choose another."


def wrong_processes(coordinator: str | None, count: int | None, index: int | None) -> str:
    """What is wrong with how the processes of a run were given, or nothing."""
    if coordinator is None or coordinator == "auto":
        fits = count is None and index is None
    else:
        fits = ":" in coordinator and count is not None and index is not None and index < count
    if fits:
        return ""
    return (
        "Processes are given as --coordinator=HOST:PORT --processes=N --process=INDEX, with an index from 0 "
        "to N - 1, or as --coordinator=auto alone."
    )
