"""Tests of jaxgan.data: files cut into tiles, alone and with what belongs to them."""

import functools

import numpy as np
import pytest
from made_sets import encoded, noise, ordered, put, save, tree

from configs import base
from jaxgan import build, cli, data
from jaxgan.data import filesets, rows

TILES = data.Layout((4, 6), fit="tiles")


@pytest.fixture
def open_set(tmp_path):
    """Opens a source of tiles of 4x6, straight from its files where nothing else is said."""
    return functools.partial(data.open_source, data_dir=tmp_path / "data", prepare=False, layout=TILES)


def cut(image, *places, size=TILES.size):
    return [image[top : top + size[0], left : left + size[1]] for top, left in places]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((4, 6), [(0, 0)]),
        ((8, 12), [(0, 0), (0, 6), (4, 0), (4, 6)]),
        ((5, 13), [(0, 0), (0, 6), (0, 7), (1, 0), (1, 6), (1, 7)]),
    ],
)
def test_places_worked_by_hand(size, expected):
    assert rows.places(size, (4, 6)) == expected


def test_tiles_cover_every_pixel_with_as_few_as_can_be():
    for height, width in ((4, 6), (9, 20), (11, 31), (16, 36)):
        covered = np.zeros((height, width), int)
        found = rows.places((height, width), (4, 6))
        for top, left in found:
            covered[top : top + 4, left : left + 6] += 1
            assert covered[top : top + 4, left : left + 6].shape == (4, 6)
        assert covered.min() == 1 and len(found) == -(-height // 4) * -(-width // 6)


@pytest.mark.parametrize("prepare", [True, False])
def test_files_become_their_tiles_as_they_are(tmp_path, open_set, prepare, caplog):
    large = tree(tmp_path / "set", ["cat/a.png", "dog/b.png"], (8, 7, 3))
    small = tree(tmp_path / "set", ["cat/c.png", "dog/thin.png"], (4, 6, 3), seed=5)
    save(tmp_path / "set/dog/thin.png", noise(30, 5, 3))
    source = open_set(f"folder:{tmp_path}/set", prepare=prepare)
    expected, labels = [], []
    for name in ordered({**large, "cat/c.png": 0}):
        image = (large | small)[name]
        tiles = cut(image, (0, 0), (0, 1), (4, 0), (4, 1)) if name in large else [image]
        expected += tiles
        labels += [name.split("/")[0]] * len(tiles)
    np.testing.assert_array_equal(source.arrays["image"], expected)
    assert [source.classes[label] for label in source.arrays["label"]] == labels
    assert "left out: dog/thin.png: is 30x5, smaller than a tile of 4x6." in caplog.text
    with pytest.raises(
        data.DataError, match="1 files cannot be used, such as dog/thin.png: is 30x5, smaller"
    ):
        open_set(f"folder:{tmp_path}/set", prepare=prepare, strict=True)


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("scale", [1, 2])
def test_inputs_and_images_are_cut_alike(tmp_path, open_set, prepare, scale):
    images = tree(tmp_path / "out", ["a.png", "b.png"], (10, 14, 3))
    for name, image in images.items():
        save(tmp_path / "in" / name, image[::scale, ::scale])
    small = TILES._replace(size=(4 // scale, 6 // scale))
    source = open_set(f"pairs:{tmp_path}/in,{tmp_path}/out", prepare=prepare, input_layout=small)
    assert len(source) == 18 and source.shapes == {"input": (4 // scale, 6 // scale, 3)}
    np.testing.assert_array_equal(source.arrays["input"], source.arrays["image"][:, ::scale, ::scale])
    places = [(top, left) for top in (0, 4, 6) for left in (0, 6, 8)]
    expected = [tile for name in ordered(["a", "b"]) for tile in cut(images[f"{name}.png"], *places)]
    np.testing.assert_array_equal(source.arrays["image"], expected)


def test_sides_and_masks_are_cut_alike(tmp_path, open_set):
    image = noise(5, 8, 3)
    save(tmp_path / "sides/a.png", np.concatenate([255 - image, image], axis=1))
    places = (0, 0), (0, 2), (1, 0), (1, 2)
    source = open_set(f"sides:{tmp_path}/sides")
    np.testing.assert_array_equal(source.arrays["image"], cut(image, *places))
    np.testing.assert_array_equal(source.arrays["input"], 255 - source.arrays["image"])
    save(tmp_path / "images/a.png", image)
    save(tmp_path / "masks/a.png", image[..., 0])
    source = open_set(f"masks:{tmp_path}/images,{tmp_path}/masks")
    np.testing.assert_array_equal(source.arrays["mask"], source.arrays["image"][..., :1])


def test_other_tiles_are_another_set(tmp_path, open_set):
    tree(tmp_path / "set", ["a.png", "b.png"], (8, 12, 3))
    spec = f"folder:{tmp_path}/set"
    layouts = TILES, data.Layout((4, 6)), TILES._replace(size=(4, 4))
    prints = {open_set(spec, prepare=prepare, layout=x).fingerprint for x in layouts for prepare in (0, 1)}
    assert len(prints) == 3 and len([*(tmp_path / "data").glob("files_*/1.0.0")]) == 3


def test_parts_of_a_set_share_one_file_at_most(tmp_path, open_set):
    images = tree(tmp_path / "set", [f"{i}.png" for i in range(6)], (8, 12))
    source = {part: open_set(f"folder:{tmp_path}/set", split=f"train[{part}]") for part in (":60%", "60%:")}
    held = [
        {name for name, image in images.items() for tile in cut(image, (0, 0), (0, 6), (4, 0), (4, 6))
         if (x.arrays["image"][..., 0] == tile).all((1, 2)).any()}
        for x in source.values()
    ]  # fmt: skip
    assert len(held[0] & held[1]) <= 1 and held[0] | held[1] == {*images}


def test_a_file_is_decoded_once_for_all_its_tiles(tmp_path, open_set, monkeypatch):
    tree(tmp_path / "set", [f"{i}.png" for i in range(3)], (40, 60, 3))
    calls, decode = [], filesets.decode
    monkeypatch.setattr(filesets, "decode", lambda *a, **k: calls.append(k["name"]) or decode(*a, **k))
    monkeypatch.setattr("jaxgan.data.prepared.THREADS", 1)
    assert len(open_set(f"folder:{tmp_path}/set", prepare=True)) == 300
    assert len(calls) == 3


def test_a_broken_file_is_named_once(tmp_path, open_set, caplog):
    whole = encoded("PNG", noise(8, 12, 3))
    put(tmp_path / "set", {"a.png": noise(4, 6, 3), "broken.png": whole[:-60]})
    for prepare in (True, False):
        caplog.clear()
        assert len(open_set(f"folder:{tmp_path}/set", prepare=prepare)) == 1
        assert caplog.text.count("left out: broken.png") == 1
        with pytest.raises(data.DataError, match="1 files are broken, such as broken.png"):
            open_set(f"folder:{tmp_path}/set", prepare=prepare, strict=True)


INPUT = TILES._replace(size=(2, 3))
REFUSED = {
    "no size": ({"layout": TILES._replace(size=())}, "folder:SET/out", "size is .*, expected .*of the tiles"),
    "no file": ({}, "tfds:digits", "tfds:digits is not of files, which alone are cut into tiles"),
    "all too small": ({"layout": TILES._replace(size=(9, 9))}, "folder:SET/out", "8x12, smaller than a tile"),
    "inputs of another size": ({}, "pairs:SET/in,SET/out", "b is 8x12 and its input 3x6 .*the same, as of"),
    "odd inputs": ({"input_layout": INPUT}, "pairs:SET/in,SET/out", "b is 8x12 and its input 3x6.*1/2"),
    "tiles that do not fit": (
        {"input_layout": INPUT._replace(size=(3, 3))},
        "pairs:SET/in,SET/out",
        r"Tiles of 4x6 were asked for, and of the input tiles to 3x3; .*Set data.input_size to that",
    ),
    "inputs that are no tiles": (
        {"input_layout": INPUT._replace(fit="crop")},
        "pairs:SET/in,SET/out",
        "of the input crop to 2x3; expected tiles there too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_tiles_that_cannot_be_are_refused(tmp_path, open_set, case):
    options, spec, said = REFUSED[case]
    put(tmp_path, {"out/b.png": noise(8, 12, 3), "in/b.png": noise(3, 6, 3)})
    with pytest.raises(data.DataError, match=said):
        open_set(spec.replace("SET", str(tmp_path)), **options)


def test_random_crops_of_tiles_are_trained_on(tmp_path):
    tree(tmp_path / "set", ["a.png", "b.png"], (20, 30, 3))
    config = base.get_config()
    config.data.source, config.data.data_dir = f"folder:{tmp_path}/set", str(tmp_path / "data")
    config.data.fit, config.data.size, config.data.random_crop = "tiles", (12, 12), (8, 8)
    source = build.open_source(config)
    assert source.image_shape == (12, 12, 3) and len(source) == 12
    from jaxgan import config as configs

    assert configs.shown_shapes(config, source.shapes_of_all) == {"image": (8, 8, 3)}


def test_check_says_how_many_tiles_there_are(tmp_path, capsys):
    tree(tmp_path / "set", ["a.png", "b.png"], (8, 12, 3))
    put(tmp_path / "set", {"c.png": noise(3, 3, 3)})
    arguments = ["--size", "4", "6", "--fit", "tiles", "--data_dir", str(tmp_path / "data")]
    sheet = ["--sheet", str(tmp_path / "sheet.png")]
    assert cli.main(["data", "check", f"folder:{tmp_path}/set", *arguments, *sheet]) == 0
    said = capsys.readouterr().out
    assert "8 images of 4x6x3" in said and "tiles, cut from 2 files" in said
    assert "c.png: is 3x3, smaller than a tile of 4x6" in said
