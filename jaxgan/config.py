"""Checks a config, before any device is touched.

`RULES` lists every field and what it may hold; `configs/base.py` gives each its default and meaning.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxgan import data, parallel
from jaxgan.alternation import PLAYERS, PlayerName
from jaxgan.losses import LOSSES
from jaxgan.models import dcgan
from jaxgan.penalties import PENALTIES

Config = Any  # an ml_collections.ConfigDict, or anything with its fields as attributes and items


class ConfigError(ValueError):
    """A config that cannot be run; the message lists every field to change."""


class Rule(NamedTuple):
    """What a field may hold: its type, a predicate and the predicate in words."""

    kind: type
    accepts: Callable[[Any], bool]
    expected: str


def _one_of(*names: str) -> Rule:
    return Rule(str, lambda value: value in names, "one of " + ", ".join(repr(n) for n in names))


def _integer(low: int, high: float = float("inf")) -> Rule:
    upto = f" and at most {high}" if high < float("inf") else ""
    return Rule(int, lambda value: low <= value <= high, f"an integer, at least {low}{upto}")


def _number(low: float, high: float = float("inf"), *, above: bool = False) -> Rule:
    words = f"a {'' if high < float('inf') else 'finite '}number {'above' if above else 'from'} {low}"
    words += f" to {high}" if high < float("inf") else ""

    def accepts(value: float) -> bool:
        return math.isfinite(value) and (low < value if above else low <= value) and value <= high

    return Rule(float, accepts, words)


ANY_TEXT = Rule(str, lambda value: True, "a text")
TRUTH = Rule(bool, lambda value: True, "True or False")
MEASURES = ("distance/sliced_wasserstein",)  # what `observation.measure` returns
ROWS = 16  # classes that a grid of samples shows when the config names none

OPTIMIZER = {
    "name": _one_of("adam", "rmsprop", "sgd"),
    "learning_rate": _number(0.0, 10.0, above=True),
    "b1": _number(0.0, 0.999999),
    "b2": _number(0.0, 0.999999),
    "decay": _number(0.0, 0.999999),
    "momentum": _number(0.0, 0.999999),
    "schedule": _one_of("constant", "linear", "cosine"),
    "warmup": _integer(0),
}
PHASE = {
    "steps": _integer(1),
    "until": _one_of("", "accuracy", "fooled"),
    "target": _number(0.0, 1.0),
}
RULES: dict[str, Rule] = {
    "seed": _integer(0, 2**31 - 1),
    "steps": _integer(1),
    "batch_size": _integer(1),
    "data.source": Rule(str, lambda value: value.startswith("tfds:"), "'tfds:NAME', such as 'tfds:digits'"),
    "data.split": Rule(str, bool, "a split, such as 'train' or 'train[:80%]'"),
    "data.data_dir": ANY_TEXT,
    "data.flip": TRUTH,
    "data.placement": _one_of("auto", "device", "host"),
    "model.family": _one_of("dcgan", "mlp"),
    "model.conditional": TRUTH,
    "model.latent_size": _integer(1),
    "model.smallest": _integer(1),
    "model.dtype": _one_of("float32", "bfloat16"),
    "model.generator.width": _integer(1),
    "model.discriminator.width": _integer(1),
    "model.discriminator.norm": _one_of(*dcgan.NORMS),
    "loss": _one_of(*LOSSES),
    **{f"penalties.{name}": _number(0.0) for name in PENALTIES},
    **{f"optimizer.{p}.{name}": rule for p in PLAYERS for name, rule in OPTIMIZER.items()},
    "alternation.phases": Rule(
        tuple,
        lambda value: len(value) > 0 and all(name in PLAYERS for name in value),
        "a tuple of 'discriminator' and 'generator', in the order of their phases",
    ),
    **{f"alternation.{p}.{name}": rule for p in PLAYERS for name, rule in PHASE.items()},
    "ema.half_life": _number(0.0),
    "parallel.runner": _one_of(*parallel.RUNNERS),
    "parallel.devices": _integer(0),
    "parallel.steps_per_call": _integer(1),
    "log.every": _integer(1, 10_000),
    "sample.every": _integer(1),
    "sample.columns": _integer(1, 100),
    "sample.labels": Rule(
        tuple, lambda value: all(type(v) is int and v >= 0 for v in value), "a tuple of labels >= 0"
    ),
    "checkpoint.every": _integer(1),
    "checkpoint.keep": _integer(1),
    "checkpoint.best_metric": _one_of("", *MEASURES),
    "checkpoint.best_mode": _one_of("min", "max"),
}

# Fields that do not move a single weight: a run may be resumed under others.
FREE = ("data.data_dir", "data.placement", "parallel.", "log.", "sample.", "checkpoint.")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as {"model.latent_size": 128, ...}; lists become tuples, as JSON forgets these."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`, as plain dicts."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def updates(flat: Mapping[str, Any], player: PlayerName) -> int:
    """The most updates that a player makes in a run, by the run's flattened config."""
    turns = flat["alternation.phases"].count(player)
    return flat["steps"] * turns * flat[f"alternation.{player}.steps"]


def check(config: Config) -> None:
    """Checks every field by itself and with others, before any device is touched.

    Raises:
      ConfigError: naming each wrong field, what it is, what was expected.
    """
    flat = flatten(config)
    wrong = unknown_fields(flat)
    wrong += [f"{name} is missing; start from configs/base.py." for name in RULES if name not in flat]
    wrong += [
        f"{name} is {flat[name]!r}, expected {rule.expected}."
        for name, rule in RULES.items()
        if name in flat and not _holds(rule, flat[name])
    ]
    if not wrong:
        wrong = [message for holds, message in _relations(flat) if not holds]
    _refuse(wrong)


def _holds(rule: Rule, value: Any) -> bool:
    if rule.kind is float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        right = type(value) is rule.kind
    return right and bool(rule.accepts(value))


def unknown_fields(names: Iterable[str]) -> list[str]:
    """A message for each name that is neither a field nor a group of fields."""
    groups = {name.rsplit(".", depth)[0] for name in RULES for depth in (1, 2)}
    return [_unknown(name) for name in names if name not in RULES and name not in groups]


def _unknown(name: str) -> str:
    parent, _, last = name.rpartition(".")
    same = [rule for rule in RULES if rule.rpartition(".")[2] == last]
    siblings = {rule.rpartition(".")[2]: rule for rule in RULES if rule.rpartition(".")[0] == parent}
    near = [siblings[field] for field in difflib.get_close_matches(last, siblings, n=1)]
    # A shared parent makes strangers look alike, so whole names are compared only where it is wrong.
    close = same or near or difflib.get_close_matches(name, () if siblings else RULES, n=1)
    known = (
        f"{parent} has {', '.join(siblings)}." if parent and siblings else "configs/base.py lists them all."
    )
    return f"{name} is no field; " + (f"did you mean {' or '.join(close)}?" if close else known)


def _refuse(wrong: Sequence[str]) -> None:
    if wrong:
        raise ConfigError("The config cannot be run:\n" + "\n".join(f"  {line}" for line in wrong))


def _relations(flat: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """(holds, what to change) of conditions between fields."""
    calls, devices = flat["parallel.steps_per_call"], flat["parallel.devices"]
    batch, norm = flat["batch_size"], flat["model.discriminator.norm"]
    penalised = [name for name in PENALTIES if flat[f"penalties.{name}"] > 0]
    cadences = ("steps", "log.every", "sample.every", "checkpoint.every")
    relations = [
        (
            flat[name] % calls == 0,
            f"{name} is {flat[name]}, not a multiple of parallel.steps_per_call, {calls}.",
        )
        for name in cadences
    ]
    relations += [
        (
            devices == 0 or batch % devices == 0,
            f"batch_size is {batch}, not a multiple of parallel.devices, {devices}; "
            f"try {max(batch // max(devices, 1), 1) * devices}.",
        ),
        (
            norm == "none" or flat["model.family"] == "dcgan",
            f"model.discriminator.norm is {norm!r}, which only model.family='dcgan' knows; set it to 'none'.",
        ),
        (
            not (penalised and norm == "batch"),
            f"penalties.{penalised and penalised[0]} needs the gradient of each example's own logit, and "
            "model.discriminator.norm='batch' mixes examples; set the norm to 'none' or the penalty to 0.",
        ),
        (
            flat["model.conditional"] or not flat["sample.labels"],
            "sample.labels names classes, but model.conditional is False; set one of them.",
        ),
    ]
    relations += [
        (
            flat[f"optimizer.{p}.warmup"] < max(updates(flat, p), 1),
            f"optimizer.{p}.warmup is {flat[f'optimizer.{p}.warmup']}, expected less than the "
            f"{updates(flat, p)} updates that the {p} makes in the run.",
        )
        for p in PLAYERS
    ]
    relations += [
        (
            not flat[f"alternation.{p}.until"] or flat[f"alternation.{p}.steps"] > 1,
            f"alternation.{p}.until is {flat[f'alternation.{p}.until']!r}, but its phase makes one update "
            f"whatever comes of it; set alternation.{p}.steps, the most that it may make, above 1.",
        )
        for p in PLAYERS
    ]
    images, most = max(updates(flat, "discriminator"), flat["steps"]) * batch, 2**31 - 1
    relations.append(
        (images <= most, f"steps make {images:,} images to be shown; an int32 counts to {most:,}. Lower it.")
    )
    return relations


def check_source(config: Config, source: data.Source) -> None:
    """Checks a config against the data that it names.

    Raises:
      ConfigError: the network cannot make such images, labels are asked for that are not there.
    """
    height, width, _ = source.image_shape
    classes, smallest = len(source.classes), config.model.smallest
    deep = config.model.family == "dcgan" and dcgan.doublings(source.image_shape, smallest) == 0
    out = [label for label in config.sample.labels if label >= classes]
    wrong = []
    if deep:
        wrong.append(
            f"{source.name} has images of {height}x{width}, which dcgan cannot make from a grid of at "
            f"least {smallest} pixels a side, doubled once or more. Use images of an even size from "
            f"{2 * smallest} up, or lower model.smallest."
        )
    if config.model.conditional and not classes:
        wrong.append(f"model.conditional is True, but {source.name} has no labels; set it to False.")
    if config.model.conditional and out:
        wrong.append(f"sample.labels has {out}, but {source.name} has labels 0 to {classes - 1}.")
    _refuse(wrong)


def check_devices(config: Config, devices: int, processes: int) -> None:
    """Checks a config against the machine: devices and processes of the whole run.

    Raises:
      ConfigError: too few devices, or a batch that they cannot share equally.
    """
    asked, batch = config.parallel.devices, config.batch_size
    count = asked or devices
    wrong = []
    if asked > devices:
        wrong.append(f"parallel.devices is {asked}, but there are {devices}; use 0 for all of them.")
    if asked and processes > 1 and asked != devices:
        wrong.append(f"parallel.devices is {asked}; with {processes} processes use 0, for all devices.")
    if batch % count:
        wrong.append(
            f"batch_size is {batch}, not a multiple of the {count} devices; "
            f"try {max(batch // count, 1) * count}, or set parallel.devices."
        )
    _refuse(wrong)


def differences(saved: Mapping[str, Any], config: Config) -> list[str]:
    """What a run's saved config and a new one disagree on, among fields that move its weights.

    The number of steps is free while every learning rate is constant.
    """
    old, new = flatten(saved), flatten(config)
    steady = all(new[f"optimizer.{p}.schedule"] == "constant" for p in PLAYERS)
    free = (*FREE, "steps") if steady else FREE
    return [
        f"{name}: saved {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if not name.startswith(free) and old.get(name) != new.get(name)
    ]
