"""Paired translation: images made of others of which it is known what they should become."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

Transform = Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]
Distance = Callable[[jax.Array, jax.Array], jax.Array]
TERMS = ("pixel", "perceptual", "feature_matching")


class Given(NamedTuple):
    """What a translator is given.

    Attributes:
      images: [B,H,W,c] floats in [-1, 1].
      keys: [B], PRNG keys of its noise, or None: then it makes none.
    """

    images: jax.Array
    keys: jax.Array | None = None


def make_task(
    *,
    terms: Collection[str] = (),
    perceptual: Distance | None = None,
    noisy: bool = False,
    transform: Transform = to_floats,
) -> Task:
    """The task of making of one image its counterpart, which the discriminator judges beside it.

    Args:
      terms: names in `TERMS` of the generator's further losses: the mean absolute difference to the
        counterpart, another distance to it, and that of the discriminator's features of both, which then
        needs a method `describe` that returns what a Verdict is made of.
      perceptual: (images, images) -> [B], for the term of this name.
      noisy: the generator takes keys of its noise as a second input.
      transform: (batch, keys [B]) -> the batch in floats, its images changed alike.

    Returns:
      A Task for batches {"input": [B,H,W,c], "image": [B,H,W,C]}. The discriminator sees the sample's
      channels and then the input's.

    Raises:
      ValueError: terms that do not exist, or the distance of 'perceptual' without that term or the term
        without it. The task raises one for batches without inputs, and for inputs of another size.

    Source: Isola et al. 2017 (pix2pix), eqs. 1 to 4; feature matching: Wang et al. 2018 (pix2pixHD), eq. 4,
    as a mean over layers and not a sum.
    """
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if ("perceptual" in terms) != (perceptual is not None):
        raise ValueError(f"The terms are {tuple(terms)}: 'perceptual' and its distance are given together.")

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        noise_keys, transform_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        batch = transform(_checked(batch), transform_keys)
        return Example(Given(batch["input"], noise_keys if noisy else None), batch["image"])

    def generate(generator: BoundNetwork, given: Given) -> jax.Array:
        return generator(*(part for part in given if part is not None))

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> Verdict:
        pair = jnp.concatenate([sample, given.images], axis=-1)
        if "feature_matching" in terms:
            return Verdict(*discriminator(pair, method="describe"))
        return Verdict(discriminator(pair))

    def matched(round: Round) -> jax.Array:
        return objectives.feature_matching(round.real_verdict.features, round.fake_verdict.features)

    losses: dict[str, Callable[[Round], jax.Array]] = {
        "pixel": lambda round: objectives.absolute_difference(round.fake, round.example.real),
        "feature_matching": matched,
    }
    if (distance := perceptual) is not None:
        losses["perceptual"] = lambda round: distance(round.fake, round.example.real)

    def show(generator: BoundNetwork, example: Example) -> Pictures:
        made = generate(generator, example.given)
        return {"input": example.given.images, "output": made, "truth": example.real}

    def use(generator: BoundNetwork, batch: Mapping[str, jax.Array], keys: jax.Array) -> jax.Array:
        return generate(generator, Given(batch["input"], keys if noisy else None))

    return Task(
        prepare,
        generate,
        judge,
        generator_terms=lambda round: {name: losses[name](round) for name in terms},
        show=show,
        use=use,
    )


def _checked(batch: Mapping[str, jax.Array]) -> Mapping[str, jax.Array]:
    if missing := {"image", "input"} - batch.keys():
        raise ValueError(
            f"Paired images are 'image' and 'input'; this batch has {sorted(batch)} and lacks "
            f"{' and '.join(sorted(missing))}. Take a source of pairs."
        )
    image, given = batch["image"].shape, batch["input"].shape
    if image[:3] != given[:3]:
        raise ValueError(
            f"Images are {image} and their inputs {given}; expected [B,H,W,C] of one size. Set "
            "data.size and data.input_size to the same."
        )
    return batch
