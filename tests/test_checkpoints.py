"""Checkpoints: what is saved comes back, damage is noticed, and nothing is lost in silence."""

import json
import logging
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import time

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checkpoint_worker import filled, flip_bit
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgan.checkpoints import CheckpointError, Checkpoints

WORKER = pathlib.Path(__file__).with_name("checkpoint_worker.py")


@flax.struct.dataclass
class State:
    params: dict
    optimizer: optax.OptState
    ema: dict
    pool: jax.Array
    step: jax.Array


def make_state(seed=0):
    params = {
        "dense": {
            "kernel": jax.random.normal(jax.random.key(seed), (30, 40)),
            "bias": jnp.zeros(40),
        },
        "half": jnp.full((3, 5), seed + 0.5, jnp.bfloat16),
    }
    ema = jax.tree.map(lambda x: x + 1, params)
    optimizer = optax.adam(1e-3).init(params)
    return State(params, optimizer, ema, jnp.zeros((0, 4)), jnp.int32(seed))


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def save_steps(directory, *steps, **options):
    with Checkpoints(directory, **options) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), record={"step": step})


def run_worker(*args, **options):
    root = str(WORKER.parent.parent)
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
    return subprocess.Popen([sys.executable, str(WORKER), *map(str, args)], env=environment, **options)


# What is saved comes back


@pytest.mark.parametrize("target", [make_state(9), jax.eval_shape(lambda: make_state(9))])
def test_state_and_record_come_back(tmp_path, target):
    state = make_state(1)
    with Checkpoints(tmp_path / "new" / "run") as checkpoints:
        checkpoints.save(1, state, record={"lr": 0.1, "size": (3, 4), "nested": {"a": None}})
        restored = checkpoints.restore(target)
    assert restored.step == 1
    assert restored.record == {"lr": 0.1, "size": [3, 4], "nested": {"a": None}}
    assert isinstance(restored.state, State)
    assert_same(restored.state, state)


def test_numpy_target_gives_numpy(tmp_path):
    save_steps(tmp_path, 1)
    restored = Checkpoints(tmp_path).restore(jax.tree.map(np.asarray, make_state()))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(restored.state))
    assert_same(restored.state, make_state(1))


def test_relative_directory_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints("run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with checkpoints:
        checkpoints.save(1, make_state(), record={})
    assert (tmp_path / "run" / "1").is_dir()


def test_nothing_saved_gives_none_and_creates_nothing(tmp_path):
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert checkpoints.restore(make_state()) is None
        assert checkpoints.record() is None
        assert checkpoints.steps() == []
    assert not (tmp_path / "run").exists()


def test_record_needs_no_target(tmp_path):
    record = {"step": 1}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), record=record)
        record["step"] = 99  # too late to change what was saved
        assert checkpoints.record() == {"step": 1}


def test_donated_buffers_do_not_reach_the_checkpoint(tmp_path):
    @jax.jit
    def grow(state):
        return jax.tree.map(lambda x: x + 1, state)

    train = jax.jit(grow, donate_argnums=0)
    state = {"w": jnp.zeros((500, 500)), "step": jnp.int32(0)}
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        for step in range(1, 6):
            state = train(state)
            checkpoints.save(step, state, record={})
            for _ in range(3):
                old, state = state, train(state)
                assert old["w"].is_deleted()  # the save holds on to no buffer of the state
        saved = [checkpoints.restore(state, step=step).state for step in range(1, 6)]
    for step, tree in enumerate(saved):
        assert set(np.unique(tree["w"])) == {float(tree["step"])} == {4.0 * step + 1}


def test_restored_buffers_may_be_donated(tmp_path):
    save_steps(tmp_path, 1)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    whole = NamedSharding(mesh, PartitionSpec())
    target = jax.device_put(make_state(), whole)
    state = Checkpoints(tmp_path).restore(target).state
    train = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = train(train(state))
    expected = jax.tree.map(lambda x: x + 1, jax.tree.map(lambda x: x + 1, make_state(1)))
    for device in range(4):
        assert_same(jax.tree.map(lambda x: x.addressable_data(device), state), expected)  # noqa: B023


def test_saves_in_quick_succession_are_all_made(tmp_path):
    steps = list(range(1, 9))
    save_steps(tmp_path, *steps, keep=10)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == steps
        assert [int(checkpoints.restore(make_state(), step=s).state.step) for s in steps] == steps


def test_wait_returns_when_the_step_is_on_disk(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), record={}, wait=True)
        assert (tmp_path / "1" / "manifest" / "manifest.json").exists()


# Devices


def test_other_device_counts(tmp_path):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    whole, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    state = {"w": jnp.arange(32.0).reshape(8, 4), "step": jnp.int32(3)}
    on_four = {"w": jax.device_put(state["w"], split), "step": jax.device_put(state["step"], whole)}
    for name, saved, target in (("up", state, on_four), ("down", on_four, state)):
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(1, saved, record={})
            restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, target)).state
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), target
            )
            for tree in (restored, checkpoints.restore(abstract).state):
                assert_same(tree, state)
                assert jax.tree.map(lambda x: x.sharding, tree) == jax.tree.map(lambda x: x.sharding, target)
            assert restored["w"].committed == target["w"].committed


# Retention


def test_newest_are_kept(tmp_path):
    save_steps(tmp_path, 1, 2, 3, keep=2)
    save_steps(tmp_path, 14, keep=2)
    assert Checkpoints(tmp_path).steps() == [3, 14]


@pytest.mark.parametrize(("mode", "kept"), [("min", [2, 6, 7]), ("max", [3, 6, 7])])
def test_best_is_kept_over_a_restart_with_gaps_and_nan(tmp_path, mode, kept):
    values = {1: 5.0, 2: 1.0, 3: 9.0, 4: None, 5: float("nan"), 6: None, 7: 4.0}
    for steps in ((1, 2, 3, 4), (5, 6, 7)):
        with Checkpoints(tmp_path, keep=2, best_metric="fid", best_mode=mode) as checkpoints:
            for step in steps:
                metrics = None if values[step] is None else {"fid": values[step], "other": 0.0}
                checkpoints.save(step, make_state(), record={}, metrics=metrics)
                assert step in checkpoints.steps()
    assert checkpoints.steps() == kept


# Steps only grow


def test_a_step_is_saved_once(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(), record={})
        for step in (5, 4):
            with pytest.raises(CheckpointError, match=f"step {step} is not beyond step 5"):
                checkpoints.save(step, make_state(), record={})
    with pytest.raises(CheckpointError, match="give a new run its own directory"):
        Checkpoints(tmp_path).save(1, make_state(), record={})


def test_resuming_from_an_older_step_sets_the_later_ones_aside(tmp_path):
    save_steps(tmp_path, 1, 2, 3)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.restore(make_state(), step=1)
        assert checkpoints.steps() == [1, 2, 3]  # to read changes nothing
        checkpoints.save(2, make_state(7), record={})
        checkpoints.save(3, make_state(8), record={})
        assert checkpoints.steps() == [3]
    assert {path.name for path in tmp_path.iterdir()} == {"3", "2.abandoned", "3.abandoned"}
    again = Checkpoints(tmp_path)
    again.restore(make_state(), step=3)
    (tmp_path / "3").rename(tmp_path / "4")  # a copy under another number
    with pytest.raises(CheckpointError, match="not of this step"):
        again.restore(make_state())


# Damage


# orbax's event loop may be closed before the last of several failed reads or writes reports to it.
late_reports = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def largest(path):
    return max(path.rglob("d/*"), key=lambda file: file.stat().st_size)


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGE = {
    "bit": lambda step: flip_bit(step.parent, int(step.name)),
    "truncated": lambda step: os.truncate(largest(step), 100),
    "empty": lambda step: os.truncate(largest(step), 0),
    "value file missing": lambda step: largest(step).unlink(),
    "values missing": lambda step: (step / "state").rename(step / "gone"),
    "tree missing": lambda step: (step / "state" / "_METADATA").unlink(),
    "tree garbled": lambda step: (step / "state" / "_METADATA").write_text("{"),
    "index garbled": lambda step: (step / "state" / "manifest.ocdbt").write_bytes(b"x" * 50),
    "manifest missing": lambda step: (step / "manifest" / "manifest.json").unlink(),
    "manifest empty": lambda step: os.truncate(step / "manifest" / "manifest.json", 0),
    "manifest binary": lambda step: (step / "manifest" / "manifest.json").write_bytes(b"\xff\x00"),
    "manifest a list": lambda step: (step / "manifest" / "manifest.json").write_text("[]"),
    "record changed": lambda step: rewrite(step / "manifest" / "manifest.json", '"lr": 1', '"lr": 2'),
    "hollow": lambda step: [(step / n).rename(step.parent / f"9.{n}") for n in ("state", "manifest")],
}


@late_reports
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_and_survived(tmp_path, damage, caplog):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), record={"step": step, "lr": 1})
    DAMAGE[damage](tmp_path / "2")
    with Checkpoints(tmp_path, keep=2) as checkpoints, caplog.at_level(logging.WARNING, "jaxgan"):
        restored = checkpoints.restore(make_state())
        assert restored.step == 1
        assert restored.record == {"step": 1, "lr": 1}
        assert_same(restored.state, make_state(1))
        assert "step 2: " in caplog.text
        assert (tmp_path / "2").exists()
        checkpoints.save(2, make_state(22), record={"step": 2})
        assert_same(checkpoints.restore(make_state()).state, make_state(22))
        assert checkpoints.steps() == [1, 2]
    assert (tmp_path / "2.corrupt").is_dir()


@pytest.mark.parametrize("text", [None, "", "{"])
def test_orbax_own_note_on_a_step_is_not_needed(tmp_path, text):
    save_steps(tmp_path, 1, 2)
    for step in (1, 2):
        note = tmp_path / str(step) / "_CHECKPOINT_METADATA"
        note.unlink() if text is None else note.write_text(text)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert_same(checkpoints.restore(make_state()).state, make_state(2))
        checkpoints.save(3, make_state(3), record={})
        assert checkpoints.steps() == [2, 3]


def test_a_flipped_bit_is_named(tmp_path, caplog):
    save_steps(tmp_path, 1, 2)
    flip_bit(tmp_path, 2)
    assert Checkpoints(tmp_path).restore(make_state()).step == 1
    assert "leaf" in caplog.text
    assert "its SHA-256 differs" in caplog.text


def test_a_damaged_newest_step_does_not_push_sound_ones_out(tmp_path):
    save_steps(tmp_path, 1, 30)
    flip_bit(tmp_path, 30)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.restore(make_state()).step == 1
        checkpoints.save(20, make_state(20), record={})
        assert checkpoints.restore(make_state()).step == 20
    assert {path.name for path in tmp_path.iterdir()} == {"20", "30.corrupt"}


def test_two_damaged_copies_of_a_step_are_both_kept(tmp_path):
    save_steps(tmp_path, 1, 2)
    for _ in range(2):
        flip_bit(tmp_path, 2)
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.restore(make_state()).step == 1
            checkpoints.save(2, make_state(2), record={})
    assert len(list(tmp_path.glob("2.corrupt*"))) == 2


def test_no_sound_step(tmp_path):
    save_steps(tmp_path, 1, 2)
    flip_bit(tmp_path, 2)
    DAMAGE["manifest missing"](tmp_path / "1")
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(CheckpointError, match=r"no sound checkpoint.*step 2: .*step 1: .*missing"):
            checkpoints.restore(make_state())
        with pytest.raises(CheckpointError, match=r"no sound checkpoint.*step 2: "):
            checkpoints.restore(make_state(), step=2)
        with pytest.raises(CheckpointError, match=r"step 7 is not in .*\[1, 2\]"):
            checkpoints.restore(make_state(), step=7)
        assert checkpoints.record() == {"step": 2}  # its manifest is sound
        DAMAGE["manifest missing"](tmp_path / "2")
        with pytest.raises(CheckpointError, match="no sound checkpoint"):
            checkpoints.record()
    assert checkpoints.steps() == [1, 2]


# Mistakes


def test_another_state_is_not_damage(tmp_path):
    save_steps(tmp_path, 1, 2)
    state = make_state()
    bias = jnp.zeros(41, jnp.bfloat16)
    params = {"dense": {"kernel": state.params["dense"]["kernel"], "bias": bias}, "added": bias}
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(tmp_path).restore(state.replace(params=params))
    message = str(caught.value)
    assert f"{tmp_path}/2 is of another state" in message
    assert ".params['dense']['bias'] is bfloat16[41] in the target, float32[40] on disk" in message
    assert ".params['added'] is bfloat16[41] in the target, absent on disk" in message
    assert ".params['half'] is absent in the target, bfloat16[3, 5] on disk" in message
    assert "(3 leaves differ)" in message


@pytest.mark.parametrize(
    ("state", "record", "message"),
    [
        ({"a": 3}, {}, r"leaf \['a'\] is a int: expected an array"),
        ({"a": jax.random.key(0)}, {}, r"leaf \['a'\] is a typed PRNG key"),
        ({"a": np.ones(3)}, {"x": jnp.ones(3)}, "record of step 1 is not JSON"),
    ],
)
def test_what_cannot_be_saved(tmp_path, state, record, message):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match=message):
        checkpoints.save(1, state, record=record)
    assert checkpoints.steps() == []


def test_not_a_directory_of_checkpoints(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    checkpoints = Checkpoints(tmp_path)
    for call in (
        lambda: checkpoints.restore({}),
        lambda: checkpoints.save(1, make_state(), record={}),
    ):
        with pytest.raises(CheckpointError, match=r"\['photo.png'\] and no checkpoint"):
            call()
    with pytest.raises(CheckpointError, match="is a file"):
        Checkpoints(tmp_path / "photo.png").record()
    with pytest.raises(CheckpointError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(CheckpointError, match="best_mode='low'"):
        Checkpoints(tmp_path, best_mode="low")


def test_a_checkpoint_of_someone_else(tmp_path):
    from orbax.checkpoint import v1 as ocp

    ocp.save(tmp_path / "3", {"a": np.ones(3)})
    with pytest.raises(CheckpointError, match="no sound checkpoint"):
        Checkpoints(tmp_path).restore({"a": np.ones(3)})


# The world


@late_reports
@pytest.mark.parametrize("call", ["save", "wait", "close", "steps", "restore"])
def test_a_save_that_fails_in_the_background_is_reported(tmp_path, call):
    checkpoints = Checkpoints(tmp_path)
    big = {"w": jax.random.normal(jax.random.key(0), (300, 200)), "step": jnp.int32(1)}
    checkpoints.save(1, big, record={}, wait=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file may grow beyond
    try:
        checkpoints.save(2, big, record={})
        time.sleep(0.2)
        arguments = {"save": (3, big), "restore": (big,)}.get(call, ())
        with pytest.raises(ValueError, match="File too large"):
            getattr(checkpoints, call)(*arguments, **({"record": {}} if call == "save" else {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoints.steps() == [1]  # reported once
    checkpoints.save(2, big, record={})
    checkpoints.close()
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_leaving_the_block_reports_a_failed_save(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxgan.manifests.Manifest._text", full)
    with pytest.raises(OSError, match="No space left"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), record={})
    assert checkpoints.steps() == []


@late_reports
def test_a_failed_save_does_not_set_its_own_run_aside(tmp_path, monkeypatch):
    save_steps(tmp_path, 1)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.restore(make_state())
        checkpoints.save(2, make_state(), record={}, wait=True)
        with monkeypatch.context() as patch, pytest.raises(TypeError):
            patch.setattr("jaxgan.manifests.Manifest._text", None)
            checkpoints.save(3, make_state(), record={}, wait=True)
        time.sleep(0.5)  # its values are still being written when its manifest has failed
        checkpoints.save(3, make_state(), record={})
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "3"}


def test_a_killed_run_resumes_from_a_whole_step(tmp_path):
    newest = 0
    rng = random.Random(0)
    for _ in range(4):
        with run_worker("endless", tmp_path, stderr=subprocess.DEVNULL) as process:
            begun = [int(process.stdout.readline())]
            time.sleep(rng.uniform(0.3, 0.8))
            process.send_signal(signal.SIGKILL)
            begun += map(int, process.stdout.read().split())
        restored = Checkpoints(tmp_path).restore(filled(0))
        step = restored.step if restored else 0
        assert newest <= step
        assert begun[-1] - 1 <= step <= begun[-1] + 1  # a save begins when the one before is on disk
        if restored:
            assert restored.record == {"step": step}
            assert_same(restored.state, filled(step))
        newest = step
    assert newest > 4


def test_two_processes(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with run_worker("pair", tmp_path, port, 0) as one, run_worker("pair", tmp_path, port, 1) as two:
        try:
            outputs = [process.communicate(timeout=40)[0] for process in (one, two)]
        finally:
            one.kill()
            two.kill()
    assert all("agreed\n" in output for output in outputs), "\n".join(outputs)
    assert {path.name for path in tmp_path.iterdir()} == {"3", "4", "4.corrupt"}
    manifest = json.loads((tmp_path / "4" / "manifest" / "manifest.json").read_text())
    assert manifest["record"] == {"step": 4}


def test_quiet_even_where_absl_shows_information(tmp_path):
    with run_worker("loud", tmp_path) as process:
        output = process.communicate(timeout=40)[0]
    assert process.returncode == 0, output
    assert "orbax" not in output
    assert "checkpoint" not in output
