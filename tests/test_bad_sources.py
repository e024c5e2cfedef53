"""Tests of jaxgan.data: labels, pairs, mixtures, arrays, layouts and disks that cannot be used."""

import errno
import io
import json
import os
import pickle
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from made_sets import GOOD, noise, put, tree

from jaxgan import data
from jaxgan.data import listing, mixtures, prepared

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
TWO = {"a.png": GOOD, "b.png": GOOD}


def labels(text):
    return {**TWO, "labels.csv": text}


def dataset(content):
    return {**TWO, "dataset.json": content if isinstance(content, str) else json.dumps(content)}


def both(first, second):
    return {f"{folder}/{n}": GOOD for folder, names in (("x", first), ("y", second)) for n in names.split()}


SPLITS = {"train/a.png": GOOD, "test/a.png": GOOD}
PAIRS, MIXED = "pairs:SET/x,SET/y", "mixture:SET/x{},SET/y{}"
SETS = {
    # Folders
    "no folder": ({}, "folder:SET/away", "SET/away: there is no such folder, nor an archive"),
    "a file for a folder": (TWO, "folder:SET/a.png", "SET/a.png: there is no such folder, nor an archive"),
    "an endless name": ({}, "folder:SET/" + "x" * 5000, "x: there is no such folder"),
    "an empty folder": ({}, "folder:SET", "SET:train has no image that can be read"),
    "a folder without images": ({"a.txt": "a"}, "folder:SET", "has no image that can be read"),
    "an archive without images": (
        {"x.zip": b"PK\5\6" + bytes(18)},
        "folder:SET/x.zip",
        "x.zip:train has no image that can be read",
    ),
    "no such folder in an archive": (
        {"x.zip": b"PK\5\6" + bytes(18)},
        "folder:SET/x.zip/train",
        "x.zip has no folder 'train' with files in it",
    ),
    "images of several sizes": (
        {**TWO, "c.png": noise(4, 9)},
        "folder:SET",
        r"vary in size, from 4x9 to 6x5 \(height x width\). Set data.size to \(height, width\)",
    ),
    # Labels
    "a file labelled twice": (
        labels("a.png,0\nb.png,1\na.png,1"),
        "folder:SET",
        "labels.csv names a file twice",
    ),
    "three columns": (
        labels("a.png,0\nb.png,1,2"),
        "folder:SET",
        "labels.csv, line 2: 3 columns, expected name",
    ),
    "one column": (
        labels("a.png\nb.png"),
        "folder:SET",
        "labels.csv, line 1: 1 columns, expected name,class",
    ),
    "labels that are no text": (labels(b"a.png,\xff"), "folder:SET", "labels.csv cannot be read: .*utf-8"),
    "a column without an end": (labels("a.png," + "1" * 200_000), "folder:SET", "labels.csv cannot be read"),
    "an image without a label": (
        labels("a.png,0"),
        "folder:SET",
        "1 images have no label, such as b.png. Label",
    ),
    "a negative label": (
        labels("a.png,0\nb.png,-1"),
        "folder:SET",
        "labels go from -1 to 0, expected 0 to 99999",
    ),
    "a label beyond all": (
        labels("a.png,0\nb.png,100000"),
        "folder:SET",
        "labels go from 0 to 100000, expected",
    ),
    "a gap in labels": (
        labels("a.png,0\nb.png,2"),
        "folder:SET",
        "labels go up to 2, but no image has the label 1",
    ),
    "an empty class": (labels("a.png,cat\nb.png,"), "folder:SET", "has an empty class; name it"),
    "broken JSON": (dataset('{"labels": ['), "folder:SET", "dataset.json cannot be read .*expected"),
    "JSON that is no dict": (dataset([1]), "folder:SET", "dataset.json cannot be read .*TypeError"),
    "JSON without labels": (dataset({"classes": []}), "folder:SET", "dataset.json cannot be read .*'labels'"),
    "JSON of another form": (dataset({"labels": [[1, 2, 3]]}), "folder:SET", "dataset.json cannot be read"),
    "JSON without end": (dataset("[" * 100_000), "folder:SET", "dataset.json cannot be read .*Recursion"),
    "labels of fractions": (
        dataset({"labels": {"a.png": 0, "b.png": 1.5}}),
        "folder:SET",
        "label of b.png is 1.5, expected an integer",
    ),
    "labels of vectors": (
        dataset({"labels": [["a.png", [0, 1]], ["b.png", 1]]}),
        "folder:SET",
        r"label of a.png is \[0, 1\], expected an integer",
    ),
    "JSON that labels twice": (
        dataset({"labels": [["a.png", 0], ["a.png", 1], ["b.png", 1]]}),
        "folder:SET",
        "dataset.json names a file twice",
    ),
    # Splits
    "a split that is not there": (TWO, "folder:SET", "has no folder 'test'; all of it is 'train'", "test"),
    "a split among others": (SPLITS, "folder:SET", "has no folder 'val'; it has test, train", "val"),
    "no split": (TWO, "folder:SET", "The split '' is not known; expected one as 'train'", ""),
    "a sum of splits": (SPLITS, "folder:SET", r"The split 'train\+test' is not known", "train+test"),
    "a malformed part": (TWO, "folder:SET", r"\[5\] is no part; expected one as \[:80%\]", "train[5]"),
    "a part of endless digits": (TWO, "folder:SET", "is no part; expected one as", f"train[:{'9' * 5000}]"),
    "an empty part": (TWO, "folder:SET", r"the part \[2:\] of 2 examples is empty", "train[2:]"),
    "a part below one": (TWO, "folder:SET", r"the part \[:20%\] of 2 examples is empty", "train[:20%]"),
    # Pairs, sides, domains
    "no partner": (
        both("a.png b.png", "b.png c.png"),
        PAIRS,
        "files do not match by name: 1 in SET/y without a partner, such as 'c' and 1 in SET/x .*'a'. Pair or",
    ),
    "two of one name": (
        both("a.png a.bmp", "a.png"),
        PAIRS,
        "x: a.bmp and a.png have one name; keep one of them",
    ),
    "masks without partners": (both("a.png", "b.png"), "masks:SET/x,SET/y", "SET/x without a partner"),
    "pairs that are broken": (
        {"x/a.png": b"", "y/a.png": GOOD},
        PAIRS,
        "no image that can be read: a.png: is empty",
    ),
    "one operand": (TWO, "pairs:SET", "pairs:SET names 1 sources, expected 2, with a comma between them"),
    "three operands": (TWO, "pairs:SET,SET,SET", "names 3 sources, expected 2"),
    "an empty operand": (TWO, "unpaired:SET,", "unpaired:SET, names 1 sources, expected 2"),
    "sides of odd width": (TWO, "sides:SET", "a.png is 5 wide, which has no halves; crop it"),
    "inputs of several sizes": (
        {**both("a.png", "a.png b.png"), "x/b.png": noise(3, 3)},
        PAIRS,
        r"vary in size, from 3x3 to 6x5",
    ),
    # Mixtures
    "a mixture of one": (TWO, "mixture:SET*1", "names 1 sources, expected 2 or more"),
    "weights of text": (
        both("a.png", "a.png"),
        MIXED.format("*much", ""),
        "'much' of 'SET/x[*]much' is no weight",
    ),
    "weights of nothing": (
        both("a.png", "a.png"),
        MIXED.format("*", "*1"),
        "'' of 'SET/x[*]' is no weight; write",
    ),
    "a weight of 0": (
        both("a.png", "a.png"),
        MIXED.format("*0", "*1"),
        r"the weights are \[0.0, 1.0\], expected",
    ),
    "a weight below 0": (both("a.png", "a.png"), MIXED.format("*-1", "*1"), "expected numbers above 0"),
    "a weight of nan": (
        both("a.png", "a.png"),
        MIXED.format("*nan", "*1"),
        r"\[nan, 1.0\], expected numbers",
    ),
    "an infinite weight": (both("a.png", "a.png"), MIXED.format("*inf", "*1"), "expected numbers above 0"),
    "some weights": (both("a.png", "a.png"), MIXED.format("*1", ""), "some have none; write all or none"),
    "weights far apart": (
        both("a.png", "a.png"),
        MIXED.format("*1e-300", "*1"),
        "an epoch of these weights has .*examples, expected 268,435,456 at most. Bring the weights closer",
    ),
    "images of several shapes": (
        {"x/a.png": GOOD, "y/a.png": noise(6, 5)},
        MIXED.format("", ""),
        r"images differ: .*x:train: \(6, 5, 3\) uint8; .*y:train: \(6, 5, 1\) uint8. Set data.size and",
    ),
    # Names
    "an unknown scheme": ({}, "file:SET", "The data source 'file:SET' is not known. Expected one of"),
    "no scheme": ({}, "SET", "The data source 'SET' is not known. Expected one of"),
    "an empty rest": ({}, "folder:", "The data source 'folder:' is not known"),
}


@pytest.mark.parametrize("case", SETS)
@pytest.mark.parametrize("prepare", [True, False])
def test_sets_that_cannot_be_are_refused(opened, root, case, prepare):
    files, spec, message, *split = SETS[case]
    put(root, files)
    with pytest.raises(data.DataError, match="(?s)" + message.replace("SET", str(root))):
        opened(spec, prepare=prepare, split=split[0] if split else "train")


def test_one_image_is_a_set(opened, root):
    put(root, {"a.png": GOOD})
    source = opened()
    np.testing.assert_array_equal(source.arrays["image"], [GOOD])
    (batch,) = next(data.make_stream(source, seed=0, batch_size=3, placement="host").iterate(0)).values()
    np.testing.assert_array_equal(batch["image"][0, 0], [GOOD] * 3)


def test_classes_without_a_sound_image_are_named(opened, root, said):
    put(root, {"a/1.png": GOOD, "b/1.png": GOOD, "c/1.png": b"", "d/1.txt": "no image", "e": None})
    assert opened().classes == ("a", "b", "c")  # as it may be in other splits
    assert len(said()) == 2 and any("the class 'c' has no image that can be read" in line for line in said())
    with pytest.raises(data.DataError, match="such as c/1.png: is empty"):
        opened(strict=True)


def test_sources_of_one_name_are_compared_too():
    first, second = (data.from_arrays(noise(3, side, side)) for side in (4, 5))
    with pytest.raises(
        data.DataError, match=r"images differ: arrays: \(4, 4, 1\) uint8; arrays: \(5, 5, 1\)"
    ):
        mixtures.mix([first, second], [1, 1], name="both")
    with pytest.raises(data.DataError, match="arrays is no mixture, and has no domains"):
        mixtures.by_domain(first)


def test_labels_that_may_not_be_read_are_refused(opened, root, monkeypatch):
    put(root, labels("a.png,0\nb.png,1"))
    read = listing._read

    def denied(path):
        if path.endswith(".csv"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(listing, "_read", denied)
    with pytest.raises(data.DataError, match="labels.csv cannot be read: Permission denied"):
        opened()


# Arrays


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def member(content, **changes):
    """A .npz whose one array is of these bytes, and of which the directory says what is not so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.npy", content)
        for key, value in changes.items():
            setattr(archive.filelist[-1], key, value)
    return file.getvalue()


def header(*shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


IMAGES = noise(4, 6, 5, 3)
NOT_READ = "x.npz is no .npz of plain arrays that can be read: .*"
ARRAYS = {
    "pickled objects": (npz(image=np.array([{}, None])), NOT_READ + "allow_pickle=False"),
    "a pickle": (pickle.dumps(IMAGES), NOT_READ + "not a zip file"),
    "a .npy": (header(1), NOT_READ + "not a zip file"),
    "nothing": (b"", NOT_READ + "not a zip file"),
    "half of it": (npz(image=IMAGES)[:300], NOT_READ + "not a zip file"),
    "damaged bytes": (npz(image=IMAGES).replace(npz(image=IMAGES)[200:220], b"\xff" * 20), NOT_READ),
    "another method": (member(header(1), compress_type=99), NOT_READ + "compression method"),
    "an encrypted array": (member(header(1), flag_bits=1), NOT_READ + "encrypted"),
    "more than is there": (member(header(9, 9, 9, 3)), NOT_READ),
    "more than any memory": (member(header(2**40, 9, 9, 3)), NOT_READ),
    "claims of size": (
        member(b"x", file_size=2**37),
        "x.npz claims 137,438,953,472 bytes of arrays; more than",
    ),
    "floats": (npz(image=IMAGES / 255), "x.npz:train.*: images are float64, expected uint8"),
    "one number": (npz(image=np.uint8(3)), r"images have the shape \(\), expected \[N,H,W,C\]"),
    "five channels": (npz(image=noise(4, 6, 5, 5)), r"images have the shape \(\d, 6, 5, 5\), expected"),
    "no images": (npz(image=IMAGES[:0]), "there are none in it|of 0 examples is empty"),
    "too few labels": (npz(image=IMAGES, label=[0, 1]), r"labels have the shape \(2,\), expected \(\d,\)"),
    "negative labels": (npz(image=IMAGES, label=[0, 1, -1, 0]), "a label is -1, expected 0 or more"),
    "labels of fractions": (npz(image=IMAGES, label=[0, 1, 0.5, 0]), "labels are float64, expected integers"),
    "labels beyond the classes": (
        npz(image=IMAGES, label=[9, 9, 9, 9], classes=["a", "b"]),
        "a label is 9, expected less than 2",
    ),
    "other names": (npz(pixels=IMAGES), "x.npz holds pixels; expected image and label, train_images and"),
    "another split": (
        npz(test_images=IMAGES),
        "x.npz holds test_images; expected image and label, train_images",
    ),
    "classes of several shapes": (
        npz(train_a=IMAGES, train_b=IMAGES[:, 1:]),
        "the classes of train hold images of several shapes or dtypes; make them one",
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
@pytest.mark.parametrize("split", ["train", "train[50%:]"])
def test_arrays_that_cannot_be_are_refused(opened, root, case, split):
    content, message = ARRAYS[case]
    put(root, {"x.npz": content})
    with pytest.raises(data.DataError, match="(?s)" + message):
        opened("arrays:SET/x.npz", split=split)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "x.npz holds image; expected image and label, test_images and test_labels, or test_CLASS"),
        ("train[", r"The split 'train\[' is not known; expected one as"),
        ("train[0]", r"\[0\] is no part; expected one as"),
        ("train[:10%]", r"the part \[:10%\] of 4 examples is empty"),
    ],
)
def test_splits_of_arrays_that_cannot_be_are_refused(opened, root, split, message):
    put(root, {"x.npz": npz(image=IMAGES)})
    with pytest.raises(data.DataError, match=message):
        opened("arrays:SET/x.npz", split=split)


def test_arrays_that_are_not_there_are_refused(opened):
    for name in ("away.npz", "away.npz/x"):
        with pytest.raises(data.DataError, match=rf"{name}: there is no such file|{name} is no .npz"):
            opened(f"arrays:SET/{name}")


# Layouts


@pytest.mark.parametrize(
    "layout",
    [
        *(
            {"size": size}
            for size in (64, (64,), (0, 4), (4.0, 4.0), ("4", "4"), (4, 4, 3), (10**6, 4), None)
        ),
        *({"fit": fit} for fit in ("cover", None)),
        *({"filter": filter} for filter in ("cubic", 3)),
        *({"channels": channels} for channels in (5, -1, 2.5, "3", None, True)),
        *({"background": colour} for colour in ((1, 2), (0, 0, 256), (-1, 0, 0), "red", 5, (0.5, 0, 0))),
    ],
)
@pytest.mark.parametrize("which", ["layout", "input_layout"])
def test_layouts_that_cannot_be_are_refused(opened, root, layout, which):
    put(root, TWO)
    (name,) = layout
    with pytest.raises(data.DataError, match=rf"{name} is .*, expected "):
        opened(**{which: data.Layout(**layout)})


def test_halves_are_left_or_right(opened):
    with pytest.raises(data.DataError, match="input_half is 'top', expected 'left' or 'right'"):
        opened("sides:SET", input_half="top")


# Disks


def test_a_disk_without_room_is_not_begun_with(opened, root, tmp_path, monkeypatch):
    put(root, TWO)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * 6 * 5 * 3 - 1))
    with pytest.raises(
        data.DataError, match="takes 0.00 GiB to prepare, and .* free. Make room, set data.data_dir"
    ):
        opened()
    assert not [*(tmp_path / "data").glob("files_*.parts")]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * 6 * 5 * 3))
    assert len(opened()) == 2


@pytest.mark.parametrize("where", ["a shard", "the description"])
def test_a_disk_that_is_full_on_the_way_keeps_what_is_done(opened, root, tmp_path, monkeypatch, where):
    tree(root, [f"{i}.png" for i in range(6)])
    monkeypatch.setattr(prepared, "SHARD_EXAMPLES", 4)
    record, calls = prepared._record, []

    def full(*args):
        calls.append(args)
        if len(calls) > 4:
            raise RuntimeError("write() failed: No space left on device; writing x")  # as array_record
        return record(*args)

    def no_space(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        if where == "a shard":
            context.setattr(prepared, "_record", full)
        else:
            context.setattr(prepared.tfds.folder_dataset, "write_metadata", no_space)
        with pytest.raises(
            data.DataError, match="cannot be prepared in .*No space left .*Make room or give data.da"
        ):
            opened()
    kept = sorted(path.name.rpartition("-train.")[2] for path in (tmp_path / "data").glob("*.parts/files_*"))
    shards = [f"array_record-0000{i}-of-00002" for i in range(2)]
    assert kept == shards[: 1 + (where == "the description")]
    assert len(opened()) == 6


def test_a_damaged_set_says_what_to_delete(opened, root, tmp_path):
    put(root, TWO)
    opened()
    (shard,) = (tmp_path / "data").glob("files_*/1.0.0/*array_record*")
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(data.DataError, match="1.0.0 is damaged .*; delete it, and it is made again"):
        opened()
    shard.with_name("skipped.json").unlink()
    with pytest.raises(data.DataError, match="1.0.0 is damaged .*; delete it, and it is made again"):
        opened(strict=True)


def test_a_directory_that_is_a_file_is_refused(opened, root, tmp_path):
    put(root, TWO)
    (tmp_path / "here" / "file").write_text("")
    with pytest.raises(
        data.DataError, match="cannot be prepared in .*here/file.* give data.data_dir a directory"
    ):
        opened(data_dir=tmp_path / "here" / "file")
    assert len(opened(data_dir=tmp_path / "here" / "file", prepare=False)) == 2


@as_root
def test_a_directory_that_may_not_be_written_is_refused(opened, root, tmp_path):
    put(root, TWO)
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(data.DataError, match="cannot be prepared in .*Permission denied. Make room or give"):
        opened()
