"""What D sees augmented must not come out of G augmented (Karras et al. 2020, limited data, section 2.2)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import augment, losses, schedules, steps
from jaxgan.augment.geometry import blit
from jaxgan.models import mlp
from jaxgan.penalties import PENALTIES
from jaxgan.tasks import synthesis

# A letter that is the same in none of its turns.
GLYPH = np.array(
    [[int(pixel) for pixel in row] for row in ("000000", "011110", "010000", "011100", "010000", "010000")]
)
TURNS = np.stack([np.rot90(GLYPH, k) for k in range(4)]).astype(np.float32)


def turn(images, keys, *, p):
    """Each image by a multiple of 90 degrees with probability p, one of four with the same chance."""

    def one(image, key):
        coin, which = jax.random.split(key)
        turns = jnp.where(jax.random.bernoulli(coin, p), jax.random.randint(which, (), 0, 4), 0)
        return blit(image, flip=jnp.bool_(False), turns=turns, shift=jnp.zeros(2, jnp.int32))

    return jax.vmap(one)(images, keys)


def upright(augmentation, count=1500):
    """The share of upright samples of each of five seeds, where D saw images turned."""
    adam = optax.adam(2e-3, b1=0.0, b2=0.99)
    game = steps.Game(
        task=synthesis.make_task(4),
        generator=mlp.Generator((6, 6, 1), width=48, depth=2, squash=True),
        discriminator=mlp.Discriminator(width=96, depth=2),
        loss=losses.relativistic,
        optimizers={"generator": adam, "discriminator": adam},
        penalties={name: PENALTIES[name]._replace(weight=0.5) for name in ("r1", "r2")},
        augmentation=augmentation,
    )
    train_step = steps.make_train_step(game, ema_half_life=5000.0)
    glyph = 2 * jnp.asarray(GLYPH, jnp.float32)[None, None, :, :, None] - 1

    def samples(seed):
        data_key, key = jax.random.split(jax.random.key(seed))

        def step(state, i):
            contrast = jax.random.uniform(jax.random.fold_in(data_key, i), (1, 64, 1, 1, 1), minval=0.6)
            return train_step(state, {"image": contrast * glyph}, key)[0], None

        state = steps.init_state(game, {"image": jnp.tile(glyph, (1, 64, 1, 1, 1))}, key)
        state, _ = jax.lax.scan(step, state, jnp.arange(count))
        latents = jax.random.normal(data_key, (200, 4))
        return game.generator.apply(state.ema, latents, train=False)[..., 0]

    made = jax.jit(jax.vmap(samples))(jnp.arange(5))
    alike = np.einsum("sbhw,ohw->sbo", made, TURNS - TURNS.mean())
    return (alike.argmax(axis=-1) == 0).mean(axis=1)


def test_up_to_a_p_of_0_7_samples_come_out_upright():
    """docs/costs.md has more seeds and values of p."""
    assert upright(augment.fixed(turn, 0.7)).min() > 0.9


def test_they_stay_upright_where_p_climbs_to_just_below_0_8_as_a_controller_moves_it():
    climb = schedules.make_schedule([schedules.Piece("linear", 0.0, 0.79, 0, 600 * 64)])
    assert upright(augment.scheduled(turn, climb)).min() > 0.9


def test_at_p_of_1_nothing_makes_them_upright():
    assert (upright(augment.fixed(turn, 1.0)) > 0.9).sum() <= 3
