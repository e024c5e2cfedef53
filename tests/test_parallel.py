"""Devices and runners change nothing but rounding."""

import os
import subprocess
import sys
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import alternation, augment, losses, parallel, penalties, steps
from jaxgan.data import transforms
from jaxgan.models import dcgan, mlp
from jaxgan.tasks import synthesis

SHAPE, BATCH, STEPS, UPDATES = (8, 8, 1), 8, 20, 2


def _game(axis_name):
    """BatchNorm in both players, noise, flips, labels, a relativistic loss, a penalty, SGD."""

    def transform(batch, keys):
        images = batch["image"].astype(jnp.float64) / 127.5 - 1.0
        return {"image": transforms.random_flip(images, keys)}

    shared = dict(num_classes=3, width=4, smallest=2, dtype=jnp.float64, axis_name=axis_name)
    sgd = optax.sgd(0.05, momentum=0.5)
    return steps.Game(
        synthesis.make_task(5, conditional=True, transform=transform),
        dcgan.Generator(SHAPE, **shared),
        dcgan.Discriminator(SHAPE, norm="batch", **shared),
        losses.relativistic,
        {"generator": sgd, "discriminator": sgd},
        {"r1": penalties.PENALTIES["r1"]._replace(weight=0.1, by_example=False)},  # though the norm mixes
        axis_name=axis_name,
    )


def _batch_wide_game(axis_name):
    """What looks at the whole batch or remembers: losses, penalties, augmentation, parts of a batch."""
    game = _game(axis_name)
    remembered = {
        "lecam": penalties.PENALTIES["lecam"]._replace(weight=0.1, every=2),
        "path_length": penalties.PENALTIES["path_length"]._replace(weight=0.1),
        "wgan_gp": penalties.PENALTIES["wgan_gp"]._replace(weight=0.1),
    }
    shared = dict(num_classes=3, width=8, depth=1, dtype=jnp.float64)
    terms, codes = ("auxiliary_classifier", "information", "mean_feature_matching"), synthesis.Codes((2,), 1)
    return game._replace(
        task=game.task._replace(
            **{
                part: getattr(synthesis.make_task(5, conditional=True, terms=terms, codes=codes), part)
                for part in ("generate", "judge", "generator_terms", "discriminator_terms")
            }
        ),
        generator=mlp.Generator(SHAPE, **shared),
        discriminator=mlp.Discriminator(heads=synthesis.heads(terms, 3, codes), **shared),
        term_weights={"auxiliary_classifier": 0.3, "information": 0.1, "mean_feature_matching": 0.05},
        loss=losses.relativistic_average,
        penalties=remembered,
        augmentation=augment.adaptive(augment.make_augment("bC"), target=0.0, kimg=0.5),
        top_k=0.5,
    )


def _train(runner, devices, steps_per_call, make_game=_game):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (STEPS, UPDATES, BATCH, *SHAPE), np.uint8)
    labels = random.integers(0, 3, (STEPS, UPDATES, BATCH), np.int32)
    phases = (alternation.Phase("discriminator", UPDATES), alternation.Phase("generator"))
    game = make_game(parallel.axis_name(runner))
    train_step = steps.make_train_step(game, alternation=phases, ema_half_life=30.0)
    run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:devices])
    key = jax.random.key(1)
    init = jax.jit(partial(steps.init_state, make_game(None)), out_shardings=run.replicated)
    state = init({"image": images[0], "label": labels[0]}, key)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    for start in range(0, STEPS, steps_per_call):
        chunk = {
            "image": images[start : start + steps_per_call],
            "label": labels[start : start + steps_per_call],
        }
        state, metrics = run.run(state, run.replicate({}), run.split(chunk), key)
    return jax.device_get(state), jax.device_get(metrics)


@pytest.fixture(scope="module")
def one_device():
    with jax.enable_x64(True):
        return _train("jit", 1, 1)


CASES = [
    ("jit", 2, 4),
    ("jit", 4, 1),
    ("shard_map", 1, 1),
    ("shard_map", 2, 1),
    ("shard_map", 4, 5),
    ("pmap", 1, 5),
    ("pmap", 2, 1),
    ("pmap", 4, 1),
]


@pytest.mark.parametrize(("runner", "devices", "steps_per_call"), CASES)
def test_runners_and_devices_train_the_same_state(one_device, runner, devices, steps_per_call):
    """20 steps in float64 under SGD, which hides no wrong scale, with batch statistics and noise."""
    with jax.enable_x64(True):
        state, metrics = _train(runner, devices, steps_per_call)
    expected, last = one_device
    assert int(state.images) == STEPS * UPDATES * BATCH
    chex.assert_trees_all_close(state, expected, rtol=0, atol=2e-12)
    assert metrics["loss/g"].shape == (steps_per_call,)
    assert metrics["loss/g"][-1] == pytest.approx(last["loss/g"][-1], abs=1e-12)


@pytest.fixture(scope="module")
def batch_wide_on_one_device():
    with jax.enable_x64(True):
        return _train("jit", 1, 1, _batch_wide_game)


@pytest.mark.parametrize(("runner", "devices"), [("jit", 4), ("shard_map", 4), ("pmap", 2)])
def test_what_looks_at_the_whole_batch_looks_at_all_devices(batch_wide_on_one_device, runner, devices):
    with jax.enable_x64(True):
        state, metrics = _train(runner, devices, 1, _batch_wide_game)
    expected, last = batch_wide_on_one_device
    assert 0 < float(expected.augmentation.p) < 1
    chex.assert_trees_all_close(state, expected, rtol=0, atol=1e-9)  # the operations compute in float32
    assert metrics["loss/g"][-1] == pytest.approx(last["loss/g"][-1], abs=1e-9)


def _cut_game(axis_name):
    """Parts of a batch, for a loss and penalties that take each example for itself."""
    game = _batch_wide_game(axis_name)
    return game._replace(
        loss=losses.non_saturating,
        top_k=1.0,
        accumulate=2,
        task=_game(axis_name).task,
        term_weights={},
    )


@pytest.mark.parametrize(("runner", "devices"), [("jit", 4), ("shard_map", 4), ("pmap", 2)])
def test_parts_of_a_batch_are_the_same_on_all_devices(runner, devices):
    with jax.enable_x64(True):
        whole, _ = _train("jit", 1, 1, lambda axis_name: _cut_game(axis_name)._replace(accumulate=1))
        state, _ = _train(runner, devices, 1, _cut_game)
    chex.assert_trees_all_close(state, whole, rtol=0, atol=1e-9)


def test_the_reference_moved(one_device):
    state, _ = one_device
    flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(state.generator.params)])
    assert np.abs(flat).max() > 0.1
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(state.generator.variables))


@pytest.mark.parametrize("runner", parallel.RUNNERS)
def test_nothing_recompiles_after_the_first_step(runner, caplog):
    run, state, chunks, key = _ready(runner)
    resident = run.replicate({})
    state, _ = run.run(state, resident, run.split(chunks[0]), key)
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        for chunk in chunks[1:]:
            state, _ = run.run(state, resident, run.split(chunk), key)
    assert [record.message for record in caplog.records if "Compiling" in record.message] == []


def _ready(runner):
    train_step = steps.make_train_step(_small_game(parallel.axis_name(runner)))
    run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:2])
    random = np.random.default_rng(0)
    chunks = [{"image": random.normal(size=(1, 1, 4, 2)).astype(np.float32)} for _ in range(4)]
    key = run.replicate(jax.random.key(0))
    init = partial(steps.init_state, _small_game(None), {"image": chunks[0]["image"][0]})
    return run, jax.jit(init, out_shardings=run.replicated)(key), chunks, key


def _small_game(axis_name):
    adam = optax.adam(1e-3)
    return steps.Game(
        synthesis.make_task(2),
        mlp.Generator((2,), width=4),
        mlp.Discriminator(width=4),
        losses.hinge,
        {"generator": adam, "discriminator": adam},
        axis_name=axis_name,
    )


@pytest.mark.parametrize("runner", ["jit", "shard_map"])
def test_the_state_is_donated(runner):
    run, state, chunks, key = _ready(runner)
    run.run(state, run.replicate({}), run.split(chunks[0]), key)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.generator.params))


@pytest.mark.parametrize("runner", parallel.RUNNERS)
def test_batches_are_loaded_inside_the_step(runner):
    """Indices into arrays that every device holds give the step that the images themselves give."""
    data = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    index = np.array([[[3, 1, 7, 7]]], np.int32)

    def load(resident, item):
        return {"image": resident["image"][item["index"]]}

    results = []
    for loader, resident, chunk in [
        (load, {"image": data}, {"index": index}),
        (lambda resident, item: item, {}, {"image": data[index]}),
    ]:
        run, state, _, key = _ready(runner)
        train_step = steps.make_train_step(_small_game(parallel.axis_name(runner)))
        run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:2], load=loader)
        state, _ = run.run(state, run.replicate(resident), run.split(chunk), key)
        results.append(jax.device_get(state))
    chex.assert_trees_all_equal(*results)


def test_an_unknown_runner_is_refused():
    with pytest.raises(ValueError, match=r"Unknown runner 'tpu'; expected one of jit, shard_map, pmap"):
        parallel.make_runner(lambda *args: args, runner="tpu")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "cache/jaxgan/compilations"),
        ({"JAX_COMPILATION_CACHE_DIR": "mine"}, "mine"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, "None"),
    ],
    ids=["by default", "elsewhere", "not"],
)
def test_compiled_programs_are_kept_in_the_users_cache_or_where_jax_was_told(tmp_path, told, expected):
    program = (
        "from jaxgan import parallel; parallel.keep_compilations()\n"
        "import jax; print(jax.config.jax_compilation_cache_dir)"
    )
    mine = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    ours = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=mine | ours | told, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip().removeprefix(f"{tmp_path}/") == expected
