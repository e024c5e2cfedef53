"""Steps by name, in a row: a pipeline."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.degradations.blurring import anisotropic_blur, gaussian_blur
from jaxgan.degradations.compression import LEVEL, as_8_bits, jpeg
from jaxgan.degradations.resizing import bicubic
from jaxgan.shapes import check_keys

Degradation = Callable[[jax.Array, jax.Array], jax.Array]
Spec = tuple[Any, ...]  # a step's name, and its range where it has one


class Step(NamedTuple):
    """One step of a pipeline.

    Attributes:
      apply: (images [B,H,W,C], keys [B], lowest, highest) -> images; it draws from that range.
      bounds: what the range has to lie in.
      unit: of the range, for those that read errors.
    """

    apply: Callable[..., jax.Array]
    bounds: tuple[float, float]
    unit: str


def _uniform(keys: jax.Array, shape: tuple[int, ...], lowest: float, highest: float) -> jax.Array:
    """[B,*shape], always drawn as float32, so that it is the same at every precision of images."""
    draw = partial(jax.random.uniform, shape=shape, dtype=jnp.float32, minval=lowest, maxval=highest)
    return jax.vmap(draw)(keys)


def _blur(images: jax.Array, keys: jax.Array, lowest: float, highest: float) -> jax.Array:
    return gaussian_blur(images, _uniform(keys, (), lowest, highest), most=highest)


def _anisotropic_blur(images: jax.Array, keys: jax.Array, lowest: float, highest: float) -> jax.Array:
    deviation_keys, angle_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    angles = _uniform(angle_keys, (), 0.0, math.pi)
    deviations = _uniform(deviation_keys, (2,), lowest, highest)
    return anisotropic_blur(images, deviations, angles, most=highest)


def _noise(images: jax.Array, keys: jax.Array, lowest: float, highest: float) -> jax.Array:
    deviation_keys, noise_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    draw = partial(jax.random.normal, shape=images.shape[1:], dtype=jnp.float32)
    deviations = LEVEL * _uniform(deviation_keys, (1, 1, 1), lowest, highest)
    return images + (deviations * jax.vmap(draw)(noise_keys)).astype(images.dtype)


def _jpeg(images: jax.Array, keys: jax.Array, lowest: float, highest: float) -> jax.Array:
    return jpeg(as_8_bits(images), _uniform(keys, (), lowest, highest))


STEPS = {
    "blur": Step(_blur, (0.0, 16.0), "pixels of standard deviation"),
    "anisotropic_blur": Step(_anisotropic_blur, (0.0, 16.0), "pixels of standard deviation"),
    "noise": Step(_noise, (0.0, 255.0), "grey levels of standard deviation"),
    "jpeg": Step(_jpeg, (1.0, 100.0), "quality"),
}
SHRINK = "bicubic"


def make_degradation(steps: Sequence[Spec], scale: int = 1) -> Degradation:
    """A pipeline that makes of good images what a network is given.

    Args:
      steps: in order, ("blur", 0.2, 3.0), a name in `STEPS` and the range from which each image draws, or
        ("bicubic",), which makes images smaller by the scale.
      scale: how many rows and columns become one; 1: images keep their size, and no step shrinks them.

    Returns:
      (images [B,H,W,C] float in [-1, 1], keys [B]) -> [B,H/scale,W/scale,C], rounded to whole grey levels
      in [-1, 1], as a file of 8 bits has them. Everything that is random of an image is from its key.
      It raises a ValueError for images whose sides do not divide by the scale, and for other keys.

    Raises:
      ValueError: unknown steps, ranges out of their bounds, shrinking that does not fit the scale.

    Source: the order blur, bicubic, noise is that of Zhang et al. 2018 (SRMD), eq. 1; JPEG after it as in
    Wang et al. 2021 (Real-ESRGAN), figure 2, without its second round and sinc filters.
    """
    _check(steps, scale)

    def degrade(images: jax.Array, keys: jax.Array) -> jax.Array:
        check_keys(keys, images)
        height, width = images.shape[1:3]
        if height % scale or width % scale:
            raise ValueError(
                f"Images of {height}x{width} do not divide by the scale, {scale}; crop them to a multiple."
            )
        for index, (name, *span) in enumerate(steps):
            if name == SHRINK:  # as MATLAB does it with images of 8 bits: rounded after rows, and columns
                for size in ((height // scale, width), (height // scale, width // scale)):
                    images = as_8_bits(bicubic(images, size))
            else:
                images = STEPS[name].apply(
                    images, jax.vmap(jax.random.fold_in, (0, None))(keys, index), *span
                )
        return as_8_bits(images)

    return degrade


def _check(steps: Sequence[Spec], scale: int) -> None:
    names = [name for name, *_ in steps]
    if unknown := {*names} - {SHRINK, *STEPS}:
        raise ValueError(
            f"No degradations {sorted(unknown)}; expected some of {', '.join((SHRINK, *STEPS))}."
        )
    if scale < 1 or names.count(SHRINK) != (scale > 1):
        raise ValueError(
            f"At a scale of {scale} the steps are {names}; expected {SHRINK!r} once among them if the scale "
            "is above 1, and not if it is 1."
        )
    for name, *span in steps:
        if name == SHRINK:
            wrong = bool(span)
            wanted = "no range"
        else:
            (least, most), unit = STEPS[name].bounds, STEPS[name].unit
            numbers = all(isinstance(value, int | float) for value in span)
            wrong = len(span) != 2 or not numbers or not least <= span[0] <= span[1] <= most
            wanted = f"a lowest and a highest number within {least:g} to {most:g} ({unit})"
        if wrong:
            raise ValueError(f"The step {name!r} was given {tuple(span)}, expected {wanted}.")
