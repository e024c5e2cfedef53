"""`train.py` from outside: wrong commands end with exit code 2 and one clear message, and write nothing."""

import importlib.util
import os
import re
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import pytest
from absl import flags

from configs import digits
from jaxgan import alternation, build, data, steps, training

ROOT = Path(__file__).parents[1]
CONFIG = "--config=configs/digits.py"

# ml_collections loads a config file so.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


class Outcome:
    """What a command left behind."""

    def __init__(self, code, output, errors):
        self.code, self.output, self.errors = code, output, errors


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs train.py in this process, with flags of its own: (*arguments) -> Outcome."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # an earlier config file
    known, parsed = set(flags.FLAGS), flags.FLAGS.is_parsed()
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    own = set(flags.FLAGS) - known

    def run(*arguments):
        argv = ["train.py", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", argv)  # where ml_collections looks for fields
        capfd.readouterr()
        code = train.main(argv)
        return Outcome(code, *capfd.readouterr())

    yield run
    for name in list(flags.FLAGS):
        if name in own or name.startswith("config."):
            delattr(flags.FLAGS, name)
    if not parsed:
        flags.FLAGS.unparse_flags()


@pytest.fixture
def no_devices(monkeypatch):
    """Fails where a device is asked for."""

    def refuse(*arguments, **options):
        pytest.fail("a device was touched")

    for name in ("devices", "device_count", "local_devices", "process_count", "process_index", "device_put"):
        monkeypatch.setattr(jax, name, refuse)


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    """Where digits are prepared, once."""
    directory = tmp_path_factory.mktemp("digits")
    data.open_source("tfds:digits", split="train", data_dir=directory)
    return directory


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


# Refused before a device is touched

FIELDS = [
    ("steps=-5", "steps is -5, expected an integer, at least 1"),
    ("steps=many", "flag --config.steps=many: invalid literal for int.*'many'"),
    ("steps=1.5", "flag --config.steps=1.5: invalid literal for int"),
    ("steps=", "flag --config.steps=: invalid literal for int"),
    ("steps", "Missing value for flag --config.steps"),
    ("steps.x=1", r"steps.x is no field; did you mean steps\?"),
    ("data.flip=maybe", "flag --config.data.flip=maybe: .*Non-boolean"),
    ("optimizer.generator.learning_rate=-1e-4", "generator.learning_rate is -0.0001, expected .* above 0.0"),
    ("optimizer.generator.learning_rate=fast", "learning_rate=fast: could not convert string to float"),
    ("optimizer.generator.lr=1e-4", "generator.lr is no field; optimizer.generator has name, learning_rate"),
    ("learning_rate=1e-4", "learning_rate is no field; did you mean optimizer.generator.learning_rate or"),
    ("model.latent=64", r"model.latent is no field; did you mean model.latent_size\?"),
    ("gamma=10", "gamma is no field; configs/base.py lists them all"),
    ("model=5", "flag --config.model=5: .* is not a dict"),
    ("model={'family':'mlp'}", "model.latent_size is missing; start from configs/base.py"),
    ("loss=gan", "loss is 'gan', expected one of 'minimax', 'non_saturating'"),
    ("penalties.r1=nan", "penalties.r1 is nan, expected a finite number from 0.0"),
    ("ema.half_life=inf", "ema.half_life is inf, expected a finite number"),
    ("seed=99999999999", "seed is 99999999999, expected an integer"),
    ("alternation.phases[0]=generator", r"phases\[0\] is no field; did you mean alternation.phases\?"),
    ("sample.labels=(1,2", r"flag --config.sample.labels=\(1,2: Error while parsing"),
    ("sample.labels=(3,12)", "sample.labels has .12., but tfds:digits/1.0.0:train has labels 0 to 9"),
    ("checkpoint.best_metric=fid", "checkpoint.best_metric is 'fid', expected one of '', 'distance"),
    ("parallel.steps_per_call=7", "steps is 5000, not a multiple of parallel.steps_per_call, 7"),
    ("parallel.devices=3", "batch_size is 64, not a multiple of parallel.devices, 3; try 63"),
    (
        "model.discriminator.norm=batch",
        "penalties.r1, r2 needs .* set the norm to 'none' or the penalty to 0",
    ),
    ("schedules=(('loss','linear',1,0,0,9),)", "schedules has 'loss'; what can move is optimizer.generator"),
    (
        "schedules=(('top_k','linear',1,0.5),)",
        "schedules is .*, expected a tuple of .field, kind",
    ),
    ("augment.policy=bgx", "augment.policy is 'bgx', expected letters of bgcfnoCTO or one of ada"),
    ("augment.p=1.5", "augment.p is 1.5, expected a number from 0.0 to 1.0"),
    ("augment.control=adaptive", "augment.control is 'adaptive' and augment.policy empty"),
    ("smoothing.real=0.9", "smoothing is for loss='non_saturating', and loss is 'relativistic'"),
    ("lazy.r1=0", "lazy.r1 is 0, expected an integer, at least 1"),
    ("accumulate=5", "batch_size is 64, not a multiple of accumulate x parallel.devices, 5"),
    ("model.smallest=8", "digits.* images of 8x8, which dcgan cannot make .* or lower model.smallest"),
    ("data.source=digits", "data.source is 'digits', expected 'tfds:NAME', 'folder:PATH', 'arrays"),
    ("data.source=tfds:", "data.source is 'tfds:', expected 'tfds:NAME', 'folder:PATH', 'arrays"),
    ("data.source=tfds:digitz", "tfds:digitz is not known: .* Did you mean digits"),
    ("data.source=tfds:mnist", "tfds:mnist is not prepared: it was looked for in .*Prepare it once"),
    ("data.split=valid", "the split 'valid' cannot be read: .* has the splits {'train': 1497, 'test': 300}"),
    ("data.split=train[:200%]", "the split 'train.:200%.' cannot be read"),
]


@pytest.mark.parametrize(("field", "message"), FIELDS)
def test_a_wrong_field_ends_with_code_2(command, no_devices, digits_dir, tmp_path, field, message):
    place, run = f"--config.data.data_dir={digits_dir}", tmp_path / "run"
    outcome = command(CONFIG, f"--workdir={run}", place, f"--config.{field}")
    assert outcome.code == 2
    assert re.search(message, outcome.errors, re.DOTALL), outcome.errors
    assert "Traceback" not in outcome.errors and outcome.output == ""
    assert files(tmp_path) == []


FLAGS = [
    ([], "--config=configs/NAME.py and --workdir=DIRECTORY are needed; see --help"),
    ([CONFIG], "--workdir=DIRECTORY are needed"),
    ([CONFIG, "--workdir="], "--workdir=DIRECTORY are needed"),
    (["--workdir={run}"], "--config=configs/NAME.py and"),
    ([CONFIG, "--workdri={run}"], "Unknown command line flag 'workdri'. Did you mean: workdir"),
    ([CONFIG, "--workdir={run}", "more", "--dry_run"], "more: no flag; write --name=value"),
    ([CONFIG, "--workdir={run}", "--dry_run=perhaps"], "flag --dry_run=perhaps: .*Non-boolean"),
    (
        ["--config.steps=5", CONFIG, "--workdir={run}"],
        "Found --config.steps=5 .* before a value for --config",
    ),
    (["--config.steps=5", "--workdir={run}"], "--config=configs/NAME.py is needed, before its fields"),
    (["--config.gamma=5", CONFIG, "--workdir={run}"], "gamma is no field"),
    (["--config=", "--workdir={run}"], "Path to config file is an empty string"),
    (["--config=nope.py", "--workdir={run}"], "^--config=nope.py: there is no such file; expected"),
    (["--config", "nope.py", "--workdir={run}"], "^--config=nope.py: there is no such file; expected"),
    (["--config=nope.py", "--workdir={run}", "--config.steps=5"], "^--config=nope.py: there is no such"),
    (["--config=configs", "--workdir={run}"], "^--config=configs: there is no such file; expected"),
    ([f"{CONFIG}:small", "--workdir={run}"], "configs/digits.py: TypeError: get_config.. takes 0 positional"),
    ([CONFIG, "--workdir=gs://bucket/run"], "--workdir=gs://bucket/run cannot be used: .* give a path"),
    ([CONFIG, "--workdir={file}"], "--workdir=.*/file cannot be used: .*/file is no directory"),
    ([CONFIG, "--workdir={file}/run"], "--workdir=.*/file/run cannot be used: .*/file is no directory"),
    ([CONFIG, "--workdir={file}/run", "--dry_run"], "--workdir=.*/file/run cannot be used"),
    ([CONFIG, "--workdir={run}", "--processes=0"], "flag --processes=0: 0 is not a positive integer"),
    ([CONFIG, "--workdir={run}", "--processes=2"], "Processes are given as --coordinator=HOST:PORT"),
    ([CONFIG, "--workdir={run}", "--process=0"], "Processes are given as --coordinator=HOST:PORT"),
    ([CONFIG, "--workdir={run}", "--coordinator=host:1"], "Processes are given as --coordinator=HOST:PORT"),
    ([CONFIG, "--workdir={run}", "--coordinator=auto", "--process=0"], "or as --coordinator=auto alone"),
    (
        [CONFIG, "--workdir={run}", "--coordinator=host", "--processes=2", "--process=0"],
        "Processes are given as --coordinator=HOST:PORT",
    ),
    (
        [CONFIG, "--workdir={run}", "--coordinator=host:1", "--processes=2", "--process=2"],
        "with an index from 0 to N - 1",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), FLAGS)
def test_wrong_flags_end_with_code_2(command, no_devices, tmp_path, arguments, message):
    (tmp_path / "file").write_text("kept")
    places = {"run": tmp_path / "run", "file": tmp_path / "file"}
    outcome = command(*(argument.format(**places) for argument in arguments))
    assert outcome.code == 2
    assert re.search(message, outcome.errors), outcome.errors
    assert outcome.errors.count("\n") == 1 and outcome.output == ""
    assert files(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "kept"


HEAD = "from configs import base\n\ndef get_config():\n    config = base.get_config()\n"
FILES = [
    ("def get_config(:\n", r"bad.py: SyntaxError: .*line 1"),
    ("import nopackage\n", "bad.py, line 1: ModuleNotFoundError: No module named 'nopackage'"),
    ("x = 1\n", "bad.py: AttributeError: .* no attribute 'get_config'"),
    ("def get_config():\n    return none\n", "bad.py, line 2: NameError: name 'none' is not defined"),
    ("def get_config():\n    return int('a')\n", "bad.py, line 2: ValueError: invalid literal for int"),
    ("def get_config():\n    open('/nowhere/x')\n", "bad.py, line 2: FileNotFoundError: .*'/nowhere/x'"),
    ("def get_config():\n    return None\n", r"bad.py: TypeError: get_config\(\) returned no ConfigDict"),
    ("def get_config():\n    return {'steps': 5}\n", r"get_config\(\) returned no ConfigDict"),
    (HEAD, r"bad.py: TypeError: get_config\(\) returned no ConfigDict"),
    (HEAD + "    config.steps = 'many'\n", "bad.py, line 5: TypeError: .*'steps'.*many"),
    (HEAD + "    config.modle.width = 3\n", "bad.py, line 5: AttributeError: .*modle"),
    (
        HEAD + "    config.model.width = 3\n    return config\n",
        "model.width is no field; did you mean model.gen",
    ),
]


@pytest.mark.parametrize(("text", "message"), FILES)
@pytest.mark.parametrize("more", [[], ["--config.seed=3"]], ids=["alone", "with a field"])
def test_a_config_file_with_an_error_is_named(command, no_devices, tmp_path, text, message, more):
    file = tmp_path / "bad.py"
    file.write_text(text)
    outcome = command(f"--config={file}", f"--workdir={tmp_path / 'run'}", *more)
    assert outcome.code == 2 and outcome.output == ""
    returns_another = more and "no ConfigDict" in message  # said in other words where a field was set
    message = "bad.py: get_config.. returned no config with seed; start from" if returns_another else message
    assert re.search(message, outcome.errors, re.DOTALL), outcome.errors
    assert "Traceback" not in outcome.errors
    assert not (tmp_path / "run").exists()


# Refused by the machine


@pytest.mark.parametrize("dry", [[], ["--dry_run"]], ids=["train", "dry run"])
@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "batch_size=66",
            "batch_size is 66, not a multiple of the 4 devices; try 64, or set parallel.devices",
        ),
        ("parallel.devices=8", "parallel.devices is 8, but there are 4; use 0 for all of them"),
    ],
)
def test_what_the_devices_cannot_do_ends_with_code_2(command, digits_dir, tmp_path, field, message, dry):
    place = f"--config.data.data_dir={digits_dir}"
    outcome = command(CONFIG, f"--workdir={tmp_path / 'run'}", place, f"--config.{field}", *dry)
    assert outcome.code == 2 and outcome.output == ""
    assert re.search(message, outcome.errors), outcome.errors
    assert files(tmp_path) == []


def test_auto_without_a_cluster_ends_with_code_2(command, monkeypatch, tmp_path):
    def initialize(*arguments, **options):
        assert arguments == (None, None, None) and options["heartbeat_timeout_seconds"]
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    outcome = command(CONFIG, f"--workdir={tmp_path / 'run'}", "--coordinator=auto")
    assert outcome.code == 2
    assert "--coordinator=auto: the processes of the run were not joined (coordinator_addr" in outcome.errors


# In a process of its own, from a cold start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.optimizer.generator.learning_rate=-1"], "learning_rate is -1.0, expected a number above"),
        (["--config.model.latent=3"], "model.latent is no field; did you mean model.latent_size"),
        (["--config.data.source=tfds:digitz"], "tfds:digitz is not known"),
        (["--config.model.smallest=8"], "dcgan cannot make"),
        (["--config.sample.labels=(10,)"], "labels 0 to 9"),
        (["--config=nope.py"], "there is no such file"),
    ],
)
def test_a_refusal_takes_less_than_5_seconds_and_no_backend(digits_dir, tmp_path, arguments, message):
    """Where a backend was started, JAX would complain that there is no such platform.

    The seconds are the process's own, which do not depend on what else a machine does.
    """
    run = tmp_path / "run"
    argv = [sys.executable, "train.py", CONFIG, f"--workdir={run}", f"--config.data.data_dir={digits_dir}"]
    start = _seconds_of_children()
    done = subprocess.run(
        argv + arguments,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = _seconds_of_children() - start
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "nonexistent" not in done.stderr and done.stdout == ""
    assert seconds < 5
    assert not run.exists()


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_lists_the_flags():
    done = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1)  # absl ends with 1
    for name in ("--config", "--workdir", "--[no]dry_run", "--[no]accept_changes", "--coordinator"):
        assert name in done.stdout
    assert "Traceback" not in done.stderr


# --dry_run


def test_a_dry_run_says_everything_and_trains_nothing(command, monkeypatch, digits_dir, tmp_path):
    monkeypatch.setattr(training, "train", lambda *args, **options: pytest.fail("it trained"))
    overrides = {"model.generator.width": 4, "model.discriminator.width": 6, "parallel.steps_per_call": 2}
    overrides |= {"penalties.r1": 0.0, "penalties.r2": 0.0, "model.smallest": 4}  # compiles faster
    before = files(digits_dir), sorted(os.listdir(ROOT))
    outcome = command(
        CONFIG,
        f"--workdir={tmp_path / 'run'}",
        "--dry_run",
        f"--config.data.data_dir={digits_dir}",
        *(f"--config.{name}={value}" for name, value in overrides.items()),
    )
    assert outcome.code == 0, outcome.errors
    lines = outcome.output.splitlines()
    titles = [line for line in lines if not line.startswith(" ")]
    assert titles == [
        "Config:",
        "Data:",
        "Networks:",
        "Devices:",
        "One call of the training step, compiled:",
    ]
    # The resolved config.
    config = digits.get_config()
    config.update_from_flattened_dict(overrides)
    for line in ("model.generator.width = 4", "model.latent_size = 64", f"data.data_dir = '{digits_dir}'"):
        assert f"  {line}" in lines
    # The data.
    size = "  tfds:digits/1.0.0:train: 1,497 images of 8x8x1, 10 classes; 23.4 batches an epoch"
    assert size in lines
    # The networks, counted anew.
    game = build.make_game(config, {"image": (8, 8, 1)}, 10)
    batch = training.example_batch({"image": (8, 8, 1)}, ("0",) * 10)
    state = jax.eval_shape(partial(steps.init_state, game, batch), jax.random.key(0))
    for name in alternation.PLAYERS:
        count = sum(leaf.size for leaf in jax.tree.leaves(getattr(state, name).params))
        (row,) = [line for line in lines if line.startswith(f"  {name}: ")]
        found = re.fullmatch(rf"  {name}: {count:,} parameters, (\S+) FLOPs an image forward", row)
        assert found, row
        assert float(found[1]) > 2 * count / 100
    # The devices, and what a call costs.
    assert [line for line in lines if "cpu" in line and "(cpu)" in line] == [
        f"  cpu:{i} (cpu)" for i in range(4)
    ]
    assert re.fullmatch(r"  2 step\(s\), [\d.e+]+ FLOPs on each device", lines[-2])
    memory = re.fullmatch(
        r"  memory on each device: ([\d.,]+) MiB \(arguments ([\d.]+), results that replace no argument "
        r"([\d.]+), between ([\d.]+)\)",
        lines[-1],
    )
    assert memory and float(memory[1]) > 0
    assert (files(digits_dir), sorted(os.listdir(ROOT))) == before and files(tmp_path) == []


@pytest.mark.parametrize("runner", ["shard_map", "pmap"])
def test_a_dry_run_compiles_every_runner(command, digits_dir, runner):
    fields = {"data.data_dir": digits_dir, "parallel.runner": runner, "parallel.devices": 2, "batch_size": 4}
    fields |= {"model.family": "mlp", "model.generator.width": 4, "model.discriminator.width": 4}
    fields |= {"penalties.r1": 0, "penalties.r2": 0}
    outcome = command(CONFIG, "--dry_run", *(f"--config.{name}={value}" for name, value in fields.items()))
    assert outcome.code == 0, outcome.errors
    assert "1 step(s)" in outcome.output
