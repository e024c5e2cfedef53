"""CUT and FastCUT: the network, the loss, the task, and training."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_photographs import in_grey, tiles

from jaxgan import losses, parallel, steps, terms
from jaxgan.models import contrastive, patch
from jaxgan.tasks import contrastive as tasks

B = 2
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(-1, 1, (B, 8, 12, 2)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), B)


def generator(**options):
    return contrastive.Generator(
        **{"channels": 2, "width": 2, "blocks": 1, "patches": 5, "units": 7} | options
    )


@partial(jax.jit, static_argnums=0)
def init(module, images):
    return module.init(jax.random.key(1), images, train=True)


@partial(jax.jit, static_argnums=0, static_argnames="method")
def apply(module, variables, *inputs, method="project"):
    return module.apply(variables, *inputs, train=False, method=method)


# The network


@pytest.mark.parametrize("options", [{}, {"dtype": jnp.bfloat16, "remat": True}])
def test_projections_are_of_length_1_and_images_keep_their_size(options):
    module = generator(**options)
    variables = init(module, IMAGES)
    chex.assert_trees_all_equal_shapes(variables, init(generator(), IMAGES))
    vectors = apply(module, variables, IMAGES, KEYS)
    assert [x.shape for x in vectors] == [(B, 5, 7)] * 4  # the images, two halvings, the only block
    for x in vectors:
        np.testing.assert_allclose(jnp.linalg.norm(x, axis=-1), 1, rtol=1e-4)
    odd = apply(module, variables, IMAGES[:, :7, :11], method="__call__")
    assert (odd.shape, odd.dtype) == ((B, 7, 11, 2), "float32")


def test_positions_are_the_examples_own_all_different_and_at_most_all():
    keys = jax.random.split(jax.random.key(2), 3)
    places = contrastive.draw_positions(keys, 6, 10)
    assert places.shape == (3, 6) and all(len({*row}) == 6 for row in places.tolist())
    assert len({*map(tuple, places.tolist())}) == 3
    np.testing.assert_array_equal(contrastive.draw_positions(keys[1:2], 6, 10), places[1:2])
    assert sorted(contrastive.draw_positions(keys, 256, 10)[0].tolist()) == [*range(10)]


def test_a_mirrored_images_positions_are_mirrored_back():
    module = generator(compared=(0,), patches=96)
    variables = init(module, IMAGES)
    expected = apply(module, variables, IMAGES, KEYS)[0]
    turned = IMAGES.at[1].set(IMAGES[1, :, ::-1])
    found = apply(module, variables, turned, KEYS, jnp.array([False, True]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert jnp.abs(apply(module, variables, turned, KEYS)[0] - expected)[1].max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 3}, "have 2 channels and those made 3"),
        ({"patches": 1}, "patches is 1; a patch is told"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(generator(**options).init, train=True), jax.random.key(0), IMAGES)


# The loss


def test_patch_nce_is_the_cross_entropy_of_the_patch_in_its_place():
    queries, keys = (jnp.asarray(RNG.normal(size=(2, 3, 4))) for _ in range(2))
    found = terms.patch_nce(queries, keys, temperature=0.5)
    for image in range(2):
        logits = np.asarray(queries[image] @ keys[image].T) / 0.5
        expected = [-np.log(np.exp(logits[p, p]) / np.exp(logits[p]).sum()) for p in range(3)]
        np.testing.assert_allclose(found[image], np.mean(expected), rtol=1e-5)
    slopes = jax.grad(lambda q, k: terms.patch_nce(q, k).sum(), (0, 1))(queries, keys)
    assert jnp.abs(slopes[0]).max() > 0 and jnp.abs(slopes[1]).max() == 0


# The task


def batch_of(count, seed=0, shape=(8, 8, 1)):
    random = np.random.default_rng(seed)
    return {name: random.integers(0, 256, (count, *shape), np.uint8) for name in ("image", "input")}


def test_inputs_are_mirrored_where_asked_and_by_half():
    keys = jax.random.split(jax.random.key(3), 64)
    given = tasks.make_task(mirror=True).prepare(batch_of(64), keys).given
    assert 16 < int(given.mirrored.sum()) < 48
    seen = tasks.make_task().generate(lambda images: images, given)
    flipped = given.mirrored[:, None, None, None]
    np.testing.assert_array_equal(seen, jnp.where(flipped, given.inputs[:, :, ::-1], given.inputs))
    assert not tasks.make_task().prepare(batch_of(64), keys).given.mirrored.any()


def test_the_terms_compare_what_is_made_with_what_was_given():
    """With a generator that mirrors nothing and makes what it is given, both terms are at their least."""
    task = tasks.make_task(terms=tasks.TERMS, mirror=True)
    module = generator(channels=1, patches=4)
    example = task.prepare(batch_of(B), KEYS)
    variables = init(module, example.real)

    def bound(*inputs, method="__call__"):
        return inputs[0] if method == "__call__" else apply(module, variables, *inputs, method=method)

    def found(fake):
        round = type("Round", (), {"generator": staticmethod(bound), "example": example, "fake": fake})
        return task.generator_terms(round)

    expected = [
        terms.patch_nce(x, x) for x in bound(example.real, example.given.keys, None, method="project")
    ]
    same = found(task.generate(bound, example.given))
    np.testing.assert_allclose(same["nce_identity"], sum(expected) / len(expected), rtol=1e-4)
    assert same["nce"].shape == (B,)
    assert (same["nce"] < found(-example.given.inputs)["nce"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": ["nces"]}, r"No terms \['nces'\]; expected some of nce"),
        ({"temperature": 0.0}, "is 0.0, exp"),
    ],
)
def test_bad_tasks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tasks.make_task(**options)


def test_bad_batches_are_refused():
    batch = batch_of(B)
    with pytest.raises(ValueError, match="lacks input. Open the data as unpaired"):
        tasks.make_task().prepare({"image": batch["image"]}, KEYS)
    with pytest.raises(
        ValueError, match=r"\(2, 8, 8, 1\) and inputs \(2, 4, 8, 1\); expected \[B,H,W,C\] of one"
    ):
        tasks.make_task().prepare(batch | {"input": batch["input"][:, :4]}, KEYS)


def _game(axis_name=None, dtype=None, optimizer=None):
    """SGD, which hides no wrong scale."""
    optimizer = optimizer or optax.sgd(0.01)
    return steps.Game(
        tasks.make_task(terms=tasks.TERMS, mirror=True),
        generator(channels=1, halvings=1, dtype=dtype, width=4, patches=32),
        patch.Discriminator(halvings=1, width=4, dtype=dtype),
        losses.least_squares,
        {"generator": optimizer, "discriminator": optimizer},
        term_weights={"nce": 1.0, "nce_identity": 1.0},
        axis_name=axis_name,
    )


def _train(runner, devices, count=2):
    batches = [batch_of(4, seed) for seed in range(count)]
    batches = {name: np.stack([batch[name] for batch in batches])[:, None] for name in batches[0]}
    train_step = steps.make_train_step(_game(parallel.axis_name(runner), jnp.float64))
    run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:devices])
    init = partial(steps.init_state, _game(None, jnp.float64), {name: x[0] for name, x in batches.items()})
    state = jax.jit(init, out_shardings=run.replicated)(jax.random.key(1))
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    state, _ = run.run(state, run.replicate({}), run.split(batches), jax.random.key(1))
    return jax.device_get(state)


def test_two_devices_train_what_one_does():
    with jax.enable_x64(True):
        chex.assert_trees_all_close(_train("shard_map", 2), _train("jit", 1), rtol=0, atol=1e-9)


def test_patches_of_photographs_are_found_again_after_some_steps():
    game = _game(optimizer=optax.adam(5e-3))
    both = dict(zip(("input", "image"), in_grey(tiles((8, 8), 2)), strict=True))
    batch = jax.tree.map(lambda x: x[None], both)
    train_step = jax.jit(steps.make_train_step(game))
    state = jax.jit(partial(steps.init_state, game))(batch, jax.random.key(0))
    history = []
    for _ in range(60):
        state, metrics = train_step(state, batch, jax.random.key(0))
        history.append(float(metrics["term_nce/g"]))
    assert history[-1] < 0.7 * history[0]
    network = partial(game.generator.apply, state.generator.variables, train=False)
    shown = game.task.show(network, game.task.prepare(both, KEYS))
    assert [*shown] == ["input", "output", "input_b", "output_b"]
    used = game.task.use(network, {"input": shown["input"]}, KEYS)
    np.testing.assert_allclose(used, shown["output"], atol=1e-5)
