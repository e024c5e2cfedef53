"""Sets of images that can be measured: a source's, or those that a generator draws."""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan.data import DataError, Source, centre_crop, gather_examples, to_uint8
from jaxgan.sampling import Sampler, sample_key

AT_A_TIME = 256  # images that are looked at, or whose labels are read

Pairs = Callable[..., tuple[jax.Array, jax.Array]]
Network = Callable[[Any, Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]


class ImageSet(NamedTuple):
    """N images by their indices, made on the devices where that is possible.

    Attributes:
      length: N.
      inputs: indices int [B], each in [0, N) -> arrays [B,...] of the host, or dicts of them, by name, that
        `pixels` takes.
      pixels: (**variables, **inputs) -> images [B,H,W,C], uint8 or uint16; pure.
      variables: arrays that `pixels` takes, the same for all images.
      labels: int32 [N], or None.
      classes: their names.
      sampler: that draws them, or None.
      about: what the set is, in words and numbers, for those who read its figures.
      fingerprint: changes with the images; "" where their features are not worth keeping.
      pairs: as `pixels`, but -> (images, what they should be), of one shape; None where that is not known.
    """

    length: int
    inputs: Callable[[np.ndarray], dict[str, Any]]
    pixels: Callable[..., jax.Array]
    variables: Mapping[str, Any]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    sampler: Sampler | None
    about: dict[str, Any]
    fingerprint: str = ""
    pairs: Pairs | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """[H,W,C] of every image."""
        made = jax.eval_shape(self.pixels, **self.variables, **self.inputs(np.arange(1)))
        return made.shape[1:]

    def look(self, indices: np.ndarray) -> np.ndarray:
        """The images at indices [M]: [M,H,W,C]."""
        made = []
        for start in range(0, len(indices), AT_A_TIME):
            # The last ones are filled up: one compilation.
            some = np.resize(indices[start : start + AT_A_TIME], min(AT_A_TIME, len(indices)))
            made.append(np.asarray(self.pixels(**self.variables, **self.inputs(some))))
        return np.concatenate(made)[: len(indices)]


def of_source(
    source: Source,
    count: int = 0,
    *,
    crop: tuple[int, int] | None = None,
    labelled: bool = True,
    seed: int = 0,
) -> ImageSet:
    """A source's images, all or a part of them drawn at random.

    Args:
      source: the images.
      count: how many; 0 is all.
      crop: (H, W) of their middles, where that is what a generator was shown parts of.
      labelled: say their labels, where there are some.
      seed: of the part.

    Raises:
      DataError: the source has fewer.
    """
    if not 0 <= count <= len(source):
        raise DataError(f"{count} images are asked for, and {source.name} has {len(source)}; ask for fewer.")
    count = count or len(source)
    whole = count == len(source)
    chosen = np.arange(count)
    if not whole:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])

    def inputs(indices: np.ndarray) -> dict[str, np.ndarray]:
        images = source.gather(chosen[indices])["image"]
        return {"images": images if crop is None else centre_crop(images, crop)}

    about = {"source": source.name, "fingerprint": source.fingerprint, "count": count}
    about |= {"of": len(source)} | ({} if whole else {"seed": seed}) | ({"crop": [*crop]} if crop else {})
    told = source.classes if labelled else ()
    labels = _labels(source, chosen) if told else None
    fingerprint = f"{source.fingerprint} {crop} {count} {None if whole else seed}"
    return ImageSet(count, inputs, _as_they_are, {}, labels, told, None, about, fingerprint)


def _labels(source: Source, chosen: np.ndarray) -> np.ndarray:
    """Some at a time: where images are not in memory, they are read along with their labels."""
    cuts = range(AT_A_TIME, len(chosen), AT_A_TIME)
    return np.concatenate([source.gather(some)["label"] for some in np.split(chosen, cuts)])


def _as_they_are(images: jax.Array) -> jax.Array:
    return images


def of_sampler(
    sampler: Sampler,
    count: int,
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    about: Mapping[str, Any] | None = None,
) -> ImageSet:
    """Images that a generator draws: those of `sampler.draw` with the same seed and labels.

    Args:
      sampler: of the generator.
      count: how many.
      labels: int [M] of the images to compare with, for a conditional generator: the samples have each
        class in the same share, but for rounding, in an order of their own; None: all in the same.
      seed: of latents, and of the labels' order.
      truncation: see `Sampler.draw`.
      about: what else is to be said of the generator.

    Raises:
      ValueError: labels that the generator does not know, truncation of what has no styles, no images.
    """
    if count < 1:
        raise ValueError(f"A count of 1 or more is needed, got {count}.")
    if not math.isfinite(truncation) or (truncation != 1.0 and not sampler.styled):
        raise ValueError(
            f"truncation is {truncation}, expected a number, mostly from 0 to 1, of a style-based generator; "
            "of others leave it out."
        )
    variables = {
        "variables": sampler.variables,
        "key": sample_key(seed),
        "truncation": np.float32(truncation),
    }
    told, said = None, {**(about or {}), "count": count, "seed": seed, "truncation": truncation}
    if sampler.classes:
        said["labels"] = "all as often" if labels is None else "as often as in the reference"
        labels = np.arange(len(sampler.classes)) if labels is None else labels
        if labels.max() >= len(sampler.classes):
            raise ValueError(
                f"The reference has labels up to {labels.max()}, and the generator {len(sampler.classes)} "
                "classes; compare it with images of the classes that it was trained on."
            )
        shares = np.sort(labels)[np.arange(count) * len(labels) // count]
        told = np.random.default_rng(seed).permutation(shares).astype(np.int32)

    def inputs(indices: np.ndarray) -> dict[str, np.ndarray]:
        given = {"index": indices.astype(np.int32)}
        return given if told is None else given | {"labels": told[indices]}

    return ImageSet(count, inputs, sampler.images, variables, told, sampler.classes, sampler, said)


def of_translator(
    network: Network,
    variables: Any,
    source: Source,
    count: int = 0,
    *,
    labelled: bool = True,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> ImageSet:
    """Images that a network makes of a source's examples, beside what they should be where that is known.

    Args:
      network: pure and jitted, compiled once for all variables: (variables, examples [B], keys [B]) ->
        {"output": images [B,H,W,C] in [-1, 1]}, and "truth", the same, where the task knows it. Examples
        are as the source has them, whole numbers: "image", and where there are such "input", "mask", "label".
      variables: arrays that it takes.
      source: of the examples; where inputs are another domain's, there are as many as that has.
      count: how many at most, drawn at random; 0 is all.
      labelled: say the images' labels, where there are some and inputs belong to images.
      seed: of the part, and with its index of an example's key.
      about: what else is to be said of the network.

    Raises:
      ValueError: the network makes no outputs, or truths of another shape.
    """
    given = source.others.get("input", source)
    chosen = np.arange(len(given))
    if 0 < count < len(given):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(given))[:count])

    def inputs(indices: np.ndarray) -> dict[str, Any]:
        index = chosen[indices]
        return {"batch": gather_examples(source, index), "index": index.astype(np.int32)}

    pixels, pairs = _translations(network)
    everything = {"variables": variables, "key": jax.random.key(seed)}
    made = jax.eval_shape(partial(_made, network), **everything, **inputs(np.arange(1)))
    if "output" not in made or ("truth" in made and made["truth"].shape != made["output"].shape):
        shapes = {name: value.shape for name, value in made.items()}
        raise ValueError(f"A network made {shapes}, expected an output, and a truth of its shape if any.")
    told = source.classes if labelled and not source.others else ()
    said = {**(about or {}), "of": given.name, "count": len(chosen), "seed": seed}
    return ImageSet(
        len(chosen),
        inputs,
        pixels,
        everything,
        _labels(source, chosen) if told else None,
        told,
        None,
        said,
        pairs=pairs if "truth" in made else None,
    )


def _made(
    network: Network, *, variables: Any, key: jax.Array, index: jax.Array, batch: Mapping[str, jax.Array]
) -> Mapping[str, jax.Array]:
    return network(variables, batch, jax.vmap(jax.random.fold_in, (None, 0))(key, index))


@lru_cache(maxsize=8)
def _translations(network: Network) -> tuple[Callable[..., jax.Array], Pairs]:
    """A network's images as a set has them; the same functions each time, for they are compiled."""

    def pixels(**given: Any) -> jax.Array:
        return to_uint8(_made(network, **given)["output"])

    def pairs(**given: Any) -> tuple[jax.Array, jax.Array]:
        made = _made(network, **given)
        return to_uint8(made["output"]), to_uint8(made["truth"])

    return pixels, pairs


def of_pairs(source: Source, *, about: Mapping[str, Any]) -> ImageSet:
    """A source's inputs, of which its images are what they should be.

    Args:
      source: with "input" and "image" of one shape and dtype.
      about: what the set is.
    """

    def inputs(indices: np.ndarray) -> dict[str, Any]:
        found = source.gather(indices)
        return {"images": found["input"], "truths": found["image"]}

    return ImageSet(len(source), inputs, _first, {}, None, (), None, dict(about), pairs=_both)


def _first(images: jax.Array, truths: jax.Array) -> jax.Array:
    return images


def _both(images: jax.Array, truths: jax.Array) -> tuple[jax.Array, jax.Array]:
    return images, truths
