"""Mean and covariance of features, from batches of them."""

from dataclasses import dataclass

import numpy as np

TILE = 4096  # rows that are copied to float64 at a time


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a set of vectors, enough for its covariance and for joining it to others.

    Those of batches, or of what several devices have seen, are joined by `functools.reduce(Moments.merge,
    parts)` without loss: sums of squares, whose difference cancels, are never taken.

    Attributes:
      count: N.
      mean: [D] float64.
      scatter: [D,D] float64, the sum over the vectors of (x - mean)(x - mean)'.

    Source: Chan, Golub & LeVeque 1983, eq. 2.1.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """Those of features [N,D], N of 1 or more; a ValueError for other shapes or what is not finite."""
        if features.ndim != 2 or not features.size:
            raise ValueError(f"Features are [N,D] with N of 1 or more, got {list(features.shape)}.")
        moments = cls(0, np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2))
        for start in range(0, len(features), TILE):
            tile = np.asarray(features[start : start + TILE], np.float64)
            mean = tile.mean(axis=0)
            if not np.isfinite(mean).all():
                raise ValueError("Some features are not finite; see whether images and weights are.")
            moments = moments.merge(cls(len(tile), mean, (tile - mean).T @ (tile - mean)))
        return moments

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets together; a ValueError where their dimensions differ."""
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"Moments of {len(self.mean)} and of {len(other.mean)} dimensions cannot be joined; "
                "take features of one network."
            )
        count = self.count + other.count
        step, share = other.mean - self.mean, other.count / count
        scatter = self.scatter + other.scatter + np.outer(step, self.count * share * step)
        return Moments(count, self.mean + share * step, scatter)

    def covariance(self) -> np.ndarray:
        """[D,D], unbiased, over N - 1 as numpy.cov has it; a ValueError of fewer than 2 vectors."""
        if self.count < 2:
            raise ValueError(f"A covariance needs 2 vectors or more, got {self.count}.")
        return self.scatter / (self.count - 1)
