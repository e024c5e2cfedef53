"""Labels of files: from a dataset.json or labels.csv at the set's root, or else from its sub-folders."""

import csv
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxgan.data.listing import File
from jaxgan.data.sources import DataError

MAX_CLASSES = 100_000


_LOG = logging.getLogger(__name__)
FILES = ("dataset.json", "labels.csv")  # of labels


class Labels(NamedTuple):
    """A label for each labelled file, by name, and the names of the classes, by label; both empty: none."""

    of: Mapping[str, int]
    classes: tuple[str, ...]


def find_labels(
    files: Sequence[File], images: Iterable[str], *, among: Iterable[str], folder: str, title: str
) -> Labels:
    """Finds the labels of images.

    - `dataset.json`: {"labels": [[name, label], ...]} or {"labels": {name: label}}, labels from 0.
    - `labels.csv`: lines of name and class, which may have a header; classes that are all integers are labels
      from 0, others are numbered in alphabetical order.
    - sub-folders: the classes, in alphabetical order, where every image is in one and there are several.

    Args:
      files: of the split, and the file of labels.
      images: names of those that are images and can be used.
      among: names of all images of all splits, so that a class has one number in all of them.
      folder: the split's, as a file of labels above it has it before names; or "".
      title: of the set, for errors.

    Raises:
      DataError: labels that cannot be read, are out of range, or are not there for some images.
    """
    images, by_name = list(images), {file.name: file for file in files}
    if "dataset.json" in by_name:
        given = _of_json(_read(by_name["dataset.json"], title), f"{title}: dataset.json")
    elif "labels.csv" in by_name:
        given = _of_csv(_read(by_name["labels.csv"], title), f"{title}: labels.csv")
    else:
        folders = {name: name.split("/")[0] for name in images if "/" in name}
        classes = {name.split("/")[0] for name in among if "/" in name}
        if len(classes) > 1 and len(folders) < len(images):
            outside = next(name for name in images if name not in folders)
            _LOG.warning("%s: %s is in no sub-folder, so that these are no classes.", title, outside)
        if len(classes) < 2 or len(folders) < len(images):
            return Labels({}, ())
        numbers = {name: label for label, name in enumerate(sorted(classes))}
        return Labels({name: numbers[top] for name, top in folders.items()}, tuple(numbers))
    if not given:
        return Labels({}, ())
    labels = _numbered(given, title)
    if any(name.startswith(folder) for name in given):
        labels = labels._replace(of={name.removeprefix(folder): label for name, label in labels.of.items()})
    without = [name for name in images if name not in labels.of]
    if without:
        raise DataError(
            f"{title}: {len(without)} images have no label, such as {without[0]}. Label them, or take the "
            "file of labels away."
        )
    return labels


def _read(file: File, title: str) -> bytes:
    try:
        return file.read()
    except OSError as error:
        raise DataError(f"{title}: {file.name} cannot be read: {error.strerror}.") from error


def _of_json(data: bytes, title: str) -> dict[str, Any]:
    try:
        labels = json.loads(data)["labels"]
        given = dict(labels or {})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f'{title} cannot be read ({error!r}); expected {{"labels": [["name.png", 0], ...]}}.'
        ) from error
    if len(given) < len(labels or {}):
        raise DataError(f"{title} names a file twice; expected one label for each.")
    wrong = [name for name, label in given.items() if type(label) is not int]
    if wrong:
        raise DataError(f"{title}: the label of {wrong[0]} is {given[wrong[0]]!r}, expected an integer.")
    return given


# Heads of columns that have a point, as no others have.
_HEADERS = ("file.name", "file.path", "image.name", "image.path")


def _of_csv(data: bytes, title: str) -> dict[str, Any]:
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{title} cannot be read: {error}.") from error
    wrong = [i for i, row in enumerate(rows, 1) if len(row) != 2]
    if wrong:
        raise DataError(f"{title}, line {wrong[0]}: {len(rows[wrong[0] - 1])} columns, expected name,class.")
    if rows and (rows[0][0].lower() in _HEADERS or "." not in rows[0][0]):
        rows = rows[1:]
    given = {name.strip(): label.strip() for name, label in rows}
    if len(given) < len(rows):
        raise DataError(f"{title} names a file twice; expected a line for each.")
    if given and all(_is_integer(label) for label in given.values()):
        return {name: int(label) for name, label in given.items()}
    return given


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20


def _numbered(given: Mapping[str, Any], title: str) -> Labels:
    """Labels from 0, of classes that are integers or texts."""
    found = {*given.values()}
    if all(isinstance(label, int) for label in found):
        low, high = min(found), max(found)
        if low < 0 or high >= MAX_CLASSES:
            raise DataError(
                f"{title}: labels go from {low} to {high}, expected 0 to {MAX_CLASSES - 1} at most."
            )
        missing = sorted({*range(high + 1)} - found)
        if missing:
            raise DataError(
                f"{title}: labels go up to {high}, but no image has the label {missing[0]}. Number the "
                "classes from 0 without gaps."
            )
        return Labels(dict(given), tuple(map(str, range(high + 1))))
    classes = sorted(found)
    if "" in classes:
        raise DataError(f"{title} has an empty class; name it.")
    numbers = {name: i for i, name in enumerate(classes)}
    return Labels({name: numbers[label] for name, label in given.items()}, tuple(classes))
