"""Grey levels of 8 bits, and what JPEG makes of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

LEVEL = 2.0 / 255.0  # one grey level of 8 bits, of images in [-1, 1]
HALF = 0.5 + 1e-4  # halves are rounded up, as MATLAB does, also those that float32 has a little below

exact = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)  # GPUs round grey levels away otherwise

# ITU-T T.81, tables K.1 and K.2: the steps of the coefficients of luma and chroma at quality 50.
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(4 * ((99,) * 8,)),
)
# JFIF 1.02: Y, Cb and Cr, rows, of R, G and B, the chroma around 0.
YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
)


def as_8_bits(images: jax.Array) -> jax.Array:
    """Images as floats in [-1, 1] that are whole grey levels, those of 8 bits."""
    levels = jnp.floor((images + 1.0) / LEVEL + HALF)
    return jnp.clip(levels, 0.0, 255.0) * LEVEL - 1.0


def jpeg(images: jax.Array, qualities: jax.Array) -> jax.Array:
    """Images as JPEG gives them back, without subsampled colours (4:4:4).

    Args:
      images: [B,H,W,C] in [-1, 1], C 1 or 3 (RGB).
      qualities: [B], from 1 to 100, as libjpeg counts them.

    Returns:
      [B,H,W,C] in [-1, 1], not rounded.

    Raises:
      ValueError: other numbers of channels.

    Source: ITU-T T.81, annexes A.3 and K.1; the qualities' scale is libjpeg's.
    """
    height, width, channels = images.shape[1:]
    if channels not in (1, 3):
        raise ValueError(f"JPEG is of images with 1 or 3 channels, got {images.shape}; leave it out.")
    dtype = images.dtype
    colours = YCBCR if channels == 3 else np.eye(1)
    tables = np.array([LUMA_STEPS, CHROMA_STEPS, CHROMA_STEPS][:channels])
    steps = _steps(tables, qualities).astype(dtype)[:, None, None]

    # Grey levels less 128: the middle of the range is half a level above 0.
    planes = jnp.round(exact("bhwc,dc->bhwd", images / LEVEL - 0.5, jnp.asarray(colours, dtype)))
    edges = ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0))
    planes = jnp.pad(planes, edges, mode="edge")
    blocks = planes.reshape(len(planes), planes.shape[1] // 8, 8, planes.shape[2] // 8, 8, channels)
    dct = jnp.asarray(_cosines(), dtype)
    coefficients = exact("biyjxc,uy,vx->bijcuv", blocks, dct, dct)
    coefficients = jnp.round(coefficients / steps) * steps
    blocks = exact("bijcuv,uy,vx->biyjxc", coefficients, dct, dct)
    planes = blocks.reshape(planes.shape)[:, :height, :width]
    pixels = exact("bhwd,cd->bhwc", planes, jnp.asarray(np.linalg.inv(colours), dtype))
    return jnp.clip((pixels + 0.5) * LEVEL, -1.0, 1.0)


def _steps(tables: np.ndarray, qualities: jax.Array) -> jax.Array:
    """The steps of each quality [B,...], of those at quality 50; libjpeg's scale is a whole number."""
    scales = jnp.floor(jnp.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities))
    return jnp.clip(jnp.floor((tables * scales.reshape(-1, *[1] * tables.ndim) + 50) / 100), 1, 255)


def _cosines() -> np.ndarray:
    """The orthonormal DCT of 8 numbers, [frequency,place]."""
    frequency, place = np.arange(8)[:, None], np.arange(8)[None, :]
    waves = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    return np.where(frequency == 0, np.sqrt(1 / 8), waves)
