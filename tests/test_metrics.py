"""Sliced Wasserstein distances, of vectors and of images' patches."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgan.metrics.distances import patch_wasserstein, pyramid, sliced_wasserstein

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


def levels(images):
    """Each image is of one grey: [N] -> uint8 [N,16,20,1]."""
    return np.broadcast_to(np.uint8(images)[:, None, None, None], (len(images), 16, 20, 1))


def test_patches_of_one_grey_each_are_worked_by_hand():
    # Normalised: -1, -1, 1, 1 and -1/sqrt 3 thrice, sqrt 3. All 49 entries are alike, so that a direction
    # counts with its sum, whose mean size is 7 gamma(49/2) / (sqrt pi gamma(50/2)).
    found = patch_wasserstein(KEY, levels([0, 0, 100, 100]), levels([70, 50, 50, 50]), projections=20_000)
    apart = (2 * (1 - 3**-0.5) + (1 + 3**-0.5) + (3**0.5 - 1)) / 4
    expected = apart * 7 * math.exp(math.lgamma(24.5) - math.lgamma(25)) / math.pi**0.5
    np.testing.assert_allclose(found, [expected], rtol=0.02)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_patches_of_a_set_are_at_no_distance_from_its_own():
    images = noise(0, 8, 64, 33, 3)
    assert patch_wasserstein(KEY, images, images).tolist() == [0.0, 0.0]


def test_patches_do_not_feel_brightness_and_contrast_of_a_channel():
    images = noise(0, 8, 32, 32, 3).astype(np.float32)
    changed = images * [1.0, 2.0, 0.5] - [0.0, 40.0, 100.0]
    assert patch_wasserstein(KEY, images, changed.astype(np.float32)).max() < 1e-5


def test_blur_is_felt_on_the_finest_level_most():
    noisy, other = (
        scipy.ndimage.gaussian_filter(noise(i, 64, 64, 64, 1) * 1.0, (0, 1, 1, 0)) for i in (0, 1)
    )
    blurred = scipy.ndimage.gaussian_filter(other, (0, 1.5, 1.5, 0))
    noisy, other, blurred = (jnp.asarray(x, jnp.float32) for x in (noisy, other, blurred))
    far, near = (np.asarray(patch_wasserstein(KEY, noisy, x)) for x in (blurred, other))
    assert far.shape == near.shape == (3,)
    assert far[0] > 3 * near[0] and far[0] > 2 * far[2]


def test_a_pyramid_is_that_of_scipys_filters_and_can_be_undone():
    images = np.random.default_rng(0).normal(size=(2, 37, 64, 3)).astype(np.float32)

    def smoothed(x):
        for axis in (1, 2):
            x = scipy.ndimage.convolve1d(x, np.float64([1, 4, 6, 4, 1]) / 16, axis=axis, mode="mirror")
        return x

    smaller = smoothed(images)[:, ::2, ::2]
    spread = np.zeros_like(images)
    spread[:, ::2, ::2] = 4 * smaller
    fine, coarse = pyramid(jnp.asarray(images), 2)
    np.testing.assert_allclose(coarse, smaller, atol=1e-6)
    np.testing.assert_allclose(fine + smoothed(spread), images, atol=1e-6)


@pytest.mark.parametrize(
    "shapes", [[(4, 16, 16, 3), (5, 16, 16, 3)], [(4, 15, 32, 3)] * 2, [(4, 16, 16)] * 2]
)
def test_images_without_patches_to_compare_are_refused(shapes):
    with pytest.raises(ValueError, match="as many images .* of 16 pixels or more"):
        patch_wasserstein(KEY, *(jnp.zeros(shape) for shape in shapes))
