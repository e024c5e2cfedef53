"""Sources of examples that are read by index: all at once into memory if they are few, or on demand."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxgan.data.sources import Arrays, Source, fingerprint_of, from_arrays

MEMORY_LIMIT_BYTES = 2**30  # sets up to this size, decoded, are decoded into memory when opened
FINGERPRINT_SAMPLES = 64  # examples that stand for a larger set in its fingerprint
_THREADS = 8  # that decode a set into memory, _CHUNK examples at a time
_CHUNK = 256


def source_of(
    name: str,
    read_examples: Callable[[Sequence[int]], Iterable[Mapping[str, Any]]],
    *,
    length: int,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, np.dtype],
    classes: Sequence[str],
    about: Mapping[str, Any],
) -> Source:
    """A source of what `read_examples` reads.

    Args:
        name: of the source.
        read_examples: indices -> their examples in this order, {"image": [H,W,C], ..., "label"}; called from
            several threads.
        length: how many there are.
        shapes: of an example's arrays, without the label's.
        dtypes: the same.
        classes: names; none for examples without labels.
        about: JSON-able facts for the fingerprint of a set that is too large to be read whole.
    """

    def read(indices: np.ndarray) -> Arrays:
        arrays = {key: np.empty((len(indices), *shape), dtypes[key]) for key, shape in shapes.items()}
        if classes:
            arrays["label"] = np.empty(len(indices), np.int32)
        for row, example in enumerate(read_examples(indices.tolist())):
            for key, array in arrays.items():
                array[row] = example[key]
        return arrays

    size = length * sum(int(np.prod(shape)) * dtypes[key].itemsize for key, shape in shapes.items())
    if size <= MEMORY_LIMIT_BYTES:
        arrays = _read_all(read, length)
        extra = {key: arrays[key] for key in shapes if key != "image"}
        return from_arrays(
            arrays["image"], arrays.get("label"), classes=classes or None, extra=extra, name=name
        )
    samples = np.linspace(0, length - 1, FINGERPRINT_SAMPLES).astype(int)
    return Source(
        name=name,
        image_shape=_three(shapes["image"]),
        classes=tuple(classes),
        fingerprint=fingerprint_of(read(samples), dict(about)),
        length=length,
        read=read,
        shapes={key: shape for key, shape in shapes.items() if key != "image"},
    )


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    height, width, channels = shape
    return height, width, channels


def _read_all(read: Callable[[np.ndarray], Arrays], length: int) -> Arrays:
    whole = {key: np.empty((length, *x.shape[1:]), x.dtype) for key, x in read(np.arange(0)).items()}

    def fill(start: int) -> None:
        stop = min(start + _CHUNK, length)
        for key, value in read(np.arange(start, stop)).items():
            whole[key][start:stop] = value

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(0, length, _CHUNK)))
    return whole
