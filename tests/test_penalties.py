import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.penalties import PENALTIES, Penalty, at_fake, at_real, r1, r2

both = pytest.mark.parametrize("penalty", [r1, r2])


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def tanh_critic(params, images):
    hidden = jnp.tanh(images.reshape(len(images), -1) @ params["w"] + params["b"])
    return hidden @ params["v"]


def make_params(inputs):
    return {"w": normal(0, inputs, 5), "b": normal(1, 5), "v": normal(2, 5)}


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


def test_r1_is_held_at_the_real_images_and_r2_at_the_fakes():
    real, fake = jnp.float32([[1.0, 2.0]]), jnp.float32([[3.0, 4.0]])
    found = {
        name: penalty.function(lambda x: (x**2).sum(-1) / 2, penalty.at(real, fake)).tolist()
        for name, penalty in PENALTIES.items()
    }
    assert found == {"r1": [2.5], "r2": [12.5]}


def test_at_real_and_at_fake_pick_theirs():
    assert (at_real("real", "fake"), at_fake("real", "fake")) == ("real", "fake")


def test_a_penalty_weighs_1_unless_told():
    assert {penalty.weight for penalty in (Penalty(r1, at_real), *PENALTIES.values())} == {1.0}
