"""Classification accuracy score: what a classifier trained on fakes knows of reals."""

from typing import Any, NamedTuple

import numpy as np

from jaxgan.data.sources import DataError, from_arrays
from jaxgan.data.stream import batch_indices
from jaxgan.features import fitting
from jaxgan.models.classifier import Classifier

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 [N,H,W,C], labels [N]


class AccuracyScore(NamedTuple):
    """Accuracies of one classifier, trained twice, on the same reals that neither was trained on.

    Attributes:
      fakes: trained on fakes, in [0, 1]: the score.
      reals: trained on as many reals: what the score would be of a generator without fault.
      trained: images that each was trained on.
      tested: images that both were tested on.
    """

    fakes: float
    reals: float
    trained: int
    tested: int


def classification_accuracy_score(
    fakes: Labelled, reals: Labelled, *, held_out: float = 0.2, **recipe: Any
) -> AccuracyScore:
    """Trains a classifier on labelled fakes and tests it on reals, beside the same trained on reals.

    Args:
      fakes: images uint8 [N,H,W,C] and the labels [N] that they were made for.
      reals: images uint8 [M,H,W,C] and their labels [M].
      held_out: the share of each class's reals to test on, in (0, 1). Of the others and of the fakes as many
        are taken, at random, as there are of the fewer.
      **recipe: fields of `jaxgan.features.fitting.Recipe`: steps, seed, flip and so on, for both.

    Raises:
      DataError: images of two shapes, labels that reals have not, and what `train_classifier` raises.

    Source: Ravuri & Vinyals 2019 (classification accuracy score). Departures: a small network in the place of
    ResNet-50, and as many fakes as reals.
    """
    how = fitting.Recipe(**recipe)
    how.check()
    real = from_arrays(*reals, name="reals")
    fake = from_arrays(*fakes, name="fakes")
    if real.image_shape != fake.image_shape or len(fake.classes) > len(real.classes):
        raise DataError(
            f"Reals are {real.image_shape} of {len(real.classes)} classes, fakes {fake.image_shape} of "
            f"{len(fake.classes)}; expected the same shape, and no labels that reals have not."
        )
    rows, test = fitting.divide(real, held_out, seed=how.seed)
    count = min(len(rows), len(fake))
    chosen = (batch_indices(n, seed=how.seed, step=0, shape=(n,))[:count] for n in (len(fake), len(rows)))
    trained = [fitting.part(fake, next(chosen)), fitting.part(real, rows[next(chosen)])]
    network = Classifier(real.image_shape, len(real.classes))
    tested = fitting.part(real, test)
    of_fakes, of_reals = (
        fitting.accuracy_of(network, fitting.fit(network, images, how), tested) for images in trained
    )
    return AccuracyScore(of_fakes, of_reals, trained=count, tested=len(test))
