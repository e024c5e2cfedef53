from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_photographs import in_grey, tiles

from configs import cut, horse2zebra
from jaxgan import losses, parallel, steps
from jaxgan.models import cycle as networks
from jaxgan.models import patch, translator
from jaxgan.tasks import Round, cycle

A, B = (8, 12, 1), (8, 12, 3)
KEYS = jax.random.split(jax.random.key(0), 4)


def domains(count, seed=0):
    """Noise in grey, and in colour."""
    random = np.random.default_rng(seed)
    a = random.integers(0, 256, (count, *A), np.uint8)
    b = random.integers(0, 256, (count, *B), np.uint8)
    return {"input": a, "image": b}


def in_float64(batch, keys):
    return {name: images.astype(jnp.float64) / 127.5 - 1.0 for name, images in batch.items()}


@pytest.mark.parametrize("config", [horse2zebra.get_config(), cut.get_config()])
def test_configs_weigh_the_adversarial_loss_as_the_papers_do(config):
    """(D(G(x)) - 1)^2 beside the terms, half of the squares for D: Zhu et al. 2017, section 4."""
    loss, real, fake = losses.LOSSES[config.loss], jnp.array([0.7]), jnp.array([0.4])
    assert config.adversarial * loss.generator(real, fake) == pytest.approx(0.6**2)
    assert loss.discriminator(real, fake) == pytest.approx((0.3**2 + 0.4**2) / 2)


def make_game(axis_name=None, dtype=None, **options):
    shared = dict(width=2, norm="batch", dtype=dtype, axis_name=axis_name)
    return steps.Game(
        cycle.make_task(**{"terms": ["cycle"], "pool": 6, **options}),
        networks.Generator(B, A, blocks=1, **{**shared, "halvings": 1}),
        networks.Discriminator(**{**shared, "halvings": 1}),
        losses.LOSSES["least_squares"],
        {name: optax.sgd(0.02, momentum=0.5) for name in ("generator", "discriminator")},
        term_weights={"cycle": 10.0, "identity": 5.0},
        axis_name=axis_name,
    )


# Networks


def test_both_ways_are_translators_and_all_parameters_come_with_the_first_call():
    game = make_game()
    a, b = jnp.ones((2, *A)), jnp.ones((2, *B))
    network, key = game.generator.clone(norm="instance"), jax.random.key(0)
    (made_b, made_a), variables = jax.jit(partial(network.init_with_output, train=True))(key, a, b)
    assert made_b.shape == (2, *B) and made_a.shape == (2, *A)
    single = translator.Generator(3, width=2, halvings=1, blocks=1)
    expected = single.apply({"params": variables["params"]["from_a"]}, a, train=False)
    found = network.apply(variables, a, train=False, method="to_b")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, made_b, atol=1e-5)
    found = network.apply(variables, b, train=False, method="to_a")
    np.testing.assert_allclose(found, made_a, atol=1e-5)


def test_each_discriminator_judges_its_domain():
    network = networks.Discriminator(halvings=1, width=4, norm="none")
    a, b = jax.random.normal(KEYS[0], (2, *A)), jax.random.normal(KEYS[1], (2, *B))
    variables = jax.jit(partial(network.init, train=True))(jax.random.key(0), b, a)
    (of_b, of_a), features, heads = network.apply(variables, b, a, train=False, method="describe")
    single = patch.Patches(halvings=1, width=4, norm="none")
    expected = single.apply({"params": variables["params"]["of_a"]}, a, train=False)
    np.testing.assert_allclose(of_a, expected, atol=1e-6)
    assert of_b.shape == of_a.shape == (2, 2, 4) and heads == {}
    assert [grid.shape[-1] for grid in features] == [4, 8, 4, 8]


# Pool


def shown_of(images, size, keys, pool=None):
    """What D is shown of numbers 1, 2, ..., and the pool."""
    made = (jnp.float32(images)[:, None], -jnp.float32(images)[:, None])
    pool = cycle.empty_pool(made, size) if pool is None else pool
    (first, second), pool = jax.jit(partial(cycle.exchange, whole=same, own=same))(pool, made, keys)
    return np.asarray(first)[:, 0], -np.asarray(second)[:, 0], pool


def same(tree):
    return tree


def test_a_pool_is_filled_first():
    first, second, pool = shown_of([1, 2, 3], 4, KEYS[:3])
    np.testing.assert_array_equal(first, [1, 2, 3])
    np.testing.assert_array_equal(second, [1, 2, 3])
    np.testing.assert_array_equal(pool.images[0][:, 0], [1, 2, 3, 0])
    assert pool.filled == 3.0 and pool.filled.dtype == jnp.float32


def test_a_full_pool_shows_half_the_time_an_old_image_and_keeps_the_new_one():
    count, size = 4000, 10
    first, second, pool = shown_of(np.arange(1, count + 1), size, jax.random.split(jax.random.key(2), count))
    for shown, kept in zip((first, second), pool.images, strict=True):
        late, new = shown[size:], np.arange(size + 1, count + 1)
        assert abs(np.mean(late == new) - 0.5) < 0.03
        assert (late <= new).all() and len(np.unique(late)) == len(late)  # each is shown once
        assert {*shown.astype(int), *np.abs(kept[:, 0]).astype(int)} == {*range(1, count + 1)}
        ages = (new - late)[late != new]
        assert abs(ages.mean() - 2 * size) < 2.0  # replaced with probability 1 / 2N at each
    assert pool.filled == size
    assert abs(np.mean((first == second)[size:]) - 0.25) < 0.05  # independently of each other


def test_a_pool_goes_on_where_it_was():
    keys = jax.random.split(jax.random.key(3), 40)
    whole, _, end = shown_of(np.arange(40), 5, keys)
    first, _, pool = shown_of(np.arange(17), 5, keys[:17])
    second, _, pool = shown_of(np.arange(17, 40), 5, keys[17:], pool)
    np.testing.assert_array_equal(whole, [*first, *second])
    chex.assert_trees_all_equal(end, pool)


# The task


def test_samples_and_reals_are_of_b_and_of_a():
    task, batch = cycle.make_task(), domains(4)
    example = task.prepare(batch, KEYS)
    np.testing.assert_array_equal(example.given.a, example.real[1])
    np.testing.assert_allclose(example.given.b, batch["image"] / 127.5 - 1.0, atol=1e-6)
    np.testing.assert_array_equal(example.given.b, example.real[0])
    np.testing.assert_array_equal(
        task.judge(lambda b, a: (b, a), example.real, None).logits[1], example.given.a
    )


def test_terms_are_sums_over_both_domains():
    """To B adds 1, to A takes away 3 and multiplies by 2."""
    task = cycle.make_task(terms=cycle.TERMS)
    a, b = jnp.zeros((2, 4, 4, 1)), jnp.ones((2, 4, 4, 1))
    example = task.prepare({"input": a, "image": b}, KEYS[:2])

    def generator(a, b, method=None):
        return a + 1.0, 2.0 * b - 3.0

    fake = task.generate(generator, example.given)
    found = task.generator_terms(Round(generator, None, example, fake, None, None, same))
    np.testing.assert_allclose(found["cycle"], [1.0 + 1.0] * 2)  # 0 -> 1 -> -1 and 1 -> -1 -> 0
    np.testing.assert_allclose(found["identity"], [1.0 + 3.0] * 2)  # 1 -> 2 and 0 -> -3


def test_the_cycle_closes_on_two_photographs_and_is_shown():
    temples, flowers = tiles(A[:2], 2)
    both = {"input": in_grey(temples), "image": flowers}
    game = make_game()._replace(
        optimizers={name: optax.adam(5e-3, b1=0.5) for name in ("generator", "discriminator")},
    )
    game = game._replace(generator=game.generator.clone(width=8, norm="instance"))
    batch, key = jax.tree.map(lambda leaf: leaf[None], both), jax.random.key(0)
    state = jax.jit(partial(steps.init_state, game))(batch, key)
    pool = state.memories["task"]
    assert pool.filled == 0.0 and jax.tree.map(len, pool.images) == (6, 6)
    train_step = jax.jit(steps.make_train_step(game))
    errors = []
    for _ in range(60):
        state, metrics = train_step(state, batch, key)
        errors.append(float(metrics["term_cycle/g"]) / 10.0)
    assert metrics["finite/g"] and metrics["finite/d"] and state.memories["task"].filled == 6.0
    assert errors[-1] < 0.5 * errors[0]
    example = game.task.prepare(both, KEYS[:2])

    def generator(*inputs, method="__call__"):
        return game.generator.apply(state.ema, *inputs, train=False, method=method)

    shown = jax.eval_shape(partial(game.task.show, generator), example)
    expected = {"input": A, "output": B, "returned": A, "input_b": B, "output_a": A}
    assert {name: image.shape[1:] for name, image in shown.items()} == expected
    used = jax.eval_shape(lambda a: game.task.use(generator, {"input": a}, KEYS[:1]), jnp.ones((1, 7, 9, 1)))
    assert used.shape == (1, 7, 9, 3)


def train(devices):
    runner = "jit" if devices == 1 else "shard_map"
    game = make_game(parallel.axis_name(runner), jnp.float64, transform=in_float64)
    run = parallel.make_runner(steps.make_train_step(game), runner=runner, devices=jax.devices()[:devices])
    alone = make_game(None, jnp.float64, transform=in_float64)
    init = jax.jit(partial(steps.init_state, alone), out_shardings=run.replicated)
    key = jax.random.key(1)
    batches = [jax.tree.map(lambda leaf: leaf[None, None], domains(4, seed)) for seed in range(4)]
    state = init(jax.tree.map(lambda leaf: leaf[0], batches[0]), key)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    for batch in batches:
        state, _ = run.run(state, run.replicate({}), run.split(batch), key)
    return jax.device_get(state)


def test_two_devices_train_what_one_trains_and_remember_the_same():
    with jax.enable_x64(True):
        one, two = train(1), train(2)
    assert one.memories["task"].filled == 6.0  # of 16 that were made
    chex.assert_trees_all_close(one, two, rtol=0, atol=1e-10)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"No terms \['loop'\]; expected some of cycle, identity"):
        cycle.make_task(terms=["loop"])
    with pytest.raises(ValueError, match="pool is -1, expected 0 or more images"):
        cycle.make_task(pool=-1)
    with pytest.raises(ValueError, match=r"this batch has \['input'\] and lacks image. Take a source of two"):
        cycle.make_task().prepare({"input": domains(4)["input"]}, KEYS)
    with pytest.raises(
        ValueError, match="of B have 3 channels and those of A 1; the term 'identity' needs as"
    ):
        cycle.make_task(terms=["identity"]).prepare(domains(4), KEYS)


def test_without_a_pool_nothing_is_remembered():
    assert cycle.make_task(pool=0).recall is None
