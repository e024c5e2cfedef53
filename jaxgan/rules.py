"""Every field of a config and what it may hold; `configs/base.py` gives each its default and meaning."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxgan import data, masks, parallel, terms
from jaxgan.alternation import PLAYERS
from jaxgan.augment import OPERATIONS, POLICIES, make_augment
from jaxgan.evaluation.figures import FIGURES, names_of
from jaxgan.losses import LOSSES
from jaxgan.models import repair, srresnet, stylegan2
from jaxgan.models.families import FAMILIES
from jaxgan.penalties import PENALTIES
from jaxgan.tasks import (
    contrastive,
    cycle,
    paired,
    restoration,
    shared_latent,
    styles,
    super_resolution,
    synthesis,
)


class Rule(NamedTuple):
    """What a field may hold: its type, a predicate and the predicate in words."""

    kind: type
    accepts: Callable[[Any], bool]
    expected: str

    def holds(self, value: Any) -> bool:
        """Whether a field may hold the value; an integer is a number too, a truth is not."""
        if self.kind is float:
            right = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            right = type(value) is self.kind
        return right and bool(self.accepts(value))


def one_of(*names: str) -> Rule:
    """A text among these."""
    return Rule(str, lambda value: value in names, "one of " + ", ".join(repr(n) for n in names))


def integer(low: int, high: float = float("inf")) -> Rule:
    """An integer from `low` to `high`, both included."""
    upto = f" and at most {high}" if high < float("inf") else ""
    return Rule(int, lambda value: low <= value <= high, f"an integer, at least {low}{upto}")


def number(low: float, high: float = float("inf"), *, above: bool = False) -> Rule:
    """A finite number from `low` (or above it) to `high`."""
    words = f"a {'' if high < float('inf') else 'finite '}number {'above' if above else 'from'} {low}"
    words += f" to {high}" if high < float("inf") else ""

    def accepts(value: float) -> bool:
        return math.isfinite(value) and (low < value if above else low <= value) and value <= high

    return Rule(float, accepts, words)


def _is_policy(value: str) -> bool:
    try:
        return value == "" or bool(make_augment(value))
    except ValueError:
        return False


ANY_TEXT = Rule(str, lambda value: True, "a text")
TRUTH = Rule(bool, lambda value: True, "True or False")
PENALTY_NAMES = (*PENALTIES, "consistency", "balanced_consistency")  # the last two need an augmentation
SIZE = Rule(
    tuple,
    lambda value: len(value) in (0, 2) and all(type(v) is int and v >= 1 for v in value),
    "(height, width) or ()",
)
COUNTS = Rule(tuple, lambda value: all(type(v) is int and v >= 1 for v in value), "a tuple of integers >= 1")
# What `galleries` measure: of all, of pairs, of cycles.
MEASURES = ("distance/sliced_wasserstein", "distance/l1", "distance/psnr", "distance/returned")
FIGURE_NAMES = tuple(f"evaluation/{name}" for asked in FIGURES for name in names_of(asked))
ROWS = 16  # classes that a grid of samples shows when the config names none

# The further losses of each task, and what it needs of examples: "input" that belongs to an image, or
# "other", images of another domain, or "classes", 2 or more, between which it goes.
TASKS = {
    "synthesis": synthesis.TERMS,
    "super_resolution": super_resolution.TERMS,
    "restoration": restoration.TERMS,
    "paired": paired.TERMS,
    "cycle": cycle.TERMS,
    "contrastive": contrastive.TERMS,
    "shared_latent": shared_latent.TERMS,
    "styles": styles.TERMS,
}
TERMS = tuple(dict.fromkeys(name for names in TASKS.values() for name in names))
NEEDS = {name: "" for name in TASKS} | {
    "paired": "input",
    **{name: "other" for name in ("cycle", "contrastive", "shared_latent")},
    "styles": "classes",
}
PATCHED = ("unet", "translator", "cycle", "contrastive", "unit")  # families with patch discriminators
# Families whose grids are doubled from the smallest one to the image's.
GRIDS = ("dcgan", "resnet", "stylegan2", "r3gan", "recurrent", "coupled")

OPTIMIZER = {
    "name": one_of("adam", "rmsprop", "sgd"),
    "learning_rate": number(0.0, 10.0, above=True),
    "b1": number(0.0, 0.999999),
    "b2": number(0.0, 0.999999),
    "decay": number(0.0, 0.999999),
    "momentum": number(0.0, 0.999999),
    "clip_norm": number(0.0),
    "clip_adaptive": number(0.0),
}
PHASE = {
    "steps": integer(1),
    "until": one_of("", "accuracy", "fooled"),
    "target": number(0.0, 1.0),
}
RULES: dict[str, Rule] = {
    "seed": integer(0, 2**31 - 1),
    "steps": integer(1),
    "batch_size": integer(1),
    "accumulate": integer(1),
    "data.source": Rule(
        str,
        lambda value: value.partition(":")[0] in data.SCHEMES and value.partition(":")[2] != "",
        "'tfds:NAME', 'folder:PATH', 'arrays:FILE.npz' or another that jaxgan.data.open_source knows",
    ),
    "data.split": Rule(str, bool, "a split, such as 'train' or 'train[:80%]'"),
    "data.data_dir": ANY_TEXT,
    "data.size": SIZE,
    "data.fit": one_of(*data.FITS),
    "data.filter": one_of(*data.FILTERS),
    "data.channels": integer(0, 4),
    "data.background": Rule(
        tuple,
        lambda value: len(value) in (0, 3) and all(type(v) is int and 0 <= v <= 255 for v in value),
        "(red, green, blue) from 0 to 255, or ()",
    ),
    "data.input_size": SIZE,
    "data.input_half": one_of("left", "right"),
    "data.labels": one_of("classes", "domains"),
    "data.strict": TRUTH,
    "data.prepare": TRUTH,
    "data.random_crop": SIZE,
    "data.flip": TRUTH,
    "data.placement": one_of("auto", "device", "host"),
    "task.name": one_of(*TASKS),
    "task.perceptual": ANY_TEXT,
    "task.scale": integer(1, 8),
    "task.degradations": Rule(
        tuple,
        lambda value: all(isinstance(step, tuple) and step and type(step[0]) is str for step in value),
        "a tuple of (name,) or (name, lowest, highest), as jaxgan.degradations has them",
    ),
    "task.pixel": one_of(*terms.PIXEL_LOSSES),
    "task.masks": Rule(
        tuple,
        lambda value: len(value) > 0 and all(name in masks.KINDS for name in value),
        f"a tuple of some of {', '.join(masks.KINDS)}",
    ),
    "task.area": Rule(
        tuple,
        lambda value: (
            len(value) == 2 and all(type(v) is float for v in value) and 0 < value[0] <= value[1] < 1
        ),
        "the smallest and the largest share of the image, above 0 and below 1",
    ),
    "task.known": number(0.0),
    "task.pool": integer(0),
    "task.mirror": TRUTH,
    "task.temperature": number(0.0, above=True),
    "model.family": one_of(*FAMILIES),
    "model.conditional": TRUTH,
    "model.latent_size": integer(1),
    "model.codes.categorical": Rule(
        tuple, lambda value: all(type(v) is int and v >= 2 for v in value), "a tuple of integers >= 2"
    ),
    "model.codes.continuous": integer(0),
    "model.smallest": integer(1),
    "model.remat": TRUTH,
    "model.dtype": one_of("float32", "bfloat16"),
    "model.generator.width": integer(1),
    "model.discriminator.width": integer(1),
    **{f"model.{player}.norm": one_of("none", "batch", "instance", "spectral") for player in PLAYERS},
    "model.discriminator.labels": one_of("projection", "none"),
    "model.mlp.depth": integer(1),
    **{f"model.resnet.{p}_multiples": COUNTS for p in PLAYERS},
    "model.resnet.embedding": integer(0),
    "model.resnet.hierarchical": TRUTH,
    "model.resnet.attention": integer(0),
    "model.resnet.halvings": integer(0),
    "model.resnet.plain": integer(0),
    "model.stylegan2.widest": integer(1),
    "model.stylegan2.style_size": integer(1),
    "model.stylegan2.mapping_depth": integer(0),
    "model.stylegan2.mapping_rate": number(0.0, above=True),
    "model.stylegan2.mixing": number(0.0, 1.0),
    "model.stylegan2.style_decay": number(0.0, 1.0),
    "model.stylegan2.generator_form": one_of(*stylegan2.FORMS),
    "model.stylegan2.discriminator_form": one_of(*stylegan2.FORMS),
    "model.stylegan2.group": integer(1),
    "model.r3gan.multiples": COUNTS,
    "model.r3gan.blocks": integer(1),
    "model.r3gan.expansion": integer(1),
    "model.r3gan.group_size": integer(1),
    "model.r3gan.embedding": integer(1),
    "model.recurrent.steps": integer(1),
    "model.recurrent.memory": integer(1),
    "model.coupled.generator_shared": integer(0),
    "model.coupled.discriminator_shared": integer(0),
    "model.vit.depth": integer(1),
    "model.vit.attention_heads": integer(1),
    "model.vit.patch": integer(1),
    "model.vit.squash": TRUTH,
    "model.srresnet.blocks": integer(1),
    "model.srresnet.closing": one_of(*srresnet.CLOSINGS),
    "model.srresnet.tail": one_of(*srresnet.TAILS),
    "model.srresnet.ends": integer(1),
    "model.srresnet.skip": TRUTH,
    "model.srresnet.hidden": integer(1),
    "model.rrdb.blocks": integer(1),
    "model.rrdb.dense": integer(1),
    "model.rrdb.growth": integer(1),
    "model.rrdb.hidden": integer(1),
    "model.repair.halvings": integer(0),
    "model.repair.dilations": COUNTS,
    "model.repair.convolution": one_of(*repair.CONVOLUTIONS),
    "model.repair.stages": integer(1),
    "model.unet.depth": integer(0),
    "model.unet.dropout": number(0.0, 0.999999),
    "model.translator.blocks": integer(0),
    "model.contrastive.blocks": integer(0),
    "model.contrastive.compared": Rule(
        tuple, lambda value: all(type(v) is int and v >= 0 for v in value), "a tuple of integers >= 0"
    ),
    "model.contrastive.patches": integer(2),
    "model.contrastive.units": integer(1),
    "model.unit.blocks": integer(0),
    "model.unit.generator_shared": integer(0),
    "model.unit.discriminator_shared": integer(0),
    "model.cycle.blocks": integer(0),
    "model.starganv2.widest": integer(1),
    "model.starganv2.bottleneck": integer(1),
    "model.starganv2.plain": integer(0),
    "model.starganv2.style_size": integer(1),
    "model.starganv2.mapping_units": integer(1),
    "model.starganv2.mapping_rate": number(0.0, above=True),
    **{f"model.{family}.generator_halvings": integer(0) for family in PATCHED if family != "unet"},
    **{f"model.{family}.discriminator_halvings": integer(0) for family in PATCHED},
    **{f"model.{family}.scales": integer(1) for family in PATCHED if family != "cycle"},
    "loss": one_of(*LOSSES),
    **{f"penalties.{name}": number(0.0) for name in PENALTY_NAMES},
    "adversarial": number(0.0),
    **{f"terms.{name}": number(0.0) for name in TERMS},
    "pretrain.steps": integer(0),
    "pretrain.term": one_of("", *TERMS),
    **{f"lazy.{name}": integer(1) for name in PENALTY_NAMES},
    "smoothing.real": number(0.0, 1.0),
    "smoothing.fake": number(0.0, 1.0),
    "smoothing.flipped": number(0.0, 0.5),
    "top_k": number(0.0, 1.0, above=True),
    "augment.policy": Rule(
        str, _is_policy, f"letters of {''.join(OPERATIONS)} or one of {', '.join(POLICIES)}"
    ),
    "augment.control": one_of("fixed", "adaptive"),
    "augment.p": number(0.0, 1.0),
    "augment.target": number(-1.0, 1.0),
    "augment.kimg": number(0.0, above=True),
    "schedules": Rule(
        tuple,
        lambda value: all(isinstance(piece, tuple) and len(piece) == 6 for piece in value),
        "a tuple of (field, kind, first, last, start kimg, stop kimg)",
    ),
    **{f"optimizer.{p}.{name}": rule for p in PLAYERS for name, rule in OPTIMIZER.items()},
    "alternation.phases": Rule(
        tuple,
        lambda value: len(value) > 0 and all(name in PLAYERS for name in value),
        "a tuple of 'discriminator' and 'generator', in the order of their phases",
    ),
    "alternation.fresh_fakes": TRUTH,
    **{f"alternation.{p}.{name}": rule for p in PLAYERS for name, rule in PHASE.items()},
    "ema.half_life": number(0.0),
    "parallel.runner": one_of(*parallel.RUNNERS),
    "parallel.devices": integer(0),
    "parallel.steps_per_call": integer(1),
    "log.every": integer(1, 10_000),
    "sample.every": integer(1),
    "sample.columns": integer(1, 100),
    "sample.labels": Rule(
        tuple, lambda value: all(type(v) is int and v >= 0 for v in value), "a tuple of labels >= 0"
    ),
    "evaluate.every": number(0.0),
    "evaluate.metrics": Rule(
        tuple,
        lambda value: len(value) > 0 and all(name in FIGURES for name in value),
        f"a tuple of some of {', '.join(FIGURES)}",
    ),
    "evaluate.split": ANY_TEXT,
    "evaluate.samples": integer(2),
    "evaluate.reference": integer(0),
    "evaluate.features": ANY_TEXT,
    "evaluate.weights": ANY_TEXT,
    "evaluate.resize": ANY_TEXT,
    "evaluate.lpips": ANY_TEXT,
    "evaluate.seed": integer(0, 2**31 - 1),
    "evaluate.batch": integer(0),
    "checkpoint.every": integer(1),
    "checkpoint.keep": integer(1),
    "checkpoint.best_metric": one_of("", *MEASURES, *FIGURE_NAMES),
    "checkpoint.best_mode": one_of("min", "max"),
}

# Numbers that may move over a run; a rate may come to 0 in its course.
SCHEDULED = {
    **{f"optimizer.{p}.learning_rate": number(0.0, 10.0) for p in PLAYERS},
    **{f"optimizer.{p}.{name}": OPTIMIZER[name] for p in PLAYERS for name in ("b1", "b2")},
    **{f"penalties.{name}": number(0.0) for name in PENALTY_NAMES},
    **{f"terms.{name}": number(0.0) for name in TERMS},
    "adversarial": number(0.0),
    **{name: RULES[name] for name in ("top_k", "augment.p", "ema.half_life")},
}

# Fields that do not move a single weight: a run may be resumed under others.
# Which images are trained on, the fingerprint of the stream says, wherever they lie.
FREE = (
    "data.source",
    "data.data_dir",
    "data.placement",
    "data.prepare",
    "data.strict",
    "parallel.",
    "log.",
    "sample.",
    "evaluate.",
    "checkpoint.",
)
