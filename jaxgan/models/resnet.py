"""Residual networks: SNGAN's and BigGAN's, for any resolution and aspect.

Sources: Miyato et al. 2018 (spectral normalisation), appendix B.4 with tables 4 and 5; Brock et al. 2019
(BigGAN), appendix B with figure 15 and tables 4 to 9. Departures: any channels, any resolution and aspect
that is a multiple of a power of two. The skip's 1x1 convolution is where the grid is smaller, before the
upsampling and after the pooling, with which it commutes.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

NORMS = ("none", "spectral")


def widths(narrowest: int, count: int, multiples: tuple[int, ...]) -> list[int]:
    """Channels of `count` blocks from the image inwards: multiples, or doubled up to 16 times."""
    if multiples and len(multiples) != count:
        raise ValueError(f"multiples has {len(multiples)} numbers, expected {count}, one for each block.")
    return [narrowest * (multiples[i] if multiples else 2 ** min(i, 4)) for i in range(count)]


def _layer(norm: str, *, train: bool) -> Callable[[nn.Module, jax.Array], jax.Array]:
    """(module, inputs) -> outputs, its kernel normalised as asked."""
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}.")
    return partial(layers.normalised, spectral=norm == "spectral", train=train)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are linear in a vector [B,F]; without one, learned as usual.

    Source: de Vries et al. 2017; of an embedding and latents: Brock et al. 2019, appendix B. Spectral
    normalisation goes around the gain's and the bias's kernels too, as in the authors' networks.

    Attributes:
      normalise: (use_scale, use_bias) -> a batch normalisation.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
    """

    normalise: Callable[..., nn.Module]
    layer: Callable[[nn.Module, jax.Array], jax.Array]

    @nn.compact
    def __call__(self, images: jax.Array, condition: jax.Array | None) -> jax.Array:
        alone = condition is None
        norm = self.normalise(use_scale=alone, use_bias=alone)
        if condition is None:
            return norm(images)
        dense = partial(nn.Dense, images.shape[-1], use_bias=False, dtype=norm.dtype)
        gain, bias = self.layer(dense(name="gain"), condition), self.layer(dense(name="bias"), condition)
        return norm(images) * (1.0 + gain)[:, None, None] + bias[:, None, None]


class SelfAttention(nn.Module):
    """Each pixel plus what it finds at all others: [B,H,W,C], H and W even, C of 8 or more; at first nothing.

    Source: Zhang et al. 2019 (SAGAN), eqs. 1 to 3, with the pooled keys and values of Brock et al. 2019.

    Attributes:
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      dtype: of the computation.
    """

    layer: Callable[[nn.Module, jax.Array], jax.Array]
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        b, h, w, c = images.shape
        if c < 8 or h % 2 or w % 2:
            raise ValueError(
                f"Attention is given {images.shape}, expected an even grid of 8 channels or more."
            )
        conv = partial(layers.Conv, kernel_size=(1, 1), use_bias=False, dtype=self.dtype)
        pool = partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))
        queries = self.layer(conv(c // 8), images).reshape(b, h * w, -1)
        keys = pool(self.layer(conv(c // 8), images)).reshape(b, h * w // 4, -1)
        values = pool(self.layer(conv(c // 2), images)).reshape(b, h * w // 4, -1)
        found = nn.softmax(queries @ keys.swapaxes(1, 2), axis=-1) @ values
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return images + gamma.astype(images.dtype) * self.layer(conv(c), found.reshape(b, h, w, -1))


class GeneratorBlock(nn.Module):
    """Twice the grid: [B,H,W,C] and what normalisation is told, [B,F] or None, -> [B,2H,2W,features].

    Attributes:
      features: channels.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a conditional normalisation.
      dtype: of the computation.
    """

    features: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    normalise: Callable[[], nn.Module]
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, condition: jax.Array | None) -> jax.Array:
        conv = partial(layers.Conv, self.features, kernel_init=layers.orthogonal, dtype=self.dtype)
        x = nn.relu(self.normalise()(images, condition))
        x = self.layer(conv(operation=layers.convolve_enlarged), x)
        x = nn.relu(self.normalise()(x, condition))
        return self.layer(conv(), x) + layers.enlarge(self.layer(conv(kernel_size=(1, 1)), images))


class DiscriminatorBlock(nn.Module):
    """Half the grid, or the same: [B,H,W,C] -> [B,H',W',features].

    Attributes:
      features: channels.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      shrink: halve the grid.
      first: it sees an image, and not a grid that still wants its activation.
      dtype: of the computation.
    """

    features: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    shrink: bool = True
    first: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, self.features, kernel_init=layers.orthogonal, dtype=self.dtype)
        x = self.layer(conv(), images if self.first else nn.relu(images))
        x = self.layer(conv(operation=layers.convolve_shrunk if self.shrink else None), nn.relu(x))
        skip = layers.shrink(images) if self.shrink else images
        if self.shrink or self.features != images.shape[-1]:
            skip = self.layer(conv(kernel_size=(1, 1)), skip)
        return x + skip


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C] in [-1, 1], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network; else batch normalisation is told the class.
      width: channels of the block next to the image, in units of `multiples`.
      smallest: the smallest grid has at least this many pixels a side.
      multiples: channels of each block from the image inwards, as multiples of the width; () doubles them.
      embedding: size of a class's embedding, shared by all normalisations; 0: each has its own.
      hierarchical: each block is given a part of the latents of its own.
      attention: self-attention on the grid of this height; 0: none.
      norm: 'spectral' or 'none', of kernels.
      remat: compute blocks anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 64
    smallest: int = 4
    multiples: tuple[int, ...] = ()
    embedding: int = 0
    hierarchical: bool = False
    attention: int = 0
    norm: str = "none"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        height, width, channels = self.image_shape
        count = layers.at_least_one_doubling(self.image_shape, self.smallest)
        if self.hierarchical and latents.shape[-1] <= count:
            raise ValueError(
                f"Latents are {latents.shape} and hierarchical, expected {count + 1} numbers or more, one "
                "for each part."
            )
        features = widths(self.width, count, self.multiples)[::-1]
        layer = _layer(self.norm, train=train)
        normalise = partial(ConditionalBatchNorm, layers.batch_norm(self, train=train), layer)
        block = layers.rematerialised(GeneratorBlock, self.remat)
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None and self.embedding:
            codes = nn.Dense(self.embedding, use_bias=False, name="embedding")(codes)
        first, *parts = jnp.array_split(latents, count + 1, axis=-1) if self.hierarchical else [latents]
        grid = (height >> count, width >> count, features[0])
        dense = nn.Dense(math.prod(grid), kernel_init=layers.orthogonal, dtype=self.dtype)
        x = layer(dense, first).reshape(-1, *grid)
        for i, size in enumerate(features):
            given = [part for part in (parts[i] if parts else None, codes) if part is not None]
            condition = jnp.concatenate(given, axis=-1) if given else None
            x = block(size, layer, normalise, self.dtype, name=f"block_{i}")(x, condition)
            if x.shape[1] == self.attention:
                x = SelfAttention(layer, self.dtype)(x)
        conv = layers.Conv(channels, kernel_init=layers.orthogonal, dtype=self.dtype)
        x = layer(conv, nn.relu(normalise()(x, None)))
        return jnp.tanh(x.astype(latents.dtype))


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] and labels [B] (or None) to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: channels of the block next to the image, in units of `multiples`.
      smallest: the smallest grid has at least this many pixels a side.
      multiples: channels of each block from the image inwards, as multiples of the width; () doubles them.
      halvings: how often the grid is halved; 0: as often as `smallest` allows.
      plain: blocks behind the others that keep the smallest grid.
      attention: self-attention on the grid of this height; 0: none.
      norm: 'spectral' or 'none', of kernels.
      remat: compute blocks anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 64
    smallest: int = 4
    multiples: tuple[int, ...] = ()
    halvings: int = 0
    plain: int = 1
    attention: int = 0
    norm: str = "spectral"
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the blocks' grids from the image inwards, and the further heads' outputs."""
        layers.check_images(images, self.image_shape)
        layer = _layer(self.norm, train=train)
        most = layers.at_least_one_doubling(self.image_shape, self.smallest)
        if self.halvings > most:
            raise ValueError(
                f"halvings is {self.halvings}, and {self.image_shape[0]}x{self.image_shape[1]} can be halved "
                f"{most} times to at least {self.smallest} pixels a side."
            )
        stages = widths(self.width, self.halvings or most, self.multiples)
        x, grids = images, list[jax.Array]()
        block = layers.rematerialised(DiscriminatorBlock, self.remat)
        for i, size in enumerate([*stages, *[stages[-1]] * self.plain]):
            x = block(size, layer, i < len(stages), i == 0, self.dtype, name=f"block_{i}")(x)
            if x.shape[1] == self.attention:
                x = SelfAttention(layer, self.dtype)(x)
            grids.append(x.astype(images.dtype))
        pooled = jnp.sum(nn.relu(x).astype(images.dtype), axis=(1, 2))
        dense = partial(nn.Dense, kernel_init=layers.orthogonal)
        logits = layer(dense(1), pooled)[:, 0]
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None:
            logits = layers.project(logits, pooled, layer(dense(pooled.shape[-1], use_bias=False), codes))
        heads = {name: layer(dense(size, name=f"head_{name}"), pooled) for name, size in self.heads}
        return logits, tuple(grids), heads
