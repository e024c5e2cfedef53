"""Every task that is given images, by config: trained, shown, resumed, on two devices, used on files."""

import re
from dataclasses import replace

import chex
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from configs import base
from jaxgan import applications, build, cli, data, editing, report, rules, training
from jaxgan.config import ConfigError
from jaxgan.interop import cards
from jaxgan.tasks import Example, Task, Verdict
from jaxgan.translating import make_translator

SIDE, COUNT = 16, 12
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


def tiny(family, **changes):
    config = base.get_config()
    config.model.family, config.batch_size, config.steps = family, 4, 4
    config.model.generator.width = config.model.discriminator.width = 4
    config.data.flip, config.parallel.devices = True, 1
    config.log.every = config.sample.every = config.checkpoint.every = 2
    config.sample.columns, config.checkpoint.keep = 3, 10
    config.update_from_flattened_dict(TASKS[family])
    term = FIRST.get(config.task.name, "reconstruction")
    config.terms[term], config.pretrain.steps, config.pretrain.term = 1.0, 2, term
    config.update_from_flattened_dict(changes)
    return config


def source(family):
    """Images with what the task needs beside them: inputs that belong to them, or of another domain."""
    random = np.random.default_rng(0)
    images, inputs = (random.integers(0, 256, (COUNT, SIDE, SIDE, c), np.uint8) for c in (3, 1))
    needs = rules.NEEDS[tiny(family).task.name]
    labels = np.arange(COUNT) * 3 // COUNT if needs == "classes" else None
    made = data.from_arrays(images, labels, extra={"input": inputs} if needs == "input" else None)
    other = data.from_arrays(random.integers(0, 256, (COUNT - 3, SIDE, SIDE, 3), np.uint8))
    return replace(made, others={"input": other}) if needs == "other" else made


def train(family, workdir, **changes):
    return training.train(tiny(family, **changes), workdir, source=source(family), progress=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    runs = {}

    def get(family):
        if family not in runs:
            workdir = tmp_path_factory.mktemp(family)
            runs[family] = workdir, train(family, workdir)
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
    paired = run.config.task.name in ("super_resolution", "restoration", "paired")
    assert ("distance/psnr" in lines[4]) == paired
    assert ("distance/returned" in lines[4]) == (run.config.task.name in ("cycle", "shared_latent", "styles"))
    assert (workdir / "samples" / "step_000000004.png").exists()
    opened = training.open_run(workdir)
    chex.assert_trees_all_equal(opened.state, run.state)
    examples = data.gather_examples(build.complete(run.config, source(family)), np.arange(3))
    shown, again = run.sampler.show(examples), opened.sampler.show(examples)
    assert "output" in shown and shown["output"].shape == (3, SIDE, SIDE, 3)
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


@pytest.mark.parametrize("family", VARIED)
def test_a_task_that_is_stopped_goes_on_bit_for_bit(family, trained, tmp_path):
    train(family, tmp_path, steps=3, **{"checkpoint.every": 1, "sample.every": 3, "log.every": 3})
    resumed = train(family, tmp_path)
    chex.assert_trees_all_equal(resumed.state, trained(family)[1].state)


@pytest.mark.parametrize("family", VARIED)
def test_two_devices_train_a_task_as_one_does(family, trained, tmp_path):
    sgd = {f"optimizer.{player}.name": "sgd" for player in ("generator", "discriminator")}
    one = train(family, tmp_path / "one", **sgd)
    two = train(family, tmp_path / "two", **sgd, **{"parallel.devices": 2, "parallel.runner": "shard_map"})
    chex.assert_trees_all_close(one.state.generator.params, two.state.generator.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(one.state.memories, two.state.memories, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["srresnet", "cycle"])
def test_a_task_trains_in_bfloat16(family, tmp_path):
    run = train(
        family, tmp_path, steps=2, **{"model.dtype": "bfloat16", "pretrain.steps": 0, "pretrain.term": ""}
    )
    chex.assert_tree_all_finite(run.state.generator.params)


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
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in" / "sub" / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "in" / "b.png")  # grey
    extra = ["--tile", "8", "--overlap", "4"] if command == "upscale" else []
    extra = ["--domain", "2"] if family == "starganv2" else extra
    arguments = [command, str(workdir), str(tmp_path / "in"), "--out", str(tmp_path / "out"), *extra]
    assert cli.main(arguments) == 0
    scale = run.config.task.scale if command == "upscale" else 1
    made = np.asarray(Image.open(tmp_path / "out" / "sub" / "a.png"))
    assert made.shape == (13 * scale, 18 * scale, 3) and made.std() > 0
    assert (tmp_path / "out" / "b.png").exists()
    capsys.readouterr()
    assert cli.main(arguments) == 2  # nothing is written over
    assert "b.png exists; give another --out, or --overwrite" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


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
    ],
)
def test_domains_that_are_not_there_are_refused(family, given, message, trained):
    with pytest.raises(editing.EditError, match=re.escape(message)):
        editing.edit(trained(family)[1], np.zeros((9, 14, 3), np.uint8), **given)


def test_known_pixels_are_kept_where_a_mask_says_so(trained, tmp_path):
    workdir, _ = trained("repair")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    hole = np.zeros((9, 14), np.uint8)
    hole[2:5, 3:9] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(hole).save(tmp_path / "hole.png")
    out = tmp_path / "out"
    assert (
        cli.main(
            ["restore", str(workdir), *map(str, (tmp_path / "a.png", tmp_path / "hole.png", "--out", out))]
        )
        == 0
    )
    made = np.asarray(Image.open(out / "a.png"))
    np.testing.assert_array_equal(made[hole == 0], pixels[hole == 0])
    assert (made[hole > 0] != pixels[hole > 0]).any()


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
        ("cycle", {"penalties.r1": 1.0}, "penalties.r1 is of one discriminator's logits"),
        ("cycle", {"model.generator.norm": "layer"}, "model.generator.norm is 'layer'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(family, changes, message, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(family, tmp_path, **changes)


@pytest.mark.parametrize(
    ("family", "wanted"),
    [("unet", "pairs:INPUTS"), ("cycle", "unpaired:SOURCE"), ("starganv2", "two or more classes")],
)
def test_examples_that_lack_something_are_refused(family, wanted, tmp_path):
    plain = data.from_arrays(np.zeros((4, SIDE, SIDE, 3), np.uint8))
    with pytest.raises(ConfigError, match=f"{wanted}.*arrays has none"):
        training.train(tiny(family), tmp_path, source=plain, progress=False)


def test_images_that_the_scale_does_not_divide_are_refused(tmp_path):
    odd = data.from_arrays(np.zeros((4, 15, 16, 3), np.uint8))
    with pytest.raises(ConfigError, match="15x16 do not divide by the scale, 4"):
        training.train(tiny("srresnet"), tmp_path, source=odd, progress=False)
