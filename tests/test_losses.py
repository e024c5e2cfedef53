from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.losses import LOSSES, minimax, relativistic


def s(x):
    return 1 / (1 + np.exp(-x))


# (D's, G's) formulas as the papers write them, of logits r and f.
FORMULAS = {
    "minimax": (
        lambda r, f: -0.5 * np.log(s(r)) - 0.5 * np.log(1 - s(f)),
        lambda r, f: 0.5 * np.log(1 - s(f)),
    ),
    "non_saturating": (lambda r, f: -np.log(s(r)) - np.log(1 - s(f)), lambda r, f: -np.log(s(f))),
    "hinge": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
    "least_squares": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: -np.log(s(r - f)), lambda r, f: -np.log(s(f - r))),
}
# D's and G's loss at (real, fake) = (2, -1), then at (-0.5, 3), worked by hand.
BY_HAND = {
    "minimax": [(0.2200948494, -0.1566308439), (2.0113321681, -1.5242936761)],
    "non_saturating": [(0.4401896988, 1.3132616875), (4.0226643362, 0.0485873516)],
    "hinge": [(0.0, 1.0), (5.5, -3.0)],
    "least_squares": [(1.0, 2.0), (5.625, 2.0)],
    "wasserstein": [(-3.0, 1.0), (3.5, -3.0)],
    "relativistic": [(0.0485873516, 3.0485873516), (3.5297504108, 0.0297504108)],
}
BOUNDARIES = {"minimax": 0, "non_saturating": 0, "hinge": 0, "least_squares": 0.5,
              "wasserstein": None, "relativistic": None}  # fmt: skip

each_loss = pytest.mark.parametrize("name", LOSSES)
each_player = pytest.mark.parametrize("player", ["discriminator", "generator"])


def logits(seed, shape, dtype=np.float64):
    return jnp.asarray(np.random.default_rng(seed).normal(scale=3, size=shape), dtype)


def test_every_loss_is_worked_by_hand_here():
    assert LOSSES.keys() == FORMULAS.keys() == BY_HAND.keys() == BOUNDARIES.keys()


@each_loss
def test_values_worked_by_hand(name):
    found = [
        (LOSSES[name].discriminator(r, f), LOSSES[name].generator(r, f))
        for r, f in ((jnp.float32(2), jnp.float32(-1)), (jnp.float32(-0.5), jnp.float32(3)))
    ]
    np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-6, atol=1e-7)


@each_loss
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)], ids=["images", "patches"])
def test_each_logit_has_its_own_loss_by_the_papers_formula(name, shape):
    with jax.enable_x64(True):
        real, fake = logits(0, shape), logits(1, shape)
        for function, formula in zip(LOSSES[name][:2], FORMULAS[name], strict=True):
            np.testing.assert_allclose(
                function(real, fake), formula(np.asarray(real), np.asarray(fake)), rtol=1e-12, atol=1e-14
            )


@each_loss
@each_player
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_shape_and_dtype_are_kept(name, player, dtype):
    with jax.enable_x64(True):
        out = getattr(LOSSES[name], player)(logits(0, (2, 3, 4), dtype), logits(1, (2, 3, 4), dtype))
    assert (out.shape, out.dtype) == ((2, 3, 4), dtype)


@each_loss
@each_player
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_huge_logits_have_finite_losses_and_gradients(name, player, dtype):
    ends = jnp.asarray([-1e4, 0, 1e4], dtype)
    real, fake = (x.ravel() for x in jnp.meshgrid(ends, ends))
    losses, pull = jax.vjp(getattr(LOSSES[name], player), real, fake)
    for x in (losses, *pull(jnp.ones_like(losses))):
        assert jnp.isfinite(x).all()


@each_loss
@each_player
def test_gradients_are_those_of_finite_differences(name, player):
    with jax.enable_x64(True):
        check_grads(getattr(LOSSES[name], player), (logits(2, (9,)), logits(3, (9,))), 1, ["rev"], 1e-7, 1e-7)


def test_the_saturating_generator_plays_a_zero_sum_game():
    real, fake = logits(0, (9,), np.float32), logits(1, (9,), np.float32)
    of_fake = [jax.grad(lambda f, p=player: p(real, f).sum())(fake) for player in minimax[:2]]
    np.testing.assert_allclose(of_fake[0], -of_fake[1], rtol=1e-6)


def test_minimax_of_an_undecided_discriminator_is_log_2():
    assert minimax.discriminator(jnp.float32(0), jnp.float32(0)) == pytest.approx(log(2))
    assert minimax.generator(jnp.float32(0), jnp.float32(0)) == pytest.approx(-log(2) / 2)


@each_player
def test_relativistic_losses_take_no_notice_of_a_shift_of_both_logits(player):
    real, fake = jnp.float32([1.5, -2.0, 0.25]), jnp.float32([0.5, 3.0, -8.0])
    function = getattr(relativistic, player)
    np.testing.assert_array_equal(function(real + 64, fake + 64), function(real, fake))


@each_loss
def test_boundaries(name):
    assert LOSSES[name].boundary == BOUNDARIES[name]


@pytest.mark.parametrize("name", [name for name, boundary in BOUNDARIES.items() if boundary is not None])
@pytest.mark.parametrize("away", [0.25, 2.0])
def test_at_its_boundary_a_discriminator_is_drawn_equally_to_both_sides(name, away):
    def at(logit):
        return float(LOSSES[name].discriminator(jnp.float32(logit), jnp.float32(logit)))

    assert at(BOUNDARIES[name] + away) == pytest.approx(at(BOUNDARIES[name] - away), rel=1e-6)


@pytest.mark.parametrize("name", [name for name, boundary in BOUNDARIES.items() if boundary is None])
def test_without_a_boundary_equal_logits_say_nothing(name):
    equal = jnp.float32([-5.0, 0.0, 0.5, 7.0])
    assert len(np.unique(LOSSES[name].discriminator(equal, equal))) == 1
