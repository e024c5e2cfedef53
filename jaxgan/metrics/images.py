"""Images against images: PSNR, SSIM, MS-SSIM, and the luma on which super-resolution is measured.

They take pairs of images [B,H,W,C], floats in [0, peak] with any number of channels, and return one value a
pair, [B]. All are of JAX and differentiable, so that they also serve as losses. ValueErrors are raised for
two shapes, for whole numbers (convert uint8 first) and for images that are too small.
"""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np

WINDOW, SIGMA = 11, 1.5  # Wang et al. 2004, section III.C
K1, K2 = 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 4
# ITU-R BT.601 of R, G and B in [0, 255], over 255: what black is, and what each adds to it.
BLACK, RED_GREEN_BLUE = 16.0, (65.481, 128.553, 24.966)


def luma(images: jax.Array, *, peak: float) -> jax.Array:
    """The Y of colour images as MATLAB's rgb2ycbcr has it, from 16/255 to 235/255 of the peak.

    It is not rounded. Papers that convert uint8 images round it, which moves PSNR by about 0.01 dB.

    Args:
      images: [B,H,W,3], floats in [0, peak].
      peak: of white, 255 or 1.

    Returns:
      [B,H,W,1].

    Raises:
      ValueError: other numbers of channels, or whole numbers.

    Source: ITU-R BT.601, for studio levels.
    """
    if images.shape[-1:] != (3,) or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"Colour images [B,H,W,3] of floats have a luma, got {images.dtype} {list(images.shape)}; "
            "convert uint8, and measure grey ones as they are."
        )
    weights = jnp.asarray(RED_GREEN_BLUE, images.dtype) / 255
    return jnp.sum(images * weights, axis=-1, keepdims=True) + BLACK / 255 * peak


def psnr(images: jax.Array, targets: jax.Array, *, peak: float, border: int = 0) -> jax.Array:
    """The peak signal-to-noise ratio, in dB: 10 log10(peak^2 / mean squared error), over all channels.

    Of equal images it is infinite, and has no gradient there.

    Args:
      images: [B,H,W,C], floats.
      targets: of the same shape.
      peak: the largest value, 255 or 1, or the range of values: 2 for [-1, 1]. Of luma, that of the colour
        images, though luma does not reach it.
      border: pixels that are left out at each edge; super-resolution by s leaves out s.
    """
    images, targets = _pair(images, targets, border, least=1)
    return 10 * jnp.log10(peak**2 / jnp.mean((images - targets) ** 2, axis=(1, 2, 3)))


def ssim(images: jax.Array, targets: jax.Array, *, peak: float, border: int = 0) -> jax.Array:
    """Structural similarity, up to 1: the mean over pixels and channels.

    Windows are Gaussian, 11x11 with sigma 1.5, and lie within the image: 5 pixels at each edge have none and
    do not count, nothing is padded. Variances are those of the population. This is the authors' ssim_index.m
    and scikit-image's structural_similarity with gaussian_weights=True and use_sample_covariance=False.
    MATLAB's own ssim() gives windows to edges too and counts all pixels; the authors' later ssim.m first
    makes images smaller whose sides are 384 or more. Here images are measured at the size that they have.

    Args:
      images: [B,H,W,C], floats in [0, peak], 11x11 or larger. Channels are measured each by itself; papers
        measure grey images or `luma`.
      targets: of the same shape.
      peak: of white, 255 or 1.
      border: pixels that are left out at each edge before windows are laid.

    Source: Wang et al. 2004, eq. 13, with constants from section III.C.
    """
    images, targets = _pair(images, targets, border, least=WINDOW)
    luminance, structure = _lost(images, targets, peak)
    return 1 - jnp.mean(luminance + structure - luminance * structure, axis=(1, 2, 3))


def ms_ssim(images: jax.Array, targets: jax.Array, *, peak: float, border: int = 0) -> jax.Array:
    """Structural similarity at five scales, in [0, 1].

    Contrast and structure of all five and the luminance of the last, to the power of their weights; means
    over pixels that are negative count as 0. Each scale is the means of the last one's squares of 2x2 pixels.
    An odd last row or column is repeated, as by the authors' msssim.m (pytorch-msssim pads both ends with
    black).

    Args:
      images: [B,H,W,C], floats in [0, peak], 161x161 or larger, so that a window fits into the last scale.
      targets: of the same shape.
      peak: of white, 255 or 1.
      border: pixels that are left out at each edge.

    Source: Wang et al. 2003, eq. 7 and section 4. Channels are averaged.
    """
    images, targets = _pair(images, targets, border, least=(WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1)
    value = jnp.ones((), images.dtype)
    for scale, weight in enumerate(WEIGHTS, start=1):
        luminance, lost = _lost(images, targets, peak)
        if scale == len(WEIGHTS):
            lost += luminance - luminance * lost
        mean = 1 - jnp.mean(lost, axis=(1, 2))
        positive = mean > 0  # a power's derivative at 0 is infinite, and would be nan times that of a maximum
        value *= jnp.where(positive, jnp.where(positive, mean, 1) ** weight, 0)
        images, targets = _halved(images), _halved(targets)
    return jnp.mean(value, axis=-1)


def _lost(images: jax.Array, targets: jax.Array, peak: float) -> tuple[jax.Array, jax.Array]:
    """What luminance, and contrast times structure, are below 1: of [B,H,W,C], [B,H-10,W-10,C] each.

    By 2ab = a^2 + b^2 - (a - b)^2 they are quotients with squares of the difference d above. Variances are of
    values less the image's mean. Both keep images apart in float32 that are near each other.
    """
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    level_a, level_b = (jnp.mean(x, axis=(1, 2), keepdims=True) for x in (images, targets))
    a, b = images - level_a, targets - level_b
    d = a - b
    mean_b, mean_d = _blur(b), _blur(d)
    mean_a = mean_b + mean_d
    both = _blur(a**2 + b**2) - mean_a**2 - mean_b**2
    squares = (mean_a + level_a) ** 2 + (mean_b + level_b) ** 2
    luminance = (mean_d + level_a - level_b) ** 2 / (squares + c1)
    return luminance, (_blur(d**2) - mean_d**2) / (both + c2)


def _blur(images: jax.Array) -> jax.Array:
    """Gaussian means where the window fits: [B,H,W,C] -> [B,H-10,W-10,C].

    Products with banded matrices: on a CPU, at 256 pixels a side, more than ten times as fast as
    convolutions, and so are derivatives; on GPUs and TPUs of full precision.
    """
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (1, 2):
        side = images.shape[axis]
        band = sum(weight * np.eye(side, side - WINDOW + 1, -i) for i, weight in enumerate(weights))
        rows = jnp.moveaxis(images, axis, -1)
        means = jnp.matmul(rows, jnp.asarray(band, rows.dtype), precision=jax.lax.Precision.HIGHEST)
        images = jnp.moveaxis(means, -1, axis)
    return images


def _halved(images: jax.Array) -> jax.Array:
    """Means of 2x2 pixels, the last row and column repeated where they are odd."""
    count, height, width, channels = images.shape
    images = jnp.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return jnp.mean(images.reshape(count, -(-height // 2), 2, -(-width // 2), 2, channels), axis=(2, 4))


def _pair(images: jax.Array, targets: jax.Array, border: int, *, least: int) -> tuple[jax.Array, jax.Array]:
    """Both without their borders, if they can be compared."""
    if images.shape != targets.shape or images.ndim != 4 or not prod(images.shape):
        raise ValueError(
            f"Two batches [B,H,W,C] of one shape are compared, got {list(images.shape)} and "
            f"{list(targets.shape)}. A single image is images[None]."
        )
    if not all(jnp.issubdtype(x.dtype, jnp.floating) for x in (images, targets)):
        raise ValueError(
            f"Images are floats in [0, peak], got {images.dtype} and {targets.dtype}; convert them by "
            "images.astype(np.float32)."
        )
    size = [side - 2 * border for side in images.shape[1:3]]
    if border < 0 or min(size) < least:
        raise ValueError(
            f"Images of {images.shape[1]}x{images.shape[2]} with a border of {border} were given; within a "
            f"border of 0 or more the smallest that can be measured are {least}x{least}."
        )
    inside = slice(border, -border or None)
    return jnp.asarray(images)[:, inside, inside], jnp.asarray(targets)[:, inside, inside]
