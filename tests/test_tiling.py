import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import tiling
from jaxgan.degradations import bicubic
from jaxgan.tiling import Tiling

CUT = Tiling(tile=16, overlap=8, batch=2)


def image(height, width, channels=3):
    return np.random.default_rng(0).uniform(-1, 1, (height, width, channels)).astype(np.float32)


def whole(network, images):
    return np.asarray(network(images[None]))[0]


def convolved(images):
    """Two convolutions 3x3, zeros around, each of a tanh: 2 pixels on each side are seen, overlap / 4."""
    kernels = jax.random.normal(jax.random.key(0), (2, 3, 3, 3, 3)) / 3
    for kernel in kernels:
        images = jax.lax.conv_general_dilated(
            jnp.tanh(images), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return images


SIZES = [(16, 16), (17, 40), (41, 23), (24, 33), (25, 16)]


@pytest.mark.parametrize("size", SIZES)
def test_a_network_of_tiles_makes_what_it_makes_of_the_whole(size):
    made = tiling.apply(convolved, image(*size), tiling=CUT)
    np.testing.assert_allclose(made, whole(convolved, image(*size)), atol=1e-5)


@pytest.mark.parametrize("size", [*SIZES, (5, 7), (5, 30), (1, 1)])
def test_what_sees_nothing_around_makes_the_same_at_every_size(size):
    def halved_and_repeated(tiles):
        return (tiles / 2).repeat(3, axis=1).repeat(3, axis=2)

    made = tiling.apply(halved_and_repeated, image(*size), scale=3, tiling=CUT)
    np.testing.assert_allclose(made, whole(halved_and_repeated, image(*size)), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_interpolation_of_tiles_is_that_of_the_whole(size):
    def enlarge(tiles):
        return bicubic(jnp.asarray(tiles), (tiles.shape[1] * 2, tiles.shape[2] * 2))

    made = tiling.apply(enlarge, image(*size), scale=2, tiling=CUT)
    np.testing.assert_allclose(made, whole(enlarge, image(*size)), atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("overlap", [0, 1])
def test_tiles_that_hardly_overlap_leave_no_seam(overlap, scale):
    def repeated(tiles):
        return tiles.repeat(scale, axis=1).repeat(scale, axis=2)

    cut = Tiling(tile=8, overlap=overlap)
    made = tiling.apply(repeated, image(16, 22), scale=scale, tiling=cut)
    np.testing.assert_allclose(made, whole(repeated, image(16, 22)), atol=1e-6)


def test_tiles_that_differ_fade_into_each_other():
    """Where each tile has another level there is no step anywhere: neighbouring pixels are near."""
    levels = iter(np.random.default_rng(1).uniform(-1, 1, 100))

    def level(tiles):
        return np.stack([np.full(tile.shape, next(levels), np.float32) for tile in tiles])

    made = tiling.apply(level, image(40, 60), tiling=Tiling(32, 16, 1))
    assert np.abs(made).max() > 0.1 and np.ptp(made) > 0.3
    for axis in (0, 1):
        assert np.abs(np.diff(made, axis=axis)).max() <= 2 / 8 + 1e-6  # a ramp has half of 16 pixels


def test_the_network_is_always_given_one_shape_and_the_images_dtype_and_few_rows_are_held():
    shapes = set()

    def network(tiles):
        shapes.add((tiles.shape, tiles.dtype))
        return tiles.astype(np.float32)

    picture = np.zeros((100, 41, 1), np.uint8)
    parts = [*tiling.bands(network, picture, tiling=CUT)]
    assert shapes == {((2, 16, 16, 1), np.dtype(np.uint8))}
    assert sum(map(len, parts)) == 100 and max(map(len, parts)) <= 16


@pytest.mark.parametrize(
    ("given", "cut", "message"),
    [
        (image(8, 8)[0], CUT, r"One image \[H,W,C\]"),
        (image(8, 8), Tiling(16, 9, 1), "up to half"),
        (image(8, 8), Tiling(0, 0, 1), "1 pixel or more"),
        (image(8, 8), Tiling(16, 8, 0), "1 or more at a time"),
    ],
)
def test_what_cannot_be_cut_is_refused(given, cut, message):
    with pytest.raises(ValueError, match=message):
        tiling.apply(convolved, given, tiling=cut)


def test_a_network_of_another_scale_is_refused():
    with pytest.raises(ValueError, match="expected 2 times"):
        tiling.apply(convolved, image(20, 20), scale=2, tiling=CUT)
