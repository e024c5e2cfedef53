"""Sets and fields that a task that is given images cannot use: refused before its networks are compiled."""

import re

import numpy as np
import pytest
from made_sets import noise, put

from configs import base
from jaxgan import training
from jaxgan.config import ConfigError
from jaxgan.data import DataError

HOLE = np.zeros((16, 16), np.uint8)
HOLE[4:8, 4:12] = 255
FOLDERS = {
    "images": noise(16, 16, 3), "small": noise(8, 8, 3), "odd": noise(15, 17, 3), "pixel": noise(1, 1, 3),
    "grey": noise(16, 16), "alpha": noise(16, 16, 4), "wide": noise(16, 20, 3), "holes": HOLE,
    "numbers": HOLE // 255, "shades": HOLE // 255 * 99, "none": 0 * HOLE, "small_holes": HOLE[:8, :8],
    "one/x": noise(16, 16, 3), "two/x": noise(16, 16, 3), "two/y": noise(16, 16, 3),
    "splits/train": noise(16, 16, 3), "splits/test": noise(15, 17, 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folders of two pictures each, but for one without any and one with one."""
    root = tmp_path_factory.mktemp("sets")
    put(root, {f"{folder}/{i}.png": pixels for folder, pixels in FOLDERS.items() for i in "ab"})
    put(
        root,
        {"empty": None, "single/a.png": noise(16, 16, 3), "half/x": None, "half/y/a.png": FOLDERS["wide"]},
    )
    return root


def refused(root, family, source, changes, message):
    config = base.get_config()
    config.data.source = re.sub(r"\b([a-z_]+)(?=,|$)", rf"{root}/\1", source)
    config.data.prepare, config.data.data_dir = False, f"{root}/data"
    config.model.family, config.task.name = family, TASKS[family]
    config.model.conditional = family in ("starganv2", "coupled")
    config.batch_size, config.parallel.devices = 4, 1
    for name in ("unet", "translator", "cycle", "contrastive"):
        config.model[name].discriminator_halvings = 1
    config.model.unit.discriminator_halvings, config.model.unit.blocks = 1, 1
    config.model.generator.width = config.model.discriminator.width = 4
    config.model.srresnet.blocks = config.model.starganv2.plain = 1
    config.model.starganv2.bottleneck = 8
    config.update_from_flattened_dict(changes)
    message = message.replace("SET", str(root))
    with pytest.raises((ConfigError, DataError), match=f"(?s){message}"):
        training.set_up(config)


TASKS = {
    "srresnet": "super_resolution", "repair": "restoration", "unet": "paired", "translator": "paired",
    "cycle": "cycle", "contrastive": "contrastive", "unit": "shared_latent", "starganv2": "styles",
    "coupled": "synthesis",
}  # fmt: skip
CASES = {
    # Super-resolution
    "sides beyond the scale": ("srresnet", "folder:odd", {}, "15x17 do not divide by the scale, 4; crop"),
    "less than the scale": ("srresnet", "folder:pixel", {}, "1x1 do not divide by the scale, 4"),
    "a crop beyond the scale": (
        "srresnet", "folder:images", {"data.random_crop": (10, 12)}, "10x12 do not divide by the scale, 4"
    ),
    "wholes beyond the scale": (
        "srresnet", "folder:images", {"data.size": (18, 18), "data.random_crop": (16, 16)},
        "18x18 do not divide by the scale, 4",
    ),
    "a crop beyond the images": (
        "srresnet", "folder:small", {"data.random_crop": (16, 16)}, "is 16x16, and .* has images of 8x8"
    ),
    "pairs of another scale": (
        "srresnet", "pairs:small,images", {"task.scale": 4}, r"8, 8, 3\) and large .*at a scale of 4"
    ),
    "a crop that halves a pixel": (
        "srresnet", "pairs:small,images", {"task.scale": 2, "data.random_crop": (7, 8)},
        r"A crop of \(7, 8\) was asked of images whose input is 1/2",
    ),
    "pairs that are none, of a scale": (
        "srresnet", "unpaired:small,images", {"task.scale": 2}, "has those of another domain; open"
    ),
    "steps of text": (
        "srresnet", "folder:images", {"task.degradations": (("bicubic",), ("noise", "a", "b"))},
        r"'noise' was given \('a', 'b'\), expected a lowest and a highest number",
    ),
    "JPEGs with alpha": (
        "srresnet", "folder:alpha", {"task.degradations": (("bicubic",), ("jpeg", 50.0, 60.0))},
        "JPEG is of images with 1 or 3 channels, got .*4",
    ),
    "a folder of weights": (
        "srresnet", "folder:images", {"terms.perceptual": 1.0, "task.perceptual": "/"}, "perceptual is '/'"
    ),
    "weights of nothing": (
        "srresnet", "folder:images", {"terms.perceptual": 1.0, "task.perceptual": __file__},
        "neither .safetensors nor a file of torch.save",
    ),
    "a split of other sizes": (
        "srresnet", "folder:splits", {"evaluate.split": "test"},
        "evaluate.split is 'test', of .*15, 17, 3.* and .*16, 16, 3.*; expected the same. Set data.size",
    ),
    # Restoration
    "masks of another size": ("repair", "masks:images,small_holes", {}, r"masks \[8, 8, 1\] .* expected"),
    "masks brought to another size": (
        "repair", "masks:images,holes", {"data.input_size": (8, 8)}, "leave data.input_size out"
    ),
    "masks of shades": ("repair", "masks:images,grey", {}, "hold 1, 2, 4; expected 0, black"),
    "masks of one shade": ("repair", "masks:images,shades", {}, "hold 99; expected 0, black"),
    "masks of 0 and 1": ("repair", "masks:images,numbers", {}, "hold 1; expected 0, black, .* 255, white"),
    "masks without a hole": ("repair", "masks:images,none", {}, "hold nothing but 0"),
    "an image without a mask": ("repair", "masks:images,single", {}, "1 in SET/images without a partner"),
    "no masks": ("repair", "masks:images,empty", {}, "2 in SET/images without a partner"),
    "too small for a hole": ("repair", "folder:pixel", {"model.repair.halvings": 0}, "masks is .* of 1x1"),
    "halved too often": (
        "repair", "folder:small", {"model.repair.halvings": 4}, "with 8 pixels a side can be halved 3 times"
    ),
    "damaged images in grey": (
        "repair", "pairs:grey,images", {"task.degradations": (("noise", 5, 50),)},
        r"16, 3\), damaged ones .*16, 1\)",
    ),
    "damaged images of another domain": ("repair", "unpaired:wide,wide", {}, "has those of another domain"),
    # Pairs
    "pairs of two sizes": ("unet", "pairs:small,images", {}, "data.size and data.input_size to the same"),
    "an image without a pair": ("unet", "pairs:single,images", {}, "1 in SET/images without a partner"),
    "no pairs": ("unet", "folder:images", {}, "needs examples with inputs: open them as pairs:INPUTS"),
    "no pairs but domains": ("unet", "unpaired:images,images", {}, "needs examples with inputs"),
    "smaller than a patch": ("unet", "pairs:pixel,pixel", {}, r"1, 1, 6\), .* at least 6 pixels a side"),
    "a crop smaller than a patch": (
        "unet", "pairs:images,images", {"data.random_crop": (3, 4)}, r"3, 4, 6\), .* at least 6 pixels a side"
    ),
    "odd sides at two scales": ("unet", "pairs:odd,odd", {"model.unet.scales": 2}, "W multiples of 2; crop"),
    "a net too deep": ("unet", "pairs:odd,odd", {"model.unet.depth": 9}, "depth is 9 .*, expected 0 to 3"),
    "a translator too deep": (
        "translator", "pairs:small,small", {"model.translator.generator_halvings": 6}, "can be halved 3 times"
    ),
    # Domains
    "a first domain without images": ("cycle", "unpaired:empty,images", {}, "SET/empty:train has no image"),
    "a second domain without images": ("unit", "unpaired:images,empty", {}, "SET/empty:train has no image"),
    "a domain that is not there": ("contrastive", "unpaired:images,gone", {}, "gone: there is no such"),
    "domains of two sizes": ("cycle", "unpaired:wide,images", {}, "Images of B are .* one size"),
    "domains of two sizes, cropped": (
        "cycle", "unpaired:wide,images", {"data.random_crop": (8, 8)}, "Images of B are .* one size"
    ),
    "channels to keep": ("cycle", "unpaired:grey,images", {"terms.identity": 1.0}, "3 channels and .* A 1"),
    "channels to compare": ("contrastive", "unpaired:grey,images", {}, "as many channels. Set data.size"),
    "pairs for domains": ("cycle", "pairs:images,images", {}, "open both as unpaired:SOURCE,SOURCE"),
    "domains halved too often": ("unit", "unpaired:images,pixel", {}, "with 1 pixels a side can be halved 0"),
    "domains at too many scales": (
        "unit", "unpaired:images,images", {"model.unit.scales": 5}, "at least 32 pixels a side, for a discr"
    ),
    # Classes
    "one class": ("starganv2", "folder:one", {}, "needs images of two or more classes.*has none.$"),
    "an empty class": ("starganv2", "folder:half", {}, "needs images of two or more classes.*has none.$"),
    "an empty domain": (
        "starganv2", "mixture:images,empty", {"data.labels": "domains"}, "SET/empty:train has no image"
    ),
    "a domain in grey": (
        "starganv2", "mixture:images,grey", {"data.labels": "domains"}, "images differ.*Set data.size"
    ),
    "inputs without classes": (
        "starganv2", "unpaired:images,two", {}, "has none of inputs and x, y of images; open one set"
    ),
    "one class for coupled networks": (
        "coupled", "folder:one", {}, "has no labels; take a mixture, as data.labels='domains'"
    ),
    "an empty domain for coupled networks": (
        "coupled", "mixture:empty,images", {"data.labels": "domains"}, "SET/empty:train has no image"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_a_task_cannot_use_is_refused(case, root):
    refused(root, *CASES[case])
