from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import vit

B, Z = 3, 5
LABELS = jnp.int32([0, 2, 1])
SMALL = {"width": 8, "depth": 2, "attention_heads": 2}
SHAPES = {"square": (8, 8, 1), "wide": (8, 12, 3), "latents": (4, 6, 16)}


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(0), *inputs, train=True)


@partial(jax.jit, static_argnums=0)
def apply(module, variables, *inputs):
    return module.apply(variables, *inputs, train=False)


def opened(variables):
    """The variables with every number drawn, so that gates are open and nothing is where it started."""
    leaves, structure = jax.tree.flatten(variables)
    leaves = [leaf + 0.3 * normal(i, *leaf.shape) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, leaves)


def players(shape=SHAPES["wide"], squash=True, **options):
    """Each player and its first input."""
    return {
        "generator": (vit.Generator(shape, squash=squash, **SMALL | options), normal(0, B, Z)),
        "discriminator": (vit.Discriminator(shape, **SMALL | options), normal(0, B, *shape)),
    }


each_player = pytest.mark.parametrize("name", players())


# Parts


def test_patches_are_cut_and_joined():
    images = normal(0, 2, 4, 6, 3)
    patches = vit.cut(images, 2)
    assert patches.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(patches[1, 0, 2].reshape(2, 2, 3), images[1, :2, 4:6])
    np.testing.assert_array_equal(vit.join(patches, 2), images)


def test_positions_start_as_waves_that_tell_all_places_apart():
    waves = vit.waves((2, 3), 8)
    np.testing.assert_allclose(
        waves[5],  # row 1, column 2, of wavelengths 2 pi and 20,000 pi
        [np.sin(1), np.sin(1e-4), np.sin(2), np.sin(2e-4), np.cos(1), np.cos(1e-4), np.cos(2), np.cos(2e-4)],
        rtol=1e-6,
    )
    differences = jnp.abs(waves[:, None] - waves).max(axis=-1) + jnp.eye(6)
    assert differences.min() > 0.4
    module, inputs = players()["discriminator"]
    variables = init(module, inputs)
    np.testing.assert_array_equal(variables["params"]["positions"]["embedding"], vit.waves((4, 6), 8))


def test_a_block_without_a_condition_is_what_its_formula_says():
    """One head, worked in numpy: x + attention(norm(x)), then x + perceptron(norm(x))."""
    tokens = normal(0, 1, 3, 4)
    variables = opened(vit.Block(1).init(jax.random.key(0), tokens))
    p = jax.tree.map(np.asarray, variables["params"])

    def rms(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale

    def heads(name, x):
        return x @ p["attention"][name]["kernel"][:, 0] + p["attention"][name]["bias"][0]

    def standard(x, scale):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * scale

    x = np.asarray(tokens[0])
    h = rms(x, p["attention_norm"]["RMSNorm_0"]["scale"])
    queries = standard(heads("query", h), p["attention"]["query_ln"]["scale"])
    keys = standard(heads("key", h), p["attention"]["key_ln"]["scale"])
    weights = np.asarray(jax.nn.softmax(queries @ keys.T / 2.0, axis=-1))
    out = p["attention"]["out"]
    x = x + weights @ heads("value", h) @ out["kernel"][0] + out["bias"]
    h = rms(x, p["perceptron_norm"]["RMSNorm_0"]["scale"])
    hidden = np.asarray(jax.nn.gelu(h @ p["hidden"]["kernel"] + p["hidden"]["bias"]))
    x = x + hidden @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(vit.Block(1).apply(variables, tokens)[0], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_block_moves_with_its_tokens(conditional):
    tokens, condition = normal(0, B, 6, 8), normal(1, B, 4) if conditional else None
    block, order = vit.Block(2), jnp.int32([3, 0, 5, 1, 4, 2])
    variables = opened(block.init(jax.random.key(0), tokens, condition))
    moved = block.apply(variables, tokens[:, order], condition)
    np.testing.assert_allclose(
        moved, block.apply(variables, tokens, condition)[:, order], rtol=1e-4, atol=1e-5
    )


def test_every_token_sees_every_other():
    tokens = normal(0, 1, 6, 8)
    block = vit.Block(2)
    variables = opened(block.init(jax.random.key(0), tokens))
    before, after = (block.apply(variables, x) for x in (tokens, tokens.at[0, 5].add(normal(1, 8))))
    assert (jnp.abs(before - after).max(axis=-1) > 1e-4).all()


def test_a_block_with_a_condition_starts_as_nothing():
    tokens, condition = normal(0, B, 6, 8), normal(1, B, 4)
    block = vit.Block(2)
    variables = block.init(jax.random.key(0), tokens, condition)
    np.testing.assert_array_equal(block.apply(variables, tokens, condition), tokens)
    assert jnp.abs(block.apply(opened(variables), tokens, condition) - tokens).max() > 0.1


# Players


@pytest.mark.parametrize("num_classes", [0, 3], ids=["unconditional", "conditional"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_they_make_and_judge_images_of_any_shape(shape, num_classes):
    given = (LABELS,) if num_classes else ()
    for module, inputs in players(shape, num_classes=num_classes, dtype=jnp.bfloat16).values():
        out, variables = jax.eval_shape(
            partial(module.init_with_output, train=True), jax.random.key(0), inputs, *given
        )
        assert (out.shape, out.dtype) == ((B, *shape) if inputs.ndim == 2 else (B,), "float32")
        assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
        assert set(variables) == {"params"}


def test_parameter_counts_of_small_ones_worked_by_hand():
    def count(module, *inputs):
        variables = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)
        return sum(leaf.size for leaf in jax.tree.leaves(variables))

    block = 4 * (8 * 8 + 8) + 2 * 4 + (8 * 32 + 32) + (32 * 8 + 8)  # attention, its norms, a perceptron
    dense = 8 * 8 + 8  # of a condition to gains, biases or gates
    positions, pixels = 4 * 6 * 8, 2 * 2 * 3
    generator = (Z * 8 + 8) + dense + positions + 2 * (block + 6 * dense) + 2 * dense + 8 * pixels + pixels
    discriminator = (pixels * 8 + 8) + positions + 2 * (block + 2 * 8) + 8 + (8 + 1)
    for name, expected in (("generator", generator), ("discriminator", discriminator)):
        module, inputs = players()[name]
        assert count(module, inputs) == expected
        assert count(module.clone(num_classes=3), inputs, LABELS) == expected + 3 * 8


@each_player
@pytest.mark.parametrize("several", [False, True])
def test_outputs_are_finite_and_the_same_without_jit(name, several):
    module, inputs = players(num_classes=3)[name]
    labels = jnp.float32([[1, 0, 1], [0, 0, 0], [0, 1, 0]]) if several else LABELS
    variables = opened(init(module, inputs, labels))
    jitted = apply(module, variables, inputs, labels)
    assert jnp.isfinite(jitted).all() and jitted.std() > 0
    plain = module.apply(variables, inputs, labels, train=False)
    np.testing.assert_allclose(plain, jitted, rtol=1e-3, atol=1e-5)


@each_player
def test_inputs_and_labels_matter_from_the_beginning_and_only_to_their_own_example(name):
    module, inputs = players(num_classes=3)[name]
    variables = init(module, inputs, LABELS)
    before = apply(module, variables, inputs, LABELS)
    for after in (
        apply(module, variables, inputs, LABELS.at[1].set(0)),
        apply(module, variables, inputs.at[1].add(1.0), LABELS),
    ):
        changed = jnp.abs(before - after).reshape(B, -1).max(axis=1)
        assert changed[1] > 1e-3 and changed[0] == changed[2] == 0


@each_player
def test_wrong_labels_are_refused(name):
    module, inputs = players()[name]
    with pytest.raises(ValueError, match=r"built for 0 classes and was given labels of shape \(3,\)"):
        init(module, inputs, LABELS)
    with pytest.raises(ValueError, match="built for 3 classes and was given no labels"):
        init(module.clone(num_classes=3), inputs)


@each_player
def test_bfloat16_is_close_to_float32_and_not_equal(name):
    module, inputs = players(squash=False)[name]
    variables = init(module, inputs)
    exact = apply(module, variables, inputs)
    coarse = apply(module.clone(dtype=jnp.bfloat16), variables, inputs)
    assert 0 < jnp.abs(coarse - exact).max() < 0.03 * jnp.abs(exact).max()


@each_player
def test_rematerialisation_changes_neither_parameters_nor_gradients(name):
    module, inputs = players(depth=1)[name]
    variables = opened(init(module, inputs))
    again = module.clone(remat=True)
    shapes = jax.tree.map(jnp.shape, variables)
    assert jax.tree.map(jnp.shape, init(again, inputs)) == shapes

    def gradients(module):
        return jax.jit(jax.grad(lambda variables: (apply(module, variables, inputs) ** 2).sum()))(variables)

    for one, other in zip(*(jax.tree.leaves(gradients(m)) for m in (module, again)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@each_player
def test_second_derivatives_are_those_of_differences(name):
    """R1 of the discriminator, and as much of the generator, in float64."""
    with jax.enable_x64(True):
        module, inputs = players((4, 6, 2), depth=1)[name]
        inputs = inputs.astype(jnp.float64)
        variables = opened(jax.jit(partial(module.init, train=True))(jax.random.key(0), inputs))
        along = jax.tree.map(lambda leaf: normal(leaf.size, *leaf.shape), variables)

        @jax.jit
        def penalty(share):
            moved = jax.tree.map(lambda leaf, step: leaf + share * step, variables, along)
            slope = jax.grad(lambda x: (module.apply(moved, x, train=True) ** 2).sum())(inputs)
            return (slope**2).sum()

        step = 1e-6
        expected = (penalty(step) - penalty(-step)) / (2 * step)
        np.testing.assert_allclose(jax.jit(jax.grad(penalty))(0.0), expected, rtol=1e-6)


def test_a_flat_image_has_finite_penalties():
    """Where every patch is zero, as in the corners of handwritten digits."""
    module, inputs = players(depth=1)["discriminator"]
    variables = init(module, inputs)

    def r1(variables):
        slope = jax.grad(lambda x: apply(module, variables, x).sum())(jnp.zeros_like(inputs))
        return (slope**2).sum()

    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(r1))(variables)))


@pytest.mark.parametrize("squash", [True, False])
def test_images_are_bounded_where_squashed(squash):
    module, latents = players(squash=squash)["generator"]
    variables = jax.tree.map(lambda leaf: 5 * leaf, opened(init(module, latents)))
    largest = jnp.abs(apply(module, variables, latents)).max()
    assert (0.9 < largest <= 1) if squash else largest > 2


def test_a_description_has_logits_a_grid_for_each_block_and_heads():
    module, images = players(num_classes=3)["discriminator"]
    module = module.clone(heads=(("classes", 5), ("codes", 2)))
    variables = init(module, images, LABELS)
    logits, grids, heads = module.apply(variables, images, LABELS, train=False, method="describe")
    np.testing.assert_allclose(logits, apply(module, variables, images, LABELS), rtol=1e-5, atol=1e-6)
    assert [(grid.shape, grid.dtype) for grid in grids] == [((B, 4, 6, 8), "float32")] * 2
    assert {name: head.shape for name, head in heads.items()} == {"classes": (B, 5), "codes": (B, 2)}
    assert {name for name in variables["params"] if name.startswith("head_")} == {
        "head_classes",
        "head_codes",
    }


def test_tokens_of_a_grid_are_where_their_patches_are():
    module, images = players(patch=4, depth=1)["discriminator"]
    variables = init(module, images)
    _, (before,), _ = module.apply(variables, images, train=False, method="describe")
    moved = images.at[:, 4:, 8:].add(1.0)  # the lower right patch of 2x3
    _, (after,), _ = module.apply(variables, moved, train=False, method="describe")
    changed = jnp.abs(after - before).mean(axis=(0, 3))
    assert changed.shape == (2, 3) and changed.argmax() == 5


# Refusals


@each_player
@pytest.mark.parametrize(
    ("options", "message"),
    [({"patch": 3}, "patch is 3, and 8x12 pixels cannot be cut into squares of it"),
     ({"patch": 0}, "patch is 0, and 8x12"),
     ({"width": 6}, "width is 6 and attention_heads is 2; expected a width that divides by 4"),
     ({"attention_heads": 3}, "width is 8 and attention_heads is 3; expected a width"),
     ({"attention_heads": 0}, "width is 8 and attention_heads is 0; expected a width")],
)  # fmt: skip
def test_sizes_that_do_not_divide_are_refused(name, options, message):
    module, inputs = players(**options)[name]
    with pytest.raises(ValueError, match=message):
        init(module, inputs)


def test_images_of_another_shape_are_refused():
    module, _ = players()["discriminator"]
    with pytest.raises(ValueError, match=r"Images are \(3, 8, 8, 3\), expected \[B,H,W,C\] of \(8, 12, 3\)"):
        init(module, normal(0, B, 8, 8, 3))
