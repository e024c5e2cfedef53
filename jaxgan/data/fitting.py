"""Pixels of any size and kind into those of one: resized, cropped, padded, with the channels asked for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from jaxgan.data.decoding import MAX_SIDE, Header
from jaxgan.data.sources import DataError

FITS = ("crop", "pad", "stretch", "tiles")
# Pillow's, which look at all pixels that a smaller one stands for: none aliases but nearest.
FILTERS = {
    "lanczos": PIL.Image.Resampling.LANCZOS,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "box": PIL.Image.Resampling.BOX,
    "nearest": PIL.Image.Resampling.NEAREST,
}


class SizesVary(DataError):
    """Images of several sizes, and none was asked for."""


class Layout(NamedTuple):
    """How images are brought to one size and kind.

    Attributes:
      size: (height, width), or () for images that all have one size already.
      fit: how another aspect comes to it: 'crop' covers the size and cuts at the middle, 'pad' fits into it
        and fills up with black (or the background), 'stretch' changes the aspect; 'tiles' resizes nothing:
        files are cut into as many examples of the size as cover them (see `jaxgan.data.rows`).
      filter: of resizing, a name in FILTERS.
      channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; 0: as many as any file needs.
      background: (red, green, blue), 0 to 255, over which transparent images are put; () keeps alpha.
    """

    size: tuple[int, ...] = ()
    fit: str = "crop"
    filter: str = "lanczos"
    channels: int = 0
    background: tuple[int, ...] = ()

    def check(self) -> None:
        """Raises a DataError that names what cannot be."""
        problems = [
            (
                _are_whole(self.size, (0, 2), 1, MAX_SIDE),
                "size",
                f"(height, width) from 1 to {MAX_SIDE}, or ()",
            ),
            (self.fit in FITS, "fit", f"one of {', '.join(FITS)}"),
            (
                bool(self.size) or self.fit != "tiles",
                "size",
                "(height, width) of the tiles that images are cut into",
            ),
            (self.filter in FILTERS, "filter", f"one of {', '.join(FILTERS)}"),
            (_are_whole((self.channels,), (1,), 0, 4), "channels", "1 to 4, or 0 for as many as needed"),
            (
                _are_whole(self.background, (0, 3), 0, 255),
                "background",
                "(red, green, blue) from 0 to 255, or ()",
            ),
        ]
        for holds, name, expected in problems:
            if not holds:
                raise DataError(f"{name} is {getattr(self, name)!r}, expected {expected}.")


def _are_whole(values: Any, counts: tuple[int, ...], low: int, high: int) -> bool:
    if not isinstance(values, (tuple, list)) or len(values) not in counts:
        return False
    return all(type(value) is int and low <= value <= high for value in values)


def settle(layout: Layout, headers: Sequence[Header], *, title: str) -> tuple[Layout, np.dtype]:
    """A layout with its size and channels, and the dtype, that images of these headers come to.

    Raises:
      SizesVary: they have several sizes, and the layout has none.
    """
    if not layout.size:
        sizes = sorted({(header.height, header.width) for header in headers})
        if len(sizes) > 1:
            raise SizesVary(
                f"{title}: images vary in size, from {'x'.join(map(str, sizes[0]))} to "
                f"{'x'.join(map(str, sizes[-1]))} (height x width). Set data.size to (height, width)."
            )
        layout = layout._replace(size=sizes[0])
    if not layout.channels:
        alpha = any(header.channels in (2, 4) for header in headers)
        behind = alpha and len({*layout.background}) > 1  # a background that is no grey
        colour = any(header.channels >= 3 for header in headers) or behind
        alpha = alpha and not layout.background
        layout = layout._replace(channels=(3 if colour else 1) + alpha)
    deep = any(header.bits > 8 for header in headers)
    return layout, np.dtype(np.uint16 if deep else np.uint8)


def fit(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    """Pixels [H,W,C] in a layout: uint8 or uint16 as they come, [height,width,channels].

    Resizing takes alpha into account: transparent pixels lend no colour to others. Grey is 0.299 red, 0.587
    green, 0.114 blue, as in ITU-R BT.601.

    Args:
      pixels: uint8 or uint16 [H,W,C] with 1 to 4 channels.
      layout: with `channels` of 1 to 4. Of tiles, the pixels are one.
    """
    if len({*layout.background}) > 1 and pixels.shape[-1] <= 2:  # a coloured background wants colour
        pixels = to_channels(pixels, pixels.shape[-1] + 2)
    if layout.size:  # first, for all that follows takes memory
        pixels = _sized(pixels, layout)
    if layout.background and pixels.shape[-1] in (2, 4):
        pixels = _composed(pixels, layout.background)
    return to_channels(pixels, layout.channels)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """[H,W,C] with another number of channels: grey becomes colour, colour grey, alpha full or lost."""
    if pixels.shape[-1] == channels:
        return pixels
    colour, alpha = pixels, None
    if pixels.shape[-1] in (2, 4):
        colour, alpha = pixels[..., :-1], pixels[..., -1:]
    if channels <= 2 and colour.shape[-1] == 3:
        grey = colour.astype(np.float64) @ [0.299, 0.587, 0.114]
        colour = np.round(grey)[..., None].astype(pixels.dtype)
    if channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if channels in (1, 3):
        return colour
    if alpha is None:
        alpha = np.full_like(colour[..., :1], np.iinfo(pixels.dtype).max)
    return np.concatenate([colour, alpha], axis=-1)


def _composed(pixels: np.ndarray, background: tuple[int, ...]) -> np.ndarray:
    """Over a background, without alpha; grey stays grey over grey."""
    most = np.iinfo(pixels.dtype).max
    grey = pixels.shape[-1] == 2 and len({*background}) == 1
    if not grey:
        pixels = to_channels(pixels, 4)
    behind = np.asarray(background[:1] if grey else background) * (most / 255)
    share = pixels[..., -1:] / most
    return np.round(pixels[..., :-1] * share + behind * (1 - share)).astype(pixels.dtype)


def _sized(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    target, sides = np.array(layout.size), np.array(pixels.shape[:2])
    if (target == sides).all():
        return pixels
    scales = target / sides
    if layout.fit == "stretch":
        return _resized(pixels, target, (0.0, 0.0, *sides), layout.filter)
    if layout.fit == "crop":
        kept = target / scales.max()  # of the original, in its middle
        start = np.maximum((sides - kept) / 2, 0.0)
        if scales.max() == 1:
            start = np.floor(start)  # what is only cut stays as it is
        return _resized(pixels, target, (*start, *np.minimum(start + kept, sides)), layout.filter)
    inner = np.clip(np.round(sides * scales.min()).astype(int), 1, target)
    resized = _resized(pixels, inner, (0.0, 0.0, *sides), layout.filter)
    padded = np.zeros((*target, pixels.shape[-1]), pixels.dtype)
    if layout.background:
        behind = np.asarray(layout.background, pixels.dtype)[None, None] * (np.iinfo(pixels.dtype).max // 255)
        padded[:] = to_channels(to_channels(behind, 4), pixels.shape[-1])
    top, left = (target - inner) // 2
    padded[top : top + inner[0], left : left + inner[1]] = resized
    return padded


def _resized(
    pixels: np.ndarray, size: np.ndarray, box: tuple[float, float, float, float], filter: str
) -> np.ndarray:
    """The part of the image in the box (top, left, bottom, right), at a size."""
    top, left, bottom, right = (float(value) for value in box)

    def resize(plane: np.ndarray) -> np.ndarray:
        image = PIL.Image.fromarray(plane)
        return np.asarray(
            image.resize((int(size[1]), int(size[0])), FILTERS[filter], (left, top, right, bottom))
        )

    if pixels.dtype == np.uint8:
        return resize(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).reshape(*size, -1)
    # Pillow resizes deep images as floats, one channel at a time; alpha is multiplied in by hand.
    values, alpha = pixels.astype(np.float32), None
    if pixels.shape[-1] in (2, 4):
        alpha = values[..., -1:] / 65535
        values = np.concatenate([values[..., :-1] * alpha, values[..., -1:]], axis=-1)
    planes = np.moveaxis(values, -1, 0)
    resized = np.stack([resize(np.ascontiguousarray(plane)) for plane in planes], axis=-1)
    if alpha is not None:
        share = np.maximum(resized[..., -1:] / 65535, 1e-6)
        resized = np.concatenate([resized[..., :-1] / share, resized[..., -1:]], axis=-1)
    return np.clip(np.round(resized), 0, 65535).astype(np.uint16)
