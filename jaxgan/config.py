"""Checks a config, before any device is touched.

`rules.RULES` lists every field and what it may hold, `relations` what they must be to each other.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgan import data
from jaxgan.models import layers
from jaxgan.relations import relations
from jaxgan.rules import FREE, GRIDS, NEEDS, RULES

MASKS = 256  # that are looked at, for sets may be large
Config = Any  # an ml_collections.ConfigDict, or anything with its fields as attributes and items


class ConfigError(ValueError):
    """A config that cannot be run; the message lists every field to change."""


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as {"model.latent_size": 128, ...}; lists become tuples, as JSON forgets these."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _tuples(value)
    return flat


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


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
        if name in flat and not rule.holds(flat[name])
    ]
    if not wrong:
        wrong = [message for holds, message in relations(flat) if not holds]
    _refuse(wrong)


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


def crop_of(config: Config) -> tuple[int, int] | None:
    """Of whose size the real images' middles are that samples are compared with; None: all of them.

    Networks that are given images are given whole ones in use, but for those that read styles at one size.
    """
    fixed = config.task.name in ("synthesis", "styles")
    return tuple(config.data.random_crop) or None if fixed else None


def shown_shapes(config: Config, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, int, int]]:
    """What the players are shown of an example's images [H,W,C], by name: all, or random parts."""
    height, width = tuple(config.data.random_crop) or shapes["image"][:2]
    whole = shapes["image"][0]
    return {
        # Of an image that is a fraction of the other in size the part is the same fraction.
        name: (height * shape[0] // whole, width * shape[0] // whole, shape[2])
        if config.data.random_crop
        else (shape[0], shape[1], shape[2])
        for name, shape in shapes.items()
    }


def check_source(config: Config, source: data.Source) -> None:
    """Checks a config against the data that it names.

    Raises:
      ConfigError: the network cannot make such images, labels are asked for that are not there.
    """
    shape = height, width, _ = shown_shapes(config, source.shapes_of_all)["image"]
    smallest = config.model.smallest
    deep = config.model.family in GRIDS and layers.doublings(shape, smallest) == 0
    wrong = []
    if height > source.image_shape[0] or width > source.image_shape[1]:
        whole = "x".join(map(str, source.image_shape[:2]))
        wrong.append(f"data.random_crop is {height}x{width}, and {source.name} has images of {whole}.")
    for look in (_lacking, _unlabelled, _strange, _too_deep, _wrong_masks):
        wrong += look(config, source)
    if deep:
        wrong.append(
            f"{source.name} has images of {height}x{width}, which {config.model.family} cannot make from a "
            f"grid of at least {smallest} pixels a side, doubled once or more. Use images of an even size "
            f"from {2 * smallest} up, or lower model.smallest."
        )
    grids = {height >> halvings for halvings in range(layers.doublings(shape, smallest) + 1)}
    attention = config.model.resnet.attention
    if config.model.family == "resnet" and attention and attention not in grids:
        wrong.append(
            f"model.resnet.attention is {attention}, and for {height}x{width} grids have heights of "
            f"{', '.join(map(str, sorted(grids)))}; choose one of them, or 0 for none."
        )
    shared, doublings = config.model.coupled.generator_shared, layers.doublings(shape, smallest)
    if config.model.family == "coupled" and doublings and shared > doublings:
        wrong.append(
            f"model.coupled.generator_shared is {shared}, and for {height}x{width} the generator has "
            f"{doublings + 1} stages: all domains would get the same images. Set it to {doublings} or less."
        )
    _refuse(wrong)


def _lacking(config: Config, source: data.Source) -> list[str]:
    """What the task needs of examples that the source does not have."""
    needs = NEEDS[config.task.name]
    there = {
        "": True,
        "input": "input" in source.shapes,
        "other": "input" in source.others,
        "classes": len(source.classes) > 1,
    }
    if there[needs]:
        return []
    wanted = {
        "input": "examples with inputs: open them as pairs:INPUTS,IMAGES or sides:PICTURES",
        "other": "images of another domain: open both as unpaired:SOURCE,SOURCE",
        "classes": "images of two or more classes, or of a mixture, as data.labels='domains'",
    }
    return [f"task.name is {config.task.name!r}, which needs {wanted[needs]}; {source.name} has none."]


def _unlabelled(config: Config, source: data.Source) -> list[str]:
    """Labels that are asked for and not there."""
    classes, wrong = len(source.classes), list[str]()
    if not config.model.conditional:
        return wrong
    if not classes and NEEDS[config.task.name] != "classes":
        coupled = config.model.family == "coupled"
        change = "take a mixture, as data.labels='domains'" if coupled else "set it to False"
        wrong.append(f"model.conditional is True, but {source.name} has no labels; {change}.")
    if out := [label for label in config.sample.labels if label >= classes]:
        wrong.append(f"sample.labels has {out}, but {source.name} has labels 0 to {classes - 1}.")
    return wrong


def _strange(config: Config, source: data.Source) -> list[str]:
    """What the task would take for something else."""
    other, task = source.others.get("input"), config.task.name
    if task == "restoration" and "input" in source.shapes and not config.task.degradations:
        return [
            f"task.degradations is (), which are holes that show nothing, and {source.name} has damaged "
            "images of its own, which go before what is named there; name their damage, as "
            "(('noise', 5, 50),)."
        ]
    if other and task in ("super_resolution", "restoration"):
        return [
            f"task.name is {task!r}, whose inputs belong to their images, and {source.name} has those of "
            "another domain; open them as pairs:INPUTS,IMAGES, or the images alone."
        ]
    if other and task == "styles" and other.classes != source.classes:
        there, here = (", ".join(part.classes) or "none" for part in (other, source))
        return [
            f"task.name is 'styles', whose inputs are of the same classes as its images, and {source.name} "
            f"has {there} of inputs and {here} of images; open one set with classes."
        ]
    return []


def _too_deep(config: Config, source: data.Source) -> list[str]:
    """Networks that halve the images until less than a pixel is left of them."""
    family = config.model.family
    name = "halvings" if family == "repair" else "generator_halvings"
    halvings = flatten(config.model).get(f"{family}.{name}", 0)
    side = min(min(shape[:2]) for shape in shown_shapes(config, source.shapes_of_all).values())
    most = side.bit_length() - 1
    if halvings <= most:
        return []
    return [
        f"model.{family}.{name} is {halvings}, and images of {source.name} with {side} pixels a side can be "
        f"halved {most} times; set it to {most} or less, or take larger images."
    ]


def _wrong_masks(config: Config, source: data.Source) -> list[str]:
    """What is wrong with a source's masks, of which up to `MASKS` are looked at."""
    if config.task.name != "restoration" or "mask" not in source.shapes:
        return []
    shape, expected = source.shapes["mask"], (*source.image_shape[:2], 1)
    if shape != expected:
        return [
            f"{source.name} has masks {[*shape]} for images {[*source.image_shape]}, expected {[*expected]}, "
            "of the same size; leave data.input_size out, or set data.size."
        ]
    masks = source.gather(np.unique(np.linspace(0, len(source) - 1, MASKS).astype(int)))["mask"]
    most = int(np.iinfo(masks.dtype).max)
    others = np.setdiff1d(masks, (0, most))
    if others.size or not masks.any():
        held = ", ".join(map(str, others[:3])) or "nothing but 0"
        return [
            f"Masks of {source.name} hold {held}; expected 0, black, where pixels are known, and {most}, "
            "white, in the hole. Save them so, as PNG in grey: of files with a palette the numbers count."
        ]
    return []


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
    elif batch // count % config.accumulate:
        wrong.append(
            f"A device's share of the batch is {batch // count}, not a multiple of accumulate, "
            f"{config.accumulate}."
        )
    _refuse(wrong)


def differences(saved: Mapping[str, Any], config: Config) -> list[str]:
    """What a run's saved config and a new one disagree on, among fields that move its weights.

    The number of steps is free: schedules go by images.
    """
    old, new = flatten(saved), flatten(config)
    return [
        f"{name}: saved {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if not name.startswith(FREE) and name != "steps" and old.get(name) != new.get(name)
    ]
