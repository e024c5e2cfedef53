"""Convolutions of images, strided, transposed and grouped, and resampling by finite filters.

Every operation is differentiable twice and more.
"""

import jax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right)), 0 or more
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: Padding | None = None, groups: int = 1
) -> jax.Array:
    """Convolution, without flipping: [B,H,W,I], [h,w,I/groups,O] -> [B,H',W',O].

    Args:
      images: any float dtype.
      kernel: of the same dtype.
      stride: pixels from one place of the kernel to the next, in both directions.
      padding: zeros around the images; None: what keeps the grid at stride 1, (h - 1) // 2 before and
        h // 2 after, and of as many columns.
      groups: parts that channels are cut into, in and out; each part of O sees its part of I.

    Returns:
      What `lax.conv_general_dilated` computes, H' = (H + padding - h) // stride + 1.

    Raises:
      ValueError: channels that do not divide by groups, or do not fit the kernel.
    """
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        same(kernel) if padding is None else padding,
        dimension_numbers=DIMENSIONS,
        feature_group_count=groups,
    )


def convolve_transposed(
    images: jax.Array, kernel: jax.Array, *, stride: int, padding: Padding, groups: int = 1
) -> jax.Array:
    """Convolution of images spread out by zeros: [B,H,W,I], [h,w,I/groups,O] -> [B,H',W',O].

    Args:
      images: any float dtype.
      kernel: of the same dtype.
      stride: pixels from one of the images' to the next, between which zeros lie.
      padding: zeros around the images once spread out.
      groups: parts that channels are cut into, in and out.

    Returns:
      What `lax.conv_general_dilated` computes with `lhs_dilation`, H' = (H - 1) stride + 1 + padding - h + 1.

    Raises:
      ValueError: channels that do not divide by groups, or do not fit the kernel.
    """
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        padding,
        lhs_dilation=(stride, stride),
        dimension_numbers=DIMENSIONS,
        feature_group_count=groups,
    )


def resample(
    images: jax.Array, taps: tuple[float, ...], *, up: int = 1, down: int = 1, padding: Padding
) -> jax.Array:
    """Spreads images out by zeros, filters each channel, takes every `down`-th pixel.

    Args:
      images: [B,H,W,C], any float dtype.
      taps: of the filter, the same along rows and columns, n of them; it is taken as a correlation.
      up: pixels from one of the images' to the next, between which zeros lie; the last one is followed by
        as many zeros as the others.
      down: of the filtered pixels, every so many-th is kept, from the first.
      padding: zeros around the images once spread out.

    Returns:
      [B,H',W',C], H' = (H up + padding - n) // down + 1.
    """
    channels = images.shape[-1]
    line = jnp.asarray(taps, images.dtype)
    kernel = jnp.tile((line[:, None] * line)[:, :, None, None], (1, 1, 1, channels))
    (top, bottom), (left, right) = padding
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (down, down),
        ((top, bottom + up - 1), (left, right + up - 1)),
        lhs_dilation=(up, up),
        dimension_numbers=DIMENSIONS,
        feature_group_count=channels,
    )


def same(kernel: jax.Array) -> Padding:
    """The padding that keeps a grid at stride 1."""
    height, width = kernel.shape[:2]
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
