"""Files of a folder, or inside a .zip or .tar, which is read where it is: no member is ever unpacked."""

import functools
import io
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

from jaxgan.data.sources import DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 2**28  # of a file; an image that is allowed has less


class File(NamedTuple):
    """A file of a set.

    Attributes:
      name: its path below the set's root, with slashes.
      read: () -> its bytes.
      origin: its path below the folder or in the archive that is on disk.
      stamp: what changes when its bytes do, cheaply, see `stamp_of`; () inside an archive.
    """

    name: str
    read: Callable[[], bytes]
    origin: str
    stamp: tuple[int, ...] = ()


class Skipped(NamedTuple):
    """A file that cannot be used, and why."""

    name: str
    reason: str


class Listing(NamedTuple):
    """What is in a folder or an archive.

    Attributes:
      path: of the folder or archive on disk.
      files: by name.
      skipped: what was passed over, with reasons.
    """

    path: Path
    files: list[File]
    skipped: list[Skipped]


def list_files(path: str | os.PathLike[str]) -> Listing:
    """Lists a folder, an archive, or a folder inside an archive ('sets.tar/train').

    Hidden files and the litter of other systems ('__MACOSX', 'Thumbs.db') are left out. Links to files are
    followed in a folder, and a folder that is met twice is listed once. Of an archive, links, devices and
    names that would lead out of it are passed over with a reason.

    Raises:
      DataError: there is no such folder or archive, or it cannot be read.
    """
    where = Path(path).expanduser()
    archive, inner = where, ""
    while not os.path.exists(archive) and archive != archive.parent:
        archive = archive.parent
    inner = where.relative_to(archive).as_posix() if archive != where else ""
    if archive.is_dir() and not inner:
        files, skipped = _of_folder(archive)
    elif archive.is_file() and archive.name.lower().endswith(ARCHIVES):
        files, skipped = _of_archive(archive)
        if inner:
            files = [
                f._replace(name=f.name[len(inner) + 1 :]) for f in files if f.name.startswith(f"{inner}/")
            ]
            skipped = [s for s in skipped if s.name.startswith(f"{inner}/")]
            if not files:
                raise DataError(f"{archive} has no folder {inner!r} with files in it.")
    else:
        raise DataError(f"{where}: there is no such folder, nor an archive ({', '.join(ARCHIVES)}).")
    return Listing(archive, sorted(files, key=lambda file: file.name), sorted(skipped))


def _of_folder(root: Path) -> tuple[list[File], list[Skipped]]:
    files, skipped, seen = list[File](), list[Skipped](), set[tuple[int, int]]()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:  # a link that leads back
            again = _in_unicode(_below(root, folder))
            skipped.append(Skipped(again, "a link to a folder that is listed already"))
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not _is_litter(name))
        for name in sorted(names):
            path = os.path.join(folder, name)
            relative = _in_unicode(_below(root, path))
            if _is_litter(name):
                continue
            try:
                about = os.stat(path)
            except OSError as error:
                skipped.append(Skipped(relative, f"cannot be opened: {error.strerror}"))
                continue
            if not stat.S_ISREG(about.st_mode):
                skipped.append(Skipped(relative, "no file, but a device or a socket"))
            elif about.st_size > MAX_BYTES:
                skipped.append(Skipped(relative, _too_large(about.st_size)))
            else:
                files.append(File(relative, functools.partial(_read, path), relative, stamp_of(about)))
    return files, skipped


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def stamp_of(about: os.stat_result) -> tuple[int, ...]:
    """Of a file's size, times and place on the disk: a copy with old times has another."""
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def _too_large(size: int) -> str:
    return f"{size:,} bytes; more than {MAX_BYTES:,} are not read"


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed: {error.strerror}.")


def _below(root: Path, path: str) -> str:
    return path[len(os.path.join(root, "")) :].replace(os.sep, "/")  # pathlib takes seconds of many files


def _in_unicode(name: str) -> str:
    """A name that can be written down, also where its bytes are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _of_archive(path: Path) -> tuple[list[File], list[Skipped]]:
    files, skipped = list[File](), list[Skipped]()
    members = _of_zip(path) if path.name.lower().endswith(".zip") else _of_tar(path)
    try:
        for name, size, read, reason in members:
            parts = PurePosixPath(name).parts
            outside = name.startswith("/") or ".." in parts or "\\" in name or PureWindowsPath(name).drive
            if not reason and outside:
                reason = "a name that leads out of the archive"
            if not reason and size > MAX_BYTES:
                reason = _too_large(size)
            if any(_is_litter(part) for part in parts if part not in (".", "..")):
                continue
            clean = _in_unicode(PurePosixPath(name).as_posix())
            if reason:
                skipped.append(Skipped(_in_unicode(name), reason))
            else:
                files.append(File(clean, functools.partial(_limited, read, clean), clean))
    except Exception as error:  # zlib, lzma and zipfile have errors of many kinds
        raise DataError(f"{path} is no archive that can be read: {error}") from error
    return files, skipped


Open = Callable[[], IO[bytes]]
Members = Iterator[tuple[str, int, Open, str]]  # name, size, what opens it, why not


def _of_zip(path: Path) -> Members:
    archive, lock = zipfile.ZipFile(path), threading.Lock()

    def open_member(info: zipfile.ZipInfo) -> IO[bytes]:
        with lock, archive.open(info) as stream:
            return io.BytesIO(stream.read(MAX_BYTES + 1))

    for info in archive.infolist():
        if info.filename.endswith("/"):
            continue
        link = stat.S_ISLNK(info.external_attr >> 16)
        reason = "encrypted" if info.flag_bits & 1 else "a link" if link else ""
        yield info.filename, info.file_size, functools.partial(open_member, info), reason


def _of_tar(path: Path) -> Members:
    with tarfile.open(path) as archive:
        copy = None if isinstance(archive.fileobj, io.BufferedReader) else _Copy()
        for info in archive:
            if info.isdir():
                continue
            link, sparse = info.issym() or info.islnk(), info.issparse()
            reason = "a link" if link else "with holes" if sparse else "" if info.isreg() else "a device"
            where: Open = functools.partial(_part_of, path, info.offset_data, info.size)
            if copy and not reason and info.size <= MAX_BYTES:
                where = copy.add(archive.extractfile(info))
            yield info.name, info.size, where, reason


def _part_of(path: Path, start: int, size: int) -> IO[bytes]:
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise EOFError("it ends before its time")
    return io.BytesIO(data)


class _Copy:
    """Members of a compressed .tar, in a file without a name: to seek in the .tar itself is to start anew."""

    def __init__(self) -> None:
        self.file, self.lock = tempfile.TemporaryFile(), threading.Lock()  # noqa: SIM115  (kept open)
        weakref.finalize(self, self.file.close)
        self.room = shutil.disk_usage(tempfile.gettempdir()).free // 2

    def add(self, member: Any) -> Open:
        start, data = self.file.tell(), member.read()
        if start + len(data) > self.room:
            raise OSError(
                f"its members take more than {self.room:,} bytes, half of what is free in "
                f"{tempfile.gettempdir()}. Decompress it to a .tar, or set TMPDIR."
            )
        size = self.file.write(data)
        return functools.partial(self.open, start, size)

    def open(self, start: int, size: int) -> IO[bytes]:
        with self.lock:
            self.file.seek(start)
            return io.BytesIO(self.file.read(size))


def _limited(open_member: Open, name: str) -> bytes:
    """At most MAX_BYTES: what an archive claims of its members is not believed."""
    try:
        with open_member() as stream:
            data = stream.read(MAX_BYTES + 1)
    except Exception as error:  # zlib, lzma and zipfile have errors of many kinds
        raise DataError(f"{name} cannot be read from its archive: {error}") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{name} has more than {MAX_BYTES:,} bytes.")
    return data
