"""Perceptual path length: how much images change per step in latent space."""

from collections.abc import Callable

import jax
import numpy as np

from jaxgan.latents import slerp

SAMPLINGS = ("full", "end")
DISCARDED = (1.0, 99.0)  # percentiles, beyond which lengths are left out


def perceptual_path_lengths(
    generate: Callable[[jax.Array], jax.Array],
    distance: Callable[[jax.Array, jax.Array], jax.Array],
    key: jax.Array,
    *,
    count: int,
    latent_size: int,
    mapping: Callable[[jax.Array], jax.Array] | None = None,
    sampling: str = "full",
    epsilon: float = 1e-4,
) -> jax.Array:
    """Squared speeds of images along paths between latents: d(G(t), G(t + epsilon)) / epsilon^2, a batch.

    Pure, to be jitted; give each batch a key of its own, and all lengths to `mean_path_length`.

    Args:
      generate: latents [B,Z], or with a mapping what it made [B,...], to images [B,...]. What else it is
        given, labels and noise, has to be the same at both ends of a step: close over it.
      distance: two batches of images to distances [B] that grow with the square of a small difference, as
        LPIPS does.
      key: draws the latents, standard normal, and the places t.
      count: B.
      latent_size: Z.
      mapping: latents [B,Z] to those in which paths are straight, as the w of a style-based generator; None:
        paths are spherical, between latents of z.
      sampling: where on the path steps are taken: "full", from t uniform in [0, 1), or "end", from t = 0.
      epsilon: the step, as a share of the path.

    Returns:
      [B].

    Raises:
      ValueError: another sampling, or a step that is not above 0.

    Source: Karras et al. 2019 (StyleGAN), section 4.1, eqs. 2 and 3. Departures: the lengths of latents are
    interpolated too, for generators that do not normalise them; of a path's two ends, which are alike, "end"
    takes the first.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling is {sampling!r}, expected one of {', '.join(SAMPLINGS)}.")
    if not epsilon > 0.0:
        raise ValueError(f"epsilon is {epsilon}, expected a step above 0, such as 1e-4.")
    of_latents, of_places = jax.random.split(key)
    ends = jax.random.normal(of_latents, (2, count, latent_size))
    places = jax.random.uniform(of_places, (count,)) * (sampling == "full")
    start, end = ends if mapping is None else map(mapping, ends)
    between = slerp if mapping is None else _lerp
    places = places.reshape(-1, *[1] * (start.ndim - 1))
    first, second = (generate(between(start, end, t)) for t in (places, places + epsilon))
    return distance(first, second) / epsilon**2


def mean_path_length(lengths: np.ndarray | jax.Array) -> float:
    """The mean of lengths [N] in float64, without those below the 1st and above the 99th percentile.

    Raises:
      ValueError: no lengths, another shape, or lengths that are not finite.

    Source: Karras et al. 2019, whose figures are made so, as others' since; the paper does not say it.
    """
    lengths = np.asarray(lengths, np.float64)
    if lengths.ndim != 1 or not lengths.size or not np.isfinite(lengths).all():
        raise ValueError(f"Expected finite lengths [N], got {lengths.shape}: {lengths.ravel()[:5]}.")
    low = np.percentile(lengths, DISCARDED[0], method="lower")
    high = np.percentile(lengths, DISCARDED[1], method="higher")
    return float(np.mean(lengths[(lengths >= low) & (lengths <= high)]))


def _lerp(start: jax.Array, end: jax.Array, weight: jax.Array) -> jax.Array:
    return start + weight * (end - start)
