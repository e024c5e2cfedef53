"""PatchGAN: a convolutional discriminator that judges each patch of an image, at one scale or several.

Source: Isola et al. 2017 (pix2pix), section 3.2.2 and appendix 6.1.2; several scales: Wang et al. 2018
(pix2pixHD), section 3.2. Departures: convolutions have a bias only where no normalisation follows, which
would take it away again; other normalisations, or none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen as nn

from jaxgan.models import layers

SLOPE = 0.2  # of the leaky ReLU: Isola et al. 2017, appendix 6.1
Logits = jax.Array | tuple[jax.Array, ...]
# What `describe` returns: logits, hidden layers, and what further heads say, of which there are none.
Description = tuple[Logits, tuple[jax.Array, ...], dict[str, jax.Array]]
normal = nn.initializers.normal(0.02)  # Isola et al. 2017, appendix 6.2


def strides(halvings: int) -> tuple[int, ...]:
    """Those of the convolutions from the image inwards, the last of which makes the logits."""
    return (*([2] * halvings or [1]), 1, 1)


def receptive_field(halvings: int) -> int:
    """Pixels a side that a logit depends on: 1 for 0, then 16, 34, 70, 142, 286."""
    size = 1
    for stride in reversed(strides(halvings)):
        size = (size - 1) * stride + _kernel(halvings)
    return size


def _kernel(halvings: int) -> int:
    return 4 if halvings else 1


class Stage(nn.Module):
    """A convolution of 4x4 pixels, or of one, and what follows: [B,H,W,C] -> [B,H',W',features].

    Attributes:
      features: channels.
      size: of the kernel, a side.
      stride: of the convolution.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a normalisation, or None.
      dtype: of the computation.
    """

    features: int
    size: int
    stride: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    normalise: Callable[[], nn.Module] | None = None
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        bare = self.normalise is None
        conv = _convolution(self.features, self.size, self.stride, use_bias=bare, dtype=self.dtype)
        x = self.layer(conv, images)
        return nn.leaky_relu(x if self.normalise is None else self.normalise()(x), SLOPE)


def _convolution(features: int, size: int, stride: int, **options: Any) -> layers.Conv:
    edge = (size // 4, size // 4)  # 1 around kernels of 4x4, so that stride 2 halves the grid
    return layers.Conv(features, (size, size), stride, (edge, edge), kernel_init=normal, **options)


class Patches(nn.Module):
    """Images [B,H,W,C] of any channels to logits [B,h,w] of their patches, float32.

    Attributes:
      halvings: convolutions of stride 2; `receptive_field` says how large patches are. 0: pixels.
      width: channels of the first stage, doubled inwards up to 8 times.
      norm: of all stages but the first: 'batch' as in the paper (then logits depend on the whole batch: no
        gradient penalty), 'instance', 'spectral' (of all kernels: Miyato et al. 2018, eq. 8), or 'none'.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    halvings: int = 3
    width: int = 64
    norm: str = "instance"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        return self.describe(images, train=train)[0]

    @nn.compact
    def describe(self, images: jax.Array, *, train: bool) -> layers.Description:
        """Logits [B,h,w] and the stages' grids from the image inwards; no heads."""
        self._check(images)
        layer = partial(layers.normalised, spectral=self.norm == "spectral", train=train)
        normalise = layers.normalisation(self, train=train)
        stage = layers.rematerialised(Stage, self.remat)
        size = _kernel(self.halvings)
        *inner, last = strides(self.halvings)
        x, grids = images, list[jax.Array]()
        for i, stride in enumerate(inner):
            features = self.width * 2 ** min(i, 3)
            behind = normalise if i else None  # not next to the image: appendix 6.1
            x = stage(features, size, stride, layer, behind, self.dtype, name=f"stage_{i}")(x)
            grids.append(x.astype(images.dtype))
        logits = layer(_convolution(1, size, last, dtype=self.dtype, name="logits"), x)
        return logits[..., 0].astype(images.dtype), tuple(grids), {}

    def _check(self, images: jax.Array) -> None:
        smallest = 3 * 2**self.halvings if self.halvings else 1
        if images.ndim != 4 or min(images.shape[1:3]) < smallest:
            raise ValueError(
                f"Images are {images.shape}, expected [B,H,W,C] of at least {smallest} pixels a side, for a "
                f"patch discriminator of {self.halvings} halvings; give larger images, or set fewer."
            )


class Discriminator(nn.Module):
    """Images [B,H,W,C] of any channels to logits of their patches: [B,h,w], or a tuple, one a scale.

    Attributes:
      scales: PatchGANs, each of which sees images of half the size of the one before; the others are theirs.
      halvings: see `Patches`.
      width: see `Patches`.
      norm: see `Patches`.
      remat: see `Patches`.
      dtype: see `Patches`.
      axis_name: see `Patches`.
    """

    scales: int = 1
    halvings: int = 3
    width: int = 64
    norm: str = "instance"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, images: jax.Array, *, train: bool) -> Logits:
        return self.describe(images, train=train)[0]

    @nn.compact
    def describe(self, images: jax.Array, *, train: bool) -> Description:
        """Logits, and the stages' grids from the image inwards, scale by scale from the finest; no heads."""
        multiple = 2 ** (self.scales - 1)
        if images.ndim != 4 or any(side % multiple for side in images.shape[1:3]):
            raise ValueError(
                f"Images are {images.shape}, and {self.scales} scales halve them: expected [B,H,W,C], H and "
                f"W multiples of {multiple}; crop them, or set fewer scales."
            )
        options = {name: getattr(self, name) for name in ("halvings", "width", "norm", "remat", "dtype")}
        logits, grids = list[jax.Array](), list[jax.Array]()
        for i in range(self.scales):
            images = layers.shrink(images) if i else images
            network = Patches(**options, axis_name=self.axis_name, name=f"scale_{i}")
            said, seen, _ = network.describe(images, train=train)
            logits.append(said)
            grids.extend(seen)
        return tuple(logits) if self.scales > 1 else logits[0], tuple(grids), {}
