"""Measures sets of images against a reference."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxgan
from jaxgan.data import Source
from jaxgan.evaluation.collecting import Features, collect
from jaxgan.evaluation.figures import FIGURES, SETTINGS, Comparison
from jaxgan.evaluation.results import Result
from jaxgan.evaluation.sets import ImageSet, of_sampler, of_source
from jaxgan.features.choosing import choose
from jaxgan.features.perceptual import lpips
from jaxgan.metrics import Interval, check_features
from jaxgan.sampling import Sampler

# What figures may need, in words.
NEEDS = {
    "labels": "labels of both sets of images",
    "logits": "a network with classes, as inception-2048",
    "classes": "features=classifier, which knows the classes of the data",
    "generator": "a run, not a set of images",
    "lpips": "lpips, the file of its weights",
}


class EvaluationError(ValueError):
    """Something that cannot be measured as asked; the message says what to change."""


@contextmanager
def refusing() -> Iterator[None]:
    """What parts say of what they are given is what cannot be measured."""
    try:
        yield
    except ValueError as error:
        raise EvaluationError(str(error)) from error


class Request(NamedTuple):
    """What to measure, and how.

    Attributes:
      metrics: names in `FIGURES`.
      samples: how many images are drawn.
      reference: how many real images they are compared with; 0 is all.
      features: the network: see `jaxgan.features.choosing`.
      weights: a file of its weights; "" is the published one, or for a classifier: train it.
      resize: how images are brought to its size; "" is its own way.
      lpips: a file of the weights of LPIPS, for path lengths.
      seed: of samples, subsets and projections.
      batch: images at a time, over all devices; 0 is 50 for each.
    """

    metrics: tuple[str, ...] = ("fid",)
    samples: int = 10_000
    reference: int = 0
    features: str = "inception-2048"
    weights: str = ""
    resize: str = ""
    lpips: str = ""
    seed: int = 0
    batch: int = 0


class Evaluator:
    """A reference, a network and what is asked: measures one set of images after the other."""

    def __init__(
        self,
        request: Request,
        source: Source,
        *,
        crop: tuple[int, int] | None = None,
        labelled: bool = True,
        progress: bool = False,
    ) -> None:
        """Loads the network; nothing is compiled yet.

        Args:
          request: what to measure.
          source: the real images.
          crop: (H, W) of their middles that are compared.
          labelled: compare by their labels, where there are some.
          progress: show bars on stderr.

        Raises:
          EvaluationError: what cannot be measured.
          OSError: a file of weights cannot be read.
        """
        if not request.metrics:
            raise EvaluationError(f"No metrics are asked for; name some of {', '.join(FIGURES)}.")
        if unknown := [name for name in request.metrics if name not in FIGURES]:
            raise EvaluationError(f"No metrics {unknown}; expected some of {', '.join(FIGURES)}.")
        self.request, self.progress = request, progress
        with refusing():
            self.reals = of_source(source, request.reference, crop=crop, labelled=labelled, seed=request.seed)
            self.distance = lpips(request.lpips) if request.lpips else None
            there = {"labels": self.reals.labels is not None, "lpips": self.distance is not None}
            self._has = {need for need, is_there in there.items() if is_there}
            self._check({*self._has, "generator", "logits", "classes"})  # before a classifier is trained
            self.extractor = choose(request.features, source, weights=request.weights, resize=request.resize)
            there = {"logits": self.extractor.logits is not None, "classes": bool(self.extractor.classes)}
            self._has |= {need for need, is_there in there.items() if is_there}
            self._check({*self._has, "generator"})
            if any("classes" in FIGURES[name].needs for name in request.metrics):
                self._check_classes(self.extractor.classes, of="network")
            self._look((*(crop or source.image_shape[:2]), source.image_shape[2]))

    def samples(self, sampler: Sampler, *, about: Mapping[str, Any], truncation: float = 1.0) -> ImageSet:
        """The images of a sampler that are measured; an EvaluationError where it does not fit."""
        self._check_classes(sampler.classes)
        with refusing():
            return of_sampler(
                sampler,
                self.request.samples,
                labels=self.reals.labels,
                seed=self.request.seed,
                truncation=truncation,
                about=about,
            )

    def measure(self, fakes: ImageSet, *, intervals: bool = True) -> Result:
        """The figures of a set.

        Args:
          fakes: the images.
          intervals: make those that take long too.

        Raises:
          EvaluationError: figures that cannot be made of these sets.
        """
        start = time.monotonic()
        lacks = {"labels"} if fakes.labels is None else set()
        self._check((self._has | ({"generator"} if fakes.sampler else set())) - lacks)
        if any("labels" in FIGURES[name].needs for name in self.request.metrics):
            self._check_classes(fakes.classes)
        with refusing():
            real, fake = self.real, self._collect(fakes, "images")
            notes = [
                f"{what}: {note}"
                for what, features in (("Reference", real), ("Samples", fake))
                for note in check_features(features.features)
            ]
            comparison = Comparison(
                fake, real, fakes, self.reals, self.distance, intervals, seed=self.request.seed
            )
            figures = dict[str, Interval]()
            for asked in self.request.metrics:
                try:
                    figures |= FIGURES[asked].of(comparison)
                except ValueError as error:  # others can be made all the same
                    notes.append(f"{asked} was not made: {error}")
            if not figures:
                raise EvaluationError(" ".join(notes))
        return Result(figures, notes, self._protocol(fakes), time.monotonic() - start)

    @cached_property
    def real(self) -> Features:
        """Of the reference; it stays in memory, for many sets that are measured against it."""
        return self._collect(self.reals, "real images")

    def _collect(self, images: ImageSet, what: str) -> Features:
        said = what if self.progress else ""
        return collect(images, self.extractor, batch=self.request.batch, progress=said)

    def _look(self, shape: tuple[int, ...]) -> None:
        """Has the networks refuse images [H,W,C] that are not for them, which costs no more than a trace."""
        images = jax.ShapeDtypeStruct((1, *shape), np.float32)
        jax.eval_shape(self.extractor.apply, self.extractor.variables, images)
        if self.distance and "ppl" in self.request.metrics:
            jax.eval_shape(self.distance.apply, self.distance.variables, images, images)

    def _check_classes(self, classes: tuple[str, ...], *, of: str = "samples") -> None:
        """Refuses labels that mean something else here and there."""
        if classes and self.reals.classes and classes != self.reals.classes:
            raise EvaluationError(
                f"The classes of the {of} are {', '.join(classes[:5])}, ... ({len(classes)}), and of the "
                f"reference {', '.join(self.reals.classes[:5])}, ... ({len(self.reals.classes)}). Compare "
                "with images of the same classes in the same order, or with images without labels."
            )

    def _check(self, has: Collection[str]) -> None:
        """Refuses figures for which something is missing."""
        for name in self.request.metrics:
            if missing := {*FIGURES[name].needs} - {*has}:
                needed = ", and ".join(NEEDS[need] for need in sorted(missing))
                raise EvaluationError(f"{name} needs {needed}; leave it out, or give that.")

    def _protocol(self, fakes: ImageSet) -> dict[str, Any]:
        network, distance = self.extractor, self.distance
        said = {"network": distance.name, "weights_sha256": distance.digest} if distance else {}
        return {
            "features": {
                "network": network.name,
                "weights_sha256": network.digest,
                "resize": network.resize,
                "size": network.size,
            },
            **({"distance": said} if said else {}),
            "reference": self.reals.about,
            "samples": fakes.about,
            "seed": self.request.seed,
            "settings": SETTINGS,
            "versions": {"jaxgan": jaxgan.__version__, "jax": jax.__version__},
            "platform": jax.default_backend(),
        }
