"""Paths between latents."""

import jax
import jax.numpy as jnp


def slerp(start: jax.Array, end: jax.Array, weight: jax.Array | float) -> jax.Array:
    """Spherical interpolation, which keeps to the shell where normal latents lie.

    Args:
      start: [...,Z], float.
      end: [...,Z], float.
      weight: from 0 (start) to 1 (end), broadcast against [...,1].

    Returns:
      [...,Z]. Directions are turned, lengths interpolated linearly. Parallel ones are interpolated
      linearly; for opposite ones, between which no shortest path is distinguished, so are they.

    Source: White 2016, section 2.1, from Shoemake 1985.
    """
    # Every root and arccos is kept away from where its derivative is infinite.
    squares = [jnp.sum(x**2, axis=-1, keepdims=True) for x in (start, end)]
    lengths = [jnp.where(s > 0, jnp.sqrt(jnp.where(s > 0, s, 1.0)), 0.0) for s in squares]
    a, b = (x / jnp.where(n > 0, n, 1.0) for x, n in zip((start, end), lengths, strict=True))
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    straight = jnp.abs(cosine) >= 1.0 - 1e-6  # closer to one line than float32 can tell
    angle = jnp.arccos(jnp.where(straight, 0.0, cosine))
    safe = jnp.sin(angle)
    w_a = jnp.where(straight, 1.0 - weight, jnp.sin((1.0 - weight) * angle) / safe)
    w_b = jnp.where(straight, weight, jnp.sin(weight * angle) / safe)
    return (w_a * a + w_b * b) * ((1.0 - weight) * lengths[0] + weight * lengths[1])


def walk(stops: jax.Array, count: int) -> jax.Array:
    """A closed walk through latents [N,Z], `count` points from each stop to the next: [N*count,Z]."""
    weights = jnp.arange(count)[None, :, None] / count
    path = slerp(stops[:, None], jnp.roll(stops, -1, axis=0)[:, None], weights)
    return path.reshape(-1, stops.shape[-1])
