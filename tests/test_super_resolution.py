import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_photographs import tiles
from scipy import ndimage

from jaxgan import losses, parallel, steps, terms
from jaxgan.alternation import Phase
from jaxgan.degradations import make_degradation
from jaxgan.models import rrdb, srresnet
from jaxgan.state import Network
from jaxgan.tasks import super_resolution

SHAPE, SCALE = (16, 12, 3), 2
KEY = jax.random.key(3)
DEGRADE = make_degradation([("bicubic",), ("noise", 0, 8)], SCALE)
ALL = super_resolution.TERMS
PLAIN = srresnet.Generator(scale=SCALE, width=4, blocks=1, norm="none", tail="direct", ends=3, skip=True)


def pictures(count, seed=0):
    """uint8 [N,H,W,3], smooth as photographs are."""
    noise = np.random.default_rng(seed).normal(size=(count, *SHAPE))
    means = ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 0))
    return np.uint8(np.clip(128 + 250 * means, 0, 255))


def far(made, true):
    return jnp.mean((made - true) ** 4, axis=(1, 2, 3))


def make_game(axis_name=None, *, dtype=None, generator=None, optimizer=None, **options):
    optimizer = optimizer or optax.sgd(0.02)
    generator = generator or PLAIN.clone(dtype=dtype)
    fields = dict(
        task=super_resolution.make_task(SCALE, degrade=DEGRADE, terms=ALL, perceptual=far),
        term_weights={"pixel": 1.0, "perceptual": 0.5, "feature_matching": 0.1},
        loss=losses.relativistic_average,
    )
    return steps.Game(
        generator=generator,
        discriminator=srresnet.Discriminator(
            SHAPE, width=4, hidden=8, norm="batch", dtype=dtype, axis_name=axis_name
        ),
        optimizers={"generator": optimizer, "discriminator": optimizer},
        axis_name=axis_name,
        **{**fields, **options},
    )


def test_an_example_is_of_its_key_alone():
    task = super_resolution.make_task(SCALE, degrade=DEGRADE)
    keys = jax.random.split(KEY, 3)
    example = task.prepare({"image": pictures(3)}, keys)
    assert example.given.images.shape == (3, 8, 6, 3) and example.real.shape == (3, *SHAPE)
    np.testing.assert_allclose(example.real, pictures(3) / 127.5 - 1, atol=1e-6)
    some = task.prepare({"image": pictures(3)[1:]}, keys[1:])
    np.testing.assert_array_equal(some.given.images, example.given.images[1:])


def test_inputs_of_the_data_are_given_as_they_are():
    small = pictures(2, seed=1)[:, :8, :6]
    task = super_resolution.make_task(SCALE, degrade=DEGRADE)
    example = task.prepare({"image": pictures(2), "input": small}, jax.random.split(KEY, 2))
    np.testing.assert_allclose(example.given.images, small / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("generator", [None, rrdb.Generator(scale=SCALE, width=4, blocks=1, growth=2)])
def test_every_term_is_in_the_step_and_both_players_learn(generator):
    game = make_game(generator=generator, dtype=jnp.bfloat16 if generator is None else None)
    batch = {"image": pictures(4)[None]}
    state = jax.jit(lambda: steps.init_state(game, batch, KEY))()
    new, metrics = jax.jit(steps.make_train_step(game))(state, batch, KEY)
    assert {f"term_{name}/g" for name in ALL} <= set(metrics)
    assert all(jnp.isfinite(value).all() for value in metrics.values())
    for player in ("generator", "discriminator"):
        before, after = (getattr(s, player).params for s in (state, new))
        assert (
            jnp.abs(
                jnp.array(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), before, after)))
            ).max()
            > 0
        )


def test_features_of_reals_are_not_moved_by_the_generator():
    """The matching's derivative is that towards features which stay where they are."""
    task = super_resolution.make_task(SCALE, degrade=DEGRADE, terms=("feature_matching",))

    def matching(real, fake):
        verdicts = ({"logits": None, "features": (grid,)} for grid in (real, fake))
        round = super_resolution.Round(*[None] * 4, *(super_resolution.Verdict(**v) for v in verdicts), None)
        return task.generator_terms(round)["feature_matching"].sum()

    real, fake = jax.grad(matching, argnums=(0, 1))(jnp.zeros((2, 3)), jnp.ones((2, 3)))
    assert (real == 0).all() and (fake > 0).all()


def test_it_overfits_two_photographs_and_then_beats_interpolation():
    task = super_resolution.make_task(
        SCALE, degrade=make_degradation([("bicubic",)], SCALE), terms=("pixel",), pixel="charbonnier"
    )
    game = make_game(
        task=task, term_weights={"pixel": 1.0}, adversarial=0.0, optimizer=optax.adam(1e-2),
        generator=PLAIN.clone(width=16),
    )  # fmt: skip
    images = tiles(SHAPE[:2])[:, 0]
    batch = {"image": images[None]}
    state = jax.jit(lambda: steps.init_state(game, batch, KEY))()
    step = jax.jit(steps.make_train_step(game, alternation=(Phase("generator"),)))
    for _ in range(200):
        state, _ = step(state, batch, KEY)
    example = task.prepare({"image": images}, jax.random.split(KEY, 2))
    shown = task.show(Network(game.generator, state.generator.variables, train=False), example)
    assert [*shown] == ["bicubic", "output", "truth"]
    assert {x.shape for x in shown.values()} == {(2, *SHAPE)}
    errors = {name: jnp.mean(jnp.abs(x - shown["truth"])) for name, x in shown.items()}
    assert errors["output"] < 0.75 * errors["bicubic"]
    used = task.use(
        Network(game.generator, state.generator.variables, train=False), {"input": example.given.images}, None
    )
    np.testing.assert_array_equal(used, shown["output"])


def test_two_devices_train_as_one():
    def train(runner, devices):
        game = make_game(parallel.axis_name(runner), dtype=jnp.float64)
        run = parallel.make_runner(
            steps.make_train_step(game), runner=runner, devices=jax.devices()[:devices]
        )
        batches = {"image": pictures(12).reshape(3, 1, 4, *SHAPE)}
        init = jax.jit(
            lambda: steps.init_state(make_game(dtype=jnp.float64), {"image": batches["image"][0]}, KEY)
        )
        state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, init())
        state = run.replicate(state)
        for i in range(3):
            state, _ = run.run(
                state, run.replicate({}), run.split({"image": batches["image"][i : i + 1]}), KEY
            )
        return jax.device_get(state)

    with jax.enable_x64(True):
        chex.assert_trees_all_close(train("shard_map", 2), train("jit", 1), rtol=0, atol=1e-9)


def test_losses_of_pixels_are_those_worked_by_hand():
    made, true = jnp.array([[[1.0, 2.0]], [[0.0, 0.0]]]), jnp.array([[[1.0, 5.0]], [[0.0, 0.0]]])
    np.testing.assert_allclose(terms.absolute_difference(made, true), [1.5, 0])
    np.testing.assert_allclose(terms.squared_difference(made, true), [4.5, 0])
    np.testing.assert_allclose(terms.charbonnier(made, true), [1.5005, 0.001], rtol=1e-4)
    assert jnp.isfinite(jax.grad(lambda x: terms.charbonnier(x, x).sum())(made)).all()
    with pytest.raises(ValueError, match="one shape"):
        terms.absolute_difference(made, true[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(terms=("pixels",)), "No terms.*pixel, perceptual"),
        (dict(pixel="l3"), "No loss of pixels 'l3'.*l1, l2, charbonnier"),
        (dict(terms=("perceptual",)), "given together"),
        (dict(perceptual=far), "given together"),
        (dict(scale=0), "1 or more"),
    ],
)
def test_tasks_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        super_resolution.make_task(**{"scale": 2, **options})


@pytest.mark.parametrize(
    ("degrade", "batch", "message"),
    [
        (None, {"image": pictures(2)}, "data with inputs"),
        (DEGRADE, {"image": pictures(2)[:, :15]}, "15x12.*multiple"),
        (DEGRADE, {"image": pictures(2), "input": pictures(2)}, "at a scale of 2"),
    ],
)
def test_batches_that_do_not_fit_are_refused(degrade, batch, message):
    with pytest.raises(ValueError, match=message):
        super_resolution.make_task(SCALE, degrade=degrade).prepare(batch, jax.random.split(KEY, 2))
