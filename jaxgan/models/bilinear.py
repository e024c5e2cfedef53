"""The bilinear operations behind convolutions, fast on CPU too and differentiable to any order.

With fine images x, a kernel k and coarse images y, one sum of products of the three,

    sum over places i, taps p of  y[i] k[p] x[stride i + p - padding],

has three derivatives: `down` (with respect to y: the convolution), `up` (x: the transposed one) and
`weigh` (k: the kernel's gradient). Each takes the two other factors, so the derivatives of each are the two
others. XLA's own are convolutions whose inputs or kernels are spread out by zeros, on which its CPU backend
crawls, the more the higher the order, and on groups most of all. There, groups go one by one and

- at stride 1, all three are XLA's, of which none is spread out;
- `down` of other strides is a convolution too, `up` of them products of matrices, whose results are summed
  where they overlap; kernels of one pixel are one product;
- `weigh` is products with patches, or with blocks of pixels where a few cover the kernel.

Everywhere else they are what XLA has. Not defined are forward-mode derivatives (`jax.jvp`), and gradients of
replicated kernels under `jax.shard_map` with `check_vma=True`, which `jaxgan.updates` forgoes too; and second
derivatives through a `jax.lax.scan`, which JAX 0.10 refuses (those inside one are fine).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))
Grid = tuple[int, int]  # (height, width)
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Measured on two cores: channels of fine images up to which, and columns of coarse ones below which, blocks
# of pixels cost more than they save.
NARROW, WIDE = 32, 8


class Geometry(NamedTuple):
    """What the three operations have in common, beside the arrays.

    Attributes:
      stride: fine pixels from one coarse pixel to the next.
      padding: zeros around the fine images; less than 0 crops them.
      groups: parts that channels are cut into.
      taps: (h, w) of the kernel.
      grid: (H, W) of the fine images.
    """

    stride: int
    padding: Padding
    groups: int
    taps: Grid
    grid: Grid

    @property
    def dense(self) -> bool:
        """Neighbouring places of the kernel overlap in all but a row or column of it."""
        return self.stride == 1 and self.taps != (1, 1)

    @property
    def whole(self) -> bool:
        """The kernel is some blocks of stride x stride pixels, each more than one."""
        return self.stride > 1 and all(size % self.stride == 0 for size in self.taps)


# The three operations, each the others' derivative


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def down(geometry: Geometry, fine: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B,H,W,I], [h,w,I/groups,O] -> [B,H',W',O]."""
    return _by_platform(_product_down, _native_down, geometry, fine, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def up(geometry: Geometry, coarse: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B,H',W',O], [h,w,I/groups,O] -> [B,H,W,I]."""
    return _by_platform(_product_up, _native_up, geometry, coarse, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def weigh(geometry: Geometry, fine: jax.Array, coarse: jax.Array) -> jax.Array:
    """[B,H,W,I], [B,H',W',O] -> [h,w,I/groups,O]."""
    return _by_platform(_product_weigh, _native_weigh, geometry, fine, coarse)


def _define(operation: Any, first: Callable, second: Callable) -> None:
    """What the two derivatives of an operation are, given its inputs and the output's cotangent."""
    operation.defvjp(
        lambda geometry, *inputs: (operation(geometry, *inputs), inputs),
        lambda geometry, inputs, out: (first(geometry, *inputs, out), second(geometry, *inputs, out)),
    )


_define(down, lambda g, x, k, out: up(g, out, k), lambda g, x, k, out: weigh(g, x, out))
_define(up, lambda g, y, k, out: down(g, out, k), lambda g, y, k, out: weigh(g, out, y))
_define(weigh, lambda g, x, y, out: up(g, y, out), lambda g, x, y, out: down(g, x, out))


def _by_platform(
    product: Callable, native: Callable, geometry: Geometry, first: jax.Array, second: jax.Array
) -> jax.Array:
    """On CPU, `product` of each group: channels are last in all factors and results; elsewhere `native`."""

    def by_group(*factors: jax.Array) -> jax.Array:
        parts = zip(*(jnp.split(factor, geometry.groups, axis=-1) for factor in factors), strict=True)
        return jnp.concatenate([product(geometry._replace(groups=1), *part) for part in parts], axis=-1)

    return jax.lax.platform_dependent(first, second, cpu=by_group, default=partial(native, geometry))


# As XLA has them


def _native_down(geometry: Geometry, fine: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        fine,
        kernel,
        (geometry.stride, geometry.stride),
        geometry.padding,
        dimension_numbers=DIMENSIONS,
        feature_group_count=geometry.groups,
    )


def _native_up(geometry: Geometry, coarse: jax.Array, kernel: jax.Array) -> jax.Array:
    shape = len(coarse), *geometry.grid, kernel.shape[2] * geometry.groups
    like = jax.ShapeDtypeStruct(shape, coarse.dtype)
    return jax.linear_transpose(lambda fine: _native_down(geometry, fine, kernel), like)(coarse)[0]


def _native_weigh(geometry: Geometry, fine: jax.Array, coarse: jax.Array) -> jax.Array:
    shape = *geometry.taps, fine.shape[3] // geometry.groups, coarse.shape[3]
    like = jax.ShapeDtypeStruct(shape, fine.dtype)
    return jax.linear_transpose(lambda kernel: _native_down(geometry, fine, kernel), like)(coarse)[0]


# On CPU, of one group


def _product_down(geometry: Geometry, fine: jax.Array, kernel: jax.Array) -> jax.Array:
    if geometry.taps != (1, 1):
        return _native_down(geometry, fine, kernel)
    (pixels,) = _patches(geometry, fine)
    # Without the barrier XLA moves reshapes of the product through what follows, in each derivative in
    # another way, and computes the same forward pass twice: R3GAN's step with its penalties is 4 % slower.
    return jax.lax.optimization_barrier(jnp.einsum("bhwi,io->bhwo", pixels, kernel[0, 0]))


def _product_up(geometry: Geometry, coarse: jax.Array, kernel: jax.Array) -> jax.Array:
    if geometry.dense:  # then XLA's is a dense convolution too
        return _native_up(geometry, coarse, kernel)
    return _fold(geometry, jnp.einsum("bhwo,pqio->bhwpqi", coarse, kernel))


def _product_weigh(geometry: Geometry, fine: jax.Array, coarse: jax.Array) -> jax.Array:
    if geometry.dense:
        return _native_weigh(geometry, fine, coarse)
    if geometry.taps == (1, 1) and fine.shape[3] > coarse.shape[3]:
        (pixels,) = _patches(geometry, fine)  # the first factor is transposed in memory: the smaller one
        return jnp.einsum("bhwo,bhwi->oi", coarse, pixels).T[None, None]
    if geometry.whole and fine.shape[3] > NARROW and coarse.shape[2] >= WIDE:
        return _weigh_blocks(geometry, fine, coarse)
    taps = [jnp.einsum("bhwi,bhwo->io", patch, coarse) for patch in _patches(geometry, fine)]
    return jnp.stack(taps).reshape(*geometry.taps, fine.shape[3], coarse.shape[3])


def _weigh_blocks(geometry: Geometry, fine: jax.Array, coarse: jax.Array) -> jax.Array:
    """`weigh` of kernels that are whole strides large: with blocks of stride x stride pixels as channels.

    Then the stride is 1, and the taps are few. Columns of taps are shifts of coarse lines, all pixels in one
    line with zeros between: of these one transposed copy is made, and of the blocks none but the lines'.
    """
    stride, (b, height, width, o), i = geometry.stride, coarse.shape, fine.shape[3]
    rows, columns = (size // stride for size in geometry.taps)
    lines, blocks = height + rows - 1, width + columns - 1
    (padded,) = _patches(geometry._replace(taps=(1, 1), stride=1), fine)
    padded = padded[:, : lines * stride, : blocks * stride].reshape(b, lines, stride, blocks, stride, i)
    pixels = jax.lax.optimization_barrier(padded.transpose(0, 1, 3, 2, 4, 5).reshape(b, lines, blocks, -1))
    line = jnp.pad(coarse, ((0, 0), (0, 0), (0, columns - 1), (0, 0))).reshape(-1, o).T
    line = jax.lax.optimization_barrier(line)  # else it is transposed again for each shift
    shifts = jnp.concatenate([jnp.pad(line, ((0, 0), (q, 0)))[:, : line.shape[1]] for q in range(columns)])
    taps = [shifts @ pixels[:, p : p + height].reshape(line.shape[1], -1) for p in range(rows)]
    kernel = jnp.stack(taps).reshape(rows, columns, o, stride, stride, i).transpose(0, 3, 1, 4, 5, 2)
    return kernel.reshape(*geometry.taps, i, o)


def _patches(geometry: Geometry, fine: jax.Array) -> Iterator[jax.Array]:
    """[B,H,W,I] -> for each tap, the pixels [B,H',W',I] that it sees."""
    edges = (0, 0, 0), *((*pad, 0) for pad in geometry.padding), (0, 0, 0)
    padded = jax.lax.pad(fine, jnp.zeros((), fine.dtype), edges)
    stride, (height, width) = geometry.stride, padded.shape[1:3]
    for p in range(geometry.taps[0]):
        for q in range(geometry.taps[1]):
            bottom, right = height - geometry.taps[0] + p + 1, width - geometry.taps[1] + q + 1
            yield padded[:, p:bottom:stride, q:right:stride]


def _fold(geometry: Geometry, patches: jax.Array) -> jax.Array:
    """[B,H',W',h,w,I] -> [B,H,W,I]: what each tap has for the pixels that it sees, summed.

    Fine pixels of one remainder by the stride, a phase, are seen by the same taps; phases are interleaved.
    """
    b, height, width, h, w, i = patches.shape
    stride, ((top, _), (left, _)) = geometry.stride, geometry.padding
    rows, columns = (-(-size // stride) for size in geometry.grid)

    def phase(row: int, column: int) -> jax.Array:
        total = jnp.zeros((b, rows, columns, i), patches.dtype)
        for p in range((row + top) % stride, h, stride):
            for q in range((column + left) % stride, w, stride):
                y, x = (p - top - row) // stride, (q - left - column) // stride
                places = (0, 0, 0), (y, rows - height - y, 0), (x, columns - width - x, 0), (0, 0, 0)
                total += jax.lax.pad(patches[:, :, :, p, q], jnp.zeros((), patches.dtype), places)
        return total

    lines = [jnp.stack([phase(y, x) for x in range(stride)], axis=3) for y in range(stride)]
    fine = jnp.stack(lines, axis=2).reshape(b, rows * stride, columns * stride, i)
    return fine[:, : geometry.grid[0], : geometry.grid[1]]
