"""Translation between two domains without pairs, through a latent space that both share (UNIT)."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

TERMS = ("reconstruction", "kl", "cycle", "cycle_kl")


class Given(NamedTuple):
    """What the translator is given: an image of each domain, which do not belong together.

    Attributes:
      inputs: [B,h,w,c] in [-1, 1], of domain 0.
      images: [B,H,W,C] in [-1, 1], of domain 1.
      keys: [B], PRNG keys of the latents' noise; None: the latents are their means.
    """

    inputs: jax.Array
    images: jax.Array
    keys: jax.Array | None = None


def make_task(
    *,
    terms: Collection[str] = TERMS,
    transform: Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]] = to_floats,
) -> Task:
    """The task of making each domain's images of the other's.

    A sample is two images, that of domain 1 and that of domain 0, so that a fake is (of `inputs`, of
    `images`). The generator needs the methods `encode` and `decode` of `models.unit`.

    Args:
      terms: names in `TERMS` of further losses of the generator: images encoded and decoded again are as they
        were, latents N(0, I); and the same of the way to the other domain and back.
      transform: (batch, keys [B]) -> the batch with floats in [-1, 1], cropped and flipped.

    Returns:
      A Task for batches {"input": [B,h,w,c], "image": [B,H,W,C]}, which need not belong together.

    Raises:
      ValueError: terms that do not exist.

    Source: Liu et al. 2017 (UNIT), section 3: the objectives of the VAEs and of the cycle. All are means over
    pixels, or over a latent's numbers, where the paper has sums. The Laplacian likelihood is the absolute
    difference. The cycle's divergence is that of the latents on the way back alone: those of the way there
    are in "kl".
    """
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        if missing := {"input", "image"} - {*batch}:
            raise ValueError(
                f"Translation between domains needs batches with 'input' and 'image'; this one has no "
                f"{' and no '.join(sorted(missing))}. Open the data as unpaired:SOURCE,SOURCE."
            )
        noise_keys, transform_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        batch = transform(batch, transform_keys)
        return Example(Given(batch["input"], batch["image"], noise_keys), (batch["image"], batch["input"]))

    def generate(generator: BoundNetwork, given: Given) -> tuple[jax.Array, jax.Array]:
        made: tuple[jax.Array, jax.Array] = generator(*given)
        return made

    def judge(discriminator: BoundNetwork, sample: tuple[jax.Array, jax.Array], given: Given) -> Verdict:
        return Verdict(discriminator(sample))

    def generator_terms(round: Round) -> dict[str, jax.Array]:
        found = _losses(round.generator, round.example.given, round.fake) if terms else {}
        return {name: found[name] for name in terms}

    return Task(prepare, generate, judge, generator_terms, show=_show, use=_use)


def _losses(generator: BoundNetwork, given: Given, fake: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
    """Every term, [B]; those that nobody asks for are left out by the compiler."""
    total = dict.fromkeys(TERMS, jnp.zeros(()))
    for domain, (images, made) in enumerate(zip(given[:2], fake, strict=True)):
        encode = partial(generator, method="encode")
        decode = partial(generator, method="decode", domain=domain, size=images.shape[1:3])
        means, latents = encode(images, _fold(given.keys, domain), domain=domain)  # as for the fake
        again, back = encode(made, _fold(given.keys, 2 + domain), domain=1 - domain)
        found = {
            "reconstruction": objectives.absolute_difference(decode(latents), images),
            "kl": _divergence(means),
            "cycle": objectives.absolute_difference(decode(back), images),
            "cycle_kl": _divergence(again),
        }
        total = {name: total[name] + found[name] for name in TERMS}
    return total


def _divergence(means: jax.Array) -> jax.Array:
    """KL(N(means, I) || N(0, I)) a number of the latents: [B,...] -> [B]."""
    return 0.5 * jnp.mean(means.reshape(len(means), -1) ** 2, axis=-1)


def _fold(keys: jax.Array | None, number: int) -> jax.Array | None:
    return keys if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _show(generator: BoundNetwork, example: Example) -> Pictures:
    given = example.given._replace(keys=None)
    output, output_a = generator(*given)
    _, latents = generator(output, method="encode", domain=1)
    returned = generator(latents, method="decode", domain=0, size=given.inputs.shape[1:3])
    shown = given.inputs, output, returned, given.images, output_a
    return dict(zip(("input", "output", "returned", "input_b", "output_a"), shown, strict=True))


def _use(generator: BoundNetwork, batch: Mapping[str, jax.Array], keys: jax.Array) -> jax.Array:
    """The inputs as images of domain 1, by their latents' means."""
    inputs = batch["input"]
    _, latents = generator(inputs, method="encode", domain=0)
    images: jax.Array = generator(latents, method="decode", domain=1, size=inputs.shape[1:3])
    return images
