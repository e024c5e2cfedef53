"""What is saved beside a state, and what a run in the same directory must agree with."""

import math
from pathlib import Path
from typing import Any

from jaxgan import config as configs
from jaxgan import files, report
from jaxgan.config import Config
from jaxgan.data import Source, Stream

# What a run writes beside its config, which may be there already only if a run was.
WRITTEN = (
    "metrics.jsonl",
    "samples.png",
    "progress.png",
    "curves.png",
    "samples",
    "evaluations",
    "tensorboard",
)


class ResumeError(ValueError):
    """What is in the directory is not a run that can be gone on with as asked."""


def make_record(config: Config, source: Source, stream: Stream) -> dict[str, Any]:
    """What is saved beside a state: enough to open it, and to see what it was trained on."""
    return {
        "config": configs.nested(configs.flatten(config)),
        "stream": stream.fingerprint,
        "shapes": source.shapes_of_all,
        "classes": source.classes,
        "environment": report.environment(),
    }


def write_start(workdir: Path, record: dict[str, Any]) -> None:
    """`config.json` and `environment.json` of this start; those of earlier ones stay, numbered."""
    for name in ("config", "environment"):
        path = workdir / f"{name}.json"
        files.keep_old(path)
        files.write_json(path, record[name])


def refuse_contradictions(saved: dict[str, Any], record: dict[str, Any]) -> None:
    """Compares the records of a saved state and of the run that is to go on from it.

    Raises:
      ResumeError: with each field that would move a weight, and the data, if they differ.
    """
    differences = configs.differences(saved["config"], record["config"])
    old, new = saved["stream"], record["stream"]
    differences += [
        f"data, {name}: saved {old.get(name)!r}, now {new[name]!r}"
        for name in new
        if old.get(name) != new[name]
    ]
    if differences:
        raise ResumeError(
            "The directory holds a run that was made otherwise:\n  "
            + "\n  ".join(differences)
            + "\nPut these back, give the new run a --workdir of its own, or go on from the "
            "checkpoint all the same with --accept_changes."
        )


def refuse_foreign(workdir: Path) -> None:
    """Nothing of another's is overwritten.

    Raises:
      ResumeError: there are files of a run's names in the directory, and no run.
    """
    there = [name for name in WRITTEN if (workdir / name).exists()]
    if there and not any(workdir.glob("config*.json")) and not (workdir / "checkpoints").exists():
        raise ResumeError(
            f"{workdir} holds {', '.join(there)}, which a run writes, and no run that could be resumed "
            "(config.json, checkpoints); choose another directory."
        )


def check_start(step: int, config: Config) -> None:
    """Checks that the compiled calls, of several steps each, can begin at a step.

    Raises:
      ResumeError: they cannot.
    """
    calls = config.parallel.steps_per_call
    if step % calls:
        raise ResumeError(
            f"The run was stopped after step {step}, and a call of {calls} steps cannot begin there; go on "
            f"with a parallel.steps_per_call that divides it, such as {math.gcd(step, calls)}."
        )
