"""The training loop: batch, step, log, sample, save; and the run that it leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import alternation, build, data, galleries, parallel, records, report, steps
from jaxgan import config as configs
from jaxgan.applications import check_weights, make_task
from jaxgan.checkpoints import Checkpoints, Restored
from jaxgan.config import Config
from jaxgan.evaluation.evaluator import Evaluator
from jaxgan.interrupts import Interrupts
from jaxgan.models.families import FAMILIES
from jaxgan.observation import Album, Watch, about, evaluate
from jaxgan.rules import FIGURE_NAMES, ROWS
from jaxgan.sampling import Sampler, make_sampler
from jaxgan.state import GANState
from jaxgan.translating import Translator, make_translator


class Setup(NamedTuple):
    """All that a run is made of and that does not change while it trains.

    Attributes:
      source: the images.
      game: the static half of the training step.
      runner: the compiled step.
      pretraining: that of the run's first phase, or None.
      stream: the batches.
      key: the run's PRNG key, on every device.
      init: () -> the state before the first step.
      sampler: a state -> images of its averaged generator, made on this process's first device.
      gallery: how they are looked at.
      evaluator: measures them, or None.
    """

    source: data.Source
    game: steps.Game
    runner: parallel.Runner
    pretraining: parallel.Runner | None
    stream: data.Stream
    key: jax.Array
    init: Callable[[], GANState]
    sampler: Callable[[GANState], Any]
    gallery: galleries.Gallery
    evaluator: Evaluator | None


class Run(NamedTuple):
    """A run, trained or opened from its directory.

    Attributes:
      config: under which it was trained.
      state: NumPy arrays.
      sampler: of the averaged generator: a Sampler draws images, of a task that is given images a Translator
        makes them of those.
      game: networks, task and objective.
      record: what was saved beside the state: `records.make_record`.
      interrupted: the signal that ended training early, 0 if none did.
    """

    config: Config
    state: GANState
    sampler: Any
    game: steps.Game
    record: dict[str, Any]
    interrupted: int = 0


def set_up(config: Config, source: data.Source | None = None) -> Setup:
    """Checks a config against its data and the devices, and builds the run's parts.

    Nothing of the networks is compiled yet.

    Raises:
      ConfigError, DataError: what has to be changed.
      BackendError: there are no devices.
    """
    configs.check(config)
    check_weights(config)
    if source is None:
        source = build.open_source(config, progress=True)
    source = build.complete(config, source)
    configs.check_source(config, source)
    devices = parallel.devices()
    configs.check_devices(config, len(devices), jax.process_count())
    axis_name = parallel.axis_name(config.parallel.runner)
    game = build.make_game(config, source.shapes_of_all, len(source.classes), axis_name=axis_name)
    stream = data.make_stream(
        source,
        seed=config.seed,
        batch_size=config.batch_size,
        updates=alternation.batches_per_step(build.make_alternation(config)),
        steps_per_call=config.parallel.steps_per_call,
        placement=config.data.placement,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    run_on = partial(
        parallel.make_runner,
        runner=config.parallel.runner,
        devices=devices[: config.parallel.devices or None],
        load=stream.load,
    )
    runner = run_on(build.make_train_step(config, game))
    pretrain = build.make_pretraining_step(config, game)
    key = runner.replicate(jax.random.key(config.seed))
    init = jax.jit(
        partial(steps.init_state, game, example_batch(source.shapes_of_all, source.classes)),
        out_shardings=runner.replicated,
    )
    seen = build.open_shown(config, source)
    sampler = _sampler_of(config, game, source.classes)
    try:  # networks know best what they can be, and what they can be shown: whole images, not parts
        state = jax.eval_shape(init, key)
        if game.task.use is not None:
            sampler(state.ema).names(data.gather_examples(seen, np.arange(1)))
    except ValueError as error:
        raise configs.ConfigError(f"The networks cannot be built for {source.name}: {error}") from error
    return Setup(
        source,
        game,
        runner,
        run_on(pretrain) if pretrain else None,
        stream,
        key,
        partial(init, key),
        lambda state: sampler(jax.device_get(state.ema)),  # so that each process draws by itself
        _gallery(config, seen),
        build.make_evaluator(config, seen, progress=True),
    )


def train(
    config: Config,
    workdir: str | Path,
    *,
    source: data.Source | None = None,
    accept_changes: bool = False,
    progress: bool = True,
) -> Run:
    """Trains until `config.steps`, from the newest checkpoint in `workdir` if there is one.

    Args:
      config: see `configs/base.py`.
      workdir: the run's directory, made if missing.
      source: the images, instead of those that `config.data.source` names.
      accept_changes: go on from a checkpoint that was made under another config or data set.
      progress: show a bar, or lines, on stderr.

    Returns:
      Run. SIGTERM and Ctrl-C save the state and return early, with `interrupted` set.

    Raises:
      ConfigError, DataError: before anything is compiled.
      ResumeError: the directory's run contradicts the config or the data.
      Diverged: a loss or a gradient was not finite.
    """
    setup, workdir = set_up(config, source), Path(workdir).absolute()
    records.refuse_foreign(workdir)
    record = records.make_record(config, setup.source, setup.stream)
    with Interrupts() as interrupts, open_checkpoints(workdir, config) as checkpoints:
        restored = _resume(checkpoints, setup, None if accept_changes else record)
        state, step = (restored.state, restored.step) if restored else (setup.init(), 0)
        stop, primary = 0, jax.process_index() == 0
        if step >= config.steps:
            return Run(config, jax.device_get(state), setup.sampler(state), setup.game, record)
        records.check_start(step, config)
        if primary:
            records.write_start(workdir, record)
        with report.Log(
            workdir, total_steps=config.steps, start_step=step, progress=progress, active=primary
        ) as log:
            watch = Watch(log)
            album = Album(workdir, log)
            if primary and step == 0:
                album.add(step, setup.gallery.draw(setup.sampler(state)))
            resident = setup.runner.replicate(setup.stream.resident)
            chunks = parallel.ahead(setup.stream.iterate(step), setup.runner.split)
            while step < config.steps and not stop:
                first = setup.pretraining if step < config.pretrain.steps else None
                state, metrics = (first or setup.runner).run(state, resident, next(chunks), setup.key)
                step += config.parallel.steps_per_call
                stop = interrupts.agreed()
                due = _due(config, step, stopping=bool(stop))
                watch.see(step, metrics, settle=bool(due))
                if "log" in due:
                    watch.write(step)
                if "sample" in due and primary:
                    album.add(step, setup.gallery.draw(setup.sampler(state)))
                measured = dict[str, float]()
                if "evaluate" in due and setup.evaluator:
                    samples = partial(setup.evaluator.samples, setup.sampler(state), about=about(state))
                    place = workdir if primary else None
                    with watch.paused():
                        measured |= evaluate(setup.evaluator, samples, step=step, directory=place)
                if "checkpoint" in due:
                    measured |= setup.gallery.measure(setup.sampler(state))
                    checkpoints.save(step, state, record=record, metrics=measured)
                if measured:
                    log.write(step, measured)
        if primary:
            album.finish()
    return Run(config, jax.device_get(state), setup.sampler(state), setup.game, record, stop)


def open_run(workdir: str | Path, *, step: int | None = None) -> Run:
    """Opens a trained run: its config, state and a sampler. Neither its data nor its devices are needed.

    Args:
      workdir: the run's directory.
      step: a saved step; by default the newest sound one.

    Raises:
      FileNotFoundError: no checkpoint is there.
      CheckpointError: none is sound.
      ConfigError: the run is of a version of jaxgan whose configs have other fields.
    """
    with Checkpoints(Path(workdir) / "checkpoints") as checkpoints:
        record = checkpoints.record(step=step)
        if record is None:
            raise FileNotFoundError(f"{workdir} holds no checkpoint; train a run there first.")
        _, game, classes = _recorded(record)
        batch = example_batch(record["shapes"], classes)
        target = jax.eval_shape(partial(steps.init_state, game, batch), jax.random.key(0))
        restored = checkpoints.restore(target, step=step)
    assert restored is not None  # there was a record
    config, game, classes = _recorded(restored.record)  # of an older step, where the newest is damaged
    state = jax.device_get(restored.state)
    return Run(config, state, _sampler_of(config, game, classes)(state.ema), game, restored.record)


def _recorded(record: dict[str, Any]) -> tuple[Config, steps.Game, tuple[str, ...]]:
    """A saved run's config, game and classes."""
    config = ConfigDict(configs.nested(configs.flatten(record["config"])))
    configs.check(config)
    classes = tuple(record["classes"])
    return config, build.make_game(config, record["shapes"], len(classes)), classes


def example_batch(shapes: Mapping[str, Sequence[int]], classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """A training step's batch [1,2,...] of two examples of black images, for its shapes and dtypes."""
    images = {name: np.zeros((1, 2, *shape), np.uint8) for name, shape in shapes.items()}
    labels = ["label", *(["input_label"] if "input" in shapes else [])] if classes else []
    return images | {name: np.zeros((1, 2), np.int32) for name in labels}


def open_checkpoints(workdir: Path, config: Config) -> Checkpoints:
    """The checkpoints of a run, kept as its config says."""
    return Checkpoints(
        workdir / "checkpoints",
        keep=config.checkpoint.keep,
        best_metric=config.checkpoint.best_metric or None,
        best_mode=config.checkpoint.best_mode,
        always=[config.pretrain.steps],
    )


def _sampler_of(config: Config, game: steps.Game, classes: tuple[str, ...]) -> Callable[[Any], Any]:
    """A generator's variables -> what draws of it, a Sampler or a Translator."""
    told = classes if config.model.conditional else ()
    sampler: Callable[[Any], Sampler | Translator] = make_sampler(
        game,
        config.model.latent_size,
        told,
        build.make_codes(config),
        styled=FAMILIES[config.model.family].styled,
    )
    if game.task.use is not None:
        sampler = make_translator(make_task(config, (), still=True), game.generator)
    return sampler


def _gallery(config: Config, source: data.Source) -> galleries.Gallery:
    """How what is made is looked at, beside these images."""
    columns = config.sample.columns
    if config.task.name == "synthesis":
        labels = _rows(config, source.classes)
        return galleries.of_samples(source, labels=labels, columns=columns, seed=config.seed)
    return galleries.of_examples(source, columns=columns, seed=config.seed)


def _due(config: Config, step: int, *, stopping: bool) -> set[str]:
    """What is to be done after a step: on a signal all but evaluations, which take long."""
    last = step in (config.steps, config.pretrain.steps)  # of the run, or of its first phase
    due = {
        name for name in ("log", "sample", "checkpoint") if stopping or last or step % config[name].every == 0
    }
    if config.evaluate.every and not stopping:
        images = config.batch_size * alternation.batches_per_step(build.make_alternation(config))
        between = max(1, round(config.evaluate.every * 1000))  # whole images, which divide without rounding
        before = step - config.parallel.steps_per_call
        rated = "checkpoint" in due and config.checkpoint.best_metric in FIGURE_NAMES
        if last or rated or step * images // between > before * images // between:
            due.add("evaluate")
    return due


def _target(setup: Setup) -> GANState:
    """The state's shapes, dtypes and places, for a checkpoint to be restored into."""
    place = setup.runner.replicated
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), jax.eval_shape(setup.init)
    )


def _rows(config: Config, classes: tuple[str, ...]) -> list[int]:
    """The classes that a grid shows, a row each."""
    if not config.model.conditional:
        return []
    return list(config.sample.labels or range(min(len(classes), ROWS)))


def _resume(checkpoints: Checkpoints, setup: Setup, record: dict[str, Any] | None) -> Restored | None:
    """The newest sound step, or None; refused where its record contradicts this one, if one is given."""
    newest = checkpoints.record()
    if newest is None:
        return None
    records.refuse_contradictions(newest, record or newest)
    restored = checkpoints.restore(_target(setup))
    assert restored is not None  # there was a record
    records.refuse_contradictions(restored.record, record or restored.record)
    return restored
