"""Image files converted once, into a set that TFDS and array_record read by index at full speed."""

import functools
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from jaxgan.data.filesets import FileSet, Unreadable
from jaxgan.data.listing import Skipped
from jaxgan.data.records import source_of
from jaxgan.data.rows import Row
from jaxgan.data.sources import DataError, Source
from jaxgan.data.splits import part_of

SHARD_EXAMPLES, SHARD_BYTES = 4096, 2**26  # of a shard at most: what an interruption loses
AT_A_TIME = 32  # examples that are decoded before they are written
THREADS = min(8, os.cpu_count() or 1)  # each holds an image of full size
_VERSION = "1.0.0"


def prepare(fileset: FileSet, directory: Path, *, strict: bool = False, progress: bool = True) -> Path:
    """Converts a set, unless that was done before; an interrupted conversion goes on where it was.

    Args:
      fileset: the set.
      directory: of all prepared sets; this one gets a folder that its digest names.
      strict: refuse files that turn out to be broken; else they are left out, and named once.
      progress: show a bar on stderr.

    Returns:
      The set's directory, which TFDS can open.

    Raises:
      DataError: broken files under `strict`, no sound one, or a disk that is full or cannot be written.
    """
    name = f"files_{fileset.digest[:32]}"
    final, parts = directory / name / _VERSION, directory / f"{name}.parts"
    if final.exists():
        if strict:
            _refuse(fileset, skipped_of(final))
        return final
    try:
        _check_room(fileset, directory)
        lengths, skipped = _convert(fileset, parts, name, progress=progress)
        _report(fileset, skipped, strict=strict)
        _describe(fileset, parts, name, lengths, skipped)
        final.parent.mkdir(exist_ok=True)
        parts.rename(final)
        for path in [*final.glob("broken-*"), *final.glob("fresh-*")]:
            path.unlink(missing_ok=True)
    except (OSError, RuntimeError, ValueError) as error:  # array_record and TFDS raise the latter two
        if isinstance(error, DataError):
            raise
        if final.exists():  # another process came first, and took the parts with it
            shutil.rmtree(parts, ignore_errors=True)
            return final
        said = getattr(error, "strerror", None) or error
        raise DataError(
            f"{fileset.title} cannot be prepared in {directory}: {said}. Make room or give data.data_dir a "
            "directory that can be written; what is done so far is kept."
        ) from error
    return final


def skipped_of(directory: Path) -> list[Skipped]:
    """The files that were found broken when a set was prepared."""
    try:
        return [Skipped(*skip) for skip in json.loads((directory / "skipped.json").read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{directory} is damaged ({error}); delete it, and it is made again.") from error


def _check_room(fileset: FileSet, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    needed, free = _bytes_of_one(fileset) * len(fileset.rows), shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{fileset.title} takes {needed / 2**30:.2f} GiB to prepare, and {directory} has "
            f"{free / 2**30:.2f} free. Make room, set data.data_dir, or a smaller data.size."
        )


def _bytes_of_one(fileset: FileSet) -> int:
    return sum(int(np.prod(shape)) * fileset.dtypes[key].itemsize for key, shape in fileset.shapes.items())


def _convert(fileset: FileSet, parts: Path, name: str, *, progress: bool) -> tuple[list[int], list[Skipped]]:
    """Decodes all examples into shards; those that are there stay. Their lengths, and what is broken."""
    parts.mkdir(exist_ok=True)
    size = max(1, min(SHARD_EXAMPLES, SHARD_BYTES // _bytes_of_one(fileset)))
    starts = range(0, len(fileset.rows), size)
    lengths, skipped = list[int](), list[Skipped]()
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=len(fileset.rows), desc=fileset.title, unit=" images", disable=not progress) as bar,
    ):
        for number, start in enumerate(starts):
            rows = fileset.rows[start : start + size]
            path = parts / f"{name}-train.array_record-{number:05d}-of-{len(starts):05d}"
            broken = path.with_name(f"broken-{number:05d}.json")
            if not path.exists():
                _convert_shard(fileset, rows, path, broken, pool)
            found = [Skipped(*skip) for skip in json.loads(broken.read_text())]
            lengths.append(len(rows) - len(found))
            skipped += found
            bar.update(len(rows))
    return lengths, skipped


def _convert_shard(
    fileset: FileSet, rows: Sequence[Row], path: Path, broken: Path, pool: ThreadPoolExecutor
) -> None:
    """Writes what cannot be decoded, and then the shard, under its name only when it is whole."""
    fresh, bad = path.with_name(f"fresh-{secrets.token_hex(4)}"), list[Skipped]()
    writer = ArrayRecordWriter(os.fspath(fresh), "group_size:1")
    try:
        for start in range(0, len(rows), AT_A_TIME):
            some = rows[start : start + AT_A_TIME]
            made = pool.map(functools.partial(_read, fileset), some)
            for row, example in zip(some, made, strict=True):
                if isinstance(example, Skipped):
                    bad.append(example)
                else:
                    writer.write(_record(fileset, row, example))
        writer.close()
        broken.write_text(json.dumps([[*skip] for skip in bad]))
        fresh.rename(path)
    finally:
        if writer.is_open():
            writer.close()
        fresh.unlink(missing_ok=True)


def _read(fileset: FileSet, row: Row) -> dict[str, np.ndarray] | Skipped:
    try:
        return fileset.read(row)
    except Unreadable:
        raise  # it may be read another time: the conversion stops, and goes on then
    except DataError as error:
        return Skipped(row.name, str(error).removeprefix(f"{row.name} "))


def _record(fileset: FileSet, row: Row, images: Mapping[str, np.ndarray]) -> bytes:
    """An example as TFDS stores it."""
    example = tf_example_pb2.Example()
    for key, pixels in images.items():
        example.features.feature[key].bytes_list.value.append(pixels.tobytes())
    if fileset.classes:
        example.features.feature["label"].int64_list.value.append(row.label)
    return bytes(example.SerializeToString())


def _describe(
    fileset: FileSet, parts: Path, name: str, lengths: Sequence[int], skipped: Sequence[Skipped]
) -> None:
    """Writes what TFDS wants to know of the shards."""
    features: dict[str, Any] = {
        key: tfds.features.Tensor(
            shape=shape, dtype=fileset.dtypes[key], encoding=tfds.features.Encoding.BYTES
        )
        for key, shape in fileset.shapes.items()
    }
    if fileset.classes:
        features["label"] = tfds.features.ClassLabel(names=list(fileset.classes))
    template = tfds.core.ShardedFileTemplate(
        data_dir=parts, dataset_name=name, split="train", filetype_suffix="array_record"
    )
    size = sum(path.stat().st_size for path in parts.glob(f"{name}-train*"))
    split = tfds.core.SplitInfo(
        name="train", shard_lengths=list(lengths), num_bytes=size, filename_template=template
    )
    tfds.folder_dataset.write_metadata(
        data_dir=parts,
        features=tfds.features.FeaturesDict(features),
        split_infos=[split],
        version=_VERSION,
        check_data=False,
        description=f"{fileset.title}; {len(skipped)} files left out.",
        disable_shuffling=True,  # the order is the set's
    )
    (parts / "skipped.json").write_text(json.dumps([[*skip] for skip in dict.fromkeys(skipped)]))


def open_prepared(directory: Path, *, title: str, split: str) -> Source:
    """A prepared set, or a part of it.

    Raises:
      DataError: there is no such part.
    """
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    try:
        builder = tfds.builder_from_directory(directory)
        records = builder.as_data_source("train", deserialize_method=raw, file_format="array_record")
        records.__getitems__([0, len(records) - 1])
    except Exception as error:  # TFDS's and array_record's, of many kinds
        raise DataError(f"{directory} is damaged ({error}); delete it, and it is made again.") from error
    chosen = part_of(split, len(records), title=title)
    features = dict(builder.info.features)
    label = features.pop("label", None)
    shapes = {key: feature.shape for key, feature in features.items()}
    dtypes = {key: np.dtype(feature.np_dtype) for key, feature in features.items()}

    def read(indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        # What `_record` wrote, by hand: TFDS's parser, for features of any kind, takes several times as long.
        for record in records.__getitems__([chosen[index] for index in indices]):
            values = tf_example_pb2.Example.FromString(record).features.feature
            images = {
                key: np.frombuffer(values[key].bytes_list.value[0], dtypes[key]).reshape(shape)
                for key, shape in shapes.items()
            }
            yield images if label is None else images | {"label": values["label"].int64_list.value[0]}

    return source_of(
        title,
        read,
        length=len(chosen),
        shapes=shapes,
        dtypes=dtypes,
        classes=() if label is None else label.names,
        about={"set": directory.parent.name, "part": [chosen.start, chosen.stop]},
    )


def read_files(fileset: FileSet, *, split: str, strict: bool, progress: bool) -> Source:
    """A set read from its files at every opening, each decoded once now to find the broken ones.

    Raises:
      DataError: broken files under `strict`, no sound one, no such part.
    """
    source, _, skipped = read_all(fileset, split=split, progress=progress)
    _report(fileset, skipped, strict=strict)
    return source


def read_all(fileset: FileSet, *, split: str, progress: bool) -> tuple[Source, list[str], list[Skipped]]:
    """A set's sound examples, their names, and what is broken.

    Raises:
      DataError: no sound one, no such part.
    """

    def broken(row: Row) -> Skipped | None:
        made = _read(fileset, row)
        return made if isinstance(made, Skipped) else None

    with ThreadPoolExecutor(THREADS) as pool:
        looked = pool.map(broken, fileset.rows)
        bar = tqdm(looked, total=len(fileset.rows), desc=fileset.title, disable=not progress)
        results = list(zip(fileset.rows, bar, strict=True))
    skipped = [skip for _, skip in results if skip is not None]  # a file for each of its tiles
    sound = [row for row, skip in results if skip is None]
    if not sound:
        raise DataError(
            f"{fileset.title} has no image that can be read: {skipped[0].name}: {skipped[0].reason}"
        )
    chosen = part_of(split, len(sound), title=fileset.title)  # as of a prepared set
    rows = sound[chosen.start : chosen.stop]
    source = source_of(
        fileset.title,
        lambda indices: ({**fileset.read(rows[i]), "label": rows[i].label} for i in indices),
        length=len(rows),
        shapes=fileset.shapes,
        dtypes=fileset.dtypes,
        classes=fileset.classes,
        about={"set": f"files_{fileset.digest[:32]}", "part": [chosen.start, chosen.stop]},
    )
    return source, [row.title for row in rows], [*dict.fromkeys(skipped)]


def _report(fileset: FileSet, skipped: Sequence[Skipped], *, strict: bool) -> None:
    """Names files that cannot be used once, or refuses them; where no other is left, it always does."""
    if strict:
        _refuse(fileset, skipped)
    if len(skipped) == len(fileset.rows):
        raise DataError(
            f"{fileset.title} has no image that can be read: {skipped[0].name}: {skipped[0].reason}"
        )
    for skip in [*fileset.skipped, *dict.fromkeys(skipped)]:
        logging.getLogger(__name__).warning("%s: left out: %s: %s", fileset.title, skip.name, skip.reason)


def _refuse(fileset: FileSet, skipped: Sequence[Skipped]) -> None:
    if skipped:
        raise DataError(
            f"{fileset.title}: {len({*skipped})} files are broken, such as {skipped[0].name}: "
            f"{skipped[0].reason} Remove them, or leave data.strict out."
        )
