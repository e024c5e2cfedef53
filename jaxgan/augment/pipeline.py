"""Operations by letter, and policies: operations one after the other on a batch."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxgan.augment import color, corruption, geometry
from jaxgan.shapes import check_keys

# (image [H,W,C], its key, p) -> image; the small letters are ADA's, the capitals DiffAugment's.
OPERATIONS = {
    "b": geometry.random_blit,
    "g": geometry.random_warp,
    "c": color.random_recolor,
    "f": corruption.random_amplify,
    "n": corruption.random_noise,
    "o": corruption.random_cutout,
    "C": color.random_jitter,
    "T": geometry.random_translate,
    "O": corruption.random_square,
}

POLICIES = {
    "ada": "bgc",  # Karras et al. 2020, section 2.3: what their further experiments use
    "ada_all": "bgcfno",
    "diffaugment": "CTO",  # Zhao et al. 2020; theirs is p = 1
}


class Augment(Protocol):
    """(images [B,H,W,C], keys [B], p) -> images, as `make_augment` describes."""

    def __call__(self, images: jax.Array, keys: jax.Array, *, p: jax.Array | float) -> jax.Array: ...


def make_augment(policy: str) -> Augment:
    """A policy's operations in the order of its letters, each example's drawn from its own key.

    Args:
      policy: letters of OPERATIONS, none twice, such as 'bgc'; or a name of POLICIES.

    Returns:
      augment(images, keys, p=p) -> images, pure, differentiable and jit-able, one program a shape.
      `images` are [B,H,W,C], float, in [-1, 1], of any aspect and number of channels; results have their
      shape and dtype and may leave the range. `keys` are typed PRNG keys [B], on which alone an
      example's changes depend: neither the batch nor the other letters of the policy have a part in
      them. `p` in [0, 1] is the probability of each change of each example; at 0 every image is
      returned bit for bit. Computation is in float32, and in float64 for such images. Other shapes and
      dtypes, and a p outside [0, 1] unless it is traced, raise a ValueError.

    Raises:
      ValueError: no letter, an unknown one, or one twice.

    Source: Karras et al. 2020 (limited data), appendix B; Zhao et al. 2020 (DiffAugment).
    """
    letters = POLICIES.get(policy, policy)
    known = f"letters of {''.join(OPERATIONS)}, each at most once, or one of {', '.join(POLICIES)}"
    if not letters:
        raise ValueError(f"policy '' has no operation; expected {known}. For none, do not augment.")
    for i, letter in enumerate(letters):
        if letter not in OPERATIONS:
            raise ValueError(f"policy {policy!r}: {letter!r} is no operation; expected {known}.")
        if letter in letters[:i]:
            raise ValueError(f"policy {policy!r} has {letter!r} twice; expected {known}.")

    def augment(images: jax.Array, keys: jax.Array, *, p: jax.Array | float) -> jax.Array:
        _check(images, keys, p)

        def augment_one(image: jax.Array, key: jax.Array) -> jax.Array:
            for letter in letters:
                image = OPERATIONS[letter](image, jax.random.fold_in(key, ord(letter)), p)
            return image

        wide = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        return jax.vmap(augment_one)(wide, keys).astype(images.dtype)

    return augment


def _check(images: Any, keys: Any, p: Any) -> None:
    if images.ndim != 4 or 0 in images.shape[1:] or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"Images to augment are [B,H,W,C] of a float dtype in [-1, 1], got {images.dtype} {images.shape}."
        )
    check_keys(keys, images)
    if jnp.ndim(p) != 0:
        raise ValueError(f"p is one probability for the whole batch, got an array {jnp.shape(p)}.")
    if not isinstance(p, jax.core.Tracer) and not 0.0 <= float(p) <= 1.0:
        raise ValueError(f"p is {p}, expected a probability in [0, 1].")
