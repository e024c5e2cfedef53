"""The tasks by the names that configs have for them, each built of a config's fields."""

from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax

from jaxgan import data, degradations, masks
from jaxgan.config import Config, ConfigError, crop_of
from jaxgan.features.perceptual import lpips
from jaxgan.models.families import FAMILIES
from jaxgan.tasks import (
    Task,
    contrastive,
    cycle,
    paired,
    restoration,
    shared_latent,
    styles,
    super_resolution,
    synthesis,
    to_floats,
)

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # of an example's images, by the names that batches have for them
Transform = Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]
Make = Callable[[Config, Collection[str], Transform], Task]


class Application(NamedTuple):
    """A task, and what it is to its data and to the discriminator.

    Attributes:
      make: (config, names of further losses, transform of batches) -> the task.
      paired: what belongs to an example is moved alike when it is cropped or flipped.
      beside: of the shapes of an example's images, how many channels the discriminator sees beside the
        image's own.
    """

    make: Make
    paired: bool = True
    beside: Callable[[Shapes], int] = lambda shapes: 0


def make_codes(config: Config) -> synthesis.Codes:
    """InfoGAN's codes among the latents."""
    return synthesis.Codes(tuple(config.model.codes.categorical), config.model.codes.continuous)


def make_task(config: Config, terms: Collection[str], *, still: bool = False) -> Task:
    """The task of a config.

    Args:
      config: a checked one.
      terms: names of the further losses that are to be computed.
      still: images are not moved, for those who look at them: all of them, or the middles of `crop_of`.

    Raises:
      ConfigError: fields of the task that cannot be.
    """
    application = APPLICATIONS[config.task.name]
    moved = partial(_middles, crop_of(config)) if still else make_transform(config, paired=application.paired)
    try:
        return application.make(config, terms, moved)
    except ValueError as error:
        raise ConfigError(f"The task cannot be built (config.task): {error}") from error


def check_weights(config: Config) -> None:
    """Reads the weights of `terms.perceptual`, which only training needs.

    Raises:
      ConfigError: they cannot be read.
    """
    try:
        if config.task.perceptual:
            _distance(config.task.perceptual)
    except (OSError, ValueError) as error:
        raise ConfigError(f"task.perceptual is {config.task.perceptual!r}: {error}") from error


def make_transform(config: Config, *, paired: bool) -> Transform:
    """Whole numbers brought to [-1, 1], cropped and flipped if asked, the images of an example alike."""
    size = tuple(config.data.random_crop)

    def transform(batch: Mapping[str, jax.Array], keys: jax.Array) -> Mapping[str, jax.Array]:
        if size:
            keys, crop_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
            batch = data.crop_alike(batch, crop_keys, size, paired=paired)
        batch = to_floats(batch)
        return data.flip_alike(batch, keys, paired=paired) if config.data.flip else batch

    return transform


def _middles(
    size: tuple[int, int] | None, batch: Mapping[str, jax.Array], keys: jax.Array
) -> Mapping[str, jax.Array]:
    """Whole numbers brought to [-1, 1], of images with a fixed size (height, width) their middles."""
    if size is not None:
        batch = {n: x if n.endswith("label") else data.centre_crop(x, size) for n, x in batch.items()}
    return to_floats(batch)


def _synthesis(config: Config, terms: Collection[str], transform: Transform) -> Task:
    return synthesis.make_task(
        config.model.latent_size,
        conditional=config.model.conditional,
        told=config.model.discriminator.labels != "none",
        terms=terms,
        codes=make_codes(config),
        styled=FAMILIES[config.model.family].styled,
        transform=transform,
    )


def _paired(config: Config, terms: Collection[str], transform: Transform) -> Task:
    return paired.make_task(
        terms=terms,
        perceptual=_perceptual(config, terms),
        noisy=config.model.family == "unet" and config.model.unet.dropout > 0.0,
        transform=transform,
    )


def _super_resolution(config: Config, terms: Collection[str], transform: Transform) -> Task:
    scale = config.task.scale
    return super_resolution.make_task(
        scale,
        degrade=degradations.make_degradation(config.task.degradations or (("bicubic",),), scale),
        terms=terms,
        pixel=config.task.pixel,
        perceptual=_perceptual(config, terms),
        transform=transform,
    )


def _restoration(config: Config, terms: Collection[str], transform: Transform) -> Task:
    """Holes, or with degradations images that are bad all over."""
    fields = config.task
    if fields.degradations:
        make = partial(restoration.make_task, damage=degradations.make_degradation(fields.degradations))
    else:
        draw = partial(masks.draw_masks, kinds=tuple(fields.masks), area=tuple(fields.area))
        make = partial(restoration.make_task, draw_masks=draw)
    return make(terms=terms, known=fields.known, perceptual=_perceptual(config, terms), transform=transform)


def _cycle(config: Config, terms: Collection[str], transform: Transform) -> Task:
    return cycle.make_task(terms=terms, pool=config.task.pool, transform=transform)


def _contrastive(config: Config, terms: Collection[str], transform: Transform) -> Task:
    fields = config.task
    return contrastive.make_task(
        terms=terms, mirror=fields.mirror, temperature=fields.temperature, transform=transform
    )


def _shared_latent(config: Config, terms: Collection[str], transform: Transform) -> Task:
    return shared_latent.make_task(terms=terms, transform=transform)


def _styles(config: Config, terms: Collection[str], transform: Transform) -> Task:
    return styles.make_task(config.model.latent_size, terms=terms, transform=transform)


def _perceptual(config: Config, terms: Collection[str]) -> Callable[[Any, Any], jax.Array] | None:
    """The distance of `terms.perceptual`, by weights that are read when they are needed."""
    if "perceptual" not in terms:
        return None

    def apply(first: jax.Array, second: jax.Array) -> jax.Array:
        distance = _distance(config.task.perceptual)
        # Behind the barrier they are no constants, by which XLA's CPU backend may convolve wrongly.
        variables = jax.lax.optimization_barrier(distance.variables)
        return distance.apply(variables, first, second)

    return apply


_distance = cache(lpips)


def _input_channels(shapes: Shapes) -> int:
    return shapes["input"][-1]


APPLICATIONS: Mapping[str, Application] = {
    "synthesis": Application(_synthesis),
    "super_resolution": Application(_super_resolution),
    "restoration": Application(_restoration, beside=lambda shapes: 1),  # the mask
    "paired": Application(_paired, beside=_input_channels),
    "cycle": Application(_cycle, paired=False),
    "contrastive": Application(_contrastive, paired=False),
    "shared_latent": Application(_shared_latent, paired=False),
    "styles": Application(_styles, paired=False),
}
