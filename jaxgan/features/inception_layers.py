"""The layers of the Inception network of 2015-12-05: names, shapes, and how files have them.

Ours are called as in its TensorFlow graph, with '_' for '/', and are a convolution's kernel [h,w,I,O] and
bias [O]; batch normalisation is folded into them.

Source: Szegedy et al. 2016, table 1 and figures 5 to 7, with the numbers of channels of the published graph.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.features import weights
from jaxgan.files import AnyPath
from jaxgan.interop import files, tables
from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import CONV, DENSE, NOTHING, SAME, Rule
from jaxgan.interop.tables import Entry, Table

Variables = Mapping[str, Mapping[str, jax.Array | np.ndarray]]
EPSILON = 0.001  # of batch normalisation
SOFTMAX = "softmax"
# Of a block: how ours is called, how pytorch-fid's, and the kernel (h, w, I, O).
Layers = dict[str, tuple[str, tuple[int, ...]]]


def _a(inputs: int, pooled: int) -> Layers:
    return {
        "conv": ("branch1x1", (1, 1, inputs, 64)),
        "tower_conv": ("branch5x5_1", (1, 1, inputs, 48)),
        "tower_conv_1": ("branch5x5_2", (5, 5, 48, 64)),
        "tower_1_conv": ("branch3x3dbl_1", (1, 1, inputs, 64)),
        "tower_1_conv_1": ("branch3x3dbl_2", (3, 3, 64, 96)),
        "tower_1_conv_2": ("branch3x3dbl_3", (3, 3, 96, 96)),
        "tower_2_conv": ("branch_pool", (1, 1, inputs, pooled)),
    }


def _b(inputs: int) -> Layers:
    return {
        "conv": ("branch3x3", (3, 3, inputs, 384)),
        "tower_conv": ("branch3x3dbl_1", (1, 1, inputs, 64)),
        "tower_conv_1": ("branch3x3dbl_2", (3, 3, 64, 96)),
        "tower_conv_2": ("branch3x3dbl_3", (3, 3, 96, 96)),
    }


def _c(width: int) -> Layers:
    return {
        "conv": ("branch1x1", (1, 1, 768, 192)),
        "tower_conv": ("branch7x7_1", (1, 1, 768, width)),
        "tower_conv_1": ("branch7x7_2", (1, 7, width, width)),
        "tower_conv_2": ("branch7x7_3", (7, 1, width, 192)),
        "tower_1_conv": ("branch7x7dbl_1", (1, 1, 768, width)),
        "tower_1_conv_1": ("branch7x7dbl_2", (7, 1, width, width)),
        "tower_1_conv_2": ("branch7x7dbl_3", (1, 7, width, width)),
        "tower_1_conv_3": ("branch7x7dbl_4", (7, 1, width, width)),
        "tower_1_conv_4": ("branch7x7dbl_5", (1, 7, width, 192)),
        "tower_2_conv": ("branch_pool", (1, 1, 768, 192)),
    }


def _d(inputs: int) -> Layers:
    return {
        "tower_conv": ("branch3x3_1", (1, 1, inputs, 192)),
        "tower_conv_1": ("branch3x3_2", (3, 3, 192, 320)),
        "tower_1_conv": ("branch7x7x3_1", (1, 1, inputs, 192)),
        "tower_1_conv_1": ("branch7x7x3_2", (1, 7, 192, 192)),
        "tower_1_conv_2": ("branch7x7x3_3", (7, 1, 192, 192)),
        "tower_1_conv_3": ("branch7x7x3_4", (3, 3, 192, 192)),
    }


def _e(inputs: int) -> Layers:
    return {
        "conv": ("branch1x1", (1, 1, inputs, 320)),
        "tower_conv": ("branch3x3_1", (1, 1, inputs, 384)),
        "tower_mixed_conv": ("branch3x3_2a", (1, 3, 384, 384)),
        "tower_mixed_conv_1": ("branch3x3_2b", (3, 1, 384, 384)),
        "tower_1_conv": ("branch3x3dbl_1", (1, 1, inputs, 448)),
        "tower_1_conv_1": ("branch3x3dbl_2", (3, 3, 448, 384)),
        "tower_1_mixed_conv": ("branch3x3dbl_3a", (1, 3, 384, 384)),
        "tower_1_mixed_conv_1": ("branch3x3dbl_3b", (3, 1, 384, 384)),
        "tower_2_conv": ("branch_pool", (1, 1, inputs, 192)),
    }


def _block(ours: str, theirs: str, layers: Layers) -> Layers:
    return {f"{ours}_{name}": (f"{theirs}.{other}", shape) for name, (other, shape) in layers.items()}


# By the size of the features that they end in: each stage goes on from the one before.
STAGES: dict[int, Layers] = {
    64: {
        "conv": ("Conv2d_1a_3x3", (3, 3, 3, 32)),
        "conv_1": ("Conv2d_2a_3x3", (3, 3, 32, 32)),
        "conv_2": ("Conv2d_2b_3x3", (3, 3, 32, 64)),
    },
    192: {
        "conv_3": ("Conv2d_3b_1x1", (1, 1, 64, 80)),
        "conv_4": ("Conv2d_4a_3x3", (3, 3, 80, 192)),
    },
    768: {
        **_block("mixed", "Mixed_5b", _a(192, pooled=32)),
        **_block("mixed_1", "Mixed_5c", _a(256, pooled=64)),
        **_block("mixed_2", "Mixed_5d", _a(288, pooled=64)),
        **_block("mixed_3", "Mixed_6a", _b(288)),
        **_block("mixed_4", "Mixed_6b", _c(128)),
        **_block("mixed_5", "Mixed_6c", _c(160)),
        **_block("mixed_6", "Mixed_6d", _c(160)),
        **_block("mixed_7", "Mixed_6e", _c(192)),
    },
    2048: {
        **_block("mixed_8", "Mixed_7a", _d(768)),
        **_block("mixed_9", "Mixed_7b", _e(1280)),
        **_block("mixed_10", "Mixed_7c", _e(2048)),
        SOFTMAX: ("fc", (2048, 1008)),
    },
}  # fmt: skip


class Read(NamedTuple):
    """Weights of a file, in float32: by layer, `kernel` and `bias`; and the sizes of features they make."""

    variables: Variables
    sizes: tuple[int, ...]


def read(path: AnyPath) -> Read:
    """The weights of a file: pytorch-fid's .pth, or one of ours (`<layer>/w`, `<layer>/b`).

    One of ours may end after any stage; .npz (of any float type) and .safetensors are read.

    Raises:
      WeightsError: it is damaged, or of another network: names and shapes are listed.
      OSError: it cannot be read.
    """
    try:
        found = files.read(path)
        theirs = any(name.startswith("Conv2d_1a_3x3") for name in found)
        sizes = tuple(STAGES) if theirs else _begun(found)
        layers = {name: layer for size in sizes for name, layer in STAGES[size].items()}
        table = _theirs(layers) if theirs else _ours(layers)
        return Read(tables.take(table, found, _shapes(layers))[0], sizes)
    except WeightsError as error:
        told = str(error).removeprefix(f"{path}: ")
        raise WeightsError(f"{path}, of SHA-256 {weights.digest(path)}: {told}") from None


def _begun(found: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The stages up to the last that a file of ours has layers of, and the first in any case."""
    held = [any(f"{name}/w" in found for name in stage) for stage in STAGES.values()]
    return tuple(STAGES)[: max([1, *(count for count, has in enumerate(held, 1) if has)])]


def named(variables: Variables) -> dict[str, np.ndarray]:
    """Variables under the names that a file of ours has."""
    leaf = {"kernel": "w", "bias": "b"}
    return {
        f"{name}/{leaf[each]}": np.asarray(array)
        for name, layer in variables.items()
        for each, array in layer.items()
    }


def _shapes(layers: Layers) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    return {
        name: {
            "kernel": jax.ShapeDtypeStruct(shape, np.float32),
            "bias": jax.ShapeDtypeStruct(shape[-1:], np.float32),
        }
        for name, (_, shape) in layers.items()
    }


def _ours(layers: Layers) -> Table:
    leaves = {"kernel": "w", "bias": "b"}
    return tuple(
        Entry((f"{name}.{ours}",), (f"{name}/{theirs}",))
        for name in layers
        for ours, theirs in leaves.items()
    )


def _theirs(layers: Layers) -> Table:
    return tuple(entry for name, (theirs, _) in layers.items() for entry in _entries(name, theirs))


def _entries(name: str, theirs: str) -> Iterator[Entry]:
    """A layer of PyTorch's: a convolution without bias and its batch normalisation, or a dense layer."""
    if name == SOFTMAX:
        yield Entry((f"{name}.kernel",), (f"{theirs}.weight",), DENSE)
        yield Entry((f"{name}.bias",), (f"{theirs}.bias",), SAME)
        return
    parts = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    names = tuple(f"{theirs}.{part}" for part in parts)
    yield Entry((f"{name}.kernel", f"{name}.bias"), names, FOLDED)
    yield Entry((), (f"{theirs}.bn.num_batches_tracked",), NOTHING, optional=True, kept=1)


def _fold(
    kernel: np.ndarray, scale: np.ndarray, offset: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, ...]:
    """A convolution and the batch normalisation after it as one with bias, in float64 until the end."""
    gain = np.asarray(scale, np.float64) / np.sqrt(np.asarray(variance, np.float64) + EPSILON)
    folded = kernel * gain[:, None, None, None]
    return CONV.ours(folded.astype(np.float32))[0], (offset - mean * gain).astype(np.float32)


def _unfold(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same with a normalisation that only adds the bias."""
    ones = np.ones_like(bias)
    return CONV.theirs(kernel)[0], ones, bias, 0 * bias, ones - np.float32(EPSILON)


FOLDED = Rule(_fold, _unfold)
