"""Images of any size by a network of tiles of one size: one compilation, bounded memory, no seams."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

Network = Callable[[np.ndarray], np.ndarray]


class Tiling(NamedTuple):
    """How an image is cut up.

    Attributes:
      tile: pixels a side of what the network is given.
      overlap: pixels that neighbours share at least. The quarter at each end is not used, and between them
        one fades into the other: a network whose results depend on no pixel further off than overlap / 4
        makes the same as of the whole image.
      batch: tiles at a time.
    """

    tile: int = 192
    overlap: int = 64
    batch: int = 1


DEFAULT = Tiling()


def apply(network: Network, image: np.ndarray, *, scale: int = 1, tiling: Tiling = DEFAULT) -> np.ndarray:
    """The network's result for a whole image, [H,W,c] -> [scale H, scale W, C] float32; see `bands`."""
    return np.concatenate([*bands(network, image, scale=scale, tiling=tiling)])


def bands(
    network: Network, image: np.ndarray, *, scale: int = 1, tiling: Tiling = DEFAULT
) -> Iterator[np.ndarray]:
    """The network's result from top to bottom, a part of the rows at a time.

    What is held of it are the rows of one row of tiles, so that large ones can be written, or rounded to
    8 bits, as they are made.

    Args:
      network: tiles [N,t,t,c] of the image's dtype -> [N, scale t, scale t, C], N and t always the same.
      image: [H,W,c]; where it is smaller than a tile it is reflected at its lower and right edge.
      scale: rows and columns of the result for one of the image.
      tiling: how it is cut up.

    Yields:
      [rows, scale W, C] float32, in all scale H rows.

    Raises:
      ValueError: other images, a tiling that cannot be, a result of another size than the scale says.
    """
    _check(image, scale, tiling)
    height, width = image.shape[:2]
    tile = tiling.tile
    short = [(0, max(0, tile - side)) for side in (height, width)]
    image = np.pad(image, (*short, (0, 0)), mode="symmetric")
    (tops, rises), (lefts, across) = (_cut(side, scale, tiling) for side in image.shape[:2])
    pending = np.zeros((0, 1, 1), np.float32)  # rows to which the next row of tiles adds
    for row, top in enumerate(tops):
        window = rises[row, scale * top : scale * (top + tile)]
        made = _row(network, image[top : top + tile], lefts, across, scale, tiling) * window[:, None, None]
        made[: len(pending)] += pending
        whole = scale * (tops[row + 1] - top) if row + 1 < len(tops) else len(made)
        yield made[: min(whole, scale * (height - top)), : scale * width]
        pending = made[whole:]


def _row(
    network: Network, rows: np.ndarray, lefts: np.ndarray, across: np.ndarray, scale: int, tiling: Tiling
) -> np.ndarray:
    """A row of tiles, blended: [t,W,c] -> [scale t, scale W, C] float32."""
    tile, total = tiling.tile, np.zeros((0, 1, 1), np.float32)
    count = min(tiling.batch, len(lefts))
    for start in range(0, len(lefts), count):
        some = lefts[start : start + count]
        tiles = np.stack([rows[:, left : left + tile] for left in np.resize(some, count)])
        made = np.asarray(network(tiles), np.float32)
        if made.shape[:-1] != (count, scale * tile, scale * tile):
            raise ValueError(
                f"The network made {made.shape} of tiles {tiles.shape}, expected {scale} times as many rows "
                "and columns; give its scale."
            )
        if not total.size:
            total = np.zeros((scale * tile, scale * rows.shape[1], made.shape[-1]), np.float32)
        for i, (left, part) in enumerate(zip(some, made, strict=False), start):
            place = slice(scale * left, scale * (left + tile))
            total[:, place] += across[i, place, None] * part
    return total


def _cut(side: int, scale: int, tiling: Tiling) -> tuple[np.ndarray, np.ndarray]:
    """Where tiles begin along a side, and what each counts at each pixel of the result.

    Returns:
      Starts [n], and windows [n, scale side] float32 that sum to 1 at each pixel: what fades in at a tile's
      start, less what fades in at the next one's.
    """
    step = tiling.tile - tiling.overlap
    count = 1 + max(0, -(-(side - tiling.tile) // step))
    starts = np.linspace(0, side - tiling.tile, count).astype(int)
    places = (np.arange(scale * side) + 0.5) / scale
    middles = (starts[1:] + starts[:-1] + tiling.tile) / 2
    # Without an overlap a step: a ramp of one pixel of the result passes 1/2 between two of them.
    ramps = (places - middles[:, None]) / max(tiling.overlap / 2, 1 / scale) + 0.5
    ends = np.ones((1, scale * side))
    fades = np.concatenate([ends, np.clip(ramps, 0, 1), 0 * ends])
    return starts, (fades[:-1] - fades[1:]).astype(np.float32)


def _check(image: np.ndarray, scale: int, tiling: Tiling) -> None:
    if image.ndim != 3 or not image.size:
        raise ValueError(f"One image [H,W,C] is cut into tiles, got {image.shape}.")
    tile, overlap, batch = tiling
    if min(scale, tile, batch) < 1 or not 0 <= overlap <= tile // 2:
        raise ValueError(
            f"Got {tiling} at a scale of {scale}; expected tiles of 1 pixel or more that overlap by up to "
            "half of a tile, 1 or more at a time, and a scale of 1 or more."
        )
