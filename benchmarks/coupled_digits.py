"""Coupled networks on digits and their negatives, or edges: do pairs of one latent show the same digit?

`python benchmarks/coupled_digits.py MNIST.npz RUN [--edges] [--set FIELD=VALUE ...]`

The file holds MNIST, `image` uint8 [N,28,28,1] and `label` int [N]. One half of the digits stays as it is,
the other half becomes negatives or edges: no digit is in both domains, so that no pairs are shown. Trained is
configs/cogan.py. A classifier that was trained on all digits in both forms (jaxgan.features) names the digits
of both images of 10,000 latents. `pairs.png` under RUN shows some pairs, one below the other. Prints a line
of JSON:

- `agreement`: the share of pairs that agree;
- `by_chance`: the same of images of other latents, what networks would have that couple nothing;
- `at_best`: the same of first images and their own exact change: what is missing there is digits that are
  hard to read, of which the classifier says one thing as they are and another as they are changed;
- `turned_back`: of negatives alone, the share that agrees when second images are turned back to digits before
  they are read, so that the classifier has one form to read and the images alone can disagree;
- `digits`, `classifier`: how many digits occur in each domain, and the accuracy on real digits of both.

Training goes on from where it was when called again.

Source: Liu & Tuzel 2016 (CoGAN), section 5, tasks A (edges) and B (negatives).
"""

import argparse
import ast
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SAMPLES, AT_A_TIME, SHOWN = 10_000, 250, 20
CLASSIFIER_STEPS = 3000


def negatives(images: np.ndarray) -> np.ndarray:
    """White for black: uint8 [N,H,W,C] -> the same."""
    return 255 - images


def edges(images: np.ndarray) -> np.ndarray:
    """The lightest less the darkest of each pixel's 3x3 neighbours: uint8 [N,H,W,C] -> the same."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows.max(axis=(-2, -1)) - windows.min(axis=(-2, -1))


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images stay as they are, and which are changed: indices, all of them once."""
    order = np.random.default_rng(0).permutation(count)
    return order[: count // 2], order[count // 2 :]


def agreement(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Digits [N] that pairs show, in each domain -> how often they are the same, and how many occur."""
    return {
        "agreement": round(float(np.mean(first == second)), 4),
        "by_chance": round(float(np.mean(first == np.roll(second, 1))), 4),
        "digits": [len({*digits.tolist()}) for digits in (first, second)],
    }


def draw_pairs(run: Any, count: int, *, seed: int) -> np.ndarray:
    """Both images of each of so many latents, of the averaged generator: uint8 [count,2,28,28,1]."""
    from jaxgan.data import to_uint8
    from jaxgan.tasks.synthesis import draw_latents

    @jax.jit
    def joint(variables: Any, keys: jax.Array) -> jax.Array:
        latents = draw_latents(keys, run.config.model.latent_size)
        images = run.game.generator.apply(variables, latents, train=False, method="joint")
        return jnp.asarray(to_uint8(images))

    keys = jax.random.split(jax.random.key(seed), count)
    parts = range(0, count, AT_A_TIME)
    return np.concatenate([joint(run.sampler.variables, keys[i : i + AT_A_TIME]) for i in parts])


def read_digits(classifier: Any, images: np.ndarray) -> np.ndarray:
    """The digit that each image shows: uint8 [N,28,28,1] -> [N]."""
    logits = jax.jit(classifier.extractor.logits)
    name = partial(logits, classifier.extractor.variables)
    parts = range(0, len(images), AT_A_TIME)
    found = [np.argmax(name(images[i : i + AT_A_TIME].astype(np.float32)), axis=-1) for i in parts]
    return np.concatenate(found)


def main() -> None:
    """Trains, measures and prints."""
    from configs import cogan  # of the repository, not of the installed package
    from jaxgan import data, training
    from jaxgan.features.classifier import train_classifier
    from jaxgan.pictures import image_grid, save_image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("npz")
    parser.add_argument("run", type=Path)
    parser.add_argument("--edges", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()
    with np.load(options.npz) as arrays:
        digits, labels = arrays["image"], arrays["label"]
    change = edges if options.edges else negatives
    kept, changed = halves(len(digits))
    domains = {"digits": digits[kept], change.__name__: change(digits[changed])}
    sources = [data.from_arrays(images, name=name) for name, images in domains.items()]
    source = data.by_domain(data.mix(sources, [None, None], name="coupled_digits", domains=[*domains]))
    config = cogan.get_config()
    for assignment in options.set:
        name, _, value = assignment.partition("=")
        config.update_from_flattened_dict({name: ast.literal_eval(value)})
    start = time.monotonic()
    run = training.train(config, options.run, source=source, progress=False)
    seconds = round(time.monotonic() - start)
    both = data.from_arrays(np.concatenate([digits, change(digits)]), np.tile(labels, 2))
    classifier = train_classifier(both, steps=CLASSIFIER_STEPS)
    pairs = draw_pairs(run, SAMPLES, seed=1)
    first, second = (read_digits(classifier, pairs[:, domain]) for domain in (0, 1))
    found = agreement(first, second)
    found["at_best"] = agreement(first, read_digits(classifier, change(pairs[:, 0])))["agreement"]
    if change is negatives:
        found["turned_back"] = agreement(first, read_digits(classifier, negatives(pairs[:, 1])))["agreement"]
    save_image(image_grid(pairs[:SHOWN].swapaxes(0, 1)), options.run / "pairs.png")
    found |= {
        "classifier": round(classifier.accuracy, 4),
        "images": int(run.state.images),
        "seconds": seconds,
    }
    print(json.dumps({"domains": [*domains], **found}))


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main()
