"""`jaxgan data`: sets of images looked at, and prepared."""

import argparse
import sys
from pathlib import Path

from jaxgan import data, pictures
from jaxgan.data import inspection
from jaxgan.data.opening import KNOWN, Options, open_with
from jaxgan.models import layers
from jaxgan.models.families import of_task


def add(commands: argparse._SubParsersAction) -> None:
    """The command's parser."""
    look = commands.add_parser("data", help="look at a set of images, or prepare it")
    actions = look.add_subparsers(required=True, metavar="ACTION")
    check = _add(actions, "check", "what a set is like, and which networks it fits; converts nothing")
    check.add_argument(
        "--sheet", type=Path, help="where to draw a contact sheet (default: contact_sheet.png)"
    )
    check.set_defaults(run=check_data)
    prepare = _add(actions, "prepare", "convert files now, and not when training starts")
    prepare.set_defaults(run=prepare_data)


def _add(actions: argparse._SubParsersAction, name: str, about: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=about, epilog=KNOWN, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--split", default="train")
    parser.add_argument("--data_dir", help="where TFDS keeps its sets, and converted files go")
    parser.add_argument("--size", type=int, nargs=2, default=(), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fit", choices=data.FITS, default="crop")
    parser.add_argument("--filter", choices=[*data.FILTERS], default="lanczos")
    parser.add_argument("--channels", type=int, choices=range(5), default=0)
    parser.add_argument("--background", type=int, nargs=3, default=(), metavar=("RED", "GREEN", "BLUE"))
    parser.add_argument("--input_size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--input_half", choices=("left", "right"), default="left")
    parser.add_argument("--strict", action="store_true", help="refuse broken files")
    return parser


def _options(given: argparse.Namespace) -> Options:
    layout = data.Layout(tuple(given.size), given.fit, given.filter, given.channels, tuple(given.background))
    return Options(
        split=given.split,
        data_dir=given.data_dir,
        layout=layout,
        input_layout=layout._replace(size=tuple(given.input_size)) if given.input_size else None,
        input_half=given.input_half,
        strict=given.strict,
        progress=sys.stderr.isatty(),
    )


def check_data(given: argparse.Namespace) -> int:
    """Says what a set is like; 0 if it can be trained on."""
    report = inspection.inspect_source(given.source, _options(given))
    print("\n".join(inspection.describe(report)))
    if not report.sizes_vary:
        print("Networks:")
        print("\n".join(f"  {line}" for line in networks(report.source.image_shape)))
    print(f"Contact sheet: {_draw(report, given.sheet)}")
    return 2 if report.sizes_vary else 0


def networks(image_shape: tuple[int, int, int]) -> list[str]:
    """Which families can make such images."""
    height, width, _ = image_shape
    patches = [size for size in (2, 4, 8, 16) if height % size == 0 and width % size == 0]
    doubling = [name for name in of_task("synthesis") if name not in ("mlp", "vit")]
    doublings = {smallest: layers.doublings(image_shape, smallest) for smallest in (4, 2)}
    fitting = [(smallest, count) for smallest, count in doublings.items() if count]
    if fitting:
        smallest, count = fitting[0]
        grid = f"{height >> count}x{width >> count}"
        said = f"yes, {count} doubling{'s' * (count > 1)} from {grid} (model.smallest={smallest})"
    else:
        said = f"no: {height}x{width} is not an even size; set data.size"
    tokens = (
        f"yes, with model.vit.patch={' or '.join(map(str, patches))}" if patches else "no: of an odd size"
    )
    return [f"{', '.join(doubling)}: {said}", f"vit: {tokens}", "mlp: yes"]


def _draw(report: inspection.Report, path: Path | None) -> Path:
    """A grid of examples; under a name that is free, unless one was given."""
    path = path or next(
        name for i in range(1, 10**6) if not (name := Path(f"contact_sheet{f'_{i}' * (i > 1)}.png")).exists()
    )
    if path.exists():
        raise data.DataError(f"{path} exists; give --sheet another name.")
    for operand in report.title.partition(":")[2].split(","):
        folder = Path(operand.rpartition("*")[0] or operand).expanduser().resolve()
        if folder.is_dir() and path.resolve().is_relative_to(folder):
            raise data.DataError(f"{path} would become part of the set {folder}; give --sheet another place.")
    rows, labels = inspection.contact_sheet(report.source)
    pictures.save_image(pictures.image_grid(rows, row_labels=labels), path)
    return path


def prepare_data(given: argparse.Namespace) -> int:
    """Converts a set, or finds that it is converted."""
    source = open_with(given.source, _options(given))
    size = "x".join(map(str, source.image_shape))
    print(f"{given.source}: {len(source):,} images of {size}, ready; {len(source.classes) or 'no'} classes")
    return 0
