"""Where pixels come from: flips, turns, shifts, and one affine map between low-passes.

Functions of one image [H,W,C], float, of any size and aspect; `make_augment` maps them over a batch.
Source: Karras et al. 2020 (limited data), appendix B; Zhao et al. 2020 (DiffAugment) for `random_translate`.
"""

import jax
import jax.numpy as jnp

from jaxgan.augment.draws import draw

# Low-passes that make twice and half the samples: the two symmetric factors, flat to 1 % below pi/4, of the
# shortest half-band filter with 14 zeros at pi, 8 of them in the first (Cohen, Daubechies & Feauveau
# 1992, section 6). From the outermost tap to the middle one; each sums to 1.
DOUBLING = (
    0.001349747865012655, -0.001353604703004441, -0.01201419666708348, 0.008439012039808296,
    0.03516647330653814, -0.05463331368252564, -0.06650990062485847, 0.2975479063457218, 0.5840157522407823,
)  # fmt: skip
HALVING = (
    0.01020092218703835, 0.01023007081935855, -0.05566486077998765, -0.0285444717151794, 0.2954639385929493,
    0.5366288017916417,
)  # fmt: skip
REACH = len(HALVING) - 1  # samples on either side of a pixel that the second asks for


def random_blit(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Flip left to right, turns by 90 degrees, whole-pixel translation, each with probability p.

    As in the paper, a chosen flip is made in 1 of 2 cases, and a chosen turn is by 0, 90, 180 or 270 degrees.
    Departures: images that are not square are turned by 0 or 180 degrees only; pixels are copied here and
    now, rather than joined with `random_warp` into one map, so what is mirrored at the border differs.

    Source: Karras et al. 2020, appendix B, pixel blitting: translation uniform within 1/8 of the size.
    """
    height, width, _ = image.shape
    coins, uniform, _ = draw(key, [p] * 3)
    steps = 4 if height == width else 2
    turns = jnp.floor(uniform[1, 0] * steps).astype(jnp.int32) * (4 // steps)
    share = (2.0 * uniform[2] - 1.0) * 0.125
    shift = jnp.round(share * jnp.array([height, width], jnp.float32)).astype(jnp.int32)
    flip = coins[0] & (uniform[0, 0] < 0.5)
    moved = blit(image, flip=flip, turns=jnp.where(coins[1], turns, 0), shift=jnp.where(coins[2], shift, 0))
    return jnp.where(coins.any(), moved, image)


def blit(image: jax.Array, *, flip: jax.Array, turns: jax.Array, shift: jax.Array) -> jax.Array:
    """The image mirrored left to right if `flip`, turned as by `np.rot90`, moved by (down, right) pixels.

    Args:
      image: [H,W,C]; what is moved in from beyond the border is mirrored at the outermost pixels.
      flip: [], bool.
      turns: [], int32, 0 to 3 quarter turns against the clock; even unless H == W.
      shift: [2], int32.
    """
    height, width, _ = image.shape
    image = jnp.where(flip, image[:, ::-1], image)
    if height == width:
        image = jnp.where(turns % 2 == 1, image.swapaxes(0, 1), image)
    rows = reflect(jnp.arange(height) - shift[0], height)
    columns = reflect(jnp.arange(width) - shift[1], width)
    rows = jnp.where((turns == 1) | (turns == 2), height - 1 - rows, rows)
    columns = jnp.where((turns == 2) | (turns == 3), width - 1 - columns, columns)
    return _pick(image, rows, columns)


def random_translate(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """A translation by whole pixels with probability p, zeros (grey) moved in from beyond the border.

    Source: Zhao et al. 2020 (DiffAugment): uniform within 1/8 of the size.
    """
    coins, uniform, _ = draw(key, [p])
    sizes = jnp.array(image.shape[:2], jnp.float32)
    most = jnp.round(sizes * 0.125)
    shift = (jnp.floor(uniform[0] * (2.0 * most + 1.0)) - most).astype(jnp.int32)
    return jnp.where(coins[0], translate(image, shift), image)


def translate(image: jax.Array, shift: jax.Array) -> jax.Array:
    """The image [H,W,C] moved by (down, right) pixels, [2] int32, zeros beyond its border."""
    height, width, _ = image.shape
    return _pick(image, jnp.arange(height) - shift[0], jnp.arange(width) - shift[1])


def random_warp(image: jax.Array, key: jax.Array, p: jax.Array | float) -> jax.Array:
    """Scaling, rotation, stretching, a second rotation and translation, each at random, as one map.

    Scaling, stretching and translation have probability p; so have the two rotations together.

    Source: Karras et al. 2020, appendix B, general geometric transformations: scale and stretch
    2^N(0, 0.2^2), angles uniform, translation N(0, 0.125^2) of the size, 1 - sqrt(1 - p) a rotation.
    """
    height, width, _ = image.shape
    rotation = 1.0 - jnp.sqrt(1.0 - jnp.asarray(p, jnp.float32))
    coins, uniform, normal = draw(key, [p, rotation, p, rotation, p])
    scale = jnp.where(coins[0], 2.0 ** (0.2 * normal[0, 0]), 1.0)
    before = jnp.where(coins[1], (2.0 * uniform[1, 0] - 1.0) * jnp.pi, 0.0)
    stretch = jnp.where(coins[2], 2.0 ** (0.2 * normal[2, 0]), 1.0)
    after = jnp.where(coins[3], (2.0 * uniform[3, 0] - 1.0) * jnp.pi, 0.0)
    shift = jnp.where(coins[4], 0.125 * normal[4] * jnp.array([height, width], jnp.float32), 0.0)
    # The image is first scaled, last moved; a pixel is read where all of that undone leads.
    stretched = jnp.stack([stretch, 1.0 / stretch])
    undo = jnp.einsum("ij,j,jk->ik", rotate(-before), stretched, rotate(-after), precision="highest") / scale
    return jnp.where(coins.any(), warp(image, undo, shift), image)


def rotate(angle: jax.Array) -> jax.Array:
    """The matrix [2,2] on (down, right) that turns against the clock, as seen, by radians []."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])


def warp(image: jax.Array, undo: jax.Array, shift: jax.Array) -> jax.Array:
    """An affine map of the image about its centre: the value at x is read at undo (x - shift).

    The image is doubled by a low-pass, read by bilinear interpolation at every half pixel of the result,
    and halved by the matching low-pass: the identity reproduces it, and what a shrunk image cannot show is
    damped before it aliases (at 3/4 of the size or less, a checkerboard to under 5 % of its contrast,
    stripes of single pixels to about 20 %, which is what bilinear interpolation lets through).

    Args:
      image: [H,W,C], float32 or float64. Beyond its border it is mirrored at its outermost pixels.
      undo: [2,2], on (down, right).
      shift: [2], (down, right) in pixels.

    Source: Karras et al. 2020, appendix B, pseudocode. Departure: they take sym6, which is orthogonal and
    hence not symmetric; symmetric filters leave a turned image in its place, and a mirrored image
    mirrored, so that reading positions can be folded back into the image and no padding is needed.
    """
    height, width, channels = image.shape
    fine = _double(_double(image, 0), 1)
    # Every sample of the doubled result that the halving will ask for, in pixels from the centre.
    down, right = (
        jnp.arange(-REACH, 2 * size - 1 + REACH) / 2.0 - (size - 1) / 2.0 - offset
        for size, offset in zip((height, width), shift, strict=True)
    )
    down, right = down[:, None], right[None, :]
    y, y_share = _locate(undo[0, 0] * down + undo[0, 1] * right, height)
    x, x_share = _locate(undo[1, 0] * down + undo[1, 1] * right, width)
    pixels = fine.reshape(-1, channels)

    def read(index: jax.Array) -> jax.Array:
        return pixels.at[index].get(mode="promise_in_bounds")

    # Four gathers, which XLA fuses with what follows, cost less than one of 2x2 squares.
    corner = y * (2 * width) + x
    upper = (1.0 - x_share) * read(corner) + x_share * read(corner + 1)
    lower = (1.0 - x_share) * read(corner + 2 * width) + x_share * read(corner + 2 * width + 1)
    return _halve(_halve((1.0 - y_share) * upper + y_share * lower, 1), 0).astype(image.dtype)


def reflect(positions: jax.Array, size: int) -> jax.Array:
    """Positions, whole or not, folded into [0, size - 1] as if mirrors stood at the outermost pixels."""
    period = 2 * max(size - 1, 1)
    nearest = period * jnp.round(positions / period).astype(positions.dtype)
    return jnp.minimum(jnp.abs(positions - nearest), size - 1)


def tap_matrix(positions: jax.Array, taps: jax.Array, size: int) -> jax.Array:
    """The matrix [N,size] of a filter: row n weighs `size` samples by taps[n,k] at positions[n,k]."""
    return jnp.sum(taps[..., None] * jax.nn.one_hot(positions, size, dtype=taps.dtype), axis=1)


def along(matrix: jax.Array, image: jax.Array, axis: int) -> jax.Array:
    """A matrix [N,M] applied along the first axis of [M,W,C], or along the second of [H,M,C]."""
    form = ("nm,mwc->nwc", "nm,hmc->hnc")[axis]
    return jnp.einsum(form, matrix, image, precision="highest")


def _pick(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """image[rows][:, columns], zeros where out of range: products with 0 and 1, exact and no gather."""
    height, width, _ = image.shape
    picked = along(jax.nn.one_hot(rows, height, dtype=image.dtype), image, 0)
    return along(jax.nn.one_hot(columns, width, dtype=image.dtype), picked, 1)


def _double(image: jax.Array, axis: int) -> jax.Array:
    """From N samples to 2N along an axis, pixel i at 2i: zeros between pixels, then DOUBLING."""
    size = image.shape[axis]
    taps = 2.0 * jnp.array(DOUBLING + DOUBLING[-2::-1], image.dtype)
    reach = jnp.arange(2 * size)[:, None] + jnp.arange(len(taps)) - len(taps) // 2
    matrix = tap_matrix(reflect(reach // 2, size), jnp.where(reach % 2 == 0, taps, 0.0), size)
    return along(matrix, image, axis)


def _halve(image: jax.Array, axis: int) -> jax.Array:
    """From 2N - 1 samples and REACH more at either end to N along an axis: HALVING, then every second."""
    samples = image.shape[axis]
    taps = jnp.array(HALVING + HALVING[-2::-1], image.dtype)
    size = (samples + 1) // 2 - REACH
    reach = 2 * jnp.arange(size)[:, None] + jnp.arange(len(taps))
    return along(tap_matrix(reach, jnp.broadcast_to(taps, reach.shape), samples), image, axis)


def _locate(offsets: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Pixels from the centre -> the sample of the doubled image before them, and the share of the next."""
    position = 2.0 * reflect(offsets + (size - 1) / 2.0, size)
    before = jnp.floor(position)  # at most 2 size - 2, and one more sample follows
    return before.astype(jnp.int32), (position - before)[..., None]
