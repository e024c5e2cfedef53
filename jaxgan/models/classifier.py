"""A small convolutional classifier, whose last hidden layer describes images of domains of their own.

There are no batch statistics: what is made of an image depends on it alone, in training too.
"""

import jax
from flax import linen as nn

from jaxgan.models import layers

SMALLEST = 8  # pixels a side
GRID = 4  # pixels a side, at least, of the grid that the hidden layer sees
GROUPS = 8  # of channels, each normalised by itself: Wu & He 2018
WIDEST = 8  # times the width of the first stage


class Classifier(nn.Module):
    """Images [B,H,W,C] in [-1, 1] to logits [B,K].

    Stages of a convolution 3x3, group normalisation and ReLU, between them the larger of each 2x2 pixels, as
    long as a side of 4 or more is left. The hidden layer sees the whole last grid, and so where things are.

    Attributes:
      image_shape: (H, W, C).
      num_classes: K.
      width: channels of the first stage, a multiple of 8; each further one has twice as many, up to 8 times.
      features: D, of the hidden layer.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    width: int = 16
    features: int = 64

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Logits [B,K], in training as ever."""
        return self.describe(images, train=train)[1]

    @nn.compact
    def describe(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """The hidden layer [B,D], 0 or more each, and the logits [B,K].

        Raises:
          ValueError: images of another shape than was told, or of less than 8x8 pixels.
        """
        layers.check_images(images, self.image_shape)
        side, width, x = min(self.image_shape[:2]), self.width, images
        if side < SMALLEST:
            raise ValueError(f"Images are {self.image_shape}, expected {SMALLEST} or more pixels a side.")
        x = self._stage(x, width)
        while side // 2 >= GRID:
            side, width = side // 2, min(2 * width, WIDEST * self.width)
            x = self._stage(nn.max_pool(x, (2, 2), strides=(2, 2)), width)
        features = nn.relu(nn.Dense(self.features, name="hidden")(x.reshape(len(x), -1)))
        return features, nn.Dense(self.num_classes, name="logits")(features)

    def _stage(self, x: jax.Array, width: int) -> jax.Array:
        return nn.relu(nn.GroupNorm(GROUPS)(layers.Conv(width)(x)))
