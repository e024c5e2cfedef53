"""Tests of jaxgan.data: what cannot be used is named, with the reason and what to do, and harms nothing."""

import io
import os
import re
import shutil
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from types import SimpleNamespace

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from made_sets import GOOD, encoded, noise, put

from jaxgan import data
from jaxgan.data import decoding, listing, opening, prepared

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


# Image files


def claiming(width, height, bits=1, rows=1):
    """A PNG that says to be so large, and has some rows of black."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    rows = zlib.compress(bytes((1 + (width * bits + 7) // 8) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def cut(format, part, **options):
    whole = encoded(format, noise(40, 40, 3), **options)
    return whole[: int(len(whole) * part)]


FLOATS = PIL.Image.fromarray(np.zeros((4, 4), np.float32))
BROKEN = {
    "nothing in it": ("x.png", lambda: b"", "is empty"),
    "text": ("x.png", lambda: b"no image at all\n" * 9, "is no image: expected PNG, JPEG"),
    "a page of the web": ("x.jpg", lambda: b"<html><body>404</body></html>", "is no image: expected PNG"),
    "PostScript, which is a program": ("x.png", lambda: encoded("EPS"), "is no image: expected PNG"),
    "a PNG's first bytes": ("x.png", lambda: encoded("PNG")[:20], "is (broken|no image)"),
    "a PNG without its end": ("x.png", lambda: cut("PNG", 0.7), "is broken: .*truncated"),
    "a PNG with a damaged header": (
        "x.png",
        lambda: encoded("PNG").replace(b"IHDR\0", b"IHDR\1"),
        "is (broken|no image)",
    ),
    "a PNG with damaged pixels": (
        "x.png",
        lambda: claiming(9, 9).replace(b"\x78\xda", b"\xff\xff"),
        "is broken",
    ),
    "a JPEG's first bytes": ("x.jpg", lambda: encoded("JPEG")[:40], "is (broken|no image)"),
    "a JPEG without its end": ("x.jpg", lambda: cut("JPEG", 0.8), "is broken: .*truncated"),
    "a GIF without its end": ("x.gif", lambda: cut("GIF", 0.8), "is broken: .*truncated"),
    "a WebP without its end": ("x.webp", lambda: cut("WEBP", 0.5), "is (broken|no image)"),
    "a BMP without its end": ("x.bmp", lambda: cut("BMP", 0.5), "is broken: .*truncated"),
    "a TIFF without its end": ("x.tif", lambda: cut("TIFF", 0.5), "is (broken|no image)"),
    "no width": ("x.png", lambda: claiming(0, 4), "is (broken|no image)|has no pixels"),
    "floats": (
        "x.tif",
        lambda: encoded("TIFF", FLOATS),
        "pixels of the kind 'F'; convert it to 8 or 16 bits",
    ),
    "12,000 x 12,000": ("x.png", lambda: claiming(12_000, 12_000), "claims .*more than .* pixels"),
    "20,000 x 20,000": ("x.png", lambda: claiming(20_000, 20_000), "claims more than 67,108,864 pixels"),
    "a strip": ("x.png", lambda: claiming(60_000, 1), "claims 60000x1; more than .* or 32,768 a side"),
    "a GIF that claims much": (
        "x.gif",
        lambda: encoded("GIF").replace(struct.pack("<HH", 5, 6), b"\xff\xff\xff\xff"),
        "claims more than",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("prepare", [True, False])
def test_broken_images_are_left_out_and_named_once(opened, root, said, case, prepare):
    name, content, reason = BROKEN[case]
    put(root, {"good.png": GOOD, name: content()})
    options = {"prepare": prepare, "layout": data.Layout((6, 5))}
    np.testing.assert_array_equal(opened(**options).arrays["image"], [GOOD])
    if prepare:
        opened(**options)
    (message,) = said()
    assert re.match(rf"folder:{root}:train: left out: {name}: .*({reason})", message), message
    with pytest.raises(
        data.DataError, match=rf"1 files .*such as {name}: .*({reason}).* Remove them, or leave"
    ):
        opened(**options, strict=True)
    (root / "good.png").unlink()
    with pytest.raises(data.DataError, match=rf"has no image that can be read: {name}: .*({reason})"):
        opened(**options)


@pytest.mark.parametrize("filter", ["error", "ignore"])
@pytest.mark.parametrize("rows", [1, 12_000])
def test_bombs_are_refused_by_their_header_without_decoding(monkeypatch, filter, rows):
    content = claiming(12_000, 12_000, rows=rows)
    assert len(content) < 100_000
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    start = time.monotonic()
    for function in (decoding.inspect, decoding.decode):
        with (
            warnings.catch_warnings(),
            pytest.raises(data.DataError, match="claims .*more than 67,108,864 pixels"),
        ):
            warnings.simplefilter(filter)
            function(content, name="x.png")
    assert time.monotonic() - start < 0.5


def test_values_of_more_than_16_bits_are_refused():
    content = encoded("TIFF", PIL.Image.fromarray(np.full((4, 4), 70_000, np.int32)))
    with pytest.raises(data.DataError, match="x.tif has values from 70000 to 70000, expected 0 to 65535"):
        decoding.decode(content, name="x.tif")


def test_suffixes_are_not_believed(opened, root):
    put(root, {"a.jpg": encoded("PNG"), "b.PNG": encoded("BMP"), "c.gif": encoded("TIFF")})
    assert [x.tolist() for x in opened(strict=True).arrays["image"]] == [GOOD.tolist()] * 3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_damaged_file_is_an_image_or_refused(format):
    """Whatever is done to its bytes, with warnings as errors."""
    rng, whole = np.random.default_rng(0), encoded(format, noise(9, 9, 3))
    refused = 0
    for i in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole) if i % 2 else 64, rng.integers(1, 5)):
            damaged[place] = rng.integers(0, 256)
        content = bytes(damaged[: rng.integers(1, len(whole))] if i % 5 == 0 else damaged)
        for function in (decoding.inspect, decoding.decode):
            try:
                function(content, name="x")
            except data.DataError:
                refused += 1
    assert refused > 60


# Folders


def loop(root):
    (root / "x").symlink_to(root)


def loop_of_files(root):
    (root / "x.png").symlink_to("x.png")


def dangling(root):
    (root / "x.png").symlink_to(root / "away.png")


def pipe(root):
    os.mkfifo(root / "x.png")


def endless(root):
    (root / "x.png").symlink_to("/dev/zero")


def huge(root):
    with (root / "x.png").open("wb") as file:
        file.truncate(2**28 + 1)


def unreadable(root):
    put(root, {"x.png": GOOD})
    (root / "x.png").chmod(0)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (loop, "x: a link to a folder that is listed already"),
        (loop_of_files, "x.png: cannot be opened: Too many levels of symbolic links"),
        (dangling, "x.png: cannot be opened: No such file"),
        (pipe, "x.png: no file, but a device or a socket"),
        (endless, "x.png: no file, but a device or a socket"),
        (huge, "x.png: 268,435,457 bytes; more than 268,435,456 are not read"),
        pytest.param(unreadable, "x.png: .*Permission denied", marks=as_root),
    ],
)
def test_what_is_no_file_is_passed_over(opened, root, said, make, reason):
    put(root, {"good.png": GOOD})
    make(root)
    assert len(opened()) == 1
    (message,) = said()
    assert re.search(f"left out: {reason}", message)
    with pytest.raises(data.DataError, match=f"1 files cannot be used, such as {reason}"):
        opened(strict=True)


def test_what_could_not_be_read_is_tried_again(opened, root, monkeypatch):
    put(root, {"a.png": GOOD, "b.png": GOOD})
    with monkeypatch.context() as context:
        context.setattr(listing, "_read", lambda path: os.stat(f"{path}/x") and b"")
        with pytest.raises(data.DataError, match="no image that can be read: a.png: .*Not a directory"):
            opened()
    assert len(opened(strict=True)) == 2


def test_a_file_that_goes_away_stops_the_conversion_and_not_the_next(tmp_path, root, opened):
    put(root, {"a.png": GOOD, "b.png": GOOD})
    fileset = opening.file_set(f"folder:{root}", opening.Options(data_dir=tmp_path / "data"))
    (root / "b.png").unlink()
    with pytest.raises(data.DataError, match="b.png cannot be read any more: .*No such file.* again"):
        prepared.prepare(fileset, tmp_path / "data")
    assert len(opened()) == 1


# Archives


def zipped(name, content=None, link=False, **changes):
    """Writes a .zip with a good member and another, of which the directory says what is not so."""

    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("good.png", encoded("PNG"))
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, content or encoded("PNG"))
            for key, value in changes.items():
                setattr(archive.filelist[-1], key, value)

    return ".zip", write


def tarred(name, type=tarfile.REGTYPE, suffix=".tar", **changes):
    def write(path):
        with tarfile.open(path, "w:" + suffix[5:]) as archive:
            for info in (tarfile.TarInfo("good.png"), tarfile.TarInfo(name)):
                info.size = len(encoded("PNG"))
                if info.name == name:
                    info.type = type
                    for key, value in changes.items():
                        setattr(info, key, value)
                archive.addfile(info, io.BytesIO(encoded("PNG")) if info.isreg() else None)

    return suffix, write


LEADS_OUT = "a name that leads out of the archive"
MEMBERS = {
    "../ in a zip": (zipped("../evil.png"), "../evil.png", LEADS_OUT),
    "../ within a zip": (zipped("a/../../evil.png"), "a/../../evil.png", LEADS_OUT),
    "an absolute name in a zip": (zipped("/tmp/evil.png"), "/tmp/evil.png", LEADS_OUT),
    "a drive in a zip": (zipped("C:evil.png"), "C:evil.png", LEADS_OUT),
    "backslashes in a zip": (zipped(r"a\..\..\x.png"), r"a\..\..\x.png", LEADS_OUT),
    "a link in a zip": (zipped("x.png", b"/etc/passwd", link=True), "x.png", "a link"),
    "an encrypted member": (zipped("x.png", flag_bits=1), "x.png", "encrypted"),
    "a member that claims too much": (
        zipped("x.png", file_size=2**29),
        "x.png",
        "536,870,912 bytes; more than",
    ),
    "a member that claims too little": (zipped("x.png", file_size=9), "x.png", "cannot be read.*Bad CRC"),
    "a member of an unknown method": (
        zipped("x.png", compress_type=99),
        "x.png",
        "cannot be read.*compression",
    ),
    "a member that is elsewhere": (zipped("x.png", header_offset=300), "x.png", "cannot be read.*Bad magic"),
    "../ in a tar": (tarred("../evil.png"), "../evil.png", LEADS_OUT),
    "an absolute name in a tar": (tarred("/tmp/evil.png"), "/tmp/evil.png", LEADS_OUT),
    "../ in a compressed tar": (tarred("../evil.png", suffix=".tar.gz"), "../evil.png", LEADS_OUT),
    "a link": (tarred("x.png", tarfile.SYMTYPE, linkname="good.png"), "x.png", "a link"),
    "a link out of a tar": (tarred("x.png", tarfile.SYMTYPE, linkname="/etc/passwd"), "x.png", "a link"),
    "a hard link": (tarred("x.png", tarfile.LNKTYPE, linkname="good.png"), "x.png", "a link"),
    "a device": (tarred("x.png", tarfile.CHRTYPE, devmajor=1, devminor=5), "x.png", "a device"),
    "a pipe": (tarred("x.png", tarfile.FIFOTYPE, suffix=".tar.xz"), "x.png", "a device"),
    "a broken image in a tar": (tarred("x.png", size=30), "x.png", "is (broken|no image)"),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_members_that_cannot_be_used_are_passed_over(opened, root, said, case):
    (suffix, write), name, reason = MEMBERS[case]
    put(root, {"empty": None})
    write(root / f"x{suffix}")
    source = opened(f"folder:SET/x{suffix}")
    np.testing.assert_array_equal(source.arrays["image"], [GOOD])
    (message,) = said()
    assert re.search(rf"left out: {re.escape(name)}: .*{reason}", message)
    with pytest.raises(data.DataError, match=rf"such as {re.escape(name)}: .*{reason}"):
        opened(f"folder:SET/x{suffix}", strict=True)


def archive_of(suffix, change):
    def content():
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:" + suffix[5:]) as archive:
            for i in range(9):
                info = tarfile.TarInfo(f"{i}.png")
                info.size = len(encoded("PNG", noise(6, 5, 3, seed=i)))
                archive.addfile(info, io.BytesIO(encoded("PNG", noise(6, 5, 3, seed=i))))
        return change(file.getvalue())

    return content


def without_end(content):
    return content[: len(content) // 2]


def damaged(content):
    return content[:300] + bytes(range(200)) + content[500:]


def test_an_archive_of_more_than_there_is_room_for_is_refused(opened, root, monkeypatch):
    put(root, {"x.tar.gz": archive_of(".tar.gz", bytes)()})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * 400))
    with pytest.raises(
        data.DataError, match="members take more than 400 bytes, half .* Decompress it to a .tar"
    ):
        opened("folder:SET/x.tar.gz")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.zip", lambda: b"no zip", "File is not a zip file"),
        ("x.zip", lambda: b"", "File is not a zip file"),
        ("x.zip", archive_of(".tar", bytes), "File is not a zip file"),
        ("x.tar", lambda: b"no tar" * 999, "could not be opened successfully"),
        ("x.tar", lambda: b"", "could not be opened successfully"),
        ("x.tar", archive_of(".tar", lambda content: content[: 8 * 1024 + 600]), "unexpected end of data"),
        *(
            (f"x{s}", archive_of(s, change), "")
            for s in (".tar.gz", ".tar.bz2", ".tar.xz")
            for change in (without_end, damaged)
        ),
    ],
)
def test_archives_that_cannot_be_read_are_refused(opened, root, name, content, reason):
    put(root, {name: content()})
    with pytest.raises(data.DataError, match=f"{name} is no archive that can be read: .*{reason}"):
        opened(f"folder:SET/{name}")
