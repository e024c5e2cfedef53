import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan.features import resizing

PIXELS = np.float32([[0, 10, 20, 200], [50, 90, 30, 255], [7, 0, 100, 60]])
# PIXELS to 5x5 and to 2x2, by torch-fidelity 0.4's interpolate_bilinear_2d_like_tensorflow1x and by PyTorch
# 2.13's F.interpolate, both with align_corners=False.
TF1 = [
    [[0, 8, 16, 92, 200], [30, 52.4, 38.8, 108.8, 233], [41.4, 65.88, 55.2, 112.8, 216],
     [15.6, 17.52, 58.8, 91.2, 99], [7, 1.4, 60, 84, 60]],
    [[0, 20], [28.5, 65]],
]  # fmt: skip
TORCH = [
    [[0, 7, 15, 74, 200], [20, 35.4, 33, 83.4, 222], [50, 78, 60, 97.5, 255], [24.2, 32.46, 54, 91.8, 138],
     [7, 2.1, 50, 88, 60]],
    [[21.25, 118.125], [20.125, 95.625]],
]  # fmt: skip


@pytest.mark.parametrize(("how", "expected"), [("tf1", TF1), ("torch", TORCH)])
def test_bilinear_resizers_agree_with_torch_fidelitys_and_pytorchs(how, expected):
    images = jnp.stack([PIXELS, 255 - PIXELS], axis=-1)[None]
    for square in map(np.asarray, expected):
        resized = resizing.resize(images, how, side=len(square))
        np.testing.assert_allclose(resized[0], np.stack([square, 255 - square], axis=-1), atol=1e-4)


def test_bilinear_resizers_worked_by_hand():
    """0 and 90 to three pixels: at 0, 2/3, 4/3 of the two, and with centres at a half at -1/6, 1/2, 7/6."""
    images = jnp.asarray([0.0, 90.0]).reshape(1, 2, 1, 1)
    for how, expected in (("tf1", [0, 60, 90]), ("torch", [0, 45, 90])):
        resized = resizing.resize(images, how, side=3)
        assert resized.shape == (1, 3, 3, 1)
        np.testing.assert_allclose(resized[0, :, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 9), (32, 32), (299, 299), (300, 61), (700, 1024)])
def test_clean_is_pillows_bicubic_of_floats_cut_off(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((299, 299), Image.Resampling.BICUBIC))
    assert shape != (32, 32) or (expected.max() > 255 and expected.min() < 0)  # it overshoots
    resized = resizing.resize(jnp.asarray(image)[None, :, :, None], "clean", side=299)
    np.testing.assert_allclose(resized[0, :, :, 0], np.clip(expected, 0, 255), atol=2e-4)


@pytest.mark.parametrize("how", resizing.RESIZERS)
def test_resizers_keep_what_is_constant_and_what_is_of_that_size(how):
    flat = jnp.full((1, 7, 50, 3), 255.0)
    np.testing.assert_allclose(resizing.resize(flat, how, side=20), 255.0, rtol=1e-6)
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (2, 20, 20, 3)), jnp.float32)
    np.testing.assert_allclose(resizing.resize(images, how, side=20), images, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("how", resizing.RESIZERS)
def test_resizers_are_the_same_compiled_and_have_derivatives(how):
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (2, 9, 30, 3)), jnp.float32)
    plain = resizing.resize(images, how, side=20)
    compiled = jax.jit(resizing.resize, static_argnames=("how", "side"))(images, how=how, side=20)
    np.testing.assert_allclose(compiled, plain, rtol=1e-6, atol=1e-4)
    gradient = jax.grad(lambda images: resizing.resize(images, how, side=20).sum())(images)
    assert jnp.isfinite(gradient).all() and jnp.abs(gradient).max() > 0.1


def test_an_unknown_resizer_is_refused():
    with pytest.raises(ValueError, match="no resizer 'bicubic'; expected one of tf1, torch, clean"):
        resizing.resize(jnp.zeros((1, 4, 4, 3)), "bicubic", side=8)
