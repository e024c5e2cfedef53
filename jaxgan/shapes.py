"""Checks of shapes and dtypes, which are known before anything is compiled."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp


def check_alike(**arrays: Any) -> None:
    """Raises a ValueError unless all these have one shape."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len({*shapes.values()}) > 1:
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"Expected arrays of one shape, got {given}. Reshape or cut them to agree.")


def of_pairs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of real and fake logits, checked to be of one shape."""

    @wraps(function)
    def checked(real_logits: jax.Array, fake_logits: jax.Array) -> Any:
        check_alike(real_logits=real_logits, fake_logits=fake_logits)
        return function(real_logits, fake_logits)

    return checked


def check_keys(keys: Any, images: Any) -> None:
    """Raises a ValueError unless there is a typed PRNG key for each image."""
    typed = jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if not typed or keys.shape != images.shape[:1]:
        raise ValueError(
            f"Got keys {keys.dtype} {list(keys.shape)} for {images.shape[0]} images; expected typed keys "
            "[B], one an image, such as jax.random.split(jax.random.key(0), B)."
        )
