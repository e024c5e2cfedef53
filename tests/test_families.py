"""Every family in a run: through the config, the loop, a checkpoint and the sampler."""

import chex
import jax
import numpy as np
import pytest

from configs import base
from jaxgan import data, training
from jaxgan.config import ConfigError
from jaxgan.models.families import of_task

SMALL = {
    "stylegan2": {"widest": 8, "style_size": 8, "mapping_depth": 1},
    "r3gan": {"blocks": 1, "group_size": 4},
    "recurrent": {"steps": 2, "memory": 4},
    "coupled": {"generator_shared": 1, "discriminator_shared": 1},
    "vit": {"depth": 1, "attention_heads": 2, "patch": 4},
}


def config(family, **changes):
    config = base.get_config()
    config.steps, config.batch_size = 4, 4
    config.model.family = family
    config.model.smallest, config.model.latent_size = 2, 4
    config.model.conditional = True
    config.model.generator.width = config.model.discriminator.width = 8
    config.model.get(family, {}).update(SMALL.get(family, {}))
    config.parallel.devices = 1
    config.log.every = config.sample.every = config.checkpoint.every = 2
    config.checkpoint.best_metric = ""
    config.sample.columns = 2
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def source():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 8, 12, 3), np.uint8)
    return data.from_arrays(images, random.integers(0, 3, 20), classes=("a", "b", "c"))


def train(workdir, source, family, **changes):
    return training.train(config(family, **changes), workdir, source=source, progress=False)


@pytest.mark.parametrize("family", of_task("synthesis"))
def test_a_family_trains_stops_and_resumes_bit_for_bit(family, source, tmp_path):
    straight = train(tmp_path / "straight", source, family)
    train(tmp_path / "stopped", source, family, steps=2)
    chex.assert_trees_all_equal(train(tmp_path / "stopped", source, family).state, straight.state)
    images = straight.sampler.draw(labels=[0, 1, 2], seed=3)
    assert images.shape == (3, 8, 12, 3) and images.std() > 0
    opened = training.open_run(tmp_path / "straight")
    np.testing.assert_array_equal(opened.sampler.draw(labels=[0, 1, 2], seed=3), images)


STYLED = {"penalties.path_length": 1.0, "penalties.r1": 1.0, "model.stylegan2.style_decay": 0.5}


def test_styles_have_a_mean_that_truncation_goes_to(source, tmp_path):
    run = train(tmp_path, source, "stylegan2", **STYLED)
    mean = run.state.generator.collections["averages"]["w"]
    assert np.abs(mean).max() > 0
    one, other = (run.sampler.draw(labels=[0] * 4, seed=seed, truncation=0.0) for seed in (1, 2))
    noiseless = run.sampler.generate(np.ones((2, 4), np.float32), np.int32([0, 1]), truncation=0.0)
    np.testing.assert_allclose(noiseless[0], noiseless[1], atol=1e-6)
    assert one.shape == other.shape == (4, 8, 12, 3)
    assert not np.array_equal(run.sampler.draw(labels=[0] * 4, seed=1), one)


def test_two_devices_train_a_style_based_generator_as_one_does(source, tmp_path):
    """In bits of float32: noise, mixing, the mean of styles and groups are the whole batch's."""
    changes = {
        "penalties.path_length": 1.0,
        "model.stylegan2.group": 4,
        "steps": 2,
        "parallel.runner": "shard_map",
    }
    changes |= {f"optimizer.{player}.name": "sgd" for player in ("generator", "discriminator")}
    one, two = (
        train(tmp_path / str(n), source, "stylegan2", **changes, **{"parallel.devices": n}).state
        for n in (1, 2)
    )
    chex.assert_trees_all_close(one.generator, two.generator, rtol=1e-3, atol=1e-6)
    chex.assert_trees_all_close(one.discriminator, two.discriminator, rtol=1e-3, atol=1e-6)


def test_truncation_is_of_styles(source, tmp_path):
    run = train(tmp_path, source, "dcgan", steps=2)
    with pytest.raises(ValueError, match="this generator has no styles"):
        run.sampler.draw(labels=[0], truncation=0.5)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("vit", {"model.vit.patch": 5}, "patch is 5, and 8x12 pixels cannot be cut"),
        ("r3gan", {"model.r3gan.multiples": (1,)}, "multiples has 1 numbers, expected 3"),
        ("resnet", {"model.resnet.halvings": 3}, "halvings is 3"),
        (
            "resnet",
            {"model.resnet.attention": 5},
            "attention is 5, and for 8x12 grids have heights of 2, 4, 8",
        ),
        ("resnet", {"model.resnet.hierarchical": True, "model.latent_size": 2}, "expected 3 numbers or more"),
        ("coupled", {"model.coupled.discriminator_shared": 9}, "discriminator_shared is 9"),
        ("coupled", {"model.coupled.generator_shared": 3}, "all domains would get the same images"),
        ("coupled", {"model.conditional": False}, "has networks of each class or domain"),
        ("dcgan", {"model.smallest": 8}, "dcgan cannot make"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_words(family, changes, message, source, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, source, family, **changes)
    assert not any(tmp_path.iterdir())


def test_a_field_goes_to_the_player_that_its_name_begins_with(source, tmp_path):
    changes = {"model.resnet.generator_multiples": (1, 2), "model.resnet.discriminator_multiples": (3, 1)}
    setup = training.set_up(config("resnet", **changes), source)
    assert setup.game.generator.multiples == (1, 2)
    assert setup.game.discriminator.multiples == (3, 1)
    assert jax.eval_shape(setup.init).step.shape == ()
