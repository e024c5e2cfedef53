"""Frechet distances between Gaussians with the moments of two sets of features: FID and its relatives."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from jaxgan.metrics.checks import check_features
from jaxgan.metrics.moments import Moments


class Extrapolation(NamedTuple):
    """A distance at infinitely many samples.

    Attributes:
      value: the intercept.
      error: its standard error by least squares, of the line through these samples' own subsets; what
        another set of samples would give is not in it.
    """

    value: float
    error: float


class ClassDistances(NamedTuple):
    """Distances by class.

    Attributes:
      mean: over classes, each as heavy, whatever its count: intra-FID.
      of_class: by label.
    """

    mean: float
    of_class: dict[Any, float]


class _Gaussian(NamedTuple):
    """The covariance is factor @ factor.T, [D,r] with r its rank."""

    mean: np.ndarray
    trace: float
    factor: np.ndarray


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): of Inception's features it is the FID.

    For C1 = F F' and C2 = G G' the trace of the root is the sum of the singular values of F' G: C1 C2 has
    the eigenvalues of (F' G)(F' G)', and the roots of these are those values. So all stays real, and
    singular covariances (of no more samples than dimensions) need no special case and nothing added to
    their diagonals.

    Args:
      first, second: moments of 2 vectors or more, of one number of dimensions.

    Returns:
      The squared distance, not below 0, to about 1e-12 of the traces. It is biased upwards, roughly by a
      constant over the count: only distances of one count can be compared.

    Raises:
      ValueError: other dimensions, too few vectors.

    Source: Dowson & Landau 1982; Heusel et al. 2017, eq. 6.
    """
    return _distance(_gaussian(first), _gaussian(second))


def frechet_at_infinity(
    features: np.ndarray, reference: Moments, *, points: int = 15, smallest: int = 5000, seed: int = 0
) -> Extrapolation:
    """The Frechet distance that infinitely many samples would have: FID-infinity.

    The distance is linear in 1/N for N well above D. A line is fitted through those of subsets.

    Args:
      features: [N,D], float; below 5 D samples the law is bent, and the line ends too low.
      reference: what they are compared with, which has a bias of its own if it is of few samples.
      points: how many subsets, 3 or more, of sizes evenly spaced up to N.
      smallest: the size of the smallest, 2 or more; half of N where that is less.
      seed: draws the subsets.

    Raises:
      ValueError: features that are not finite or no [N,D], other dimensions, too few samples or points.

    Source: Chong & Forsyth 2020, section 3. Their samples are of quasi-random latents; here as given.
    """
    check_features(features)
    smallest = min(smallest, len(features) // 2)
    if points < 3 or smallest < 2:
        raise ValueError(
            f"{points} subsets of {smallest} to {len(features)} samples make no line; "
            "take 3 subsets or more, the smallest of 2 samples or more."
        )
    against, generator = _gaussian(reference), np.random.default_rng(seed)
    counts = np.linspace(smallest, len(features), points).astype(int)
    distances = [
        _distance(_gaussian(Moments.of(features[generator.permutation(len(features))[:count]])), against)
        for count in counts
    ]
    line, covariance = np.polyfit(1.0 / counts, distances, 1, cov=True)
    return Extrapolation(float(line[1]), float(np.sqrt(covariance[1, 1])))


def class_moments(features: np.ndarray, labels: np.ndarray) -> dict[int, Moments]:
    """Moments of each class: features [N,D], labels [N] int; a ValueError for other labels."""
    if labels.shape != features.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Labels are integers [{len(features)}], one of each vector, got {labels.dtype} "
            f"{list(labels.shape)}."
        )
    return {int(label): Moments.of(features[labels == label]) for label in np.unique(labels)}


def frechet_by_class(first: Mapping[Any, Moments], second: Mapping[Any, Moments]) -> ClassDistances:
    """Frechet distances class by class, which see a generator that ignores its labels: intra-FID.

    Args:
      first, second: moments by label, the same labels in both; see `class_moments`.

    Raises:
      ValueError: other labels, and what `frechet_distance` refuses.

    Source: Miyato & Koyama 2018 (projection discriminator), section 4.
    """
    if first.keys() != second.keys() or not first:
        raise ValueError(
            f"Classes {sorted(first.keys() ^ second.keys())} are not in both sets, or there are none; "
            "give samples of the same classes."
        )
    distances = {label: frechet_distance(first[label], second[label]) for label in first}
    return ClassDistances(float(np.mean([*distances.values()])), distances)


def _gaussian(moments: Moments) -> _Gaussian:
    """A pivoted Cholesky factor stops at the covariance's rank, and costs a tenth of eigenvectors."""
    covariance = moments.covariance()
    lower, pivots, rank, _ = lapack.dpstrf(covariance, lower=1)
    factor = np.zeros((len(covariance), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return _Gaussian(moments.mean, float(np.trace(covariance)), factor)


def _distance(first: _Gaussian, second: _Gaussian) -> float:
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"Moments have {len(first.mean)} and {len(second.mean)} dimensions; "
            "compare features of one network."
        )
    step = first.mean - second.mean
    root = np.linalg.svdvals(first.factor.T @ second.factor).sum()
    return max(0.0, float(step @ step + first.trace + second.trace - 2.0 * root))
