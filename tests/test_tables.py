"""`jaxgan models`: tables of what networks cost, from configs and without."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from configs import digits
from jaxgan import build, cli, costs, tables
from jaxgan.alternation import PLAYERS
from jaxgan.models.families import of_task

ROOT = Path(__file__).parents[1]
CONFIG = "--config=configs/digits.py"
SHAPE = ("--shape", "8", "8", "1")
SMALL = {"model.generator.width": 4, "model.discriminator.width": 6}
FIELDS = [f"--config.{name}={value}" for name, value in SMALL.items()]
ROW = r"(.*(?:generator|discriminator)) +([\d,]+) +([\d.e+]+) +([\d.e+]+) +([\d.,]+)"

# ml_collections loads a config file so.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs `jaxgan models` in this process: (*arguments) -> (exit code, output, errors)."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # an earlier config file

    def run(*arguments):
        capfd.readouterr()
        code = cli.main(["models", *map(str, arguments)])
        return code, *capfd.readouterr()

    return run


def rows(output):
    """Name -> the numbers in its row, as they are written."""
    found = (re.fullmatch(ROW, line) for line in output.splitlines())
    return {row[1].strip(): row.groups()[1:] for row in found if row}


@pytest.mark.parametrize("name", ["facades", "starganv2"])
def test_networks_that_are_given_images_have_a_table(name, command):
    config = f"--config=configs/{name}.py"
    code, output, errors = command(config, "--shape", 64, 64, 3, "--classes", 2, "--batch", 2)
    assert (code, errors) == (0, "") and [*rows(output)] == [*PLAYERS]


def test_a_config_and_its_changed_fields_make_a_table(command):
    code, output, errors = command(CONFIG, *SHAPE, "--classes", 10, *FIELDS, "--batch", 4)
    assert (code, errors) == (0, "")
    config = digits.get_config()
    config.update_from_flattened_dict(SMALL)
    game = build.make_game(config, {"image": (8, 8, 1)}, 10)
    batch = {
        "image": jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.uint8), "label": jax.ShapeDtypeStruct((4,), jnp.int32)
    }  # fmt: skip
    expected = costs.costs_of(game, batch)
    assert rows(output) == {
        name: (
            f"{cost.parameters:,}",
            f"{cost.forward:.3g}",
            f"{cost.update:.3g}",
            f"{cost.kept / 2**20:,.1f}",
        )
        for name, cost in expected.items()
    }
    first, header, *_, last = output.splitlines()
    assert first == "dcgan, images of 8x8x1, 10 classes, batches of 4; FLOPs are of one image"
    assert header.split("  ")[-1] == "MiB kept" and len({len(line) for line in output.splitlines()[1:4]}) == 1
    step = sum(cost.update for cost in expected.values())
    assert last == f"A training step takes {step:.3g} FLOPs for each image shown."


def test_what_the_config_says_of_images_and_batches_is_taken(command):
    fields = ["--config.data.size=(4, 6)", "--config.data.channels=3", "--config.batch_size=2"]
    fields += ["--config.model.conditional=False", *FIELDS]
    code, output, errors = command(CONFIG, *fields)
    assert (code, errors) == (0, "")
    assert output.startswith("dcgan, images of 4x6x3, no classes, batches of 2;")


def test_without_a_config_there_is_a_row_for_each_player_of_each_family(command, monkeypatch):
    some = {name: of_task("synthesis")[name] for name in ("mlp", "dcgan")}
    monkeypatch.setattr(tables, "of_task", lambda task: some)
    code, output, errors = command("--shape", 7, 5, 2, "--classes", 3, "--batch", 2)
    assert (code, errors) == (0, "")
    assert list(rows(output)) == ["mlp generator", "mlp discriminator"]
    assert output.splitlines()[-1].startswith("dcgan: 7x5 cannot be doubled")


def test_every_family_can_be_in_the_table(monkeypatch):
    """As it comes: each is built from an image's shape and a number of classes alone."""

    def parameters(game, batch):
        state = costs.initial(game, batch)
        return {name: costs.Cost(costs.parameters(getattr(state, name)), 0.0, 0.0, 0) for name in PLAYERS}

    monkeypatch.setattr(costs, "costs_of", parameters)  # tracing large networks' updates takes long
    output = tables.of_families((8, 8, 1), 2, 1)
    told = {name.split()[0] for name in rows(output)} | set(re.findall(r"^(\w+): ", output, re.MULTILINE))
    assert told == {*of_task("synthesis")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "Give --config=FILE, or --shape HEIGHT WIDTH CHANNELS for every family"),
     ((CONFIG,), "does not say how large the images of tfds:digits are.*Give --shape HEIGHT WIDTH CHANNELS"),
     ((CONFIG, *SHAPE), "model.conditional is True; give --classes"),
     ((CONFIG, "--shape", 7, 7, 1, "--classes", 2), "7x7 cannot be doubled from a grid"),
     ((CONFIG, *SHAPE, "--config.model.generator.wdth=3"), "model.generator.wdth is no field; did you mean"),
     ((CONFIG, *SHAPE, "--config.model.generator.width=0"), "width is 0, expected an integer, at least 1"),
     (("--config=configs/none.py", *SHAPE), "--config=configs/none.py: there is no such file"),
     (("--config.steps=3", *SHAPE), "--config=configs/NAME.py is needed, before its fields"),
     ((CONFIG, *SHAPE, "more"), "more: not known; see jaxgan models --help"),
     ((CONFIG, *SHAPE, "--nothing=3"), "nothing")],
)  # fmt: skip
def test_what_is_wrong_is_said(command, arguments, message):
    code, output, errors = command(*arguments)
    assert (code, output) == (2, "")
    assert re.search(message, errors) and "Traceback" not in errors


@pytest.mark.parametrize("arguments", [("--batch", 0), ("--classes", -1), ("--shape", 8, 8)])
def test_numbers_that_cannot_be_are_refused(command, arguments):
    with pytest.raises(SystemExit, match="2"):
        command(CONFIG, *arguments)


def test_other_commands_still_refuse_what_they_do_not_know(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["data", "check", "folder:photos", "--config=configs/digits.py"])
    assert "unrecognized arguments: --config=configs/digits.py" in capsys.readouterr().err
