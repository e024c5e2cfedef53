"""Values that move with the images shown: rates, betas, weights, probabilities and half-lives in one form."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array], jax.Array]  # images shown, [] -> value, []
Value = float | Schedule
Kind = Literal["constant", "linear", "cosine"]
KINDS = get_args(Kind)


class Piece(NamedTuple):
    """A stretch of a schedule.

    Attributes:
      kind: 'constant' keeps `first`, 'linear' and 'cosine' go from `first` to `last`, the latter starting and
        arriving at rest (half a wave: Loshchilov & Hutter 2017, eq. 5, without restarts).
      first: value at `start`.
      last: value at `stop` and, if no other piece follows, from there on.
      start: images shown when it begins; before the first piece its `first` holds.
      stop: images shown when it ends, beyond `start`.
    """

    kind: Kind
    first: float
    last: float
    start: float
    stop: float


def make_schedule(pieces: Sequence[Piece]) -> Schedule:
    """A function of the images shown, from pieces that follow each other; a gap keeps the last value.

    Args:
      pieces: in the order of their beginnings, not overlapping, such as a climb and a decay.

    Raises:
      ValueError: no piece, an unknown kind, or pieces that overlap or end before they begin.
    """
    if not pieces:
        raise ValueError("A schedule needs a piece.")
    end = 0.0
    for piece in pieces:
        if piece.kind not in KINDS:
            raise ValueError(f"{piece.kind!r} is no kind of schedule; expected one of {', '.join(KINDS)}.")
        if not end <= piece.start < piece.stop:
            raise ValueError(
                f"A schedule's piece goes from {piece.start:g} to {piece.stop:g} images; expected it to "
                f"begin at {end:g} or later, and to end after it began."
            )
        end = piece.stop

    def schedule(images: jax.Array) -> jax.Array:
        images = jnp.asarray(images, jnp.result_type(float))
        value = _value(pieces[0], images)
        for piece in pieces[1:]:
            value = jnp.where(images < piece.start, value, _value(piece, images))
        return value

    return schedule


def _value(piece: Piece, images: jax.Array) -> jax.Array:
    share = jnp.clip((images - piece.start) / (piece.stop - piece.start), 0.0, 1.0)
    if piece.kind == "constant":
        share = jnp.zeros_like(share)
    if piece.kind == "cosine":
        share = 0.5 - 0.5 * jnp.cos(jnp.pi * share)
    return piece.first + share * (piece.last - piece.first)


def value_at(value: Value, images: jax.Array) -> jax.Array | float:
    """The value when this many images have been shown."""
    return value(images) if callable(value) else value


def scheduled(
    make: Callable[[jax.Array], optax.GradientTransformation],
) -> optax.GradientTransformationExtraArgs:
    """An optimiser whose numbers follow schedules: `update` takes `images`, those shown so far, [].

    Args:
      make: images shown -> the optimiser as of then; the structure of its state must not depend on them.
    """

    def init(params: optax.Params) -> optax.OptState:
        return make(jnp.zeros(())).init(params)

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        images: jax.Array,
        **unused: object,
    ) -> tuple[optax.Updates, optax.OptState]:
        return make(images).update(updates, state, params)

    return optax.GradientTransformationExtraArgs(init, update)
