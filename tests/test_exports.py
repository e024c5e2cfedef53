"""Networks of runs as files, and files of others as ours, by the functions and by the commands."""

import json

import jax
import numpy as np
import pytest

from configs import base
from jaxgan import cli, data, exports, training
from jaxgan.interop import cards, files
from jaxgan.interop.pickles import WeightsError


def config(**changes):
    config = base.get_config()
    config.steps, config.batch_size = 2, 4
    config.model.smallest, config.model.latent_size = 2, 4
    config.model.generator.width = config.model.discriminator.width = 4
    config.log.every = config.sample.every = config.checkpoint.every = 2
    config.sample.columns = 2
    config.update_from_flattened_dict(changes)
    return config


def train(workdir, **changes):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 8, 8, 1), np.uint8)
    source = data.from_arrays(images, random.integers(0, 3, 20), classes=("a", "b", "c"))
    training.train(config(**changes), workdir, source=source, progress=False)
    return workdir


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return train(tmp_path_factory.mktemp("conditional"), **{"model.conditional": True})


def command(capsys, *arguments):
    code = cli.main(list(map(str, arguments)))
    said = capsys.readouterr()
    return code, said.out + said.err


def test_an_exported_generator_draws_what_the_run_draws(conditional, tmp_path, capsys):
    out = tmp_path / "g.safetensors"
    code, said = command(capsys, "export", conditional, "--out", out, "--licence", "CC0-1.0")
    assert code == 0 and f"the generator of {conditional} at step 2" in said
    network, variables, card = cards.load(out)
    run = training.open_run(conditional)
    latents, labels = np.ones((2, 4), np.float32), np.int32([0, 2])
    made = network.apply(variables, latents, labels, train=False)
    np.testing.assert_allclose(made, run.sampler.generate(latents, labels), rtol=1e-5, atol=1e-6)
    assert card["licence"] == "CC0-1.0" and card["metrics"]["step"] == 2
    assert card["config"]["model"]["latent_size"] == 4
    assert card["training_data"]["classes"] == ["a", "b", "c"]


def test_a_discriminator_is_exported_too(conditional, tmp_path):
    run = training.open_run(conditional)
    exports.export_run(run, tmp_path / "d.safetensors", player="discriminator")
    loaded = cards.load(tmp_path / "d.safetensors")
    assert jax.tree.structure(loaded.variables) == jax.tree.structure(dict(run.state.discriminator.variables))


def test_nothing_is_written_over_unless_asked(plain, tmp_path, capsys):
    out = tmp_path / "g.safetensors"
    out.write_bytes(b"mine")
    code, said = command(capsys, "export", plain, "--out", out)
    assert code == 2 and "exists" in said and out.read_bytes() == b"mine"
    assert command(capsys, "export", plain, "--out", out, "--overwrite")[0] == 0
    assert out.read_bytes() != b"mine"


def test_what_goes_out_in_a_public_layout_comes_back(plain, tmp_path, capsys):
    there, back, card = (tmp_path / name for name in ("torch.safetensors", "g.safetensors", "card.json"))
    assert command(capsys, "export", plain, "--out", there, "--layout", "dcgan")[0] == 0
    assert "main.0.weight" in files.read(there)
    run = training.open_run(plain)
    told = {"architecture": cards.architecture(run.game.generator), "licence": "CC0-1.0"}
    told["inputs"] = [{"shape": [1, 4], "dtype": "float32"}]
    card.write_text(json.dumps(told))
    argv = ["import", there, "--layout", "dcgan", "--card", card, "--out", back]
    assert command(capsys, *argv)[0] == 0
    loaded = cards.load(back)
    assert loaded.card["licence"] == "CC0-1.0"
    for ours, theirs in zip(
        jax.tree.leaves(loaded.variables), jax.tree.leaves(dict(run.state.ema)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("[]", "expected an object"),
        ("{", "is not JSON"),
        ("{}", "no sound architecture and inputs"),
        (
            '{"architecture": {"network": "dcgan generator", "image_shape": [8, 8, 1]}, "inputs": []}',
            "no sound",
        ),
        (
            '{"architecture": {"network": "dcgan generator", "image_shape": [3, 3, 1]}, '
            '"inputs": [{"shape": [1, 4], "dtype": "float32"}]}',
            "no sound architecture",
        ),
        ('{"architecture": {"network": "nothing"}, "inputs": []}', "no sound architecture"),
        (
            '{"architecture": {"network": "mlp generator", "image_shape": [2]}, '
            '"inputs": [{"shape": [1, 4], "dtype": "float32"}]}',
            "The layout 'dcgan' is not of this mlp network",
        ),
    ],
)
def test_a_card_that_is_none_is_refused(plain, tmp_path, capsys, card, message):
    exports.export_run(training.open_run(plain), tmp_path / "torch.safetensors", layout="dcgan")
    (tmp_path / "card.json").write_text(card)
    argv = ["import", tmp_path / "torch.safetensors", "--layout", "dcgan", "--card", tmp_path / "card.json"]
    code, said = command(capsys, *argv, "--out", tmp_path / "g.safetensors")
    assert code == 2 and message in said
    assert not (tmp_path / "g.safetensors").exists()


def test_a_layout_without_names_for_a_network_is_refused(conditional, tmp_path):
    with pytest.raises(WeightsError, match="no names for classes"):
        exports.export_run(training.open_run(conditional), tmp_path / "g.safetensors", layout="dcgan")
    with pytest.raises(WeightsError, match="is not of this dcgan network"):
        exports.export_run(training.open_run(conditional), tmp_path / "g.safetensors", layout="srgan")


def test_only_safetensors_are_written(plain, tmp_path, capsys):
    code, said = command(capsys, "export", plain, "--out", tmp_path / "g.pth")
    assert code == 2 and "give it that ending" in said and not any(tmp_path.iterdir())


def test_no_run_no_file(tmp_path, capsys):
    code, said = command(capsys, "export", tmp_path, "--out", tmp_path / "g.safetensors")
    assert code == 2 and "holds no checkpoint" in said
