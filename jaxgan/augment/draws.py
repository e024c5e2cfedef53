"""What an operation draws from its key: for each of its choices a coin, and numbers for what follows."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Draws(NamedTuple):
    """The randomness of n choices, always float32, so that it is the same at every precision of images.

    Attributes:
      coins: [n], bool; whether each is made.
      uniform: [n,2], in [0, 1).
      normal: [n,2], standard normal.
    """

    coins: jax.Array
    uniform: jax.Array
    normal: jax.Array


def draw(key: jax.Array, chances: Sequence[jax.Array | float]) -> Draws:
    """Draws for as many choices as there are chances in [0, 1]; 0 is never made and 1 always."""
    # One call for everything: a generator for each number takes long to compile.
    lowest = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))  # finite as a normal number
    numbers = jax.random.uniform(key, (len(chances), 5), jnp.float32, lowest, 1.0)
    uniform = (numbers + 1.0) / 2.0
    coins = uniform[:, 0] < jnp.asarray(chances, jnp.float32)
    return Draws(coins, uniform[:, 1:3], math.sqrt(2.0) * jax.lax.erf_inv(numbers[:, 3:]))
