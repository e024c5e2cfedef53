"""A network for features that is small and pure: fixed random projections of pixels."""

import math

import jax.numpy as jnp
import numpy as np

from jaxgan.data import from_arrays
from jaxgan.features.extractors import Extractor, as_colour, digest_of
from jaxgan.features.perceptual import PerceptualDistance

SHAPE = (8, 8, 1)
CLASSES = ("dark", "grey", "light")


def extractor(shape=SHAPE, *, size=4, resize="none", logits=True, classes=CLASSES):
    """Projections of the pixels of images of a shape; logits say whether they are dark, grey or light."""
    random = np.random.default_rng(0)
    projection = random.normal(size=(math.prod(shape[:2]) * 3, size)).astype(np.float32)
    variables = {"projection": projection}

    def apply(variables, images):
        return as_colour(images).reshape(len(images), -1) @ variables["projection"] / 255

    def say(variables, images):
        light = jnp.mean(images, axis=(1, 2, 3))[:, None]
        return -((light - jnp.array([40.0, 128.0, 215.0])) ** 2) / 1000

    return Extractor(
        f"projection-{size}",
        digest_of(variables),
        resize,
        size,
        variables,
        apply,
        say if logits else None,
        classes,
    )


def squares():
    """A distance in the place of LPIPS: mean squared differences of pixels."""

    def apply(variables, first, second):
        return variables["weight"] * jnp.mean((first - second) ** 2, axis=(1, 2, 3))

    return PerceptualDistance("squares", "0" * 64, {"weight": jnp.float32(1.0)}, apply, lambda *_: [])


def images_of(labels, *, noise=0.0, seed=0, shape=SHAPE):
    """Dark, grey and light images by label, with grain, and further noise: uint8 [N,H,W,C]."""
    random = np.random.default_rng(seed)
    labels = np.asarray(labels)
    light = np.array([40.0, 128.0, 215.0])[labels][:, None, None, None]
    grain = random.normal(scale=12.0, size=(len(labels), *shape))
    further = np.random.default_rng(seed + 1000).normal(size=(len(labels), *shape))
    return np.clip(light + grain + noise * further, 0, 255).astype(np.uint8)


def source(count=60, *, seed=0, noise=0.0, labelled=True, shape=SHAPE, name="arrays"):
    """A set of such images, as many of each class."""
    labels = np.arange(count) % 3
    images = images_of(labels, noise=noise, seed=seed, shape=shape)
    return (
        from_arrays(images, labels, classes=CLASSES, name=name)
        if labelled
        else from_arrays(images, name=name)
    )
