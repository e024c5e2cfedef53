"""Adversarial losses: pairs of functions of logits, one for each player.

Every function takes the discriminator's logits of real and of fake images, both of one shape, `[B]` or
`[B,h,w]` (patches), float32 or bfloat16, and returns the losses unreduced in that shape and dtype. All are
finite with finite gradients at logits of +-1e4. Both players see both logits, because relativistic
losses need them; the others ignore what they do not need.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn

LogitLoss = Callable[[jax.Array, jax.Array], jax.Array]


class Loss(NamedTuple):
    """What each player minimises.

    Attributes:
      discriminator: (real_logits, fake_logits) -> losses, unreduced.
      generator: (real_logits, fake_logits) -> losses, unreduced.
      boundary: the logit at which the discriminator is undecided between real and fake, or None where
        logits mean something only next to each other (relativistic and Wasserstein critics).
    """

    discriminator: LogitLoss
    generator: LogitLoss
    boundary: float | None = 0.0


def minimax_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-1/2 log s(D(x)) - 1/2 log(1 - s(D(G(z)))), s the sigmoid.

    Source: Goodfellow et al. 2014, eq. 1, with the halves of Goodfellow 2016 (tutorial), eq. 8.
    """
    return 0.5 * nn.softplus(-real_logits) + 0.5 * nn.softplus(fake_logits)


def saturating_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 log(1 - s(D(G(z)))): the zero-sum generator, whose gradient dies where D is sure.

    Source: Goodfellow et al. 2014, eq. 1; the half is that of Goodfellow 2016, eq. 10.
    """
    return -0.5 * nn.softplus(fake_logits)


def non_saturating_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(x)) - log(1 - s(D(G(z)))). Source: Goodfellow et al. 2014, algorithm 1."""
    return nn.softplus(-real_logits) + nn.softplus(fake_logits)


def non_saturating_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(G(z))). Source: Goodfellow et al. 2014, section 3, last paragraph."""
    return nn.softplus(-fake_logits)


def hinge_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Source: Lim & Ye 2017; Miyato et al. 2018, eq. 16."""
    return nn.relu(1.0 - real_logits) + nn.relu(1.0 + fake_logits)


def least_squares_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2. Source: Mao et al. 2017, eq. 9 (codes a=0, b=c=1)."""
    return 0.5 * (real_logits - 1.0) ** 2 + 0.5 * fake_logits**2


def least_squares_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 (D(G(z)) - 1)^2. Source: Mao et al. 2017, eq. 9."""
    return 0.5 * (fake_logits - 1.0) ** 2


def wasserstein_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """D(G(z)) - D(x); the critic has to be kept Lipschitz by other means.

    Source: Arjovsky et al. 2017, eq. 2 and algorithm 1.
    """
    return fake_logits - real_logits


def critic_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-D(G(z)), the generator of the hinge and of the Wasserstein loss.

    Source: Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018 (spectral normalisation), eq. 17.
    """
    return -fake_logits


def relativistic_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(x) - D(G(z))) for pairs. Source: Jolicoeur-Martineau 2018, eq. 7 (RpGAN, R3GAN eq. 2)."""
    return nn.softplus(fake_logits - real_logits)


def relativistic_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(G(z)) - D(x)) for pairs. Source: Jolicoeur-Martineau 2018, eq. 8."""
    return nn.softplus(real_logits - fake_logits)


minimax = Loss(minimax_discriminator, saturating_generator)
non_saturating = Loss(non_saturating_discriminator, non_saturating_generator)
hinge = Loss(hinge_discriminator, critic_generator)
least_squares = Loss(least_squares_discriminator, least_squares_generator, boundary=0.5)
wasserstein = Loss(wasserstein_discriminator, critic_generator, boundary=None)
relativistic = Loss(relativistic_discriminator, relativistic_generator, boundary=None)

LOSSES = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "hinge": hinge,
    "least_squares": least_squares,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
}
