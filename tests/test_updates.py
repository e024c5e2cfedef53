"""What a player's update is made of: penalties, augmentation, parts of a batch, schedules."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import augment, losses, schedules, steps, updates
from jaxgan.alternation import Phase
from jaxgan.models import dcgan, mlp
from jaxgan.penalties import PENALTIES, Penalty
from jaxgan.tasks import Verdict, synthesis

KEY = jax.random.key(0)
SHAPE, BATCH = (8, 8, 1), 12


def make_batch(size=BATCH, seed=0):
    images = np.random.default_rng(seed).normal(size=(1, size, *SHAPE)).astype(np.float32)
    return {"image": np.tanh(images)}


def make_game(**changes):
    sgd = optax.sgd(0.1)
    return updates.Game(
        task=synthesis.make_task(4),
        generator=mlp.Generator(SHAPE, width=8, depth=1, squash=True),
        discriminator=mlp.Discriminator(width=8, depth=1),
        loss=losses.non_saturating,
        optimizers={"generator": sgd, "discriminator": sgd},
    )._replace(**changes)


def start(game):
    return jax.jit(partial(steps.init_state, game))(make_batch(), KEY)


def train(game, count=1, state=None, **options):
    state = start(game) if state is None else state
    step = jax.jit(steps.make_train_step(game, **options))
    for _ in range(count):
        state, metrics = step(state, make_batch(), KEY)
        assert metrics["finite/d"] and metrics["finite/g"]
    return state, metrics


def furthest(first, second):
    """The largest difference between two trees."""
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first, second)))


def constant(value):
    return Penalty(lambda scene, memory: (jnp.full(len(scene.keys), value), memory))


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_pushes_its_player_alone(name):
    if PENALTIES[name].player == "discriminator":
        phases, letter = [Phase("discriminator")], "d"
    else:
        phases, letter = [Phase("generator")], "g"
    plain, weighted = make_game(), make_game(penalties={name: PENALTIES[name]})
    assert plain.penalties == {}
    count = 2 if name == "lecam" else 1  # its averages start at 0, as the logits nearly do
    after, metrics = _train_alone(weighted, phases, count)
    before, _ = _train_alone(plain, phases, count)
    player = PENALTIES[name].player
    chex.assert_trees_all_equal_shapes(getattr(after, player), getattr(before, player))
    assert furthest(getattr(after, player).params, getattr(before, player).params) > 0
    assert np.isfinite(metrics[f"penalty_{name}/{letter}"])


def _train_alone(game, phases, count):
    state = start(game)
    step = jax.jit(steps.make_train_step(game, alternation=phases))
    for _ in range(count):
        state, metrics = step(state, make_batch(), KEY)
    return state, metrics


def test_the_weight_may_be_a_schedule_of_the_images_shown():
    weight = schedules.make_schedule([schedules.Piece("linear", 0.0, 4.0, 0, 4 * BATCH)])
    game = make_game(penalties={"one": constant(1.0)._replace(weight=weight)})
    state = start(game)
    seen = []
    for _ in range(6):
        state, metrics = train(game, state=state)
        seen.append(float(metrics["penalty_one/d"]))
    np.testing.assert_allclose(seen, [0, 1, 2, 3, 4, 4], rtol=1e-6)


def test_a_lazy_penalty_is_taken_every_k_steps_k_times():
    game = make_game(penalties={"one": constant(1.0)._replace(weight=0.5, every=3)})
    state, seen = start(game), []
    for _ in range(5):
        state, metrics = train(game, state=state)
        seen.append(float(metrics["penalty_one/d"]))
    assert seen == [1.5, 0, 0, 1.5, 0]


def test_lazy_r1_moves_the_discriminator_as_the_same_times_k():
    lazy = make_game(penalties={"r1": PENALTIES["r1"]._replace(weight=0.5, every=4)})
    eager = make_game(penalties={"r1": PENALTIES["r1"]._replace(weight=2.0)})
    chex.assert_trees_all_close(
        train(lazy)[0].discriminator, train(eager)[0].discriminator, rtol=1e-5, atol=1e-6
    )


def test_penalties_remember():
    counter = Penalty(lambda scene, memory: (jnp.zeros(()), memory + 1.0), memory=0.0)
    game = make_game(penalties={"counter": counter, "lazy": counter._replace(every=2)})
    state, _ = train(game, 5)
    assert {name: float(x) for name, x in state.memories.items()} == {"counter": 5.0, "lazy": 3.0}


def test_lecam_remembers_the_logits():
    game = make_game(penalties={"lecam": PENALTIES["lecam"]})
    state, metrics = train(game)
    memory = state.memories["lecam"]
    np.testing.assert_allclose(memory.real, 0.01 * metrics["logits_real/d"], rtol=1e-4)
    np.testing.assert_allclose(memory.fake, 0.01 * metrics["logits_fake/d"], rtol=1e-4)


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_accumulated_gradients_are_those_of_the_large_batch(parts):
    each = {name: PENALTIES[name]._replace(weight=0.1) for name in ("r1", "wgan_gp", "lecam", "path_length")}
    with jax.enable_x64(True):
        whole, _ = train(make_game(penalties=each), 3)
        cut, _ = train(make_game(penalties=each, accumulate=parts), 3)
    chex.assert_trees_all_close(cut, whole, rtol=1e-6, atol=1e-6)


def test_a_batch_that_cannot_be_cut_is_refused():
    game = make_game(accumulate=5)
    with pytest.raises(ValueError, match="12 examples cannot be cut into 5 equal parts"):
        steps.make_train_step(game)(start(game), make_batch(), KEY)


def test_both_players_meet_augmented_images_alone():
    def blacken(images, keys, *, p):
        return -jnp.ones_like(images) * p + (1 - p) * images

    black = augment.fixed(blacken, 1.0)
    _, metrics = train(make_game(augmentation=black))
    # Reals and fakes are all the same to D.
    assert metrics["logits_real/d"] == pytest.approx(float(metrics["logits_fake/d"]))
    assert metrics["p/d"] == 1.0
    state = start(make_game(augmentation=black))
    after, _ = train(make_game(augmentation=black), state=state)
    chex.assert_trees_all_equal(after.generator.params, state.generator.params)  # no gradient comes through


def test_at_p_0_augmentation_changes_no_weight():
    ada = augment.fixed(augment.make_augment("ada"), 0.0)
    with_it, without = train(make_game(augmentation=ada), 2)[0], train(make_game(), 2)[0]
    chex.assert_trees_all_close(with_it.generator, without.generator, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(with_it.discriminator, without.discriminator, rtol=1e-4, atol=1e-6)


def test_p_follows_the_discriminator_or_its_schedule():
    pipeline = augment.make_augment("b")
    kimg = 4 * 4 * BATCH / 1000  # four moves from 0 to 1, one after every four batches
    rising = augment.adaptive(pipeline, target=-0.99, kimg=kimg)
    state, _ = train(make_game(augmentation=rising), 8)
    assert float(state.augmentation.p) == pytest.approx(0.5)
    falling = augment.adaptive(pipeline, p=0.5, target=1.0, kimg=kimg)
    state, _ = train(make_game(augmentation=falling), 8)
    assert float(state.augmentation.p) == pytest.approx(0.0)
    line = schedules.make_schedule([schedules.Piece("linear", 0.0, 1.0, 0, 10 * BATCH)])
    state, metrics = train(make_game(augmentation=augment.scheduled(pipeline, line)), 3)
    assert float(metrics["p/d"]) == pytest.approx(0.2)
    assert float(state.augmentation.p) == pytest.approx(0.3)
    game = make_game(augmentation=augment.scheduled(pipeline, line))
    step = steps.make_train_step(game, alternation=[Phase("discriminator", 3)])
    batch = jax.tree.map(lambda x: np.repeat(x, 3, axis=0), make_batch())
    state, _ = jax.jit(step)(start(game), batch, KEY)
    assert float(state.augmentation.p) == pytest.approx(0.3)  # of three batches


def test_p_does_not_follow_an_offset_of_logits_that_mean_something_only_in_pairs():
    class Shifted(nn.Module):
        offset: float

        @nn.compact
        def __call__(self, images, labels=None, *, train):
            return mlp.Discriminator(width=8, depth=1)(images, train=train) + self.offset

    controller = augment.adaptive(augment.make_augment("b"), p=0.5, target=0.0, kimg=0.5)
    ends = []
    for offset in (-50.0, 0.0, 50.0):
        game = make_game(discriminator=Shifted(offset), loss=losses.relativistic, augmentation=controller)
        ends.append(float(train(game, 12)[0].augmentation.p))
    assert ends[0] == ends[1] == ends[2] != 0.5


def test_the_generator_learns_from_the_best_fakes():
    """As from a loss that leaves the others out by hand."""

    def best_alone(real, fake):
        return jnp.where(fake == fake.max(), -fake * BATCH, 0.0)

    by_hand = losses.wasserstein._replace(generator=best_alone)
    one, _ = _train_alone(make_game(loss=losses.wasserstein, top_k=1 / BATCH), [Phase("generator")], 1)
    expected, _ = _train_alone(make_game(loss=by_hand), [Phase("generator")], 1)
    every, _ = _train_alone(make_game(loss=losses.wasserstein), [Phase("generator")], 1)
    chex.assert_trees_all_close(one.generator.params, expected.generator.params, rtol=1e-5, atol=1e-7)
    assert furthest(one.generator.params, every.generator.params) > 1e-6


def test_a_game_of_everything_recompiles_nothing():
    game = make_game(
        loss=losses.relativistic_average,
        penalties={name: PENALTIES[name]._replace(weight=1e-3, every=2) for name in PENALTIES},
        augmentation=augment.adaptive(augment.make_augment("bTc")),
        top_k=schedules.make_schedule([schedules.Piece("linear", 1.0, 0.5, 0, 100)]),
    )
    step = jax.jit(steps.make_train_step(game, ema_half_life=100.0))
    state = start(game)
    for _ in range(3):
        state, metrics = step(state, make_batch(), KEY)
        assert metrics["finite/d"] and metrics["finite/g"]
    assert step._cache_size() == 1
    assert {f"penalty_{name}" for name in PENALTIES} <= {name.split("/")[0] for name in metrics}


# Further losses

CODES = synthesis.Codes((3,), 1)


def game_of(*terms, **changes):
    """A game of these terms, with labels."""
    codes = CODES if "information" in terms else synthesis.NO_CODES
    return make_game(
        task=synthesis.make_task(6, conditional=True, told=False, terms=terms, codes=codes),
        generator=mlp.Generator(SHAPE, num_classes=3, width=8, depth=1, squash=True),
        discriminator=mlp.Discriminator(heads=synthesis.heads(terms, 3, codes), width=8, depth=1),
        term_weights={name: 0.5 for name in terms},
        **changes,
    )


def labelled():
    return make_batch() | {"label": np.arange(BATCH, dtype=np.int32)[None] % 3}


def play(game, phases, count=1):
    state = jax.jit(partial(steps.init_state, game))(labelled(), KEY)
    step = jax.jit(steps.make_train_step(game, alternation=phases))
    for _ in range(count):
        state, metrics = step(state, labelled(), KEY)
    return state, metrics


@pytest.mark.parametrize("term", synthesis.TERMS)
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_every_term_pushes_the_players_it_is_of(term, player):
    game = game_of(term)
    with_it, metrics = play(game, [Phase(player)])
    without, _ = play(game._replace(term_weights={term: 0.0}), [Phase(player)])
    moved = furthest(getattr(with_it, player).params, getattr(without, player).params)
    if (term, player) == ("mean_feature_matching", "discriminator"):
        assert moved == 0
    else:
        assert moved > 1e-6
        assert metrics[f"term_{term}/{player[0]}"] != 0


def test_a_terms_weight_may_be_a_schedule():
    line = schedules.make_schedule([schedules.Piece("linear", 0.0, 1.0, 0, 2 * BATCH)])
    game = game_of("auxiliary_classifier")._replace(term_weights={"auxiliary_classifier": line})
    _, metrics = play(game, [Phase("discriminator")], 1)
    assert metrics["term_auxiliary_classifier/d"] == 0
    _, metrics = play(game, [Phase("discriminator")], 2)
    assert metrics["term_auxiliary_classifier/d"] > 0


def test_terms_are_of_what_the_discriminator_was_shown():
    """Under an augmentation that blackens, no class can be told from another."""

    def blacken(images, keys, *, p):
        return images * (1 - p)

    game = game_of("auxiliary_classifier", augmentation=augment.fixed(blacken, 1.0))
    state, _ = play(game, [Phase("generator")])
    before = jax.jit(partial(steps.init_state, game))(labelled(), KEY)
    chex.assert_trees_all_equal(state.generator.params, before.generator.params)


def test_a_heads_parameters_learn():
    state, _ = play(game_of("information"), [Phase("discriminator")])
    before = jax.jit(partial(steps.init_state, game_of("information")))(labelled(), KEY)
    assert furthest(state.discriminator.params["head_codes"], before.discriminator.params["head_codes"]) > 0


def test_penalties_of_each_example_are_refused_where_a_discriminator_mixes_them():
    mixing = dcgan.Discriminator(SHAPE, width=4, smallest=2, norm="batch")
    by_example = {name for name, penalty in PENALTIES.items() if penalty.by_example}
    of_critic = {"r1", "r2", "approximate_r1", "approximate_r2", "wgan_gp", "dragan"}
    assert by_example == {*of_critic, "path_length"}
    for name in PENALTIES:
        game = make_game(discriminator=mixing, penalties={"mine": PENALTIES[name]})
        if name in of_critic:
            with pytest.raises(ValueError, match=r"'mine' needs .* each example by itself, and the discrim"):
                jax.eval_shape(partial(steps.init_state, game), make_batch(), KEY)
        else:
            jax.eval_shape(partial(steps.init_state, game), make_batch(), KEY)
    spectral = dcgan.Discriminator(SHAPE, width=4, smallest=2, norm="spectral")
    game = make_game(discriminator=spectral, penalties={"r1": PENALTIES["r1"]})
    jax.eval_shape(partial(steps.init_state, game), make_batch(), KEY)  # has statistics, but mixes nothing
    normalising = dcgan.Generator(SHAPE, width=4, smallest=2)
    game = make_game(generator=normalising, penalties={"path_length": PENALTIES["path_length"]})
    with pytest.raises(ValueError, match="by itself, and the generator's batch normalisation"):
        jax.eval_shape(partial(steps.init_state, game), make_batch(), KEY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalties": {"r1": PENALTIES["r1"]._replace(player="critic")}}, "'r1' is of the player 'critic'"),
        ({"penalties": {"r1": PENALTIES["r1"]._replace(every=0)}}, "every 0 steps; expected .* 1 or more"),
        ({"penalties": {"r1": PENALTIES["r1"]._replace(weight=-9)}}, "weight of 'r1' is -9, expected a num"),
        ({"term_weights": {"size": float("nan")}}, "weight of 'size' is nan, expected a number"),
        ({"top_k": 1.5}, "top_k is 1.5, expected a share"),
        ({"accumulate": 0}, "accumulate is 0, expected 1 or more"),
        ({"accumulate": 2, "top_k": 0.5}, "the loss compares a batch's examples, which parts"),
        ({"accumulate": 2, "loss": losses.dual_contrastive}, "the loss compares a batch's examples"),
        ({"accumulate": 2, "loss": losses.relativistic_average}, "the loss compares a batch's examples"),
    ],
)
def test_a_game_that_cannot_be_is_refused(changes, message):
    game = make_game(**changes)
    with pytest.raises(ValueError, match=message):
        steps.make_train_step(game)
    with pytest.raises(ValueError, match=message):
        steps.init_state(game, make_batch(), KEY)


def test_a_conditional_task_says_that_labels_are_missing():
    game = make_game(task=synthesis.make_task(4, conditional=True))
    with pytest.raises(ValueError, match=r"needs batches with 'label'; this one has \['image'\]"):
        steps.init_state(game, make_batch(), KEY)


def test_lazy_penalties_take_logits_of_16_bits():
    class Coarse(nn.Module):
        @nn.compact
        def __call__(self, images, labels=None, *, train):
            return nn.Dense(1, dtype=jnp.bfloat16)(images.reshape(len(images), -1))[:, 0]

    lazy = {name: p._replace(every=4) for name, p in PENALTIES.items() if p.player == "discriminator"}
    _, metrics = train(make_game(discriminator=Coarse(), penalties=lazy), 2)
    assert all(metrics[f"penalty_{name}/d"] == 0 for name in lazy)


def test_accumulation_takes_no_more_memory():
    """The gradients' sum is carried from part to part, and not all parts' gradients to the end."""
    generator, discriminator = (
        kind(width=512) for kind in (partial(mlp.Generator, SHAPE), mlp.Discriminator)
    )

    def temporary(parts):
        game = make_game(generator=generator, discriminator=discriminator, accumulate=parts)
        state = jax.eval_shape(partial(steps.init_state, game), make_batch(24), KEY)
        step = jax.jit(steps.make_train_step(game))
        return step.lower(state, make_batch(24), KEY).compile().memory_analysis().temp_size_in_bytes

    assert temporary(12) < 1.25 * temporary(3)


def test_logits_of_two_shapes_are_refused():
    game = make_game()
    halves = iter([slice(None), slice(1, None)] * 9)
    cut = game.task._replace(judge=lambda network, sample, given: Verdict(network(sample[next(halves)])))
    with pytest.raises(ValueError, match=r"logits are \(12,\) of reals and \(11,\) of fakes"):
        train(game._replace(task=cut), state=start(game))
