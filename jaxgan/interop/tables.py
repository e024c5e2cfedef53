"""Tables from the names of a public layout to a network's variables and back, each leaf checked.

A table is a list of entries: some leaves of ours, some names of theirs, and the rule between them. Leaves are
named by their path, 'params.stage_0.BatchNorm_0.scale'.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan.interop.files import Weights
from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import NOTHING, SAME, Rule

SHOWN = 20  # mismatches that an error lists


class Entry(NamedTuple):
    """Leaves of ours, names of theirs.

    Attributes:
      ours: paths.
      theirs: names.
      rule: between their arrays, in this order.
      optional: the names may be missing, and then leaves are zero; leaves of zero are not written.
      kept: how many names, the last ones, cannot be told from ours: they are kept aside.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    rule: Rule = SAME
    optional: bool = False
    kept: int = 0


Table = tuple[Entry, ...]


def batch_norm(ours: str, theirs: str) -> Table:
    """`torch.nn.BatchNorm2d` called `theirs`, at our path 'stage_0.BatchNorm_0'."""
    names = {"params": {"scale": "weight", "bias": "bias"},
             "batch_stats": {"mean": "running_mean", "var": "running_var"}}  # fmt: skip
    entries = (
        Entry((f"{group}.{ours}.{mine}",), (f"{theirs}.{other}",))
        for group, leaves in names.items()
        for mine, other in leaves.items()
    )
    return (*entries, Entry((), (f"{theirs}.num_batches_tracked",), NOTHING, optional=True, kept=1))


def layer(ours: str, theirs: str, kernel: Rule, *, bias: Rule | None = SAME, optional: bool = False) -> Table:
    """A layer's kernel, and its bias if it has one, which may be `optional`."""
    weight = Entry((f"params.{ours}.kernel",), (f"{theirs}.weight",), kernel)
    biases = [Entry((f"params.{ours}.bias",), (f"{theirs}.bias",), bias, optional)] if bias else []
    return weight, *biases


def normalised(table: Table, around: str, names: tuple[str, ...], rule: Rule, *, kept: int = 0) -> Table:
    """A `layer` inside spectral normalisation, at our path 'stage_0.SpectralNorm_0'.

    Args:
      table: the layer's.
      around: the path.
      names: of theirs, in the order that the rule has them.
      rule: to kernel, vector and value.
      kept: how many of theirs, the last ones, cannot be told from ours.
    """
    weight, *biases = table
    (kernel,), prefix = weight.ours, weight.theirs[0].removesuffix("weight")
    inner = kernel.split(".")[-2]
    statistics = (f"batch_stats.{around}.{inner}/kernel/{leaf}" for leaf in ("u", "sigma"))
    theirs = tuple(prefix + name for name in names)
    return Entry((kernel, *statistics), theirs, rule, kept=kept), *biases


def template(network: nn.Module, *inputs: Any) -> dict[str, Any]:
    """The shapes of a network's variables, given inputs such as latents [1,Z] and labels [1]."""
    return dict(jax.eval_shape(partial(network.init, train=False), jax.random.key(0), *inputs))


def take(table: Table, weights: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> tuple[Any, Weights]:
    """A network's variables from weights in a public layout.

    Args:
      table: of the layout.
      weights: theirs, by name.
      like: the network's variables, or their shapes: `template`.

    Returns:
      Variables like those, of NumPy arrays; and those of theirs that cannot be told from ours, for `give`.

    Raises:
      WeightsError: names missing or left over, leaves not filled or filled twice, shapes that differ, or
        types that do not fit without loss; all of them are listed.
    """
    expected = flatten_dict(dict(like), sep=".")
    found: Weights = {}
    kept: Weights = {}
    problems = _names_amiss(table, weights, expected)
    for entry in table:
        missing = [name for name in entry.theirs if name not in weights]
        if missing and not entry.optional:
            problems += [f"{name} is missing" for name in missing]
        elif missing:
            leaves = {path: expected[path] for path in entry.ours if path in expected}
            found |= {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in leaves.items()}
        else:
            arrays = [weights[name] for name in entry.theirs]
            problems += _fill(entry, arrays, expected, found)
            aside = len(entry.theirs) if entry.optional else entry.kept
            kept |= {name: weights[name] for name in entry.theirs[len(entry.theirs) - aside :]}
    _raise_for(problems)
    return unflatten_dict({path: found[path] for path in expected}, sep="."), kept


def give(table: Table, variables: Mapping[str, Any], kept: Mapping[str, np.ndarray] | None = None) -> Weights:
    """Weights in a public layout from a network's variables: what `take` undoes.

    Args:
      table: of the layout.
      variables: the network's.
      kept: what `take` kept aside, to get the very file back; else it is made anew.

    Raises:
      WeightsError: the variables are not those of the table's network.
    """
    kept = kept or {}
    leaves = {path: np.asarray(leaf) for path, leaf in flatten_dict(dict(variables), sep=".").items()}
    _raise_for(_leaves_amiss(table, leaves))
    made: Weights = {}
    for entry in table:
        arrays = entry.rule.theirs(*(leaves[path] for path in entry.ours))
        for place, (name, array) in enumerate(zip(entry.theirs, arrays, strict=True)):
            aside = place >= len(entry.theirs) - entry.kept
            if aside and name in kept:
                made[name] = kept[name]
            elif not entry.optional or name in kept or array.tobytes().strip(b"\0"):
                made[name] = np.array(array, order="C")
    return made


def _names_amiss(table: Table, weights: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    known = {name for entry in table for name in entry.theirs}
    return _leaves_amiss(table, expected) + [f"{name} has no place" for name in weights if name not in known]


def _leaves_amiss(table: Table, leaves: Iterable[str]) -> list[str]:
    """Leaves that the table does not fill, those that the network has not, and those filled twice."""
    filled = [path for entry in table for path in entry.ours]
    leaves = set(leaves)
    return [
        *(f"our {path} is filled by none" for path in sorted(leaves - {*filled})),
        *(f"our {path} is not in the network" for path in sorted({*filled} - leaves)),
        *(f"our {path} is filled {count} times" for path, count in Counter(filled).items() if count > 1),
    ]


def _fill(entry: Entry, arrays: list[np.ndarray], expected: Mapping[str, Any], found: Weights) -> list[str]:
    """Puts an entry's leaves into `found`; what is wrong with them."""
    shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(entry.theirs, arrays, strict=True))
    try:
        leaves = entry.rule.ours(*arrays)
        back = entry.rule.theirs(*leaves)
    except (ValueError, TypeError, IndexError) as error:
        return [f"{shapes} does not fit: {error}"]
    if [array.shape for array in back] != [array.shape for array in arrays]:
        return [f"{shapes} does not fit {', '.join(entry.ours)}"]
    problems = []
    for path, leaf in zip(entry.ours, map(np.asarray, leaves), strict=True):
        if path not in expected:
            continue  # told before
        shape, dtype = expected[path].shape, expected[path].dtype
        if leaf.shape != shape:
            problems.append(f"{shapes} becomes {leaf.shape}, our {path} is {shape}")
        elif not np.can_cast(leaf.dtype, dtype, "safe"):
            problems.append(f"{shapes} is {leaf.dtype}, which does not fit {dtype}, of our {path}")
        else:
            found[path] = np.array(leaf, dtype, order="C")
    return problems


def _raise_for(problems: list[str]) -> None:
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise WeightsError(f"The weights are not of this network:{listed}{more}")
