"""`jaxgan evaluate` and `jaxgan compare`: runs and folders measured, and set side by side."""

import json
import os
import re

import numpy as np
import PIL.Image
import pytest
from made_extractor import extractor, images_of

from configs import base
from jaxgan import cli, comparisons, data, training
from jaxgan.checkpoints import CheckpointError
from jaxgan.evaluation import evaluator, results
from jaxgan.evaluation.evaluator import EvaluationError, Request


@pytest.fixture(autouse=True)
def small(user_cache, monkeypatch):
    """A small network for features, and the environment as it was after a command."""
    monkeypatch.setattr(evaluator, "choose", lambda *arguments, **options: extractor())
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])


def arrays(path, count=40, *, seed=0, noise=0.0):
    labels = np.arange(count) % 3
    np.savez(path, image=images_of(labels, seed=seed, noise=noise), label=labels)
    return path


def folder(path, count=12, *, seed=0, noise=0.0):
    path.mkdir()
    for i, image in enumerate(images_of(np.arange(count) % 3, seed=seed, noise=noise)):
        PIL.Image.fromarray(image[..., 0]).save(path / f"{i}.png")
    return path


def train(workdir, images, **changes):
    config = base.get_config()
    config.steps, config.batch_size = 4, 8
    config.data.source = f"arrays:{images}"
    config.model.conditional = True
    config.model.smallest, config.model.latent_size = 2, 4
    config.model.generator.width = config.model.discriminator.width = 4
    config.parallel.devices = 1
    config.checkpoint.every, config.checkpoint.keep = 2, 5
    config.update_from_flattened_dict(changes)
    training.train(config, workdir, progress=False)
    return workdir


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with the steps 2 and 4, and another of the same images by another path."""
    root = tmp_path_factory.mktemp("runs")
    images = arrays(root / "images.npz")
    copied = arrays(root / "the_same.npz")
    return train(root / "a", images), train(root / "b", copied, seed=1, steps=2)


@pytest.fixture
def run(trained):
    """The first run, without results."""
    for path in trained[0].glob("evaluations/*"):
        path.unlink()
    return trained[0]


@pytest.fixture
def jaxgan(capsys):
    """The command: (*arguments) -> exit code, what it printed, what it complained of."""

    def command(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([*map(str, arguments)])
        except SystemExit as refused:  # by the parser
            code = refused.code
        return code, *capsys.readouterr()

    return command


def evaluations(run):
    return sorted(path.name for path in run.glob("evaluations/*"))


# Runs


def test_a_run_is_measured_at_its_newest_step(run, jaxgan):
    code, said, complaints = jaxgan("evaluate", run, "--metrics=fid, pr", "--samples=30")
    assert code == 0, complaints
    (name,) = evaluations(run)
    assert name.startswith("step_000000004_projection-4_")
    assert str(run / "evaluations" / name) in said and "| step 4" in said and "| recall" in said
    found = results.read(run / "evaluations" / name)
    assert {*found.figures} == {"fid", "precision", "recall"}
    drawn = training.open_run(run).sampler
    reals = comparisons.open_images(f"arrays:{run.parent}/images.npz")
    measure = evaluator.Evaluator(Request(("fid",), samples=30), reals)
    again = measure.measure(measure.samples(drawn, about={}))
    assert again.figures["fid"].value == pytest.approx(found.figures["fid"].value, rel=1e-6)
    assert found.protocol["samples"] == {
        "step": 4, "kimg": 0.032, "average": True, "count": 30, "seed": 0, "truncation": 1.0,
        "labels": "as often as in the reference",
    }  # fmt: skip


def test_further_figures_go_to_the_same_file(run, jaxgan, monkeypatch):
    assert jaxgan("evaluate", run, "--samples=30")[0] == 0
    monkeypatch.chdir(run.parent)
    assert jaxgan("evaluate", run.name, "--samples=30", "--metrics=kid", "--quick")[0] == 0  # by another path
    (name,) = evaluations(run)
    assert {*results.read(run / "evaluations" / name).figures} == {"fid", "kid"}
    assert jaxgan("evaluate", run, "--samples=31")[0] == 0
    assert len(evaluations(run)) == 2


@pytest.mark.parametrize(("steps", "found"), [("all", [2, 4]), ("4,2,4", [2, 4]), ("2", [2])])
def test_the_steps_of_a_run(run, jaxgan, steps, found):
    code, said, complaints = jaxgan("evaluate", run, "--samples=12", f"--step={steps}")
    assert code == 0, complaints
    assert [name[5:14] for name in evaluations(run) if name.startswith("step")] == [f"{n:09d}" for n in found]
    assert ("curves.png" in evaluations(run)) == (len(found) > 1)
    assert all(f"step {n}" in said for n in found)
    if len(found) > 1:
        assert said.index("| step 2") < said.index("| step 4")
        with PIL.Image.open(run / "evaluations" / "curves.png") as picture:
            assert min(picture.size) > 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--step=3"], r"a has the steps \[2, 4\], and not \[3\]"),
        (["--step=2,7"], r"and not \[7\]"),
        (["--step=last"], "--step is 'last', expected newest, all, or numbers"),
        (["--step="], "--step is '', expected newest"),
        (["--metrics=fdi"], r"No metrics \['fdi'\]; expected some of fid"),
        (["--metrics=ppl"], "ppl needs lpips"),
        (["--reference=41"], "41 images are asked for, and .* has 40"),
        (["--reference=-1"], "expected an integer from 0"),
        (["--samples=0"], "expected an integer from 1"),
        (["--samples=1"], "features of 1 images, and figures of a set need 2"),
        (["--batch=-2"], "expected an integer from 0"),
        (["--seed=-1"], "expected an integer from 0"),
        (["--truncation=0.5"], "truncation is 0.5, expected .* of others leave it out"),
        (["--truncation=nan"], "truncation is nan"),
        (["--split=test"], "test"),
        (["--against=nowhere"], "nowhere"),
        (["--lpips=none.npz"], "none.npz"),
        (["--out=results.json"], "--out is for a set of images; results of a run lie in it, evaluations/"),
    ],
)
def test_what_cannot_be_measured_of_a_run(run, jaxgan, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, complaints = jaxgan("evaluate", run, *arguments)
    assert code == 2 and re.search(said, complaints), complaints
    assert "Traceback" not in complaints
    assert not evaluations(run)


def test_a_run_whose_data_are_others_now(trained, jaxgan, tmp_path):
    images = arrays(tmp_path / "mine.npz")
    run = train(tmp_path / "run", images, steps=2)
    arrays(images, seed=9)
    code, _, complaints = jaxgan("evaluate", run, "--samples=12")
    assert code == 2 and "holds other images than the run was trained on" in complaints
    assert jaxgan("evaluate", run, "--samples=12", f"--against=arrays:{images}")[0] == 0
    images.unlink()
    assert jaxgan("evaluate", run, "--samples=12")[0] == 2


def test_a_run_from_python(run):
    with pytest.raises(CheckpointError, match=r"has the steps \[2, 4\]"):
        comparisons.evaluate_run(run, Request(samples=12), steps=[3])
    reals = comparisons.open_images(f"arrays:{run.parent}/images.npz")
    found = comparisons.evaluate_run(str(run), Request(samples=12), reference=reals, intervals=False)
    assert [path.parent for path in found] == [run / "evaluations"]
    unlabelled = data.from_arrays(reals.arrays["image"])
    with pytest.raises(EvaluationError, match="intra_fid needs labels"):
        comparisons.evaluate_run(run, Request(("intra_fid",)), reference=unlabelled)


# Sets of images


def test_a_folder_against_a_folder(jaxgan, tmp_path):
    fakes, reals = folder(tmp_path / "fakes", seed=1, noise=40.0), folder(tmp_path / "reals", 15)
    out = tmp_path / "out.json"
    code, said, complaints = jaxgan(
        "evaluate", fakes, "--against", reals, "--metrics=fid,kid,swd", "--out", out
    )
    assert code == 0, complaints
    assert f"| {fakes}" in said and "| sliced_wasserstein" in said
    found = results.read(out)
    weights = found.protocol["features"]["weights_sha256"][:8]
    how = f"By projection-4 (weights {weights}; resized: none), 12 images against 15 of folder:{reals}:train."
    assert how in said.splitlines()
    assert found.figures["fid"].value > 1.0
    assert found.protocol["samples"]["count"] == 12 and found.protocol["reference"]["count"] == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fakes", "out.json", "reals", "user_cache"]
    before = out.read_bytes()
    code, _, complaints = jaxgan("evaluate", fakes, "--against", reals, "--out", out)
    assert code == 2 and "out.json exists; give --out another name" in complaints
    assert out.read_bytes() == before


def test_a_part_of_a_set(jaxgan, tmp_path):
    images = arrays(tmp_path / "images.npz")
    out = tmp_path / "out.json"
    code, _, complaints = jaxgan(
        "evaluate",
        f"arrays:{images}",
        f"--against=arrays:{images}",
        "--samples=9",
        "--reference=8",
        "--out",
        out,
    )
    assert code == 0, complaints
    protocol = json.loads(out.read_text())["protocol"]
    assert (protocol["samples"]["count"], protocol["reference"]["count"]) == (9, 8)


def test_sets_that_cannot_be_measured(jaxgan, trained, tmp_path):
    reals = folder(tmp_path / "reals", 15)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text("{}")
    for target, extra, said in (
        (reals, [], "is no run of ours: give --against"),
        (tmp_path / "empty", ["--against", reals], "empty"),
        (tmp_path / "file.json", ["--against", reals], "file.json"),
        (tmp_path / "nothing", ["--against", reals], "nothing"),
        (reals, ["--against", tmp_path / "empty"], "empty"),
        (tmp_path / "begun", [], "begun holds no checkpoint; train a run there first"),
        (
            reals,
            ["--against", reals, "--samples=16"],
            "16 images are asked for, and .* has 15; ask for fewer",
        ),
        (reals, ["--against", reals, "--metrics=intra_fid"], "needs labels of both sets"),
        (reals, ["--against", reals, "--step=3"], "--step and --truncation are of runs"),
        (reals, ["--against", reals, "--truncation=0.7"], "--step and --truncation are of runs"),
        (reals, ["--against", reals, "--size", "0", "8"], "expected an integer from 1"),
    ):
        code, _, complaints = jaxgan("evaluate", target, *extra)
        assert code == 2 and "Traceback" not in complaints
        assert re.search(said, complaints), complaints


# Side by side


def test_runs_are_compared(run, trained, jaxgan):
    other = trained[1]
    for each, step in ((run, "all"), (other, "newest")):
        assert jaxgan("evaluate", each, "--samples=12", "--metrics=fid,pr", f"--step={step}")[0] == 0
    code, said, complaints = jaxgan("compare", run, other)
    assert code == 0, complaints
    assert f"| {run}, step 4 | {other}, step 2 |" in said.replace("  ", " ").replace("  ", " ")
    newest = results.read(next(run.glob("evaluations/step_000000004*")))
    assert f"{newest.figures['fid'].value:.4g} (" in said
    older = next(run.glob("evaluations/step_000000002*"))
    code, said, _ = jaxgan("compare", run, older)
    assert code == 0 and f"{older}, step 2" in said


def test_what_cannot_be_compared(run, trained, jaxgan, tmp_path):
    other = trained[1]
    code, _, complaints = jaxgan("compare", run, other)
    assert code == 2 and f"{run} holds no results; run `jaxgan evaluate {run}` first" in complaints
    assert jaxgan("evaluate", run, "--samples=12")[0] == 0
    assert jaxgan("evaluate", other, "--samples=13")[0] == 0
    (tmp_path / "torn.json").write_text("{")
    for targets, said in (
        ([run], "Give two or more different runs, or files of results"),
        ([run, run], "Give two or more different runs"),
        ([run, other], "were measured in different ways.*samples.count is 12 and 13"),
        ([run, tmp_path], "holds no results; run `jaxgan evaluate"),
        ([run, tmp_path / "torn.json"], "torn.json holds no results of an evaluation"),
    ):
        code, _, complaints = jaxgan("compare", *targets)
        assert code == 2 and re.search(said, complaints), complaints
