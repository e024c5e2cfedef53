import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models.repair import CONVOLUTIONS, Convolution, Discriminator, Generator, convolve_dilated

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (2, 12, 8, 3), minval=-1.0)
MASKS = jnp.zeros((2, 12, 8, 1)).at[0, 3:9, 2:5].set(1).at[1, 6:].set(1)
SMALL = dict(width=4, dilations=(1, 2))


def emptied(images, masks):
    return images * (1 - masks)


@pytest.fixture(scope="module")
def built():
    networks = {kind: Generator(convolution=kind, **SMALL) for kind in CONVOLUTIONS}
    init = {kind: jax.jit(lambda *x, g=g: g.init(KEY, *x, train=True)) for kind, g in networks.items()}
    return {kind: (g, init[kind](emptied(IMAGES, MASKS), MASKS)) for kind, g in networks.items()}


@pytest.mark.parametrize("dilation", [2, 3, 5])
def test_dilated_convolutions_are_xlas(dilation):
    images, kernel = jax.random.normal(KEY, (2, 7, 8, 3)), jax.random.normal(KEY, (3, 3, 3, 4))
    expected = jax.lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        ((dilation, dilation),) * 2,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(convolve_dilated(images, kernel, dilation=dilation), expected, atol=1e-5)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("size", [(12, 8), (9, 14), (5, 5)])
def test_images_of_any_size_are_made_by_the_same_weights(built, kind, size):
    network, variables = built[kind]
    images, masks = (jax.random.uniform(KEY, (2, *size, n)) for n in (3, 1))
    masks = jnp.round(masks)
    call = lambda x, m: network.apply(variables, x, m, train=False)  # noqa: E731
    out = jax.jit(call)(emptied(images, masks), masks)
    assert out.shape == images.shape and out.dtype == jnp.float32 and np.abs(out).max() <= 1
    np.testing.assert_allclose(out, call(emptied(images, masks), masks), atol=1e-5)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_gradients_reach_every_parameter_and_remat_changes_nothing(built, kind):
    network, variables = built[kind]

    def loss(params, network):
        return jnp.mean(network.apply({"params": params}, emptied(IMAGES, MASKS), MASKS, train=True) ** 2)

    plain, again = (
        jax.jit(lambda p, n=n: jax.grad(loss)(p, n))(variables["params"])
        for n in (network, network.clone(remat=True))
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(plain):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), plain, again)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_computes_in_bfloat16_with_parameters_in_float32(built, kind):
    network, variables = built[kind]
    low = network.clone(dtype=jnp.bfloat16)
    params = jax.eval_shape(lambda: low.init(KEY, IMAGES, MASKS, train=True))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    out, expected = (
        jax.jit(lambda v, n=n: n.apply(v, emptied(IMAGES, MASKS), MASKS, train=True))(variables)
        for n in (low, network)
    )
    assert out.dtype == jnp.float32 and 0 < np.abs(out - expected).max() < 0.1


def partial_convolution(images, known, **fields):
    conv = Convolution(2, "partial", active=False, **fields)
    variables = conv.init(KEY, images, known)
    variables["params"]["bias"] = jnp.array([1.0, -2.0])
    return variables["params"], conv.apply(variables, images, known)


def test_a_partial_convolution_is_that_of_the_paper():
    """Liu et al. 2018, eqs. 1 and 2, by hand at one pixel."""
    images, known = emptied(IMAGES, MASKS), 1 - MASKS
    params, (out, now) = partial_convolution(images, known)
    kernel, bias = params["conv"]["kernel"], params["bias"]
    window, valid = images[0, 2:5, 0:3], known[0, 2:5, 0:3]  # around (3, 1), of which two are in the hole
    expected = jnp.einsum("hwi,hwio->o", window * valid, kernel) * 9 / valid.sum() + bias
    assert valid.sum() == 7
    np.testing.assert_allclose(out[0, 3, 1], expected, rtol=1e-4)
    np.testing.assert_array_equal(out[0, 5, 3], 0)  # whose window is all hole
    np.testing.assert_array_equal(now[0, 4:8, 3], 0)
    assert now[0].sum() == 12 * 8 - 4  # 6x3 pixels shrink to 4x1


def test_a_partial_convolution_does_not_see_the_hole(built):
    network, variables = built["partial"]
    call = lambda images: network.apply(variables, images, MASKS, train=False)  # noqa: E731
    np.testing.assert_array_equal(call(emptied(IMAGES, MASKS)), call(jnp.where(MASKS > 0, 9.0, IMAGES)))


def test_constant_images_stay_constant_under_a_partial_convolution():
    """Of known pixels and of edges alike: what is missing is made up for."""
    images, known = jnp.full((1, 6, 6, 1), 0.5), jnp.zeros((1, 6, 6, 1)).at[0, ::2, ::3].set(1)
    conv = Convolution(1, "partial", active=False)
    params = {"conv": {"kernel": jnp.ones((3, 3, 1, 1)) / 9}, "bias": jnp.zeros(1)}
    out, now = conv.apply({"params": params}, images * known, known)
    np.testing.assert_allclose(out, 0.5 * now, rtol=1e-6)


def test_gates_are_between_closed_and_open():
    conv = Convolution(2, "gated")
    params = conv.init(KEY, IMAGES, 1 - MASKS)["params"]["conv"]
    outs = [
        conv.apply({"params": {"conv": params | {"bias": jnp.array([0.0, 0, gate, gate])}}}, IMAGES, MASKS)[0]
        for gate in (-50.0, 50.0)
    ]
    np.testing.assert_allclose(outs[0], 0, atol=1e-6)
    plain = Convolution(2, "plain").apply(
        {"params": {"conv": {"kernel": params["kernel"][..., :2], "bias": params["bias"][:2]}}}, IMAGES, MASKS
    )
    np.testing.assert_allclose(outs[1], plain[0], atol=1e-5)


def test_the_discriminator_judges_patches_of_images_of_any_size():
    network = Discriminator(width=4, stages=3)
    shown = jnp.concatenate([IMAGES, MASKS], axis=-1)
    variables = jax.jit(lambda x: network.init(KEY, x, train=True))(shown)
    logits, grids, heads = network.apply(
        variables, shown, train=True, method="describe", mutable=["batch_stats"]
    )[0]
    assert logits.shape == (2, 2, 1) and heads == {}
    assert [grid.shape[1:] for grid in grids] == [(6, 4, 4), (3, 2, 8), (2, 1, 16)]
    odd = jax.jit(lambda x: network.apply(variables, x, train=False))(shown[:, :9, :7])
    assert odd.shape == (2, 2, 1) and odd.dtype == jnp.float32
    low = network.clone(dtype=jnp.bfloat16).apply(variables, shown, train=False)
    assert low.dtype == jnp.float32
    assert not jnp.array_equal(logits, network.clone(norm="none").apply(variables, shown, train=False))


@pytest.mark.parametrize(
    ("options", "shapes", "message"),
    [
        (dict(convolution="dense"), None, "convolution is 'dense', expected one of gated, partial, plain"),
        ({}, ((2, 8, 8, 1), (2, 8, 8, 1)), r"Images are \(2, 8, 8, 1\) .* expected \[B,H,W,3\]"),
        ({}, ((2, 8, 8, 3), (2, 8, 9, 1)), r"masks \(2, 8, 9, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, shapes, message):
    images, masks = (jnp.zeros(shape) for shape in shapes or ((2, 8, 8, 3), (2, 8, 8, 1)))
    with pytest.raises(ValueError, match=message):
        Generator(**SMALL, **options).init(KEY, images, masks, train=True)
    with pytest.raises(ValueError, match="norm is 'batch', expected one of none, spectral"):
        Discriminator(norm="batch").init(KEY, images, train=True)
