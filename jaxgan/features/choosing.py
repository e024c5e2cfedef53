"""Networks by name."""

from jaxgan.data import Source
from jaxgan.features.extractors import Extractor
from jaxgan.features.inception import inception
from jaxgan.features.inception_layers import STAGES

NAMES = tuple(f"inception-{size}" for size in STAGES)


def choose(
    name: str, *, weights: str = "", resize: str = "", source: Source | None = None, progress: bool = False
) -> Extractor:
    """A network by its name.

    Args:
      name: 'inception-64', 'inception-192', 'inception-768' or 'inception-2048'.
      weights: a file; "" is the published one.
      resize: of Inception 'tf1', 'clean' or 'pytorch-fid'; "" is 'tf1'.
      source: labelled images.
      progress: show a bar on stderr while a network is trained.

    Raises:
      ValueError: an unknown name, or what the network says of its weights.
    """
    if name not in NAMES:
        raise ValueError(f"No features {name!r}; expected one of {', '.join(NAMES)}.")
    return inception(int(name.partition("-")[2]), weights or None, resize=resize or "tf1")
