"""Sets of pictures that tests make on the fly."""

import hashlib
import io
import os
import tarfile
import zipfile

import numpy as np
import PIL.Image


def noise(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    image.save(path, **options)


def tree(root, names, shape=(6, 5, 3), seed=0):
    """Saves a picture by each name; returns their pixels."""
    pictures = {name: noise(*shape, seed=seed + i) for i, name in enumerate(names)}
    for name, pixels in pictures.items():
        save(root / name, pixels)
    return pictures


def pack(folder, path, prefix=""):
    """A folder's files in a .zip or .tar, their names behind a prefix."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(folder / name, prefix + name)
    else:
        with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "").replace("tgz", "gz")) as archive:
            for name in names:
                archive.add(folder / name, prefix + name)


def ordered(names):
    """In the order that sets have, which cannot change: prepared sets are kept."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


GOOD = noise(6, 5, 3)


def encoded(format, image=GOOD, **options):
    file = io.BytesIO()
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    image.save(file, format, **options)
    return file.getvalue()


def put(root, files):
    """Writes files: bytes, text, or pixels; None is a folder."""
    for name, content in files.items():
        path = root / name
        (path.parent if content is not None else path).mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            save(path, content)
        elif content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def seen(folder):
    """What is in a folder besides 'data', as it was last written."""
    inside = sorted(path for path in folder.rglob("*") if path.relative_to(folder).parts[0] != "data")
    return [(path, os.lstat(path).st_size, os.lstat(path).st_mtime_ns) for path in inside]
