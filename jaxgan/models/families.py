"""The families by the names that configs have for them."""

from collections.abc import Mapping
from typing import NamedTuple

from flax import linen as nn

from jaxgan.models import dcgan, mlp, resnet


class Family(NamedTuple):
    """The modules of both players; their attributes are what a config's fields are called."""

    generator: type[nn.Module]
    discriminator: type[nn.Module]

    @property
    def styled(self) -> bool:
        """Whether the generator maps latents to styles, and draws noise from keys."""
        return hasattr(self.generator, "style")


FAMILIES: Mapping[str, Family] = {
    "dcgan": Family(dcgan.Generator, dcgan.Discriminator),
    "mlp": Family(mlp.Generator, mlp.Discriminator),
    "resnet": Family(resnet.Generator, resnet.Discriminator),
}
