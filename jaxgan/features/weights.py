"""Files of fixed weights: downloaded, held against their hash, and read as arrays without being run."""

import hashlib
import http.client
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from platformdirs import user_cache_path

from jaxgan.files import AnyPath, whole
from jaxgan.interop import files
from jaxgan.interop.pickles import WeightsError

TIMEOUT = 60  # seconds without an answer
MOST = 2**32  # bytes of a file's arrays


class Published(NamedTuple):
    """A file that somebody publishes: where, its bytes, and their SHA-256 in hex."""

    address: str
    size: int
    digest: str


def cache() -> Path:
    """The user's folder of weights that were downloaded, and of what was made of them."""
    return user_cache_path("jaxgan") / "weights"


def digest(path: AnyPath) -> str:
    """The SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(published: Published, path: AnyPath) -> None:
    """Downloads a file, which appears at `path` whole and of its hash, or not at all.

    Raises:
      WeightsError: there is no way to it, or what came is another file.
    """
    address, size, expected = published
    with whole(path) as temporary:
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                while file.tell() <= size and (part := answer.read(2**20)):
                    file.write(part)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(
                f"{address} could not be downloaded: {error}. Bring the file by other means, and give its "
                "path as weights."
            ) from error
        found = digest(temporary)
        if found != expected:
            raise WeightsError(
                f"{address} gave {temporary.stat().st_size:,} bytes of SHA-256 {found}, expected {size:,} "
                f"of {expected}. Try again, or bring the file by other means, and give its path as weights."
            )


def read(path: AnyPath) -> files.Weights:
    """The arrays of a file of weights by name: .npz of plain arrays, or what `jaxgan.interop.files` reads.

    Raises:
      WeightsError: it is damaged, or no such file.
      OSError: it cannot be read.
    """
    return _read_npz(Path(path)) if Path(path).suffix == ".npz" else files.read(path)


def _read_npz(path: Path) -> files.Weights:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MOST:
            raise WeightsError(f"it claims {size:,} bytes of arrays; more than {MOST:,} are not read.")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError:
        raise
    except Exception as error:  # zlib, zipfile and NumPy have errors of many kinds
        raise WeightsError(f"{path} is no .npz of plain arrays that can be read: {error}") from error
