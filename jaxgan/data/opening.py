"""Sources by name: TFDS sets, folders and archives, arrays, pairs, domains, mixtures."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jaxgan.data import filesets
from jaxgan.data.fitting import Layout
from jaxgan.data.mixtures import mix
from jaxgan.data.others import unpaired
from jaxgan.data.sources import DataError, Source

NATIVE = Layout()
KNOWN = """Expected one of
  tfds:NAME[:SPLIT]           a TFDS set, such as tfds:digits
  folder:PATH                 a folder, .zip or .tar; labels by sub-folder, labels.csv or dataset.json
  arrays:FILE.npz             arrays image and label, or SPLIT_CLASS for each class
  pairs:INPUTS,IMAGES         two folders, paired by file name
  sides:PATH                  pictures that hold an image and its input side by side
  masks:IMAGES,MASKS          two folders, paired by file name
  unpaired:SOURCE,SOURCE      inputs and images of two domains
  mixture:SOURCE*0.7,SOURCE*0.3   several sources as one, by weight"""


class Options(NamedTuple):
    """How a source is opened: see `open_source`."""

    split: str = "train"
    data_dir: str | os.PathLike[str] | None = None
    layout: Layout = NATIVE
    input_layout: Layout | None = None
    input_half: str = "left"
    strict: bool = False
    prepare: bool = True
    progress: bool = False

    @property
    def root(self) -> Path:
        """Of what is kept of files."""
        return Path(self.data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def open_source(
    spec: str,
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    layout: Layout = NATIVE,
    input_layout: Layout | None = None,
    input_half: str = "left",
    strict: bool = False,
    prepare: bool = True,
    progress: bool = False,
) -> Source:
    """Opens a set of images by name, without TensorFlow and without the network.

    Args:
        spec: "tfds:NAME", "folder:PATH", "arrays:FILE.npz", "pairs:INPUTS,IMAGES", "sides:PATH",
            "masks:IMAGES,MASKS", "unpaired:SOURCE,SOURCE" or "mixture:SOURCE*WEIGHT,...". TFDS names may
            have a config, a version and a split: "tfds:cifar10:3.0.2:test", "tfds:lsun/bedroom". The sets
            of this package ("tfds:digits") are prepared when first opened; others must have been prepared as
            array_record before. Where a source is among several, "folder:" may be left out.
        split: "train", or what else the source has; slices and, of TFDS sets, sums work: "train[:80%]".
        data_dir: where TFDS keeps its sets, and where converted files go; None is TFDS's own default
            ($TFDS_DATA_DIR, or ~/tensorflow_datasets).
        layout: the size, channels and so on that images are brought to.
        input_layout: the same of inputs and masks; None is the images'.
        input_half: of pictures with two sides, which is the input: "left" or "right".
        strict: refuse sets with broken files, instead of leaving these out.
        prepare: convert folders and archives when they are first opened, and read the result from then
            on; else decode the files themselves.
        progress: show a bar on stderr while converting.

    Returns:
        A source. Sets of at most 1 GiB decoded are decoded into memory here, others in `gather`. Examples
        of pairs and sides have "input" beside "image", those with masks "mask", those of mixtures "domain".

    Raises:
        DataError: for an unknown spec, name or split, files that cannot be used, a set that is not
            prepared or not as array_record, and a set without images of one size where none is asked for.
    """
    options = Options(
        split, data_dir, layout, input_layout, input_half, strict=strict, prepare=prepare, progress=progress
    )
    return open_with(spec, options)


def open_with(spec: str, options: Options) -> Source:
    """`open_source` with options in one."""
    _check(options)
    scheme, _, rest = spec.partition(":")
    if scheme not in _OPENERS or not rest:
        raise DataError(f"The data source {spec!r} is not known. {KNOWN}")
    if scheme in ("tfds", "arrays") and options.layout.fit == "tiles":
        raise DataError(
            f"{spec} is not of files, which alone are cut into tiles; set data.fit to crop or pad."
        )
    return _OPENERS[scheme](rest, options)


def _check(options: Options) -> None:
    options.layout.check()
    if options.input_layout:
        options.input_layout.check()
    if options.input_half not in ("left", "right"):
        raise DataError(f"input_half is {options.input_half!r}, expected 'left' or 'right'.")


def file_set(spec: str, options: Options) -> filesets.FileSet | None:
    """The files behind a source, or None where it is not made of files."""
    _check(options)
    scheme, _, rest = spec.partition(":")
    return _FILES[scheme](rest, options) if scheme in _FILES else None


def _open_tfds(rest: str, options: Options) -> Source:
    from jaxgan.data import catalogue  # imports TFDS, which takes a second

    name, colon, split = rest.rpartition(":")
    if not colon or re.fullmatch(r"[\d.*]+", split):  # a version
        name, split = rest, options.split
    return catalogue.open_tfds(name, split=split, layout=options.layout, data_dir=options.data_dir)


def _folder_files(rest: str, options: Options) -> filesets.FileSet:
    return filesets.of_folder(
        rest, split=options.split, layout=options.layout, memory=_memory(options), strict=options.strict
    )


def _pairs_files(key: str, rest: str, options: Options) -> filesets.FileSet:
    scheme = "pairs" if key == "input" else "masks"
    first, second = _operands(scheme, rest, exactly=2)
    images, others = (second, first) if key == "input" else (first, second)
    layout = options.input_layout or options.layout
    if key == "mask":
        layout = layout._replace(channels=1, background=(), filter="nearest")
    return filesets.of_pairs(
        f"{scheme}:{rest}",
        key,
        (images, others),
        split=options.split,
        layouts=(options.layout, layout),
        memory=_memory(options),
        strict=options.strict,
    )


def _sides_files(rest: str, options: Options) -> filesets.FileSet:
    return filesets.of_halves(
        rest,
        split=options.split,
        layout=options.layout,
        input_layout=options.input_layout or options.layout,
        input_half=options.input_half,
        memory=_memory(options),
        strict=options.strict,
    )


def _memory(options: Options) -> Path:
    return options.root / "files_surveyed"


def _open_files(files: Callable[[str, Options], filesets.FileSet], rest: str, options: Options) -> Source:
    from jaxgan.data import prepared  # imports TFDS

    fileset = files(rest, options)
    if not options.prepare:
        return prepared.read_files(
            fileset, split=options.split, strict=options.strict, progress=options.progress
        )
    directory = prepared.prepare(fileset, options.root, strict=options.strict, progress=options.progress)
    return prepared.open_prepared(directory, title=fileset.title, split=options.split)


def _open_arrays(rest: str, options: Options) -> Source:
    from jaxgan.data import npz

    return npz.open_npz(rest, split=options.split, layout=options.layout)


def _open_unpaired(rest: str, options: Options) -> Source:
    first, second = _operands("unpaired", rest, exactly=2)
    inputs = _open_operand(first, options._replace(layout=options.input_layout or options.layout))
    return unpaired(inputs, _open_operand(second, options), name=f"unpaired:{rest}")


def _open_mixture(rest: str, options: Options) -> Source:
    specs, weights = list[str](), list[float | None]()
    for operand in _operands("mixture", rest):
        spec, star, weight = operand.rpartition("*")
        try:
            weights.append(float(weight) if star else None)
        except ValueError:
            raise DataError(f"mixture: {weight!r} of {operand!r} is no weight; write SOURCE*0.7.") from None
        specs.append(spec if star else operand)
    names = [spec.rstrip("/").replace("/", ":").rpartition(":")[2] for spec in specs]
    domains = names if len({*names}) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, 1)]
    sources = [_open_operand(spec, options) for spec in specs]
    return mix(sources, weights, name=f"mixture:{rest}", domains=domains)


def _open_operand(spec: str, options: Options) -> Source:
    return open_with(spec if spec.partition(":")[0] in _OPENERS else f"folder:{spec}", options)


def _operands(scheme: str, rest: str, exactly: int = 0) -> list[str]:
    operands = [operand for operand in rest.split(",") if operand]
    if len(operands) < 2 or (exactly and len(operands) != exactly):
        raise DataError(
            f"{scheme}:{rest} names {len(operands)} sources, expected {exactly or '2 or more'}, with a comma "
            "between them."
        )
    return operands


_FILES: dict[str, Callable[[str, Options], filesets.FileSet]] = {
    "folder": _folder_files,
    "pairs": partial(_pairs_files, "input"),
    "masks": partial(_pairs_files, "mask"),
    "sides": _sides_files,
}
_OPENERS: dict[str, Callable[[str, Options], Source]] = {
    "tfds": _open_tfds,
    **{scheme: partial(_open_files, files) for scheme, files in _FILES.items()},
    "arrays": _open_arrays,
    "unpaired": _open_unpaired,
    "mixture": _open_mixture,
}
SCHEMES = (*_OPENERS,)
