"""jaxgan's whole training step against PyTorch's, on one machine in one run.

`python -m benchmarks.train_step [--lines=dcgan64,sngan32] [--torch_python=PATH] [--rounds=9] [--steps=3]
[--batch=0] [--json=PATH] [--xla_flags=FLAGS] [--smoke]`

A line is a network with its recipe. Its sides are:

- `ours`: a `jaxgan.steps.Game` of the library's parts, jitted with donation, with `make train`'s allocator.
- `written`: the peer in `benchmarks/peers`, plain PyTorch as people write it: NCHW, Adam by its defaults.
- `best`: the same in channels_last, with fused Adam, a thread for every core, and our allocator's settings.
  No `torch.compile`, which has no second derivatives, and no custom operations.

PyTorch's sides need `--torch_python`, a python that has torch; without it ours runs alone. Each side is a
process of its own, which takes `steps` steps when told to, after one that is not counted. Sides take turns,
so that other work on the machine hits all of them. Printed is a markdown table: medians of images/s and their
quartiles, ours over the others (medians of each round's ratios), seconds of all cores a step, the peak of the
process's memory, and the seconds from its start to the end of the first step; for ours with nothing compiled
before, and again in a new process with JAX's cache of compilations. `--json` writes the same in full. A line
is refused if the sides' numbers of parameters differ by more than 2 %.

What is the same: networks, losses, batches that are float32 in memory, an update of D and one of G in a
step, and passes: of DCGAN G learns from the fakes that D was shown, as PyTorch's programs have it, and on
the other lines fakes are made anew for each update. Ours computes a set of metrics, keeps the state where
something is not finite, and averages G's variables on every line; the peers compute the losses alone, and
average where the paper does (StyleGAN2, R3GAN). PyTorch's threads wait for each other at each operation and
lose more than ours to other work: believe ratios of an idle machine, or else, under `taskset -c 0`, the
cores' seconds.
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
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.recipes import LINES, SMOKE, Recipe

ROOT = Path(__file__).parents[1]
ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=30000000000"
OURS, WRITTEN, BEST = "ours", "written", "best"
PAUSE = 1.0  # seconds before a turn, while the threads of the last one's side still spin for more work
TOLERANCE = 0.02  # of the numbers of parameters


class Worker:
    """A side of a line, in a process of its own.

    Attributes:
      first_step: seconds from the process's start to the end of its first step.
      parameters: numbers of parameters by player.
      peak: of the process's memory so far, in bytes.
    """

    def __init__(self, command: list[str], recipe: Recipe, environment: Mapping[str, str]) -> None:
        self.command = " ".join(command)
        inherited = {k: v for k, v in os.environ.items() if k not in ("GLIBC_TUNABLES", "XLA_FLAGS")}
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, json.dumps(asdict(recipe))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=inherited | dict(environment),
        )
        answer = self._answer()
        self.first_step = time.perf_counter() - start
        self.parameters: dict[str, int] = answer["parameters"]
        self.peak: int = answer["peak"]

    def run(self, steps: int) -> tuple[float, float]:
        """Takes so many steps: seconds, and seconds of all cores that were busy with them."""
        assert self._process.stdin
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.peak = answer["peak"]
        return answer["seconds"], answer["busy"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.command} ended with {self._process.wait()}; its error is above.")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def main() -> None:
    """Prints the table."""
    options = _options()
    results = {}
    for name in options.lines:
        recipe = (SMOKE if options.smoke else LINES)[name]
        if options.batch:
            recipe = replace(recipe, batch=options.batch)
        print(f"measuring {name}", file=sys.stderr)
        results[name] = measure(recipe, options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    if not options.torch_python:
        print("\nPyTorch's sides were left out: give --torch_python, a python that has torch.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def lines(text: str) -> list[str]:
        if unknown := {*text.split(",")} - {*LINES}:
            raise argparse.ArgumentTypeError(
                f"no lines {sorted(unknown)}; expected some of {', '.join(LINES)}"
            )
        return text.split(",")

    parser.add_argument("--lines", type=lines, default=[*LINES], help=f"of {', '.join(LINES)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=3, help="of a turn")
    parser.add_argument("--batch", type=int, default=0, help="images, instead of each line's own number")
    parser.add_argument("--torch_python", help="a python that has torch")
    parser.add_argument("--xla_flags", default="", help="XLA_FLAGS of our side, beside `train.py`'s")
    parser.add_argument("--json", type=Path, help="a file to write all measurements to")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, to see that everything runs")
    return parser.parse_args()


def measure(recipe: Recipe, options: argparse.Namespace) -> dict[str, Any]:
    """All sides of a line in turns: {side: measurements}."""
    with tempfile.TemporaryDirectory() as cache, ExitStack() as stack:
        ours = [sys.executable, "-m", "benchmarks.train_step_ours"]
        environment = {
            "GLIBC_TUNABLES": ALLOCATOR,
            "XLA_FLAGS": options.xla_flags,
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        workers = {OURS: stack.enter_context(Worker(ours, recipe, environment))}
        with Worker(ours, recipe, environment) as again:
            cached = again.first_step
        if options.torch_python:
            peer = [options.torch_python, "-m", "benchmarks.peers.worker"]
            for side, given in ((WRITTEN, {}), (BEST, {"GLIBC_TUNABLES": ALLOCATOR})):
                workers[side] = stack.enter_context(Worker([*peer, side], recipe, given))
        check_same({side: worker.parameters for side, worker in workers.items()})
        rates, busy = ({side: list[float]() for side in workers} for _ in range(2))
        for count in range(options.rounds + 1):
            for side, worker in workers.items():
                time.sleep(PAUSE)
                worker.run(1)  # back to its pace: while idle, its memory and caches went to others
                seconds, cores = worker.run(options.steps)
                if count > 0:  # the first turn warms up
                    rates[side].append(recipe.batch * options.steps / seconds)
                    busy[side].append(cores / options.steps)
    measured = {
        side: {
            "parameters": worker.parameters,
            "rates": [round(rate, 3) for rate in rates[side]],
            "ours_over": statistics.median(a / b for a, b in zip(rates[OURS], rates[side], strict=True)),
            "busy": statistics.median(busy[side]),
            "peak": worker.peak,
            "first_step": worker.first_step,
        }
        for side, worker in workers.items()
    }
    measured[OURS]["first_step_cached"] = cached
    return measured


def check_same(parameters: Mapping[str, Mapping[str, int]]) -> None:
    """Refuses to compare sides whose players' numbers of parameters differ.

    Args:
      parameters: by side, by player.

    Raises:
      SystemExit: a number is more than 2 % off ours.
    """
    for side, numbers in parameters.items():
        for player, number in numbers.items():
            ours = parameters[OURS][player]
            if abs(number - ours) > TOLERANCE * ours:
                raise SystemExit(
                    f"The {player} has {number:,} parameters on the side {side!r} and {ours:,} on ours: "
                    "these are not the same networks, so their times are not compared."
                )


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Measurements by line and side as markdown."""
    heads = ["line", "side", "parameters G", "D", "images/s", "quartiles", "ours over it"]
    heads += ["CPU s a step", "peak MB", "first step s", "with cache"]
    rows = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2)]
    for name, sides in results.items():
        for side, one in sides.items():
            low, middle, high = _quartiles(one["rates"])
            cached = one.get("first_step_cached")
            rows.append(
                [
                    name,
                    side,
                    *(f"{number:,}" for number in one["parameters"].values()),
                    f"{middle:.1f}",
                    f"{low:.1f} to {high:.1f}",
                    "" if side == OURS else f"{one['ours_over']:.2f}",
                    f"{one['busy']:.3f}",
                    f"{one['peak'] / 2**20:.0f}",
                    f"{one['first_step']:.1f}",
                    "" if cached is None else f"{cached:.1f}",
                ]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


if __name__ == "__main__":
    main()
