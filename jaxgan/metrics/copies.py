"""Whether generated images are copies of training images: how near they are, against unseen images."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from scipy import stats

from jaxgan.metrics.neighbours import Neighbours, manifold, nearest


class Memorisation(NamedTuple):
    """How near samples are to the training images.

    Attributes:
      neighbours: each sample's nearest training image: distances and indices [M,1].
      unseen: [H], distances of images that were not trained on to their nearest training images.
    """

    neighbours: Neighbours
    unseen: np.ndarray

    @property
    def nearer(self) -> float:
        """The chance that a sample is nearer to the training images than an unseen image is, ties by half.

        0.5 of a generator that is as near as new data are, towards 1 of one that copies, towards 0 of one
        whose images lie far from all data.
        """
        samples = self.neighbours.distances[:, 0]
        above = stats.mannwhitneyu(self.unseen, samples).statistic
        return float(above) / (len(samples) * len(self.unseen))

    @property
    def z(self) -> float:
        """Mann and Whitney's statistic, normal about 0 where samples are as near as unseen images are.

        Negative of copies, as in the paper: below -3 chance alone hardly makes it.
        """
        m, n = len(self.neighbours.distances), len(self.unseen)
        return (0.5 - self.nearer) * float(np.sqrt(12 * m * n / (m + n + 1)))

    def copied(self, quantile: float = 0.01) -> float:
        """The share of samples that are as near to a training image as this share of unseen images are.

        By chance it is the quantile itself: 0.05 at 0.01 says that one image in 20 is as near as one unseen
        image in 100 is. The quantile is of H images, and means little of fewer than 1 / quantile.

        Raises:
          ValueError: a quantile that is not within (0, 1).
        """
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"quantile is {quantile}, expected a share within 0 and 1, such as 0.01.")
        return float(np.mean(self.neighbours.distances <= np.quantile(self.unseen, quantile)))


def memorisation(
    samples: ArrayLike, train: ArrayLike, unseen: ArrayLike | None = None, *, arithmetic: type = np.float64
) -> Memorisation:
    """Measures how near samples are to training images, against images that were not trained on.

    Args:
      samples: features of M generated images, [M,D], float32 or float64.
      train: of N training images, [N,D].
      unseen: of H images of the same kind that were held out, [H,D]. None: the training images themselves,
        each to its nearest other one; where a set holds near duplicates, copies are then the harder to see.
      arithmetic: as in `jaxgan.metrics.neighbours`.

    Raises:
      ValueError: as in `jaxgan.metrics.neighbours`.

    Source: Meehan et al. 2020 (data-copying), section 2.2, over all of the space: not by cells of k-means,
    so that copies in one region can be hidden by samples that are too far in another; `copied` shows them.
    """
    found = nearest(samples, train, arithmetic=arithmetic)
    if unseen is None:
        yardstick = manifold(train, k=1, arithmetic=arithmetic).distances
    else:
        yardstick = nearest(unseen, train, arithmetic=arithmetic).distances
    return Memorisation(found, yardstick[:, 0])
