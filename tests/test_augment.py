import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.augment import (
    OPERATIONS,
    POLICIES,
    adapt,
    color,
    corruption,
    geometry,
    make_augment,
    sign_mean,
    start_controller,
)

EVERYTHING = "".join(OPERATIONS)
each_operation = pytest.mark.parametrize("letter", OPERATIONS)


def uniform(seed, *shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), dtype)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@functools.cache
def jitted(policy):
    augment = make_augment(policy)
    return jax.jit(lambda images, keys, p: augment(images, keys, p=p))


@functools.cache
def mapped(function):
    """A function of one image, jitted and mapped over the leading axis of every argument."""
    return jax.jit(jax.vmap(function))


def waves(size, frequency, shift=0.0):
    """cos of `frequency` cycles over `size` pixels to the right: [size,size,1]."""
    x = np.arange(size) - shift
    return np.broadcast_to(np.cos(2 * np.pi * frequency * x / size)[None, :, None], (size, size, 1))


# Every operation, through the front door.


def at(letter, p):
    """1024 times the same image, and what becomes of it."""
    images = jnp.broadcast_to(uniform(0, 8, 8, 3), (1024, 8, 8, 3))
    return images, jitted(letter)(images, keys(1024), p)


@pytest.mark.parametrize("policy", [*OPERATIONS, EVERYTHING])
def test_p_0_returns_every_image_bit_for_bit(policy):
    count = 4 if policy == EVERYTHING else 1024
    images = uniform(0, count, 8, 8, 3).at[0, :3].set(jnp.float32([-0.0, 1.0, -1.0]))
    augmented = jitted(policy)(images, keys(count), 0.0)
    assert np.asarray(augmented).tobytes() == np.asarray(images).tobytes()


UNCHANGED_AT_HALF = {  # the choices of an operation are independent
    "b": (1 - 0.5 / 2) * (1 - 0.5 * 3 / 4) ** 2,  # no flip, no turn, both shifts rounded to 0 (1/4)
    "g": 0.5**4,  # the two rotations count as one
    "c": 0.5**4 * (1 - 0.5 / 2),
    "f": 0.5**4,
    "n": 0.5,
    "o": 0.5,
    "C": 0.5**3,
    "T": 1 - 0.5 * 8 / 9,  # of 3x3 shifts one is none
    "O": 0.5,
}


@each_operation
def test_p_is_the_probability_of_each_choice(letter):
    expected = UNCHANGED_AT_HALF[letter]
    images, augmented = at(letter, 0.5)
    unchanged = (augmented == images).all((1, 2, 3)).mean()
    assert abs(unchanged - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 1024)


@each_operation
def test_p_1_is_always(letter):
    images, augmented = at(letter, 1.0)
    unchanged = (augmented == images).all((1, 2, 3)).mean()
    # Of these two what is drawn may be the image itself.
    assert unchanged == {"b": pytest.approx(1 / 32, abs=0.03), "T": pytest.approx(1 / 9, abs=0.05)}.get(
        letter, 0
    )


def test_an_example_depends_on_its_own_image_and_key_alone():
    images, own = uniform(0, 4, 8, 8, 3), keys(4)
    together = jitted(EVERYTHING)(images, own, 0.7)
    order = jnp.array([3, 1, 0, 2])
    np.testing.assert_array_equal(jitted(EVERYTHING)(images[order], own[order], 0.7), together[order])
    np.testing.assert_allclose(jitted(EVERYTHING)(images[2:3], own[2:3], 0.7), together[2:3], atol=1e-5)


def test_a_letter_draws_the_same_in_every_policy():
    images, own = uniform(0, 4, 6, 6, 3), keys(4)
    one_by_one = jitted("o")(jitted("T")(images, own, 0.5), own, 0.5)
    np.testing.assert_array_equal(jitted("To")(images, own, 0.5), one_by_one)


def test_a_policys_name_stands_for_its_letters():
    assert POLICIES == {"ada": "bgc", "ada_all": "bgcfno", "diffaugment": "CTO"}
    images, own = uniform(0, 4, 6, 6, 3), keys(4)
    np.testing.assert_array_equal(jitted("diffaugment")(images, own, 1.0), jitted("CTO")(images, own, 1.0))


def test_jit_changes_nothing_and_p_compiles_nothing_anew():
    images, own = uniform(0, 2, 5, 5, 3), keys(2)
    augment = make_augment("g")
    program = jax.jit(lambda images, keys, p: augment(images, keys, p=p))
    np.testing.assert_allclose(program(images, own, 0.9), augment(images, own, p=0.9), atol=2e-6)
    assert not np.allclose(program(images, own, 0.9), images)
    program(images, own, 0.1)
    assert program._cache_size() == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 8, 2), (7, 4, 5)])
def test_any_size_and_any_number_of_channels(shape):
    augmented = jitted(EVERYTHING)(uniform(0, 8, *shape), keys(8), 0.8)
    assert augmented.shape == (8, *shape) and augmented.dtype == jnp.float32
    assert np.isfinite(augmented).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_the_dtype_is_kept_and_the_draws_do_not_depend_on_it(dtype):
    images, own = uniform(0, 4, 6, 6, 3, dtype="bfloat16"), keys(4)
    expected = jitted("gcn")(images.astype(jnp.float32), own, 0.8)
    with jax.enable_x64(True):
        augmented = jitted("gcn")(images.astype(dtype), own, 0.8)
        assert augmented.dtype == dtype
        tolerance = {"bfloat16": 2**-7, "float64": 1e-5}[dtype]
        np.testing.assert_allclose(augmented.astype("float64"), expected, rtol=tolerance, atol=1e-4)


SPECIAL = jnp.stack(
    [jnp.broadcast_to(jnp.float32(color), (6, 6, 3)) for color in (-1, 1, 0, 0.3, (1, -1, -1), (-1, 1, 1))]
)


@each_operation
def test_gradients_are_finite_on_black_white_grey_constant_and_saturated_images(letter):
    images = jnp.repeat(SPECIAL, 8, axis=0)

    @jax.jit
    def gradient(p):
        return jax.grad(lambda x: jnp.sum(jitted(letter)(x, keys(len(x)), p) ** 2))(images)

    for p in (0.0, 0.5, 1.0):
        assert np.isfinite(gradient(p)).all()
    np.testing.assert_array_equal(gradient(0.0), 2 * images)


@pytest.mark.parametrize("policy", ["g", "cfC"])
def test_gradients_are_those_of_finite_differences(policy):
    with jax.enable_x64(True):
        images, own = uniform(0, 3, 5, 4, 3, dtype="float64"), keys(3)
        check_grads(lambda x: jitted(policy)(x, own, 0.9) ** 2, (images,), 1, ["rev"], 1e-6, 1e-6)


# Where pixels come from.


def reflected(image, down, right):
    """The image moved, mirrored at its outermost pixels."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((height - 1,) * 2, (width - 1,) * 2, (0, 0)), mode="reflect")
    top, left = height - 1 - down, width - 1 - right
    return padded[top : top + height, left : left + width]


@pytest.mark.parametrize(("shape", "all_turns"), [((6, 6, 2), (0, 1, 2, 3)), ((4, 7, 2), (0, 2))])
def test_a_blit_is_numpys_flip_rot90_and_reflected_shift(shape, all_turns):
    image = uniform(0, *shape)
    cases = [
        (flip, turns, shift)
        for flip in (False, True)
        for turns in all_turns
        for shift in ((0, 0), (1, 0), (0, -2), (-2, 1))
    ]
    blit = mapped(lambda image, flip, turns, shift: geometry.blit(image, flip=flip, turns=turns, shift=shift))
    flips, turns, shifts = (jnp.array(column) for column in zip(*cases, strict=True))
    blitted = blit(jnp.stack([image] * len(cases)), flips, turns, shifts)
    for found, (flip, turn, shift) in zip(blitted, cases, strict=True):
        expected = np.rot90(np.flip(image, 1) if flip else image, turn)
        np.testing.assert_array_equal(found, reflected(expected, *shift))


def test_only_square_images_are_turned_by_90_degrees():
    image = uniform(0, 3, 2, 1)  # an eighth of 3 pixels is rounded to none
    found = jitted("b")(jnp.stack([image] * 64), keys(64), 1.0)
    flips = {
        np.asarray(f(image)).tobytes() for f in (lambda x: x, np.fliplr, np.flipud, lambda x: np.rot90(x, 2))
    }
    assert {np.asarray(x).tobytes() for x in found} == flips


def test_blits_move_by_up_to_an_eighth():
    ramp = jnp.broadcast_to(jnp.arange(33.0)[:, None, None], (33, 1, 1))
    found = np.asarray(jitted("b")(jnp.stack([ramp] * 256), keys(256), 1.0))[:, 16, 0, 0] - 16
    assert set(found) == {-4, -3, -2, -1, 0, 1, 2, 3, 4}


def test_translation_brings_in_zeros():
    image = uniform(0, 4, 5, 2)
    found = geometry.translate(image, jnp.array([1, -2]))
    np.testing.assert_array_equal(found[1:, :3], image[:3, 2:])
    assert not found[0].any() and not found[:, 3:].any()


def test_diffaugments_translation_is_uniform_within_an_eighth():
    ones = jnp.ones((2048, 16, 16, 1))
    found = np.asarray(jitted("T")(ones, keys(2048), 1.0))[..., 0]
    top = found.any(2).argmax(1) - found[:, ::-1].any(2).argmax(1)
    counts = np.array([(top == shift).sum() for shift in range(-2, 3)])
    assert counts.sum() == 2048
    np.testing.assert_allclose(counts / 2048, 0.2, atol=4.5 * np.sqrt(0.16 / 2048))


def test_the_low_passes_are_what_they_are_said_to_be():
    double, halve = (np.array(half + half[-2::-1]) for half in (geometry.DOUBLING, geometry.HALVING))
    both = 2 * np.convolve(double, halve)  # a half-band filter: doubled and halved, an image is itself
    expected = np.zeros(13)
    expected[6] = 1
    np.testing.assert_allclose(both[1::2], expected, atol=1e-14)
    for taps, zeros in ((double, 8), (halve, 6)):
        n = np.arange(len(taps)) - len(taps) // 2
        assert taps.sum() == pytest.approx(1, abs=1e-14)
        for k in range(zeros):
            assert abs(((-1.0) ** n * n**k * taps).sum()) < 1e-9
        passed = np.exp(-1j * np.outer(np.linspace(0, np.pi / 4), n)) @ taps
        assert np.abs(passed - 1).max() < 0.01


def warped(images, undo, shift=(0.0, 0.0)):
    count = len(images)
    undo = jnp.broadcast_to(jnp.asarray(undo, jnp.float32), (count, 2, 2))
    shift = jnp.broadcast_to(jnp.float32(shift), (count, 2))
    return np.asarray(mapped(geometry.warp)(jnp.asarray(images, jnp.float32), undo, shift))


def test_the_identity_reproduces_noise_up_to_the_border():
    for shape in ((16, 16, 3), (5, 9, 1), (1, 2, 2)):
        images = uniform(0, 2, *shape)
        np.testing.assert_allclose(warped(images, np.eye(2)), images, atol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_numpys(turns):
    images = uniform(0, 2, 16, 16, 3)
    undo = geometry.rotate(jnp.float32(-turns * np.pi / 2))
    np.testing.assert_allclose(warped(images, undo), np.rot90(images, turns, (1, 2)), atol=1e-5)


def test_a_mirror_is_a_flip():
    images = uniform(0, 2, 16, 9, 1)
    np.testing.assert_allclose(warped(images, np.diag([1, -1])), images[:, :, ::-1], atol=1e-6)


@pytest.mark.parametrize("shift", [(1, 0), (-3, 2), (0, -15)])
def test_whole_shifts_move_pixels_down_and_right_and_mirror_them_at_the_border(shift):
    images = uniform(0, 2, 16, 16, 3)
    expected = [reflected(image, *shift) for image in images]
    np.testing.assert_allclose(warped(images, np.eye(2), shift), expected, atol=1e-6)


def test_a_constant_image_stays_constant():
    images = jnp.full((64, 7, 10, 1), 0.7)
    np.testing.assert_allclose(jitted("g")(images, keys(64), 1.0), images, atol=1e-6)


@pytest.mark.parametrize(("frequency", "tolerance"), [(2, 0.004), (4, 0.015), (8, 0.06)])
def test_a_sinusoid_is_shifted_by_a_part_of_a_pixel(frequency, tolerance):
    found = warped(waves(32, frequency)[None], np.eye(2), (0, 0.37))[0]
    assert np.abs(found - waves(32, frequency, 0.37))[:, 4:-4].max() < tolerance


def test_a_sinusoid_is_turned_and_scaled():
    size, angle, scale = 32, 0.5, 1.25
    down, right = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    image = np.cos(0.4 * right + 0.2 * down)
    undo = np.asarray(geometry.rotate(jnp.float32(-angle))) / scale
    y, x = np.einsum("ij,jhw->ihw", undo, np.stack([down, right]))
    found = warped(image[None, ..., None], undo)[0, ..., 0]
    inside = np.maximum(abs(x), abs(y)) < size / 2 - 4
    assert np.abs(found - np.cos(0.4 * x + 0.2 * y))[inside].max() < 0.01
    assert inside.mean() > 0.5


def test_a_shrunk_checkerboard_turns_grey_instead_of_aliasing():
    board = (-1.0) ** np.add.outer(np.arange(48), np.arange(48))[None, ..., None]
    for scale in (0.75, 0.6, 0.5):
        assert np.abs(warped(board, np.eye(2) / scale))[0, 12:-12, 12:-12].max() < 0.05
    # What reading every (1 / 0.6)-th pixel would make of it: patches of full contrast.
    assert np.abs(board[0, ::2, ::2]).max() == 1


# Colour.


def homogeneous(*, brightness=0.0, contrast=1.0, flip=False, hue=0.0, saturation=1.0):
    """The paper's product of five 4x4 matrices, factor by factor."""
    axis = np.array([1, 1, 1, 0]) / np.sqrt(3)
    project = np.outer(axis, axis)
    move = np.eye(4)
    move[:3, 3] = brightness
    scale = np.diag([contrast] * 3 + [1])
    mirror = np.eye(4) - 2 * project * flip
    turn = np.eye(4)
    x, y, z = axis[:3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn[:3, :3] += np.sin(hue) * cross + (1 - np.cos(hue)) * cross @ cross
    fade = np.eye(4)
    fade[:3, :3] = (project + (np.eye(4) - project) * saturation)[:3, :3]
    return fade @ turn @ mirror @ scale @ move


@pytest.mark.parametrize(
    "change",
    [
        {"brightness": 0.3},
        {"contrast": 1.7},
        {"flip": True},
        {"hue": 1.1},
        {"saturation": 0.4},
        {"brightness": -0.2, "contrast": 0.6, "flip": True, "hue": -2.5, "saturation": 1.9},
    ],
    ids="+".join,
)
def test_colour_is_the_product_of_the_papers_matrices(change):
    image = np.asarray(uniform(0, 3, 4, 3))
    matrix = homogeneous(**change)
    expected = image @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(color.recolor(image, **change), expected, atol=1e-6)


def test_colour_in_hand_worked_values():
    pixel = jnp.float32([[[0.5, -0.25, 0.0]]])

    def one(**change):
        return np.asarray(color.recolor(pixel, **change))[0, 0]

    np.testing.assert_allclose(one(brightness=0.25), [0.75, 0.0, 0.25])
    np.testing.assert_allclose(one(contrast=2.0), [1.0, -0.5, 0.0])
    np.testing.assert_allclose(one(brightness=0.25, contrast=2.0), [1.5, 0.0, 0.5])
    np.testing.assert_allclose(one(saturation=0.0), [1 / 12] * 3, atol=1e-7)
    np.testing.assert_allclose(one(hue=2 * np.pi / 3), [0.0, 0.5, -0.25], atol=1e-6)  # red -> green -> blue
    np.testing.assert_allclose(one(flip=True), np.array([0.5, -0.25, 0]) - 2 / 12, atol=1e-7)


def test_hue_keeps_luma_and_the_flip_undoes_itself():
    image = uniform(0, 4, 4, 3)
    turned = color.recolor(image, hue=1.3)
    np.testing.assert_allclose(turned.mean(-1), image.mean(-1), atol=1e-6)
    np.testing.assert_allclose(jnp.sum(turned**2, -1), jnp.sum(image**2, -1), atol=1e-5)
    np.testing.assert_allclose(color.recolor(color.recolor(image, flip=True), flip=True), image, atol=1e-6)


def test_grey_images_have_neither_hue_nor_saturation():
    grey = jnp.repeat(uniform(0, 4, 4, 1), 3, axis=-1)
    np.testing.assert_allclose(color.recolor(grey, hue=2.0, saturation=3.0), grey, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_without_rgb_every_channel_is_grey(channels):
    image = uniform(0, 4, 4, channels)
    change = {"brightness": 0.1, "contrast": 1.5, "flip": True, "hue": 2.0, "saturation": 3.0}
    as_rgb = color.recolor(jnp.repeat(image[..., :1], 3, axis=-1), **change)
    found = color.recolor(image, **change)
    np.testing.assert_allclose(jnp.repeat(found[..., :1], 3, axis=-1), as_rgb, atol=1e-6)
    np.testing.assert_allclose(found, -1.5 * (image + 0.1), atol=1e-6)


@pytest.mark.parametrize("letter", ["c", "C"])
def test_alpha_keeps_its_values_and_rgb_does_not_see_it(letter):
    images = uniform(0, 8, 4, 4, 4)
    found = jitted(letter)(images, keys(8), 1.0)
    np.testing.assert_array_equal(found[..., 3], images[..., 3])
    np.testing.assert_allclose(found[..., :3], jitted(letter)(images[..., :3], keys(8), 1.0), atol=1e-6)


def test_jitter_in_hand_worked_values():
    image = jnp.float32([[[0.5, -0.25, 0.5], [0.0, 0.0, 0.0]]])  # means of pixels 1/4 and 0, of all 1/8
    np.testing.assert_allclose(color.jitter(image, brightness=0.5), image + 0.5)
    np.testing.assert_allclose(color.jitter(image, saturation=0.0), [[[0.25] * 3, [0.0] * 3]])
    np.testing.assert_allclose(color.jitter(image, saturation=2.0)[0, 0], [0.75, -0.75, 0.75])
    np.testing.assert_allclose(color.jitter(image, contrast=0.5)[0, 0], [0.3125, -0.0625, 0.3125])
    grey = jnp.float32([[[1.0], [0.0]]])
    found = color.jitter(grey, brightness=0.25, saturation=0.0, contrast=0.5)
    np.testing.assert_allclose(found, [[[1.0], [0.5]]])


def test_jitters_ranges_are_diffaugments():
    pixels = jnp.float32([[[[0.75, 0.0, -0.75]] * 2, [[0.0, 0.0, 0.0]] * 2]])
    found = np.asarray(jitted("C")(jnp.repeat(pixels, 4096, axis=0), keys(4096), 1.0))
    brightness = found[:, 1, 0].mean(-1)  # the image's mean is 0, and contrast is about the mean
    spread = (found[:, 0, 0, 0] - found[:, 0, 0, 2]) / 1.5  # saturation times contrast
    for value, low, high, mean in ((brightness, -0.5, 0.5, 0.0), (spread, 0.0, 3.0, 1.0)):
        assert low - 1e-5 <= value.min() and value.max() <= high + 1e-5
        assert value.mean() == pytest.approx(mean, abs=float(4.5 * value.std() / 64))
    assert spread.max() > 2.7 and brightness.max() > 0.49 and brightness.min() < -0.49


# Filters, noise, cut-outs.


def test_flat_gains_are_the_identity():
    image = uniform(0, 9, 16, 3)
    found = mapped(corruption.amplify)(image[None], jnp.ones((1, 4)))[0]
    np.testing.assert_allclose(found, image, atol=1e-6)


@pytest.mark.parametrize("k", [0, 1, 3, 8, 11, 16])
def test_a_mirrored_cosine_is_scaled_by_the_response_at_its_frequency(k):
    size, gains = 17, np.array([0.5, 2.0, 1.5, 3.0])
    w = np.pi * k / (size - 1)
    image = np.broadcast_to(np.cos(w * np.arange(size))[None, :, None], (4, size, 1))
    low = [
        np.prod([(16 + 18 * np.cos(s * w) - 2 * np.cos(3 * s * w)) / 32 for s in (1, 2, 4)[:n]])
        for n in range(4)
    ]
    response = gains @ [low[3], low[2] - low[3], low[1] - low[2], 1 - low[1]]
    found = mapped(corruption.amplify)(jnp.float32(image[None]), jnp.float32(gains[None]))[0]
    np.testing.assert_allclose(found, 0.5 * response * image, atol=1e-5)  # 0.5: it is constant downwards


def test_each_band_holds_its_frequencies():
    size = 129
    for band, w in enumerate((0.5 / 8, 1.5 / 8, 3 / 8, 6 / 8)):
        image = jnp.float32(np.cos(np.pi * w * np.arange(size))[None, :, None])
        # What is constant downwards passes in the lowest band only.
        gains = jnp.stack([jnp.eye(4)[0], jnp.eye(4)[band] + jnp.float32([band > 0, 0, 0, 0])])
        lowest, alone = mapped(corruption.amplify)(jnp.stack([image] * 2), gains)
        alone = alone - lowest if band > 0 else alone
        middle = slice(size // 4, -size // 4)
        assert alone[:, middle].std() > 0.6 * image[:, middle].std()


def test_band_gains_keep_the_expected_power():
    np.testing.assert_allclose(corruption.band_gains(jnp.zeros(4)), np.ones(4), atol=1e-7)
    found = corruption.band_gains(jnp.float32([1, 0, 0, 0]))
    np.testing.assert_allclose(found, np.array([2, 1, 1, 1]) / np.sqrt((10 * 4 + 3) / 13), rtol=1e-6)
    found = corruption.band_gains(jnp.float32([1, 0, 0, -1]))
    expected = np.array([2, 1, 1, 0.5]) / np.sqrt(43 / 13) / np.sqrt(12.25 / 13)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_noise_has_the_papers_deviation():
    noise = np.asarray(jitted("n")(jnp.zeros((1024, 8, 8, 3)), keys(1024), 1.0))
    deviations = noise.std((1, 2, 3))
    mean = 0.1 * np.sqrt(2 / np.pi)  # of |N(0, 0.1^2)|
    assert deviations.mean() == pytest.approx(mean, abs=4.5 * 0.1 / 32)
    assert (noise**2).mean() == pytest.approx(0.01, abs=4.5 * 0.01 * np.sqrt(2) / 32)
    standard = noise / deviations[:, None, None, None]
    assert abs(standard.mean()) < 0.01 and abs((standard[..., 0] * standard[..., 1]).mean()) < 0.02


@pytest.mark.parametrize("letter", ["o", "O"])
def test_a_cutout_is_a_rectangle_of_half_the_size_with_its_centre_inside(letter):
    found = np.asarray(jitted(letter)(jnp.ones((2048, 16, 24, 2)), keys(2048), 1.0))
    holes = found == 0
    rows, columns = holes.any((2, 3)), holes.any((1, 3))
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_array_equal(holes, (rows[:, :, None] & columns[:, None, :])[..., None].repeat(2, -1))
    for sides, size in ((rows, 16), (columns, 24)):
        lengths = sides.sum(1)
        assert (np.abs(np.diff(sides.astype(int), axis=1)).sum(1) <= 2).all()  # one piece
        assert lengths.max() == size // 2 and lengths.min() >= size // 4
        share = lengths.mean() / size  # a half, less what lies outside: 1/2 - 2 (1/4)^2 / 2
        assert share == pytest.approx(0.4375, abs=0.5 / size / 8 + 4.5 * 0.09 / np.sqrt(2048))


def test_cut_leaves_what_is_outside():
    found = corruption.cut(jnp.ones((4, 4, 1)), jnp.array([1.0, -2.0]), jnp.array([3.0, 1.0]))[..., 0]
    np.testing.assert_array_equal(found, [[1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]])


# What is drawn: the deterministic half of an operation is replaced by one that returns its arguments.


def drawn(function, shape):
    """What `function` draws at p = 1 for 4096 keys, written into images of `shape`: [4096,n]."""
    images = jnp.zeros((4096, *shape))
    return np.asarray(jax.jit(jax.vmap(lambda x, key: function(x, key, 1.0)))(images, keys(4096))).reshape(
        4096, -1
    )


def is_normal(values, deviation, scale=1.0):
    values = np.asarray(values) / scale
    assert abs(values.mean()) < 4.5 * deviation / 64
    assert values.std() == pytest.approx(deviation, rel=4.5 / np.sqrt(2 * 4096))
    assert np.mean(np.abs(values) < deviation) == pytest.approx(0.6827, abs=4.5 * 0.466 / 64)


def is_uniform(values, low, high):
    counts = np.histogram(values, 8, (low, high))[0]
    assert counts.sum() == 4096
    np.testing.assert_allclose(counts / 4096, 1 / 8, atol=4.5 * np.sqrt(7 / 64 / 4096))


def test_the_geometry_that_is_drawn_is_the_papers(monkeypatch):
    def report(image, undo, shift):
        return jnp.concatenate([undo.ravel(), shift]).reshape(image.shape)

    monkeypatch.setattr(geometry, "warp", report)
    values = drawn(geometry.random_warp, (2, 3, 1))
    undo = values[:, :4].reshape(-1, 2, 2)
    turn_after, stretches, turn_before = np.linalg.svd(undo)
    is_normal(np.log2(np.linalg.det(undo)) / -2, 0.2)  # scale
    ratio = np.log2(stretches[:, 0] / stretches[:, 1]) / 2
    assert np.sqrt((ratio**2).mean()) == pytest.approx(0.2, rel=4.5 / np.sqrt(2 * 4096))
    for turn in (turn_after, turn_before):  # the directions of stretching, up to half turns
        is_uniform(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]) % np.pi, 0, np.pi)
    # The whole turn, of which stretching is no part.
    is_uniform(np.arctan2(undo[:, 1, 0] - undo[:, 0, 1], undo[:, 0, 0] + undo[:, 1, 1]), -np.pi, np.pi)
    is_normal(values[:, 4], 0.125, 2)
    is_normal(values[:, 5], 0.125, 3)


def test_the_colours_that_are_drawn_are_the_papers(monkeypatch):
    def report(image, **change):
        return jnp.stack([jnp.float32(value) for value in change.values()])[None, None]

    monkeypatch.setattr(color, "recolor", report)
    brightness, contrast, flip, hue, saturation = drawn(color.random_recolor, (1, 1, 5)).T
    is_normal(brightness, 0.2)
    is_normal(np.log2(contrast), 0.5)
    is_normal(np.log2(saturation), 1.0)
    is_uniform(hue, -np.pi, np.pi)
    assert set(flip) == {0, 1} and flip.mean() == pytest.approx(0.5, abs=4.5 * 0.5 / 64)
    assert np.abs(np.corrcoef([brightness, contrast, flip, hue, saturation]) - np.eye(5)).max() < 0.08


def test_the_gains_that_are_drawn_are_the_papers(monkeypatch):
    monkeypatch.setattr(corruption, "amplify", lambda image, gains: gains[None, None])
    monkeypatch.setattr(corruption, "band_gains", lambda octaves: octaves)
    octaves = drawn(corruption.random_amplify, (1, 1, 4)).T
    for band in octaves:
        is_normal(band, 1.0)
    assert np.abs(np.corrcoef(octaves) - np.eye(4)).max() < 0.08


# What leaks: the generator learns whatever distribution looks, augmented, like the augmented data.


def orientations():
    """An L-shaped glyph in its 8 orientations, of which the first is upright: 8 x [3,3,1]."""
    glyph = np.float32([[1, 0, 0], [1, 0, 0], [1, 1, 0]])[..., None]
    return np.stack([np.rot90(side, turns) for side in (glyph, glyph[:, ::-1]) for turns in range(4)])


def orientation_matrix(p, count):
    """Column j: how often each orientation is seen when orientation j is augmented."""
    glyphs = orientations()
    found = jitted("b")(jnp.repeat(glyphs, count, axis=0), keys(8 * count), p)
    same = (found[:, None] == glyphs[None]).all((2, 3, 4))
    assert (same.sum(1) == 1).all()
    return np.asarray(same.reshape(8, count, 8).mean(1)).T


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_below_p_08_what_looks_like_upright_data_is_upright(p):
    matrix = orientation_matrix(p, 1500)
    seen = matrix[:, 0]  # of data that is always upright
    np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-6)
    assert seen.argmax() == 0 and np.sort(seen)[-1] > np.sort(seen)[-2] + 0.03
    kept, turned = 1 - p + p / 4, p / 4
    expected = np.outer([1 - p / 2, p / 2], [kept, turned, turned, turned]).ravel()
    np.testing.assert_allclose(seen, expected, atol=4.5 * np.sqrt(0.25 / 1500))
    # Only one distribution of orientations looks like that: the matrix can be inverted.
    exact = np.stack([_dihedral(expected, j) for j in range(8)], axis=1)
    np.testing.assert_allclose(matrix, exact, atol=4.5 * np.sqrt(0.25 / 1500))
    assert np.linalg.svd(exact, compute_uv=False).min() > 0.5 * (1 - p) ** 2
    np.testing.assert_allclose(np.linalg.solve(exact, expected), np.eye(8)[0], atol=1e-9)
    # And among generators of one orientation only the upright one comes closest to the data.
    assert np.abs(matrix - expected[:, None]).sum(0).argmin() == 0


def _dihedral(upright, j):
    """The column of orientation j, from that of upright: what is done to one is done to the other."""
    glyphs = orientations()
    column = np.zeros(8)
    for mirrored in range(2):
        for turns in range(4):
            seen = np.rot90(glyphs[j][:, ::-1] if mirrored else glyphs[j], turns)
            which = [np.array_equal(seen, glyph) for glyph in glyphs].index(True)
            column[which] += upright[4 * mirrored + turns]
    return column


def test_at_p_1_turns_leak():
    turned = orientation_matrix(1.0, 1500)[:, :4]
    np.testing.assert_allclose(turned, 1 / 8, atol=4.5 * np.sqrt(1 / 8 / 1500))  # whatever the data is


# ADA's controller.


def run(state, r, steps, **options):
    step = jax.jit(lambda state, r: adapt(state, r, **options))
    for _ in range(steps):
        state = step(state, r)
    return state


def test_p_waits_for_the_interval_and_then_moves_towards_the_target():
    options = {"images": 50, "kimg": 1.0, "interval": 4}
    state = start_controller(0.5)
    assert float(run(state, 1.0, 3, **options).p) == 0.5
    for r, p in ((1.0, 0.7), (0.61, 0.7), (0.6, 0.5), (0.59, 0.3), (-1.0, 0.3)):
        moved = run(state, r, 4, **options)
        assert float(moved.p) == pytest.approx(p)
        assert (float(moved.sign_sum), int(moved.batches)) == (0.0, 0)


def test_it_is_the_mean_over_the_interval_that_counts():
    state = start_controller(0.5)
    for r in (1.0, 1.0, -1.0, 1.0):  # 0.5 < 0.6, though 3 of 4 are above
        state = adapt(state, r, images=10, kimg=1.0)
    assert float(state.p) == pytest.approx(0.5 - 0.04)


@pytest.mark.parametrize(("start", "r", "end"), [(0.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_p_crosses_its_range_in_kimg_thousand_images_and_stays_there(start, r, end):
    options = {"images": 25, "kimg": 2.0}  # 80 minibatches
    state = start_controller(start)
    almost = run(state, r, 76, **options)
    assert float(almost.p) == pytest.approx(abs(end - 0.05), abs=1e-5)
    there = run(almost, r, 4, **options)
    assert float(there.p) == pytest.approx(end, abs=1e-5)
    assert float(run(there, r, 8, **options).p) == end


def test_the_defaults_are_the_papers():
    state = start_controller()
    for _ in range(4):
        state = adapt(state, 0.601, images=64)
    assert float(state.p) == pytest.approx(4 * 64 / 500_000)
    assert [x.dtype for x in state] == ["float32", "float32", "int32"]


def test_sign_mean_is_the_mean_sign_of_logits_of_any_shape():
    logits = jnp.bfloat16([[3.0, -0.1], [0.2, 0.0]])
    assert float(sign_mean(logits)) == 0.25
    assert float(sign_mean(logits, boundary=0.5)) == -0.5
    assert sign_mean(logits).dtype == jnp.float32


def test_the_controller_drives_augmentation_inside_one_program():
    @jax.jit
    def step(state, images, logits):
        augmented = make_augment("n")(images, keys(4), p=state.p)
        return adapt(state, sign_mean(logits), images=4, kimg=0.004, interval=1), augmented

    images = jnp.zeros((4, 2, 2, 1))
    state, before = step(start_controller(), images, jnp.ones(4))
    state, after = step(state, images, jnp.ones(4))
    assert not before.any() and after.all()


# Bad input.


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("", "policy '' has no operation; expected letters of bgcfnoCTO"),
        ("bgx", "policy 'bgx': 'x' is no operation; expected letters of bgcfnoCTO.*or one of ada, ada_all"),
        ("bgb", "policy 'bgb' has 'b' twice"),
        ("ada ", "policy 'ada ': 'a' is no operation"),
    ],
)
def test_a_policy_that_is_none(policy, message):
    with pytest.raises(ValueError, match=message):
        make_augment(policy)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"images": jnp.zeros((2, 4, 4, 3), jnp.uint8)},
            r"float dtype in \[-1, 1\], got uint8 \(2, 4, 4, 3\)",
        ),
        ({"images": jnp.zeros((4, 4, 3))}, r"are \[B,H,W,C\].*got float32 \(4, 4, 3\)"),
        ({"images": jnp.zeros((2, 4, 0, 3))}, r"are \[B,H,W,C\].*got float32 \(2, 4, 0, 3\)"),
        ({"keys": keys(3)}, r"keys key<fry> \[3\] for 2 images; expected typed keys \[B\]"),
        ({"keys": jax.random.key(0)}, r"keys key<fry> \[\] for 2 images"),
        ({"keys": jnp.zeros((2, 2), jnp.uint32)}, r"keys uint32 \[2, 2\] for 2 images"),
        ({"p": 1.5}, r"p is 1.5, expected a probability in \[0, 1\]"),
        ({"p": -0.1}, r"p is -0.1, expected"),
        ({"p": float("nan")}, "p is nan, expected"),
        ({"p": jnp.float32(2.0)}, "p is 2.0, expected"),
        ({"p": jnp.zeros(2)}, r"one probability for the whole batch, got an array \(2,\)"),
    ],
)
def test_wrong_arguments_are_told_before_tracing(changed, message):
    arguments = {"images": jnp.zeros((2, 4, 4, 3)), "keys": keys(2), "p": 0.5} | changed
    with pytest.raises(ValueError, match=message):
        make_augment("n")(arguments["images"], arguments["keys"], p=arguments["p"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"r": jnp.zeros(4)}, r"r is one number.*got an array \(4,\)"),
        ({"target": 1.5}, "target is 1.5, expected a mean of signs"),
        ({"images": 0}, "images is 0, interval 4 and kimg 500.0, expected at least 1"),
        ({"interval": 0}, "images is 4, interval 0"),
        ({"kimg": 0.0}, "kimg 0.0, expected"),
    ],
)
def test_wrong_arguments_of_the_controller(changed, message):
    arguments = {"r": 0.0, "images": 4} | changed
    with pytest.raises(ValueError, match=message):
        adapt(start_controller(), arguments.pop("r"), **arguments)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_controller_starts_at_a_probability(p):
    with pytest.raises(ValueError, match="expected a probability"):
        start_controller(p)
