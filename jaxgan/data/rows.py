"""Examples of files: a row for each whole image, or for each of the tiles that it is cut into."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jaxgan.data.fitting import Layout
from jaxgan.data.listing import File, Skipped
from jaxgan.data.sources import DataError

Size = tuple[int, ...]  # height, width


class Row(NamedTuple):
    """An example.

    Attributes:
      name: of what it is made from.
      files: by what they are to it.
      label: 0 where there are none.
      place: (top, left) of the tile of its image that it is; () where it is the whole.
    """

    name: str
    files: Mapping[str, File]
    label: int = 0
    place: Size = ()

    @property
    def title(self) -> str:
        """A name that no other example has."""
        return f"{self.name} at {self.place[0]},{self.place[1]}" if self.place else self.name


def places(size: Size, tile: Size) -> list[Size]:
    """Where tiles begin that cover an image with as little overlap as can be; the last ends at its edge.

    Args:
      size: (height, width) of the image, as large as a tile or larger.
      tile: (height, width).
    """
    tops, lefts = (
        [min(start, whole - part) for start in range(0, whole, part)]
        for whole, part in zip(size, tile, strict=True)
    )
    return [(top, left) for top in tops for left in lefts]


def scales(layouts: Mapping[str, Layout]) -> dict[str, int]:
    """How many times smaller each of an example's tiles is than that of its image.

    Raises:
      DataError: not a whole number of times, in height and width alike; not all are tiles.
    """
    image, found = layouts["image"], dict[str, int]()
    for key, layout in layouts.items():
        found[key] = image.size[0] // layout.size[0] if layout.size else 0
        if layout.fit != "tiles" or image.size != tuple(found[key] * side for side in layout.size):
            raise DataError(
                f"Tiles of {_said(image.size)} were asked for, and of the {key} {layout.fit} to "
                f"{_said(layout.size)}; expected tiles there too, of the same size or 1/2, 1/3, ... of it. "
                "Set data.input_size to that, or to () for the same."
            )
    return found


def cut_rows(
    rows: Iterable[Row], layouts: Mapping[str, Layout], size_of: Callable[[Row, str], Size]
) -> tuple[list[Row], list[Skipped]]:
    """A row for each tile, and what is left out because it is smaller than one.

    Args:
      rows: of whole images.
      layouts: of each of an example's images, of tiles.
      size_of: (a row, the key of one of its images) -> height, width.

    Raises:
      DataError: layouts or images that cannot be cut alike.
    """
    tile, scale = layouts["image"].size, scales(layouts)
    cut, small = list[Row](), list[Skipped]()
    for row in rows:
        size = size_of(row, "image")
        for key, factor in scale.items():
            if size != tuple(factor * side for side in size_of(row, key)):
                raise DataError(
                    f"{row.name} is {_said(size)} and its {key} {_said(size_of(row, key))} (height x width), "
                    f"expected {f'1/{factor} of the image' if factor > 1 else 'the same'}, as of tiles. "
                    "Crop it, or set data.input_size."
                )
        if size[0] < tile[0] or size[1] < tile[1]:
            small.append(Skipped(row.name, f"is {_said(size)}, smaller than a tile of {_said(tile)}."))
        else:
            cut += [row._replace(place=place) for place in places(size, tile)]
    return cut, small


def cut_out(
    pixels: Mapping[str, np.ndarray], row: Row, layouts: Mapping[str, Layout]
) -> Mapping[str, np.ndarray]:
    """An example's part of its images [H,W,C], by key: the same part of all of them.

    Raises:
      DataError: they have not the size any more that they had when rows were made.
    """
    if not row.place:
        return pixels
    parts = dict[str, np.ndarray]()
    for key, factor in scales(layouts).items():
        (top, left), (height, width) = (side // factor for side in row.place), layouts[key].size
        parts[key] = pixels[key][top : top + height, left : left + width]
        if parts[key].shape[:2] != (height, width):
            raise DataError(f"{row.name} is smaller than when the set was opened; open it again.")
    return parts


def _said(size: Size) -> str:
    return "x".join(map(str, size)) or "its own size"
