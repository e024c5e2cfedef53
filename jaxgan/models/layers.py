"""Layers that the families share."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import convolutions

Dtype = Any
NORMS = ("none", "batch", "instance", "spectral")
orthogonal = nn.initializers.orthogonal()  # Brock et al. 2019, appendix C
# Applied along rows and columns it is linear interpolation to and from twice the size.
TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
SPREAD_TAPS = tuple(2 * tap for tap in TAPS)  # for images spread out by zeros, which are three in four
# What a discriminator's `describe` returns: logits, hidden layers, what its further heads say by name.
Description = tuple[jax.Array, tuple[jax.Array, ...], dict[str, jax.Array]]


def doublings(image_shape: tuple[int, ...], smallest: int) -> int:
    """How often a grid of at least `smallest` pixels a side is doubled to make [H,W,C] images."""
    height, width = image_shape[:2]
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width, count = height // 2, width // 2, count + 1
    return count


def at_least_one_doubling(image_shape: tuple[int, ...], smallest: int) -> int:
    """`doublings`, for networks that need one.

    Raises:
      ValueError: there is none.
    """
    count = doublings(image_shape, smallest)
    if count == 0:
        raise ValueError(
            f"{image_shape[0]}x{image_shape[1]} cannot be doubled from a grid of at least {smallest} pixels "
            "a side; use an even size, or a lower `smallest`."
        )
    return count


def normalised(layer: nn.Module, inputs: jax.Array, *, spectral: bool, train: bool) -> jax.Array:
    """The layer's outputs; in training, spectral normalisation goes on with its power iteration."""
    if spectral:
        return nn.SpectralNorm(layer)(inputs, update_stats=train)
    return layer(inputs)


class Conv(nn.Module):
    """A convolution [B,H,W,I] -> [B,H',W',features]; at stride 1 it keeps the grid.

    Attributes:
      features: O, the output's channels.
      kernel_size: (height, width).
      stride: in both directions.
      padding: zeros around the images, once spread out where transposed; None: (h - 1) // 2 before and
        h // 2 after.
      groups: parts that channels are cut into.
      transposed: images are spread out by zeros, `stride` pixels apart, and the kernel moves by one.
      operation: (images, kernel) -> images, in the place of the convolution that the fields above describe.
      use_bias: add a learned bias [O].
      dtype: of the computation; parameters are float32. None: that of the inputs and parameters.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: convolutions.Padding | None = None
    groups: int = 1
    transposed: bool = False
    operation: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    use_bias: bool = True
    dtype: Dtype = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        if images.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"{images.shape[-1]} channels and {self.features} features cannot both be cut into "
                f"{self.groups} groups."
            )
        shape = (*self.kernel_size, images.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        images, kernel, bias = nn.dtypes.promote_dtype(images, kernel, bias, dtype=self.dtype)
        out = (self.operation or self._convolve)(images, kernel)
        return out if bias is None else out + bias

    def _convolve(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
        convolve = convolutions.convolve_transposed if self.transposed else convolutions.convolve
        padding = convolutions.same(kernel) if self.padding is None else self.padding
        return convolve(images, kernel, stride=self.stride, padding=padding, groups=self.groups)


def enlarge(images: jax.Array) -> jax.Array:
    """Each pixel as 2x2 equal ones: [B,H,W,C] -> [B,2H,2W,C]."""
    return images.repeat(2, axis=1).repeat(2, axis=2)


def shrink(images: jax.Array) -> jax.Array:
    """The mean of each 2x2 pixels: [B,H,W,C] -> [B,H/2,W/2,C], H and W even."""
    b, h, w, c = images.shape
    return images.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def upsample(images: jax.Array) -> jax.Array:
    """Interpolates linearly between pixels' centres, zeros beyond: [B,H,W,C] -> [B,2H,2W,C]."""
    return convolutions.resample(images, SPREAD_TAPS, up=2, padding=((2, 1), (2, 1)))


def downsample(images: jax.Array) -> jax.Array:
    """Filtered, then every second pixel, zeros beyond: [B,H,W,C] -> [B,H/2,W/2,C], H and W even."""
    return convolutions.resample(images, TAPS, down=2, padding=((1, 1), (1, 1)))


def reflect(images: jax.Array, margin: int) -> jax.Array:
    """Images with so many mirrored pixels on all sides: [B,H,W,C] -> [B,H+2m,W+2m,C]."""
    return _reflected(images, ((margin, margin), (margin, margin)))


def reflect_to_multiple(images: jax.Array, multiple: int) -> jax.Array:
    """Images [B,H,W,C] with mirrored pixels below and on the right, so that `multiple` divides both sides.

    Raises:
      ValueError: the images have another shape.
    """
    if images.ndim != 4:
        raise ValueError(f"Images are {images.shape}, expected [B,H,W,C].")
    height, width = (-side % multiple for side in images.shape[1:3])
    return _reflected(images, ((0, height), (0, width)))


def _reflected(images: jax.Array, margins: convolutions.Padding) -> jax.Array:
    """A side of one pixel has no other to mirror, and repeats it."""
    for axis, margin in zip((1, 2), margins, strict=True):
        if margin == (0, 0):
            continue
        edges = [margin if i == axis else (0, 0) for i in range(4)]
        images = jnp.pad(images, edges, mode="reflect" if images.shape[axis] > 1 else "edge")
    return images


def convolve_enlarged(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution 3x3 of `enlarge`d images, in 4/9 of its products: [B,H,W,I], [3,3,I,O] -> [B,2H,2W,O].

    Pixels that are equal are multiplied once, by sums of the kernel: a transposed convolution 4x4.
    """
    return convolutions.convolve_transposed(images, _doubled(kernel), stride=2, padding=((2, 2), (2, 2)))


def convolve_shrunk(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution 3x3 and then `shrink`, in 4/9 of its products: [B,H,W,I], [3,3,I,O] -> [B,H/2,W/2,O]."""
    return convolutions.convolve(images, _doubled(kernel) / 4.0, stride=2, padding=((1, 1), (1, 1)))


def _doubled(kernel: jax.Array) -> jax.Array:
    """The sum of a kernel at each of 2x2 neighbouring places: [h,w,...] -> [h+1,w+1,...]."""
    rest = [(0, 0)] * (kernel.ndim - 2)
    moved = (jnp.pad(kernel, [(i, 1 - i), (j, 1 - j), *rest]) for i in (0, 1) for j in (0, 1))
    return functools.reduce(jnp.add, moved)


def project(logits: jax.Array, features: jax.Array, embeddings: jax.Array) -> jax.Array:
    """Conditional logits: logits [B] or [B,h,w], features [B,F] or [B,h,w,F], of labels [B,F] -> as logits.

    Source: Miyato & Koyama 2018 (projection discriminator), eq. 4.
    """
    between = features.ndim - embeddings.ndim
    embeddings = embeddings.reshape(len(embeddings), *[1] * between, embeddings.shape[-1])
    return logits + jnp.sum(embeddings * features, axis=-1)


def batch_norm(network: Any, *, train: bool) -> Callable[..., nn.Module]:
    """The batch normalisation of a network with `dtype` and `axis_name`; its further fields may be given."""
    return functools.partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        dtype=network.dtype,
        axis_name=network.axis_name,
    )


class InstanceNorm(nn.Module):
    """Each channel of each image at mean 0 and variance 1 over its pixels: [B,H,W,C] -> the same.

    Attributes:
      affine: then a learned scale of each channel and a bias, as batch normalisation has them.
      epsilon: added to variances; a grid of one pixel becomes 0, or the bias.
      dtype: of what comes out; statistics are float32 or finer.

    Source: Ulyanov et al. 2016 (instance normalisation), eq. 2.
    """

    affine: bool = True
    epsilon: float = 1e-5
    dtype: Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        mean, variance = jnp.mean(x, (1, 2), keepdims=True), jnp.var(x, (1, 2), keepdims=True)
        x = (x - mean) * jax.lax.rsqrt(variance + self.epsilon)
        if self.affine:
            size = images.shape[-1:]
            x = x * self.param("scale", nn.initializers.ones, size)
            x = x + self.param("bias", nn.initializers.zeros, size)
        return x.astype(self.dtype or images.dtype)


def normalisation(network: Any, *, train: bool) -> Callable[[], nn.Module] | None:
    """What a network with `norm`, `dtype` and `axis_name` has behind its convolutions; None: nothing.

    Spectral normalisation is of kernels: see `normalised`.

    Raises:
      ValueError: `norm` is none of NORMS.
    """
    if network.norm not in NORMS:
        raise ValueError(f"norm is {network.norm!r}, expected one of {', '.join(NORMS)}.")
    if network.norm == "batch":
        return batch_norm(network, train=train)
    return functools.partial(InstanceNorm, dtype=network.dtype) if network.norm == "instance" else None


def rematerialised(block: Any, remat: bool) -> Any:
    """A module's class; where asked, one whose activations are computed anew for the derivative.

    Give its instances names: Linen would otherwise call them otherwise, and the parameters with them.
    """
    return nn.remat(block) if remat else block


def check_images(images: jax.Array, image_shape: tuple[int, int, int]) -> None:
    """Raises a ValueError unless images are [B,H,W,C] of this (H, W, C)."""
    if images.shape[1:] != image_shape:
        raise ValueError(f"Images are {images.shape}, expected [B,H,W,C] of {image_shape}.")


def label_codes(labels: jax.Array | None, num_classes: int) -> jax.Array | None:
    """Labels as float [B,num_classes], or None for a network without classes.

    Args:
      labels: [B] int, which become one-hot; or [B,num_classes] float, of several labels an image, kept.
      num_classes: 0 for a network without.

    Raises:
      ValueError: labels where the network has no classes, none where it has some, or of another size.
    """
    if (labels is None) != (num_classes == 0):
        given = "no labels" if labels is None else f"labels of shape {labels.shape}"
        raise ValueError(
            f"The network was built for {num_classes} classes and was given {given}. Build it with "
            "num_classes > 0 and pass labels, or with num_classes=0 and pass none."
        )
    if labels is None:
        return None
    if labels.ndim == 1:
        return jax.nn.one_hot(labels, num_classes)
    if labels.shape[1:] != (num_classes,):
        raise ValueError(f"Labels are {labels.shape}, expected [B] integers or [B,{num_classes}] numbers.")
    return labels.astype(jnp.result_type(float))
