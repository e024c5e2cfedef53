"""Measures sets of images against a reference."""

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax

import jaxgan
from jaxgan.data import Source
from jaxgan.evaluation.collecting import collect
from jaxgan.evaluation.figures import FIGURES, Comparison
from jaxgan.evaluation.results import Result
from jaxgan.evaluation.sets import ImageSet, of_sampler, of_source
from jaxgan.features.choosing import choose
from jaxgan.features.perceptual import lpips
from jaxgan.metrics import check_features
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
          EvaluationError, DataError, WeightsError: what cannot be measured.
        """
        if unknown := [name for name in request.metrics if name not in FIGURES]:
            raise EvaluationError(f"No metrics {unknown}; expected some of {', '.join(FIGURES)}.")
        self.request, self.progress = request, progress
        self.reals = of_source(source, request.reference, crop=crop, labelled=labelled, seed=request.seed)
        self.extractor = choose(request.features, source, weights=request.weights, resize=request.resize)
        self.distance = lpips(request.lpips) if request.lpips else None
        there = {
            "labels": self.reals.labels is not None,
            "logits": self.extractor.logits is not None,
            "classes": bool(self.extractor.classes),
            "lpips": self.distance is not None,
        }
        self._has = {need for need, is_there in there.items() if is_there}
        self._check({*self._has, "generator"})

    def samples(self, sampler: Sampler, *, about: Mapping[str, Any], truncation: float = 1.0) -> ImageSet:
        """The images of a sampler that are measured; an EvaluationError where it does not fit."""
        try:
            return of_sampler(
                sampler,
                self.request.samples,
                labels=self.reals.labels,
                seed=self.request.seed,
                truncation=truncation,
                about=about,
            )
        except ValueError as error:
            raise EvaluationError(str(error)) from error

    def measure(self, fakes: ImageSet, *, intervals: bool = True) -> Result:
        """The figures of a set.

        Args:
          fakes: the images.
          intervals: make those that take long too.

        Raises:
          EvaluationError: figures that cannot be made of these sets.
        """
        start, request = time.monotonic(), self.request
        lacks = {"labels"} if fakes.labels is None else set()
        self._check((self._has | ({"generator"} if fakes.sampler else set())) - lacks)
        said = ("real images", "images") if self.progress else ("", "")
        real, fake = (
            collect(images, self.extractor, batch=request.batch, progress=words)
            for images, words in zip((self.reals, fakes), said, strict=True)
        )
        try:
            notes = [
                f"{what}: {note}"
                for what, features in (("Reference", real), ("Samples", fake))
                for note in check_features(features.features)
            ]
            comparison = Comparison(
                fake, real, fakes, self.reals, distance=self.distance, intervals=intervals, seed=request.seed
            )
            figures = {
                name: figure
                for asked in request.metrics
                for name, figure in FIGURES[asked].of(comparison).items()
            }
        except ValueError as error:
            raise EvaluationError(str(error)) from error
        return Result(figures, notes, self._protocol(fakes), time.monotonic() - start)

    def _check(self, has: Collection[str]) -> None:
        """Refuses figures for which something is missing."""
        for name in self.request.metrics:
            if missing := {*FIGURES[name].needs} - {*has}:
                needed = ", and ".join(NEEDS[need] for need in sorted(missing))
                raise EvaluationError(f"{name} needs {needed}; leave it out, or give that.")

    def _protocol(self, fakes: ImageSet) -> dict[str, Any]:
        network = self.extractor
        return {
            "features": {
                "network": network.name,
                "weights_sha256": network.digest,
                "resize": network.resize,
                "size": network.size,
            },
            "reference": self.reals.about,
            "samples": fakes.about,
            "seed": self.request.seed,
            "versions": {"jaxgan": jaxgan.__version__, "jax": jax.__version__},
            "platform": jax.default_backend(),
        }
