"""The lines of `train_step.py`: networks and how they are trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A line: networks and how they are trained. Both sides are given it as JSON.

    Attributes:
      network: the module of `jaxgan.models` and of `benchmarks.peers`.
      size: of the images, in pixels.
      batch: images.
      latent: Z, numbers of a latent.
      generator: fields of ours, which the peer reads too.
      discriminator: the same.
      loss: a name in `jaxgan.losses.LOSSES`.
      penalties: names among `jaxgan.penalties.PENALTIES` (r1 and r2), and their weights.
      learning_rate: Adam's, of both players.
      betas: Adam's.
      half_life: of the average of G's variables, in images; 0: the peer keeps none.
      one_pass: G is trained on the fakes that were shown to D.
    """

    network: str
    size: int
    batch: int
    latent: int = 128
    generator: Mapping[str, Any] = field(default_factory=dict)
    discriminator: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "non_saturating"
    penalties: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    half_life: float = 0.0
    one_pass: bool = False


LINES = {
    # Radford et al. 2016; D without batch normalisation, as `configs/base.py` has it.
    "dcgan64": Recipe("dcgan", 64, 64, generator={"width": 64}, discriminator={"width": 64}, one_pass=True),
    # Miyato et al. 2018, table 3, with an update of D for one of G.
    "sngan32": Recipe(
        "resnet",
        32,
        64,
        generator={"width": 256, "multiples": (1, 1, 1)},
        discriminator={"width": 128, "multiples": (1, 1), "smallest": 8, "plain": 2},
        loss="hinge",
        betas=(0.0, 0.9),
    ),
    # Huang et al. 2024, table 6 (CIFAR-10): an eighth of the channels.
    "r3gan32": Recipe(
        "r3gan",
        32,
        16,
        latent=64,
        generator={"width": 96, "blocks": 2, "expansion": 2, "group_size": 16},
        discriminator={"width": 96, "blocks": 2, "expansion": 2, "group_size": 16},
        loss="relativistic",
        penalties={"r1": 0.05, "r2": 0.05},
        betas=(0.0, 0.99),
        half_life=5e6,
    ),
    # Karras et al. 2020 (StyleGAN2), configuration F without path lengths: fewer channels, R1 at each step.
    "stylegan2_32": Recipe(
        "stylegan2",
        32,
        16,
        generator={"width": 32, "widest": 128, "style_size": 128, "mapping_depth": 8, "mixing": 0.9},
        discriminator={"width": 32, "widest": 128},
        penalties={"r1": 0.01},
        betas=(0.0, 0.99),
        half_life=1e4,
    ),
}
SMOKE = {
    "dcgan64": replace(
        LINES["dcgan64"], size=16, batch=4, generator={"width": 8}, discriminator={"width": 8}
    ),
    "sngan32": replace(
        LINES["sngan32"],
        size=16,
        batch=4,
        generator={"width": 8, "multiples": (1, 1)},
        discriminator={"width": 8, "multiples": (1,), "smallest": 8, "plain": 1},
    ),
    "r3gan32": replace(
        LINES["r3gan32"],
        size=8,
        batch=4,
        generator={"width": 8, "blocks": 1, "expansion": 2, "group_size": 8},
        discriminator={"width": 8, "blocks": 1, "expansion": 2, "group_size": 8},
    ),
    "stylegan2_32": replace(
        LINES["stylegan2_32"],
        size=8,
        batch=4,
        generator={"width": 8, "widest": 16, "style_size": 16, "mapping_depth": 2, "mixing": 0.9},
        discriminator={"width": 8, "widest": 16},
    ),
}
