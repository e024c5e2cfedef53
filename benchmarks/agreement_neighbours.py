"""Figures of neighbours and of images against images, beside those of others' packages, of the same arrays.

`python benchmarks/agreement_neighbours.py --peers_python=PATH`

PATH is a python that has prdc, torch-fidelity, scikit-image and pytorch-msssim; it works in its own process.
Printed is a markdown table: for each case and figure ours, the peer's, and the difference. Features are
Gaussian; correlated ones have spectra that fall off, and means far from 0 as features have after ReLU. Images
are of waves and noise, in float64 for peers; ours are float32, as in use.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgan import metrics

PEER = Path(__file__).parent / "peers" / "figures.py"
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers_python", required=True)
    options = parser.parse_args()
    cases = _features() | _images()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "arrays.npz")
        arrays: Any = {f"{name}/{i}": x for name, pair in cases.items() for i, x in enumerate(pair)}
        np.savez(path, **arrays)
        command = [options.peers_python, str(PEER), str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print("| case | figure, peer | ours | peer's | difference |\n| --- | --- | --- | --- | --- |")
    for case, figures in json.loads(done.stdout).items():
        ours = (_of_features if cases[case][0].ndim == 2 else _of_images)(*cases[case])
        for figure, value in figures.items():
            mine = ours[figure.partition(",")[0]]
            print(f"| {case} | {figure} | {mine:.9g} | {value:.9g} | {mine - value:.1e} |")


def _features() -> Arrays:
    """Reals and fakes, by case."""
    cases, random = {}, np.random.default_rng(0)
    for kind, reals, fakes, size in (("plain", 500, 400, 16), ("correlated", 2000, 1500, 256)):
        real, fake = (random.normal(size=(count, size)) for count in (reals, fakes))
        if kind == "correlated":
            mixing = random.normal(size=(size, size)) / np.arange(1, size + 1)[:, None]
            real, fake = real @ mixing + 20, 0.9 * fake @ mixing + 20.3
        for dtype in (np.float32, np.float64):
            name = f"{kind} {reals}x{size} and {fakes}x{size} {np.dtype(dtype).name}"
            cases[name] = real.astype(dtype), fake.astype(dtype)
    return cases


def _images() -> Arrays:
    """Pairs of images [H,W,C] in [0, 255], by case."""
    cases, random = {}, np.random.default_rng(0)
    for shape in ((37, 24, 1), (64, 48, 3), (176, 208, 3)):
        y, x, c = np.ogrid[: shape[0], : shape[1], : shape[2]]
        image = 127.5 + 55 * np.sin(0.2 * x + 0.003 * y**2 + c) + 55 * np.cos(0.15 * y)
        for deviation in (1, 20):
            noise = deviation * random.normal(size=shape)
            name = "image " + "x".join(map(str, shape)) + f", noise of {deviation}"
            cases[name] = image, np.clip(image + noise, 0, 255)
    return cases


def _of_features(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    manifolds, found = [metrics.manifold(features) for features in (real, fake)], {}
    for k in (3, 5):
        overlap = metrics.overlap(*manifolds, k=k)
        for name in ("precision", "recall", "density", "coverage"):
            found[f"{name} k={k}"] = getattr(overlap, name)
    return found


def _of_images(image: np.ndarray, target: np.ndarray) -> dict[str, float]:
    pair = [jnp.float32(x)[None] for x in (image, target)]
    measures = [metrics.psnr, metrics.ssim] + [metrics.ms_ssim] * (min(image.shape[:2]) > 160)
    return {measure.__name__: float(measure(*pair, peak=255)[0]) for measure in measures}


if __name__ == "__main__":
    main()
