"""Distances between two sets of vectors, pure functions of arrays."""

import jax
import jax.numpy as jnp


def sliced_wasserstein(
    key: jax.Array, first: jax.Array, second: jax.Array, *, projections: int = 256
) -> jax.Array:
    """The 2-Wasserstein distance of one-dimensional projections, in root mean square over directions.

    Args:
      key: draws the directions, uniform on the sphere.
      first: [N,...], float; all axes but the first are flattened.
      second: [N,...], of the same shape.
      projections: how many directions.

    Returns:
      [], in the units of the vectors' entries.

    Raises:
      ValueError: the shapes differ.

    Source: Bonneel et al. 2015, eq. 8, on pixels or features as given (no Laplacian pyramid).
    """
    if first.shape != second.shape:
        raise ValueError(
            f"Two sets of one size are compared, got {first.shape} and {second.shape}; "
            "leave some of the larger out."
        )
    first, second = (x.reshape(len(x), -1) for x in (first, second))
    directions = jax.random.normal(key, (first.shape[1], projections), first.dtype)
    directions /= jnp.linalg.norm(directions, axis=0)
    a, b = (jnp.sort(x @ directions, axis=0) for x in (first, second))
    return jnp.sqrt(jnp.mean((a - b) ** 2))
