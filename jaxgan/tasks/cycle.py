"""Unpaired translation between two domains, A and B, by a cycle: what is made of an image is to lead back."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import terms as objectives
from jaxgan.tasks import BoundNetwork, Example, Pictures, Round, Task, Verdict, to_floats

Transform = Callable[[Mapping[str, jax.Array], jax.Array], Mapping[str, jax.Array]]
TERMS = ("cycle", "identity")


class Given(NamedTuple):
    """What the translators are given: images of either domain, which are no pairs.

    Attributes:
      a: [B,H,W,C'] floats in [-1, 1].
      b: [B,H,W,C].
    """

    a: jax.Array
    b: jax.Array


class Pool(NamedTuple):
    """Images that were made earlier, of which D is shown some, so that it does not forget them.

    Attributes:
      images: a pytree, leaves [N,...].
      filled: [] float, how many of them are there.
    """

    images: Any
    filled: jax.Array


def empty_pool(made: Any, size: int) -> Pool:
    """A pool for so many of such images, leaves [B,...]."""
    images = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape[1:]), leaf.dtype), made)
    return Pool(images, jnp.zeros((), jnp.result_type(float)))


def exchange(pool: Pool, made: Any, keys: jax.Array, whole: Callable, own: Callable) -> tuple[Any, Pool]:
    """Images for D to see, in the places of those just made, and the pool afterwards.

    The batch's images come one after the other. The pool keeps each as long as it is not full, and then
    each with probability 1/2, in the place of one that is there: D is shown that one. Otherwise it is
    shown the image. Leaves of `made`, which are of several domains, come independently of each other.

    Args:
      pool: of N images.
      made: a pytree, leaves [B,...]; no gradient passes.
      keys: [B], PRNG keys.
      whole: leaves [n,...] of this device -> [N,...] of all devices.
      own: the inverse, what is this device's.

    Returns:
      (images, pool), as they came; the pool is the same on all devices.

    Source: Shrivastava et al. 2017, section 2.3; Zhu et al. 2017, section 4, for single images.
    """
    leaves, structure = jax.tree.flatten(made)
    size = len(jax.tree.leaves(pool.images)[0])
    draws = jax.vmap(partial(_draw, count=len(leaves), size=size))(keys)
    gathered, draws = whole((jax.lax.stop_gradient(leaves), draws))

    def one(carry: tuple[list[jax.Array], jax.Array], item: Any) -> tuple[Any, list[jax.Array]]:
        pooled, count = carry
        images, (swaps, places) = item
        filling = count < size
        shown, kept = [], []
        for i, (pool_of, image) in enumerate(zip(pooled, images, strict=True)):
            place = jnp.where(filling, count, places[i]).astype(jnp.int32)
            old = pool_of[place]
            shown.append(jnp.where(swaps[i] & ~filling, old, image))
            kept.append(pool_of.at[place].set(jnp.where(swaps[i] | filling, image, old)))
        return (kept, jnp.minimum(count + 1, size)), shown

    start = jax.tree.leaves(pool.images), pool.filled
    (pooled, count), shown = jax.lax.scan(one, start, (gathered, draws))
    unflatten = partial(jax.tree.unflatten, structure)
    return unflatten(own(shown)), Pool(unflatten(pooled), count)


def _draw(key: jax.Array, *, count: int, size: int) -> tuple[jax.Array, jax.Array]:
    """Whether to show an image of the pool, bool [count], and which one, int32 [count]."""
    swap, place = jax.random.split(key)
    return jax.random.bernoulli(swap, shape=(count,)), jax.random.randint(place, (count,), 0, size)


def make_task(*, terms: Collection[str] = (), pool: int = 50, transform: Transform = to_floats) -> Task:
    """The task of making images of each domain of those of the other.

    Args:
      terms: names in `TERMS` of the generator's further losses, sums over both domains of mean absolute
        differences: of an image and what both translators make of it in turn; and of an image of a domain
        and what the translator into this domain makes of it.
      pool: N, the images of each domain that are remembered for D; 0: none.
      transform: (batch, keys [B]) -> the batch in floats, an example's images changed alike.

    Returns:
      A Task for batches {"input": [B,H,W,C'], of A, "image": [B,H,W,C], of B}; a sample is (of B, of A).
      The generator has methods `to_b` and `to_a`; called with images of A and of B it is both.

    Raises:
      ValueError: terms that do not exist, a pool of less than nothing. The task raises one for batches
        without both domains or with images of two sizes, and for the identity where channels differ.

    Source: Zhu et al. 2017 (CycleGAN), eqs. 1 to 3, and section 5.2 for the identity (Taigman et al. 2017).
    """
    if unknown := {*terms} - {*TERMS}:
        raise ValueError(f"No terms {sorted(unknown)}; expected some of {', '.join(TERMS)}.")
    if pool < 0:
        raise ValueError(f"pool is {pool}, expected 0 or more images.")

    def prepare(batch: Mapping[str, jax.Array], keys: jax.Array) -> Example:
        batch = transform(_checked(batch, terms), keys)
        return Example(Given(batch["input"], batch["image"]), (batch["image"], batch["input"]))

    return Task(
        prepare,
        generate=lambda generator, given: generator(given.a, given.b),
        judge=lambda discriminator, sample, given: Verdict(discriminator(*sample)),
        generator_terms=lambda round: {name: _LOSSES[name](round) for name in terms},
        show=_show,
        use=lambda generator, batch, keys: generator(batch["input"], method="to_b"),
        memory=lambda example, fake: empty_pool(fake, pool),
        recall=exchange if pool else None,
    )


def _cycle(round: Round) -> jax.Array:
    made_b, made_a = round.fake
    return _apart(round.generator(made_a, made_b), round)


def _identity(round: Round) -> jax.Array:
    given = round.example.given
    return _apart(round.generator(given.b, given.a), round)


def _apart(images: tuple[jax.Array, jax.Array], round: Round) -> jax.Array:
    """How far images of B and of A are from the real ones, [B]."""
    made_b, made_a = images
    b, a = round.example.real
    return objectives.absolute_difference(made_b, b) + objectives.absolute_difference(made_a, a)


_LOSSES: Mapping[str, Callable[[Round], jax.Array]] = {"cycle": _cycle, "identity": _identity}


def _show(generator: BoundNetwork, example: Example) -> Pictures:
    a, b = example.given
    made_b, made_a = generator(a, b)
    returned = generator(made_b, method="to_a")
    return {"input": a, "output": made_b, "returned": returned, "input_b": b, "output_a": made_a}


def _checked(batch: Mapping[str, jax.Array], terms: Collection[str]) -> Mapping[str, jax.Array]:
    if missing := {"image", "input"} - batch.keys():
        raise ValueError(
            f"Images of B are 'image' and those of A 'input'; this batch has {sorted(batch)} and lacks "
            f"{' and '.join(sorted(missing))}. Take a source of two domains."
        )
    image, given = batch["image"].shape, batch["input"].shape
    if image[:3] != given[:3]:
        raise ValueError(
            f"Images of B are {image} and those of A {given}; expected [B,H,W,C] of one size. Set "
            "data.size and data.input_size to the same."
        )
    channels = image[-1], given[-1]
    if "identity" in terms and len({*channels}) > 1:
        raise ValueError(
            f"Images of B have {channels[0]} channels and those of A {channels[1]}; the term 'identity' "
            "needs as many. Leave it out, or set data.channels."
        )
    return batch
