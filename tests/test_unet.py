from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import layers, unet

SHAPE = (16, 16, 2)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def parameters(module, *inputs):
    shapes = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)["params"]
    return {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()}


def start(module, *inputs):
    return jax.jit(partial(module.init, train=True))(jax.random.key(0), *inputs)


def run(module, variables, *inputs):
    return jax.jit(partial(module.apply, train=False))(variables, *inputs)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def test_as_many_parameters_as_pix2pix_has():
    """Its U-Net of 256x256 pixels, 54.414 million, and biases where the first and innermost have no norm."""
    found = parameters(unet.Generator((256, 256, 3), norm="batch"), jnp.ones((1, 256, 256, 3)))
    assert sum(found.values()) == 54_413_955 + 64 + 512
    assert [name for name in found if name.startswith("down")] == [f"down_{i}" for i in range(8)]


@pytest.mark.parametrize(
    ("shape", "depth", "expected"),
    [
        ((64, 64, 3), 0, 6),
        ((96, 64, 3), 0, 6),
        ((50, 70, 1), 0, 5),
        ((512, 512, 3), 0, 8),
        ((64, 64, 3), 4, 4),
    ],
)
def test_the_grid_is_halved_as_far_as_the_size_allows_or_as_asked(shape, depth, expected):
    found = parameters(unet.Generator(shape, width=2, depth=depth), jnp.ones((1, *shape)))
    assert len(found) == 2 * expected


@pytest.mark.parametrize("norm", layers.NORMS)
@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (1, 11, 37, 3)], ids=["16x16", "11x37"])
def test_images_of_any_size_become_images_of_that_size(shape, norm):
    network, images = unet.Generator(SHAPE, width=4, norm=norm), normal(0, *shape)
    variables = start(network, images)
    made = run(network, variables, images)
    assert (made.shape, made.dtype) == ((*shape[:3], 2), jnp.float32)
    assert np.abs(made).max() < 1.0 and np.std(made) > 0.0


def test_jit_changes_nothing():
    network, images = unet.Generator(SHAPE, width=4, depth=2), normal(0, 1, 8, 8, 3)
    variables = start(network, images)
    plain = network.apply(variables, images, keys(1), train=True)
    jitted = jax.jit(partial(network.apply, train=True))(variables, images, keys(1))
    np.testing.assert_allclose(plain, jitted, atol=1e-5)


def test_noise_is_of_each_images_key_alone_and_only_where_keys_are_given():
    network, images = unet.Generator(SHAPE, width=4), jnp.tile(normal(0, 1, *SHAPE), (3, 1, 1, 1))
    variables = start(network, images)
    made = run(network, variables, images, keys(3))
    assert np.abs(made[0] - made[1]).max() > 1e-3
    np.testing.assert_allclose(made[::-1], run(network, variables, images, keys(3)[::-1]), atol=1e-6)
    none = run(network, variables, images)
    np.testing.assert_allclose(none[0], none[1], atol=1e-6)
    without = unet.Generator(SHAPE, width=4, dropout=0.0)
    np.testing.assert_allclose(run(without, variables, images, keys(3)), none, atol=1e-6)


def test_dropping_keeps_means():
    images = jnp.ones((2, 50, 50, 4), jnp.bfloat16)
    dropped = unet.drop(images, keys(2), 0.5)
    assert dropped.dtype == jnp.bfloat16 and set(np.unique(dropped.astype(np.float32))) == {0.0, 2.0}
    assert abs(float(dropped.astype(jnp.float32).mean()) - 1.0) < 0.03
    assert (dropped[0] != dropped[1]).any()


def test_the_decoder_sees_the_encoders_grids():
    """Beyond what passes the innermost grid, which instance normalisation of the decoder is fed by alone."""
    network, images = unet.Generator(SHAPE, width=4, depth=2, norm="none"), normal(0, 1, *SHAPE)
    variables = start(network, images)
    blind = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if path[1].key == "up_1" else leaf, variables
    )
    assert np.std(run(network, blind, images)) > 0.0


@pytest.mark.parametrize("remat", [False, True])
def test_bfloat16_and_remat_keep_the_parameters_and_finite_derivatives(remat):
    images, given = normal(0, 2, *SHAPE), keys(2)
    plain = unet.Generator(SHAPE, width=4)
    network = unet.Generator(SHAPE, width=4, remat=remat, dtype=jnp.bfloat16)
    variables = start(network, images)
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), v) for v in (variables, start(plain, images))]
    assert described[0] == described[1]
    made = run(network, variables, images, given)
    assert made.dtype == jnp.float32
    np.testing.assert_allclose(made, run(plain, variables, images, given), atol=0.1)
    loss = jax.jit(jax.grad(lambda v: jnp.sum(network.apply(v, images, given, train=True) ** 2)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(loss(variables)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


@pytest.mark.parametrize("options", [dict(depth=5), dict(depth=-1), dict(dropout=1.0)])
def test_what_cannot_be_is_refused(options):
    network = unet.Generator(SHAPE, width=4, **options)
    with pytest.raises(ValueError, match="expected 0 to 4, how often 16 pixels can be halved, and a share"):
        network.init(jax.random.key(0), jnp.ones((1, *SHAPE)), train=True)
