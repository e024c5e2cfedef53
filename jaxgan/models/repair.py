"""Repair: images with holes to whole ones, of any size, by convolutions that know of the hole.

Sources: Yu et al. 2019 (gated convolution, SN-PatchGAN), sections 3.1 to 3.3; Liu et al. 2018 (partial
convolution), sections 3.1 and 3.2. Departures: one stage, for a second one at the full grid costs as much
again and where images are small sees no more than the first; skips from encoder to decoder as Liu et al. have
them, for gated convolutions too; residual blocks in the middle; tanh at the end.
"""

import functools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import convolutions, layers

CONVOLUTIONS = ("gated", "partial", "plain")
NORMS = ("none", "spectral")
SLOPE = 0.2  # of the discriminator's leaky ReLU
lecun = nn.initializers.lecun_normal()
# Of the last convolution: else what partial ones enlarge at each layer starts beyond where tanh is steep.
low = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")


def convolve_dilated(images: jax.Array, kernel: jax.Array, *, dilation: int) -> jax.Array:
    """A convolution whose taps lie apart; the grid stays: [B,H,W,I], [h,w,I,O] -> [B,H,W,O].

    Pixels so far apart make up an image each, and all of these are convolved as one batch: as dense as any
    other on a CPU, where XLA crawls on kernels spread out by zeros.
    """
    b, height, width, _ = images.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    edges = (0, 0), (0, rows * dilation - height), (0, columns * dilation - width), (0, 0)
    apart = jnp.pad(images, edges).reshape(b, rows, dilation, columns, dilation, -1)
    apart = apart.transpose(0, 2, 4, 1, 3, 5).reshape(b * dilation**2, rows, columns, -1)
    out = convolutions.convolve(apart, kernel).reshape(b, dilation, dilation, rows, columns, -1)
    out = out.transpose(0, 3, 1, 4, 2, 5).reshape(b, rows * dilation, columns * dilation, -1)
    return out[:, :height, :width]


class Convolution(nn.Module):
    """A convolution that may know of the hole: images [B,H,W,I], known [B,H,W,1] -> both, of features.

    "gated" multiplies features by a gate between 0 and 1, of a convolution of its own. "partial" sees known
    pixels alone, whose sum it enlarges by how many there should be; pixels that see one are known from there
    on. "plain" does neither.

    Attributes:
      features: channels.
      kind: one of `CONVOLUTIONS`.
      side: of the kernel, in pixels.
      stride: in both directions.
      dilation: pixels between the kernel's taps, at stride 1.
      active: ELU of the features.
      dtype: of the computation.
      kernel_init: draws the kernel.

    Source: Yu et al. 2019, eq. 3; Liu et al. 2018, eqs. 1 and 2. Where images were joined, `known` is the
    share of their channels, so that sums are those over channels. Zeros around the image are not known.
    """

    features: int
    kind: str
    side: int = 3
    stride: int = 1
    dilation: int = 1
    active: bool = True
    dtype: layers.Dtype = None
    kernel_init: nn.initializers.Initializer = lecun

    @nn.compact
    def __call__(self, images: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
        parts = 2 if self.kind == "gated" else 1
        x = layers.Conv(
            parts * self.features,
            (self.side, self.side),
            self.stride,
            operation=self._convolve,
            use_bias=self.kind != "partial",
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            name="conv",
        )(images)
        if self.kind == "partial":
            x, known = self._weighed(x, known)
        else:
            known = known[:, :: self.stride, :: self.stride]
        x, *gate = jnp.split(x, parts, axis=-1)
        x = nn.elu(x) if self.active else x
        return (x * nn.sigmoid(gate[0]) if gate else x), known

    def _weighed(self, sums: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Sums over known pixels as over all, with a bias; 0 where there are none. And what is known now."""
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        seen = self._convolve(known, jnp.ones((self.side, self.side, 1, 1), known.dtype))
        known = (seen > 0).astype(known.dtype)
        weights = known * self.side**2 / jnp.where(seen > 0, seen, 1)
        return sums * weights.astype(sums.dtype) + (known * bias).astype(sums.dtype), known

    def _convolve(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
        if self.dilation > 1:
            return convolve_dilated(images, kernel, dilation=self.dilation)
        return convolutions.convolve(images, kernel, stride=self.stride)


class Residual(nn.Module):
    """What two convolutions add, the first with its taps apart: [B,H,W,C] -> the same.

    Attributes:
      convolution: (features, further fields) -> a Convolution.
      dilation: pixels between the first one's taps.
    """

    convolution: Callable[..., Convolution]
    dilation: int

    @nn.compact
    def __call__(self, images: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = images.shape[-1]
        x, known = self.convolution(features, dilation=self.dilation, name="apart")(images, known)
        x, known = self.convolution(features, active=False, name="together")(x, known)
        return images + x, known


class Generator(nn.Module):
    """Images [B,H,W,C] and masks [B,H,W,1], 1 where they are to be made, to images [B,H,W,C] in [-1, 1].

    What images hold under the mask is seen, but by partial convolutions: empty holes. Of any size: other
    sizes than multiples of the deepest grid are reflected at two edges, and cut back. Images out are float32.

    Attributes:
      channels: C.
      width: channels at the image's grid, doubled at each halving.
      halvings: of the grid, by the encoder.
      dilations: pixels between taps, of a residual block each, at the smallest grid.
      convolution: gated, partial or plain.
      remat: compute residual blocks anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    channels: int = 3
    width: int = 32
    halvings: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 1)
    convolution: str = "gated"
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, masks: jax.Array, *, train: bool) -> jax.Array:
        self._check(images, masks)
        height, width = images.shape[1:3]
        whole, holes = (layers.reflect_to_multiple(x, 2**self.halvings) for x in (images, masks))
        known = 1 - holes
        # Partial convolutions are told of the hole by what they see, and may not see the hole itself.
        x = whole * known if self.convolution == "partial" else jnp.concatenate([whole, holes], axis=-1)
        conv = partial(Convolution, kind=self.convolution, dtype=self.dtype)
        x, known = conv(self.width, side=5, name="first")(x, known)
        skips = [(x, known)]
        for i in range(1, self.halvings + 1):
            x, known = conv(self.width * 2**i, stride=2, name=f"halve_{i}")(x, known)
            skips.append((x, known))
        block = layers.rematerialised(Residual, self.remat)
        for i, dilation in enumerate(self.dilations):
            x, known = block(conv, dilation, name=f"block_{i}")(x, known)
        for i in reversed(range(self.halvings)):
            x, known = _joined((layers.enlarge(x), layers.enlarge(known)), skips[i])
            x, known = conv(self.width * 2**i, name=f"double_{i}")(x, known)
        # The last one makes the image, where a gate would draw it to grey.
        kind = "plain" if self.convolution == "gated" else self.convolution
        x, _ = conv(self.channels, kind=kind, active=False, kernel_init=low, name="last")(x, known)
        return jnp.tanh(x[:, :height, :width].astype(images.dtype))

    def _check(self, images: jax.Array, masks: jax.Array) -> None:
        if self.convolution not in CONVOLUTIONS:
            raise ValueError(
                f"convolution is {self.convolution!r}, expected one of {', '.join(CONVOLUTIONS)}."
            )
        if images.ndim != 4 or images.shape[-1] != self.channels or masks.shape != (*images.shape[:3], 1):
            raise ValueError(
                f"Images are {images.shape} and masks {masks.shape}, expected [B,H,W,{self.channels}] and "
                "[B,H,W,1] of the same size."
            )


def _joined(*parts: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Images' channels one after the other, and the share of them that is known at each pixel."""
    joined = jnp.concatenate([images for images, _ in parts], axis=-1)
    share = [known * (images.shape[-1] / joined.shape[-1]) for images, known in parts]
    return joined, functools.reduce(jnp.add, share)


class Discriminator(nn.Module):
    """Images with their masks as the last channel, [B,H,W,C+1], to logits of patches [B,h,w], float32.

    SN-PatchGAN: convolutions 5x5 of stride 2, as many that each logit sees all of the image. Of any size.

    Attributes:
      width: channels of the first stage, doubled inwards up to 4 times.
      stages: how often the grid is halved.
      norm: 'spectral' as in the paper, or 'none'.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.

    Source: Yu et al. 2019, section 3.2, with six stages for 256 pixels; it takes each channel of the last
    one for a logit, of which here a convolution makes one.
    """

    width: int = 64
    stages: int = 4
    norm: str = "spectral"
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        return self.describe(images, train=train)[0]

    @nn.compact
    def describe(self, images: jax.Array, *, train: bool) -> layers.Description:
        """Logits [B,h,w], the stages' grids from the image inwards, and no further heads."""
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}.")
        layer = partial(layers.normalised, spectral=self.norm == "spectral", train=train)
        conv = partial(layers.Conv, kernel_size=(5, 5), dtype=self.dtype)
        x, grids = images, list[jax.Array]()
        for i in range(self.stages):
            x = layer(conv(self.width * 2 ** min(i, 2), stride=2, name=f"stage_{i}"), x)
            x = nn.leaky_relu(x, SLOPE)
            grids.append(x.astype(images.dtype))
        logits = layer(conv(1, kernel_size=(3, 3), name="logits"), x)[..., 0]
        return logits.astype(images.dtype), tuple(grids), {}
