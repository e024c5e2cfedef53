"""Features of one's own domain: a small classifier, trained on labelled images by itself.

classifier = train_classifier(open_source("tfds:digits"))
classifier.accuracy, classifier.chance  # of held-out images: whether its features mean something
save_classifier("digits.safetensors", classifier)
extractor = load_classifier("digits.safetensors").extractor
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.data.sources import DataError, Source
from jaxgan.data.transforms import resize
from jaxgan.features import fitting
from jaxgan.features.extractors import Extractor, as_colour, digest_of
from jaxgan.files import AnyPath
from jaxgan.interop import cards
from jaxgan.interop.pickles import WeightsError
from jaxgan.models import classifier as networks


class TrainedClassifier(NamedTuple):
    """A classifier of a set's images.

    Attributes:
      network: to which the variables belong.
      extractor: images -> its last hidden layer, or its logits.
      classes: names of the classes, by label.
      accuracy: the share of held-out images that it classifies rightly, in [0, 1].
      chance: what it were if the largest class were always said; features far above it mean something.
      trained_on: the fingerprint of the set.
    """

    network: networks.Classifier
    extractor: Extractor
    classes: tuple[str, ...]
    accuracy: float
    chance: float
    trained_on: str


def train_classifier(
    source: Source, *, held_out: float = 0.1, most: int = 64, features: int = 64, **recipe: Any
) -> TrainedClassifier:
    """Trains a classifier on a labelled set, and tests it on images that it is not trained on.

    The same arguments make the same classifier on the same machine.

    Args:
      source: images of 8x8 pixels or more with 1 to 4 channels, of at least 2 classes.
      held_out: the share of each class's images that it is tested on, in (0, 1).
      most: pixels of the shorter side, to which larger images are shrunk.
      features: D.
      **recipe: fields of `jaxgan.features.fitting.Recipe`: steps, seed, flip and so on.

    Raises:
      DataError: no labels, images of one class only, none to test on, or a field of the recipe out of range.
      ValueError: images are smaller than 8x8.
    """
    how = fitting.Recipe(**recipe)
    how.check()
    train, test = fitting.divide(source, held_out, seed=how.seed)
    network = networks.Classifier(shrunk(source.image_shape, most), len(source.classes), features=features)
    variables = fitting.fit(network, fitting.part(source, train), how)
    tested = fitting.part(source, test)
    return TrainedClassifier(
        network,
        make_extractor(network, variables),
        source.classes,
        fitting.accuracy_of(network, variables, tested),
        fitting.chance_of(tested),
        source.fingerprint,
    )


def make_extractor(network: networks.Classifier, variables: Mapping[str, Any]) -> Extractor:
    """A trained network's hidden layer and logits as features of images of any size, of its channels."""
    height, width, channels = network.image_shape

    def seen(images: jax.Array) -> jax.Array:
        images = as_colour(images) if channels == 3 else images
        if images.ndim != 4 or images.shape[3] != channels:
            raise ValueError(
                f"The classifier was trained on images with {channels} channels, got {list(images.shape)}; "
                "expected [B,H,W,C] of as many."
            )
        images = images.astype(jnp.float32) / 127.5 - 1.0
        return resize(images, (height, width), filter="linear")

    def described(place: int, variables: Any, images: jax.Array) -> jax.Array:
        both: Any = network.apply(variables, seen(images), train=False, method=network.describe)
        return both[place]

    return Extractor(
        name=f"classifier-{network.features}",
        digest=digest_of(variables),
        resize=f"to {height}x{width}, linear, antialiased",
        size=network.features,
        variables=variables,
        apply=partial(described, 0),
        logits=partial(described, 1),
    )


def save_classifier(path: AnyPath, classifier: TrainedClassifier, *, overwrite: bool = False) -> None:
    """Writes a classifier as .safetensors, with its classes and its accuracy in the card.

    Raises:
      WeightsError: the name does not end in .safetensors.
      FileExistsError: there is such a file, and it was not said that it is to be written over.
    """
    cards.save(
        path,
        classifier.extractor.variables,
        network=classifier.network,
        inputs=(jax.ShapeDtypeStruct((1, *classifier.network.image_shape), jnp.float32),),
        card={
            "training_data": classifier.trained_on,
            "metrics": {"accuracy": classifier.accuracy, "chance": classifier.chance},
            "classes": classifier.classes,
        },
        overwrite=overwrite,
    )


def load_classifier(path: AnyPath) -> TrainedClassifier:
    """Reads what `save_classifier` wrote: the same digest, the same features bit for bit.

    Raises:
      WeightsError: the file is damaged, or holds something else.
      OSError: it cannot be read.
    """
    network, variables, card = cards.load(path)
    if not isinstance(network, networks.Classifier):
        raise WeightsError(f"{path} holds a {type(network).__name__}, expected a classifier.")
    try:
        classes = tuple(map(str, card["classes"]))
        accuracy, chance = (float(card["metrics"][name]) for name in ("accuracy", "chance"))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its card does not say what a classifier's does: {error!r}.") from None
    extractor = make_extractor(network, variables)
    return TrainedClassifier(network, extractor, classes, accuracy, chance, f"{card['training_data']}")


def shrunk(image_shape: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    """The shape at which images are looked at: their shorter side is of `most` pixels at most."""
    if most < networks.SMALLEST:
        raise DataError(f"most is {most}, expected {networks.SMALLEST} pixels or more.")
    height, width, channels = image_shape
    factor = min(1.0, most / min(height, width))
    return round(height * factor), round(width * factor), channels
