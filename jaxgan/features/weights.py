"""Files of fixed weights: downloaded, and held against their hash."""

import hashlib
import http.client
import re
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from jaxgan.files import AnyPath, whole
from jaxgan.interop.pickles import WeightsError

NAMED = re.compile(r"-([0-9a-f]{8,64})\.pth$")
TIMEOUT = 60  # seconds without an answer


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


def identify(path: AnyPath) -> str:
    """The SHA-256 of a file, whose name may say how it begins, as PyTorch's do: 'name-6726825d.pth'.

    Raises:
      WeightsError: it begins otherwise: the file is damaged.
      OSError: it cannot be read.
    """
    found, said = digest(path), NAMED.search(Path(path).name)
    if said and not found.startswith(said[1]):
        raise WeightsError(
            f"{path} has {Path(path).stat().st_size:,} bytes of SHA-256 {found}, which does not begin with "
            f"{said[1]} as its name says: it is damaged, or was cut off. Bring it anew, or rename it."
        )
    return found


def download(published: Published, path: AnyPath) -> None:
    """Downloads a file, which appears at `path` whole and of its hash, or not at all; says so on stderr.

    Raises:
      WeightsError: there is no way to it, or what came is another file.
    """
    address, size, expected = published
    print(f"Downloading {address} ({size:,} bytes), once ...", file=sys.stderr)
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
