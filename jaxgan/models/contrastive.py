"""A translator whose own features say whether what is made shows what was given, patch by patch.

Source: Park et al. 2020 (CUT), section 3 and appendix C. The translator is that of `models.translator`;
behind some of its stages a small network projects each pixel's features onto the unit sphere. It is judged by
`models.patch`. Departures: each example has positions of its own.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers, translator

EPSILON = 1e-12  # of squared norms


def draw_positions(keys: jax.Array, count: int, pixels: int) -> jax.Array:
    """Which of so many pixels each example is looked at in, or all if there are fewer: [B] -> [B,count]."""

    def draw(key: jax.Array) -> jax.Array:
        return jax.random.choice(key, pixels, (min(count, pixels),), replace=False)

    return jax.vmap(draw)(keys)


class Projection(nn.Module):
    """Features [B,P,C] to vectors [B,P,units] of length 1, float32.

    Attributes:
      units: of both layers.
    """

    units: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        x = nn.Dense(self.units, kernel_init=translator.normal, name="hidden")(features)
        x = nn.Dense(self.units, kernel_init=translator.normal, name="out")(nn.relu(x))
        return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + EPSILON)


class Projections(nn.Module):
    """Grids [B,h,w,c] of several stages to the projections of some of their pixels, [B,P,units] each.

    Attributes:
      units: numbers of a projection.
      patches: pixels of each grid that are looked at, P at most.
    """

    units: int
    patches: int

    @nn.compact
    def __call__(
        self, grids: tuple[jax.Array, ...], keys: jax.Array, mirrored: jax.Array | None
    ) -> tuple[jax.Array, ...]:
        found = []
        for i, grid in enumerate(grids):
            b, h, w, c = grid.shape
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            places = draw_positions(own, self.patches, h * w)
            if mirrored is not None:
                places = jnp.where(mirrored[:, None], places - 2 * (places % w) + w - 1, places)
            features = jnp.take_along_axis(grid.reshape(b, h * w, c), places[..., None], axis=1)
            found.append(Projection(self.units, name=f"stage_{i}")(features))
        return tuple(found)


class Generator(nn.Module):
    """Images [B,H,W,C] of any size to images [B,H,W,C] in [-1, 1], float32.

    Attributes:
      channels: C, of what is given and what is made: both are looked at by the same stages.
      width: see `translator.Generator`.
      halvings: see `translator.Generator`.
      blocks: see `translator.Generator`.
      norm: see `translator.Generator`.
      compared: indices of the stages whose features are compared; (): CUT's, see there too.
      patches: pixels of each stage that are compared, 2 or more.
      units: numbers of a projection.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the translator's computation, float32 or bfloat16; parameters and projections stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    channels: int = 3
    width: int = 64
    halvings: int = 2
    blocks: int = 9
    norm: str = "instance"
    compared: tuple[int, ...] = ()
    patches: int = 256
    units: int = 256
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def setup(self) -> None:
        names = "channels", "width", "halvings", "blocks", "norm", "remat", "dtype", "axis_name"
        self.translator = translator.Generator(**{name: getattr(self, name) for name in names})
        self.projections = Projections(self.units, self.patches)

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        if self.is_initializing():
            self.project(images, jax.random.split(jax.random.key(0), len(images)), train=train)
        return self.translator(images, train=train)

    def project(
        self, images: jax.Array, keys: jax.Array, mirrored: jax.Array | None = None, *, train: bool
    ) -> tuple[jax.Array, ...]:
        """What is compared of images, given or made: a vector of length 1 for each of some pixels of a stage.

        Args:
          images: [B,H,W,C].
          keys: [B], PRNG keys of the pixels' positions, which are the same for the same keys.
          mirrored: [B] bool, whether an image is mirrored left to right, and positions are to be so too. Of
            images whose width the halvings do not divide, they are so but for the padding.
          train: normalise by the batch, where the norm is 'batch'.

        Returns:
          [B,P,units] of each stage, P at most `patches`.

        Raises:
          ValueError: images of other channels, fewer than 2 patches: there is nothing to tell them from.
        """
        if images.shape[-1] != self.channels:
            raise ValueError(
                f"Images given have {images.shape[-1]} channels and those made {self.channels}, and both are "
                "compared by the same layers; give them as many, by data.channels."
            )
        if self.patches < 2:
            raise ValueError(f"patches is {self.patches}; a patch is told from others: set 2 or more.")
        return self.projections(self.translator.features(images, self.compared, train=train), keys, mirrored)
