"""Sets of image files, of which each example has one or several: an image; an image and its input or mask."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from jaxgan.data.decoding import Header, decode
from jaxgan.data.fitting import Layout, fit, settle
from jaxgan.data.folders import folder_of, part_in, split_folders, without_root
from jaxgan.data.labelling import FILES, find_labels
from jaxgan.data.listing import File, Listing, Skipped, list_files
from jaxgan.data.rows import Row, cut_out, cut_rows
from jaxgan.data.sources import DataError
from jaxgan.data.splits import parse_split
from jaxgan.data.survey import Found, is_image, survey

_VERSION = 4  # of what `read` makes of the same files and layouts
_LOG = logging.getLogger(__name__)


class Unreadable(DataError):
    """A file that could be read when it was looked at, and now cannot."""


@dataclass(frozen=True)
class FileSet:
    """Image files as examples, all of one layout.

    Attributes:
        title: for messages.
        rows: the examples in an order that depends on their names alone, and mixes the classes; tiles of a
            file follow each other.
        layouts: of each of an example's images, complete: sizes and channels are known.
        dtypes: uint8, or uint16 where a file has more than 8 bits.
        classes: their names, by label.
        skipped: files that cannot be used.
        digest: sha256, in hex, of all bytes and of what is made of them.
        input_half: 'left' or 'right' of pictures that hold an input and an image side by side.
        headers: of the image files, for reports.
        passed: how many files are neither images nor labels, by the end of their names.
    """

    title: str
    rows: tuple[Row, ...] = field(repr=False)
    layouts: Mapping[str, Layout]
    dtypes: Mapping[str, np.dtype]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    digest: str
    input_half: str = ""
    headers: Mapping[str, Header] = field(default_factory=dict, repr=False)
    passed: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each of an example's images, [H,W,C]."""
        return {key: (*layout.size, layout.channels) for key, layout in self.layouts.items()}

    def read(self, row: Row) -> dict[str, np.ndarray]:
        """An example's images, in their layouts.

        Raises:
            DataError: a file cannot be decoded.
        """
        try:
            pixels = {key: self._decoded(file, key == "mask") for key, file in row.files.items()}
        except OSError as error:
            raise Unreadable(f"{row.name} cannot be read any more: {error}. Open the set again.") from error
        if self.input_half:
            middle = pixels["image"].shape[1] // 2
            left, right = pixels["image"][:, :middle], pixels["image"][:, middle : 2 * middle]
            pixels = (
                {"image": right, "input": left}
                if self.input_half == "left"
                else {"image": left, "input": right}
            )
        return {
            key: fit(_deepened(value, self.dtypes[key]), self.layouts[key])
            for key, value in cut_out(pixels, row, self.layouts).items()
        }

    @cached_property
    def _decoded(self) -> Callable[[File, bool], np.ndarray]:
        """Files' pixels; the last ones are kept, for a file's tiles come one after the other."""
        return lru_cache(maxsize=4)(
            lambda file, indices: decode(file.read(), name=file.name, indices=indices)
        )


def _deepened(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """8 bits as 16: 255 becomes 65535."""
    return pixels if pixels.dtype == dtype else pixels.astype(dtype) * 257


def of_folder(path: str, *, split: str, layout: Layout, memory: Path, strict: bool = False) -> FileSet:
    """The images of a folder or an archive, with labels if they can be found.

    Where its sub-folders are called as splits are (`folders.SPLITS`), the split is that folder; else 'train'
    is all.

    Raises:
        DataError: there are none, or they cannot be of one layout; under `strict` also for any broken file.
    """
    whole = without_root(list_files(path))
    parts = {name: part_in(whole, name) for name in split_folders(whole) or {parse_split(split)[0]}}
    listing = part_in(whole, split)
    found = survey(listing, memory=memory)
    names = [name for name, about in found.items() if about.header]
    labels = find_labels(
        listing.files,
        names,
        among=[file.name for part in parts.values() for file in part.files if is_image(file.name)],
        folder=f"{folder_of(whole, split)}/",
        title=path,
    )
    by_name = {file.name: file for file in listing.files}
    rows = [Row(name, {"image": by_name[name]}, labels.of.get(name, 0)) for name in names]
    for label in sorted({*range(len(labels.classes))} - {row.label for row in rows}):
        _LOG.warning("%s: the class %r has no image that can be read.", path, labels.classes[label])
    return _complete(
        f"folder:{path}:{split}", rows, {"image": layout}, [(listing, found)], labels.classes, strict
    )


def of_halves(
    path: str,
    *,
    split: str,
    layout: Layout,
    input_layout: Layout,
    input_half: str,
    memory: Path,
    strict: bool,
) -> FileSet:
    """Pictures that hold an input and an image side by side, of the same width.

    Raises:
        DataError: as `of_folder`, or a picture cannot be halved.
    """
    listing = part_in(list_files(path), split)
    found = survey(listing, memory=memory)
    headers = {name: about.header for name, about in found.items() if about.header}
    odd = [name for name, header in headers.items() if header.width % 2]
    if odd:
        raise DataError(f"{path}: {odd[0]} is {headers[odd[0]].width} wide, which has no halves; crop it.")
    halves = {
        name: about._replace(header=about.header and about.header._replace(width=about.header.width // 2))
        for name, about in found.items()
    }
    by_name = {file.name: file for file in listing.files}
    rows = [Row(name, {"image": by_name[name]}) for name in headers]
    layouts = {"image": layout, "input": input_layout}
    made = _complete(f"sides:{path}:{split}", rows, layouts, [(listing, halves)], (), strict)
    digest = hashlib.sha256(f"{made.digest} {input_half}".encode()).hexdigest()
    return replace(made, input_half=input_half, digest=digest)


def of_pairs(
    title: str,
    key: str,
    paths: tuple[str, str],
    *,
    split: str,
    layouts: tuple[Layout, Layout],
    memory: Path,
    strict: bool,
) -> FileSet:
    """Two folders whose files belong together by name, whatever their suffixes.

    Args:
        title: of the set, for messages.
        key: what the second folder's files are to the first's: 'input' or 'mask'.
        paths: of the images, and of what belongs to them.

    Raises:
        DataError: as `of_folder`, or files without their partner.
    """
    listings = [part_in(list_files(path), split) for path in paths]
    found = [survey(listing, memory=memory) for listing in listings]
    files = [by_stem(listing, path) for listing, path in zip(listings, paths, strict=True)]
    check_partners(title, paths, (files[0], files[1]))
    rows = [
        Row(stem, {"image": files[0][stem], key: files[1][stem]})
        for stem in files[0]
        if found[0][files[0][stem].name].header and found[1][files[1][stem].name].header
    ]
    both = [(listing, about) for listing, about in zip(listings, found, strict=True)]
    return _complete(f"{title}:{split}", rows, {"image": layouts[0], key: layouts[1]}, both, (), strict)


def by_stem(listing: Listing, path: str) -> dict[str, File]:
    """Images by their names without suffixes; a DataError where two have one."""
    stems: dict[str, File] = {}
    for file in listing.files:
        if not is_image(file.name):
            continue
        stem = file.name.rpartition(".")[0]
        if stem in stems:
            raise DataError(f"{path}: {stems[stem].name} and {file.name} have one name; keep one of them.")
        stems[stem] = file
    return stems


def check_partners(
    title: str, paths: tuple[str, str], files: tuple[Mapping[str, File], Mapping[str, File]]
) -> None:
    """A DataError where files have no partner of their name."""
    alone = [sorted(files[i].keys() - files[1 - i].keys()) for i in (0, 1)]
    if any(alone):
        said = " and ".join(
            f"{len(names)} in {path} without a partner, such as {names[0]!r}"
            for path, names in zip(paths, alone, strict=True)
            if names
        )
        raise DataError(f"{title}: files do not match by name: {said}. Pair or remove them.")


def _complete(
    title: str,
    rows: Sequence[Row],
    layouts: Mapping[str, Layout],
    found: Sequence[tuple[Listing, Mapping[str, Found]]],
    classes: tuple[str, ...],
    strict: bool,
) -> FileSet:
    """A set of rows: their order, and what the layouts leave open.

    `found` is of each of an example's images, or one for all where these are parts of one picture.
    """
    skipped = _skipped(found)
    parts = dict(zip(layouts, (part for _, part in [*found, *found]), strict=False))

    def header_of(row: Row, key: str) -> Header:
        header = parts[key][(row.files.get(key) or row.files["image"]).name].header
        assert header is not None  # rows are of files that have one
        return header

    if "tiles" in (layout.fit for layout in layouts.values()):
        rows, small = cut_rows(rows, layouts, lambda row, key: header_of(row, key)[:2])
        skipped += small
    if strict and skipped:
        raise DataError(
            f"{title}: {len(skipped)} files cannot be used, such as {skipped[0].name}: {skipped[0].reason} "
            "Remove them, or leave data.strict out."
        )
    if not rows:
        why = f": {skipped[0].name}: {skipped[0].reason}" if skipped else "."
        raise DataError(f"{title} has no image that can be read{why}")
    complete, dtypes, headers = dict[str, Layout](), dict[str, np.dtype](), dict[str, Header]()
    for key, layout in layouts.items():
        own = {(row.files.get(key) or row.files["image"]).name: header_of(row, key) for row in rows}
        complete[key], dtypes[key] = settle(layout, list(own.values()), title=title)
        headers |= {f"{key}/{name}": header for name, header in own.items()}
    coarsened = [name for name, header in headers.items() if header.coarsened]
    if coarsened:
        _LOG.warning("%s: %d files of 16 bits are read with 8, as %s.", title, len(coarsened), coarsened[0])
    rows = sorted(rows, key=lambda row: hashlib.sha256(row.name.encode()).digest())
    digest = _digest(rows, parts, classes, complete)
    others = [f.name for listing, _ in found for f in listing.files if not is_image(f.name)]
    ends = Counter(os.path.splitext(name)[1].lower() for name in others if name not in FILES)
    return FileSet(
        title, tuple(rows), complete, dtypes, classes, tuple(skipped), digest, headers=headers, passed=ends
    )


def _skipped(found: Sequence[tuple[Listing, Mapping[str, Found]]]) -> list[Skipped]:
    """What cannot be read, and what was passed over."""
    broken = [(name, about) for _, part in found for name, about in part.items() if not about.header]
    passed = [skip for listing, _ in found for skip in listing.skipped]
    return [*(Skipped(name, about.reason) for name, about in broken), *passed]


def _digest(
    rows: Sequence[Row],
    parts: Mapping[str, Mapping[str, Found]],
    classes: tuple[str, ...],
    layouts: Mapping[str, Layout],
) -> str:
    """Of all bytes of the files, and of what is made of them."""

    def digests(row: Row) -> list[str]:
        return [parts[key][file.name].digest for key, file in row.files.items()]

    about = {
        "rows": [[row.name, row.label, digests(row), *row.place] for row in rows],
        "classes": classes,
        "layouts": {key: [*layout] for key, layout in layouts.items()},
        "version": _VERSION,
    }
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
