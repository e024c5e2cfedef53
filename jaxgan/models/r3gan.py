"""R3GAN: residual networks of inverted bottlenecks, without normalisation, for any resolution and aspect.

Source: Huang et al. 2024 (R3GAN), section 4, configuration E: blocks of a 1x1, a grouped 3x3 and a 1x1
convolution; grids resampled by interpolation, with a 1x1 convolution where the channels change; initial
weights scaled as in Fixup (Zhang et al. 2019); a class's embedding beside the latents and projected on the
discriminator's features, as in StyleGAN2-ADA (Karras et al. 2020). Inferred, as what gives the paper's
numbers of parameters: channels of stages, groups and embeddings. Ours, and not taken from the paper: the
interpolation's taps, the embeddings' initial scale. Departures: any channels, any resolution and aspect that
is a multiple of a power of two; one dtype for all resolutions, and not bfloat16 for the highest four alone.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

SLOPE = 0.2  # of the leaky ReLU
unit = nn.initializers.variance_scaling(1.0, "fan_in", "normal")  # keeps the variance of what it is given


def widths(outermost: int, count: int, multiples: tuple[int, ...]) -> list[int]:
    """Channels of `count` stages from the image inwards: as many everywhere, or multiples."""
    if multiples and len(multiples) != count:
        raise ValueError(f"multiples has {len(multiples)} numbers, expected {count}, one for each stage.")
    return [outermost * multiple for multiple in multiples or (1,) * count]


class Block(nn.Module):
    """Images [B,H,W,C] plus what an inverted bottleneck makes of them; at first, nothing is added.

    Source: Huang et al. 2024, section 4: no normalisation, biases at the activations alone. Initial weights
    before an activation keep the deviation times `depth` ** -1/4, those of the last convolution are zero
    (Zhang et al. 2019, section 3, for three layers a block).

    Attributes:
      expansion: channels inside, as a multiple of those outside.
      group_size: channels of a group of the 3x3 convolution; fewer channels than that are one group.
      depth: blocks of the network.
      dtype: of the computation.
    """

    expansion: int
    group_size: int
    depth: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        channels = images.shape[-1]
        inside = self.expansion * channels
        size = min(self.group_size, inside)
        if inside % size:
            raise ValueError(
                f"{inside} channels (expansion {self.expansion} of {channels}) cannot be cut into groups of "
                f"{size}; choose a group_size that divides them, or another width."
            )
        variance = 2 / (1 + SLOPE**2) / math.sqrt(self.depth)  # the first factor: what leaky ReLUs lose
        init = nn.initializers.variance_scaling(variance, "fan_in", "normal")
        conv = partial(layers.Conv, kernel_init=init, dtype=self.dtype)
        x = nn.leaky_relu(conv(inside, (1, 1), name="widen")(images), SLOPE)
        x = nn.leaky_relu(conv(inside, groups=inside // size, name="mix")(x), SLOPE)
        narrow = conv(channels, (1, 1), use_bias=False, kernel_init=nn.initializers.zeros, name="narrow")
        return images + narrow(x)


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C], float32, unbounded as in the paper.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      width: channels of the stage next to the image, in units of `multiples`.
      smallest: the smallest grid has at least this many pixels a side.
      multiples: channels of each stage, one a grid, from the image inwards as multiples of the width; ():
        as many everywhere.
      blocks: of each stage.
      expansion: channels inside a block, as a multiple of those outside.
      group_size: channels of a group of the 3x3 convolutions; fewer channels than that are one group.
      embedding: size of a class's embedding, which stands beside the latents.
      remat: compute each block's activations anew for the derivative.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 768
    smallest: int = 4
    multiples: tuple[int, ...] = ()
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    embedding: int = 64
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        height, width, channels = self.image_shape
        count = layers.doublings(self.image_shape, self.smallest)
        stages = widths(self.width, count + 1, self.multiples)[::-1]
        depth = self.blocks * len(stages)
        block = layers.rematerialised(Block, self.remat)
        conv = partial(layers.Conv, kernel_size=(1, 1), use_bias=False, kernel_init=unit, dtype=self.dtype)
        dense = partial(nn.Dense, use_bias=False, dtype=self.dtype)
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None:  # of one label, as large as latents
            embedding = dense(self.embedding, kernel_init=nn.initializers.normal(1.0), name="embedding")
            latents = jnp.concatenate([latents, embedding(codes).astype(latents.dtype)], axis=-1)
        grid = (height >> count, width >> count, stages[0])
        basis = self.param("basis", nn.initializers.normal(1.0), grid)
        x = dense(stages[0], kernel_init=unit, name="coefficients")(latents)
        x = x[:, None, None] * basis.astype(x.dtype)
        for stage, size in enumerate(stages):
            if size != x.shape[-1]:
                x = conv(size, name=f"resize_{stage}")(x)
            if stage > 0:
                x = layers.upsample(x)
            for i in range(self.blocks):
                name = f"stage_{stage}_block_{i}"
                x = block(self.expansion, self.group_size, depth, self.dtype, name=name)(x)
        return conv(channels, name="image")(x).astype(latents.dtype)


class Discriminator(nn.Module):
    """Images [B,H,W,C] and labels [B] (or None) to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: channels of the stage next to the image, in units of `multiples`.
      smallest: the smallest grid has at least this many pixels a side.
      multiples: channels of each stage, one a grid, from the image inwards as multiples of the width; ():
        as many everywhere.
      blocks: of each stage.
      expansion: channels inside a block, as a multiple of those outside.
      group_size: channels of a group of the 3x3 convolutions; fewer channels than that are one group.
      remat: compute each block's activations anew for the derivative.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 768
    smallest: int = 4
    multiples: tuple[int, ...] = ()
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the stages' grids from the image inwards, and the further heads' outputs."""
        layers.check_images(images, self.image_shape)
        stages = widths(self.width, layers.doublings(self.image_shape, self.smallest) + 1, self.multiples)
        depth = self.blocks * len(stages)
        block = layers.rematerialised(Block, self.remat)
        conv = partial(layers.Conv, kernel_size=(1, 1), use_bias=False, kernel_init=unit, dtype=self.dtype)
        x, grids = conv(stages[0], name="image")(images), list[jax.Array]()
        for stage, size in enumerate(stages):
            if stage > 0:
                x = layers.downsample(x)
            if size != x.shape[-1]:
                x = conv(size, name=f"resize_{stage}")(x)
            for i in range(self.blocks):
                name = f"stage_{stage}_block_{i}"
                x = block(self.expansion, self.group_size, depth, self.dtype, name=name)(x)
            grids.append(x.astype(images.dtype))
        area = math.prod(x.shape[1:3])
        basis = self.param("basis", nn.initializers.normal(area**-0.5), x.shape[1:])
        flat = jnp.sum(grids[-1] * basis, axis=(1, 2))
        codes = layers.label_codes(labels, self.num_classes)
        dense = partial(nn.Dense, use_bias=False, kernel_init=unit)
        if codes is None:
            logits = dense(1, name="logits")(flat)[:, 0]
        else:
            features = dense(stages[-1], name="features")(flat)
            small = nn.initializers.normal(stages[-1] ** -0.5)  # the product of unit variance for one label
            embeddings = dense(stages[-1], kernel_init=small, name="embedding")(codes)
            logits = jnp.sum(features * embeddings, axis=-1)
        heads = {name: nn.Dense(size, name=f"head_{name}")(flat) for name, size in self.heads}
        return logits, tuple(grids), heads
