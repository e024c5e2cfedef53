"""CycleGAN: between two domains, A and B, two translators as one player and two PatchGANs as another.

Source: Zhu et al. 2017, sections 3 and 4. Departures: those of `translator` and `patch`; the domains'
images may have other channels.
"""

import jax
from flax import linen as nn

from jaxgan.models import layers, patch, translator

Shape = tuple[int, int, int]
_NETWORKS = ("width", "norm", "remat", "dtype", "axis_name")  # attributes that the players hand on


class Generator(nn.Module):
    """Images of A and of B to images of B and of A, each of any size, in [-1, 1], float32.

    Attributes:
      image_shape: (H, W, C) of B, of which C alone matters.
      input_shape: (H, W, C) of A, likewise.
      width: see `translator.Generator`.
      halvings: see `translator.Generator`.
      blocks: see `translator.Generator`.
      norm: see `translator.Generator`.
      remat: see `translator.Generator`.
      dtype: see `translator.Generator`.
      axis_name: see `translator.Generator`.
    """

    image_shape: Shape
    input_shape: Shape
    width: int = 64
    halvings: int = 2
    blocks: int = 9
    norm: str = "instance"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def setup(self) -> None:
        options = {name: getattr(self, name) for name in (*_NETWORKS, "halvings", "blocks")}
        self.from_a = translator.Generator(self.image_shape[-1], **options)
        self.from_b = translator.Generator(self.input_shape[-1], **options)

    def __call__(self, a: jax.Array, b: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Images [B,H,W,C'] of A and [B,h,w,C] of B -> what is made of them, [B,H,W,C] and [B,h,w,C']."""
        return self.to_b(a, train=train), self.to_a(b, train=train)

    def to_b(self, a: jax.Array, *, train: bool) -> jax.Array:
        """Images [B,H,W,C'] of A -> [B,H,W,C] of B."""
        return self.from_a(a, train=train)

    def to_a(self, b: jax.Array, *, train: bool) -> jax.Array:
        """Images [B,H,W,C] of B -> [B,H,W,C'] of A."""
        return self.from_b(b, train=train)


class Discriminator(nn.Module):
    """Images of B and of A to logits of their patches, [B,h,w] of each, float32.

    Attributes:
      halvings: see `patch.Patches`.
      width: see `patch.Patches`.
      norm: see `patch.Patches`.
      remat: see `patch.Patches`.
      dtype: see `patch.Patches`.
      axis_name: see `patch.Patches`.
    """

    halvings: int = 3
    width: int = 64
    norm: str = "instance"
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def setup(self) -> None:
        options = {name: getattr(self, name) for name in (*_NETWORKS, "halvings")}
        self.of_b, self.of_a = patch.Patches(**options), patch.Patches(**options)

    def __call__(self, b: jax.Array, a: jax.Array, *, train: bool) -> patch.Logits:
        return self.describe(b, a, train=train)[0]

    def describe(self, b: jax.Array, a: jax.Array, *, train: bool) -> patch.Description:
        """Logits of images of B and of A, and the stages' grids, first all of B's; no heads."""
        (of_b, seen_b, _), (of_a, seen_a, _) = (
            network.describe(images, train=train) for network, images in ((self.of_b, b), (self.of_a, a))
        )
        return (of_b, of_a), seen_b + seen_a, {}
