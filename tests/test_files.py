"""Tests of jaxgan.data: images of files, as folders and archives have them."""

import functools
import gzip
import io
import json
import os

import jax
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from made_sets import noise, ordered, pack, save, tree

from jaxgan import data
from jaxgan.data import decoding, filesets, fitting, opening, prepared, survey


def counted(monkeypatch, module, name):
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: calls.append(a) or function(*a, **k))
    return calls


def labels_of(source):
    return [source.classes[label] for label in source.arrays["label"]]


@pytest.fixture
def open_set(tmp_path):
    """Opens a source, straight from its files where nothing else is said."""
    return functools.partial(data.open_source, data_dir=tmp_path / "data", prepare=False)


NAMES = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(4)]


# Folders and archives


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("inner", ["", "./", "sets/animals/"])
def test_an_archive_gives_the_examples_of_its_folder(tmp_path, suffix, inner):
    pictures = tree(tmp_path / "set", NAMES)
    pack(tmp_path / "set", tmp_path / f"set{suffix}", inner)
    path = f"{tmp_path}/set{suffix}/{inner}".rstrip("/.")
    packed = data.open_source(f"folder:{path}", data_dir=tmp_path / "data", prepare=suffix == ".tar")
    plain = data.open_source(f"folder:{tmp_path}/set", data_dir=tmp_path / "other", prepare=False)
    names = ordered(pictures)
    np.testing.assert_array_equal(packed.arrays["image"], [pictures[name] for name in names])
    assert labels_of(packed) == [name.split("/")[0] for name in names]
    assert packed.fingerprint == plain.fingerprint and packed.name == f"folder:{path}:train"


def test_a_compressed_tar_is_never_begun_again(tmp_path, open_set, monkeypatch):
    """To read one member after a later one would decompress all before it, for each."""
    tree(tmp_path / "set", NAMES)
    pack(tmp_path / "set", tmp_path / "set.tar.gz")
    begun = counted(monkeypatch, gzip._GzipReader, "_rewind")
    assert len(open_set(f"folder:{tmp_path}/set.tar.gz")) == 8 and len(begun) <= 1


def test_litter_links_and_other_files_do_no_harm(tmp_path, open_set):
    pictures = tree(tmp_path / "set", ["a.png", "b.png"])
    for name in (".a.png", "__MACOSX/a.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "set" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x")
    save(tmp_path / "c", noise(6, 5, 3, seed=9), format="png")
    (tmp_path / "set" / "c.PNG").symlink_to(tmp_path / "c")
    source = open_set(f"folder:{tmp_path}/set", strict=True)
    assert len(source) == 3 and {bytes(x) for x in pictures.values()} < {*map(bytes, source.arrays["image"])}


def test_names_of_odd_letters_are_read(tmp_path, open_set):
    tree(tmp_path / "set", ["1:2.png", "ü 1.png"])
    pack(tmp_path / "set", tmp_path / "set.zip")
    os.rename(tmp_path / "set" / "1:2.png", os.fsencode(tmp_path) + b"/set/\xff.png")
    pack(tmp_path / "set", tmp_path / "set.tar")
    for name in ("set", "set.zip", "set.tar"):
        assert len(open_set(f"folder:{tmp_path}/{name}", strict=True, prepare=True)) == 2


# Formats and modes


def lossy(pixels, **options):
    """As Pillow has it after JPEG."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", **options)
    return np.asarray(PIL.Image.open(file))


def palette(*colours):
    image = PIL.Image.fromarray(np.arange(len(colours), dtype=np.uint8)[None])
    image.putpalette(np.array(colours, np.uint8).tobytes())
    return image


RGB, DEEP = noise(6, 5, 3), noise(6, 5, dtype=np.uint16)
RGBA, LA = noise(6, 5, 4, seed=1), noise(6, 5, 2, seed=2)
BITS = np.array([[0, 255, 255], [255, 0, 0]], np.uint8)
CMYK = PIL.Image.frombytes("CMYK", (3, 1), bytes([255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 51]))
COLOURS = [(255, 0, 0), (0, 99, 0), (1, 2, 3)]
FORMATS = {
    "1.png": (PIL.Image.fromarray(BITS).convert("1"), {}, BITS),
    "L.png": (RGB[..., 0], {}, RGB[..., 0]),
    "L with one transparent.png": (BITS, {"transparency": 255}, np.stack([BITS, 255 - BITS], -1)),
    "LA.png": (LA, {}, LA),
    "P.png": (palette(*COLOURS), {}, [COLOURS]),
    "P with alpha.png": (
        palette(*COLOURS),
        {"transparency": bytes([0, 7, 255])},
        [[(*COLOURS[0], 0), (*COLOURS[1], 7), (*COLOURS[2], 255)]],
    ),
    "RGB.png": (RGB, {}, RGB),
    "RGB with one transparent.png": (
        np.array([COLOURS], np.uint8),
        {"transparency": COLOURS[1]},
        [[(*COLOURS[0], 255), (*COLOURS[1], 0), (*COLOURS[2], 255)]],
    ),
    "RGBA.png": (RGBA, {}, RGBA),
    "deep.png": (DEEP, {}, DEEP),
    "L.jpg": (RGB[..., 0], {}, lossy(RGB[..., 0])),
    "RGB.jpeg": (RGB, {"quality": 90}, lossy(RGB, quality=90)),
    "RGB.webp": (RGB, {"lossless": True}, RGB),
    "RGBA.webp": (RGBA, {"lossless": True, "exact": True}, RGBA),
    "1.bmp": (PIL.Image.fromarray(BITS).convert("1"), {}, BITS),
    "L.bmp": (RGB[..., 0], {}, RGB[..., 0]),
    "RGB.bmp": (RGB, {}, RGB),
    "P.bmp": (palette(*COLOURS), {}, [COLOURS]),
    "1.tif": (PIL.Image.fromarray(BITS).convert("1"), {}, BITS),
    "RGB.tiff": (RGB, {}, RGB),
    "RGBA.tif": (RGBA, {"compression": "tiff_lzw"}, RGBA),
    "LA.tif": (LA, {}, LA),
    "CMYK.tif": (CMYK, {}, [[(0, 255, 255), (0, 0, 0), (204, 204, 0)]]),
    "deep.tif": (DEEP, {"compression": "tiff_deflate"}, DEEP),
    "two frames.gif": (
        palette(*COLOURS),
        {"save_all": True, "append_images": [palette((5, 5, 5), (6, 6, 6), (7, 7, 7))]},
        [COLOURS],
    ),
    "two pages.tif": (
        RGB,
        {"save_all": True, "append_images": [PIL.Image.fromarray(255 - RGB)]},
        RGB,
    ),
    "P with alpha.gif": (
        palette(*COLOURS),
        {"transparency": 1},
        [[(*COLOURS[0], 255), (*COLOURS[1], 0), (*COLOURS[2], 255)]],
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_of_every_format_and_mode(tmp_path, open_set, name):
    image, options, expected = FORMATS[name]
    save(tmp_path / "set" / name, image, **options)
    (pixels,) = open_set(f"folder:{tmp_path}/set").arrays["image"]
    expected = np.asarray(expected, DEEP.dtype if "deep" in name else np.uint8)
    expected = expected.reshape(*pixels.shape[:2], -1)
    assert pixels.dtype == expected.dtype
    if name.endswith(".gif") and expected.shape[-1] == 4:  # what is transparent has no colour there
        expected, pixels = (np.where(x[..., 3:] > 0, x, 0) for x in (expected, pixels))
    np.testing.assert_array_equal(pixels, expected)


TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
    9: lambda x: x,  # means nothing
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_are_turned_as_exif_says(tmp_path, open_set, orientation, suffix):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "set" / f"a.{suffix}", RGB, exif=exif)
    (pixels,) = open_set(f"folder:{tmp_path}/set").arrays["image"]
    np.testing.assert_array_equal(pixels, TURNED[orientation](lossy(RGB) if suffix == "jpg" else RGB))


def test_a_jpeg_of_four_inks_becomes_colour(tmp_path, open_set):
    save(tmp_path / "set" / "a.jpg", CMYK.resize((24, 8), PIL.Image.Resampling.NEAREST), quality=100)
    (pixels,) = open_set(f"folder:{tmp_path}/set").arrays["image"]
    expected = np.repeat([[0, 255, 255], [0, 0, 0], [204, 204, 0]], 8, axis=0)
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, (8, 24, 3)), atol=6)


def test_files_of_any_kind_come_to_what_the_richest_needs(tmp_path, open_set):
    save(tmp_path / "set" / "grey.png", np.full((2, 2), 255, np.uint8))
    for name, pixels, shape in [
        ("colour.png", noise(2, 2, 3), (2, 2, 3)),
        ("alpha.png", noise(2, 2, 2), (2, 2, 4)),
        ("deep.png", noise(2, 2, dtype=np.uint16), (2, 2, 4)),
    ]:
        save(tmp_path / "set" / name, pixels)
        source = open_set(f"folder:{tmp_path}/set")
        assert source.image_shape == shape
        assert (source.arrays["image"] == np.iinfo(source.dtype).max).all((1, 2, 3)).sum() == 1
    assert source.dtype == np.uint16


# Labels and splits


def test_sub_folders_are_classes_where_all_images_are_in_one(tmp_path, open_set):
    tree(tmp_path / "set", ["b/1.png", "b/deeper/2.png", "a/3.png"])
    (tmp_path / "set" / "empty").mkdir()
    source = open_set(f"folder:{tmp_path}/set")
    assert source.classes == ("a", "b") and sorted(labels_of(source)) == ["a", "b", "b"]
    tree(tmp_path / "set", ["4.png"])
    assert open_set(f"folder:{tmp_path}/set").classes == ()
    assert open_set(f"folder:{tmp_path}/set/b").classes == ()


FILES = ["x/1.png", "x/2.png", "3.png"]
LABELS = {
    "labels.csv without a header": ("x/1.png,1\nx/2.png,0\n3.png,1\n", ("0", "1"), "101"),
    "labels.csv with a header": ("file,label\nx/1.png,1\nx/2.png,0\n\n3.png,1\n", ("0", "1"), "101"),
    "labels.csv of texts": ("\ufeffx/1.png, b\r\nx/2.png,a\r\n3.png,b\r\n", ("a", "b"), "bab"),
    "labels.csv of integers among texts": ("name,class\nx/1.png,7\nx/2.png,-\n3.png,7", ("-", "7"), "7-7"),
    "dataset.json with a list": (
        {"labels": [["x/1.png", 1], ["x/2.png", 0], ["3.png", 1], ["away.png", 2]]},
        ("0", "1", "2"),
        "101",
    ),
    "dataset.json with a dict": ({"labels": {"x/1.png": 0, "x/2.png": 0, "3.png": 1}}, ("0", "1"), "001"),
    "dataset.json without": ({"labels": None}, (), ""),
}


@pytest.mark.parametrize("case", LABELS)
@pytest.mark.parametrize("packed", [False, True])
def test_labels_of_a_file_go_before_sub_folders(tmp_path, open_set, case, packed):
    text, classes, expected = LABELS[case]
    tree(tmp_path / "set", FILES)
    text = text if isinstance(text, str) else json.dumps(text)
    (tmp_path / "set" / case.split()[0]).write_bytes(text.encode())
    if packed:
        pack(tmp_path / "set", tmp_path / "set.tar.gz", "root/")
    source = open_set(f"folder:{tmp_path}/set" + ".tar.gz" * packed)
    assert source.classes == classes
    by_name = dict(zip(FILES, expected, strict=False))
    assert not classes or labels_of(source) == [by_name[name] for name in ordered(FILES)]


def test_folders_called_as_splits_are_splits(tmp_path, open_set):
    pictures = tree(
        tmp_path / "set", [f"{s}/{k}/{i}.png" for s in ("train", "test") for k in "ab" for i in "12"]
    )
    for split in ("train", "test"):
        for path in (f"{tmp_path}/set", f"{tmp_path}/set.zip"):
            pack(tmp_path / "set", tmp_path / "set.zip", "set/")
            source = open_set(f"folder:{path}", split=split)
            names = [f"{split}/{name}" for name in ordered(["a/1.png", "a/2.png", "b/1.png", "b/2.png"])]
            np.testing.assert_array_equal(source.arrays["image"], [pictures[name] for name in names])
            assert labels_of(source) == [name[len(split) + 1] for name in names]


@pytest.mark.parametrize("prepare", [True, False])
def test_parts_are_disjoint_complete_and_mix_the_classes(tmp_path, open_set, prepare):
    tree(tmp_path / "set", [f"{kind}/{i}.png" for kind in "ab" for i in range(25)], (2, 2))
    opened = functools.partial(open_set, f"folder:{tmp_path}/set", prepare=prepare)
    whole, parts = opened(), [opened(split=f"train[{part}]") for part in (":40%", "40%:-5", "-5:")]
    assert [len(part) for part in parts] == [20, 25, 5]
    np.testing.assert_array_equal(np.concatenate([x.arrays["image"] for x in parts]), whole.arrays["image"])
    assert all(0.2 < part.arrays["label"].mean() < 0.8 for part in parts)
    assert len({part.fingerprint for part in parts}) == 3
    assert len([*(tmp_path / "data").glob("files_*.parts")]) == 0
    assert len([*(tmp_path / "data").glob("files_[0-9a-f]*")]) == prepare


# Layouts

RAMP = np.arange(8, dtype=np.uint8).reshape(2, 4, 1) * 10  # 0 10 20 30, 40 50 60 70
FITTED = {
    "crop": ({"size": (2, 2)}, [[10, 20], [50, 60]]),
    "crop of odd margins": ({"size": (2, 3)}, [[0, 10, 20], [40, 50, 60]]),
    "crop and halve": ({"size": (1, 1), "filter": "box"}, [[35]]),
    "pad": ({"size": (4, 4), "fit": "pad"}, [[0] * 4, [0, 10, 20, 30], [40, 50, 60, 70], [0] * 4]),
    "pad grey": ({"size": (3, 4), "fit": "pad", "background": (9, 9, 9)}, [*RAMP[..., 0].tolist(), [9] * 4]),
    "pad and halve": ({"size": (2, 2), "fit": "pad", "filter": "box"}, [[25, 45], [0, 0]]),
    "stretch": ({"size": (2, 2), "fit": "stretch", "filter": "box"}, [[5, 25], [45, 65]]),
    "stretch one way": ({"size": (1, 4), "fit": "stretch", "filter": "box"}, [[20, 30, 40, 50]]),
    "nearest": (
        {"size": (2, 8), "fit": "stretch", "filter": "nearest"},
        RAMP[..., 0].astype(int).repeat(2, 1),
    ),
}


@pytest.mark.parametrize("case", FITTED)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sizes_and_fits_worked_by_hand(case, dtype):
    options, expected = FITTED[case]
    scale = 257 if dtype == np.uint16 else 1
    made = data.fitting.fit(RAMP.astype(dtype) * scale, data.Layout(channels=1, **options))
    assert made.dtype == dtype and made.shape[-1] == 1
    np.testing.assert_array_equal(made[..., 0], np.multiply(expected, scale))


@pytest.mark.parametrize("filter", data.FILTERS)
@pytest.mark.parametrize(
    ("fit", "expected"), [("stretch", PIL.Image.Image.resize), ("crop", PIL.ImageOps.fit)]
)
def test_filters_are_pillows_by_name(filter, fit, expected):
    pixels = noise(23, 31, 3)
    for size in ((8, 8), (40, 20)):
        made = fitting.fit(pixels, data.Layout(size, fit, filter, 3))
        image = expected(PIL.Image.fromarray(pixels), size[::-1], data.FILTERS[filter])
        np.testing.assert_array_equal(made, np.asarray(image))


COLOUR, FAINT, GREY = (10, 20, 30), (200, 100, 0, 51), 18  # 0.299 10 + 0.587 20 + 0.114 30 = 18.15
CHANNELS = [
    ([7], 3, (), [7, 7, 7]),
    ([7], 4, (), [7, 7, 7, 255]),
    ([7], 2, (), [7, 255]),
    ([7, 9], 4, (), [7, 7, 7, 9]),
    ([7, 9], 1, (), [7]),
    (COLOUR, 1, (), [GREY]),
    (COLOUR, 2, (), [GREY, 255]),
    (COLOUR, 4, (), [*COLOUR, 255]),
    ((*COLOUR, 9), 2, (), [GREY, 9]),
    ((*COLOUR, 9), 3, (), COLOUR),
    (FAINT, 3, (0, 100, 200), [40, 100, 160]),  # a fifth of it, and four of what is behind
    (FAINT, 4, (0, 100, 200), [40, 100, 160, 255]),
    (FAINT, 1, (255, 255, 255), [228]),  # of 244 224 204
    ([100, 51], 1, (50, 50, 50), [60]),
    ([100, 51], 3, (50, 0, 0), [60, 20, 20]),
    (COLOUR, 3, (1, 2, 3), COLOUR),
]


@pytest.mark.parametrize(("pixel", "channels", "background", "expected"), CHANNELS)
def test_channels_and_backgrounds_worked_by_hand(pixel, channels, background, expected):
    layout = data.Layout(channels=channels, background=background)
    for dtype, scale in ((np.uint8, 1), (np.uint16, 257)):
        (((*made,),),) = fitting.fit(np.array([[pixel]], dtype) * scale, layout)
        np.testing.assert_allclose(np.array(made) / scale, expected, atol=0.5 * (scale > 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
def test_transparent_pixels_lend_no_colour(dtype, colours):
    most = np.iinfo(dtype).max
    seen, hidden = [most] + [0] * (colours - 1) + [most], [0] + [most] * (colours - 1) + [0]
    pixels = np.array([[seen, hidden]], dtype)
    (((*made,),),) = fitting.fit(pixels, data.Layout((1, 1), "stretch", "box", colours + 1))
    assert made == [*seen[:-1], most // 2 + 1]


def test_backgrounds_have_the_channels_they_need(tmp_path, open_set):
    save(tmp_path / "set" / "a.png", np.array([[[0, 0], [255, 255]]], np.uint8))
    for background, expected in [((9, 9, 9), [[9], [255]]), ((9, 0, 0), [[9, 0, 0], [255] * 3])]:
        source = open_set(f"folder:{tmp_path}/set", layout=data.Layout(background=background))
        np.testing.assert_array_equal(source.arrays["image"], [[expected]])


def test_deep_images_keep_their_depth_when_resized(tmp_path, open_set):
    save(tmp_path / "set" / "a.png", np.array([[1000, 3001], [5002, 7001]], np.uint16))
    (pixels,) = open_set(f"folder:{tmp_path}/set", layout=data.Layout((1, 1), filter="box")).arrays["image"]
    assert pixels.tolist() == [[[4001]]] and pixels.dtype == np.uint16
    assert data.to_float(pixels).item() == pytest.approx(2 * 4001 / 65535 - 1)


# Preparation


@pytest.mark.parametrize("split", ["train", "train[2:]"])
def test_prepared_and_direct_sources_are_the_same(tmp_path, open_set, split):
    tree(tmp_path / "set", NAMES)
    broken = tmp_path / "set" / ordered(NAMES)[1]  # which shows when it is decoded
    broken.write_bytes(broken.read_bytes()[:-60])
    sources = [open_set(f"folder:{tmp_path}/set", split=split, prepare=p) for p in (True, False)]
    jax.tree.map(np.testing.assert_array_equal, *(source.arrays for source in sources))
    assert sources[0].fingerprint == sources[1].fingerprint and len(sources[0]) == 7 - 2 * (split != "train")


def test_a_second_opening_reads_and_decodes_nothing(tmp_path, open_set, monkeypatch):
    tree(tmp_path / "set", NAMES)
    examined, decoded = counted(monkeypatch, survey, "_examine"), counted(monkeypatch, filesets, "decode")
    first = open_set(f"folder:{tmp_path}/set", prepare=True)
    assert len(examined) == len(decoded) == 8
    second = open_set(f"folder:{tmp_path}/set", prepare=True)
    assert len(examined) == len(decoded) == 8 and second.fingerprint == first.fingerprint
    (tmp_path / "data" / "files_surveyed").rename(tmp_path / "lost")
    assert len(open_set(f"folder:{tmp_path}/set", prepare=True)) == len(decoded) == 8
    assert len(examined) == 16


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_changes_changes_digest_and_fingerprint(tmp_path, open_set, packed):
    pictures = tree(tmp_path / "set", NAMES)
    spec, prints, digests = f"folder:{tmp_path}/set" + ".tar" * packed, [], []
    options = opening.Options(data_dir=tmp_path / "data")
    for name, pixels in [(NAMES[0], pictures[NAMES[0]]), (NAMES[3], 255 - pictures[NAMES[3]])]:
        save(tmp_path / "set" / name, pixels)
        pack(tmp_path / "set", tmp_path / "set.tar")
        prints.append(open_set(spec, prepare=True).fingerprint)
        digests.append(opening.file_set(spec, options).digest)
    (tmp_path / "set" / "cat").rename(tmp_path / "set" / "ape")
    pack(tmp_path / "set", tmp_path / "set.tar")
    prints.append(open_set(spec, prepare=True).fingerprint)
    digests.append(opening.file_set(spec, options).digest)
    digests.append(opening.file_set(spec, options._replace(layout=data.Layout(size=(3, 3)))).digest)
    assert len({*prints}) == 3 and len({*digests}) == 4


def test_an_interrupted_preparation_goes_on_where_it_was(tmp_path, open_set, monkeypatch):
    tree(tmp_path / "set", NAMES)
    spec, decode = f"folder:{tmp_path}/set", filesets.decode
    straight = data.open_source(spec, data_dir=tmp_path / "straight")
    monkeypatch.setattr(prepared, "SHARD_EXAMPLES", 3)
    monkeypatch.setattr(prepared, "AT_A_TIME", 1)
    calls = []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return decode(*args, **options)

    monkeypatch.setattr(filesets, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_set(spec, prepare=True)
    shards = sorted((tmp_path / "data").glob("*.parts/files_*"))
    assert [path.name[-14:] for path in shards] == ["00000-of-00003"]
    monkeypatch.setattr(filesets, "decode", decode)
    calls = counted(monkeypatch, filesets, "decode")
    source = open_set(spec, prepare=True)
    assert len(calls) == 5 and source.fingerprint == straight.fingerprint
    np.testing.assert_array_equal(source.arrays["image"], straight.arrays["image"])
    assert not [*(tmp_path / "data").glob("*.parts")]


def test_another_process_may_prepare_first(tmp_path, open_set, monkeypatch):
    tree(tmp_path / "set", NAMES)
    spec, convert, others = f"folder:{tmp_path}/set", prepared._convert_shard, []

    def slow(*args):
        if not others:
            others.append(None)
            others[0] = open_set(spec, prepare=True)  # and takes the parts away
        convert(*args)

    monkeypatch.setattr(prepared, "_convert_shard", slow)
    assert open_set(spec, prepare=True).fingerprint == others[0].fingerprint


def test_folders_of_an_archive_are_remembered_apart(tmp_path):
    pictures = tree(tmp_path / "set", ["train/a.png", "test/a.png", "other/a.png"])
    pack(tmp_path / "set", tmp_path / "set.tar")
    for _ in range(2):
        for name, pixels in pictures.items():
            path = f"{tmp_path}/set.tar/{name.split('/')[0]}"
            source = data.open_source(f"folder:{path}", data_dir=tmp_path / "data")
            np.testing.assert_array_equal(source.arrays["image"], [pixels])
    (memory,) = (tmp_path / "data" / "files_surveyed").iterdir()
    known = json.loads(memory.read_text())["files"]
    assert known.keys() == pictures.keys() and len({digest for _, digest, *_ in known.values()}) == 3


def test_headers_are_read_without_decoding(monkeypatch):
    formats = [format for format in decoding.FORMATS if format != "WEBP"]  # which Pillow decodes at once
    files = [io.BytesIO() for _ in formats]
    for file, format in zip(files, formats, strict=True):
        PIL.Image.fromarray(RGB).save(file, format)
    loaded = counted(monkeypatch, PIL.ImageFile.ImageFile, "load")
    assert all(decoding.inspect(file.getvalue(), name="a")[:2] == (6, 5) for file in files) and not loaded
