import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.metrics.paths import mean_path_length, perceptual_path_lengths

KEY = jax.random.key(0)
MATRIX = jnp.asarray(np.random.default_rng(0).normal(size=(6, 10)), jnp.float32)


def squared(first, second):
    return jnp.sum((first - second) ** 2, axis=-1)


def linear(latents):
    return latents @ MATRIX


def lengths(generate=linear, distance=squared, *, count=2000, epsilon=1e-2, **options):
    made = lambda key: perceptual_path_lengths(  # noqa: E731
        generate, distance, key, count=count, latent_size=6, epsilon=epsilon, **options
    )
    return jax.jit(made)(KEY)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_linear_generator_has_one_speed_along_straight_paths(sampling):
    """|(b - a) A|^2 of standard normal a and b is 2 |A|^2 on average, wherever on the path."""
    found = lengths(mapping=lambda z: z, sampling=sampling)
    assert found.shape == (2000,)
    expected = 2 * float(jnp.sum(MATRIX**2))
    deviation = float(2 * np.sqrt(2 * np.sum(np.asarray(MATRIX @ MATRIX.T) ** 2)))  # of a quadratic form
    assert float(found.mean()) == pytest.approx(expected, abs=4 * deviation / 2000**0.5)


def test_a_mapping_is_taken_before_the_path_and_not_after_it():
    ones = lengths(mapping=lambda z: 3 * z), lengths(mapping=lambda z: z)
    np.testing.assert_allclose(ones[0], 9 * ones[1], rtol=1e-3)
    ignored = lengths(mapping=lambda z: jnp.ones_like(z))  # all latents are mapped to one
    assert not ignored.any()


def test_w_may_have_more_axes():
    found = lengths(lambda w: w.reshape(len(w), -1), mapping=lambda z: z.reshape(-1, 2, 3))
    np.testing.assert_allclose(found, lengths(lambda w: w, mapping=lambda z: z), rtol=1e-5)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_between_latents_the_speed_is_that_of_a_spiral(sampling):
    """Of direction turned by an angle and length going from r to s: (s - r)^2 + (length x angle)^2."""
    found = np.asarray(lengths(lambda z: z, sampling=sampling, epsilon=1e-3), np.float64)
    of_latents, of_places = jax.random.split(KEY)
    a, b = np.asarray(jax.random.normal(of_latents, (2, 2000, 6)), np.float64)
    t = np.asarray(jax.random.uniform(of_places, (2000,)), np.float64) * (sampling == "full")
    r, s = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    angle = np.arccos(np.sum(a * b, axis=1) / r / s)
    expected = (s - r) ** 2 + (((1 - t) * r + t * s) * angle) ** 2
    np.testing.assert_allclose(found, expected, rtol=0.02)
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-3)


def test_the_published_step_is_not_lost_in_float32():
    coarse, fine = lengths(lambda z: z, epsilon=1e-2), lengths(lambda z: z, epsilon=1e-4)
    assert float(fine.mean()) == pytest.approx(float(coarse.mean()), rel=0.01)


def test_another_key_draws_others():
    made = [
        perceptual_path_lengths(linear, squared, jax.random.key(seed), count=3, latent_size=6)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.isclose(made[0], made[2]).any()


def test_the_mean_leaves_out_a_hundredth_at_both_ends():
    """Of 0 to 100 and two outliers, 103 lengths, the ranks 1.02 and 100.98 are rounded outwards."""
    values = np.array([-1e6, *range(101), 1e9])
    assert mean_path_length(np.random.default_rng(0).permutation(values)) == 50
    assert mean_path_length(jnp.float32([7.0])) == 7


WRONG = {
    "another sampling": (dict(sampling="middle"), "sampling is 'middle', expected one of full, end"),
    "no step": (dict(epsilon=0.0), "epsilon is 0.0"),
    "a step that is no number": (dict(epsilon=float("nan")), "epsilon is nan"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_paths_that_cannot_be_taken_are_refused(kind):
    options, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        lengths(**options)


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 2)), np.array([1.0, np.nan])])
def test_a_mean_of_no_lengths_is_refused(bad):
    with pytest.raises(ValueError, match="finite lengths"):
        mean_path_length(bad)
