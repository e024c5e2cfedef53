import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import random_flip
from jaxgan.tasks.synthesis import draw_latents, make_task

B, Z = 6, 4
KEYS = jax.random.split(jax.random.key(0), B)
BATCH = {
    "image": jnp.arange(B * 3 * 2.0).reshape(B, 3, 2, 1),
    "label": jnp.arange(B, dtype=jnp.int32),
}


def keys_given_to_the_transform(keys):
    return make_task(Z, transform=lambda images, keys: keys).prepare(BATCH, keys).real


def test_latents_depend_on_the_examples_key_alone():
    task = make_task(Z)
    order = np.array([4, 1, 5])
    whole = task.prepare(BATCH, KEYS).given.latents
    other = {"image": jnp.zeros((3, 5, 5, 2))}
    assert whole.shape == (B, Z)
    np.testing.assert_array_equal(task.prepare(other, KEYS[order]).given.latents, whole[order])


def test_each_example_has_latents_of_its_own():
    assert len(np.unique(make_task(Z).prepare(BATCH, KEYS).given.latents)) == B * Z


def test_latents_are_standard_normal():
    latents = draw_latents(jax.random.split(jax.random.key(1), 4096), 8)
    assert latents.dtype == "float32"
    np.testing.assert_allclose(latents.mean(0), np.zeros(8), atol=0.06)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(8), atol=0.1)


def test_latents_take_the_default_float_dtype():
    with jax.enable_x64(True):
        assert draw_latents(KEYS, Z).dtype == "float64"


def test_a_fake_gets_the_label_of_its_real_image():
    given = make_task(Z, conditional=True).prepare(BATCH, KEYS).given
    np.testing.assert_array_equal(given.labels, BATCH["label"])
    assert given.labels.dtype == "int32"


def test_an_unconditional_task_leaves_labels_out():
    assert make_task(Z).prepare(BATCH, KEYS).given.labels is None


def test_real_images_are_taken_as_they_are():
    np.testing.assert_array_equal(make_task(Z).prepare(BATCH, KEYS).real, BATCH["image"])


def test_a_transform_makes_the_real_images():
    real = make_task(Z, transform=random_flip).prepare(BATCH, KEYS).real
    expected = random_flip(BATCH["image"], keys_given_to_the_transform(KEYS))
    np.testing.assert_array_equal(real, expected)
    assert 0 < np.all(real != BATCH["image"], axis=(1, 2, 3)).sum() < B


def test_a_transforms_keys_depend_on_the_examples_key_alone():
    whole, part = (jax.random.key_data(keys_given_to_the_transform(keys)) for keys in (KEYS, KEYS[2:4]))
    np.testing.assert_array_equal(part, whole[2:4])
    assert len(np.unique(whole, axis=0)) == B


def test_what_a_transform_draws_is_independent_of_the_latents():
    keys = jax.random.split(jax.random.key(2), 4096)
    own = keys_given_to_the_transform(keys)
    latents = make_task(Z).prepare({"image": jnp.zeros(4096)}, keys).given.latents
    for drawn_from in (own, *jax.vmap(jax.random.split, out_axes=1)(own)):
        correlation = np.corrcoef(latents.T, draw_latents(drawn_from, Z).T)[:Z, Z:]
        np.testing.assert_allclose(correlation, np.zeros((Z, Z)), atol=0.08)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_players_are_called_with_their_inputs_and_the_labels(conditional):
    task = make_task(Z, conditional=conditional)
    given = task.prepare(BATCH, KEYS).given
    assert task.generate(lambda *inputs: inputs, given) == (given.latents, given.labels)
    assert task.judge(lambda *inputs: inputs, "sample", given) == ("sample", given.labels)


def test_nothing_else_is_asked_of_the_generator():
    task = make_task(Z)
    assert task.generator_terms(None, None, task.prepare(BATCH, KEYS), BATCH["image"]) == {}


def test_prepare_is_the_same_under_jit():
    task = make_task(Z, conditional=True, transform=random_flip)
    plain, jitted = task.prepare(BATCH, KEYS), jax.jit(task.prepare)(BATCH, KEYS)
    np.testing.assert_allclose(jitted.given.latents, plain.given.latents, rtol=1e-6)
    np.testing.assert_array_equal(jitted.real, plain.real)
