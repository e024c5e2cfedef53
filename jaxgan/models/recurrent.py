"""A recurrent generator, which paints its image in several strokes, for any even resolution.

Sources: Im et al. 2016 (GRAN), section 4: an encoder reads what was painted, a decoder adds to it, and the
image is the squashed sum of all that was added; the convolutional GRU is that of Ballas et al. 2016. DRAW
(Gregor et al. 2015) paints alike, as a variational autoencoder. Departures: between GRAN's encoder and its
decoder there is a GRU, which remembers; the encoder reads the whole canvas, not only what was added last; the
latents are the same at every step, of which GRAN lets there be one draw a step; the image is in [-1, 1].
There is no batch normalisation: each image depends on its own latents alone.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import dcgan, layers

# GRAN judges by a DCGAN's discriminator too: nothing in it is recurrent.
Discriminator = dcgan.Discriminator


class ConvGRU(nn.Module):
    """A gated recurrent unit of convolutions: its state [B,h,w,F] and inputs [B,h,w,I] -> the next state.

    Attributes:
      dtype: of the computation.

    Source: Ballas et al. 2016, section 3.1 (GRU-RCN). One convolution of state and inputs side by side is
    the sum of theirs of each.
    """

    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, state: jax.Array, inputs: jax.Array) -> jax.Array:
        features = state.shape[-1]
        both = jnp.concatenate([state, inputs], axis=-1)
        gates = nn.sigmoid(layers.Conv(2 * features, dtype=self.dtype, name="gates")(both))
        update, reset = jnp.split(gates, 2, axis=-1)
        both = jnp.concatenate([reset * state, inputs], axis=-1)
        candidate = jnp.tanh(layers.Conv(features, dtype=self.dtype, name="candidate")(both))
        return (1.0 - update) * state + update * candidate


class Stroke(nn.Module):
    """One step: (state [B,h,w,F], canvas [B,H,W,C]), latents as a grid [B,h,w,F] -> both anew, and the image.

    Attributes:
      stages: channels of the encoder's stages, and of the decoder's the other way round.
      dtype: of the computation; the canvas keeps its own.
    """

    stages: tuple[int, ...]
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, jax.Array], latents: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        state, canvas = carry
        conv = partial(layers.Conv, kernel_init=nn.initializers.he_normal(), dtype=self.dtype)
        x = jnp.tanh(canvas)
        for i, features in enumerate(self.stages):
            x = layers.shrink(nn.relu(conv(features, name=f"encoder_{i}")(x)))
        state = ConvGRU(self.dtype, name="memory")(state, jnp.concatenate([x, latents], axis=-1))
        x = state
        for i, features in reversed([*enumerate(self.stages)]):
            x = nn.relu(conv(features, name=f"decoder_{i}")(layers.enlarge(x)))
        added = layers.Conv(canvas.shape[-1], dtype=self.dtype, name="added")(x)
        canvas = canvas + added.astype(canvas.dtype)
        return (state, canvas), jnp.tanh(canvas)


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C] in [-1, 1], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      width: channels of the stage next to the image.
      smallest: the smallest grid, which the memory has, is of at least this many pixels a side.
      steps: T, how often the canvas is painted on, 1 or more; all steps share their parameters.
      memory: channels of the memory.
      remat: keep no step's activations for the derivative, but compute them again.
      dtype: of the computation, float32 or bfloat16; parameters and the canvas stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 32
    smallest: int = 4
    steps: int = 5
    memory: int = 64
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.canvases(latents, labels, train=train)[:, -1]

    @nn.compact
    def canvases(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        """The images after each step, [B,T,H,W,C]; the last one is what the generator makes."""
        height, width, _ = self.image_shape
        count = layers.at_least_one_doubling(self.image_shape, self.smallest)
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected 1 or more.")
        codes = layers.label_codes(labels, self.num_classes)
        x = latents if codes is None else jnp.concatenate([latents, codes], axis=-1)
        grid = (height >> count, width >> count, self.memory)
        # What the memory starts from is also what it is told at each step.
        x = jnp.tanh(nn.Dense(math.prod(grid), dtype=self.dtype)(x)).reshape(-1, *grid)
        stages = tuple(dcgan.widths(self.width, count))
        canvas = jnp.zeros((len(x), *self.image_shape), latents.dtype)
        # Not `nn.scan`: XLA's CPU backend crawls on convolutions in a loop, 70 times slower, and JAX 0.10
        # refuses second derivatives of convolutions through it: see `bilinear`.
        paint = layers.rematerialised(Stroke, self.remat)(stages, self.dtype, name="stroke")
        carry, images = (x, canvas), list[jax.Array]()
        for _ in range(self.steps):
            carry, image = paint(carry, x)
            images.append(image)
        return jnp.stack(images, axis=1)
