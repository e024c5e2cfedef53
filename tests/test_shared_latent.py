"""UNIT: the networks, what they share, the task, and training."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_photographs import in_grey, tiles

from configs import unit as unit_config
from jaxgan import losses, parallel, steps
from jaxgan.models import unit
from jaxgan.tasks import shared_latent

B = 2
RNG = np.random.default_rng(0)
INPUTS = jnp.asarray(RNG.uniform(-1, 1, (B, 9, 14, 1)), jnp.float32)  # neither side is a multiple of 4
IMAGES = jnp.asarray(RNG.uniform(-1, 1, (B, 8, 11, 3)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), B)
OPTIONS = {"image_shape": (8, 8, 3), "input_shape": (8, 8, 1), "width": 2}


def generator(**options):
    return unit.Generator(**OPTIONS | {"halvings": 2, "blocks": 2} | options)


def discriminator(**options):
    return unit.Discriminator(**OPTIONS | {"halvings": 2} | options)


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(1), *inputs, train=True)


def applied(module, variables, *inputs, **options):
    return partial(module.apply, variables, train=False, **options)(*inputs)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


# Networks


@pytest.mark.parametrize("options", [{}, {"remat": True}, {"dtype": jnp.bfloat16}])
def test_each_image_becomes_one_of_the_other_domain_of_its_own_size(options):
    module = generator(**options)
    variables = init(module, INPUTS, IMAGES, KEYS)
    chex.assert_trees_all_equal_shapes(variables, init(generator(), INPUTS, IMAGES, KEYS))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    made = applied(module, variables, INPUTS, IMAGES, KEYS)
    assert [(x.shape, x.dtype) for x in made] == [((B, 9, 14, 3), "float32"), ((B, 8, 11, 1), "float32")]
    jitted = jax.jit(partial(applied, module))(variables, INPUTS, IMAGES, KEYS)
    chex.assert_trees_all_close(jitted, made, atol=0.05 if "dtype" in options else 1e-5)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_as_many_blocks_are_shared_as_are_asked_for(shared):
    params = init(generator(shared=shared), INPUTS, IMAGES, KEYS)["params"]
    block = 2 * (9 * 8 * 8 + 2 * 8)
    assert size(params.get("encoder_end", {})) == size(params.get("decoder_start", {})) == shared * block
    assert [
        size(params[f"{part}_{i}"].get("blocks", {})) for part in ("encoders", "decoders") for i in (0, 1)
    ] == [(2 - shared) * block] * 4


def test_latents_are_their_means_without_keys_and_have_a_variance_of_1_with_them():
    module = generator()
    variables = init(module, INPUTS, IMAGES, KEYS)
    means, same = applied(module, variables, INPUTS, method="encode", domain=0)
    assert means.shape == (B, 3, 4, 8)
    np.testing.assert_array_equal(same, means)
    keys = jax.random.split(jax.random.key(2), 200)
    many = jnp.broadcast_to(INPUTS[:1], (200, *INPUTS.shape[1:]))
    again, latents = applied(module, variables, many, keys, method="encode", domain=0)
    np.testing.assert_allclose(again[0], means[0], atol=1e-5)
    assert abs(float(jnp.std(latents - again)) - 1) < 0.02


def test_the_domains_layers_are_their_own():
    module = generator(input_shape=(8, 8, 3))
    variables = init(module, IMAGES, IMAGES, KEYS)
    ways = [applied(module, variables, IMAGES, method="encode", domain=domain)[0] for domain in (0, 1)]
    assert jnp.abs(ways[0] - ways[1]).max() > 1e-3
    params = variables["params"]
    params = params | {name[:-1] + "1": params[name[:-1] + "0"] for name in ("encoders_0", "decoders_0")}
    ways = applied(module, {"params": params}, IMAGES, IMAGES)
    np.testing.assert_array_equal(*ways)


@pytest.mark.parametrize(("scales", "shared"), [(1, 0), (2, 1), (1, 2)])
def test_patches_of_each_domain_and_scale_are_judged(scales, shared):
    module = discriminator(scales=scales, shared=shared)
    sample = jnp.zeros((B, 8, 12, 3)), jnp.zeros((B, 8, 12, 1))
    variables = init(module, sample)
    logits, grids, heads = applied(module, variables, sample, method="describe")
    assert [x.shape for x in logits] == [(B, 2, 3)] * 2 + [(B, 1, 2)] * 2 * (scales - 1)
    assert len(grids) == 2 * 2 * scales and heads == {}
    stages = variables["params"].keys()
    assert sum("domain" not in name for name in stages) == shared * scales
    assert len(stages) == scales * (shared + 2 * (3 - shared))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (generator(shared=3), "shared is 3, and an encoder has 2 residual blocks; expected 0"),
        (discriminator(shared=4), "shared is 4, and the discriminator has 3 stages"),
        (discriminator(shared=3), r"\[1, 3\] channels, and the first stage is shared"),
    ],
)
def test_what_cannot_be_shared_is_refused(module, message):
    inputs = (INPUTS, IMAGES) if isinstance(module, unit.Generator) else ((IMAGES, INPUTS),)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)


# The task


class Line:
    """A translator by numbers: it encodes as 2x + domain, and decodes so that nothing is lost but 0.5."""

    def __call__(self, inputs, images, keys=None):
        return self.decode(self.encode(inputs, 0), 1), self.decode(self.encode(images, 1), 0)

    def encode(self, images, domain):
        return 2 * images + domain

    def decode(self, latents, domain):
        return (latents - domain) / 2 + 0.5

    def named(self, *inputs, method="__call__", domain=None, size=None):
        if method == "__call__":
            return self(*inputs)
        if method == "encode":
            return (self.encode(inputs[0], domain),) * 2
        return self.decode(*inputs, domain)


def test_terms_are_worked_by_hand():
    task = shared_latent.make_task()
    inputs, images = jnp.full((1, 2, 2, 1), 0.25), jnp.full((1, 2, 2, 1), -0.75)
    example = task.prepare({"input": inputs, "image": images}, KEYS[:1])
    line = Line().named
    fake = task.generate(line, example.given)
    chex.assert_trees_all_close(
        fake, (inputs * 0 + 0.25, images * 0 + 0.25)
    )  # 0.5/2 - 1/2 + 0.5; -0.5/2 + 0.5
    round = type("Round", (), {"generator": staticmethod(line), "example": example, "fake": fake})
    found = task.generator_terms(round)
    expected = {
        "reconstruction": 0.5 + 0.5,
        "kl": (0.5**2 + 0.5**2) / 2,
        "cycle": 1 + 1,
        "cycle_kl": (1.5**2 + 0.5**2) / 2,
    }
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(expected)
    assert {*shared_latent.make_task(terms=["kl"]).generator_terms(round)} == {"kl"}


def test_bad_tasks_and_batches_are_refused():
    with pytest.raises(ValueError, match=r"No terms \['cycles'\]; expected some of reconstruction"):
        shared_latent.make_task(terms=["cycles"])
    with pytest.raises(ValueError, match="has no input. Open the data as unpaired"):
        shared_latent.make_task().prepare({"image": IMAGES}, KEYS)


def _game(axis_name=None, dtype=None, optimizer=None):
    """SGD, which hides no wrong scale."""
    options = {"image_shape": (8, 8, 1), "width": 4, "dtype": dtype}
    optimizer = optimizer or optax.sgd(0.01)
    return steps.Game(
        shared_latent.make_task(),
        unit.Generator(halvings=1, blocks=1, **options),
        unit.Discriminator(halvings=1, shared=1, **options),
        losses.non_saturating,
        {"generator": optimizer, "discriminator": optimizer},
        term_weights={"reconstruction": 10.0, "kl": 0.01, "cycle": 10.0, "cycle_kl": 0.01},
        axis_name=axis_name,
    )


def _train(runner, devices, count=3):
    batches = {
        name: np.random.default_rng(i).integers(0, 256, (count, 1, 4, 8, 8, 1), np.uint8)
        for i, name in enumerate(("input", "image"))
    }
    train_step = steps.make_train_step(_game(parallel.axis_name(runner), jnp.float64))
    run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:devices])
    init = partial(steps.init_state, _game(None, jnp.float64), {name: x[0] for name, x in batches.items()})
    state = jax.jit(init, out_shardings=run.replicated)(jax.random.key(1))
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    state, metrics = run.run(state, run.replicate({}), run.split(batches), jax.random.key(1))
    return jax.device_get(state), jax.device_get(metrics)


def test_two_devices_train_what_one_does():
    with jax.enable_x64(True):
        expected, before = _train("jit", 1)
        state, metrics = _train("shard_map", 2)
    chex.assert_trees_all_close(state, expected, rtol=0, atol=1e-10)
    assert metrics["loss/g"][-1] == pytest.approx(before["loss/g"][-1], abs=1e-10)


def test_photographs_come_back_after_some_steps():
    batch = dict(zip(("input", "image"), in_grey(tiles((8, 8), 2))[:, None], strict=True))
    game = _game(optimizer=optax.adam(1e-2))
    train_step = jax.jit(steps.make_train_step(game))
    state = jax.jit(partial(steps.init_state, game))(batch, jax.random.key(0))
    history = []
    for _ in range(60):
        state, metrics = train_step(state, batch, jax.random.key(0))
        history.append(float(metrics["term_cycle/g"]))
    assert history[-1] < 0.4 * history[0]
    example = game.task.prepare({name: x[0] for name, x in batch.items()}, KEYS)
    network = partial(game.generator.apply, state.generator.variables, train=False)
    shown = game.task.show(network, example)
    assert [*shown] == ["input", "output", "returned", "input_b", "output_a"]
    assert jnp.abs(shown["returned"] - shown["input"]).mean() < 0.4
    used = game.task.use(network, {"input": shown["input"]}, KEYS)
    np.testing.assert_allclose(used, shown["output"], atol=1e-5)


def test_the_config_has_the_papers_loss_and_rates():
    config = unit_config.get_config()
    assert (config.loss, config.adversarial) == ("non_saturating", 1.0)
    assert {piece[0]: piece[2] for piece in config.schedules} == {
        f"optimizer.{player}.learning_rate": 1e-4 for player in ("generator", "discriminator")
    }
