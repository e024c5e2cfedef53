"""The command `jaxgan`: what can be done beside training, which is `train.py`'s."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxgan import data, exports, pictures, training
from jaxgan.alternation import PLAYERS
from jaxgan.checkpoints import CheckpointError
from jaxgan.config import ConfigError
from jaxgan.data import inspection
from jaxgan.data.opening import KNOWN, Options, open_with
from jaxgan.interop.layouts import LAYOUTS
from jaxgan.interop.pickles import WeightsError
from jaxgan.models import layers
from jaxgan.models.families import FAMILIES


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0, or 2 for what cannot be done as asked."""
    parser = _parser()
    options, others = parser.parse_known_args(argv)
    if others and options.run is not print_models:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.others = others
    try:
        return int(options.run(options))
    except (data.DataError, ConfigError, CheckpointError, WeightsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jaxgan", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    look = commands.add_parser("data", help="look at a set of images, or prepare it")
    actions = look.add_subparsers(required=True, metavar="ACTION")
    check = _add(actions, "check", "what a set is like, and which networks it fits; converts nothing")
    check.add_argument(
        "--sheet", type=Path, help="where to draw a contact sheet (default: contact_sheet.png)"
    )
    check.set_defaults(run=check_data)
    prepare = _add(actions, "prepare", "convert files now, and not when training starts")
    prepare.set_defaults(run=prepare_data)
    _add_models(commands)
    _add_export(commands)
    _add_import(commands)
    return parser


def _add_models(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "models",
        help="what networks cost: parameters, FLOPs, memory for derivatives",
        usage="jaxgan models [--config=FILE [--config.FIELD=VALUE ...]] [--shape HEIGHT WIDTH CHANNELS] "
        "[--classes N] [--batch N]",
        description="A table of what the networks of a config cost, given as to train.py, or without one of "
        "every family's as it comes. Opens no data and compiles nothing.",
    )
    parser.add_argument(
        "--shape", type=_count, nargs=3, help="of the images (default: data.size and data.channels)"
    )
    parser.add_argument("--classes", type=_count, default=0, help="how many labels the images have")
    parser.add_argument("--batch", type=_count, help="images at a time (default: batch_size, or 64)")
    parser.set_defaults(run=print_models)


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("export", help="a run's network as .safetensors with a card, or for PyTorch")
    parser.add_argument("directory", help="the run's")
    parser.add_argument("--out", type=Path, required=True, help="the file, *.safetensors")
    parser.add_argument("--player", choices=PLAYERS, default="generator", help="G is the averaged one")
    parser.add_argument("--layout", choices=[*LAYOUTS], help="names and shapes of PyTorch's, and no card")
    parser.add_argument("--step", type=int, help="a saved step (default: the newest sound one)")
    parser.add_argument("--licence", default="", help="that the weights are given under")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that exists")
    parser.set_defaults(run=export)


def _add_import(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "import", help="weights of PyTorch, .pth or .safetensors, as .safetensors with a card"
    )
    parser.add_argument("weights", type=Path, help="the file; nothing in it is run")
    parser.add_argument(
        "--card", type=Path, required=True, help="JSON: architecture, inputs; see docs/weights"
    )
    parser.add_argument("--layout", choices=[*LAYOUTS, "sequential"], required=True)
    parser.add_argument("--prefix", default="", help="of the network's names, such as 'module.'")
    parser.add_argument("--out", type=Path, required=True, help="the file, *.safetensors")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that exists")
    parser.set_defaults(run=import_weights)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer from 1, got {text!r}")
    return int(text)


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
    doubling = [name for name in FAMILIES if name not in ("mlp", "vit")]
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


def print_models(given: argparse.Namespace) -> int:
    """Says what networks cost."""
    from jaxgan import tables

    config = tables.read_config(given.others)
    if config is not None:
        shape = tables.image_shape(config, given.shape)
        print(tables.of_config(config, shape, given.classes, given.batch or config.batch_size))
    elif given.shape:
        print(tables.of_families(tuple(given.shape), given.classes, given.batch or 64))
    else:
        raise ConfigError("Give --config=FILE, or --shape HEIGHT WIDTH CHANNELS for every family.")
    return 0


def export(given: argparse.Namespace) -> int:
    """Writes a run's network."""
    run = training.open_run(given.directory, step=given.step)
    exports.export_run(
        run,
        given.out,
        player=given.player,
        layout=given.layout,
        licence=given.licence,
        overwrite=given.overwrite,
    )
    print(f"{given.out}: the {given.player} of {given.directory} at step {int(run.state.step)}")
    return 0


def import_weights(given: argparse.Namespace) -> int:
    """Writes weights of others with a card."""
    card = exports.read_card(given.card)
    network = exports.import_weights(
        given.weights,
        given.out,
        layout=given.layout,
        card=card,
        prefix=given.prefix,
        overwrite=given.overwrite,
    )
    print(f"{given.out}: a {type(network).__name__} from {given.weights}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
