import io
import os
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxgan import degradations, metrics
from jaxgan.degradations import compression, resizing

SETS = Path(os.environ.get("JAXGAN_DATA", "nowhere")) / "super_resolution.tar"


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def smooth(height, width, channels, seed=0):
    """An image [1,H,W,C] in [-1, 1] without much noise, as photographs are."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    means = ndimage.gaussian_filter(noise, (2, 2, 0))
    return jnp.asarray(np.clip(means / np.abs(means).max() * 1.2, -1, 1)[None], jnp.float32)


@pytest.mark.skipif(not SETS.exists(), reason="JAXGAN_DATA has no super_resolution.tar")
def test_bicubic_is_matlabs():
    """Small images are those that MATLAB made, and large ones have the figure that papers give."""
    degrade = jax.jit(degradations.make_degradation([("bicubic",)], 4))
    values = []
    with tarfile.open(SETS) as tar:
        for number in range(1, 6):
            large, small = (pixels(tar, f"set5/{kind}/img_{number:03}.png") for kind in ("hr", "lr_x4"))
            made = jnp.round((degrade(large / 127.5 - 1, keys(1)) + 1) * 127.5)
            np.testing.assert_array_equal(made, small)
            made = jnp.clip(jnp.round(degradations.bicubic(small, large.shape[1:3])), 0, 255)
            luma = [jnp.round(metrics.luma(x, peak=255)) for x in (made, large)]
            values.append(metrics.psnr(*luma, peak=255, border=4)[0])
    assert np.mean(values) == pytest.approx(28.42, abs=0.005)


def pixels(tar, name):
    with Image.open(io.BytesIO(tar.extractfile(name).read())) as file:
        return np.asarray(file.convert("RGB"), np.float32)[None]


def test_bicubic_weights_are_those_worked_by_hand():
    """Halved, a pixel sees the kernel at 1/4, 3/4, 5/4 and 7/4 on both sides; edges are repeated."""
    a, b, c, d = np.array([111, 29, -9, -3]) / 256
    weights = resizing._cubic_weights(10, 5, 0.5)
    np.testing.assert_allclose(weights[2], [0, d, c, b, a, a, b, c, d, 0])
    np.testing.assert_allclose(weights[0], [a + b + c + d, a, b, c, d, 0, 0, 0, 0, 0])


def test_bicubic_takes_any_scale_and_rounds_sizes_up():
    images = smooth(7, 10, 2)
    assert degradations.bicubic(images, (3, 4), scale=1 / 3).shape == (1, 3, 4, 2)
    np.testing.assert_allclose(degradations.bicubic(jnp.ones((1, 2, 1, 1)), (9, 5)), 1, rtol=1e-6)
    assert degradations.bicubic(images, (7, 10)) is images
    with pytest.raises(ValueError, match="rounded up"):
        degradations.bicubic(images, (2, 4), scale=1 / 3)


@pytest.mark.parametrize("deviation", [0.0, 0.4, 1.7])
def test_a_blur_is_scipys(deviation):
    images = jnp.concatenate([smooth(12, 9, 2, seed) for seed in (0, 1)])
    blurred = degradations.gaussian_blur(images, jnp.array([deviation, 0.0]), most=2.0)
    wanted = (
        images[0]
        if not deviation
        else ndimage.gaussian_filter(images[0], (deviation, deviation, 0), mode="mirror", radius=6)
    )
    np.testing.assert_allclose(blurred[0], wanted, atol=1e-6)
    np.testing.assert_allclose(blurred[1], images[1], atol=1e-6)  # each by its own deviation


def test_a_blur_along_one_direction_is_turned_by_its_angle():
    images = jnp.concatenate([smooth(12, 9, 2)] * 3)
    deviations = jnp.array([[1.5, 0.3], [0.3, 1.5], [0.8, 0.8]])
    angles = jnp.array([0.0, jnp.pi / 2, 0.7])
    blurred = degradations.anisotropic_blur(images, deviations, angles, most=1.5)
    along_columns = ndimage.gaussian_filter(images[0], (0.3, 1.5, 0), mode="mirror", radius=5)
    np.testing.assert_allclose(blurred[0], along_columns, atol=1e-6)
    np.testing.assert_allclose(blurred[1], blurred[0], atol=1e-6)
    alike = degradations.gaussian_blur(images[2:], jnp.array([0.8]), most=1.5)
    np.testing.assert_allclose(blurred[2], alike[0], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_jpeg_is_pillows(quality, channels):
    """Of two qualities a batch, on sides that do not divide by 8; Pillow rounds colours between the steps."""
    given = np.asarray(jnp.round((smooth(29, 42, channels)[0] + 1) * 127.5), np.uint8)
    made = degradations.jpeg(jnp.float32([given, given]) / 127.5 - 1, jnp.array([quality, 30.0]))
    file = io.BytesIO()
    Image.fromarray(given.squeeze()).save(file, "JPEG", quality=quality, subsampling=0)
    wanted = np.asarray(Image.open(file), np.float32).reshape(given.shape)
    difference = np.abs((np.asarray(made[0]) + 1) * 127.5 - wanted)
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) <= 4


def test_jpegs_steps_are_libjpegs_at_every_quality():
    qualities = range(1, 101)
    tables = np.array([compression.LUMA_STEPS, compression.CHROMA_STEPS])
    for quality, steps in zip(qualities, compression._steps(tables, jnp.arange(1.0, 101)), strict=True):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        wanted = Image.open(file).quantization
        for own, name in zip(steps, wanted, strict=True):
            np.testing.assert_array_equal(np.sort(own.ravel()), np.sort(wanted[name]))  # zigzag or not


def test_noise_has_its_deviation_in_grey_levels():
    degrade = degradations.make_degradation([("noise", 10, 10)])
    made = degrade(jnp.zeros((2, 64, 64, 1)), keys(2)) / degradations.LEVEL
    assert jnp.std(made, axis=(1, 2, 3)) == pytest.approx(10, rel=0.05)
    assert jnp.abs(jnp.mean(made[0] * made[1])) < 5  # and is another of each image


PIPELINE = [
    ("blur", 0.2, 1.0), ("anisotropic_blur", 0.2, 1.0), ("bicubic",), ("noise", 0, 20), ("jpeg", 30, 95),
]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pipeline_makes_an_image_of_its_key_alone(channels):
    degrade = jax.jit(degradations.make_degradation(PIPELINE, 4))
    images = jnp.concatenate([smooth(24, 32, channels)] * 3)
    made = degrade(images, keys(3))
    assert made.shape == (3, 6, 8, channels) and made.dtype == jnp.float32
    assert not np.allclose(made[0], made[1], atol=1e-2)
    np.testing.assert_allclose(degrade(images[1:], keys(3)[1:]), made[1:], atol=1e-5)
    grey_levels = (made + 1) / degradations.LEVEL
    np.testing.assert_allclose(grey_levels, jnp.round(grey_levels), atol=1e-3)
    assert made.min() >= -1 and made.max() <= 1


def test_without_steps_an_8_bit_image_stays_as_it_is():
    images = jnp.arange(256, dtype=jnp.float32).reshape(1, 16, 16, 1) / 127.5 - 1
    np.testing.assert_allclose(degradations.make_degradation([])(images, keys(1)), images, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "scale", "message"),
    [
        ([("blurr", 0, 1)], 1, "blurr.*expected some of bicubic, blur"),
        ([("blur", 0, 1)], 4, "'bicubic' once"),
        ([("bicubic",)], 1, "'bicubic' once"),
        ([("bicubic",), ("bicubic",)], 2, "'bicubic' once"),
        ([("bicubic", 4)], 4, "no range"),
        ([("noise", 5)], 1, "grey levels"),
        ([("jpeg", 95, 30)], 1, "within 1 to 100"),
        ([("jpeg", 0, 30)], 1, "within 1 to 100"),
    ],
)
def test_pipelines_that_cannot_be_are_refused(steps, scale, message):
    with pytest.raises(ValueError, match=message):
        degradations.make_degradation(steps, scale)


def test_images_that_do_not_fit_are_refused():
    degrade = degradations.make_degradation([("bicubic",)], 4)
    with pytest.raises(ValueError, match="10x8.*multiple"):
        degrade(jnp.zeros((1, 10, 8, 3)), keys(1))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        degradations.jpeg(jnp.zeros((1, 8, 8, 2)), jnp.array([50.0]))
