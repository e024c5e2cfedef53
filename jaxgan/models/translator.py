"""Images to images by residual blocks between convolutions that halve and double the grid.

Source: Johnson et al. 2016, supplementary material; Zhu et al. 2017 (CycleGAN), appendix 7.2: c7s1-64, d128,
d256, blocks R256, u128, u64, c7s1-3. With 4 halvings it is the global generator of Wang et al. 2018
(pix2pixHD), appendix; their local enhancers, networks around it that are trained after it, are not here.
Departures: convolutions have a bias only where no normalisation follows, which would take it away again; the
nonlinearity after a block's sum is left out, as in the authors' networks. Images of any size: they are
padded by reflection to a multiple of what halves them, and the result is cropped.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

normal = nn.initializers.normal(0.02)  # Zhu et al. 2017, appendix 7.1
Normalise = Callable[[], nn.Module] | None
Layer = Callable[[nn.Module, jax.Array], jax.Array]


class Convolution(nn.Module):
    """A convolution, its normalisation and a nonlinearity: [B,H,W,C] -> [B,H',W',features].

    Attributes:
      features: channels.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a normalisation, or None.
      size: of the kernel, a side.
      stride: 1: of images padded by reflection; 2: half the grid, or double if transposed, with zeros around.
      transposed: double the grid.
      activate: the nonlinearity.
      dtype: of the computation.
    """

    features: int
    layer: Layer
    normalise: Normalise
    size: int = 3
    stride: int = 1
    transposed: bool = False
    activate: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        before, after = self.size // 2, self.size // 2 + self.transposed
        edge = (0, 0) if self.stride == 1 else (before, after)
        conv = layers.Conv(
            self.features,
            (self.size, self.size),
            self.stride,
            (edge, edge),
            transposed=self.transposed,
            use_bias=self.normalise is None,
            kernel_init=normal,
            dtype=self.dtype,
        )
        x = self.layer(conv, layers.reflect(images, before) if self.stride == 1 else images)
        return self.activate(x if self.normalise is None else self.normalise()(x))


class Block(nn.Module):
    """The images and two convolutions of them: [B,H,W,C] -> the same.

    Attributes:
      layer: see `Convolution`.
      normalise: see `Convolution`.
      dtype: of the computation.
    """

    layer: Layer
    normalise: Normalise
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        convolution = partial(Convolution, images.shape[-1], self.layer, self.normalise, dtype=self.dtype)
        return images + convolution(activate=lambda x: x)(convolution()(images))


def bounded(x: jax.Array) -> jax.Array:
    """tanh, in float32 at least: near 1, numbers of bfloat16 are half a grey level apart."""
    return jnp.tanh(x.astype(jnp.promote_types(x.dtype, jnp.float32)))


class Generator(nn.Module):
    """Images [B,H,W,C'] of any size and channels to images [B,H,W,channels] in [-1, 1], float32.

    Attributes:
      channels: of what is made.
      width: channels of the convolution next to the image, doubled by each halving.
      halvings: of the grid, before the blocks; it is doubled as often behind them.
      blocks: residual blocks: 9 for images of 256 pixels, 6 for smaller ones (Zhu et al. 2017).
      norm: 'instance' as in the papers, 'batch', 'spectral' (of kernels) or 'none'.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    channels: int = 3
    width: int = 64
    halvings: int = 2
    blocks: int = 9
    norm: str = "instance"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        made = self.grids(images, self.depth, train=train)[-1]
        return made[:, : images.shape[1], : images.shape[2]].astype(images.dtype)

    @property
    def depth(self) -> int:
        """How many stages there are: the index of what is made among the `grids`."""
        return 2 + 2 * self.halvings + self.blocks

    def features(
        self, images: jax.Array, stages: tuple[int, ...] = (), *, train: bool
    ) -> tuple[jax.Array, ...]:
        """What stages of these indices make of images, float32, without computing beyond the last of them.

        0 is the images, padded; 1 the first convolution; then those that halve, 2 to halvings + 1; then the
        blocks, from halvings + 2 on; then those that double, and the last one.

        Args:
          images: [B,H,W,C'].
          stages: indices from 0 to `depth`, in any order; (): CUT's, which are the images, each halving and
            the first and the fifth block (Park et al. 2020, appendix C), as far as there are so many.
          train: normalise by the batch, where the norm is 'batch'.

        Returns:
          A grid [B,h,w,c] for each of `stages`.

        Raises:
          ValueError: there are no such stages.
        """
        if not stages:
            first = self.halvings + 2
            blocks = (i for i in (first, first + 4) if i < first + self.blocks)
            stages = (0, *range(2, first), *blocks)
        if not all(0 <= stage <= self.depth for stage in stages):
            raise ValueError(f"Stages are {stages}, expected numbers from 0 to {self.depth}.")
        grids = self.grids(images, max(stages), train=train)
        return tuple(grids[stage].astype(images.dtype) for stage in stages)

    @nn.compact
    def grids(self, images: jax.Array, last: int, *, train: bool) -> list[jax.Array]:
        """The padded images, and what each stage up to the last makes of them."""
        options = {
            "layer": partial(layers.normalised, spectral=self.norm == "spectral", train=train),
            "normalise": layers.normalisation(self, train=train),
            "dtype": self.dtype,
        }
        stage, block = (layers.rematerialised(module, self.remat) for module in (Convolution, Block))
        widths = [self.width * 2**i for i in range(self.halvings + 1)]
        stages = [stage(self.width, size=7, name="first", **options)]
        for i, width in enumerate(widths[1:]):
            stages.append(stage(width, stride=2, name=f"down_{i}", **options))
        stages += [block(name=f"block_{i}", **options) for i in range(self.blocks)]
        for i, width in reversed([*enumerate(widths[:-1])]):
            stages.append(stage(width, stride=2, transposed=True, name=f"up_{i}", **options))
        options["normalise"] = None
        stages.append(stage(self.channels, size=7, activate=bounded, name="last", **options))
        grids = [layers.reflect_to_multiple(images, 2**self.halvings)]
        for module in stages[:last]:
            grids.append(module(grids[-1]))
        return grids
