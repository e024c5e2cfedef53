"""How near to the truth are photographs made of label maps, beside what needs no network?

`python benchmarks/facades.py RUN --lpips=FILE [--step=N ...] [--out=PICTURE]`

RUN is one of configs/facades.py, whose test pairs are measured (config.evaluate.split). Printed is a markdown
table, means over pairs: the absolute difference of values in [-1, 1], and LPIPS of whole images. Beside the
run there are the label map itself; the mean of all training photographs; that of the training pixels of each
label, where labels are the 12 colours nearest to which the maps' pixels lie; and, which is no method, as it
knows the truth's mean colour, the mean photograph brought to this. The picture has a row a pair: label map,
labels' mean colours, made, truth.
"""

import argparse

import jax
import numpy as np
from ml_collections import ConfigDict
from sklearn.cluster import KMeans

from jaxgan import build, data, pictures, training
from jaxgan.features.perceptual import PerceptualDistance, lpips

LABELS, SOME, BATCH = 12, 50_000, 50


def main() -> None:
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--lpips", required=True)
    parser.add_argument("--step", type=int, nargs="*", default=[None])
    parser.add_argument("--out")
    parser.add_argument("--rows", type=int, default=8, help="pairs in the picture")
    options = parser.parse_args()
    runs = [training.open_run(options.run, step=step) for step in options.step]
    train, test = (open_pairs(runs[0].config, split) for split in ("train", "test"))
    shown = [run.sampler.show(test) for run in runs]
    truth = shown[0]["truth"]
    made = baselines(train, test) | {
        f"step {int(run.state.step):,}": part["output"] for run, part in zip(runs, shown, strict=True)
    }
    distance = lpips(options.lpips)
    print("| made by | L1 | LPIPS |\n| --- | --- | --- |")
    for name, images in made.items():
        print(f"| {name} | {l1(images, truth):.4f} | {perceptual(distance, images, truth):.4f} |", flush=True)
    if options.out:
        columns = [shown[0]["input"], made["mean colour of the label"], shown[-1]["output"], truth]
        rows = np.stack([column[: options.rows] for column in columns], axis=1)
        pictures.save_image(pictures.image_grid(rows), options.out)


def open_pairs(config: ConfigDict, split: str) -> dict[str, np.ndarray]:
    """Pairs at the size that the network was trained at, whole: uint8 [N,H,W,3] by name."""
    config = ConfigDict(config.to_dict())
    config.data.split, config.data.size = split, config.data.random_crop or config.data.size
    source = build.open_source(config)
    return {name: np.asarray(rows) for name, rows in source.gather(np.arange(len(source))).items()}


def baselines(train: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Photographs made of label maps without a network, uint8 [N,H,W,3] by name."""
    photos, truth = train["image"].astype(np.float32), test["image"].astype(np.float32)
    pixels = train["input"].reshape(-1, 3).astype(np.float32)
    some = np.random.default_rng(0).choice(len(pixels), min(SOME, len(pixels)), replace=False)
    clusters = KMeans(LABELS, n_init=3, random_state=0).fit(pixels[some])
    labels = clusters.predict(pixels)
    colours = np.stack([photos.reshape(-1, 3)[labels == label].mean(axis=0) for label in range(LABELS)])
    of_label = colours[clusters.predict(test["input"].reshape(-1, 3).astype(np.float32))].reshape(truth.shape)
    mean = np.broadcast_to(photos.mean(axis=0), truth.shape)
    knowing = mean + (truth - mean).mean(axis=(1, 2), keepdims=True)
    found = {
        "the label map itself": test["input"],
        "mean photograph": mean,
        "mean colour of the label": of_label,
        "mean photograph, in the truth's mean colour": knowing,
    }
    return {name: np.clip(np.round(images), 0, 255).astype(np.uint8) for name, images in found.items()}


def l1(images: np.ndarray, truth: np.ndarray) -> float:
    """The mean absolute difference of values in [-1, 1]."""
    return float(np.mean(np.abs(data.to_float(images) - data.to_float(truth))))


def perceptual(distance: PerceptualDistance, images: np.ndarray, truth: np.ndarray) -> float:
    """LPIPS, the mean over images."""
    apply = jax.jit(distance.apply)
    parts = zip(*(np.array_split(x, -(-len(x) // BATCH)) for x in (images, truth)), strict=True)
    far = [apply(distance.variables, *(data.to_float(x) for x in pair)) for pair in parts]
    return float(np.mean(np.concatenate(far)))


if __name__ == "__main__":
    main()
