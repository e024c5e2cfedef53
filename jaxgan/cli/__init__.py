"""The command `jaxgan`: what can be done beside training, which is `train.py`'s."""

import argparse
import sys
from collections.abc import Sequence

from jaxgan.checkpoints import CheckpointError
from jaxgan.cli import evaluation, images, networks, sets
from jaxgan.config import ConfigError
from jaxgan.data import DataError
from jaxgan.editing import EditError
from jaxgan.evaluation.evaluator import EvaluationError
from jaxgan.evaluation.results import ResultError
from jaxgan.interop.pickles import WeightsError

REFUSALS = (
    CheckpointError,
    ConfigError,
    DataError,
    EditError,
    EvaluationError,
    OSError,
    ResultError,
    WeightsError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0, or 2 for what cannot be done as asked."""
    parser = argparse.ArgumentParser(prog="jaxgan", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (sets, networks, images, evaluation):
        group.add(commands)
    options, others = parser.parse_known_args(argv)
    if others and options.run is not networks.print_models:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = others
    try:
        return int(options.run(options))
    except REFUSALS as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130
