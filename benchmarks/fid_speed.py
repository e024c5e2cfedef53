"""Images through Inception to FID: jaxgan against pytorch-fid, on one machine in one run.

`PYTHONPATH=tests python -m benchmarks.fid_speed [--peers_python=PATH] [--count=1000] [--side=32]
[--size=2048] [--batch=32] [--rounds=3] [--json=PATH]`

Made are random weights and `count` .png files of random images. The sides read the files, compute features of
299x299 images in float32, and the distance between their first and second half:

- `ours`: `jaxgan.features.inception`, with `make train`'s allocator.
- `written`: pytorch-fid as it comes, 50 images at a time, with as many workers as it takes by itself.
- `best`: the same with its network in channels_last and our allocator's settings.

pytorch-fid's sides need `--peers_python`, a python that has it, torchvision and PyTorch; without it ours runs
alone. A round starts each side in turn, in a process of its own. Printed is a markdown table: medians of
images/s, ours over the others (medians of each round's ratios), seconds of all cores an image, the distance,
the seconds that it takes, the peak of the process's memory (without that of pytorch-fid's workers), and the
seconds from the process's start to its first batch, in which ours compiles. PyTorch's threads wait for each
other at each operation and lose more than ours to other work: believe ratios of an idle machine, or else,
under `taskset -c 0`, the cores' seconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.train_step import ALLOCATOR, PAUSE, ROOT

OURS, WRITTEN, BEST = "ours", "written", "best"


def main() -> None:
    """Prints the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), options.count, options.side)
        measured = measure(Path(name), options)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    print(table(measured))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers_python", help="a python that has pytorch-fid")
    parser.add_argument("--count", type=int, default=1000, help="images")
    parser.add_argument("--side", type=int, default=32, help="of an image, in pixels")
    parser.add_argument("--size", type=int, default=2048, help="of the features")
    parser.add_argument("--batch", type=int, default=32, help="images that ours takes at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="a file to write all measurements to")
    return parser.parse_args()


def prepare(folder: Path, count: int, side: int) -> None:
    """What the sides read: FOLDER/state.npz and FOLDER/images/*.png."""
    from inception_state import state  # of the tests, which draw the same weights

    arrays: dict[str, Any] = state()
    np.savez(folder / "state.npz", **arrays)
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{index:06d}.png")


def measure(folder: Path, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """{side: what it measured of itself, by round}."""
    given = [str(folder), str(options.size)]
    ours = [sys.executable, "-m", "benchmarks.fid_speed_ours", *given, str(options.batch)]
    sides: dict[str, tuple[list[str], Mapping[str, str]]] = {OURS: (ours, {"GLIBC_TUNABLES": ALLOCATOR})}
    if options.peers_python:
        peer = [options.peers_python, "-m", "benchmarks.peers.fid", *given]
        sides[WRITTEN] = ([*peer, WRITTEN], {})
        sides[BEST] = ([*peer, BEST], {"GLIBC_TUNABLES": ALLOCATOR})
    inherited = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, (command, environment) in sides.items():
            time.sleep(PAUSE)
            print(f"measuring {side}", file=sys.stderr)
            started = {"STARTED": repr(time.time())}
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**inherited, **environment, **started},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            measured[side].append(json.loads(done.stdout.splitlines()[-1]))
    return measured


def table(measured: Mapping[str, list[dict[str, float]]]) -> str:
    """Measurements in markdown."""
    lines = [
        "| side | images/s | ours over it | core s an image | FID | it took, s | peak, GB | first, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for side, rounds in measured.items():
        ratios = [ours["rate"] / each["rate"] for ours, each in zip(measured[OURS], rounds, strict=True)]
        rate, busy, value, distance, peak, first = (
            statistics.median(each[name] for each in rounds)
            for name in ("rate", "busy", "value", "distance", "peak", "first")
        )
        shown = f"{rate:.1f} | {statistics.median(ratios):.2f} | {busy:.3f} | {value:.4f} | {distance:.1f}"
        lines.append(f"| {side} | {shown} | {peak / 2**30:.1f} | {first:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
