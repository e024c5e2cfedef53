"""Sets that TFDS has prepared as array_record, read by index without TensorFlow."""

import contextlib
import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants, naming, read_only_builder, registered
from tensorflow_datasets.core.utils import file_utils

from jaxgan.data.decoding import decode, inspect
from jaxgan.data.digits import Digits
from jaxgan.data.fitting import Layout, fit
from jaxgan.data.records import source_of
from jaxgan.data.shapes import Shapes
from jaxgan.data.sources import DataError, Source

OWN_SETS: dict[str, Any] = {"digits": Digits, "shapes": Shapes}  # prepared when first opened

_FORMAT = "array_record"


def open_tfds(name: str, *, split: str, layout: Layout, data_dir: str | os.PathLike[str] | None) -> Source:
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
    examples = _Examples.of(title, records, builder.info.features, layout)
    return source_of(
        title,
        examples.read,
        length=len(records),
        shapes={"image": examples.shape},
        dtypes={"image": examples.dtype},
        classes=examples.classes,
        about={
            "name": builder.info.full_name,
            "split": split,
            "length": len(records),
            "layout": [*layout],
        },
    )


@dataclass(frozen=True)
class _Examples:
    """Decodes the records of a split."""

    title: str
    records: Sequence[dict] = field(repr=False)
    image: str  # name of the feature
    label: str | None
    classes: tuple[str, ...]
    dtype: np.dtype
    layout: Layout  # complete
    sized: bool  # asked for; else all images are to have the first one's size

    @classmethod
    def of(cls, title: str, records: Any, features: Any, layout: Layout) -> "_Examples":
        image, label = _image_feature(title, features), _label_feature(title, features)
        channels = features[image].shape[-1] - bool(layout.background and features[image].shape[-1] == 4)
        header = inspect(records[0][image], name=f"{title}: example 0")
        complete = layout._replace(
            size=layout.size or (header.height, header.width), channels=layout.channels or channels
        )
        classes = () if label is None else _class_names(features[label])
        dtype = np.dtype(features[image].np_dtype)
        return cls(title, records, image, label, classes, dtype, complete, bool(layout.size))

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.layout.size, self.layout.channels)

    def read(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        records = self.records.__getitems__(indices)  # type: ignore[attr-defined]
        return map(self._made, indices, records)

    def _made(self, index: int, record: dict[str, Any]) -> dict[str, Any]:
        name = f"{self.title}: example {index}"
        pixels = decode(record[self.image], name=name)
        if not self.sized and pixels.shape[:2] != self.layout.size:
            raise DataError(
                f"{self.title}: images vary in size: example {index} is {pixels.shape[:2]}, expected "
                f"{self.layout.size} as example 0 is (height, width). Set data.size to (height, width)."
            )
        if pixels.dtype != self.dtype:
            raise DataError(f"{name} is {pixels.dtype}, and the set says {self.dtype}; prepare it again.")
        example = {"image": fit(pixels, self.layout)}
        if self.label is None:
            return example
        return example | {"label": self._checked_label(record[self.label], index)}

    def _checked_label(self, label: int, index: int) -> int:
        if not 0 <= label < len(self.classes):
            raise DataError(
                f"{self.title}: example {index} has the label {label}, expected 0 to "
                f"{len(self.classes) - 1}. Choose a split whose examples are all labelled."
            )
        return label


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
    whole = feature.np_dtype in (np.uint8, np.uint16)
    if not whole or feature.shape[-1] not in (1, 3, 4) or len(feature.shape) != 3:
        raise DataError(
            f"{title}: the feature {key!r} holds {np.dtype(feature.np_dtype)} images "
            f"{feature.shape}, expected uint8 or uint16 (H, W, C) with 1, 3 or 4 channels. "
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
