"""Who is near whom among features: precision, recall, density, coverage, realism.

Distances are Euclidean and worked out a tile at a time, so that memory is that of the features and of a few
tiles, whatever the numbers of images: no array of all pairs is ever made. By default the arithmetic is
float64, and distances are then rounded to the dtype of the features: those of float32 ones tie where they
agree in seven digits, so that results do not depend on tiles, the order of images, or the device. Vectors
that the arithmetic cannot tell apart, whose squared distance is below 32 eps of their squared lengths, are at
distance 0, as duplicates are.

`arithmetic=np.float32` is for devices that are slow in float64. Squared distances then have errors of up to
1e-6 of the squared lengths (of features less the mean of all), vectors nearer than 0.3% of their lengths are
one, and a few pairs in a million may fall on the other side of a radius.

Features are NumPy or JAX arrays [N,D], float32 or float64. ValueErrors are raised for other shapes and
dtypes, for two D, for numbers that are not finite, and for a k without as many neighbours.
"""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

TILE = 2048  # images on a side: a tile of float64 is 34 MB
SAME = 32  # eps of squared lengths, below which squared distances are rounding alone


class Neighbours(NamedTuple):
    """The k nearest points of each sample, the nearest first; of equal ones, the one that is listed first.

    Attributes:
      distances: [M,k], of the features' dtype.
      indices: [M,k] int32, of points.
    """

    distances: np.ndarray
    indices: np.ndarray


class Manifold(NamedTuple):
    """What a set of features covers: a ball around each, up to its k-th nearest neighbour in the set.

    Attributes:
      features: [N,D].
      distances: [N,K] to the K nearest others, the nearest first; they serve every k up to K.
    """

    features: np.ndarray
    distances: np.ndarray

    def radii(self, k: int) -> np.ndarray:
        """The balls' radii, [N]; 0 for one of more than k duplicates. A k beyond K raises a ValueError."""
        _check_k(k, self.distances.shape[1], "neighbours in this manifold, which was made for no more")
        return self.distances[:, k - 1]


class Overlap(NamedTuple):
    """Which samples lie in the other set's manifold.

    Attributes:
      precise: [M] bool: the fake is in some real's ball, its boundary included.
      recalled: [N] bool: the real is in some fake's ball, its boundary included.
      holders: [M] int: how many reals' balls the fake is in, their boundaries not included.
      covered: [N] bool: the real's ball holds some fake, not on its boundary.
      k: of the balls.
    """

    precise: np.ndarray
    recalled: np.ndarray
    holders: np.ndarray
    covered: np.ndarray
    k: int

    @property
    def precision(self) -> float:
        """The share of fakes in the manifold of reals, in [0, 1]."""
        return float(np.mean(self.precise))

    @property
    def recall(self) -> float:
        """The share of reals in the manifold of fakes, in [0, 1]."""
        return float(np.mean(self.recalled))

    @property
    def density(self) -> float:
        """How many reals' balls a fake is in, on average, by k: 1 for equal distributions, and no bound."""
        return float(np.mean(self.holders)) / self.k

    @property
    def coverage(self) -> float:
        """The share of reals' balls that hold a fake, in [0, 1]."""
        return float(np.mean(self.covered))


def _in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with 64 bits allowed within it."""

    @wraps(function)
    def wide(*args: Any, **kwargs: Any) -> Any:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return wide


def nearest(
    samples: ArrayLike, points: ArrayLike, *, k: int = 1, arithmetic: type = np.float64
) -> Neighbours:
    """Each sample's k nearest points, as a generated image's nearest training images.

    Args:
      samples: [M,D].
      points: [N,D]; a sample that is one of them is its own nearest.
      k: from 1 to N.
      arithmetic: np.float64, or np.float32.
    """
    samples, points = _checked(samples=samples, points=points)
    _check_k(k, len(points), "points")
    return _nearest(samples, points, k, arithmetic=arithmetic)


def manifold(features: ArrayLike, *, k: int = 5, arithmetic: type = np.float64) -> Manifold:
    """A set's manifold, for any k up to this one; that of the reals can be kept for all evaluations.

    Args:
      features: [N,D].
      k: below N, for an image is no neighbour of itself; its duplicates are.
      arithmetic: np.float64, or np.float32.
    """
    (features,) = _checked(features=features)
    _check_k(k, len(features) - 1, "other images")
    return Manifold(features, _nearest(features, features, k, within=True, arithmetic=arithmetic).distances)


@_in_float64
def overlap(real: Manifold, fake: Manifold, *, k: int, arithmetic: type = np.float64) -> Overlap:
    """Precision, recall, density and coverage, by image.

    Values depend on k and on both numbers of images: compare those of the same ones alone. Precision and
    recall are mostly given for k = 3 and 50,000 images each, density and coverage for k = 5 and 10,000. Radii
    that are 0, of reals with k duplicates or more, hold exact copies for precision and recall, and nothing
    for density and coverage. Where fakes are copies of reals, a distance can equal a radius: precision and
    recall count it, density and coverage do not, so that a set has density and coverage 1 with itself.

    Args:
      real: the manifold of N reals.
      fake: that of M fakes, with features of the same D.
      k: of the balls, in both.
      arithmetic: np.float64, or np.float32.

    Source: Kynkaanniemi et al. 2019, eq. 1 and 2 (closed balls); Naeem et al. 2020, eq. 4 and 6, with open
    balls as in its authors' code.
    """
    reals, fakes = _checked(real=real.features, fake=fake.features)
    real_radii, fake_radii = real.radii(k), fake.radii(k)
    precise, holders = np.zeros(len(fakes), bool), np.zeros(len(fakes), np.int64)
    recalled, covered = np.zeros((2, len(reals)), bool)
    for rows, columns, distances in _tiles(reals, fakes, arithmetic):
        found = _inside(distances, real_radii[rows], fake_radii[columns])
        precise[columns] |= found[0]
        recalled[rows] |= found[1]
        holders[columns] += found[2]
        covered[rows] |= found[3]
    return Overlap(precise, recalled, holders, covered, k)


@_in_float64
def realism(real: Manifold, samples: ArrayLike, *, k: int, arithmetic: type = np.float64) -> np.ndarray:
    """How near samples are to reals that lie close together, [M]: 1 and more within one of their balls.

    Reals of the larger half of all radii are left out; an exact copy of another has infinity.

    Args:
      real: the manifold of reals.
      samples: [M,D].
      k: of the balls.
      arithmetic: np.float64, or np.float32.

    Source: Kynkaanniemi et al. 2019, eq. 3.
    """
    points, samples = _checked(real=real.features, samples=samples)
    radii = real.radii(k)
    small = radii <= np.median(radii)
    points, radii = points[small], radii[small]
    scores = np.zeros(len(samples), radii.dtype)
    for rows, columns, distances in _tiles(points, samples, arithmetic):
        scores[columns] = np.maximum(scores[columns], _ratio(distances, radii[rows]))
    return scores


@_in_float64
def _nearest(
    samples: np.ndarray, points: np.ndarray, k: int, *, within: bool = False, arithmetic: type
) -> Neighbours:
    """The k nearest of each; within a set, of the others."""
    kept = np.result_type(samples, points)
    distances, indices = np.full((len(samples), k), np.inf, kept), np.zeros((len(samples), k), np.int32)
    for rows, columns, tile in _tiles(samples, points, arithmetic):
        if within:
            tile = _without_diagonal(tile, rows.start - columns.start)
        distances[rows], indices[rows] = _nearer(distances[rows], indices[rows], tile, columns.start)
    return Neighbours(distances, indices)


def _tiles(
    first: np.ndarray, second: np.ndarray, arithmetic: type
) -> Iterator[tuple[slice, slice, jax.Array]]:
    """Distances between rows of both, a tile at a time: where it lies in each, and the tile."""
    if arithmetic not in (np.float32, np.float64):
        raise ValueError(f"arithmetic is {arithmetic}, expected np.float64 or np.float32.")
    kept = np.result_type(first, second)
    centre = jnp.asarray(first.mean(axis=0, dtype=np.float64), np.promote_types(kept, arithmetic))
    for i in range(0, len(first), TILE):
        rows = slice(i, min(i + TILE, len(first)))
        here = jnp.asarray(first[rows])
        for j in range(0, len(second), TILE):
            columns = slice(j, min(j + TILE, len(second)))
            yield rows, columns, _distances(here, second[columns], centre, arithmetic, kept)


@partial(jax.jit, static_argnums=(3, 4))
def _distances(
    first: jax.Array, second: jax.Array, centre: jax.Array, arithmetic: type, kept: np.dtype
) -> jax.Array:
    """[a,D], [b,D] -> [a,b], by |x|^2 + |y|^2 - 2xy, which loses less where x and y are centred."""
    first, second = ((x.astype(centre.dtype) - centre).astype(arithmetic) for x in (first, second))
    lengths = jnp.sum(first**2, axis=1)[:, None] + jnp.sum(second**2, axis=1)
    squares = lengths - 2 * jnp.matmul(first, second.T, precision=jax.lax.Precision.HIGHEST)
    told_apart = squares > SAME * jnp.finfo(arithmetic).eps * lengths
    return jnp.sqrt(jnp.where(told_apart, squares, 0)).astype(kept)


@jax.jit
def _without_diagonal(tile: jax.Array, shift: jax.Array) -> jax.Array:
    """The tile with infinities where an image meets itself: at [i, i + shift]."""
    rows, columns = (jax.lax.broadcasted_iota(np.int32, tile.shape, axis) for axis in (0, 1))
    return jnp.where(columns == rows + shift, jnp.inf, tile)


@jax.jit
def _nearer(
    distances: jax.Array, indices: jax.Array, tile: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The nearest of those known, [a,k] each, and of a tile's [a,b], whose first column is `start`."""
    columns = jax.lax.broadcasted_iota(np.int32, tile.shape, 1) + jnp.asarray(start, np.int32)
    nearest, where = jax.lax.top_k(-jnp.concatenate([distances, tile], axis=1), distances.shape[1])
    return -nearest, jnp.take_along_axis(jnp.concatenate([indices, columns], axis=1), where, axis=1)


@jax.jit
def _inside(distances: jax.Array, real_radii: jax.Array, fake_radii: jax.Array) -> tuple[jax.Array, ...]:
    """A tile's share of an Overlap, in its order."""
    within_open = distances < real_radii[:, None]
    precise = jnp.any(distances <= real_radii[:, None], axis=0)
    recalled = jnp.any(distances <= fake_radii, axis=1)
    return precise, recalled, jnp.sum(within_open, axis=0), jnp.any(within_open, axis=1)


@jax.jit
def _ratio(distances: jax.Array, radii: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(distances == 0, jnp.inf, radii[:, None] / distances), axis=0)


def _checked(**sets: ArrayLike) -> list[np.ndarray]:
    """The features as NumPy's, if they can be measured together."""
    arrays = {name: np.asarray(features) for name, features in sets.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size or array.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"Features are [N,D], float32 or float64; {name} is {array.dtype} {list(array.shape)}. "
                "Take one vector an image, and convert it."
            )
        wrong = len(array) - np.count_nonzero(np.isfinite(array).all(axis=1))
        if wrong:
            raise ValueError(
                f"{wrong} of {len(array)} vectors of {name} are not finite; look at what made them."
            )
    if len({array.shape[1] for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ValueError(f"Features of one network are compared, got {sizes}: D differs.")
    return [*arrays.values()]


def _check_k(k: int, most: int, what: str) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"k is {k}, expected 1 or more and not beyond the {most} {what}.")
