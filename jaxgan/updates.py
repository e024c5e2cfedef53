"""One update of a player: its objective on a batch, and a step of its optimiser.

Everything here is pure and written for one device's share of a batch. Under `jax.jit` the share is the whole
batch; under `jax.shard_map(..., check_vma=False)` or `jax.pmap`, `Game.axis_name` names the mapped axis, and
gradients and metrics are averaged over it, losses see the logits of the whole batch, and modules built with
the same `axis_name` average their batch statistics. An example's randomness comes from its own key, which its
index in the global batch makes, so that the number of devices changes nothing but rounding.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan import losses
from jaxgan.alternation import PlayerName
from jaxgan.augment import Augmentation, sign_mean
from jaxgan.penalties import Penalty, Scene
from jaxgan.schedules import Value, value_at
from jaxgan.state import GANState, Network, Player, Variables, collections
from jaxgan.tasks import Round, Task

Metrics = dict[str, jax.Array]
# What an example's key is folded with; the task has split it, which is to fold it with 0 and 1.
_REAL, _FAKE, _PENALTY, _MEMORY = 2, 3, 4, 5
TASK = "task"  # what the task remembers, among the memories of penalties


class Game(NamedTuple):
    """The static half of adversarial training: who plays, for what, and how they learn.

    Numbers may be schedules, functions of the images shown so far.

    Attributes:
      task: what G is given and D judges.
      generator: Linen module, deterministic: latents, and keys of its noise, are among its inputs.
      discriminator: Linen module, deterministic too.
      loss: what each player minimises.
      optimizers: an optax transformation for each player; its `update` is told `images`, those shown so far.
      penalties: added to the players' losses, by name.
      adversarial: the weight of `loss` in the generator's objective. The number 0 leaves it out: G learns
        from the task's further losses alone, and D is not computed.
      term_weights: weights of the task's further losses, by name.
      augmentation: what the discriminator sees all images through, or None.
      top_k: the share of the fakes, those most real to D, that the generator learns from.
      accumulate: parts that a batch is cut into, whose gradients are averaged: less memory, the same update
        for losses that take each example for itself and networks without batch statistics.
      axis_name: the mapped axis that a step runs under, or None.
    """

    task: Task
    generator: nn.Module
    discriminator: nn.Module
    loss: losses.Loss
    optimizers: Mapping[PlayerName, optax.GradientTransformation]
    penalties: Mapping[str, Penalty] = {}
    adversarial: Value = 1.0
    term_weights: Mapping[str, Value] = {}
    augmentation: Augmentation | None = None
    top_k: Value = 1.0
    accumulate: int = 1
    axis_name: str | None = None


def update_discriminator(game: Game, state: GANState, batch: Any, key: jax.Array) -> tuple[GANState, Metrics]:
    """One update of the discriminator, and what its penalties and the augmentation's controller remember.

    Args:
      game: the static half.
      state: the state.
      batch: leaves [B,...], this device's share.
      key: of this update, the same on every device.

    Returns:
      The state, and metrics, scalars: `loss` (without penalties), `penalty_NAME` and `term_NAME` (weighted),
      `accuracy` (share of right decisions), `fooled` (share of fakes taken for real), `logits_real`,
      `logits_fake`, `grad_norm`, `finite` (bool: loss and gradients), and with an augmentation `p`.

    Raises:
      ValueError: the batch does not divide by `game.accumulate`.
    """
    state, metrics = _update(game, "discriminator", state, batch, key)
    if game.augmentation is not None:
        shown = len(jax.tree.leaves(batch)[0]) * devices_on(game.axis_name)
        metrics["p"] = state.augmentation.p
        controller = game.augmentation.observe(state.augmentation, metrics["sign_real"], shown)
        state = state.replace(augmentation=controller)
    return state, metrics


def update_generator(game: Game, state: GANState, batch: Any, key: jax.Array) -> tuple[GANState, Metrics]:
    """One update of the generator, and what its penalties remember; nothing else in the state changes.

    Args, metrics and errors are those of `update_discriminator`.
    """
    return _update(game, "generator", state, batch, key)


def _update(
    game: Game, name: PlayerName, state: GANState, batch: Any, key: jax.Array
) -> tuple[GANState, Metrics]:
    """One step of the player's optimiser down the gradient of its objective, averaged over devices."""
    player: Player = getattr(state, name)
    gradient = jax.grad(partial(objective, game, name, state), has_aux=True)

    def learn_from(part: tuple[Any, jax.Array], collections: Variables) -> tuple[Variables, Any]:
        grads, (collections, memories, metrics) = gradient(player.params, collections, *part)
        return collections, (grads, memories, metrics)

    def add(carry: tuple[Variables, Any], part: tuple[Any, jax.Array]) -> tuple[tuple[Variables, Any], None]:
        collections, learnt = learn_from(part, carry[0])
        return (collections, jax.tree.map(jnp.add, carry[1], learnt)), None

    whole = batch, example_keys(key, batch, game.axis_name)
    if game.accumulate == 1:
        collections, learnt = learn_from(whole, player.collections)
    else:
        first, rest = _parts(whole, game.accumulate)
        (collections, learnt), _ = jax.lax.scan(add, learn_from(first, player.collections), rest)
        learnt = jax.tree.map(lambda total: total / game.accumulate, learnt)
    grads, memories, metrics = mean_over(learnt, game.axis_name)
    optimizer = optax.with_extra_args_support(game.optimizers[name])
    updates, optimizer_state = optimizer.update(grads, player.optimizer, player.params, images=state.images)
    norm = optax.tree.norm(grads)
    metrics |= {"grad_norm": norm, "finite": jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)}
    player = Player(optax.apply_updates(player.params, updates), collections, optimizer_state)
    return state.replace(**{name: player}, memories={**state.memories, **memories}), metrics


def objective(
    game: Game,
    name: PlayerName,
    state: GANState,
    params: Any,
    own_collections: Variables,
    batch: Any,
    keys: jax.Array,
) -> tuple[jax.Array, tuple[Variables, Mapping[str, Any], Metrics]]:
    """What the player minimises, its collections, what its penalties remember, and metrics."""
    task = game.task
    variables = {"generator": state.generator.variables, "discriminator": state.discriminator.variables}
    variables[name] = {"params": params, **own_collections}
    networks = {
        "generator": Network(game.generator, variables["generator"], train=True),
        "discriminator": Network(game.discriminator, variables["discriminator"], train=True),
    }
    generator, discriminator = networks.values()
    example = task.prepare(batch, keys)
    fake = task.generate(generator, example.given)
    whole = partial(all_over, axis_name=game.axis_name)
    fake, memories = _recalled(game, name, state, fake, keys)
    seen = partial(_seen, game, state, keys)
    on_real = task.judge(discriminator, seen(example.real, _REAL), example.given)
    on_fake = task.judge(discriminator, seen(fake, _FAKE), example.given)
    real_logits, fake_logits = on_real.logits, on_fake.logits
    _check_logits(game, real_logits, fake_logits)
    scene = Scene(
        critic=lambda images: task.judge(discriminator.frozen, seen(images, _REAL), example.given).logits,
        generate=lambda given: task.generate(generator.frozen, given),
        given=example.given,
        code=partial(task.code, generator.frozen),
        real=example.real,
        fake=fake,
        real_logits=real_logits,
        fake_logits=fake_logits,
        params=params,
        keys=fold(keys, _PENALTY),
    )
    penalties, remembered = _penalties(game, name, state, scene)
    extra = getattr(task, f"{name}_terms")(
        Round(generator, discriminator, example, fake, on_real, on_fake, whole)
    )
    terms = penalties | _weighted(game, extra, state.images)
    judged = [
        _judged(game, name, state, *logits)
        for logits in zip(jax.tree.leaves(real_logits), jax.tree.leaves(fake_logits), strict=True)
    ]
    loss = jnp.sum(jnp.stack([loss for loss, _ in judged]))
    total, metrics = sum(terms.values(), jnp.zeros_like(loss)), dict(terms)
    if name == "generator" and not callable(game.adversarial) and game.adversarial == 0.0:
        metrics["loss"] = total
    else:
        weight = value_at(game.adversarial, state.images) if name == "generator" else 1.0
        total = weight * loss + total
        metrics |= {
            "loss": loss,
            **jax.tree.map(lambda *said: sum(said) / len(said), *(m for _, m in judged)),
        }
    return total, (collections(networks[name].variables), memories | remembered, metrics)


def _recalled(
    game: Game, name: PlayerName, state: GANState, fake: Any, keys: jax.Array
) -> tuple[Any, dict[str, Any]]:
    """The fakes that the player's update is about, and what the task remembers of them, if it does."""
    if name == "generator" or game.task.recall is None:
        return fake, {}
    whole, own = partial(all_over, axis_name=game.axis_name), partial(_own, axis_name=game.axis_name)
    fake, memory = game.task.recall(state.memories[TASK], fake, fold(keys, _MEMORY), whole, own)
    return fake, {TASK: memory}


def _check_logits(game: Game, real_logits: Any, fake_logits: Any) -> None:
    if game.penalties and isinstance(real_logits, tuple):
        raise ValueError(
            f"The penalties {', '.join(game.penalties)} are of one discriminator's logits, and this one has "
            f"{len(real_logits)} discriminators; leave them out."
        )
    real, fake = (jax.tree.map(jnp.shape, logits) for logits in (real_logits, fake_logits))
    if real != fake:
        raise ValueError(
            f"The discriminator's logits are {real} of reals and {fake} of fakes; "
            "expected one shape, [B] or [B,h,w]: is `judge` given samples of one size?"
        )


def _judged(
    game: Game, name: PlayerName, state: GANState, real_logits: jax.Array, fake_logits: jax.Array
) -> tuple[jax.Array, Metrics]:
    """The player's loss against one discriminator, and what its logits amount to.

    The mean over the whole batch, for losses that compare its examples: the same on every device.
    """
    loss = game.loss
    if callable(game.top_k) or game.top_k < 1.0:
        loss = losses.top_k(loss, value_at(game.top_k, state.images))
    metrics = _decisions(game.loss, real_logits, fake_logits)
    if game.augmentation is not None:
        boundary = fake_logits if game.loss.boundary is None else game.loss.boundary
        metrics["sign_real"] = sign_mean(real_logits, boundary=boundary)
    return jnp.mean(getattr(loss, name)(*all_over((real_logits, fake_logits), game.axis_name))), metrics


def _seen(game: Game, state: GANState, keys: jax.Array, sample: Any, salt: int) -> Any:
    """A sample as the discriminator is shown it; all its images are changed alike."""
    if game.augmentation is None:
        return sample
    keys, p, augment = fold(keys, salt), state.augmentation.p, game.augmentation.apply
    return jax.tree.map(lambda images: augment(images, keys, p=p), sample)


def _penalties(game: Game, name: PlayerName, state: GANState, scene: Scene) -> tuple[Metrics, dict[str, Any]]:
    """The player's penalties, weighted, by `penalty_NAME`, and what they remember now, by name."""
    values, memories = dict[str, jax.Array](), dict[str, Any]()
    for key, penalty in game.penalties.items():
        if penalty.player != name:
            continue

        def taken(memory: Any, penalty: Penalty = penalty) -> tuple[jax.Array, Any]:
            value, memory = penalty.function(scene, memory)
            return penalty.every * jnp.mean(value), memory

        memory = state.memories[key]
        if penalty.every == 1:
            value, memories[key] = taken(memory)
        else:
            due, dtype = state.step % penalty.every == 0, jax.eval_shape(taken, memory)[0].dtype
            left_out = jnp.zeros((), dtype), memory
            value, memories[key] = jax.lax.cond(due, taken, lambda _, left_out=left_out: left_out, memory)
        values[f"penalty_{key}"] = value_at(penalty.weight, state.images) * value
    return values, memories


def _weighted(game: Game, terms: Mapping[str, jax.Array], images: jax.Array) -> Metrics:
    if terms.keys() - game.term_weights.keys():
        raise ValueError(
            f"The task's further losses are {sorted(terms)}, and weights were given for "
            f"{sorted(game.term_weights)}. Give each a weight, 0 to leave it out."
        )
    weights = {name: value_at(game.term_weights[name], images) for name in terms}
    return {f"term_{name}": weights[name] * jnp.mean(term) for name, term in terms.items()}


def _decisions(loss: losses.Loss, real_logits: jax.Array, fake_logits: jax.Array) -> Metrics:
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


def example_keys(key: jax.Array, batch: Any, axis_name: str | None) -> jax.Array:
    """A key [B] for each example of this device's share, by its index in the global batch."""
    size = len(jax.tree.leaves(batch)[0])
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * size
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(size))


def fold(keys: jax.Array, salt: int) -> jax.Array:
    """Keys [B] for another use of the same examples."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, salt)


def _parts(tree: Any, count: int) -> tuple[Any, Any]:
    """[B,...] -> [B/count,...] and the others, [count-1,B/count,...].

    Every part is from all over the batch, so that devices share each.
    """

    def cut(leaf: jax.Array) -> jax.Array:
        if len(leaf) % count:
            raise ValueError(f"A device's {len(leaf)} examples cannot be cut into {count} equal parts.")
        return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)

    cuts = jax.tree.map(cut, tree)
    return jax.tree.map(lambda leaf: leaf[0], cuts), jax.tree.map(lambda leaf: leaf[1:], cuts)


def devices_on(axis_name: str | None) -> int:
    """How many devices share a batch."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def mean_over(tree: Any, axis_name: str | None) -> Any:
    """The mean over devices of every leaf."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def all_over(tree: Any, axis_name: str | None) -> Any:
    """The leaves [B,...] of all devices, one after the other.

    Every device then computes the same loss of them; its gradients, averaged over devices, are the loss's.
    """
    return tree if axis_name is None else jax.lax.all_gather(tree, axis_name, tiled=True)


def _own(tree: Any, axis_name: str | None) -> Any:
    """Of the leaves [N,...] of all devices this one's, [B,...]: the inverse of `all_over`."""
    if axis_name is None:
        return tree
    index, count = jax.lax.axis_index(axis_name), jax.lax.axis_size(axis_name)
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, index * (len(leaf) // count), len(leaf) // count),
        tree,
    )
