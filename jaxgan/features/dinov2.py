"""DINOv2: features of a vision transformer trained without labels, when its weights are given."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxgan.data.transforms import resize
from jaxgan.features.extractors import Extractor, as_colour, digest_of
from jaxgan.files import AnyPath
from jaxgan.interop import files, tables
from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import CONV, DENSE
from jaxgan.models import layers

SIZE, PATCH = 224, 14  # pixels a side, of images and of a token
GRID = SIZE // PATCH
HEAD = 64  # numbers of a token that attend by themselves, in networks of all sizes
RATIO = 4  # of a hidden layer to a token
EPSILON = 1e-6  # of normalisation
OFFSET = 0.1  # of the published code, which adds it to the grid's side when it interpolates positions
SHARPNESS = -0.75  # PyTorch's parameter of bicubic interpolation
DEEPEST = 64  # blocks; the largest network published has 40
# Of images in [0, 255]: ImageNet's.
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
# Their names in a block, and ours.
SCALED = {"norm1": "attention_norm", "norm2": "perceptron_norm"}
DENSES = {"attn.qkv": "attention", "attn.proj": "attended", "mlp.fc1": "hidden", "mlp.fc2": "out"}
GAINS = {"ls1.gamma": "attention_gain", "ls2.gamma": "perceptron_gain"}


class Block(nn.Module):
    """Attention and a perceptron, each added to tokens [B,T,F] with a learned gain."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        b, t, width = tokens.shape
        normalised = nn.LayerNorm(EPSILON, name="attention_norm")(tokens)
        parts = nn.Dense(3 * width, name="attention")(normalised).reshape(b, t, 3, -1, HEAD)
        found = jax.nn.dot_product_attention(*(parts[:, :, i] for i in range(3))).reshape(b, t, width)
        tokens += self._gain("attention_gain", width) * nn.Dense(width, name="attended")(found)
        hidden = nn.Dense(RATIO * width, name="hidden")(nn.LayerNorm(EPSILON, name="perceptron_norm")(tokens))
        found = nn.Dense(width, name="out")(nn.gelu(hidden, approximate=False))
        return tokens + self._gain("perceptron_gain", width) * found

    def _gain(self, name: str, width: int) -> jax.Array:
        return self.param(name, nn.initializers.ones, (width,))


class Transformer(nn.Module):
    """Images [B,H,W,3], normalised, to the class token [B,width] after the last normalisation."""

    width: int
    depth: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        normal = nn.initializers.normal(0.02)
        patches = layers.Conv(self.width, (PATCH, PATCH), PATCH, ((0, 0), (0, 0)), name="patches")(images)
        tokens = patches.reshape(len(images), -1, self.width)
        first = self.param("class_token", normal, (1, 1, self.width))
        tokens = jnp.concatenate([jnp.broadcast_to(first, (len(images), 1, self.width)), tokens], axis=1)
        tokens += self.param("positions", normal, (1, tokens.shape[1], self.width))
        for i in range(self.depth):
            tokens = Block(name=f"block_{i}")(tokens)
        return nn.LayerNorm(EPSILON, name="norm")(tokens)[:, 0]


def dinov2(weights: AnyPath) -> Extractor:
    """DINOv2's class token as features.

    Args:
      weights: a state dict of ViT-S/14, B/14 or L/14 without registers, as published ('cls_token',
        'blocks.0.attn.qkv.weight'), as .safetensors, .npz or of torch.save. Width and depth are read off it.

    Returns:
      An extractor of images [B,H,W,1 or 3] of any size, called by its width: "dinov2-384" is ViT-S/14,
      "dinov2-768" B/14, "dinov2-1024" L/14. Images are brought to 224x224 by bicubic interpolation (Keys, a =
      -0.5), antialiased where they are shrunk, and clipped, which is Pillow's but for rounding.

    Raises:
      WeightsError: the file is damaged, or its weights are not of such a network.
      OSError: it cannot be read.

    Source: Oquab et al. 2024 (DINOv2), Dosovitskiy et al. 2021 (the transformer), Touvron et al. 2021 (its
    gains, of CaiT). Positions are interpolated from the file's grid as the published code does it.
    """
    arrays = {name: array for name, array in files.read(weights).items() if name != "mask_token"}
    network: Any = _network_of(arrays)
    arrays["pos_embed"] = interpolated(arrays["pos_embed"], GRID)
    like = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    variables, _ = tables.take(_table(network), arrays, tables.template(network, like))

    def apply(variables: Any, images: jax.Array) -> jax.Array:
        seen = jnp.clip(resize(as_colour(images).astype(jnp.float32), (SIZE, SIZE)), 0.0, 255.0)
        return network.apply(variables, (seen - jnp.array(MEAN)) / jnp.array(DEVIATION), train=False)

    return Extractor(
        name=f"dinov2-{network.width}",
        digest=digest_of(variables),
        resize=f"to {SIZE}x{SIZE}, bicubic, antialiased",
        size=network.width,
        variables=variables,
        apply=apply,
    )


def interpolated(positions: np.ndarray, side: int) -> np.ndarray:
    """Embeddings of positions [1,1+h*h,F], the class token's first, for a grid of another side: [1,1+s*s,F].

    Bicubic, beyond the edges as at them, and no antialiasing: what `torch.nn.functional.interpolate` makes of
    the scale (s + 0.1) / h, so that places are not quite those of the grid's ends.
    """
    old = round((positions.shape[1] - 1) ** 0.5)
    if old == side:
        return positions
    grid = positions[0, 1:].reshape(old, old, -1).astype(np.float64)
    weights = _cubic(old, side)
    made = np.einsum("yi,xj,ijf->yxf", weights, weights, grid, optimize=True).reshape(1, side * side, -1)
    return np.concatenate([positions[:, :1], made.astype(positions.dtype)], axis=1)


def _cubic(old: int, new: int) -> np.ndarray:
    """How much each of `old` pixels counts for each of `new`: [new,old]. Source: Keys 1981, eq. 15."""
    centres = (np.arange(new) + 0.5) * old / (new + OFFSET) - 0.5
    weights = np.zeros((new, old))
    for step in range(-1, 3):
        place = np.floor(centres) + step
        x, a = np.abs(centres - place), SHARPNESS
        near, far = ((a + 2) * x - (a + 3)) * x**2 + 1, ((x - 5) * x + 8) * x * a - 4 * a
        np.add.at(
            weights,
            (np.arange(new), np.clip(place, 0, old - 1).astype(int)),
            np.where(x <= 1, near, np.where(x < 2, far, 0.0)),
        )
    return weights


def _network_of(arrays: Mapping[str, np.ndarray]) -> Transformer:
    """The network whose weights these are, by their names and shapes."""
    shapes = {name: arrays[name].shape if name in arrays else () for name in ("cls_token", "pos_embed")}
    token, positions = shapes.values()
    depth = len({match[1] for match in map(re.compile(r"blocks\.(\d+)\.").match, arrays) if match})
    square = len(positions) == 3 and round((positions[1] - 1) ** 0.5) ** 2 == positions[1] - 1 > 0
    if len(token) != 3 or token[2] % HEAD or not square or not 0 < depth <= DEEPEST:
        raise WeightsError(
            f"Among {len(arrays)} arrays of {depth} blocks are {shapes}; expected those of DINOv2: cls_token "
            f"[1,1,F], F a multiple of {HEAD}, pos_embed [1,1+h*h,F], and up to {DEEPEST} blocks."
        )
    return Transformer(token[2], depth)


def _table(network: Transformer) -> tables.Table:
    entries = [
        tables.Entry(("params.class_token",), ("cls_token",)),
        tables.Entry(("params.positions",), ("pos_embed",)),
        *tables.layer("patches", "patch_embed.proj", CONV),
        *_norm("norm", "norm"),
    ]
    for i in range(network.depth):
        for theirs, ours in DENSES.items():
            entries += tables.layer(f"block_{i}.{ours}", f"blocks.{i}.{theirs}", DENSE)
        for theirs, ours in SCALED.items():
            entries += _norm(f"block_{i}.{ours}", f"blocks.{i}.{theirs}")
        entries += [
            tables.Entry((f"params.block_{i}.{ours}",), (f"blocks.{i}.{theirs}",))
            for theirs, ours in GAINS.items()
        ]
    return tuple(entries)


def _norm(ours: str, theirs: str) -> tables.Table:
    return (
        tables.Entry((f"params.{ours}.scale",), (f"{theirs}.weight",)),
        tables.Entry((f"params.{ours}.bias",), (f"{theirs}.bias",)),
    )
