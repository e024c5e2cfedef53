"""Weights and inputs that both sides of the parity tests draw: `benchmarks/parity.py` and test_interop.py."""

import zlib
from collections.abc import Mapping

import numpy as np

VECTORS = ("u0", "sn_u", "weight_u")
POSITIVE = ("running_var", "stored_var", "sv0", "sn_sigma")


def drawn(name: str, *shape: int) -> np.ndarray:
    """Normal numbers, float32, that depend on a name alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return np.asarray(rng.normal(size=shape), np.float32)


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict of these shapes, whose layers neither fade nor grow."""
    found: dict[str, np.ndarray] = {}
    equalised = any(name.endswith("resample_filter") for name in shapes)
    for name, shape in shapes.items():
        leaf, values = name.rpartition(".")[2], drawn(name, *shape)
        if leaf == "num_batches_tracked":
            found[name] = np.asarray(3)
        elif leaf in POSITIVE:
            found[name] = 0.5 + np.abs(values)
        elif leaf == "resample_filter":
            found[name] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
        elif leaf in VECTORS:
            found[name] = values / np.linalg.norm(values)
        elif equalised:
            found[name] = np.asarray((100 if ".fc" in name and "mapping" in name else 1) * values)
        elif len(shape) > 1:
            found[name] = values / np.sqrt(np.prod(shape[1:]), dtype=np.float32)
        else:
            found[name] = np.asarray(0.5 + 0.3 * values)
    for name, shape in shapes.items():  # where theirs is not ours, but where the power iteration ends
        if name.endswith(("weight_u", "embed.u0")):
            kernel = found[f"{name.rpartition('.')[0]}.{'weight' if name.endswith('u0') else 'weight_orig'}"]
            left, _, right = np.linalg.svd(kernel.reshape(len(kernel), -1))
            found[name] = left[:, 0].reshape(shape)
            if name.endswith("weight_u"):
                found[name.replace("weight_u", "weight_v")] = right[0]
    return found
