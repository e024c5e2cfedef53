"""Every family of networks on real images for a few hundred steps: what it draws, and whether it collapses.

`python benchmarks/families.py RUNS [SOURCE ...] [--families NAME ...] [--steps N] [--pictures DIRECTORY]`

A source is `tfds:digits`, the default, or an .npz file with `image` uint8 [N,H,W,C] and `label` int [N]. Each
family trains under its config in `CONFIGS`, classes told (coupled ones take them for domains), in a directory
of its own under RUNS, and is passed over when it is done. Prints a table for each source, and draws a
picture: two rows of samples a family, a class a column. Variety is the mean distance between pairs of samples
of a class, as a share of the same between real images, in the class where it is least: 0 where a class has
become one image.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import data, pictures, report, training
from jaxgan.models.families import of_task

COLUMNS, PAIRS = 10, 50
# What differs from `configs/base.py`, by the config's fields.
SHARED: dict[str, Any] = {
    "model.conditional": True,
    "loss": "relativistic",
    "penalties.r1": 0.1,
    "penalties.r2": 0.1,
    "optimizer.generator.b1": 0.0,
    "optimizer.discriminator.b1": 0.0,
    "optimizer.generator.b2": 0.99,
    "optimizer.discriminator.b2": 0.99,
    "ema.half_life": 2000.0,
}


def rates(rate: float) -> dict[str, float]:
    """The learning rate of both players."""
    return {f"optimizer.{player}.learning_rate": rate for player in ("generator", "discriminator")}


HINGE = {"loss": "hinge", "penalties.r1": 0.0, "penalties.r2": 0.0}
SPECTRAL = {"model.generator.norm": "spectral", "model.discriminator.norm": "spectral"}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "dcgan": {"model.generator.width": 32, "model.discriminator.width": 32, **rates(1e-3)},
    "mlp": {"model.generator.width": 256, "model.discriminator.width": 256, **rates(5e-4)},
    "resnet": {
        **HINGE,
        **SPECTRAL,
        "model.generator.width": 32,
        "model.discriminator.width": 32,
        "alternation.discriminator.steps": 2,
    },
    "stylegan2": {
        "model.generator.width": 32,
        "model.discriminator.width": 32,
        "model.stylegan2.widest": 64,
        "model.stylegan2.style_size": 64,
        "model.stylegan2.mapping_depth": 2,
        **rates(2e-3),
    },
    "r3gan": {
        "model.generator.width": 48,
        "model.discriminator.width": 48,
        "model.r3gan.blocks": 1,
        **rates(5e-4),
    },
    "recurrent": {"model.generator.width": 32, "model.discriminator.width": 32, "model.recurrent.steps": 3},
    "coupled": {"model.generator.width": 16, "model.discriminator.width": 16, **rates(1e-3)},
    "vit": {
        "model.generator.width": 64,
        "model.discriminator.width": 64,
        "model.vit.depth": 4,
        "model.vit.attention_heads": 4,
        "model.vit.patch": 4,
        **rates(5e-4),
    },
}


def make_config(family: str, *, steps: int, batch_size: int, small: bool) -> Any:
    """The config of a family; small: of images of 8x8."""
    from configs import base  # of the repository, not of the installed package

    config = base.get_config()
    fields = {"model.family": family, "steps": steps, "batch_size": batch_size, **SHARED, **CONFIGS[family]}
    if small:
        fields |= {"model.smallest": 2} | ({"model.vit.patch": 2} if family == "vit" else {})
    every = dict.fromkeys(("log.every", "sample.every", "checkpoint.every"), steps)
    config.update_from_flattened_dict({**fields, **every, "log.every": max(1, steps // 20)})
    return config


def open_source(name: str) -> data.Source:
    """Real images: an .npz file's, or those that `data.open_source` knows."""
    if not name.endswith(".npz"):
        return data.open_source(name)
    with np.load(name) as arrays:
        return data.from_arrays(arrays["image"], arrays["label"], name=Path(name).stem)


def spread(images: np.ndarray) -> float:
    """The mean distance between pairs of images [N,H,W,C], in the units of their values."""
    flat = images[:PAIRS].reshape(len(images[:PAIRS]), -1).astype(float)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    return float(distances.sum() / (len(flat) * (len(flat) - 1)))


def row(family: str, run: training.Run, workdir: Path, source: data.Source) -> str:
    """A family's line of the table."""
    real = source.gather(np.arange(len(source)))
    labels = np.repeat(np.arange(len(source.classes)), PAIRS)
    made = run.sampler.draw(labels=labels, seed=1)
    variety = [
        spread(made[labels == i]) / spread(real["image"][real["label"] == i])
        for i in range(len(source.classes))
    ]
    lines = report.read_metrics(workdir / "metrics.jsonl")
    pace = np.median([x["speed/images_per_second"] for x in lines if "speed/images_per_second" in x])
    sizes = (
        sum(leaf.size for leaf in jax.tree.leaves(player.params)) / 1e6
        for player in (run.state.generator, run.state.discriminator)
    )
    parameters = " / ".join(f"{size:.2f}" for size in sizes)
    distance = lines[-1]["distance/sliced_wasserstein"]
    return (
        f"| {family} | {parameters} | {int(run.state.images) / 1000:.0f} | {pace:,.0f} "
        f"| {distance:.3f} | {min(variety):.2f} |"
    )


def main() -> None:
    """Trains what is left to train, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("sources", nargs="*", default=["tfds:digits"])
    names = [*of_task("synthesis")]
    parser.add_argument("--families", nargs="*", default=names, choices=names)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pictures", type=Path, default=Path("."))
    options = parser.parse_args()
    for name in options.sources:
        source = open_source(name)
        title = Path(name.rpartition(":")[2]).stem
        small = min(source.image_shape[:2]) < 16
        grid, captions = list[np.ndarray](), list[str]()
        print(f"{title}, {options.steps} steps of {options.batch} images\n")
        print("| family | parameters G / D, M | kimg | images/s | sliced Wasserstein | least variety |")
        print("| --- | --- | --- | --- | --- | --- |")
        for family in options.families:
            config = make_config(family, steps=options.steps, batch_size=options.batch, small=small)
            workdir = options.runs / f"{title}_{family}"
            run = training.train(config, workdir, source=source, progress=False)
            print(row(family, run, workdir, source), flush=True)
            classes = np.arange(COLUMNS) % len(source.classes)
            grid += [run.sampler.draw(labels=classes, seed=seed) for seed in (1, 2)]
            captions += [family, ""]
        print()
        pictures.save_image(
            pictures.image_grid(np.stack(grid), row_labels=captions),
            options.pictures / f"families_{title}.png",
        )


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main()
