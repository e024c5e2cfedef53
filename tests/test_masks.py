import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import masks
from jaxgan.masks import KINDS, check_masks

KEYS = jax.random.split(jax.random.key(0), 200)
SIZE, EVERY = (20, 28), tuple(KINDS)
draw_masks = jax.jit(masks.draw_masks, static_argnames=("size", "kinds", "area"))
LOOSE = ("rectangles", "free_form")


@pytest.fixture(scope="module")
def drawn():
    return {kind: np.asarray(draw_masks(KEYS, SIZE, kinds=(kind,), area=(0.2, 0.4))) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_areas_are_in_their_range_and_all_over_it(drawn, kind):
    """Of 0.2 to 0.4 uniformly; but straight edges move by a row, which is a share of 0.05."""
    assert drawn[kind].shape == (200, *SIZE, 1) and drawn[kind].dtype == np.float32
    assert {*np.unique(drawn[kind])} == {0.0, 1.0}
    areas = drawn[kind].mean(axis=(1, 2, 3))
    assert areas.min() >= 0.2 and areas.max() <= 0.4
    np.testing.assert_allclose(
        np.quantile(areas, [0.1, 0.5, 0.9]), [0.22, 0.3, 0.38], atol=0.025 if kind in LOOSE else 0.05
    )


def test_an_area_may_be_one_number_of_pixels():
    for kind in KINDS:
        found = draw_masks(KEYS[:20], (8, 8), kinds=(kind,), area=(11 / 64, 11 / 64))
        np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), 11)


def test_a_mask_depends_on_its_key_alone(drawn):
    every = draw_masks(KEYS[:40], SIZE, kinds=EVERY)
    np.testing.assert_array_equal(masks.draw_masks(KEYS[10:13], SIZE, kinds=EVERY), every[10:13])
    assert all(len(np.unique(drawn[kind], axis=0)) > 190 for kind in LOOSE)


def test_rectangles_are_up_to_three_filled_boxes():
    """A box's corners, of 90 degrees, are four; where boxes meet there are some more."""
    found = np.asarray(draw_masks(KEYS, SIZE, kinds=("rectangles",), area=(0.2, 0.4)))[..., 0]
    padded = np.pad(found, ((0, 0), (1, 1), (1, 1)))
    blocks = padded[:, :-1, :-1] + padded[:, 1:, :-1] + padded[:, :-1, 1:] + padded[:, 1:, 1:]
    corners = ((blocks == 1) | (blocks == 3)).sum(axis=(1, 2))
    assert 0.2 < (corners == 4).mean() < 0.7 and np.quantile(corners, 0.99) <= 16


def test_sides_are_straight_and_borders_leave_a_box(drawn):
    for mask in drawn["side"][..., 0]:
        assert mask.sum() in (20 * mask.all(axis=0).sum(), 28 * mask.all(axis=1).sum())
    for mask in drawn["border"][..., 0]:
        rows, columns = np.nonzero(1 - mask)
        inside = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert inside.mean() < 0.1  # but for a line that is not whole
    top, bottom = (drawn["side"][:, row, :, 0].all(axis=-1).mean() for row in (0, -1))
    left, right = (drawn["side"][:, :, column, 0].all(axis=-1).mean() for column in (0, -1))
    np.testing.assert_allclose([top, bottom, left, right], 0.25, atol=0.1)


def test_strokes_are_as_wide_as_they_should_be_and_joined():
    """Opened by a square that fits in no stroke, a mask is empty; a stroke's length is beyond its width."""
    size = (64, 64)
    found = np.asarray(draw_masks(KEYS[:30], size, kinds=("free_form",), area=(0.1, 0.11)))[..., 0]
    box = int(64 * masks.WIDTHS[1]) + 2
    windows = np.lib.stride_tricks.sliding_window_view(found, (box, box), axis=(1, 2))
    assert windows.all(axis=(3, 4)).any(axis=(1, 2)).mean() < 0.2  # where strokes cross
    down, right = found.any(axis=2).sum(axis=1), found.any(axis=1).sum(axis=1)
    assert np.mean(np.maximum(down, right) > 2 * box) > 0.8


def test_strokes_that_are_too_small_grow(monkeypatch):
    monkeypatch.setattr(masks, "WIDTHS", (0.01, 0.02))
    areas = masks.draw_masks(KEYS[:10], (32, 32), area=(0.8, 0.9)).mean(axis=(1, 2, 3))
    assert areas.min() >= 0.8 and areas.max() <= 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kinds=("circle",)), r"kinds of masks are \['circle'\]; expected some of rectangles"),
        (dict(kinds=()), r"kinds of masks are \[\]"),
        (dict(area=(0.5, 0.25)), r"area of masks is \(0.5, 0.25\) of 20x28 pixels"),
        (dict(area=(0.0, 0.5)), "shares between 0 and 1"),
        (dict(area=(0.3, 1.0)), "shares between 0 and 1"),
        (dict(area=(0.3001, 0.3002)), "a whole number of pixels between them"),
    ],
)
def test_masks_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        masks.draw_masks(KEYS, SIZE, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.zeros((2, 4, 5, 1)),
            r"Masks are \[2, 4, 5, 1\] for images \[2, 5, 5, 3\]; expected \[2, 5, 5, 1\]",
        ),
        (np.zeros((2, 5, 5, 3)), r"expected \[2, 5, 5, 1\]"),
        (np.full((2, 5, 5, 1), 255), r"Masks hold \[255\]; expected 0 where pixels are known and 1"),
    ],
)
def test_masks_of_other_sizes_or_numbers_are_refused(given, message):
    check_masks(jnp.ones((2, 5, 5, 1)), np.zeros((2, 5, 5, 3)))
    with pytest.raises(ValueError, match=message):
        check_masks(given, np.zeros((2, 5, 5, 3)))
