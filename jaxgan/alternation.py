"""Whose turn it is: the phases of one training step, and when each ends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax

PlayerName = Literal["generator", "discriminator"]
PLAYERS: tuple[PlayerName, ...] = ("generator", "discriminator")

# Shares of a batch are sums of counts that were rounded; one image in a million is beyond any batch.
_ROUNDING = 1e-6


class Phase(NamedTuple):
    """A number of updates of one player.

    Attributes:
      player: whose turn it is.
      steps: updates; with `until`, the most that may be made.
      until: metrics of the update just made -> bool [], the phase ends when it holds.
    """

    player: PlayerName
    steps: int = 1
    until: Callable[[Mapping[str, jax.Array]], jax.Array] | None = None


# Source: Goodfellow et al. 2014, algorithm 1 with k = 1.
ALTERNATE = (Phase("discriminator"), Phase("generator"))


def reached(
    player: PlayerName, metric: Literal["accuracy", "fooled"], target: float
) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """A `Phase.until`: the metric has got to the target, in the player's favour.

    Args:
      player: whose phase it is. The discriminator wants accuracy up and fooled down, the generator the
        other way round.
      metric: 'accuracy' or 'fooled', shares in [0, 1].
      target: where the phase ends; the update that reaches it is the last.
    """
    if (player == "discriminator") == (metric == "accuracy"):
        return lambda metrics: metrics[metric] >= target - _ROUNDING
    return lambda metrics: metrics[metric] <= target + _ROUNDING


def updates_per_step(alternation: Sequence[Phase], player: PlayerName) -> int:
    """The most updates that a player makes in one training step."""
    return sum(phase.steps for phase in alternation if phase.player == player)


def batches_per_step(alternation: Sequence[Phase]) -> int:
    """The leading axis n of a training step's batch: one for each update of the discriminator, if it plays.

    It takes them in turn, so that it sees each example once an epoch. The generator, whose noise is new at
    each update, goes through the same ones from the first on, and over again if it makes more updates.
    """
    return updates_per_step(alternation, "discriminator") or updates_per_step(alternation, "generator")
