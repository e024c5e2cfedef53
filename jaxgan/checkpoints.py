"""Checkpoints of a training state: atomic, asynchronous, verified leaf by leaf.

A step is a directory that orbax writes aside and renames when complete: a crash leaves only whole
steps. In it, `manifest/manifest.json` holds the caller's record and metrics, and the shape, dtype
and SHA-256 of every leaf, which restoring checks: a flipped bit otherwise loads as wrong weights,
silently.

    with Checkpoints(workdir / "checkpoints", keep=3) as checkpoints:
        restored = checkpoints.restore(state)  # None in a new directory
        checkpoints.save(step, state, record={"config": config.to_dict()})
"""

import contextlib
import logging
import math
import operator
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

import jax
from orbax.checkpoint import v1 as ocp

from jaxgan.manifests import (
    SHOWN,
    CheckpointError,
    Manifest,
    Unsound,
    make_body,
    read_manifest,
    read_metrics,
)
from jaxgan.snapshots import Restored, load_step, to_host

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
    """The checkpoints of one run, in a directory that holds nothing else.

    Steps only grow. After `restore` returned step r, the first save renames every step beyond r,
    a damaged one to `<step>.corrupt`, a sound one to `<step>.abandoned`: training can reach them
    again, and nothing but what retention drops is ever deleted. Only saving changes the directory,
    so one process may read from a run that another trains. Of many processes each makes the same
    calls in the same order, on one shared directory.

    Args:
      directory: where the steps lie, relative, absolute or gs://. The first save creates it.
      keep: how many of the newest steps are kept, at least 1.
      best_metric: a name among `save`'s metrics; the best step by it is kept as well.
      best_mode: whether the lowest ("min") or highest ("max") value is the best.
      always: steps that are kept too, if they were saved.

    Raises:
      CheckpointError: `keep` or `best_mode` is none of these.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: int = 3,
        best_metric: str | None = None,
        best_mode: Literal["min", "max"] = "min",
        always: Collection[int] = (),
    ) -> None:
        if keep < 1 or best_mode not in ("min", "max"):
            raise CheckpointError(
                f"keep={keep}, best_mode={best_mode!r}: expected keep >= 1 and 'min' or 'max'"
            )
        path = ocp.path.Path(directory)
        self.directory = path if "://" in os.fspath(directory) else path.expanduser().resolve()
        self._retention = _Retention(keep, best_metric, 1 if best_mode == "max" else -1, {*always})
        self._writer: ocp.training.Checkpointer | None = None
        self._pending: Any = None  # the save under way
        self._resumed = math.inf  # the next save sets the steps beyond it aside
        self._newest = -1  # of the steps that the writer knows
        self._unsound: set[int] = set()
        logging.getLogger("absl").addFilter(_no_chatter)

    def __exit__(self, *error: object) -> None:
        self.close()

    def save(
        self,
        step: int,
        state: Any,
        *,
        record: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        wait: bool = False,
    ) -> None:
        """Saves a state in the background; once this returns, its buffers may be donated.

        Args:
          step: a number beyond every saved step. The previous save is waited for, never skipped.
          state: a pytree of arrays, each held whole by every process.
          record: config, data fingerprint, versions: a dict that JSON can hold. It is restored as
            JSON returns it, with tuples as lists and keys as strings.
          metrics: scalars by name; `best_metric` need not be among them.
          wait: whether to return only when the step is on disk.

        Raises:
          CheckpointError: the step is not beyond the saved ones, a leaf is no whole array, the
            record is not JSON, or the directory holds something else.
          Exception: what the previous save failed with, such as a full disk. This save has then
            not been started, and may be called again when what that one was writing has ended.
        """
        self.wait()
        step = operator.index(step)
        body = make_body(step, record, metrics or {})
        values = to_host(state)
        writer = self._open()
        if step <= self._newest:
            raise CheckpointError(
                f"step {step} is not beyond step {self._newest}, the newest in "
                f"{self.directory}: restore from it first, or give a new run its own directory"
            )
        self._newest = step
        self._retention.metrics[step] = body["metrics"]
        leaves = [value if value.size else None for value in values.values()]
        parts = {
            "manifest": Manifest(body, values),
            "state": jax.tree.unflatten(jax.tree.structure(state), leaves),
        }
        try:
            self._pending = writer.save_checkpointables_async(step, parts, force=True)
        except Exception:
            self._writer = None  # it remembers the failure; the next save opens another
            raise
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns when the last save is on disk; raises what it failed with, once."""
        pending, self._pending = self._pending, None
        try:
            if pending is not None:
                pending.result()
        except Exception:
            self._writer = None  # it remembers the failure; the next save opens another
            raise

    def close(self) -> None:
        """Waits like `wait`, and lets go of orbax's threads. Saving again is allowed."""
        self.wait()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def steps(self) -> list[int]:
        """The steps on disk, ascending, sound or not. Waits for the last save.

        Raises:
          CheckpointError: the directory holds other things and no step.
        """
        self.wait()
        return _steps(self.directory)

    def record(self, *, step: int | None = None) -> dict[str, Any] | None:
        """The record of a step, or of the newest with a sound manifest; None where there is no step.

        Needs no target and reads no values: a resume under another config can be refused early.

        Raises:
          CheckpointError: there are steps, and none, or not the one asked for, has a sound manifest.
        """
        steps = self._among_steps(step)
        return self._newest_sound(steps, lambda each: read_manifest(self.directory, each)["record"])

    def restore(self, target: Any, *, step: int | None = None) -> Restored | None:
        """Restores the newest sound step, saved on any number of devices.

        A damaged step is reported to the log, left as it is, and the next older one is tried.

        Args:
          target: the state's structure, of arrays or `jax.ShapeDtypeStruct`s. Each leaf gets the
            sharding of its target; a NumPy target gives a NumPy leaf.
          step: only this step, without falling back.

        Returns:
          The step, state and record, or None where there is no step.

        Raises:
          CheckpointError: no step, or not the one asked for, is sound; or its leaves, shapes or
            dtypes are not the target's.
        """
        self.close()
        steps = self._among_steps(step)
        restored = self._newest_sound(steps, lambda each: load_step(self.directory, each, target))
        self._resumed = restored.step if restored else math.inf
        return restored

    def _among_steps(self, step: int | None) -> list[int]:
        steps = self.steps()
        if step is not None and step not in steps:
            raise CheckpointError(f"step {step} is not in {self.directory}, which has {steps}")
        return steps if step is None else [step]

    def _newest_sound(self, steps: Sequence[int], read: Callable[[int], _T]) -> _T | None:
        reasons = []
        for step in reversed(steps):
            try:
                return read(step)
            except Unsound as reason:
                self._unsound.add(step)
                reasons.append(f"step {step}: {reason}")
                _log.warning("damaged checkpoint in %s, %s", self.directory, reasons[-1])
        if reasons:
            raise CheckpointError(
                f"no sound checkpoint in {self.directory} ({'; '.join(reasons)}): "
                "copy its files back, or start in another directory"
            )
        return None

    def _open(self) -> ocp.training.Checkpointer:
        """The writer; the first save after a start or a restore sets steps aside and makes it."""
        if self._writer is None:
            found = _steps(self.directory)
            beyond = [step for step in found if step > self._resumed]
            for step in beyond if jax.process_index() == 0 else []:
                kind = "corrupt" if step in self._unsound else "abandoned"
                _set_aside(self.directory / str(step), kind)
            self._resumed = math.inf
            self._newest = max(set(found) - set(beyond), default=-1)
            self._retention.metrics = {each: read_metrics(self.directory, each) for each in found}
            context = ocp.Context()
            context.memory.deepcopy_host_arrays = False  # `_to_host` has made the copy
            self._writer = ocp.training.Checkpointer(  # looks when all processes are here
                self.directory,
                context=context,
                preservation_policy=self._retention,
                cleanup_tmp_directories=True,
            )
        return self._writer


class _Retention:
    """orbax's question which steps to preserve, answered: the newest, the best, and those always kept."""

    def __init__(self, keep: int, metric: str | None, sign: int, always: set[int]) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self._keep, self._metric, self._sign, self._always = keep, metric, sign, always

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = sorted(info.step for info in checkpoints)
        value = {s: self.metrics.get(s, {}).get(self._metric or "", math.nan) for s in steps}
        rated = [s for s in steps if math.isfinite(value[s])]
        rated.sort(key=lambda s: self._sign * value[s])
        return [info.step in {*steps[-self._keep :], *rated[-1:], *self._always} for info in checkpoints]


def _steps(directory: ocp.path.Path) -> list[int]:
    if directory.exists() and not directory.is_dir():
        raise CheckpointError(f"{directory} is a file: expected a directory of checkpoints")
    names = [path.name for path in directory.iterdir()] if directory.exists() else []
    steps = sorted(int(name) for name in names if name.isdecimal())
    foreign = sorted(name for name in names if not re.match(r"\d+($|\.)|\.", name))
    if foreign and not steps:
        raise CheckpointError(
            f"{directory} holds {foreign[:SHOWN]} and no checkpoint: expected a new or empty "
            "directory, or one of checkpoints, whose entries are named by their step"
        )
    return steps


def _set_aside(path: ocp.path.Path, kind: str) -> None:
    aside = path.with_name(f"{path.name}.{kind}")
    if aside.exists():
        aside = path.with_name(f"{aside.name}.{time.time_ns()}")
    path.rename(aside)
    _log.warning("set aside %s as %s", path, aside.name)


def _no_chatter(entry: logging.LogRecord) -> bool:
    """Keeps orbax's warnings; its information is forty lines a save, and its errors are raised."""
    return entry.levelno == logging.WARNING or "/orbax/" not in entry.pathname
