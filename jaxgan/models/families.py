"""The families by the names that configs have for them."""

from collections.abc import Mapping
from typing import NamedTuple

from flax import linen as nn

from jaxgan.models import (
    contrastive,
    coupled,
    cycle,
    dcgan,
    mlp,
    patch,
    r3gan,
    recurrent,
    repair,
    resnet,
    rrdb,
    srresnet,
    starganv2,
    stylegan2,
    translator,
    unet,
    unit,
    vit,
)


class Family(NamedTuple):
    """The modules of both players, their attributes called as a config's fields are, and their tasks."""

    generator: type[nn.Module]
    discriminator: type[nn.Module]
    tasks: tuple[str, ...] = ("synthesis",)

    @property
    def styled(self) -> bool:
        """Whether the generator maps latents to styles, and draws noise from keys."""
        return hasattr(self.generator, "style")


FAMILIES: Mapping[str, Family] = {
    "dcgan": Family(dcgan.Generator, dcgan.Discriminator),
    "mlp": Family(mlp.Generator, mlp.Discriminator),
    "resnet": Family(resnet.Generator, resnet.Discriminator),
    "stylegan2": Family(stylegan2.Generator, stylegan2.Discriminator),
    "r3gan": Family(r3gan.Generator, r3gan.Discriminator),
    "recurrent": Family(recurrent.Generator, dcgan.Discriminator),  # which Im et al. 2016 judge by too
    "coupled": Family(coupled.Generator, coupled.Discriminator),
    "vit": Family(vit.Generator, vit.Discriminator),
    "srresnet": Family(srresnet.Generator, srresnet.Discriminator, ("super_resolution",)),
    "rrdb": Family(rrdb.Generator, srresnet.Discriminator, ("super_resolution",)),
    "repair": Family(repair.Generator, repair.Discriminator, ("restoration",)),
    "unet": Family(unet.Generator, patch.Discriminator, ("paired",)),
    "translator": Family(translator.Generator, patch.Discriminator, ("paired",)),
    "cycle": Family(cycle.Generator, cycle.Discriminator, ("cycle",)),
    "contrastive": Family(contrastive.Generator, patch.Discriminator, ("contrastive",)),
    "unit": Family(unit.Generator, unit.Discriminator, ("shared_latent",)),
    "starganv2": Family(starganv2.Generator, starganv2.Discriminator, ("styles",)),
}


def of_task(task: str) -> dict[str, Family]:
    """The families whose networks are for a task."""
    return {name: family for name, family in FAMILIES.items() if task in family.tasks}
