"""Adversarial losses: pairs of functions of logits, one for each player.

Those in `LOSSES` take the discriminator's logits of real and of fake images, both of one shape, `[B]` or
`[B,h,w]` (patches), float32 or bfloat16, and return the losses unreduced in that shape and dtype. All are
finite with finite gradients at logits of +-1e4. Both players see both logits, because relativistic
losses need them; the others ignore what they do not need. Further terms, of classes, codes and features,
follow at the end.
"""

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

Features = Sequence[jax.Array]
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


def relativistic_average_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-1/2 log s(D(x) - mean D(G(z))) - 1/2 log(1 - s(D(G(z)) - mean D(x))): against the other kind's mean.

    Source: Jolicoeur-Martineau 2018, section 4 (RaSGAN); the halves are those of the author's code.
    """
    real = real_logits - jnp.mean(fake_logits)
    fake = fake_logits - jnp.mean(real_logits)
    return 0.5 * (nn.softplus(-real) + nn.softplus(fake))


def relativistic_average_generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """The discriminator's with the kinds exchanged. Source: Jolicoeur-Martineau 2018, section 4."""
    return relativistic_average_discriminator(fake_logits, real_logits)


def dual_contrastive_discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Each real against all fakes, and each fake against all reals, as softmax classifications.

    -log(e^D(x) / (e^D(x) + sum e^D(G(z)))) - log(e^-D(G(z)) / (e^-D(G(z)) + sum e^-D(x))).

    Source: Yu et al. 2021 (dual contrastive loss and attention).
    """
    fakes, reals = nn.logsumexp(fake_logits), nn.logsumexp(-real_logits)
    return nn.softplus(fakes - real_logits) + nn.softplus(reals + fake_logits)


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

    def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
        count = jnp.clip(jnp.round(share * fake_logits.size), 1, fake_logits.size).astype(jnp.int32)
        least = jnp.sort(fake_logits.ravel())[fake_logits.size - count]
        chosen = (fake_logits >= least).astype(fake_logits.dtype)
        return loss.generator(real_logits, fake_logits) * chosen / jnp.mean(chosen)

    return loss._replace(generator=generator)


minimax = Loss(minimax_discriminator, saturating_generator)
non_saturating = Loss(non_saturating_discriminator, non_saturating_generator)
hinge = Loss(hinge_discriminator, critic_generator)
least_squares = Loss(least_squares_discriminator, least_squares_generator, boundary=0.5)
wasserstein = Loss(wasserstein_discriminator, critic_generator, boundary=None)
relativistic = Loss(relativistic_discriminator, relativistic_generator, boundary=None)
relativistic_average = Loss(relativistic_average_discriminator, relativistic_average_generator, boundary=None)
dual_contrastive = Loss(dual_contrastive_discriminator, dual_contrastive_generator, boundary=None)

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

# Further terms, of what a discriminator says beside its logits.


def auxiliary_classifier(class_logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-log P(label | image): cross-entropy of D's class logits, for both players, on reals and fakes.

    Args:
      class_logits: [B,K].
      labels: [B] int32 in [0, K).

    Returns:
      [B].

    Source: Odena et al. 2017 (AC-GAN), eq. 3.
    """
    return optax.softmax_cross_entropy_with_integer_labels(class_logits, labels)


def twin_classifier(class_logits: jax.Array, twin_logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The generator's term where a twin classifier is trained on fakes alone: log P_twin - log P.

    The twin takes back what AC-GAN adds to the loss by mistake, the entropy of labels given fakes, which
    makes a class's samples alike. The discriminator trains both heads with `auxiliary_classifier`, the first
    on reals, the twin on fakes.

    Args:
      class_logits: [B,K] of fakes, from the head trained on reals.
      twin_logits: [B,K] of fakes, from the head trained on fakes.
      labels: [B] int32 in [0, K), that the fakes were made for.

    Returns:
      [B].

    Source: Gong et al. 2019 (twin auxiliary classifiers).
    """
    return auxiliary_classifier(class_logits, labels) - auxiliary_classifier(twin_logits, labels)


def categorical_information(code_logits: jax.Array, codes: jax.Array) -> jax.Array:
    """-log Q(c | G(z, c)) of categorical codes: logits [B,K], codes [B] int32 -> [B].

    Minus the variational bound of the mutual information, up to the codes' entropy, which is constant.

    Source: Chen et al. 2016 (InfoGAN), eqs. 4 and 5.
    """
    return optax.softmax_cross_entropy_with_integer_labels(code_logits, codes)


def gaussian_information(means: jax.Array, log_variances: jax.Array, codes: jax.Array) -> jax.Array:
    """-log Q(c | G(z, c)) of codes under a diagonal Gaussian, log-variances above -80: three [B,K] -> [B].

    Source: Chen et al. 2016 (InfoGAN), eqs. 4 and 5, and section 6 for the Gaussian.
    """
    squares = (codes - means) ** 2 * jnp.exp(-log_variances)
    return 0.5 * jnp.sum(squares + log_variances + jnp.log(2.0 * jnp.pi), axis=-1)


def feature_matching(real_features: Features, fake_features: Features) -> jax.Array:
    """Mean absolute difference of D's features of pairs, averaged over layers: for G with paired images.

    Args:
      real_features: a sequence of [B,...], layer by layer; take no gradient through them.
      fake_features: the same of the fakes.

    Returns:
      [B].

    Raises:
      ValueError: the layers do not match.

    Source: Wang et al. 2018 (pix2pixHD), eq. 4, which sums over layers.
    """
    _check_features(real_features, fake_features)
    layers = [
        jnp.mean(jnp.abs(real - fake).reshape(len(real), -1), axis=-1)
        for real, fake in zip(real_features, fake_features, strict=True)
    ]
    return jnp.mean(jnp.stack(layers), axis=0)


def mean_feature_matching(real_features: Features, fake_features: Features) -> jax.Array:
    """||mean f(x) - mean f(G(z))||^2 over the batch, summed over layers, as each example's loss: [B].

    Source: Salimans et al. 2016, section 3.1. Args and errors are those of `feature_matching`.
    """
    _check_features(real_features, fake_features)
    layers = [
        jnp.sum((jnp.mean(real, axis=0) - jnp.mean(fake, axis=0)) ** 2)
        for real, fake in zip(real_features, fake_features, strict=True)
    ]
    return jnp.full(len(real_features[0]), sum(layers))


def _check_features(real_features: Features, fake_features: Features) -> None:
    shapes = [[layer.shape for layer in features] for features in (real_features, fake_features)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ValueError(
            f"Features of reals are {shapes[0]}, of fakes {shapes[1]}; expected the same layers."
        )
