"""Further terms of the players' losses, of what D says beside its logits: classes, codes, features.

All return a loss for each example, [B], to be weighted and averaged; see a task's `generator_terms`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from jaxgan.shapes import check_alike

Features = Sequence[jax.Array]
CHARBONNIER = 1e-3  # Lai et al. 2017 (LapSRN), section 3.2


def auxiliary_classifier(class_logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-log P(label | image): cross-entropy of D's class logits, for both players, on reals and fakes.

    Args:
      class_logits: [B,K].
      labels: [B] int32 in [0, K).

    Returns:
      [B].

    Raises:
      ValueError: shapes that are others, labels that are no integers.

    Source: Odena et al. 2017 (AC-GAN), eq. 3.
    """
    return _cross_entropy(class_logits, labels)


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
    check_alike(class_logits=class_logits, twin_logits=twin_logits)
    return auxiliary_classifier(class_logits, labels) - auxiliary_classifier(twin_logits, labels)


def categorical_information(code_logits: jax.Array, codes: jax.Array) -> jax.Array:
    """-log Q(c | G(z, c)) of categorical codes: logits [B,K], codes [B] int32 -> [B].

    Minus the variational bound of the mutual information, up to the codes' entropy, which is constant.

    Source: Chen et al. 2016 (InfoGAN), eqs. 4 and 5.
    """
    return _cross_entropy(code_logits, codes)


def gaussian_information(means: jax.Array, log_variances: jax.Array, codes: jax.Array) -> jax.Array:
    """-log Q(c | G(z, c)) of codes under a diagonal Gaussian, log-variances above -80: three [B,K] -> [B].

    Source: Chen et al. 2016 (InfoGAN), eqs. 4 and 5, and section 6 for the Gaussian.
    """
    check_alike(means=means, log_variances=log_variances, codes=codes)
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


def absolute_difference(made: jax.Array, true: jax.Array) -> jax.Array:
    """The mean absolute difference of images: two [B,...] of one shape -> [B].

    Source: Isola et al. 2017 (pix2pix), eq. 3; of images returned, Zhu et al. 2017 (CycleGAN), eq. 2.
    """
    return _mean_of(jnp.abs, made, true)


def squared_difference(made: jax.Array, true: jax.Array) -> jax.Array:
    """The mean squared difference of pairs: two [B,...] -> [B]."""
    return _mean_of(jnp.square, made, true)


def charbonnier(made: jax.Array, true: jax.Array) -> jax.Array:
    """The mean of sqrt(d^2 + e^2), e = 1e-3, of pairs: absolute, but smooth at 0. Two [B,...] -> [B].

    Source: Lai et al. 2017 (LapSRN), section 3.2, loss function.
    """
    return _mean_of(lambda difference: jnp.sqrt(difference**2 + CHARBONNIER**2), made, true)


PIXEL_LOSSES = {"l1": absolute_difference, "l2": squared_difference, "charbonnier": charbonnier}


def _mean_of(function: Callable[[jax.Array], jax.Array], made: jax.Array, true: jax.Array) -> jax.Array:
    check_alike(made=made, true=true)
    return jnp.mean(function(made - true).reshape(len(made), -1), axis=-1)


def patch_nce(queries: jax.Array, keys: jax.Array, *, temperature: float = 0.07) -> jax.Array:
    """How badly each patch of what was made is told, by the patch it was made of, from others of the image.

    Args:
      queries: [B,P,D] of length 1, of patches that were made.
      keys: [B,P,D] of length 1, of those given in the same places; no gradient passes.
      temperature: of the similarities, above 0.

    Returns:
      [B], the mean over patches of the cross-entropy.

    Raises:
      ValueError: the shapes differ.

    Source: Park et al. 2020 (CUT), eqs. 3 and 4, of one layer. Keys are held fixed as by He et al. 2020.
    """
    check_alike(queries=queries, keys=keys)
    logits = jnp.einsum("bpd,bqd->bpq", queries, jax.lax.stop_gradient(keys)) / temperature
    own = jnp.diagonal(logits, axis1=1, axis2=2)
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - own, axis=-1)


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    integers = jnp.issubdtype(labels.dtype, jnp.integer)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not integers:
        raise ValueError(
            f"Got logits {list(logits.shape)} and labels {labels.dtype} {list(labels.shape)}; "
            "expected [B,K] and integers [B]."
        )
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def _check_features(real_features: Features, fake_features: Features) -> None:
    shapes = [[layer.shape for layer in features] for features in (real_features, fake_features)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ValueError(
            f"Features of reals are {shapes[0]}, of fakes {shapes[1]}; expected the same layers."
        )
