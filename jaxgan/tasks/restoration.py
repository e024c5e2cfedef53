"""Repair: images with a hole to fill, with noise or blur to take away; what is known stays as it is.

A mask says where the image is damaged, and a damage what is there instead: nothing in a hole (inpainting),
the image with noise (denoising) or blurred (deblurring), for which the mask is 1 everywhere.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import masks
from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

TERMS = ("pixel", "perceptual", "feature_matching")
Batch = Mapping[str, jax.Array]
Transform = Callable[[Batch, jax.Array], Batch]
DrawMasks = Callable[[jax.Array, masks.Size], jax.Array]  # keys [B], (H, W) -> [B,H,W,1]
Damage = Callable[[jax.Array, jax.Array], jax.Array]  # images [B,H,W,C], keys [B] -> images
Distance = Callable[[jax.Array, jax.Array], jax.Array]  # two [B,H,W,C] -> [B]


class Given(NamedTuple):
    """What a generator that repairs is given.

    Attributes:
      images: [B,H,W,C], where the mask is 1 damaged: in a hole they are 0, mid-grey.
      masks: [B,H,W,1], 1 where pixels are to be made, 0 where they are known.
    """

    images: jax.Array
    masks: jax.Array


def everywhere(keys: jax.Array, size: masks.Size) -> jax.Array:
    """Masks of 1: the whole image is damaged."""
    return jnp.ones((len(keys), *size, 1), jnp.result_type(float))


def composite(known: jax.Array, made: jax.Array, masks: jax.Array) -> jax.Array:
    """`made` where masks are 1, and `known` bit for bit where they are 0: [B,H,W,C] twice, [B,H,W,1]."""
    return jnp.where(masks > 0, made, known)


def make_task(
    *,
    draw_masks: DrawMasks = everywhere,
    damage: Damage | None = None,
    terms: Collection[str] = (),
    known: float = 0.0,
    perceptual: Distance | None = None,
    transform: Transform = to_floats,
) -> Task:
    """The task of repairing images like those of a data set.

    Args:
      draw_masks: where images are damaged, of batches without masks of their own.
      damage: what is there instead, of batches without inputs of their own; it keeps the size. None: a hole.
      terms: names in `TERMS` of further losses of the generator: the absolute difference of pixels, another
        distance of images, and that of the discriminator's features, which then needs `describe`.
      known: of the term `pixel`, how much a known pixel counts beside a damaged one. They are thrown away
        in the composite; where they count, derivatives are taken through the generator twice.
      perceptual: (images, images) -> [B], for the term of this name.
      transform: (batch, keys [B]) -> the batch with images in [-1, 1] and masks of 0 and 1, changed alike.

    Returns:
      A Task for batches {"image": [B,H,W,C]}, and where the source has them "mask" [B,H,W,1] and "input",
      the damaged images [B,H,W,C]. The discriminator sees [B,H,W,C+1], masks as the last channel. In use the
      batch is {"input": [B,H,W,C]} and, unless the whole image is damaged, "mask".

    Raises:
      ValueError: terms that do not exist, `perceptual` without its distance or the other way round, and a
        `known` below 0. The task raises one for images, inputs and masks of different sizes.

    Source: Yu et al. 2019, section 3.2, hinge loss and L1 of pixels; Liu et al. 2018, section 3.3, where a
    damaged pixel counts 6 times a known one (known=1/6) and means are over the image, not over its hole.
    """
    _check(terms, known, perceptual)

    def prepare(batch: Batch, keys: jax.Array) -> Example:
        batch_keys, mask_keys, damage_keys = jax.vmap(partial(jax.random.split, num=3), out_axes=1)(keys)
        batch = transform(batch, batch_keys)
        images, masks = batch["image"], batch.get("mask")
        if masks is None:
            masks = draw_masks(mask_keys, (images.shape[1], images.shape[2]))
        damaged = batch.get("input")
        if damaged is None:
            damaged = jnp.zeros_like(images) if damage is None else damage(images, damage_keys)
        _check_sizes(images, damaged, masks)
        return Example(Given(composite(images, damaged, masks), masks), images)

    def generate(generator: BoundNetwork, given: Given) -> jax.Array:
        return composite(given.images, generator(given.images, given.masks), given.masks)

    def judge(discriminator: BoundNetwork, sample: jax.Array, given: Given) -> Verdict:
        shown = jnp.concatenate([sample, given.masks.astype(sample.dtype)], axis=-1)
        if "feature_matching" in terms:
            return Verdict(*discriminator(shown, method="describe"))
        return Verdict(discriminator(shown))

    def pixel(round: Round) -> jax.Array:
        given, real = round.example.given, round.example.real
        error = objectives.absolute_difference(round.fake, real)  # 0 of known pixels
        if not known:
            return error
        made = round.generator(given.images, given.masks)
        return error + known * objectives.absolute_difference(composite(made, real, given.masks), real)

    def matched(round: Round) -> jax.Array:
        return objectives.feature_matching(round.real_verdict.features, round.fake_verdict.features)

    losses: dict[str, Callable[[Round], jax.Array]] = {"pixel": pixel, "feature_matching": matched}
    if (distance := perceptual) is not None:
        losses["perceptual"] = lambda round: distance(round.fake, round.example.real)

    def show(generator: BoundNetwork, example: Example) -> Pictures:
        made = generate(generator, example.given)
        return {"input": example.given.images, "output": made, "truth": example.real}

    def use(generator: BoundNetwork, batch: Batch, keys: jax.Array) -> jax.Array:
        images = batch["input"]
        masks = batch.get("mask", everywhere(keys, (images.shape[1], images.shape[2])))
        _check_sizes(images, images, masks)
        shown = composite(images, jnp.zeros_like(images), masks) if damage is None else images
        return generate(generator, Given(shown, masks))

    return Task(
        prepare,
        generate,
        judge,
        generator_terms=lambda round: {name: losses[name](round) for name in terms},
        show=show,
        use=use,
    )


def _check(terms: Collection[str], known: float, perceptual: Distance | None) -> None:
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if ("perceptual" in terms) != (perceptual is not None):
        raise ValueError(f"The terms are {tuple(terms)}: 'perceptual' and its distance are given together.")
    if known < 0.0:
        raise ValueError(f"known is {known}, expected how much known pixels count, 0 or more.")


def _check_sizes(images: jax.Array, damaged: jax.Array, masks: jax.Array) -> None:
    if damaged.shape != images.shape or masks.shape != (*images.shape[:-1], 1):
        raise ValueError(
            f"Images are {images.shape}, damaged ones {damaged.shape} and masks {masks.shape}; expected "
            "[B,H,W,C] twice and [B,H,W,1], of one size. To enlarge images is a task of its own."
        )
