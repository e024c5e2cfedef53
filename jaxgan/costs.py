"""What a game costs, before anything is compiled: parameters, FLOPs and memory for derivatives.

FLOPs are XLA's count of the program as traced, a multiply and an add being two. It takes the dearer side of
a branch, and one round of a loop, so that a network's own loops (`nn.scan`) would be counted once.
Everything is done with shapes: variables and batches may be `jax.ShapeDtypeStruct`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxgan.alternation import PLAYERS, Phase, PlayerName, batches_per_step
from jaxgan.state import GANState, Network, Player
from jaxgan.steps import UPDATES, Game, init_state
from jaxgan.updates import example_keys, objective


class Cost(NamedTuple):
    """What one player costs.

    Attributes:
      parameters: numbers that are learned.
      forward: FLOPs an image of a forward pass, as when it is used.
      update: FLOPs an image of one update, its penalties and the other player's part in it included; the
        mean over steps, where a penalty is not taken at each.
      kept: bytes that the forward pass of an update keeps for its derivative, beside what goes into it; of
        a step that takes all penalties.
    """

    parameters: int
    forward: float
    update: float
    kept: int


def costs_of(game: Game, batch: Any) -> dict[PlayerName, Cost]:
    """The costs of both players.

    Args:
      game: the static half, without `axis_name`.
      batch: leaves [B,...], of which only shapes and dtypes matter; the FLOPs of an image hardly depend on B.

    Raises:
      ValueError: what the networks cannot make or judge, a batch that does not divide by `accumulate`.
    """
    state = initial(game, batch)
    forward = forward_flops(game, state, batch)
    return {
        name: Cost(
            parameters(getattr(state, name)),
            forward[name],
            update_flops(game, name, state, batch),
            kept_bytes(game, name, state, batch),
        )
        for name in PLAYERS
    }


def initial(game: Game, batch: Any) -> GANState:
    """The shapes and dtypes of the state before the first step, for a batch [B,...]."""

    def init(batch: Any) -> GANState:
        return init_state(game, jax.tree.map(lambda leaf: leaf[None], batch), _key())

    return jax.eval_shape(init, batch)


def parameters(player: Player) -> int:
    """How many numbers a player learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(player.params))


def forward_flops(game: Game, state: GANState, batch: Any) -> dict[PlayerName, float]:
    """FLOPs an image of a forward pass of each player, outside of training."""

    def generate(variables: Any, given: Any) -> Any:
        return game.task.generate(Network(game.generator, variables, train=False), given)

    def judge(variables: Any, given: Any, sample: Any) -> Any:
        return game.task.judge(Network(game.discriminator, variables, train=False), sample, given)

    example = jax.eval_shape(lambda batch: game.task.prepare(batch, _keys(batch)), batch)
    generator, discriminator = state.generator.variables, state.discriminator.variables
    sample = jax.eval_shape(generate, generator, example.given)
    return {
        "generator": _flops(generate, generator, example.given) / _size(batch),
        "discriminator": _flops(judge, discriminator, example.given, sample) / _size(batch),
    }


def update_flops(game: Game, name: PlayerName, state: GANState, batch: Any) -> float:
    """FLOPs an image of one update of a player, the mean over steps."""

    def flops(left_out: Collection[str] = ()) -> float:
        penalties = {key: game.penalties[key] for key in game.penalties.keys() - left_out}
        # Gradients by parts of a batch cost as much as those of the whole, but are computed in a loop.
        whole = game._replace(penalties=penalties, accumulate=1)
        return _flops(lambda state, batch: UPDATES[name](whole, state, batch, _key()), state, batch)

    at_most = flops()
    saved = sum(
        (1.0 - 1.0 / penalty.every) * (at_most - flops({key}))
        for key, penalty in game.penalties.items()
        if penalty.player == name and penalty.every > 1
    )
    return (at_most - saved) / _size(batch)


def step_flops(costs: Mapping[PlayerName, Cost], alternation: Sequence[Phase]) -> float:
    """FLOPs of a training step for each image it shows, with as many updates as phases may make."""
    updates = sum(phase.steps * costs[phase.player].update for phase in alternation)
    return updates / batches_per_step(alternation)


def kept_bytes(game: Game, name: PlayerName, state: GANState, batch: Any) -> int:
    """Bytes that the forward pass of a player's update keeps for its derivative, beside what goes into it.

    Of one part of the batch, where gradients are accumulated. It is what JAX plans, and not what a device
    asks for: XLA computes some of it anew and lays some over other, and adds gradients and what the backward
    pass holds. Between arguments and results, compiled updates of small networks on CPU asked for 0.5 to 2
    times as much, and for up to 6 times where little is kept (perceptrons, DCGAN's discriminator without a
    penalty); with `remat`, which XLA's CPU backend undoes, for as much as without.
    """
    count = _size(batch)
    if count % game.accumulate:
        raise ValueError(f"A batch of {count} examples cannot be cut into {game.accumulate} equal parts.")

    def kept(state: GANState, batch: Any) -> list[jax.Array]:
        player: Player = getattr(state, name)

        def own(params: Any) -> Any:
            return objective(game, name, state, params, player.collections, batch, _keys(batch))

        _, backward, _ = jax.vjp(own, player.params, has_aux=True)
        inputs = {id(leaf) for leaf in jax.tree.leaves((state, batch))}
        return [leaf for leaf in jax.tree.leaves(backward) if id(leaf) not in inputs]

    part = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count // game.accumulate, *leaf.shape[1:]), leaf.dtype), batch
    )
    leaves = jax.eval_shape(kept, state, part)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def _flops(function: Callable[..., Any], *inputs: Any) -> float:
    return (jax.jit(function).lower(*inputs).cost_analysis() or {}).get("flops", float("nan"))


def _size(batch: Any) -> int:
    return int(jax.tree.leaves(batch)[0].shape[0])


def _key() -> jax.Array:
    return jax.random.key(0)


def _keys(batch: Any) -> jax.Array:
    return example_keys(_key(), batch, None)
