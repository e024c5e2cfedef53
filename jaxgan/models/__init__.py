"""Networks, a family a file.

A generator is called `generator(latents [B,Z], labels [B] or None, train=...)`, a discriminator
`discriminator(images [B,...], labels [B] or None, train=...)`; both are Linen modules. A discriminator's
`describe`, called alike, returns its logits, its hidden layers and what its further heads say, by name.
"""

from typing import Any

import jax
from flax import linen as nn
from flax.traverse_util import flatten_dict


def features(
    module: nn.Module, variables: Any, *inputs: Any, train: bool = False, method: str = "__call__"
) -> tuple[Any, dict[str, jax.Array]]:
    """A network's outputs, and those of every module in it.

    Args:
      module: a generator or a discriminator.
      variables: of the module; what a call in training mutates is dropped.
      inputs: as the module is called.
      train: whether as in training.
      method: of the module, such as `describe`.

    Returns:
      (outputs, {path: array}), the paths as those of parameters, "block_0/attention". Where a module is
      called again, or returns several arrays, a number follows the path: "block_0/conv/1". Modules under
      `nn.scan` and `nn.vmap` are in it if the collection `intermediates` has an axis there.
    """
    outputs, state = module.apply(
        variables,
        *inputs,
        train=train,
        method=method,
        capture_intermediates=True,
        mutable=[name for name in variables if name != "params"] + ["intermediates"],
    )
    found = dict[str, jax.Array]()
    for (*path, last), calls in flatten_dict(state["intermediates"]).items():
        name = "/".join(path if last == "__call__" else [*path, last])
        arrays = jax.tree.leaves(calls)
        if name:  # the others are the outputs
            found |= (
                {name: arrays[0]} if len(arrays) == 1 else {f"{name}/{i}": x for i, x in enumerate(arrays)}
            )
    return outputs, found
