"""What a config amounts to, before anything is trained: networks, costs, data, devices, memory."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxgan import config as configs
from jaxgan import costs, steps, training
from jaxgan.alternation import PLAYERS
from jaxgan.config import Config
from jaxgan.data import Source
from jaxgan.state import GANState


def preview(config: Config) -> str:
    """Checks everything, compiles one training step and says what it found; trains nothing.

    The memory is what the compiled step asks for on one device: the state, the resident data, a chunk
    of batches, and what XLA plans for everything between. What libraries take beside is not in it.

    Raises:
      ConfigError, DataError: what has to be changed.
    """
    setup = training.set_up(config)
    state = jax.eval_shape(setup.init)
    chunk = setup.runner.split(next(setup.stream.iterate(0)))
    step = setup.runner.run.lower(state, setup.stream.resident, chunk, setup.key).compile()
    sections = {
        "Config": [f"{name} = {value!r}" for name, value in configs.flatten(config).items()],
        "Data": [_data(setup.source, config)],
        "Networks": _networks(setup.game, state, setup.source),
        "Devices": [
            f"{device} ({device.device_kind})" for device in setup.runner.replicated.mesh.devices.flat
        ],
        "One call of the training step, compiled": _costs(step, config),
    }
    lines = ([f"{title}:", *(f"  {line}" for line in part)] for title, part in sections.items())
    return "\n".join(line for part in lines for line in part)


def _data(source: Source, config: Config) -> str:
    size = "x".join(str(n) for n in source.image_shape)
    classes = f"{len(source.classes)} classes" if source.classes else "no labels"
    told = "" if config.model.conditional or not source.classes else " that are not used"
    epoch = len(source) / config.batch_size
    return f"{source.name}: {len(source):,} images of {size}, {classes}{told}; {epoch:.1f} batches an epoch"


def _networks(game: steps.Game, state: GANState, source: Source) -> list[str]:
    """Parameters and forward FLOPs of each player, on one example."""
    batch = jax.tree.map(
        lambda leaf: leaf[0, :1], training.example_batch(source.shapes_of_all, source.classes)
    )
    players = {name: getattr(state, name) for name in PLAYERS}
    flops = costs.forward_flops(game, state, batch)
    return [
        f"{name}: {costs.parameters(player):,} parameters, {flops[name]:.3g} FLOPs an image forward"
        for name, player in players.items()
    ]


def _costs(step: Any, config: Config) -> Sequence[str]:
    memory, flops = step.memory_analysis(), step.cost_analysis().get("flops", float("nan"))
    parts = {
        "arguments": memory.argument_size_in_bytes,
        "results that replace no argument": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "between": memory.temp_size_in_bytes,
    }
    total = sum(parts.values()) / 2**20
    shares = ", ".join(f"{name} {size / 2**20:,.1f}" for name, size in parts.items())
    return [
        f"{config.parallel.steps_per_call} step(s), {flops:.3g} FLOPs on each device",
        f"memory on each device: {total:,.1f} MiB ({shares})",
    ]
