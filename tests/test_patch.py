from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import layers, patch

SHAPE = (2, 24, 32, 4)


def normal(seed, *shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def count(module, *inputs):
    params = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def start(module, *inputs):
    return jax.jit(partial(module.init, train=True))(jax.random.key(0), *inputs)


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_is_each_channel_of_each_image_at_mean_0_and_variance_1(affine):
    images = 3.0 + 2.0 * normal(0, 2, 5, 4, 3)
    variables = layers.InstanceNorm(affine=affine).init(jax.random.key(0), images)
    given = {"params": {"scale": normal(1, 3), "bias": normal(2, 3)}} if affine else {}
    assert jax.tree.map(jnp.shape, dict(variables)) == jax.tree.map(jnp.shape, given)
    out = layers.InstanceNorm(affine=affine).apply(given, images)
    x = np.asarray(images, np.float64)
    expected = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    if affine:
        expected = expected * np.asarray(given["params"]["scale"]) + np.asarray(given["params"]["bias"])
    np.testing.assert_allclose(out, expected, atol=2e-6)


def test_instance_norm_of_bfloat16_has_statistics_of_float32():
    images = (256.0 + normal(0, 1, 16, 16, 2)).astype(jnp.bfloat16)
    out, variables = layers.InstanceNorm().init_with_output(jax.random.key(0), images)
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    assert abs(float(out.astype(jnp.float32).mean())) < 0.01
    assert layers.InstanceNorm(dtype=jnp.float32).apply(variables, images).dtype == jnp.float32


@pytest.mark.parametrize(("halvings", "size"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_fields_are_those_of_the_paper(halvings, size):
    """Isola et al. 2017, section 4.4: 1, 16, 70 and 286."""
    assert patch.receptive_field(halvings) == size


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_a_logit_depends_on_a_patch_as_large_as_its_receptive_field(halvings):
    images = normal(0, 1, 64, 64, 1)
    network = patch.Patches(halvings, width=4, norm="none")
    variables = start(network, images)

    def middle(images):
        logits = network.apply(variables, images, train=False)[0]
        return logits[logits.shape[0] // 2, logits.shape[1] // 2]

    seen = np.abs(jax.jit(jax.grad(middle))(images)[0, :, :, 0]) > 0
    assert (seen.any(0).sum(), seen.any(1).sum()) == (patch.receptive_field(halvings),) * 2


def test_as_many_parameters_as_pix2pix_has():
    """Its 70x70 discriminator of two colour images, with batch normalisation: 2.769 million."""
    images = jnp.ones((1, 256, 256, 6))
    assert count(patch.Discriminator(norm="batch"), images) == 2_768_705
    assert count(patch.Discriminator(norm="instance"), images) == 2_768_705
    bare = count(patch.Discriminator(norm="none"), images)
    assert bare == 2_768_705 - (128 + 256 + 512)  # a bias in the place of a scale and a bias
    assert count(patch.Discriminator(norm="batch", scales=3), images) == 3 * 2_768_705  # pix2pixHD's


@pytest.mark.parametrize("norm", layers.NORMS)
def test_patches_have_logits_and_describe_the_stages(norm):
    images, network = normal(0, *SHAPE), patch.Discriminator(halvings=2, width=4, norm=norm)
    variables = start(network, images)
    assert ("batch_stats" in variables) == (norm in ("batch", "spectral"))
    (logits, grids, heads), _ = network.apply(
        variables, images, train=True, method="describe", mutable=["batch_stats"]
    )
    assert logits.shape == (2, 4, 6) and logits.dtype == jnp.float32 and heads == {}
    assert [grid.shape[1:] for grid in grids] == [(12, 16, 4), (6, 8, 8), (5, 7, 16)]
    plain = network.apply(variables, images, train=False)
    jitted = jax.jit(partial(network.apply, train=False))(variables, images)
    np.testing.assert_allclose(plain, jitted, atol=1e-5)


def test_scales_see_images_of_half_the_size():
    images, network = normal(0, *SHAPE), patch.Discriminator(2, halvings=1, width=4, norm="none")
    variables = start(network, images)
    logits, grids, _ = network.apply(variables, images, train=False, method="describe")
    assert [x.shape for x in logits] == [(2, 10, 14), (2, 4, 6)] and len(grids) == 4
    half = patch.Patches(halvings=1, width=4, norm="none")
    expected = half.apply({"params": variables["params"]["scale_1"]}, layers.shrink(images), train=False)
    np.testing.assert_allclose(logits[1], expected, atol=1e-6)


@pytest.mark.parametrize("remat", [True, False])
def test_bfloat16_and_remat_keep_float32_parameters_logits_and_second_derivatives(remat):
    images = normal(0, *SHAPE)
    network = patch.Discriminator(halvings=1, width=4, norm="none", remat=remat, dtype=jnp.bfloat16)
    variables = start(network, images)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}

    def r1(variables):
        def total(images):
            return network.apply(variables, images, train=True).sum()

        return jnp.sum(jax.grad(total)(images) ** 2)

    assert network.apply(variables, images, train=False).dtype == jnp.float32
    grads = jax.jit(jax.grad(r1))(variables)["params"]["scale_0"]["stage_0"]["Conv_0"]["kernel"]
    assert np.isfinite(grads).all() and np.abs(grads).max() > 0


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        (
            dict(halvings=3),
            (1, 23, 32, 3),
            "at least 24 pixels a side, for a patch discriminator of 3 halvings",
        ),
        (
            dict(scales=3),
            (1, 64, 66, 3),
            "3 scales halve them: .* H and W multiples of 4; crop them, or set f",
        ),
        (
            dict(norm="layer"),
            (1, 64, 64, 3),
            "norm is 'layer', expected one of none, batch, instance, spectral",
        ),
        (dict(), (64, 64, 3), r"expected \[B,H,W,C\]"),
    ],
)
def test_what_cannot_be_is_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        patch.Discriminator(width=4, **options).init(jax.random.key(0), jnp.ones(shape), train=True)
