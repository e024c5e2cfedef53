"""Images against what they should be: of a network that translates, and of anyone's folders."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_extractor import extractor, squares
from made_sets import noise, put, save, tree

from jaxgan import cli, comparisons, data, metrics
from jaxgan.evaluation import evaluator, results
from jaxgan.evaluation.evaluator import EvaluationError, Evaluator, Request
from jaxgan.evaluation.figures import FIGURES
from jaxgan.evaluation.pairs import MEASURES, compare_pairs
from jaxgan.evaluation.sets import of_pairs, of_source, of_translator
from jaxgan.translating import Translator

pytestmark = pytest.mark.usefixtures("user_cache")

COUNT, SHAPE = 21, (16, 15, 3)
ASKED = ("psnr", "psnr_y", "ssim", "ssim_y", "l1", "lpips")


def paired(count=COUNT, shape=SHAPE, **options):
    """Images with a grain, and inputs with another."""
    images = noise(count, *shape) // 2 + 64
    return data.from_arrays(images, extra={"input": images + noise(count, *shape, seed=1) // 8}, **options)


@jax.jit
def translate(variables, batch, keys):
    """The input, lighter by a number, with a grain that its key draws."""
    images = data.to_float(batch["input"])
    grain = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
    return {"output": images + variables["light"] + 0.05 * grain, "truth": data.to_float(batch["image"])}


LIGHT = {"light": jnp.float32(0.1)}


@pytest.fixture
def chosen(monkeypatch):
    """A small network for features, of this many pixels, and a small distance."""
    network = extractor(SHAPE)
    monkeypatch.setattr(evaluator, "choose", lambda *arguments, **options: network)
    monkeypatch.setattr(evaluator, "lpips", lambda path: squares())


def expected(images, truths, *, border=0):
    """Each figure of each pair of uint8 images, in another way where that is short."""
    a, b = (np.asarray(x, np.float32) for x in (images, truths))
    y = [x @ np.float32([65.481, 128.553, 24.966]) / 255 + 16 for x in (a, b)]
    inner = [x[:, border : x.shape[1] - border, border : x.shape[2] - border, None] for x in y]
    ssim = jax.jit(partial(metrics.ssim, peak=255.0))
    return {
        "psnr": 20 * np.log10(255 / np.sqrt(np.mean((a - b) ** 2, (1, 2, 3)))),
        "psnr_y": 20 * np.log10(255 / np.sqrt(np.mean((inner[0] - inner[1]) ** 2, (1, 2, 3)))),
        "ssim": ssim(a, b),
        "ssim_y": ssim(*inner),
        "l1": np.abs(a - b).mean((1, 2, 3)) / 255,
        "lpips": np.mean((2 * (a - b) / 255) ** 2, (1, 2, 3)),
    }


# Networks that translate


@pytest.mark.parametrize(("devices", "batch"), [(1, 0), (2, 4), (4, 7)])
def test_each_output_is_measured_against_its_truth(devices, batch):
    source = paired()
    images = of_translator(translate, LIGHT, source, seed=3)
    found = compare_pairs(
        [images], ASKED, distance=squares(), border=1, batch=batch, devices=jax.devices()[:devices]
    )
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(3), i))(jnp.arange(COUNT))
    output = data.to_uint8(translate(LIGHT, source.arrays, keys)["output"])
    for name, values in expected(np.asarray(output), source.arrays["image"], border=1).items():
        np.testing.assert_allclose(found[name], values, rtol=2e-5, err_msg=name)
    np.testing.assert_array_equal(images.look(np.arange(COUNT)), output)


def test_a_part_is_of_the_same_images_as_the_whole():
    whole, part = (of_translator(translate, LIGHT, paired(), count, seed=5) for count in (0, 6))
    rows = part.inputs(np.arange(6))["index"]
    assert part.length == 6 and part.about == {"of": "arrays", "count": 6, "seed": 5}
    np.testing.assert_array_equal(part.look(np.arange(6)), whole.look(rows))
    assert (of_translator(translate, LIGHT, paired(), seed=6).look(rows) != whole.look(rows)).any()
    assert of_translator(translate, LIGHT, paired(), 10_000).length == COUNT


def test_a_network_is_compiled_once_for_all_variables():
    traces = []

    @jax.jit
    def network(variables, batch, keys):
        traces.append(batch)
        return translate(variables, batch, keys)

    for light in (0.1, 0.2, 0.3):
        variables = {"light": jnp.float32(light)}
        compare_pairs([of_translator(network, variables, paired())], ("psnr", "l1"))
    assert len(traces) <= 2  # of one example, to learn its shapes, and of a batch


def test_sets_of_outputs_are_compared_as_others_are(chosen):
    request = Request(("fid", "psnr", "lpips", "swd"), lpips="given")
    measure = Evaluator(request, paired())
    found = measure.measure(measure.samples(Translator(translate, None, LIGHT), about={"step": 3}))
    values = expected(
        measure.samples(Translator(translate, None, LIGHT), about={}).look(np.arange(COUNT)),
        paired().arrays["image"],
    )
    assert {*found.figures} == {"fid", "psnr", "lpips", "sliced_wasserstein"}
    for name in ("psnr", "lpips"):
        value, low, high = found.figures[name]
        assert value == pytest.approx(float(np.mean(values[name])), rel=1e-4) and low < value < high
    assert found.protocol["samples"] == {"step": 3, "of": "arrays", "count": COUNT, "seed": 0}
    assert "border" not in found.protocol
    darker = measure.samples(Translator(translate, None, {"light": jnp.float32(-0.5)}), about={})
    worse = measure.measure(darker).figures
    assert (
        worse["psnr"].value < found.figures["psnr"].value and worse["fid"].value > found.figures["fid"].value
    )


def test_unpaired_inputs_have_outputs_and_no_truth(chosen):
    domains = data.from_arrays(noise(5, *SHAPE)), data.from_arrays(noise(8, *SHAPE, seed=1))
    source = data.Source(**{**vars(domains[0]), "others": {"input": domains[1]}})

    @jax.jit
    def network(variables, batch, keys):
        return {"output": data.to_float(batch["input"])}

    images = of_translator(network, {}, source)
    np.testing.assert_array_equal(images.look(np.arange(8)), domains[1].arrays["image"])
    found = Evaluator(Request(("fid",)), source).measure(images)
    assert "fid" in found.figures and found.protocol["samples"]["count"] == 8
    with pytest.raises(EvaluationError, match="psnr needs images of which it is known what they should be"):
        Evaluator(Request(("fid", "psnr")), source).measure(images)


@pytest.mark.parametrize("made", [{"fake": SHAPE}, {"output": SHAPE, "truth": (8, 6, 3)}])
def test_a_network_that_makes_something_else_is_refused(made):
    def network(variables, batch, keys):
        return {name: jnp.zeros((len(keys), *shape)) for name, shape in made.items()}

    with pytest.raises(ValueError, match="expected an output, and a truth of its shape"):
        of_translator(network, {}, paired())


# Figures


def test_every_measure_is_a_figure_of_its_name():
    assert [name for name, figure in FIGURES.items() if "truth" in figure.needs] == [*MEASURES]


def test_a_figure_that_cannot_be_made_does_not_cost_the_others(chosen):
    same = paired(4)
    same = data.from_arrays(same.arrays["image"], extra={"input": same.arrays["image"]})
    request = Request(("psnr", "ms_ssim", "l1", "ssim"))
    found = Evaluator(request, same).measure(of_pairs(same, about={"source": "here", "count": 4}))
    assert {name: figure.value for name, figure in found.figures.items()} == {"l1": 0.0, "ssim": 1.0}
    assert any("psnr was not made: 4 of 4 images are what they should be" in note for note in found.notes)
    assert any("ms_ssim was not made" in note and "161x161" in note for note in found.notes)


def test_grey_images_are_their_own_luma():
    source = paired(5, (16, 15, 1))
    found = compare_pairs([of_pairs(source, about={})], ("psnr", "psnr_y"))
    np.testing.assert_array_equal(found["psnr"], found["psnr_y"])


def test_images_of_16_bits_are_measured_as_others():
    source = paired(5)
    deep = data.from_arrays(
        source.arrays["image"].astype(np.uint16) * 257,
        extra={"input": source.arrays["input"].astype(np.uint16) * 257},
    )
    one, other = (compare_pairs([of_pairs(x, about={})], ("psnr", "l1")) for x in (source, deep))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


def test_no_network_for_features_where_no_figure_needs_it(monkeypatch, chosen, tmp_path):
    monkeypatch.setattr(evaluator, "choose", lambda *_, **__: pytest.fail("a network was made"))
    images = of_pairs(paired(), about={"source": "here", "count": COUNT, "step": 1})
    measure = Evaluator(Request(("swd", "psnr_y"), features="classifier"), paired(), border=2)
    found = measure.measure(images)
    assert found.protocol["border"] == 2 and "features" not in found.protocol
    path = results.save(found, tmp_path)
    assert path.name.startswith("step_000000001_pixels_") and {*results.read(path).figures} == {
        *found.figures
    }
    assert results.sentence(found) == f"{COUNT} images against {COUNT} of arrays."
    with_features = found._replace(protocol=found.protocol | {"features": {"network": "net"}})
    results.check_comparable({"a": found, "b": with_features})
    other = Evaluator(Request(("psnr_y",)), paired(), border=4).measure(images)
    with pytest.raises(results.ResultError, match="border is 2 and 4"):
        results.check_comparable({"a": found, "b": other})


@pytest.mark.parametrize(("asked", "said"), [
    ("is", "is: of 15 images some splits have one alone"),
    ("fid_infinity", "fid_infinity: 15 samples of 4 dimensions end the line too low; take 20 or more"),
])  # fmt: skip
def test_what_biases_a_figure_is_noted(chosen, asked, said):
    few, many = (data.from_arrays(noise(count, *SHAPE, seed=count)) for count in (15, 40))
    measure = Evaluator(Request((asked,)), many)
    assert any(note.startswith(said) for note in measure.measure(of_source(few)).notes)
    assert not measure.measure(of_source(many)).notes


def test_grey_against_colour_is_noted(chosen):
    grey = of_source(data.from_arrays(noise(30, 16, 15, 1)))
    notes = Evaluator(Request(("fid",)), data.from_arrays(noise(30, *SHAPE))).measure(grey).notes
    assert any("samples have 1 and the reference 3 channels" in note for note in notes)


# Folders


@pytest.fixture
def jaxgan(capsys):
    """The command: (*arguments) -> exit code, what it printed, what it complained of."""

    def command(*arguments):
        capsys.readouterr()
        return cli.main(["evaluate", *map(str, arguments)]), *capsys.readouterr()

    return command


@pytest.fixture
def folders(tmp_path):
    """Images of two sizes and their truths, under the same names; one grey beside colour."""
    images = tree(tmp_path / "mine", ["a.png", "c.png", "deep/b.png"], SHAPE)
    images |= tree(tmp_path / "mine", ["d.png"], (20, 16), seed=3)
    truths = {name.replace(".png", ".bmp"): 255 - image // 2 for name, image in images.items()}
    truths["d.bmp"] = noise(20, 16, 3, seed=9)
    put(tmp_path / "true", {})
    for name, image in truths.items():
        save(tmp_path / "true" / name, image)
    return tmp_path / "mine", tmp_path / "true", images, truths


def test_folders_are_compared_image_by_image(folders, chosen, jaxgan, tmp_path):
    mine, true, images, truths = folders
    asked = "psnr,psnr_y,ssim_y,lpips"
    code, said, complaints = jaxgan(
        mine, "--against", true, "--paired", "--metrics", asked, "--border=2", "--lpips=given",
        "--out", tmp_path / "o",
    )  # fmt: skip
    assert code == 0, complaints
    assert f"4 images against 4 of {true}." in said
    found = results.read(tmp_path / "o")
    images["d.png"] = np.repeat(images["d.png"][..., None], 3, axis=-1)
    each = [
        expected(image[None], truths[name.replace("png", "bmp")][None], border=2)
        for name, image in images.items()
    ]
    for name in asked.split(","):
        mean = np.mean([float(one[name][0]) for one in each])
        assert found.figures[name].value == pytest.approx(mean, rel=1e-4), name
    assert found.protocol["reference"]["sizes"] == 2 and found.protocol["border"] == 2


def test_folders_of_one_size_have_figures_of_sets_too(folders, chosen):
    mine, true, _, _ = folders
    for path in (mine / "d.png", true / "d.bmp"):
        path.unlink()
    found = comparisons.evaluate_pairs(str(mine), str(true), Request(("fid", "psnr")))
    assert {*found.figures} == {"fid", "psnr"}


def test_folders_that_cannot_be_compared(folders, chosen, jaxgan, tmp_path):
    mine, true, images, _ = folders
    put(
        tmp_path,
        {"fewer/a.png": images["a.png"], "other/a.png": noise(5, 6, 3), "alpha/a.png": noise(16, 15, 4)},
    )
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for target, against, extra, said in (
        (mine, tmp_path / "fewer", [], "do not match by name: 3 in .*mine without a partner, such as 'c'"),
        (tmp_path / "fewer", tmp_path / "other", [], "a.png is 16x15 .* its partner 5x6"),
        (tmp_path / "fewer", tmp_path / "alpha", [], "a.png or its partner has alpha"),
        (tmp_path / "empty", tmp_path / "empty", [], "there are no images"),
        (mine, true, ["--metrics=psnr,fid"], "fid compare sets of images of one size, and these have 2"),
        (mine, true, ["--metrics=lpips"], "lpips needs lpips, the file of its weights"),
        (mine, true, ["--samples=2"], "--samples, --reference, --size and --split are of sets"),
        (mine, true, ["--metrics=ssim_y", "--border=4"], "ssim_y was not made: .*border of 4"),
        (tmp_path / "run", true, [], "--paired is of two folders of images, and .* is a run"),
    ):
        options = extra if any("--metrics" in x for x in extra) else ["--metrics=psnr", *extra]
        code, _, complaints = jaxgan(target, "--against", against, "--paired", *options)
        assert code == 2 and "Traceback" not in complaints
        assert re.search(said, complaints), complaints
    code, _, complaints = jaxgan(mine, "--against", true, "--metrics=psnr", "--size", 8, 8)
    assert code == 2 and "psnr needs images of which it is known" in complaints
    code, _, complaints = jaxgan(tmp_path / "run", "--size", 8, 8)
    assert code == 2 and "--size is of the images named by --against" in complaints
