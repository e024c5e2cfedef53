"""Unpaired translation in one direction: a patch that is made is to resemble the one in its place (CUT)."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

TERMS = ("nce", "nce_identity")


class Given(NamedTuple):
    """What the translator is given.

    Attributes:
      inputs: [B,H,W,C] floats in [-1, 1].
      keys: [B], PRNG keys of the positions that are compared.
      mirrored: [B] bool, whether it sees its input mirrored left to right.
    """

    inputs: jax.Array
    keys: jax.Array
    mirrored: jax.Array


def make_task(
    *,
    terms: Collection[str] = (),
    mirror: bool = False,
    temperature: float = 0.07,
    transform: Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]] = to_floats,
) -> Task:
    """The task of making images of one domain of those of another, of which no pairs are known.

    Args:
      terms: names in `TERMS` of the generator's further losses: patches of what is made are told from
        others by the patch of the input in their place; and the same of images of the other domain, which
        are to stay as they are.
      mirror: the generator sees each input mirrored with a probability of 1/2, and its features are mirrored
        back: what it makes of a mirrored image is to be a mirrored image.
      temperature: of the comparison, above 0.
      transform: (batch, keys [B]) -> the batch in floats, an example's images changed alike.

    Returns:
      A Task for batches {"input", "image": [B,H,W,C]}, which do not belong together. The generator has a
      method `project`, see `models.contrastive`.

    Raises:
      ValueError: terms that do not exist, a temperature that is not above 0.

    Source: Park et al. 2020 (CUT), eqs. 1 to 5: CUT has weights 1 and 1, FastCUT 10 and 0, and mirrors.
    Departure: the mean over stages, where eq. 4 has the sum.
    """
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if not temperature > 0.0:
        raise ValueError(f"temperature is {temperature}, expected a number above 0.")

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        _check(batch)
        moves, places, coins = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
        batch = transform(batch, moves)
        mirrored = jax.vmap(jax.random.bernoulli)(coins) if mirror else jnp.zeros(len(keys), bool)
        return Example(Given(batch["input"], places, mirrored), batch["image"])

    def compare(round: Round, made: jax.Array, images: jax.Array, mirrored: jax.Array | None) -> jax.Array:
        """How badly patches of images are found again, by the generator's features: [B]."""
        keys = round.example.given.keys
        queries = round.generator(made, keys, mirrored, method="project")
        found = round.generator(images, keys, method="project")
        losses = [
            objectives.patch_nce(*pair, temperature=temperature) for pair in zip(queries, found, strict=True)
        ]
        return jnp.mean(jnp.stack(losses), axis=0)

    def nce(round: Round) -> jax.Array:
        given = round.example.given
        return compare(round, round.fake, given.inputs, given.mirrored)

    def nce_identity(round: Round) -> jax.Array:
        images = round.example.real
        return compare(round, round.generator(images), images, None)

    losses = {"nce": nce, "nce_identity": nce_identity}
    return Task(
        prepare,
        generate=lambda generator, given: generator(_seen(given)),
        judge=lambda discriminator, sample, given: Verdict(discriminator(sample)),
        generator_terms=lambda round: {name: losses[name](round) for name in terms},
        show=_show,
        use=lambda generator, batch, keys: generator(batch["input"]),
    )


def _seen(given: Given) -> jax.Array:
    """The inputs, mirrored where they are to be."""
    return jnp.where(given.mirrored[:, None, None, None], given.inputs[:, :, ::-1], given.inputs)


def _show(generator: BoundNetwork, example: Example) -> Pictures:
    inputs, images = example.given.inputs, example.real
    return {"input": inputs, "output": generator(inputs), "input_b": images, "output_b": generator(images)}


def _check(batch: Mapping[str, jax.Array]) -> None:
    if missing := {"image", "input"} - batch.keys():
        raise ValueError(
            f"What is made is to be like 'image', of 'input'; this batch has {sorted(batch)} and lacks "
            f"{' and '.join(sorted(missing))}. Open the data as unpaired:SOURCE,SOURCE."
        )
    image, given = batch["image"].shape, batch["input"].shape
    if image != given:
        raise ValueError(
            f"Images are {image} and inputs {given}; expected [B,H,W,C] of one size and as many channels. "
            "Set data.size and data.channels."
        )
