"""Image files converted once, into a set that TFDS and array_record read by index at full speed."""

import contextlib
import errno
import functools
import json
import logging
import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from jaxgan.data.filesets import FileSet, Row
from jaxgan.data.listing import Skipped
from jaxgan.data.records import source_of
from jaxgan.data.sources import DataError, Source
from jaxgan.data.splits import part_of

CHUNK = 256  # examples of which a file is made on the way: what an interruption loses at most
THREADS = 8
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
    if (final / "dataset_info.json").exists():
        if strict:
            _refuse(fileset, skipped_of(final))
        return final
    try:
        _check_room(fileset, directory)
        skipped = _convert(fileset, parts, progress=progress)
        _report(fileset, skipped, strict=strict)
        _write(fileset, name, directory, parts, skipped)
    except OSError as error:
        if (final / "dataset_info.json").exists():  # another process came first, and took the parts away
            return final
        raise DataError(
            f"{fileset.title} cannot be prepared in {directory}: {error.strerror or error}. Make room or "
            "give data.data_dir a directory that can be written; what is done so far is kept."
        ) from error
    shutil.rmtree(parts, ignore_errors=True)
    return final


def skipped_of(directory: Path) -> list[Skipped]:
    """The files that were found broken when a set was prepared."""
    return [Skipped(*skip) for skip in json.loads((directory.parent / "skipped.json").read_text())]


def _check_room(fileset: FileSet, directory: Path) -> None:
    """Twice the set's size is taken: by its parts, and by what they become."""
    directory.mkdir(parents=True, exist_ok=True)
    size = sum(int(np.prod(shape)) * fileset.dtypes[key].itemsize for key, shape in fileset.shapes.items())
    needed, free = 2 * size * len(fileset.rows), shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{fileset.title} takes {needed / 2**30:.2f} GiB to prepare, and {directory} has "
            f"{free / 2**30:.2f} free. Make room, set data.data_dir, or a smaller data.size."
        )


def _convert(fileset: FileSet, parts: Path, *, progress: bool) -> list[Skipped]:
    """Decodes all examples into files of CHUNK examples each; those that are there stay."""
    parts.mkdir(exist_ok=True)
    skipped = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=len(fileset.rows), desc=fileset.title, unit=" images", disable=not progress) as bar,
    ):
        for start in range(0, len(fileset.rows), CHUNK):
            rows = fileset.rows[start : start + CHUNK]
            path = parts / f"{start:09d}.npz"
            if not path.exists():
                _convert_chunk(fileset, rows, path, pool)
            with np.load(path) as chunk:
                names, reasons = chunk["skipped"].tolist(), chunk["reasons"].tolist()
            skipped += [Skipped(name, reason) for name, reason in zip(names, reasons, strict=True)]
            bar.update(len(rows))
    return skipped


def _convert_chunk(fileset: FileSet, rows: Sequence[Row], path: Path, pool: ThreadPoolExecutor) -> None:
    made = list(zip(rows, pool.map(functools.partial(_read, fileset), rows), strict=True))
    good = [(row, images) for row, images in made if not isinstance(images, Skipped)]
    bad = [skip for _, skip in made if isinstance(skip, Skipped)]
    arrays = {
        key: np.stack([images[key] for _, images in good])
        if good
        else np.zeros((0, *shape), fileset.dtypes[key])
        for key, shape in fileset.shapes.items()
    }
    arrays["label"] = np.array([row.label for row, _ in good], np.int32)
    arrays["skipped"] = np.array([name for name, _ in bad], np.str_)
    arrays["reasons"] = np.array([reason for _, reason in bad], np.str_)
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    try:
        with fresh.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _read(fileset: FileSet, row: Row) -> dict[str, np.ndarray] | Skipped:
    try:
        return fileset.read(row)
    except DataError as error:
        return Skipped(row.name, str(error).removeprefix(f"{row.name} "))


class _Files(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """TFDS's builder of converted parts."""

    VERSION = tfds.core.Version(_VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {_VERSION: "Made of files."}

    def __init__(self, fileset: FileSet, parts: Path, skipped: Sequence[Skipped], **options: Any) -> None:
        self.fileset, self.parts, self.skipped = fileset, parts, skipped
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            key: tfds.features.Tensor(
                shape=shape, dtype=self.fileset.dtypes[key], encoding=tfds.features.Encoding.BYTES
            )
            for key, shape in self.fileset.shapes.items()
        }
        if self.fileset.classes:
            features["label"] = tfds.features.ClassLabel(names=list(self.fileset.classes))
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.fileset.title}; {len(self.skipped)} files left out.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # the order is the set's
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        number, names = 0, [*self.fileset.shapes, *(["label"] if self.fileset.classes else [])]
        for path in sorted(self.parts.glob("*.npz")):
            with np.load(path) as chunk:
                for values in zip(*(chunk[name] for name in names), strict=True):
                    yield number, dict(zip(names, values, strict=True))
                    number += 1


def _write(fileset: FileSet, name: str, directory: Path, parts: Path, skipped: Sequence[Skipped]) -> None:
    with registered.skip_registration():
        builder_class = type(name, (_Files,), {"name": name})
    (directory / name).mkdir(exist_ok=True)
    (directory / name / "skipped.json").write_text(json.dumps([[*skip] for skip in skipped]))
    builder = builder_class(fileset, parts, skipped, data_dir=directory, file_format="array_record")
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(None):  # it announces a download, and there is none
            builder.download_and_prepare()
    except OSError:
        if not builder.is_prepared():  # another process came first, and is served
            raise
    except RuntimeError as error:  # array_record's, of what it cannot write
        raise OSError(errno.EIO, str(error)) from error


def open_prepared(directory: Path, *, title: str, split: str) -> Source:
    """A prepared set, or a part of it.

    Raises:
      DataError: there is no such part.
    """
    builder = tfds.builder_from_directory(directory)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    records = builder.as_data_source("train", deserialize_method=raw, file_format="array_record")
    chosen = part_of(split, len(records), title=title)
    features = dict(builder.info.features)
    label = features.pop("label", None)
    shapes = {key: feature.shape for key, feature in features.items()}
    dtypes = {key: np.dtype(feature.np_dtype) for key, feature in features.items()}

    def read(indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        # What `_Files` wrote, by hand: TFDS's parser, for features of any kind, takes several times as long.
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
        about={"directory": directory.parent.name, "part": [chosen.start, chosen.stop]},
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
    skipped = [skip for _, skip in results if skip is not None]
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
        about={"digest": fileset.digest, "part": [chosen.start, chosen.stop], "length": len(rows)},
    )
    return source, [row.name for row in rows], skipped


def _report(fileset: FileSet, skipped: Sequence[Skipped], *, strict: bool) -> None:
    """Names files that cannot be used once, or refuses them; where no other is left, it always does."""
    if strict:
        _refuse(fileset, skipped)
    if len(skipped) == len(fileset.rows):
        raise DataError(
            f"{fileset.title} has no image that can be read: {skipped[0].name}: {skipped[0].reason}"
        )
    for skip in [*fileset.skipped, *skipped]:
        logging.getLogger(__name__).warning("%s: left out: %s: %s", fileset.title, skip.name, skip.reason)


def _refuse(fileset: FileSet, skipped: Sequence[Skipped]) -> None:
    if skipped:
        raise DataError(
            f"{fileset.title}: {len(skipped)} files are broken, such as {skipped[0].name}: "
            f"{skipped[0].reason} Remove them, or leave data.strict out."
        )
