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
    lengths = [jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (start, end)]
    a, b = (x / jnp.maximum(n, jnp.finfo(n.dtype).tiny) for x, n in zip((start, end), lengths, strict=True))
    cosine = jnp.clip(jnp.sum(a * b, axis=-1, keepdims=True), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    sine = jnp.sin(angle)
    straight = sine < 1e-4
    safe = jnp.where(straight, 1.0, sine)
    w_a = jnp.where(straight, 1.0 - weight, jnp.sin((1.0 - weight) * angle) / safe)
    w_b = jnp.where(straight, weight, jnp.sin(weight * angle) / safe)
    return (w_a * a + w_b * b) * ((1.0 - weight) * lengths[0] + weight * lengths[1])


def walk(stops: jax.Array, count: int) -> jax.Array:
    """A closed walk through latents [N,Z], `count` points from each stop to the next: [N*count,Z]."""
    weights = jnp.arange(count)[None, :, None] / count
    path = slerp(stops[:, None], jnp.roll(stops, -1, axis=0)[:, None], weights)
    return path.reshape(-1, stops.shape[-1])
