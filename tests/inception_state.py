"""Weights that both sides of Inception's parity draw: the tests and benchmarks/agreement_inception.py."""

import zlib

import numpy as np

from jaxgan.features.inception_layers import SOFTMAX, STAGES


def drawn(name: str, *shape: int) -> np.ndarray:
    """Normal numbers that depend on a name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)


def state() -> dict[str, np.ndarray]:
    """A state dict of pytorch-fid's network, whose layers do not fade; after He et al. 2015, eq. 10."""
    made: dict[str, np.ndarray] = {}
    for name, (theirs, shape) in [item for stage in STAGES.values() for item in stage.items()]:
        kernel = drawn(theirs, *shape[::-1] if name == SOFTMAX else (*shape[:1:-1], *shape[:2]))
        outputs = shape[-1]
        if name == SOFTMAX:
            made |= {"fc.weight": kernel * outputs**-0.5, "fc.bias": drawn("fc.bias", outputs)}
            continue
        made[f"{theirs}.conv.weight"] = kernel * np.sqrt(2 / np.prod(shape[:3]))
        for leaf in ("weight", "running_var"):
            made[f"{theirs}.bn.{leaf}"] = 1 + 0.2 * np.abs(drawn(f"{theirs}.{leaf}", outputs))
        for leaf in ("bias", "running_mean"):
            made[f"{theirs}.bn.{leaf}"] = 0.1 * drawn(f"{theirs}.{leaf}", outputs)
        made[f"{theirs}.bn.num_batches_tracked"] = np.asarray(0)
    return {k: v if v.dtype == np.int64 else v.astype(np.float32) for k, v in made.items()}


def pictures() -> np.ndarray:
    """Smooth colour images, uint8 [2,40,32,3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (2, 10, 8, 3))
    fine = np.random.default_rng(1).integers(0, 32, (2, 40, 32, 3))
    return np.clip(coarse.repeat(4, axis=1).repeat(4, axis=2) + fine, 0, 255).astype(np.uint8)
