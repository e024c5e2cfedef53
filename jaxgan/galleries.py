"""What is seen of a generator's state: a grid of what it makes, and how far that is from real images."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan import pictures
from jaxgan.data import Source, centre_crop, gather_examples, to_float
from jaxgan.metrics import distances, images
from jaxgan.sampling import Sampler
from jaxgan.translating import Translator

MEASURED = 1024  # samples, and real images, that a distance compares, of up to 64x64x3;
MEASURED_VALUES = MEASURED * 64 * 64 * 3  # of larger ones fewer, but not less than
MIN_MEASURED = 64
ROWS = 8  # of a grid without classes


class Gallery(NamedTuple):
    """How a generator is looked at.

    Attributes:
      draw: a Sampler or a Translator -> a grid of what it makes, of the same latents or examples each time.
      measure: the same -> distances by name. `distance/sliced_wasserstein`: of pixels in [-1, 1] to real
        images, see `metrics.distances.sliced_wasserstein`; of pairs also `distance/l1`, the mean of the
        absolute differences, and `distance/psnr`, in dB; of cycles `distance/returned`, the l1 of what comes
        back.
    """

    draw: Callable[[Any], Any]
    measure: Callable[[Any], dict[str, float]]


def of_samples(source: Source, *, labels: Sequence[int], columns: int, seed: int) -> Gallery:
    """Of images drawn from latents.

    Args:
      source: the real images; as many as there are samples, of the same classes, are compared.
      labels: the class of each row, or none for an unconditional generator, which gets 8 rows,
        or a row for each choice of its first categorical code.
      columns: samples a row.
      seed: of the latents.
    """

    def draw(sampler: Sampler) -> Any:
        if labels:
            drawn = sampler.draw(labels=np.repeat(labels, columns), seed=seed)
        else:
            of_code = sampler.codes.categorical[:1]  # a row for each choice of the first code
            rows = np.arange((of_code or (ROWS,))[0])
            choices = np.repeat(rows, columns) if of_code else None
            drawn = sampler.draw(len(rows) * columns, choices=choices, seed=seed)
        grid = drawn.reshape(-1, columns, *drawn.shape[1:])
        return pictures.image_grid(grid, row_labels=[sampler.classes[i] for i in labels])

    def measure(sampler: Sampler) -> dict[str, float]:
        real = source.gather(_spread(source, _measured(source)))
        if sampler.classes:
            drawn = sampler.draw(labels=real["label"], seed=seed)
        else:
            drawn = sampler.draw(len(real["image"]), seed=seed)
        return {"distance/sliced_wasserstein": _distance(drawn, real["image"], seed)}

    return Gallery(draw, measure)


def of_examples(source: Source, *, columns: int, seed: int) -> Gallery:
    """Of what is made of given images: each example with what is shown of it, from left to right.

    Args:
      source: the examples.
      columns: images a row, at most; at least one example has its place there.
      seed: of what is random in it.
    """

    def examples(count: int) -> Mapping[str, np.ndarray]:
        return gather_examples(source, _spread(source, count))

    def show(translator: Translator, count: int) -> dict[str, np.ndarray]:
        return translator.show(examples(count), seed=seed)

    def draw(translator: Translator) -> Any:
        beside = max(1, columns // len(translator.names(examples(1))))
        return grid_of(show(translator, min(ROWS * beside, len(source))), beside=beside)

    def measure(translator: Translator) -> dict[str, float]:
        count = _measured(source)
        shown = show(translator, count)
        reals = source.gather(_spread(source, count))["image"]
        found = {"distance/sliced_wasserstein": _distance(shown["output"], reals, seed)}
        if "truth" in shown:
            made, truth = shown["output"], shown["truth"]
            found["distance/l1"] = _l1(made, truth)
            found["distance/psnr"] = float(np.mean(_psnr(to_float(made), to_float(truth))))
        if "returned" in shown:
            found["distance/returned"] = _l1(shown["returned"], shown["input"])
        return found

    return Gallery(draw, measure)


def grid_of(shown: Mapping[str, np.ndarray], *, beside: int = 1) -> Any:
    """Examples in a grid, what is shown of each next to each other: uint8 [N,H,W,C] by name -> a picture.

    Args:
      shown: in the order of columns; smaller images are enlarged, grey ones coloured.
      beside: examples a row; what does not fill a row is left out.
    """
    height = max(part.shape[1] for part in shown.values())
    width = max(part.shape[2] for part in shown.values())
    columns = [_enlarged(part, height, width) for part in shown.values()]
    count = max(1, len(columns[0]) // beside) * beside
    tiles = np.stack(columns, axis=1)[:count]
    return pictures.image_grid(tiles.reshape(-1, beside * len(columns), *tiles.shape[2:]))


def _enlarged(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels repeated as often as they fit, in the middle of white, with three channels."""
    factor = min(height // part.shape[1], width // part.shape[2])
    part = pictures.over_white(part.repeat(factor, axis=1).repeat(factor, axis=2))
    missing = [(total - length) for total, length in zip((height, width), part.shape[1:3], strict=True)]
    edges = [(m // 2, m - m // 2) for m in missing]
    return np.pad(part, [(0, 0), *edges, (0, 0)], constant_values=255)


def _measured(source: Source) -> int:
    return min(MEASURED, len(source), max(MIN_MEASURED, MEASURED_VALUES // math.prod(source.image_shape)))


def _spread(source: Source, count: int) -> np.ndarray:
    """Indices from all over a source."""
    return np.linspace(0, len(source) - 1, count).astype(int)


def _distance(made: np.ndarray, real: np.ndarray, seed: int) -> float:
    whole = centre_crop(real, made.shape[1:3])  # of which the players are shown random parts
    first, second = (to_float(part) for part in (made, whole))
    return float(_sliced_wasserstein(jax.random.key(seed), first, second))


def _l1(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean(np.abs(to_float(first) - to_float(second))))


_sliced_wasserstein = jax.jit(distances.sliced_wasserstein)
_psnr = jax.jit(partial(images.psnr, peak=2.0))
