"""What the fields of a config must be to each other, in its flattened form."""

from collections.abc import Mapping
from typing import Any

from jaxgan.alternation import PLAYERS, PlayerName
from jaxgan.evaluation.figures import FIGURES, names_of
from jaxgan.losses import LOSSES
from jaxgan.models import coupled, dcgan, repair, resnet, srresnet
from jaxgan.models.families import of_task
from jaxgan.penalties import PENALTIES
from jaxgan.rules import FIGURE_NAMES, SCHEDULED, TASKS, TERMS, number
from jaxgan.schedules import Piece, make_schedule

ANY = ("none", "batch", "instance", "spectral")
# Which norms a family's player knows, where it knows others than 'none'.
NORMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("dcgan", "discriminator"): dcgan.NORMS,
    ("recurrent", "discriminator"): dcgan.NORMS,
    ("coupled", "discriminator"): coupled.NORMS,
    ("resnet", "generator"): resnet.NORMS,
    ("resnet", "discriminator"): resnet.NORMS,
    ("srresnet", "generator"): srresnet.GENERATOR_NORMS,
    ("srresnet", "discriminator"): srresnet.NORMS,
    ("rrdb", "discriminator"): srresnet.NORMS,
    ("repair", "discriminator"): repair.NORMS,
    **{(name, player): ANY for name in ("unet", "translator", "cycle", "contrastive") for player in PLAYERS},
}
BATCH_NORMALISED = ("dcgan", "resnet", "coupled")  # families whose generators mix a batch's examples

Relations = list[tuple[bool, str]]  # (holds, what to change), of conditions between fields


def relations(flat: Mapping[str, Any]) -> Relations:
    """All conditions between fields, of a config whose fields are right by themselves."""
    groups = (
        _run_relations,
        _task_relations,
        _data_relations,
        _network_relations,
        _objective_relations,
        _schedule_relations,
    )
    return [relation for group in groups for relation in group(flat)]


def _run_relations(flat: Mapping[str, Any]) -> Relations:
    """Of how long a run is, and how its steps and batches are cut."""
    calls, devices, batch = flat["parallel.steps_per_call"], flat["parallel.devices"], flat["batch_size"]
    images, most = max(updates(flat, "discriminator"), flat["steps"]) * batch, 2**31 - 1
    share = flat["accumulate"] * max(devices, 1)
    batch_wide = [f"loss={flat['loss']!r}"] if LOSSES[flat["loss"]].whole_batch else []
    batch_wide += ["top_k"] if flat["top_k"] < 1.0 or pieces_of(flat, "top_k") else []
    best = flat["checkpoint.best_metric"]
    evaluated = [f"evaluation/{x}" for name in flat["evaluate.metrics"] for x in names_of(name)]
    batch_wide += ["terms.mean_feature_matching"] if moving(flat, "terms.mean_feature_matching") else []
    return [
        *(
            (
                flat[name] % calls == 0,
                f"{name} is {flat[name]}, not a multiple of parallel.steps_per_call, {calls}.",
            )
            for name in ("steps", "log.every", "sample.every", "checkpoint.every")
        ),
        (
            devices == 0 or batch % devices == 0,
            f"batch_size is {batch}, not a multiple of parallel.devices, {devices}; "
            f"try {max(batch // max(devices, 1), 1) * devices}.",
        ),
        (
            flat["accumulate"] == 1 or not batch_wide,
            f"accumulate is {flat['accumulate']}, and {', '.join(batch_wide)} compares a batch's examples, "
            "which parts of it would change; set accumulate to 1, or take another.",
        ),
        (
            batch % share == 0,
            f"batch_size is {batch}, not a multiple of accumulate x parallel.devices, {share}.",
        ),
        (
            best not in FIGURE_NAMES or (flat["evaluate.every"] > 0 and best in evaluated),
            f"checkpoint.best_metric is {best!r}, evaluate.every {flat['evaluate.every']}, and "
            f"evaluate.metrics make {', '.join(evaluated)}; evaluate it too, or choose another.",
        ),
        (images <= most, f"steps make {images:,} images to be shown; an int32 counts to {most:,}. Lower it."),
    ]


def _task_relations(flat: Mapping[str, Any]) -> Relations:
    """Of the task with its networks, its further losses and its first phase."""
    task, family, terms = flat["task.name"], flat["model.family"], TASKS[flat["task.name"]]
    able = of_task(task)
    strange = [name for name in TERMS if name not in terms and moving(flat, f"terms.{name}")]
    steps, term = flat["pretrain.steps"], flat["pretrain.term"]
    weights = moving(flat, "terms.perceptual") or term == "perceptual"
    several = task in ("cycle", "shared_latent") or flat.get(f"model.{family}.scales", 1) > 1
    beside = ("paired", "restoration")
    measured = flat["evaluate.metrics"] if flat["evaluate.every"] else ()
    has = {"synthesis": "generator"} | dict.fromkeys(("super_resolution", "restoration", "paired"), "truth")
    lacking = {"generator", "truth"} - {has.get(task)}
    unknown = [name for name in measured if lacking & {*FIGURES[name].needs}]
    punished = [name for name in PENALTIES if moving(flat, f"penalties.{name}")]
    return [
        (
            family in able,
            f"task.name is {task!r} and model.family {family!r}; for this task there are {', '.join(able)}.",
        ),
        (
            not strange,
            f"terms.{', '.join(strange)} is none of task.name={task!r}, which has {', '.join(terms)}.",
        ),
        (
            weights == bool(flat["task.perceptual"]),
            f"task.perceptual is {flat['task.perceptual']!r} and terms.perceptual "
            f"{flat['terms.perceptual']}: give the file of the weights and the term a weight, or neither.",
        ),
        (
            (steps > 0) == (term != "") and steps <= flat["steps"],
            f"pretrain.steps is {steps}, pretrain.term {term!r}; expected a term and so many of the "
            f"{flat['steps']} steps that it is trained on alone, or 0 and ''.",
        ),
        (
            steps % flat["parallel.steps_per_call"] == 0,
            f"pretrain.steps is {steps}, not a multiple of parallel.steps_per_call.",
        ),
        (
            term in ("", *terms),
            f"pretrain.term is {term!r}, none of task.name={task!r}, which has {', '.join(terms)}.",
        ),
        (
            not several or not punished,
            f"penalties.{', '.join(punished)} is of one discriminator's logits, and here there are several; "
            "set it to 0.",
        ),
        (
            not unknown,
            f"evaluate.metrics has {', '.join(unknown)}, which task.name={task!r} has nothing for: "
            "psnr and its like need what images should be, and ppl needs latents; leave them out.",
        ),
        (
            task not in beside or not flat["augment.policy"],
            f"augment.policy is {flat['augment.policy']!r}, and task.name={task!r} has the discriminator see "
            "what the generator was given, which is not augmented; set it to ''.",
        ),
    ]


def _network_relations(flat: Mapping[str, Any]) -> Relations:
    """Of what the networks can do, and what is asked of them."""
    family, norm = flat["model.family"], flat["model.discriminator.norm"]
    by_example = {"generator": list[str](), "discriminator": list[str]()}
    for name, penalty in PENALTIES.items():
        if penalty.by_example and moving(flat, f"penalties.{name}"):
            by_example[penalty.player].append(name)
    approximate = [n for n in ("approximate_r1", "approximate_r2") if moving(flat, f"penalties.{n}")]
    size = sum(flat["model.codes.categorical"]) + flat["model.codes.continuous"]
    return [
        *(
            (
                flat[f"model.{player}.norm"] in known,
                f"model.{player}.norm is {flat[f'model.{player}.norm']!r}, and model.family={family!r} has "
                f"there {' or '.join(map(repr, known))}.",
            )
            for player in PLAYERS
            for known in [NORMS.get((family, player), ("none",))]
        ),
        (
            not (by_example["discriminator"] and norm == "batch"),
            f"penalties.{', '.join(by_example['discriminator'])} needs the gradient of each example's own "
            "logit, and model.discriminator.norm='batch' mixes examples; set the norm to 'none' or the "
            "penalty to 0.",
        ),
        (
            not by_example["generator"] or family not in BATCH_NORMALISED,
            f"penalties.{', '.join(by_example['generator'])} needs the gradient of each example's own image, "
            f"and the generator of model.family={family!r} normalises batches; set the penalty to 0.",
        ),
        (
            flat["model.dtype"] == "float32" or not approximate,
            f"penalties.{', '.join(approximate)} is a difference that drowns in bfloat16's rounding; set "
            "model.dtype to 'float32', or take penalties.r1 and r2.",
        ),
        (
            size == 0 or size < flat["model.latent_size"],
            f"model.codes takes {size} of model.latent_size, {flat['model.latent_size']}; raise the latter.",
        ),
        (
            family not in ("coupled", "starganv2")
            or (flat["model.conditional"] and flat["model.discriminator.labels"] != "none"),
            f"model.family={family!r} has networks of each class or domain: set model.conditional to True "
            "and model.discriminator.labels to 'projection'.",
        ),
        (
            size == 0 or family != "stylegan2" or flat["model.stylegan2.mixing"] == 0.0,
            "model.codes are read off an image, and model.stylegan2.mixing mixes in styles of other latents, "
            "which have none; set it to 0.",
        ),
        (
            flat["model.conditional"] or not flat["sample.labels"],
            "sample.labels names classes, but model.conditional is False; set one of them.",
        ),
    ]


def _data_relations(flat: Mapping[str, Any]) -> Relations:
    """Of images and their labels."""
    mixture = flat["data.source"].startswith("mixture:")
    return [
        (
            mixture or flat["data.labels"] == "classes",
            f"data.labels is 'domains', and {flat['data.source']} is no mixture; set it to 'classes'.",
        ),
        (
            not flat["data.background"] or flat["data.channels"] not in (2, 4),
            f"data.background leaves no alpha, and data.channels is {flat['data.channels']}; drop one.",
        ),
    ]


def _objective_relations(flat: Mapping[str, Any]) -> Relations:
    """Of losses, augmentation and phases."""
    policy, control = flat["augment.policy"], flat["augment.control"]
    told = flat["model.discriminator.labels"] != "none"
    codes = bool(flat["model.codes.categorical"] or flat["model.codes.continuous"])
    classified = [
        f"terms.{name}"
        for name in ("auxiliary_classifier", "twin_classifier")
        if moving(flat, f"terms.{name}")
    ]
    real, fake, flipped = (flat[f"smoothing.{name}"] for name in ("real", "fake", "flipped"))
    return [
        (
            (real, fake, flipped) == (1.0, 0.0, 0.0) or flat["loss"] == "non_saturating",
            f"smoothing is for loss='non_saturating', and loss is {flat['loss']!r}; set one of them back.",
        ),
        (
            fake < real,
            f"smoothing.real is {real} and smoothing.fake {fake}, expected the former above.",
        ),
        (
            len(classified) < 2,
            "terms.auxiliary_classifier and terms.twin_classifier train the same head; set one of them to 0.",
        ),
        (
            not classified or flat["model.conditional"],
            f"{', '.join(classified)} is of the labels, but model.conditional is False; set it to True.",
        ),
        (
            told or not flat["model.conditional"] or bool(classified),
            "model.discriminator.labels is 'none' and no term names the classes, so that nothing tells the "
            "generator of them; give terms.auxiliary_classifier or twin_classifier a weight.",
        ),
        (
            codes == moving(flat, "terms.information"),
            "terms.information has D read model.codes, and one of them is set without the other; "
            "give the term a weight and the codes a size, or neither.",
        ),
        (
            policy != "" or not moving(flat, "augment.p"),
            "augment.p has a value or a schedule, and augment.policy is empty; name what to augment with.",
        ),
        (
            control == "fixed" or not any(piece[0] == "augment.p" for piece in flat["schedules"]),
            "augment.control is 'adaptive', which moves augment.p, and schedules has it too; drop one.",
        ),
        (
            policy != "" or control == "fixed",
            "augment.control is 'adaptive' and augment.policy empty; name what to augment with, as 'ada'.",
        ),
        (
            policy == "" or control == "adaptive" or moving(flat, "augment.p"),
            f"augment.policy is {policy!r} and augment.p stays 0; give it a value or a schedule, or set "
            "augment.control to 'adaptive'.",
        ),
        *(
            (
                not flat[f"alternation.{p}.until"] or flat[f"alternation.{p}.steps"] > 1,
                f"alternation.{p}.until is {flat[f'alternation.{p}.until']!r}, but its phase makes one "
                "update whatever comes of it; "
                f"set alternation.{p}.steps, the most that it may make, above 1.",
            )
            for p in PLAYERS
        ),
    ]


def moving(flat: Mapping[str, Any], name: str) -> bool:
    """Whether a number of the flattened config is not 0 throughout."""
    return flat[name] != 0 or any(piece[0] == name for piece in flat["schedules"])


def pieces_of(flat: Mapping[str, Any], name: str) -> list[Piece]:
    """The schedule of a field of the flattened config, in images; [] where it does not move."""
    return [
        Piece(kind, first, last, 1000.0 * start, 1000.0 * stop)
        for field, kind, first, last, start, stop in flat["schedules"]
        if field == name
    ]


def _schedule_relations(flat: Mapping[str, Any]) -> Relations:
    """Each piece moves a field that can move, within what it may hold, after the piece before."""
    kimg = number(0.0)
    for field, _, *numbers in flat["schedules"]:
        if field not in SCHEDULED:
            return [(False, f"schedules has {field!r}; what can move is {', '.join(SCHEDULED)}.")]
        if field.endswith((".b1", ".b2")) and flat[f"{field.rpartition('.')[0]}.name"] != "adam":
            return [(False, f"schedules has {field!r}, which only the optimiser 'adam' has.")]
        for value, rule in zip(numbers, (SCHEDULED[field], SCHEDULED[field], kimg, kimg), strict=True):
            if not rule.holds(value):
                return [(False, f"schedules of {field} has {value!r}, expected {rule.expected}.")]
    for field in dict.fromkeys(piece[0] for piece in flat["schedules"]):
        try:
            make_schedule(pieces_of(flat, field))
        except ValueError as error:
            return [(False, f"schedules of {field}: {error}")]
    return []


def updates(flat: Mapping[str, Any], player: PlayerName) -> int:
    """The most updates that a player makes in a run, by the run's flattened config."""
    turns = flat["alternation.phases"].count(player)
    return flat["steps"] * turns * flat[f"alternation.{player}.steps"]
