from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import layers, translator


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def count(module, *inputs):
    params = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def start(module, *inputs):
    return jax.jit(partial(module.init, train=True))(jax.random.key(0), *inputs)


def small(**options):
    return translator.Generator(**{"channels": 2, "width": 4, "blocks": 5, **options})


def test_as_many_parameters_as_the_papers_generators_have():
    """CycleGAN's with 9 blocks: 11.383 million; pix2pixHD's global one: 182.5 million."""
    images = jnp.ones((1, 256, 256, 3))
    assert count(translator.Generator(), images) == 11_383_427
    assert count(translator.Generator(norm="batch"), images) == 11_383_427
    assert round(count(translator.Generator(halvings=4), images) / 1e6, 1) == 182.5


def test_images_are_mirrored_at_their_edges():
    row = jnp.arange(3.0).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(layers.reflect(row, 2)[0, 2, :, 0], [2, 1, 0, 1, 2, 1, 0])
    assert layers.reflect(row, 2).shape == (1, 5, 7, 1)  # a row has no other that it could mirror
    np.testing.assert_array_equal(layers.reflect_to_multiple(row, 4)[0, :, :, 0], [[0, 1, 2, 1]] * 4)
    assert layers.reflect_to_multiple(row, 1) is row


@pytest.mark.parametrize("norm", layers.NORMS)
@pytest.mark.parametrize("shape", [(2, 16, 8, 3), (1, 11, 13, 3)], ids=["16x8", "11x13"])
def test_images_of_any_size_become_images_of_that_size(shape, norm):
    network, images = small(norm=norm, blocks=1), normal(0, *shape)
    variables = start(network, images)
    made = jax.jit(partial(network.apply, train=False))(variables, images)
    assert (made.shape, made.dtype) == ((*shape[:3], 2), jnp.float32)
    assert np.abs(made).max() < 1.0 and np.std(made) > 0.0
    np.testing.assert_allclose(network.apply(variables, images, train=False), made, atol=1e-5)


def test_a_multiple_of_the_smallest_size_is_made_without_padding():
    """What is made of an image of odd size is what is made of the padded one."""
    images, network = normal(0, 1, 7, 10, 3), small(blocks=1)
    variables = start(network, images)
    padded = jnp.pad(images, [(0, 0), (0, 1), (0, 2), (0, 0)], mode="reflect")
    expected = network.apply(variables, padded, train=False)[:, :7, :10]
    np.testing.assert_allclose(network.apply(variables, images, train=False), expected, atol=1e-6)


def test_bfloat16_and_remat_change_the_computation_and_not_the_parameters():
    images = normal(0, 1, 8, 8, 3)
    variables = start(small(), images)
    for options in ({"dtype": jnp.bfloat16}, {"remat": True}):
        other = start(small(**options), images)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), other) == jax.tree.map(
            lambda x: (x.shape, x.dtype), variables
        )
        made = small(**options).apply(variables, images, train=False)
        assert made.dtype == jnp.float32
        np.testing.assert_allclose(made, small().apply(variables, images, train=False), atol=0.05)


@pytest.mark.parametrize("remat", [False, True])
def test_the_derivative_of_every_parameter_is_finite(remat):
    images, network = normal(0, 2, 8, 8, 3), small(blocks=1, remat=remat)
    variables = start(network, images)
    grads = jax.jit(jax.grad(lambda v: jnp.sum(network.apply(v, images, train=True) ** 3)))(variables)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


# Features


def test_features_are_what_stages_make():
    images, network = normal(0, 2, 16, 12, 3), small()
    variables = start(network, images)
    features = partial(network.apply, variables, images, train=False, method="features")
    assert network.depth == 2 + 2 * 2 + 5
    shapes = [grid.shape[1:] for grid in features((0, 1, 2, 3, 4, 8, 9, 10, 11))]
    assert shapes == [
        (16, 12, 3), (16, 12, 4), (8, 6, 8), (4, 3, 16), (4, 3, 16), (4, 3, 16), (8, 6, 8), (16, 12, 4),
        (16, 12, 2),
    ]  # fmt: skip
    last, first = features((11, 0))  # in the order asked for
    np.testing.assert_array_equal(first, images)
    np.testing.assert_allclose(last, network.apply(variables, images, train=False), atol=1e-6)
    for given, expected in zip(features(), features((0, 2, 3, 4, 8)), strict=True):  # CUT's
        np.testing.assert_array_equal(given, expected)
    assert len(network.clone(blocks=2).apply(variables, images, train=False, method="features")) == 4


def test_nothing_beyond_the_last_stage_asked_for_is_computed():
    images, network = normal(0, 1, 8, 8, 3), small()
    variables = start(network, images)
    params = {name: variables["params"][name] for name in ("first", "down_0")}
    grid = network.apply({"params": params}, images, (2,), train=False, method="features")[0]
    assert grid.shape == (1, 4, 4, 8)

    def total(params):
        return jnp.sum(network.apply({"params": params}, images, (2,), train=True, method="features")[0] ** 2)

    grads = jax.grad(total)(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


def test_stages_and_norms_that_are_not_there_are_refused():
    images = jnp.ones((1, 8, 8, 3))
    variables = start(small(), images)
    with pytest.raises(ValueError, match=r"Stages are \(3, 12\), expected numbers from 0 to 11"):
        small().apply(variables, images, (3, 12), train=False, method="features")
    with pytest.raises(ValueError, match="norm is 'layer', expected one of none, batch, instance, spectral"):
        small(norm="layer").apply(variables, images, train=False)
    with pytest.raises(ValueError, match=r"Images are \(8, 8, 3\), expected \[B,H,W,C\]"):
        small().apply(variables, images[0], train=False)
