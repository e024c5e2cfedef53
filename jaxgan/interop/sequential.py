"""Generators that are layers in a row, told one by one: what a `torch.nn.Sequential` of others' makes.

For weights of a network that no family has: other kernels, paddings or constants.

    Generator((ConvTransposed(256, 3, stride=2), BatchNorm(), LeakyRelu(), ...))
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.interop.rules import CONV, CONV_TRANSPOSED, DENSE, SAME
from jaxgan.interop.tables import Entry, Table, batch_norm, layer
from jaxgan.models import convolutions, layers


class Dense(nn.Module):
    """[B,I] -> [B,features]."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else 0
        return x @ kernel + bias


class Grid(nn.Module):
    """[B, C h w], channels outermost as PyTorch has them, -> [B,h,w,C]."""

    height: int
    width: int

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return x.reshape(len(x), -1, self.height, self.width).transpose(0, 2, 3, 1)


class Conv(nn.Module):
    """`torch.nn.Conv2d(I, features, size, stride, padding)`, of square kernels."""

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else 0
        around = ((self.padding, self.padding),) * 2
        return convolutions.convolve(x, kernel, stride=self.stride, padding=around) + bias


class ConvTransposed(nn.Module):
    """`torch.nn.ConvTranspose2d(I, features, size, stride, padding)`; [B,I] is taken for one pixel."""

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = x[:, None, None] if x.ndim == 2 else x
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else 0
        around = ((self.size - 1 - self.padding, self.size - 1 - self.padding),) * 2
        return convolutions.convolve_transposed(x, kernel, stride=self.stride, padding=around) + bias


class BatchNorm(nn.Module):
    """`torch.nn.BatchNorm2d(C, epsilon)`."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=self.epsilon, name="norm")
        return norm(x)


class Enlarge(nn.Module):
    """Each pixel as 2x2 equal ones, as `torch.nn.Upsample(scale_factor=2)`."""

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return layers.enlarge(x)


class LeakyRelu(nn.Module):
    """x where positive, else x times the slope; of slope 0 it is a ReLU."""

    slope: float = 0.0

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return jnp.where(x >= 0, x, self.slope * x)


class Tanh(nn.Module):
    """To [-1, 1]."""

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return jnp.tanh(x)


KINDS: Mapping[str, Any] = {
    kind.__name__: kind for kind in (Dense, Grid, Conv, ConvTransposed, BatchNorm, Enlarge, LeakyRelu, Tanh)
}
RULES = {Dense: DENSE, Conv: CONV, ConvTransposed: CONV_TRANSPOSED}


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C], as the last layer leaves them.

    Attributes:
      layers: modules of this file, in their order.
      num_classes: 0 for an unconditional network.
      embedding: size of a class's embedding, which comes behind the latents.
    """

    layers: tuple[nn.Module, ...]
    num_classes: int = 0
    embedding: int = 0

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        codes = layers.label_codes(labels, self.num_classes)
        x = latents
        if codes is not None:
            embed = nn.Dense(self.embedding, use_bias=False, name="embedding")
            x = jnp.concatenate([latents, embed(codes)], axis=-1)
        for each in self.layers:
            x = each(x, train=train)
        return x


def table(network: Generator, names: Sequence[str], *, embedding: str = "") -> Table:
    """The table of a network whose layers with parameters are called `names` in the file, in their order.

    Args:
      network: the generator.
      names: 'gen.0.0', ..., without '.weight'.
      embedding: the name of the classes' embedding, if there is one.
    """
    entries = [Entry(("params.embedding.kernel",), (f"{embedding}.weight",))] if network.num_classes else []
    learned = [(i, each) for i, each in enumerate(network.layers) if type(each) in (*RULES, BatchNorm)]
    for (i, each), name in zip(learned, names, strict=True):
        if isinstance(each, BatchNorm):
            entries += batch_norm(f"layers_{i}.norm", name)
        else:
            entries += layer(f"layers_{i}", name, RULES[type(each)], bias=SAME if each.use_bias else None)
    return tuple(entries)
