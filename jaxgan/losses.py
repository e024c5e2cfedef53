"""Adversarial losses: pairs of functions of logits, one for each player.

They take the discriminator's logits of real and of fake images, both of one shape, `[B]` or
`[B,h,w]` (patches), float32 or bfloat16, and return the losses unreduced in that shape and dtype. All are
finite with finite gradients at logits of +-1e4. Both players see both logits, because relativistic
losses need them; the others ignore what they do not need. Logits of two shapes raise a ValueError. How a
discriminator comes by them, told of labels or not, is its own affair: those of a projection
(`jaxgan.models.layers.project`) go in like any others.
"""

from collections.abc import Callable
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.shapes import of_pairs

LogitLoss = Callable[[jax.Array, jax.Array], jax.Array]


class Loss(NamedTuple):
    """What each player minimises.

    Attributes:
      discriminator: (real_logits, fake_logits) -> losses, unreduced.
      generator: (real_logits, fake_logits) -> losses, unreduced.
      boundary: the logit at which the discriminator is undecided between real and fake, or None where
        logits mean something only next to each other (relativistic and Wasserstein critics).
      whole_batch: an example's loss depends on the others of its batch, not on its pair alone.
    """

    discriminator: LogitLoss
    generator: LogitLoss
    boundary: float | None = 0.0
    whole_batch: bool = False


@of_pairs
def minimax_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-1/2 log s(D(x)) - 1/2 log(1 - s(D(G(z)))), s the sigmoid.

    Source: Goodfellow et al. 2014, eq. 1, with the halves of Goodfellow 2016 (tutorial), eq. 8.
    """
    return 0.5 * nn.softplus(-real_logits) + 0.5 * nn.softplus(fake_logits)


@of_pairs
def saturating_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 log(1 - s(D(G(z)))): the zero-sum generator, whose gradient dies where D is sure.

    Source: Goodfellow et al. 2014, eq. 1; the half is that of Goodfellow 2016, eq. 10.
    """
    return -0.5 * nn.softplus(fake_logits)


@of_pairs
def non_saturating_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(x)) - log(1 - s(D(G(z)))). Source: Goodfellow et al. 2014, algorithm 1."""
    return nn.softplus(-real_logits) + nn.softplus(fake_logits)


@of_pairs
def non_saturating_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(G(z))). Source: Goodfellow et al. 2014, section 3, last paragraph."""
    return nn.softplus(-fake_logits)


@of_pairs
def hinge_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Source: Lim & Ye 2017; Miyato et al. 2018, eq. 16."""
    return nn.relu(1.0 - real_logits) + nn.relu(1.0 + fake_logits)


@of_pairs
def least_squares_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2. Source: Mao et al. 2017, eq. 9 (codes a=0, b=c=1)."""
    return 0.5 * (real_logits - 1.0) ** 2 + 0.5 * fake_logits**2


@of_pairs
def least_squares_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """1/2 (D(G(z)) - 1)^2. Source: Mao et al. 2017, eq. 9."""
    return 0.5 * (fake_logits - 1.0) ** 2


@of_pairs
def wasserstein_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """D(G(z)) - D(x); the critic has to be kept Lipschitz by other means.

    Source: Arjovsky et al. 2017, eq. 2 and algorithm 1.
    """
    return fake_logits - real_logits


@of_pairs
def critic_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-D(G(z)), the generator of the hinge and of the Wasserstein loss.

    Source: Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018 (spectral normalisation), eq. 17.
    """
    return -fake_logits


@of_pairs
def relativistic_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(x) - D(G(z))) for pairs. Source: Jolicoeur-Martineau 2018, eq. 7 (RpGAN, R3GAN eq. 2)."""
    return nn.softplus(fake_logits - real_logits)


@of_pairs
def relativistic_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-log s(D(G(z)) - D(x)) for pairs. Source: Jolicoeur-Martineau 2018, eq. 8."""
    return nn.softplus(real_logits - fake_logits)


@of_pairs
def relativistic_average_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-1/2 log s(D(x) - mean D(G(z))) - 1/2 log(1 - s(D(G(z)) - mean D(x))): against the other kind's mean.

    Source: Jolicoeur-Martineau 2018, section 4 (RaSGAN); the halves are those of the author's code.
    """
    real = real_logits - jnp.mean(fake_logits)
    fake = fake_logits - jnp.mean(real_logits)
    return 0.5 * (nn.softplus(-real) + nn.softplus(fake))


@of_pairs
def relativistic_average_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """The discriminator's with the kinds exchanged. Source: Jolicoeur-Martineau 2018, section 4."""
    return relativistic_average_discriminator(fake_logits, real_logits)


@of_pairs
def dual_contrastive_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Each real against all fakes, and each fake against all reals, as softmax classifications.

    -log(e^D(x) / (e^D(x) + sum e^D(G(z)))) - log(e^-D(G(z)) / (e^-D(G(z)) + sum e^-D(x))).

    Source: Yu et al. 2021 (dual contrastive loss and attention).
    """
    fakes, reals = nn.logsumexp(fake_logits), nn.logsumexp(-real_logits)
    return nn.softplus(fakes - real_logits) + nn.softplus(reals + fake_logits)


@of_pairs
def dual_contrastive_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """The negative of the discriminator's: a zero-sum game. Source: Yu et al. 2021."""
    return -dual_contrastive_discriminator(real_logits, fake_logits)


def make_logistic(*, real_target: float = 1.0, fake_target: float = 0.0, flipped: float = 0.0) -> Loss:
    """The non-saturating loss with softened targets for D, the boundary being the logit of their mean.

    Args:
      real_target: what D is told of reals, in [0, 1]; 0.9 is one-sided smoothing.
      fake_target: what D is told of fakes, in [0, real_target); 0.1 beside 0.9 is two-sided smoothing.
      flipped: the share of examples whose targets are exchanged, in [0, 0.5]. The loss is its expectation
        over which these are: cross-entropy is linear in its target, so that flipping is smoothing.

    Raises:
      ValueError: a number out of its range.

    Source: Salimans et al. 2016, section 3.4 (one-sided); Goodfellow 2016 (tutorial), section 4.2.
    """
    if not 0.0 <= fake_target < real_target <= 1.0:
        raise ValueError(f"The targets are {fake_target} and {real_target}, expected 0 <= fake < real <= 1.")
    if not 0.0 <= flipped <= 0.5:
        raise ValueError(f"flipped is {flipped}, expected a number from 0 to 0.5.")
    real_target, fake_target = (t + flipped * (1.0 - 2.0 * t) for t in (real_target, fake_target))
    undecided = 0.5 * (real_target + fake_target)

    @of_pairs
    def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
        return _cross_entropy(real_logits, real_target) + _cross_entropy(fake_logits, fake_target)

    return Loss(discriminator, non_saturating_generator, boundary=log(undecided / (1.0 - undecided)))


def _cross_entropy(logits: jax.Array, target: float) -> jax.Array:
    return target * nn.softplus(-logits) + (1.0 - target) * nn.softplus(logits)


def top_k(loss: Loss, share: float | jax.Array) -> Loss:
    """Trains the generator on the share of its fakes that D finds most real.

    Of the others the loss is 0, and that of the chosen is weighted so that the mean over all is their mean.

    Args:
      loss: the loss; one that compares with the whole batch still sees the others there.
      share: of the batch (of all patches), in (0, 1]; may be traced. At least one is chosen; equal logits
        are chosen together.

    Raises:
      ValueError: a share out of its range.

    Source: Sinha et al. 2020 (top-k training of GANs).
    """
    if not isinstance(share, jax.Array) and not 0.0 < share <= 1.0:
        raise ValueError(f"share is {share}, expected a number above 0 and up to 1.")

    @of_pairs
    def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
        count = jnp.clip(jnp.round(share * fake_logits.size), 1, fake_logits.size).astype(jnp.int32)
        least = jnp.sort(fake_logits.ravel())[fake_logits.size - count]
        chosen = (fake_logits >= least).astype(fake_logits.dtype)
        return loss.generator(real_logits, fake_logits) * chosen / jnp.mean(chosen)

    return loss._replace(generator=generator, whole_batch=True)


minimax = Loss(minimax_discriminator, saturating_generator)
non_saturating = Loss(non_saturating_discriminator, non_saturating_generator)
hinge = Loss(hinge_discriminator, critic_generator)
least_squares = Loss(least_squares_discriminator, least_squares_generator, boundary=0.5)
wasserstein = Loss(wasserstein_discriminator, critic_generator, boundary=None)
relativistic = Loss(relativistic_discriminator, relativistic_generator, boundary=None)
relativistic_average = Loss(
    relativistic_average_discriminator, relativistic_average_generator, boundary=None, whole_batch=True
)
dual_contrastive = Loss(
    dual_contrastive_discriminator, dual_contrastive_generator, boundary=None, whole_batch=True
)

LOSSES = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "hinge": hinge,
    "least_squares": least_squares,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
    "relativistic_average": relativistic_average,
    "dual_contrastive": dual_contrastive,
}
