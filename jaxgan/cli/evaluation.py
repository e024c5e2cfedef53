"""`jaxgan evaluate` and `compare`: figures of samples, and of several runs."""

import argparse
from pathlib import Path

from jaxgan import comparisons, parallel
from jaxgan.cli.arguments import count
from jaxgan.evaluation import results
from jaxgan.evaluation.evaluator import EvaluationError, Request
from jaxgan.evaluation.figures import FIGURES
from jaxgan.features import choosing


def add(commands: argparse._SubParsersAction) -> None:
    """The commands' parsers."""
    parser = commands.add_parser(
        "evaluate",
        help="FID, KID, precision and recall, ... of a run's samples, or of a set of images",
        epilog="Metrics:\n" + "\n".join(f"  {name:13} {figure.meaning}" for name, figure in FIGURES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked = Request()
    parser.add_argument(
        "target", help="a run's directory, a folder of images, or a source such as arrays:FILE"
    )
    parser.add_argument(
        "--against", default="", help="the real images, a folder or a source (default: the run's)"
    )
    parser.add_argument("--metrics", default="fid", help="names, with commas between")
    parser.add_argument("--samples", type=count, default=asked.samples, help="how many are drawn")
    parser.add_argument("--reference", type=int, default=0, help="real images compared with (default: all)")
    parser.add_argument("--features", default=asked.features, help=f"one of {', '.join(choosing.NAMES)}")
    parser.add_argument("--weights", default="", help="a file of them (default: the published ones)")
    parser.add_argument("--resize", default="", help="of Inception: tf1 (default), clean or pytorch-fid")
    parser.add_argument("--lpips", default="", help="a file of its weights, for path lengths")
    parser.add_argument("--split", default="", help="of the real images (default: the run's, or train)")
    parser.add_argument("--size", type=int, nargs=2, default=(), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--step", default="newest", help="of the run's: newest, all, or numbers with commas")
    parser.add_argument("--truncation", type=float, default=1.0, help="of a style-based generator")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--batch", type=int, default=0, help="images at a time (default: 50 a device)")
    parser.add_argument("--quick", action="store_true", help="without the intervals that take long")
    parser.add_argument("--out", type=Path, help="a JSON file for the results of a set of images")
    parser.set_defaults(run=evaluate)
    parser = commands.add_parser("compare", help="results of several runs, or files of results, side by side")
    parser.add_argument("targets", nargs="+")
    parser.set_defaults(run=compare)


def evaluate(given: argparse.Namespace) -> int:
    """Measures a run's samples, or a set of images."""
    parallel.keep_compilations()
    parallel.speed_up_convolutions()
    request = Request(
        metrics=tuple(given.metrics.split(",")),
        **{name: getattr(given, name) for name in Request._fields if name != "metrics"},
    )
    against = None
    if given.against:
        against = comparisons.open_images(given.against, split=given.split or "train", size=given.size)
    how = {"intervals": not given.quick, "progress": True}
    if comparisons.is_run(given.target):
        written = comparisons.evaluate_run(
            given.target,
            request,
            steps=_steps(given.step, given.target),
            reference=against,
            split=given.split,
            truncation=given.truncation,
            **how,
        )
        print(results.table({f"step {r.protocol['samples']['step']:,}": r for r in written.values()}))
        print("\n".join(map(str, written)))
        found = [*written.values()]
    elif against is None:
        raise EvaluationError(f"{given.target} is no run of ours: give --against, the real images.")
    else:
        images = comparisons.open_images(given.target, size=given.size)
        found = [comparisons.evaluate_images(images, against, request, **how)]
        print(results.table({given.target: found[0]}))
        if given.out:
            results.write(found[0], given.out)
    for note in dict.fromkeys(note for result in found for note in result.notes):
        print(f"Note: {note}")
    return 0


def _steps(text: str, directory: str) -> list[int]:
    """Of a run, as the command line names them."""
    if text in ("newest", "all"):
        return comparisons.saved_steps(directory) if text == "all" else []
    if not all(part.isdecimal() for part in text.split(",")):
        raise EvaluationError(f"--step is {text!r}, expected newest, all, or numbers with commas between.")
    return [int(part) for part in text.split(",")]


def compare(given: argparse.Namespace) -> int:
    """Sets results side by side."""
    print(comparisons.compare(given.targets))
    return 0
