"""Endless streams of batches: which examples a step sees is a pure function of (seed, step)."""

import functools
import hashlib
import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.others import joined
from jaxgan.data.sources import DataError, Source

DEVICE_LIMIT_BYTES = 256 * 2**20  # sets up to this size are held on the device by placement="auto"
PLACEMENTS = ("auto", "device", "host")

Item = dict[str, dict[str, np.ndarray]]


class Stream(NamedTuple):
    """Batches for training; made by `make_stream`.

    In shapes, S is the number of steps in an item, n the batches of a step, b this process's share
    of the B examples of a batch.

    Attributes:
        resident: arrays that every device holds for the whole run, by the domain ("" is the source's
            own): {"image": uint8 [N,H,W,C], "label": int32 [N]}; {} for those whose batches come from
            the host. Pass it to jit as an argument.
        load: (resident, item or a part of it) -> batch, to be called under jit:
            {"image": uint8 [...,H,W,C], "label": int32 [...]}, and what else examples hold; of
            another domain its images, under its name, and its labels. An item may be cut along its
            leading axes before, as by `lax.scan`.
        iterate: start step, a multiple of S -> items from that step on, without end. Leaves are
            NumPy [S,n,b,...], by domain: {"index": int32} or {"image", "label"}.
        fingerprint: what the batches depend on, JSON-able, to be stored with a checkpoint and
            compared: it is the same for each placement, S and number of processes.
    """

    resident: dict[str, Any]
    load: Callable[[dict, dict], dict]
    iterate: Callable[[int], Iterator[Item]]
    fingerprint: dict[str, Any]


def batch_indices(size: int, *, seed: int, step: int, shape: tuple[int, ...], domain: int = 0) -> np.ndarray:
    """Returns the indices of the examples that a step sees: a pure function of its arguments.

    The step takes the positions from step * prod(shape) on of an endless concatenation of
    permutations of the set, one an epoch: each example is seen exactly once an epoch, and a step
    may span epochs. Each permutation sorts the raw numbers of Philox keyed by (seed, epoch), which
    NumPy keeps from version to version.

    Args:
        size: number of examples in the set, 1 or more.
        seed: an integer in [0, 2**64).
        step: the step, 0 or more.
        shape: the shape of the result, such as (batches a step, examples a batch).
        domain: of several sets, in [0, 256): each has an order of its own.

    Returns:
        int64 `shape`, each in [0, size).

    Raises:
        DataError: for a size, seed, step or shape outside these ranges.
    """
    size, seed, step = operator.index(size), operator.index(seed), operator.index(step)
    _require(size >= 1, "size", size, "1 or more: a set with examples in it")
    _require(0 <= seed < 2**64, "seed", seed, "an integer in [0, 2**64)")
    _require(step >= 0, "step", step, "0 or more")
    _require(min(shape, default=1) >= 1, "shape", shape, "sizes of 1 or more")
    count = math.prod(shape)
    position, stop = step * count, (step + 1) * count
    parts = []
    while position < stop:
        epoch, offset = divmod(position, size)
        parts.append(_permutation(size, seed, epoch + (domain << 56))[offset : offset + stop - position])
        position += len(parts[-1])
    return np.concatenate(parts).reshape(shape)


@functools.lru_cache(maxsize=8)
def _permutation(size: int, seed: int, stream: int) -> np.ndarray:
    numbers = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(size)
    order = np.argsort(numbers, kind="stable")
    order.flags.writeable = False
    return order


def make_stream(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    updates: int = 1,
    steps_per_call: int = 1,
    placement: str = "auto",
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
) -> Stream:
    """Makes the stream of a source's batches, each example once an epoch.

    Args:
        source: the set.
        seed: of the order, in [0, 2**64).
        batch_size: B, examples of a batch over all processes. It may exceed the set: batches span
            epochs, and an example then occurs more than once in a batch.
        updates: n, batches that a training step takes.
        steps_per_call: S, steps that an item holds.
        placement: "device" holds the set on each device and sends indices; "host" sends images;
            "auto" is "device" for sets in memory of at most 256 MiB.
        process_index: p, this process, in [0, process_count).
        process_count: P; process p takes the columns [p B/P, (p+1) B/P) of each batch.
        threads: that prepare items ahead; 0 prepares each when it is asked for.

    Returns:
        A stream. Iterating starts threads, no processes.

    Raises:
        DataError: for numbers out of range, a batch that does not divide among the processes,
            an unknown placement, or "device" for a set that is not in memory.
    """
    _check_counts(batch_size, updates, steps_per_call, threads)
    _check_processes(batch_size, process_index, process_count)
    domains = {"": source, **source.others}
    on_device = {name: _is_on_device(part, placement) for name, part in domains.items()}
    shape = (updates, batch_size)
    share = batch_size // process_count
    columns = slice(process_index * share, (process_index + 1) * share)

    def item(number: int) -> Item:
        steps = range(number * steps_per_call, (number + 1) * steps_per_call)
        made = {}
        for domain, (name, part) in enumerate(domains.items()):
            rows = [
                batch_indices(len(part), seed=seed, step=step, shape=shape, domain=domain) for step in steps
            ]
            index = np.stack(rows)[:, :, columns]
            if on_device[name]:
                made[name] = {"index": (index if part.rows is None else part.rows[index]).astype(np.int32)}
            else:
                made[name] = part.gather(index)
        return made

    return Stream(
        resident={name: dict(part.arrays or {}) if on_device[name] else {} for name, part in domains.items()},
        load=_load,
        iterate=functools.partial(_iterate, item, steps_per_call, threads),
        fingerprint=_fingerprint(source, seed, shape),
    )


def _iterate(
    item: Callable[[int], Item], steps_per_call: int, threads: int, start_step: int
) -> Iterator[Item]:
    import grain

    _require(
        start_step >= 0 and start_step % steps_per_call == 0,
        "start_step",
        start_step,
        f"a multiple of steps_per_call={steps_per_call}, 0 or more",
    )
    numbers = grain.MapDataset.range(start_step // steps_per_call, sys.maxsize)
    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(numbers.map(item).to_iter_dataset(ahead))


def _load(resident: dict, item: dict) -> dict:
    """The source's own arrays by their names, with those of other domains."""
    parts = {name: _gathered(resident[name], part) for name, part in item.items()}
    return joined(parts.pop(""), parts)


def _gathered(resident: dict, part: dict) -> dict:
    if not resident:
        return jax.tree.map(jnp.asarray, part)
    index = jnp.asarray(part["index"])
    return {key: jnp.asarray(value)[index] for key, value in resident.items()}


def _check_counts(batch_size: int, updates: int, steps_per_call: int, threads: int) -> None:
    _require(batch_size >= 1, "batch_size", batch_size, "1 or more")
    _require(updates >= 1, "updates", updates, "1 or more")
    _require(steps_per_call >= 1, "steps_per_call", steps_per_call, "1 or more")
    _require(threads >= 0, "threads", threads, "0 or more")


def _check_processes(batch_size: int, process_index: int, process_count: int) -> None:
    _require(process_count >= 1, "process_count", process_count, "1 or more")
    _require(
        0 <= process_index < process_count,
        "process_index",
        process_index,
        f"0 to {process_count - 1}, for process_count={process_count}",
    )
    _require(
        batch_size % process_count == 0,
        "batch_size",
        batch_size,
        f"a multiple of process_count={process_count}: each process takes an equal share",
    )


def _is_on_device(source: Source, placement: str) -> bool:
    _require(placement in PLACEMENTS, "placement", placement, f"one of {', '.join(PLACEMENTS)}")
    if placement == "device" and source.arrays is None:
        raise DataError(
            f"placement='device' was given for {source.name}, which is too large to be decoded "
            "into memory. Use placement='host' or 'auto'."
        )
    if placement == "auto":
        size = sum(value.nbytes for value in (source.arrays or {}).values())
        return source.arrays is not None and size <= DEVICE_LIMIT_BYTES
    return placement == "device"


def _fingerprint(source: Source, seed: int, shape: tuple[int, int]) -> dict[str, Any]:
    first = batch_indices(len(source), seed=seed, step=0, shape=shape)
    return {
        "source": source.fingerprint,
        **{name: part.fingerprint for name, part in source.others.items()},
        "length": len(source),
        "seed": int(seed),
        "batch_size": math.prod(shape),
        "first_step": hashlib.sha256(first.astype("<i8").tobytes()).hexdigest(),
    }


def _require(condition: bool, name: str, given: object, expected: str) -> None:
    if not condition:
        raise DataError(f"{name}={given!r} was given, expected {expected}.")
