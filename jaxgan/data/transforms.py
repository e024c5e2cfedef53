"""Images between uint8 [0, 255] and float32 [-1, 1], and the random flip. Pure and jit-able."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.sources import DataError


def to_float(images: Any) -> Any:
    """Maps uint8 [0, 255] to float32 [-1, 1]; floats pass through as they are.

    Each value is one rounding of (2 x - 255) * (1/255), so that NumPy, plain JAX and jit agree bit
    for bit, 0 gives -1 and 255 gives 1.

    Args:
        images: uint8 or floats of any shape, NumPy or JAX.

    Returns:
        An array of the same shape and library.

    Raises:
        DataError: for another dtype.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    if images.dtype != jnp.uint8:
        raise DataError(
            f"to_float was given {images.dtype}, expected uint8 in [0, 255] or floats in [-1, 1]. "
            "Convert the images to uint8 first."
        )
    return (2 * images.astype(np.float32) - 255) * np.float32(1 / 255)


def to_uint8(images: Any) -> Any:
    """Maps floats in [-1, 1] to uint8 [0, 255], rounded and clipped; uint8 passes through.

    Args:
        images: floats of any shape, NumPy or JAX. NaN has no meaning here.

    Returns:
        uint8 of the same shape and library; `to_uint8(to_float(x))` is x.

    Raises:
        DataError: for another dtype.
    """
    if images.dtype == jnp.uint8:
        return images
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise DataError(
            f"to_uint8 was given {images.dtype}, expected floats in [-1, 1] or uint8. "
            "Convert the images to float32 first."
        )
    xp = np if isinstance(images, np.ndarray) else jnp
    scaled = xp.round((images.astype(np.float32) + 1) * 127.5)
    return xp.clip(scaled, 0, 255).astype(np.uint8)


def random_flip(images: jax.Array, keys: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability 1/2.

    Args:
        images: [B,H,W,C], any dtype.
        keys: PRNG keys [B], one for each image, on which alone its flip depends.

    Returns:
        [B,H,W,C], the dtype of `images`.

    Raises:
        DataError: where the shapes do not fit.
    """
    if images.ndim != 4 or keys.shape[:1] != images.shape[:1]:
        raise DataError(
            f"random_flip was given images {images.shape} and keys {keys.shape}, expected "
            "[B,H,W,C] and [B]: one key for each image, such as jax.random.split(key, B)."
        )
    flip = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
