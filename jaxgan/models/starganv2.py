"""StarGAN v2: one translator for all domains, led by a style that is drawn or read off another image.

Source: Choi et al. 2020 (StarGAN v2), section 2.1, and the appendix: tables 4 to 6 (the networks), and the
details of training (He initialisation, the mapping network's rate). Departures: any channels, any resolution
and aspect that is a multiple of a power of two; sums of residual blocks are divided by the root of 2, so that
the variance stays (Karras et al. 2020, StyleGAN2); what the last block of the translator leaves is normalised
and rectified before it becomes an image; no high-pass filtered skips, which need a network for the landmarks
of faces.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import domains, layers

leaky = partial(nn.leaky_relu, negative_slope=0.2)
he = nn.initializers.he_normal()


def widths(narrowest: int, widest: int, count: int) -> list[int]:
    """Channels next to the image, and behind each of `count` halvings: doubled up to the widest."""
    return [min(widest, narrowest << i) for i in range(count + 1)]


class Block(nn.Module):
    """A residual block that normalises and rectifies first: [B,h,w,C] -> [B,h',w',features].

    Attributes:
      features: channels of the output.
      change: of the grid: "half", "double" or "".
      norm: instance normalisation, where styles are given by these in the place of learned scales.
      dtype: of the computation.
    """

    features: int
    change: str = ""
    norm: bool = True
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array, styles: jax.Array | None = None) -> jax.Array:
        conv = partial(layers.Conv, kernel_init=he, dtype=self.dtype)
        skip_conv = partial(conv, self.features, (1, 1), use_bias=False, name="skip")
        between, skip = grids.shape[-1] if self.change == "half" else self.features, grids
        first = {"half": layers.convolve_shrunk, "double": layers.convolve_enlarged}.get(self.change)
        x = conv(between, operation=first, name="conv_0")(self._ready(grids, styles, 0))
        x = conv(self.features, name="conv_1")(self._ready(x, styles, 1))
        if self.change == "half":
            skip = layers.shrink(skip)  # before the convolution 1x1, with which it commutes
        if skip.shape[-1] != self.features:
            skip = skip_conv()(skip)
        if self.change == "double":
            skip = layers.enlarge(skip)
        return (x + skip) / math.sqrt(2.0)

    def _ready(self, x: jax.Array, styles: jax.Array | None, place: int) -> jax.Array:
        if self.norm and styles is None:
            x = layers.InstanceNorm(name=f"norm_{place}")(x)
        elif self.norm:
            x = layers.InstanceNorm(affine=False, name=f"norm_{place}")(x)
            dense = nn.Dense(2 * x.shape[-1], kernel_init=he, dtype=self.dtype, name=f"style_{place}")
            scale, bias = jnp.split(dense(styles)[:, None, None], 2, axis=-1)
            x = x * (1.0 + scale) + bias
        return leaky(x)


class Translator(nn.Module):
    """Images [B,H,W,C] and styles [B,S] to images [B,H,W,channels]. Source: table 4.

    Attributes:
      channels: of the images made.
      widths: channels next to the image, and behind each halving.
      plain: blocks that keep the smallest grid, before the style comes in and from then on.
      remat: rematerialise blocks.
      dtype: of the computation.
    """

    channels: int
    widths: tuple[int, ...]
    plain: int = 2
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, styles: jax.Array) -> jax.Array:
        first, *inner = self.widths
        block = layers.rematerialised(Block, self.remat)
        conv = partial(layers.Conv, kernel_init=he, dtype=self.dtype)
        blocks = [(features, "half", False) for features in inner]
        blocks += [(self.widths[-1], "", styled) for styled in [False] * self.plain + [True] * self.plain]
        blocks += [(features, "double", True) for features in self.widths[-2::-1]]
        x = conv(first, name="first")(images)
        for i, (features, change, styled) in enumerate(blocks):
            given = (styles,) if styled else ()
            x = block(features, change, dtype=self.dtype, name=f"block_{i}")(x, *given)
        x = leaky(layers.InstanceNorm(name="norm")(x))
        return conv(self.channels, (1, 1), name="last")(x)


class Reader(nn.Module):
    """Images of a fixed size to numbers for each domain: [B,H,W,C] -> [B,domains,size]. Source: table 6.

    Attributes:
      domains: n.
      size: numbers for each: of a style, or 1, a logit.
      widths: channels next to the image, and behind each halving.
      remat: rematerialise blocks.
      dtype: of the computation.
    """

    domains: int
    size: int
    widths: tuple[int, ...]
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        block = layers.rematerialised(Block, self.remat)
        x = layers.Conv(self.widths[0], kernel_init=he, dtype=self.dtype, name="first")(images)
        grids = list[jax.Array]()
        for i, features in enumerate(self.widths[1:]):
            x = block(features, "half", False, self.dtype, name=f"block_{i}")(x)
            grids.append(x.astype(images.dtype))
        flat = leaky(x).reshape(len(x), -1)  # the paper's grid is 4x4, and a convolution of that size follows
        dense = partial(nn.Dense, kernel_init=he, dtype=self.dtype)
        x = leaky(dense(self.widths[-1], name="pool")(flat))
        every = dense(self.domains * self.size, name="heads")(x).astype(images.dtype)
        return every.reshape(len(x), self.domains, self.size), tuple(grids)


class Generator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] to images of other domains, float32, unbounded.

    Attributes:
      image_shape: (H, W, C); what is read for its style has this size, what is translated may have any.
      num_classes: n, the number of domains, 2 or more.
      width: channels next to the image, doubled at each halving.
      widest: up to so many.
      bottleneck: the translator's smallest grid has at least this many pixels a side.
      plain: blocks that keep this grid, before the style comes in and from then on.
      smallest: the style encoder's smallest grid, likewise.
      style_size: numbers of a style.
      mapping_units: of the mapping network's hidden layers.
      mapping_rate: their learning rate, as a share of the others'; exact under Adam.
      remat: rematerialise residual blocks.
      dtype: of the convolutions, float32 or bfloat16; parameters and styles stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 2
    width: int = 64
    widest: int = 512
    bottleneck: int = 16
    plain: int = 2
    smallest: int = 4
    style_size: int = 64
    mapping_units: int = 512
    mapping_rate: float = 0.01
    remat: bool = False
    dtype: layers.Dtype = None

    def setup(self) -> None:
        counts = [layers.at_least_one_doubling(self.image_shape, s) for s in (self.bottleneck, self.smallest)]
        inner, outer = (tuple(widths(self.width, self.widest, count)) for count in counts)
        options = {"remat": self.remat, "dtype": self.dtype}
        n, size = self.num_classes, self.style_size
        self.translator = Translator(self.image_shape[-1], inner, self.plain, **options)
        self.encoder = Reader(n, size, outer, **options)
        self.mapping = domains.Mapping(n, size, self.mapping_units, self.mapping_rate)

    def __call__(
        self,
        images: jax.Array,
        labels: jax.Array,
        latents: jax.Array,
        references: jax.Array | None = None,
        guided: jax.Array | None = None,
        *,
        train: bool,
    ) -> jax.Array:
        """Images in domains [B] int, by `target_style` of the other arguments."""
        styles = self.target_style(labels, latents, references, guided, train=train)
        return self.translate(images, styles, train=train)

    def target_style(
        self,
        labels: jax.Array,
        latents: jax.Array,
        references: jax.Array | None = None,
        guided: jax.Array | None = None,
        *,
        train: bool,
    ) -> jax.Array:
        """Styles [B,S] in domains [B]: of latents [B,Z]; where guided, [B] bool, of references [B,H,W,C].

        No gradient goes into those of references: E would make them alike, which are easily read again.
        """
        styles = self.map_style(latents, labels, train=train)
        if self.is_initializing() and references is None:
            self.encode_style(jnp.zeros((1, *self.image_shape)), labels[:1], train=train)
        if references is None or guided is None:
            return styles
        read = jax.lax.stop_gradient(self.encode_style(references, labels, train=train))
        return jnp.where(guided[:, None], read, styles)

    def map_style(self, latents: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        """Latents [B,Z] and domains [B] to styles [B,S]: section 2.1, F."""
        domains.check(labels, self.num_classes)
        return domains.own(self.mapping(latents), labels)

    def encode_style(
        self, images: jax.Array, labels: jax.Array, frozen: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Images [B,H,W,C] of these domains [B] to their styles [B,S]: section 2.1, E.

        Where frozen, [B] bool, gradients reach the images and not the encoder's weights.
        """
        domains.check(labels, self.num_classes)
        layers.check_images(images, self.image_shape)
        styles = domains.own(self.encoder(images)[0], labels)
        if frozen is None:
            return styles
        encoder, variables = self.encoder.unbind()
        fixed = domains.own(encoder.apply(jax.lax.stop_gradient(variables), images)[0], labels)
        return jnp.where(frozen[:, None], fixed, styles)

    def translate(self, images: jax.Array, styles: jax.Array, *, train: bool) -> jax.Array:
        """Images [B,H,W,C] of any size with styles [B,S]: section 2.1, G."""
        height, width = images.shape[1:3]
        padded = layers.reflect_to_multiple(images, 1 << len(self.translator.widths) - 1)
        made = self.translator(padded, styles)
        return made[:, :height, :width].astype(images.dtype)


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] and their domains [B] int to logits [B], float32, of a branch each.

    Attributes:
      image_shape: (H, W, C).
      num_classes: n, the number of domains, 2 or more.
      width: channels next to the image, doubled at each halving.
      widest: up to so many.
      smallest: the smallest grid has at least this many pixels a side.
      remat: rematerialise residual blocks.
      dtype: of the convolutions, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 2
    width: int = 64
    widest: int = 512
    smallest: int = 4
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(self, images: jax.Array, labels: jax.Array, *, train: bool) -> layers.Description:
        """Logits [B], the blocks' grids from the image inwards, and no heads."""
        domains.check(labels, self.num_classes)
        layers.check_images(images, self.image_shape)
        count = layers.at_least_one_doubling(self.image_shape, self.smallest)
        channels = tuple(widths(self.width, self.widest, count))
        every, grids = Reader(self.num_classes, 1, channels, self.remat, self.dtype, name="reader")(images)
        return domains.own(every, labels)[:, 0], grids, {}
