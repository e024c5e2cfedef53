"""The state of a training run: arrays and nothing else."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
from flax import linen as nn
from flax import struct

Variables = Mapping[str, Any]


class Player(struct.PyTreeNode):
    """One player: its parameters, its mutable collections (batch statistics) and its optimiser's state."""

    params: Any
    collections: Variables
    optimizer: optax.OptState

    @property
    def variables(self) -> Variables:
        """What `Module.apply` takes."""
        return {"params": self.params, **self.collections}


class GANState(struct.PyTreeNode):
    """Both players and how far they are.

    Attributes:
      step: int32 [], training steps done, each a whole alternation.
      images: int32 [], real images shown, each batch of a step counted once.
      generator: the generator.
      discriminator: the discriminator.
      ema: the generator's variables averaged over time, batch statistics included.
      memories: what penalties remember, by their names.
      augmentation: the controller of the augmentation's probability, () without augmentation.
    """

    step: jax.Array
    images: jax.Array
    generator: Player
    discriminator: Player
    ema: Variables
    memories: Mapping[str, Any] = struct.field(default_factory=dict)
    augmentation: Any = ()


class Network:
    """A module with its variables: called with inputs it gives outputs, and keeps what the call mutated.

    With `key` in the place of variables the first call draws them. It lives only while a function is
    traced: tasks call it without knowing of variables, and steps read those that it ends with.
    """

    def __init__(
        self, module: nn.Module, variables: Variables | None = None, *, train: bool, key: Any = None
    ) -> None:
        self.module, self.train, self.key = module, train, key
        self.variables: Variables = variables or {}

    def __call__(self, *inputs: Any, method: str = "__call__", **options: Any) -> Any:
        """Outputs of the module; `variables` holds the new values of the mutable collections."""
        call: dict[str, Any] = {"train": self.train, "method": method, **options}
        if not self.variables:
            outputs, self.variables = self.module.init_with_output(self.key, *inputs, **call)
            return outputs
        outputs, updates = self.module.apply(
            self.variables, *inputs, mutable=list(collections(self.variables)), **call
        )
        self.variables = {**self.variables, **updates}
        return outputs

    def frozen(self, *inputs: Any, **options: Any) -> Any:
        """Outputs alone, what the call mutated is dropped: for derivatives with respect to inputs."""
        return Network(self.module, self.variables, train=self.train)(*inputs, **options)


def collections(variables: Variables) -> Variables:
    """The mutable collections among a module's variables: all but its parameters."""
    return {name: value for name, value in variables.items() if name != "params"}
