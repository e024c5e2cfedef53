"""LPIPS against the `lpips` package (0.1.4, torch 2.13) on weights and images by a formula."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.features.perceptual import lpips
from jaxgan.interop import files
from jaxgan.interop.pickles import WeightsError

DATA = Path(os.environ.get("JAXGAN_DATA", "nowhere")) / "weights" / "lpips_alex.npz"
KERNELS = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}
# By (H, W): distances of two pairs, the same of their first channels alone, and the norms of the distances'
# gradients with respect to the first images, as torch has them.
TORCHS = {
    (31, 31): ([0.2569819, 1.1451203], [0.1392272, 1.2300651], [2.7728965, 3.4468684]),
    (40, 67): ([0.2018392, 1.1913517], [0.2208515, 1.1449528], [1.9735870, 1.9034480]),
}
STAGES = [0.3005981, 0.0445516, 0.0316535, 0.0314772, 0.0320396]  # means of the grids of 31x31 pixels


def waves(shape, phase):
    return np.sin(0.7310585 * np.arange(np.prod(shape)) + phase).reshape(shape)


def weights():
    made = {}
    for i, (place, shape) in enumerate(KERNELS.items()):
        made[f"features.{place}.weight"] = 2 * waves(shape, i) / np.prod(shape[1:]) ** 0.5
        made[f"features.{place}.bias"] = 0.1 * waves(shape[:1], i + 0.5)
        made[f"lin{i}.model.1.weight"] = waves((1, shape[0], 1, 1), i) ** 2
    return {name: array.astype(np.float32) for name, array in made.items()}


def pairs(height, width):
    r, c, k = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    first = [np.sin(0.3 * r + 0.2 * c + k), np.sin(0.5 * r - 0.1 * c * k)]
    second = [np.sin(0.3 * r + 0.2 * c + k + 0.5), np.cos(0.4 * r + 0.3 * c)]
    return jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)


@pytest.fixture(scope="module")
def distance(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lpips.npz"
    np.savez(path, **weights())
    return lpips(path)


each_size = pytest.mark.parametrize("size", TORCHS)


@each_size
def test_distances_are_torchs(distance, size):
    found = jax.jit(distance.apply)(distance.variables, *pairs(*size))
    np.testing.assert_allclose(found, TORCHS[size][0], rtol=1e-5)


@each_size
def test_grey_images_are_repeated(distance, size):
    found = jax.jit(distance.apply)(distance.variables, *(images[..., :1] for images in pairs(*size)))
    np.testing.assert_allclose(found, TORCHS[size][1], rtol=1e-5)


@each_size
def test_gradients_are_torchs(distance, size):
    first, second = pairs(*size)
    gradient = jax.jit(jax.grad(lambda x: distance.apply(distance.variables, x, second).sum()))(first)
    np.testing.assert_allclose(jnp.sqrt(jnp.sum(gradient**2, axis=(1, 2, 3))), TORCHS[size][2], rtol=1e-4)


def test_stages_are_the_grids_behind_it(distance):
    grids = distance.stages(distance.variables, pairs(31, 31)[1])
    assert [grid.shape[1:] for grid in grids] == [
        (7, 7, 64), (3, 3, 192), (1, 1, 384), (1, 1, 256), (1, 1, 256),
    ]  # fmt: skip
    np.testing.assert_allclose([grid.mean() for grid in grids], STAGES, rtol=1e-5)


def test_equal_images_are_at_no_distance_and_have_no_gradient(distance):
    images = jnp.stack([pairs(31, 31)[0][0], jnp.full((31, 31, 3), -1.0)])
    both = jax.value_and_grad(lambda x: distance.apply(distance.variables, x, images).sum())
    value, gradient = jax.jit(both)(images)
    assert value < 1e-9 and np.abs(gradient).max() < 1e-4


def test_dead_features_have_a_finite_gradient(distance):
    """Of pixels with no feature above 0, a vector of length 0 is brought to length 1."""
    dead = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full_like(leaf, -9.0) if path[-1].key == "bias" else leaf, distance.variables
    )
    both = jax.jit(jax.value_and_grad(lambda x: distance.apply(dead, x, -x).sum()))
    value, gradient = both(pairs(31, 31)[0])
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_torchvisions_file_and_lpips_own_are_taken_together(distance, tmp_path):
    found = weights()
    trunk = {name: array for name, array in found.items() if name.startswith("features")}
    trunk["classifier.6.weight"] = np.zeros((1000, 4096), np.float16)
    files.write(tmp_path / "alexnet.safetensors", trunk)
    heads = {name: array for name, array in found.items() if name.startswith("lin")}
    files.write(tmp_path / "alex.safetensors", heads)
    both = lpips([tmp_path / "alexnet.safetensors", tmp_path / "alex.safetensors"])
    assert both.digest == distance.digest
    with pytest.raises(WeightsError, match=r"lin0\.model\.1\.weight is missing"):
        lpips(tmp_path / "alexnet.safetensors")


def test_weights_of_another_network_are_refused(tmp_path):
    found = weights() | {"lin1.model.1.weight": np.zeros((1, 128, 1, 1), np.float32)}
    files.write(tmp_path / "a.safetensors", found)
    with pytest.raises(WeightsError, match=r"lin1\.model\.1\.weight \(1, 128, 1, 1\) becomes \(128,\)"):
        lpips(tmp_path / "a.safetensors")


def test_images_that_cannot_be_compared_are_refused(distance):
    apply, images = distance.apply, jnp.zeros((2, 31, 31, 3))
    with pytest.raises(ValueError, match="31x31 pixels or more, got 30x31"):
        apply(distance.variables, images[:, 1:], images[:, 1:])
    with pytest.raises(ValueError, match=r"Pairs .* got \(2, 31, 31, 3\) and \(1, 31, 31, 3\)"):
        apply(distance.variables, images, images[:1])
    with pytest.raises(ValueError, match="background"):
        distance.stages(distance.variables, jnp.zeros((2, 31, 31, 4)))


@pytest.mark.skipif(not DATA.exists(), reason="JAXGAN_DATA has no weights/lpips_alex.npz")
def test_real_weights_give_torchs_distances():
    distance = lpips(DATA)
    found = jax.jit(distance.apply)(distance.variables, *pairs(64, 48))
    np.testing.assert_allclose(found, [0.0125480, 0.4906411], rtol=1e-5)
