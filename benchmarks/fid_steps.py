"""How figures answer to faults in images that grow in steps: noise, blur, JPEG, classes left out.

`python -m benchmarks.fid_steps SOURCE [--features=inception-2048] [--weights=PATH] [--count=2500]
[--reference=0] [--picture=PATH] [--json=PATH]`

SOURCE, as `jaxgan.data.open_source` takes it, is cut in two at random. One half is the reference; of the
other `count` images are damaged, and each time compared with it. Printed is a markdown table; the picture has
a column a fault.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from jaxgan import data, metrics, parallel
from jaxgan.evaluation.collecting import Features, collect
from jaxgan.evaluation.sets import of_source
from jaxgan.features.choosing import choose
from jaxgan.features.extractors import Extractor

Images = np.ndarray  # uint8 [N,H,W,C]
K = 5  # neighbours
FIGURES = ("FID", "KID x 1000", "precision", "recall", "density", "coverage")


class Fault(NamedTuple):
    """What is done to images, and how much of it, the least first; 0 is nothing."""

    unit: str
    levels: tuple[int | float, ...]
    damage: Callable[[Image.Image, Any], Image.Image]


def add_noise(image: Image.Image, sigma: float) -> Image.Image:
    """Normal noise of each value."""
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(int(pixels.sum())).normal(0.0, sigma, pixels.shape)
    return Image.fromarray(np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8))


def compress(image: Image.Image, loss: int) -> Image.Image:
    """JPEG of quality 100 - loss."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=100 - loss)
    return Image.open(file).copy()


FAULTS = {
    "noise": Fault("deviation, of 255", (4, 8, 16, 32), add_noise),
    "blur": Fault(
        "deviation, pixels", (0.5, 0.75, 1.0, 2.0), lambda i, sigma: i.filter(ImageFilter.GaussianBlur(sigma))
    ),
    "JPEG": Fault("100 - quality", (10, 25, 50, 90), compress),
}
MISSING = (1, 3, 5, 7)  # classes


def main() -> None:
    """Prints the table."""
    options = _options()
    parallel.keep_compilations()
    parallel.tune_xla()
    source = data.open_source(options.source)
    extractor = choose(options.features, source, weights=options.weights)
    rows = measure(source, extractor, count=options.count, reference=options.reference)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    if options.picture:
        draw(rows, options.picture)
    print(table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--features", default="inception-2048")
    parser.add_argument("--weights", default="")
    parser.add_argument("--count", type=int, default=2500, help="images that are damaged")
    parser.add_argument("--reference", type=int, default=0, help="images of each half; 0: all")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measure(
    source: data.Source, extractor: Extractor, *, count: int, reference: int = 0
) -> list[dict[str, Any]]:
    """A row for each fault and level: its figures, and of none those of all the other half too."""
    order = np.random.default_rng(0).permutation(len(source))
    first, second = (half[: reference or None] for half in np.split(order, [len(order) // 2]))
    real = _features(source, first, extractor)
    against = metrics.Moments.of(real.features), real
    whole = _features(source, second, extractor)
    manifold = metrics.manifold(real.features, k=K, arithmetic=np.float32)
    chosen = second[:count]

    def row(fault: str, level: float, unit: str, features: np.ndarray) -> dict[str, Any]:
        fake = metrics.manifold(features, k=K, arithmetic=np.float32)
        found = metrics.overlap(manifold, fake, k=K, arithmetic=np.float32)
        values = (
            metrics.frechet_distance(against[0], metrics.Moments.of(features)),
            1000 * metrics.kernel_distance(real.features, features, size=min(1000, len(features))).value,
            *(float(np.mean(x)) for x in (found.precise, found.recalled, found.holders / K, found.covered)),
        )
        print(fault, level, values, flush=True)
        return {"fault": fault, "level": level, "unit": unit, "images": len(features)} | dict(
            zip(FIGURES, values, strict=True)
        )

    rows = [row("the other half", 0, "", whole.features), row("a part of it", 0, "", whole.features[:count])]
    for name, fault in FAULTS.items():
        for level in fault.levels:
            damaged = np.stack([*_damaged(source, chosen, fault, level)])
            features = collect(of_source(data.from_arrays(damaged)), extractor).features
            rows.append(row(name, level, fault.unit, features))
    labels = source.gather(second)["label"] if source.classes else np.zeros(0)
    for missing in MISSING if source.classes else ():
        left = whole.features[labels >= missing][:count]
        rows.append(row("classes left out", missing, "classes", left))
    return rows


def _features(source: data.Source, rows: np.ndarray, extractor: Extractor) -> Features:
    return collect(of_source(data.from_arrays(source.gather(rows)["image"])), extractor)


def _damaged(source: data.Source, rows: np.ndarray, fault: Fault, level: float) -> Iterator[Images]:
    for pixels in source.gather(rows)["image"]:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        yield np.asarray(fault.damage(image, level)).reshape(pixels.shape)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as markdown."""
    heads = ["fault", "level", "images", *FIGURES]
    cells = [
        [r["fault"], f"{r['level']:g} {r['unit']}" if r["unit"] else "", f"{r['images']:,}"]
        + [f"{r[name]:.3f}" for name in FIGURES]
        for r in rows
    ]
    lines = [heads, ["---"] * 3 + ["---:"] * len(FIGURES), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel a fault: each figure over its level."""
    from matplotlib.figure import Figure

    faults = list(dict.fromkeys(r["fault"] for r in rows[2:]))
    figure = Figure(figsize=(3.2 * len(faults), 5.2), layout="constrained")
    axes = figure.subplots(2, len(faults), sharey="row", sharex="col", squeeze=False)
    for column, fault in enumerate(faults):
        steps = [rows[1], *(r for r in rows if r["fault"] == fault)]
        levels = [r["level"] for r in steps]
        axes[0][column].set_title(fault, loc="left", fontweight="bold")
        axes[0][column].semilogy(levels, [r["FID"] for r in steps], "o-", label="FID")
        for name in FIGURES[2:]:
            axes[1][column].plot(levels, [r[name] for r in steps], "o-", label=name)
        axes[1][column].set_xlabel(steps[-1]["unit"])
        for axis in (axes[0][column], axes[1][column]):
            axis.grid(color="0.92")
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("FID (logarithmic)")
    axes[1][0].legend(fontsize=8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
