"""Image synthesis: images made from nothing, or from a class."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Round, Task, Verdict, latents_of, to_floats

Transform = Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]
TERMS = ("auxiliary_classifier", "twin_classifier", "information", "mean_feature_matching")


class Given(NamedTuple):
    """What a synthesis generator is given.

    Attributes:
      latents: [B,Z] float.
      labels: [B] int32, or [B,K] float of several an image, or None.
      keys: [B], PRNG keys of a style-based generator's noise, or None: then it makes none.
      styles: what its mapping network makes of latents and labels, in their place; None: it is to do so.
    """

    latents: jax.Array
    labels: jax.Array | None = None
    keys: jax.Array | None = None
    styles: jax.Array | None = None


class Codes(NamedTuple):
    """Numbers of a latent that the discriminator is to read off the image: its last ones.

    Attributes:
      categorical: of each choice among so many, one-hot, all as likely.
      continuous: how many numbers follow, uniform from -1 to 1.

    Source: Chen et al. 2016 (InfoGAN), section 7.
    """

    categorical: tuple[int, ...] = ()
    continuous: int = 0

    @property
    def size(self) -> int:
        """Numbers in all."""
        return sum(self.categorical) + self.continuous

    def split(self, latents: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        """Latents [B,Z] -> each choice [B] int32, and the numbers [B,continuous]."""
        codes, choices = latents[:, latents.shape[1] - self.size :], []
        for count in self.categorical:
            choices.append(jnp.argmax(codes[:, :count], axis=-1))
            codes = codes[:, count:]
        return choices, codes

    def choose(self, latents: jax.Array, choices: jax.Array) -> jax.Array:
        """Latents [B,Z] with these first choices, [B] int."""
        start = latents.shape[1] - self.size
        one_hot = jax.nn.one_hot(choices, self.categorical[0], dtype=latents.dtype)
        return latents.at[:, start : start + self.categorical[0]].set(one_hot)


NO_CODES = Codes()


def draw_latents(keys: jax.Array, latent_size: int, codes: Codes = NO_CODES) -> jax.Array:
    """Latents, each from its own key: keys [B] -> [B,Z], default float dtype; normal but for the codes."""
    dtype = jnp.result_type(float)

    def draw(key: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, (latent_size - codes.size,), dtype)
        if not codes.size:
            return noise
        keys = jax.random.split(key, len(codes.categorical) + 1)
        choices = (jax.random.randint(k, (), 0, n) for k, n in zip(keys[1:], codes.categorical, strict=True))
        one_hot = (jax.nn.one_hot(c, n, dtype=dtype) for c, n in zip(choices, codes.categorical, strict=True))
        numbers = jax.random.uniform(keys[0], (codes.continuous,), dtype, -1.0, 1.0)
        return jnp.concatenate([noise, *one_hot, numbers])

    return jax.vmap(draw)(keys)


def draw_given(
    keys: jax.Array,
    labels: jax.Array | None,
    *,
    latent_size: int,
    codes: Codes = NO_CODES,
    styled: bool = False,
) -> Given:
    """What a generator is given, each example's from its own key, keys [B]; styled: keys of noise too."""
    noise_keys = None
    if styled:
        keys, noise_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    return Given(draw_latents(keys, latent_size, codes), labels, noise_keys)


def heads(terms: Collection[str], num_classes: int, codes: Codes = NO_CODES) -> tuple[tuple[str, int], ...]:
    """Names and sizes of the heads that a discriminator needs for these terms."""
    sizes = {
        "auxiliary_classifier": [("classes", num_classes)],
        "twin_classifier": [("classes", num_classes), ("twin", num_classes)],
        "information": [("codes", codes.size)],
    }
    return tuple(head for term in terms for head in sizes.get(term, []))


def make_task(
    latent_size: int,
    *,
    conditional: bool = False,
    told: bool = True,
    terms: Collection[str] = (),
    codes: Codes = NO_CODES,
    styled: bool = False,
    transform: Transform = to_floats,
) -> Task:
    """The task of making images like those of a data set.

    Args:
      latent_size: Z, the size of the latents, codes among them.
      conditional: the generator is told the labels; a fake gets the label of the real image that it is
        paired with, so that both have the data's class frequencies.
      told: of a conditional task, the discriminator is told the labels too.
      terms: names in `TERMS` of further losses: the discriminator names the class (AC-GAN, or with a twin
        for the fakes), reads the codes (InfoGAN), and its last features' means are matched. It needs
        `heads` of these sizes and a method `describe` that returns what a Verdict is made of.
      codes: among the latents, for the term `information`.
      styled: the generator is style-based: it takes keys of its noise as a third input, and has methods
        `style` (latents, labels -> styles) and `synthesize` (styles, keys -> images).
      transform: (batch, keys [B]) -> the batch with the images that D takes for real.

    Returns:
      A Task for batches {"image": [B,...], "label": [B] int32 where conditional}.

    Raises:
      ValueError: terms that do not exist or that need labels or codes, codes that fill the latents.

    Source: Goodfellow et al. 2014; with labels Mirza & Osindero 2014, eq. 2; the terms' in `jaxgan.terms`.
    """
    _check(latent_size, conditional, terms, codes)

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        latent_keys, transform_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        if conditional and "label" not in batch:
            raise ValueError(f"A conditional task needs batches with 'label'; this one has {sorted(batch)}.")
        labels = batch["label"] if conditional else None
        given = draw_given(latent_keys, labels, latent_size=latent_size, codes=codes, styled=styled)
        return Example(given=given, real=transform(batch, transform_keys)["image"])

    def generate(generator: BoundNetwork, given: Given) -> jax.Array:
        if given.styles is not None:
            return generator(given.styles, given.keys, method="synthesize")
        return generator(given.latents, given.labels, *((given.keys,) if styled else ()))

    def style(generator: BoundNetwork, given: Given) -> tuple[jax.Array, Callable[[jax.Array], Given]]:
        styles = generator(given.latents, given.labels, method="style")
        return styles, lambda styles: given._replace(styles=styles)

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> Verdict:
        labels = given.labels if told else None
        if terms:
            return Verdict(*discriminator(sample, labels, method="describe"))
        return Verdict(discriminator(sample, labels))

    return Task(
        prepare,
        generate,
        judge,
        generator_terms=lambda round: {name: _GENERATOR[name](round, codes) for name in terms},
        discriminator_terms=lambda round: {
            name: _DISCRIMINATOR[name](round, codes) for name in terms if name in _DISCRIMINATOR
        },
        code=style if styled else latents_of,
    )


def _check(latent_size: int, conditional: bool, terms: Collection[str], codes: Codes) -> None:
    classified = {"auxiliary_classifier", "twin_classifier"} & {*terms}
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if classified and not conditional:
        raise ValueError(f"{sorted(classified)} name the labels' classes; set conditional=True.")
    if len(classified) == 2:
        raise ValueError("auxiliary_classifier and twin_classifier train the same head; choose one.")
    if ("information" in terms) != (codes.size > 0):
        raise ValueError(f"The codes are {codes} and the terms {tuple(terms)}: 'information' is about codes.")
    if codes.size >= latent_size:
        raise ValueError(
            f"{codes} takes {codes.size} numbers, which must be fewer than latent_size, {latent_size}."
        )


# What the terms are for each player, of a round and the codes.


def _named(verdict: Verdict, round: Round, head: str = "classes") -> jax.Array:
    """How badly a head names the labels, [B]."""
    return objectives.auxiliary_classifier(verdict.heads[head], round.example.given.labels)


def _twin(round: Round, codes: Codes) -> jax.Array:
    says = round.fake_verdict.heads
    return objectives.twin_classifier(says["classes"], says["twin"], round.example.given.labels)


def _information(round: Round, codes: Codes) -> jax.Array:
    """How badly the codes of the fakes are read, [B]."""
    choices, numbers = codes.split(round.example.given.latents)
    says = round.fake_verdict.heads["codes"]
    total = jnp.zeros(len(says), says.dtype)
    for choice, count in zip(choices, codes.categorical, strict=True):
        total += objectives.categorical_information(says[:, :count], choice)
        says = says[:, count:]
    # Of the numbers with a fixed variance, or D would make it ever smaller.
    return total + objectives.gaussian_information(says, jnp.zeros_like(says), numbers)


def _matched(round: Round, codes: Codes) -> jax.Array:
    """Of the discriminator's last features, whose mean over all devices is taken."""
    real, fake = (
        round.whole(jnp.mean(verdict.features[-1], axis=0, keepdims=True))
        for verdict in (round.real_verdict, round.fake_verdict)
    )
    return objectives.mean_feature_matching([real], [fake])


_Term = Callable[[Round, Codes], jax.Array]
_GENERATOR: Mapping[str, _Term] = {
    "auxiliary_classifier": lambda round, codes: _named(round.fake_verdict, round),
    "twin_classifier": _twin,
    "information": _information,
    "mean_feature_matching": _matched,
}
_DISCRIMINATOR: Mapping[str, _Term] = {
    "auxiliary_classifier": lambda round, codes: (
        _named(round.real_verdict, round) + _named(round.fake_verdict, round)
    ),
    "twin_classifier": lambda round, codes: (
        _named(round.real_verdict, round) + _named(round.fake_verdict, round, "twin")
    ),
    "information": _information,
}
