import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgan.models import bilinear
from jaxgan.models.convolutions import convolve, convolve_transposed, resample, same

P = ((1, 1), (1, 1))
# kernel, stride, padding, groups, grid
CASES = {
    "1x1": ((1, 1), 1, ((0, 0), (0, 0)), 1, (3, 4)),
    "1x1 in strides and groups": ((1, 1), 2, ((0, 0), (1, 2)), 2, (3, 4)),
    "3x3": ((3, 3), 1, P, 1, (4, 5)),
    "3x3 in groups": ((3, 3), 1, P, 4, (4, 3)),
    "odd by even": ((5, 2), 1, ((3, 1), (0, 2)), 2, (3, 6)),
    "halving": ((4, 4), 2, P, 1, (6, 4)),
    "halving an odd grid": ((3, 3), 2, ((0, 1), (1, 0)), 2, (5, 7)),
    "a stride that leaves pixels out": ((2, 1), 3, ((2, 0), (0, 1)), 1, (7, 5)),
    "blocks, and pixels left out": ((3, 6), 3, ((1, 3), (2, 0)), 2, (9, 8)),
    "a stride of three": ((4, 5), 3, ((1, 3), (2, 2)), 1, (5, 4)),
}
# How the operations are written: of few channels or many on CPU, and elsewhere.
FORMS = ("narrow", "wide", "elsewhere")
each_case = pytest.mark.parametrize("case", CASES)
both_ways = pytest.mark.parametrize("ours", [convolve, convolve_transposed])


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def factors(case, batch=2):
    """Images and a kernel, and what else a convolution is told."""
    taps, stride, padding, groups, grid = CASES[case]
    told = {"stride": stride, "padding": padding, "groups": groups}
    return normal(0, batch, *grid, 4), normal(1, *taps, 4 // groups, 8), told


def theirs(ours, images, kernel, *, stride, padding, groups):
    strides = {"lhs_dilation": (stride, stride)} if ours is convolve_transposed else {}
    return lax.conv_general_dilated(
        images,
        kernel,
        (1, 1) if strides else (stride, stride),
        padding,
        **strides,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    if request.param == "wide":
        monkeypatch.setattr(bilinear, "NARROW", 0)
        monkeypatch.setattr(bilinear, "WIDE", 0)
    if request.param == "elsewhere":
        monkeypatch.setattr(bilinear, "_by_platform", lambda product, native, *inputs: native(*inputs))


def derivatives(function, images, kernel):
    """Values, gradients, and gradients of penalties on each of the gradients."""

    def gradients(images, kernel):
        return jax.grad(lambda *x: jnp.sin(function(*x)).sum(), argnums=(0, 1))(images, kernel)

    def penalty(images, kernel, of):
        return (gradients(images, kernel)[of] ** 2).sum() / 2

    second = [jax.grad(partial(penalty, of=of), argnums=(0, 1))(images, kernel) for of in (0, 1)]
    return function(images, kernel), gradients(images, kernel), second


@both_ways
@each_case
def test_values_and_derivatives_are_those_of_lax(ours, case, form):
    with jax.enable_x64(True):
        images, kernel, told = factors(case)

        @jax.jit
        def both(images, kernel):
            functions = partial(ours, **told), partial(theirs, ours, **told)
            return tuple(derivatives(function, images, kernel) for function in functions)

        mine, other = both(images, kernel)
        assert jax.tree.structure(mine) == jax.tree.structure(other)
        for found, expected in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
            assert found.dtype == "float64"
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@both_ways
def test_on_cpu_no_convolution_is_spread_out_by_zeros_or_grouped(ours):
    """In any of the derivatives; elsewhere they are XLA's, which are."""
    images, kernel, told = factors("halving an odd grid")
    traced = jax.jit(partial(derivatives, partial(ours, **told))).trace(images, kernel)
    slow = r"[lr]hs_dilate = \[[^]]*[2-9]|group_count = [2-9]"
    assert not re.search(slow, traced.lower().as_text())
    assert re.search(slow, traced.lower(lowering_platforms=("cuda",)).as_text())


@both_ways
def test_compiled_for_one_platform_nothing_is_left_of_the_choice(ours):
    images, kernel, told = factors("3x3")
    compiled = jax.jit(partial(ours, **told)).lower(images, kernel).compile()
    assert "conditional(" not in compiled.as_text()


@both_ways
def test_the_values_are_the_same_without_jit_and_mapped(ours):
    images, kernel, told = factors("halving an odd grid")
    function = partial(ours, **told)

    def gradients(images, kernel):
        return jax.grad(lambda *x: jnp.sin(function(*x)).sum(), argnums=(0, 1))(images, kernel)

    expected = jax.jit(gradients)(images, kernel)
    several = jnp.stack([kernel, 2 * kernel]), jnp.stack([images, images])
    mapped = jax.jit(jax.vmap(gradients, in_axes=(0, 0)))(*several[::-1])
    for plain, jitted, many in zip(gradients(images, kernel), expected, mapped, strict=True):
        np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(many[0], jitted, rtol=1e-4, atol=1e-5)


@both_ways
def test_a_dtype_is_kept_by_values_and_gradients(ours):
    images, kernel, told = factors("halving")
    coarse = [x.astype(jnp.bfloat16) for x in (images, kernel)]

    def loss(images, kernel):
        out = ours(images, kernel, **told)
        return jnp.sum(jnp.sin(out.astype("float32"))), out

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    rough, fine = gradient(*coarse), gradient(images.astype("float32"), kernel.astype("float32"))
    for found, expected in zip(jax.tree.leaves(rough), jax.tree.leaves(fine), strict=True):
        assert (found.dtype, expected.dtype) == ("bfloat16", "float32")
        scale = jnp.abs(expected).max()
        np.testing.assert_allclose(found.astype("float32") / scale, expected / scale, atol=0.15)


@pytest.mark.parametrize("taps", [(1, 1), (2, 3), (4, 5)])
def test_without_padding_given_a_grid_is_kept(taps):
    images, kernel = normal(0, 1, 6, 7, 2), normal(1, *taps, 2, 3)
    (top, bottom), (left, right) = same(kernel)
    assert top + bottom == taps[0] - 1 and left + right == taps[1] - 1
    assert 0 <= bottom - top <= 1 and 0 <= right - left <= 1
    np.testing.assert_array_equal(convolve(images, kernel), convolve(images, kernel, padding=same(kernel)))
    assert convolve(images, kernel).shape == (1, 6, 7, 3)


REFUSED = {
    "channels": ((1, 4, 4, 3), (3, 3, 2, 4), 1, "do not fit in 1 groups; expected"),
    "groups in": ((1, 4, 4, 4), (3, 3, 4, 4), 2, "do not fit in 2 groups"),
    "groups out": ((1, 4, 4, 4), (3, 3, 2, 3), 2, "do not fit in 2 groups"),
    "dimensions": ((4, 4, 4), (3, 3, 4, 4), 1, r"expected \[B,H,W,I\] and \[h,w,I/groups,O\] of one dtype"),
    "nothing left": ((1, 2, 9, 1), (4, 3, 1, 1), 1, "are smaller than the kernel"),
}


@both_ways
@pytest.mark.parametrize("case", REFUSED)
def test_factors_that_do_not_fit_are_refused(ours, case):
    images, kernel, groups, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        ours(jnp.ones(images), jnp.ones(kernel), stride=1, padding=((0, 1), (0, 0)), groups=groups)


@both_ways
def test_factors_of_two_dtypes_are_refused(ours):
    with pytest.raises(ValueError, match=r"Images are bfloat16 .* the kernel is float32"):
        ours(jnp.ones((1, 4, 4, 1), "bfloat16"), jnp.ones((3, 3, 1, 1)), stride=1, padding=P)


# Resampling

FILTERS = {  # taps, up, down, padding
    "up": ((1.0, 3.0, 3.0, 1.0), 2, 1, ((2, 1), (2, 1))),
    "down": ((1.0, 3.0, 3.0, 1.0), 1, 2, P),
    "blur": ((1.0, 2.0, 4.0), 1, 1, ((1, 1), (2, 0))),
    "by three halves": ((1.0, 2.0, 3.0, 4.0, 5.0), 3, 2, ((4, 2), (0, 0))),
    "by half, in two steps": ((1.0, 2.0), 2, 4, ((0, 1), (1, 0))),
    "by two thirds": ((0.5, 2.0, 1.0), 2, 3, ((0, 0), (1, 3))),
    "up with few taps": ((2.0,), 3, 1, ((0, 0), (1, 0))),
}


def by_definition(images, taps, up, down, padding):
    """With numpy, zeros and all."""
    b, h, w, c = images.shape
    spread = np.zeros((b, h * up, w * up, c))
    spread[:, ::up, ::up] = images
    spread = np.pad(spread, ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(spread, (len(taps), len(taps)), (1, 2))
    return np.einsum("bhwcpq,p,q->bhwc", windows, taps, taps)[:, ::down, ::down]


@pytest.mark.parametrize("case", FILTERS)
def test_resampling_is_zeros_between_pixels_a_filter_and_every_so_many_th(case):
    taps, up, down, padding = FILTERS[case]
    with jax.enable_x64(True):
        images = normal(0, 2, 5, 6, 3)
        function = jax.jit(partial(resample, taps=taps, up=up, down=down, padding=padding))
        found = function(images)
        expected = by_definition(images, taps, up, down, padding)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        # Linear, so that <resample(x), y> = <x, its transpose of y> says that the derivative is right.
        y = normal(1, *expected.shape)
        (pulled,) = jax.jit(lambda x, y: jax.vjp(function, x)[1](y))(images, y)
        np.testing.assert_allclose((pulled * images).sum(), (found * y).sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("up", "down", "here", "there"), [(2, 1, (1, 2), (2, 4)), (1, 2, (2, 4), (1, 2)), (1, 1, (3, 2), (3, 2))]
)
def test_resampling_moves_with_the_image(up, down, here, there):
    image = jnp.zeros((1, 20, 20, 1)).at[:, 6:9, 5:8].set(normal(0, 1, 3, 3, 1))
    function = partial(resample, taps=(1.0, 3.0, 3.0, 1.0), up=up, down=down, padding=((2, 1), (2, 1)))
    moved = function(jnp.roll(image, here, (1, 2)))
    assert jnp.abs(moved).max() > 1
    np.testing.assert_allclose(moved, jnp.roll(function(image), there, (1, 2)), rtol=1e-5, atol=1e-5)


def test_resampling_keeps_a_dtype_and_refuses_images_smaller_than_the_filter():
    images = jnp.ones((1, 4, 4, 2), jnp.bfloat16)
    assert resample(images, (1.0, 3.0, 3.0, 1.0), down=2, padding=P).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="smaller than the filter, 6 taps"):
        resample(images, (1.0,) * 6, padding=((0, 1), (0, 0)))
