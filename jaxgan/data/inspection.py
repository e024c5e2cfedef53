"""What a set of images is like, before anything is trained on it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxgan.data import opening
from jaxgan.data.decoding import Header
from jaxgan.data.filesets import FileSet
from jaxgan.data.fitting import Layout, SizesVary, fit
from jaxgan.data.listing import Skipped
from jaxgan.data.opening import Options
from jaxgan.data.sources import Source
from jaxgan.data.stream import DEVICE_LIMIT_BYTES

MOST, MOST_PAIRS = 20_000, 1000  # examples that are compared with each other; pairs that are kept
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
      tiled: how many files the examples were cut from; 0 where they are not tiles.
      passed: how many files are not called as images are, by the end of their names.
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
    tiled: int
    passed: Mapping[str, int]
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
        source = opening.open_with(spec, options._replace(prepare=False))
        names, skipped = [f"example {i}" for i in range(len(source))], list[Skipped]()
    else:
        from jaxgan.data import prepared  # imports TFDS

        source, names, skipped = prepared.read_all(files, split=options.split, progress=options.progress)
    index = np.linspace(0, len(source) - 1, min(len(source), MOST)).astype(int)
    names, looks = [names[i] for i in index], _looks(source, index)
    exact = _exact(looks.digests, names)
    labels = source.arrays["label"] if source.arrays and source.classes else looks.labels
    return Report(
        title=spec,
        source=source,
        files=dict(Counter(_headers(files)).most_common()),
        tiled=len({row.name for row in files.rows if row.place}) if files else 0,
        passed=files.passed if files else {},
        sizes_vary=vary,
        classes={name: int((labels == label).sum()) for label, name in enumerate(source.classes)},
        exact=exact,
        near=_near(looks.thumbnails, names, exact),
        skipped=[*(files.skipped if files else ()), *skipped],
        compared=len(index),
    )


class _Looks(NamedTuple):
    """What examples are compared by: digests of their pixels, small grey images [N,256] in [0, 1]; labels."""

    digests: list[bytes]
    thumbnails: np.ndarray
    labels: np.ndarray


def _looks(source: Source, index: np.ndarray) -> _Looks:
    digests, thumbnails, labels = list[bytes](), list[np.ndarray](), list[np.ndarray]()
    for some in np.array_split(index, -(-len(index) // 64)):
        examples = source.gather(some)
        most = np.iinfo(examples["image"].dtype).max
        for image in examples["image"]:
            digests.append(hashlib.sha256(image.tobytes()).digest())
            thumbnails.append((fit(image, _THUMBNAIL).ravel() / most).astype(np.float32))
        labels.append(examples.get("label", np.zeros(len(some), np.int32)))
    return _Looks(digests, np.stack(thumbnails), np.concatenate(labels))


def _headers(files: FileSet | None) -> list[Header]:
    """Of each file one, also where it holds two sides."""
    if files is None:
        return []
    return [
        header for name, header in files.headers.items() if not files.input_half or name.startswith("image/")
    ]


def _files(spec: str, options: Options) -> tuple[FileSet | None, str]:
    """The files behind a source, with previews' layout where the one asked for leaves sizes that vary."""
    try:
        return opening.file_set(spec, options), ""
    except SizesVary as error:
        layout = _PREVIEW._replace(background=options.layout.background, channels=options.layout.channels)
        return opening.file_set(spec, options._replace(layout=layout, input_layout=layout)), str(error)


def _exact(digests: Sequence[bytes], names: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for digest, name in zip(digests, names, strict=True):
        groups[digest].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _near(
    thumbnails: np.ndarray, names: Sequence[str], exact: Sequence[Sequence[str]]
) -> list[tuple[str, str]]:
    """Pairs whose thumbnails differ by less than NEAR, of one example of each group that is the same."""
    again = {name for group in exact for name in group[1:]}
    kept = np.array([i for i, name in enumerate(names) if name not in again])
    small = thumbnails[kept]
    # Two points are no closer than on any line: those far apart along the widest are not compared.
    line = np.linalg.svd(small[:2000] - small.mean(0), full_matrices=False)[2][0]
    along = small @ line
    order, radius = np.argsort(along), NEAR * np.sqrt(small.shape[1])
    ends = np.searchsorted(along[order], along[order] + radius, side="right")
    pairs = list[tuple[str, str]]()
    for start, stop in enumerate(ends):
        others = order[start + 1 : stop]
        close = np.linalg.norm(small[others] - small[order[start]], axis=1) < radius
        pairs += [(names[kept[order[start]]], names[kept[other]]) for other in others[close]]
        if len(pairs) >= MOST_PAIRS:
            break
    return sorted((min(pair), max(pair)) for pair in pairs[:MOST_PAIRS])


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
    """The report in lines, in which names of files cannot speak to a terminal."""
    return [
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        for line in _lines(report)
    ]


def _lines(report: Report) -> list[str]:
    source, kind = report.source, "previews" if report.sizes_vary else "images"
    size = "x".join(map(str, source.image_shape))
    lines = [f"{report.title}: {len(source):,} {kind} of {size}, {source.dtype}"]
    lines += [f"  {key}: {'x'.join(map(str, shape)) or 'a number'}" for key, shape in source.shapes.items()]
    lines += [
        f"  {name}: {len(other):,} images of {'x'.join(map(str, other.image_shape))}, not paired"
        for name, other in source.others.items()
    ]
    if report.tiled:
        lines.append(f"  tiles, cut from {report.tiled:,} files")
    if report.sizes_vary:
        lines.append(f"  Not to be trained on as it is. {report.sizes_vary}")
    lines += _of_files(report) + _of_classes(report) + _of_duplicates(report)
    lines.append(f"Files that cannot be used: {len(report.skipped) or 'none'}")
    lines += [f"  {skip.name}: {skip.reason}" for skip in report.skipped]
    if report.passed:
        said = ", ".join(f"{count} {end or 'without one'}" for end, count in report.passed.items())
        lines.append(f"Files with other endings, which are not looked at: {said}")
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
    near = f"{MOST_PAIRS} or more" if len(report.near) == MOST_PAIRS else len(report.near) or "none"
    lines = [f"Exact duplicates, {of}: {copies or 'none'}"]
    lines += [f"  {' = '.join(group[:4])}{' = ...' if len(group) > 4 else ''}" for group in report.exact[:8]]
    lines += [f"Near duplicates, {of}: {near}"]
    return lines + [f"  {first} ~ {second}" for first, second in report.near[:8]]
