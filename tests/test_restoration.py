from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import losses, masks, parallel, steps
from jaxgan.models import repair
from jaxgan.tasks import Round
from jaxgan.tasks.restoration import TERMS, Given, make_task

draw_masks = partial(masks.draw_masks, kinds=("free_form", "rectangles"), area=(0.25, 0.5))
KEYS = jax.random.split(jax.random.key(0), 4)
HOLES = np.zeros((4, 9, 10, 1), np.float32)
HOLES[:, 2:6, 3:9] = 1


@pytest.fixture(scope="module")
def digits():
    """Real 8x8 images, with a border: uint8 [4,9,10,1]."""
    datasets = pytest.importorskip("sklearn.datasets")
    images = datasets.load_digits().images[:4, ..., None] * 255 / 16
    return np.pad(images.astype(np.uint8), ((0, 0), (0, 1), (1, 1), (0, 0)))


def noisy(images, keys):
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)
    return images + 0.1 * noise


def test_a_hole_is_grey_and_the_rest_is_known_bit_for_bit(digits):
    task = make_task(draw_masks=draw_masks)
    (images, where), real = task.prepare({"image": digits}, KEYS)
    np.testing.assert_allclose(real, digits / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(images, np.where(where > 0, 0, real))
    assert 0.25 <= where.mean() <= 0.5 and len(np.unique(where, axis=0)) == 4
    part = task.prepare({"image": digits[1:3]}, KEYS[1:3])
    np.testing.assert_array_equal(part.given.masks, where[1:3])
    made = task.generate(lambda x, m: jnp.full_like(x, np.nan), Given(images, where))
    np.testing.assert_array_equal(made, np.where(where > 0, np.nan, real))


def test_noise_is_everywhere_and_comes_from_the_examples_key(digits):
    task = make_task(damage=noisy)
    (images, where), real = task.prepare({"image": digits}, KEYS)
    np.testing.assert_array_equal(where, np.ones((4, 9, 10, 1)))
    assert 0.07 < np.std(images - real) < 0.13
    part = task.prepare({"image": digits[2:]}, KEYS[2:])
    np.testing.assert_allclose(part.given.images, images[2:], atol=1e-6)


def test_masks_and_inputs_of_the_source_come_first(digits):
    batch = {"image": digits, "mask": (255 * HOLES).astype(np.uint8), "input": 255 - digits}
    (images, where), real = make_task(draw_masks=draw_masks, damage=noisy).prepare(batch, KEYS)
    np.testing.assert_array_equal(where, HOLES)
    np.testing.assert_allclose(images, np.where(HOLES > 0, -real, real), atol=1e-6)


def test_the_discriminator_sees_the_mask_as_the_last_channel(digits):
    task = make_task()
    given = Given(jnp.zeros((4, 9, 10, 3)), jnp.asarray(HOLES))
    seen = task.judge(lambda images: images, jnp.ones((4, 9, 10, 3)), given).logits
    np.testing.assert_array_equal(seen, np.concatenate([np.ones((4, 9, 10, 3)), HOLES], axis=-1))


@pytest.mark.parametrize("known", [0.0, 0.25])
def test_terms_are_of_the_composite_but_for_what_known_pixels_count(digits, known):
    def perceptual(first, second):
        return jnp.max(jnp.abs(first - second), axis=(1, 2, 3))

    task = make_task(terms=TERMS, known=known, perceptual=perceptual)
    example = task.prepare({"image": digits, "mask": HOLES}, KEYS)
    generator = lambda images, masks: example.real + jnp.where(masks > 0, 3.0, 2.0)  # noqa: E731
    fake = task.generate(generator, example.given)

    def discriminator(shown, method):
        return shown.mean((1, 2, 3)), (shown[..., :1], 2 * shown[..., :1]), {}

    verdicts = [task.judge(discriminator, sample, example.given) for sample in (example.real, fake)]
    found = task.generator_terms(Round(generator, discriminator, example, fake, *verdicts, lambda x: x))
    share = HOLES.mean()
    np.testing.assert_allclose(found["pixel"], 3 * share + known * 2 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(found["perceptual"], 3, rtol=1e-5)
    np.testing.assert_allclose(found["feature_matching"], 4.5 * share, rtol=1e-5)


def test_in_use_holes_are_emptied_and_without_a_mask_all_is_repaired(digits):
    images = jnp.asarray(digits / 127.5 - 1, jnp.float32)
    shown = lambda x, m: x + 5 * m  # noqa: E731
    for damage, left in ((None, 0.0), (noisy, 1.0)):
        task = make_task(damage=damage)
        whole = task.use(shown, {"input": images}, KEYS)
        np.testing.assert_allclose(whole, left * images + 5, atol=1e-6)
        part = task.use(shown, {"input": images, "mask": jnp.asarray(HOLES)}, KEYS)
        np.testing.assert_allclose(part, np.where(HOLES > 0, left * images + 5, images), atol=1e-6)


def make_game(axis_name=None, dtype=None, **options):
    task = make_task(draw_masks=draw_masks, terms=("pixel", "feature_matching"), known=0.1, **options)
    return steps.Game(
        task,
        repair.Generator(1, width=4, dilations=(2,), dtype=dtype),
        repair.Discriminator(width=4, stages=2, dtype=dtype),
        losses.LOSSES["hinge"],
        {name: optax.sgd(0.02, momentum=0.5) for name in ("generator", "discriminator")},
        term_weights={"pixel": 1.0, "feature_matching": 1.0},
        axis_name=axis_name,
    )


def test_two_images_are_overfitted_inside_the_hole(digits):
    game = make_game()._replace(
        task=make_task(terms=("pixel",)),
        generator=repair.Generator(1, width=8, dilations=(1, 2)),
        optimizers={name: optax.adam(3e-3, b1=0.5) for name in ("generator", "discriminator")},
        term_weights={"pixel": 100.0},
    )
    batch = {"image": digits[None, :2], "mask": HOLES[None, :2]}
    key = jax.random.key(0)
    state = jax.jit(partial(steps.init_state, game))(batch, key)
    train_step = jax.jit(steps.make_train_step(game))
    errors = []
    for _ in range(80):
        state, metrics = train_step(state, batch, key)
        errors.append(float(metrics["term_pixel/g"]) / 100 / HOLES.mean())
    assert metrics["finite/g"] and metrics["finite/d"]
    assert errors[-1] < 0.1 < 0.4 < errors[0]
    example = game.task.prepare({"image": digits[:2], "mask": HOLES[:2]}, KEYS[:2])
    shown = game.task.show(
        lambda *given: game.generator.apply(state.generator.variables, *given, train=False), example
    )
    assert list(shown) == ["input", "output", "truth"]
    error = np.abs(shown["output"] - shown["truth"])
    assert error.mean() / HOLES.mean() < 0.12 and error[HOLES[:2] == 0].max() == 0


def in_float64(batch, keys):
    return {name: images.astype(jnp.float64) / 127.5 - 1 for name, images in batch.items()}


def train(devices, digits):
    runner = "jit" if devices == 1 else "shard_map"
    game = make_game(parallel.axis_name(runner), jnp.float64, transform=in_float64)
    run = parallel.make_runner(steps.make_train_step(game), runner=runner, devices=jax.devices()[:devices])
    alone = make_game(None, jnp.float64, transform=in_float64)
    init = jax.jit(partial(steps.init_state, alone), out_shardings=run.replicated)
    batch, key = {"image": digits[None]}, jax.random.key(1)
    state = init(batch, key)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    for _ in range(2):
        chunk = jax.tree.map(lambda leaf: leaf[None], batch)
        state, metrics = run.run(state, run.replicate({}), run.split(chunk), key)
    assert metrics["finite/g"].all()
    return jax.device_get(state)


def test_two_devices_train_what_one_trains(digits):
    with jax.enable_x64(True):
        one, two = train(1, digits), train(2, digits)
    chex.assert_trees_all_close(one, two, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(terms=["style"]), r"No terms \['style'\]; expected some of pixel, perceptual"),
        (dict(terms=["perceptual"]), "'perceptual' and its distance are given together"),
        (dict(known=-1.0), "known is -1.0, expected how much known pixels count"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_task(**options)


@pytest.mark.parametrize("wrong", [{"mask": HOLES[:, 1:]}, {"input": np.zeros((4, 18, 20, 1), np.float32)}])
def test_masks_and_inputs_of_other_sizes_are_refused(digits, wrong):
    with pytest.raises(ValueError, match="of one size. To enlarge images is a task of its own"):
        make_task().prepare({"image": digits, **wrong}, KEYS)
