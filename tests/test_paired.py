from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_photographs import in_grey, tiles

from jaxgan import losses, parallel, steps, terms
from jaxgan.models import patch, translator, unet
from jaxgan.tasks import Round, paired

SHAPE, INPUT = (16, 16, 3), (16, 16, 2)


def pairs(count, seed=0):
    """Pictures of two halves, drawn by a plan of which half is where."""
    random = np.random.default_rng(seed)
    plan = np.zeros((count, *INPUT), np.uint8)
    for i, edge in enumerate(random.integers(4, 13, count)):
        plan[i, :, :edge, 0], plan[i, :, edge:, 1] = 255, 255
    colours = np.array([[230, 60, 20], [10, 90, 200]], np.uint8)
    return {"image": (plan[..., None] // 255 * colours).sum(-2).astype(np.uint8), "input": plan}


def make_game(axis_name=None, dtype=None, **options):
    task = paired.make_task(noisy=True, terms=("pixel", "feature_matching"), **options)
    shared = dict(width=4, norm="batch", dtype=dtype, axis_name=axis_name)
    return steps.Game(
        task,
        unet.Generator(SHAPE, depth=2, **shared),
        patch.Discriminator(scales=2, halvings=1, **shared),
        losses.LOSSES["least_squares"],
        {name: optax.sgd(0.02, momentum=0.5) for name in ("generator", "discriminator")},
        term_weights={name: 1.0 for name in paired.TERMS},
        axis_name=axis_name,
    )


KEYS = jax.random.split(jax.random.key(0), 3)


def test_an_example_is_the_input_its_keys_and_the_counterpart():
    batch = pairs(3)
    example = paired.make_task(noisy=True).prepare(batch, KEYS)
    np.testing.assert_allclose(example.given.images, batch["input"] / 127.5 - 1.0, atol=1e-6)
    np.testing.assert_allclose(example.real, batch["image"] / 127.5 - 1.0, atol=1e-6)
    part = paired.make_task(noisy=True).prepare({k: v[1:2] for k, v in batch.items()}, KEYS[1:2])
    assert (part.given.keys[0] == example.given.keys[1]) and example.given.keys[0] != example.given.keys[1]
    assert paired.make_task().prepare(batch, KEYS).given.keys is None


def test_what_changes_images_changes_both_with_one_key():
    def transform(batch, keys):
        return {name: (images, keys) for name, images in batch.items()}

    example = paired.make_task(transform=transform).prepare(pairs(3), KEYS)
    assert (example.real[1] == example.given.images[1]).all()


def test_the_discriminator_sees_the_sample_and_then_the_input():
    task, batch = paired.make_task(), pairs(3)
    example = task.prepare(batch, KEYS)
    seen = task.judge(lambda pair: pair, example.real, example.given).logits
    np.testing.assert_array_equal(seen[..., :3], example.real)
    np.testing.assert_array_equal(seen[..., 3:], example.given.images)


def test_terms_are_distances_to_the_counterpart():
    def perceptual(first, second):
        return jnp.max(jnp.abs(first - second), axis=(1, 2, 3))

    task = paired.make_task(terms=paired.TERMS, perceptual=perceptual)
    example = task.prepare(pairs(3), KEYS)
    fake = example.real + jnp.arange(3.0)[:, None, None, None]

    def discriminator(pair, method):
        return pair.mean((1, 2, 3)), (pair[..., :3], 2.0 * pair[..., :3]), {}

    verdicts = [task.judge(discriminator, sample, example.given) for sample in (example.real, fake)]
    found = task.generator_terms(Round(None, discriminator, example, fake, *verdicts, lambda x: x))
    assert found.keys() == {*paired.TERMS}
    np.testing.assert_allclose(found["pixel"], [0.0, 1.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(found["perceptual"], [0.0, 1.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(found["feature_matching"], [0.0, 1.5, 3.0], atol=1e-6)


def test_absolute_differences_are_means_of_each_example():
    first, second = jnp.array([[[0.0, 1.0]], [[4.0, 4.0]]]), jnp.array([[[0.0, -1.0]], [[5.0, 1.0]]])
    np.testing.assert_allclose(terms.absolute_difference(first, second), [1.0, 2.0])
    with pytest.raises(ValueError, match="Expected arrays of one shape"):
        terms.absolute_difference(first, second[0])


def test_two_pairs_are_overfitted():
    """Photographs in colour of those in grey, without noise, with two scales and features matched."""
    images = tiles(SHAPE[:2])[:, 0]
    both = {"image": images, "input": in_grey(images)}
    game = make_game()._replace(
        task=paired.make_task(terms=("pixel", "feature_matching")),
        generator=unet.Generator(SHAPE, width=8, depth=3),
        optimizers={name: optax.adam(2e-3, b1=0.5) for name in ("generator", "discriminator")},
        term_weights={"pixel": 100.0, "feature_matching": 1.0},
    )
    batch = jax.tree.map(lambda leaf: leaf[None], both)
    key = jax.random.key(0)
    state = jax.jit(partial(steps.init_state, game))(batch, key)
    train_step = jax.jit(steps.make_train_step(game))
    errors = []
    for _ in range(80):
        state, metrics = train_step(state, batch, key)
        errors.append(float(metrics["term_pixel/g"]) / 100.0)
    assert metrics["finite/g"] and metrics["finite/d"]
    assert errors[-1] < 0.1 < 0.5 < errors[0]
    shown = game.task.show(
        lambda images: game.generator.apply(state.generator.variables, images, train=False),
        game.task.prepare(both, KEYS[:2]),
    )
    assert list(shown) == ["input", "output", "truth"]
    assert np.abs(shown["output"] - shown["truth"]).mean() < 0.12


def in_float64(batch, keys):
    return {name: images.astype(jnp.float64) / 127.5 - 1.0 for name, images in batch.items()}


def train(devices):
    runner = "jit" if devices == 1 else "shard_map"
    game = make_game(parallel.axis_name(runner), jnp.float64, transform=in_float64)
    batches = [jax.tree.map(lambda leaf: leaf[None], pairs(4, seed)) for seed in range(2)]
    run = parallel.make_runner(steps.make_train_step(game), runner=runner, devices=jax.devices()[:devices])
    alone = make_game(None, jnp.float64, transform=in_float64)
    init = jax.jit(partial(steps.init_state, alone), out_shardings=run.replicated)
    key = jax.random.key(1)
    state = init(batches[0], key)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    for batch in batches:
        chunk = jax.tree.map(lambda leaf: leaf[None], batch)
        state, _ = run.run(state, run.replicate({}), run.split(chunk), key)
    return jax.device_get(state)


def test_two_devices_train_what_one_trains():
    with jax.enable_x64(True):
        one, two = train(1), train(2)
    chex.assert_trees_all_close(one, two, rtol=0, atol=1e-10)
    assert np.abs(one.generator.params["down_0"]["Conv_0"]["kernel"]).max() > 0


def test_a_translator_without_noise_and_a_network_at_use():
    task, network = paired.make_task(), translator.Generator(3, width=4, blocks=1)
    images = jnp.zeros((1, 9, 11, 2))

    def use(images):
        def generator(*inputs):
            return network.init_with_output(jax.random.key(0), *inputs, train=False)[0]

        return task.use(generator, {"input": images}, KEYS[:1])

    assert jax.eval_shape(use, images).shape == (1, 9, 11, 3)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"No terms \['l1'\]; expected some of pixel, perceptual, feature"):
        paired.make_task(terms=["l1"])
    for options in (dict(terms=["perceptual"]), dict(perceptual=lambda first, second: first)):
        with pytest.raises(ValueError, match="'perceptual' and its distance are given together"):
            paired.make_task(**options)
    with pytest.raises(ValueError, match=r"this batch has \['image'\] and lacks input. Take a source of pa"):
        paired.make_task().prepare({"image": pairs(3)["image"]}, KEYS)
    batch = pairs(3)
    with pytest.raises(ValueError, match=r"Images are \(3, 16, 16, 3\) and their inputs \(3, 8, 16, 2\)"):
        paired.make_task().prepare({**batch, "input": batch["input"][:, :8]}, KEYS)
