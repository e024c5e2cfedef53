"""Translation between many domains by one generator, led by styles (StarGAN v2)."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

TERMS = ("style", "style_diversity", "cycle")
NEEDED = ("image", "label", "input", "input_label")


class Given(NamedTuple):
    """What the translator is given.

    Attributes:
      inputs: [B,H,W,C] in [-1, 1].
      input_labels: [B] int, their domains.
      labels: [B] int, the domains that they are to be of.
      latents: [B,Z], of styles.
      other_latents: [B,Z], of other styles in the same domains, that images are to differ from.
      references: [B,H,W,C] in [-1, 1], images of these domains.
      guided: [B] bool, whether the style is the reference's, and not the latent's.
    """

    inputs: jax.Array
    input_labels: jax.Array
    labels: jax.Array
    latents: jax.Array
    other_latents: jax.Array
    references: jax.Array
    guided: jax.Array


def make_task(
    latent_size: int,
    *,
    terms: Collection[str] = TERMS,
    transform: Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]] = to_floats,
) -> Task:
    """The task of making an image of one domain look like those of another, in one of many styles.

    An example has two images, each of any domain: the input, and a real one. The input becomes one of the
    real image's domain, in which both are judged, by the style of a latent or, with a probability of 1/2,
    of the real image. So targets are as frequent as domains are in the data.

    Args:
      latent_size: Z.
      terms: names in `TERMS` of further losses of the generator: the style encoder reads the style again,
        images of two styles differ, and the style of the input makes the input again.
      transform: ({"image", "input"}, keys [B]) -> the same as floats in [-1, 1], cropped and flipped.

    Returns:
      A Task for batches {"image", "input": [B,H,W,C], "label", "input_label": [B] int32}, independent of
      each other. The generator needs the methods of `models.starganv2`.

    Raises:
      ValueError: terms that do not exist.

    Source: Choi et al. 2020 (StarGAN v2), eqs. 1 to 4. Norms are means over numbers. Departures: half of the
    examples have a reference's style, in the one update of a step, which the paper's equations leave out;
    what such an image is to differ from has a latent's style. From these examples the translator alone
    learns: a style encoder that learnt to read of a fake what it reads of the reference would make both grow.
    """
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")

    def latents(keys: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: jax.random.normal(key, (latent_size,)))(keys)

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        if missing := [name for name in NEEDED if name not in batch]:
            raise ValueError(
                f"Styles need batches with {', '.join(NEEDED)}; this one has no {' and no '.join(missing)}. "
                "Open a set with classes, or a mixture with data.labels=domains."
            )
        first, second, coins, moves = jax.vmap(lambda key: jax.random.split(key, 4), out_axes=1)(keys)
        images = transform({name: batch[name] for name in ("image", "input")}, moves)
        if images["image"].shape != images["input"].shape:
            raise ValueError(
                f"Images are {images['image'].shape} and inputs {images['input'].shape}; expected one size, "
                "as they are of the same domains. Set data.size."
            )
        given = Given(
            images["input"],
            batch["input_label"],
            batch["label"],
            latents(first),
            latents(second),
            images["image"],
            jax.vmap(jax.random.bernoulli)(coins),
        )
        return Example(given, images["image"])

    def generate(generator: BoundNetwork, given: Given) -> jax.Array:
        made: jax.Array = generator(given.inputs, *_target(given))
        return made

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> Verdict:
        return Verdict(discriminator(sample, given.labels))

    def generator_terms(round: Round) -> dict[str, jax.Array]:
        return {name: _TERMS[name](round.generator, round.example.given, round.fake) for name in terms}

    def use(generator: BoundNetwork, batch: Mapping[str, jax.Array], keys: jax.Array) -> jax.Array:
        """The inputs in the domains "label", by the style of "image" if there is one, or of latents."""
        labels = batch["label"]
        if "image" in batch:
            return _translate(generator, batch["input"], _read(generator, batch["image"], labels))
        return _translate(generator, batch["input"], generator(latents(keys), labels, method="map_style"))

    return Task(prepare, generate, judge, generator_terms, show=_show, use=use)


def _target(given: Given) -> tuple[jax.Array, ...]:
    return given.labels, given.latents, given.references, given.guided


def _read(generator: BoundNetwork, images: jax.Array, labels: jax.Array) -> jax.Array:
    styles: jax.Array = generator(images, labels, method="encode_style")
    return styles


def _translate(generator: BoundNetwork, images: jax.Array, styles: jax.Array) -> jax.Array:
    made: jax.Array = generator(images, styles, method="translate")
    return made


def _led_by_latents(styles: jax.Array, given: Given) -> jax.Array:
    """The styles, with gradients where latents lead alone."""
    return jnp.where(given.guided[:, None], jax.lax.stop_gradient(styles), styles)


def _style(generator: BoundNetwork, given: Given, fake: jax.Array) -> jax.Array:
    """How far the style that is read off the fakes is from that which made them: eq. 2."""
    styles = generator(*_target(given), method="target_style")
    read = generator(fake, given.labels, given.guided, method="encode_style")
    return objectives.absolute_difference(styles, read)


def _diversity(generator: BoundNetwork, given: Given, fake: jax.Array) -> jax.Array:
    """How alike images of two styles are, minus their distance: eq. 3."""
    styles = _led_by_latents(generator(given.other_latents, given.labels, method="map_style"), given)
    return -objectives.absolute_difference(fake, _translate(generator, given.inputs, styles))


def _cycle(generator: BoundNetwork, given: Given, fake: jax.Array) -> jax.Array:
    """How far the inputs are from what their own style makes of the fakes: eq. 4."""
    styles = _led_by_latents(_read(generator, given.inputs, given.input_labels), given)
    return objectives.absolute_difference(given.inputs, _translate(generator, fake, styles))


_TERMS: Mapping[str, Callable[[BoundNetwork, Given, jax.Array], jax.Array]] = {
    "style": _style,
    "style_diversity": _diversity,
    "cycle": _cycle,
}


def _show(generator: BoundNetwork, example: Example) -> Pictures:
    given = example.given
    output = _translate(generator, given.inputs, generator(given.latents, given.labels, method="map_style"))
    returned = _translate(generator, output, _read(generator, given.inputs, given.input_labels))
    styles = _read(generator, given.references, given.labels)
    return {
        "input": given.inputs,
        "output": output,
        "returned": returned,
        "reference": given.references,
        "output_reference": _translate(generator, given.inputs, styles),
    }
