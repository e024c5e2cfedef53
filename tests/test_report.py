"""The writers of logs and pictures: what they write is read back, pixel by pixel."""

import io
import json
import math
import os
import struct
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxgan import files, pictures, report

GAP = pictures.GAP


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def events(directory):
    """All events of a directory, in the order in which TensorBoard reads its files."""
    found = []
    for path in sorted((directory / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):  # length, its checksum, the event, its checksum
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += length + 16
    return found


def scalars(directory):
    """(step, name) -> value, less what TensorBoard hides when a run is resumed."""
    found = {}
    for event in events(directory):
        if event.session_log.status == SessionLog.START:
            found = {key: value for key, value in found.items() if key[0] < event.step}
        for value in event.summary.value:
            assert (event.step, value.tag) not in found
            found[event.step, value.tag] = value.simple_value
    return found


def quiet(directory, **options):
    return report.Log(directory, **{"total_steps": 10, "progress": False} | options)


class Terminal(io.StringIO):
    def isatty(self):
        return True


# Logs


def test_import_is_light():
    heavy = "jax", "tensorboardX", "matplotlib", "PIL", "tqdm"
    code = f"import sys, jaxgan.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_written_metrics_are_read_back(tmp_path):
    with quiet(tmp_path / "new" / "run") as log:
        log.write(1, {"kimg": 0.5, "loss/d": jnp.float32(0.25), "loss/g": np.float32(2)})
        text = (tmp_path / "new" / "run" / "metrics.jsonl").read_text()  # before the close
        log.write(np.int64(2), {"loss/d": jnp.bfloat16(3)})
    assert text == '{"step": 1, "kimg": 0.5, "loss/d": 0.25, "loss/g": 2.0}\n'
    assert report.read_metrics(tmp_path / "new" / "run" / "metrics.jsonl") == [
        {"step": 1, "kimg": 0.5, "loss/d": 0.25, "loss/g": 2.0},
        {"step": 2, "loss/d": 3.0},
    ]
    assert scalars(tmp_path / "new" / "run") == {
        (1, "kimg"): 0.5, (1, "loss/d"): 0.25, (1, "loss/g"): 2.0, (2, "loss/d"): 3.0,
    }  # fmt: skip


def test_non_finite_metrics_stay_json(tmp_path):
    with quiet(tmp_path) as log:
        log.write(1, {"a": math.nan, "b": math.inf, "c": jnp.float32(-jnp.inf), "d": 1.0})

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=no_constant)
    assert line == {"step": 1, "a": "nan", "b": "inf", "c": "-inf", "d": 1.0}
    (read,) = report.read_metrics(tmp_path / "metrics.jsonl")
    assert math.isnan(read.pop("a"))
    assert read == {"step": 1, "b": math.inf, "c": -math.inf, "d": 1.0}
    assert math.isnan(scalars(tmp_path)[1, "a"])


@pytest.mark.parametrize("metrics", [{"step": 1.0}, {"x": np.zeros(3)}, {"x": jnp.zeros((1,))}])
def test_what_is_no_metric_is_refused_and_writes_nothing(tmp_path, metrics):
    with quiet(tmp_path) as log, pytest.raises(ValueError, match=f"got '{next(iter(metrics))}'"):
        log.write(1, {"loss/d": 1.0, **metrics})
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert scalars(tmp_path) == {}


def test_resume_appends_and_the_last_line_of_a_step_wins(tmp_path):
    with quiet(tmp_path) as log:
        for step in (2, 4, 6):  # killed at 6, saved at 4
            log.write(step, {"loss/d": step})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with quiet(tmp_path, start_step=4) as log:  # within the same second, too
        for step in (6, 8):
            log.write(step, {"loss/d": 10 * step})
    assert (tmp_path / "metrics.jsonl").read_bytes().startswith(before)
    read = report.read_metrics(tmp_path / "metrics.jsonl")
    assert [(line["step"], line["loss/d"]) for line in read] == [(2, 2), (4, 4), (6, 60), (8, 80)]
    expected = {(2, "loss/d"): 2, (4, "loss/d"): 4, (6, "loss/d"): 60, (8, "loss/d"): 80}
    assert scalars(tmp_path) == expected


@pytest.mark.parametrize("torn", [b'{"step": 3, "loss/d', b'{"step"', b"\xff\x00", b"\0" * 8])
def test_a_torn_line_is_left_out_and_never_glued_to_the_next(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 2, "a": 1.0}\n' + torn)
    assert report.read_metrics(path) == [{"step": 2, "a": 1.0}]
    with quiet(tmp_path, start_step=2) as log:
        log.write(3, {"a": 5.0})
    assert report.read_metrics(path) == [{"step": 2, "a": 1.0}, {"step": 3, "a": 5.0}]
    assert path.read_bytes().startswith(b'{"step": 2, "a": 1.0}\n' + torn + b"\n")


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 2, "a": 1.0}')
    with quiet(tmp_path, start_step=2) as log:
        log.write(3, {"a": 5.0})
    assert [line["step"] for line in report.read_metrics(path)] == [2, 3]


def test_a_killed_run_leaves_its_lines(tmp_path):
    code = (
        "import os, sys; from jaxgan.report import Log; log = Log(sys.argv[1], total_steps=9)\n"
        "for step in range(5): log.write(step, {'a': step})\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    assert done.returncode == -9
    assert len(report.read_metrics(tmp_path / "metrics.jsonl")) == 5


def test_read_metrics_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        report.read_metrics(tmp_path / "metrics.jsonl")
    (tmp_path / "metrics.jsonl").touch()
    assert report.read_metrics(tmp_path / "metrics.jsonl") == []


def test_an_inactive_log_touches_nothing(tmp_path, capfd):
    with report.Log(tmp_path / "run", total_steps=10, active=False) as log:
        log.write(1, {"step": 1.0})  # not even checked
        log.image(1, "samples", random_images(4, 4, 3))
        log.advance(1, 8, {"loss/d": 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_log_closes_when_an_error_passes_and_then_does_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), quiet(tmp_path) as log:
        log.write(1, {"a": 1.0})
        raise KeyboardInterrupt
    log.close()
    log.write(2, {"a": 1.0})
    assert scalars(tmp_path) == {(1, "a"): 1.0}
    assert len(report.read_metrics(tmp_path / "metrics.jsonl")) == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_are_read_back_from_events(tmp_path, channels):
    image = random_images(5, 7, channels)
    image[..., -1] = image[..., -1] if channels in (1, 3) else 255
    with quiet(tmp_path) as log:
        log.image(3, "samples", image)
        with pytest.raises(ValueError, match=r"uint8 \[H,W,C\].*got float32 \[5, 7, "):
            log.image(3, "samples", image.astype(np.float32))
    (found,) = [(e.step, v) for e in events(tmp_path) for v in e.summary.value]
    step, value = found
    assert (step, value.tag) == (3, "samples")
    shown = np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
    colour = image if channels in (1, 3) else image[..., :-1]
    np.testing.assert_array_equal(shown, np.broadcast_to(colour, (5, 7, 3)))


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with report.Log(tmp_path, total_steps=100, start_step=50) as log:
        log.advance(1, 8, {})
        log.advance(24, 192, {"loss/d": 0.512345, "loss/g": jnp.float32(1234.5)})
        log.write(75, {"loss/d": 0.5})
    shown = terminal.getvalue()
    assert "75/100" in shown
    assert "images/s, loss/d 0.5123, loss/g 1,23" in shown
    assert "step 75" not in shown


def test_elsewhere_a_plain_line_is_printed(tmp_path, capsys):
    with report.Log(tmp_path, total_steps=100, start_step=50) as log:
        log.write(50, {"loss/d": math.nan})
        log.advance(25, 200, {"loss/d": 0.5})
        log._began, log._last, log._seconds = 0.0, 10.0, 4.0  # 25 steps in 10 s
        log.write(75, {"kimg": 12345.6, "loss/d": 0.512345})
    out, err = capsys.readouterr()
    assert (out, "\r" in err) == ("", False)
    assert err.splitlines() == [
        "step 50/100  loss/d nan",
        "step 75/100  kimg 12,346  loss/d 0.5123  50 images/s  00:10 left",
    ]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_without_progress_stderr_is_left_alone(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with quiet(tmp_path) as log:
        log.advance(1, 8, {"loss/d": 0.5})
        log.write(1, {"loss/d": 0.5})
    assert sys.stderr.getvalue() == ""


# Pictures


def over_white(image):
    """The expected RGB, by PIL's own paste."""
    height, width, channels = image.shape
    mode = ["L", "LA", "RGB", "RGBA"][channels - 1]
    rgba = Image.frombytes(mode, (width, height), image.tobytes()).convert("RGBA")
    page = Image.new("RGB", (width, height), "white")
    page.paste(rgba, (0, 0), rgba)
    return np.asarray(page, int)


def check_tiles(page, images, scale):
    """The tiles have their pixels, and the gaps between them are grey; returns the margin."""
    rows, columns, height, width, _ = images.shape
    high, wide = height * scale + GAP, width * scale + GAP
    margin = page.shape[1] - columns * wide + GAP
    assert page.shape[0] == rows * high - GAP
    for row in range(rows):
        for column in range(columns):
            y, x = row * high, margin + column * wide
            tile = page[y : y + high - GAP, x : x + wide - GAP].astype(int)
            expected = over_white(images[row, column]).repeat(scale, 0).repeat(scale, 1)
            exact = images.shape[-1] in (1, 3)
            assert np.abs(tile - expected).max() <= (0 if exact else 1)  # PIL rounds otherwise
            assert (page[y + high - GAP : y + high, x : x + wide - GAP] == pictures.GAP_GREY).all()
            assert (page[y : y + high - GAP, x + wide - GAP : x + wide] == pictures.GAP_GREY).all()
    return margin


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("shape", "scale"),
    [((1, 1, 1, 1), 48), ((2, 3, 8, 8), 6), ((3, 2, 28, 28), 2), ((2, 2, 5, 7), 7),
     ((2, 4, 64, 3), 1), ((1, 2, 100, 65), 1), ((4, 1, 9, 31), 2)],
)  # fmt: skip
def test_a_grid_has_each_pixel_in_its_place(shape, scale, channels):
    images = random_images(*shape, channels)
    grid = pictures.image_grid(images)
    assert grid.mode == "RGB"
    assert check_tiles(np.asarray(grid), images, scale) == 0
    labelled = pictures.image_grid(images, row_labels=["gj"] * shape[0], scale=3)
    assert check_tiles(np.asarray(labelled), images, 3) > 0


def test_alpha_is_exact_at_its_ends_and_half_way():
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 255, 101, 128]]], np.uint8)
    grid = np.asarray(pictures.image_grid(pixels[None, None], scale=1))
    assert grid.tolist() == [[[255, 255, 255], [10, 20, 30], [127, 255, 178]]]


LABELS = [
    "a",
    "frog",
    "tench, Tinca tinca, " * 20,
    "line\nbreak",
    "",
    "Ünïcode 日本 gjpqy",
    "W" * 300,
]


@pytest.mark.parametrize("size", [3, 8, 28, 64])
@pytest.mark.parametrize("scale", [None, 1])
def test_labels_stay_in_their_margin_and_row(size, scale):
    images = np.zeros((len(LABELS), 2, size, size, 1), np.uint8)
    page = np.asarray(pictures.image_grid(images, row_labels=LABELS, scale=scale))
    scale = scale or math.ceil(48 / size)
    margin = check_tiles(page, images, scale)
    assert margin <= 172 + 120 * (scale * size >= 8)  # of 'W', wider than most
    ink = (page[:, :margin] < 255).any(axis=2)
    assert not ink[:, :2].any()  # nothing is cut at the left edge, or touches the tiles
    assert not ink[:, -2:].any()
    for row, label in enumerate(LABELS):
        start = row * (size * scale + GAP)
        end = start + size * scale
        assert ink[start:end].any() == bool(label)
        assert not ink[end : end + GAP].any()
        if size * scale >= 28:  # room enough: nothing is cut above or below
            assert not ink[start].any()
            assert not ink[end - 1].any()


def test_labels_are_wrapped_and_shortened_only_at_need():
    def fitted(label, height=48):
        text, font = pictures._fitted(label, height)
        return text.split("\n"), font.size

    assert fitted("automobile") == (["automobile"], 14)
    assert fitted("Staffordshire bullterrier") == (["Staffordshire", "bullterrier"], 14)
    lines, size = fitted("Staffordshire bullterrier, Staffordshire bull terrier")
    assert " ".join(lines) == "Staffordshire bullterrier, Staffordshire bull terrier"
    assert 9 <= size < 14
    lines, size = fitted("tench, Tinca tinca, " * 20)
    assert (len(lines), size, lines[-1][-1]) == (3, 9, "…")
    assert fitted("automobile", 8) == (["automobile"], 6)
    assert fitted("") == ([""], 14)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [(np.zeros((2, 2, 8, 8, 3)), {}, r"uint8 \[R,K,H,W,C\].*got float64 \[2, 2, 8, 8, 3\]"),
     (np.zeros((2, 8, 8, 3), np.uint8), {}, r"got uint8 \[2, 8, 8, 3\]"),
     (np.zeros((2, 2, 3, 8, 8), np.uint8), {}, r"C of 1 to 4; got uint8 \[2, 2, 3, 8, 8\]"),
     (np.zeros((2, 0, 8, 8, 3), np.uint8), {}, "not empty"),
     (np.zeros((2, 2, 8, 8, 3), np.uint8), {"row_labels": ["a"]}, "1 row_labels for 2 rows"),
     (np.zeros((2, 2, 8, 8, 3), np.uint8), {"scale": 0}, "got scale 0")],
)  # fmt: skip
def test_what_is_no_grid_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        pictures.image_grid(images, **options)


def test_a_strip_holds_its_grids_and_captions():
    first, second = random_images(2, 3, 8, 8, 3), random_images(3, 1, 10, 6, 1)
    captions = ("4 kimg", "a caption wider than its grid")
    page = np.asarray(
        pictures.strip([*zip(captions, map(pictures.image_grid, (first, second)), strict=True)])
    )
    grids = [np.asarray(pictures.image_grid(images)) for images in (first, second)]
    band = page.shape[0] - max(len(grid) for grid in grids)
    width = grids[0].shape[1]
    np.testing.assert_array_equal(page[band : band + len(grids[0]), :width], grids[0])
    x = width + 16
    np.testing.assert_array_equal(page[band : band + len(grids[1]), x : x + grids[1].shape[1]], grids[1])
    assert page.shape[1] > x + grids[1].shape[1]  # the caption made room for itself
    ink = (page[:band] < 255).any(axis=2)
    assert ink[:, :width].any() and ink[:, x + 100 :].any()
    assert not ink[0].any() and not ink[-1].any() and not ink[:, -1].any()
    assert not ink[:, width:x].any()
    with pytest.raises(ValueError, match="no pictures"):
        pictures.strip([])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_saved_image_keeps_its_channels(tmp_path, channels):
    image = random_images(5, 7, channels)
    path = tmp_path / "new" / "sample"  # whatever its name, a PNG
    pictures.save_image(image, path)
    with Image.open(path) as read:
        assert (read.format, read.mode) == ("PNG", ["L", "LA", "RGB", "RGBA"][channels - 1])
        np.testing.assert_array_equal(np.asarray(read).reshape(5, 7, channels), image)
    pictures.save_image(pictures.image_grid(image[None, None]), str(path))
    assert os.listdir(tmp_path / "new") == ["sample"]
    with pytest.raises(ValueError, match="got int64"):
        pictures.save_image(image.astype(np.int64), path)


def test_a_file_is_replaced_and_not_written_over(tmp_path):
    for write in (
        lambda path, i: pictures.save_image(random_images(i, 4, 3), path),
        lambda path, i: files.write_json(path, [i]),
        lambda path, i: pictures.curves(fake_metrics(i), path),
    ):
        path, reader = tmp_path / "file", tmp_path / "reader"
        write(path, 1)
        before = path.read_bytes()
        os.link(path, reader)  # whoever has the old file open keeps it whole
        write(path, 2)
        assert reader.read_bytes() == before != path.read_bytes()
        path.unlink()
        reader.unlink()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    pictures.save_image(random_images(4, 4, 3), path)
    before = path.read_bytes()

    def fail(self, target, format):
        target.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="full"):
        pictures.save_image(random_images(8, 8, 3), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def fake_metrics(count, **extra):
    return [
        {"step": i, "kimg": i / 8, "seconds": i, "loss/d": math.exp(-i / 50), "loss/g": i / count,
         "share/fooled": 0.5, "ada_p": i / count / 2} | extra
        for i in range(1, count + 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "metrics",
    [[], [{"step": 1}], fake_metrics(1), fake_metrics(300), fake_metrics(300, bad=math.nan),
     fake_metrics(3, **{"bad/inf": -math.inf}), [*fake_metrics(5), {"step": 6, "fid": 3.0}],
     [{"step": 1, "loss": 1.0, "loss/d": 2.0}]],
)  # fmt: skip
def test_curves_are_drawn(tmp_path, metrics):
    pictures.curves(metrics, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 8
    assert os.listdir(tmp_path) == ["curves.png"]


def test_curves_have_their_panels_axes_and_points(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), path.touch()))
    metrics = fake_metrics(300)
    metrics[7]["loss/d"] = math.nan
    metrics[-1]["fid"] = 5.0
    pictures.curves(metrics, tmp_path / "curves.png")
    loss, share, ada, fid = drawn[0].axes
    assert [axes.get_title("left") for axes in drawn[0].axes] == [
        "loss", "share/fooled", "ada_p", "fid",
    ]  # fmt: skip
    assert {axes.get_xlabel() for axes in drawn[0].axes} == {"kimg"}
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["d", "g"]
    assert [axes.get_legend() for axes in (share, ada, fid)] == [None] * 3
    smooth, raw = loss.lines[:2]
    np.testing.assert_array_equal(raw.get_ydata(), [line["loss/d"] for line in metrics])
    assert np.isfinite(smooth.get_ydata()).all()
    np.testing.assert_allclose(smooth.get_ydata()[20:], raw.get_ydata()[20:], rtol=0.05)
    np.testing.assert_allclose(share.lines[0].get_ydata(), 0.5)  # no droop at the ends
    assert (fid.lines[0].get_xdata(), fid.lines[0].get_ydata()) == ([37.5], [5.0])
    pictures.curves([*metrics, {"step": 301, "fid": 4.0}], tmp_path / "curves.png")
    assert drawn[1].axes[0].get_xlabel() == "step"


def test_curves_leave_pyplot_alone(tmp_path):
    code = (
        "import sys; from jaxgan import pictures; pictures.curves([{'step': 1, 'a': 2}], sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "curves.png")]
    assert subprocess.run(command).returncode == 0


# The environment


def test_environment_is_json_and_says_what_runs(tmp_path):
    found = report.environment()
    files.write_json(tmp_path / "environment.json", found)
    assert json.loads((tmp_path / "environment.json").read_text()) == found
    assert found["command"] == sys.argv
    assert found["versions"]["jax"] == __import__("jax").__version__
    assert found["versions"]["jaxgan"] is not None
    assert found["devices"][0].endswith("(cpu)") or "(" in found["devices"][0]
    assert found["started"].endswith("+00:00")
    assert report._version("no-such-package-at-all") is None


def test_revision_is_of_the_repository_that_tracks_the_file(tmp_path, monkeypatch):
    def git(*arguments):
        options = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *options, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    file = tmp_path / "jaxgan" / "report.py"
    file.parent.mkdir()
    file.touch()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert report._revision(file) is None  # no repository
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert report._revision(file) is None  # a repository that the package only lies in
    git("add", "jaxgan")
    git("commit", "-q", "-m", "all")
    assert report._revision(file) == git("rev-parse", "HEAD")
    (tmp_path / "untracked").touch()
    assert report._revision(file) == git("rev-parse", "HEAD")
    file.write_text("changed")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as under a hook
    assert report._revision(file).endswith("+dirty")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert report._revision(file) is None  # no git


def test_json_keeps_order_and_takes_arrays(tmp_path):
    data = {
        "z": 1,
        "a": [np.float32(0.5), jnp.arange(2)],
        "n": {"nan": math.nan, "t": (True, None)},
    }
    files.write_json(tmp_path / "a.json", data)
    text = (tmp_path / "a.json").read_text()
    assert text.startswith('{\n  "z": 1,\n  "a": [\n    0.5,') and text.endswith("}\n")
    assert json.loads(text) == {"z": 1, "a": [0.5, [0, 1]], "n": {"nan": "nan", "t": [True, None]}}
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == text
