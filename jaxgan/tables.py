"""Tables of what networks cost, for `jaxgan models`: of a config, or of every family as it comes."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxgan import build, command, costs, steps
from jaxgan import config as configs
from jaxgan.alternation import PLAYERS, Phase, PlayerName
from jaxgan.config import Config, ConfigError
from jaxgan.losses import LOSSES
from jaxgan.models.families import of_task
from jaxgan.rules import NEEDS
from jaxgan.tasks import synthesis

ImageShape = tuple[int, int, int]
Costs = Mapping[PlayerName, costs.Cost]
LABELS = {"image": "label", "input": "input_label"}  # of a batch's images
HEADER = ("", "parameters", "FLOPs forward", "FLOPs of an update", "MiB kept")


def read_config(arguments: Sequence[str]) -> Config | None:
    """The config that `--config=FILE` and `--config.FIELD=VALUE` say, as `train.py` reads it, or None.

    Raises:
      ConfigError: what is wrong with them, in words.
    """
    if not arguments:
        return None
    argv, values = ["jaxgan", *arguments], flags.FlagValues()
    here = os.getcwd()
    if here not in sys.path:  # config files import each other from where the command is given
        sys.path.append(here)
    try:
        given = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
        _, *unknown = values(argv)
        if not unknown and not isinstance(given.value, ConfigDict):  # what could not be opened is kept
            missing = TypeError("get_config() returned no ConfigDict; start from configs/base.py")
            raise getattr(given.value, "_error", missing)
    except Exception as error:  # a config is a program: it may raise anything
        raise ConfigError(command.explain(error, argv)) from error
    if unknown:
        raise ConfigError(f"{' '.join(unknown)}: not known; see jaxgan models --help.")
    configs.check(given.value)
    return given.value


def image_shape(config: Config, shape: Sequence[int] | None) -> ImageShape:
    """(H, W, C) as given, or else as the config has it.

    Raises:
      ConfigError: neither says.
    """
    given = tuple(shape or (*config.data.size, config.data.channels))
    if len(given) != 3 or 0 in given:
        raise ConfigError(
            f"The config does not say how large the images of {config.data.source} are, and this command "
            "does not open them. Give --shape HEIGHT WIDTH CHANNELS."
        )
    return given


def of_config(config: Config, shape: ImageShape, classes: int, batch_size: int) -> str:
    """A table of a config's networks, for images [H,W,C], inputs that are like them, and a batch of so many.

    Raises:
      ConfigError: the networks cannot make such images, or need classes.
    """
    if config.model.conditional and not classes:
        raise ConfigError("model.conditional is True; give --classes, how many labels the images have.")
    shapes = {name: shape for name in ("image", *(["input"] if NEEDS[config.task.name] else []))}
    game = build.make_game(config, shapes, classes)
    try:
        found = costs.costs_of(game, _batch(shapes, classes, batch_size))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    title = f"{config.model.family}, {_described(shape, classes, batch_size)}"
    return "\n".join([title, *_rows({"": found}), _step(found, build.make_alternation(config))])


def of_families(shape: ImageShape, classes: int, batch_size: int) -> str:
    """A table of every family with its modules' own widths and depths, without penalties."""
    found, wrong = dict[str, Costs](), list[str]()
    for name, family in of_task("synthesis").items():
        fields = {"image_shape": shape, "num_classes": classes}
        generator, discriminator = (
            module(**{field: fields[field] for field in fields if field in module.__dataclass_fields__})
            for module in (family.generator, family.discriminator)
        )
        game = steps.Game(
            task=synthesis.make_task(128, conditional=classes > 0, styled=family.styled),
            generator=generator,
            discriminator=discriminator,
            loss=LOSSES["non_saturating"],
            optimizers={player: optax.adam(2e-4) for player in PLAYERS},
        )
        try:
            found[f"{name} "] = costs.costs_of(
                game, _batch({"image": shape}, classes, batch_size, jnp.float32)
            )
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    return "\n".join([f"All families, {_described(shape, classes, batch_size)}", *_rows(found), *wrong])


def _batch(
    shapes: Mapping[str, ImageShape], classes: int, size: int, dtype: Any = jnp.uint8
) -> dict[str, Any]:
    images = {name: jax.ShapeDtypeStruct((size, *shape), dtype) for name, shape in shapes.items()}
    labels = [LABELS[name] for name in shapes] if classes else []
    return images | {name: jax.ShapeDtypeStruct((size,), jnp.int32) for name in labels}


def _described(shape: ImageShape, classes: int, batch_size: int) -> str:
    size = "x".join(map(str, shape))
    return f"images of {size}, {classes or 'no'} classes, batches of {batch_size}; FLOPs are of one image"


def _rows(found: Mapping[str, Costs]) -> list[str]:
    """A header and a row for each player, its name first, the numbers in columns."""
    cells = [
        (
            f"{name}{player}",
            f"{cost.parameters:,}",
            f"{cost.forward:.3g}",
            f"{cost.update:.3g}",
            f"{cost.kept / 2**20:,.1f}",
        )
        for name, players in found.items()
        for player, cost in players.items()
    ]
    rows = [HEADER, *cells]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    pattern = "  ".join([f"{{:<{first}}}", *(f"{{:>{width}}}" for width in others)])
    return [pattern.format(*row) for row in rows]


def _step(found: Costs, alternation: Sequence[Phase]) -> str:
    return f"A training step takes {costs.step_flops(found, alternation):.3g} FLOPs for each image shown."
