"""Training a classifier on a part of a set, and testing it on another."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan.data.sources import DataError, Source
from jaxgan.data.stream import batch_indices, make_stream
from jaxgan.data.transforms import random_crop, random_flip, resize, to_float
from jaxgan.models.classifier import Classifier

Variables = Any
TESTED = 64  # images that are tested at a time
WEIGHT_DECAY = 0.05
WARM_UP = 0.1  # of all steps


class Recipe(NamedTuple):
    """How a classifier is trained.

    Attributes:
      steps: of Adam with decoupled weight decay, its rate warmed up over a tenth of them and brought to 0
        along a cosine (Loshchilov & Hutter 2017, 2019).
      batch_size: images of a step.
      seed: of the order of images, their augmentation, and the first parameters.
      learning_rate: its peak.
      shift: how far images are moved, at most, in both directions, as a share of the side, rounded up; what
        comes in are the edges' pixels again.
      flip: mirror half of all images left to right, where the mirrored mean the same.
    """

    steps: int = 1000
    batch_size: int = 128
    seed: int = 0
    learning_rate: float = 3e-3
    shift: float = 0.0625
    flip: bool = False

    def check(self) -> None:
        """Raises a DataError for what is out of range."""
        if self.steps < 1 or self.batch_size < 1 or not self.learning_rate > 0.0:
            raise DataError(
                f"steps is {self.steps}, batch_size {self.batch_size}, learning_rate {self.learning_rate}; "
                "expected numbers above 0."
            )
        if not 0.0 <= self.shift < 1.0:
            raise DataError(f"shift is {self.shift}, expected a share of the side, from 0 to below 1.")


def divide(source: Source, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a set's examples in two parts, the second with `share` of each class, in an order by seed.

    Raises:
      DataError: no labels, one class only, or a part without images.
    """
    if not 0.0 < share < 1.0:
        raise DataError(f"held_out is {share}, expected a share above 0 and below 1.")
    if len(source.classes) < 2:
        raise DataError(
            f"{source.name} has the classes {list(source.classes)}; a classifier takes labelled images of 2 "
            "or more."
        )
    labels = labels_of(source)
    order = batch_indices(len(source), seed=seed, step=0, shape=(len(source),))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class
    ordered = labels[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # in its class
    second = place < np.round(share * np.bincount(labels)[ordered])
    if not second.any() or len({*ordered[~second].tolist()}) < 2:
        raise DataError(
            f"{source.name} has {np.bincount(labels).tolist()} images a class, and {share} is held out: "
            "expected some to test on, and some of 2 classes to train on. Change held_out."
        )
    return np.sort(order[~second]), np.sort(order[second])


def labels_of(source: Source) -> np.ndarray:
    """All labels, int32 [N]; of a set that is not in memory, each example is read for its own."""
    if source.arrays is not None:
        labels = source.arrays["label"]
        return labels if source.rows is None else labels[source.rows]
    starts = range(0, len(source), TESTED)
    parts = (range(start, min(start + TESTED, len(source))) for start in starts)
    return np.concatenate([source.gather(list(part))["label"] for part in parts])


def part(source: Source, rows: np.ndarray) -> Source:
    """The examples of a set at `rows`, as a set."""
    return replace(
        source,
        length=len(rows),
        read=lambda indices: source.read(rows[indices]),
        rows=rows if source.rows is None else source.rows[rows],
        others={},
    )


def fit(network: Classifier, source: Source, recipe: Recipe) -> Variables:
    """A network's variables after training on all of a set: a function of set and recipe."""
    to_start, to_augment = jax.random.split(jax.random.key(recipe.seed))
    warm_up = max(1, round(WARM_UP * recipe.steps))
    rate = optax.warmup_cosine_decay_schedule(0.0, recipe.learning_rate, warm_up, recipe.steps + 1)
    optimiser = optax.adamw(rate, weight_decay=WEIGHT_DECAY)
    stream = make_stream(source, seed=recipe.seed, batch_size=recipe.batch_size)

    @jax.jit
    def begin(key: jax.Array) -> Any:
        variables = network.init(key, jnp.zeros((1, *network.image_shape)), train=True)
        return variables, optimiser.init(variables)

    @partial(jax.jit, donate_argnums=0)
    def update(carry: Any, resident: Any, item: Any, step: jax.Array) -> Any:
        variables, moments = carry
        batch = jax.tree.map(lambda leaf: leaf[0, 0], stream.load(resident, item))
        keys = jax.random.split(jax.random.fold_in(to_augment, step), recipe.batch_size)
        images = augment(_seen(batch["image"], network), keys, recipe)

        def loss(variables: Variables) -> jax.Array:
            logits = network.apply(variables, images, train=True)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]))

        changes, moments = optimiser.update(jax.grad(loss)(variables), moments, variables)
        return optax.apply_updates(variables, changes), moments

    carry, resident = begin(to_start), jax.device_put(stream.resident)
    for step, item in zip(range(recipe.steps), stream.iterate(0), strict=False):
        carry = update(carry, resident, item, step)
    return carry[0]


def augment(images: jax.Array, keys: jax.Array, recipe: Recipe) -> jax.Array:
    """Images [B,H,W,C] moved and flipped, each by its key alone."""
    height, width = images.shape[1:3]
    down, across = (math.ceil(recipe.shift * side) for side in (height, width))
    edged = jnp.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode="edge")
    moved = random_crop(edged, jax.vmap(partial(jax.random.fold_in, data=0))(keys), (height, width))
    return random_flip(moved, jax.vmap(partial(jax.random.fold_in, data=1))(keys)) if recipe.flip else moved


def accuracy_of(network: Classifier, variables: Variables, source: Source) -> float:
    """The share of a set's images that a network classifies rightly, in [0, 1]."""

    @jax.jit
    def classify(variables: Variables, images: jax.Array) -> jax.Array:
        logits: Any = network.apply(variables, _seen(images, network), train=False)
        return jnp.argmax(logits, axis=-1)

    right = 0
    for start in range(0, len(source), TESTED):
        count = min(TESTED, len(source) - start)
        examples = source.gather(np.resize(np.arange(start, start + count), TESTED))  # one compilation
        right += int(
            np.sum((np.asarray(classify(variables, examples["image"])) == examples["label"])[:count])
        )
    return right / len(source)


def chance_of(source: Source) -> float:
    """The share of a set's largest class."""
    return float(np.bincount(labels_of(source)).max() / len(source))


def _seen(images: jax.Array, network: Classifier) -> jax.Array:
    """Whole numbers [B,H,W,C] as the network takes them: in [-1, 1] and of its size."""
    return resize(to_float(images), network.image_shape[:2], filter="linear")
