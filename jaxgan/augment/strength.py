"""How strongly images are augmented over a run: p fixed, on a schedule, or moved by ADA's controller."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.augment.controller import Controller, adapt, start_controller
from jaxgan.augment.pipeline import Augment


class Augmentation(NamedTuple):
    """An augmentation and what moves its p, which is part of the training state.

    Attributes:
      apply: (images, keys, p=p) -> images.
      init: () -> the controller before the first step.
      observe: (controller, r, batch) -> the controller after a batch of so many images, on all devices;
        `r` [] is the mean sign of the discriminator's logits of its reals.
      advance: (controller, images) -> the controller after a training step, `images` [] shown so far.
    """

    apply: Augment
    init: Callable[[], Controller]
    observe: Callable[[Controller, jax.Array, int], Controller]
    advance: Callable[[Controller, jax.Array], Controller]


def _stay(controller: Controller, *_: object) -> Controller:
    return controller


def fixed(augment: Augment, p: float) -> Augmentation:
    """The same p throughout. Raises ValueError for a p outside [0, 1]."""
    start_controller(p)
    return Augmentation(augment, partial(start_controller, p), observe=_stay, advance=_stay)


def scheduled(augment: Augment, p: Callable[[jax.Array], jax.Array]) -> Augmentation:
    """p by the images shown: `p` maps their number [] to [0, 1], and is clipped to it."""

    def value(images: jax.Array) -> jax.Array:
        return jnp.clip(p(images), 0.0, 1.0).astype(jnp.float32)

    def init() -> Controller:
        return start_controller()._replace(p=value(jnp.zeros(())))

    def advance(controller: Controller, images: jax.Array) -> Controller:
        return controller._replace(p=value(images))

    return Augmentation(augment, init, observe=_stay, advance=advance)


def adaptive(augment: Augment, *, p: float = 0.0, target: float = 0.6, kimg: float = 500.0) -> Augmentation:
    """ADA: p from `p` on by what `controller.adapt` says, which also says what it raises."""
    adapt(start_controller(p), jnp.zeros(()), images=1, target=target, kimg=kimg)

    def observe(controller: Controller, r: jax.Array, batch: int) -> Controller:
        return adapt(controller, r, images=batch, target=target, kimg=kimg)

    return Augmentation(augment, partial(start_controller, p), observe=observe, advance=_stay)
