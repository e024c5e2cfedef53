"""Arrays from a .npz file, which is never unpickled."""

import zipfile
from pathlib import Path

import numpy as np

from jaxgan.data.fitting import Layout, fit
from jaxgan.data.sources import DataError, Source, from_arrays
from jaxgan.data.splits import parse_split, part_of

MAX_BYTES = 2**34  # of a file's arrays
# How images and labels of a split are called: by us, by Keras's files, by MedMNIST's.
_NAMES = [("image", "label"), ("images", "labels"), ("x_{0}", "y_{0}"), ("{0}_images", "{0}_labels")]


def open_npz(path: str, *, split: str, layout: Layout) -> Source:
    """Opens arrays: `image` and `label` (or `x_SPLIT` and `y_SPLIT`, `SPLIT_images` and `SPLIT_labels`), or

    `SPLIT_CLASS` for each class. Parts as 'train[:80%]' are of a fixed shuffled order.

    Raises:
      DataError: no such file, names, or split; arrays that are no images.
    """
    name, (base, part) = f"arrays:{path}:{split}", parse_split(split)
    try:
        with zipfile.ZipFile(Path(path).expanduser()) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"{path} claims {size:,} bytes of arrays; more than {MAX_BYTES:,} are not read.")
        with np.load(Path(path).expanduser(), allow_pickle=False) as arrays:
            images, labels, classes = _chosen(arrays, base, path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except DataError:
        raise
    except Exception as error:  # zlib and zipfile have errors of many kinds
        raise DataError(f"{path} is no .npz of plain arrays that can be read: {error}") from error
    if part and images.ndim and (labels is None or labels.shape == images.shape[:1]):  # else refused below
        chosen = _shuffled(len(images))[part_of(split, len(images), title=name)]
        images, labels = images[chosen], None if labels is None else labels[chosen]
    return from_arrays(_fitted(images, layout, name), labels, classes=classes, name=name)


def _chosen(
    arrays: np.lib.npyio.NpzFile, split: str, path: str
) -> tuple[np.ndarray, np.ndarray | None, list[str] | None]:
    """Images, labels and classes of a split."""
    found = set(arrays.files)
    for image, label in ((a.format(split), b.format(split)) for a, b in _NAMES):
        if image in found and (split == "train" or split in image):
            labels = arrays[label] if label in found else None
            if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            classes = arrays["classes"].astype(str).reshape(-1).tolist() if "classes" in found else None
            return arrays[image], labels, classes
    classes = sorted(name.removeprefix(f"{split}_") for name in found if name.startswith(f"{split}_"))
    if not classes:
        raise DataError(
            f"{path} holds {', '.join(sorted(found))}; expected image and label, {split}_images and "
            f"{split}_labels, or {split}_CLASS for each class."
        )
    parts = [arrays[f"{split}_{name}"] for name in classes]
    if len({part.shape[1:] for part in parts}) > 1 or len({part.dtype for part in parts}) > 1:
        raise DataError(
            f"{path}: the classes of {split} hold images of several shapes or dtypes; make them one."
        )
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate(parts), labels, classes


def _shuffled(count: int) -> np.ndarray:
    """An order that is the same every time, for files often have one class after the other."""
    return np.argsort(np.random.Philox(0).random_raw(count), kind="stable")


def _fitted(images: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype not in (np.uint8, np.uint16) or not 1 <= images.shape[-1] <= 4:
        return images  # which `from_arrays` refuses in words
    alpha = bool(layout.background) and images.shape[-1] in (2, 4)
    complete = layout._replace(
        size=layout.size or images.shape[1:3], channels=layout.channels or images.shape[-1] - alpha
    )
    if complete.size == images.shape[1:3] and complete.channels == images.shape[-1]:
        return images
    return np.stack([fit(image, complete) for image in images])
