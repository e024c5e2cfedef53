"""One training step on many devices, and one run in many processes.

Three runners execute the same step. `jit` lets XLA partition the computation of the whole batch,
`shard_map` runs the step on each device's share with explicit averages, `pmap` is the older form of
that. The state is replicated, the batch is split along its examples.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from platformdirs import user_cache_path

from jaxgan.state import GANState
from jaxgan.steps import TrainStep

AXIS = "data"
RunnerName = Literal["jit", "shard_map", "pmap"]
RUNNERS = ("jit", "shard_map", "pmap")

FLAGS = {  # of XLA
    "--xla_cpu_experimental_ynn_fusion_type": "-individual_convolution",  # what goes to its newer library
    "--xla_disable_hlo_passes": "reshape-mover",
}
COMPILATIONS = 4 * 2**30  # bytes of compiled programs that are kept
HEARTBEAT = 60  # seconds after which the other processes give up on one that is silent

# A chunk's leaves are [S,n,B,...]: S steps of n batches, examples third.
_EXAMPLES = 2


class Runner(NamedTuple):
    """A compiled training step and how to bring arrays to it.

    Attributes:
      run: (state, resident, chunk, key) -> (state, metrics [S]); the given state is consumed, except by
        `pmap`, which cannot donate what it broadcasts and so holds the state twice.
      replicate: a pytree of host arrays (the same in every process) -> on every device.
      split: a chunk of host arrays, this process's share [S,n,B/processes,...] -> split over devices.
      replicated: the sharding of the state.
    """

    run: Any  # as `jax.jit` returns it: it can be lowered too
    replicate: Callable[[Any], Any]
    split: Callable[[Any], Any]
    replicated: NamedSharding


def axis_name(runner: RunnerName) -> str | None:
    """The mapped axis that steps and batch statistics must name under this runner."""
    return None if runner == "jit" else AXIS


class BackendError(RuntimeError):
    """No devices, or no cluster, where some were asked for."""


def start(coordinator: str | None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of one run, if it has several; to be called before anything else of JAX.

    Args:
      coordinator: "host:port" of process 0, "auto" to take the cluster's own settings, None for one process.
      processes: how many there are.
      process: the index of this one.

    Raises:
      BackendError: the processes did not find each other, or "auto" no cluster.
    """
    if coordinator is None:
        return
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, processes, process, heartbeat_timeout_seconds=HEARTBEAT)
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"--coordinator={coordinator}: the processes of the run were not joined ({error}); give "
            "--coordinator=HOST:PORT --processes=N --process=INDEX."
        ) from error


def keep_compilations() -> None:
    """Keeps compiled programs in the user's cache folder, so that the next run of the same starts at once.

    Where JAX was told of a folder (JAX_COMPILATION_CACHE_DIR), or to keep none
    (JAX_ENABLE_COMPILATION_CACHE=false), that stands. The oldest go when all take more than 4 GiB.
    """
    told: Any = jax.config
    if told.jax_compilation_cache_dir is None and told.jax_enable_compilation_cache:
        jax.config.update("jax_compilation_cache_max_size", COMPILATIONS)
        jax.config.update("jax_compilation_cache_dir", str(user_cache_path("jaxgan") / "compilations"))


def tune_xla() -> None:
    """Has XLA of jax 0.10 compile for CPUs in a way that is a tenth faster; to be called before it starts.

    It convolves in its older way, and leaves reshapes where they are: moved in each derivative in another
    way, they keep a forward pass that several have in common from being found to be one. Whoever has said
    something of either in XLA_FLAGS is heard; other versions may not know the flags and would end.
    """
    said = os.environ.get("XLA_FLAGS", "")
    if jax.__version__.startswith("0.10."):
        flags = [f"{name}={value}" for name, value in FLAGS.items() if name not in said]
        os.environ["XLA_FLAGS"] = " ".join([said, *flags]).strip()


def devices() -> list[jax.Device]:
    """All devices of all processes.

    Raises:
      BackendError: JAX finds none on the platform that it was told to use.
    """
    try:
        return jax.devices()
    except RuntimeError as error:
        raise BackendError(f"{error} Set JAX_PLATFORMS=cpu to do without an accelerator.") from error


def make_runner(
    train_step: TrainStep,
    *,
    runner: RunnerName = "jit",
    devices: Sequence[jax.Device] | None = None,
    load: Callable[[Any, Any], Any] = lambda resident, item: item,
) -> Runner:
    """Compiles a training step for devices.

    Args:
      train_step: made with the runner's `axis_name`.
      runner: 'jit', 'shard_map' or 'pmap'.
      devices: default all; every process must name the same.
      load: (resident, item) -> batch, run inside the compiled step.

    Returns:
      Runner. A chunk holds S steps, run by one `lax.scan` if they are several; a new S compiles anew.

    Raises:
      ValueError: an unknown runner.
    """
    if runner not in RUNNERS:
        raise ValueError(f"Unknown runner {runner!r}; expected one of {', '.join(RUNNERS)}.")
    mesh = Mesh(np.array(devices or jax.devices()), (AXIS,))
    replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P(None, None, AXIS))

    def steps(state: GANState, resident: Any, chunk: Any, key: jax.Array) -> Any:
        def body(state: GANState, item: Any) -> tuple[GANState, dict[str, jax.Array]]:
            return train_step(state, load(resident, item), key)

        if len(jax.tree.leaves(chunk)[0]) > 1:
            return jax.lax.scan(body, state, chunk)
        # XLA's CPU backend is several times slower in a loop, even of one round.
        state, metrics = body(state, jax.tree.map(lambda leaf: leaf[0], chunk))
        return state, jax.tree.map(lambda metric: metric[None], metrics)

    placed = partial(jax.jit, donate_argnums=0, out_shardings=replicated)
    if runner == "jit":
        run = placed(steps, in_shardings=(replicated, replicated, split, replicated))
    elif runner == "shard_map":
        # With check_vma=True gradients of replicated parameters would arrive summed, not averaged.
        specs = (P(), P(), split.spec, P())
        mapped = jax.shard_map(steps, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False)
        run = placed(mapped)
    else:
        axes = (None, None, _EXAMPLES, None)
        run = jax.pmap(steps, AXIS, in_axes=axes, out_axes=None, devices=list(mesh.devices))
    return Runner(
        run=run,
        replicate=partial(_replicate, replicated),
        split=partial(_split_by_device, len(mesh.local_devices))
        if runner == "pmap"
        else partial(_split, split),
        replicated=replicated,
    )


def ahead(items: Iterator[Any], place: Callable[[Any], Any]) -> Iterator[Any]:
    """Items placed on the devices, one ahead of their use: the next moves while this one is computed on."""
    following = place(next(items))
    for item in items:
        current, following = following, place(item)
        yield current
    yield following


def _replicate(sharding: NamedSharding, tree: Any) -> Any:
    return jax.tree.map(partial(jax.make_array_from_process_local_data, sharding), tree)


def _split(sharding: NamedSharding, chunk: Any) -> Any:
    return jax.tree.map(partial(jax.make_array_from_process_local_data, sharding), chunk)


def _split_by_device(devices: int, chunk: Any) -> Any:
    """[S,n,B,...] -> [S,n,devices,B/devices,...], which `pmap` distributes by itself."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(*leaf.shape[:_EXAMPLES], devices, -1, *leaf.shape[_EXAMPLES + 1 :]),
        chunk,
    )
