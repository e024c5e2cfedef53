"""Layers with an equalised learning rate, and convolutions that resample by a filter.

A kernel starts as N(0, 1) and is scaled where it is used, so that optimisers which normalise a gradient's
size move all layers at the same speed. Source: Karras et al. 2018 (progressive GANs), section 4.1; there the
kernel's scale is He's, here its sqrt(2) follows the activation, so that biases have it too.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import convolutions, layers

SLOPE = 0.2  # of the leaky ReLU: Karras et al. 2018, appendix A.1


def activate(inputs: jax.Array) -> jax.Array:
    """The leaky ReLU, times sqrt(2), which keeps the mean square of what is N(0, 1) within 2 %."""
    return nn.leaky_relu(inputs, SLOPE) * math.sqrt(2.0)


def normalise(vectors: jax.Array) -> jax.Array:
    """Vectors [..., N] divided by the root of their mean square. Source: Karras et al. 2018, section 4.2."""
    return vectors * jax.lax.rsqrt(jnp.mean(vectors**2, axis=-1, keepdims=True) + 1e-8)


def convolve_up(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution 3x3 that doubles the grid, then the filter: [B,H,W,I], [3,3,I,O] -> [B,2H,2W,O]."""
    spread = convolutions.convolve_transposed(images, kernel, stride=2, padding=((2, 2), (2, 2)))
    return convolutions.resample(spread, layers.SPREAD_TAPS, padding=((1, 1), (1, 1)))


def convolve_down(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """The filter, then a convolution 3x3 that halves the grid: [B,H,W,I], [3,3,I,O] -> [B,H/2,W/2,O]."""
    blurred = convolutions.resample(images, layers.TAPS, padding=((2, 2), (2, 2)))
    return convolutions.convolve(blurred, kernel, stride=2, padding=((0, 0), (0, 0)))


class Dense(nn.Module):
    """A dense layer [..., I] -> [..., features].

    Attributes:
      features: O, the outputs.
      active: the activation follows.
      rate: multiplies the learning rate; the kernel starts as N(0, 1 / rate^2) and is scaled by as much.
      bias: what the biases start as.
    """

    features: int
    active: bool = False
    rate: float = 1.0
    bias: float = 0.0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        size = inputs.shape[-1]
        kernel = self.param("kernel", nn.initializers.normal(1.0 / self.rate), (size, self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias / self.rate), (self.features,))
        out = inputs @ (kernel * (self.rate / math.sqrt(size))) + bias * self.rate
        return activate(out) if self.active else out


class Conv(nn.Module):
    """A convolution [B,H,W,I] -> [B,H,W,features], or on half the grid.

    Attributes:
      features: O, the output's channels.
      size: of the kernel, pixels a side.
      down: halve the grid, after the filter; for a size of 3.
      active: biases are added and the activation follows; else neither.
      dtype: of the computation; parameters are float32. None: that of the inputs and parameters.
    """

    features: int
    size: int = 3
    down: bool = False
    active: bool = True
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        shape = (self.size, self.size, images.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape) / math.sqrt(math.prod(shape[:3]))
        images, kernel = nn.dtypes.promote_dtype(images, kernel, dtype=self.dtype)
        out = convolve_down(images, kernel) if self.down else convolutions.convolve(images, kernel)
        if not self.active:
            return out
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return activate(out + bias.astype(out.dtype))
