"""Splits of folders share their labels, and what is lost on the way is said."""

import io
import json
import os
import struct
import tracemalloc
import zlib

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import png
import pytest
from made_sets import put, save, tree

from jaxgan import data
from jaxgan.data import decoding


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


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_pngs_of_16_bits_keep_them(opened, root, said, channels, interlaced):
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, channels), np.uint16)
    root.mkdir(exist_ok=True)
    writer = png.Writer(
        5, 6, greyscale=channels < 3, alpha=channels % 2 == 0, bitdepth=16, interlace=interlaced
    )
    with (root / "deep.png").open("wb") as file:
        writer.write_array(file, values.ravel().tolist())
    source = opened()
    assert source.dtype == np.uint16 and said() == []
    np.testing.assert_array_equal(source.arrays["image"], [values])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pixels_are_turned_as_pillow_turns_others(orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
    image = PIL.Image.fromarray(pixels)
    image.getexif()[PIL.ExifTags.Base.Orientation] = orientation
    expected = np.asarray(PIL.ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decoding._turned(pixels, orientation), expected)


def test_a_broken_deep_png_is_left_out(opened, root, said):
    values = np.random.default_rng(0).integers(0, 65536, (40, 50, 3), np.uint16)
    file = io.BytesIO()
    png.Writer(50, 40, greyscale=False, bitdepth=16).write_array(file, values.ravel().tolist())
    put(root, {"good.png": file.getvalue(), "cut.png": file.getvalue()[:-300]})
    assert len(opened()) == 1 and any("left out: cut.png: is broken" in line for line in said())


def test_a_deep_png_that_holds_more_than_it_claims_is_not_decompressed(opened, root, said):
    """200 MB of zeros in 200 KB, said to be 6x5 pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 6, 16, 2, 0, 0, 0))
    bomb = chunk(b"IDAT", zlib.compress(bytes(200_000_000), 9))
    put(root, {"bomb.png": b"\x89PNG\r\n\x1a\n" + header + bomb + chunk(b"IEND", b"")})
    tree(root, ["good.png"])
    tracemalloc.start()
    try:
        assert len(opened()) == 1
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert any("bomb.png: is broken: it holds more than the pixels that it claims" in line for line in said())


def test_colour_tiffs_of_16_bits_are_read_with_8_and_that_is_said():
    """By their header alone: Pillow cannot write one."""
    image = PIL.Image.new("RGB", (5, 6))
    image.tag_v2 = {PIL.ExifTags.Base.BitsPerSample: (16, 16, 16)}
    assert (
        max(decoding._bits_of_tiff(image)) == 16
        and max(decoding._bits_of_tiff(PIL.Image.new("L", (1, 1)))) == 8
    )


def test_grey_of_16_bits_is_not_said_to_be_coarsened(opened, root, said):
    save(root / "grey.png", (np.arange(30, dtype=np.uint16) * 2000).reshape(6, 5))
    assert opened().dtype == np.uint16 and said() == []


def test_splits_are_known_however_they_are_called(opened, root):
    tree(root, ["Train/1.png", "Train/2.png", "TESTING/1.png"])
    assert (len(opened()), len(opened(split="test"))) == (2, 1)


def test_images_beside_splits_are_refused(opened, root):
    tree(root, ["train/1.png", "test/1.png", "preview.png"])
    with pytest.raises(
        data.DataError, match="has test, train, which are splits, and preview.png beside them"
    ):
        opened()


def test_an_image_outside_of_the_classes_is_said(opened, root, said):
    tree(root, ["a/1.png", "b/1.png", "contact_sheet.png"])
    assert opened().classes == ()
    assert any("contact_sheet.png is in no sub-folder, so that these are no classes" in s for s in said())


def test_a_file_that_is_replaced_with_its_old_times_is_seen(opened, root):
    first, second = (np.full((6, 5), value, np.uint8) for value in (1, 2))
    save(root / "a.bmp", first)
    about = (root / "a.bmp").stat()
    assert (opened().arrays["image"] == 1).all()
    (root / "a.bmp").unlink()
    save(root / "a.bmp", second)
    os.utime(root / "a.bmp", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (root / "a.bmp").stat().st_size == about.st_size
    assert (opened().arrays["image"] == 2).all()


def test_a_set_of_any_size_is_written_without_tensorflow(opened, root, monkeypatch):
    from tensorflow_datasets.core import shuffle

    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 100)  # above which TFDS's own writer wants it
    monkeypatch.setattr("jaxgan.data.prepared.SHARD_BYTES", 2 * 90)
    pixels = tree(root, [f"{i}.png" for i in range(5)])
    found = opened().arrays["image"]
    assert len(found) == 5 and {x.tobytes() for x in found} == {x.tobytes() for x in pixels.values()}


def test_a_prepared_set_is_one_that_tfds_can_read(opened, root, tmp_path):
    import tensorflow_datasets as tfds

    tree(root, ["a/1.png", "b/1.png", "b/2.png"])
    source = opened()
    (directory,) = (tmp_path / "data").glob("files_*/1.0.0")
    records = tfds.builder_from_directory(directory).as_data_source("train")
    for i, record in enumerate(records):
        np.testing.assert_array_equal(record["image"], source.arrays["image"][i])
        assert record["label"] == source.arrays["label"][i]


def test_masks_with_palettes_keep_their_numbers(opened, root, tmp_path):
    tree(tmp_path / "here" / "photos", ["1.png"])
    mask = PIL.Image.fromarray(np.arange(30, dtype=np.uint8).reshape(6, 5), "L").convert("P")
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    mask.putdata(list(range(30)))
    save(tmp_path / "here" / "masks" / "1.png", mask)
    found = opened("masks:photos,masks").arrays["mask"]
    np.testing.assert_array_equal(found[0, ..., 0], np.arange(30).reshape(6, 5))


def test_the_inputs_of_another_domain_have_their_own_size(opened, tmp_path):
    tree(tmp_path / "here" / "a", ["1.png"])
    tree(tmp_path / "here" / "b", ["1.png"])
    layout = data.Layout(size=(4, 4))
    source = opened("unpaired:a,b", layout=layout, input_layout=layout._replace(size=(2, 2)))
    assert source.image_shape == (4, 4, 3) and source.others["input"].image_shape == (2, 2, 3)


def test_what_a_mixture_repeats_is_from_all_over_its_source():
    images = np.zeros((100, 2, 2, 1), np.uint8)
    sorted_ = data.from_arrays(images, np.repeat([0, 1], 50), name="sorted")
    other = data.from_arrays(np.zeros((150, 2, 2, 1), np.uint8), np.zeros(150, int), name="other")
    mixture = data.mix([sorted_, other], [0.5, 0.5], name="both")
    examples = mixture.gather(np.arange(len(mixture)))
    counts = np.bincount(examples["label"][examples["domain"] == 0])
    assert counts.sum() == 150 and np.abs(counts - 75).max() < 12  # and not 100 and 50


def test_a_mixtures_fingerprint_follows_its_classes():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    a = data.from_arrays(images, [0, 1], classes=("cat", "dog"), name="a")
    prints = {
        data.mix(
            [a, data.from_arrays(images, [0, 1], classes=classes, name="b")], [None, None], name="ab"
        ).fingerprint
        for classes in (("cat", "dog"), ("cat", "fox"), ("dog", "cat"))
    }
    assert len(prints) == 3


def test_domains_are_called_by_what_was_asked_for(opened, root):
    tree(root, [f"x/{i}.png" for i in range(2)] + ["y/1.png"], shape=(8, 8))
    mixture = opened(f"mixture:tfds:digits*1,folder:{root}/x/*1,{root}/y*1")
    assert mixture.domains == ("digits", "x", "y")
