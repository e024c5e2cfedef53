"""`jaxgan data`: what it says of a set, and what it does with it."""

import io

import numpy as np
import PIL.Image
import pytest

from jaxgan import cli, data
from jaxgan.cli import sets
from jaxgan.data import inspection
from jaxgan.data.opening import Options


def noise(seed, size=(12, 10, 3)):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, a copy, a near copy, a broken and a strange file."""
    root = tmp_path / "photos"
    for i in range(6):
        save(noise(i), root / "cats" / f"{i}.png")
    for i in range(3):
        save(noise(10 + i), root / "dogs" / f"{i}.png")
    save(noise(2), root / "dogs" / "copy.png")
    near = np.clip(noise(1).astype(int) + 1, 0, 255).astype(np.uint8)
    save(near, root / "cats" / "near.png")
    (root / "cats" / "broken.png").write_bytes(encoded(noise(20))[:-60])
    (root / "cats" / "text.png").write_text("no picture")
    (root / "cats" / "phone.heic").write_text("")
    return root


def encoded(pixels):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def inspect(folder, **options):
    return inspection.inspect_source(f"folder:{folder}", Options(data_dir=folder.parent / "sets", **options))


def test_it_counts_classes_duplicates_and_broken_files(folder):
    report = inspect(folder)
    assert report.classes == {"cats": 7, "dogs": 4}
    assert [sorted(group) for group in report.exact] == [["cats/2.png", "dogs/copy.png"]]
    assert report.near == [("cats/1.png", "cats/near.png")]
    assert {skip.name for skip in report.skipped} == {"cats/broken.png", "cats/text.png"}
    assert sum(report.files.values()) == 12  # with the broken one, whose header is sound
    assert not list((folder.parent / "sets").glob("files_*/1.0.0"))  # nothing is converted


def test_it_says_so_in_words(folder):
    said = "\n".join(inspection.describe(inspect(folder)))
    for line in (
        "11 images of 12x10x3, uint8",
        "12 of 12x10, colour, 8 bits",
        "Classes: 2, the largest 1.8 times the smallest",
        "Exact duplicates, of 11 examples compared: 1",
        "Near duplicates, of 11 examples compared: 1\n  cats/1.png ~ cats/near.png",
        "Files that cannot be used: 2",
        "text.png: is no image",
        "Files with other endings, which are not looked at: 1 .heic",
        "held on the device by data.placement='auto'",
    ):
        assert line in said, said


def test_images_that_vary_in_size_are_described_all_the_same(folder, capsys):
    save(noise(30, (20, 8, 3)), folder / "cats" / "tall.png")
    report = inspect(folder)
    assert "vary in size, from 12x10 to 20x8" in report.sizes_vary
    assert report.source.image_shape == (64, 64, 3) and report.classes["cats"] == 8
    sized = inspect(folder, layout=data.Layout(size=(6, 6)))
    assert sized.sizes_vary == "" and sized.source.image_shape == (6, 6, 3)


def test_near_duplicates_are_found_however_many_there_are():
    images = np.concatenate([noise(i, (1, 8, 8, 1)) for i in range(300)])
    images = np.concatenate([images, images[:50] ^ 1])
    names = [str(i) for i in range(350)]
    source = data.from_arrays(images)
    looks = inspection._looks(source, np.arange(350))
    assert inspection._exact(looks.digests, names) == []
    expected = sorted((min(str(i), str(300 + i)), max(str(i), str(300 + i))) for i in range(50))
    assert inspection._near(looks.thumbnails, names, []) == expected
    same = np.zeros((60, 256), np.float32)  # all near each other: 1,770 pairs
    assert len(inspection._near(same, names[:60], [])) == inspection.MOST_PAIRS


def run(*argv):
    return cli.main([str(arg) for arg in argv])


def test_check_prints_and_draws(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ("data", "check", f"folder:{folder}", "--data_dir", tmp_path / "sets")
    assert run(*command) == run(*command) == 0
    said = capsys.readouterr().out
    assert "dcgan: no: 12x10" not in said and "Contact sheet: contact_sheet_2.png" in said
    with PIL.Image.open("contact_sheet.png") as sheet:
        assert sheet.width > 100
    assert run(*command, "--sheet", "contact_sheet.png") == 2
    assert "contact_sheet.png exists; give --sheet another name" in capsys.readouterr().err


def test_check_says_which_networks_fit():
    convolutional, transformer, perceptron = sets.networks((32, 32, 3))
    assert convolutional.startswith(
        "dcgan, resnet, stylegan2, r3gan, recurrent, coupled: yes, 3 doublings from 4x4"
    )
    assert transformer == "vit: yes, with model.vit.patch=2 or 4 or 8 or 16" and perceptron == "mlp: yes"
    assert sets.networks((6, 4, 3))[0].endswith("coupled: yes, 1 doubling from 3x2 (model.smallest=2)")
    assert "no: 15x16 is not an even size" in sets.networks((15, 16, 1))[0]


def test_prepare_converts_once(folder, tmp_path, capsys):
    command = ("data", "prepare", f"folder:{folder}", "--data_dir", tmp_path / "sets", "--size", 8, 8)
    assert run(*command) == 0
    (made,) = (tmp_path / "sets").glob("files_*/1.0.0")
    before = made.stat().st_mtime_ns
    assert run(*command) == 0
    assert made.stat().st_mtime_ns == before
    assert "11 images of 8x8x3, ready; 2 classes" in capsys.readouterr().out


def test_what_cannot_be_read_ends_with_code_2(tmp_path, capsys):
    assert run("data", "check", f"folder:{tmp_path / 'none'}") == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert run("data", "prepare", "photos") == 2
    assert "The data source 'photos' is not known. Expected one of" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["arrays", "pairs", "unpaired"])
def test_other_sources_are_described_too(tmp_path, kind, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        for i in range(14):
            save(noise(i + 50 * (name == "b"), (8, 8, 3)), tmp_path / name / f"{i}.png")
    np.savez(tmp_path / "c.npz", image=noise(0, (14, 8, 8, 3)))
    spec = {"arrays": "arrays:c.npz", "pairs": "pairs:a,b", "unpaired": "unpaired:a,b"}[kind]
    assert run("data", "check", spec, "--data_dir", "sets") == 0
    said = capsys.readouterr().out
    assert "14 images of 8x8x3" in said
    assert ("input" in said) == (kind != "arrays")


def test_check_converts_no_part_of_a_mixture(folder, tmp_path, capsys):
    spec = f"mixture:{folder}*1,{folder}/cats*1"
    assert run("data", "check", spec, "--data_dir", tmp_path / "sets", "--sheet", tmp_path / "s.png") == 0
    assert not list((tmp_path / "sets").glob("files_*/1.0.0"))


def test_a_sheet_does_not_become_part_of_the_set(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(folder)
    assert run("data", "check", "folder:.", "--data_dir", tmp_path / "sets") == 2
    assert "would become part of the set" in capsys.readouterr().err
    assert not (folder / "contact_sheet.png").exists()


def test_names_of_files_cannot_speak_to_a_terminal(tmp_path, capsys):
    save(noise(0), tmp_path / "set" / "a.png")
    save(noise(0), tmp_path / "set" / "\x1b]0;title\x07.png")
    report = inspect(tmp_path / "set")
    assert "\\x1b]0;title\\x07.png" in "".join(inspection.describe(report))


def test_sizes_that_cannot_be_are_told(folder, tmp_path, capsys):
    assert run("data", "check", f"folder:{folder}", "--size", 0, 3) == 2
    assert "size is (0, 3), expected (height, width)" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(sets, "open_with", stop)
    assert run("data", "prepare", "tfds:digits") == 130
    assert "the same command goes on" in capsys.readouterr().err
