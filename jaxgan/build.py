"""Builds the parts of a run from a checked config; past this door nothing sees a config."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan import augment, data, steps
from jaxgan import config as configs
from jaxgan.alternation import PLAYERS, Phase, PlayerName, batches_per_step, reached
from jaxgan.applications import APPLICATIONS, Shapes, make_codes, make_task
from jaxgan.config import Config
from jaxgan.evaluation.evaluator import Evaluator, Request
from jaxgan.losses import LOSSES, Loss, make_logistic
from jaxgan.models.families import FAMILIES, Family
from jaxgan.penalties import PENALTIES, Penalty, make_consistency
from jaxgan.relations import moving, pieces_of
from jaxgan.rules import NEEDS, TERMS
from jaxgan.schedules import Value, make_schedule, scheduled, value_at
from jaxgan.tasks import synthesis

ImageShape = tuple[int, int, int]


def open_source(config: Config, *, split: str = "", progress: bool = False) -> data.Source:
    """The images that a config names, or another split of them.

    Raises:
      DataError: they cannot be used.
    """
    fields = config.data
    layout = data.Layout(
        tuple(fields.size), fields.fit, fields.filter, fields.channels, tuple(fields.background)
    )
    source = data.open_source(
        fields.source,
        split=split or fields.split,
        data_dir=fields.data_dir or None,
        layout=layout,
        input_layout=layout._replace(size=tuple(fields.input_size) or layout.size),
        input_half=fields.input_half,
        strict=fields.strict,
        prepare=fields.prepare,
        progress=progress,
    )
    return complete(config, data.by_domain(source) if fields.labels == "domains" else source)


def open_shown(config: Config, source: data.Source) -> data.Source:
    """The images that are looked at while a run trains: the source's, or another split of them.

    Raises:
      DataError: they cannot be used.
      ConfigError: they have other sizes, for which nothing was checked.
    """
    if not config.evaluate.split:
        return source
    seen = open_source(config, split=config.evaluate.split)
    if seen.shapes_of_all != source.shapes_of_all:
        raise configs.ConfigError(
            f"evaluate.split is {config.evaluate.split!r}, of {seen.name} with images {seen.shapes_of_all}, "
            f"and {source.name}, which is trained on, has {source.shapes_of_all}; expected the same. Set "
            "data.size and data.channels."
        )
    return seen


def complete(config: Config, source: data.Source) -> data.Source:
    """A source with what the task needs beside its images, where it has that in itself."""
    alone = NEEDS[config.task.name] == "classes" and not source.others
    return data.against_itself(source) if alone else source


def make_evaluator(config: Config, source: data.Source, *, progress: bool = False) -> Evaluator | None:
    """What measures samples against the images during training, or None.

    Raises:
      ConfigError: what cannot be measured as asked.
    """
    fields = config.evaluate
    if not fields.every:
        return None
    asked = Request(*(fields[name] for name in Request._fields))
    try:
        return Evaluator(
            asked._replace(metrics=tuple(asked.metrics)),
            source,
            crop=configs.crop_of(config),
            labelled=config.model.conditional,
            progress=progress,
        )
    except (OSError, ValueError) as error:
        raise configs.ConfigError(f"Samples cannot be evaluated (config.evaluate): {error}") from error


def make_term_weights(config: Config) -> dict[str, Value]:
    """The task's further losses that have a weight, by name."""
    flat, value = configs.flatten(config), make_values(config)
    return {name: value(f"terms.{name}") for name in TERMS if moving(flat, f"terms.{name}")}


def make_networks(
    config: Config, shapes: Shapes, num_classes: int, *, axis_name: str | None = None
) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of images of these shapes, and classes if the config wants them."""
    model, family = config.model, FAMILIES[config.model.family]
    shape = height, width, channels = shapes["image"]
    classes = num_classes if model.conditional else 0
    shared = {
        "image_shape": shape,
        "input_shape": shapes.get("input", shape),
        "channels": channels,
        "scale": config.task.scale,
        "smallest": model.smallest,
        "remat": model.remat,
        "dtype": jnp.dtype(model.dtype),
        "axis_name": axis_name,
        "squash": True,  # a perceptron's samples need not be images
        **configs.flatten(model.get(model.family, {})),
    }
    judges = {
        "image_shape": (height, width, channels + APPLICATIONS[config.task.name].beside(shapes)),
        "num_classes": classes if model.discriminator.labels != "none" else 0,
        "heads": synthesis.heads([*make_term_weights(config)], num_classes, make_codes(config)),
        **model.discriminator,
    }
    generator = _network("generator", family, {**shared, "num_classes": classes, **model.generator})
    return generator, _network("discriminator", family, {**shared, **judges})


def _network(player: PlayerName, family: Family, fields: Mapping[str, Any]) -> nn.Module:
    """The player's module with its fields among these; their names may begin with the player's."""
    own = {name.removeprefix(f"{player}_"): value for name, value in fields.items()} | {**fields}
    module: type[nn.Module] = getattr(family, player)
    return module(**{name: own[name] for name in module.__dataclass_fields__ if name in own})


def make_loss(config: Config) -> Loss:
    """The loss by its name, its targets smoothed as asked."""
    smoothing = config.smoothing
    if (smoothing.real, smoothing.fake, smoothing.flipped) == (1.0, 0.0, 0.0):
        return LOSSES[config.loss]
    return make_logistic(real_target=smoothing.real, fake_target=smoothing.fake, flipped=smoothing.flipped)


def make_values(config: Config) -> Callable[[str], Value]:
    """A field's name -> its number, or the schedule that it follows."""
    flat = configs.flatten(config)

    def value(name: str) -> Value:
        pieces = pieces_of(flat, name)
        return make_schedule(pieces) if pieces else flat[name]

    return value


def make_optimizer(config: Config, player: PlayerName) -> optax.GradientTransformation:
    """One player's optimiser: `config.optimizer.<player>`, gradients clipped before they are used."""
    fields, value = config.optimizer[player], make_values(config)

    def at(images: Any) -> optax.GradientTransformation:
        rate, b1, b2 = (
            value_at(value(f"optimizer.{player}.{name}"), images) for name in ("learning_rate", "b1", "b2")
        )
        steps = [optax.adaptive_grad_clip(fields.clip_adaptive)] if fields.clip_adaptive else []
        steps += [optax.clip_by_global_norm(fields.clip_norm)] if fields.clip_norm else []
        learn = {
            "adam": lambda: optax.adam(rate, b1=b1, b2=b2),
            "rmsprop": lambda: optax.rmsprop(rate, fields.decay, momentum=fields.momentum or None),
            "sgd": lambda: optax.sgd(rate, momentum=fields.momentum or None),
        }[fields.name]()
        return optax.chain(*steps, learn)

    return scheduled(at)


def make_penalties(config: Config) -> dict[str, Penalty]:
    """The penalties with a weight, by name."""
    flat, value = configs.flatten(config), make_values(config)
    shift = augment.make_augment("T")  # as far as CR-GAN's, with zeros at the edge
    consistent = {
        name: make_consistency(partial(shift, p=1.0), balanced=name == "balanced_consistency")
        for name in ("consistency", "balanced_consistency")
    }
    return {
        name: penalty._replace(weight=value(f"penalties.{name}"), every=config.lazy[name])
        for name, penalty in ({**PENALTIES, **consistent}).items()
        if moving(flat, f"penalties.{name}")
    }


def make_augmentation(config: Config) -> augment.Augmentation | None:
    """What the discriminator sees images through, or None."""
    fields = config.augment
    if not fields.policy:
        return None
    apply = augment.make_augment(fields.policy)
    if fields.control == "adaptive":
        return augment.adaptive(apply, p=fields.p, target=fields.target, kimg=fields.kimg)
    p = make_values(config)("augment.p")
    return augment.scheduled(apply, p) if callable(p) else augment.fixed(apply, p)


def make_alternation(config: Config) -> tuple[Phase, ...]:
    """The phases of one training step."""

    def phase(player: PlayerName) -> Phase:
        fields = config.alternation[player]
        until = reached(player, fields.until, fields.target) if fields.until else None
        return Phase(player, fields.steps, until)

    return tuple(phase(player) for player in config.alternation.phases)


def make_game(
    config: Config, shapes: Shapes, num_classes: int, *, axis_name: str | None = None
) -> steps.Game:
    """The static half of a run: task, networks, loss, penalties, optimisers.

    Args:
      config: a checked one.
      shapes: [H,W,C] of an example's images as the source has them, by name; "image" is one of them.
      num_classes: of the labels; 0: there are none.
      axis_name: the mapped axis that the step runs under, or None.
    """
    shapes = configs.shown_shapes(config, shapes)
    generator, discriminator = make_networks(config, shapes, num_classes, axis_name=axis_name)
    return steps.Game(
        task=make_task(config, [*make_term_weights(config)]),
        generator=generator,
        discriminator=discriminator,
        loss=make_loss(config),
        optimizers={name: make_optimizer(config, name) for name in PLAYERS},
        penalties=make_penalties(config),
        adversarial=make_values(config)("adversarial"),
        term_weights=make_term_weights(config),
        augmentation=make_augmentation(config),
        top_k=make_values(config)("top_k"),
        accumulate=config.accumulate,
        axis_name=axis_name,
    )


def make_train_step(config: Config, game: steps.Game) -> steps.TrainStep:
    """The training step of a game."""
    return steps.make_train_step(
        game,
        alternation=make_alternation(config),
        fresh_fakes=config.alternation.fresh_fakes,
        ema_half_life=make_values(config)("ema.half_life"),
    )


def make_pretraining_step(config: Config, game: steps.Game) -> steps.TrainStep | None:
    """The training step of the run's first `pretrain.steps`, G learning from one term alone, or None."""
    if not config.pretrain.steps:
        return None
    term = config.pretrain.term
    alone = game._replace(
        task=make_task(config, [term]),
        adversarial=0.0,
        term_weights={term: 1.0},
        penalties={},
        augmentation=None,
    )
    phases = make_alternation(config)
    updates = batches_per_step(phases)
    return steps.make_train_step(
        alone,
        alternation=(Phase("generator", updates),),
        ema_half_life=make_values(config)("ema.half_life"),
    )
