"""`jaxgan models`, `export` and `import`: what networks cost, and their weights out and in."""

import argparse
from pathlib import Path

from jaxgan import exports, training
from jaxgan.alternation import PLAYERS
from jaxgan.cli.arguments import count
from jaxgan.config import ConfigError
from jaxgan.interop.layouts import LAYOUTS


def add(commands: argparse._SubParsersAction) -> None:
    """The commands' parsers."""
    _add_models(commands)
    _add_export(commands)
    _add_import(commands)


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
        "--shape", type=count, nargs=3, help="of the images (default: data.size and data.channels)"
    )
    parser.add_argument("--classes", type=count, default=0, help="how many labels the images have")
    parser.add_argument("--batch", type=count, help="images at a time (default: batch_size, or 64)")
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
