"""What is put onto or taken from an image: gains of frequency bands, noise, cut-out rectangles.

Functions of one image [H,W,C], float; `make_augment` maps them over a batch.
Source: Karras et al. 2020 (limited data), appendix B; Zhao et al. 2020 (DiffAugment) for `random_square`.
"""

import jax
import jax.numpy as jnp

from jaxgan.augment.draws import draw
from jaxgan.augment.geometry import along, reflect, tap_matrix

# H(z) H(1/z) / 2 of sym2, the low-pass of a two-channel filter bank; what it leaves out is the high-pass.
HALF_BAND = tuple(tap / 32 for tap in (-1, 0, 9, 16, 9, 0, -1))
POWER = tuple(power / 13 for power in (10, 1, 1, 1))  # expected in each band: Karras et al. 2020, appendix B


def random_amplify(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Each of four frequency bands amplified with probability p, at equal expected power.

    Source: Karras et al. 2020, appendix B, image-space filtering: gains 2^N(0, 1), then divided by the
    root of the power that they leave in an image of spectrum 1/f.
    """
    coins, _, normal = draw(key, [p] * 4)
    gains = band_gains(jnp.where(coins, normal[:, 0], 0.0))
    return jnp.where(coins.any(), amplify(image, gains), image)


def band_gains(octaves: jax.Array) -> jax.Array:
    """Gains [4] that amplify band after band by 2^octaves [4], and after each restore the expected power."""
    single = 1.0 + jnp.eye(4) * (2.0**octaves - 1.0)  # [which is amplified, band]
    power = jnp.sum(jnp.array(POWER) * single**2, axis=-1, keepdims=True)
    return jnp.prod(single / jnp.sqrt(power), axis=0)


def amplify(image: jax.Array, gains: jax.Array) -> jax.Array:
    """The image [H,W,C] with its four bands, from [0, pi/8] to [pi/2, pi], times gains [4].

    Along each axis in turn, mirrored at the outermost pixels. Source: Karras et al. 2020, appendix B:
    the bands of an orthogonal filter bank of sym2, whose sum is the image.
    """
    for axis in (0, 1):
        size = image.shape[axis]
        # The low-passes are symmetric, so that a mirrored signal stays one, and matrices may be multiplied.
        low = [jnp.eye(size, dtype=image.dtype)]
        for spread in (1, 2, 4):
            taps = jnp.broadcast_to(jnp.array(HALF_BAND, image.dtype), (size, len(HALF_BAND)))
            reach = jnp.arange(size)[:, None] + spread * (jnp.arange(len(HALF_BAND)) - len(HALF_BAND) // 2)
            matrix = tap_matrix(reflect(reach, size), taps, size)
            low.append(jnp.matmul(matrix, low[-1], precision="highest"))
        bands = jnp.stack([low[3], low[2] - low[3], low[1] - low[2], low[0] - low[1]])
        image = along(jnp.tensordot(gains.astype(image.dtype), bands, 1, precision="highest"), image, axis)
    return image


def random_noise(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Normal noise on every channel of every pixel with probability p.

    Source: Karras et al. 2020, appendix B, image-space corruptions: its deviation is |N(0, 0.1^2)|.
    """
    choice_key, noise_key = jax.random.split(key)
    coins, _, normal = draw(choice_key, [p])
    noise = jax.random.normal(noise_key, image.shape, jnp.float32)
    noisy = image + 0.1 * jnp.abs(normal[0, 0]) * noise
    return jnp.where(coins[0], noisy, image)


def random_cutout(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """A rectangle of half the size a side, its centre anywhere, set to 0 (grey) with probability p.

    Source: Karras et al. 2020, appendix B, image-space corruptions.
    """
    coins, uniform, _ = draw(key, [p])
    sizes = jnp.array(image.shape[:2], jnp.float32)
    first = jnp.round((uniform[0] - 0.25) * sizes)
    end = jnp.round((uniform[0] + 0.25) * sizes)
    return jnp.where(coins[0], cut(image, first, end), image)


def random_square(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """As `random_cutout`, of a fixed number of pixels about a whole pixel.

    Source: Zhao et al. 2020 (DiffAugment): a random square of half the image's size, here of half its
    height and half its width.
    """
    coins, uniform, _ = draw(key, [p])
    sizes = jnp.array(image.shape[:2], jnp.float32)
    length = jnp.ceil(sizes / 2.0)
    first = jnp.floor(uniform[0] * sizes) - jnp.floor(length / 2.0)
    return jnp.where(coins[0], cut(image, first, first + length), image)


def cut(image: jax.Array, first: jax.Array, end: jax.Array) -> jax.Array:
    """The image [H,W,C], 0 in the rows and columns from first [2] up to, without, end [2]."""
    inside = [
        (jnp.arange(size) >= first[axis]) & (jnp.arange(size) < end[axis])
        for axis, size in enumerate(image.shape[:2])
    ]
    return jnp.where(inside[0][:, None, None] & inside[1][None, :, None], 0.0, image)
