import io
import os
import tarfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from PIL import Image
from scipy.ndimage import correlate1d

from jaxgan import metrics
from jaxgan.data import transforms

ms_ssim = jax.jit(partial(metrics.ms_ssim, peak=255.0))
SETS = Path(os.environ.get("JAXGAN_DATA", "nowhere")) / "super_resolution.tar"
# Of the pairs below in float64. By scikit-image 0.26, with data_range=255 and channel_axis=-1: PSNR, and SSIM
# with gaussian_weights=True and use_sample_covariance=False.
BY_SKIMAGE = {
    (24, 37, 1): {
        "shifted": (23.25600276718933, 0.89751753593601),
        "fainter": (17.118426041340914, 0.7708688861920293),
        "near": (57.15023169973159, 0.9999089452492451),
    },
    (40, 32, 3): {
        "shifted": (23.171741354690823, 0.9066195062577546),
        "fainter": (18.505109798060314, 0.8356343165779418),
        "near": (57.08110155174383, 0.9999276093329605),
    },
}
# By pytorch-msssim 1.0, in float64.
BY_PYTORCH_MSSSIM = {"shifted": 0.9821871776884519, "fainter": 0.8850381311108091, "near": 0.999981942688669}


def picture(height, width, channels, phase=0.0):
    y, x, c = np.ogrid[:height, :width, :channels]
    return 127.5 + 63 * np.sin(0.3 * x + 0.01 * y**2 + c + phase) + 63 * np.cos(0.21 * y - 0.04 * c * x)


def pairs(height, width, channels, dtype=np.float64):
    """A picture with three others, as batches: {name: (images, targets)}."""
    first = picture(height, width, channels)
    others = {
        "shifted": picture(height, width, channels, 0.4),
        "fainter": 127.5 + 0.6 * (first - 127.5) + 20,
        "near": first + 0.5 * np.cos(np.arange(width))[:, None],
    }
    return {name: (first[None].astype(dtype), other[None].astype(dtype)) for name, other in others.items()}


def ms_ssim_by_the_papers(first, second, peak=255.0):
    """Of images [H,W] of any size, in float64, from variances and a covariance."""
    window = np.exp(-np.square(np.arange(11) - 5) / 4.5)
    window /= window.sum()

    def blurred(image):
        return correlate1d(correlate1d(image, window, axis=0), window, axis=1)[5:-5, 5:-5]

    def halved(image):
        image = np.pad(image, [(0, n % 2) for n in image.shape], mode="symmetric")
        return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4

    c1, c2, value = (0.01 * peak) ** 2, (0.03 * peak) ** 2, 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        means = blurred(first), blurred(second)
        variances = [blurred(x * x) - m * m for x, m in zip((first, second), means, strict=True)]
        covariance = blurred(first * second) - means[0] * means[1]
        similar = (2 * covariance + c2) / (sum(variances) + c2)
        if scale == 4:
            similar = similar * (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
        value *= max(similar.mean(), 0) ** weight
        first, second = halved(first), halved(second)
    return value


each_name = pytest.mark.parametrize("name", BY_PYTORCH_MSSSIM)
each_metric = pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, metrics.ms_ssim])


@pytest.mark.parametrize("size", BY_SKIMAGE)
@each_name
def test_psnr_and_ssim_are_those_of_scikit_image(size, name):
    images, targets = pairs(*size, dtype=np.float32)[name]
    psnr, ssim = BY_SKIMAGE[size][name]
    np.testing.assert_allclose(metrics.psnr(images, targets, peak=255), [psnr], rtol=1e-6)
    np.testing.assert_allclose(metrics.ssim(images, targets, peak=255), [ssim], rtol=0, atol=2e-7)
    with jax.enable_x64(True):
        images, targets = pairs(*size)[name]
        np.testing.assert_allclose(metrics.psnr(images, targets, peak=255), [psnr], rtol=1e-13)
        np.testing.assert_allclose(metrics.ssim(images, targets, peak=255), [ssim], rtol=1e-13)


@each_name
def test_ms_ssim_is_that_of_pytorch_msssim(name):
    images, targets = pairs(176, 192, 2, np.float32)[name]
    expected = BY_PYTORCH_MSSSIM[name]
    np.testing.assert_allclose(ms_ssim(images, targets), [expected], rtol=0, atol=2e-7)
    with jax.enable_x64(True):  # its window is of float32
        images, targets = pairs(176, 192, 2)[name]
        np.testing.assert_allclose(ms_ssim(images, targets), [expected], atol=2e-7)


@pytest.mark.parametrize("size", [(161, 175, 1), (178, 163, 1)])
def test_ms_ssim_is_that_of_the_papers_at_odd_sizes(size):
    with jax.enable_x64(True):
        for images, targets in pairs(*size).values():
            expected = ms_ssim_by_the_papers(images[0, ..., 0], targets[0, ..., 0])
            np.testing.assert_allclose(ms_ssim(images, targets), [expected], rtol=1e-12)


def test_psnr_worked_by_hand():
    images = jnp.zeros((2, 3, 5, 2))
    found = metrics.psnr(images, images + jnp.float32([25.5, 2.55])[:, None, None, None], peak=255)
    np.testing.assert_allclose(found, [20, 40], rtol=1e-6)
    assert metrics.psnr(images, images, peak=255).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("metric", [metrics.ssim, metrics.ms_ssim])
def test_an_image_is_like_itself_and_unlike_its_negative(metric):
    images = jnp.float32(picture(161, 170, 3))[None]
    assert metric(images, images, peak=255).tolist() == [1]
    assert metric(images, 255 - images, peak=255)[0] < (-0.5 if metric is metrics.ssim else 1e-6)


def test_ssim_of_flat_images_is_their_luminance():
    images = jnp.full((1, 11, 12, 1), 100.0)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    np.testing.assert_allclose(metrics.ssim(images, images + 50, peak=255), [expected], rtol=1e-6)


@each_metric
def test_values_are_of_each_image_and_symmetric_and_of_any_peak(metric):
    images, targets = (np.concatenate(x) for x in zip(*pairs(162, 161, 1, np.float32).values(), strict=True))
    found = metric(images, targets, peak=255)
    assert found.shape == (3,) and found.dtype == jnp.float32
    jitted = jax.jit(metric)
    np.testing.assert_allclose(jitted(images, targets, peak=255), found, rtol=1e-6)
    np.testing.assert_allclose(jitted(targets[::-1], images[::-1], peak=255), found[::-1], rtol=2e-6)
    np.testing.assert_allclose(jitted(images / 255, targets / 255, peak=1.0), found, rtol=2e-6)
    np.testing.assert_allclose(jitted(images[1:2], targets[1:2], peak=255), found[1:2], rtol=1e-6)


@each_metric
def test_a_border_is_left_out(metric):
    images, targets = pairs(170, 180, 1, np.float32)["shifted"]
    inside = (slice(None), slice(4, -4), slice(4, -4))
    found = metric(images, targets, peak=255, border=4)
    assert found == metric(images[inside], targets[inside], peak=255) != metric(images, targets, peak=255)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_gradients_are_those_of_differences(metric):
    with jax.enable_x64(True):
        images, targets = pairs(13, 12, 2)["shifted"]
        check_grads(lambda x: metric(x, targets, peak=255), (images,), order=1, modes=["rev"], rtol=1e-5)


def test_gradients_of_ms_ssim_are_those_of_differences_and_finite_where_it_is_0():
    with jax.enable_x64(True):
        images, targets = pairs(161, 161, 1)["shifted"]
        check_grads(lambda x: ms_ssim(x, targets), (images,), order=1, modes=["rev"], rtol=1e-4)
    images = jnp.float32(picture(161, 161, 1))[None]
    value, gradient = jax.jit(jax.value_and_grad(lambda x: ms_ssim(x, 255 - images)[0]))(images)
    assert value == 0 and jnp.isfinite(gradient).all()


def test_ssim_pulls_an_image_to_its_target():
    images, targets = pairs(16, 16, 1, np.float32)["fainter"]
    gradient = jax.jit(jax.grad(lambda x: metrics.ssim(x, targets, peak=255)[0]))
    before = metrics.ssim(images, targets, peak=255)
    for _ in range(50):
        images = images + 2000 * gradient(images)
    assert metrics.ssim(images, targets, peak=255) > before + 0.04


def test_luma_is_between_the_levels_of_a_studio():
    colours = jnp.float32([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])[None, None]
    expected = [16, 235, 81.481, 144.553, 40.966]
    np.testing.assert_allclose(metrics.luma(colours, peak=255)[0, 0, :, 0], expected, rtol=1e-6)
    found = metrics.luma(colours / 255, peak=1.0)
    assert found.shape == (1, 1, 5, 1)
    np.testing.assert_allclose(255 * found[0, 0, :, 0], expected, rtol=1e-6)


def image(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


WRONG = {
    "two shapes": (image(1, 20, 20, 3), image(1, 20, 20, 1), {}, r"\[1, 20, 20, 3\] and \[1, 20, 20, 1\]"),
    "single images": (image(20, 20, 3), image(20, 20, 3), {}, r"images\[None\]"),
    "none": (image(0, 20, 20, 3), image(0, 20, 20, 3), {}, "of one shape"),
    "whole numbers": (image(1, 20, 20, 3, dtype=np.uint8), image(1, 20, 20, 3), {}, "got uint8 and float32"),
    "small ones": (image(1, 10, 20, 3), image(1, 10, 20, 3), {}, "10x20.*smallest.*are 11x11"),
    "small ones inside": (image(1, 20, 20, 3), image(1, 20, 20, 3), {"border": 5}, "border of 5.*11x11"),
    "a border": (image(1, 20, 20, 3), image(1, 20, 20, 3), {"border": -1}, "border of -1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_compared_is_refused(wrong):
    images, targets, options, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        metrics.ssim(images, targets, peak=255, **options)


def test_images_too_small_for_five_scales_are_refused():
    images = image(1, 160, 300, 1)
    with pytest.raises(ValueError, match="160x300.*161x161"):
        metrics.ms_ssim(images, images, peak=255)


@pytest.mark.parametrize("images", [image(1, 4, 4, 1), image(1, 4, 4, 4), image(1, 4, 4, 3, dtype=np.uint8)])
def test_only_colour_has_a_luma(images):
    with pytest.raises(ValueError, match=r"\[B,H,W,3\] of floats"):
        metrics.luma(images, peak=255)


@pytest.mark.skipif(not SETS.exists(), reason="JAXGAN_DATA has no super_resolution.tar")
def test_bicubic_images_are_as_good_as_super_resolution_papers_say():
    values = []
    with tarfile.open(SETS) as tar:
        for number in range(1, 6):
            large, small = (pixels(tar, f"set5/{kind}/img_{number:03}.png") for kind in ("hr", "lr_x4"))
            made = transforms.resize(jnp.asarray(small), (4 * small.shape[1], 4 * small.shape[2]))
            made = jnp.clip(jnp.round(made), 0, 255)
            # Rounded, as MATLAB's is of uint8: those papers' figures are.
            luma = [jnp.round(metrics.luma(x, peak=255)) for x in (made, large)]
            values.append([metric(*luma, peak=255, border=4)[0] for metric in (metrics.psnr, metrics.ssim)])
    psnr, ssim = np.mean(values, axis=0)
    assert psnr == pytest.approx(28.42, abs=0.005)
    assert ssim == pytest.approx(0.8104, abs=0.0005)


def pixels(tar, name):
    with Image.open(io.BytesIO(tar.extractfile(name).read())) as file:
        return np.asarray(file.convert("RGB"), np.float32)[None]
