"""jaxgan's figures of features against those of torch-fidelity and pytorch-fid, on the same features.

`python -m benchmarks.agreement_features --peers_python=PATH [--sizes=64,768] [--counts=500,5000]`

PATH is a python that has both packages, with PyTorch. Features are drawn here, float32, independent or
correlated; the second set is wider and shifted. The Inception Score takes 20 times the first for logits.
Subsets of KID have 1,000 samples, or half as many as there are. Printed is a markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgan import metrics
from jaxgan.metrics import Moments

ROOT = Path(__file__).parents[1]
SUBSET = 1000


def draw(kind: str, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features, float32 [count,size], not below 0 as Inception's are."""
    random = np.random.default_rng(0)
    mixing = np.eye(size)
    if kind == "correlated":  # eigenvalues fall as powers, as those of networks' features do
        rotation = np.linalg.qr(random.normal(size=(size, size)))[0]
        mixing = rotation * np.arange(1, size + 1) ** -0.5
    sets = (
        scale * random.normal(size=(count, size)) @ mixing.T + shift for scale, shift in ((1, 0), (1.1, 0.1))
    )
    first, second = (np.maximum(x, 0.0).astype(np.float32) for x in sets)
    return first, second


def figures(first: np.ndarray, second: np.ndarray, logits: np.ndarray, size: int) -> dict[str, float]:
    """Ours, by the names of the peers'."""
    kernel, score = metrics.kernel_distance(first, second, size=size), metrics.inception_score(logits)
    return {
        "FID": metrics.frechet_distance(Moments.of(first), Moments.of(second)),
        "KID": kernel.value,
        "KID's deviation": kernel.deviation,
        "IS": score.value,
        "IS's deviation": score.deviation,
    }


def compare(paths: list[Path], python: str) -> Iterator[tuple[dict[str, float], dict[str, dict[str, float]]]]:
    """Ours and the peers' figures of each file."""
    command = [python, "-m", "benchmarks.peers.features", *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as peers:
        assert peers.stdout
        for path in paths:
            line = peers.stdout.readline()
            if not line:
                raise SystemExit(f"{' '.join(command)} ended with {peers.wait()}; its error is above.")
            with np.load(path) as file:
                given = file["first"], file["second"], file["logits"], int(file["size"])
            yield figures(*given), json.loads(line)


def main() -> None:
    """Prints the table."""
    numbers = lambda text: [int(x) for x in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers_python", default=sys.executable)
    parser.add_argument("--sizes", type=numbers, default=[64, 768])
    parser.add_argument("--counts", type=numbers, default=[500, 5000])
    options = parser.parse_args()
    cases = [(k, d, n) for k in ("independent", "correlated") for d in options.sizes for n in options.counts]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.npz" for i in range(len(cases))]
        for path, (kind, size, count) in zip(paths, cases, strict=True):
            first, second = draw(kind, size, count)
            np.savez(path, first=first, second=second, logits=20 * first, size=min(SUBSET, count // 2))
        print("| features | D | N | figure | jaxgan | peer | its value | relative difference |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for case, (ours, theirs) in zip(cases, compare(paths, options.peers_python), strict=True):
            for figure, values in theirs.items():
                for peer, value in values.items():
                    row = (*case, figure, f"{ours[figure]:.9g}", peer, f"{value:.9g}")
                    print(
                        f"| {' | '.join(map(str, row))} | {abs(ours[figure] / value - 1):.1e} |", flush=True
                    )


if __name__ == "__main__":
    main()
