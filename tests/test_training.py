"""A run: what it leaves behind, and that stopping it anywhere changes nothing."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_worker import flip_bit
from made_extractor import extractor
from PIL import Image

from configs import base
from jaxgan import build, checkpoints, data, losses, observation, pictures, records, report, training
from jaxgan.config import ConfigError
from jaxgan.evaluation import evaluator, results
from jaxgan.observation import Diverged

ROOT = Path(__file__).parents[1]


def tiny(**changes):
    """A run of a second: every kind of state (Adam, batch statistics, averages), every kind of noise."""
    config = base.get_config()
    config.steps, config.batch_size = 8, 8
    config.data.flip = True
    config.model.conditional = True
    config.model.smallest, config.model.latent_size = 2, 4
    config.model.generator.width = config.model.discriminator.width = 4
    config.penalties.r1 = 0.1
    config.parallel.devices = 1
    config.log.every = config.sample.every = config.checkpoint.every = 2
    config.checkpoint.keep = 10
    config.sample.columns = 3
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def digits():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 8, 8, 1), np.uint8)
    return data.from_arrays(images, random.integers(0, 3, 50), classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def straight(digits, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("straight")
    return workdir, training.train(tiny(), workdir, source=digits, progress=False)


def run(config, workdir, source, **options):
    return training.train(config, workdir, source=source, progress=False, **options)


def picture_size(workdir):
    with Image.open(workdir / "samples.png") as picture:
        return picture.size


def test_a_run_leaves_what_it_promises(straight):
    workdir, done = straight
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        *("samples.png", "progress.png", "curves.png", "samples", "tensorboard"),
        *("metrics.jsonl", "config.json", "environment.json", "checkpoints"),
    }
    assert picture_size(workdir)[1] == 3 * 48 + 2 * pictures.GAP  # a row a class
    assert sorted(p.name for p in (workdir / "samples").iterdir()) == [
        f"step_{step:09d}.png" for step in (0, 2, 4, 6, 8)
    ]
    assert json.loads((workdir / "config.json").read_text())["model"]["latent_size"] == 4
    assert {"jax", "flax", "jaxgan"} <= json.loads((workdir / "environment.json").read_text())[
        "versions"
    ].keys()
    lines = report.read_metrics(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert [line["kimg"] for line in lines] == [0.016, 0.032, 0.048, 0.064]
    assert {"loss/d", "loss/g", "penalty_r1/d", "fooled/g", "distance/sliced_wasserstein"} <= lines[0].keys()
    assert (int(done.state.step), int(done.state.images), done.interrupted) == (8, 64, 0)


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(straight, digits, tmp_path, stop):
    run(tiny(steps=stop), tmp_path, digits)
    resumed = run(tiny(), tmp_path, digits)
    chex.assert_trees_all_equal(resumed.state, straight[1].state)


def test_what_is_logged_and_shown_moves_no_weight(straight, digits, tmp_path):
    done = run(tiny(**{"log.every": 8, "sample.every": 4}), tmp_path, digits)
    chex.assert_trees_all_equal(done.state, straight[1].state)


def test_where_images_are_held_changes_rounding_alone(straight, digits, tmp_path):
    done = run(tiny(**{"data.placement": "host"}), tmp_path, digits)
    chex.assert_trees_all_close(done.state, straight[1].state, rtol=1e-4, atol=1e-7)


def test_steps_a_call_change_rounding_alone(straight, digits, tmp_path):
    done = run(tiny(**{"parallel.steps_per_call": 2}), tmp_path, digits)
    chex.assert_trees_all_close(done.state, straight[1].state, rtol=1e-3, atol=1e-4)
    lines = report.read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8]


def test_a_finished_run_is_left_alone(straight, digits):
    workdir, done = straight
    before = sorted((p, p.stat().st_mtime_ns) for p in workdir.rglob("*"))
    again = run(tiny(), workdir, digits)
    chex.assert_trees_all_equal(again.state, done.state)
    assert sorted((p, p.stat().st_mtime_ns) for p in workdir.rglob("*")) == before


def test_files_of_no_run_are_not_overwritten(digits, tmp_path):
    (tmp_path / "samples.png").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine too")
    with pytest.raises(records.ResumeError, match=r"holds samples.png, .*choose another"):
        run(tiny(), tmp_path, digits)
    assert {path.name for path in tmp_path.iterdir()} == {"samples.png", "notes.txt"}


def test_a_call_of_steps_cannot_begin_within_another(digits, tmp_path):
    run(tiny(steps=3, **{"log.every": 1, "sample.every": 1, "checkpoint.every": 1}), tmp_path, digits)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(records.ResumeError, match=r"after step 3.*steps_per_call.* such as 1"):
        run(tiny(**{"parallel.steps_per_call": 2}), tmp_path, digits)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_longer_run_goes_on(straight, digits, tmp_path):
    first = run(tiny(), tmp_path, digits)
    longer = run(tiny(steps=10), tmp_path, digits)
    assert (int(first.state.step), int(longer.state.step)) == (8, 10)
    chex.assert_trees_all_equal(first.state, straight[1].state)


def test_a_run_is_opened_without_its_data(straight):
    workdir, done = straight
    opened = training.open_run(workdir)
    chex.assert_trees_all_equal(opened.state, done.state)
    labels = [0, 1, 2, 1]
    drawn = opened.sampler.draw(labels=labels, seed=3)
    np.testing.assert_array_equal(drawn, done.sampler.draw(labels=labels, seed=3))
    assert drawn.shape == (4, 8, 8, 1)
    assert opened.sampler.classes == ("a", "b", "c")
    assert int(training.open_run(workdir, step=4).state.step) == 4
    assert opened.config.optimizer.generator.learning_rate == 2e-4
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        training.open_run(workdir / "samples")


def test_an_unconditional_run(digits, tmp_path):
    done = run(tiny(**{"model.conditional": False, "steps": 2}), tmp_path, digits)
    assert done.sampler.draw(5, seed=1).shape == (5, 8, 8, 1)
    assert picture_size(tmp_path) == (3 * 48 + 2 * pictures.GAP, 8 * 48 + 7 * pictures.GAP)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer.generator.learning_rate": 1e-3}, "learning_rate: saved 0.0002, now 0.001"),
        ({"loss": "hinge"}, "loss: saved 'non_saturating', now 'hinge'"),
        ({"seed": 1}, "data, seed: saved 0, now 1"),
        ({"batch_size": 16}, "batch_size: saved 8, now 16"),
    ],
)
def test_a_contradicting_config_is_refused(straight, digits, change, said):
    with pytest.raises(records.ResumeError, match=said):
        run(tiny(**change), straight[0], digits)


def test_other_data_is_refused(straight, digits):
    arrays = digits.arrays
    other = data.from_arrays(arrays["image"][::-1].copy(), arrays["label"], classes=digits.classes)
    with pytest.raises(records.ResumeError, match="data, source: saved"):
        run(tiny(), straight[0], other)


def test_accepted_changes_go_on_and_keep_the_old_config(digits, tmp_path):
    run(tiny(steps=4), tmp_path, digits)
    change = {"optimizer.generator.learning_rate": 1e-5}
    done = run(tiny(**change), tmp_path, digits, accept_changes=True)
    assert int(done.state.step) == 8
    old, new = (json.loads((tmp_path / name).read_text()) for name in ("config.1.json", "config.json"))
    assert (old["optimizer"]["generator"]["learning_rate"], old["steps"]) == (2e-4, 4)
    assert new["optimizer"]["generator"]["learning_rate"] == 1e-5
    opened = training.open_run(tmp_path, step=4)  # the config that the step was made under
    assert opened.config.optimizer.generator.learning_rate == 2e-4
    flip_bit(tmp_path / "checkpoints", 8)
    flip_bit(tmp_path / "checkpoints", 6)
    assert training.open_run(tmp_path).config.optimizer.generator.learning_rate == 2e-4


def test_a_damaged_checkpoint_is_passed_over(straight, digits, tmp_path, caplog, monkeypatch):
    run(tiny(steps=6), tmp_path, digits)
    flip_bit(tmp_path / "checkpoints", 6)
    monkeypatch.setattr(logging.getLogger("jaxgan"), "propagate", True)  # whatever else has set
    with caplog.at_level("WARNING", logger="jaxgan.checkpoints"):
        resumed = run(tiny(), tmp_path, digits)
    assert "damaged checkpoint" in caplog.text
    chex.assert_trees_all_equal(resumed.state, straight[1].state)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_run_that_diverges_stops_before_the_update(digits, tmp_path, monkeypatch, player):
    run(tiny(steps=4), tmp_path, digits)
    spoilt = losses.non_saturating._replace(**{player: lambda real, fake: fake * np.nan})
    monkeypatch.setitem(build.LOSSES, "non_saturating", spoilt)
    with pytest.raises(Diverged, match=rf"Step 5 was not made: the {player}'s loss is nan.*learning_rate"):
        run(tiny(), tmp_path, digits)
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        assert saved.steps() == [2, 4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_save_is_heeded_after_it(straight, digits, tmp_path, monkeypatch, number):
    save = checkpoints.Checkpoints.save

    def interrupted_save(self, step, *args, **options):
        save(self, step, *args, **options)
        if step == 4:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(checkpoints.Checkpoints, "save", interrupted_save)
    stopped = run(tiny(), tmp_path, digits)
    assert (stopped.interrupted, int(stopped.state.step)) == (number, 5)
    resumed = run(tiny(), tmp_path, digits)
    chex.assert_trees_all_equal(resumed.state, straight[1].state)


# Samples evaluated on the way


@pytest.fixture
def evaluated(monkeypatch, user_cache):
    """Fields of a run that is evaluated by a small network after each 24 images."""
    monkeypatch.setattr(evaluator, "choose", lambda *arguments, **options: extractor(classes=()))
    return {"evaluate.every": 0.024, "evaluate.metrics": ("fid", "pr", "intra_fid"), "evaluate.samples": 30}


def saved_results(workdir):
    return {path.name[5:14]: results.read(path) for path in sorted(workdir.glob("evaluations/*.json"))}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"evaluate.every": 0.0}, []),
        ({"evaluate.every": 0.024}, [3, 6, 8]),  # steps of 8 images, and the last
        ({"evaluate.every": 0.024, "parallel.steps_per_call": 2}, [4, 6, 8]),
        ({"evaluate.every": 0.02}, [3, 5, 8]),
        ({"evaluate.every": 1e-9}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"evaluate.every": 100.0}, [8]),
        ({"evaluate.every": 100.0, "checkpoint.best_metric": "evaluation/fid"}, [2, 4, 6, 8]),
        (
            {"evaluate.every": 0.07, "batch_size": 10, "steps": 21, "checkpoint.every": 50},
            [7, 14, 21],
        ),  # 70.00..1
        ({"evaluate.every": 0.024, "alternation.discriminator.steps": 3}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_the_steps_after_which_samples_are_evaluated(change, expected):
    config = tiny(**change)
    calls = range(config.parallel.steps_per_call, config.steps + 1, config.parallel.steps_per_call)
    assert [step for step in calls if "evaluate" in training._due(config, step, stopping=False)] == expected
    assert not [step for step in calls if "evaluate" in training._due(config, step, stopping=True)]


def test_an_evaluated_run(straight, digits, tmp_path, evaluated):
    done = run(tiny(**evaluated), tmp_path, digits)
    chex.assert_trees_all_equal(done.state, straight[1].state)
    found = saved_results(tmp_path)
    assert [*found] == ["000000003", "000000006", "000000008"]
    lines = {line["step"]: line for line in report.read_metrics(tmp_path / "metrics.jsonl")}
    for result in found.values():
        line = lines[result.protocol["samples"]["step"]]
        told = {name: value for name, value in line.items() if name.startswith("evaluation/")}
        whole = {name: figure.value for name, figure in result.figures.items() if "/" not in name}
        assert told == {f"evaluation/{name}": value for name, value in whole.items()}
        assert told.keys() == {f"evaluation/{name}" for name in ("fid", "precision", "recall", "intra_fid")}
        assert len(result.figures) == 7 and np.isfinite([*told.values()]).all()
        assert result.protocol["samples"]["labels"] == "as often as in the reference"
        assert result.protocol["samples"]["kimg"] == 0.008 * line["step"]
    assert not any(name.startswith("evaluation/") for name in lines[2])
    drawn = evaluator.Evaluator(evaluator.Request(("fid",), samples=30), digits)
    again = drawn.measure(drawn.samples(training.open_run(tmp_path).sampler, about={}), intervals=False)
    assert again.figures["fid"].value == pytest.approx(lines[8]["evaluation/fid"], rel=1e-6)


def test_a_resumed_run_evaluates_the_same(straight, digits, tmp_path, evaluated):
    run(tiny(steps=4, **evaluated), tmp_path, digits)
    assert [*saved_results(tmp_path)] == ["000000003", "000000004"]
    first = saved_results(tmp_path)
    resumed = run(tiny(**evaluated), tmp_path, digits)
    chex.assert_trees_all_equal(resumed.state, straight[1].state)
    found = saved_results(tmp_path)
    assert [*found] == ["000000003", "000000004", "000000006", "000000008"]
    assert repr(found["000000003"]) == repr(first["000000003"])  # nan is nan


def test_the_best_checkpoint_by_a_figure_is_kept(digits, tmp_path, evaluated):
    best = {
        "checkpoint.best_metric": "evaluation/precision",
        "checkpoint.best_mode": "max",
        "checkpoint.keep": 1,
    }
    values = iter([0.2, 0.9, 0.5, 0.4])

    def measured(*arguments, **options):
        return {"evaluation/precision": next(values)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "evaluate", measured)
        run(tiny(**(evaluated | best | {"evaluate.every": 100.0})), tmp_path, digits)
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        assert saved.steps() == [4, 8]


@pytest.mark.parametrize("runner", ["pmap", "shard_map"])
def test_runs_on_several_devices_are_evaluated(digits, tmp_path, evaluated, runner):
    config = tiny(steps=2, **evaluated, **{"parallel.runner": runner, "parallel.devices": 2})
    run(config, tmp_path, digits)
    (found,) = saved_results(tmp_path).values()
    assert found.protocol["samples"]["kimg"] == 0.016
    assert all(np.isfinite(figure.value) for figure in found.figures.values())


def test_samples_that_cannot_be_evaluated_end_no_run(
    straight, digits, tmp_path, evaluated, monkeypatch, caplog
):
    def broken(variables, images):
        return extractor().apply(variables, images) * np.nan

    monkeypatch.setattr(evaluator, "choose", lambda *arguments, **options: extractor()._replace(apply=broken))
    monkeypatch.setattr(logging.getLogger("jaxgan"), "propagate", True)
    with caplog.at_level("WARNING", logger="jaxgan.observation"):
        done = run(tiny(**evaluated), tmp_path, digits)
    chex.assert_trees_all_equal(done.state, straight[1].state)
    assert "Samples of step 3 are not evaluated: Features of 50 of 50 images are not finite" in caplog.text
    assert not saved_results(tmp_path)


def test_each_figure_has_a_panel_of_its_own(digits, tmp_path, evaluated, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "curves", lambda lines, path: drawn.append((path.name, lines)))
    run(tiny(steps=2, **evaluated), tmp_path, digits)
    ((name, lines),) = drawn
    assert name == "curves.png" and {"loss/d", "fid", "precision", "intra_fid"} <= lines[-1].keys()


def test_time_for_evaluation_is_not_in_the_pace(monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(observation, "time", SimpleNamespace(monotonic=lambda: now[0]))
    log = SimpleNamespace(write=lambda step, values: written.append(values), advance=lambda *_: None)
    watch = observation.Watch(log)
    for step in (1, 2):
        watch.see(step, {"loss/d": np.zeros(1), "images": np.array([8 * step])}, settle=True)
        now[0] += 2.0
        watch.write(step)
        with watch.paused():
            now[0] += 100.0
    assert (written[1]["seconds"], written[1]["speed/images_per_second"]) == (104.0, 4.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluate.weights": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"evaluate.features": "vgg"}, "No features 'vgg'; expected one of inception-64"),
        ({"evaluate.metrics": ("ppl",), "evaluate.lpips": "nowhere.npz"}, "nowhere.npz"),
        ({"evaluate.metrics": ("ppl",)}, "ppl needs lpips, the file of its weights; leave it out"),
        ({"evaluate.metrics": ("intra_fid",), "model.conditional": False}, "intra_fid needs labels of both"),
        ({"evaluate.reference": 51}, "51 images are asked for, and arrays has 50"),
    ],
)
def test_evaluations_that_cannot_be_are_refused_at_once(
    digits, tmp_path, user_cache, monkeypatch, change, said
):
    monkeypatch.setattr(training.parallel.Runner, "run", lambda *_: pytest.fail("trained"), raising=False)
    with pytest.raises(ConfigError, match=rf"Samples cannot be evaluated \(config.evaluate\): .*{said}"):
        run(tiny(**{"evaluate.every": 0.024} | change), tmp_path / "run", digits)
    assert not (tmp_path / "run").exists()


# The command, in processes of its own


def command(workdir, data_dir, *extra, steps=120):
    flags = {
        "steps": steps,
        "batch_size": 8,
        "data.data_dir": data_dir,
        "model.generator.width": 4,
        "model.discriminator.width": 4,
        "log.every": 1,
        "sample.every": 1000,
        "checkpoint.every": 10,
        "parallel.devices": 0,
    }
    return [
        *(
            sys.executable,
            str(ROOT / "train.py"),
            f"--config={ROOT}/configs/digits.py",
            f"--workdir={workdir}",
        ),
        *(f"--config.{name}={value}" for name, value in flags.items()),
        *extra,
    ]


ENVIRONMENT = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(ROOT)}


def launch(*arguments, **options):
    return subprocess.Popen(
        command(*arguments, **options),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, seconds=120):
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{output}") from None
    return process.returncode, output


def wait_for(workdir, step, *processes, seconds=120):
    """Until the step is in the run's metrics."""
    path, deadline = Path(workdir) / "metrics.jsonl", time.monotonic() + seconds
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if path.exists() and any(line["step"] >= step for line in report.read_metrics(path)):
            return
        time.sleep(0.02)
    for process in processes:
        process.kill()
    raise AssertionError([process.communicate()[0] for process in processes])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    data.open_source("tfds:digits", data_dir=directory)
    return directory


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    code, output = finish(launch(workdir, prepared))
    assert code == 0, output
    assert f"{workdir}: samples.png" in output
    return training.open_run(workdir).state


def test_killed_runs_lose_nothing_before_the_last_save(uninterrupted, prepared, tmp_path):
    for step in (15, 60):
        process = launch(tmp_path, prepared)
        wait_for(tmp_path, step, process)
        process.send_signal(signal.SIGKILL)
        assert finish(process)[0] == -signal.SIGKILL
    code, output = finish(launch(tmp_path, prepared))
    assert code == 0, output
    chex.assert_trees_all_equal(training.open_run(tmp_path).state, uninterrupted)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_and_exit(uninterrupted, prepared, tmp_path, number, expected):
    process = launch(tmp_path, prepared)
    wait_for(tmp_path, 15, process)
    process.send_signal(number)
    code, output = finish(process)
    assert code == expected, output
    assert "state saved" in output
    stopped = int(training.open_run(tmp_path).state.step)
    assert 15 <= stopped < 120
    code, output = finish(launch(tmp_path, prepared))
    assert code == 0, output
    chex.assert_trees_all_equal(training.open_run(tmp_path).state, uninterrupted)


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def launch_two(workdir, prepared, **options):
    port = free_port()
    joined = (f"--coordinator=localhost:{port}", "--processes=2")
    return [launch(workdir, prepared, *joined, f"--process={i}", **options) for i in range(2)]


@pytest.fixture(scope="module")
def uninterrupted_pair(prepared, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted_pair")
    ended = [finish(process) for process in launch_two(workdir, prepared)]
    assert [code for code, _ in ended] == [0, 0], ended
    return training.open_run(workdir).state


def test_two_processes_train_as_one(uninterrupted_pair, uninterrupted, prepared, tmp_path):
    """Adam makes much of rounding, so that only the first updates are compared closely."""
    assert int(uninterrupted_pair.images) == int(uninterrupted.images) == 960
    for name, launched in (("one", [launch(tmp_path / "one", prepared, steps=2)]), ("two", None)):
        for process in launched or launch_two(tmp_path / name, prepared, steps=2):
            assert finish(process)[0] == 0
    one, two = (training.open_run(tmp_path / name).state for name in ("one", "two"))
    chex.assert_trees_all_close(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_processes_stop_together_and_go_on(uninterrupted_pair, prepared, tmp_path, number):
    both = launch_two(tmp_path, prepared)
    wait_for(tmp_path, 15, *both)
    both[1].send_signal(number)  # one hears it, both stop
    ended = [finish(process) for process in both]
    assert [code for code, _ in ended] == [128 + number] * 2, ended
    assert 15 <= int(training.open_run(tmp_path).state.step) < 120
    ended = [finish(process) for process in launch_two(tmp_path, prepared)]
    assert [code for code, _ in ended] == [0, 0], ended
    chex.assert_trees_all_equal(training.open_run(tmp_path).state, uninterrupted_pair)


def test_one_process_may_go_on_where_two_stopped(prepared, tmp_path):
    ended = [finish(process) for process in launch_two(tmp_path, prepared, steps=10)]
    assert [code for code, _ in ended] == [0, 0], ended
    code, output = finish(launch(tmp_path, prepared, steps=20))
    assert code == 0, output
    assert int(training.open_run(tmp_path).state.step) == 20


def test_random_parts_of_larger_images_are_trained_on(tmp_path):
    random = np.random.default_rng(0)
    source = data.from_arrays(random.integers(0, 256, (50, 11, 14, 1), np.uint8), np.arange(50) % 3)
    config = tiny(**{"data.random_crop": (8, 8), "steps": 2})
    done = run(config, tmp_path, source)
    assert done.sampler.draw(labels=[0, 1]).shape == (2, 8, 8, 1)
    opened = training.open_run(tmp_path).sampler.draw(labels=[0, 1])
    np.testing.assert_array_equal(opened, done.sampler.draw(labels=[0, 1]))
    prepare = build.make_task(config, ()).prepare
    keys = jax.random.split(jax.random.key(0), 6)
    batch = {"image": jnp.asarray(source.arrays["image"][[0] * 6]), "label": jnp.zeros(6, jnp.int32)}
    parts = prepare(batch, keys).real
    assert parts.shape == (6, 8, 8, 1) and len(np.unique(parts, axis=0)) > 1  # another each time
    with pytest.raises(ConfigError, match="data.random_crop is 12x8, and arrays has images of 11x14"):
        run(tiny(**{"data.random_crop": (12, 8)}), tmp_path / "other", source)


def test_images_of_16_bits_train_and_are_measured(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (50, 8, 8, 1), np.uint16)
    done = run(tiny(steps=2), tmp_path, data.from_arrays(values, np.arange(50) % 3))
    assert done.sampler.draw(labels=[0]).dtype == np.uint8
    line = report.read_metrics(tmp_path / "metrics.jsonl")[-1]
    assert 0 < line["distance/sliced_wasserstein"] < 2
