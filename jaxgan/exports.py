"""Networks of runs as files that others can read, and files of others as ours."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.alternation import PlayerName
from jaxgan.interop import cards, files, sequential, tables
from jaxgan.interop.layouts import LAYOUTS
from jaxgan.interop.pickles import WeightsError
from jaxgan.state import Network
from jaxgan.tasks import BoundNetwork
from jaxgan.training import Run, example_batch

LONGEST = 1 << 20  # bytes of a card


def export_run(
    run: Run,
    path: str | os.PathLike[str],
    *,
    player: PlayerName = "generator",
    layout: str | None = None,
    licence: str = "",
    overwrite: bool = False,
) -> None:
    """Writes a run's network as .safetensors.

    Args:
      run: trained, or from `training.open_run`.
      path: of the file.
      player: of the generator, its average.
      layout: a name in `LAYOUTS`, for PyTorch, without a card; None: our own names, with one.
      licence: that the weights are given under, for the card.
      overwrite: write over a file that exists.

    Raises:
      WeightsError: the layout has no names for this network.
      FileExistsError: there is such a file.
    """
    state = run.state
    network = getattr(run.game, player)
    variables = state.ema if player == "generator" else state.discriminator.variables
    if layout is not None:
        files.write(path, tables.give(_table(layout, network), variables), overwrite=overwrite)
        return
    card = {
        "config": run.record["config"],
        "training_data": {"stream": run.record["stream"], "classes": run.record["classes"]},
        "metrics": {"step": int(state.step), "images": int(state.images)},
        "licence": licence or None,
    }
    cards.save(path, variables, network=network, inputs=_inputs(run, player), card=card, overwrite=overwrite)


def import_weights(
    weights: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    layout: str,
    card: Mapping[str, Any],
    prefix: str = "",
    overwrite: bool = False,
) -> nn.Module:
    """Writes weights in a public layout as .safetensors with a card, and returns the network.

    Args:
      weights: .pth or .safetensors; nothing in it is run.
      path: of the file to be.
      layout: a name in `LAYOUTS`, or 'sequential'.
      card: `architecture` and `inputs` as `cards.save` writes them, whatever else is known, and for
        'sequential' `names`, what the file calls the layers, and `embedding` if there is one.
      prefix: that the network's names have in the file.
      overwrite: write over a file that exists.

    Raises:
      WeightsError: the file is none, or its weights are not the architecture's.
      FileExistsError: there is such a file.
    """
    card = dict(card)
    try:
        network = cards.build(card.pop("architecture"))
        inputs = tuple(cards.structs(card.pop("inputs")))
        like = cards.template(network, *inputs)
    except cards.DAMAGED as error:
        raise WeightsError(f"The card has no sound architecture and inputs: {error!r}.") from error
    named = (card.pop("names", ()), card.pop("embedding", ""))
    taken, _ = tables.take(_table(layout, network, *named), files.under(files.read(weights), prefix), like)
    cards.save(path, taken, network=network, inputs=inputs, card=card, overwrite=overwrite)
    return network


def read_card(path: Path) -> dict[str, Any]:
    """A card from a file of JSON.

    Raises:
      WeightsError: it is none.
    """
    if path.stat().st_size > LONGEST:
        raise WeightsError(f"{path} has more than {LONGEST:,} bytes, which is no card.")
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}.") from error
    if not isinstance(card, dict):
        raise WeightsError(f"{path} holds a {type(card).__name__}, expected an object.")
    return card


def _table(layout: str, network: nn.Module, names: Any = (), embedding: str = "") -> tables.Table:
    try:
        if layout == "sequential":
            return sequential.table(cast(sequential.Generator, network), names, embedding=embedding)
        return LAYOUTS[layout](network)
    except WeightsError:
        raise
    except cards.DAMAGED as error:
        name = type(network).__module__.rpartition(".")[2]
        raise WeightsError(f"The layout {layout!r} is not of this {name} network.") from error


def _inputs(run: Run, player: PlayerName) -> tuple[jax.ShapeDtypeStruct, ...]:
    """What a player is called with, one example, without keys of noise that can be left out."""
    task, called = run.game.task, dict[PlayerName, tuple[Any, ...]]()

    def heard(name: PlayerName) -> BoundNetwork:
        network = Network(getattr(run.game, name), getattr(run.state, name).variables, train=False)

        def call(*inputs: Any, **options: Any) -> Any:
            called.setdefault(name, inputs)
            return network(*inputs, **options)

        return call

    def play(batch: Any, keys: jax.Array) -> None:
        example = task.prepare(batch, keys)
        task.judge(heard("discriminator"), task.generate(heard("generator"), example.given), example.given)

    batch = example_batch(run.record["shapes"], tuple(run.record["classes"]))
    jax.eval_shape(
        play, {name: leaf[0, :1] for name, leaf in batch.items()}, jax.random.split(jax.random.key(0), 1)
    )
    given = [x for x in jax.tree.leaves(called[player]) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in given)
