"""Pictures for people: labelled grids, grids over time, curves.

Images are uint8 here, `[H,W,C]` with C of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); whatever
takes them raises ValueError at another shape or dtype.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgan.files import AnyPath, whole

if TYPE_CHECKING:  # the rest is imported where it is used, so that this module imports light
    from matplotlib.axes import Axes
    from PIL import Image, ImageFont

GAP = 4  # pixels between the tiles of a grid
GAP_GREY = 128  # their value: neither black nor white strokes run on into them


def image_grid(
    images: np.ndarray, *, row_labels: Sequence[str] = (), scale: int | None = None
) -> Image.Image:
    """Lays images out as an RGB grid, over white, each row with a label in a margin at its left.

    Tile (r, k) starts at y = r * (H * scale + GAP), x = margin + k * (W * scale + GAP); the last
    ones end at the edges.

    Args:
      images: uint8 [R,K,H,W,C].
      row_labels: R texts, or none. Long ones are wrapped, set smaller, then cut to an ellipsis.
      scale: each pixel becomes scale x scale; by default the longer side 48 pixels at least.

    Raises:
      ValueError: a scale below 1, or a number of labels that is not R.
    """
    from PIL import Image

    images = checked(images, "[R,K,H,W,C]")
    rows, columns, height, width, _ = images.shape
    scale = math.ceil(48 / max(height, width)) if scale is None else scale
    if scale < 1 or len(row_labels) not in (0, rows):
        given = f"scale {scale} and {len(row_labels)} row_labels for {rows} rows"
        raise ValueError(f"expected a scale of 1 or more, a label a row or none; got {given}")
    height, width = height * scale + GAP, width * scale + GAP
    tiles = over_white(images).repeat(scale, axis=2).repeat(scale, axis=3)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=GAP_GREY)
    pixels = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    grid = Image.fromarray(pixels[:-GAP, :-GAP])
    return _labelled(grid, row_labels, height) if row_labels else grid


def strip(pictures: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Sets pictures side by side, each under its caption: a run's samples over time.

    Args:
      pictures: at least one (caption, picture), such as ("4 kimg", image_grid(samples)).
    """
    from PIL import Image, ImageDraw, ImageFont

    if not pictures:
        raise ValueError("no pictures to set side by side: expected one (caption, picture) or more")
    font, band, between = ImageFont.load_default(14), 24, 16
    captions = [" ".join(caption.split()) for caption, _ in pictures]
    widths = [
        max(picture.width, math.ceil(font.getlength(caption)) + 2)
        for caption, (_, picture) in zip(captions, pictures, strict=True)
    ]
    width = sum(widths) + between * (len(pictures) - 1)
    page = Image.new("RGB", (width, band + max(p.height for _, p in pictures)), "white")
    for i, caption in enumerate(captions):
        x = sum(widths[:i]) + between * i
        ImageDraw.Draw(page).text((x, band / 2), caption, fill="black", font=font, anchor="lm")
        page.paste(pictures[i][1], (x, band))
    return page


def save_image(image: np.ndarray | Image.Image, path: AnyPath) -> None:
    """Writes an image uint8 [H,W,C], or a PIL one, as a PNG with its alpha, whole or not at all."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        pixels = checked(image, "[H,W,C]")
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    with whole(path) as temporary:
        image.save(temporary, format="PNG")


def curves(metrics: Sequence[Mapping[str, float]], path: AnyPath) -> None:
    """Draws metrics as curves to a PNG, a panel for each prefix before a '/'.

    Args:
      metrics: what `read_metrics` returns. The x axis is "kimg", or "step" if a line lacks it.
        Non-finite values are gaps; long curves are smoothed, with their values pale behind.
      path: of the PNG.
    """
    from matplotlib.figure import Figure

    axis = "kimg" if all("kimg" in line for line in metrics) else "step"
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for line in metrics for name in line):
        if name not in ("step", "kimg", "seconds"):
            panels.setdefault(name.split("/")[0], []).append(name)
    panels = panels or {"": ["no metrics yet"]}
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.8 * columns, 3.2 * rows))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    for index, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(title if len(names) > 1 else names[0], loc="left", fontweight="bold")
        axes.set_xlabel(axis)
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        for name in names:
            values = [(line[axis], line[name]) for line in metrics if name in line]
            points = np.array(values, float).reshape(-1, 2)
            _draw(axes, points, name.partition("/")[2] or name)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize="small")
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def checked(images: Any, shape: str) -> np.ndarray:
    """The images as an array; raises ValueError unless they are uint8 of a shape written like '[N,H,W,C]'."""
    images = np.asarray(images)
    right = images.dtype == np.uint8 and images.ndim == shape.count(",") + 1
    if not right or images.size == 0 or images.shape[-1] > 4:
        given = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"expected images uint8 {shape}, not empty, C of 1 to 4; got {given}")
    return images


def over_white(images: np.ndarray) -> np.ndarray:
    """uint8 [...,C] -> uint8 [...,3]."""
    if images.shape[-1] in (2, 4):
        alpha = images[..., -1:].astype(np.uint16)
        images = ((images[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def _labelled(grid: Image.Image, row_labels: Sequence[str], pitch: int) -> Image.Image:
    """A grid with a margin at its left, where each label is centred on its row."""
    from PIL import Image, ImageDraw

    labels = [_fitted(label, pitch - GAP) for label in row_labels]
    widths = [font.getlength(line) for text, font in labels for line in text.split("\n")]
    margin = math.ceil(max(widths)) + 12
    page = Image.new("RGB", (margin + grid.width, grid.height), "white")
    page.paste(grid, (margin, 0))
    style: dict[str, Any] = {"fill": "black", "anchor": "rm", "align": "right", "spacing": 2}
    for row, (text, font) in enumerate(labels):
        middle = row * pitch + (pitch - GAP) / 2
        ImageDraw.Draw(page).text((margin - 6, middle), text, font=font, **style)
    return page


def _fitted(label: str, height: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """A label in lines of some 160 pixels, at most `height` high, in the largest font that fits."""
    from PIL import ImageFont

    largest = max(1, min(14, int(0.75 * height)))
    text, font = "", ImageFont.load_default(largest)
    for size in range(largest, min(largest, 9) - 1, -1):
        font = ImageFont.load_default(size)
        letters, lines = int(160 / font.getlength("n")), max(1, int(height / (1.35 * size)))
        text = "\n".join(textwrap.wrap(label, letters, max_lines=lines, placeholder="…"))
        if not text.endswith("…"):
            break
    return text, font


def _draw(axes: Axes, points: np.ndarray, label: str) -> None:
    """Draws (x, y) [N,2]; of 100 points or more, a moving mean over a fiftieth of them as well."""
    x, y = points.T
    y = np.where(np.isfinite(y), y, np.nan)
    window = len(y) // 50
    if window < 2:
        axes.plot(x, y, label=label, marker="." if len(y) < 20 else "")
        return
    known, ones = np.isfinite(y), np.ones(window)
    counts = np.convolve(known, ones, "same")
    sums = np.convolve(np.where(known, y, 0), ones, "same")
    (line,) = axes.plot(x, sums / np.where(counts > 0, counts, np.nan), label=label)
    axes.plot(x, y, color=line.get_color(), alpha=0.25, linewidth=1, zorder=1.9)
