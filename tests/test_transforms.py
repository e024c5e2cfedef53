"""Crops, pads, sizes and depths; and the set of shapes, whose factors are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data, parallel
from jaxgan.data import shapes

IMAGES = jnp.arange(3 * 6 * 8 * 2.0).reshape(3, 6, 8, 2)
KEYS = jax.random.split(jax.random.key(0), 3)


def test_sixteen_bits_become_floats_at_full_depth():
    values = np.arange(65536, dtype=np.uint16)
    floats = data.to_float(values)
    assert floats.dtype == np.float32 and (floats[0], floats[-1]) == (-1.0, 1.0)
    assert len(np.unique(floats)) == 65536
    np.testing.assert_array_equal(jax.jit(data.to_float)(values), floats)
    coarse = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(data.to_float(coarse * np.uint16(257)), data.to_float(coarse), atol=1e-7)


def test_a_centre_crop_is_the_middle():
    np.testing.assert_array_equal(data.centre_crop(IMAGES, (2, 4)), IMAGES[:, 2:4, 2:6])
    np.testing.assert_array_equal(data.centre_crop(IMAGES, (6, 8)), IMAGES)


def test_a_random_crop_is_a_part_by_its_key_alone():
    keys = jax.random.split(jax.random.key(1), 400)
    images = jnp.tile(IMAGES[:1], (400, 1, 1, 1))
    crops = np.asarray(jax.jit(data.random_crop, static_argnums=2)(images, keys, (4, 5)))
    np.testing.assert_array_equal(data.random_crop(images[:7], keys[5:12], (4, 5)), crops[5:12])
    starts, counts = np.unique(crops[:, 0, 0, 0], return_counts=True)
    rows, columns = np.divmod(starts.astype(int) // 2, 8)
    assert {*zip(rows.tolist(), columns.tolist(), strict=True)} == {
        (r, c) for r in range(3) for c in range(4)
    }
    assert counts.min() > 15  # of 33 expected
    for crop, r, c in zip(
        crops[np.unique(crops[:, 0, 0, 0], return_index=True)[1]], rows, columns, strict=True
    ):
        np.testing.assert_array_equal(crop, IMAGES[0, r : r + 4, c : c + 5])


def test_padding_keeps_the_middle():
    padded = data.pad(IMAGES, (7, 12), value=-1.0)
    np.testing.assert_array_equal(data.centre_crop(padded[:, :6], (6, 8)), IMAGES)
    assert padded.shape == (3, 7, 12, 2) and (padded[:, 6] == -1).all() and (padded[:, :, :2] == -1).all()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_downscaling_is_antialiased_and_keeps_flat_images(factor):
    flat = jnp.full((2, 12, 6, 1), 0.3)
    np.testing.assert_allclose(data.downscale(flat, factor), jnp.full((2, 12 // factor, 6 // factor, 1), 0.3),
                               rtol=1e-5)  # fmt: skip
    if factor == 2:
        stripes = jnp.tile(jnp.array([-1.0, 1.0]), 6).reshape(1, 1, 12, 1).repeat(12, axis=1)
        assert jnp.abs(data.downscale(stripes, 2)[:, :, 2:-2]).max() < 0.05  # and not all -1, or 1


def test_downscaling_is_matlabs_bicubic():
    """imresize(x, 0.5) of a step, by its published kernel: Keys, a = -0.5, stretched by 2."""
    step = jnp.concatenate([jnp.zeros(8), jnp.ones(8)]).reshape(1, 16, 1).repeat(16, axis=0)
    distances = np.abs(np.arange(16)[None] - (2 * np.arange(8)[:, None] + 0.5)) / 2
    near = 1.5 * distances**3 - 2.5 * distances**2 + 1
    far = -0.5 * distances**3 + 2.5 * distances**2 - 4 * distances + 2
    weights = np.where(distances <= 1, near, np.where(distances < 2, far, 0.0))
    expected = (weights / weights.sum(1, keepdims=True)) @ np.asarray(step[0, :, 0])
    np.testing.assert_allclose(data.downscale(step, 2)[0, 2:6, 0], expected[2:6], atol=1e-5)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda: data.centre_crop(IMAGES, (7, 4)), r"crop of \(7, 4\) was asked of images \(6, 8\)"),
        (lambda: data.random_crop(IMAGES, KEYS, (4, 9)), r"crop of \(4, 9\) was asked of images"),
        (
            lambda: data.random_crop(IMAGES, KEYS[:2], (4, 4)),
            r"and keys \(2,\), expected \[B,H,W,C\] and \[B\]",
        ),
        (lambda: data.pad(IMAGES, (5, 9)), r"\(5, 9\) is smaller than images \(6, 8\)"),
        (lambda: data.downscale(IMAGES, 4), "6x8 images and the factor 4, which must divide"),
        (lambda: data.resize(IMAGES.astype(jnp.uint8), (3, 3)), "resize was given uint8, expected floats"),
        (lambda: data.to_float(np.zeros(3, np.int32)), "to_float was given int32, expected uint8, uint16"),
    ],
)
def test_what_does_not_fit_is_refused(transform, message):
    with pytest.raises(data.DataError, match=message):
        transform()


def test_shapes_are_what_their_factors_say(tmp_path):
    source = data.open_source("tfds:shapes", data_dir=tmp_path)
    assert (len(source), source.image_shape, source.classes) == (900, (16, 16, 3), shapes.SHAPES)
    images, labels = source.arrays["image"], source.arrays["label"]
    assert np.bincount(labels).tolist() == [300, 300, 300]
    assert len(np.unique(images.reshape(900, -1), axis=0)) == 900  # each combination once
    square = np.asarray(shapes.draw(0, 2, 0, 0, 4))  # green, 7 pixels a side, up and to the right
    lit = square.sum(-1) > 0
    assert lit[3:9, 7:13].all() and lit.sum() < 64
    assert (square[..., [0, 2]] == 0).all() and square[..., 1].max() == 128


def test_items_are_placed_one_ahead():
    placed, used = [], []

    def place(item):
        placed.append(item)
        return item * 10

    for item in parallel.ahead(iter(range(4)), place):
        used.append(item)
        assert len(placed) == min(len(used) + 1, 4)
    assert used == [0, 10, 20, 30]
