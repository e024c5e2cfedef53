"""Every task that is given images, by config, on photographs: trained, shown, measured, resumed, used."""

import os
import re
import shutil

import chex
import numpy as np
import pytest
from flax import linen as nn
from made_extractor import extractor, squares
from made_photographs import tiles
from made_sets import GOOD, noise, put, save
from PIL import Image

from configs import base
from jaxgan import applications, build, cli, data, editing, report, rules, training
from jaxgan.config import ConfigError
from jaxgan.evaluation import collecting, evaluator, results
from jaxgan.interop import cards
from jaxgan.tasks import Example, Task, Verdict
from jaxgan.translating import make_translator

# Never square, and odd where a scale, several sizes or doubled grids do not forbid it.
SIZES = {"srresnet": (16, 20), "rrdb": (14, 18), "translator": (14, 18), "starganv2": (16, 20)}
ODD = (13, 18)
HALF = ("rrdb", "repair", "translator", "cycle", "contrastive", "unit", "starganv2")  # in bfloat16
# What differs from `tiny` of each task, a family each.
TASKS = {
    "srresnet": {"task.name": "super_resolution", "model.srresnet.blocks": 1, "model.srresnet.hidden": 4},
    "rrdb": {
        "task.name": "super_resolution",
        "task.scale": 2,
        "model.rrdb.blocks": 1,
        "model.rrdb.growth": 2,
    },
    "repair": {"task.name": "restoration", "model.repair.halvings": 1, "model.repair.dilations": (2,)},
    "unet": {"task.name": "paired", "model.unet.discriminator_halvings": 1},
    "translator": {
        "task.name": "paired",
        "model.translator.blocks": 1,
        "model.translator.scales": 2,
        "model.translator.discriminator_halvings": 1,
        "terms.feature_matching": 1.0,
    },
    "cycle": {
        "task.name": "cycle",
        "model.cycle.blocks": 1,
        "model.cycle.discriminator_halvings": 1,
        "task.pool": 3,
        "terms.identity": 0.5,
    },
    "contrastive": {
        "task.name": "contrastive",
        "model.contrastive.blocks": 1,
        "model.contrastive.discriminator_halvings": 1,
        "model.contrastive.patches": 4,
        "model.contrastive.units": 4,
        "terms.nce_identity": 1.0,
    },
    "unit": {"task.name": "shared_latent", "model.unit.blocks": 1, "model.unit.discriminator_halvings": 2},
    "starganv2": {
        "task.name": "styles",
        "model.conditional": True,
        "model.latent_size": 4,
        "model.starganv2.widest": 8,
        "model.starganv2.bottleneck": 8,
        "model.starganv2.plain": 1,
        "model.starganv2.style_size": 4,
        "model.starganv2.mapping_units": 4,
        "penalties.r1": 1.0,
        "terms.style": 1.0,
        "terms.style_diversity": 1.0,
        "terms.cycle": 1.0,
        "optimizer.generator.b1": 0.0,
    },
}
# A family of each task.
EACH = ("srresnet", "repair", "unet", "cycle", "contrastive", "unit", "starganv2")
# One judge, images that are remembered, noise and several judges, one set that is two domains.
VARIED = ("srresnet", "cycle", "unit", "starganv2")
FIRST = {
    "super_resolution": "pixel",
    "restoration": "pixel",
    "paired": "pixel",
    "cycle": "cycle",
    "styles": "cycle",
    "contrastive": "nce",
}


PAIRED = ("super_resolution", "restoration", "paired")  # of which it is known what they should make


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Small networks for features and for LPIPS, and features kept by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "choose", lambda name, source, **options: extractor(source.image_shape))
        patch.setattr(evaluator, "lpips", lambda path: squares())
        patch.setattr(collecting, "user_cache_path", lambda name: tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where the files are."""
    return tmp_path_factory.mktemp("photographs")


def write(family, root):
    """Files with what the task needs beside them, and the source of them: inputs, or another domain."""
    size, needs = SIZES.get(family, ODD), rules.NEEDS[TASKS[family]["task.name"]]
    place = root / family
    if not place.exists():
        temple, flower = tiles(size)
        for i, (a, b) in enumerate(zip(temple, flower, strict=True)):
            save(place / "images" / f"{i}.png", b)
            save(place / "grey" / f"{i}.png", b.mean(-1).astype(np.uint8))
            save(place / "classes" / f"{i % 3}" / f"{i}.png", (a, b, 255 - b)[i % 3])
            if i < len(temple) - 3:
                save(place / "others" / f"{i}.png", a)
    forms = {
        "input": "pairs:{}/grey,{}/images", "other": "unpaired:{}/others,{}/images",
        "classes": "folder:{}/classes", "": "folder:{}/images",
    }  # fmt: skip
    return forms[needs].replace("{}", str(place))


def tiny(family, root="", **changes):
    config = base.get_config()
    config.model.family, config.batch_size, config.steps = family, 4, 4
    config.model.generator.width = config.model.discriminator.width = 4
    config.model.dtype = "bfloat16" if family in HALF else "float32"
    config.data.flip, config.parallel.devices = True, 1
    config.data.prepare, config.data.data_dir = False, f"{root}/data"
    config.log.every = config.sample.every = 2
    config.checkpoint.every, config.checkpoint.keep, config.sample.columns = 1, 10, 3
    config.update_from_flattened_dict(TASKS[family])
    config.evaluate.metrics = (
        ("psnr", "ssim", "l1", "lpips") if config.task.name in PAIRED else ("fid", "kid")
    )
    config.evaluate.every, config.evaluate.lpips, config.evaluate.batch = 1000.0, "given", 6
    term = FIRST.get(config.task.name, "reconstruction")
    config.terms[term], config.pretrain.steps, config.pretrain.term = 1.0, 2, term
    config.data.source = write(family, root) if root else config.data.source
    config.update_from_flattened_dict(changes)
    return config


def train(family, root, workdir, **changes):
    return training.train(tiny(family, root, **changes), workdir, progress=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root):
    runs = {}

    def get(family):
        if family not in runs:
            workdir = tmp_path_factory.mktemp(family)
            runs[family] = workdir, train(family, root, workdir)
        return runs[family]

    return get


def test_every_task_is_tried():
    assert {tiny(family).task.name for family in TASKS} == {*applications.APPLICATIONS} - {"synthesis"}


@pytest.mark.parametrize("family", TASKS)
def test_a_task_trains_and_is_shown(family, trained):
    workdir, run = trained(family)
    lines = {line["step"]: line for line in report.read_metrics(workdir / "metrics.jsonl")}
    assert "loss/d" not in lines[2] and np.isfinite(lines[4]["loss/d"])  # the first phase is without D
    assert np.isfinite(lines[4]["distance/sliced_wasserstein"])
    assert ("distance/psnr" in lines[4]) == (run.config.task.name in PAIRED)
    assert ("distance/returned" in lines[4]) == (run.config.task.name in ("cycle", "shared_latent", "styles"))
    assert all(
        np.isfinite(lines[step][f"evaluation/{name}"])
        for step in (2, 4)
        for name in run.config.evaluate.metrics
    )
    chex.assert_tree_all_finite(run.state.generator.params)
    assert (workdir / "samples" / "step_000000004.png").exists()
    opened = training.open_run(workdir)
    chex.assert_trees_all_equal(opened.state, run.state)
    examples = data.gather_examples(build.open_source(run.config), np.arange(3))
    shown, again = run.sampler.show(examples), opened.sampler.show(examples)
    assert "output" in shown and shown["output"].shape == (3, *SIZES.get(family, ODD), 3)
    assert [*shown] == run.sampler.names(examples)
    chex.assert_trees_all_equal(shown, again)


def test_what_is_shown_keeps_the_order_of_the_task():
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    task = Task(
        prepare=lambda batch, keys: Example(data.to_float(batch["image"]), None),
        generate=lambda generator, given: given,
        judge=lambda discriminator, sample, given: Verdict(sample),
        show=lambda generator, example: {name: example.given for name in ("input", "output", "a", "truth")},
        use=lambda generator, batch, keys: batch["image"],
    )
    translator = make_translator(task, nn.Dense(1))({})
    shown = translator.show({"image": images})
    assert [*shown] == translator.names({"image": images}) == ["input", "output", "a", "truth"]
    np.testing.assert_array_equal(shown["output"], images)


@pytest.mark.parametrize("family", EACH)
def test_a_task_that_is_stopped_goes_on_bit_for_bit(family, trained, root, tmp_path):
    workdir, run = trained(family)
    shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    shutil.rmtree(tmp_path / "checkpoints" / "4")  # so that the third step is the newest
    resumed = train(family, root, tmp_path, **{"evaluate.every": 0.0})
    chex.assert_trees_all_equal(resumed.state, run.state)


@pytest.mark.parametrize("family", VARIED)
def test_two_devices_train_a_task_as_one_does(family, root, tmp_path):
    sgd = {f"optimizer.{player}.name": "sgd" for player in ("generator", "discriminator")}
    sgd |= {"model.dtype": "float32", "evaluate.every": 0.0, "pretrain.steps": 1, "steps": 3}
    one = train(family, root, tmp_path / "one", **sgd)
    two = train(
        family, root, tmp_path / "two", **sgd, **{"parallel.devices": 2, "parallel.runner": "shard_map"}
    )
    chex.assert_trees_all_close(one.state.generator.params, two.state.generator.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(one.state.memories, two.state.memories, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", EACH)
def test_a_run_is_measured_by_the_command(family, trained, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])
    workdir, run = trained(family)
    asked = ",".join(run.config.evaluate.metrics)
    arguments = ["evaluate", str(workdir), "--metrics", asked, "--lpips", "given", "--batch", "6"]
    assert cli.main(arguments) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert all(name in said for name in run.config.evaluate.metrics)
    lines = {line["step"]: line for line in report.read_metrics(workdir / "metrics.jsonl")}
    found = results.read(next((workdir / results.FOLDER).glob("step_000000004*.json"))).figures
    for name in run.config.evaluate.metrics:
        assert found[name].value == pytest.approx(lines[4][f"evaluation/{name}"], rel=1e-4), name


@pytest.mark.parametrize("family", TASKS)
def test_an_exported_generator_of_a_task_is_the_runs(family, trained, tmp_path):
    workdir, run = trained(family)
    out = tmp_path / "g.safetensors"
    assert cli.main(["export", str(workdir), "--out", str(out)]) == 0
    network, variables, _ = cards.load(out)
    assert type(network) is type(run.game.generator)
    chex.assert_trees_all_equal(variables["params"], run.state.ema["params"])


@pytest.mark.parametrize(
    ("family", "command"),
    [
        ("srresnet", "upscale"), ("rrdb", "upscale"), ("repair", "restore"), ("unet", "translate"),
        ("translator", "translate"), ("cycle", "translate"), ("contrastive", "translate"),
        ("unit", "translate"), ("starganv2", "translate"),
    ],
)  # fmt: skip
def test_files_of_any_size_go_through_a_command(family, command, trained, tmp_path, capsys):
    workdir, run = trained(family)
    pixels = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)
    save(tmp_path / "in" / "sub" / "a.png", np.dstack([pixels, pixels[..., 0]]))  # with alpha
    save(tmp_path / "in" / "b.png", 257 * pixels[:1, :1, 0].astype(np.uint16))  # one grey pixel of 16 bits
    extra = ["--tile", "8", "--overlap", "4"] if command == "upscale" else []
    extra = ["--domain", "2"] if family == "starganv2" else extra
    if command == "restore":
        for name, size in (("sub/a.png", (13, 18)), ("b.png", (1, 1))):
            save(tmp_path / "masks" / name, np.full(size, 255, np.uint8))
        extra = [str(tmp_path / "masks")]
    arguments = [command, str(workdir), str(tmp_path / "in"), *extra, "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    scale = run.config.task.scale if command == "upscale" else 1
    made = np.asarray(Image.open(tmp_path / "out" / "sub" / "a.png"))
    assert made.shape == (13 * scale, 18 * scale, 3) and made.std() > 0
    assert np.asarray(Image.open(tmp_path / "out" / "b.png")).shape[:2] == (scale, scale)
    capsys.readouterr()
    assert cli.main(arguments) == 2  # nothing is written over
    assert "b.png exists; give another --out, or --overwrite" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


def test_a_run_that_fills_holes_wants_to_know_where(trained, tmp_path, capsys):
    workdir, _ = trained("repair")
    save(tmp_path / "a.png", np.zeros((9, 14, 3), np.uint8))
    assert cli.main(["restore", str(workdir), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 2
    assert "would replace whole images; give masks" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_reference_leads_the_style(trained):
    _, run = trained("starganv2")
    random = np.random.default_rng(1)
    pixels, *references = (random.integers(0, 256, (13, 18, 3), np.uint8) for _ in range(3))
    drawn = editing.edit(run, pixels, domain="1")
    led = [editing.edit(run, pixels, domain="1", reference=reference) for reference in references]
    assert (drawn != led[0]).any() and (led[0] != led[1]).any()
    assert (drawn != editing.edit(run, pixels, domain="1", seed=1)).any()
    assert (drawn != editing.edit(run, pixels, domain="0")).any()


@pytest.mark.parametrize(
    ("family", "given", "message"),
    [
        ("starganv2", {}, "task.name='styles' needs the domain to translate into"),
        ("starganv2", {"domain": "horse"}, "The domain is 'horse', expected one of 0, 1, 2."),
        ("unet", {"domain": "1"}, "task.name='paired' needs no domain and no reference"),
        ("unet", {"reference": np.zeros((4, 4, 3), np.uint8)}, "needs no domain and no reference"),
        (
            "starganv2",
            {"domain": "1", "reference": np.zeros((4, 4, 3))},
            "Pixels are float64 [4, 4, 3], expected",
        ),
    ],
)
def test_domains_that_are_not_there_are_refused(family, given, message, trained):
    with pytest.raises(editing.EditError, match=re.escape(message)):
        editing.edit(trained(family)[1], np.zeros((9, 14, 3), np.uint8), **given)


def test_known_pixels_are_kept_where_a_mask_says_so(trained, tmp_path, capsys):
    """Masks of one name belong together, whichever folder they are in, and may have a palette."""
    workdir, _ = trained("repair")
    holes = np.zeros((2, 9, 14), np.uint8)
    holes[0, 2:5, 3:9] = holes[1, 6:, :2] = 1
    images = noise(2, 9, 14, 3)
    for i, folder in enumerate(("x", "y")):
        save(tmp_path / "in" / folder / "a.png", images[i])
        mask = Image.fromarray(holes[i]).convert("P")
        mask.putpalette([0, 0, 0, 255, 255, 255])
        save(tmp_path / "masks" / folder / "a.png", mask)
    command = ["restore", str(workdir), str(tmp_path / "in"), str(tmp_path / "masks")]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    for image, hole, folder in zip(images, holes, ("x", "y"), strict=True):
        made = np.asarray(Image.open(tmp_path / "out" / folder / "a.png"))
        np.testing.assert_array_equal(made[hole == 0], image[hole == 0])
        assert (made[hole > 0] != image[hole > 0]).any()
    (tmp_path / "masks" / "y" / "a.png").unlink()
    capsys.readouterr()
    assert cli.main([*command, "--out", str(tmp_path / "more")]) == 2
    assert "has no mask for y/a.png, one of 1; expected a file of its" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()  # before anything is made


def test_files_that_no_command_can_use(trained, tmp_path, capsys):
    put(
        tmp_path,
        {"same/a.png": GOOD, "same/a.bmp": GOOD, "good/a.png": GOOD, "bad/a.png": b"", "no/a.txt": "a"},
    )
    put(tmp_path, {"shades/a.png": noise(6, 5), "small/a.png": noise(3, 5)})
    for family, command, source, extra, said in (
        ("unet", "translate", "same", [], "a.bmp and a.png have one name; keep one of them"),
        ("unet", "translate", "bad", [], "a.png is empty"),
        ("unet", "translate", "no", [], "no holds no images (.png"),
        ("unet", "translate", "gone", [], "gone: there is no such folder"),
        ("srresnet", "upscale", "good", ["--tile", "8", "--overlap", "5"], "overlap by up to half of a tile"),
        ("srresnet", "upscale", "good", ["--blend", "2"], "A share of 2.0 is asked for"),
        ("repair", "restore", "good", [f"{tmp_path}/shades"], "Masks hold [0."),
        ("repair", "restore", "good", [f"{tmp_path}/small"], "Masks are [3, 5, 1] for images [6, 5, 3]"),
        ("starganv2", "translate", "good", ["--domain=1", f"--reference={tmp_path}/same"], "have one name"),
        ("starganv2", "translate", "good", [f"--reference={tmp_path}/good"], "needs the domain to translate"),
    ):
        arguments = [command, str(trained(family)[0]), str(tmp_path / source), *extra]
        assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 2
        found = capsys.readouterr().err
        assert said in found and "Traceback" not in found, found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((9, 13), np.uint8), r"Masks are \[9, 13, 1\] for images \[9, 14, 3\]"),
        (
            np.arange(126, dtype=np.uint8).reshape(9, 14),
            "expected 0 where pixels are known and 1 in the hole",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, message, trained):
    _, run = trained("repair")
    with pytest.raises(editing.EditError, match=message):
        editing.edit(run, np.zeros((9, 14, 3), np.uint8), mask=mask[..., None])


def test_a_command_refuses_a_run_of_another_task(trained, tmp_path, capsys):
    workdir, _ = trained("unet")
    assert cli.main(["upscale", str(workdir), str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "a run of task.name='paired'; this command is for super_resolution" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("unet", {"model.family": "dcgan"}, "model.family 'dcgan'; for this task there are unet, translator"),
        ("unet", {"terms.cycle": 1.0}, "terms.cycle is none of task.name='paired'"),
        ("unet", {"pretrain.term": ""}, "pretrain.steps is 2, pretrain.term ''"),
        ("unet", {"pretrain.steps": 5}, "so many of the 4 steps"),
        ("unet", {"terms.perceptual": 1.0}, "task.perceptual is ''"),
        (
            "unet",
            {"terms.perceptual": 1.0, "task.perceptual": "none.safetensors"},
            "task.perceptual is 'none.safetensors'",
        ),
        ("srresnet", {"task.degradations": (("bluring", 1.0, 2.0),)}, "No degradations ['bluring']"),
        ("srresnet", {"task.degradations": (("blur", 1.0, 2.0),)}, "expected 'bicubic' once"),
        ("unet", {"augment.policy": "color", "augment.p": 0.5}, "augment.policy is 'color'"),
        ("cycle", {"evaluate.metrics": ("fid", "psnr")}, "has psnr, which task.name='cycle' has nothing"),
        ("unet", {"evaluate.metrics": ("ppl",)}, "metrics has ppl, which task.name='paired' has nothing for"),
        ("cycle", {"penalties.r1": 1.0}, "penalties.r1 is of one discriminator's logits"),
        ("cycle", {"model.generator.norm": "layer"}, "model.generator.norm is 'layer'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(family, changes, message, root, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(family, root, tmp_path, **changes)


@pytest.mark.parametrize(
    ("family", "wanted"),
    [("unet", "pairs:INPUTS"), ("cycle", "unpaired:SOURCE"), ("starganv2", "two or more classes")],
)
def test_examples_that_lack_something_are_refused(family, wanted, tmp_path):
    plain = data.from_arrays(np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(ConfigError, match=f"{wanted}.*arrays has none"):
        training.train(tiny(family), tmp_path, source=plain, progress=False)


def test_images_that_the_scale_does_not_divide_are_refused(tmp_path):
    odd = data.from_arrays(np.zeros((4, 15, 16, 3), np.uint8))
    with pytest.raises(ConfigError, match="15x16 do not divide by the scale, 4"):
        training.train(tiny("srresnet"), tmp_path, source=odd, progress=False)
