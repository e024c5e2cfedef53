"""jaxgan's Inception features against those of torch-fidelity and pytorch-fid, on one set of random weights.

`PYTHONPATH=tests python -m benchmarks.agreement_inception --peers_python=PATH [--count=64] [--fixture=FILE]`

PATH is a python that has both packages, with torchvision and PyTorch. Printed is a table of features and
logits of two pictures, and of distances between two folders of `count` .png files, from file to figure by
each one's own pipeline. Differences are the largest, over the largest number. `--fixture` writes what
tests/test_inception.py holds ours to: some of their features.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np
from inception_state import pictures, state
from PIL import Image

from jaxgan import metrics
from jaxgan.features.inception import inception
from jaxgan.features.inception_layers import STAGES

ROOT = Path(__file__).parents[1]
BATCH = 16
EVERY = 16  # of their features, kept for the test


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers_python", required=True, help="a python that has both packages")
    parser.add_argument("--count", type=int, default=64, help="pictures of a folder")
    parser.add_argument("--fixture", type=Path, help="a .npz file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.count)
        command = [options.peers_python, "-m", "benchmarks.peers.inception", name]
        subprocess.run(command, cwd=ROOT, check=True)
        with np.load(folder / "theirs.npz") as arrays:
            theirs = {name: arrays[name] for name in arrays.files}
        print("| output | theirs, largest | ours, largest | difference |\n| --- | --- | --- | --- |")
        for name, ours in outputs(folder):
            other = theirs[name]
            difference = np.abs(ours - other).max() / np.abs(other).max()
            print(f"| {name} | {other.max():.6g} | {ours.max():.6g} | {difference:.1e} |", flush=True)
    if options.fixture:
        kept = {name: each[:, ::EVERY] for name, each in theirs.items() if "FID" not in name}
        np.savez_compressed(options.fixture, **kept)


def write(folder: Path, count: int) -> None:
    """What both sides read: weights, pictures, and two folders of files, the second's smoother."""
    np.savez(folder / "state.npz", **state())
    np.save(folder / "pictures.npy", pictures())
    random = np.random.default_rng(0)
    for name, size in (("first", 8), ("second", 4)):
        (folder / name).mkdir()
        for index, coarse in enumerate(random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)):
            picture = Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
            picture.save(folder / name / f"{index:05d}.png")


def outputs(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Ours, by the names of theirs."""
    images = np.load(folder / "pictures.npy")
    weights = folder / "weights.pth"
    protocols: tuple[str, ...] = ("tf1", "pytorch-fid")
    for protocol in protocols:
        for size in STAGES:
            extractor = inception(size, weights, resize=protocol)
            compute = partial(jax.jit(extractor.apply), extractor.variables)
            yield f"{protocol} {size}", np.asarray(compute(images))
            moments = [metrics.Moments.of(features(folder / name, compute)) for name in ("first", "second")]
            yield f"{protocol} FID {size}", np.asarray(metrics.frechet_distance(*moments))
    for name, biased in (("logits_unbiased", False), ("logits", True)):
        extractor = inception(2048, weights, biased=biased)
        assert extractor.logits
        yield f"tf1 {name}", np.asarray(jax.jit(extractor.logits)(extractor.variables, images))


def features(folder: Path, compute: Callable[[np.ndarray], jax.Array]) -> np.ndarray:
    """Of a folder's files."""
    images = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
    return np.concatenate([compute(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


if __name__ == "__main__":
    main()
