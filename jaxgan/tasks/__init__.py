"""Tasks: what the generator is given, what the discriminator judges, what else is asked of the players."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

# A network with its variables inside: images (or latents) in, images or logits out. With `method="describe"`
# a discriminator says more than logits: what a `Verdict` is made of, in its order.
BoundNetwork = Callable[..., Any]


class Example(NamedTuple):
    """A prepared batch: what the generator is given, and what the discriminator takes for real."""

    given: Any
    real: Any


class Verdict(NamedTuple):
    """What the discriminator says of a sample.

    Attributes:
      logits: [B] or patches [B,h,w].
      features: its hidden layers, [B,...] each, from the image inwards, if they were asked for.
      heads: what its further heads say, [B,n] each, by name, if they were asked for.
    """

    logits: jax.Array
    features: tuple[jax.Array, ...] = ()
    heads: Mapping[str, jax.Array] = {}


class Round(NamedTuple):
    """What a player's further losses are made of.

    Attributes:
      generator: of what the task gives it.
      discriminator: of samples as they are, without augmentation.
      example: the prepared batch.
      fake: what the generator made.
      real_verdict: on `example.real`, as the discriminator was shown it.
      fake_verdict: on `fake`.
      whole: [n,...] of this device -> [N,...] of all devices, for losses that compare a batch's examples.
    """

    generator: BoundNetwork
    discriminator: BoundNetwork
    example: Example
    fake: Any
    real_verdict: Verdict
    fake_verdict: Verdict
    whole: Callable[[Any], Any]


Terms = Callable[[Round], dict[str, jax.Array]]


def no_terms(round: Round) -> dict[str, jax.Array]:
    """No further losses."""
    return {}


def latents_of(generator: BoundNetwork, given: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """The latents of what the generator is given, and how to be given others."""
    return given.latents, lambda latents: given._replace(latents=latents)


class Task(NamedTuple):
    """One application of adversarial training. It holds no state and no training step.

    Attributes:
      prepare: (batch, keys [B]) -> Example; all randomness of an example comes from its own key.
      generate: (generator, given) -> a sample of the structure of `Example.real`.
      judge: (discriminator, sample, given) -> Verdict.
      generator_terms: Round -> {name: [B]}, further losses of the generator, weighted by the training step.
      discriminator_terms: the same of the discriminator.
      code: (generator, given) -> (codes [B,...], (codes -> given)): what is moved when it is asked how
        images follow codes; by default `given.latents`.
    """

    prepare: Callable[[Any, jax.Array], Example]
    generate: Callable[[BoundNetwork, Any], Any]
    judge: Callable[[BoundNetwork, Any, Any], Verdict]
    generator_terms: Terms = no_terms
    discriminator_terms: Terms = no_terms
    code: Callable[[BoundNetwork, Any], tuple[jax.Array, Callable[[jax.Array], Any]]] = latents_of
