"""Image files into pixels, without trusting them: what a file claims is checked before it is decoded."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import png

from jaxgan.data.sources import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # no others are tried
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 2**26  # of an image, 8192 x 8192
MAX_SIDE = 2**15  # of an image: what is longer is a strip that no network sees

# Of Pillow's modes: what they are converted to before they are read.
_MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "PA": "RGBA",
}
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOURS = ("RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
# What Pillow raises of files that are not what they say; it has no class of its own for them.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    NotImplementedError,
    PIL.Image.DecompressionBombError,
    Warning,  # of metadata that make no sense, where warnings are errors
)


class Header(NamedTuple):
    """What a file says of itself: its size as it is to be seen, its channels, and bits a value, 8 or 16.

    `coarsened` are files of 16 bits a value that are read with 8: TIFFs in colour.
    """

    height: int
    width: int
    channels: int
    bits: int
    coarsened: bool = False


def inspect(data: bytes, *, name: str) -> Header:
    """The header of an image file; no pixel is decoded.

    Raises:
      DataError: it is no image of a known format, or too large.
    """
    with _opened(data, name) as image:
        mode = _mode(image, name)
        width, height = image.size
        if 5 <= _orientation(image, name) <= 8:  # those that lie on their side
            width, height = height, width
        deep = _is_deep_png(data, image)
        bits = 8 if mode in _CHANNELS and not deep else 16
        channels = (3 if data[25] & 2 else 1) + (mode in ("LA", "RGBA")) if deep else _CHANNELS.get(mode, 1)
        return Header(height, width, channels, bits, coarsened=max(_bits_of_tiff(image)) > bits)


def _is_deep_png(data: bytes, image: PIL.Image.Image) -> bool:
    """Of 16 bits a value and more than grey, by its header: what Pillow reads with 8."""
    return image.format == "PNG" and data[24] == 16 and (data[25] != 0 or "transparency" in image.info)


def _bits_of_tiff(image: PIL.Image.Image) -> tuple[int, ...]:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(PIL.ExifTags.Base.BitsPerSample, 8)
    return bits if isinstance(bits, tuple) and bits else (8,)


def decode(data: bytes, *, name: str, indices: bool = False) -> np.ndarray:
    """The pixels of an image file: uint8 [H,W,C], or uint16 for those of more than 8 bits.

    The first frame, turned as EXIF says. C is 1 (grey), 2 (grey and alpha), 3 or 4 (with alpha); palettes
    become colours, or with `indices` their numbers (as of masks), CMYK and the like RGB. Values of 16 bits
    keep them in PNG files and grey TIFFs; TIFFs in colour come with 8, for Pillow has no mode for them.

    Raises:
      DataError: it is no image of a known format, too large, or broken.
    """
    with _opened(data, name) as image:
        mode, turn = _mode(image, name), _orientation(image, name)
        upright = turn == 1
        try:
            if _is_deep_png(data, image):
                return _turned(_deep_png(data), turn)
            turned = image if upright else PIL.ImageOps.exif_transpose(image)
            as_it_is = mode == "I" or (indices and turned.mode == "P")
            pixels = np.asarray(turned if as_it_is else turned.convert(mode))
        except _UNREADABLE as error:
            raise DataError(f"{name} is broken: {_said(error)}") from error
    if mode == "I":
        if pixels.min() < 0 or pixels.max() > 65535:
            raise DataError(f"{name} has values from {pixels.min()} to {pixels.max()}, expected 0 to 65535.")
        pixels = pixels.astype(np.uint16)
    return pixels.reshape(*pixels.shape[:2], -1)


def _deep_png(data: bytes) -> np.ndarray:
    """uint16 [H,W,C], by a reader that is slow and knows 16 bits."""
    try:
        _refuse_more_than_claimed(data)
        width, height, rows, about = png.Reader(bytes=data).asDirect()
        return np.array([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, about["planes"])
    except (png.Error, zlib.error, struct.error) as error:
        raise OSError(_said(error)) from error


def _refuse_more_than_claimed(data: bytes) -> None:
    """Raises an OSError for a PNG that would become more than its pixels: the slow reader would not stop."""
    width, height = struct.unpack(">II", data[16:24])
    limit = 8 * width * height + 32 * (width + height)  # four values of two bytes, and a byte a line
    inflate, size, at = zlib.decompressobj(), 0, 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            size += len(inflate.decompress(data[at + 8 : at + 8 + length], limit + 1))
        if size > limit:
            raise OSError("it holds more than the pixels that it claims")
        at += 12 + length


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As EXIF's orientation says, from 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _opened(data: bytes, name: str) -> PIL.Image.Image:
    if not data:
        raise DataError(f"{name} is empty.")
    try:
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.UnidentifiedImageError:
        raise DataError(f"{name} is no image: expected {', '.join(FORMATS)}.") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise DataError(f"{name} claims more than {MAX_PIXELS:,} pixels; it is not decoded.") from None
    except _UNREADABLE as error:
        raise DataError(f"{name} is broken: {_said(error)}") from error
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise DataError(
            f"{name} claims {image.width}x{image.height}; more than {MAX_PIXELS:,} pixels, or {MAX_SIDE:,} a "
            "side, are not decoded."
        )
    if 0 in image.size:
        raise DataError(f"{name} claims {image.width}x{image.height}: it has no pixels.")
    return image


def _mode(image: PIL.Image.Image, name: str) -> str:
    """The mode that a file is converted to: one of `_CHANNELS`, or a deep one."""
    if image.mode == "P":
        return "RGBA" if "transparency" in image.info else "RGB"
    if image.mode in _COLOURS:
        return "RGB"
    if image.mode in _DEEP:
        return "I"
    if image.mode in ("1", "L") and "transparency" in image.info:
        return "LA"
    if image.mode == "RGB" and "transparency" in image.info:
        return "RGBA"
    if image.mode not in _MODES:
        raise DataError(f"{name} has pixels of the kind {image.mode!r}; convert it to 8 or 16 bits a value.")
    return _MODES[image.mode]


def _orientation(image: PIL.Image.Image, name: str) -> int:
    """As EXIF says, from 1 to 8."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # or Pillow would decode all of it, to look behind the pixels
    try:
        return int(image.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    except _UNREADABLE as error:
        raise DataError(f"{name} is broken: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
