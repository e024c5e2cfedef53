"""Tasks: what the generator is given, what the discriminator judges, what else is asked of the generator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

# A network with its variables inside: images (or latents) in, images or logits out.
BoundNetwork = Callable[..., jax.Array]


class Example(NamedTuple):
    """A prepared batch: what the generator is given, and what the discriminator takes for real."""

    given: Any
    real: Any


Terms = Callable[[BoundNetwork, BoundNetwork, Example, Any], dict[str, jax.Array]]


def no_terms(*networks_and_samples: Any) -> dict[str, jax.Array]:
    """No further losses."""
    return {}


class Task(NamedTuple):
    """One application of adversarial training. It holds no state and no training step.

    Attributes:
      prepare: (batch, keys [B]) -> Example; all randomness of an example comes from its own key.
      generate: (generator, given) -> a sample of the structure of `Example.real`.
      judge: (discriminator, sample, given) -> logits, [B] or patches [B,h,w].
      generator_terms: (generator, discriminator, example, fake) -> {name: [B]}, further losses of the
        generator, weighted by the training step.
      discriminator_terms: the same of the discriminator.
    """

    prepare: Callable[[Any, jax.Array], Example]
    generate: Callable[[BoundNetwork, Any], Any]
    judge: Callable[[BoundNetwork, Any, Any], jax.Array]
    generator_terms: Terms = no_terms
    discriminator_terms: Terms = no_terms
