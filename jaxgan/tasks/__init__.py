"""Tasks: what the generator is given, what the discriminator judges, what else is asked of the players."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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
      logits: [B] or patches [B,h,w]; or a tuple of such, of several discriminators in one player: a player's
        loss is the sum of its losses against each.
      features: its hidden layers, [B,...] each, from the image inwards, if they were asked for.
      heads: what its further heads say, [B,n] each, by name, if they were asked for.
    """

    logits: Any
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


Pictures = dict[str, jax.Array]


def nothing_shown(generator: BoundNetwork, example: Example) -> Pictures:
    """What is made of latents alone has nothing to be shown beside it."""
    return {}


def no_memory(example: Example, fake: Any) -> Any:
    """Nothing is remembered."""
    return ()


def to_floats(batch: Mapping[str, jax.Array], keys: jax.Array | None = None) -> dict[str, jax.Array]:
    """A batch's images from whole numbers to floats in [-1, 1], masks to 0 and 1; floats stay as they are."""

    def brought(name: str, values: jax.Array) -> jax.Array:
        if name.endswith("label") or jnp.issubdtype(values.dtype, jnp.floating):
            return values
        most = int(jnp.iinfo(values.dtype).max)
        if name == "mask":
            return (2 * values.astype(jnp.int32) > most).astype(jnp.float32)
        return (2 * values.astype(jnp.float32) - most) * jnp.float32(1 / most)

    return {name: brought(name, values) for name, values in batch.items()}


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
      show: (generator, example) -> images [B,H,W,C] by name, in the order of a picture's columns: "output" is
        what was made, "truth", where there is one, what it should have been.
      use: (generator, batch of floats as a user gives them, keys [B]) -> images [B,H,W,C].
      memory: (example, fake) -> what `recall` is given first, a pytree of floats, alike on all devices.
      recall: (memory, fake, keys [B], whole, own) -> (the fakes that D is shown, memory); in D's updates
        alone. `whole` is that of a Round, `own` takes from the leaves [N,...] of all devices this one's.
    """

    prepare: Callable[[Any, jax.Array], Example]
    generate: Callable[[BoundNetwork, Any], Any]
    judge: Callable[[BoundNetwork, Any, Any], Verdict]
    generator_terms: Terms = no_terms
    discriminator_terms: Terms = no_terms
    code: Callable[[BoundNetwork, Any], tuple[jax.Array, Callable[[jax.Array], Any]]] = latents_of
    show: Callable[[BoundNetwork, Example], Pictures] = nothing_shown
    use: Callable[[BoundNetwork, Any, jax.Array], jax.Array] | None = None
    memory: Callable[[Example, Any], Any] = no_memory
    recall: Callable[..., tuple[Any, Any]] | None = None
