"""Sets that TFDS has prepared as array_record, read by index without TensorFlow."""

import contextlib
import difflib
import io
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants, naming, read_only_builder, registered
from tensorflow_datasets.core.utils import file_utils

from jaxgan.data.digits import Digits
from jaxgan.data.sources import Arrays, DataError, Source, fingerprint_of, from_arrays

MEMORY_LIMIT_BYTES = 2**30  # sets up to this size, decoded, are decoded into memory when opened
FINGERPRINT_SAMPLES = 64  # examples that stand for a larger set in its fingerprint
OWN_SETS = {"digits": Digits}  # prepared when first opened

_FORMAT = "array_record"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_MAX_PIXELS = 2**26  # of an image, 8192 x 8192
_THREADS = 8  # that decode a set into memory, _CHUNK examples at a time
_CHUNK = 256


def open_tfds(name: str, *, split: str, data_dir: str | os.PathLike[str] | None) -> Source:
    """Opens a TFDS set; `jaxgan.data.open_source` documents the arguments and the errors.

    The images are the top-level `features.Image`, the labels the top-level `features.ClassLabel`;
    where there are several, the one called "image" or "label". Several class labels without one of
    that name leave the images unlabelled, and a warning is logged.
    """
    builder = _find_builder(name, data_dir)
    available = {file_format.value for file_format in builder.info.available_file_formats()}
    if _FORMAT not in available:
        root = builder.data_path.parents[builder.info.full_name.count("/")]
        raise DataError(
            f"tfds:{name} is prepared as {', '.join(sorted(available))} in {builder.data_dir}, "
            f"which cannot be read by index. Expected {_FORMAT}: delete that directory. "
            + _how_to_prepare(name, root)
        )
    records = _open_records(builder, name, split)
    title = f"tfds:{builder.info.full_name}:{split}"
    examples = _Examples.of(title, records, builder.info.features)
    size = len(records) * int(np.prod(examples.shape))
    if size <= MEMORY_LIMIT_BYTES:
        arrays = examples.read_all()
        return from_arrays(arrays["image"], arrays.get("label"), classes=examples.classes or None, name=title)
    samples = np.linspace(0, len(records) - 1, FINGERPRINT_SAMPLES).astype(int)
    about = {"name": builder.info.full_name, "split": split, "length": len(records)}
    return Source(
        name=title,
        image_shape=examples.shape,
        classes=examples.classes,
        fingerprint=fingerprint_of(examples.read(samples), about),
        length=len(records),
        read=examples.read,
    )


@dataclass(frozen=True)
class _Examples:
    """Decodes the records of a split."""

    title: str
    records: Sequence[dict] = field(repr=False)
    image: str  # name of the feature
    label: str | None
    shape: tuple[int, int, int]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, title: str, records: Any, features: Any) -> "_Examples":
        image, label = _image_feature(title, features), _label_feature(title, features)
        channels = features[image].shape[-1]
        height, width = _decode(records[0][image], channels, f"{title}: example 0").shape[:2]
        classes = () if label is None else _class_names(features[label])
        return cls(title, records, image, label, (height, width, channels), classes)

    def read(self, indices: np.ndarray) -> Arrays:
        images = np.empty((len(indices), *self.shape), np.uint8)
        labels = np.empty(len(indices), np.int32)
        for row, index in enumerate(indices.tolist()):
            record = self.records[index]
            name = f"{self.title}: example {index}"
            images[row] = self._checked(_decode(record[self.image], self.shape[-1], name), index)
            if self.label is not None:
                labels[row] = self._checked_label(record[self.label], index)
        return {"image": images} | ({} if self.label is None else {"label": labels})

    def read_all(self) -> Arrays:
        count = len(self.records)
        empty = self.read(np.arange(0))
        whole = {key: np.empty((count, *x.shape[1:]), x.dtype) for key, x in empty.items()}

        def fill(start: int) -> None:
            stop = min(start + _CHUNK, count)
            for key, value in self.read(np.arange(start, stop)).items():
                whole[key][start:stop] = value

        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(fill, range(0, count, _CHUNK)))
        return whole

    def _checked(self, image: np.ndarray, index: int) -> np.ndarray:
        if image.shape != self.shape:
            raise DataError(
                f"{self.title}: images vary in size: example {index} is {image.shape[:2]}, "
                f"expected {self.shape[:2]} as example 0 is (height, width). Resizing is not "
                "offered yet: prepare the set with images of one size."
            )
        return image

    def _checked_label(self, label: int, index: int) -> int:
        if not 0 <= label < len(self.classes):
            raise DataError(
                f"{self.title}: example {index} has the label {label}, expected 0 to "
                f"{len(self.classes) - 1}. Choose a split whose examples are all labelled."
            )
        return label


def _decode(data: bytes, channels: int, name: str) -> np.ndarray:
    """The pixels of a PNG or JPEG file, uint8 [H,W,C]; its size is known before any pixel is decoded."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DataError(f"{name} is {image.width}x{image.height}, more than {_MAX_PIXELS:,} pixels.")
            if image.mode[0] in "IF":
                raise DataError(f"{name} has pixels of more than 8 bits ({image.mode}); prepare it as uint8.")
            pixels = np.asarray(image.convert(_MODES[channels]))
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"{name} is no PNG or JPEG file that can be read ({error}).") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _of_type(features: Any, kind: type) -> list[str]:
    # Sorted: the order of features that were read from files differs from run to run.
    return sorted(key for key, value in features.items() if isinstance(value, kind))


def _image_feature(title: str, features: Any) -> str:
    found = _of_type(features, tfds.features.Image)
    key = "image" if "image" in found else found[0] if len(found) == 1 else None
    if key is None:
        raise DataError(
            f"{title}: expected one image feature, or one called 'image'; the set has "
            f"{found or 'none'} among its features {sorted(features)}. Choose another set."
        )
    feature = features[key]
    if feature.np_dtype != np.uint8 or feature.shape[-1] not in _MODES or len(feature.shape) != 3:
        raise DataError(
            f"{title}: the feature {key!r} holds {np.dtype(feature.np_dtype)} images "
            f"{feature.shape}, expected uint8 (H, W, C) with 1, 3 or 4 channels. "
            "Choose another set."
        )
    return key


def _label_feature(title: str, features: Any) -> str | None:
    found = _of_type(features, tfds.features.ClassLabel)
    if "label" in found or len(found) == 1:
        return "label" if "label" in found else found[0]
    if found:
        logging.getLogger(__name__).warning(
            "%s has the class labels %s and none called 'label': it is read without labels.",
            title,
            found,
        )
    return None


def _class_names(feature: Any) -> tuple[str, ...]:
    return tuple(feature.names or map(str, range(feature.num_classes)))


def _open_records(builder: Any, name: str, split: str) -> Any:
    images = _of_type(builder.info.features, tfds.features.Image)
    # Images are decoded here, by PIL whether or not OpenCV is there, and only the one in use.
    skip = {key: tfds.decode.SkipDecoding() for key in images}
    try:
        records = builder.as_data_source(split, decoders=skip, file_format=_FORMAT)
        if len(records):
            return records
        reason = "The split is empty."
    except ValueError as error:
        reason = str(error)
    splits = {key: info.num_examples for key, info in builder.info.splits.items()}
    raise DataError(
        f"tfds:{name}: the split {split!r} cannot be read: {reason} The set has the splits "
        f"{splits} (examples); slices such as 'train[:80%]' work."
    )


def _find_builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    directory = None if data_dir is None else os.path.expanduser(data_dir)
    try:
        plain = str(naming.parse_builder_name_kwargs(name)[0])
        # From files alone: TFDS's builders by code ask the network for what is not there.
        builder = _builder_from_files(name, directory)
        if builder is None and plain in OWN_SETS:
            _prepare(plain, directory)
            builder = _builder_from_files(name, directory)
    except DataError:
        raise
    except ValueError as error:  # a name that does not parse, or a set in several directories
        raise DataError(f"tfds:{name} cannot be opened. {error}") from None
    if builder is None:
        raise DataError(_not_found(name, plain, directory))
    return builder


def _builder_from_files(name: str, directory: str | None) -> Any:
    try:
        return read_only_builder.builder_from_files(name, data_dir=directory)
    except registered.DatasetNotFoundError:
        return None


def _prepare(name: str, directory: str | None) -> None:
    builder = OWN_SETS[name](data_dir=directory, file_format=_FORMAT)
    try:
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(None):  # it announces a download, and there is none
            builder.download_and_prepare()
    except OSError as error:
        # TFDS writes beside and renames at the end: whoever comes second fails, and is served.
        if not builder.is_prepared():
            raise DataError(
                f"tfds:{name} could not be prepared in {builder.data_dir}: {error}. "
                "Pass a data_dir, or set TFDS_DATA_DIR to a directory, that can be written."
            ) from error


def _not_found(name: str, plain: str, directory: str | None) -> str:
    if plain in OWN_SETS:
        return (
            f"tfds:{name} is not known: this package makes {plain} in version "
            f"{OWN_SETS[plain].VERSION}, without configs. Ask for 'tfds:{plain}'."
        )
    looked = ", ".join(str(path) for path in file_utils.list_data_dirs(directory))
    known = sorted({*OWN_SETS, *tfds.list_builders(with_community_datasets=False)})
    if plain in known:
        remedy = _how_to_prepare(name, directory or constants.DATA_DIR)
        return f"tfds:{name} is not prepared: it was looked for in {looked}. {remedy}"
    close = difflib.get_close_matches(plain, known)
    return (
        f"tfds:{name} is not known: TFDS has no set {plain!r}, and none of that name is prepared "
        f"in {looked}. " + (f"Did you mean {' or '.join(close)}?" if close else "Check the name.")
    )


def _how_to_prepare(name: str, directory: str | os.PathLike[str]) -> str:
    # Not `tfds build`: TFDS 4.9's command line also needs apache_beam.
    return (
        "Prepare it once, with a network (TensorFlow is not needed afterwards):\n"
        "  pip install -e '.[tensorflow]'  # in jaxgan's checkout\n"
        f'  python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
        f'data_dir={os.fspath(directory)!r}, file_format={_FORMAT!r}).download_and_prepare()"'
    )
