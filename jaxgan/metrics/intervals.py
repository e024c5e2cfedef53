"""Intervals of confidence for figures of samples."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit


class Interval(NamedTuple):
    """A figure, and where it would lie with other samples."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[..., float],
    *sets: np.ndarray,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A percentile interval from resampling with replacement.

    For averages: accuracies, shares, mean distances of images. Where samples that come twice change the
    figure, as with Frechet distances (whose bias they double) and nearest neighbours, take `jackknife`.

    Args:
      statistic: (a set, ...) -> a number.
      *sets: arrays [N,...], each resampled on its own.
      samples: how often.
      level: the share of intervals that hold the truth, in (0, 1).
      seed: draws them.

    Raises:
      ValueError: no or empty sets, a level out of range, fewer samples than the level's ends need.

    Source: Efron & Tibshirani 1993, section 13.3.
    """
    _check_level(level)
    if not sets or not all(len(x) for x in sets):
        raise ValueError("There is nothing to resample; give sets of one sample or more.")
    if samples * (1.0 - level) < 2.0:
        raise ValueError(f"{samples} samples have no ends at a level of {level}; take more samples.")
    random = np.random.default_rng(seed)
    draws = [statistic(*(x[random.integers(len(x), size=len(x))] for x in sets)) for _ in range(samples)]
    low, high = np.quantile(draws, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(float(statistic(*sets)), float(low), float(high))


def jackknife(statistic: Callable[..., float], *sets: Sequence[Any], level: float = 0.95) -> Interval:
    """An interval from leaving out a part of every set at a time, for figures that cost much.

    It is of the figure at this number of samples: where that is biased, as Frechet distances are, so is the
    interval, and intervals of one number of samples can be compared.

    Args:
      statistic: (the parts of a set that are left, ...) -> a number. It sees a list of each set.
      *sets: each cut at random into the same number of parts of one size, 10 to 50, see `cut`; parts can be
        what is made of samples, such as their moments: for a Frechet distance
        `jackknife(lambda parts: frechet_distance(reduce(Moments.merge, parts), reference), parts)`.
      level: the share of intervals that hold the truth, in (0, 1).

    Raises:
      ValueError: sets of other numbers of parts, or of fewer than 2, a level out of range.

    Source: Efron & Tibshirani 1993, sections 11.2 and 11.7 (blocks); ends by Student's t.
    """
    _check_level(level)
    number = len(sets[0]) if sets else 0
    if number < 2 or any(len(parts) != number for parts in sets):
        raise ValueError(
            f"The sets have {[len(parts) for parts in sets]} parts; cut each into the same number, 2 or more."
        )
    left = [statistic(*([*parts[:i], *parts[i + 1 :]] for parts in sets)) for i in range(number)]
    error = np.sqrt((number - 1) * np.var(left))
    reach = float(stdtrit(number - 1, 0.5 + level / 2.0) * error)
    value = float(statistic(*(list(parts) for parts in sets)))
    return Interval(value, value - reach, value + reach)


def cut(samples: np.ndarray, parts: int = 20, *, seed: int = 0) -> list[np.ndarray]:
    """Samples [N,...] in random order, cut into parts, the larger of which have one more; for `jackknife`."""
    if not 2 <= parts <= len(samples):
        raise ValueError(f"{len(samples)} samples cannot be cut into {parts} parts; take 2 to their number.")
    order = np.random.default_rng(seed).permutation(len(samples))
    return [samples[part] for part in np.array_split(order, parts)]


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, expected a number between 0 and 1, such as 0.95.")
