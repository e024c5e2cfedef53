"""A translator between two domains whose encoders and decoders meet in one latent space.

Source: Liu, Breuel & Kautz 2017 (UNIT), sections 2 and 3, and the appendix's table of the networks. An
encoder ends and a decoder begins with layers that both domains share, so that a latent means the same in
both: what one domain's encoder made, the other's decoder draws. Departures: grids are halved and doubled as
often as asked; residual blocks are instance-normalised, of which the table says nothing; decoders enlarge and
convolve in the place of transposed convolutions; patches are judged at several scales if asked (Wang et al.
2018, pix2pixHD).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

SLOPE = 0.01  # of the leaky ReLU, which the paper leaves open
leaky = partial(nn.leaky_relu, negative_slope=SLOPE)
normal = nn.initializers.normal(0.02)


class Residual(nn.Module):
    """A grid and what two normalised convolutions make of it: [B,h,w,features] -> the same.

    Attributes:
      features: channels, those of the input.
      dtype: of the computation.
    """

    features: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, self.features, use_bias=False, kernel_init=normal, dtype=self.dtype)
        x = nn.relu(layers.InstanceNorm()(conv()(grids)))
        return grids + layers.InstanceNorm()(conv()(x))


class Residuals(nn.Module):
    """Residual blocks one behind the other.

    Attributes:
      count: how many.
      features: channels.
      remat: rematerialise each.
      dtype: of the computation.
    """

    count: int
    features: int
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array) -> jax.Array:
        block = layers.rematerialised(Residual, self.remat)
        for i in range(self.count):
            grids = block(self.features, self.dtype, name=f"block_{i}")(grids)
        return grids


class Encoder(nn.Module):
    """A domain's own first layers: images [B,H,W,C] -> grids [B,h,w,F], of sides that the halvings divide.

    Attributes:
      width: channels next to the image, doubled at each halving.
      halvings: of the grid.
      blocks: residual blocks behind.
      remat: rematerialise blocks.
      dtype: of the computation.
    """

    width: int
    halvings: int
    blocks: int
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, kernel_init=normal, dtype=self.dtype)
        x = leaky(conv(self.width, (7, 7), name="first")(images))
        for i in range(self.halvings):
            x = leaky(conv(self.width << i + 1, stride=2, padding=((1, 1), (1, 1)), name=f"halve_{i}")(x))
        return Residuals(self.blocks, x.shape[-1], self.remat, self.dtype, name="blocks")(x)


class Decoder(nn.Module):
    """A domain's own last layers: grids [B,h,w,F] -> images [B,H,W,channels] in [-1, 1].

    Attributes:
      channels: of the images.
      width: channels next to the image, doubled at each doubling seen from there.
      doublings: of the grid.
      blocks: residual blocks in front.
      remat: rematerialise blocks.
      dtype: of the computation.
    """

    channels: int
    width: int
    doublings: int
    blocks: int
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, kernel_init=normal, dtype=self.dtype)
        x = Residuals(self.blocks, grids.shape[-1], self.remat, self.dtype, name="blocks")(grids)
        for i in reversed(range(self.doublings)):
            x = leaky(conv(self.width << i, operation=layers.convolve_enlarged, name=f"double_{i}")(x))
        return jnp.tanh(conv(self.channels, (1, 1), name="last")(x).astype(jnp.promote_types(x.dtype, "f4")))


class Generator(nn.Module):
    """Images of both domains to both of each other: two [B,H,W,C] -> two [B,H,W,C] in [-1, 1], float32.

    Domain 0 is that of what is given (`input_shape`), domain 1 that of what is made of it (`image_shape`).

    Attributes:
      image_shape: (H, W, C) of domain 1; only C matters, images may have any size.
      input_shape: (h, w, c) of domain 0; (): as domain 1.
      width: channels next to the images.
      halvings: of the grid by an encoder.
      blocks: residual blocks of an encoder, and of a decoder.
      shared: how many of them, an encoder's last and a decoder's first, both domains share: 0 to `blocks`.
      remat: rematerialise residual blocks.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    input_shape: tuple[int, ...] = ()
    width: int = 64
    halvings: int = 2
    blocks: int = 4
    shared: int = 1
    remat: bool = False
    dtype: layers.Dtype = None

    def setup(self) -> None:
        _check_shared(self.shared, self.blocks, f"an encoder has {self.blocks} residual blocks")
        own, options = self.blocks - self.shared, {"remat": self.remat, "dtype": self.dtype}
        channels = (self.input_shape or self.image_shape)[-1], self.image_shape[-1]
        self.encoders = [Encoder(self.width, self.halvings, own, **options) for _ in channels]
        self.decoders = [Decoder(c, self.width, self.halvings, own, **options) for c in channels]
        features = self.width << self.halvings
        self.encoder_end = Residuals(self.shared, features, **options)
        self.decoder_start = Residuals(self.shared, features, **options)

    def __call__(
        self, inputs: jax.Array, images: jax.Array, keys: jax.Array | None = None, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Inputs as images of domain 1, and images as inputs, of domain 0; keys [B] of the noise, or None."""
        _, of_inputs = self.encode(inputs, _fold(keys, 0), domain=0, train=train)
        _, of_images = self.encode(images, _fold(keys, 1), domain=1, train=train)
        to_images = self.decode(of_inputs, size=inputs.shape[1:3], domain=1, train=train)
        return to_images, self.decode(of_images, size=images.shape[1:3], domain=0, train=train)

    def encode(
        self, images: jax.Array, keys: jax.Array | None = None, *, domain: int, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Images of a domain -> means [B,h,w,F] of their latents, and latents, with noise of keys [B].

        Source: section 3, "VAE": the noise is N(0, I). Without keys the latents are the means.
        """
        padded = layers.reflect_to_multiple(images, 1 << self.halvings)
        means = self.encoder_end(self.encoders[domain](padded)).astype(images.dtype)
        if keys is None:
            return means, means
        return means, means + jax.vmap(lambda key: jax.random.normal(key, means.shape[1:], means.dtype))(keys)

    def decode(self, latents: jax.Array, *, size: Sequence[int], domain: int, train: bool) -> jax.Array:
        """Latents [B,h,w,F] -> images of a domain, of size (H, W), which those that were encoded had."""
        images = self.decoders[domain](self.decoder_start(latents))
        return images[:, : size[0], : size[1]].astype(latents.dtype)


class Judge(nn.Module):
    """A convolution that halves the grid, [B,h,w,C] -> [B,h/2,w/2,features]; or logits [B,h,w,1] of the last.

    Attributes:
      features: channels; 1 and `last` for logits.
      last: it makes logits, and keeps the grid.
      dtype: of the computation.
    """

    features: int
    last: bool
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, self.features, kernel_init=normal, dtype=self.dtype)
        if self.last:
            return conv(kernel_size=(2, 2))(grids)
        return leaky(conv(stride=2, padding=((1, 1), (1, 1)))(grids))


class Discriminator(nn.Module):
    """Images of domain 1 and of domain 0, in [-1, 1], to logits of patches: (two [B,H,W,C]) -> [B,h,w] each.

    Attributes:
      image_shape: (H, W, C) of domain 1; images may have any size.
      input_shape: (h, w, c) of domain 0; (): as domain 1.
      width: channels of the stage next to the image, doubled at each.
      halvings: of the grid, a stage each; one more makes the logits.
      shared: last stages that both domains share: 0 to `halvings` + 1.
      scales: how many sizes of the images are judged, each half of the one before, by stages of its own.
      remat: rematerialise each stage.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    input_shape: tuple[int, ...] = ()
    width: int = 64
    halvings: int = 5
    shared: int = 0
    scales: int = 1
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, sample: tuple[jax.Array, jax.Array], *, train: bool) -> tuple[jax.Array, ...]:
        return self.describe(sample, train=train)[0]

    @nn.compact
    def describe(
        self, sample: tuple[jax.Array, jax.Array], *, train: bool
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...], dict[str, jax.Array]]:
        """Logits of each domain and scale, the stages' grids from the images inwards, and no heads."""
        stages = self.halvings + 1
        _check_shared(self.shared, stages, f"the discriminator has {stages} stages")
        channels = {(self.input_shape or self.image_shape)[-1], self.image_shape[-1]}
        if self.shared == stages and len(channels) > 1:
            raise ValueError(
                f"Images have {sorted(channels)} channels, and the first stage is shared; do not."
            )
        self._check(sample)
        logits, grids = list[jax.Array](), list[jax.Array]()
        judge = layers.rematerialised(Judge, self.remat)
        for scale in range(self.scales):
            end = [
                judge(*self._stage(i), name=f"scale_{scale}_stage_{i}")
                for i in range(stages)[stages - self.shared :]
            ]
            for domain, images in zip((1, 0), sample, strict=True):
                x, name = _smaller(images, scale), f"scale_{scale}_domain_{domain}_stage_"
                own = [judge(*self._stage(i), name=f"{name}{i}") for i in range(stages - self.shared)]
                for stage in [*own, *end]:
                    x = stage(x)
                    grids.append(x.astype(images.dtype))
                logits.append(grids.pop()[..., 0])
        return tuple(logits), tuple(grids), {}

    def _check(self, sample: tuple[jax.Array, jax.Array]) -> None:
        smallest = 2 ** (self.halvings + self.scales - 1)
        for images in sample:
            if images.ndim != 4 or min(images.shape[1:3]) < smallest:
                raise ValueError(
                    f"Images are {images.shape}, expected [B,H,W,C] of at least {smallest} pixels a side, "
                    f"for a discriminator of {self.halvings} halvings and {self.scales} scales; give larger "
                    "images, or set fewer."
                )

    def _stage(self, i: int) -> tuple[int, bool, layers.Dtype]:
        last = i == self.halvings
        return 1 if last else self.width << i, last, self.dtype


def _smaller(images: jax.Array, times: int) -> jax.Array:
    """Images of half the size, so many times; a last odd row or column is left out."""
    for _ in range(times):
        height, width = (side // 2 * 2 for side in images.shape[1:3])
        images = layers.shrink(images[:, :height, :width])
    return images


def _fold(keys: jax.Array | None, number: int) -> jax.Array | None:
    return keys if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _check_shared(shared: int, most: int, what: str) -> None:
    if not 0 <= shared <= most:
        raise ValueError(f"shared is {shared}, and {what}; expected 0 (nothing is shared) to {most} (all).")
