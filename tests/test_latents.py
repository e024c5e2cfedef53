import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.latents import slerp, walk

PAIRS = {  # between which no great circle is distinguished
    "parallel": ([3.0, 4.0], [6.0, 8.0]),
    "equal": ([3.0, 4.0], [3.0, 4.0]),
    "opposite": ([3.0, 4.0], [-6.0, -8.0]),
    "from zero": ([0.0, 0.0], [3.0, 4.0]),
    "to zero": ([3.0, 4.0], [0.0, 0.0]),
    "both zero": ([0.0, 0.0], [0.0, 0.0]),
}
each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def test_a_path_begins_and_ends_at_its_ends():
    start, end = normal(0, 5, 16), normal(1, 5, 16)
    np.testing.assert_allclose(slerp(start, end, 0.0), start, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slerp(start, end, 1.0), end, rtol=1e-5, atol=1e-6)


def test_midway_of_a_right_angle():
    middle = slerp(jnp.float32([2.0, 0.0]), jnp.float32([0.0, 4.0]), 0.5)
    np.testing.assert_allclose(middle, [3 / 2**0.5, 3 / 2**0.5], rtol=1e-6)


def test_a_third_of_the_way_turns_a_third_of_the_angle():
    found = slerp(jnp.float32([1.0, 0.0]), jnp.float32([0.0, 1.0]), 1 / 3)
    np.testing.assert_allclose(found, [3**0.5 / 2, 0.5], rtol=1e-6)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.8])
def test_lengths_are_interpolated_linearly(weight):
    start, end = normal(0, 5, 16), 3 * normal(1, 5, 16)
    before, after, found = (np.linalg.norm(x, axis=-1) for x in (start, end, slerp(start, end, weight)))
    np.testing.assert_allclose(found, (1 - weight) * before + weight * after, rtol=1e-5)


@pytest.mark.parametrize("turn", [1e-3, np.pi - 1e-2])
def test_nearly_parallel_and_nearly_opposite_latents_keep_to_the_shell(turn):
    found = slerp(jnp.float32([1.0, 0.0]), jnp.float32([np.cos(turn), np.sin(turn)]), 0.5)
    np.testing.assert_allclose(found, [np.cos(turn / 2), np.sin(turn / 2)], atol=2e-4)


@pytest.mark.parametrize("name", ["parallel", "opposite"])
def test_latents_on_one_line_are_interpolated_linearly_in_direction_and_length(name):
    (start, end), sign = PAIRS[name], 1 if name == "parallel" else -1
    direction = np.array([0.6, 0.8]) * (0.75 + 0.25 * sign)
    np.testing.assert_allclose(
        slerp(jnp.float32(start), jnp.float32(end), 0.25), direction * (0.75 * 5 + 0.25 * 10), rtol=1e-6
    )


@each_pair
def test_where_no_circle_is_distinguished_a_path_is_finite(pair):
    for weight in (0.0, 0.3, 1.0):
        assert np.isfinite(slerp(*map(jnp.float32, pair), weight)).all()


@each_pair
def test_where_no_circle_is_distinguished_gradients_are_finite(pair):
    gradients = jax.grad(lambda *x: slerp(*x).sum(), argnums=(0, 1, 2))(*map(jnp.float32, pair), 0.3)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_weights_are_broadcast_against_latents():
    start, end = normal(0, 3, 1, 4), normal(1, 3, 1, 4)
    weights = jnp.float32([0.0, 0.5])[:, None]
    found = slerp(start, end, weights)
    assert found.shape == (3, 2, 4)
    np.testing.assert_allclose(found[1, 1], slerp(start[1, 0], end[1, 0], 0.5), rtol=1e-6)


def test_a_walk_passes_its_stops_in_turn():
    stops = normal(0, 3, 8)
    path = walk(stops, 5)
    assert path.shape == (15, 8)
    np.testing.assert_allclose(path[::5], stops, rtol=1e-5, atol=1e-6)


def test_a_walk_around_the_circle_is_even_and_closes():
    path = walk(jnp.float32([[1, 0], [0, 1], [-1, 0], [0, -1]]), 3)
    angles = np.arange(12) * 2 * np.pi / 12
    np.testing.assert_allclose(path, np.stack([np.cos(angles), np.sin(angles)], axis=1), atol=1e-6)
