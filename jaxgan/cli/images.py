"""`jaxgan translate`, `upscale` and `restore`: image files through the generator of a run."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from jaxgan import editing, parallel, tiling, training
from jaxgan.cli.arguments import count, natural
from jaxgan.data.fitting import to_channels
from jaxgan.editing import EditError, Picture
from jaxgan.training import Run

DEFAULT = tiling.DEFAULT
Edit = Callable[..., np.ndarray]


def add(commands: argparse._SubParsersAction) -> None:
    """The commands' parsers."""
    translate = _parser(commands, "translate", "images into those of another kind, by a run that learnt it")
    translate.add_argument("--domain", default="", help="a class to translate into, of a run of styles")
    translate.add_argument("--reference", type=Path, help="an image of this class that has the style to give")
    translate.set_defaults(run=run_translate)
    upscale = _parser(commands, "upscale", "enlarged images, of any size, by a run of super-resolution")
    upscale.add_argument(
        "--tile", type=count, default=DEFAULT.tile, help="pixels a side that are made at once"
    )
    upscale.add_argument("--overlap", type=natural, default=DEFAULT.overlap, help="of neighbouring tiles")
    upscale.add_argument("--blend", type=float, help="the last weights' share beside the first phase's")
    upscale.set_defaults(run=run_upscale)
    restore = _parser(commands, "restore", "repaired images, by a run of restoration", masks=True)
    restore.set_defaults(run=run_restore)


def _parser(
    commands: argparse._SubParsersAction, name: str, words: str, *, masks: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=words)
    parser.add_argument("directory", help="the run's")
    parser.add_argument("images", type=Path, help="a file, or a folder or an archive of such")
    if masks:
        text = "the same for masks, white where to repair; noise and blur are everywhere, without"
        parser.add_argument("masks", type=Path, nargs="?", help=text)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results, as PNG")
    parser.add_argument("--step", type=int, help="a saved step (default: the newest sound one)")
    parser.add_argument("--seed", type=natural, default=0, help="of what is random in the results")
    parser.add_argument("--overwrite", action="store_true", help="write over files that exist")
    return parser


def run_translate(given: argparse.Namespace) -> int:
    """Translates images."""
    run = _open(given, ("paired", "cycle", "contrastive", "shared_latent", "styles"))
    style = {"domain": given.domain, "reference": _only_one(given.reference)}
    return _write(given, partial(editing.edit, run, seed=given.seed, **style))


def _only_one(path: Path | None) -> np.ndarray | None:
    """The image that a file, or a folder, holds."""
    if path is None:
        return None
    found = editing.open_pictures(path)
    if len(found) != 1:
        raise EditError(f"{path} has {len(found)} images; give one.")
    return next(iter(found.values())).pixels


def run_upscale(given: argparse.Namespace) -> int:
    """Enlarges images."""
    run = _open(given, ("super_resolution",))
    if given.blend is not None:
        run = editing.blend(run, given.directory, given.blend)
    return _write(given, partial(editing.edit, run, tiles=tiling.Tiling(given.tile, given.overlap)))


def run_restore(given: argparse.Namespace) -> int:
    """Repairs images."""
    run = _open(given, ("restoration",))
    if given.masks is None:
        if not run.config.task.degradations:
            raise EditError(
                f"{given.directory} is a run that fills holes, and would replace whole images; give masks, "
                "white where to repair."
            )
        return _write(
            given, lambda pixels: editing.edit(run, pixels, mask=everywhere(pixels), seed=given.seed)
        )
    return _write(given, partial(editing.edit, run, seed=given.seed), editing.open_pictures(given.masks))


def _open(given: argparse.Namespace, tasks: tuple[str, ...]) -> Run:
    parallel.keep_compilations()
    parallel.tune_xla()
    run = training.open_run(given.directory, step=given.step)
    if run.config.task.name not in tasks:
        raise EditError(
            f"{given.directory} is a run of task.name={run.config.task.name!r}; this command is for "
            f"{' and '.join(tasks)}."
        )
    return run


def everywhere(pixels: np.ndarray) -> np.ndarray:
    """A mask [H,W,1] of all of an image."""
    return np.full((*pixels.shape[:2], 1), 255, np.uint8)


def _write(given: argparse.Namespace, edit: Edit, masks: Mapping[str, Picture] | None = None) -> int:
    """Edits one image after the other, each with the mask of its name, and says where the results are."""
    images = editing.open_pictures(given.images)
    paths = {stem: given.out / f"{stem}.png" for stem in images}
    if there := [path for path in paths.values() if path.exists()] if not given.overwrite else []:
        raise EditError(f"{there[0]} exists; give another --out, or --overwrite.")
    belongs = {} if masks is None else _matched(images, masks, given)
    for stem, path in paths.items():
        mask = {"mask": to_channels(belongs[stem].pixels, 1)} if masks else {}
        editing.save(edit(images[stem].pixels, **mask), path)
        print(path)
    return 0


def _matched(
    images: Mapping[str, Picture], masks: Mapping[str, Picture], given: argparse.Namespace
) -> dict[str, Picture]:
    """Of each image the mask of the same name, or of one image the one that there is."""
    if len(masks) == 1 and given.images.is_file() and len(images) == 1:
        return dict(zip(images, masks.values(), strict=True))
    if missing := [images[stem].name for stem in images if stem not in masks]:
        first, count = missing[0], len(missing)
        raise EditError(
            f"{given.masks} has no mask for {first}, one of {count}; expected a file of its name."
        )
    return {stem: masks[stem] for stem in images}
