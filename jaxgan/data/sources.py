"""Sources: sets of images, with or without labels and what belongs to them, that are read by index."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


class DataError(ValueError):
    """Data, or a request for data, that cannot be used; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Source:
    """A fixed sequence of images that is read by index.

    Made by `from_arrays` and `jaxgan.data.open_source`.

    Attributes:
        name: what was opened, for logs and reports.
        image_shape: (H, W, C) of every image.
        classes: names of the classes, by label; empty when the images have no labels.
        fingerprint: sha256, in hex, that changes with the images, their labels and their order.
        length: number of examples.
        read: indices, int [M], each in [0, length) -> arrays as `gather` gives them.
        arrays: the whole set, {"image": uint8 [N,H,W,C], "label": int32 [N]}, where it is held in
            memory; None where examples are decoded on demand. Images of more than 8 bits are uint16.
        shapes: of what examples hold beside image and label, such as "input" and "mask" [H,W,C].
        rows: of each example the row in `arrays`, where these are not in the examples' order.
        others: sources of other domains, by name, whose examples are not paired with this one's.
        domains: of a mixture: names of the sources, by "domain".
    """

    name: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    fingerprint: str = field(repr=False)
    length: int
    read: Callable[[np.ndarray], Arrays] = field(repr=False)
    arrays: Arrays | None = field(default=None, repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rows: np.ndarray | None = field(default=None, repr=False)
    others: Mapping[str, "Source"] = field(default_factory=dict)
    domains: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype:
        """Of the images: uint8 or uint16."""
        return self.gather([0])["image"].dtype

    @property
    def shapes_of_all(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all images that a batch has of an example, by their names there."""
        beside = {name: shape for name, shape in self.shapes.items() if shape}  # "domain" is a number
        others = {name: other.image_shape for name, other in self.others.items()}
        return {"image": self.image_shape, **beside, **others}

    def __len__(self) -> int:
        return self.length

    def gather(self, indices: Any) -> Arrays:
        """Returns the examples at `indices`.

        Args:
            indices: integers of any shape [...], each in [0, len(self)).

        Returns:
            {"image": uint8 [...,H,W,C], "label": int32 [...]} and what `shapes` names; no "label" in an
            unlabelled set.

        Raises:
            IndexError: for an index outside the set.
        """
        indices = np.asarray(indices)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.length:
            raise IndexError(
                f"{self.name}: indices from {indices.min()} to {indices.max()} were asked for; "
                f"the set has indices from 0 to {self.length - 1}."
            )
        flat = self.read(indices.reshape(-1))
        return {key: value.reshape(indices.shape + value.shape[1:]) for key, value in flat.items()}


def from_arrays(
    images: np.ndarray,
    labels: np.ndarray | Sequence[int] | None = None,
    *,
    classes: Sequence[str] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    name: str = "arrays",
) -> Source:
    """Makes a source of arrays. The images are not copied: leave them as they are afterwards.

    Args:
        images: uint8 or uint16 [N,H,W,C] with 1 to 4 channels, or [N,H,W], which become [N,H,W,1].
        labels: integers [N] in [0, number of classes), or None.
        classes: a name for each class; without it the classes are "0" up to the largest label.
        extra: what else belongs to each image, such as "input" or "mask", as images are.
        name: what to call the set in logs and errors.

    Returns:
        A source whose `arrays` are the images and the labels, both read-only.

    Raises:
        DataError: for another dtype or shape, an empty set, or labels that do not fit.
    """
    images = _checked_images(np.asarray(images), name)
    arrays = {"image": images}
    if labels is not None:
        arrays["label"], classes = _checked_labels(np.asarray(labels), len(images), classes, name)
    elif classes:
        raise DataError(
            f"{name}: {len(classes)} class names were given without labels. "
            "Pass labels, or leave out classes."
        )
    for key, values in (extra or {}).items():
        arrays[key] = _checked_images(np.asarray(values), f"{name}: {key}")
        if len(arrays[key]) != len(images):
            raise DataError(f"{name}: {len(arrays[key])} of {key} for {len(images)} images; pair them.")
    arrays = {key: _read_only(value) for key, value in arrays.items()}
    return Source(
        name=name,
        image_shape=images.shape[1:],
        classes=tuple(classes or ()),
        fingerprint=fingerprint_of(arrays),
        length=len(images),
        read=lambda indices: {key: value[indices] for key, value in arrays.items()},
        arrays=arrays,
        shapes={key: arrays[key].shape[1:] for key in extra or {}},
    )


def fingerprint_of(arrays: Arrays, about: dict[str, Any] | None = None) -> str:
    """Returns the sha256, in hex, of arrays in their order and of JSON-able facts about them."""
    digest = hashlib.sha256(json.dumps(about or {}, sort_keys=True).encode())
    for key, value in sorted(arrays.items()):
        digest.update(f"{key} {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def _checked_images(images: np.ndarray, name: str) -> np.ndarray:
    if images.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{name}: images are {images.dtype}, expected uint8 in [0, 255] or uint16. Floats in [-1, 1] are "
            "converted by jaxgan.data.to_uint8(images), floats in [0, 1] by "
            "np.round(images * 255).astype(np.uint8)."
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not 1 <= images.shape[-1] <= 4:
        raise DataError(
            f"{name}: images have the shape {images.shape}, expected [N,H,W,C] with 1 to 4 "
            "channels last, or [N,H,W]. Channels that come first are moved by "
            "np.moveaxis(images, 1, -1)."
        )
    if not images.size:
        raise DataError(f"{name}: images have the shape {images.shape}: there are none in it.")
    return images


def _checked_labels(
    labels: np.ndarray, count: int, classes: Sequence[str] | None, name: str
) -> tuple[np.ndarray, Sequence[str]]:
    if labels.shape != (count,):
        raise DataError(
            f"{name}: labels have the shape {labels.shape}, expected ({count},): one label for each image."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{name}: labels are {labels.dtype}, expected integers. One-hot or boolean labels "
            "are converted by labels.argmax(-1) or labels.astype(np.int32)."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise DataError(
            f"{name}: a label is {low}, expected 0 or more (-1 often marks examples that have no "
            "label). Leave those examples out, or pass no labels."
        )
    if classes is None and high >= max(count, 1000):
        raise DataError(
            f"{name}: a label is {high}, but there are {count} images. Number the classes from 0, as "
            "np.unique(labels, return_inverse=True)[1] does, or name them all in classes."
        )
    if classes is None:
        classes = [str(label) for label in range(high + 1)]
    if high >= len(classes):
        raise DataError(
            f"{name}: a label is {high}, expected less than {len(classes)}, the number of class "
            "names given. Name every class, or leave out classes."
        )
    return labels.astype(np.int32), classes


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
