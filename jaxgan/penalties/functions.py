"""Penalties and regularisers: functions of a critic and of images, of logits, of a generator, of parameters.

A critic maps images `[B,...]` to logits `[B]` or `[B,h,w]`, each example's from that example alone; a
critic that mixes examples (batch normalisation, minibatch deviation) has no gradient per example, and its
gradient penalty is not what the papers mean. The functions are unweighted. Those that remember something
take it as an argument and return what it becomes.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.shapes import check_alike, check_keys

Critic = Callable[[jax.Array], jax.Array]


# Of the critic's gradient with respect to images.


def gradient_penalty(critic: Critic, images: jax.Array, *, centre: float = 1.0) -> jax.Array:
    """(||grad_x D(x)|| - centre)^2 of each image: 1-centred for Lipschitz critics, 0-centred for flat ones.

    Args:
      critic: images -> logits, example by example; patch logits are summed.
      images: [B,...], float: reals, fakes, or points between (`interpolate`) or around them (`perturb`).
      centre: the norm that costs nothing, >= 0.

    Returns:
      [B], the images' dtype.

    Raises:
      ValueError: images that are no floats, logits that are not one or a patch for each image, centre < 0.

    Source: Gulrajani et al. 2017 (WGAN-GP), eq. 3, 1-centred; Thanh-Tung et al. 2019, 0-centred.
    """
    if centre < 0.0:
        raise ValueError(f"centre is {centre}, expected a norm, from 0 up.")
    squares = _squared_slopes(critic, images)
    return squares if centre == 0.0 else (_root(squares) - centre) ** 2


def r1(critic: Critic, images: jax.Array) -> jax.Array:
    """1/2 ||grad_x D(x)||^2 of each real image: zero-centred, so that D is flat on the data.

    The half is inside, so that a weight is the gamma that papers report. Args and shapes are those of
    `gradient_penalty`.

    Source: Mescheder et al. 2018, eq. 9.
    """
    return 0.5 * _squared_slopes(critic, images)


def r2(critic: Critic, images: jax.Array) -> jax.Array:
    """R1's formula where the images are fakes. Source: Mescheder et al. 2018, eq. 10."""
    return r1(critic, images)


def approximate_r1(critic: Critic, images: jax.Array, keys: jax.Array, *, sigma: float = 0.01) -> jax.Array:
    """R1 by a finite difference, without a second derivative: 1/2 ((D(x + sigma e) - D(x)) / sigma)^2.

    With e ~ N(0, I) its mean is R1 plus a bias of order sigma^2 from D's curvature; one draw scatters with a
    standard deviation of sqrt(2) times R1, which the batch averages out. In bfloat16 the difference is
    lost: take a larger sigma, or float32.

    Args:
      critic: images -> logits, example by example; patch logits are summed.
      images: [B,...], float.
      keys: [B], PRNG keys.
      sigma: of the noise, in the images' units, > 0.

    Returns:
      [B].

    Source: Lin et al. 2025 (adversarial post-training), there without the 1/2 and 1/sigma^2.
    """
    if not sigma > 0.0:
        raise ValueError(f"sigma is {sigma}, expected a number above 0.")
    moved = images + sigma * _noise(images, keys)
    difference = _logits(critic, moved) - _logits(critic, images)
    return 0.5 * (jnp.sum(difference.reshape(len(images), -1), axis=-1) / sigma) ** 2


def interpolate(real: jax.Array, fake: jax.Array, keys: jax.Array) -> jax.Array:
    """Points between pairs of a real and a fake, uniform on the line: two [B,...] and keys [B] -> [B,...].

    Source: Gulrajani et al. 2017, algorithm 1.
    """
    check_alike(real=real, fake=fake)
    check_keys(keys, real)
    share = jax.vmap(lambda key: jax.random.uniform(key, dtype=real.dtype))(keys)
    share = share.reshape(-1, *[1] * (real.ndim - 1))
    return share * real + (1.0 - share) * fake


def perturb(images: jax.Array, keys: jax.Array, *, scale: float = 0.5) -> jax.Array:
    """Points around images: [B,...] and keys [B] -> [B,...], with noise N(0, scale^2) on every value.

    Source: Kodali et al. 2017 (DRAGAN). The authors' code adds U[0, 1) times half the batch's deviation.
    """
    return images + scale * _noise(images, keys)


def _squared_slopes(critic: Critic, images: jax.Array) -> jax.Array:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"Images are {images.dtype}, expected floats: a gradient is taken; convert them.")
    gradients = jax.grad(lambda x: jnp.sum(_logits(critic, x)))(images)
    return jnp.sum(gradients.reshape(len(gradients), -1) ** 2, axis=-1)


def _logits(critic: Critic, images: jax.Array) -> jax.Array:
    logits = critic(images)
    if logits.ndim == 0 or len(logits) != len(images):
        raise ValueError(
            f"The critic made logits {list(logits.shape)} of {len(images)} images; expected [B] or [B,h,w], "
            "each image's own."
        )
    return logits


def _noise(images: jax.Array, keys: jax.Array) -> jax.Array:
    check_keys(keys, images)
    return jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)


def _root(squares: jax.Array) -> jax.Array:
    # The root has no derivative at 0; below the smallest normal number it is taken as constant.
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(squares.dtype).tiny))


# Of logits.


class LogitAverages(NamedTuple):
    """Averages over time of the logits of reals and of fakes, float []."""

    real: jax.Array | float
    fake: jax.Array | float


def lecam(real_logits: jax.Array, fake_logits: jax.Array, averages: LogitAverages) -> jax.Array:
    """(D(x) - average of D(G(z)))^2 + (D(G(z)) - average of D(x))^2: holds D back where data are few.

    Args:
      real_logits: [B] or [B,h,w].
      fake_logits: the same shape.
      averages: over time, see `update_averages`.

    Returns:
      The logits' shape.

    Source: Tseng et al. 2021, section 3. The authors' code keeps only the part of each difference that
    separates reals from fakes, relu(D(x) - average of D(G(z))) and relu(average of D(x) - D(G(z))).
    """
    check_alike(real_logits=real_logits, fake_logits=fake_logits)
    return (real_logits - averages.fake) ** 2 + (fake_logits - averages.real) ** 2


def update_averages(
    averages: LogitAverages, real_logits: jax.Array, fake_logits: jax.Array, *, decay: float = 0.99
) -> LogitAverages:
    """Moves the averages towards these logits' means. Source: Tseng et al. 2021, section 3."""
    step = partial(_towards, rate=1.0 - decay)
    return LogitAverages(step(averages.real, real_logits), step(averages.fake, fake_logits))


def _towards(average: jax.Array | float, values: jax.Array, *, rate: float) -> jax.Array:
    return average + rate * (jax.lax.stop_gradient(jnp.mean(values)) - average)


def consistency(logits: jax.Array, changed_logits: jax.Array) -> jax.Array:
    """(D(x) - D(T(x)))^2: D should not care for a change T of images, or of a fake's latents.

    Args:
      logits: [B] or [B,h,w].
      changed_logits: the same shape.

    Returns:
      The logits' shape.

    Source: Zhang et al. 2020 (CR-GAN); on fakes too: Zhao et al. 2021 (ICR-GAN), algorithm 1 (bCR), and for
    latents algorithm 2 (zCR).
    """
    check_alike(logits=logits, changed_logits=changed_logits)
    return (logits - changed_logits) ** 2


# Of the generator.


def diversity(images: jax.Array, changed_images: jax.Array) -> jax.Array:
    """-||G(z) - G(z + d)||^2, averaged over an image's values: two [B,...] -> [B].

    Source: Zhao et al. 2021 (ICR-GAN), algorithm 2, the generator's term of zCR.
    """
    check_alike(images=images, changed_images=changed_images)
    return -jnp.mean(((images - changed_images) ** 2).reshape(len(images), -1), axis=-1)


def path_length(
    generate: Callable[[jax.Array], jax.Array], latents: jax.Array, keys: jax.Array, average: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(||J^T y|| - a)^2, y random images: a step in latent space should change the image by a fixed amount.

    Args:
      generate: latents -> images [B,H,W,C], example by example.
      latents: [B,Z].
      keys: [B], PRNG keys.
      average: a, of the lengths over time, [].

    Returns:
      Penalties [B], and lengths [B] ||J^T y||, to move the average by (`update_length`).

    Source: Karras et al. 2020 (StyleGAN2), eq. 4 and appendix B.
    """
    images, pull = jax.vjp(generate, latents)
    noise = _noise(images, keys) / math.sqrt(math.prod(images.shape[1:-1]))
    (gradients,) = pull(noise)
    lengths = _root(jnp.sum(gradients**2, axis=-1))
    return (lengths - average) ** 2, lengths


def update_length(average: jax.Array, lengths: jax.Array, *, decay: float = 0.99) -> jax.Array:
    """Moves the average towards these lengths' mean. Source: Karras et al. 2020, appendix B (0.99)."""
    return _towards(average, lengths, rate=1.0 - decay)


# Of parameters.


def orthogonal(kernel: jax.Array) -> jax.Array:
    """||W^T W * (1 - I)||_F^2: a layer's filters should be orthogonal, whatever their norms; [...,I,O] -> [].

    Source: Brock et al. 2019 (BigGAN), eq. 3, beta = 1.
    """
    flat = kernel.reshape(-1, kernel.shape[-1])
    if flat.shape[0] < flat.shape[1]:  # ||W^T W|| = ||W W^T||, which is the smaller one
        return jnp.sum((flat @ flat.T) ** 2) - jnp.sum(jnp.sum(flat**2, axis=0) ** 2)
    gram = flat.T @ flat
    return jnp.sum((gram - jnp.diag(jnp.diag(gram))) ** 2)


def orthogonal_kernels(params: Any) -> jax.Array:
    """The sum of `orthogonal` over all parameters of two dimensions or more: a pytree -> []."""
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    return jnp.asarray(sum((orthogonal(kernel) for kernel in kernels), 0.0))
