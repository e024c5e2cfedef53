"""Splits of folders share their labels, and what is lost on the way is said."""

import json
import struct
import zlib

import numpy as np
import pytest
from made_sets import put, save, tree

from jaxgan import data


def named(source):
    """The class of each example, by its first pixel."""
    images, labels = source.arrays["image"], source.arrays["label"]
    return {tuple(image[0, 0]): source.classes[label] for image, label in zip(images, labels, strict=True)}


def test_a_class_has_one_number_in_all_splits(opened, root):
    names = [f"train/{c}/1.png" for c in "abc"] + [f"test/{c}/1.png" for c in "ac"]
    pixels = tree(root, names)
    train, test = opened(), opened(split="test")
    assert train.classes == test.classes == ("a", "b", "c")
    assert sorted(train.arrays["label"]) == [0, 1, 2] and sorted(test.arrays["label"]) == [0, 2]
    assert named(test) == {tuple(pixels[f"test/{c}/1.png"][0, 0]): c for c in "ac"}


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_file_of_labels_above_the_splits_is_read(opened, root, kind):
    names = ["train/1.png", "train/2.png", "test/1.png"]
    pixels = tree(root, names)
    if kind == "csv":
        (root / "labels.csv").write_text("train/1.png,cat\ntrain/2.png,dog\ntest/1.png,dog\n")
        classes = ("cat", "dog")
    else:
        (root / "dataset.json").write_text(json.dumps({"labels": dict(zip(names, (0, 1, 1), strict=True))}))
        classes = ("0", "1")
    train, test = opened(), opened(split="test")
    assert train.classes == test.classes == classes
    assert named(train) == {tuple(pixels[n][0, 0]): c for n, c in zip(names[:2], classes, strict=True)}
    assert test.arrays["label"].tolist() == [1]


def test_a_readme_beside_the_only_folder_takes_no_labels_away(opened, root):
    tree(root, ["set/a/1.png", "set/b/1.png"])
    (root / "README.txt").write_text("photos")
    assert opened().classes == ("a", "b")


def test_a_mixture_says_which_source_took_its_labels(opened, root, said):
    tree(root, ["x/a/1.png", "x/b/1.png", "y/1.png", "y/2.png"])
    assert opened(f"mixture:{root / 'x'},{root / 'y'}").classes == ()
    assert any("y:train has no labels: the mixture has none" in line for line in said())


def test_strict_is_of_the_split_alone(opened, root):
    tree(root, ["train/1.png", "train/2.png", "test/1.png"])
    put(root, {"test/broken.png": b"no picture"})
    assert len(opened(strict=True)) == 2
    with pytest.raises(data.DataError, match="1 files cannot be used, such as broken.png"):
        opened(split="test", strict=True)


def deep_png(values):
    """A PNG of 16-bit colours, which Pillow cannot write: uint16 [H,W,3]."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_colours_of_16_bits_are_read_with_8_and_that_is_said(opened, root, said):
    values = np.arange(6 * 5 * 3, dtype=np.uint16).reshape(6, 5, 3) * 700
    put(root, {"deep.png": deep_png(values)})
    source = opened()
    assert source.dtype == np.uint8
    np.testing.assert_array_equal(source.arrays["image"][0], values >> 8)
    assert any("1 files of 16 bits are read with 8, as image/deep.png" in line for line in said())


def test_grey_of_16_bits_is_not_said_to_be_coarsened(opened, root, said):
    save(root / "grey.png", (np.arange(30, dtype=np.uint16) * 2000).reshape(6, 5))
    assert opened().dtype == np.uint16 and said() == []
