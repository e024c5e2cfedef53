"""Files of ours: a network's variables as .safetensors, with a card that says what it is and where from.

A tensor is called by its leaf's path, 'params.stage_0.BatchNorm_0.scale'; the card is JSON in the metadata.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan.files import plain
from jaxgan.interop import sequential
from jaxgan.interop.files import read_safetensors, write
from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.tables import SHOWN, template
from jaxgan.models import classifier
from jaxgan.models.families import FAMILIES

KEY = "jaxgan"  # of the card in the metadata
LONGEST = 1 << 20  # characters of a card
NETWORKS: Mapping[str, Any] = {
    "classifier": classifier.Classifier,
    "sequential generator": sequential.Generator,
    **{f"{name} generator": family.generator for name, family in FAMILIES.items()},
    **{f"{name} discriminator": family.discriminator for name, family in FAMILIES.items()},
}
NAMES = {kind: name for names in (NETWORKS, sequential.KINDS) for name, kind in names.items()}
# Attributes that say how many layers.
LAYERS = ("depth", "blocks", "mapping_depth", "steps", "plain", "dense", "halvings", "stages", "scales")
# What a network that cannot be may raise when it is built from a card of whoever.
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
OWN = ("parent", "name", "axis_name", "remat")  # of every Linen module, and of how one is trained


class Loaded(NamedTuple):
    """A file of ours: the module, its variables and the card."""

    network: nn.Module
    variables: dict[str, Any]
    card: dict[str, Any]


def save(
    path: str | os.PathLike[str],
    variables: Mapping[str, Any],
    *,
    network: nn.Module,
    inputs: tuple[Any, ...],
    card: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a network's variables and its card, whole or not at all.

    Args:
      path: of a .safetensors file.
      variables: of the network, such as a state's `ema`.
      network: what the variables are of.
      inputs: what it is called with, or their shapes: latents [1,Z] and labels [1], images [1,H,W,C].
      card: what else is to be known: config, training data, metrics, licence; JSON.
      overwrite: write over a file that exists.

    Raises:
      WeightsError: the variables are not the network's, or the card is not JSON.
      FileExistsError: there is such a file.
    """
    leaves = {name: np.asarray(leaf) for name, leaf in flatten_dict(dict(variables), sep=".").items()}
    shapes = [{"shape": list(each.shape), "dtype": jnp.dtype(each.dtype).name} for each in inputs]
    _check(leaves, template(network, *structs(shapes)))
    says = {
        "architecture": architecture(network),
        "inputs": shapes,
        "jaxgan": metadata.version("jaxgan"),
        **{"config": None, "training_data": None, "metrics": None, "licence": None, **(card or {})},
    }
    try:
        text = json.dumps(plain(says), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"The card is not JSON: {error}.") from None
    write(path, leaves, metadata={KEY: text}, overwrite=overwrite)


def load(path: str | os.PathLike[str]) -> Loaded:
    """Reads a file that `save` wrote: the network built from its card, its variables checked against it.

    Raises:
      WeightsError: the file is damaged, has no card, or its variables are not its architecture's.
      OSError: it cannot be read.
    """
    try:
        leaves, about = read_safetensors(Path(path))
        card = json.loads(about.get(KEY, "null")[:LONGEST])
        if not isinstance(card, dict):
            raise WeightsError("it has no card of ours; use `interop.files.read` and a public layout.")
        _refuse_towers(card["architecture"], len(leaves))
        network = build(card["architecture"])
        _check(leaves, template(network, *structs(card["inputs"])))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except DAMAGED as error:
        raise WeightsError(f"{path}: its card is damaged: {error!r}.") from None
    return Loaded(network, unflatten_dict(leaves, sep="."), card)


def _refuse_towers(told: Mapping[str, Any], leaves: int) -> None:
    """A network of more layers than the file has leaves is not built: that alone may take hours."""
    for name in LAYERS:
        if isinstance(told.get(name), int) and told[name] > max(leaves, 64):
            raise WeightsError(f"its card says {name} {told[name]}, and there are {leaves} leaves.")


def architecture(network: nn.Module) -> dict[str, Any]:
    """A network as JSON: {"network": "dcgan generator"}, and its attributes that are not the default.

    Raises:
      WeightsError: it is none of `NETWORKS`.
    """
    if type(network) not in NAMES:
        raise WeightsError(
            f"A {type(network).__name__} has no name in a card, expected one of {[*NETWORKS]}."
        )
    given = {each.name: (getattr(network, each.name), each.default) for each in fields(network)}
    changed = {
        name: value for name, (value, default) in given.items() if name not in OWN and value != default
    }
    return {"network": NAMES[type(network)], **{name: _told(value) for name, value in changed.items()}}


def build(told: Mapping[str, Any]) -> nn.Module:
    """The network that `architecture` told.

    Raises:
      WeightsError: it is of no kind, or with no attributes, that there are.
    """
    kind = NETWORKS.get(told["network"]) or sequential.KINDS.get(told["network"])
    attributes = {name: _meant(value) for name, value in told.items() if name != "network"}
    if kind is None or not attributes.keys() <= kind.__dataclass_fields__.keys() - {*OWN}:
        raise WeightsError(f"there is no {told['network']} with attributes {sorted(attributes)}.")
    if "dtype" in attributes:
        attributes["dtype"] = jnp.dtype(attributes["dtype"])
    return kind(**attributes)


def _told(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return architecture(value)
    if isinstance(value, tuple | list):
        return [_told(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else jnp.dtype(value).name


def _meant(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value)
    return tuple(_meant(each) for each in value) if isinstance(value, list) else value


def structs(shapes: Any) -> list[jax.ShapeDtypeStruct]:
    """What a network is called with, of its card's `inputs`."""
    return [jax.ShapeDtypeStruct(tuple(each["shape"]), each["dtype"]) for each in shapes]


def _check(leaves: Mapping[str, np.ndarray], expected: Mapping[str, Any]) -> None:
    """Names, shapes and types of leaves against those of a network."""
    wanted = {
        name: f"{leaf.dtype} {leaf.shape}" for name, leaf in flatten_dict(dict(expected), sep=".").items()
    }
    found = {name: f"{leaf.dtype} {leaf.shape}" for name, leaf in leaves.items()}
    amiss = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    if amiss:
        listed = (f"{name} is {found.get(name)}, expected {wanted.get(name)}" for name in amiss[:SHOWN])
        raise WeightsError(f"{len(amiss)} leaves are not the network's: {'; '.join(listed)}.")
