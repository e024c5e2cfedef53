"""Files that are written whole or not at all, and JSON that takes what a run has to say."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AnyPath = str | os.PathLike[str]
NON_FINITE = ("nan", "inf", "-inf")  # floats that JSON has no word for are these strings


def write_json(path: AnyPath, data: Any) -> None:
    """Writes data as JSON, keys in their order and arrays as lists, whole or not at all."""
    text = json.dumps(plain(data), indent=2)
    with whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


@contextmanager
def whole(path: AnyPath) -> Iterator[Path]:
    """A file to write that takes the place of `path` when all went well, and else goes away."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(data: Any) -> Any:
    """`data` as JSON takes it."""
    data = data.tolist() if hasattr(data, "tolist") else data
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def keep_old(path: AnyPath) -> None:
    """Renames what is at `path`, if anything, to the first free of name.1.json, name.2.json, ..."""
    path = Path(path)
    if path.exists():
        numbers = (n for n in range(1, 10**6) if not path.with_suffix(f".{n}{path.suffix}").exists())
        path.rename(path.with_suffix(f".{next(numbers)}{path.suffix}"))
