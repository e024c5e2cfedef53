"""Masks of holes, drawn at random: rectangles, free-form strokes, borders and sides, of a share of the image.

A kind of mask says of each pixel when it is painted, and a mask is what has been painted once the hole is as
large as asked. So the area holds by construction, whatever the kind, and each size is as likely.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Size = tuple[int, int]  # (height, width)
Order = Callable[[jax.Array, Size], jax.Array]  # (key, (H, W)) -> when pixels are painted, float [H,W]

RECTANGLES = 3  # at most
STROKES, VERTICES = 8, 8  # of a free-form mask; of each at most so many are drawn, and not more than needed
# Of the image's shorter side. Yu et al. 2019 leave theirs open.
LENGTHS, WIDTHS = (0.1, 0.5), (0.06, 0.2)
TURN = 2 * math.pi / 3  # between one line of a stroke and the next, at most


def draw_masks(
    keys: jax.Array,
    size: Size,
    *,
    kinds: Collection[str] = ("free_form",),
    area: tuple[float, float] = (0.25, 0.5),
) -> jax.Array:
    """Masks, each from its own key: keys [B] -> [B,H,W,1] of 0 and 1, default float dtype; 1 is the hole.

    Args:
      keys: PRNG keys [B].
      size: (H, W).
      kinds: names in `KINDS`, of which each mask has one, all as likely.
      area: the smallest and the largest hole, as shares of the image in (0, 1); whole numbers of pixels
        between are all as likely, but for what makes edges straight: then it is one that is near.

    Raises:
      ValueError: kinds that do not exist, or an area that no whole number of pixels has.

    Source: Yu et al. 2019 (gated convolution), section 3.4 and algorithm 1 for strokes; departures: the
    hole's area is given, of which the numbers of strokes and lines follow, and angles are turns from the
    line before.
    """
    least, most = _check(size, kinds, area)
    orders = [KINDS[kind] for kind in kinds]

    def draw(key: jax.Array) -> jax.Array:
        kind_key, order_key, count_key = jax.random.split(key, 3)
        choice = jax.random.randint(kind_key, (), 0, len(orders))
        times = jax.lax.switch(
            choice, [lambda key, order=order: order(key, size) for order in orders], order_key
        )
        count = jax.random.randint(count_key, (), least, most + 1)
        return _painted(times, count, least, most)

    return jax.vmap(draw)(keys)[..., None].astype(jnp.result_type(float))


def check_masks(masks: Any, images: Any) -> None:
    """Raises a ValueError unless masks are [B,H,W,1] of 0 and 1, for images [B,H,W,C]; not under `jit`."""
    if masks.shape != (*images.shape[:-1], 1):
        raise ValueError(
            f"Masks are {list(masks.shape)} for images {list(images.shape)}; expected "
            f"{[*images.shape[:-1], 1]}: one of the same size for each image."
        )
    others = jnp.unique(masks[(masks != 0) & (masks != 1)])
    if others.size:
        raise ValueError(
            f"Masks hold {others[:3].tolist()}; expected 0 where pixels are known and 1 in the hole. "
            "Bring grey ones to these, as by (masks > 127)."
        )


def rectangles(key: jax.Array, size: Size) -> jax.Array:
    """One to three rectangles anywhere, of any aspect from 1:2 to 2:1, that grow alike."""
    count_key, place_key, aspect_key = jax.random.split(key, 3)
    places = jax.random.uniform(place_key, (RECTANGLES, 2)) * jnp.array(size)
    aspects = 2.0 ** jax.random.uniform(aspect_key, (RECTANGLES,), minval=-0.5, maxval=0.5)
    distances = jnp.abs(_pixels(size) - places[:, None, None])
    times = jnp.maximum(
        distances[..., 0] * aspects[:, None, None], distances[..., 1] / aspects[:, None, None]
    )
    drawn = jnp.arange(RECTANGLES) <= jax.random.randint(count_key, (), 0, RECTANGLES)
    return jnp.min(jnp.where(drawn[:, None, None], times, jnp.inf), axis=0)


def free_form(key: jax.Array, size: Size) -> jax.Array:
    """Strokes of a brush, line after line, each with a turn, a length and a width of its own.

    Should all of them be too small, they grow at their edges.
    """
    keys = jax.random.split(key, STROKES * VERTICES)
    starts = jnp.arange(STROKES * VERTICES) % VERTICES == 0
    pixels, side = _pixels(size), min(size)

    def line(brush: Any, drawn: Any) -> tuple[Any, None]:
        (place, heading, times, near), (index, key, start) = brush, drawn
        at, first, turn, length, width = jax.random.split(key, 5)
        place = jnp.where(start, jax.random.uniform(at, (2,)) * jnp.array(size), place)
        heading = jnp.where(
            start, _between(first, (0.0, 2 * math.pi)), heading + _between(turn, (-TURN, TURN))
        )
        reach = _between(length, LENGTHS) * side * jnp.stack([jnp.sin(heading), jnp.cos(heading)])
        end = jnp.clip(place + reach, 0.0, jnp.array(size))
        along, distance = _from_line(pixels, place, end)
        painted = jnp.where(distance <= _between(width, WIDTHS) * side / 2, index + along, jnp.inf)
        return (end, heading, jnp.minimum(times, painted), jnp.minimum(near, distance)), None

    never = jnp.full(size, jnp.inf)
    brush = jnp.zeros(2), jnp.zeros(()), never, never
    (*_, times, near), _ = jax.lax.scan(line, brush, (jnp.arange(len(keys)), keys, starts))
    return jnp.where(times < jnp.inf, times, len(keys) + near)


def border(key: jax.Array, size: Size) -> jax.Array:
    """All around the image: what is known has its shape, and lies anywhere in it."""
    place = jax.random.uniform(key, (2,)) * jnp.array(size)
    inwards = _pixels(size)
    # As shares of the way from the place to the edge on that side, of which 1 is the edge.
    room = jnp.where(inwards < place, place, jnp.array(size) - place)
    return -jnp.max(jnp.abs(inwards - place) / jnp.maximum(room, 0.5), axis=-1)


def side(key: jax.Array, size: Size) -> jax.Array:
    """One side of the image, up to a straight line: its left, right, top or bottom."""
    down, right = jnp.moveaxis(_pixels(size), -1, 0)
    return jnp.stack([down, -down, right, -right])[jax.random.randint(key, (), 0, 4)]


KINDS: Mapping[str, Order] = {
    "rectangles": rectangles,
    "free_form": free_form,
    "border": border,
    "side": side,
}


def _painted(times: jax.Array, count: jax.Array, least: int, most: int) -> jax.Array:
    """The first pixels [H,W], about `count`, of least to most: all that are painted at once, if they fit."""
    flat = times.reshape(-1)
    order = jnp.argsort(flat)
    last = flat[order[count - 1]]
    through, before = flat <= last, flat < last
    ranks = jnp.zeros_like(order).at[order].set(jnp.arange(flat.size))
    fits = [jnp.sum(through) <= most, jnp.sum(before) >= least]
    return jnp.select(fits, [through, before], ranks < count).reshape(times.shape)


def _pixels(size: Size) -> jax.Array:
    """The pixels' centres, [H,W,2]."""
    return jnp.stack(jnp.meshgrid(*(jnp.arange(side) + 0.5 for side in size), indexing="ij"), axis=-1)


def _between(key: jax.Array, bounds: tuple[float, float]) -> jax.Array:
    return jax.random.uniform(key, (), minval=bounds[0], maxval=bounds[1])


def _from_line(pixels: jax.Array, start: jax.Array, end: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the nearest point of a line is, from 0 at its start to 1 at its end, and how far: [H,W] both."""
    way = end - start
    along = jnp.clip((pixels - start) @ way / jnp.maximum(way @ way, 1e-6), 0.0, 1.0)
    return along, jnp.linalg.norm(pixels - start - along[..., None] * way, axis=-1)


def _check(size: Size, kinds: Collection[str], area: tuple[float, float]) -> tuple[int, int]:
    """The fewest and the most pixels of a hole."""
    if not kinds or {*kinds} - {*KINDS}:
        raise ValueError(f"The kinds of masks are {[*kinds]}; expected some of {', '.join(KINDS)}.")
    least, most = math.ceil(area[0] * math.prod(size)), math.floor(area[1] * math.prod(size))
    if not 0.0 < area[0] <= area[1] < 1.0 or not 0 < least <= most:
        raise ValueError(
            f"The area of masks is {area} of {size[0]}x{size[1]} pixels; expected (least, most), shares "
            "between 0 and 1 with a whole number of pixels between them."
        )
    return least, most
