"""Images from a trained generator."""

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.transforms import to_uint8
from jaxgan.state import Network, Variables
from jaxgan.steps import Game
from jaxgan.tasks import BoundNetwork
from jaxgan.tasks.synthesis import NO_CODES, Codes, Given, draw_given

BATCH = 256  # images made at a time, of up to 64x64 pixels; of larger ones fewer
PIXELS = BATCH * 64 * 64


class Sampler(NamedTuple):
    """A generator with fixed variables.

    Attributes:
      network: (variables, latents [B,Z], labels [B] or None) -> images [B,H,W,C] in [-1, 1]; pure, jitted,
        one function for all variables. Of a style-based generator it also takes keys= [B], of its noise, and
        truncation=.
      images: (variables, key, index int [B], labels [B] or None, choices [B] or None, truncation) -> uint8
        [B,H,W,C], as `draw` makes them of `sample_key`; pure and jitted as well.
      variables: the generator's.
      latent_size: Z.
      classes: names of the classes, by label; empty for an unconditional generator.
      codes: those that the last numbers of a latent are.
      styled: the generator is style-based.
    """

    network: Callable[..., jax.Array]
    images: Callable[..., jax.Array]
    variables: Variables
    latent_size: int
    classes: tuple[str, ...]
    codes: Codes
    styled: bool

    @property
    def generate(self) -> Callable[..., jax.Array]:
        """The network with its variables: (latents [B,Z], labels [B] or None) -> images [B,H,W,C]."""
        return partial(self.network, self.variables)

    def draw(
        self,
        count: int | None = None,
        *,
        labels: Sequence[int] | np.ndarray | None = None,
        choices: Sequence[int] | np.ndarray | None = None,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> np.ndarray:
        """Draws images: uint8 [N,H,W,C]. Image i depends on seed, i, label i and choice i alone.

        Args:
          count: N, for an unconditional generator.
          labels: [N] in [0, number of classes), for a conditional one.
          choices: [N], the first categorical code of each, beside a count or labels; else they are drawn.
          seed: of the latents, and of a style-based generator's noise.
          truncation: of a style-based generator: how far from the mean of all styles each may be, as a share
            of its distance; lower ones give better and more alike images. Source: Karras et al. 2019,
            appendix B.

        Raises:
          ValueError: labels for an unconditional generator, none for a conditional one, choices without
            codes, not as many as images, or out of range; truncation of what has no styles.
        """
        if not math.isfinite(truncation):
            raise ValueError(f"truncation is {truncation}, expected a number, mostly from 0 to 1.")
        if truncation != 1.0 and not self.styled:
            raise ValueError(f"truncation is {truncation}, and this generator has no styles; leave it out.")
        labels, choices = (None if x is None else np.asarray(x) for x in (labels, choices))
        total, batch = self._checked(count, labels), self._batch()
        self._check_choices(choices, total)
        images = []
        for start in range(0, total, batch):
            index = np.arange(start, start + batch)  # the last batch is filled up: one compilation
            part, chosen = (
                None if x is None else jnp.asarray(np.resize(x[start : start + batch], batch))
                for x in (labels, choices)
            )
            made = self.images(self.variables, sample_key(seed), index, part, chosen, truncation)
            images.append(np.asarray(made)[: total - start])
        return np.concatenate(images)

    def _batch(self) -> int:
        """How many images are made at a time."""
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        image = jax.eval_shape(self.generate, jnp.zeros((1, self.latent_size)), label)
        return min(BATCH, max(1, PIXELS // math.prod(image.shape[1:3])))

    def _checked(self, count: int | None, labels: np.ndarray | None) -> int:
        """How many images are asked for, if they can be drawn."""
        if labels is None and not self.classes and count is not None:
            if operator.index(count) < 1:
                raise ValueError(f"A count of 1 or more is needed, got {count}.")
            return count
        if labels is None or not self.classes or count is not None:
            wanted = "labels=[...]" if self.classes else "a count"
            raise ValueError(f"This generator needs {wanted}; got count={count}, labels={labels}.")
        _check_integers("Labels", labels, len(self.classes))
        return len(labels)

    def _check_choices(self, choices: np.ndarray | None, total: int) -> None:
        if choices is None:
            return
        if not self.codes.categorical:
            raise ValueError("This generator has no categorical codes to choose; leave `choices` out.")
        _check_integers("Choices", choices, self.codes.categorical[0])
        if len(choices) != total:
            raise ValueError(f"There are {len(choices)} choices for {total} images; give one for each.")


def sample_key(seed: int) -> jax.Array:
    """Of the samples drawn with a seed; training takes the halves of its split, those folded with 0 and 1."""
    return jax.random.fold_in(jax.random.key(seed), 2)


def _check_integers(name: str, values: np.ndarray, below: int) -> None:
    if values.ndim != 1 or not values.size or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} are integers [N], got {values.dtype} {list(values.shape)}.")
    wrong = values[(values < 0) | (values >= below)]
    if len(wrong):
        raise ValueError(f"{name} {wrong[:5]} are not in 0 to {below - 1}.")


def make_sampler(
    game: Game,
    latent_size: int,
    classes: tuple[str, ...] = (),
    codes: Codes = NO_CODES,
    *,
    styled: bool = False,
) -> Callable[[Variables], Sampler]:
    """A generator's variables -> Sampler, in evaluation mode; compiled once for all variables.

    Args:
      game: of the synthesis task.
      latent_size: Z.
      classes: names of the classes, none for an unconditional generator.
      codes: among the latents.
      styled: the generator is style-based, as the task was told.
    """

    @jax.jit
    def generate(
        variables: Variables,
        latents: jax.Array,
        labels: jax.Array | None,
        keys: jax.Array | None = None,
        truncation: jax.Array | float | None = None,
    ) -> jax.Array:
        generator: BoundNetwork = Network(game.generator, variables, train=False)
        if truncation is not None:
            generator = partial(generator, truncation=truncation)
        return game.task.generate(generator, Given(latents, labels, keys))

    @jax.jit
    def images(
        variables: Variables,
        key: jax.Array,
        index: jax.Array,
        labels: jax.Array | None = None,
        choices: jax.Array | None = None,
        truncation: jax.Array | float = 1.0,
    ) -> jax.Array:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
        given = draw_given(keys, labels, latent_size=latent_size, codes=codes, styled=styled)
        if choices is not None:
            given = given._replace(latents=codes.choose(given.latents, choices))
        options = {"keys": given.keys, "truncation": truncation} if styled else {}
        return to_uint8(generate(variables, given.latents, labels, **options))

    return lambda variables: Sampler(
        generate, images, variables, latent_size=latent_size, classes=classes, codes=codes, styled=styled
    )
