"""pix2pix's generator: a U-Net, whose decoder sees what its encoder made of each grid.

Source: Isola et al. 2017, section 3.2.1 and appendix 6.1.1. Departures: any size, padded by reflection and
cropped; convolutions have a bias only where no normalisation follows; and the innermost grid is not
normalised in the encoder, which would make one pixel's 0 (so did the authors later: their errata). In use
batch normalisation takes its running averages, where section 3.3 has the statistics of the test batch.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.models import layers

DEEPEST = 8  # of the paper, for 256x256 pixels
NOISY = 3  # stages of the decoder that drop some of their outputs: appendix 6.1.1
SLOPE = 0.2  # of the encoder's leaky ReLU: appendix 6.1
normal = nn.initializers.normal(0.02)  # appendix 6.2
by_two = partial(layers.Conv, kernel_size=(4, 4), stride=2, kernel_init=normal)
halve = partial(by_two, padding=((1, 1), (1, 1)))
double = partial(by_two, padding=((2, 2), (2, 2)), transposed=True)


def drop(images: jax.Array, keys: jax.Array, rate: float) -> jax.Array:
    """Numbers of images [B,...] become 0 with this probability, each image's from its own key, [B].

    The others grow, so that means stay. Source: Srivastava et al. 2014 (dropout), section 10.
    """

    def dropped(image: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.where(jax.random.bernoulli(key, 1.0 - rate, image.shape), image / (1.0 - rate), 0.0)

    return jax.vmap(dropped)(images, keys).astype(images.dtype)


class Stage(nn.Module):
    """A nonlinearity, a convolution to half or double the grid and its normalisation, and then noise.

    Attributes:
      features: channels.
      convolution: `halve` or `double`.
      activate: the nonlinearity.
      layer: (module, inputs) -> outputs, where spectral normalisation may be put around the module.
      normalise: () -> a normalisation, or None.
      rate: probability that a number is dropped, where keys are given.
      dtype: of the computation.
    """

    features: int
    convolution: Callable[..., layers.Conv]
    activate: Callable[[jax.Array], jax.Array]
    layer: Callable[[nn.Module, jax.Array], jax.Array]
    normalise: Callable[[], nn.Module] | None
    rate: float = 0.0
    dtype: layers.Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        bare = self.normalise is None
        conv = self.convolution(self.features, use_bias=bare, dtype=self.dtype)
        x = self.layer(conv, self.activate(images))
        x = x if self.normalise is None else self.normalise()(x)
        return x if keys is None or self.rate == 0.0 else drop(x, keys, self.rate)


class Generator(nn.Module):
    """Images [B,H,W,C'] of any size and channels to images [B,H,W,C] in [-1, 1], float32.

    Attributes:
      image_shape: (H, W, C) of what is made in training; at use, H and W can be others.
      width: channels of the stage next to the image, doubled inwards up to 8 times.
      depth: how often the grid is halved; 0: until a side has one pixel, 8 times at most.
      norm: 'batch' as in the paper, 'instance', 'spectral' (of kernels) or 'none'.
      dropout: the probability of noise: what the decoder's innermost three stages make is dropped, where
        keys are given; 0: none.
      remat: compute stages anew for the derivative, to take less memory.
      dtype: of the computation, float32 or bfloat16; parameters and statistics stay float32.
      axis_name: the mapped axis whose devices share batch statistics, if there is one.
    """

    image_shape: tuple[int, int, int]
    width: int = 64
    depth: int = 0
    norm: str = "instance"
    dropout: float = 0.5
    remat: bool = False
    dtype: layers.Dtype = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, keys: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Of images, and keys [B] of their noise, in training and at use alike; None: without noise."""
        depth = self._depth()
        stage = partial(
            layers.rematerialised(Stage, self.remat),
            layer=partial(layers.normalised, spectral=self.norm == "spectral", train=train),
            dtype=self.dtype,
        )
        normalise = layers.normalisation(self, train=train)
        widths = [self.width * 2 ** min(i, 3) for i in range(depth)]
        x, grids = layers.reflect_to_multiple(images, 2**depth), list[jax.Array]()
        for i, width in enumerate(widths):
            activate = partial(nn.leaky_relu, negative_slope=SLOPE) if i else _nothing
            inner = normalise if 0 < i < depth - 1 else None
            x = stage(width, halve, activate, normalise=inner, name=f"down_{i}")(x)
            grids.append(x)
        for i in reversed(range(1, depth)):
            rate = self.dropout if depth - i <= NOISY else 0.0
            up = stage(widths[i - 1], double, nn.relu, normalise=normalise, rate=rate, name=f"up_{i}")
            x = up(x, None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, i))
            x = jnp.concatenate([x, grids[i - 1]], axis=-1)
        x = stage(self.image_shape[-1], double, nn.relu, normalise=None, name="up_0")(x)
        return jnp.tanh(x[:, : images.shape[1], : images.shape[2]].astype(images.dtype))

    def _depth(self) -> int:
        smaller = min(self.image_shape[:2])
        most = max(smaller.bit_length() - 1, 1)
        if not 0 <= self.depth <= most or not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"depth is {self.depth} and dropout {self.dropout}, expected 0 to {most}, how often "
                f"{smaller} pixels can be halved, and a share from 0 to below 1."
            )
        return self.depth or min(most, DEEPEST)


def _nothing(images: jax.Array) -> jax.Array:
    return images
