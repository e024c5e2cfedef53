"""Processes that test_checkpoints.py starts: one to be killed, two that save together, a loud one.

`python checkpoint_worker.py endless DIR`, `... pair DIR PORT INDEX`, `... loud DIR`
"""

import itertools
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.checkpoints import Checkpoints


def filled(step):
    """A state whose values say its step, but for noise, too long for the index to hold it."""
    return {
        "noise": jnp.asarray(np.random.default_rng(0).normal(size=1000), jnp.float32),
        "params": [jnp.full((300, 200), step, jnp.float32) for _ in range(4)],
        "step": jnp.int32(step),
    }


def endless(directory):
    """Saves until it is killed, from where the last one was."""
    with Checkpoints(directory, keep=2) as checkpoints:
        restored = checkpoints.restore(filled(0))
        first = restored.step + 1 if restored else 1
        for step in itertools.count(first):
            checkpoints.save(step, filled(step), record={"step": step})
            print(step, flush=True)


def pair(directory, port, index):
    """Saves and restores a replicated state with another process, while both train."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", 2, int(index), initialization_timeout=20)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    state = jax.jit(lambda: filled(0), out_shardings=whole)()
    batch = jax.make_array_from_callback((2, 200), split, lambda i: np.ones((2, 200), np.float32)[i])

    @jax.jit
    def train(state, batch):
        return jax.tree.map(lambda x: x + batch.mean().astype(x.dtype), state)

    with Checkpoints(directory, keep=2) as checkpoints:
        for step in range(1, 5):
            state = jax.block_until_ready(train(state, batch))
            checkpoints.save(step, state, record={"step": step})
        assert checkpoints.steps() == [3, 4]
        if index == "0":
            flip_bit(directory, 4)
        jax.experimental.multihost_utils.sync_global_devices("flipped")
        restored = checkpoints.restore(state)
        assert restored.step == 3
        assert restored.state["params"][0].sharding == whole
        assert float(restored.state["params"][0].addressable_data(0).mean()) == 3
        checkpoints.save(4, train(restored.state, batch), record={"step": 4})
        again = checkpoints.restore(state)
        assert (again.step, int(again.state["step"].addressable_data(0))) == (4, 4)
    print("agreed", flush=True)


def flip_bit(directory, step):
    """Flips a few bits in each of the step's files of values, and leaves the index of them whole."""
    for path in (pathlib.Path(directory) / str(step) / "state").rglob("d/*"):
        data = bytearray(path.read_bytes())
        if not data.startswith(bytes.fromhex("0cdb20de")):  # a node of OCDBT's tree
            for quarter in (1, 2, 3):  # one alone may lie where nothing is
                data[quarter * len(data) // 4] ^= 1
            path.write_bytes(data)


def loud(directory):
    """Saves and restores with absl as talkative as under absl.app.run."""
    import absl.logging

    absl.logging.use_absl_handler()
    absl.logging.set_verbosity("info")
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(1, filled(1), record={})
        assert checkpoints.restore(filled(0)).step == 1


if __name__ == "__main__":
    {"endless": endless, "pair": pair, "loud": loud}[sys.argv[1]](*sys.argv[2:])
