"""The values of one step: copied from the devices, read from disk, verified, put back in their places."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from jaxgan.manifests import CheckpointError, Unsound, check_target, describe, named, read_manifest


class Restored(NamedTuple):
    """A step that was restored, its state, and the record that was saved with it."""

    step: int
    state: Any
    record: dict[str, Any]


def to_host(state: Any) -> dict[str, np.ndarray]:
    """Copies of a state's leaves by their paths, which the next step cannot overwrite.

    Raises:
      CheckpointError: a leaf is no array, a typed PRNG key, or not held whole by this process.
    """
    leaves = named(state)
    for name, leaf in leaves.items():
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            problem = f"is a {type(leaf).__name__}: expected an array, use jnp.asarray"
        elif jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            problem = "is a typed PRNG key: save its jax.random.key_data"
        elif isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            problem = "is split over processes: replicate it before saving"
        else:
            continue
        raise CheckpointError(f"leaf {name} {problem}")
    # On a CPU, device_get gives views of the buffers, which the next step may overwrite.
    views = jax.device_get(list(leaves.values()))
    return {name: np.array(view) for name, view in zip(leaves, views, strict=True)}


def _read(directory: ocp.path.Path, step: int, target: Any) -> tuple[dict[str, Any], Any]:
    """The record and the leaves of a step, in host memory, checked against its manifest."""
    manifest = read_manifest(directory, step)
    check_target(directory / str(step), manifest["leaves"], target)
    empty = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), target)
    # orbax refuses arrays of size 0: they are neither stored nor read.
    stored = jax.tree.map(lambda leaf: leaf if leaf.size else None, empty)
    try:
        loaded = ocp.load_checkpointables(directory / str(step), {"state": stored})["state"]
    except MemoryError:
        raise
    except Exception as error:  # there is no common type for a damaged file
        cause = error.__cause__ or error
        raise Unsound(f"unreadable values, {type(cause).__name__}: {str(cause)[:300]}") from error
    values = iter(jax.tree.leaves(loaded))
    state = jax.tree.map(lambda leaf: next(values) if leaf.size else leaf, empty)
    for name, value in named(state).items():
        if describe(value) != manifest["leaves"][name]:
            raise Unsound(f"leaf {name} is not what was saved: its SHA-256 differs")
    return manifest["record"], state


def load_step(directory: ocp.path.Path, step: int, target: Any) -> Restored:
    """A step in its place on the devices, if all processes find it sound.

    Args:
      directory: of the checkpoints.
      step: which.
      target: the state's structure, shapes, dtypes and places.

    Raises:
      Unsound: this or another process found it damaged.
      CheckpointError: the target is another state's.
    """
    try:
        record, values = _read(directory, step, target)
    except Unsound:
        _any_process(True)
        raise
    if _any_process(False):
        raise Unsound("another process found it damaged")
    return Restored(step, jax.tree.map(_place, target, values), record)


def _any_process(flag: bool) -> bool:
    many = jax.process_count() > 1
    return bool(np.any(multihost_utils.process_allgather(np.array(flag)))) if many else flag


def _place(like: Any, value: np.ndarray) -> Any:
    if isinstance(like, np.ndarray):
        return value
    if getattr(like, "sharding", None) is None or not getattr(like, "committed", True):
        return jax.device_put(value)  # stays free to be moved to a mesh, as `like` is
    return jax.make_array_from_callback(value.shape, like.sharding, lambda index: value[index])
