"""How much a batch's examples differ, as a feature for the discriminator."""

import jax
import jax.numpy as jnp


def minibatch_deviation(grids: jax.Array, group: int, *, axis_name: str | None = None) -> jax.Array:
    """The standard deviation over groups of examples, as one more channel: [B,H,W,C] -> [B,H,W,C+1].

    Groups are of consecutive examples of the whole batch, on however many devices it lies. Of each channel of
    each pixel the deviation over the group is taken; their mean fills the group's new channel.

    Args:
      grids: [B,H,W,C], float, this device's share.
      group: examples a group, from 1; where the whole batch does not divide by it, the next lower number by
        which it does.
      axis_name: the mapped axis over whose devices the batch is split, in order; None: this is all of it.

    Returns:
      The grids' dtype.

    Raises:
      ValueError: a group below 1.

    Source: Karras et al. 2018 (progressive GANs), section 3, there over the whole batch.
    """
    if group < 1:
        raise ValueError(f"group is {group}, expected a number of examples, from 1.")
    count = len(grids)
    whole = grids if axis_name is None else jax.lax.all_gather(grids, axis_name, tiled=True)
    size = max(n for n in range(1, group + 1) if len(whole) % n == 0)
    parts = whole.reshape(-1, size, *whole.shape[1:])
    deviations = jnp.sqrt(jnp.var(parts, axis=1) + 1e-8)  # whose derivative at equal examples is 0
    values = jnp.repeat(jnp.mean(deviations, axis=(1, 2, 3)), size)
    if axis_name is not None:
        values = jax.lax.dynamic_slice_in_dim(values, jax.lax.axis_index(axis_name) * count, count)
    channel = jnp.broadcast_to(values[:, None, None, None], (*grids.shape[:3], 1))
    return jnp.concatenate([grids, channel], axis=-1)
