"""Images from images: what a trained generator makes of those that it is given."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxgan.data import to_uint8
from jaxgan.sampling import sample_key
from jaxgan.state import Network, Variables
from jaxgan.tasks import Task

Batch = Mapping[str, Any]
PIXELS = 32 * 64 * 64  # of the images that are made at a time


class Translator(NamedTuple):
    """A generator of a task that is given images, with fixed variables.

    Attributes:
      shown: (variables, batch as a source has it, keys [B]) -> images [B,H,W,C] in [-1, 1] by name: what the
        task shows of examples, degraded as in training where it does that; pure and jitted.
      used: (variables, batch of floats in [-1, 1], keys [B]) -> images [B,H,W,C] in [-1, 1]; the same.
      variables: the generator's.
    """

    shown: Callable[..., dict[str, jax.Array]]
    used: Callable[..., jax.Array]
    variables: Variables

    def names(self, batch: Batch) -> list[str]:
        """Of what `show` returns, in its order, without making it."""
        return [*jax.eval_shape(self.shown, self.variables, dict(batch), _keys(batch, 0))]

    def show(self, batch: Batch, *, seed: int = 0) -> dict[str, np.ndarray]:
        """What the task shows of examples: uint8 [N,H,W,C] by name, each by seed, place and itself."""
        count, keys = len(batch["image"]), _keys(batch, seed)
        some = min(count, max(1, PIXELS // math.prod(batch["image"].shape[1:3])))
        parts = list[dict[str, np.ndarray]]()
        for start in range(0, count, some):
            index = np.arange(start, start + some) % count  # the last part is filled up: one compilation
            made = self.shown(
                self.variables, {name: np.asarray(rows)[index] for name, rows in batch.items()}, keys[index]
            )
            parts.append({name: np.asarray(to_uint8(images)) for name, images in made.items()})
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def use(self, batch: Batch, *, seed: int = 0) -> np.ndarray:
        """What the generator makes of images that a user gives: floats in [-1, 1] -> [N,H,W,C] in [-1, 1]."""
        return np.asarray(self.used(self.variables, batch, _keys(batch, seed)))


def _keys(batch: Batch, seed: int) -> jax.Array:
    index = np.arange(len(next(iter(batch.values()))))
    return jax.vmap(partial(jax.random.fold_in, sample_key(seed)))(index)


def make_translator(task: Task, generator: nn.Module) -> Callable[[Variables], Translator]:
    """A generator's variables -> Translator, in evaluation mode; compiled once for all variables and a size.

    Args:
      task: one that is given images, whose `prepare` neither flips them nor cuts random parts.
      generator: of the task.

    Raises:
      ValueError: a task that is given none.
    """
    use = task.use
    if use is None:
        raise ValueError("This task's generator is given no images; draw from it with a Sampler.")

    @jax.jit
    def shown(variables: Variables, batch: Any, keys: jax.Array) -> dict[str, jax.Array]:
        made = task.show(Network(generator, variables, train=False), task.prepare(batch, keys))
        return OrderedDict(made)  # from `jit` a plain one comes with its names sorted

    @jax.jit
    def used(variables: Variables, batch: Any, keys: jax.Array) -> jax.Array:
        return use(Network(generator, variables, train=False), batch, keys)

    return lambda variables: Translator(shown, used, variables)
