"""Super-resolution: large images of small ones."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

import jax

from jaxgan import terms as objectives
from jaxgan.degradations import Degradation, bicubic
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

TERMS = ("pixel", "perceptual", "feature_matching")
Transform = Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]
Distance = Callable[[jax.Array, jax.Array], jax.Array]


class Given(NamedTuple):
    """What the generator is given.

    Attributes:
      images: [B,h,w,C] in [-1, 1], the small ones.
    """

    images: jax.Array


def make_task(
    scale: int,
    *,
    degrade: Degradation | None = None,
    terms: Collection[str] = (),
    pixel: str = "l1",
    perceptual: Distance | None = None,
    transform: Transform = to_floats,
) -> Task:
    """The task of making images `scale` times as high and wide.

    Args:
      scale: how many rows and columns are made of one.
      degrade: makes small images of large ones, as `degradations.make_degradation` of this scale does; None:
        batches hold them, as "input". Where a batch has inputs, they are what is given.
      terms: names in `TERMS` of further losses of the generator: of pixels; of what `perceptual` sees; of
        the discriminator's own features, for which it needs a method `describe`.
      pixel: the loss of pixels: a name in `terms.PIXEL_LOSSES`.
      perceptual: (made, true [B,H,W,C] in [-1, 1]) -> [B], such as LPIPS, for the term of this name.
      transform: (batch, keys [B]) -> the batch with floats in [-1, 1], cropped and flipped.

    Returns:
      A Task for batches {"image": [B,H,W,C]}, and as they have them "input" [B,H/scale,W/scale,C].

    Raises:
      ValueError: terms and losses that do not exist, a distance that is missing or for nothing.

    Source: Ledig et al. 2017 (SRGAN), section 2.2, with pixels beside features as in Wang et al. 2018
    (ESRGAN), eq. 3. Departures: the perceptual distance is whichever is given; the discriminator's features
    are matched as in Wang et al. 2018 (pix2pixHD), eq. 4.
    """
    _check(scale, terms, pixel, perceptual)

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        degrade_keys, transform_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        batch = transform(batch, transform_keys)
        images = batch["image"]
        if "input" in batch:
            small = batch["input"]
        elif degrade is not None:
            small = degrade(images, degrade_keys)
        else:
            raise ValueError(
                f"The batch has {sorted(batch)} and nothing makes small images of large ones; give a "
                "degradation, or data with inputs."
            )
        if (small.shape[1] * scale, small.shape[2] * scale) != images.shape[1:3]:
            raise ValueError(
                f"Small images are {small.shape} and large ones {images.shape}; at a scale of {scale} these "
                "have so many times as many rows and columns. Crop them alike, or set the scale."
            )
        return Example(Given(small), images)

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> Verdict:
        if "feature_matching" in terms:
            return Verdict(*discriminator(sample, method="describe"))
        return Verdict(discriminator(sample))

    losses: dict[str, Callable[[Round], jax.Array]] = {
        "pixel": lambda round: objectives.PIXEL_LOSSES[pixel](round.fake, round.example.real),
        "feature_matching": _matched,
    }
    if (distance := perceptual) is not None:
        losses["perceptual"] = lambda round: distance(round.fake, round.example.real)
    return Task(
        prepare,
        _generate,
        judge,
        generator_terms=lambda round: {name: losses[name](round) for name in terms},
        show=partial(_show, scale=scale),
        use=_use,
    )


def _check(scale: int, terms: Collection[str], pixel: str, perceptual: Distance | None) -> None:
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if pixel not in objectives.PIXEL_LOSSES:
        raise ValueError(
            f"No loss of pixels {pixel!r}; expected one of {', '.join(objectives.PIXEL_LOSSES)}."
        )
    if ("perceptual" in terms) != (perceptual is not None):
        raise ValueError(f"The terms are {tuple(terms)}: 'perceptual' and its distance are given together.")
    if scale < 1:
        raise ValueError(f"scale is {scale}, expected 1 or more.")


def _generate(generator: BoundNetwork, given: Given) -> jax.Array:
    images: jax.Array = generator(given.images)
    return images


def _matched(round: Round) -> jax.Array:
    real = [jax.lax.stop_gradient(grid) for grid in round.real_verdict.features]
    return objectives.feature_matching(real, round.fake_verdict.features)


def _show(generator: BoundNetwork, example: Example, *, scale: int) -> Pictures:
    """Beside what was made, what interpolation makes of the same."""
    small = example.given.images
    enlarged = bicubic(small, (small.shape[1] * scale, small.shape[2] * scale))
    return {"bicubic": enlarged, "output": _generate(generator, example.given), "truth": example.real}


def _use(generator: BoundNetwork, batch: Mapping[str, jax.Array], keys: jax.Array) -> jax.Array:
    """Large images of small ones, "input" [B,h,w,C]."""
    return _generate(generator, Given(batch["input"]))
