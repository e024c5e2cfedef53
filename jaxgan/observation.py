"""What is seen of a run while it trains: its metrics and its pictures."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import pictures, report
from jaxgan.data import Source, centre_crop, to_float
from jaxgan.evaluation import results
from jaxgan.evaluation.evaluator import EvaluationError, Evaluator
from jaxgan.metrics import distances
from jaxgan.sampling import Sampler
from jaxgan.state import GANState

MEASURED = 1024  # samples, and real images, that a distance compares, of up to 64x64x3;
MEASURED_VALUES = MEASURED * 64 * 64 * 3  # of larger ones fewer, but not less than
MIN_MEASURED = 64
STRIP = 4  # grids in the strip over time
EVALUATED = "evaluation/"  # before the names of figures among a run's metrics

_LOG = logging.getLogger(__name__)


class Diverged(RuntimeError):
    """A loss or a gradient was not finite; the state is that of the step before."""


class Watch:
    """Collects the metrics of calls, says when one was not finite, and writes their averages.

    A call is looked at when the next one is under way, so that the devices never wait for the host;
    `settle` looks at all.
    """

    def __init__(self, log: report.Log) -> None:
        self.log = log
        self._calls: list[tuple[int, Mapping[str, jax.Array]]] = []
        self._looked_at = 0
        self._images: int | None = None  # shown to the discriminator, as of the last look
        self._began = self._wrote = time.monotonic()
        self._written: int | None = None  # images as of the last line

    def see(self, step: int, metrics: Mapping[str, jax.Array], *, settle: bool) -> None:
        """Takes a call's metrics.

        Args:
          step: steps done after the call.
          metrics: name -> [S], of the call's S steps.
          settle: look at this call too, which waits for it.

        Raises:
          Diverged: a loss or a gradient was not finite, in this call or the one before.
        """
        self._calls.append((step, metrics))
        for call in self._calls[self._looked_at : None if settle else -1]:
            self._looked_at += 1
            self._look(*call)

    def _look(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        names = [name for name in metrics if name.startswith("finite/")]
        finite, images = jax.device_get(([metrics[name] for name in names], metrics["images"]))
        for position in range(len(images)):
            for name, values in zip(names, finite, strict=True):
                if not values[position]:
                    failed = step - len(images) + position + 1
                    raise Diverged(_advice(failed, name, metrics, position))
        shown = 0 if self._images is None else int(images[-1]) - self._images
        self._images = int(images[-1])
        self.log.advance(len(images), shown, {})

    def write(self, step: int) -> None:
        """Writes the averages since the last time; all calls must have been settled."""
        calls = jax.device_get([metrics for _, metrics in self._calls])
        self._calls, self._looked_at = [], 0
        values = {
            name: float(np.mean([np.mean(call[name]) for call in calls]))
            for name in calls[0]
            if name != "images" and not name.startswith("finite/")
        }
        now, images = time.monotonic(), int(calls[-1]["images"][-1])
        pace = {}
        if self._written is not None:  # the first line's seconds were spent compiling
            pace["speed/images_per_second"] = (images - self._written) / (now - self._wrote)
        self._written, self._wrote = images, now
        self.log.write(step, {"kimg": images / 1000, "seconds": now - self._began, **values, **pace})
        self.log.advance(0, 0, {name: values[name] for name in values if name.startswith("loss/")})

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves time in which nothing is trained out of the pace."""
        began = time.monotonic()
        yield
        self._wrote += time.monotonic() - began


def _advice(step: int, name: str, metrics: Mapping[str, jax.Array], position: int) -> str:
    letter = name.removeprefix("finite/")
    player = {"d": "discriminator", "g": "generator"}[letter]
    loss, norm = (float(metrics[f"{x}/{letter}"][position]) for x in ("loss", "grad_norm"))
    return (
        f"Step {step} was not made: the {player}'s loss is {loss:.4g}, its gradient's norm {norm:.4g}. "
        "The weights are those of the step before, and no checkpoint was written since. Try "
        f"a lower optimizer.{player}.learning_rate, a penalty (penalties.r1), or float32 where "
        "model.dtype is bfloat16; with --accept_changes the run goes on from its last checkpoint."
    )


class Album:
    """The pictures of a run: a grid of samples with fixed latents at each call, and all over time.

    Args:
      directory: of the run; gets `samples.png`, `samples/`, `progress.png` and `curves.png`.
      log: shows the grids in TensorBoard.
      labels: the class of each row, or none for an unconditional generator, which gets 8 rows,
        or a row for each choice of its first categorical code.
      columns: samples a row.
      seed: of the latents.
    """

    def __init__(
        self, directory: Path, log: report.Log, *, labels: Sequence[int], columns: int, seed: int
    ) -> None:
        self.directory, self.log, self.labels = directory, log, labels
        self.columns, self.seed = columns, seed

    def add(self, step: int, sampler: Sampler) -> None:
        """Draws the grid of a step."""
        if self.labels:
            drawn = sampler.draw(labels=np.repeat(self.labels, self.columns), seed=self.seed)
        else:
            of_code = sampler.codes.categorical[:1]  # a row for each choice of the first code
            rows = np.arange((of_code or (8,))[0])
            choices = np.repeat(rows, self.columns) if of_code else None
            drawn = sampler.draw(len(rows) * self.columns, choices=choices, seed=self.seed)
        images = drawn.reshape(-1, self.columns, *drawn.shape[1:])
        grid = pictures.image_grid(images, row_labels=[sampler.classes[i] for i in self.labels])
        pictures.save_image(grid, self.directory / "samples" / f"step_{step:09d}.png")
        pictures.save_image(grid, self.directory / "samples.png")
        self.log.image(step, "samples", np.asarray(grid))

    def finish(self) -> None:
        """Draws the grids over time, and the curves of all metrics so far."""
        from PIL import Image

        grids = sorted((self.directory / "samples").glob("step_*.png"))
        if not grids:
            return
        chosen = sorted({int(i) for i in np.linspace(0, len(grids) - 1, STRIP)})
        strip = [(f"step {int(grids[i].stem[5:]):,}", Image.open(grids[i])) for i in chosen]
        pictures.save_image(pictures.strip(strip), self.directory / "progress.png")
        metrics = report.read_metrics(self.directory / "metrics.jsonl")
        # A figure has a panel of its own, for each has a scale of its own.
        lines = [{name.removeprefix(EVALUATED): value for name, value in line.items()} for line in metrics]
        pictures.curves(lines, self.directory / "curves.png")


def about(state: GANState) -> dict[str, Any]:
    """What is to be said of samples of a state's averaged generator."""
    return {"step": int(state.step), "kimg": int(state.images) / 1000, "average": True}


def evaluate(
    evaluator: Evaluator, state: GANState, sampler: Sampler, *, directory: Path | None
) -> dict[str, float]:
    """Figures of a state's samples, by name, which are written into a run's directory too, if given.

    Samples of which none can be made are logged: training goes on.
    """
    said = about(state)
    try:
        result = evaluator.measure(evaluator.samples(sampler, about=said), intervals=False)
    except EvaluationError as error:
        _LOG.warning("Samples of step %s are not evaluated: %s", said["step"], error)
        return {}
    if directory is not None:
        results.save(result, directory / results.FOLDER)
    whole = {
        name: figure.value for name, figure in result.figures.items() if "/" not in name
    }  # not of a class
    return {f"{EVALUATED}{name}": value for name, value in whole.items()}


def measure(sampler: Sampler, source: Source, *, seed: int) -> dict[str, float]:
    """Distances between samples and as many real images of the same classes, by name.

    `distance/sliced_wasserstein`: of pixels in [-1, 1]; see `metrics.distances.sliced_wasserstein`.
    """
    count = min(MEASURED, len(source), max(MIN_MEASURED, MEASURED_VALUES // math.prod(source.image_shape)))
    index = np.linspace(0, len(source) - 1, count).astype(int)
    real = source.gather(index)
    if sampler.classes:
        drawn = sampler.draw(labels=real["label"], seed=seed)
    else:
        drawn = sampler.draw(len(index), seed=seed)
    whole = centre_crop(real["image"], drawn.shape[1:3])  # of which the players are shown random parts
    first, second = (to_float(images) for images in (drawn, whole))
    distance = _sliced_wasserstein(jax.random.key(seed), first, second)
    return {"distance/sliced_wasserstein": float(distance)}


_sliced_wasserstein = jax.jit(distances.sliced_wasserstein)
