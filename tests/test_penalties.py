import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.penalties import (
    LogitAverages,
    approximate_r1,
    consistency,
    diversity,
    gradient_penalty,
    interpolate,
    lecam,
    orthogonal,
    orthogonal_kernels,
    path_length,
    perturb,
    r1,
    r2,
    update_averages,
    update_length,
)

both = pytest.mark.parametrize("penalty", [r1, r2])


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def make_keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def tanh_critic(params, images):
    hidden = jnp.tanh(images.reshape(len(images), -1) @ params["w"] + params["b"])
    return hidden @ params["v"]


def make_params(inputs):
    return {"w": normal(0, inputs, 5), "b": normal(1, 5), "v": normal(2, 5)}


def quadratic_patches(images):  # [B,2,2,C] -> [B,2,2]
    return (images**2).sum(-1)


def generate(matrix, latents):  # linear: [B,3] -> [B,2,2,1]
    return (latents @ matrix).reshape(-1, 2, 2, 1)


@both
def test_a_linear_critic_has_half_the_square_of_its_slope(penalty):
    slope = jnp.float32([1.0, 2.0, 2.0])
    images = jnp.float32([[0, 0, 0], [1, 2, 3], [-9, 5, 7]])
    np.testing.assert_array_equal(penalty(lambda x: x @ slope + 8, images), [4.5, 4.5, 4.5])


@both
def test_a_quadratic_critic_has_half_the_square_of_its_gradient(penalty):
    with jax.enable_x64(True):
        a, b, images = normal(0, 6, 6), normal(1, 6), normal(2, 4, 1, 2, 3)

        def critic(x):
            x = x.reshape(len(x), -1)
            return jnp.einsum("bi,ij,bj->b", x, a, x) + x @ b

        gradients = images.reshape(4, 6) @ (a + a.T) + b
        np.testing.assert_allclose(penalty(critic, images), (gradients**2).sum(1) / 2, rtol=1e-12)


@both
def test_an_examples_penalty_is_of_that_example_alone(penalty):
    params, images = make_params(12), normal(3, 4, 2, 2, 3)
    before = penalty(lambda x: tanh_critic(params, x), images)
    after = penalty(lambda x: tanh_critic(params, x), images.at[1].add(0.5))
    assert before.shape == (4,)
    assert np.nonzero(before != after)[0].tolist() == [1]


@both
def test_patches_are_summed_before_the_square(penalty):
    kernel = jnp.float32([1.0, 2.0, 2.0])
    images = jnp.ones((2, 4, 5, 3), jnp.float32)
    apart = penalty(lambda x: x @ kernel, images)  # [B,4,5], each patch sees its own pixel
    np.testing.assert_array_equal(apart, [4 * 5 * 4.5] * 2)
    seen_twice = penalty(lambda x: jnp.stack([x[:, 0, 0] @ kernel] * 2, axis=1)[..., None], images)
    np.testing.assert_array_equal(seen_twice, [4 * 4.5] * 2)


@both
def test_its_gradient_in_the_critics_parameters_is_that_of_finite_differences(penalty):
    with jax.enable_x64(True):
        images = normal(3, 4, 2, 3, 1)
        check_grads(
            lambda params: penalty(lambda x: tanh_critic(params, x), images), (make_params(6),),
            1, ["rev"], 1e-5, 1e-5,
        )  # fmt: skip


@both
def test_a_flat_critic_has_no_penalty_and_a_finite_gradient(penalty):
    def total(slope):
        return penalty(lambda x: x @ slope, jnp.ones((2, 3))).sum()

    value, gradient = jax.value_and_grad(total)(jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros(3))


@both
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_the_images_dtype_is_kept(penalty, dtype):
    with jax.enable_x64(True):
        assert penalty(lambda x: x.sum((1, 2, 3)), jnp.ones((2, 4, 4, 1), dtype)).dtype == dtype


# Gradient penalties of any centre.

# torch 2.13.0, float64: the penalty of images X under D(x) = tanh(x W) v at centres 1, 0 and 0.5, and the
# derivatives of its sum in v.
X = [[0.1, -0.2, 0.3], [1.0, 0.5, -0.7], [-0.4, 0.0, 0.9]]
W = [[0.5, -1.0, 0.3, 2.0], [1.0, 0.2, -0.6, -0.5], [-0.7, 0.4, 1.5, 0.1]]
V = [1.0, -0.5, 2.0, 0.7]
PEERS = {
    1.0: [[3.966000564685, 0.05773690882, 0.450439399986],
          [0.082745455427, -3.596537436103, 3.486253011981, 8.429519020132]],
    0.0: [[8.948964568883, 1.538307023665, 2.792735045493],
          [0.118078031391, -6.24042452634, 6.54796422013, 14.608277916089]],
    0.5: [[6.207482566784, 0.548021966243, 1.37158722274],
          [0.100411743409, -4.918480981221, 5.017108616055, 11.51889846811]],
}  # fmt: skip


@pytest.mark.parametrize("centre", PEERS)
def test_gradient_penalties_and_their_gradients_are_those_of_torch(centre):
    with jax.enable_x64(True):
        images, w, v = map(jnp.float64, (X, W, V))
        found, pull = jax.vjp(
            lambda v: gradient_penalty(lambda x: jnp.tanh(x @ w) @ v, images, centre=centre), v
        )
        expected, gradient = PEERS[centre]
        np.testing.assert_allclose(found, expected, atol=1e-11)
        np.testing.assert_allclose(pull(jnp.ones(3))[0], gradient, atol=1e-11)


@pytest.mark.parametrize("centre, expected", [(1.0, 4.0), (3.0, 0.0), (5.0, 4.0), (0.0, 9.0)])
def test_a_linear_critics_gradient_penalty_is_its_slopes_distance_from_the_centre(centre, expected):
    slope, images = jnp.float32([1, 2, 2]), jnp.float32([[0, 0, 0], [-9, 5, 7]])
    found = gradient_penalty(lambda x: x @ slope + 8, images, centre=centre)
    np.testing.assert_allclose(found, [expected] * 2, atol=1e-6)


def test_gradient_penalties_are_1_centred_unless_told():
    np.testing.assert_allclose(gradient_penalty(lambda x: 3 * x[:, 0], jnp.ones((2, 1))), [4, 4])


def test_0_centred_it_is_twice_r1():
    params, images = make_params(12), normal(3, 4, 2, 2, 3)

    def critic(x):
        return tanh_critic(params, x)

    found = gradient_penalty(critic, images, centre=0.0)
    np.testing.assert_array_equal(found, 2 * r1(critic, images))


def test_patches_are_summed_before_the_norm():
    images = jnp.ones((2, 4, 5, 3))
    found = gradient_penalty(lambda x: x @ jnp.float32([1, 2, 2]), images)
    np.testing.assert_allclose(found, [(np.sqrt(20 * 9) - 1) ** 2] * 2, rtol=1e-6)


def test_a_gradient_penaltys_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        images = normal(3, 4, 2, 3, 1)
        check_grads(
            lambda params: gradient_penalty(lambda x: tanh_critic(params, x), images),
            (make_params(6),), 1, ["rev"], 1e-5, 1e-5,
        )  # fmt: skip


@pytest.mark.parametrize("dtype, slope", [("float16", 0), ("float32", 0), ("float32", 1e-30)])
def test_a_flat_critics_gradient_penalty_is_1_and_its_gradient_finite(dtype, slope):
    with jax.enable_x64(True):
        images = jnp.ones((2, 3), dtype)
        value, gradient = jax.value_and_grad(
            lambda slope: gradient_penalty(lambda x: x @ slope, images).sum()
        )(jnp.full(3, slope, dtype))
        assert value == pytest.approx(2, abs=0.04)  # float16 knows no norms below 0.008
        assert jnp.isfinite(gradient).all() and (jnp.abs(gradient) <= 4).all()


# R1 by finite differences.


def test_a_linear_critics_approximate_r1_is_that_of_its_draw_for_any_sigma():
    with jax.enable_x64(True):
        slope, images, keys = normal(0, 12), normal(1, 5, 2, 2, 3), make_keys(5)
        noise = jnp.stack([jax.random.normal(key, (2, 2, 3), images.dtype) for key in keys])
        expected = (noise.reshape(5, 12) @ slope) ** 2 / 2
        for sigma in (0.01, 3.0):
            found = approximate_r1(lambda x: x.reshape(len(x), 12) @ slope, images, keys, sigma=sigma)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_over_many_draws_a_linear_critics_approximate_r1_is_r1_and_scatters_as_said():
    slope, count = jnp.float32([1, 2, 2]), 40_000
    found = approximate_r1(lambda x: x @ slope, jnp.zeros((count, 3)), make_keys(count), sigma=0.5)
    assert found.mean() == pytest.approx(4.5, rel=4 * np.sqrt(2 / count))  # four standard errors
    assert found.std() == pytest.approx(np.sqrt(2) * 4.5, rel=0.1)


def test_its_bias_grows_with_the_square_of_sigma():
    # D(x + d) - D(x) = g d + h d^2/2 + t d^3/6 with d = sigma e, and E e^2, e^4, e^6 = 1, 3, 15: the square's
    # mean is g^2 + sigma^2 (3 h^2/4 + g t) + 15 sigma^4 t^2/36, over sigma^2.
    g, h, t, count = 0.5, 1.5, 1.0, 200_000

    def bias(sigma):
        images, keys = jnp.zeros((count, 1)), make_keys(count)
        found = approximate_r1(
            lambda x: (g * x + h * x**2 / 2 + t * x**3 / 6)[:, 0], images, keys, sigma=sigma
        )
        # Less the same draws' linear and odd parts, whose means are known: g^2/2 and 0.
        noise = jax.vmap(lambda key: jax.random.normal(key, (1,)))(keys)[:, 0]
        return float((found - g**2 * noise**2 / 2 - sigma * g * h * noise**3 / 2).mean())

    biases = {sigma: bias(sigma) for sigma in (0.1, 0.2)}
    for sigma, found in biases.items():
        expected = sigma**2 * (0.75 * h**2 + g * t) / 2 + sigma**4 * 15 * t**2 / 72
        assert found == pytest.approx(expected, rel=0.05)
    assert biases[0.2] / biases[0.1] == pytest.approx(4, rel=0.06)


def test_a_small_sigma_comes_to_the_directional_derivative():
    with jax.enable_x64(True):
        params, images, keys = make_params(12), normal(3, 4, 2, 2, 3), make_keys(4)
        noise = jnp.stack([jax.random.normal(key, (2, 2, 3), images.dtype) for key in keys])
        _, slopes = jax.jvp(lambda x: tanh_critic(params, x), (images,), (noise,))
        found = approximate_r1(lambda x: tanh_critic(params, x), images, keys, sigma=1e-6)
        np.testing.assert_allclose(found, slopes**2 / 2, rtol=1e-4)


def test_approximate_r1s_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        images, keys = normal(3, 4, 2, 3, 1), make_keys(4)
        check_grads(
            lambda params: approximate_r1(lambda x: tanh_critic(params, x), images, keys, sigma=0.1),
            (make_params(6),), 1, ["rev"], 1e-5, 1e-5,
        )  # fmt: skip


def test_approximate_r1_sums_patches_before_the_square():
    images, keys = jnp.zeros((2, 2, 2, 1)), make_keys(2)
    noise = jnp.stack([jax.random.normal(key, (2, 2, 1)) for key in keys])
    found = approximate_r1(lambda x: x[..., 0], images, keys, sigma=1.0)
    np.testing.assert_allclose(found, noise.sum((1, 2, 3)) ** 2 / 2, rtol=1e-5)


# Where gradients are taken.


def test_interpolated_points_lie_on_the_line_each_at_its_own_share():
    with jax.enable_x64(True):
        real, fake = normal(0, 50, 2, 2, 3), normal(1, 50, 2, 2, 3)
        shares = (interpolate(real, fake, make_keys(50)) - fake) / (real - fake)
        shares = np.asarray(shares).reshape(50, 12)
        np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape), atol=1e-9)
        assert (shares >= 0).all() and (shares <= 1).all() and len(np.unique(shares[:, 0].round(6))) == 50


def test_interpolation_is_uniform_between_fake_and_real():
    found = np.asarray(interpolate(jnp.full((4000, 1), 3.0), jnp.ones((4000, 1)), make_keys(4000)))
    assert found.min() == pytest.approx(1, abs=0.01) and found.max() == pytest.approx(3, abs=0.01)
    assert found.mean() == pytest.approx(2, abs=0.04)
    assert found.var() == pytest.approx(4 / 12, rel=0.1)


@pytest.mark.parametrize("options, scale", [({}, 0.5), ({"scale": 2.0}, 2.0), ({"scale": 0.0}, 0.0)])
def test_perturbation_has_the_scale_it_is_given_on_every_value(options, scale):
    images = jnp.full((50, 4, 5, 3), 7.0)
    noise = np.asarray(perturb(images, make_keys(50), **options)) - 7
    assert noise.mean() == pytest.approx(0, abs=0.06 * scale)
    assert noise.std() == pytest.approx(scale, rel=0.05)
    assert len(np.unique(noise)) > 0.9 * noise.size or scale == 0


# LeCam.


def test_lecam_by_hand():
    averages = LogitAverages(real=jnp.float32(2), fake=jnp.float32(-1))
    real, fake = jnp.float32([[[2], [-1]], [[0], [5]]]), jnp.float32([[[0], [2]], [[-1], [2]]])
    # (real + 1)^2 + (fake - 2)^2: patches [2,2,1] stay apart.
    np.testing.assert_array_equal(lecam(real, fake, averages), [[[13], [0]], [[10], [36]]])


def test_lecams_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        averages = LogitAverages(jnp.float64(0.5), jnp.float64(-0.25))
        check_grads(lambda r, f: lecam(r, f, averages), (normal(0, 5), normal(1, 5)), 1, ["rev"], 1e-7, 1e-7)


def test_averages_move_by_a_hundredth_unless_told():
    averages = LogitAverages(jnp.float32(1), jnp.float32(0))
    found = update_averages(averages, jnp.float32([2, 4]), jnp.float32([[[-10]], [[-30]]]))
    np.testing.assert_allclose(found, [1.02, -0.2], rtol=1e-6)
    found = update_averages(averages, jnp.float32([2, 4]), jnp.float32([-10, -30]), decay=0.5)
    np.testing.assert_allclose(found, [2, -10], rtol=1e-6)


def test_averages_converge_to_steady_logits():
    def update(averages, _):
        averages = update_averages(averages, jnp.float32([2, 4]), jnp.float32([-1, -3]), decay=0.9)
        return averages, averages

    zero = LogitAverages(jnp.zeros(()), jnp.zeros(()))
    last, path = jax.lax.scan(update, zero, length=200)
    np.testing.assert_allclose(last, [3, -2], rtol=1e-5)
    np.testing.assert_allclose(path.real[:3], 3 * (1 - 0.9 ** np.arange(1, 4)), rtol=1e-5)


def test_averages_pass_no_gradient_to_logits():
    zero = LogitAverages(jnp.zeros(()), jnp.zeros(()))
    assert not jax.grad(lambda x: sum(update_averages(zero, x, x)))(jnp.ones(3)).any()
    assert not jax.grad(lambda x: update_length(jnp.zeros(()), x))(jnp.ones(3)).any()


# Consistency and diversity.


def test_consistency_by_hand_keeps_patches_apart():
    found = consistency(jnp.float32([[[1], [2]]]), jnp.float32([[[3], [-1]]]))
    np.testing.assert_array_equal(found, [[[4], [9]]])
    np.testing.assert_array_equal(consistency(jnp.float32([1, 2]), jnp.float32([1, 4])), [0, 4])


def test_diversity_by_hand_is_less_the_further_images_part():
    images = jnp.zeros((2, 1, 2, 2))
    changed = jnp.float32([[[[1, 1], [1, 1]]], [[[0, 2], [0, 4]]]])
    np.testing.assert_array_equal(diversity(images, changed), [-1, -5])


@pytest.mark.parametrize("function", [consistency, diversity])
def test_their_gradients_are_those_of_finite_differences(function):
    with jax.enable_x64(True):
        check_grads(function, (normal(0, 3, 2, 2), normal(1, 3, 2, 2)), 1, ["rev"], 1e-7, 1e-7)


# Path length.


def test_a_linear_generators_path_length_is_that_of_its_transpose():
    with jax.enable_x64(True):
        matrix, latents, keys = normal(0, 3, 4), normal(1, 6, 3), make_keys(6)
        penalties, lengths = path_length(lambda z: generate(matrix, z), latents, keys, jnp.float64(0.75))
        # y is N(0, 1) over sqrt(H W) = 2, and J^T y = M y.
        y = jnp.stack([jax.random.normal(key, (2, 2, 1), latents.dtype).ravel() for key in keys]) / 2
        expected = np.linalg.norm(y @ matrix.T, axis=-1)
        np.testing.assert_allclose(lengths, expected, rtol=1e-12)
        np.testing.assert_allclose(penalties, (expected - 0.75) ** 2, rtol=1e-12)


def test_over_many_draws_the_squared_length_is_the_jacobians_frobenius_norm_over_the_pixels():
    matrix, count = jnp.float32([[3, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 1]]), 20_000
    _, lengths = path_length(
        lambda z: generate(matrix, z), jnp.zeros((count, 3)), make_keys(count), jnp.zeros(())
    )
    assert (lengths**2).mean() == pytest.approx(16 / 4, rel=0.05)


def test_path_lengths_gradient_in_the_generators_parameters_is_that_of_finite_differences():
    with jax.enable_x64(True):
        latents, keys = normal(1, 6, 3), make_keys(6)

        def penalties(matrix):
            found, _ = path_length(lambda z: jnp.sin(generate(matrix, z)), latents, keys, jnp.float64(0.5))
            return found

        check_grads(penalties, (normal(0, 3, 4),), 1, ["rev"], 1e-5, 1e-5)


def test_a_constant_generator_has_no_length_and_a_finite_gradient():
    def total(matrix):
        average = jnp.float32(2)
        penalties, lengths = path_length(
            lambda z: generate(matrix, z), jnp.ones((2, 3)), make_keys(2), average
        )
        return penalties.sum(), lengths

    (value, lengths), gradient = jax.value_and_grad(total, has_aux=True)(jnp.zeros((3, 4)))
    assert value == 8
    np.testing.assert_allclose(lengths, [0, 0], atol=1e-6)
    assert jnp.isfinite(gradient).all()


def test_the_length_moves_by_a_hundredth_unless_told_and_converges():
    lengths = jnp.float32([2, 4])
    np.testing.assert_allclose(update_length(jnp.float32(1), lengths), 1.02, rtol=1e-6)
    average = jnp.float32(0)
    for _ in range(30):
        average = update_length(average, lengths, decay=0.5)
    np.testing.assert_allclose(average, 3, rtol=1e-6)


# Orthogonal filters.


def test_orthogonal_by_hand():
    kernel = jnp.float32([[1, 2], [3, -1]])  # filters [1,3] and [2,-1]: their product is -1, twice
    np.testing.assert_array_equal(orthogonal(kernel), 2)


def test_orthogonal_and_its_gradient_are_those_of_torch():
    with jax.enable_x64(True):
        found, pull = jax.value_and_grad(orthogonal)(jnp.float64([[1, 2], [-1, 0.5], [0.25, 3]]))
        np.testing.assert_allclose(found, 10.125, rtol=1e-12)
        np.testing.assert_allclose(pull, [[18, 9], [4.5, -9], [27, 2.25]], rtol=1e-12)


def test_orthogonal_filters_of_any_norm_cost_nothing():
    with jax.enable_x64(True):
        square, _ = np.linalg.qr(normal(0, 12, 12))
        kernel = square[:, :5].reshape(2, 2, 3, 5) * np.array([1, 2, 3, 4, 5])
        assert orthogonal(jnp.asarray(kernel)) < 1e-24
        assert orthogonal(jnp.asarray(square)) < 1e-24


def test_a_convolutions_filters_are_its_last_axis():
    kernel = normal(0, 3, 3, 2, 4)
    flat = np.asarray(kernel, np.float64).reshape(18, 4)
    pairs = [(flat[:, i] @ flat[:, j]) ** 2 for i in range(4) for j in range(4) if i != j]
    np.testing.assert_allclose(orthogonal(kernel), sum(pairs), rtol=1e-5)


def test_of_parameters_kernels_are_summed_and_vectors_left_out():
    kernel = jnp.float32([[1, 2], [3, -1]])
    params = {"dense": {"kernel": kernel, "bias": jnp.ones(2)}, "conv": {"kernel": jnp.stack([kernel] * 2)}}
    # Stacked, the two filters' product is -2.
    np.testing.assert_array_equal(orthogonal_kernels(params), 2 + 8)
    assert orthogonal_kernels({"bias": jnp.ones(2)}) == 0


def test_its_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        params = {"a": normal(0, 3, 2), "b": normal(1, 2, 2, 3), "c": normal(2, 4)}
        check_grads(orthogonal_kernels, (params,), 1, ["rev"], 1e-6, 1e-6)


# What holds of all.

KEYS = make_keys(3)
# Functions of images or logits [3,2,2,1] that keep an example to itself.
PER_EXAMPLE = {
    "gradient_penalty": lambda x: gradient_penalty(quadratic_patches, x),
    "approximate_r1": lambda x: approximate_r1(quadratic_patches, x, KEYS, sigma=0.5),
    "interpolate": lambda x: interpolate(x, 2 * x, KEYS),
    "perturb": lambda x: perturb(x, KEYS),
    "lecam": lambda x: lecam(x, 2 * x, LogitAverages(jnp.zeros((), x.dtype), jnp.ones((), x.dtype))),
    "consistency": lambda x: consistency(x, 2 * x),
    "diversity": lambda x: diversity(x, 2 * x),
    "path_length": lambda x: jnp.stack(path_length(
        lambda z: (z**2)[:, :, None, None], x[:, :, 0, 0], KEYS, jnp.ones((), x.dtype)), axis=1),
}  # fmt: skip
ALL = PER_EXAMPLE | {
    "update_averages": lambda x: (
        update_averages(LogitAverages(jnp.zeros((), x.dtype), jnp.ones((), x.dtype)), x, 2 * x).real
    ),
    "update_length": lambda x: update_length(jnp.zeros((), x.dtype), x),
    "orthogonal": orthogonal,
    "orthogonal_kernels": lambda x: orthogonal_kernels([x, x]),
}


@pytest.mark.parametrize("function", PER_EXAMPLE.values(), ids=PER_EXAMPLE)
def test_an_example_counts_for_itself_alone(function):
    images = normal(0, 3, 2, 2, 1)
    before, after = function(images), function(images.at[1].add(0.5))
    assert len(before) == 3
    changed = (before != after).reshape(3, -1)
    assert changed.any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["approximate_r1", "interpolate", "perturb", "path_length"])
def test_an_examples_noise_is_of_its_key_alone(name, monkeypatch):
    images = jnp.ones((3, 2, 2, 1))
    found = PER_EXAMPLE[name](images)
    assert len(np.unique(np.asarray(found).reshape(3, -1)[:, 0])) == 3  # equal images, different draws
    monkeypatch.setitem(globals(), "KEYS", KEYS[::-1])
    np.testing.assert_array_equal(PER_EXAMPLE[name](images), found[::-1])


@pytest.mark.parametrize("function", ALL.values(), ids=ALL)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_inputs_dtype_is_kept(function, dtype):
    with jax.enable_x64(True):
        assert jax.eval_shape(function, jax.ShapeDtypeStruct((3, 2, 2, 1), dtype)).dtype == dtype


@pytest.mark.parametrize("function", ALL.values(), ids=ALL)
def test_jit_equals_plain(function):
    images = normal(0, 3, 2, 2, 1)
    np.testing.assert_allclose(jax.jit(function)(images), function(images), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (2, 2, 3, 40)])
def test_orthogonality_is_the_same_for_wide_kernels(shape):
    with jax.enable_x64(True):
        kernel = normal(0, *shape)
        flat = kernel.reshape(-1, shape[-1])
        gram = flat.T @ flat
        expected = (gram**2).sum() - (jnp.diag(gram) ** 2).sum()
        np.testing.assert_allclose(orthogonal(kernel), expected, rtol=1e-12)
        check_grads(orthogonal, (kernel,), 1, ["rev"], 1e-6, 1e-6)


# What cannot be

IMAGES = jnp.zeros((4, 2, 2, 1))


def plain(images):
    return jnp.sum(images, axis=(1, 2, 3))


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (lambda: r1(plain, IMAGES.astype(jnp.uint8)), "Images are uint8, expected floats"),
        (lambda: r1(jnp.sum, IMAGES), r"logits \[\] of 4 images; expected \[B\] or \[B,h,w\]"),
        (lambda: r1(lambda x: plain(x)[:2], IMAGES), r"logits \[2\] of 4 images"),
        (lambda: approximate_r1(jnp.sum, IMAGES, make_keys(4)), r"logits \[\] of 4 images"),
        (lambda: approximate_r1(plain, IMAGES, make_keys(2)), r"keys key<fry> \[2\] for 4 images"),
        (lambda: approximate_r1(plain, IMAGES, make_keys(4), sigma=0.0), "sigma is 0.0, expected a number"),
        (lambda: gradient_penalty(plain, IMAGES, centre=-1.0), "centre is -1.0, expected a norm"),
        (lambda: interpolate(IMAGES, IMAGES[:1], make_keys(4)), r"real \[4, 2, 2, 1\], fake \[1, 2, 2, 1\]"),
        (lambda: interpolate(IMAGES, IMAGES, make_keys(1)), r"keys key<fry> \[1\] for 4 images"),
        (lambda: perturb(IMAGES, make_keys(1)), r"keys key<fry> \[1\] for 4 images"),
        (
            lambda: perturb(IMAGES, jnp.zeros((4, 2), jnp.uint32)),
            r"keys uint32 \[4, 2\].*expected typed keys",
        ),
        (
            lambda: lecam(jnp.zeros(4), jnp.zeros((4, 1)), LogitAverages(0.0, 0.0)),
            r"real_logits \[4\], fake_logits \[4, 1\]",
        ),
        (lambda: consistency(jnp.zeros(4), jnp.zeros((4, 1))), r"logits \[4\], changed_logits \[4, 1\]"),
        (lambda: diversity(IMAGES, IMAGES[:1]), r"changed_images \[1, 2, 2, 1\]"),
    ],
)
def test_what_cannot_be_is_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty()
