"""Convolutions whose kernels a style scales, and the network that maps latents and labels to styles.

Source: Karras et al. 2019 (StyleGAN), section 2; Karras et al. 2020 (StyleGAN2), section 2.2.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import convolutions, equalized, layers

EPSILON = 1e-8  # of eq. 3


class Mapping(nn.Module):
    """Latents [B,Z], codes of labels [B,K], or both, to styles [B,size]; either may be None.

    Source: Karras et al. 2019, figure 1b and appendix C; labels as in Karras et al. 2020 (ADA): embedded,
    normalised like the latents, and laid beside them.

    Attributes:
      size: of the styles, and of the layers in between.
      depth: layers.
      rate: multiplies their learning rate.
    """

    size: int
    depth: int
    rate: float

    @nn.compact
    def __call__(self, latents: jax.Array | None, codes: jax.Array | None) -> jax.Array:
        parts = [] if latents is None else [latents]
        if codes is not None:
            parts.append(equalized.Dense(self.size, name="embedding")(codes))
        x = jnp.concatenate([equalized.normalise(part) for part in parts], axis=-1)
        for i in range(self.depth):
            x = equalized.Dense(self.size, active=True, rate=self.rate, name=f"dense_{i}")(x)
        return x


def modulate(
    images: jax.Array,
    kernel: jax.Array,
    styles: jax.Array,
    *,
    convolve: Callable[[jax.Array, jax.Array], jax.Array] = convolutions.convolve,
    demodulate: bool = True,
    dtype: layers.Dtype = None,
) -> jax.Array:
    """A convolution by a kernel that each example scales along its inputs.

    It scales images before and after one convolution for all, which is the same.

    Args:
      images: [B,H,W,I], float.
      kernel: [h,w,I,O], float.
      styles: [B,I], float, the scales of the kernel's inputs.
      convolve: (images, kernel) -> [B,H',W',O], linear in both and the same for all channels.
      demodulate: scale each output's kernel to a norm of 1.
      dtype: of the convolution, float32 or bfloat16; scales are computed in the styles' own.

    Returns:
      [B,H',W',O], of `dtype`.

    Source: Karras et al. 2020 (StyleGAN2), eqs. 1 and 3. Styles are first divided by their largest, which
    eq. 3 cancels, so that large styles do not make large numbers in between.
    """
    scales = None
    if demodulate:
        largest = jnp.max(jnp.abs(styles), axis=-1, keepdims=True)
        largest = jax.lax.stop_gradient(jnp.maximum(largest, 1e-4))  # it cancels, and so would its derivative
        styles = styles / largest
        squares = styles**2 @ jnp.sum(kernel**2, axis=(0, 1))
        scales = jax.lax.rsqrt(squares + EPSILON / largest**2)
    images, kernel, styles, scales = nn.dtypes.promote_dtype(images, kernel, styles, scales, dtype=dtype)
    out = convolve(images * styles[:, None, None], kernel)
    return out if scales is None else out * scales[:, None, None]


def fold(keys: jax.Array, number: int) -> jax.Array:
    """Other keys from keys, [B]."""
    return jax.vmap(partial(jax.random.fold_in, data=number))(keys)


class StyledConv(nn.Module):
    """A modulated and demodulated convolution 3x3, noise, biases and the activation.

    Called with grids [B,H,W,I], styles [B,L,S] of all layers and keys [B] of the noise, or None for none, it
    returns [B,H,W,features], or twice the grid.

    Source: Karras et al. 2020 (StyleGAN2), figure 2d; one strength for all channels, and scales that start
    at 1: appendix B.

    Attributes:
      features: O, the output's channels.
      layer: its place among the layers, which says whose style it takes and which noise.
      up: double the grid.
      dtype: of the computation; parameters are float32.
    """

    features: int
    layer: int
    up: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array, styles: jax.Array, keys: jax.Array | None) -> jax.Array:
        shape = (3, 3, grids.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape) / math.sqrt(math.prod(shape[:3]))
        scales = equalized.Dense(shape[2], bias=1.0, name="style")(styles[:, self.layer])
        convolve = equalized.convolve_up if self.up else convolutions.convolve
        out = modulate(grids, kernel, scales, convolve=convolve, dtype=self.dtype)
        strength = self.param("strength", nn.initializers.zeros, ())
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if keys is not None:
            draw = partial(jax.random.normal, shape=(*out.shape[1:3], 1), dtype=jnp.float32)
            out = out + (strength * jax.vmap(draw)(fold(keys, self.layer))).astype(out.dtype)
        return equalized.activate(out + bias.astype(out.dtype))


class ToImage(nn.Module):
    """A modulated convolution 1x1, not demodulated: [B,H,W,I], styles [B,L,S] -> [B,H,W,channels].

    Source: Karras et al. 2020 (StyleGAN2), section 4.1, "tRGB", and appendix B.

    Attributes:
      channels: of the images.
      layer: its place among the layers, which says whose style it takes.
      dtype: of the computation; parameters are float32, and images have the styles' dtype.
    """

    channels: int
    layer: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array, styles: jax.Array) -> jax.Array:
        shape = (1, 1, grids.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape) / math.sqrt(shape[2])
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        scales = equalized.Dense(shape[2], bias=1.0, name="style")(styles[:, self.layer])
        return modulate(grids, kernel, scales, demodulate=False, dtype=self.dtype).astype(styles.dtype) + bias


class Block(nn.Module):
    """Two layers that double the grid: [B,H,W,I] -> [B,2H,2W,features].

    Attributes:
      features: O, the output's channels.
      layer: the place of its first layer.
      residual: the grid itself is added, interpolated, through a convolution 1x1.
      dtype: of the computation.
    """

    features: int
    layer: int
    residual: bool
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, grids: jax.Array, styles: jax.Array, keys: jax.Array | None) -> jax.Array:
        first, second = (
            StyledConv(self.features, self.layer + i, i == 0, self.dtype, name=f"layer_{i}") for i in range(2)
        )
        out = second(first(grids, styles, keys), styles, keys)
        if not self.residual:
            return out
        skip = equalized.Conv(self.features, 1, active=False, dtype=self.dtype, name="skip")
        return (out + layers.upsample(skip(grids))) / math.sqrt(2.0)
