"""Images against what they should be: figures of each pair, made in one compiled program over all devices."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from jaxgan import metrics
from jaxgan.evaluation.collecting import BATCH, run_over
from jaxgan.evaluation.sets import ImageSet, Pairs
from jaxgan.features.perceptual import Distance, PerceptualDistance

PEAK = 255.0  # of white
PIXELS = BATCH * 256 * 256  # a device at a time


class Pair(NamedTuple):
    """Images beside their truths.

    Attributes:
      images, truths: float32 [B,H,W,C] in [0, 255].
      border: pixels at each edge that figures of luma leave out.
      distance: (images, truths, in [-1, 1]) -> [B], as people see it.
    """

    images: jax.Array
    truths: jax.Array
    border: int
    distance: Callable[[jax.Array, jax.Array], jax.Array]

    @property
    def lumas(self) -> list[jax.Array]:
        """Of both; grey images are their own."""
        return [x if x.shape[-1] == 1 else metrics.luma(x, peak=PEAK) for x in self[:2]]


class Measure(NamedTuple):
    """A figure of pairs.

    Attributes:
      of: pairs -> values [B]. Sources: `metrics.images`, `features.perceptual`.
      meaning: of the values, and which are good.
      needs: beside the truth.
    """

    of: Callable[[Pair], jax.Array]
    meaning: str
    needs: tuple[str, ...] = ()


MEASURES = {
    "psnr": Measure(
        lambda of: metrics.psnr(*of[:2], peak=PEAK),
        "dB, of images against what they should be; higher is better",
    ),
    "psnr_y": Measure(
        lambda of: metrics.psnr(*of.lumas, peak=PEAK, border=of.border), "the same of luma, within --border"
    ),
    "ssim": Measure(
        lambda of: metrics.ssim(*of[:2], peak=PEAK), "structural similarity, up to 1; higher is better"
    ),
    "ssim_y": Measure(
        lambda of: metrics.ssim(*of.lumas, peak=PEAK, border=of.border), "the same of luma, within --border"
    ),
    "ms_ssim": Measure(
        lambda of: metrics.ms_ssim(*of[:2], peak=PEAK),
        "the same at five scales, of 161 pixels a side or more",
    ),
    "l1": Measure(
        lambda of: jnp.mean(jnp.abs(of.images - of.truths), axis=(1, 2, 3)) / PEAK,
        "mean difference of values in [0, 1]; lower is better",
    ),
    "lpips": Measure(
        lambda of: of.distance(*(x / (PEAK / 2) - 1 for x in of[:2])), "LPIPS; lower is better", ("lpips",)
    ),
}
OF_LUMA = ("psnr_y", "ssim_y")  # which leave a border out


def compare_pairs(
    sets: Sequence[ImageSet],
    asked: Collection[str],
    *,
    distance: PerceptualDistance | None = None,
    border: int = 0,
    batch: int = 0,
    devices: Sequence[jax.Device] | None = None,
    progress: str = "",
) -> dict[str, np.ndarray | ValueError]:
    """What is asked of each image of sets whose truths are known, one set after the other.

    Args:
      sets: each of images of one size.
      asked: names in MEASURES.
      distance: for 'lpips'.
      border: see `Pair`.
      batch: images at a time, over all devices; 0 is 50 for each, of more than 256x256 pixels fewer.
      devices, progress: see `collecting.collect`.

    Returns:
      By name float32 [N], or why there are no such figures: images that are too small, of other sizes.
    """
    weights, apply = (distance.variables, distance.apply) if distance else ((), _no_distance)
    found: dict[str, np.ndarray | ValueError] = {}
    for name in asked:
        try:
            for images in sets:
                program = _measured(_pairs_of(images), (name,), apply, border)
                jax.eval_shape(program, images.variables, weights, images.inputs(np.arange(1)))
        except ValueError as error:
            found[name] = error
    names = tuple(name for name in asked if name not in found)
    parts = []
    for images in sets if names else ():
        make = partial(_pipeline, _pairs_of(images), names, apply, border)
        height, width, _ = images.shape
        each = min(BATCH, max(1, PIXELS // (height * width)))
        at_a_time = batch or each * len(devices or jax.devices())
        parts.append(run_over(images, make, weights, batch=at_a_time, devices=devices, progress=progress))
    return found | {name: np.concatenate([part[name] for part in parts]) for name in names}


def _pairs_of(images: ImageSet) -> Pairs:
    assert images.pairs is not None
    return images.pairs


def _no_distance(*_: Any) -> jax.Array:
    raise ValueError("LPIPS needs its weights.")


def _measured(pairs: Pairs, names: tuple[str, ...], apply: Distance, border: int) -> Callable[..., Any]:
    """(variables, weights, inputs) -> what is asked of each pair."""

    def run(variables: Mapping[str, Any], weights: Any, inputs: Mapping[str, Any]) -> dict[str, jax.Array]:
        images, truths = (
            x.astype(jnp.float32) / (jnp.iinfo(x.dtype).max / PEAK) for x in pairs(**variables, **inputs)
        )
        pair = Pair(images, truths, border, partial(apply, weights))
        with jax.default_matmul_precision("highest"):  # as of features
            return {name: MEASURES[name].of(pair) for name in names}

    return run


@lru_cache(maxsize=8)
def _pipeline(
    pairs: Pairs, names: tuple[str, ...], apply: Distance, border: int, replicated: NamedSharding
) -> Callable[..., dict[str, jax.Array]]:
    return jax.jit(_measured(pairs, names, apply, border), out_shardings=replicated)
