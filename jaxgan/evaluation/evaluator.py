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
from jaxgan.evaluation.pairs import OF_LUMA, compare_pairs
from jaxgan.evaluation.results import Result
from jaxgan.evaluation.sets import ImageSet, Network, of_sampler, of_source, of_translator
from jaxgan.features.choosing import choose
from jaxgan.features.perceptual import lpips
from jaxgan.metrics import Interval, check_features
from jaxgan.sampling import Sampler
from jaxgan.translating import Translator

# What figures may need, in words.
NEEDS = {
    "features": "a network for features",
    "labels": "labels of both sets of images",
    "logits": "a network with classes, as inception-2048",
    "classes": "features=classifier, which knows the classes of the data",
    "generator": "a run, not a set of images",
    "lpips": "lpips, the file of its weights",
    "truth": "images of which it is known what they should be, as --paired folders",
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
      lpips: a file of the weights of LPIPS, for path lengths and for images against what they should be.
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
        border: int = 0,
        about: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> None:
        """Loads the networks that are needed; nothing is compiled yet.

        Args:
          request: what to measure.
          source: the real images.
          crop: (H, W) of their middles that are compared.
          labelled: compare by their labels, where there are some.
          border: pixels at each edge that figures of luma leave out; super-resolution by s leaves out s.
          about: what is said of the reference in the place of what the source says of itself.
          progress: show bars on stderr.

        Raises:
          EvaluationError: what cannot be measured.
          OSError: a file of weights cannot be read.
        """
        if not request.metrics:
            raise EvaluationError(f"No metrics are asked for; name some of {', '.join(FIGURES)}.")
        if unknown := [name for name in request.metrics if name not in FIGURES]:
            raise EvaluationError(f"No metrics {unknown}; expected some of {', '.join(FIGURES)}.")
        if border < 0:
            raise EvaluationError(f"border is {border}, expected 0 or more.")
        self.request, self.source, self.border, self.progress = request, source, border, progress
        needed = {need for name in request.metrics for need in FIGURES[name].needs}
        with refusing():
            self.reals = of_source(source, request.reference, crop=crop, labelled=labelled, seed=request.seed)
            self.reals = self.reals if about is None else self.reals._replace(about=dict(about))
            self.distance = lpips(request.lpips) if request.lpips else None
            there = {"labels": self.reals.labels is not None, "lpips": self.distance is not None}
            self._has = {"features", *(need for need, is_there in there.items() if is_there)}
            of_fakes = {"generator", "truth"}
            self._check({*self._has, *of_fakes, "logits", "classes"})  # before a classifier is trained
            self.extractor = None
            if "features" in needed:
                said = {"weights": request.weights, "resize": request.resize}
                self.extractor = network = choose(request.features, source, **said)
                there = {"logits": network.logits is not None, "classes": bool(network.classes)}
                self._has |= {need for need, is_there in there.items() if is_there}
                self._check({*self._has, *of_fakes})
                if "classes" in needed:
                    self._check_classes(network.classes, of="network")
            self._look((*(crop or source.image_shape[:2]), source.image_shape[2]))

    def samples(
        self, sampler: Sampler | Translator, *, about: Mapping[str, Any], truncation: float = 1.0
    ) -> ImageSet:
        """The images that are measured: those of a sampler, or what is made of the reference's examples.

        Raises:
          EvaluationError: it does not fit.
        """
        if isinstance(sampler, Translator):
            return self._translations(sampler.shown, sampler.variables, about=about)
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

    def _translations(self, network: Network, variables: Any, *, about: Mapping[str, Any]) -> ImageSet:
        """What a network makes of the reference's source; see `of_translator`."""
        with refusing():
            return of_translator(
                network,
                variables,
                self.source,
                self.request.samples,
                labelled=self.reals.labels is not None,
                seed=self.request.seed,
                about=about,
            )

    def measure(self, fakes: ImageSet, *others: ImageSet, intervals: bool = True) -> Result:
        """The figures of a set.

        Args:
          fakes: the images.
          others: more of them, of other sizes, where each is measured against its truth alone.
          intervals: make those that take long too.

        Raises:
          EvaluationError: figures that cannot be made of these sets.
        """
        start = time.monotonic()
        lacks = {"labels"} if fakes.labels is None else set()
        lacks = {"labels"} if fakes.labels is None else set()
        there = {"generator": fakes.sampler is not None, "truth": fakes.pairs is not None}
        self._check((self._has | {need for need, is_there in there.items() if is_there}) - lacks)
        if any("labels" in FIGURES[name].needs for name in self.request.metrics):
            self._check_classes(fakes.classes)
        with refusing():
            comparison = self._compared(fakes, others, intervals)
            notes = self._notes(comparison)
            figures = dict[str, Interval]()
            for asked in self.request.metrics:
                try:
                    figures |= FIGURES[asked].of(comparison)
                    notes += [f"{asked}: {note}"] if (note := FIGURES[asked].note(comparison)) else []
                except ValueError as error:  # others can be made all the same
                    notes.append(f"{asked} was not made: {error}")
            if not figures:
                raise EvaluationError(" ".join(notes))
        return Result(figures, notes, self._protocol(fakes), time.monotonic() - start)

    def _compared(self, fakes: ImageSet, others: tuple[ImageSet, ...], intervals: bool) -> Comparison:
        """All that figures are made of."""
        paired = [name for name in self.request.metrics if "truth" in FIGURES[name].needs]
        pairs = compare_pairs(
            (fakes, *others) if paired else (),
            paired,
            distance=self.distance,
            border=self.border,
            batch=self.request.batch,
            progress="pairs" if self.progress else "",
        )
        return Comparison(
            self._collect(fakes, "images"),
            self.real,
            fakes,
            self.reals,
            self.distance,
            intervals,
            seed=self.request.seed,
            pairs=pairs,
        )

    def _notes(self, comparison: Comparison) -> list[str]:
        """What biases all figures."""
        notes = list[str]()
        channels = comparison.fake_images.shape[-1], self.source.image_shape[-1]
        if len({*channels}) > 1:
            notes.append(
                f"The samples have {channels[0]} and the reference {channels[1]} channels: networks see grey "
                "as colour that has none, and figures count that too."
            )
        if self.extractor:
            for what, found in (("Reference", comparison.reals), ("Samples", comparison.fakes)):
                notes += [f"{what}: {note}" for note in check_features(found.features)]
        return notes

    @cached_property
    def real(self) -> Features:
        """Of the reference; it stays in memory, for many sets that are measured against it."""
        return self._collect(self.reals, "real images")

    def _collect(self, images: ImageSet, what: str) -> Features:
        if self.extractor is None:  # no figure asks for any
            return Features(np.zeros((images.length, 0), np.float32), None, images.labels)
        said = what if self.progress else ""
        return collect(images, self.extractor, batch=self.request.batch, progress=said)

    def _look(self, shape: tuple[int, ...]) -> None:
        """Has the networks refuse images [H,W,C] that are not for them, which costs no more than a trace."""
        images = jax.ShapeDtypeStruct((1, *shape), np.float32)
        if self.extractor:
            jax.eval_shape(self.extractor.apply, self.extractor.variables, images)
        if self.distance and {"ppl", "lpips"} & {*self.request.metrics}:
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
        network, distance, said = self.extractor, self.distance, dict[str, Any]()
        if network:
            said["features"] = {
                "network": network.name,
                "weights_sha256": network.digest,
                "resize": network.resize,
                "size": network.size,
            }
        if distance:
            said["distance"] = {"network": distance.name, "weights_sha256": distance.digest}
        if {*OF_LUMA} & {*self.request.metrics}:
            said["border"] = self.border
        return {
            **said,
            "reference": self.reals.about,
            "samples": fakes.about,
            "seed": self.request.seed,
            "settings": SETTINGS,
            "versions": {"jaxgan": jaxgan.__version__, "jax": jax.__version__},
            "platform": jax.default_backend(),
        }
