"""Distances between two sets of vectors or of images, pure functions of arrays."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PATCH = 7  # pixels a side
COARSEST = 16  # pixels of the smallest level's shorter side
IMAGES, DIRECTIONS = 64, 16  # taken at a time, so that memory is bounded
BINOMIAL = (0.0625, 0.25, 0.375, 0.25, 0.0625)  # Burt & Adelson's low-pass filter with a of 3/8


def sliced_wasserstein(
    key: jax.Array, first: jax.Array, second: jax.Array, *, projections: int = 256
) -> jax.Array:
    """The 2-Wasserstein distance of one-dimensional projections, in root mean square over directions.

    Args:
      key: draws the directions, uniform on the sphere.
      first: [N,...], float; all axes but the first are flattened.
      second: [N,...], of the same shape.
      projections: how many directions.

    Returns:
      [], in the units of the vectors' entries.

    Raises:
      ValueError: the shapes differ.

    Source: Bonneel et al. 2015, eq. 8, on pixels or features as given (no Laplacian pyramid).
    """
    if first.shape != second.shape:
        raise ValueError(
            f"Two sets of one size are compared, got {first.shape} and {second.shape}; "
            "leave some of the larger out."
        )
    first, second = (x.reshape(len(x), -1) for x in (first, second))
    directions = jax.random.normal(key, (first.shape[1], projections), first.dtype)
    directions /= jnp.linalg.norm(directions, axis=0)
    a, b = (jnp.sort(x @ directions, axis=0) for x in (first, second))
    return jnp.sqrt(jnp.mean((a - b) ** 2))


def patch_wasserstein(
    key: jax.Array, first: np.ndarray, second: np.ndarray, *, patches: int = 128, projections: int = 512
) -> np.ndarray:
    """Sliced Wasserstein distances of patches, for each level of a Laplacian pyramid.

    Fine levels compare sharpness and noise, coarse ones what is on the images. Patches of 7x7 pixels are
    normalised in each channel by the mean and deviation of their set. Papers print the distances times 1,000.
    A level's patches are held at once: 75 kB of a colour image.

    Args:
      key: draws the patches' places and the directions.
      first: [N,H,W,C], in whichever range, uint8 or float.
      second: [N,H,W,C]; papers compare 16,384 images with as many.
      patches: of each image on each level.
      projections: how many directions.

    Returns:
      [L] float64, from the finest level to the coarsest, whose shorter side has 16 to 31 pixels. Papers'
      single figure is their mean.

    Raises:
      ValueError: shapes that differ or are no images, images of fewer than 16 pixels a side.

    Source: Karras et al. 2018 (progressive growing), section 5, and Burt & Adelson 1983 for the pyramid. The
    distance is the earth mover's, so of absolute differences; images are mirrored at their edges.
    """
    if first.shape != second.shape or first.ndim != 4 or min(first.shape[1:3]) < COARSEST:
        raise ValueError(
            f"Two sets of as many images [N,H,W,C] of {COARSEST} pixels or more a side are compared, got "
            f"{first.shape} and {second.shape}; leave some of the larger set out."
        )
    levels = (min(first.shape[1:3]) // COARSEST).bit_length()
    distances = []
    for level in range(levels):
        places, directions = jax.random.split(jax.random.fold_in(key, level))
        a, b = (  # at the same places of both, so that a set is at no distance from itself
            np.asarray(_patches(places, images, level=level, levels=levels, patches=patches))
            for images in (first, second)
        )
        drawn = jax.random.normal(directions, (projections, a.shape[1]))
        distances.append(_earth_mover(a, b, np.asarray(drawn)))
    return np.array(distances)


def _earth_mover(first: np.ndarray, second: np.ndarray, directions: np.ndarray) -> float:
    """The mean over directions of the 1-Wasserstein distance: [n,d] each, directions [p,d] of any length.

    NumPy sorts, which is many times as fast as XLA on CPUs.
    """
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, len(directions), DIRECTIONS):
        some = directions[start : start + DIRECTIONS]
        a, b = (np.sort(some @ x.T) for x in (first, second))
        total += np.sum(np.abs(a - b), dtype=np.float64)
    return float(total) / (len(first) * len(directions))


@partial(jax.jit, static_argnames=("level", "levels", "patches"))
def _patches(key: jax.Array, images: jax.Array, *, level: int, levels: int, patches: int) -> jax.Array:
    """Of one level of all images, normalised: [N * patches, PATCH * PATCH * C]."""

    def cut(given: tuple[jax.Array, jax.Array]) -> jax.Array:
        key, image = given
        band = pyramid(image[None].astype(jnp.float32), levels)[level][0]
        limits = jnp.array(band.shape[:2]) - PATCH + 1
        corners = jax.random.randint(key, (patches, 2), 0, limits)
        size = (PATCH, PATCH, band.shape[2])
        return jax.vmap(lambda corner: lax.dynamic_slice(band, (*corner, 0), size))(corners)

    found = lax.map(cut, (jax.random.split(key, len(images)), images), batch_size=IMAGES)
    mean, deviation = (f(found, axis=(0, 1, 2, 3)) for f in (jnp.mean, jnp.std))
    normal = (found - mean) / jnp.where(deviation > 0.0, deviation, 1.0)
    return normal.reshape(len(images) * patches, -1)


def pyramid(images: jax.Array, levels: int) -> list[jax.Array]:
    """Laplacian pyramid of images [N,H,W,C] float: bands, from the finest, and what is left at the coarsest.

    Each level has half the sides, rounded up. A level expanded and added to the next finer gives it back.

    Source: Burt & Adelson 1983, eqs. 1, 2 and 4.
    """
    bands = []
    for _ in range(levels - 1):
        smaller = _filtered(images)[:, ::2, ::2]
        spread = jnp.zeros_like(images).at[:, ::2, ::2].set(4.0 * smaller)
        bands.append(images - _filtered(spread))
        images = smaller
    return [*bands, images]


def _filtered(images: jax.Array) -> jax.Array:
    """Smoothed by BINOMIAL along both sides, mirrored at the edges."""
    for axis in (1, 2):
        padding: Any = [(2, 2) if a == axis else (0, 0) for a in range(4)]
        padded, length = jnp.pad(images, padding, mode="reflect"), images.shape[axis]
        shifted = [lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(len(BINOMIAL))]
        images = jnp.average(jnp.stack(shifted), axis=0, weights=jnp.array(BINOMIAL, images.dtype))
    return images
