"""Networks by name."""

from jaxgan.data import DataError, Source
from jaxgan.features.classifier import load_classifier, save_classifier, train_classifier
from jaxgan.features.dinov2 import dinov2
from jaxgan.features.extractors import Extractor
from jaxgan.features.inception import inception
from jaxgan.features.inception_layers import STAGES
from jaxgan.features.weights import cache

NAMES = (*(f"inception-{size}" for size in STAGES), "classifier", "dinov2")


def choose(name: str, source: Source, *, weights: str = "", resize: str = "") -> Extractor:
    """A network by its name.

    Args:
      name: 'inception-64', 'inception-192', 'inception-768', 'inception-2048', 'dinov2' or 'classifier', a
        small network of the source's own classes.
      source: the images that it is to look at.
      weights: a file; "" is Inception's published one, or a classifier that is trained on the source now,
        and kept in the user's cache folder for the next time.
      resize: of Inception 'tf1', 'clean' or 'pytorch-fid'; "" is 'tf1'.

    Raises:
      ValueError: an unknown name, and what networks say of their weights and the source.
      OSError: the file cannot be read.
    """
    if name not in NAMES:
        raise ValueError(f"No features {name!r}; expected one of {', '.join(NAMES)}.")
    if resize and not name.startswith("inception"):
        raise ValueError(f"resize is {resize!r}, and {name} has one way only; leave it out.")
    if name == "classifier":
        return _classifier(source, weights)
    if name == "dinov2":
        if not weights:
            raise ValueError("dinov2 needs weights: give the file that its authors publish.")
        return dinov2(weights)
    return inception(int(name.partition("-")[2]), weights or None, resize=resize or "tf1")


def _classifier(source: Source, weights: str) -> Extractor:
    if weights:
        found = load_classifier(weights)
    else:
        path = cache() / f"classifier-{source.fingerprint}.safetensors"
        if not path.exists():
            if not source.classes:
                raise DataError(f"{source.name} has no labels, which a classifier needs.")
            save_classifier(path, train_classifier(source), overwrite=True)
        found = load_classifier(path)
    return found.extractor._replace(classes=found.classes)
