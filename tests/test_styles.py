"""StarGAN v2: the networks, the task, and training."""

import itertools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import starganv2 as starganv2_64
from jaxgan import build, losses, parallel, penalties, steps
from jaxgan.applications import make_task
from jaxgan.models import starganv2
from jaxgan.tasks import styles
from jaxgan.translating import make_translator

B, N, Z = 3, 3, 4
SHAPE = (8, 12, 2)
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(-1, 1, (B, *SHAPE)), jnp.float32)
LABELS = jnp.int32([2, 0, 1])
LATENTS = jnp.asarray(RNG.normal(size=(B, Z)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), B)
OPTIONS = {"image_shape": SHAPE, "num_classes": N, "width": 2, "widest": 4}


def generator(**options):
    return starganv2.Generator(
        **OPTIONS
        | {"bottleneck": 4, "plain": 1, "smallest": 2, "style_size": 5, "mapping_units": 6}
        | options
    )


def discriminator(**options):
    return starganv2.Discriminator(**OPTIONS | {"smallest": 2} | options)


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(1), *inputs, train=True)


@partial(jax.jit, static_argnums=0, static_argnames="method")
def apply(module, variables, *inputs, method="__call__"):
    return module.apply(variables, *inputs, train=False, method=method)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


# Networks


def test_at_256_pixels_they_have_the_sizes_of_tables_4_to_6():
    made = starganv2.Generator((256, 256, 3))
    inputs = jnp.zeros((1, 256, 256, 3)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 16))
    params = jax.eval_shape(partial(made.init, train=True), jax.random.key(0), *inputs)["params"]
    shared = 16 * 512 + 512 + 3 * (512 * 512 + 512)
    assert size(params["mapping"]) == shared + 2 * (3 * (512 * 512 + 512) + 512 * 64 + 64)
    trunk, channels = 3 * 3 * 3 * 64 + 64, [64, 128, 256, 512, 512, 512, 512]
    for before, after in itertools.pairwise(channels):
        trunk += (
            9 * before * before + before + 9 * before * after + after + before * after * (before != after)
        )
    trunk += 16 * 512 * 512 + 512
    assert size(params["encoder"]) == trunk + 2 * (512 * 64 + 64)
    judged = starganv2.Discriminator((256, 256, 3))
    params = jax.eval_shape(partial(judged.init, train=True), jax.random.key(0), *inputs[:2])
    assert size(params) == trunk + 2 * (512 + 1)


@pytest.mark.parametrize("options", [{}, {"remat": True}, {"dtype": jnp.bfloat16}])
def test_images_of_any_size_keep_it(options):
    module = generator(**options)
    variables = init(module, IMAGES, LABELS, LATENTS)
    chex.assert_trees_all_equal_shapes(variables, init(generator(), IMAGES, LABELS, LATENTS))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    made = apply(module, variables, IMAGES[:, :7, :11], LABELS, LATENTS)
    assert (made.shape, made.dtype) == ((B, 7, 11, 2), "float32")
    plain = module.apply(variables, IMAGES[:, :7, :11], LABELS, LATENTS, train=False)
    np.testing.assert_allclose(made, plain, atol=0.2 if "dtype" in options else 1e-4)


def test_styles_are_those_of_the_domain():
    module = generator()
    variables = init(module, IMAGES, LABELS, LATENTS)
    for method, inputs in (("map_style", LATENTS), ("encode_style", IMAGES)):
        every = [apply(module, variables, inputs, jnp.full(B, n), method=method) for n in range(N)]
        assert every[0].shape == (B, 5) and jnp.abs(every[0] - every[1]).min() > 0
        found = apply(module, variables, inputs, LABELS, method=method)
        np.testing.assert_allclose(found, jnp.stack(every)[LABELS, jnp.arange(B)], rtol=1e-5, atol=1e-6)


def test_guided_examples_have_the_references_style_without_a_gradient():
    module, guided = generator(), jnp.array([True, False, True])
    variables = init(module, IMAGES, LABELS, LATENTS)

    def chosen(params):
        inputs = LABELS, LATENTS, IMAGES, guided
        return module.apply({"params": params}, *inputs, train=False, method="target_style")

    mapped = apply(module, variables, LATENTS, LABELS, method="map_style")
    read = apply(module, variables, IMAGES, LABELS, method="encode_style")
    expected = jnp.where(guided[:, None], read, mapped)
    np.testing.assert_allclose(chosen(variables["params"]), expected, rtol=1e-5, atol=1e-6)
    slopes = jax.grad(lambda params: jnp.sum(chosen(params) ** 2))(variables["params"])
    largest = {name: max(jnp.abs(x).max() for x in jax.tree.leaves(part)) for name, part in slopes.items()}
    assert largest["encoder"] == 0 and largest["mapping"] > 0


def test_the_mapping_networks_rate_changes_how_fast_it_learns_and_nothing_else():
    fast, slow = (generator(mapping_rate=rate) for rate in (1.0, 0.01))
    variables = [init(module, IMAGES, LABELS, LATENTS) for module in (fast, slow)]
    inputs = LATENTS, LABELS
    made = [apply(m, v, *inputs, method="map_style") for m, v in zip((fast, slow), variables, strict=True)]
    np.testing.assert_allclose(*made, rtol=1e-4, atol=1e-6)
    moved = [
        jnp.abs(
            apply(m, {"params": jax.tree.map(lambda x: x + 1e-3, v["params"])}, *inputs, method="map_style")
            - x
        ).max()
        for m, v, x in zip((fast, slow), variables, made, strict=True)
    ]
    np.testing.assert_allclose(moved[0] / moved[1], 100, rtol=0.05)


def test_each_image_is_judged_by_its_domains_branch():
    module = discriminator()
    variables = init(module, IMAGES, LABELS)
    logits, grids, heads = apply(module, variables, IMAGES, LABELS, method="describe")
    every = jnp.stack([apply(module, variables, IMAGES, jnp.full(B, n)) for n in range(N)])
    np.testing.assert_allclose(logits, every[LABELS, jnp.arange(B)], rtol=1e-5, atol=1e-6)
    assert [grid.shape for grid in grids] == [(B, 4, 6, 4), (B, 2, 3, 4)] and heads == {}
    half = discriminator(dtype=jnp.bfloat16)
    assert apply(half, variables, IMAGES, LABELS).dtype == "float32"


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"num_classes": 1}, LABELS, "num_classes is 1; a translator between domains needs 2"),
        ({}, jnp.zeros((B, N)), r"Labels are float32 of shape \(3, 3\), expected \[B\] integers"),
        ({"smallest": 8}, LABELS, "8x12 cannot be doubled"),
        ({"image_shape": (16, 16, 2)}, LABELS, r"expected \[B,H,W,C\] of \(16, 16, 2\)"),
    ],
)
def test_bad_domains_and_sizes_are_refused(options, labels, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(discriminator(**options).init, train=True), jax.random.key(0), IMAGES, labels)


# The task


def batch_of(count, seed=0, shape=SHAPE):
    random = np.random.default_rng(seed)
    images = {name: random.integers(0, 256, (count, *shape), np.uint8) for name in ("image", "input")}
    return images | {name: random.integers(0, N, count).astype(np.int32) for name in ("label", "input_label")}


def test_an_examples_target_is_its_reals_domain_and_all_is_drawn_from_its_key():
    task, batch = styles.make_task(Z), batch_of(64)
    keys = jax.random.split(jax.random.key(3), 64)
    given, real, *_ = task.prepare(batch, keys)
    np.testing.assert_array_equal(given.labels, batch["label"])
    np.testing.assert_array_equal(given.input_labels, batch["input_label"])
    np.testing.assert_array_equal(given.references, real)
    assert 16 < int(given.guided.sum()) < 48
    assert len(np.unique(jnp.concatenate([given.latents, given.other_latents]))) == 2 * 64 * Z
    few = task.prepare(jax.tree.map(lambda x: x[5:7], batch), keys[5:7]).given
    chex.assert_trees_all_equal(few, jax.tree.map(lambda x: x[5:7], given))


class Adding:
    """Translates by adding the style; reads an image's mean, and maps a latent to its first number."""

    def __call__(self, *inputs, method="__call__"):
        return getattr(self, method if method != "__call__" else "call")(*inputs)

    def call(self, images, *target):
        return self.translate(images, self.target_style(*target))

    def target_style(self, labels, latents, references, guided):
        mapped, read = self.map_style(latents, labels), self.encode_style(references, labels)
        return jnp.where(guided[:, None], read, mapped)

    def map_style(self, latents, labels):
        return latents[:, :1] + labels[:, None]

    def encode_style(self, images, labels, frozen=None):
        return images.mean((1, 2, 3))[:, None] - labels[:, None]

    def translate(self, images, styles):
        return images + styles[:, None, None]


def test_terms_are_worked_by_hand():
    def full(value):
        return jnp.full((1, 2, 2, 1), value)

    given = styles.Given(
        full(0.5),
        jnp.int32([1]),
        jnp.int32([2]),
        jnp.ones((1, 1)),
        jnp.full((1, 1), 4.0),
        full(0.25),
        jnp.array([False]),
    )
    task = styles.make_task(1)
    fake = task.generate(Adding(), given)
    np.testing.assert_allclose(fake, full(3.5))
    round = type(
        "Round", (), {"generator": Adding(), "example": type("E", (), {"given": given}), "fake": fake}
    )
    found = task.generator_terms(round)  # 3 is read as 3.5 - 2; 0.5 + 6 is made; 3.5 + 0.5 - 1 comes back
    assert {name: float(x[0]) for name, x in found.items()} == pytest.approx(
        {"style": 1.5, "style_diversity": -3.0, "cycle": 2.5}
    )
    np.testing.assert_allclose(task.generate(Adding(), given._replace(guided=jnp.array([True]))), full(-1.25))


@pytest.mark.parametrize("guided", [True, False])
def test_where_references_lead_the_translator_alone_learns(guided):
    """Else the style encoder chases, in fakes, what it reads of references, and both grow without end."""
    task, module = styles.make_task(Z), generator()
    variables = init(module, IMAGES, LABELS, LATENTS)
    given = task.prepare(batch_of(B), KEYS).given._replace(guided=jnp.full(B, guided))

    def total(params):
        network = partial(module.apply, {"params": params}, train=True)
        fake = task.generate(network, given)
        example = type("E", (), {"given": given})
        round = type("Round", (), {"generator": staticmethod(network), "example": example, "fake": fake})
        return sum(jnp.sum(values) for values in task.generator_terms(round).values()) + jnp.sum(fake**2)

    slopes = jax.jit(jax.grad(total))(variables["params"])
    learns = {name: max(jnp.abs(x).max() for x in jax.tree.leaves(part)) > 0 for name, part in slopes.items()}
    assert learns == {"translator": True, "encoder": not guided, "mapping": not guided}


def test_what_a_frozen_encoder_reads_has_the_same_gradient_to_the_image():
    module, frozen = generator(), jnp.array([True, False, True])
    variables = init(module, IMAGES, LABELS, LATENTS)

    def read(images, *frozen):
        styles = module.apply(variables, images, LABELS, *frozen, train=True, method="encode_style")
        return jnp.sum(styles**2)

    plain, half = jax.value_and_grad(read)(IMAGES), jax.value_and_grad(read)(IMAGES, frozen)
    chex.assert_trees_all_close(plain, half, rtol=1e-5, atol=1e-6)


def test_bad_tasks_and_batches_are_refused():
    with pytest.raises(ValueError, match=r"No terms \['styles'\]; expected some of style, style_diversity"):
        styles.make_task(Z, terms=["styles"])
    batch = batch_of(B)
    with pytest.raises(ValueError, match="no input_label. Open a set with classes"):
        styles.make_task(Z).prepare({name: x for name, x in batch.items() if name != "input_label"}, KEYS)
    with pytest.raises(ValueError, match=r"\(3, 8, 12, 2\) and inputs \(3, 4, 12, 2\); expected one size"):
        styles.make_task(Z).prepare(batch | {"input": batch["input"][:, :4]}, KEYS)


def _game(axis_name=None, dtype=None, optimizer=None, weights=(1.0, 1.0, 1.0)):
    """SGD, which hides no wrong scale."""
    options = {
        "image_shape": (8, 8, 1),
        "num_classes": N,
        "width": 4,
        "widest": 8,
        "smallest": 4,
        "dtype": dtype,
    }
    optimizer = optimizer or optax.sgd(0.01)
    return steps.Game(
        styles.make_task(Z),
        starganv2.Generator(
            bottleneck=4, plain=0, style_size=4, mapping_units=8, mapping_rate=1.0, **options
        ),
        starganv2.Discriminator(**options),
        losses.non_saturating,
        {"generator": optimizer, "discriminator": optimizer},
        {"r1": penalties.PENALTIES["r1"]._replace(weight=1.0)},
        term_weights=dict(zip(styles.TERMS, weights, strict=True)),
        axis_name=axis_name,
    )


def _train(runner, devices, count=2):
    batches = [batch_of(4, seed, (8, 8, 1)) for seed in range(count)]
    batches = {name: np.stack([batch[name] for batch in batches])[:, None] for name in batches[0]}
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
    chex.assert_trees_all_close(state, expected, rtol=0, atol=1e-9)
    assert metrics["penalty_r1/d"][-1] == pytest.approx(before["penalty_r1/d"][-1], rel=1e-6) != 0


def test_a_run_of_random_parts_is_looked_at_by_middles_of_their_size():
    config = starganv2_64.get_config()
    shapes = {name: (72, 80, 3) for name in ("image", "input")}
    labels = {name: jnp.int32([0, 1]) for name in ("label", "input_label")}
    game = build.make_game(config, shapes, 2)
    batch = {name: jnp.zeros((2, *shape), jnp.uint8) for name, shape in shapes.items()} | labels
    one = jax.tree.map(lambda leaf: leaf[None], batch)
    state = jax.eval_shape(partial(steps.init_state, game, one), jax.random.key(0))
    task = make_task(config, (), still=True)
    shown = jax.eval_shape(make_translator(task, game.generator)(()).shown, state.ema, batch, KEYS[:2])
    assert {images.shape for images in shown.values()} == {(2, 64, 64, 3)}


def test_what_is_given_comes_back_after_some_steps():
    grey = np.linspace(0, 255, 8).astype(np.uint8)
    images = np.stack([np.tile(grey, (8, 1)), np.tile(grey[::-1], (8, 1))])[None, ..., None]
    batch = {
        "image": images,
        "input": images[:, ::-1],
        "label": np.int32([[0, 1]]),
        "input_label": np.int32([[1, 0]]),
    }
    game = _game(optimizer=optax.adam(3e-3), weights=(1.0, 0.1, 10.0))._replace(penalties={})
    train_step = jax.jit(steps.make_train_step(game))
    state = jax.jit(partial(steps.init_state, game))(batch, jax.random.key(0))
    history = []
    for _ in range(60):
        state, metrics = train_step(state, batch, jax.random.key(0))
        history.append(float(metrics["term_cycle/g"]))
    assert history[-1] < 0.7 * history[0]
    example = game.task.prepare({name: x[0] for name, x in batch.items()}, KEYS[:2])
    network = partial(game.generator.apply, state.generator.variables, train=False)
    shown = game.task.show(network, example)
    assert [*shown] == ["input", "output", "returned", "reference", "output_reference"]
    asked = {"input": shown["input"], "label": example.given.labels}
    led = game.task.use(network, asked | {"image": shown["reference"]}, KEYS[:2])
    np.testing.assert_allclose(led, shown["output_reference"], atol=1e-5)
    drawn = game.task.use(network, asked, KEYS[:2])
    assert drawn.shape == led.shape and jnp.abs(drawn - led).max() > 1e-4
