"""Configs: every field has a rule, wrong ones are refused in words, right ones become the parts they name."""

import importlib
import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import base, r3gan
from jaxgan import alternation, build, config, data, galleries, losses, penalties, rules, steps
from jaxgan.config import ConfigError
from jaxgan.models import mlp
from jaxgan.sampling import make_sampler
from jaxgan.tasks import synthesis, to_floats
from jaxgan.translating import Translator

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("[!_]*.py"))
SHAPE, CLASSES = (32, 32, 3), 10


def changed(**fields):
    """The base config with other values as they are, which a ConfigDict would convert or refuse.

    A field's name has `__` for dots.
    """
    tree = base.get_config().to_dict()
    for name, value in fields.items():
        *parents, last = name.split("__")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    return ConfigDict(tree)


def source(shape=(8, 8, 1), classes=3):
    images = np.zeros((6, *shape), np.uint8)
    labels = np.arange(6) % classes if classes else None
    return data.from_arrays(images, labels, name="squares")


def refused(function, *arguments):
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    return str(caught.value)


# Fields


def test_rules_and_the_base_config_have_the_same_fields():
    assert sorted(config.flatten(base.get_config())) == sorted(rules.RULES)


def test_every_default_player_has_its_own_fields():
    changed = base.get_config()
    changed.optimizer.generator.b1 = 0.25
    changed.alternation.generator.steps = 7
    assert changed.optimizer.discriminator.b1 == 0.5
    assert changed.alternation.discriminator.steps == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_every_preset_passes_and_others_are_refused(name):
    module = importlib.import_module(f"configs.{name}")
    for preset in (presets := getattr(module, "PRESETS", ())):
        config.check(module.get_config(preset))
    if presets:
        with pytest.raises(ValueError, match="no preset 'other'; expected one of"):
            module.get_config("other")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_passes_and_builds(name):
    experiment = importlib.import_module(f"configs.{name}").get_config()
    config.check(experiment)
    assert f"--config=configs/{name}.py" in importlib.import_module(f"configs.{name}").__doc__
    others = {"input": SHAPE} if rules.NEEDS[experiment.task.name] else {}
    game = build.make_game(experiment, {"image": SHAPE} | others, CLASSES)
    assert getattr(game.generator, "num_classes", 0) == (CLASSES if experiment.model.conditional else 0)
    assert {phase.player for phase in build.make_alternation(experiment)} == set(alternation.PLAYERS)


def test_measures_are_what_training_measures():
    task = synthesis.make_task(2)._replace(generate=lambda _, given: jnp.zeros((len(given.latents), 8, 8, 1)))
    sampler = make_sampler(steps.Game(task, None, None, None, {}), 2)({})
    of_samples = galleries.of_samples(source(), labels=(), columns=2, seed=0).measure(sampler)

    def shown(variables, batch, keys):
        image = to_floats(batch)["image"]
        return {"input": image, "output": 0.5 * image, "truth": image, "returned": image}

    paired = galleries.of_examples(source(), columns=2, seed=0).measure(Translator(shown, None, {}))
    assert [*of_samples] == [*rules.MEASURES[:1]] and [*paired] == [*rules.MEASURES]


def test_flatten_and_nested_are_inverse_and_survive_json():
    experiment = changed(sample__labels=(3, 1), model__conditional=True)
    flat = config.flatten(experiment)
    assert flat["sample.labels"] == (3, 1) and flat["optimizer.generator.b1"] == 0.5
    assert config.nested(flat) == experiment.to_dict()
    assert config.flatten(config.nested(flat)) == flat
    assert config.flatten(json.loads(json.dumps(config.nested(flat)))) == flat


# Wrong fields

WRONG = [
    # integers
    ("seed", -1, "seed is -1, expected an integer, at least 0 and at most 2147483647"),
    ("seed", 2**31, "seed is 2147483648, expected an integer, .* at most 2147483647"),
    ("seed", None, "seed is None, expected an integer"),
    ("steps", 0, "steps is 0, expected an integer, at least 1"),
    ("steps", True, "steps is True, expected an integer"),
    ("steps", 2.0, "steps is 2.0, expected an integer"),
    ("batch_size", "64", "batch_size is '64', expected an integer"),
    ("model__latent_size", 0, "model.latent_size is 0, expected an integer, at least 1"),
    ("model__generator__width", -64, "model.generator.width is -64, expected an integer"),
    ("sample__columns", 101, "sample.columns is 101, .* at most 100"),
    ("checkpoint__keep", 0, "checkpoint.keep is 0, expected an integer, at least 1"),
    ("parallel__devices", -1, "parallel.devices is -1, expected an integer, at least 0"),
    # numbers
    ("optimizer__generator__learning_rate", -1e-4, "rate is -0.0001, expected a number above 0.0 to 10.0"),
    ("optimizer__generator__learning_rate", 0, "rate is 0, expected a number above 0.0"),
    ("optimizer__discriminator__learning_rate", math.nan, "discriminator.learning_rate is nan"),
    ("optimizer__discriminator__learning_rate", True, "learning_rate is True, expected a number"),
    ("optimizer__generator__b1", 1.0, "b1 is 1.0, expected a number from 0.0 to 0.999999"),
    ("optimizer__generator__b2", "0.9", "b2 is '0.9', expected a number"),
    ("optimizer__generator__decay", -0.1, "decay is -0.1, expected"),
    ("optimizer__generator__momentum", 1.5, "momentum is 1.5, expected"),
    ("penalties__r1", -1.0, "penalties.r1 is -1.0, expected a finite number from 0.0"),
    ("penalties__r2", math.inf, "penalties.r2 is inf, expected a finite number"),
    ("ema__half_life", math.inf, "ema.half_life is inf, expected a finite number from 0.0"),
    ("alternation__generator__target", 1.01, "generator.target is 1.01, expected a number from 0.0 to 1.0"),
    # names
    ("loss", "nonsaturating", "loss is 'nonsaturating', expected one of 'minimax', 'non_saturating'"),
    ("model__family", "stylegan", "model.family is 'stylegan', expected one of 'dcgan', 'mlp'"),
    ("model__dtype", "float16", "model.dtype is 'float16', expected one of 'float32', 'bfloat16'"),
    ("model__discriminator__norm", "layer", "norm is 'layer', expected one of 'none', 'batch', 'instance'"),
    ("optimizer__generator__name", "adamw", "generator.name is 'adamw', expected one of 'adam', 'rmsprop'"),
    ("augment__control", "ada", "augment.control is 'ada', expected one of 'fixed', 'adaptive'"),
    ("alternation__generator__until", "loss", "until is 'loss', expected one of '', 'accuracy', 'fooled'"),
    ("parallel__runner", "pjit", "parallel.runner is 'pjit', expected one of 'jit', 'shard_map', 'pmap'"),
    ("model__codes__categorical", (1,), r"categorical is \(1,\), expected a tuple of integers >= 2"),
    ("model__discriminator__labels", "concat", "labels is 'concat', expected one of 'projection', 'none'"),
    ("terms__information", -1.0, "terms.information is -1.0, expected a finite number from 0"),
    ("data__placement", "gpu", "data.placement is 'gpu', expected one of 'auto', 'device', 'host'"),
    ("checkpoint__best_mode", "low", "best_mode is 'low', expected one of 'min', 'max'"),
    ("checkpoint__best_metric", "fid", "best_metric is 'fid', expected one of '', 'distance/sliced"),
    ("evaluate__every", -1.0, "evaluate.every is -1.0, expected a finite number from 0.0"),
    ("evaluate__samples", 1, "evaluate.samples is 1, expected an integer, at least 2"),
    ("evaluate__seed", -1, "evaluate.seed is -1, expected an integer, at least 0"),
    ("evaluate__metrics", ("fdi",), r"evaluate.metrics is \('fdi',\), expected a tuple of some of fid, "),
    ("evaluate__metrics", (), r"evaluate.metrics is \(\), expected a tuple of some of fid"),
    ("evaluate__metrics", "fid", "evaluate.metrics is 'fid', expected a tuple of some of fid"),
    # texts, truths, tuples
    ("data__source", "digits", "data.source is 'digits', expected 'tfds:NAME', 'folder:PATH', 'arrays"),
    ("data__split", "", "data.split is '', expected a split, such as 'train'"),
    ("data__data_dir", None, "data.data_dir is None, expected a text"),
    ("data__flip", 1, "data.flip is 1, expected True or False"),
    ("model__conditional", "yes", "model.conditional is 'yes', expected True or False"),
    ("alternation__phases", (), r"phases is \(\), expected a tuple of 'discriminator' and 'generator'"),
    ("alternation__phases", ("generator", "critic"), "phases is .*'critic'.*, expected a tuple"),
    ("alternation__phases", "generator", "alternation.phases is 'generator', expected a tuple"),
    ("alternation__phases", (["generator"],), "alternation.phases is .*, expected a tuple"),
    ("sample__labels", (-1,), r"sample.labels is \(-1,\), expected a tuple of labels >= 0"),
    ("sample__labels", (1.0,), r"sample.labels is \(1.0,\), expected a tuple of labels"),
    ("sample__labels", (True,), r"sample.labels is \(True,\), expected a tuple of labels"),
    # unknown
    ("gamma", 1.0, "gamma is no field; configs/base.py lists them all"),
    ("learning_rate", 1.0, "is no field; did you mean optimizer.generator.learning_rate or optimizer.disc"),
    ("model__latent", 1, r"model.latent is no field; did you mean model.latent_size\?"),
    (
        "optimizer__generator__lr",
        1.0,
        "generator.lr is no field; optimizer.generator has name, learning_rate",
    ),
    ("penalties__r3", 1.0, "penalties.r3 is no field; penalties has r1, r2."),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_field_is_refused_by_name(name, value, message):
    said = refused(config.check, changed(**{name: value}))
    assert re.search(message, said), said
    assert said.count("\n") == 1, said  # one line for one mistake


def test_a_missing_field_and_all_mistakes_are_listed():
    experiment = changed(steps=-1, loss="none", extra=3)
    del experiment.ema["half_life"]
    said = refused(config.check, experiment)
    assert "ema.half_life is missing; start from configs/base.py." in said
    assert "steps is -1" in said and "loss is 'none'" in said and "extra is no field" in said


def test_a_group_that_is_no_group_is_refused():
    assert "penalties.r1 is missing" in refused(config.check, changed(penalties=0.1))


def test_integers_are_numbers_and_bools_are_not():
    config.check(changed(optimizer__generator__learning_rate=1, penalties__r1=2, ema__half_life=500))
    assert "penalties.r1 is True" in refused(config.check, changed(penalties__r1=True))


def test_unknown_fields_lets_fields_and_groups_pass():
    names = ["seed", "model", "model.generator", "optimizer.generator.b1", "optimizer"]
    assert config.unknown_fields(names) == []
    assert len(config.unknown_fields(["steps.x", "alternation.phases[0]", "optimiser.generator.b1"])) == 3


# Wrong together

RELATIONS = [
    (dict(parallel__steps_per_call=7), "steps is 2000, not a multiple of parallel.steps_per_call, 7"),
    (dict(parallel__steps_per_call=4, log__every=6), "log.every is 6, not a multiple of .*, 4"),
    (dict(parallel__steps_per_call=4, sample__every=502), "sample.every is 502, not a multiple"),
    (dict(parallel__steps_per_call=4, checkpoint__every=502), "checkpoint.every is 502, not a multiple"),
    (
        dict(checkpoint__best_metric="evaluation/fid"),
        "checkpoint.best_metric is 'evaluation/fid', evaluate.every 0.0, .* make evaluation/fid; evaluate",
    ),
    (
        dict(checkpoint__best_metric="evaluation/recall", evaluate__every=1.0),
        "best_metric is 'evaluation/recall', evaluate.every 1.0, and .* make evaluation/fid; .* or choose",
    ),
    (dict(batch_size=63, parallel__devices=2), "batch_size is 63, not a multiple of .*, 2; try 62"),
    (dict(batch_size=3, parallel__devices=8), "batch_size is 3, not a multiple of .*, 8; try 8"),
    (dict(data__labels="domains"), "data.labels is 'domains', and tfds:digits is no mixture; set it to"),
    (
        dict(data__background=(0, 0, 0), data__channels=4),
        "data.background leaves no alpha, and data.channels is 4; drop one",
    ),
    (
        dict(penalties__approximate_r1=1.0, model__dtype="bfloat16"),
        "penalties.approximate_r1 is a difference that drowns in bfloat16's rounding; set model.dtype",
    ),
    (dict(penalties__path_length=1.0), "penalties.path_length needs .*own image, and the generator of model"),
    (dict(loss="dual_contrastive", accumulate=2), "accumulate is 2, and loss='dual_contrastive' compares"),
    (dict(top_k=0.5, accumulate=2), "accumulate is 2, and top_k compares a batch's examples"),
    (
        dict(terms__mean_feature_matching=1.0, accumulate=2),
        "accumulate is 2, and terms.mean_feature_matching compares",
    ),
    (
        dict(model__conditional=True, model__discriminator__labels="none"),
        "labels is 'none' and no term names the classes, so that nothing tells the generator",
    ),
    (dict(augment__p=0.5), "augment.p has a value or a schedule, and augment.policy is empty; name what"),
    (
        dict(
            augment__policy="ada",
            augment__control="adaptive",
            schedules=(("augment.p", "linear", 0.0, 1.0, 0, 9),),
        ),
        "augment.control is 'adaptive', which moves augment.p, and schedules has it too; drop one",
    ),
    (
        dict(
            optimizer__generator__name="sgd",
            schedules=(("optimizer.generator.b1", "linear", 0.0, 0.5, 0, 9),),
        ),
        "schedules has 'optimizer.generator.b1', which only the optimiser 'adam' has",
    ),
    (dict(penalties__r1=1.0, model__discriminator__norm="batch"), "penalties.r1 needs .* to 'none' or"),
    (dict(penalties__r2=1.0, model__discriminator__norm="batch"), "penalties.r2 needs .* to 'none' or"),
    (dict(sample__labels=(1,)), "sample.labels names classes, but model.conditional is False; set one"),
    (dict(smoothing__real=0.9, loss="hinge"), "smoothing is for loss='non_saturating', and loss is 'hinge'"),
    (
        dict(smoothing__real=0.1, smoothing__fake=0.1),
        "smoothing.real is 0.1 and smoothing.fake 0.1, expected",
    ),
    (
        dict(terms__auxiliary_classifier=1.0),
        "terms.auxiliary_classifier is of the labels, but model.conditional is False; set it to True",
    ),
    (
        dict(terms__auxiliary_classifier=1.0, terms__twin_classifier=1.0, model__conditional=True),
        "terms.auxiliary_classifier and terms.twin_classifier train the same head; set one of them to 0",
    ),
    (dict(terms__information=1.0), "has D read model.codes, and one of them is set without the other"),
    (dict(model__codes__continuous=2), "has D read model.codes, and one of them is set without the other"),
    (
        dict(model__codes__continuous=9, terms__information=1.0, model__latent_size=9),
        "model.codes takes 9 of model.latent_size, 9; raise the latter",
    ),
    (dict(augment__control="adaptive"), "control is 'adaptive' and augment.policy empty; name what"),
    (dict(augment__policy="bgc"), "augment.policy is 'bgc' and augment.p stays 0; give it a value or"),
    (dict(accumulate=3), "batch_size is 64, not a multiple of accumulate x parallel.devices, 3"),
    (dict(accumulate=16, parallel__devices=8), "not a multiple of accumulate x parallel.devices, 128"),
    (
        dict(schedules=(("loss", "linear", 1.0, 0.0, 0, 9),)),
        "schedules has 'loss'; what can move is optimizer",
    ),
    (
        dict(schedules=(("penalties.r1", "step", 1.0, 0.0, 0, 9),)),
        "schedules of penalties.r1: 'step' is no kind of schedule; expected one of constant, linear, cosine",
    ),
    (
        dict(schedules=(("top_k", "linear", 1.0, 0.0, 0, 9),)),
        "schedules of top_k has 0.0, expected a number above 0.0 to 1.0",
    ),
    (
        dict(schedules=(("top_k", "linear", 1.0, 0.5, -1, 9),)),
        "schedules of top_k has -1, expected a finite number from 0",
    ),
    (
        dict(schedules=(("top_k", "linear", 1.0, 0.5, 5, 5),)),
        "schedules of top_k: .* from 5000 to 5000 images; expected .* to end after it began",
    ),
    (
        dict(schedules=(("top_k", "linear", 1.0, 0.5, 0, 9), ("top_k", "linear", 0.5, 1.0, 8, 10))),
        "schedules of top_k: .* from 8000 to 10000 images; expected it to begin at 9000 or later",
    ),
    (
        dict(schedules=(("penalties.r1", "linear", 1, 0, 0, 9),), model__discriminator__norm="batch"),
        "penalties.r1 needs the gradient",
    ),
    (
        dict(alternation__generator__until="fooled"),
        "generator.until is 'fooled', but its phase makes one update .*set alternation.generator.steps",
    ),
    (
        dict(model__family="mlp", model__discriminator__norm="batch"),
        "discriminator.norm is 'batch', and model.family='mlp' has there 'none'",
    ),
    (
        dict(model__family="coupled"),
        "model.family='coupled' has networks of each class or domain: set model.conditional to True",
    ),
    (
        dict(model__family="stylegan2", model__codes__continuous=2, terms__information=1.0),
        "model.stylegan2.mixing mixes in styles of other latents, which have none; set it to 0",
    ),
    (
        dict(model__generator__norm="spectral"),
        "generator.norm is 'spectral', and model.family='dcgan' has there 'none'",
    ),
    (dict(steps=2**26), "steps make 4,294,967,296 images to be shown; an int32 counts to 2,147,483,647"),
]


@pytest.mark.parametrize(("fields", "message"), RELATIONS)
def test_fields_that_do_not_fit_together_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        config.check(changed(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        dict(parallel__steps_per_call=10),
        dict(batch_size=64, parallel__devices=8),
        dict(model__discriminator__norm="batch"),
        dict(sample__labels=(1,), model__conditional=True),
        dict(accumulate=4, parallel__devices=8),
        dict(smoothing__real=0.9),
        dict(augment__policy="ada", augment__control="adaptive"),
        dict(augment__policy="bT", augment__p=0.3),
        dict(augment__policy="bT", schedules=(("augment.p", "linear", 0, 0.5, 0, 100),)),
        dict(schedules=(("top_k", "linear", 1.0, 0.5, 0, 9), ("top_k", "constant", 0.5, 0.5, 9, 10))),
        dict(checkpoint__best_metric=""),
    ],
)
def test_fields_that_fit_together_pass(fields):
    config.check(changed(**fields))


@pytest.mark.parametrize(
    ("fields", "given", "message"),
    [
        ({}, source((7, 8, 1)), "squares has images of 7x8, which dcgan cannot make .* even size from 8 up"),
        ({}, source((6, 6, 1)), "squares has images of 6x6, .* at least 4 pixels .* lower model.smallest"),
        (dict(model__smallest=8), source(), "8x8, .* at least 8 pixels a side, .* even size from 16 up"),
        (dict(model__conditional=True), source(classes=0), "conditional is True, but squares has no labels"),
        (
            dict(model__conditional=True, sample__labels=(0, 3, 9)),
            source(),
            r"sample.labels has \[3, 9\], but squares has labels 0 to 2",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_refused(fields, given, message):
    config.check(changed(**fields))
    with pytest.raises(ConfigError, match=message):
        config.check_source(changed(**fields), given)


def test_damaged_images_are_not_taken_for_holes():
    """Drawn holes would hide most of the damage in training, and in use all that is given."""
    given = source()
    given = replace(given, shapes={**given.shapes, "input": given.image_shape})
    fields = dict(task__name="restoration", model__family="repair")
    with pytest.raises(ConfigError, match="has damaged images of its own"):
        config.check_source(changed(**fields), given)
    config.check_source(changed(**fields, task__degradations=(("noise", 5, 50),)), given)


def test_a_share_that_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match="share of the batch is 16, not a multiple of accumulate, 32"):
        config.check_devices(changed(accumulate=32), 4, 1)
    config.check_devices(changed(accumulate=16), 4, 1)


def test_a_source_that_fits_passes():
    config.check_source(base.get_config(), source())
    config.check_source(changed(model__conditional=True, sample__labels=(0, 2)), source())
    config.check_source(changed(model__smallest=3), source((6, 6, 1)))
    config.check_source(changed(model__family="mlp"), source((7, 5, 1)))  # makes any size


@pytest.mark.parametrize(
    ("fields", "devices", "processes", "message"),
    [
        (dict(parallel__devices=8), 4, 1, "parallel.devices is 8, but there are 4; use 0 for all of them"),
        (dict(parallel__devices=2), 4, 2, "parallel.devices is 2; with 2 processes use 0"),
        (dict(batch_size=65), 4, 1, "batch_size is 65, not a multiple of the 4 devices; try 64, or set"),
        (dict(batch_size=2), 4, 1, "batch_size is 2, not a multiple of the 4 devices; try 4, or set"),
    ],
)
def test_devices_that_do_not_fit_are_refused(fields, devices, processes, message):
    with pytest.raises(ConfigError, match=message):
        config.check_devices(changed(**fields), devices, processes)


def test_devices_that_fit_pass():
    config.check_devices(changed(parallel__devices=2), 4, 1)
    config.check_devices(changed(batch_size=65, parallel__devices=1), 4, 1)
    config.check_devices(changed(parallel__devices=4), 4, 2)
    config.check_devices(base.get_config(), 4, 2)


# Differences of two configs


def test_differences_name_what_moves_weights_and_nothing_else():
    saved = config.nested(config.flatten(base.get_config()))
    assert config.differences(saved, base.get_config()) == []
    free = changed(
        data__data_dir="/elsewhere",
        data__placement="host",
        parallel__devices=2,
        log__every=7,
        sample__columns=3,
        checkpoint__keep=9,
        steps=10**6,
    )
    assert config.differences(json.loads(json.dumps(saved)), free) == []
    other = changed(seed=1, loss="hinge", alternation__generator__steps=2)
    assert config.differences(saved, other) == [
        "alternation.generator.steps: saved 1, now 2",
        "loss: saved 'non_saturating', now 'hinge'",
        "seed: saved 0, now 1",
    ]


def test_steps_are_free_for_schedules_go_by_images():
    fields = dict(schedules=(("penalties.r1", "cosine", 1.0, 0.1, 0, 100),))
    saved = json.loads(json.dumps(config.nested(config.flatten(changed(**fields)))))
    assert config.differences(saved, changed(**fields, steps=9)) == []
    assert len(config.differences(saved, changed(steps=9))) == 1


def test_fields_that_only_one_config_has_are_differences():
    saved = config.nested(config.flatten(base.get_config()))
    del saved["ema"]["half_life"]
    saved["old"] = 3
    assert config.differences(saved, base.get_config()) == [
        "ema.half_life: saved None, now 5000.0",
        "old: saved 3, now None",
    ]


# Optimisers


def optimizer(schedules=(), **fields):
    """The generator's, as a config with these fields makes it."""
    experiment = changed(schedules=schedules)
    experiment.optimizer.generator.update(fields)
    config.check(experiment)
    return build.make_optimizer(experiment, "generator")


def walk(optimizer, gradients, images=100):
    """The parameter's values under these gradients, from 1, a gradient each so many images."""
    param, values = jnp.float32(1.0), []
    optimizer = optax.with_extra_args_support(optimizer)
    state = optimizer.init(param)
    for i, gradient in enumerate(gradients):
        update, state = optimizer.update(jnp.float32(gradient), state, param, images=jnp.int32(i * images))
        param = optax.apply_updates(param, update)
        values.append(float(param))
    return values


GRADIENTS = [0.5, -2.0, 1.0, 0.25]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (dict(name="adam", b1=0.3, b2=0.9), lambda: optax.adam(0.1, b1=0.3, b2=0.9)),
        (dict(name="rmsprop", decay=0.7), lambda: optax.rmsprop(0.1, 0.7)),
        (dict(name="rmsprop", decay=0.7, momentum=0.5), lambda: optax.rmsprop(0.1, 0.7, momentum=0.5)),
        (dict(name="sgd"), lambda: optax.sgd(0.1)),
        (dict(name="sgd", momentum=0.5), lambda: optax.sgd(0.1, momentum=0.5)),
        (
            dict(name="sgd", clip_norm=0.7),
            lambda: optax.chain(optax.clip_by_global_norm(0.7), optax.sgd(0.1)),
        ),
        (
            dict(name="sgd", clip_adaptive=0.2),
            lambda: optax.chain(optax.adaptive_grad_clip(0.2), optax.sgd(0.1)),
        ),
    ],
)
def test_each_optimizer_moves_a_parameter_as_optax_does(fields, expected):
    assert walk(optimizer(learning_rate=0.1, **fields), GRADIENTS) == walk(expected(), GRADIENTS)


def test_sgd_and_adam_by_hand():
    sgd = optimizer(name="sgd", learning_rate=0.1, momentum=0.5)
    # Velocities 0.5, -1.75, 0.125.
    np.testing.assert_allclose(walk(sgd, GRADIENTS[:3]), [0.95, 1.125, 1.1125], rtol=1e-6)
    # The first step of Adam is the rate, in the direction of the gradient's sign.
    np.testing.assert_allclose(walk(optimizer(learning_rate=0.1), [3.0]), [0.9], rtol=1e-5)


def test_rates_and_betas_follow_their_schedules():
    rate = ("optimizer.generator.learning_rate", "linear", 0.1, 0.0, 0.0, 0.4)
    seen = walk(optimizer((rate,), name="sgd"), [1.0] * 6)
    np.testing.assert_allclose(-np.diff([1.0, *seen]), [0.1, 0.075, 0.05, 0.025, 0, 0], atol=1e-6)
    beta = ("optimizer.generator.b1", "constant", 0.9, 0.9, 0.0, 1.0)
    fields = dict(name="adam", learning_rate=0.1, b2=0.99)
    assert walk(optimizer((beta,), b1=0.0, **fields), GRADIENTS) == pytest.approx(
        walk(optax.adam(0.1, b1=0.9, b2=0.99), GRADIENTS), rel=1e-6
    )


def test_players_have_rates_of_their_own():
    experiment = changed()
    experiment.optimizer.generator.update(name="sgd", learning_rate=0.1)
    experiment.optimizer.discriminator.update(name="sgd", learning_rate=0.4)
    game = build.make_game(experiment, {"image": SHAPE}, 0)
    moved = {name: walk(each, [1.0])[0] for name, each in game.optimizers.items()}
    assert moved == pytest.approx({"generator": 0.9, "discriminator": 0.6})


def test_the_numbers_of_a_game_are_those_of_the_config():
    experiment = changed(
        penalties__lecam=0.3,
        lazy__lecam=16,
        penalties__balanced_consistency=10.0,
        smoothing__real=0.9,
        augment__policy="ada",
        augment__control="adaptive",
        augment__p=0.25,
        schedules=(("top_k", "linear", 1.0, 0.5, 0, 100), ("penalties.r1", "linear", 2.0, 1.0, 0, 100)),
    )
    config.check(experiment)
    game = build.make_game(experiment, {"image": SHAPE}, 0)
    assert set(game.penalties) == {"lecam", "balanced_consistency", "r1"}
    assert (game.penalties["lecam"].weight, game.penalties["lecam"].every) == (0.3, 16)
    assert float(game.penalties["r1"].weight(50_000)) == 1.5
    assert float(game.top_k(50_000)) == 0.75
    assert build.make_game(changed(accumulate=2), {"image": SHAPE}, 0).accumulate == 2
    assert float(game.augmentation.init().p) == 0.25
    expected = 0.9 * np.log1p(np.exp(-2.0)) + 0.1 * np.log1p(np.exp(2.0)) + np.log1p(np.exp(-1.0))
    found = game.loss.discriminator(jnp.float32(2.0), jnp.float32(-1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# The other parts


def test_the_alternation_has_the_phases_in_order():
    experiment = changed(alternation__phases=("generator", "discriminator"))
    experiment.alternation.discriminator.update(dict(steps=5, until="accuracy", target=0.9))
    experiment.alternation.generator.update(dict(steps=2, until="fooled", target=0.4))
    generator, discriminator = build.make_alternation(experiment)
    assert (generator.player, generator.steps) == ("generator", 2)
    assert (discriminator.player, discriminator.steps) == ("discriminator", 5)
    assert discriminator.until({"accuracy": 0.9}) and not discriminator.until({"accuracy": 0.89})
    # More fakes taken for real is in the generator's favour.
    assert generator.until({"fooled": 0.4}) and not generator.until({"fooled": 0.39})


def test_the_default_alternation_is_that_of_the_paper():
    assert build.make_alternation(base.get_config()) == alternation.ALTERNATE


def test_only_penalties_above_zero_are_paid():
    assert build.make_game(base.get_config(), {"image": SHAPE}, 0).penalties == {}
    game = build.make_game(changed(penalties__r2=3.0), {"image": SHAPE}, 0)
    assert game.penalties == {"r2": penalties.PENALTIES["r2"]._replace(weight=3.0)}
    both = build.make_game(changed(penalties__r1=1, penalties__r2=2.0), {"image": SHAPE}, 0)
    assert {name: penalty.weight for name, penalty in both.penalties.items()} == {"r1": 1, "r2": 2.0}


def test_the_game_is_what_the_config_names():
    experiment = changed(loss="hinge", model__conditional=True, model__dtype="bfloat16", model__smallest=2)
    experiment.model.generator.width, experiment.model.discriminator.width = 8, 12
    experiment.model.discriminator.norm = "batch"
    game = build.make_game(experiment, {"image": SHAPE}, CLASSES, axis_name="data")
    assert game.loss is losses.hinge and game.axis_name == "data"
    for network, width in ((game.generator, 8), (game.discriminator, 12)):
        assert (network.image_shape, network.num_classes, network.width) == (SHAPE, CLASSES, width)
        assert (network.smallest, network.axis_name) == (2, "data")
        assert network.dtype == jnp.bfloat16
    assert game.discriminator.norm == "batch"


def test_an_mlp_is_built_by_name():
    generator, discriminator = build.make_networks(changed(model__family="mlp"), {"image": (7, 5, 1)}, 3)
    assert isinstance(generator, mlp.Generator) and isinstance(discriminator, mlp.Discriminator)
    assert generator.num_classes == discriminator.num_classes == 0  # unconditional


@pytest.mark.parametrize("flip", [False, True])
def test_the_task_brings_images_to_floats_and_flips_if_asked(flip):
    task = build.make_task(changed(data__flip=flip), ())
    images = np.tile(np.arange(0, 256, 17, np.uint8)[None, None, :, None], (32, 1, 1, 1))
    example = task.prepare({"image": images}, jax.random.split(jax.random.key(0), 32))
    plain = data.to_float(images)
    turned = np.array([not np.array_equal(a, b) for a, b in zip(example.real, plain, strict=True)])
    assert 0 < turned.sum() < 32 if flip else not turned.any()
    assert np.array_equal(example.real[turned], plain[turned][:, :, ::-1])
    assert example.given.latents.shape == (32, 128) and example.given.labels is None


# Presets


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [  # in millions, as the paper prints them
        ("cifar10", 20.8, 21.3),
        ("ffhq64", 22.4, 22.4),
        ("ffhq256", 23.06, 23.01),
        ("imagenet32", None, None),
        ("imagenet64", None, None),
    ],
)
def test_presets_of_r3gan_are_its_networks(preset, generator, discriminator):
    experiment = r3gan.get_config(preset)
    config.check(experiment)
    shape, classes = (*experiment.data.size, 3), 10 if preset == "cifar10" else 1000
    networks = build.make_networks(experiment, {"image": shape}, classes)
    labels = (jnp.zeros(1, jnp.int32),) if experiment.model.conditional else ()
    inputs = jnp.zeros((1, experiment.model.latent_size)), jnp.zeros((1, *shape))
    for network, given, millions in zip(networks, inputs, (generator, discriminator), strict=True):
        init = partial(network.init, train=False)
        params = jax.eval_shape(init, jax.random.key(0), given, *labels)["params"]
        count = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6
        digits = 2 if preset == "ffhq256" else 1
        assert millions is None or round(count, digits) == millions


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"no preset 'ffhq'; expected one of cifar10, ffhq64"):
        r3gan.get_config("ffhq")
