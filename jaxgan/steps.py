"""The training step: players' updates in turn, then the generator's average.

Pure, and written for one device's share of a batch like `jaxgan.updates`. All randomness comes from the run's
key, the step, the phase, the update and the example's index in the global batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan.alternation import ALTERNATE, Phase, PlayerName, batches_per_step, updates_per_step
from jaxgan.schedules import Value, value_at
from jaxgan.state import GANState, Network, Player, Variables, collections
from jaxgan.updates import (
    TASK,
    Game,
    Metrics,
    devices_on,
    example_keys,
    update_discriminator,
    update_generator,
)

TrainStep = Callable[[GANState, Any, jax.Array], tuple[GANState, Metrics]]
# Metrics of D's logits of reals, of which G's update is spared where neither its loss nor its end needs them.
REAL = ("accuracy", "logits_real", "sign_real")
AVERAGES = "averages"  # the collection of what a generator averages over time by itself
# Updates of a phase up to which there is no loop: XLA's CPU backend is several times slower in one.
UNROLLED = 5
UPDATES = {"generator": update_generator, "discriminator": update_discriminator}


def init_state(game: Game, batch: Any, key: jax.Array) -> GANState:
    """The state before the first step. Call it under `jit`: it traces both networks once.

    Args:
      game: the players.
      batch: a training step's batch, leaves [n,B,...]; only shapes and dtypes matter.
      key: the run's PRNG key.

    Returns:
      GANState; the average of the generator's variables starts as a copy of them.

    Raises:
      ValueError: numbers of the game that cannot be; a penalty on each example by itself, and batch
        normalisation in that player, which mixes them. (Other layers that mix are not found out.)
    """
    check_game(game)
    init_key, _ = jax.random.split(key)  # the other half is the training step's
    generator_key, discriminator_key, example_key = jax.random.split(init_key, 3)
    batch = jax.tree.map(lambda leaf: leaf[0], batch)
    example = game.task.prepare(batch, example_keys(example_key, batch, None))
    generator = Network(game.generator, train=True, key=generator_key)
    discriminator = Network(game.discriminator, train=True, key=discriminator_key)
    fake = game.task.generate(generator, example.given)
    game.task.judge(discriminator, fake, example.given)
    _refuse_mixing(game, {"generator": generator.variables, "discriminator": discriminator.variables})

    def player(name: PlayerName, variables: Variables) -> Player:
        optimizer = game.optimizers[name].init(variables["params"])
        return Player(variables["params"], collections(variables), optimizer)

    memories = {name: jax.tree.map(_number, penalty.memory) for name, penalty in game.penalties.items()}
    if game.task.recall is not None:
        memories[TASK] = game.task.memory(example, fake)
    return GANState(
        step=jnp.int32(0),
        images=jnp.int32(0),
        generator=player("generator", generator.variables),
        discriminator=player("discriminator", discriminator.variables),
        ema=jax.tree.map(jnp.copy, generator.variables),
        memories=memories,
        augmentation=() if game.augmentation is None else game.augmentation.init(),
    )


def make_train_step(
    game: Game,
    *,
    alternation: Sequence[Phase] = ALTERNATE,
    fresh_fakes: bool = True,
    ema_half_life: Value = 0.0,
) -> TrainStep:
    """The training step: every phase of the alternation in turn, then the generator's average.

    Args:
      game: the static half.
      alternation: the phases of one step.
      fresh_fakes: each phase has randomness of its own. False: of all phases an update has that of its
        number, so that G learns from the fakes that D was shown; XLA then makes them once.
      ema_half_life: in images shown, or a schedule of it; the number 0 makes the average a copy.

    Returns:
      train_step(state, batch, key) -> (state, metrics), pure. `batch` has leaves [n,B,...] with
      n = batches_per_step(alternation), which says who takes which. `key` is the run's, the same
      at every step. Metrics are those of each player's last update, named `loss/d`, `loss/g` and so on
      (what D makes of reals, `REAL`, of D alone, unless G's phase ends by a metric),
      `updates/d`, `updates/g`, and `images`, those shown so far. If a loss or a gradient was not finite,
      `finite/d` or `finite/g` is False and the state is returned as it came.

    Raises:
      ValueError: no phases, or one of less than one step; numbers of the game that cannot be.
    """
    check_game(game)
    if not alternation or any(phase.steps < 1 for phase in alternation):
        raise ValueError(f"An alternation needs phases of at least one step each, got {alternation}.")
    count = batches_per_step(alternation)

    def train_step(state: GANState, batch: Any, key: jax.Array) -> tuple[GANState, Metrics]:
        batch = jax.tree.map(jnp.asarray, batch)
        _check_batch(batch, count)
        _, run_key = jax.random.split(key)
        step_key = jax.random.fold_in(run_key, state.step)
        new, last = state, dict[PlayerName, Metrics]()
        for index, phase in enumerate(alternation):
            phase_key = jax.random.fold_in(step_key, index if fresh_fakes else 0)
            first = updates_per_step(alternation[:index], phase.player)
            new, metrics = _run_phase(game, phase, new, batch, phase_key, first=first)
            if before := last.get(phase.player):
                metrics["updates"] += before["updates"]
                metrics["finite"] &= before["finite"]
            last[phase.player] = metrics
        updates, finite = (jnp.stack([last[p][name] for p in last]) for name in ("updates", "finite"))
        images = jnp.minimum(updates.max(), count) * _batch_size(batch) * devices_on(game.axis_name)
        ema = new.generator.variables
        if callable(ema_half_life) or ema_half_life > 0.0:
            weight = _weight(images, value_at(ema_half_life, state.images))
            averaged = optax.incremental_update(ema, state.ema, weight)
            ema = {**averaged, **{name: ema[name] for name in ema if name == AVERAGES}}
        new = new.replace(step=state.step + 1, images=state.images + images, ema=ema)
        if game.augmentation is not None:
            new = new.replace(augmentation=game.augmentation.advance(new.augmentation, new.images))
        new = jax.lax.cond(finite.all(), lambda: new, lambda: state)
        named = {f"{name}/{player[0]}": x for player, metrics in last.items() for name, x in metrics.items()}
        return new, named | {"images": new.images}

    return train_step


def _run_phase(
    game: Game, phase: Phase, state: GANState, batch: Any, key: jax.Array, *, first: int
) -> tuple[GANState, Metrics]:
    """The state and the last update's metrics, with `updates`, the number of those made, int32 [].

    Update i takes batch first + i, and after the last batch the first one again.
    """

    def update(state: GANState, i: jax.Array) -> tuple[GANState, Metrics]:
        part = jax.tree.map(lambda leaf: leaf[(first + i) % len(leaf)], batch)
        new, metrics = UPDATES[phase.player](game, state, part, jax.random.fold_in(key, i))
        if phase.player == "generator" and phase.until is None:
            metrics = {name: value for name, value in metrics.items() if name not in REAL}
        return new, metrics | {"updates": i + 1}

    def unfinished(carry: tuple[GANState, Metrics]) -> jax.Array:
        _, metrics = carry
        more = (metrics["updates"] < phase.steps) & metrics["finite"]
        if phase.until is not None:
            more &= ~phase.until(metrics)
        return more | (metrics["updates"] == 0)

    def again(carry: tuple[GANState, Metrics]) -> tuple[GANState, Metrics]:
        state, metrics = carry
        return update(state, metrics["updates"])

    if phase.until is None and phase.steps <= UNROLLED:
        state, metrics = update(state, jnp.int32(0))
        for i in range(1, phase.steps):
            finite = metrics["finite"]
            state, metrics = update(state, jnp.int32(i))
            metrics["finite"] &= finite
        return state, metrics
    _, metrics = jax.eval_shape(update, state, jnp.int32(0))
    none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    return jax.lax.while_loop(unfinished, again, (state, none))


def _weight(images: jax.Array, half_life: jax.Array | float) -> jax.Array:
    """Of the newest variables in their average. Source: Karras et al. 2018 (progressive GANs), appendix A.1.

    The decay is given as a half-life in images, so that it does not depend on the batch's size.
    """
    return -jnp.expm1(-jnp.log(2.0) * images / half_life)


def check_game(game: Game) -> None:
    """Raises a ValueError where numbers and names of a game cannot be."""
    for name, penalty in game.penalties.items():
        if penalty.player not in UPDATES or penalty.every < 1:
            raise ValueError(
                f"The penalty {name!r} is of the player {penalty.player!r}, every {penalty.every} steps; "
                f"expected one of {', '.join(UPDATES)}, and 1 or more."
            )
    weights = {name: penalty.weight for name, penalty in game.penalties.items()} | {**game.term_weights}
    for name, weight in weights.items():
        if not callable(weight) and not 0.0 <= weight < float("inf"):
            raise ValueError(f"The weight of {name!r} is {weight}, expected a number from 0, or a schedule.")
    if not callable(game.top_k) and not 0.0 < game.top_k <= 1.0:
        raise ValueError(f"top_k is {game.top_k}, expected a share above 0 and up to 1, or a schedule.")
    if game.accumulate < 1:
        raise ValueError(f"accumulate is {game.accumulate}, expected 1 or more parts of a batch.")
    if game.accumulate > 1 and game.task.recall is not None:
        raise ValueError(
            f"accumulate is {game.accumulate}, and the task remembers fakes; set accumulate to 1."
        )
    if game.accumulate > 1 and (game.loss.whole_batch or callable(game.top_k) or game.top_k < 1.0):
        raise ValueError(
            f"accumulate is {game.accumulate}, and the loss compares a batch's examples, which parts of it "
            "would change; set accumulate to 1, or take another loss, without top_k."
        )


def _refuse_mixing(game: Game, variables: Mapping[PlayerName, Variables]) -> None:
    for name, penalty in game.penalties.items():
        statistics = jax.tree_util.tree_leaves_with_path(variables[penalty.player].get("batch_stats", {}))
        mixes = any(path[-1].key == "mean" for path, _ in statistics)  # as Linen's BatchNorm calls it
        if mixes and penalty.by_example:
            raise ValueError(
                f"The penalty {name!r} needs the gradient of each example by itself, and the "
                f"{penalty.player}'s batch normalisation mixes them. Build it without, or drop the penalty."
            )


def _check_batch(batch: Any, batches: int) -> None:
    wrong = [leaf.shape for leaf in jax.tree.leaves(batch) if leaf.ndim < 2 or len(leaf) != batches]
    if wrong:
        given = ", ".join(f"[{','.join(map(str, shape))}]" for shape in wrong)
        raise ValueError(f"This alternation takes a batch with leaves [{batches},B,...]; got {given}.")


def _batch_size(batch: Any) -> int:
    return jax.tree.leaves(batch)[0].shape[1]


def _number(value: float) -> jax.Array:
    return jnp.asarray(value, jnp.result_type(float))
