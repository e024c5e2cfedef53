"""ESRGAN's generator: residual-in-residual dense blocks, without normalisation; small images of any size.

Source: Wang et al. 2018 (ESRGAN), section 3.1 and figures 3 and 4. It is judged by SRGAN's discriminator,
under the relativistic average loss. Departures: other scales, and scale 1, for repair.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # scale -> enlargements, one after another
BETA = 0.2  # of what a block adds: section 3.1, figure 4
SLOPE = 0.2  # of the leaky ReLU
CONVOLUTIONS = 5  # of a dense block: figure 4
# A tenth of He's deviation: section 3.1, 'smaller initialization'.
small = nn.initializers.variance_scaling(2 * 0.1**2, "fan_in", "normal")
Conv = partial(layers.Conv, kernel_init=small)


class DenseBlock(nn.Module):
    """Convolutions that each see what all before them made, and a little of the last: [B,H,W,C] -> the same.

    Attributes:
      growth: channels that each but the last adds.
      dtype: of the computation.
    """

    growth: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        seen = images
        for i in range(CONVOLUTIONS - 1):
            x = nn.leaky_relu(Conv(self.growth, dtype=self.dtype, name=f"conv_{i}")(seen), SLOPE)
            seen = jnp.concatenate([seen, x], axis=-1)
        last = Conv(images.shape[-1], dtype=self.dtype, name=f"conv_{CONVOLUTIONS - 1}")
        return images + BETA * last(seen)


class Block(nn.Module):
    """What it is given, and a little of what dense blocks in a row make of that: [B,H,W,C] -> the same.

    Attributes:
      dense: how many.
      growth: of each.
      dtype: of the computation.
    """

    dense: int
    growth: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for i in range(self.dense):
            x = DenseBlock(self.growth, self.dtype, name=f"dense_{i}")(x)
        return images + BETA * x


class Generator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] to images [B,sH,sW,C], float32 and unbounded.

    Attributes:
      channels: C.
      scale: s: 1, 2, 3, 4 or 8.
      width: channels of the trunk.
      blocks: of the trunk, residual in residual.
      dense: dense blocks in each.
      growth: channels that each of their convolutions adds.
      remat: compute blocks anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    channels: int = 3
    scale: int = 4
    width: int = 64
    blocks: int = 23
    dense: int = 3
    growth: int = 32
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, labels: None = None, *, train: bool) -> jax.Array:
        self._check(images, labels)
        conv = partial(Conv, dtype=self.dtype)
        block = layers.rematerialised(Block, self.remat)
        x = first = conv(self.width, name="first")(images)
        for i in range(self.blocks):
            x = block(self.dense, self.growth, self.dtype, name=f"block_{i}")(x)
        x = first + conv(self.width, name="trunk")(x)
        for i, factor in enumerate(FACTORS[self.scale]):
            x = x.repeat(factor, axis=1).repeat(factor, axis=2)
            x = nn.leaky_relu(conv(self.width, name=f"enlarge_{i}")(x), SLOPE)
        x = nn.leaky_relu(conv(self.width, name="large")(x), SLOPE)
        return conv(self.channels, name="last")(x).astype(images.dtype)

    def _check(self, images: jax.Array, labels: None) -> None:
        if self.scale not in FACTORS:
            raise ValueError(f"scale is {self.scale}, expected one of {', '.join(map(str, FACTORS))}.")
        if images.ndim != 4 or images.shape[-1] != self.channels or labels is not None:
            raise ValueError(
                f"Given are {images.shape} and labels {labels}, expected [B,H,W,{self.channels}]."
            )
