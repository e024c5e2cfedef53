"""Holes filled by a run and by OpenCV's fillers, of the same images and masks.

`python benchmarks/restoration.py SOURCE --split=SPLIT --peers_python=PATH --lpips=FILE [--run=DIR]`

SOURCE and SPLIT name images that the run has not seen, as "arrays:FILE.npz" and "train[24000:]"; PATH is a
python that has opencv-python. Masks are free-form and rectangular, half of each, of 25 to 50 % of an image.
Printed is a markdown table, means over images: PSNR in dB and absolute difference in grey levels, of the
pixels in the hole alone; and LPIPS of the whole image, in which known pixels are true. For LPIPS each pixel
is repeated until the shorter side has 64, and grey images are colour with three equal channels. All images
are of 8 bits. The picture of --out has a row an image: what was given, what each made of it, the truth.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, masks, pictures
from jaxgan.features.perceptual import lpips

PEER = Path(__file__).parent / "peers" / "fillers.py"
KINDS, AREA = ("free_form", "rectangles"), (0.25, 0.5)
LPIPS_SIDE, BATCH = 64, 100


def main() -> None:
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--radius", type=float, default=3.0, help="of OpenCV's fillers, in pixels")
    for name in ("peers_python", "lpips"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("run", "out"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--rows", type=int, default=10, help="images in the picture")
    options = parser.parse_args()
    source = data.open_source(options.source, split=options.split)
    truth = np.asarray(source.gather(np.arange(min(options.count, len(source))))["image"])
    holes = draw(truth.shape)
    filled = by_peers(truth, holes, options.peers_python, options.radius)
    if options.run:
        filled["jaxgan"] = by_run(truth, holes, options.run)
    weights = lpips(options.lpips)
    distance = jax.jit(weights.apply)
    print("| filler | PSNR in the hole | L1 in the hole | LPIPS |\n| --- | --- | --- | --- |")
    for name, made in filled.items():
        psnr, l1 = inside(made, truth, holes)
        pairs = zip(*(np.array_split(enlarged(x), -(-len(x) // BATCH)) for x in (made, truth)), strict=True)
        far = np.concatenate([distance(weights.variables, *pair) for pair in pairs])
        print(f"| {name} | {psnr:.2f} | {l1:.2f} | {far.mean():.4f} |", flush=True)
    if options.out:
        columns = [np.where(holes > 0, 128, truth).astype(np.uint8), *filled.values(), truth]
        rows = np.stack([column[: options.rows] for column in columns], axis=1)
        pictures.save_image(pictures.image_grid(rows), options.out)


def draw(shape: tuple[int, ...]) -> np.ndarray:
    """Masks for images of this shape [N,H,W,C], the same each time: uint8 [N,H,W,1]."""
    keys = jnp.array_split(jax.random.split(jax.random.key(0), shape[0]), 2)
    sides = shape[1], shape[2]
    parts = [
        masks.draw_masks(k, sides, kinds=(kind,), area=AREA) for k, kind in zip(keys, KINDS, strict=True)
    ]
    both = np.concatenate([np.asarray(part, np.uint8) for part in parts])
    return both[np.random.default_rng(0).permutation(len(both))]


def by_peers(truth: np.ndarray, holes: np.ndarray, python: str, radius: float) -> dict[str, np.ndarray]:
    """Images filled by OpenCV in a process of its own, by the method's name."""
    with tempfile.TemporaryDirectory() as folder:
        given, filled = Path(folder, "given.npz"), Path(folder, "filled.npz")
        np.savez(given, images=truth * (1 - holes), masks=holes)
        subprocess.run([python, str(PEER), str(given), str(filled), str(radius)], check=True)
        with np.load(filled) as file:
            return {name: file[name] for name in file.files}


def by_run(truth: np.ndarray, holes: np.ndarray, workdir: str) -> np.ndarray:
    """Images filled by the averaged generator of a run."""
    from jaxgan import training

    run = training.open_run(workdir)
    use, module = run.game.task.use, run.game.generator

    @jax.jit
    def fill(images, mask, keys):  # type: ignore[no-untyped-def]
        def generator(*given):  # type: ignore[no-untyped-def]
            return module.apply(run.state.ema, *given, train=False)

        return use(generator, {"input": data.to_float(images), "mask": mask}, keys)

    parts = []
    for start in range(0, len(truth), BATCH):
        images, mask = truth[start : start + BATCH], holes[start : start + BATCH].astype(np.float32)
        parts.append(
            data.to_uint8(np.asarray(fill(images, mask, jax.random.split(jax.random.key(0), len(images)))))
        )
    return np.concatenate(parts)


def inside(made: np.ndarray, truth: np.ndarray, holes: np.ndarray) -> tuple[float, float]:
    """Of the pixels in holes: PSNR in dB and absolute difference in grey levels, means over images."""
    error = (made.astype(float) - truth) * holes
    count = holes.sum(axis=(1, 2, 3)) * truth.shape[-1]
    squares, l1 = (np.sum(x, axis=(1, 2, 3)) / count for x in (error**2, np.abs(error)))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(squares, 1e-3)))), float(l1.mean())


def enlarged(images: np.ndarray) -> np.ndarray:
    """Each pixel repeated until the shorter side has 64: uint8 [N,H,W,C] -> float32 in [-1, 1]."""
    factor = -(-LPIPS_SIDE // min(images.shape[1:3]))
    return data.to_float(images).repeat(factor, axis=1).repeat(factor, axis=2)


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main()
