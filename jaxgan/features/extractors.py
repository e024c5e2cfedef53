"""What maps images to features, whichever network does it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgan.data.sources import fingerprint_of

Function = Callable[[Any, jax.Array], jax.Array]  # (variables, images [B,H,W,C] float32 in [0, 255]) -> [B,D]


class Extractor(NamedTuple):
    """A network with fixed weights, from images to features.

    Attributes:
      name: what results call it, as "inception-768".
      digest: SHA-256 of the weights, in hex.
      resize: the protocol by which images are brought to the network's size, in words.
      size: D.
      variables: arrays, given to the functions, so that they are not constants of compiled programs.
      apply: pure: (variables, images [B,H,W,C] float32 in [0, 255]) -> features [B,D] float32.
      logits: the same -> [B,K] of the network's own classes, where it has some.
      classes: names of those, where they are the data's.
    """

    name: str
    digest: str
    resize: str
    size: int
    variables: Any
    apply: Function
    logits: Function | None = None
    classes: tuple[str, ...] = ()


def as_colour(images: jax.Array) -> jax.Array:
    """Grey or colour images with three channels: [B,H,W,1 or 3] -> [B,H,W,3].

    Raises:
      ValueError: other numbers of channels.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            f"This network takes images [B,H,W,1] or [B,H,W,3], got {list(images.shape)}; "
            "put transparent ones on a background first."
        )
    return jnp.broadcast_to(images, (*images.shape[:3], 3))


def digest_of(variables: Any) -> str:
    """SHA-256, in hex, of a network's arrays with their paths, shapes and types; whatever the file."""
    return fingerprint_of({path: np.asarray(leaf) for path, leaf in flatten_dict(variables, sep=".").items()})
