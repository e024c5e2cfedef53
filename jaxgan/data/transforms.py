"""Images between whole numbers and float32 [-1, 1], flips, crops and other sizes. Pure and jit-able."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.sources import DataError


def to_float(images: Any) -> Any:
    """Maps uint8 [0, 255], or uint16 [0, 65535], to float32 [-1, 1]; floats pass through as they are.

    Each value is one rounding of (2 x - 255) * (1/255), so that NumPy, plain JAX and jit agree bit
    for bit, 0 gives -1 and 255 gives 1.

    Args:
        images: uint8, uint16 or floats of any shape, NumPy or JAX.

    Returns:
        An array of the same shape and library.

    Raises:
        DataError: for another dtype.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    if images.dtype not in (jnp.uint8, jnp.uint16):
        raise DataError(
            f"to_float was given {images.dtype}, expected uint8, uint16 or floats in [-1, 1]. "
            "Convert the images to uint8 first."
        )
    most = int(jnp.iinfo(images.dtype).max)
    return (2 * images.astype(np.float32) - most) * np.float32(1 / most)


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
    _check_keys("random_flip", images, keys)
    flip = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def centre_crop(images: Any, size: tuple[int, int]) -> Any:
    """The middle of images [...,H,W,C] at a size (height, width) that is not larger.

    Raises:
        DataError: for a size beyond the images'.
    """
    (top, left), (height, width) = _margins(images, size), size
    return images[..., top // 2 : top // 2 + height, left // 2 : left // 2 + width, :]


def random_crop(images: jax.Array, keys: jax.Array, size: tuple[int, int], *, multiple: int = 1) -> jax.Array:
    """A part of each image, from anywhere in it with the same chance.

    Args:
        images: [B,H,W,C], any dtype.
        keys: PRNG keys [B], one for each image, on which alone its part depends.
        size: (height, width), not larger than the images'.
        multiple: parts begin at multiples of it.

    Returns:
        [B,height,width,C].

    Raises:
        DataError: for a size beyond the images', or keys that do not fit.
    """
    margins = [margin // multiple for margin in _margins(images, size)]
    _check_keys("random_crop", images, keys)

    def crop(image: jax.Array, key: jax.Array) -> jax.Array:
        start = multiple * jax.random.randint(key, (2,), 0, jnp.array(margins) + 1)
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), (*size, image.shape[-1]))

    return jax.vmap(crop)(images, keys)


def pad(images: jax.Array, size: tuple[int, int], *, value: float = -1.0) -> jax.Array:
    """Images [...,H,W,C] in the middle of larger ones, (height, width), of a value (-1 is black)."""
    missing = [n - m for n, m in zip(size, images.shape[-3:-1], strict=True)]
    if min(missing) < 0:
        raise DataError(f"{size} is smaller than images {images.shape[-3:-1]}; expected it larger, or crop.")
    widths = [(m // 2, m - m // 2) for m in missing]
    return jnp.pad(images, [(0, 0)] * (images.ndim - 3) + [*widths, (0, 0)], constant_values=value)


def resize(images: jax.Array, size: tuple[int, int], *, filter: str = "cubic") -> jax.Array:
    """Images [...,H,W,C], floats, at another size; smaller ones are antialiased.

    Args:
        images: floats.
        size: (height, width).
        filter: 'linear', 'cubic' (Keys, a = -0.5), 'lanczos3', 'lanczos5', or 'nearest'.

    Raises:
        DataError: for another dtype.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise DataError(f"resize was given {images.dtype}, expected floats; see to_float.")
    return jax.image.resize(images, (*images.shape[:-3], *size, images.shape[-1]), filter, antialias=True)


def downscale(images: jax.Array, factor: int, *, filter: str = "cubic") -> jax.Array:
    """Images [...,H,W,C], floats, at 1/factor of the size: low-resolution inputs, made on the fly.

    With 'cubic' this is what the super-resolution literature calls bicubic (MATLAB's imresize), but for
    the edges, which are not mirrored here.

    Raises:
        DataError: for a factor that does not divide the sides.
    """
    height, width = images.shape[-3:-1]
    if factor < 1 or height % factor or width % factor:
        raise DataError(
            f"downscale was given {height}x{width} images and the factor {factor}, which must divide."
        )
    return resize(images, (height // factor, width // factor), filter=filter)


def _check_keys(name: str, images: jax.Array, keys: jax.Array) -> None:
    if images.ndim != 4 or keys.shape[:1] != images.shape[:1]:
        raise DataError(
            f"{name} was given images {images.shape} and keys {keys.shape}, expected [B,H,W,C] and [B]: one "
            "key for each image, such as jax.random.split(key, B)."
        )


def _margins(images: Any, size: tuple[int, int]) -> tuple[int, int]:
    height, width = (m - n for m, n in zip(images.shape[-3:-1], size, strict=True))
    if min(height, width) < 0 or min(size) < 1:
        raise DataError(f"A crop of {size} was asked of images {images.shape[-3:-1]}; expected it smaller.")
    return height, width
