"""Figures by name: what each is made of, and how."""

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxgan import metrics
from jaxgan.data import to_float
from jaxgan.evaluation.collecting import Features
from jaxgan.evaluation.pairs import MEASURES
from jaxgan.evaluation.sets import ImageSet
from jaxgan.features.perceptual import PerceptualDistance
from jaxgan.features.usefulness import classification_accuracy_score
from jaxgan.metrics import Interval, Moments

T = TypeVar("T")

PARTS = 20  # of the samples, each left out once for an interval of a Frechet distance
SPLITS = 10  # of the samples, for an Inception Score
SUBSET = 1000  # images of a subset of the kernel distance; of fewer images all are compared at once
PATHS = 16  # whose ends are drawn at a time
LOOKED_AT = 8192  # images that figures of pixels are made of, of up to 64x64x3;
LOOKED_AT_VALUES = LOOKED_AT * 64 * 64 * 3  # of larger ones fewer
NEAREST = {"precision": 3, "density": 5}  # k, as the papers have it: Kynkaanniemi 2019, Naeem 2020


class Comparison(NamedTuple):
    """Two sets with their features.

    Attributes:
      fakes, reals: what a network makes of the sets.
      fake_images, real_images: the sets.
      distance: of images as people see it, or None.
      intervals: make those that take long too.
      seed: of subsets and projections.
      pairs: what each image has against its truth, by name, or why there is no such figure.
    """

    fakes: Features
    reals: Features
    fake_images: ImageSet
    real_images: ImageSet
    distance: PerceptualDistance | None = None
    intervals: bool = True
    seed: int = 0
    pairs: Mapping[str, np.ndarray | ValueError] = {}


class Figure(NamedTuple):
    """How a figure is made.

    Attributes:
      of: a comparison -> values with their intervals, by name.
      meaning: of its values, and which are good.
      needs: `features` of a network; `labels` of both sets, `logits` of the network, or that they are of the
        `classes` of the data; a `generator`, `lpips`; the `truth` of each image.
      names: of its values, where they are not its own.
      note: a comparison -> what biases the figure, or "".
    """

    of: Callable[[Comparison], Mapping[str, Interval]]
    meaning: str
    needs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    note: Callable[[Comparison], str] = lambda _: ""


def _given(value: T | None) -> T:
    """What a figure's needs have made sure of."""
    assert value is not None
    return value


def _plain(value: float) -> Interval:
    return Interval(value, math.nan, math.nan)


def _fid(of: Comparison) -> Mapping[str, Interval]:
    samples, reference = of.fakes.features, of.reals.moments
    if not of.intervals or len(samples) < 3:  # of 2, none would be left for a covariance
        return {"fid": _plain(metrics.frechet_distance(of.fakes.moments, reference))}

    def distance(parts: list[Moments]) -> float:
        return metrics.frechet_distance(reduce(Moments.merge, parts), reference)

    parts = metrics.cut(samples, min(PARTS, len(samples)), seed=of.seed)
    return {"fid": metrics.jackknife(distance, [Moments.of(part) for part in parts])}


def _fid_infinity(of: Comparison) -> Mapping[str, Interval]:
    found = metrics.frechet_at_infinity(of.fakes.features, of.reals.moments, seed=of.seed)
    return {"fid_infinity": _plain(found.value)}  # its line's error is not that of other samples


def _note_on_the_line(of: Comparison) -> str:
    count, size = of.fakes.features.shape
    if count >= 5 * size:
        return ""
    return f"{count} samples of {size} dimensions end the line too low; take {5 * size} or more."


def _intra_fid(of: Comparison) -> Mapping[str, Interval]:
    moments = [metrics.class_moments(x.features, _given(x.labels)) for x in (of.fakes, of.reals)]
    found = metrics.frechet_by_class(*moments)
    named = {f"intra_fid/{label}": _plain(value) for label, value in found.of_class.items()}
    return {"intra_fid": _plain(found.mean)} | named


def _kid(of: Comparison) -> Mapping[str, Interval]:
    sets = of.fakes.features, of.reals.features
    if min(map(len, sets)) <= SUBSET:
        return {"kid": _plain(metrics.kernel_distance_of_all(*sets))}
    return {"kid": _plain(metrics.kernel_distance(*sets, size=SUBSET).value)}


def _cmmd(of: Comparison) -> Mapping[str, Interval]:
    return {"cmmd": _plain(metrics.cmmd(of.fakes.features, of.reals.features))}


def _inception_score(of: Comparison) -> Mapping[str, Interval]:
    logits = _given(of.fakes.logits)
    splits = min(SPLITS, len(logits))
    return {"inception_score": _plain(metrics.inception_score(logits, splits=splits).value)}


def _note_on_splits(of: Comparison) -> str:
    count = len(_given(of.fakes.logits))
    if count >= 2 * SPLITS:
        return ""
    return (
        f"of {count} images some splits have one alone, whose score is 1 whatever it shows; take many more."
    )


def _share(seed: int, values: np.ndarray) -> Interval:
    return metrics.bootstrap(np.mean, values, seed=seed)


def _overlap(of: Comparison, k: int) -> metrics.Overlap:
    return metrics.overlap(of.reals.manifold, of.fakes.manifold, k=k, arithmetic=np.float32)


def _precision(of: Comparison) -> Mapping[str, Interval]:
    found = _overlap(of, NEAREST["precision"])
    return {"precision": _share(of.seed, found.precise), "recall": _share(of.seed, found.recalled)}


def _density(of: Comparison) -> Mapping[str, Interval]:
    k = NEAREST["density"]
    found = _overlap(of, k)
    return {"density": _share(of.seed, found.holders / k), "coverage": _share(of.seed, found.covered)}


def _accuracy(of: Comparison) -> Mapping[str, Interval]:
    right = np.argmax(_given(of.fakes.logits), axis=1) == of.fakes.labels
    return {"accuracy": _share(of.seed, right)}


def _sliced_wasserstein(of: Comparison) -> Mapping[str, Interval]:
    most = max(1, LOOKED_AT_VALUES // of.real_images.look(np.array([0])).size)
    count = min(LOOKED_AT, most, of.fake_images.length, of.real_images.length)
    sets = (
        to_float(images.look(np.linspace(0, images.length - 1, count).astype(int)))
        for images in (of.fake_images, of.real_images)
    )
    distance = jax.jit(metrics.sliced_wasserstein)(jax.random.key(of.seed), *sets)
    return {"sliced_wasserstein": _plain(float(distance))}


def _copies(of: Comparison) -> Mapping[str, Interval]:
    found = metrics.memorisation(of.fakes.features, of.reals.features, arithmetic=np.float32)
    return {"nearer": _plain(found.nearer), "copied": _plain(found.copied())}


def _accuracy_score(of: Comparison) -> Mapping[str, Interval]:
    fakes, reals = (
        (images.look(np.arange(images.length)), _given(images.labels))
        for images in (of.fake_images, of.real_images)
    )
    found = classification_accuracy_score(fakes, reals, seed=of.seed)
    return {"trained_on_fakes": _plain(found.fakes), "trained_on_reals": _plain(found.reals)}


def _path_length(of: Comparison) -> Mapping[str, Interval]:
    sampler, distance = _given(of.fake_images.sampler), _given(of.distance)

    @jax.jit
    @jax.default_matmul_precision("highest")  # the ends of a step differ in digits that GPUs and TPUs drop
    def lengths(variables: Any, key: jax.Array, labels: jax.Array | None) -> jax.Array:
        return metrics.perceptual_path_lengths(
            lambda latents: sampler.network(variables, latents, labels),
            partial(distance.apply, distance.variables),
            key,
            count=PATHS,
            latent_size=sampler.latent_size,
        )

    key, found = jax.random.fold_in(jax.random.key(of.seed), 3), []
    for start in range(0, of.fake_images.length, PATHS):
        labels = of.fake_images.labels
        told = None if labels is None else np.resize(labels[start : start + PATHS], PATHS)
        found.append(lengths(sampler.variables, jax.random.fold_in(key, start), told))
    return {"path_length": _plain(metrics.mean_path_length(np.concatenate(found)))}


def _of_pairs(name: str, of: Comparison) -> Mapping[str, Interval]:
    found = of.pairs[name]
    if isinstance(found, ValueError):
        raise found
    endless = int(np.isinf(found).sum())
    if endless:
        raise ValueError(f"{endless} of {len(found)} images are what they should be, where it is infinite.")
    return {name: _share(of.seed, found)}


FIGURES: dict[str, Figure] = {
    "fid": Figure(_fid, "Frechet distance of features; lower is better", needs=("features",)),
    "fid_infinity": Figure(
        _fid_infinity,
        "the same, extrapolated to endless samples",
        needs=("features",),
        note=_note_on_the_line,
    ),
    "intra_fid": Figure(_intra_fid, "the same by class, and their mean", needs=("features", "labels")),
    "kid": Figure(_kid, "kernel distance, unbiased; lower is better", needs=("features",)),
    "cmmd": Figure(_cmmd, "kernel distance of whole distributions; lower is better", needs=("features",)),
    "is": Figure(
        _inception_score,
        "Inception Score; higher is better",
        needs=("features", "logits"),
        names=("inception_score",),
        note=_note_on_splits,
    ),
    "pr": Figure(
        _precision,
        "precision and recall in [0, 1]; higher is better",
        needs=("features",),
        names=("precision", "recall"),
    ),
    "dc": Figure(
        _density,
        "density from 0, coverage in [0, 1]; higher is better",
        needs=("features",),
        names=("density", "coverage"),
    ),
    "copies": Figure(
        _copies,
        "nearer: chance to be nearer to a real image than a real one is, 0.5; copied: share of copies, 0.01",
        needs=("features",),
        names=("nearer", "copied"),
    ),
    "accuracy": Figure(
        _accuracy, "share of samples that show the class asked for", needs=("features", "labels", "classes")
    ),
    "cas": Figure(
        _accuracy_score,
        "accuracy on real images of a classifier trained on fakes, and of one trained on reals",
        needs=("labels",),
        names=("trained_on_fakes", "trained_on_reals"),
    ),
    "ppl": Figure(
        _path_length,
        "perceptual path length in z, by LPIPS; lower is smoother",
        needs=("generator", "lpips"),
        names=("path_length",),
    ),
    "swd": Figure(
        _sliced_wasserstein,
        "sliced Wasserstein distance of pixels; lower is better",
        names=("sliced_wasserstein",),
    ),
    **{
        name: Figure(partial(_of_pairs, name), measure.meaning, needs=("truth", *measure.needs))
        for name, measure in MEASURES.items()
    },
}


# How figures are made, where papers and packages differ; results say it.
SETTINGS = {
    "kid": {"subsets": 100, "size": SUBSET, "seed": 2020, "up to one subset's size": "all pairs"},
    "is": {"splits": SPLITS, "seed": 2020},
    "pr": {"k": NEAREST["precision"], "arithmetic": "float32"},
    "dc": {"k": NEAREST["density"], "arithmetic": "float32"},
}


def names_of(asked: str) -> tuple[str, ...]:
    """Of the values of a figure; further ones, as of classes, begin with one of them and a slash."""
    return FIGURES[asked].names or (asked,)
