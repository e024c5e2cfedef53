import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.metrics.distances import sliced_wasserstein

KEY = jax.random.key(0)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_a_set_is_at_no_distance_from_itself_in_another_order():
    points = normal(0, 50, 3)
    assert sliced_wasserstein(KEY, points, points) == 0
    assert sliced_wasserstein(KEY, points, points[::-1]) < 1e-6


def test_in_one_dimension_it_is_worked_by_hand():
    first, second = jnp.float32([[5], [0], [1]]), jnp.float32([[2], [4], [3]])  # sorted: -2, -2, 1
    assert sliced_wasserstein(KEY, first, second) == pytest.approx(3**0.5)


def test_it_is_symmetric():
    first, second = normal(0, 40, 3), 2 * normal(1, 40, 3) + 1
    distances = sliced_wasserstein(KEY, first, second), sliced_wasserstein(KEY, second, first)
    assert distances[0] == pytest.approx(float(distances[1]), rel=1e-6)


def test_a_shift_is_felt_along_its_share_of_directions():
    points, shift = normal(0, 30, 16), normal(1, 16)
    found = sliced_wasserstein(KEY, points, points + shift, projections=8192)
    assert found == pytest.approx(float(jnp.linalg.norm(shift)) / 4, rel=0.03)


def test_it_scales_with_the_units_of_the_entries():
    first, second = normal(0, 40, 3), normal(1, 40, 3)
    one, ten = (sliced_wasserstein(KEY, k * first, k * second) for k in (1, 10))
    assert ten == pytest.approx(10 * float(one), rel=1e-5)


def test_images_are_taken_as_vectors():
    first, second = normal(0, 10, 4, 4, 3), normal(1, 10, 4, 4, 3)
    flat = sliced_wasserstein(KEY, first.reshape(10, -1), second.reshape(10, -1))
    assert sliced_wasserstein(KEY, first, second) == flat > 0


def test_the_key_draws_the_directions():
    first, second = normal(0, 10, 3), normal(1, 10, 3)
    found = {float(sliced_wasserstein(jax.random.key(i), first, second, projections=2)) for i in (0, 0, 1)}
    assert len(found) == 2


@pytest.mark.parametrize("shape", [(9, 3), (10, 4), (10, 3, 1)])
def test_sets_of_different_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"of one size.*\(10, 3\).*leave some of the larger out"):
        sliced_wasserstein(KEY, jnp.zeros((10, 3)), jnp.zeros(shape))
