"""The Dirac-GAN: one number against one slope, whose trajectories are known (Mescheder et al. 2018).

The data are all at 0, the generator puts all its samples at theta, the discriminator is D(x) = psi x. The
equilibrium is theta = psi = 0; the distance to it is what is looked at here.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import losses, steps, updates
from jaxgan.penalties import PENALTIES
from jaxgan.tasks import synthesis

RATE, STEPS = 0.01, 4000
KEY = jax.random.key(0)


class Point(nn.Module):
    """theta, whatever the latents."""

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        return jnp.tile(self.param("theta", nn.initializers.ones, (1, 1)), (len(latents), 1))


class Slope(nn.Module):
    """psi x."""

    @nn.compact
    def __call__(self, images, labels=None, *, train):
        return images[:, 0] * self.param("psi", nn.initializers.ones, ())


def trajectory(loss, **weights):
    """The distance from the equilibrium after each step, from (1, 1), where it is sqrt(2)."""
    sgd = optax.sgd(RATE)
    game = updates.Game(
        synthesis.make_task(1),
        Point(),
        Slope(),
        losses.LOSSES[loss],
        {"generator": sgd, "discriminator": sgd},
        {name: PENALTIES[name]._replace(weight=weight) for name, weight in weights.items()},
    )
    batch = {"image": jnp.zeros((1, 4, 1))}
    step = steps.make_train_step(game)

    def one(state, _):
        state, _unused = step(state, batch, KEY)
        theta, psi = state.generator.params["theta"][0, 0], state.discriminator.params["psi"]
        return state, jnp.hypot(theta, psi)

    state = jax.jit(partial(steps.init_state, game))(batch, KEY)
    return np.asarray(jax.jit(partial(jax.lax.scan, one, length=STEPS))(state, None)[1])


@pytest.mark.parametrize("loss", ["minimax", "wasserstein"])
def test_without_a_penalty_the_players_circle(loss):
    """Lemma 2.3 and figure 1: alternating descent neither converges nor diverges."""
    distance = trajectory(loss)
    assert distance[-500:].min() > 0.9 and distance[-500:].max() < 2.2


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_without_a_penalty_these_come_nearer_but_ever_more_slowly(loss):
    """Section 2: no linear rate, for the eigenvalues at the equilibrium are imaginary; d(r^2)/dt = O(r^4)."""
    distance = trajectory(loss)
    assert 0.3 < distance[-1] < 1.0
    gained, before = distance[-1000] - distance[-1], distance[-2000] - distance[-1000]
    assert 0 < gained < 0.9 * before


@pytest.mark.parametrize("loss", ["non_saturating", "hinge", "wasserstein", "relativistic"])
def test_r1_converges(loss):
    """Theorem 4.1."""
    assert trajectory(loss, r1=1.0)[-1] < 1e-3


def test_r2_converges():
    assert trajectory("non_saturating", r2=1.0)[-1] < 1e-3


def test_r1_converges_faster_with_a_larger_weight_up_to_the_critical_one():
    small, larger = (trajectory("wasserstein", r1=gamma)[1000] for gamma in (0.2, 0.8))
    assert larger < 0.2 * small


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
@pytest.mark.parametrize("penalty", ["wgan_gp", "dragan"])
def test_one_centred_penalties_do_not_settle(loss, penalty):
    """Section 3.2: a slope of 1 is wanted where the equilibrium has 0."""
    tail = trajectory(loss, **{penalty: 0.3})[-1000:]
    assert tail.max() > 0.1
    assert np.ptp(tail) > 1e-3


def test_an_approximate_r1_converges_as_r1_does():
    approximate = trajectory("non_saturating", approximate_r1=1.0)
    exact = trajectory("non_saturating", r1=1.0)
    np.testing.assert_allclose(approximate[:400], exact[:400], atol=0.05)
    assert approximate[-1] < 0.02
