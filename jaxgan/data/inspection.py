"""What a set of images is like, before anything is trained on it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxgan.data import opening
from jaxgan.data.decoding import Header
from jaxgan.data.filesets import FileSet, SizesVary
from jaxgan.data.fitting import Layout, fit
from jaxgan.data.listing import Skipped
from jaxgan.data.opening import Options
from jaxgan.data.sources import Source
from jaxgan.data.stream import DEVICE_LIMIT_BYTES

MOST = 20_000  # examples that are compared with each other
NEAR = 0.01  # the root mean square difference of two images, of 1, below which they are near duplicates
ROWS, COLUMNS, LARGEST = 8, 12, 128  # of a contact sheet: rows, examples a row, pixels a side
_THUMBNAIL = Layout(size=(16, 16), fit="stretch", filter="box", channels=1, background=(0, 0, 0))
_PREVIEW = Layout(size=(64, 64), fit="pad")  # of sets whose images vary in size


class Report(NamedTuple):
    """What was found.

    Attributes:
      title: of the source.
      source: what was read; where `sizes_vary` small previews.
      files: of the files by header, how many there are, most frequent first.
      sizes_vary: the error that says so, or "".
      classes: how many examples each has, by name.
      exact: groups of examples that are the same.
      near: pairs of examples that nearly are.
      skipped: files that cannot be used.
      compared: how many examples were compared.
    """

    title: str
    source: Source
    files: Mapping[Header, int]
    sizes_vary: str
    classes: Mapping[str, int]
    exact: Sequence[Sequence[str]]
    near: Sequence[tuple[str, str]]
    skipped: Sequence[Skipped]
    compared: int


def inspect_source(spec: str, options: Options) -> Report:
    """Reads all of a set once, and converts nothing.

    Raises:
      DataError: it cannot be read at all.
    """
    files, vary = _files(spec, options)
    if files is None:
        source, names, skipped = opening.open_with(spec, options), list[str](), list[Skipped]()
    else:
        from jaxgan.data import prepared  # imports TFDS

        source, names, skipped = prepared.read_all(files, split=options.split, progress=options.progress)
    count = min(len(source), MOST)
    examples = source.gather(np.linspace(0, len(source) - 1, count).astype(int))
    names = names or [f"example {i}" for i in np.linspace(0, len(source) - 1, count).astype(int)]
    classes = dict.fromkeys(source.classes, 0)
    if source.classes:
        labels = source.arrays["label"] if source.arrays else examples["label"]
        classes |= {name: int((labels == label).sum()) for label, name in enumerate(source.classes)}
    exact = _exact(examples["image"], names)
    return Report(
        title=spec,
        source=source,
        files=dict(Counter(files.headers.values()).most_common()) if files else {},
        sizes_vary=vary,
        classes=classes,
        exact=exact,
        near=_near(examples["image"], names, exact),
        skipped=[*(files.skipped if files else ()), *skipped],
        compared=count,
    )


def _files(spec: str, options: Options) -> tuple[FileSet | None, str]:
    """The files behind a source, with previews' layout where the one asked for leaves sizes that vary."""
    try:
        return opening.file_set(spec, options), ""
    except SizesVary as error:
        layout = _PREVIEW._replace(background=options.layout.background, channels=options.layout.channels)
        return opening.file_set(spec, options._replace(layout=layout, input_layout=layout)), str(error)


def _exact(images: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for image, name in zip(images, names, strict=False):
        groups[hashlib.sha256(image.tobytes()).digest()].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _near(images: np.ndarray, names: Sequence[str], exact: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Pairs whose thumbnails differ by less than NEAR, of one example of each group that is the same."""
    again = {name for group in exact for name in group[1:]}
    kept = [i for i, name in enumerate(names[: len(images)]) if name not in again]
    most = np.iinfo(images.dtype).max
    small = np.stack([fit(images[i], _THUMBNAIL).ravel() / most for i in kept]).astype(np.float32)
    # Two points are no closer than on any line: those far apart along the widest are not compared.
    line = np.linalg.svd(small[:2000] - small.mean(0), full_matrices=False)[2][0]
    along = small @ line
    order, radius = np.argsort(along), NEAR * np.sqrt(small.shape[1])
    ends = np.searchsorted(along[order], along[order] + radius, side="right")
    pairs = []
    for start, stop in enumerate(ends):
        others = order[start + 1 : stop]
        close = np.linalg.norm(small[others] - small[order[start]], axis=1) < radius
        pairs += [(names[kept[order[start]]], names[kept[other]]) for other in others[close]]
    return sorted((min(pair), max(pair)) for pair in pairs)


def contact_sheet(source: Source) -> tuple[np.ndarray, list[str]]:
    """Examples in rows: uint8 [R,COLUMNS,H,W,C], each kind of image in a row of its own, and their names."""
    parts = {"image": source, **{key: source for key, shape in source.shapes.items() if len(shape) == 3}}
    parts |= source.others
    height, width, channels = source.image_shape
    scale = min(1.0, LARGEST / max(height, width))
    layout = Layout((round(height * scale) or 1, round(width * scale) or 1), "pad", "bicubic", channels)
    columns = min(COLUMNS, len(source))
    rows, labels = [], []
    for start in range(min(ROWS, len(source) // columns)):
        for key, part in parts.items():
            places = np.arange(start * columns, (start + 1) * columns)
            index = places * max(len(part) // (ROWS * COLUMNS), 1) % len(part)
            values = part.gather(index)[key if key in part.shapes else "image"]
            values = (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values
            rows.append(np.stack([fit(value, layout) for value in values]))
            labels.append(key if len(parts) > 1 else "")
    return np.stack(rows), labels


def memory_of(source: Source) -> int:
    """Bytes of a whole set, decoded."""
    one = source.gather([0])
    return len(source) * sum(values.nbytes for values in one.values())


def describe(report: Report) -> list[str]:
    """The report in lines."""
    source, kind = report.source, "previews" if report.sizes_vary else "images"
    size = "x".join(map(str, source.image_shape))
    lines = [f"{report.title}: {len(source):,} {kind} of {size}, {source.dtype}"]
    lines += [f"  {key}: {'x'.join(map(str, shape)) or 'a number'}" for key, shape in source.shapes.items()]
    lines += [
        f"  {name}: {len(other):,} images of {'x'.join(map(str, other.image_shape))}, not paired"
        for name, other in source.others.items()
    ]
    if report.sizes_vary:
        lines.append(f"  Not to be trained on as it is. {report.sizes_vary}")
    lines += _of_files(report) + _of_classes(report) + _of_duplicates(report)
    lines.append(f"Files that cannot be used: {len(report.skipped) or 'none'}")
    lines += [f"  {skip.name}: {skip.reason}" for skip in report.skipped]
    if not report.sizes_vary:
        total = memory_of(source)
        place = "on the device" if total <= DEVICE_LIMIT_BYTES and source.arrays else "on the host"
        lines.append(f"Memory: {total / 2**20:,.1f} MiB decoded, held {place} by data.placement='auto'")
    return lines


def _of_files(report: Report) -> list[str]:
    kinds = {1: "grey", 2: "grey, alpha", 3: "colour", 4: "colour, alpha"}
    lines = [
        f"  {count:,} of {h.height}x{h.width}, {kinds[h.channels]}, {h.bits} bits{', of 16' * h.coarsened}"
        for h, count in report.files.items()
    ]
    more = [f"  and {len(lines) - 8} other kinds"] if len(lines) > 8 else []
    return ["Files:", *lines[:8], *more] if lines else []


def _of_classes(report: Report) -> list[str]:
    if not report.classes:
        return [
            "Classes: none found (sub-folders, labels.csv, dataset.json)" if report.files else "Classes: none"
        ]
    counts = report.classes.values()
    balance = max(counts) / max(min(counts), 1)
    lines = [f"  {name}: {count:,}" for name, count in list(report.classes.items())[:40]]
    more = [f"  and {len(counts) - 40} others"] if len(counts) > 40 else []
    return [f"Classes: {len(counts)}, the largest {balance:.1f} times the smallest", *lines, *more]


def _of_duplicates(report: Report) -> list[str]:
    of = f"of {report.compared:,} examples compared"
    copies = sum(len(group) - 1 for group in report.exact)
    lines = [f"Exact duplicates, {of}: {copies or 'none'}"]
    lines += [f"  {' = '.join(group[:4])}{' = ...' if len(group) > 4 else ''}" for group in report.exact[:8]]
    lines += [f"Near duplicates, {of}: {len(report.near) or 'none'}"]
    return lines + [f"  {first} ~ {second}" for first, second in report.near[:8]]
