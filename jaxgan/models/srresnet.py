"""SRGAN: small images of any size to images of 2, 3 or 4 times as many rows and columns, and their judge.

Source: Ledig et al. 2017, section 2.1.1 and figure 4: residual blocks with batch normalisation and PReLU,
then sub-pixel convolutions (Shi et al. 2016). Departures, all fields: no normalisation (Lim et al. 2017,
section 3.1); one sub-pixel convolution that makes the image, for a CPU; a sum with the enlarged input; tanh
at the end; a trunk that closes with PReLU, as some published weights do. The discriminator has as many stages
as its images can be halved, and other normalisations or none, since gradient penalties forbid the paper's.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}  # scale -> how much each sub-pixel convolution enlarges
GENERATOR_NORMS = ("batch", "none")
CLOSINGS = ("norm", "prelu")
TAILS = ("stages", "direct")
NORMS = ("none", "batch", "spectral")
SLOPE = 0.2  # of the discriminator's leaky ReLU: Ledig et al. 2017, section 2.1.1


def shuffle(images: jax.Array, factor: int) -> jax.Array:
    """Channels to pixels: [B,H,W,C f f] -> [B,fH,fW,C]; channel (c, i, j) becomes pixel (i, j) of c.

    Source: Shi et al. 2016, eq. 4, with the channels in PyTorch's order.
    """
    b, h, w, c = images.shape
    pixels = images.reshape(b, h, w, -1, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return pixels.reshape(b, h * factor, w * factor, c // factor**2)


class PReLU(nn.Module):
    """x where positive, and else a learned multiple of x, one for all channels, at first 0.25.

    Source: He et al. 2015 (Delving deep into rectifiers), eq. 1.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        slope = self.param("slope", nn.initializers.constant(0.25), ())
        return jnp.where(images >= 0, images, slope.astype(images.dtype) * images)


# A tenth of the usual deviation, where no normalisation holds residuals small: Wang et al. 2018 (ESRGAN),
# section 3.1.
small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


class Block(nn.Module):
    """A residual block, [B,H,W,C] -> the same: convolution, normalisation, PReLU, and the first two.

    Attributes:
      features: channels.
      norm: 'batch' or 'none'.
      train: normalise by the batch, and not by the running averages.
      dtype: of the computation.
      axis_name: the mapped axis whose devices share batch statistics.
    """

    features: int
    norm: str
    train: bool
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = partial(layers.Conv, self.features, dtype=self.dtype)
        if self.norm == "none":
            x = PReLU()(conv()(images))
            return images + conv(kernel_init=small)(x)
        normalise = layers.batch_norm(self, train=self.train)
        x = conv()(images)
        x = PReLU()(normalise()(x))
        x = conv()(x)
        return images + normalise()(x)


class Generator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] to images [B,sH,sW,C], float32; in [-1, 1] if `bounded`.

    Attributes:
      channels: C.
      scale: s, 2, 3 or 4.
      width: channels inside.
      blocks: residual blocks.
      norm: of the blocks, 'batch' as in the paper, or 'none'.
      closing: what follows the last convolution of the trunk: 'norm' as in the paper, or 'prelu'.
      ends: pixels a side of the first and the last kernel; 9 in the paper.
      tail: how images are enlarged, by 'stages' as in the paper, or by one sub-pixel convolution that makes
        the image ('direct': Shi et al. 2016, eq. 3), so that nothing is computed at the larger size.
      skip: the network makes what is to be added to the enlarged (bicubic) input, at first little.
      bounded: tanh at the end; the paper has none.
      remat: compute blocks anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    channels: int = 3
    scale: int = 4
    width: int = 64
    blocks: int = 16
    norm: str = "batch"
    closing: str = "norm"
    ends: int = 9
    tail: str = "stages"
    skip: bool = False
    bounded: bool = False
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, labels: None = None, *, train: bool) -> jax.Array:
        self._check(images, labels)
        block = layers.rematerialised(Block, self.remat)
        x = (images + 1) / 2  # section 3.2: small images in [0, 1], large ones in [-1, 1]
        x = first = PReLU()(layers.Conv(self.width, (self.ends, self.ends), dtype=self.dtype)(x))
        for i in range(self.blocks):
            x = block(self.width, self.norm, train, self.dtype, self.axis_name, name=f"block_{i}")(x)
        x = layers.Conv(self.width, dtype=self.dtype)(x)
        x = first + self._closed(x, train)
        x = self._enlarged(x).astype(images.dtype)
        if self.skip:
            b, h, w, c = images.shape
            x = x + jax.image.resize(images, (b, h * self.scale, w * self.scale, c), "cubic")
        return jnp.tanh(x) if self.bounded else x

    def _closed(self, x: jax.Array, train: bool) -> jax.Array:
        if self.closing == "prelu":
            return PReLU()(x)
        return layers.batch_norm(self, train=train)()(x) if self.norm == "batch" else x

    def _enlarged(self, x: jax.Array) -> jax.Array:
        """Of the trunk's grid the image."""
        init = small if self.skip else nn.initializers.lecun_normal()
        conv = partial(layers.Conv, kernel_size=(self.ends, self.ends), dtype=self.dtype, kernel_init=init)
        if self.tail == "direct":
            return shuffle(conv(self.channels * self.scale**2)(x), self.scale)
        for factor in FACTORS[self.scale]:
            x = layers.Conv(self.width * factor**2, dtype=self.dtype)(x)
            x = PReLU()(shuffle(x, factor))
        return conv(self.channels)(x)

    def _check(self, images: jax.Array, labels: None) -> None:
        allowed = {"scale": FACTORS, "norm": GENERATOR_NORMS, "closing": CLOSINGS, "tail": TAILS}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(map(str, values))}."
                )
        if self.skip and self.bounded:
            raise ValueError("With `skip`, `bounded` would flatten the input that is added; set one of them.")
        if images.ndim != 4 or images.shape[-1] != self.channels or labels is not None:
            raise ValueError(
                f"Given are {images.shape} and labels {labels}, expected [B,H,W,{self.channels}]."
            )


class DiscriminatorStage(nn.Module):
    """A convolution, and one that halves the grid: [B,H,W,C] -> [B,H/2,W/2,features].

    Attributes:
      features: channels.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a normalisation, or None.
      first: it sees the image, and does not normalise behind its first convolution.
      dtype: of the computation.
    """

    features: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    normalise: Callable[[], nn.Module] | None
    first: bool
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for stride in (1, 2):
            conv = layers.Conv(self.features, stride=stride, padding=((1, 1), (1, 1)), dtype=self.dtype)
            x = self.layer(conv, x)
            normalise = None if self.first and stride == 1 else self.normalise
            x = nn.leaky_relu(x if normalise is None else normalise()(x), SLOPE)
        return x


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      heads: names and sizes of further outputs.
      width: channels of the stage next to the image, doubled inwards up to 8 times.
      smallest: the smallest grid has at least this many pixels a side.
      hidden: features of the dense layer before the logit.
      norm: 'batch' as in the paper (then logits depend on the whole batch: no gradient penalty), 'spectral'
        (every layer's kernel divided by its largest singular value: Miyato et al. 2018, eq. 8), or 'none'.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 64
    smallest: int = 4
    hidden: int = 1024
    norm: str = "none"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, labels: None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(self, images: jax.Array, labels: None = None, *, train: bool) -> layers.Description:
        """Logits [B], the stages' grids from the image inwards, and the further heads' outputs."""
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}.")
        if images.shape[1:] != self.image_shape or labels is not None:
            raise ValueError(f"Given are {images.shape} and labels {labels}, expected {self.image_shape}.")
        layer = partial(layers.normalised, spectral=self.norm == "spectral", train=train)
        normalise = layers.batch_norm(self, train=train) if self.norm == "batch" else None
        stage = layers.rematerialised(DiscriminatorStage, self.remat)
        x, grids = images, list[jax.Array]()
        for i in range(layers.doublings(self.image_shape, self.smallest)):
            features = self.width * 2 ** min(i, 3)
            x = stage(features, layer, normalise, i == 0, self.dtype, name=f"stage_{i}")(x)
            grids.append(x.astype(images.dtype))
        flat = x.astype(images.dtype).reshape(len(x), -1)
        hidden = nn.leaky_relu(layer(nn.Dense(self.hidden, name="hidden"), flat), SLOPE)
        logits = layer(nn.Dense(1, name="logits"), hidden)[:, 0]
        heads = {name: layer(nn.Dense(size, name=f"head_{name}"), hidden) for name, size in self.heads}
        return logits, tuple(grids), heads
