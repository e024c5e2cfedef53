"""Where a run is watched: metrics as lines, events and a bar; what it ran with.

A step counts the steps that are done. Non-finite floats are the strings "nan", "inf" and "-inf" in JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgan.files import NON_FINITE, AnyPath, plain
from jaxgan.pictures import checked, over_white

if TYPE_CHECKING:
    from PIL import Image

PACKAGES = "jaxgan jax jaxlib flax optax orbax-checkpoint grain tensorflow-datasets numpy chex"


class Log:
    """Writes a run's metrics to `metrics.jsonl`, TensorBoard and stderr; a context manager.

    stderr gets a bar if it is a terminal, and else a plain line at each `write`.

    Args:
      directory: of the run, made if missing. A resumed run goes on in the same one: lines are
        appended, and TensorBoard hides events past `start_step`, which are about to be repeated.
      total_steps: of the whole run.
      start_step: steps done by the run that this one resumes.
      progress: False leaves stderr alone.
      active: False makes every call do nothing, for all but one of a run's processes.
    """

    def __init__(
        self,
        directory: AnyPath,
        *,
        total_steps: int,
        start_step: int = 0,
        progress: bool = True,
        active: bool = True,
    ) -> None:
        self._active = active
        if not active:
            return
        from tensorboardX import SummaryWriter
        from tqdm import tqdm

        path = Path(directory, "metrics.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if path.read_bytes()[-1:] not in (b"", b"\n"):  # a kill tore the last line: end it
            self._file.write(b"\n")
        self._events = SummaryWriter(
            str(path.with_name("tensorboard")),
            purge_step=start_step + 1,  # what was written at start_step stands
            max_queue=256,
            flush_secs=10,
            filename_suffix=f".{time.time_ns()}",  # else one of the same second is truncated
        )
        self._total, self._start, self._step = total_steps, start_step, start_step
        self._began = self._last = time.monotonic()
        self._images = self._seconds = 0.0
        self._lines = progress and not sys.stderr.isatty()
        hidden = self._lines or not progress
        self._bar = tqdm(
            total=total_steps, initial=start_step, unit=" steps", dynamic_ncols=True, disable=hidden
        )

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Flushes and closes what was opened; from then on every call does nothing."""
        if self._active:
            self._active = False
            self._bar.close()
            self._file.close()
            self._events.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records the scalars of a step; their line outlives a kill as soon as this returns.

        Args:
          step: steps done.
          metrics: name -> scalar of Python, NumPy or JAX (this waits for it). Of several lines of
            a step `read_metrics` takes all names, and of each name the last value.

        Raises:
          ValueError: a metric is named "step", or is not a scalar.
        """
        if not self._active:
            return
        for name, value in metrics.items():
            if name == "step" or np.ndim(value):
                shape: list[int] = list(np.shape(value))
                raise ValueError(f"expected scalars, none named 'step'; got {name!r} {shape}")
        values = {name: float(value) for name, value in metrics.items()}
        self._file.write(json.dumps(plain({"step": int(step)} | values)).encode() + b"\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, int(step))
        if self._lines:
            told = {name: values[name] for name in values if name.startswith(("kimg", "loss/"))}
            shown = [f"step {step}/{self._total}", *_shown(told or values), *self._pace()]
            print("  ".join(shown), file=sys.stderr, flush=True)

    def image(self, step: int, name: str, image: np.ndarray | Image.Image) -> None:
        """Shows an image uint8 [H,W,C] in TensorBoard, over white if it has alpha."""
        if self._active:
            pixels = over_white(checked(image, "[H,W,C]"))
            self._events.add_image(name, pixels, int(step), dataformats="HWC")

    def advance(self, steps: int, images: int, shown: Mapping[str, float]) -> None:
        """Moves the bar on.

        Args:
          steps: done since the last call.
          images: shown to the discriminator since the last call, on all devices.
          shown: scalars to show beside the bar. JAX's are waited for: give {} at most steps.
        """
        if not self._active:
            return
        values = _shown(shown)
        now = time.monotonic()
        self._step += steps
        self._images = 0.9 * self._images + images  # the first call, with compilation, fades
        self._seconds = 0.9 * self._seconds + now - self._last
        self._last = now
        if values:
            self._bar.set_postfix_str(", ".join([*self._pace()[:1], *values]), refresh=False)
        self._bar.update(steps)

    def _pace(self) -> list[str]:
        """Images/s and the time left; nothing before the first step."""
        if self._step <= self._start or self._seconds <= 0:
            return []
        seconds = (self._last - self._began) / (self._step - self._start)
        left = self._bar.format_interval(seconds * max(self._total - self._step, 0))
        return [f"{_short(self._images / self._seconds)} images/s", f"{left} left"]


def read_metrics(path: AnyPath) -> list[dict[str, float]]:
    """Returns the metrics of a `metrics.jsonl` by step, each name's last value at that step.

    Lines torn by a kill are left out. Raises FileNotFoundError if nothing is at `path`.
    """
    steps: dict[int, dict[str, float]] = {}
    for line in Path(path).read_bytes().splitlines():
        with suppress(ValueError):  # not JSON, or not UTF-8: torn
            values = json.loads(line)
            steps.setdefault(values["step"], {}).update(
                {k: float(v) if v in NON_FINITE else v for k, v in values.items()}
            )
    return [steps[step] for step in sorted(steps)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _shown(values: Mapping[str, float]) -> list[str]:
    return [f"{name} {_short(float(value))}" for name, value in values.items()]


def environment() -> dict[str, Any]:
    """Returns what a run runs with: versions, revision, devices, command line and time (UTC).

    A package that is not installed has the version None, and a package outside git the revision
    None; "+dirty" marks changes in tracked files. This starts JAX's backend: where there are many
    processes, call it after `jax.distributed.initialize`.
    """
    import jax

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "revision": _revision(Path(__file__).resolve()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [f"{device} ({device.device_kind})" for device in jax.devices()],
        "versions": {package: _version(package) for package in PACKAGES.split()},
    }


def _version(package: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _revision(file: Path) -> str | None:
    """The commit of the repository that tracks `file`."""
    hook = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # of another repository, under its hooks
    env = {name: value for name, value in os.environ.items() if name not in hook}

    def git(*arguments: str) -> bytes:
        command = ["git", "--no-optional-locks", "-C", str(file.parent), *arguments]
        return subprocess.run(command, env=env, capture_output=True, check=True, timeout=30).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)  # not one that merely holds an environment
        changes = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD").decode().strip() + ("+dirty" if changes else "")
    except (OSError, subprocess.SubprocessError):
        return None
