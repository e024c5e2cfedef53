from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import dcgan, recurrent

B, Z = 3, 5
LABELS = jnp.int32([0, 2, 1])
SMALL = (8, 8, 1)
LATENTS = jnp.asarray(np.random.default_rng(0).normal(size=(B, Z)), jnp.float32)


def generator(**options):
    return recurrent.Generator(**{"image_shape": SMALL, "width": 4, "memory": 6, "steps": 2} | options)


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(0), *inputs, train=True)


@partial(jax.jit, static_argnums=0, static_argnames="method")
def apply(module, variables, *inputs, method="__call__"):
    return module.apply(variables, *inputs, train=True, method=method)


def traced(module, *inputs):
    return jax.eval_shape(partial(module.init_with_output, train=True), jax.random.key(0), *inputs)


@pytest.mark.parametrize("num_classes", [0, 3], ids=["unconditional", "conditional"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (16, 24, 4), (64, 96, 3)])
def test_it_makes_images_of_any_shape(shape, num_classes):
    module = generator(image_shape=shape, num_classes=num_classes, dtype=jnp.bfloat16)
    out, variables = traced(module, LATENTS, *[LABELS] * (num_classes > 0))
    assert (out.shape, out.dtype) == ((B, *shape), "float32")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


def test_the_last_canvas_is_the_image_and_others_lead_to_it():
    module = generator()
    variables = init(module, LATENTS)
    canvases = apply(module, variables, LATENTS, method="canvases")
    assert canvases.shape == (B, 2, *SMALL) and jnp.isfinite(canvases).all()
    assert 0.05 < jnp.abs(canvases).max() <= 1
    np.testing.assert_array_equal(canvases[:, -1], apply(module, variables, LATENTS))
    shorter = apply(generator(steps=1), variables, LATENTS, method="canvases")
    np.testing.assert_allclose(canvases[:, :1], shorter, rtol=1e-5, atol=1e-6)
    assert (jnp.abs(canvases[:, 1:] - canvases[:, :-1]).max(axis=(0, 2, 3, 4)) > 1e-3).all()


def test_the_steps_share_their_parameters():
    def shapes(**options):
        _, variables = traced(generator(**options), LATENTS)
        return jax.tree.map(lambda leaf: leaf.shape, variables)

    assert shapes(steps=1) == shapes(steps=7) == shapes(remat=True)
    assert shapes().keys() == {"params"}  # no statistics of a batch


def test_the_parameters_are_those_worked_by_hand():
    _, variables = traced(generator(num_classes=3), LATENTS, LABELS)  # one stage of 4, a memory of 4x4x6
    dense = (Z + 3 + 1) * 4 * 4 * 6
    encoder, decoder, added = 9 * 1 * 4 + 4, 9 * 6 * 4 + 4, 9 * 4 * 1 + 1
    gru = 3 * (9 * (6 + 4 + 6) * 6 + 6)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == dense + encoder + decoder + added + gru


def test_the_gru_computes_the_equations():
    """Ballas et al. 2016, section 3.1, on a grid of one pixel, where a convolution is its middle tap."""
    rng = np.random.default_rng(1)
    state, inputs = (jnp.asarray(rng.normal(size=(2, 1, 1, size)), jnp.float32) for size in (3, 2))
    gru = recurrent.ConvGRU()
    variables = gru.init(jax.random.key(0), state, inputs)
    h, x = np.asarray(state)[:, 0, 0], np.asarray(inputs)[:, 0, 0]
    gates, candidate = (np.asarray(variables["params"][k]["kernel"])[1, 1] for k in ("gates", "candidate"))
    z, r = np.split(1 / (1 + np.exp(-np.concatenate([h, x], 1) @ gates)), 2, axis=1)
    proposed = np.tanh(np.concatenate([r * h, x], 1) @ candidate)
    expected = (1 - z) * h + z * proposed
    np.testing.assert_allclose(gru.apply(variables, state, inputs)[:, 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_outputs_are_the_same_without_jit_with_remat_and_nearly_in_bfloat16():
    module = generator(num_classes=3)
    variables = init(module, LATENTS, LABELS)
    jitted = apply(module, variables, LATENTS, LABELS)
    plain = module.apply(variables, LATENTS, LABELS, train=True)
    np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-6)
    remat = apply(module.clone(remat=True), variables, LATENTS, LABELS)
    np.testing.assert_allclose(remat, jitted, rtol=1e-5, atol=1e-6)
    coarse = apply(module.clone(dtype=jnp.bfloat16), variables, LATENTS, LABELS)
    assert 0 < jnp.abs(coarse - jitted).max() / jnp.abs(jitted).max() < 0.05


def test_labels_and_latents_matter_to_their_own_example_alone():
    module = generator(num_classes=3)
    variables = init(module, LATENTS, LABELS)
    before = apply(module, variables, LATENTS, LABELS)
    for inputs in ((LATENTS, LABELS.at[1].set(0)), (LATENTS.at[1].add(1.0), LABELS)):
        changed = (before != apply(module, variables, *inputs)).reshape(B, -1).any(axis=1)
        assert changed.tolist() == [False, True, False]


def test_second_derivatives_are_finite_and_the_same_with_remat():
    """As a path length penalty takes them."""

    def penalty(params, module):
        def energy(latents):
            return jnp.sum(
                module.apply({"params": params}, latents, train=True) * jnp.arange(64).reshape(SMALL)
            )

        return jnp.sum(jax.grad(energy)(LATENTS) ** 2)

    gradient = jax.jit(jax.grad(penalty), static_argnums=1)
    params = init(generator(), LATENTS)["params"]
    # Away from where biases start: of an empty canvas, the encoder's ReLUs are given 0, their kink.
    params = jax.tree.map(lambda leaf: leaf + 0.01, params)
    plain, remat = (gradient(params, generator(remat=remat)) for remat in (False, True))
    for leaf, other in zip(jax.tree.leaves(plain), jax.tree.leaves(remat), strict=True):
        assert jnp.isfinite(leaf).all()
        np.testing.assert_allclose(leaf, other, rtol=1e-3, atol=1e-3 * float(jnp.abs(leaf).max() + 1e-6))
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(plain["stroke"]["encoder_0"]))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="7x8 cannot be doubled from a grid of at least 4 pixels"):
        traced(generator(image_shape=(7, 8, 1)), LATENTS)
    with pytest.raises(ValueError, match="steps is 0, expected 1 or more"):
        traced(generator(steps=0), LATENTS)
    with pytest.raises(ValueError, match="built for 3 classes and was given no labels"):
        traced(generator(num_classes=3), LATENTS)


def test_the_discriminator_is_dcgans():
    assert recurrent.Discriminator is dcgan.Discriminator
