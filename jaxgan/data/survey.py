"""What the files of a set say of themselves, remembered from one opening to the next."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import PIL

from jaxgan.data.decoding import SUFFIXES, Header, inspect
from jaxgan.data.listing import File, Listing, stamp_of
from jaxgan.data.sources import DataError

THREADS = 8
_BY = [2, PIL.__version__]  # what judged the files: a newer one judges them anew


class Found(NamedTuple):
    """What is known of a file: a digest of its bytes, its header, and if it has none why."""

    digest: str
    header: Header | None
    reason: str = ""


def is_image(name: str) -> bool:
    """Whether a file is called as an image is; which kind it is, its bytes say."""
    return name.lower().endswith(SUFFIXES)


def survey(listing: Listing, *, memory: Path) -> dict[str, Found]:
    """Reads every image's bytes once and its header; of what has not changed since, nothing.

    Args:
      listing: the files.
      memory: a directory in which what was found is kept, by the listing's path.

    Returns:
      By name, all files that are called as images are.
    """
    images = [file for file in listing.files if is_image(file.name)]
    about = os.stat(listing.path)
    whole = [*stamp_of(about)] if listing.path.is_file() else []
    path = memory / f"{hashlib.sha256(os.fspath(listing.path.absolute()).encode()).hexdigest()[:32]}.json"
    known = _recalled(path)

    def stamp(file: File) -> list[int]:
        return [*file.stamp] or whole

    recalled = {file.name: _recall(known.get(file.origin), stamp(file)) for file in images}
    found = {name: about for name, about in recalled.items() if about}
    unknown = [file for file in images if file.name not in found]
    if unknown:
        with ThreadPoolExecutor(THREADS) as pool:
            found |= zip((file.name for file in unknown), pool.map(_examine, unknown), strict=True)
        # What is known of other folders of an archive stays known; what could not be read is tried again.
        read = [file for file in unknown if found[file.name].digest]
        _remember(path, known | {file.origin: [stamp(file), *found[file.name]] for file in read})
    return {file.name: found[file.name] for file in images}


def _examine(file: File) -> Found:
    try:
        data = file.read()
    except (OSError, DataError) as error:
        return Found("", None, str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        return Found(digest, inspect(data, name=file.name))
    except DataError as error:
        return Found(digest, None, str(error).removeprefix(f"{file.name} "))


def _recall(entry: Any, stamp: list[int]) -> Found | None:
    try:
        old_stamp, digest, header, reason = entry
        found = Found(digest, None if header is None else Header(*header), reason)
        return found if old_stamp == stamp else None
    except (TypeError, ValueError):
        return None  # not known, or not as it was written


def _recalled(path: Path) -> dict[str, list]:
    try:
        memory = json.loads(path.read_text())
        return memory["files"] if memory["by"] == _BY else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # it is only a memory


def _remember(path: Path, known: dict[str, list]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"by": _BY, "files": known}))
        fresh.replace(path)
    except OSError:
        pass  # a directory that cannot be written is read all the same
