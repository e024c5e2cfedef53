"""Tests of jaxgan.data: flips and crops of all that belongs to an example."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data

COUNT = 200
KEYS = jax.random.split(jax.random.key(7), COUNT)
# Each pixel of an image says where it is.
PLACES = jnp.tile(
    jnp.stack(jnp.meshgrid(jnp.arange(12), jnp.arange(18), indexing="ij"), -1), (COUNT, 1, 1, 1)
)


def batch(scale=1, *, mask=1):
    """An input at 1/scale of the image, of which each pixel says where the image's first of those is."""
    return {
        "image": PLACES,
        "input": PLACES[:, ::scale, ::scale],
        "mask": PLACES[:, ::mask, ::mask, :1],
        "label": jnp.arange(COUNT),
    }


def test_an_image_alone_is_moved_as_ever():
    """Runs that are resumed draw what they drew: these were drawn before there were inputs."""
    images = {"image": PLACES[:8, :9, :11]}
    crops = data.crop_alike(images, jax.random.split(jax.random.key(7), 8), (4, 5))["image"]
    drawn = [[5, 1], [0, 5], [4, 0], [1, 4], [0, 3], [0, 4], [1, 3], [4, 2]]
    assert crops.shape == (8, 4, 5, 2) and crops[:, 0, 0].tolist() == drawn
    flips = data.flip_alike(images, jax.random.split(jax.random.key(7), 8))["image"]
    assert (flips[:, 0, 0, 1] == 10).tolist() == [False, False, True, True, True, False, False, False]
    for paired in (True, False):  # nor does an image's part depend on what is beside it
        crop, flip = (partial(f, paired=paired) for f in (data.crop_alike, data.flip_alike))
        np.testing.assert_array_equal(
            crop(batch(), KEYS, (4, 5))["image"], data.random_crop(PLACES, KEYS, (4, 5))
        )
        np.testing.assert_array_equal(flip(batch(3), KEYS)["image"], data.random_flip(PLACES, KEYS))


@pytest.mark.parametrize(("scale", "mask"), [(1, 1), (2, 1), (3, 1), (3, 2), (6, 1)])
def test_parts_show_the_same(scale, mask):
    size = (6, 12)
    crop = jax.jit(data.crop_alike, static_argnums=2)
    cropped = crop(batch(scale, mask=mask), KEYS, size)
    assert cropped["input"].shape == (COUNT, 6 // scale, 12 // scale, 2)
    np.testing.assert_array_equal(cropped["input"], cropped["image"][:, ::scale, ::scale])
    np.testing.assert_array_equal(cropped["mask"], cropped["image"][:, ::mask, ::mask, :1])
    np.testing.assert_array_equal(cropped["label"], np.arange(COUNT))
    starts = {tuple(start) for start in np.asarray(cropped["image"][:, 0, 0]).tolist()}
    step = np.lcm(scale, mask)
    assert starts == {(i, j) for i in range(0, 7, step) for j in range(0, 7, step)}
    part = {key: value[5:9] for key, value in batch(scale, mask=mask).items()}
    np.testing.assert_array_equal(crop(part, KEYS[5:9], size)["input"], cropped["input"][5:9])


def test_flips_show_the_same():
    flipped = jax.jit(data.flip_alike)(batch(3), KEYS)
    turned = np.asarray(flipped["image"][:, 0, 0, 1] == 17)
    assert 60 < turned.sum() < 140
    np.testing.assert_array_equal(turned, flipped["input"][:, 0, 0, 1] == 15)
    np.testing.assert_array_equal(flipped["mask"][..., 0], flipped["image"][..., 0])


def test_unpaired_inputs_move_by_themselves():
    cropped = data.crop_alike(batch(2), KEYS, (6, 12), paired=False)
    assert cropped["input"].shape == (COUNT, 3, 6, 2)
    starts = np.asarray(cropped["image"][:, 0, 0]), np.asarray(cropped["input"][:, 0, 0])
    assert abs(np.corrcoef(starts[0][:, 0], starts[1][:, 0])[0, 1]) < 0.25
    assert {*starts[0][:, 0].tolist()} == {*range(7)} and {*starts[1][:, 0].tolist()} == {0, 2, 4, 6}
    np.testing.assert_array_equal(cropped["mask"], cropped["image"][..., :1])
    flipped = data.flip_alike(batch(), KEYS, paired=False)
    both = [np.asarray(flipped[key][:, 0, 0, 1] == 17) for key in ("image", "input")]
    assert 60 < (both[0] == both[1]).sum() < 140


@pytest.mark.parametrize(
    ("given", "size", "said"),
    [
        (
            batch() | {"input": PLACES[:, :5, :5]},
            (4, 4),
            r"With images of \(12, 18\), input of \(5, 5\) .*cannot be cropped alike",
        ),
        (batch() | {"mask": jnp.tile(PLACES, (1, 2, 2, 1))}, (4, 4), r", mask of \(24, 36\)"),
        (batch(3), (6, 10), r"A crop of \(6, 10\) was asked of images whose input is 1/3"),
        (batch(3), (15, 12), r"crop of \(15, 12\) was asked of images \(12, 18\)"),
        (batch() | {"image": PLACES[:5]}, (4, 4), r"keys \(200,\), expected \[B,H,W,C\] and \[B\]"),
    ],
)
def test_what_cannot_be_cropped_alike_is_refused(given, size, said):
    with pytest.raises(data.DataError, match=said):
        data.crop_alike(given, KEYS, size)
