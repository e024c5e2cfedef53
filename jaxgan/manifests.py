"""What is written beside a checkpoint's values, and how they are held against it."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

_FORMAT = "jaxgan checkpoint 1"
SHOWN = 5  # what an error lists before it only counts


class CheckpointError(ValueError):
    """A checkpoint cannot be saved or restored; the message says why and what to do."""


class Unsound(Exception):
    """Files of a step are missing or damaged; the message says which."""


class Manifest(ocp.StatefulCheckpointable):
    """Writes itself into a step when orbax asks; hashes the leaves in the background."""

    def __init__(self, body: dict[str, Any], values: dict[str, np.ndarray]) -> None:
        self._body, self._values = body, values

    async def save(self, directory: Any) -> Any:
        return self._write(directory)

    async def _write(self, directory: Any) -> None:
        if jax.process_index() == 0:
            text = await asyncio.to_thread(self._text)
            (await directory.await_creation() / "manifest.json").write_text(text)

    def _text(self) -> str:
        leaves = {name: describe(value) for name, value in self._values.items()}
        body = {**self._body, "leaves": leaves}
        return json.dumps({**body, "sha256": _digest(body)}, indent=1)


def make_body(step: int, record: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """What a manifest says beside its leaves. Raises CheckpointError for a record that is not JSON."""
    try:
        plain = json.loads(json.dumps(dict(record)))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the record of step {step} is not JSON: {error}") from error
    scalars = {name: float(value) for name, value in metrics.items()}
    return {"format": _FORMAT, "step": step, "record": plain, "metrics": scalars}


def read_manifest(directory: ocp.path.Path, step: int) -> dict[str, Any]:
    """A step's manifest, as it was written. Raises Unsound where it is missing, damaged or another step's."""
    path = directory / str(step) / "manifest" / "manifest.json"
    try:
        body = json.loads(path.read_text())
        if body.pop("sha256") != _digest(body) or (body["format"], body["step"]) != (_FORMAT, step):
            raise ValueError
    except FileNotFoundError:
        raise Unsound(f"{path} is missing") from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise Unsound(f"{path} is damaged, or not of this step") from None
    return body


def read_metrics(directory: ocp.path.Path, step: int) -> dict[str, float]:
    """The metrics that a step was saved with, none where its manifest is unsound."""
    with contextlib.suppress(Unsound):
        return read_manifest(directory, step)["metrics"]
    return {}


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def describe(value: np.ndarray) -> dict[str, Any]:
    """A leaf's shape, dtype and the SHA-256 of its bytes, as JSON takes them."""
    flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    digest = hashlib.sha256(flat.data).hexdigest()
    return {"shape": list(value.shape), "dtype": str(value.dtype), "sha256": digest}


def named(tree: Any) -> dict[str, Any]:
    """The leaves by path, as Python spells it: `.params['dense']['bias']`."""
    return {jax.tree_util.keystr(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def check_target(path: ocp.path.Path, saved: dict[str, Any], target: Any) -> None:
    """Raises CheckpointError where a target's leaves differ from the saved in name, shape or dtype."""
    given = {n: f"{x.dtype}{list(x.shape)}" for n, x in named(target).items()}
    held = {n: f"{x['dtype']}{x['shape']}" for n, x in saved.items()}
    names = [name for name in given | held if given.get(name) != held.get(name)]
    if names:
        shown = [
            f"{name} is {given.get(name, 'absent')} in the target, {held.get(name, 'absent')} on disk"
            for name in names[:SHOWN]
        ]
        raise CheckpointError(
            f"{path} is of another state: {'; '.join(shown)} ({len(names)} leaves differ). "
            "Build the target from the config that the checkpoint was saved under"
        )
