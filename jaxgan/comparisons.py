"""Runs, and images of anyone, measured and set side by side."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from jaxgan import build, data, observation, pictures, training
from jaxgan.checkpoints import CheckpointError, Checkpoints
from jaxgan.config import crop_of
from jaxgan.data.matched import match_files
from jaxgan.evaluation import results
from jaxgan.evaluation.evaluator import EvaluationError, Evaluator, Request
from jaxgan.evaluation.figures import FIGURES
from jaxgan.evaluation.results import FOLDER, Result, ResultError
from jaxgan.evaluation.sets import of_pairs, of_source


def evaluate_run(
    directory: str | Path,
    request: Request,
    *,
    steps: Sequence[int] = (),
    reference: data.Source | None = None,
    split: str = "",
    truncation: float = 1.0,
    border: int = 0,
    intervals: bool = True,
    progress: bool = False,
) -> dict[Path, Result]:
    """Measures what a run's averaged generator draws, and writes results into its directory.

    Args:
      directory: the run's.
      request: what to measure.
      steps: saved ones; none is the newest sound one.
      reference: the real images; by default those that it was trained on.
      split: of these, another than it was trained on.
      truncation: of a style-based generator.
      border: pixels at each edge that figures of luma leave out.
      intervals: make those that take long too.
      progress: show bars on stderr.

    Returns:
      Results by the file that each was written to.

    Raises:
      FileNotFoundError, CheckpointError, ConfigError: of the run.
      EvaluationError, DataError: what cannot be measured.
    """
    saved, steps = saved_steps(directory), sorted({*steps})
    if missing := {*steps} - {*saved}:
        raise CheckpointError(f"{directory} has the steps {saved}, and not {sorted(missing)}; take of those.")
    run = training.open_run(directory, step=steps[0] if steps else None)
    evaluator = Evaluator(
        request,
        reference or _trained_on(run, split, progress=progress),
        crop=crop_of(run.config),
        labelled=run.config.model.conditional,
        border=border,
        progress=progress,
    )
    written = {}
    for step in steps or [int(run.state.step)]:
        run = run if step == int(run.state.step) else training.open_run(directory, step=step)
        fakes = evaluator.samples(run.sampler, about=observation.about(run.state), truncation=truncation)
        result = evaluator.measure(fakes, intervals=intervals)
        written[results.save(result, Path(directory) / FOLDER)] = result
    if len(written) > 1:
        _draw_curves(written)
    return written


def _trained_on(run: training.Run, split: str, *, progress: bool) -> data.Source:
    """A run's real images, or another split of them."""
    config = ConfigDict(run.config.to_dict())
    config.data.split = split or config.evaluate.split or config.data.split
    source = build.open_source(config, progress=progress)
    same_split = config.data.split == run.config.data.split
    if same_split and source.fingerprint != run.record["stream"]["source"]:
        raise EvaluationError(
            f"{source.name} holds other images than the run was trained on; name the real ones (--against)."
        )
    return source


def evaluate_images(
    images: data.Source,
    reference: data.Source,
    request: Request,
    *,
    count: int = 0,
    intervals: bool = True,
    progress: bool = False,
) -> Result:
    """Measures a set of images.

    Args:
      images: the set.
      reference: the real images.
      request: what to measure; nothing is drawn, so that its `samples` is of no matter.
      count: how many of the images; 0 is all.
      intervals: make those that take long too.
      progress: show bars on stderr.

    Raises:
      EvaluationError, DataError: what cannot be measured.
    """
    measured = of_source(images, count, seed=request.seed)
    return Evaluator(request, reference, progress=progress).measure(measured, intervals=intervals)


def evaluate_pairs(
    images: str,
    truths: str,
    request: Request,
    *,
    border: int = 0,
    intervals: bool = True,
    progress: bool = False,
) -> Result:
    """Measures images against those that they should be, which have the same names.

    Args:
      images: a folder or an archive.
      truths: another.
      request: what to measure; figures of sets too, where all images have one size.
      border: pixels at each edge that figures of luma leave out.
      intervals: make those that take long too.
      progress: show bars on stderr.

    Raises:
      EvaluationError, DataError: what cannot be measured.
    """
    sources = match_files(images, truths)
    of_sets = [name for name in request.metrics if name in FIGURES and "truth" not in FIGURES[name].needs]
    if of_sets and len(sources) > 1:
        raise EvaluationError(
            f"{', '.join(of_sets)} compare sets of images of one size, and these have {len(sources)}; leave "
            "them out."
        )
    count = sum(map(len, sources))
    digest = hashlib.sha256("".join(source.fingerprint for source in sources).encode()).hexdigest()
    about = {"source": truths, "fingerprint": digest, "count": count, "sizes": len(sources)}
    evaluator = Evaluator(request, sources[0], border=border, about=about, progress=progress)
    sets = [of_pairs(source, about={"source": images, "count": count}) for source in sources]
    return evaluator.measure(*sets, intervals=intervals)


def saved_steps(directory: str | Path) -> list[int]:
    """Of a run, ascending."""
    with Checkpoints(Path(directory) / "checkpoints") as checkpoints:
        found = checkpoints.steps()
    if not found:
        raise CheckpointError(f"{directory} holds no checkpoint; train a run there first.")
    return found


def is_run(target: str | Path) -> bool:
    """A directory that training has written to, with or without checkpoints."""
    return (Path(target) / "checkpoints").is_dir() or (Path(target) / "config.json").is_file()


def open_images(spec: str, *, split: str = "train", size: Sequence[int] = ()) -> data.Source:
    """A source, or a folder or archive by its path alone; files are read as they are, not converted.

    Raises:
      DataError: it cannot be used.
    """
    known = spec.partition(":")[0] in data.SCHEMES
    layout = data.Layout(size=(size[0], size[1]) if size else ())
    return data.open_source(spec if known else f"folder:{spec}", split=split, layout=layout, prepare=False)


def compare(targets: Sequence[str | Path]) -> str:
    """A table of results, each a run's newest or a file's.

    Raises:
      ResultError: there are none, or they were not made alike.
    """
    found = {str(target): results.read(_newest(Path(target))) for target in targets}
    if len(found) < 2:
        raise ResultError("Give two or more different runs, or files of results, to compare.")
    results.check_comparable(found)
    return results.table({f"{name}{_step(result)}": result for name, result in found.items()})


def _step(result: Result) -> str:
    samples = result.protocol["samples"]
    return f", step {samples['step']:,}" if "step" in samples else ""


def _newest(target: Path) -> Path:
    """Of a run the newest step's result that was written last."""
    if target.is_file():
        return target
    found = sorted(
        target.glob(f"{FOLDER}/step_*.json"), key=lambda file: (file.name[:14], file.stat().st_mtime)
    )
    if not found:
        raise ResultError(f"{target} holds no results; run `jaxgan evaluate {target}` first.")
    return found[-1]


def _draw_curves(written: Mapping[Path, Result]) -> None:
    """Figures over the steps of a run, as a picture beside its results."""
    samples = [result.protocol["samples"] for result in written.values()]
    figures = [{name: figure.value for name, figure in result.figures.items()} for result in written.values()]
    lines = [{"step": s["step"], "kimg": s["kimg"]} | f for s, f in zip(samples, figures, strict=True)]
    pictures.curves(lines, next(iter(written)).parent / "curves.png")
