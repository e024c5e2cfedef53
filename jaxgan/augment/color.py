"""Colour: one affine map of each pixel's channels.

Functions of one image [H,W,C], float; `make_augment` maps them over a batch.
Source: Karras et al. 2020 (limited data), appendix B; Zhao et al. 2020 (DiffAugment) for `random_jitter`.
"""

import math

import jax
import jax.numpy as jnp

from jaxgan.augment.draws import draw


def random_recolor(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Brightness, contrast, flip of luma, rotation of hue, saturation, each with probability p.

    A chosen flip is made in 1 of 2 cases.

    Source: Karras et al. 2020, appendix B, color transformations: brightness N(0, 0.2^2), contrast
    2^N(0, 0.5^2), hue uniform, saturation 2^N(0, 1).
    """
    coins, uniform, normal = draw(key, [p] * 5)
    recolored = recolor(
        image,
        brightness=jnp.where(coins[0], 0.2 * normal[0, 0], 0.0),
        contrast=jnp.where(coins[1], 2.0 ** (0.5 * normal[1, 0]), 1.0),
        flip=coins[2] & (uniform[2, 0] < 0.5),
        hue=jnp.where(coins[3], (2.0 * uniform[3, 0] - 1.0) * jnp.pi, 0.0),
        saturation=jnp.where(coins[4], 2.0 ** normal[4, 0], 1.0),
    )
    return jnp.where(coins.any(), recolored, image)


def recolor(
    image: jax.Array,
    *,
    brightness: jax.Array | float = 0.0,
    contrast: jax.Array | float = 1.0,
    flip: jax.Array | bool = False,
    hue: jax.Array | float = 0.0,
    saturation: jax.Array | float = 1.0,
) -> jax.Array:
    """The image after the five changes, in this order, as one affine map of colour.

    Three channels are RGB; of four the first three are RGB and the fourth, alpha, is left alone. With any
    other number of channels, one included, each is treated as grey: its brightness and contrast
    change, its sign flips, hue and saturation mean nothing.

    Args:
      image: [H,W,C].
      brightness: added to every channel.
      contrast: a factor on every channel.
      flip: whether lightness is mirrored at 0, hue and saturation kept.
      hue: the angle of a rotation about the grey axis, radians.
      saturation: a factor on the distance from the grey axis.
    """
    channels = image.shape[-1]
    grey = contrast * jnp.where(flip, -1.0, 1.0)
    if channels not in (3, 4):
        return (grey * (image + brightness)).astype(image.dtype)
    # All five leave the grey axis and the plane across it apart, so that their product is a
    # factor on the one, and a factor and a rotation (Rodrigues' formula) in the other.
    axis = jnp.full((3, 3), 1.0 / 3.0)
    cross = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3.0)
    plane = jnp.cos(hue) * (jnp.eye(3) - axis) + jnp.sin(hue) * cross
    matrix = grey * axis + contrast * saturation * plane
    rgb = jnp.einsum("ij,hwj->hwi", matrix, image[..., :3], precision="highest") + grey * brightness
    return jnp.concatenate([rgb.astype(image.dtype), image[..., 3:]], axis=-1)


def random_jitter(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """DiffAugment's brightness, saturation and contrast, each with probability p.

    Source: Zhao et al. 2020 (DiffAugment): brightness uniform in [-0.5, 0.5], saturation in
    [0, 2], contrast in [0.5, 1.5].
    """
    coins, uniform, _ = draw(key, [p] * 3)
    jittered = jitter(
        image,
        brightness=jnp.where(coins[0], uniform[0, 0] - 0.5, 0.0),
        saturation=jnp.where(coins[1], 2.0 * uniform[1, 0], 1.0),
        contrast=jnp.where(coins[2], uniform[2, 0] + 0.5, 1.0),
    )
    return jnp.where(coins.any(), jittered, image)


def jitter(
    image: jax.Array,
    *,
    brightness: jax.Array | float = 0.0,
    saturation: jax.Array | float = 1.0,
    contrast: jax.Array | float = 1.0,
) -> jax.Array:
    """Brightness added, then distances from each pixel's grey scaled, then those from the image's mean.

    Channels are taken as by `recolor`: three are RGB, of four the last is left alone, and elsewhere
    each is grey, with a mean of its own, where saturation means nothing.
    """
    channels = image.shape[-1]
    if channels not in (3, 4):
        mean = jnp.mean(image, axis=(0, 1))
        return (mean + brightness + (image - mean) * contrast).astype(image.dtype)
    rgb = image[..., :3] + brightness
    grey = jnp.mean(rgb, axis=-1, keepdims=True)
    rgb = grey + (rgb - grey) * saturation
    mean = jnp.mean(rgb)
    rgb = mean + (rgb - mean) * contrast
    return jnp.concatenate([rgb.astype(image.dtype), image[..., 3:]], axis=-1)
