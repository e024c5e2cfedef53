"""Do conditional samples show the class that they were asked for, and do they vary?

`python benchmarks/label_accuracy.py RUN [--npz=FILE]`

A support vector classifier (RBF kernel) is trained on the run's real images and never sees a sample. It
judges equally many samples of each class; its own accuracy on real images that it was not trained on
stands beside. Variety is the mean distance between pairs of samples of a class, as a share of the same
between real images of the class.
"""

import argparse
import json

import numpy as np
from sklearn.svm import SVC

from jaxgan import data, training

TRAINED_ON = 12_000  # real images at most; the classifier's cost grows with their square
PAIRS = 100  # images of a class whose pairs are compared


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--npz", help="arrays image and label, instead of the config's data set")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run = training.open_run(options.run)
    images, labels, test_images, test_labels = _real(run, options.npz)
    wanted = np.arange(options.samples) % len(run.sampler.classes)
    samples = run.sampler.draw(labels=wanted, seed=options.seed)
    classifier = SVC(gamma="scale", C=10.0).fit(_flat(images), labels)
    right = classifier.predict(_flat(samples)) == wanted
    test = classifier.score(_flat(test_images), test_labels)
    variety = {
        name: round(_spread(samples[wanted == i]) / _spread(images[labels == i]), 3)
        for i, name in enumerate(run.sampler.classes)
    }
    result = {
        "run": options.run,
        "seed": run.config.seed,
        "step": int(run.state.step),
        "samples": options.samples,
        "label_accuracy": float(right.mean()),
        "by_class": [round(float(right[wanted == i].mean()), 3) for i in range(len(variety))],
        "classifier_on_real_test": round(float(test), 4),
        "variety": variety,
        "least_variety": min(variety.values()),
    }
    print(json.dumps(result))


def _real(run: training.Run, npz: str | None) -> tuple[np.ndarray, ...]:
    """Training images and labels, and others that a classifier can be tested on."""
    if npz:
        with np.load(npz) as arrays:
            images, labels = arrays["image"], arrays["label"]
        order = np.random.default_rng(0).permutation(len(images))
        images, labels = images[order], labels[order]
        cut = min(TRAINED_ON, len(images) * 4 // 5)
        return images[:cut], labels[:cut], images[cut : cut + 2000], labels[cut : cut + 2000]
    where = run.config.data.data_dir or None
    source = {
        split: data.open_source(run.config.data.source, split=split, data_dir=where)
        for split in ("train", "test")
    }
    train, test = (source[split].gather(np.arange(len(source[split]))) for split in source)
    every = max(1, len(train["image"]) // TRAINED_ON)
    return train["image"][::every], train["label"][::every], test["image"], test["label"]


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255.0


def _spread(images: np.ndarray) -> float:
    flat = _flat(images[:PAIRS])
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    return float(distances.sum() / (len(flat) * (len(flat) - 1)))


if __name__ == "__main__":
    main()
