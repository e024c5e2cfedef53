"""DCGAN: a stack of 4x4 convolutions of stride 2 and batch normalisation, for any even resolution.

Source: Radford et al. 2016, section 3 and figure 1; class-conditional by a label code beside the latents
(Mirza & Osindero 2014) and a projection discriminator (Miyato & Koyama 2018). Departures: any channels,
any resolution and aspect that is a multiple of a power of two, widths capped at 8 times the narrowest; the
scales of the batch normalisation start as normal(1, 0.02), and the discriminator's logit is that of a dense
layer on its last grid, plus the projection on the grid's sum.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

SLOPE = 0.2  # of the leaky ReLU: Radford et al. 2016, section 4
NORMS = ("none", "batch", "spectral")
normal = nn.initializers.normal(0.02)  # Radford et al. 2016, section 4
by_two = partial(layers.Conv, kernel_size=(4, 4), stride=2, kernel_init=normal)
halve = partial(by_two, padding=((1, 1), (1, 1)))
double = partial(by_two, padding=((2, 2), (2, 2)), transposed=True)


def widths(narrowest: int, count: int) -> list[int]:
    """Channels of `count` stages, from the image inwards: doubled at each, at most 8 times the first."""
    return [narrowest * 2 ** min(stage, 3) for stage in range(count)]


class GeneratorStage(nn.Module):
    """Twice the grid, normalised: [B,H,W,C] -> [B,2H,2W,features].

    Attributes:
      features: channels.
      normalise: () -> a normalisation.
      dtype: of the computation.
    """

    features: int
    normalise: Callable[[], nn.Module]
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = double(self.features, use_bias=False, dtype=self.dtype)
        return nn.relu(self.normalise()(conv(images)))


class DiscriminatorStage(nn.Module):
    """Half the grid: [B,H,W,C] -> [B,H/2,W/2,features].

    Attributes:
      features: channels.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a normalisation, or None.
      dtype: of the computation.
    """

    features: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    normalise: Callable[[], nn.Module] | None = None
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = self.layer(halve(self.features, dtype=self.dtype), images)
        return nn.leaky_relu(x if self.normalise is None else self.normalise()(x), SLOPE)


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C] in [-1, 1], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      width: channels of the stage next to the image.
      smallest: the smallest grid has at least this many pixels a side.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 128
    smallest: int = 4
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        height, width, channels = self.image_shape
        count = layers.at_least_one_doubling(self.image_shape, self.smallest)
        *inner, outermost = reversed([channels, *widths(self.width, count)])
        normalise = partial(
            layers.batch_norm(self, train=train), scale_init=lambda *args: 1.0 + normal(*args)
        )
        codes = layers.label_codes(labels, self.num_classes)
        x = latents if codes is None else jnp.concatenate([latents, codes], axis=-1)
        grid = (height >> count, width >> count, inner[0])
        x = nn.Dense(math.prod(grid), use_bias=False, kernel_init=normal, dtype=self.dtype)(x)
        x = nn.relu(normalise()(x.reshape(-1, *grid)))
        stage = layers.rematerialised(GeneratorStage, self.remat)
        for i, features in enumerate(inner[1:]):
            x = stage(features, normalise, self.dtype, name=f"stage_{i}")(x)
        x = double(outermost, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(latents.dtype))


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] and labels [B] (or None) to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: channels of the stage next to the image.
      smallest: the smallest grid has at least this many pixels a side.
      norm: 'batch' as in the paper (then logits depend on the whole batch: no gradient penalty), 'spectral'
        (every layer's kernel divided by its largest singular value: Miyato et al. 2018, eq. 8), or 'none'.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 128
    smallest: int = 4
    norm: str = "none"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the stages' grids from the image inwards, and the further heads' outputs."""
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}.")
        layers.check_images(images, self.image_shape)
        x, grids = images, list[jax.Array]()
        layer = partial(layers.normalised, spectral=self.norm == "spectral", train=train)
        stages = widths(self.width, layers.doublings(self.image_shape, self.smallest))
        stage = layers.rematerialised(DiscriminatorStage, self.remat)
        for i, features in enumerate(stages):
            batched = self.norm == "batch" and i > 0  # not next to the image: section 3
            normalise = layers.batch_norm(self, train=train) if batched else None
            x = stage(features, layer, normalise, self.dtype, name=f"stage_{i}")(x)
            grids.append(x.astype(images.dtype))
        x = x.astype(images.dtype)
        flat, pooled = x.reshape(len(x), -1), jnp.sum(x, axis=(1, 2))
        logits = layer(nn.Dense(1, kernel_init=normal), flat)[:, 0]
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None:
            embeddings = layer(nn.Dense(pooled.shape[-1], use_bias=False, kernel_init=normal), codes)
            logits = layers.project(logits, pooled, embeddings)
        heads = {
            name: layer(nn.Dense(size, kernel_init=normal, name=f"head_{name}"), flat)
            for name, size in self.heads
        }
        return logits, tuple(grids), heads
