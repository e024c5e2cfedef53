"""Flips and crops of all that belongs to an example: its image, input and mask. Pure and jit-able."""

from collections.abc import Mapping
from functools import partial
from math import lcm

import jax

from jaxgan.data.sources import DataError
from jaxgan.data.transforms import random_crop, random_flip

Batch = Mapping[str, jax.Array]
MOVED = ("image", "input", "mask")  # what a batch may hold that has pixels


def flip_alike(batch: Batch, keys: jax.Array, *, paired: bool = True) -> dict[str, jax.Array]:
    """Mirrors the images of an example left to right, all or none, with probability 1/2.

    An image by itself is flipped as `random_flip` does.

    Args:
        batch: "image" [B,H,W,C], and of the same or another size "input" and "mask"; what else it holds
            stays as it is.
        keys: PRNG keys [B], one for each example, on which alone its flip depends.
        paired: the input belongs to the image; else it is flipped by itself.

    Returns:
        The batch, flipped.

    Raises:
        DataError: keys that do not fit.
    """
    flipped = {key: random_flip(batch[key], _keys_of(key, keys, paired)) for key in MOVED if key in batch}
    return {**batch, **flipped}


def crop_alike(
    batch: Batch, keys: jax.Array, size: tuple[int, int], *, paired: bool = True
) -> dict[str, jax.Array]:
    """The same part of all images of an example, from anywhere in them with the same chance.

    Of inputs at 1/s of the image's size the part is 1/s of the size, and the image's begins at a multiple
    of s, so that both show the same. An image by itself is cropped as `random_crop` does.

    Args:
        batch: as of `flip_alike`; an input's or a mask's size is the image's, or 1/2, 1/3, ... of it.
        keys: PRNG keys [B], one for each example, on which alone its part depends.
        size: (height, width) of the image's part; a multiple of every s.
        paired: the input belongs to the image; else it is cropped by itself.

    Returns:
        The batch, cropped.

    Raises:
        DataError: for sizes of which no such parts can be had, or keys that do not fit.
    """
    scales = {key: _scale(key, batch, size) for key in MOVED if key in batch}
    apart = set() if paired else {"input"}
    together = lcm(*(scale for key, scale in scales.items() if key not in apart))
    cropped = {}
    for key, scale in scales.items():
        cropped[key] = random_crop(
            batch[key],
            _keys_of(key, keys, paired),
            (size[0] // scale, size[1] // scale),
            multiple=1 if key in apart else together // scale,
        )
    return {**batch, **cropped}


def _keys_of(name: str, keys: jax.Array, paired: bool) -> jax.Array:
    """Of an example's images one key, but of an input that is not paired another."""
    if paired or name != "input":
        return keys
    return jax.vmap(partial(jax.random.fold_in, data=1))(keys)


def _scale(key: str, batch: Batch, size: tuple[int, int]) -> int:
    """How many times smaller than the image one of an example's images is."""
    image, given = batch["image"].shape[1:3], batch[key].shape[1:3]
    scale = image[0] // given[0]
    if scale < 1 or image != tuple(scale * side for side in given):
        raise DataError(
            f"With images of {image}, {key} of {given} (height, width) cannot be cropped alike; "
            "expected the same size, or 1/2, 1/3, ... of it."
        )
    if any(side % scale for side in size):
        raise DataError(
            f"A crop of {size} was asked of images whose {key} is 1/{scale}, which must divide it."
        )
    return scale
