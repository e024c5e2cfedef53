"""ADA's controller: how strongly to augment, from how sure the discriminator is of real images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Controller(NamedTuple):
    """The state of the controller, arrays [].

    Attributes:
      p: float32, the probability of each augmentation, in [0, 1].
      sign_sum: float32, the sum of the minibatches' r since p last moved.
      batches: int32, how many minibatches that is.
    """

    p: jax.Array
    sign_sum: jax.Array
    batches: jax.Array


def start_controller(p: float = 0.0) -> Controller:
    """The controller before any minibatch. Raises ValueError for a p outside [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p is {p}, expected a probability in [0, 1].")
    return Controller(jnp.array(p, jnp.float32), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))


def sign_mean(logits: jax.Array, *, boundary: jax.Array | float = 0.0) -> jax.Array:
    """E[sign(D(x))] of real images, the signal of overfitting r_t: [], float32, in [-1, 1].

    Args:
      logits: of real images as the discriminator was trained on them, [B] or [B,h,w].
      boundary: the logit at which the discriminator is undecided, `Loss.boundary`; where a loss has none, for
        its logits mean something only next to each other, the fakes' logits (not in the paper).

    Source: Karras et al. 2020 (limited data), eq. 1.
    """
    return jnp.mean(jnp.sign(logits.astype(jnp.float32) - boundary))


def adapt(
    state: Controller,
    r: jax.Array,
    *,
    images: int,
    target: float = 0.6,
    kimg: float = 500.0,
    interval: int = 4,
) -> Controller:
    """The controller after one more minibatch of real images.

    After every `interval` minibatches p moves up if their mean r is above the target, down if it is below,
    by as much as takes it from 0 to 1 in `kimg` thousand images, and stays in [0, 1].

    Args:
      state: the controller.
      r: [], the minibatch's `sign_mean`, the mean over all devices.
      images: real images in the minibatch, on all devices.
      target: of r, in [-1, 1].
      kimg: thousands of real images from p = 0 to p = 1.
      interval: minibatches between moves.

    Raises:
      ValueError: r is not a scalar, or a number is out of its range.

    Source: Karras et al. 2020 (limited data), section 3, whose target, speed and interval these are.
    """
    if jnp.ndim(r) != 0:
        raise ValueError(f"r is one number, the mean over the minibatch, got an array {jnp.shape(r)}.")
    if not -1.0 <= target <= 1.0:
        raise ValueError(f"target is {target}, expected a mean of signs in [-1, 1].")
    if images < 1 or interval < 1 or not kimg > 0.0:
        raise ValueError(
            f"images is {images}, interval {interval} and kimg {kimg}, expected at least 1, 1 and above 0."
        )
    sign_sum, batches = state.sign_sum + r, state.batches + 1
    step = jnp.sign(sign_sum / batches - target) * (images * interval / (kimg * 1000.0))
    full = batches >= interval
    return Controller(
        p=jnp.where(full, jnp.clip(state.p + step, 0.0, 1.0), state.p),
        sign_sum=jnp.where(full, 0.0, sign_sum),
        batches=jnp.where(full, 0, batches),
    )
