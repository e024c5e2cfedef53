"""Image synthesis: images made from nothing, or from a class."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.tasks import BoundNetwork, Example, Task

Transform = Callable[[jax.Array, jax.Array], jax.Array]


class Given(NamedTuple):
    """What a synthesis generator is given: latents [B,Z] float and labels [B] int32, or None."""

    latents: jax.Array
    labels: jax.Array | None = None


def draw_latents(keys: jax.Array, latent_size: int) -> jax.Array:
    """Standard normal latents, each from its own key: keys [B] -> [B,Z], the default float dtype."""
    return jax.vmap(lambda key: jax.random.normal(key, (latent_size,), jnp.result_type(float)))(keys)


def _as_they_are(images: jax.Array, keys: jax.Array) -> jax.Array:
    return images


def make_task(latent_size: int, *, conditional: bool = False, transform: Transform = _as_they_are) -> Task:
    """The task of making images like those of a data set.

    Args:
      latent_size: Z, the size of the latents.
      conditional: the players are told the labels; a fake gets the label of the real image that it is
        paired with, so that both have the data's class frequencies.
      transform: (images [B,...] as the batch holds them, keys [B]) -> the images that D takes for real.

    Returns:
      A Task for batches {"image": [B,...], "label": [B] int32 where conditional}.

    Source: Goodfellow et al. 2014; with labels Mirza & Osindero 2014, eq. 2.
    """

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        latent_keys, transform_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        labels = batch["label"] if conditional else None
        given = Given(draw_latents(latent_keys, latent_size), labels)
        return Example(given=given, real=transform(batch["image"], transform_keys))

    def generate(generator: BoundNetwork, given: Given) -> jax.Array:
        return generator(given.latents, given.labels)

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> jax.Array:
        return discriminator(sample, given.labels)

    return Task(prepare, generate, judge)
