"""Convolutions of images, strided, transposed and grouped, and resampling by finite filters.

All are differentiable to any order in reverse mode. `jaxgan.models.bilinear` has what the convolutions are
made of; a filter is a sum of shifted images, whose derivative XLA makes as fast as itself.
"""

import math

import jax
import jax.numpy as jnp

from jaxgan.models import bilinear
from jaxgan.models.bilinear import Grid, Padding


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
      ValueError: channels that do not divide by groups or do not fit the kernel, images smaller than it.
    """
    padding = same(kernel) if padding is None else padding
    _check(images, kernel, groups)
    height, width = _reach(images.shape[1:3], kernel, padding)
    if height < 0 or width < 0:
        raise ValueError(
            f"Images {images.shape} with padding {padding} are smaller than the kernel {kernel.shape}; "
            "give larger images, or more padding."
        )
    geometry = bilinear.Geometry(stride, padding, groups, _pair(kernel.shape), _pair(images.shape[1:]))
    return bilinear.down(geometry, images, kernel)


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
      ValueError: channels that do not divide by groups or do not fit the kernel, images smaller than it.
    """
    _check(images, kernel, groups)
    height, width = images.shape[1:3]
    spread = ((height - 1) * stride + 1, (width - 1) * stride + 1)
    grid = tuple(reach + 1 for reach in _reach(spread, kernel, padding))
    if min(grid) < 1:
        raise ValueError(
            f"Images {images.shape}, spread out to {spread}, with padding {padding} are smaller than the "
            f"kernel {kernel.shape}; give larger images, or more padding."
        )
    taps = _pair(kernel.shape)
    (top, bottom), (left, right) = padding
    h, w = taps[0] - 1, taps[1] - 1
    geometry = bilinear.Geometry(
        stride, ((h - top, h - bottom), (w - left, w - right)), groups, taps, _pair(grid)
    )
    return bilinear.up(geometry, images, _turned(kernel, groups))


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

    Raises:
      ValueError: images smaller than the filter.
    """
    for axis, pad in zip((1, 2), padding, strict=True):
        images = _resample_axis(images, axis, taps=taps, up=up, down=down, padding=pad)
    return images


def same(kernel: jax.Array) -> Padding:
    """The padding that keeps a grid at stride 1."""
    height, width = kernel.shape[:2]
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)


def _check(images: jax.Array, kernel: jax.Array, groups: int) -> None:
    if images.ndim != 4 or kernel.ndim != 4 or images.dtype != kernel.dtype:
        raise ValueError(
            f"Images are {images.dtype} {images.shape} and the kernel is {kernel.dtype} {kernel.shape}; "
            "expected [B,H,W,I] and [h,w,I/groups,O] of one dtype."
        )
    if images.shape[3] != kernel.shape[2] * groups or kernel.shape[3] % groups:
        raise ValueError(
            f"Images {images.shape} and a kernel {kernel.shape} do not fit in {groups} groups; expected "
            "[B,H,W,I] and [h,w,I/groups,O], I and O multiples of groups."
        )


def _reach(grid: tuple[int, ...], kernel: jax.Array, padding: Padding) -> tuple[int, ...]:
    """How far a kernel can move over a padded grid; less than 0: it does not fit."""
    return tuple(n + sum(pad) - k for n, pad, k in zip(grid, padding, kernel.shape, strict=False))


def _pair(shape: tuple[int, ...]) -> Grid:
    return shape[0], shape[1]


def _turned(kernel: jax.Array, groups: int) -> jax.Array:
    """[h,w,I/groups,O] -> [h,w,O/groups,I]: the kernel of the transposed convolution, at stride 1."""
    h, w, i, o = kernel.shape
    kernel = kernel[::-1, ::-1].reshape(h, w, i, groups, o // groups)
    return kernel.transpose(0, 1, 4, 3, 2).reshape(h, w, o // groups, groups * i)


def _resample_axis(
    images: jax.Array, axis: int, *, taps: tuple[float, ...], up: int, down: int, padding: tuple[int, int]
) -> jax.Array:
    """`resample` along one axis, without a product with one of the zeros between pixels.

    Results m of one remainder r by up / gcd, a phase, see pixels with the same taps t, those for which
    m down + t - padding is a multiple of up; phases are interleaved.
    """
    size = (images.shape[axis] * up + sum(padding) - len(taps)) // down + 1
    if size < 1:
        raise ValueError(
            f"Images {images.shape}, spread out by {up}, with padding {padding} are smaller than the filter, "
            f"{len(taps)} taps; give larger images, or more padding."
        )
    phases = up // math.gcd(up, down)
    step, count = phases * down // up, -(-size // phases)
    zero = jnp.zeros((), images.dtype)

    def seen(offset: int) -> jax.Array:
        """Pixels offset, offset + step and so on, `count` of them; zeros where there are none."""
        last = offset + (count - 1) * step
        edges = [(0, 0, 0)] * images.ndim
        edges[axis] = (-offset, last + 1 - images.shape[axis], 0)
        return jax.lax.slice_in_dim(jax.lax.pad(images, zero, edges), 0, None, step, axis)

    def phase(remainder: int) -> jax.Array:
        start = remainder * down - padding[0]
        terms = [tap * seen((start + t) // up) for t, tap in enumerate(taps) if (start + t) % up == 0]
        return sum(terms, jnp.zeros_like(seen(0)))

    out = jnp.stack([phase(r) for r in range(phases)], axis=axis + 1)
    shape = list(images.shape)
    shape[axis] = phases * count
    return jax.lax.slice_in_dim(out.reshape(shape), 0, size, axis=axis)
