"""Penalties on the discriminator's gradient: functions of a critic and of images.

A critic maps images `[B,...]` to logits `[B]` or `[B,h,w]`, each example's from that example alone; a
critic that mixes examples (batch normalisation) has no gradient per example, and its penalty is not
what the papers mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Critic = Callable[[jax.Array], jax.Array]


def r1(critic: Critic, images: jax.Array) -> jax.Array:
    """1/2 ||grad_x D(x)||^2 of each real image: zero-centred, so that D is flat on the data.

    The half is inside, so that a weight is the gamma that papers report. Patch logits are summed.

    Args:
      critic: images -> logits, example by example.
      images: [B,...], float.

    Returns:
      [B], the images' dtype.

    Source: Mescheder et al. 2018, eq. 9.
    """
    gradients = jax.grad(lambda x: jnp.sum(critic(x)))(images)
    return 0.5 * jnp.sum(gradients.reshape(len(gradients), -1) ** 2, axis=-1)


def r2(critic: Critic, images: jax.Array) -> jax.Array:
    """R1's formula where the images are fakes. Source: Mescheder et al. 2018, eq. 10."""
    return r1(critic, images)


def at_real(real: jax.Array, fake: jax.Array) -> jax.Array:
    """The real images."""
    return real


def at_fake(real: jax.Array, fake: jax.Array) -> jax.Array:
    """The fake images."""
    return fake


class Penalty(NamedTuple):
    """A penalty as a training step takes it: `weight * mean(function(critic, at(real, fake)))`.

    Attributes:
      function: (critic, images [B,...]) -> [B], unweighted.
      at: (real, fake) -> the images at which the critic is held.
      weight: the papers' gamma or lambda, >= 0.
    """

    function: Callable[[Critic, jax.Array], jax.Array]
    at: Callable[[jax.Array, jax.Array], jax.Array]
    weight: float = 1.0


PENALTIES = {"r1": Penalty(r1, at_real), "r2": Penalty(r2, at_fake)}
