from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import rrdb, srresnet


def count(network, images):
    shapes = jax.eval_shape(partial(network.init, train=True), jax.random.key(0), images)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(("scale", "parameters"), [(4, 16_697_987), (2, 16_661_059), (1, 16_624_131)])
def test_esrgan_has_the_published_number_of_parameters(scale, parameters):
    assert count(rrdb.Generator(scale=scale), jnp.zeros((1, 8, 8, 3))) == parameters


NETWORKS = {
    "rrdb": rrdb.Generator(channels=2, width=8, blocks=2, growth=4),
    "srresnet": srresnet.Generator(channels=2, width=8, blocks=2),
    "srresnet without norm": srresnet.Generator(
        channels=2, width=8, blocks=2, norm="none", tail="direct", ends=3, skip=True
    ),
}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_odd_sizes_are_enlarged_at_every_precision(name, scale):
    network = NETWORKS[name].clone(scale=scale)
    images = jax.random.uniform(jax.random.key(1), (2, 5, 8, 2), minval=-1.0)
    variables = jax.jit(partial(network.init, train=True))(jax.random.key(0), images)
    made = jax.jit(partial(network.apply, train=False))(variables, images)
    assert made.shape == (2, 5 * scale, 8 * scale, 2) and made.dtype == jnp.float32
    np.testing.assert_allclose(network.apply(variables, images, train=False), made, atol=1e-5)
    half = network.clone(dtype=jnp.bfloat16, remat=True).apply(variables, images, train=False)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, made, atol=0.05)
    larger = network.apply(variables, jnp.concatenate([images, images], axis=1), train=False)
    assert larger.shape == (2, 10 * scale, 8 * scale, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_and_as_well_when_blocks_are_computed_anew(name):
    network = NETWORKS[name]
    images = jax.random.uniform(jax.random.key(1), (2, 4, 5, 2), minval=-1.0)
    variables = jax.jit(partial(network.init, train=True))(jax.random.key(0), images)

    def error(network, params):
        made, _ = network.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        return jnp.mean((made - 0.5) ** 2)

    plain, anew = (
        jax.jit(jax.grad(partial(error, n)))(variables["params"])
        for n in (network, network.clone(remat=True))
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(plain):
        normalised = name == "srresnet" and path[-1].key == "bias" and "Conv" in path[-2].key
        assert jnp.isfinite(leaf).all() and (normalised or jnp.abs(leaf).max() > 0), path
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), plain, anew)


def test_a_new_network_with_a_skip_interpolates():
    """What it adds is a small part of what the other network makes out of nothing."""
    network = NETWORKS["srresnet without norm"]
    images = jax.random.uniform(jax.random.key(1), (1, 6, 6, 2), minval=-1.0)
    made, _ = network.init_with_output(jax.random.key(0), images, train=True)
    enlarged = jax.image.resize(images, made.shape, "cubic")
    assert jnp.std(made - enlarged) < 0.2 * jnp.std(enlarged)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (rrdb.Generator(scale=5), "scale is 5.*1, 2, 3, 4, 8"),
        (rrdb.Generator(), r"expected \[B,H,W,3\]"),
        (srresnet.Generator(channels=2, tail="shuffle"), "tail is 'shuffle'.*stages, direct"),
        (srresnet.Generator(channels=2, norm="instance"), "norm is 'instance'.*batch, none"),
        (srresnet.Generator(channels=2, skip=True, bounded=True), "set one of them"),
    ],
)
def test_networks_that_cannot_be_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        count(network, jnp.zeros((1, 8, 8, 2)))
