"""StyleGAN2: styles that modulate convolutions, noise inputs, for any resolution and aspect.

Sources: Karras et al. 2020 (StyleGAN2), with Karras et al. 2019 (StyleGAN) for styles, their mixing and
truncation, Karras et al. 2018 (progressive GANs) for the minibatch's deviation, and Karras et al. 2020 (ADA)
for labels. Departures: any channels, any resolution and aspect that is a multiple of a power of two.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import equalized, layers, modulation
from jaxgan.models.deviation import minibatch_deviation

FORMS = ("skip", "residual", "plain")  # Karras et al. 2020 (StyleGAN2), figure 7 and table 2


def widths(narrowest: int, widest: int, count: int) -> list[int]:
    """Channels at `count` resolutions, from the image inwards: doubled at each, at most the widest."""
    return [min(narrowest * 2**i, widest) for i in range(count)]


def _check_form(form: str, name: str) -> None:
    if form not in FORMS:
        raise ValueError(f"{name} is {form!r}, expected one of {', '.join(FORMS)}.")


class Generator(nn.Module):
    """Latents [B,Z] and labels (or None) to images [B,H,W,C], float32 and unbounded.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      width: channels next to the image, doubled inwards.
      widest: the most channels.
      smallest: the smallest grid, which is learned, has at least this many pixels a side.
      style_size: S, of the styles and of the layers of the mapping network.
      mapping_depth: layers of the mapping network.
      mapping_rate: multiplies its learning rate (Karras et al. 2019, appendix C).
      mixing: share of the examples with styles of two latents, in training (Karras et al. 2019, section 3.1).
      style_decay: of the styles' running mean, a batch. The papers take a mean and do not say over how many.
      generator_form: 'skip' sums images of all resolutions, 'residual' grids, 'plain' neither.
      remat: compute each block's activations anew for the derivative.
      dtype: of the convolutions, float32 or bfloat16; parameters, styles and images stay float32.
      axis_name: the mapped axis whose devices share the styles' mean, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 32
    widest: int = 512
    smallest: int = 4
    style_size: int = 512
    mapping_depth: int = 8
    mapping_rate: float = 0.01
    mixing: float = 0.9
    style_decay: float = 0.998
    generator_form: str = "skip"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @property
    def style_layers(self) -> int:
        """L, two at each resolution; a resolution's image shares its style with the next block's first."""
        return 2 * layers.doublings(self.image_shape, self.smallest) + 2

    def setup(self) -> None:
        _check_form(self.generator_form, "generator_form")
        height, width, channels = self.image_shape
        count = layers.doublings(self.image_shape, self.smallest)
        *inner, deepest = widths(self.width, self.widest, count + 1)
        self.mapping = modulation.Mapping(self.style_size, self.mapping_depth, self.mapping_rate)
        self.mean = self.variable("averages", "w", jnp.zeros, (self.style_size,))
        grid = (height >> count, width >> count, deepest)
        self.constant = self.param("constant", nn.initializers.normal(1.0), grid)
        self.first = modulation.StyledConv(deepest, layer=0, dtype=self.dtype)
        block = layers.rematerialised(modulation.Block, self.remat)
        residual = self.generator_form == "residual"
        self.blocks = [
            block(features, 2 * i + 1, residual, self.dtype) for i, features in enumerate(reversed(inner))
        ]
        places = range(1, self.style_layers, 2) if self.generator_form == "skip" else [self.style_layers - 1]
        self.to_images = [modulation.ToImage(channels, place, self.dtype) for place in places]

    def __call__(
        self,
        latents: jax.Array,
        labels: jax.Array | None = None,
        keys: jax.Array | None = None,
        *,
        train: bool,
        truncation: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Images of latents.

        Args:
          latents: [B,Z], float; their length is of no account.
          labels: [B] int, [B,num_classes] float, or None.
          keys: [B], PRNG keys of the noise and, in training, of the styles mixed in, whose latents are drawn
            from N(0, 1); None: neither noise nor mixing.
          train: mix styles, and move their mean.
          truncation: 1 for all variety, towards 0 for images closer to that of the mean style.

        Returns:
          [B,H,W,C].

        Raises:
          ValueError: labels or keys that do not fit, a form that does not exist.
        """
        _check_keys(keys, latents)
        styles = jnp.broadcast_to(self.style(latents, labels, train=train)[:, None], self._shape(latents))
        if train and keys is not None and self.mixing > 0.0:
            styles = self._mixed(styles, labels, modulation.fold(keys, self.style_layers), latents)
        styles = truncation * styles + (1.0 - truncation) * self.mean.value  # Karras et al. 2019, appendix B
        return self.synthesize(styles, keys, train=train)

    def style(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Styles [B,S] of latents [B,Z] and labels; in training, their running mean moves."""
        styles = self.mapping(latents, layers.label_codes(labels, self.num_classes))
        if train and self.is_mutable_collection("averages") and not self.is_initializing():
            mean = jnp.mean(styles, axis=0)
            mean = mean if self.axis_name is None else jax.lax.pmean(mean, self.axis_name)
            decay = jnp.where(jnp.any(self.mean.value != 0.0), self.style_decay, 0.0)  # 0: the first batch
            self.mean.value = decay * self.mean.value + (1.0 - decay) * mean
        return styles

    def synthesize(self, styles: jax.Array, keys: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Images [B,H,W,C] of styles [B,S], or [B,L,S] one for each layer, and keys [B] of the noise.

        Raises:
          ValueError: styles or keys of another shape.
        """
        _check_keys(keys, styles)
        if styles.shape[1:] not in ((self.style_size,), self._shape(styles)[1:]):
            raise ValueError(
                f"Styles are {styles.shape}, expected [B,{self.style_size}], or "
                f"[B,{self.style_layers},{self.style_size}] of all layers."
            )
        if styles.ndim == 2:
            styles = jnp.broadcast_to(styles[:, None], self._shape(styles))
        x = jnp.broadcast_to(self.constant, (len(styles), *self.constant.shape))
        x = self.first(x, styles, keys)
        skip = self.generator_form == "skip"
        images = self.to_images[0](x, styles) if skip else None
        for i, block in enumerate(self.blocks):
            x = block(x, styles, keys)
            if images is not None:
                images = layers.upsample(images) + self.to_images[i + 1](x, styles)
        return self.to_images[0](x, styles) if images is None else images

    def _shape(self, examples: jax.Array) -> tuple[int, int, int]:
        return len(examples), self.style_layers, self.style_size

    def _mixed(
        self, styles: jax.Array, labels: jax.Array | None, keys: jax.Array, latents: jax.Array
    ) -> jax.Array:
        """Styles [B,L,S], of which some examples' are, from some layer on, those of other latents."""
        choice, place, other = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
        mixed = jax.vmap(jax.random.uniform)(choice) < self.mixing
        place = jax.vmap(lambda key: jax.random.randint(key, (), 1, self.style_layers))(place)
        draw = partial(jax.random.normal, shape=latents.shape[1:], dtype=latents.dtype)
        others = self.mapping(jax.vmap(draw)(other), layers.label_codes(labels, self.num_classes))
        crossed = jnp.arange(self.style_layers) >= jnp.where(mixed, place, self.style_layers)[:, None]
        return jnp.where(crossed[..., None], others[:, None], styles)


def _check_keys(keys: jax.Array | None, examples: jax.Array) -> None:
    if keys is not None and keys.shape != (len(examples),):
        raise ValueError(f"Keys are {keys.shape}, expected one for each example, [{len(examples)}], or None.")


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the grid: [B,H,W,I] -> [B,H/2,W/2,features].

    Attributes:
      features: O, the output's channels.
      residual: the grid itself is added, filtered, through a convolution 1x1.
      dtype: of the computation.
    """

    features: int
    residual: bool
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array) -> jax.Array:
        out = equalized.Conv(grids.shape[-1], dtype=self.dtype, name="layer_0")(grids)
        out = equalized.Conv(self.features, down=True, dtype=self.dtype, name="layer_1")(out)
        if not self.residual:
            return out
        skip = equalized.Conv(self.features, 1, active=False, dtype=self.dtype, name="skip")
        return (out + skip(layers.downsample(grids))) / math.sqrt(2.0)


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] and labels (or None) to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: channels next to the image, doubled inwards.
      widest: the most channels.
      smallest: the smallest grid has at least this many pixels a side.
      group: examples whose deviation is a feature of theirs; 1: none, and examples are judged each by itself.
      mapping_depth: layers of the labels' mapping network.
      mapping_rate: multiplies its learning rate.
      discriminator_form: 'residual' sums grids, 'skip' gives the image to all resolutions, 'plain' neither.
      remat: compute each block's activations anew for the derivative.
      dtype: of the convolutions up to the smallest grid, float32 or bfloat16; parameters stay float32.
      axis_name: the mapped axis whose devices share a batch in training, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 32
    widest: int = 512
    smallest: int = 4
    group: int = 4
    mapping_depth: int = 8
    mapping_rate: float = 0.01
    discriminator_form: str = "residual"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the blocks' and the last layer's grids, and the further heads' outputs."""
        _check_form(self.discriminator_form, "discriminator_form")
        layers.check_images(images, self.image_shape)
        codes = layers.label_codes(labels, self.num_classes)
        count = layers.doublings(self.image_shape, self.smallest)
        first, *inner = widths(self.width, self.widest, count + 1)
        block = layers.rematerialised(DiscriminatorBlock, self.remat)
        residual = self.discriminator_form == "residual"
        small, grids = images, list[jax.Array]()
        x = equalized.Conv(first, 1, dtype=self.dtype, name="from_image_0")(images)
        for i, features in enumerate(inner):
            x = block(features, residual, self.dtype, name=f"block_{i}")(x)
            if self.discriminator_form == "skip":
                small = layers.downsample(small)
                x += equalized.Conv(features, 1, dtype=self.dtype, name=f"from_image_{i + 1}")(small)
            grids.append(x.astype(images.dtype))
        x = x.astype(images.dtype)
        channels = x.shape[-1]
        if self.group != 1:
            shared = self.axis_name if train and not self.is_initializing() else None
            x = minibatch_deviation(x, self.group, axis_name=shared)
        x = equalized.Conv(channels, name="last")(x)
        grids.append(x)
        hidden = equalized.Dense(channels, active=True, name="hidden")(x.reshape(len(x), -1))
        heads = {name: equalized.Dense(size, name=f"head_{name}")(hidden) for name, size in self.heads}
        return self._logits(hidden, codes), tuple(grids), heads

    def _logits(self, hidden: jax.Array, codes: jax.Array | None) -> jax.Array:
        """Logits [B] of hidden [B,F]; with codes, a product with what is made of them, as ADA has it."""
        if codes is None:
            return equalized.Dense(1, name="logits")(hidden)[:, 0]
        size = hidden.shape[-1]
        expected = modulation.Mapping(size, self.mapping_depth, self.mapping_rate, name="mapping")(
            None, codes
        )
        return jnp.sum(equalized.Dense(size, name="logits")(hidden) * expected, axis=-1) / math.sqrt(size)
