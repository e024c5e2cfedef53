"""Examples with images of another domain beside them, that do not belong to them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from jaxgan.data.sources import Arrays, Source


def joined(own: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A batch, with the others' images by their names, "input", and their labels, "input_label"."""
    made = dict(own)
    for name, part in others.items():
        made |= {name: part["image"]} | ({f"{name}_label": part["label"]} if "label" in part else {})
    return made


def unpaired(inputs: Source, images: Source, *, name: str = "") -> Source:
    """A source of images, with those of another domain beside them, for translation without pairs.

    Args:
      inputs: what is given, domain A of a cycle.
      images: what is to be made of it, domain B.
      name: of both; empty: made of theirs.
    """
    return replace(images, name=name or f"unpaired:{inputs.name},{images.name}", others={"input": inputs})


def gather_examples(source: Source, index: np.ndarray) -> Arrays:
    """A source's examples, with those of its other domains at the same places.

    Args:
      source: the source.
      index: int [...], 0 or more; each domain begins again behind its last example.
    """
    others = {name: part.gather(index % len(part)) for name, part in source.others.items()}
    return joined(source.gather(index % len(source)), others)


def against_itself(source: Source) -> Source:
    """A source that is its own other domain, for tasks between the classes of one set.

    What is at the same place is half of the set away, where in a set by classes another one is.
    """
    half, size = len(source) // 2, len(source)
    rows = np.arange(size) if source.rows is None else source.rows
    other = replace(
        source,
        fingerprint=hashlib.sha256(f"{source.fingerprint} from its half".encode()).hexdigest(),
        read=lambda indices: source.read((indices + half) % size),
        rows=None if source.arrays is None else np.roll(rows, -half),
    )
    return replace(source, others={"input": other})
