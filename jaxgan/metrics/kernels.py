"""Maximum mean discrepancies between two sets of features: KID and CMMD."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.metrics.checks import check_pair

Kernel = Callable[[jax.Array, jax.Array], jax.Array]  # [n,D], [m,D] -> [n,m]
PAIRS = 2**22  # kernel values held at a time, 32 MB
SIGMA, SCALE = 10.0, 1000.0  # of CMMD: Jayasumana et al. 2024, section 5


class KernelDistance(NamedTuple):
    """A mean over random subsets.

    Attributes:
      value: the mean. Sets that are as good as the same have one around 0, so that it may be negative.
      error: its standard error, of the choice of subsets from these sets.
      deviation: of single subsets' values, over their number, as torch-fidelity prints it.
    """

    value: float
    error: float
    deviation: float


def kernel_distance(
    first: np.ndarray, second: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """The squared discrepancy under the kernel (x'y / D + 1)^3: of Inception's features it is the KID.

    Args:
      first: [N,D], float.
      second: [M,D], float.
      subsets: how many pairs of subsets.
      size: samples of each subset, 2 to the smaller of N and M.
      seed: draws the subsets as torch-fidelity does, which has this seed too: the same features in the same
        order have the same figure there.

    Raises:
      ValueError: features that are not finite or no [N,D], other dimensions, too few of them for a subset.

    Source: Binkowski et al. 2018, section 4 and eq. 4 (unbiased). Subsets and their default numbers are
    those of torch-fidelity.
    """
    check_pair(first, second)
    least = min(len(first), len(second))
    if subsets < 1 or not 2 <= size <= least:
        raise ValueError(
            f"{subsets} subsets of {size} samples were asked for, and the smaller set has {least}; "
            f"give subsets of 1 or more, and a size of 2 to {least}."
        )
    random = np.random.RandomState(seed)
    draws = []
    for _ in range(subsets):  # the first set's subset is drawn before the second's
        a, b = (x[random.choice(len(x), size, replace=False)] for x in (first, second))
        draws.append(_discrepancy(cubic, a, b, unbiased=True))
    deviation = float(np.std(draws))
    return KernelDistance(float(np.mean(draws)), deviation / max(1, subsets - 1) ** 0.5, deviation)


def kernel_distance_of_all(first: np.ndarray, second: np.ndarray) -> float:
    """The same of all pairs at once, without subsets: (N + M)^2 kernel values, in tiles.

    Args and errors are those of `kernel_distance`. Source: Binkowski et al. 2018, eq. 4.
    """
    check_pair(first, second)
    return _discrepancy(cubic, first, second, unbiased=True)


def cmmd(first: np.ndarray, second: np.ndarray) -> float:
    """1000 times the squared discrepancy under exp(-|x - y|^2 / 200), meant for features of CLIP.

    It compares whole distributions where FID compares two Gaussians, with a bias of about 1000 (1 - the mean
    of the kernel) (1/N + 1/M), which shrinks as samples grow.

    Args:
      first: [N,D], float; of CLIP, each of length 1.
      second: [M,D], float.

    Raises:
      ValueError: features that are not finite or no [N,D], other dimensions.

    Source: Jayasumana et al. 2024, section 5; pairs of a vector with itself are counted, as in the authors'
    code, not left out as in eq. 4.
    """
    check_pair(first, second)
    return SCALE * _discrepancy(gaussian, first, second, unbiased=False)


def cubic(x: jax.Array, y: jax.Array) -> jax.Array:
    """(x'y / D + 1)^3 in float64."""
    return (_products(x, y) / x.shape[1] + 1.0) ** 3


def gaussian(x: jax.Array, y: jax.Array) -> jax.Array:
    """exp(-|x - y|^2 / (2 SIGMA^2)) in float64."""
    squares = [jnp.sum(jnp.square(v.astype(jnp.float64)), axis=1) for v in (x, y)]
    distances = squares[0][:, None] + squares[1] - 2.0 * _products(x, y)
    return jnp.exp(-distances / (2.0 * SIGMA**2))


def _products(x: jax.Array, y: jax.Array) -> jax.Array:
    """Of float32 they are taken in float32, which is fast: their errors average out over the pairs."""
    return jnp.matmul(x, y.T, precision="highest").astype(jnp.float64)


def _discrepancy(kernel: Kernel, first: np.ndarray, second: np.ndarray, *, unbiased: bool) -> float:
    with jax.enable_x64(True):
        within = 0.0
        for x in (first, second):
            same = float(_diagonal(kernel, x)) if unbiased else 0.0
            within += (_total(kernel, x, x) - same) / (len(x) * (len(x) - unbiased))
        return within - 2.0 * _total(kernel, first, second) / (len(first) * len(second))


def _total(kernel: Kernel, first: np.ndarray, second: np.ndarray) -> float:
    """The sum over all pairs, some rows at a time."""
    rows, others = max(1, PAIRS // len(second)), jnp.asarray(second)
    return sum(float(_tile(kernel, first[i : i + rows], others)) for i in range(0, len(first), rows))


@partial(jax.jit, static_argnums=0)
def _tile(kernel: Kernel, first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.sum(kernel(first, second))


@partial(jax.jit, static_argnums=0)
def _diagonal(kernel: Kernel, x: jax.Array) -> jax.Array:
    return jnp.sum(jax.vmap(lambda v: kernel(v[None], v[None]))(x))
