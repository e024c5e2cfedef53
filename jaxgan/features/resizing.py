"""Images of any size to that of a network, by the protocols that features are compared under.

Each is linear and separable: a matrix for rows and one for columns, made on the host in float64.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

ResizerName = Literal["tf1", "torch", "clean"]
CUBIC = -0.5  # Keys' coefficient, as in Pillow


def resize(images: jax.Array, how: ResizerName, *, side: int) -> jax.Array:
    """Square images in float32: pure, and differentiable.

    Args:
      images: [B,H,W,C], float32 in [0, 255].
      how: 'tf1', bilinear as TensorFlow 1 has it, by which FID is defined; 'torch', bilinear with half-pixel
        centres; 'clean', bicubic, with a filter as wide as what an output pixel covers. The first two leave
        pixels out where images shrink.
      side: of the squares, in pixels.

    Returns:
      [B,side,side,C], in [0, 255]; nothing is rounded.

    Raises:
      ValueError: an unknown name.

    Source: 'tf1' tf.image.resize_bilinear of TensorFlow 1, align_corners=False; 'torch' F.interpolate,
    align_corners=False; 'clean' Parmar et al. 2022, section 3: Pillow's bicubic of float images, and what
    overshoots is cut off.
    """
    if how not in RESIZERS:
        raise ValueError(f"There is no resizer {how!r}; expected one of {', '.join(RESIZERS)}.")
    rows, columns = (RESIZERS[how](size, side).astype(np.float32) for size in images.shape[1:3])
    # Accelerators would round to fewer digits than images have.
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    planes = product(product(rows, jnp.moveaxis(images, 3, 1)), columns.T)
    return jnp.clip(jnp.moveaxis(planes, 1, 3), 0.0, 255.0)


def tf1(size: int, side: int) -> np.ndarray:
    """Weights [side, size] of pixels where output pixel i lies at i size / side."""
    return _linear(np.arange(side) * size / side, size)


def torch(size: int, side: int) -> np.ndarray:
    """Weights [side, size] of pixels where centres lie at a half, and beyond the outermost is as they are."""
    return _linear(_centres(size, side), size)


def clean(size: int, side: int) -> np.ndarray:
    """Weights [side, size] of pixels by Keys' cubic kernel, widened by as much as images shrink."""
    distances = np.abs(_centres(size, side)[:, None] - np.arange(size)) / max(size / side, 1.0)
    near = ((CUBIC + 2.0) * distances - (CUBIC + 3.0)) * distances**2 + 1.0
    far = CUBIC * (((distances - 5.0) * distances + 8.0) * distances - 4.0)
    weights = np.where(distances < 1.0, near, np.where(distances < 2.0, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def _centres(size: int, side: int) -> np.ndarray:
    return (np.arange(side) + 0.5) * size / side - 0.5


def _linear(places: np.ndarray, size: int) -> np.ndarray:
    """Weights of the two pixels next to each place, of the outermost alone beyond it."""
    distances = np.abs(np.clip(places, 0, size - 1)[:, None] - np.arange(size))
    return np.maximum(0.0, 1.0 - distances)


RESIZERS: dict[str, Callable[[int, int], np.ndarray]] = {"tf1": tf1, "torch": torch, "clean": clean}
