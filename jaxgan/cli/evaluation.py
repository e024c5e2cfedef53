"""`jaxgan evaluate` and `compare`: figures of samples, and of several runs."""

import argparse
from pathlib import Path

from jaxgan import comparisons, parallel
from jaxgan.cli.arguments import count, natural
from jaxgan.data import Source
from jaxgan.evaluation import results
from jaxgan.evaluation.evaluator import EvaluationError, Request
from jaxgan.evaluation.figures import FIGURES
from jaxgan.features import choosing


def add(commands: argparse._SubParsersAction) -> None:
    """The commands' parsers."""
    parser = commands.add_parser(
        "evaluate",
        help="FID, KID, PSNR, ... of a run's samples, or of a set of images",
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
    parser.add_argument(
        "--paired", action="store_true", help="images of two folders belong together by their names"
    )
    parser.add_argument(
        "--border", type=natural, default=0, help="pixels at each edge that psnr_y and ssim_y leave out"
    )
    parser.add_argument("--metrics", default="fid", help="names, with commas between")
    parser.add_argument(
        "--samples", type=count, help=f"how many (default: of a run {asked.samples:,}, of a set all)"
    )
    parser.add_argument(
        "--reference", type=natural, default=0, help="real images compared with (default: all)"
    )
    parser.add_argument("--features", default=asked.features, help=f"one of {', '.join(choosing.NAMES)}")
    parser.add_argument("--weights", default="", help="a file of them (default: the published ones)")
    parser.add_argument("--resize", default="", help="of Inception: tf1 (default), clean or pytorch-fid")
    parser.add_argument("--lpips", default="", help="a file of its weights, for ppl and lpips")
    parser.add_argument("--split", default="", help="of the real images (default: the run's, or train)")
    parser.add_argument("--size", type=count, nargs=2, default=(), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--step", default="newest", help="of the run's: newest, all, or numbers with commas")
    parser.add_argument("--truncation", type=float, default=1.0, help="of a style-based generator")
    parser.add_argument("--seed", type=natural, default=0, help="of the samples")
    parser.add_argument("--batch", type=natural, default=0, help="images at a time (default: 50 a device)")
    parser.add_argument("--quick", action="store_true", help="without the intervals that take long")
    parser.add_argument("--out", type=Path, help="a JSON file for the results of a set of images")
    parser.set_defaults(run=evaluate)
    parser = commands.add_parser("compare", help="results of several runs, or files of results, side by side")
    parser.add_argument("targets", nargs="+")
    parser.set_defaults(run=compare)


def evaluate(given: argparse.Namespace) -> int:
    """Measures a run's samples, or a set of images."""
    parallel.keep_compilations()
    parallel.tune_xla()
    fields = {name: getattr(given, name) for name in Request._fields}
    fields["metrics"] = tuple(name.strip() for name in given.metrics.split(","))
    request = Request(**{name: value for name, value in fields.items() if value is not None})
    measure = _of_pairs if given.paired else _of_run if comparisons.is_run(given.target) else _of_images
    found = measure(given, request)
    print(results.table(found))
    print(*dict.fromkeys(map(results.sentence, found.values())), sep="\n")
    for note in dict.fromkeys(note for result in found.values() for note in result.notes):
        print(f"Note: {note}")
    return 0


def _of_run(given: argparse.Namespace, request: Request) -> dict[str, results.Result]:
    if given.out:
        raise EvaluationError(f"--out is for a set of images; results of a run lie in it, {results.FOLDER}/.")
    if given.size and not given.against:
        raise EvaluationError("--size is of the images named by --against; those of a run have its own.")
    written = comparisons.evaluate_run(
        given.target,
        request,
        steps=_steps(given.step, given.target),
        reference=_reference(given) if given.against else None,
        split=given.split,
        truncation=given.truncation,
        border=given.border,
        intervals=not given.quick,
        progress=True,
    )
    print("\n".join(map(str, written)))
    return {f"step {result.protocol['samples']['step']:,}": result for result in written.values()}


def _of_images(given: argparse.Namespace, request: Request) -> dict[str, results.Result]:
    _check_images(given)
    images = comparisons.open_images(given.target, size=given.size)
    result = comparisons.evaluate_images(
        images,
        _reference(given),
        request,
        count=given.samples or 0,
        intervals=not given.quick,
        progress=True,
    )
    return _written(given, result)


def _of_pairs(given: argparse.Namespace, request: Request) -> dict[str, results.Result]:
    if comparisons.is_run(given.target):
        raise EvaluationError(
            f"--paired is of two folders of images, and {given.target} is a run; leave it out."
        )
    _check_images(given)
    if given.samples or given.reference or given.size or given.split:
        raise EvaluationError(
            "--samples, --reference, --size and --split are of sets; with --paired all images of the folders "
            "are measured, at the sizes that they have."
        )
    result = comparisons.evaluate_pairs(
        given.target,
        given.against,
        request,
        border=given.border,
        intervals=not given.quick,
        progress=True,
    )
    return _written(given, result)


def _check_images(given: argparse.Namespace) -> None:
    if not given.against:
        raise EvaluationError(f"{given.target} is no run of ours: give --against, the real images.")
    if given.step != "newest" or given.truncation != 1.0:
        raise EvaluationError(f"--step and --truncation are of runs, and {given.target} is none of ours.")
    if given.out and given.out.exists():
        raise EvaluationError(f"{given.out} exists; give --out another name.")


def _written(given: argparse.Namespace, result: results.Result) -> dict[str, results.Result]:
    if given.out:
        results.write(result, given.out)
    return {given.target: result}


def _reference(given: argparse.Namespace) -> Source:
    return comparisons.open_images(given.against, split=given.split or "train", size=given.size)


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
