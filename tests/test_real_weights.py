"""Weights that others trained, from the folder that JAXGAN_DATA names; without it these tests are skipped."""

import io
import os
import tarfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from jaxgan.interop import files, tables
from jaxgan.interop.layouts import srgan
from jaxgan.interop.sequential import (
    BatchNorm,
    Conv,
    ConvTransposed,
    Dense,
    Enlarge,
    Generator,
    Grid,
    LeakyRelu,
    Tanh,
    table,
)
from jaxgan.models import srresnet

DATA = Path(os.environ.get("JAXGAN_DATA", "nowhere"))


def needs(*names):
    missing = [name for name in names if not (DATA / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"JAXGAN_DATA has no {', '.join(missing)}")


def taken(network, layout, name, *inputs):
    """A function of inputs, after the file was got back bit for bit."""
    weights = files.read(DATA / "weights" / name)
    variables, kept = tables.take(layout, weights, tables.template(network, *inputs))
    back = tables.give(layout, variables, kept)
    assert back.keys() == weights.keys()
    assert all(back[name].tobytes() == array.tobytes() for name, array in weights.items())
    return jax.jit(partial(network.apply, variables, train=False))


def mosaic(name, rows, columns):
    tiles = np.asarray(Image.open(DATA / "mnist" / name).convert("L"))
    return tiles.reshape(rows, 28, columns, 28).transpose(0, 2, 1, 3).reshape(-1, 784) / 255.0


@pytest.fixture(scope="module")
def classify():
    """Images [N,28,28,1] in [-1, 1] -> digits [N], right of 94 in 100 of MNIST's test images."""
    images, labels = mosaic("mnist_train_mosaic.webp", 200, 300), np.load(DATA / "mnist" / "mnist_labels.npz")
    some = np.random.default_rng(0).permutation(len(images))[:6000]
    components = PCA(50, random_state=0).fit(images[some])
    machine = SVC(C=5).fit(components.transform(images[some]), labels["y_train"][some])
    tests = components.transform(mosaic("mnist_test_mosaic.webp", 100, 100)[:1000])
    assert machine.score(tests, labels["y_test"][:1000]) > 0.93
    return lambda made: machine.predict(components.transform(np.asarray(made).reshape(-1, 784) / 2 + 0.5))


def stage(features, size, stride):
    return ConvTransposed(features, size, stride), BatchNorm(), LeakyRelu()


@needs("weights/ryhan_mnist_dcgan_G.pth", "mnist")
def test_a_dcgan_of_others_draws_all_digits(classify):
    network = Generator(
        (*stage(256, 3, 2), *stage(128, 4, 1), *stage(64, 3, 2), ConvTransposed(1, 4, 2), Tanh())
    )
    names = [*(f"gen.{i}.{j}" for i in range(3) for j in range(2)), "gen.3.0"]
    latents = jax.random.normal(jax.random.key(0), (500, 64))
    draw = taken(network, table(network, names), "ryhan_mnist_dcgan_G.pth", latents[:1])
    assert np.bincount(classify(draw(latents)), minlength=10).min() > 10


@needs("weights/hayatohongo_mnist_cwgan_gp_G.pth", "mnist")
def test_a_conditional_wgan_of_others_draws_the_digits_that_it_is_asked_for(classify):
    inner = (Enlarge(), Conv(128, 3, padding=1), BatchNorm(0.8), LeakyRelu())
    inner += (Enlarge(), Conv(64, 3, padding=1), BatchNorm(0.8), LeakyRelu())
    layers = (Dense(6272), Grid(7, 7), BatchNorm(), *inner, Conv(1, 3, padding=1), Tanh())
    network = Generator(layers, num_classes=10, embedding=10)
    names = ["l1.0", *(f"conv_blocks.{i}" for i in (0, 2, 3, 6, 7, 9))]
    latents, labels = jax.random.normal(jax.random.key(0), (1000, 10)), jnp.arange(1000) % 10
    layout = table(network, names, embedding="label_emb")
    draw = taken(network, layout, "hayatohongo_mnist_cwgan_gp_G.pth", latents[:1], labels[:1])
    right = classify(draw(latents, labels)) == np.asarray(labels)
    assert right.mean() > 0.65  # measured: 0.72; by chance 0.1


@needs("weights/leftthomas_srgan_x4_G.pth", "super_resolution.tar")
def test_an_srgan_of_others_enlarges_set5_as_well_as_it_is_said_to():
    network = srresnet.Generator(blocks=5, closing="prelu", bounded=True)
    images = jnp.zeros((1, 8, 8, 3))
    enlarge = taken(network, srgan.table(network), "leftthomas_srgan_x4_G.pth", images)
    values = []
    with tarfile.open(DATA / "super_resolution.tar") as tar:
        for number in range(1, 6):
            large, small = (pixels(tar, f"set5/{kind}/img_{number:03}.png") for kind in ("hr", "lr_x4"))
            made = np.asarray(enlarge(jnp.float32(small[None] / 127.5 - 1)))[0]
            made = np.clip(np.round((made + 1) * 127.5), 0, 255)
            error = (luma(made) - luma(large))[4:-4, 4:-4]
            values.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(values) == pytest.approx(30.66, abs=0.01)


def pixels(tar, name):
    with Image.open(io.BytesIO(tar.extractfile(name).read())) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def luma(images):
    """Of ITU-R BT.601, as MATLAB has it."""
    return 16 + images @ np.array([65.481, 128.553, 24.966]) / 255
