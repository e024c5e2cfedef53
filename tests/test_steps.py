"""One adversarial step: who moves, on what, by how much."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import alternation, losses, penalties, steps, updates
from jaxgan.models import dcgan, mlp
from jaxgan.state import GANState
from jaxgan.tasks import synthesis

KEY = jax.random.key(0)
SHAPE, BATCH = (8, 8, 1), 6


def make_batch(updates=1, size=BATCH, seed=0):
    images = np.random.default_rng(seed).normal(size=(updates, size, *SHAPE)).astype(np.float32)
    return {"image": np.tanh(images)}


def make_game(**changes):
    fields = {
        "task": synthesis.make_task(4),
        "generator": dcgan.Generator(SHAPE, width=4, smallest=2),
        "discriminator": dcgan.Discriminator(SHAPE, width=4, smallest=2, norm="batch"),
        "loss": losses.non_saturating,
        "optimizers": {"generator": optax.sgd(0.1), "discriminator": optax.sgd(0.1)},
    }
    return steps.Game(**(fields | changes))


def start(game, batch=None):
    return jax.jit(partial(steps.init_state, game))(batch or make_batch(), KEY)


def first(batch):
    return jax.tree.map(lambda leaf: leaf[0], batch)


@pytest.mark.parametrize("fresh", [True, False])
def test_the_generator_learns_from_fakes_of_its_own_or_from_those_that_the_discriminator_was_shown(fresh):
    still = {"generator": optax.sgd(0.1), "discriminator": optax.sgd(0.0)}
    game = make_game(optimizers=still, discriminator=dcgan.Discriminator(SHAPE, width=4, smallest=2))
    step = jax.jit(steps.make_train_step(game, fresh_fakes=fresh))
    _, metrics = step(start(game), make_batch(), KEY)
    assert (metrics["logits_fake/d"] == metrics["logits_fake/g"]) != fresh


def points_game(loss=losses.non_saturating, rate=0.1, width=8, **changes):
    sgd = optax.sgd(rate)
    return steps.Game(
        synthesis.make_task(2),
        mlp.Generator((2,), width=width),
        mlp.Discriminator(width=width),
        loss,
        {"generator": sgd, "discriminator": sgd},
    )._replace(**changes)


def points(updates=1, size=16):
    return {"image": np.random.default_rng(1).normal(size=(updates, size, 2)).astype(np.float32)}


def differ(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def test_state_is_arrays_and_nothing_else():
    state = start(make_game())
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    chex.assert_trees_all_equal(state.ema, state.generator.variables)
    assert (int(state.step), int(state.images)) == (0, 0)


def test_initial_batch_statistics_are_untouched():
    state = start(make_game())
    means = [x for x in jax.tree.leaves(state.generator.collections) if x.ndim]
    assert {float(v) for x in means for v in x} == {0.0, 1.0}


def test_players_update_leaves_everything_else_bit_equal():
    game, batch = make_game(), first(make_batch())
    state = start(game)
    d_state, _ = jax.jit(partial(steps.update_discriminator, game))(state, batch, KEY)
    chex.assert_trees_all_equal(d_state.replace(discriminator=state.discriminator), state)
    assert differ(d_state.discriminator.params, state.discriminator.params)
    assert differ(d_state.discriminator.collections, state.discriminator.collections)
    g_state, _ = jax.jit(partial(steps.update_generator, game))(state, batch, KEY)
    chex.assert_trees_all_equal(g_state.replace(generator=state.generator), state)
    assert differ(g_state.generator.params, state.generator.params)
    assert differ(g_state.generator.collections, state.generator.collections)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_updates_are_gradient_descent_on_the_loss(name):
    """SGD's step, worked with plain applies of the networks."""
    game = points_game(losses.LOSSES[name], penalties={"r1": penalties.PENALTIES["r1"]._replace(weight=0.3)})
    state, batch = start(game, points()), first(points())
    example = game.task.prepare(batch, jax.vmap(jax.random.fold_in, (None, 0))(KEY, np.arange(16)))

    def generate(params):
        return game.generator.apply({"params": params}, example.given.latents, train=True)

    def judge(params, images):
        return game.discriminator.apply({"params": params}, images, train=True)

    def d_loss(params):
        real, fake = judge(params, example.real), judge(params, generate(state.generator.params))
        slopes = jax.vmap(jax.grad(lambda x: judge(params, x[None])[0]))(example.real)
        return jnp.mean(game.loss.discriminator(real, fake)) + 0.3 * 0.5 * jnp.mean(jnp.sum(slopes**2, -1))

    def g_loss(params):
        frozen = state.discriminator.params
        return jnp.mean(game.loss.generator(judge(frozen, example.real), judge(frozen, generate(params))))

    for player, loss, update in [
        ("discriminator", d_loss, steps.update_discriminator),
        ("generator", g_loss, steps.update_generator),
    ]:
        before = getattr(state, player).params
        expected = jax.tree.map(lambda p, g: p - 0.1 * g, before, jax.grad(loss)(before))
        after, _ = jax.jit(partial(update, game))(state, batch, KEY)
        chex.assert_trees_all_close(getattr(after, player).params, expected, atol=1e-6)
        assert differ(before, expected)


def test_metrics_say_what_the_logits_were():
    game = points_game(losses.least_squares)
    state, batch = start(game, points()), first(points())
    _, metrics = steps.update_discriminator(game, state, batch, KEY)
    example = game.task.prepare(batch, jax.vmap(jax.random.fold_in, (None, 0))(KEY, np.arange(16)))
    fake = game.generator.apply(state.generator.variables, example.given.latents, train=True)
    real_logits, fake_logits = (
        game.discriminator.apply(state.discriminator.variables, x, train=True) for x in (example.real, fake)
    )
    fooled = np.mean(fake_logits > 0.5)  # least squares with codes 0 and 1 is undecided at 1/2
    assert float(metrics["fooled"]) == pytest.approx(float(fooled))
    accuracy = (float(np.mean(real_logits > 0.5)) + 1 - float(fooled)) / 2
    assert float(metrics["accuracy"]) == pytest.approx(accuracy)
    assert float(metrics["logits_real"]) == pytest.approx(float(np.mean(real_logits)), abs=1e-6)
    assert float(metrics["logits_fake"]) == pytest.approx(float(np.mean(fake_logits)), abs=1e-6)


def test_relative_losses_are_judged_by_pairs():
    real, fake = jnp.array([5.0, 1.0, 7.0]), jnp.array([6.0, 0.0, 3.0])
    measured = updates._decisions(losses.relativistic, real, fake)
    assert measured["fooled"] == pytest.approx(1 / 3)
    assert measured["accuracy"] == pytest.approx(2 / 3)


def test_each_phase_makes_its_steps_on_its_own_batches():
    """A step with phases of 3 and 1 is the updates that it is made of, by hand."""
    game, batch = points_game(), points(3)
    state = start(game, batch)
    phases = (alternation.Phase("discriminator", 3), alternation.Phase("generator"))
    after, metrics = jax.jit(steps.make_train_step(game, alternation=phases))(state, batch, KEY)
    expected, step_key = state, jax.random.fold_in(jax.random.split(KEY)[1], 0)
    for i in range(3):
        key = jax.random.fold_in(jax.random.fold_in(step_key, 0), i)
        part = {"image": batch["image"][i]}
        expected, _ = jax.jit(partial(steps.update_discriminator, game))(expected, part, key)
    key = jax.random.fold_in(jax.random.fold_in(step_key, 1), 0)
    expected, _ = jax.jit(partial(steps.update_generator, game))(expected, first(batch), key)
    chex.assert_trees_all_close(after.discriminator, expected.discriminator, rtol=1e-5, atol=1e-7)
    chex.assert_trees_all_close(after.generator, expected.generator, rtol=1e-5, atol=1e-7)
    assert (int(metrics["updates/d"]), int(metrics["updates/g"])) == (3, 1)
    assert (int(after.step), int(after.images), int(metrics["images"])) == (1, 48, 48)


def test_the_generator_goes_over_the_discriminators_batches_again():
    game, batch = points_game(), points(2)
    state = start(game, batch)
    phases = (alternation.Phase("discriminator"), alternation.Phase("generator", 3)) * 2
    after, metrics = jax.jit(steps.make_train_step(game, alternation=phases))(state, batch, KEY)
    expected, step_key = state, jax.random.fold_in(jax.random.split(KEY)[1], 0)
    for phase, part, player in [(0, 0, "d"), *[(1, i, "g") for i in range(3)], (2, 1, "d")]:
        update = steps.update_discriminator if player == "d" else steps.update_generator
        key = jax.random.fold_in(jax.random.fold_in(step_key, phase), part if player == "g" else 0)
        expected, _ = jax.jit(partial(update, game))(expected, {"image": batch["image"][part % 2]}, key)
    chex.assert_trees_all_close(after.discriminator, expected.discriminator, rtol=1e-5, atol=1e-7)
    assert (int(metrics["updates/d"]), int(metrics["updates/g"])) == (2, 6)
    assert int(after.images) == 32  # each batch is shown to the discriminator once


@pytest.mark.parametrize("player", alternation.PLAYERS)
def test_a_single_phase_trains_its_player_alone(player):
    game, batch = points_game(), points()
    state = start(game, batch)
    other = "generator" if player == "discriminator" else "discriminator"
    after, metrics = steps.make_train_step(game, alternation=[alternation.Phase(player)])(state, batch, KEY)
    chex.assert_trees_all_equal(getattr(after, other), getattr(state, other))
    assert differ(getattr(after, player).params, getattr(state, player).params)
    assert {name.split("/")[1] for name in metrics if "/" in name} == {player[0]}


def run_until(player, metric, target, bound, game=None):
    phase = alternation.Phase(player, bound, alternation.reached(player, metric, target))
    game, batch = game or points_game(rate=0.5), points(alternation.batches_per_step([phase]), size=64)
    state = start(game, batch)
    step = jax.jit(steps.make_train_step(game, alternation=[phase]))
    _, metrics = step(state, batch, KEY)
    return int(metrics[f"updates/{player[0]}"]), jax.device_get(metrics)


@pytest.mark.parametrize(
    ("player", "metric", "target", "holds"),
    [
        ("discriminator", "accuracy", 0.75, lambda value: value >= 0.75),
        ("discriminator", "fooled", 0.01, lambda value: value <= 0.01),
        ("generator", "fooled", 0.6, lambda value: value >= 0.6),
        ("generator", "accuracy", 0.45, lambda value: value <= 0.45),
    ],
)
def test_a_phase_with_a_target_ends_when_it_is_met(player, metric, target, holds):
    updates, metrics = run_until(player, metric, target, bound=80)
    letter = player[0]
    assert 1 < updates < 80
    assert holds(metrics[f"{metric}/{letter}"])
    fewer, before = run_until(player, metric, target, bound=updates - 1)
    assert fewer == updates - 1
    assert not holds(before[f"{metric}/{letter}"])


def test_a_target_out_of_reach_stops_at_the_bound():
    updates, _ = run_until("discriminator", "accuracy", 1.1, bound=7)
    assert updates == 7


def test_the_average_has_its_half_life_in_images():
    game, batch = points_game(), points(2, size=16)
    state = start(game, batch)
    state = state.replace(ema=jax.tree.map(jnp.zeros_like, state.ema))
    phases = (alternation.Phase("discriminator", 2), alternation.Phase("generator"))
    step = steps.make_train_step(game, alternation=phases, ema_half_life=32.0)
    after, _ = jax.jit(step)(state, batch, KEY)  # 32 images: half way from zero
    chex.assert_trees_all_close(
        after.ema, jax.tree.map(lambda x: x / 2, after.generator.variables), rtol=1e-6
    )


def test_without_a_half_life_the_average_is_a_copy():
    game, batch = make_game(), make_batch()
    after, _ = jax.jit(steps.make_train_step(game))(start(game), batch, KEY)
    chex.assert_trees_all_equal(after.ema, after.generator.variables)


@pytest.mark.parametrize(("poisoned", "letter"), [("discriminator", "d"), ("generator", "g")])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_update_leaves_the_state_as_it_was(poisoned, letter, bad):
    def spoilt(real, fake):
        return fake * bad

    loss = losses.non_saturating._replace(**{poisoned: spoilt})
    game = make_game(loss=loss)
    state = start(game)
    after, metrics = jax.jit(steps.make_train_step(game, ema_half_life=9.0))(state, make_batch(), KEY)
    chex.assert_trees_all_equal(after, state)
    assert not metrics[f"finite/{letter}"]
    assert metrics["finite/g" if letter == "d" else "finite/d"] == (letter == "g")


def test_a_non_finite_update_in_an_earlier_phase_is_not_forgotten():
    game = points_game()
    state, batch = start(game, points(2)), points(2)
    batch["image"][0] = np.inf
    phases = (alternation.Phase("discriminator"), alternation.Phase("discriminator"))
    after, metrics = jax.jit(steps.make_train_step(game, alternation=phases))(state, batch, KEY)
    assert not metrics["finite/d"]
    chex.assert_trees_all_equal(after, state)


def test_a_target_is_met_in_spite_of_rounding():
    right = jnp.float32(0.5) * (jnp.float32(0.8) + 1.0 - jnp.float32(0.2)) - jnp.float32(6e-8)
    assert alternation.reached("discriminator", "accuracy", 0.8)({"accuracy": right})
    assert not alternation.reached("discriminator", "accuracy", 0.8)({"accuracy": right - 1e-3})


def test_non_finite_gradients_of_a_finite_loss_are_noticed():
    def steep(real, fake):  # sqrt(0): a value of 0, a gradient without bound
        return jnp.sqrt(fake - jax.lax.stop_gradient(fake))

    game = points_game(losses.non_saturating._replace(generator=steep))
    state = start(game, points())
    after, metrics = steps.make_train_step(game)(state, points(), KEY)
    assert metrics["loss/g"] == 0
    assert not metrics["finite/g"]
    chex.assert_trees_all_equal(after, state)


def test_the_step_donates_its_state():
    game, batch = make_game(), make_batch()
    step = jax.jit(steps.make_train_step(game), donate_argnums=0)
    state = start(game)
    for _ in range(3):
        state, _ = step(state, batch, KEY)
    assert int(state.step) == 3


def test_jit_equals_plain():
    game, batch = points_game(), points()
    state, step = start(game, batch), steps.make_train_step(game, ema_half_life=10.0)
    chex.assert_trees_all_close(
        jax.jit(step)(state, batch, KEY), step(state, batch, KEY), rtol=1e-5, atol=1e-6
    )


def test_a_population_is_a_vmap():
    game, batch = points_game(), points()
    keys = jax.random.split(KEY, 3)
    states = jax.jit(jax.vmap(partial(steps.init_state, game, batch)))(keys)
    step = steps.make_train_step(game)
    many, _ = jax.jit(jax.vmap(step, (0, None, 0)))(states, batch, keys)
    for i in range(3):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], states)
        alone, _ = jax.jit(step)(one, batch, keys[i])
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, i=i: leaf[i], many), alone, rtol=1e-4, atol=1e-6
        )


def test_steps_differ_in_their_noise():
    game, batch = points_game(rate=0.0), points()
    step = jax.jit(steps.make_train_step(game))
    state, one = step(start(game, batch), batch, KEY)
    _, two = step(state, batch, KEY)
    assert one["logits_real/d"] == two["logits_real/d"]
    assert one["logits_fake/d"] != two["logits_fake/d"]
    assert one["logits_fake/d"] != one["logits_fake/g"]


def test_terms_need_weights():
    def terms(round):
        return {"size": jnp.sum(round.fake**2, axis=-1)}

    task = synthesis.make_task(2)._replace(generator_terms=terms)
    game = points_game(task=task)
    with pytest.raises(ValueError, match=r"losses are \['size'\], and weights were given for \[\]"):
        steps.update_generator(game, start(game, points()), first(points()), KEY)
    weighted = game._replace(term_weights={"size": 2.0})
    state = start(weighted, points())
    after, metrics = steps.update_generator(weighted, state, first(points()), KEY)
    plain, _ = steps.update_generator(points_game(), state, first(points()), KEY)
    assert metrics["term_size"] > 0
    assert differ(after.generator.params, plain.generator.params)


@pytest.mark.parametrize("phases", [(), (alternation.Phase("generator", 0),)])
def test_an_empty_alternation_is_refused(phases):
    with pytest.raises(ValueError, match="at least one step"):
        steps.make_train_step(make_game(), alternation=phases)


def test_a_batch_short_of_the_alternation_is_refused():
    game = points_game()
    state = start(game, points())
    step = steps.make_train_step(game, alternation=[alternation.Phase("discriminator", 3)])
    with pytest.raises(ValueError, match=r"\[3,B,...\].*got \[1,16,2\]"):
        step(state, points(1), KEY)


def test_a_gan_learns_a_gaussian():
    """The whole step does its work: the mean and spread of a distribution in the plane are found."""
    target = np.array([1.5, -0.5])
    random = np.random.default_rng(0)
    adam = optax.adam(2e-3, b1=0.0)
    game = points_game(width=32, optimizers={"generator": adam, "discriminator": adam})
    game = game._replace(penalties={n: penalties.PENALTIES[n]._replace(weight=0.5) for n in ("r1", "r2")})
    batch = {"image": (target + 0.3 * random.normal(size=(1, 256, 2))).astype(np.float32)}
    step = jax.jit(steps.make_train_step(game, ema_half_life=5000.0), donate_argnums=0)
    state: GANState = start(game, batch)
    for _ in range(800):
        batch = {"image": (target + 0.3 * random.normal(size=(1, 256, 2))).astype(np.float32)}
        state, _ = step(state, batch, KEY)
    latents = synthesis.draw_latents(jax.random.split(KEY, 1000), 2)
    fakes = game.generator.apply(state.ema, latents, train=False)
    np.testing.assert_allclose(fakes.mean(0), target, atol=0.1)
    np.testing.assert_allclose(fakes.std(0), 0.3, atol=0.12)


class Averaging(nn.Module):
    """A generator that keeps an average over time by itself."""

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        mean = self.variable("averages", "mean", jnp.zeros, (2,))
        points = nn.Dense(2)(latents)
        if train and not self.is_initializing():
            mean.value = 0.5 * mean.value + 0.5 * points.mean(axis=0)
        return points


def test_what_a_generator_averages_itself_is_not_averaged_again():
    game, batch = points_game()._replace(generator=Averaging()), points(1)
    state = start(game, batch)
    after, _ = jax.jit(steps.make_train_step(game, ema_half_life=1e6))(state, batch, KEY)
    own = after.generator.collections["averages"]["mean"]
    assert jnp.abs(own).max() > 0
    np.testing.assert_array_equal(after.ema["averages"]["mean"], own)
    assert not np.array_equal(
        after.ema["params"]["Dense_0"]["kernel"], after.generator.params["Dense_0"]["kernel"]
    )
