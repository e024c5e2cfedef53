"""Images beside others of the same names, at whatever sizes they have: to be measured, not trained on."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from jaxgan.data.decoding import decode, inspect
from jaxgan.data.filesets import by_stem, check_partners
from jaxgan.data.fitting import to_channels
from jaxgan.data.listing import File, list_files
from jaxgan.data.records import source_of
from jaxgan.data.sources import DataError, Source

Pair = tuple[File, File]


def match_files(inputs: str, images: str) -> list[Source]:
    """Two folders' files, matched by name whatever their suffixes: a source for each size.

    Args:
        inputs: a folder or an archive.
        images: another.

    Returns:
        Sources of examples with "input" and "image" of one shape: grey beside colour becomes colour. The
        sizes ascend, and names within one.

    Raises:
        DataError: files that cannot be read or have no partner, partners of two sizes or with alpha.
    """
    paths, title = (inputs, images), f"{inputs} beside {images}"
    first, second = (by_stem(list_files(path), path) for path in paths)
    check_partners(title, paths, (first, second))
    if not first:
        raise DataError(f"{title}: there are no images.")
    groups = defaultdict[tuple[int, ...], list[Pair]](list)
    digests = defaultdict[tuple[int, ...], list[list[str]]](list)
    for stem in sorted(first):
        pair = first[stem], second[stem]
        shape, digest = _looked_at(pair)
        groups[shape].append(pair)
        digests[shape].append([stem, *digest])
    return [
        source_of(
            f"{title}, {shape[0]}x{shape[1]}",
            partial(_read, groups[shape], shape[2]),
            length=len(groups[shape]),
            shapes={"image": shape, "input": shape},
            dtypes={"image": np.dtype(np.uint8), "input": np.dtype(np.uint8)},
            classes=(),
            about={"files": digests[shape]},
        )
        for shape in sorted(groups)
    ]


def _looked_at(pair: Pair) -> tuple[tuple[int, ...], list[str]]:
    """The shape that both come to, [H,W,C], and digests of their bytes."""
    try:
        data = [file.read() for file in pair]
    except OSError as error:
        raise DataError(f"{pair[0].name} or its partner cannot be read: {error}.") from error
    one, other = (inspect(bytes_, name=file.name) for bytes_, file in zip(data, pair, strict=True))
    if one[:2] != other[:2]:
        raise DataError(
            f"{pair[0].name} is {one.height}x{one.width} (height x width) and its partner "
            f"{other.height}x{other.width}; images are measured against others of the same size."
        )
    channels = {one.channels, other.channels}
    if channels & {2, 4} or max(one.bits, other.bits) > 8:
        raise DataError(
            f"{pair[0].name} or its partner has alpha or 16 bits; save both without, with 8 bits."
        )
    return (*one[:2], max(channels)), [hashlib.sha256(bytes_).hexdigest() for bytes_ in data]


def _read(pairs: Sequence[Pair], channels: int, indices: Sequence[int]) -> Iterator[Mapping[str, np.ndarray]]:
    for index in indices:
        made = (to_channels(decode(file.read(), name=file.name), channels) for file in pairs[index])
        yield dict(zip(("input", "image"), made, strict=True))
