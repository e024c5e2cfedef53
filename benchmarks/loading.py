"""How fast batches come, against PyTorch's DataLoader, and whether a training step ever waits for one.

`python benchmarks/loading.py --folder=32:PATH [--folder=128:PATH ...] [--torch-python=PATH]
[--prepare=SPEC[@SIZE] ...] [--rounds=15] [--batches=40] [--steps=20]`

A folder holds images, in sub-folders by class, and is read at the size before the colon; the first one's are
32x32. PyTorch's side (`loading_torch.py`) runs in its own process under a python that has torch and Pillow;
without one it is left out. Printed is a JSON object a line, of medians and, in brackets, quartiles:

- rates, for each folder: images/s as float32 [-1, 1], flipped at random, in batches of 64 with two threads,
  each batch waited for. From the device's memory (gathered inside jit), the host's memory, the prepared set
  read on demand, files decoded on demand, and DataLoaders with two workers and with none, all with the same
  transforms. They take turns, so that other work on the machine hits all; ratios are of each round's rates.
- step: images/s of the training step of configs/cifar10.py, one in a call, on a batch that stays; and the
  share of a training loop's time that it is blocked in next(), on batches from the host's memory and from the
  prepared set. Each step is waited for before the next batch is asked for, so that none hides the wait.
- preparation, for each SPEC, at SIZE x SIZE: images/s of the first opening, and bytes of what it leaves.
- first_batch, for each folder and SPEC, prepared: seconds in a fresh process from `open_source` to a batch on
  the device, compilation included, and before these the seconds of the imports and of JAX's start.
"""

import argparse
import functools
import importlib
import json
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, training
from jaxgan.data import records

BATCH, THREADS = 64, 2
AHEAD = 8  # batches that are taken before the clock starts, so that none counts that was made before
TORCH, PREPARED = "torch_{}_workers", "prepared_on_demand"
Turn = Callable[[int], float]  # a number of batches -> the seconds that they took


def main() -> None:
    """Prints the measurements."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    options = _options()
    if options.first_batch:
        print(json.dumps(_first_batch(*options.first_batch)))
        return
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps({"device": jax.devices()[0].device_kind, "batch": BATCH, "threads": THREADS}))
        for size, folder in options.folder:
            with ExitStack() as stack:
                turns = _ours(f"folder:{folder}", size, directory)
                if options.torch_python:
                    for workers in (THREADS, 0):
                        process = stack.enter_context(_torch(options.torch_python, folder, size, workers))
                        turns[TORCH.format(workers)] = functools.partial(_ask, process)
                print(json.dumps({"rates": folder, "size": size} | _rates(turns, options)))
        if options.folder:
            print(json.dumps({"step": _step(options.folder[0], directory, options.steps)}))
        for spec, size in options.prepare:
            print(json.dumps({"preparation": spec, "size": size} | _preparation(spec, size)))
        for spec, size in [(f"folder:{path}", size) for size, path in options.folder] + options.prepare:
            print(json.dumps({"first_batch": spec, "size": size} | _latency(spec, size, directory)))


def _options() -> argparse.Namespace:
    def sized_folder(text: str) -> tuple[int, str]:
        size, _, path = text.partition(":")
        return int(size), path

    def sized_spec(text: str) -> tuple[str, int]:
        spec, _, size = text.partition("@")
        return spec, int(size or 0)

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=sized_folder, action="append", default=[], metavar="SIZE:PATH")
    parser.add_argument("--prepare", type=sized_spec, action="append", default=[], metavar="SPEC[@SIZE]")
    parser.add_argument("--torch-python", help="a python that has torch and Pillow")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=40, help="of a turn")
    parser.add_argument("--steps", type=int, default=20, help="training steps of each kind")
    parser.add_argument("--first-batch", nargs=3, help=argparse.SUPPRESS)  # in the fresh process
    return parser.parse_args()


def _open(spec: str, size: int, directory: str, *, on_demand: bool = False, prepare: bool = True) -> Any:
    limit = 0 if on_demand else records.MEMORY_LIMIT_BYTES
    layout = data.Layout(size=(size, size) if size else ())
    with mock.patch.object(records, "MEMORY_LIMIT_BYTES", limit):
        return data.open_source(spec, data_dir=directory, layout=layout, prepare=prepare)


def _batches(source: data.Source, placement: str) -> Iterator[jax.Array]:
    """Endless: float32 [BATCH,H,W,C] in [-1, 1] on the device, flipped at random."""
    stream = data.make_stream(source, seed=0, batch_size=BATCH, placement=placement, threads=THREADS)
    resident = jax.device_put(stream.resident)

    @jax.jit
    def transform(resident: Any, item: Any, step: jax.Array) -> jax.Array:
        images = stream.load(resident, item)["image"][0, 0]
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), step), BATCH)
        return data.random_flip(data.to_float(images), keys)

    for step, item in enumerate(stream.iterate(0)):
        yield jax.block_until_ready(transform(resident, item, np.int32(step)))


def _ours(spec: str, size: int, directory: str) -> dict[str, Turn]:
    memory = _open(spec, size, directory)
    on_demand = _open(spec, size, directory, on_demand=True)
    files = _open(spec, size, directory, on_demand=True, prepare=False)
    batches = {
        "device": _batches(memory, "device"),
        "host": _batches(memory, "host"),
        PREPARED: _batches(on_demand, "host"),
        "files_on_demand": _batches(files, "host"),
    }
    return {name: functools.partial(_take, those) for name, those in batches.items()}


def _take(batches: Iterator[jax.Array], count: int) -> float:
    for _ in range(AHEAD):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - start


def _torch(python: str, folder: str, size: int, workers: int) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("loading_torch.py")
    command = [python, str(script), folder, str(size), str(BATCH), str(workers)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str], count: int) -> float:
    assert process.stdin and process.stdout
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def _rates(turns: dict[str, Turn], options: argparse.Namespace) -> dict[str, Any]:
    images = BATCH * options.batches
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for count in range(options.rounds + 1):
        for name, turn in turns.items():
            rate = images / turn(options.batches)
            if count > 0:  # the first turn compiles
                rates[name].append(rate)
    result: dict[str, Any] = {
        "images_per_second": {name: _spread(values, 0) for name, values in rates.items()}
    }
    if (torch := TORCH.format(THREADS)) in rates:
        result[f"times_{torch}"] = {
            name: _spread([a / b for a, b in zip(values, rates[torch], strict=True)], 2)
            for name, values in rates.items()
        }
    return result


def _step(folder: tuple[int, str], directory: str, steps: int) -> dict[str, Any]:
    """The training step fed by a batch that stays, from memory and from the prepared set, in turns."""
    size, path = folder
    config = runpy.run_path("configs/cifar10.py")["get_config"]()
    config.parallel.steps_per_call = 1
    config.data.placement = "host"
    setup = training.set_up(config, _open(f"folder:{path}", size, directory))
    on_demand = training.set_up(config, _open(f"folder:{path}", size, directory, on_demand=True))
    resident = setup.runner.replicate(setup.stream.resident)
    state, item = setup.init(), next(setup.stream.iterate(0))
    feeds: dict[str, Iterator[Any]] = {
        "constant": iter(lambda: item, None),
        "host": setup.stream.iterate(0),
        PREPARED: on_demand.stream.iterate(0),
    }
    waits, times = ({name: list[float]() for name in feeds} for _ in range(2))
    for count in range(steps + 1):
        for name, feed in feeds.items():
            start = time.perf_counter()
            chunk = next(feed)
            waited = time.perf_counter() - start
            state, _ = setup.runner.run(state, resident, setup.runner.split(chunk), setup.key)
            jax.block_until_ready(state)
            if count > 0:  # the first turn compiles
                waits[name].append(waited)
                times[name].append(time.perf_counter() - start)
    return {
        "images_per_second": {
            name: _spread([BATCH / x for x in values], 1) for name, values in times.items()
        },
        "waiting_percent": {
            name: round(100 * sum(waits[name]) / sum(times[name]), 3) for name in feeds if name != "constant"
        },
    }


def _preparation(spec: str, size: int, repeats: int = 5) -> dict[str, Any]:
    rates, count = [], 0
    for _ in range(repeats + 1):  # the first imports
        with tempfile.TemporaryDirectory() as directory:
            start = time.perf_counter()
            count = len(_open(spec, size, directory))
            rates.append(count / (time.perf_counter() - start))
            kept = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
    return {"images": count, "images_per_second": _spread(rates[1:], 0), "cache_bytes": kept}


def _latency(spec: str, size: int, directory: str, repeats: int = 5) -> dict[str, Any]:
    _open(spec, size, directory)  # prepares it
    command = [sys.executable, __file__, "--first-batch", spec, str(size), directory]
    made = []
    for _ in range(repeats):
        times = {"import": -time.time(), **json.loads(subprocess.check_output(command, text=True))}
        made.append(times | {"import": times["import"] + times.pop("started")})
    return {name: _spread([one[name] for one in made], 2) for name in made[0]}


def _first_batch(spec: str, size: str, directory: str) -> dict[str, float]:
    for module in ("grain", "tensorflow_datasets"):  # as opening would
        importlib.import_module(module)
    jnp.zeros(1).block_until_ready()
    started, start = time.time(), time.perf_counter()
    source = _open(spec, int(size), directory)
    opened = time.perf_counter()
    next(_batches(source, "auto"))
    seconds = time.perf_counter() - start
    return {"started": started, "open": opened - start, "open_to_batch": seconds}


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = (round(float(x), digits or None) for x in np.quantile(values, (0.25, 0.5, 0.75)))
    return f"{middle} [{low} {high}]"


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main()
