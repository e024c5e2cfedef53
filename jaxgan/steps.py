"""The adversarial step: one update of a player, and their alternation.

Everything here is pure and written for one device's share of a batch. Under `jax.jit` the share is the whole
batch; under `jax.shard_map(..., check_vma=False)` or `jax.pmap`, `Game.axis_name` names the mapped axis, and
gradients and metrics are averaged over it, and modules built with the same `axis_name` average their batch
statistics. All randomness of an example comes from the run's key, the step, the phase, the update and the
example's index in the global batch, so that the number of devices changes nothing but rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan.alternation import ALTERNATE, Phase, PlayerName, batches_per_step, updates_per_step
from jaxgan.losses import Loss
from jaxgan.penalties import Penalty
from jaxgan.state import GANState, Network, Player, Variables, collections
from jaxgan.tasks import Task

Metrics = dict[str, jax.Array]
TrainStep = Callable[[GANState, Any, jax.Array], tuple[GANState, Metrics]]


class Game(NamedTuple):
    """The static half of adversarial training: who plays, for what, and how they learn.

    Attributes:
      task: what G is given and D judges.
      generator: Linen module, deterministic: its noise is among its inputs.
      discriminator: Linen module, deterministic too.
      loss: what each player minimises.
      optimizers: an optax transformation for each player.
      penalties: added to the discriminator's loss, by name.
      term_weights: weights of the task's further generator losses, by name.
      axis_name: the mapped axis that a step runs under, or None.
    """

    task: Task
    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    optimizers: Mapping[PlayerName, optax.GradientTransformation]
    penalties: Mapping[str, Penalty] = {}
    term_weights: Mapping[str, float] = {}
    axis_name: str | None = None


def init_state(game: Game, batch: Any, key: jax.Array) -> GANState:
    """The state before the first step. Call it under `jit`: it traces both networks once.

    Args:
      game: the players.
      batch: a training step's batch, leaves [n,B,...]; only shapes and dtypes matter.
      key: the run's PRNG key.

    Returns:
      GANState; the average of the generator's variables starts as a copy of them.
    """
    init_key, _ = jax.random.split(key)  # the other half is the training step's
    generator_key, discriminator_key, example_key = jax.random.split(init_key, 3)
    batch = jax.tree.map(lambda leaf: leaf[0], batch)
    example = game.task.prepare(batch, _example_keys(example_key, batch, None))
    generator = Network(game.generator, train=True, key=generator_key)
    discriminator = Network(game.discriminator, train=True, key=discriminator_key)
    fake = game.task.generate(generator, example.given)
    game.task.judge(discriminator, fake, example.given)

    def player(name: PlayerName, variables: Variables) -> Player:
        optimizer = game.optimizers[name].init(variables["params"])
        return Player(variables["params"], collections(variables), optimizer)

    return GANState(
        step=jnp.int32(0),
        images=jnp.int32(0),
        generator=player("generator", generator.variables),
        discriminator=player("discriminator", discriminator.variables),
        ema=jax.tree.map(jnp.copy, generator.variables),
    )


def update_discriminator(game: Game, state: GANState, batch: Any, key: jax.Array) -> tuple[GANState, Metrics]:
    """One update of the discriminator; nothing else in the state changes.

    Args:
      game: the static half.
      state: the state.
      batch: leaves [B,...], this device's share.
      key: of this update, the same on every device.

    Returns:
      The state, and metrics, scalars: `loss` (without penalties), `penalty_NAME` (weighted), `accuracy`
      (share of right decisions), `fooled` (share of fakes taken for real), `logits_real`, `logits_fake`,
      `grad_norm`, `finite` (bool: loss and gradients).
    """
    task = game.task
    example = task.prepare(batch, _example_keys(key, batch, game.axis_name))
    generator = Network(game.generator, state.generator.variables, train=True)
    fake = task.generate(generator, example.given)

    def objective(params: Any) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        variables = {"params": params, **state.discriminator.collections}
        discriminator = Network(game.discriminator, variables, train=True)
        real_logits = task.judge(discriminator, example.real, example.given)
        fake_logits = task.judge(discriminator, fake, example.given)

        def critic(images: jax.Array) -> jax.Array:
            return task.judge(discriminator.frozen, images, example.given)

        loss = jnp.mean(game.loss.discriminator(real_logits, fake_logits))
        terms = {
            f"penalty_{name}": penalty.weight
            * jnp.mean(penalty.function(critic, penalty.at(example.real, fake)))
            for name, penalty in game.penalties.items()
        }
        metrics = {"loss": loss, **terms, **_decisions(game.loss, real_logits, fake_logits)}
        return loss + sum(terms.values()), (collections(discriminator.variables), metrics)

    player, metrics = _descend(game, "discriminator", state.discriminator, objective)
    return state.replace(discriminator=player), metrics


def update_generator(game: Game, state: GANState, batch: Any, key: jax.Array) -> tuple[GANState, Metrics]:
    """One update of the generator; nothing else in the state changes.

    Args and metrics are those of `update_discriminator`; instead of penalties there are the task's
    further terms, `term_NAME` (weighted).

    Raises:
      ValueError: the task's terms and `game.term_weights` have different names.
    """
    task = game.task
    example = task.prepare(batch, _example_keys(key, batch, game.axis_name))

    def objective(params: Any) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        variables = {"params": params, **state.generator.collections}
        generator = Network(game.generator, variables, train=True)
        discriminator = Network(game.discriminator, state.discriminator.variables, train=True)
        fake = task.generate(generator, example.given)
        real_logits = task.judge(discriminator, example.real, example.given)
        fake_logits = task.judge(discriminator, fake, example.given)
        loss = jnp.mean(game.loss.generator(real_logits, fake_logits))
        terms = _weighted_terms(game, generator, discriminator, example, fake)
        metrics = {"loss": loss, **terms, **_decisions(game.loss, real_logits, fake_logits)}
        return loss + sum(terms.values()), (collections(generator.variables), metrics)

    player, metrics = _descend(game, "generator", state.generator, objective)
    return state.replace(generator=player), metrics


UPDATES = {"generator": update_generator, "discriminator": update_discriminator}


def make_train_step(
    game: Game, *, alternation: Sequence[Phase] = ALTERNATE, ema_half_life: float = 0.0
) -> TrainStep:
    """The training step: every phase of the alternation in turn, then the generator's average.

    Args:
      game: the static half.
      alternation: the phases of one step.
      ema_half_life: in images shown to the discriminator; 0 makes the average a copy.

    Returns:
      train_step(state, batch, key) -> (state, metrics), pure. `batch` has leaves [n,B,...] with
      n = batches_per_step(alternation), which says who takes which. `key` is the run's, the same
      at every step. Metrics are those of each player's last update, named `loss/d`, `loss/g` and so on,
      `updates/d`, `updates/g`, and `images`, those shown so far. If a loss or a gradient was not finite,
      `finite/d` or `finite/g` is False and the state is returned as it came.

    Raises:
      ValueError: no phases, or one of less than one step.
    """
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
            phase_key = jax.random.fold_in(step_key, index)
            first = updates_per_step(alternation[:index], phase.player)
            new, metrics = _run_phase(game, phase, new, batch, phase_key, first=first)
            if before := last.get(phase.player):
                metrics["updates"] += before["updates"]
                metrics["finite"] &= before["finite"]
            last[phase.player] = metrics
        updates, finite = (jnp.stack([last[p][name] for p in last]) for name in ("updates", "finite"))
        images = jnp.minimum(updates.max(), count) * _batch_size(batch) * _devices(game.axis_name)
        ema = _average(state.ema, new.generator.variables, images, ema_half_life)
        new = new.replace(step=state.step + 1, images=state.images + images, ema=ema)
        new = jax.tree.map(lambda after, before: jnp.where(finite.all(), after, before), new, state)
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

    if phase.steps == 1:
        return update(state, jnp.int32(0))
    _, metrics = jax.eval_shape(update, state, jnp.int32(0))
    none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    return jax.lax.while_loop(unfinished, again, (state, none))


def _descend(
    game: Game,
    name: PlayerName,
    player: Player,
    objective: Callable[[Any], tuple[jax.Array, tuple[Variables, Metrics]]],
) -> tuple[Player, Metrics]:
    """One step of the player's optimiser down the gradient of its objective, averaged over devices."""
    grads, (new_collections, metrics) = jax.grad(objective, has_aux=True)(player.params)
    grads, metrics = _mean((grads, metrics), game.axis_name)
    updates, optimizer = game.optimizers[name].update(grads, player.optimizer, player.params)
    params = optax.apply_updates(player.params, updates)
    norm = optax.tree.norm(grads)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
    return Player(params, new_collections, optimizer), metrics | {
        "grad_norm": norm,
        "finite": finite,
    }


def _weighted_terms(game: Game, *networks_and_samples: Any) -> Metrics:
    terms = game.task.generator_terms(*networks_and_samples)
    if terms.keys() != game.term_weights.keys():
        raise ValueError(
            f"The task's further generator losses are {sorted(terms)}, and weights were given for "
            f"{sorted(game.term_weights)}. Give each a weight, 0 to leave it out."
        )
    return {f"term_{name}": game.term_weights[name] * jnp.mean(term) for name, term in terms.items()}


def _decisions(loss: Loss, real_logits: jax.Array, fake_logits: jax.Array) -> Metrics:
    """What the discriminator's logits amount to, against the loss's boundary or, without, each other."""
    if loss.boundary is None:
        taken_for_real, right = fake_logits > real_logits, real_logits > fake_logits
    else:
        taken_for_real, right = fake_logits > loss.boundary, real_logits > loss.boundary
    return {
        "accuracy": 0.5 * (jnp.mean(right) + 1.0 - jnp.mean(taken_for_real)),
        "fooled": jnp.mean(taken_for_real),
        "logits_real": jnp.mean(real_logits),
        "logits_fake": jnp.mean(fake_logits),
    }


def _average(average: Variables, variables: Variables, images: jax.Array, half_life: float) -> Variables:
    """Exponential moving average. Source: Karras et al. 2018 (progressive GANs), appendix A.1.

    The decay is given as a half-life in images, so that it does not depend on the batch's size.
    """
    weight = -jnp.expm1(-jnp.log(2.0) * images / half_life) if half_life else 1.0
    return optax.incremental_update(variables, average, weight)


def _example_keys(key: jax.Array, batch: Any, axis_name: str | None) -> jax.Array:
    """A key [B] for each example of this device's share, by its index in the global batch."""
    size = len(jax.tree.leaves(batch)[0])
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * size
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(size))


def _check_batch(batch: Any, batches: int) -> None:
    wrong = [leaf.shape for leaf in jax.tree.leaves(batch) if leaf.ndim < 2 or len(leaf) != batches]
    if wrong:
        given = ", ".join(f"[{','.join(map(str, shape))}]" for shape in wrong)
        raise ValueError(f"This alternation takes a batch with leaves [{batches},B,...]; got {given}.")


def _batch_size(batch: Any) -> int:
    return jax.tree.leaves(batch)[0].shape[1]


def _devices(axis_name: str | None) -> int:
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def _mean(tree: Any, axis_name: str | None) -> Any:
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)
