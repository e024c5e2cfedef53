"""Coupled networks by config, on two domains of photographs: trained, measured, resumed, on two devices."""

import os
import shutil

import chex
import numpy as np
import pytest
from made_extractor import extractor
from made_photographs import tiles
from made_sets import save

from configs import base
from jaxgan import cli, report, sampling, training
from jaxgan.evaluation import collecting, evaluator

SIZE = (12, 20)  # from 3x5, doubled twice


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """(directory, changes of fields) -> a run, measured by small networks."""
    root = tmp_path_factory.mktemp("domains")
    for name, images in zip(("temples", "flowers"), tiles(SIZE), strict=True):
        for i, image in enumerate(images):
            save(root / name / f"{i}.png", image)

    def train(workdir, **changes):
        config = base.get_config()
        config.data.source = f"mixture:{root}/temples,{root}/flowers"
        config.data.labels, config.data.prepare, config.data.data_dir = "domains", False, f"{root}/data"
        config.model.family, config.model.conditional, config.model.dtype = "coupled", True, "bfloat16"
        config.model.smallest, config.model.latent_size = 3, 4
        config.model.generator.width = config.model.discriminator.width = 4
        config.steps, config.batch_size, config.parallel.devices = 3, 4, 1
        config.checkpoint.every, config.sample.columns = 1, 2
        config.evaluate.metrics, config.evaluate.every, config.evaluate.samples = ("fid", "kid"), 1000.0, 12
        config.update_from_flattened_dict(changes)
        return training.train(config, workdir, progress=False)

    with pytest.MonkeyPatch.context() as patch:
        network = extractor((*SIZE, 3), classes=())
        patch.setattr(evaluator, "choose", lambda *arguments, **options: network)
        patch.setattr(collecting, "user_cache_path", lambda name: tmp_path_factory.mktemp("cache"))
        yield train


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("coupled")
    return workdir, train(workdir)


def test_a_latent_makes_an_image_of_each_domain_and_they_are_measured(trained, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])
    workdir, run = trained
    chex.assert_tree_all_finite(run.state.generator.params)
    (line,) = (x for x in report.read_metrics(workdir / "metrics.jsonl") if "evaluation/fid" in x)
    assert np.isfinite([line["evaluation/fid"], line["evaluation/kid"]]).all()
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    pairs = run.game.generator.apply(run.sampler.variables, latents, train=False, method="joint")
    assert pairs.shape == (2, 2, *SIZE, 3)
    drawn = training.open_run(workdir).sampler.draw(labels=[0, 1, 1])
    assert isinstance(run.sampler, sampling.Sampler) and drawn.shape == (3, *SIZE, 3)
    np.testing.assert_array_equal(drawn, run.sampler.draw(labels=[0, 1, 1]))
    asked = ["--metrics", "fid,kid,intra_fid", "--samples", "12", "--batch", "6"]
    assert cli.main(["evaluate", str(workdir), *asked]) == 0, capsys.readouterr().err
    assert "temples" in capsys.readouterr().out


def test_a_run_that_is_stopped_goes_on_bit_for_bit(train, trained, tmp_path):
    workdir, run = trained
    shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    shutil.rmtree(tmp_path / "checkpoints" / "3")
    resumed = train(tmp_path, **{"evaluate.every": 0.0})
    chex.assert_trees_all_equal(resumed.state, run.state)


def test_two_devices_train_as_one_does(train, tmp_path):
    alike = {f"optimizer.{player}.name": "sgd" for player in ("generator", "discriminator")}
    alike |= {"model.dtype": "float32", "evaluate.every": 0.0, "steps": 2}
    one = train(tmp_path / "one", **alike)
    two = train(tmp_path / "two", **alike, **{"parallel.devices": 2, "parallel.runner": "shard_map"})
    chex.assert_trees_all_close(one.state.generator, two.state.generator, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(one.state.discriminator, two.state.discriminator, rtol=1e-4, atol=1e-5)
