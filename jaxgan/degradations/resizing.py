"""MATLAB's bicubic resizing, by which super-resolution is trained and measured."""

import math

import jax
import jax.numpy as jnp
import numpy as np

SHARPNESS = -0.5  # Keys 1981, eq. 15: the a that makes the interpolation exact to the third order


def bicubic(images: jax.Array, size: tuple[int, int], *, scale: float | None = None) -> jax.Array:
    """MATLAB's imresize: cubic interpolation, by a wider kernel where images shrink; edges are repeated.

    Args:
      images: [B,H,W,C], float.
      size: (H', W').
      scale: rows and columns made of one, where `size` is this times (H, W) rounded up, as by
        imresize(A, scale); None: size / (H, W), as by imresize(A, size).

    Returns:
      [B,H',W',C], which may pass the range of the images a little.

    Raises:
      ValueError: no pixels, or sizes that are not those of the scale.

    Source: Keys 1981, eq. 4 with a = -1/2 (eq. 15). Edges are those of the MATLAB that made the small
    images of Set5 and Set14 that papers use; of late it mirrors them instead.
    """
    for axis, length in zip((1, 2), size, strict=True):
        given = images.shape[axis]
        if length < 1 or given < 1 or (scale is not None and length != math.ceil(scale * given)):
            raise ValueError(
                f"Images {images.shape} were to be {size} at scale {scale}; expected a size of 1 or more, "
                "that of the images times the scale, rounded up."
            )
        if length == given and scale in (None, 1):
            continue
        weights = jnp.asarray(_cubic_weights(given, length, scale or length / given), images.dtype)
        rows = jnp.moveaxis(images, axis, -1)
        rows = jnp.matmul(rows, weights.T, precision=jax.lax.Precision.HIGHEST)
        images = jnp.moveaxis(rows, -1, axis)
    return images


def _cubic_weights(given: int, length: int, scale: float) -> np.ndarray:
    """[length,given]: how much of each pixel is in each new one; rows sum to 1."""
    stretch = min(scale, 1.0)  # antialiasing: the kernel covers as many old pixels as a new one does
    centres = (np.arange(length) + 0.5) / scale - 0.5
    reach = 2.0 / stretch
    places = np.floor(centres - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    values = _cubic((centres[:, None] - places) * stretch)
    values /= values.sum(axis=1, keepdims=True)
    weights = np.zeros((length, given))
    np.add.at(weights, (np.arange(length)[:, None], np.clip(places, 0, given - 1).astype(int)), values)
    return weights


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981, eq. 4."""
    x, a = np.abs(x), SHARPNESS
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
