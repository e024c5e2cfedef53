"""Builds the parts of a run from a checked config; past this door nothing sees a config."""

from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan import config as configs
from jaxgan import data, steps
from jaxgan.alternation import PLAYERS, Phase, PlayerName, reached
from jaxgan.config import Config
from jaxgan.losses import LOSSES
from jaxgan.models import dcgan, mlp
from jaxgan.penalties import PENALTIES
from jaxgan.tasks import Task, synthesis

ImageShape = tuple[int, int, int]


def make_task(config: Config) -> Task:
    """The synthesis task, with uint8 images brought to [-1, 1] and flipped if asked."""

    def transform(images: Any, keys: Any) -> Any:
        images = data.to_float(images)
        return data.random_flip(images, keys) if config.data.flip else images

    return synthesis.make_task(
        config.model.latent_size, conditional=config.model.conditional, transform=transform
    )


def make_networks(
    config: Config, shape: ImageShape, num_classes: int, *, axis_name: str | None = None
) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of images [H,W,C], of this many classes if the config wants them."""
    model = config.model
    classes = num_classes if model.conditional else 0
    shared: dict[str, Any] = {"num_classes": classes, "dtype": jnp.dtype(model.dtype)}
    g_width, d_width = model.generator.width, model.discriminator.width
    if model.family == "mlp":
        return (
            mlp.Generator(shape, width=g_width, squash=True, **shared),
            mlp.Discriminator(width=d_width, **shared),
        )
    shared |= {"smallest": model.smallest, "axis_name": axis_name}
    return (
        dcgan.Generator(shape, width=g_width, **shared),
        dcgan.Discriminator(shape, width=d_width, norm=model.discriminator.norm, **shared),
    )


def make_optimizer(config: Config, updates: int) -> optax.GradientTransformation:
    """One player's optimiser: `config.optimizer.<player>`, over this many updates."""
    rate, rest = config.learning_rate, updates - config.warmup
    schedule = {
        "constant": optax.constant_schedule(rate),
        "linear": optax.linear_schedule(rate, 0.0, rest),
        "cosine": optax.cosine_decay_schedule(rate, rest),
    }[config.schedule]
    if config.warmup:
        climb = optax.linear_schedule(0.0, rate, config.warmup)
        schedule = optax.join_schedules([climb, schedule], [config.warmup])
    return {
        "adam": lambda: optax.adam(schedule, b1=config.b1, b2=config.b2),
        "rmsprop": lambda: optax.rmsprop(schedule, config.decay, momentum=config.momentum or None),
        "sgd": lambda: optax.sgd(schedule, momentum=config.momentum or None),
    }[config.name]()


def make_alternation(config: Config) -> tuple[Phase, ...]:
    """The phases of one training step."""

    def phase(player: PlayerName) -> Phase:
        fields = config.alternation[player]
        until = reached(player, fields.until, fields.target) if fields.until else None
        return Phase(player, fields.steps, until)

    return tuple(phase(player) for player in config.alternation.phases)


def make_game(
    config: Config, shape: ImageShape, num_classes: int, *, axis_name: str | None = None
) -> steps.Game:
    """The static half of a run: task, networks, loss, penalties, optimisers."""
    generator, discriminator = make_networks(config, shape, num_classes, axis_name=axis_name)
    flat = configs.flatten(config)
    return steps.Game(
        task=make_task(config),
        generator=generator,
        discriminator=discriminator,
        loss=LOSSES[config.loss],
        optimizers={
            name: make_optimizer(config.optimizer[name], max(1, configs.updates(flat, name)))
            for name in PLAYERS
        },
        penalties={
            name: penalty._replace(weight=config.penalties[name])
            for name, penalty in PENALTIES.items()
            if config.penalties[name] > 0
        },
        axis_name=axis_name,
    )
