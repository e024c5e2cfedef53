"""Plain transformers on patches: of images, or of the latents of an autoencoder as images of their own.

Sources: blocks of Dosovitskiy et al. 2021 (ViT), section 3.1, with root mean square normalisation (Zhang &
Sennrich 2019) and queries and keys normalised in each head (Dehghani et al. 2023, section 2). The tokens of
the generator start as positions, and the latents reach it through adaptive normalisation alone: Lee et al.
2022 (ViTGAN), section 4.2, with the gates of Peebles & Xie 2023 (DiT), section 3.2, that open from zero.
Plain transformers for both players, in the latents of an autoencoder, are those of Hyun et al. 2025 (scalable
GANs with transformers). Departures: pixels come linearly from tokens, and not from ViTGAN's implicit
function; the discriminator reads the mean of all tokens, and not a class token; Lipschitz bounds are left to
gradient penalties; none of the intermediate images of Hyun et al.

Attention is XLA's and not cuDNN's fused one, which has no second derivative, as gradient penalties need.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

RATIO = 4  # of a hidden layer to a token: Dosovitskiy et al. 2021, table 1
WAVELENGTHS = 10_000.0  # from 2 pi to so many times that: Vaswani et al. 2017, section 3.5


def cut(images: jax.Array, patch: int) -> jax.Array:
    """Images as a grid of patches: [B,H,W,C] -> [B,H/patch,W/patch,patch*patch*C]."""
    b, height, width, channels = images.shape
    grid = height // patch, width // patch
    pieces = images.reshape(b, grid[0], patch, grid[1], patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return pieces.reshape(b, *grid, patch * patch * channels)


def join(patches: jax.Array, patch: int) -> jax.Array:
    """A grid of patches as images, the inverse of `cut`: [B,h,w,patch*patch*C] -> [B,h*patch,w*patch,C]."""
    b, h, w, _ = patches.shape
    pieces = patches.reshape(b, h, w, patch, patch, -1).transpose(0, 1, 3, 2, 4, 5)
    return pieces.reshape(b, h * patch, w * patch, -1)


def waves(grid: tuple[int, int], features: int) -> jax.Array:
    """Sines and cosines of a grid's rows and columns, a quarter of the features each: [h*w,features]."""
    frequencies = WAVELENGTHS ** -jnp.linspace(0.0, 1.0, features // 4)
    places = jnp.stack(jnp.meshgrid(*map(jnp.arange, grid), indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = (places * frequencies).reshape(len(places), -1)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def grid_of(
    image_shape: tuple[int, int, int], patch: int, width: int, attention_heads: int
) -> tuple[int, int]:
    """(h, w), the patches of an image.

    Raises:
      ValueError: patches that do not tile the images, or a token that positions or heads cannot share.
    """
    height, across, _ = image_shape
    if patch < 1 or height % patch or across % patch:
        raise ValueError(
            f"patch is {patch}, and {height}x{across} pixels cannot be cut into squares of it; expected a "
            "divisor of both."
        )
    if width % 4 or attention_heads < 1 or width % attention_heads:
        raise ValueError(
            f"width is {width} and attention_heads is {attention_heads}; expected a width that divides by "
            "4, for positions, and by the heads."
        )
    return height // patch, across // patch


class Positions(nn.Module):
    """Learned positions [h*w,features] of a grid's tokens; they start as waves."""

    grid: tuple[int, int]
    features: int

    @nn.compact
    def __call__(self) -> jax.Array:
        return self.param("embedding", lambda key: waves(self.grid, self.features))


class AdaptiveNorm(nn.Module):
    """Normalisation of tokens [B,T,F], gain and bias linear in a condition [B,K]; without, a learned gain.

    Source: Lee et al. 2022, section 4.2 (self-modulation).
    """

    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, tokens: jax.Array, condition: jax.Array | None) -> jax.Array:
        normalised = nn.RMSNorm(use_scale=condition is None, dtype=self.dtype)(tokens)
        if condition is None:
            return normalised
        dense = partial(nn.Dense, tokens.shape[-1], dtype=self.dtype)
        gain, bias = dense(name="gain")(condition), dense(name="bias")(condition)
        return normalised * (1.0 + gain)[:, None] + bias[:, None]


class Block(nn.Module):
    """Attention and a perceptron, each added to tokens [B,T,F]; of a condition [B,K], at first nothing is.

    Attributes:
      attention_heads: parts of a token that attend by themselves.
      dtype: of the computation.
    """

    attention_heads: int
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, tokens: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        attention = nn.MultiHeadAttention(
            self.attention_heads,
            dtype=self.dtype,
            normalize_qk=True,
            force_fp32_for_softmax=self.dtype == jnp.bfloat16,
            name="attention",
        )
        normalised = AdaptiveNorm(self.dtype, name="attention_norm")(tokens, condition)
        tokens = tokens + self._gate(attention(normalised), condition, name="attention_gate")
        normalised = AdaptiveNorm(self.dtype, name="perceptron_norm")(tokens, condition)
        hidden = nn.Dense(RATIO * tokens.shape[-1], dtype=self.dtype, name="hidden")(normalised)
        found = nn.Dense(tokens.shape[-1], dtype=self.dtype, name="out")(nn.gelu(hidden))
        return tokens + self._gate(found, condition, name="perceptron_gate")

    def _gate(self, found: jax.Array, condition: jax.Array | None, *, name: str) -> jax.Array:
        """What is added to tokens, times gates that are linear in the condition and start at zero."""
        if condition is None:
            return found
        zeros = nn.initializers.zeros
        return (
            found
            * nn.Dense(found.shape[-1], kernel_init=zeros, dtype=self.dtype, name=name)(condition)[:, None]
        )


class Generator(nn.Module):
    """Latents [B,Z] and labels [B] (or None) to images [B,H,W,C], float32, in [-1, 1] or unbounded.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      width: features of a token.
      depth: blocks.
      attention_heads: parts of a token that attend by themselves.
      patch: pixels a side that make a token.
      squash: end in tanh, for images in [-1, 1]; without, for the latents of an autoencoder.
      remat: compute the blocks' activations anew for derivatives.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    width: int = 384
    depth: int = 12
    attention_heads: int = 6
    patch: int = 2
    squash: bool = True
    remat: bool = False
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        grid = grid_of(self.image_shape, self.patch, self.width, self.attention_heads)
        condition = self._mapping(latents, layers.label_codes(labels, self.num_classes))
        tokens = Positions(grid, self.width, name="positions")().astype(condition.dtype)
        tokens = jnp.broadcast_to(tokens, (len(latents), *tokens.shape))
        block = layers.rematerialised(Block, self.remat)
        for i in range(self.depth):
            tokens = block(self.attention_heads, self.dtype, name=f"block_{i}")(tokens, condition)
        # Not gated, so that images depend on the latents from the beginning.
        tokens = AdaptiveNorm(self.dtype, name="norm")(tokens, condition)
        pixels = nn.Dense(self.patch**2 * self.image_shape[-1], dtype=self.dtype, name="pixels")(tokens)
        images = join(pixels.reshape(len(latents), *grid, -1), self.patch).astype(latents.dtype)
        return jnp.tanh(images) if self.squash else images

    def _mapping(self, latents: jax.Array, codes: jax.Array | None) -> jax.Array:
        """The condition [B,width]. An embedded class weighs as much as all latents together."""
        dense = partial(nn.Dense, self.width, dtype=self.dtype)
        x = dense(name="latents")(latents)
        if codes is not None:
            x += dense(use_bias=False, kernel_init=nn.initializers.normal(1.0), name="classes")(codes)
        return nn.silu(dense(name="mapping")(nn.silu(x)))


class Discriminator(nn.Module):
    """Images [B,H,W,C] and labels [B] (or None) to logits [B], float32.

    Attributes:
      image_shape: (H, W, C).
      num_classes: 0 for an unconditional network.
      heads: names and sizes of further outputs.
      width: features of a token.
      depth: blocks.
      attention_heads: parts of a token that attend by themselves.
      patch: pixels a side that make a token.
      remat: compute the blocks' activations anew for derivatives.
      dtype: of the computation, float32 or bfloat16; parameters stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 0
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 384
    depth: int = 12
    attention_heads: int = 6
    patch: int = 2
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the blocks' tokens as grids [B,h,w,width], and the further heads' outputs."""
        grid = grid_of(self.image_shape, self.patch, self.width, self.attention_heads)
        layers.check_images(images, self.image_shape)
        patches = cut(images, self.patch).reshape(len(images), grid[0] * grid[1], -1)
        tokens = nn.Dense(self.width, dtype=self.dtype, name="patches")(patches)
        tokens += Positions(grid, self.width, name="positions")().astype(tokens.dtype)
        block, grids = layers.rematerialised(Block, self.remat), list[jax.Array]()
        for i in range(self.depth):
            tokens = block(self.attention_heads, self.dtype, name=f"block_{i}")(tokens)
            grids.append(tokens.reshape(len(images), *grid, -1).astype(images.dtype))
        pooled = AdaptiveNorm(self.dtype, name="norm")(tokens, None).astype(images.dtype).mean(axis=1)
        logits = nn.Dense(1, name="logits")(pooled)[:, 0]
        codes = layers.label_codes(labels, self.num_classes)
        if codes is not None:
            embeddings = nn.Dense(self.width, use_bias=False, name="classes")(codes)
            logits = layers.project(logits, pooled, embeddings)
        heads = {name: nn.Dense(size, name=f"head_{name}")(pooled) for name, size in self.heads}
        return logits, tuple(grids), heads
