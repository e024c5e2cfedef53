"""LPIPS: the distance of two images as people see it, in the features of AlexNet."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.features.extractors import as_colour, digest_of
from jaxgan.files import AnyPath
from jaxgan.interop import files, tables
from jaxgan.interop.rules import CONV, Rule
from jaxgan.models import layers

# Channels, kernel, stride and padding of AlexNet's convolutions, as in Krizhevsky 2014, and their places in
# torchvision's `features`; before the second and the third the largest of each 3x3 pixels is taken.
CONVOLUTIONS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
PLACES = (0, 3, 6, 8, 10)
POOLED = (1, 2)
SMALLEST = 31  # pixels a side, of which one is left in the end
# Of images in [-1, 1]: ImageNet's means and deviations, as LPIPS has them.
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
TINY = 1e-20  # beside the square of a pixel's features, so that dead ones have a derivative
CHANNELS = Rule(lambda array: (array.reshape(-1),), lambda array: (array.reshape(1, -1, 1, 1),))

Distance = Callable[[Any, jax.Array, jax.Array], jax.Array]


class PerceptualDistance(NamedTuple):
    """A distance of images by a network with fixed weights.

    Attributes:
      name: what results call it.
      digest: SHA-256 of the weights, in hex.
      variables: arrays, given to the functions.
      apply: pure, differentiable: (variables, first, second [B,H,W,C] in [-1, 1]) -> distances [B], 0 or
        more; C is 1 or 3, H and W are 31 or more.
      stages: the same of (variables, images) -> the network's grids [B,h,w,c], from first to last.
    """

    name: str
    digest: str
    variables: Any
    apply: Distance
    stages: Callable[[Any, jax.Array], list[jax.Array]]


class AlexNet(nn.Module):
    """Images [B,H,W,3] in [-1, 1] to five grids, and how much each of their channels counts."""

    def setup(self) -> None:
        self.convolutions = [
            layers.Conv(features, (side, side), stride, ((padding, padding),) * 2)
            for features, side, stride, padding in CONVOLUTIONS
        ]
        self.weights = [
            self.param(f"weights_{i}", nn.initializers.ones, (features,))
            for i, (features, *_) in enumerate(CONVOLUTIONS)
        ]

    def stages(self, images: jax.Array) -> list[jax.Array]:
        x, grids = (images - jnp.array(MEAN)) / jnp.array(DEVIATION), list[jax.Array]()
        for i, convolution in enumerate(self.convolutions):
            x = nn.max_pool(x, (3, 3), strides=(2, 2)) if i in POOLED else x
            x = nn.relu(convolution(x))
            grids.append(x)
        return grids

    def __call__(self, first: jax.Array, second: jax.Array, *, train: bool) -> jax.Array:
        """Distances [B]: of unit vectors at each pixel, weighted squares, averaged; summed over grids."""
        pairs = zip(self.weights, self.stages(first), self.stages(second), strict=True)
        return sum(
            (jnp.mean((_unit(a) - _unit(b)) ** 2 @ weights, axis=(1, 2)) for weights, a, b in pairs),
            jnp.zeros(len(first)),
        )


def lpips(weights: AnyPath | Sequence[AnyPath]) -> PerceptualDistance:
    """LPIPS, version 0.1, with AlexNet.

    Args:
      weights: a file with all weights, or several that have them together, as torchvision's AlexNet and
        LPIPS's 'alex.pth' are published: .safetensors, .npz or of torch.save, with the names of those,
        'features.0.weight' and 'lin0.model.1.weight', float16 or float32. AlexNet's classifier is left out.

    Raises:
      WeightsError: the files are damaged, or their weights are not AlexNet's and LPIPS's.
      OSError: they cannot be read.

    Source: Zhang et al. 2018 (LPIPS), eq. 1, the linear calibration 'lin'; Krizhevsky 2014 for AlexNet.
    """
    paths = [weights] if isinstance(weights, str | os.PathLike) else weights
    arrays = {name: array for path in paths for name, array in files.read(path).items()}
    arrays = {name: array for name, array in arrays.items() if not name.startswith("classifier.")}
    network: Any = AlexNet()
    like = jax.ShapeDtypeStruct((1, SMALLEST, SMALLEST, 3), jnp.float32)
    variables, _ = tables.take(_table(), arrays, tables.template(network, like, like))

    def apply(variables: Any, first: jax.Array, second: jax.Array) -> jax.Array:
        if first.shape != second.shape:
            raise ValueError(f"Pairs of images are compared, got {first.shape} and {second.shape}.")
        return network.apply(variables, _checked(first), _checked(second), train=False)

    def stages(variables: Any, images: jax.Array) -> list[jax.Array]:
        return network.apply(variables, _checked(images), method=network.stages)

    return PerceptualDistance("lpips-alex-0.1", digest_of(variables), variables, apply, stages)


def _table() -> tables.Table:
    convolutions = (
        tables.layer(f"convolutions_{i}", f"features.{place}", CONV) for i, place in enumerate(PLACES)
    )
    weights = (
        tables.Entry((f"params.weights_{i}",), (f"lin{i}.model.1.weight",), CHANNELS)
        for i in range(len(PLACES))
    )
    return (*(entry for each in convolutions for entry in each), *weights)


def _checked(images: jax.Array) -> jax.Array:
    images = as_colour(images)
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"AlexNet takes images of {SMALLEST}x{SMALLEST} pixels or more, got {images.shape[1]}x"
            f"{images.shape[2]}; enlarge them before (jaxgan.data.resize), all by the same factor."
        )
    return images


def _unit(grid: jax.Array) -> jax.Array:
    return grid * jax.lax.rsqrt(jnp.sum(grid**2, axis=-1, keepdims=True) + TINY)
