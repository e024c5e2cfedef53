"""Gaussian blur, of each image by a kernel of its own."""

import math

import jax
import jax.numpy as jnp
import numpy as np

REACH = 3.0  # standard deviations to which a kernel extends: 0.3 % of a Gaussian lie beyond
SHARPEST = 1e-2  # in pixels: a blur below it is none, and its kernel has no 0 / 0


def gaussian_blur(images: jax.Array, deviations: jax.Array, *, most: float) -> jax.Array:
    """Gaussian means, alike in all directions, reflected at the edges.

    Args:
      images: [B,H,W,C], float.
      deviations: [B], in pixels, from 0.
      most: the largest that they may be, which makes the kernel's size; beyond REACH times it there is none.

    Returns:
      [B,H,W,C].
    """
    weights = jnp.exp(-0.5 * (_offsets(most) / jnp.maximum(deviations, SHARPEST)[:, None]) ** 2)
    weights /= jnp.sum(weights, axis=1, keepdims=True)
    return filter_each(filter_each(images, weights[:, :, None]), weights[:, None, :])


def anisotropic_blur(
    images: jax.Array, deviations: jax.Array, angles: jax.Array, *, most: float
) -> jax.Array:
    """Gaussian means, of two deviations along two directions at right angles, reflected at the edges.

    Args:
      images: [B,H,W,C], float.
      deviations: [B,2], in pixels, from 0.
      angles: [B], in radians, from the columns' direction to that of the first deviation.
      most: the largest deviation.

    Returns:
      [B,H,W,C].

    Source: Zhang et al. 2018 (SRMD), section 3.1.
    """
    offsets = _offsets(most)
    y, x = offsets[:, None], offsets[None, :]
    cos, sin = (f(angles)[:, None, None] for f in (jnp.cos, jnp.sin))
    first, second = jnp.moveaxis(jnp.maximum(deviations, SHARPEST), 1, 0)[:, :, None, None]
    exponents = ((x * cos + y * sin) / first) ** 2 + ((y * cos - x * sin) / second) ** 2
    weights = jnp.exp(-0.5 * exponents)
    return filter_each(images, weights / jnp.sum(weights, axis=(1, 2), keepdims=True))


def _offsets(most: float) -> np.ndarray:
    reach = math.ceil(REACH * most)
    return np.arange(-reach, reach + 1)


def filter_each(images: jax.Array, kernels: jax.Array) -> jax.Array:
    """Each image filtered by its own kernel, reflected at the edges: [B,H,W,C], [B,h,w] -> [B,H,W,C].

    h and w are odd. A sum of shifted images, tap by tap: a convolution of as many groups as there are
    images and channels is slower on a CPU, and its program no shorter.
    """
    height, width = kernels.shape[1:]
    edges = ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0))
    padded = jnp.pad(images, edges, mode="reflect")
    weights = kernels.astype(images.dtype).reshape(len(images), -1)

    def add(tap: int, total: jax.Array) -> jax.Array:
        start = (0, tap // width, tap % width, 0)
        return total + weights[:, tap, None, None, None] * jax.lax.dynamic_slice(padded, start, images.shape)

    return jax.lax.fori_loop(0, height * width, add, jnp.zeros_like(images))
