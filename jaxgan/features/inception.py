"""The Inception network of 2015-12-05, by whose features FID, KID and Inception Score are defined."""

import functools
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.features import inception_layers, resizing, weights
from jaxgan.features.extractors import Extractor, as_colour, digest_of
from jaxgan.features.inception_layers import SOFTMAX, STAGES, Variables
from jaxgan.features.resizing import ResizerName
from jaxgan.features.weights import Published
from jaxgan.files import AnyPath
from jaxgan.interop import files
from jaxgan.interop.pickles import WeightsError

SIDE = 299  # pixels
PUBLISHED = Published(
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    95_628_359,
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)


class Protocol(NamedTuple):
    """How images come to the network: a resizer, and pixels p as (p - shift) / scale.

    In TensorFlow's graph black is -1 and white 127/128, in pytorch-fid's white is 1.
    """

    says: str
    resizer: ResizerName
    shift: float
    scale: float


PROTOCOLS: dict[str, Protocol] = {
    "tf1": Protocol("TensorFlow 1's bilinear, (p - 128) / 128", "tf1", 128.0, 128.0),
    "clean": Protocol("clean, Pillow's bicubic, (p - 128) / 128", "clean", 128.0, 128.0),
    "pytorch-fid": Protocol("PyTorch's bilinear, 2 p / 255 - 1", "torch", 127.5, 127.5),
}


def inception(
    size: int = 2048,
    path: AnyPath | None = None,
    *,
    resize: str = "tf1",
    biased: bool = False,
    dtype: Any = jnp.float32,
) -> Extractor:
    """The network with its published weights, or with those of a file.

    Args:
      size: of the features: 64 and 192 (of the grids after the first and the second max pooling), 768 (before
        the branch to the auxiliary classifier) or 2048 (last); means over a grid.
      path: of pytorch-fid's file, or one of ours (`inception_layers.read`), which may hold the first stages
        only; None: pytorch-fid's, from the user's cache folder, or downloaded once.
      resize: 'tf1' as FID is defined and torch-fidelity has it, 'clean' as clean-fid, 'pytorch-fid'.
      biased: logits have the last layer's bias. Inception Score's own code and torch-fidelity leave it out.
      dtype: of the computation; bfloat16 is faster on accelerators, and its features are others.

    Returns:
      Extractor, which calls itself 'inception-2048', with 'biased' or 'bfloat16' after that; it has logits
      [B,1008] if the weights are complete. Its digest is the SHA-256 of the file that weights came in.

    Raises:
      ValueError: an unknown size or protocol.
      WeightsError: the file is damaged, of another network, or ends before these features; or there is no
        way to the published one.
      OSError: it cannot be read.

    Source: Heusel et al. 2017 (FID) and Salimans et al. 2016 (Inception Score) for the network, whose average
    pooling leaves padding out, and whose last block pools by the maximum; Parmar et al. 2022 ('clean').
    """
    if size not in STAGES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, STAGES))}.")
    if resize not in PROTOCOLS:
        raise ValueError(f"resize is {resize!r}, expected one of {', '.join(PROTOCOLS)}.")
    digest = PUBLISHED.digest if path is None else weights.identify(path)
    found = _published() if path is None else inception_layers.read(path)
    if size not in found.sizes:
        raise WeightsError(
            f"{path} has the network up to features of {found.sizes[-1]} numbers, so that those of {size} "
            f"cannot be made: ask for one of {', '.join(map(str, found.sizes))}, or give pytorch-fid's file."
        )
    protocol = PROTOCOLS[resize]
    options = ["biased"] * biased + [jnp.dtype(dtype).name] * (dtype != jnp.float32)

    def apply(variables: Variables, images: jax.Array) -> jax.Array:
        return features(variables, prepare(images, protocol).astype(dtype), size).astype(jnp.float32)

    def logits(variables: Variables, images: jax.Array) -> jax.Array:
        last = features(variables, prepare(images, protocol).astype(dtype), max(STAGES))
        return classify(variables, last, biased=biased).astype(jnp.float32)

    return Extractor(
        name="-".join(["inception", str(size), *options]),
        digest=digest,
        resize=protocol.says,
        size=size,
        variables=jax.tree.map(jnp.asarray, found.variables),
        apply=apply,
        logits=logits if SOFTMAX in found.variables else None,
    )


def prepare(images: jax.Array, protocol: Protocol) -> jax.Array:
    """Images of a size and a range for the network: [B,H,W,1 or 3] in [0, 255] -> [B,299,299,3]."""
    images = as_colour(jnp.asarray(images, jnp.float32))
    images = resizing.resize(images, protocol.resizer, side=SIDE)
    return (images - protocol.shift) / protocol.scale


def _published() -> inception_layers.Read:
    """pytorch-fid's weights, from a file of ours that is made of theirs if there is none that is sound."""
    made = weights.cache() / "inception-2015-12-05.safetensors"
    with suppress(WeightsError, FileNotFoundError):
        found, (_, said) = inception_layers.read(made), files.read_safetensors(made)
        if said.get("arrays") == digest_of(found.variables):
            return found
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as own:  # other processes may download it as well
        theirs = Path(own, Path(PUBLISHED.address).name)
        weights.download(PUBLISHED, theirs)
        found = inception_layers.read(theirs)
    said = {"sha256": PUBLISHED.digest, "arrays": digest_of(found.variables)}
    files.write(made, inception_layers.named(found.variables), metadata=said, overwrite=True)
    return found


def features(variables: Variables, images: jax.Array, size: int) -> jax.Array:
    """Features of images [B,299,299,3] that are prepared -> [B,size]; other sizes from 75 on work too."""
    for ends_in in STAGES:
        images = _GRIDS[ends_in](variables, images)
        if ends_in == size:
            break
    return jnp.mean(images, axis=(1, 2))


def classify(variables: Variables, last: jax.Array, *, biased: bool) -> jax.Array:
    """Logits of features: [B,2048] -> [B,1008]."""
    layer = variables[SOFTMAX]
    return last @ layer["kernel"].astype(last.dtype) + (layer["bias"].astype(last.dtype) if biased else 0)


# The stages, as in `inception_layers.STAGES`: images [B,H,W,C], less and less of them in ever more channels


def _first(variables: Variables, x: jax.Array) -> jax.Array:
    x = _convolve(variables["conv"], x, stride=2, padding="VALID")
    x = _convolve(variables["conv_1"], x, padding="VALID")
    return _pool(jnp.maximum, _convolve(variables["conv_2"], x), stride=2)


def _second(variables: Variables, x: jax.Array) -> jax.Array:
    x = _convolve(variables["conv_3"], x)
    return _pool(jnp.maximum, _convolve(variables["conv_4"], x, padding="VALID"), stride=2)


def _third(variables: Variables, x: jax.Array) -> jax.Array:
    for name in ("mixed", "mixed_1", "mixed_2"):
        x = _mix(variables, name, x)
    x = _shrink(variables, "mixed_3", x)
    for name in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
        x = _mix(variables, name, x)
    return x


def _fourth(variables: Variables, x: jax.Array) -> jax.Array:
    x = _shrink(variables, "mixed_8", x)
    x = _mix(variables, "mixed_9", x)
    return _mix(variables, "mixed_10", x, by_maximum=True)


_GRIDS = {64: _first, 192: _second, 768: _third, 2048: _fourth}


def _mix(variables: Variables, name: str, x: jax.Array, *, by_maximum: bool = False) -> jax.Array:
    """A block of four branches that begin with 1x1 convolutions, of the pooled grid in the last."""
    heads = [variables[f"{name}_{each}"] for each in ("conv", "tower_conv", "tower_1_conv", "tower_2_conv")]
    if by_maximum:
        *straight, pooled = *_project(heads[:3], x), *_project(heads[3:], _pool_around(jnp.maximum, x))
    else:  # a mean of products is a product of means: all four are one product, and fewer channels pooled
        *straight, pooled = _project(heads, x)
        pooled = _average_around(pooled)
    one, *towers, pooled = (_rectify(head, y) for head, y in zip(heads, [*straight, pooled], strict=True))
    towers = [
        _go_on(variables, f"{name}_{each}", y) for each, y in zip(("tower", "tower_1"), towers, strict=True)
    ]
    return jnp.concatenate([one, *towers, pooled], axis=-1)


def _go_on(variables: Variables, tower: str, x: jax.Array) -> jax.Array:
    """What follows the first layer of a tower: further ones, and then two next to each other if it forks."""
    for layer in _following(variables, tower):
        x = _convolve(layer, x)
    fork = [variables[name] for name in (f"{tower}_mixed_conv", f"{tower}_mixed_conv_1") if name in variables]
    return jnp.concatenate([_convolve(layer, x) for layer in fork], axis=-1) if fork else x


def _shrink(variables: Variables, name: str, x: jax.Array) -> jax.Array:
    """A block whose branches end in grids of half the size: convolutions, if only one, and a pooling."""
    branches = []
    if f"{name}_conv" in variables:
        branches.append(_convolve(variables[f"{name}_conv"], x, stride=2, padding="VALID"))
    for tower in (f"{name}_tower", f"{name}_tower_1"):
        if f"{tower}_conv" in variables:
            y = _convolve(variables[f"{tower}_conv"], x)
            *middle, last = _following(variables, tower)
            for layer in middle:
                y = _convolve(layer, y)
            branches.append(_convolve(last, y, stride=2, padding="VALID"))
    return jnp.concatenate([*branches, _pool(jnp.maximum, x, stride=2)], axis=-1)


def _following(variables: Variables, tower: str) -> list[Any]:
    names = (f"{tower}_conv_{i}" for i in range(1, 5))
    return [variables[name] for name in names if name in variables]


# Layers


def _convolve(layer: Any, x: jax.Array, *, stride: int = 1, padding: str = "SAME") -> jax.Array:
    kernel = layer["kernel"].astype(x.dtype)
    y = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return _rectify(layer, y)


def _project(layers: list[Any], x: jax.Array) -> list[jax.Array]:
    """1x1 convolutions of one grid, as one product."""
    kernels = [layer["kernel"][0, 0].astype(x.dtype) for layer in layers]
    ends = np.cumsum([kernel.shape[1] for kernel in kernels])[:-1]
    return jnp.split(x @ jnp.concatenate(kernels, axis=1), ends, axis=-1)


def _rectify(layer: Any, x: jax.Array) -> jax.Array:
    return jax.nn.relu(x + layer["bias"].astype(x.dtype))


def _pool(join: Callable[..., jax.Array], x: jax.Array, *, stride: int) -> jax.Array:
    """3x3, by rows and then columns: XLA's CPU backend is slow at windows, and fast at sums of slices."""
    for axis in (1, 2):
        size = x.shape[axis]
        slices = (jax.lax.slice_in_dim(x, i, size - 2 + i, stride, axis) for i in range(3))
        x = functools.reduce(join, slices)
    return x


def _pool_around(join: Callable[..., jax.Array], x: jax.Array) -> jax.Array:
    """3x3 around every pixel, with zeros beyond the edge, which are none of the largest after a rectifier."""
    return _pool(join, jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), stride=1)


def _average_around(x: jax.Array) -> jax.Array:
    """Means of 3x3 around every pixel, of those that are on the grid."""
    rows, columns = (np.convolve(np.ones(size), np.ones(3), "same") for size in x.shape[1:3])
    counts = np.outer(rows, columns)[..., None].astype(x.dtype)
    return _pool_around(jnp.add, x) / counts
