"""Coupled networks: generators and discriminators of several domains that share some of their layers.

Source: Liu & Tuzel 2016 (CoGAN), sections 3 and 4. Generators share their first layers, which decide what
there is to be seen, and have their last ones, which draw it, for themselves; discriminators share their last
layers. So one latent makes one image in each domain that show the same, though no pairs were ever seen.
Departures: any number of domains; the stages are DCGAN's; an example is of one domain, its label says which.

Private layers are computed of all domains, and each example takes what is its domain's: they cost as much as
all domains' together.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import dcgan, layers
from jaxgan.models.dcgan import normal

NORMS = ("none", "spectral")


def private(block: Any, domains: int) -> Any:
    """A module's class -> one with parameters for each domain: inputs [n,...] -> outputs [n,...]."""
    return nn.vmap(
        block,
        variable_axes={"params": 0, "batch_stats": 0, "intermediates": 0},
        split_rngs={"params": True},
        axis_size=domains,
    )


def chosen(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Each example's output of its own domain: [n,B,...], labels [B] -> [B,...]."""
    own = jnp.arange(len(outputs))[:, None] == labels
    own = own.reshape(*own.shape, *[1] * (outputs.ndim - 2))
    return jnp.sum(jnp.where(own, outputs, 0), axis=0, dtype=outputs.dtype)


def check_labels(labels: jax.Array | None, domains: int) -> jax.Array:
    """The labels [B] int, or a ValueError."""
    if labels is None:
        raise ValueError(
            f"The network was built for {domains} classes and was given no labels; expected [B] "
            "integers, the domain of each example. (A generator's `joint` makes all domains' images without.)"
        )
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"Labels are {labels.dtype} of shape {labels.shape}, expected [B] integers: an example of "
            "coupled networks is of one domain."
        )
    return labels


def stages_of(image_shape: tuple[int, ...], domains: int, smallest: int, *, field: str, shared: int) -> int:
    """How often a grid is doubled, one less than there are stages; raises where the fields cannot be."""
    count = layers.at_least_one_doubling(image_shape, smallest)
    if domains < 2:
        raise ValueError(f"num_classes is {domains}; coupled networks need 2 domains or more.")
    if not 0 <= shared <= count + 1:
        raise ValueError(
            f"{field} is {shared}, and the network has {count + 1} stages; expected 0 (nothing is shared) "
            f"to {count + 1} (everything is)."
        )
    return count


class Rise(nn.Module):
    """A stage of a generator: latents [B,Z] to a grid, or a grid to one of twice its size.

    Attributes:
      grid: (h, w, C) of the output.
      last: it makes images: neither normalised nor rectified, with a bias.
      train: normalise by the batch, and not by the running averages.
      dtype: of the computation.
      axis_name: the mapped axis whose devices share batch statistics.
    """

    grid: tuple[int, int, int]
    last: bool
    train: bool
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if x.ndim == 2:
            dense = nn.Dense(math.prod(self.grid), use_bias=False, kernel_init=normal, dtype=self.dtype)
            x = dense(x).reshape(-1, *self.grid)
        else:
            x = dcgan.double(self.grid[-1], use_bias=self.last, dtype=self.dtype)(x)
        if self.last:
            return x
        normalise = layers.batch_norm(self, train=self.train)
        return nn.relu(normalise(scale_init=lambda *args: 1.0 + normal(*args))(x))


class Generator(nn.Module):
    """Latents [B,Z] and domains [B] int to images [B,H,W,C] of those domains, in [-1, 1], float32.

    Its batch statistics, those of private stages too, are of all latents of a batch: which domain's image is
    asked for says nothing of the latents, so all are examples of what each domain's stages are given.

    Attributes:
      image_shape: (H, W, C).
      num_classes: n, the number of domains, 2 or more.
      width: channels of the stage next to the image.
      smallest: the smallest grid has at least this many pixels a side.
      generator_shared: stages that the domains share, from the latents on: 0 to all of them. There is one
        more than the smallest grid is doubled: the first is dense, the last makes the image.
      remat: rematerialise each stage.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 2
    width: int = 64
    smallest: int = 4
    generator_shared: int = 2
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    def __call__(self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        labels = check_labels(labels, self.num_classes)
        return chosen(self.joint(latents, train=train).swapaxes(0, 1), labels)

    @nn.compact
    def joint(self, latents: jax.Array, *, train: bool) -> jax.Array:
        """The images of all domains from the same latents: [B,Z] -> [B,n,H,W,C]."""
        n, shared = self.num_classes, self.generator_shared
        count = stages_of(self.image_shape, n, self.smallest, field="generator_shared", shared=shared)
        height, width, channels = self.image_shape
        features = [*reversed(dcgan.widths(self.width, count)), channels]
        rise = layers.rematerialised(Rise, self.remat)

        def through(block: Any, x: jax.Array, stages: range) -> jax.Array:
            for i in stages:
                grid = (height >> count - i, width >> count - i, features[i])
                x = block(grid, i == count, train, self.dtype, self.axis_name, name=f"stage_{i}")(x)
            return x

        x = through(rise, latents, range(shared))
        x = jnp.broadcast_to(x, (n, *x.shape))
        x = through(private(rise, n), x, range(shared, count + 1))
        return jnp.tanh(x.astype(latents.dtype)).swapaxes(0, 1)


class Output(nn.Module):
    """What a discriminator says of its last grid, flat: [B,F] -> [B,size].

    Attributes:
      size: how many numbers.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
    """

    size: int
    layer: Callable[[nn.Module, jax.Array], jax.Array]

    @nn.compact
    def __call__(self, flat: jax.Array) -> jax.Array:
        return self.layer(nn.Dense(self.size, kernel_init=normal), flat)


class Discriminator(nn.Module):
    """Images [B,H,W,C] in [-1, 1] and their domains [B] int to logits [B], float32.

    There is no batch normalisation: a private stage would take its statistics from other domains' images.

    Attributes:
      image_shape: (H, W, C).
      num_classes: n, the number of domains, 2 or more.
      heads: names and sizes of further outputs.
      width: channels of the stage next to the image.
      smallest: the smallest grid has at least this many pixels a side.
      discriminator_shared: stages that the domains share, from the logits back: 0 to all of them. There is
        one more than the grid is halved: the last, with further heads beside it, makes the logits.
      norm: 'spectral' (every layer's kernel, those of private layers each by its own) or 'none'.
      remat: rematerialise each stage.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
    """

    image_shape: tuple[int, int, int]
    num_classes: int = 2
    heads: tuple[tuple[str, int], ...] = ()
    width: int = 64
    smallest: int = 4
    discriminator_shared: int = 2
    norm: str = "none"
    remat: bool = False
    dtype: layers.Dtype = None

    def __call__(self, images: jax.Array, labels: jax.Array | None = None, *, train: bool) -> jax.Array:
        return self.describe(images, labels, train=train)[0]

    @nn.compact
    def describe(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> layers.Description:
        """Logits [B], the stages' grids from the image inwards, and the further heads' outputs."""
        n, shared = self.num_classes, self.discriminator_shared
        count = stages_of(self.image_shape, n, self.smallest, field="discriminator_shared", shared=shared)
        labels = check_labels(labels, n)
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}.")
        layers.check_images(images, self.image_shape)
        layer = partial(layers.normalised, spectral=self.norm == "spectral", train=train)
        fall = layers.rematerialised(dcgan.DiscriminatorStage, self.remat)

        def through(stage: int, block: Any, x: jax.Array, *attributes: Any, name: str) -> jax.Array:
            if stage > count - shared:
                return block(*attributes, name=name)(x)
            every = private(block, n)(*attributes, name=name)(jnp.broadcast_to(x, (n, *x.shape)))
            return chosen(every, labels)

        x, grids = images, list[jax.Array]()
        for i, features in enumerate(dcgan.widths(self.width, count)):
            x = through(i, fall, x, features, layer, None, self.dtype, name=f"stage_{i}")
            grids.append(x.astype(images.dtype))
        flat = grids[-1].reshape(len(x), -1)
        logits, *heads = (
            through(count, Output, flat, size, layer, name=name)
            for name, size in (("logits", 1), *((f"head_{name}", size) for name, size in self.heads))
        )
        return logits[:, 0], tuple(grids), dict(zip(dict(self.heads), heads, strict=True))
