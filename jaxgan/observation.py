"""What is seen of a run while it trains: its metrics and its pictures."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import pictures, report
from jaxgan.evaluation import results
from jaxgan.evaluation.evaluator import EvaluationError, Evaluator
from jaxgan.evaluation.sets import ImageSet
from jaxgan.state import GANState

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
    """The pictures of a run: a grid at each call, and all over time.

    Args:
      directory: of the run; gets `samples.png`, `samples/`, `progress.png` and `curves.png`.
      log: shows the grids in TensorBoard.
    """

    def __init__(self, directory: Path, log: report.Log) -> None:
        self.directory, self.log = directory, log

    def add(self, step: int, grid: Any) -> None:
        """Keeps the grid of a step, a PIL image."""
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
    evaluator: Evaluator, samples: Callable[[], ImageSet], *, step: int, directory: Path | None
) -> dict[str, float]:
    """Figures of a state's samples, by name, which are written into a run's directory too, if given.

    Samples of which none can be made are logged: training goes on.
    """
    try:
        result = evaluator.measure(samples(), intervals=False)
    except EvaluationError as error:
        _LOG.warning("Samples of step %s are not evaluated: %s", step, error)
        return {}
    if directory is not None:
        results.save(result, directory / results.FOLDER)
    whole = {
        name: figure.value for name, figure in result.figures.items() if "/" not in name
    }  # not of a class
    return {f"{EVALUATED}{name}": value for name, value in whole.items()}
