"""Perceptrons, for points in the plane and other toys.

Source: Goodfellow et al. 2014, section 5, with leaky ReLU for its maxout and no dropout; class-conditional as
Mirza & Osindero 2014, with a projection discriminator (Miyato & Koyama 2018).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to samples [B,*shape], unbounded unless squashed.

    Attributes:
      image_shape: the shape of a sample: (2,) for points, (H, W, C) for images.
      num_classes: 0 for an unconditional network.
      width: units of a hidden layer.
      depth: hidden layers.
      squash: end in tanh, for images in [-1, 1].
      dtype: of the computation; parameters stay float32.
    """

    image_shape: tuple[int, ...]
    num_classes: int = 0
    width: int = 128
    depth: int = 3
    squash: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        codes = layers.label_codes(labels, self.num_classes)
        x = latents if codes is None else jnp.concatenate([latents, codes], axis=-1)
        for _ in range(self.depth):
            x = nn.relu(nn.Dense(self.width, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        x = x.astype(latents.dtype).reshape(-1, *self.image_shape)
        return jnp.tanh(x) if self.squash else x


class Discriminator(nn.Module):
    """Samples [B,*shape] and labels [B] (or None) to logits [B].

    Attributes:
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: units of a hidden layer.
      depth: hidden layers.
      dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 128
    depth: int = 3
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], hidden layers [B,width], and the further heads' outputs."""
        x, hidden = images.reshape(len(images), -1), list[jax.Array]()
        for _ in range(self.depth):
            x = nn.leaky_relu(nn.Dense(self.width, dtype=self.dtype)(x), 0.2)
            hidden.append(x.astype(images.dtype))
        x = x.astype(images.dtype)
        logits = nn.Dense(1)(x)[:, 0]
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None:
            logits = layers.project(logits, x, nn.Dense(x.shape[-1], use_bias=False)(codes))
        heads = {name: nn.Dense(size, name=f"head_{name}")(x) for name, size in self.heads}
        return logits, tuple(hidden), heads
