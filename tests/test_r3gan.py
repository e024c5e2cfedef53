"""R3GAN's networks: the paper's numbers of parameters, and what they compute and start as."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan import penalties
from jaxgan.models import layers, r3gan

B, Z = 3, 5
LABELS = jnp.int32([0, 2, 1])
SEVERAL = jnp.float32([[1, 0, 0], [0, 1, 1], [0, 0, 0]])
SHAPE = (8, 8, 3)
OPTIONS = {"width": 4, "group_size": 4, "blocks": 1}
PLAYERS = ("generator", "discriminator")
each_player = pytest.mark.parametrize("player", PLAYERS)
either_kind = pytest.mark.parametrize("num_classes", [0, 3], ids=["unconditional", "conditional"])


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def case(player, shape=SHAPE, num_classes=0, **options):
    """A small network and its inputs."""
    given = (LABELS,) if num_classes else ()
    options = OPTIONS | options
    if player == "generator":
        return r3gan.Generator(shape, num_classes, **options), normal(0, B, Z), *given
    return r3gan.Discriminator(shape, num_classes, **options), normal(0, B, *shape), *given


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(0), *inputs, train=True)


@partial(jax.jit, static_argnums=0)
def apply(module, variables, *inputs):
    return module.apply(variables, *inputs, train=True)


def stirred(variables):
    """Variables away from their start, where blocks do nothing."""
    leaves, tree = jax.tree.flatten(variables)
    moved = [leaf + 0.3 * normal(i, *leaf.shape) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(tree, moved)


def parameters(module, *inputs):
    variables = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


# Numbers of parameters


@pytest.mark.parametrize(
    ("size", "num_classes", "options", "generator", "discriminator"),
    [
        (32, 10, {"width": 768}, 20_781_952, 21_280_512),  # the paper's: 20.8, 21.3 million
        (64, 0, {"width": 384, "multiples": (1, 2, 2, 2, 2)}, 22_429_824, 22_381_440),  # 22.4, 22.4
        (256, 0, {"width": 96, "multiples": (1, 2, 4, 8, 8, 8, 8)}, 23_057_952, 23_009_568),  # 23.06, 23.01
        (32, 1000, {"width": 1536, "group_size": 32}, 82_914_304, 86_548_992),  # not in the paper
        (64, 1000, {"width": 1536, "group_size": 32}, 103_570_432, 107_205_120),
    ],
    ids=["cifar10", "ffhq64", "ffhq256", "imagenet32", "imagenet64"],
)
def test_numbers_of_parameters(size, num_classes, options, generator, discriminator):
    labels = (jnp.zeros(2, jnp.int32),) if num_classes else ()
    made = r3gan.Generator((size, size, 3), num_classes, **options)
    assert parameters(made, jnp.zeros((2, 64)), *labels) == generator
    judged = r3gan.Discriminator((size, size, 3), num_classes, **options)
    assert parameters(judged, jnp.zeros((2, size, size, 3)), *labels) == discriminator


def test_numbers_of_parameters_of_a_small_pair_worked_by_hand():
    outer = 2 * 6 + 6 + 6 * 6 * 9 + 6 + 6 * 2  # 2 channels, 6 inside, one group of them
    inner = 4 * 12 + 12 + 12 * 6 * 9 + 12 + 12 * 4  # 4 channels, 12 inside, two groups
    common = outer + inner + 2 * 4 + 3 * 2  # 1x1 convolutions between these and of the colours
    options = {"width": 2, "multiples": (1, 2), "expansion": 3, "group_size": 6, "blocks": 1}
    assert parameters(*case("generator", **options)) == common + 16 * 4 + Z * 4
    assert parameters(*case("discriminator", **options)) == common + 16 * 4 + 4
    generator = common + 16 * 4 + (Z + 7) * 4 + 3 * 7
    assert parameters(*case("generator", num_classes=3, embedding=7, **options)) == generator
    discriminator = common + 16 * 4 + 4 * 4 + 3 * 4
    assert parameters(*case("discriminator", num_classes=3, **options)) == discriminator


# What goes in and out


@either_kind
@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (16, 24, 4), (12, 8, 16), (7, 5, 2)], ids=["8x8", "16x24", "12x8", "7x5"]
)
def test_images_of_any_shape_are_made_and_judged(shape, num_classes):
    for player, expected in zip(PLAYERS, ((B, *shape), (B,)), strict=True):
        module, *inputs = case(player, shape, num_classes, dtype=jnp.bfloat16)
        out, variables = jax.eval_shape(
            partial(module.init_with_output, train=True), jax.random.key(0), *inputs
        )
        assert (out.shape, out.dtype) == (expected, "float32")
        assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


def test_the_smallest_grid_keeps_the_aspect():
    module, *inputs = case("generator", (16, 24, 3))
    variables = init(module, *inputs)
    assert variables["params"]["basis"].shape == (4, 6, 4)


@each_player
@either_kind
def test_outputs_are_the_same_without_jit(player, num_classes):
    module, *inputs = case(player, num_classes=num_classes)
    variables = stirred(init(module, *inputs))
    jitted = apply(module, variables, *inputs)
    assert jnp.isfinite(jitted).all() and jitted.std() > 0
    plain = module.apply(variables, *inputs, train=False)
    np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-4)


@each_player
def test_bfloat16_is_close_to_float32_and_not_equal(player):
    module, *inputs = case(player, num_classes=3)
    variables = stirred(init(module, *inputs))
    fine, coarse = (apply(m, variables, *inputs) for m in (module, module.clone(dtype=jnp.bfloat16)))
    assert 0 < jnp.abs(fine - coarse).max() < 0.03 * jnp.abs(fine).max()


@each_player
def test_rematerialised_networks_have_the_same_variables_values_and_gradients(player):
    module, *inputs = case(player, num_classes=3)
    lean = module.clone(remat=True)
    variables = init(module, *inputs)
    again = init(lean, *inputs)
    assert jax.tree.structure(variables) == jax.tree.structure(again)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, variables, again))
    variables = stirred(variables)

    def loss(module, variables):
        return jnp.sum(jnp.sin(module.apply(variables, *inputs, train=True)))

    first, second = (jax.jit(jax.value_and_grad(partial(loss, m)))(variables) for m in (module, lean))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), first, second)


@each_player
def test_labels_matter_and_only_to_their_own_example(player):
    module, inputs, _ = case(player, num_classes=3)
    variables = stirred(init(module, inputs, LABELS))
    before, after = (apply(module, variables, inputs, labels) for labels in (LABELS, LABELS.at[1].set(0)))
    assert (before != after).reshape(B, -1).any(axis=1).tolist() == [False, True, False]


@each_player
def test_several_labels_an_image_add_up_their_embeddings(player):
    module, inputs, _ = case(player, num_classes=3)
    variables = stirred(init(module, inputs, LABELS))
    one_hot = apply(module, variables, inputs, jax.nn.one_hot(LABELS, 3))
    np.testing.assert_allclose(one_hot, apply(module, variables, inputs, LABELS), rtol=1e-6)
    several = apply(module, variables, inputs, SEVERAL)
    if player == "generator":
        assert jnp.abs(several - one_hot)[1:].reshape(2, -1).max(axis=1).min() > 1e-3
    else:  # the logit is linear in the code
        single = jnp.stack([apply(module, variables, inputs, jnp.full(B, c)) for c in range(3)], axis=1)
        np.testing.assert_allclose(several, (SEVERAL * single).sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multiples": (1, 2, 4)}, "multiples has 3 numbers, expected 2, one for each stage"),
        ({"group_size": 3}, r"8 channels \(expansion 2 of 4\) cannot be cut into groups of 3; choose"),
    ],
    ids=["multiples", "groups"],
)
@each_player
def test_what_cannot_be_built_is_refused(player, options, message):
    with pytest.raises(ValueError, match=message):
        init(*case(player, **options))


def test_images_of_another_shape_are_refused():
    module, _ = case("discriminator")
    with pytest.raises(ValueError, match=r"Images are \(3, 16, 16, 3\), expected \[B,H,W,C\] of \(8, 8, 3\)"):
        init(module, normal(0, B, 16, 16, 3))


@each_player
def test_labels_without_classes_are_refused(player):
    with pytest.raises(ValueError, match="built for 0 classes and was given labels"):
        init(*case(player), LABELS)


def test_a_description_has_the_logits_the_stages_and_the_heads():
    module, *inputs = case("discriminator", (16, 16, 3), num_classes=3, multiples=(1, 2, 2))
    module = module.clone(heads=(("classes", 5), ("codes", 2)))
    variables = stirred(init(module, *inputs))
    describe = jax.jit(partial(module.apply, train=True, method="describe"))
    logits, grids, heads = describe(variables, *inputs)
    np.testing.assert_allclose(apply(module, variables, *inputs), logits, rtol=1e-4, atol=1e-4)
    assert [grid.shape for grid in grids] == [(B, 16, 16, 4), (B, 8, 8, 8), (B, 4, 4, 8)]
    assert {name: head.shape for name, head in heads.items()} == {"classes": (B, 5), "codes": (B, 2)}
    assert {"head_classes", "head_codes"} < variables["params"].keys()


# How networks start


def test_a_block_starts_as_nothing_beside_its_input():
    block = r3gan.Block(2, 4, 6)
    images = normal(0, B, 6, 6, 4)
    np.testing.assert_array_equal(block.apply(block.init(jax.random.key(0), images), images), images)


@pytest.mark.parametrize("depth", [1, 8])
def test_a_block_keeps_the_variance_but_for_its_share_of_the_depth(depth):
    """Two convolutions, each with its activation, of variance `depth` ** -1/2 (Zhang et al. 2019)."""
    block = r3gan.Block(2, 16, depth)
    images = normal(0, 2, 18, 18, 128)
    variables = block.init(jax.random.key(0), images)
    _, state = block.apply(variables, images, capture_intermediates=True)
    for convolutions, name in enumerate(("widen", "mix"), start=1):
        (out,) = state["intermediates"][name]["__call__"]
        inside = nn.leaky_relu(out[:, 1:-1, 1:-1], r3gan.SLOPE)  # next to the border, zeros are mixed in
        assert jnp.mean(inside**2) == pytest.approx(depth ** (-convolutions / 2), rel=0.06)


@either_kind
@each_player
def test_outputs_start_with_the_variance_of_the_inputs(player, num_classes):
    """On the smallest grid, where nothing is interpolated, which takes variance away."""
    shape = (4, 4, 3)
    module, *_ = case(player, shape, num_classes, width=32)
    given = normal(0, 30, 64) if player == "generator" else normal(0, 30, *shape)
    inputs = (given, jnp.arange(30) % 3) if num_classes else (given,)
    keys = jax.random.split(jax.random.key(0), 100)
    variables = jax.jit(jax.vmap(lambda key: module.init(key, *inputs, train=True)))(keys)
    out = jax.jit(jax.vmap(lambda variables: module.apply(variables, *inputs, train=True)))(variables)
    assert jnp.mean(out**2) == pytest.approx(1, rel=0.2)


def changed(gradients):
    """Names of the layers that have a gradient somewhere."""
    paths = jax.tree_util.tree_flatten_with_path(gradients["params"])[0]
    return {path[-2 if len(path) > 1 else -1].key for path, leaf in paths if jnp.abs(leaf).max() > 0}


@each_player
def test_what_starts_at_zero_learns_first_and_then_all_does(player):
    module, *inputs = case(player, num_classes=3)
    variables = init(module, *inputs)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(jnp.sin(module.apply(v, *inputs, train=True)))))
    first = gradient(variables)
    assert "narrow" in changed(first) and not {"widen", "mix"} & changed(first)
    moved = jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, variables, first)
    later = gradient(moved)
    assert changed(later) == changed(jax.tree.map(jnp.ones_like, variables))


# Derivatives


@either_kind
def test_zero_centred_penalties_have_finite_derivatives(num_classes):
    module, images, *labels = case("discriminator", num_classes=num_classes)
    generator, *given = case("generator", num_classes=num_classes)
    fakes = apply(generator, stirred(init(generator, *given)), *given)
    variables = stirred(init(module, images, *labels))

    @jax.jit
    @jax.value_and_grad
    def penalty(variables):
        def critic(x):
            return module.apply(variables, x, *labels, train=True)

        return jnp.mean(penalties.r1(critic, images) + penalties.r2(critic, fakes))

    value, gradients = penalty(variables)
    assert value > 0
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert {"widen", "mix", "narrow", "image", "basis"} <= changed(gradients)


# Resampling


def test_doubling_interpolates_linearly_between_pixels():
    images = normal(0, B, 6, 8, 2)
    expected = jax.image.resize(images, (B, 12, 16, 2), "linear")
    inside = np.s_[:, 1:-1, 1:-1]  # beyond the border, `resize` has copies of it, and we zeros
    np.testing.assert_allclose(layers.upsample(images)[inside], expected[inside], rtol=1e-5, atol=1e-6)


def test_halving_is_doubling_transposed():
    images, coarse = normal(0, B, 12, 8, 2), normal(1, B, 6, 4, 2)
    left, right = jnp.sum(layers.downsample(images) * coarse), jnp.sum(images * layers.upsample(coarse))
    np.testing.assert_allclose(4 * left, right, rtol=1e-4)
    np.testing.assert_allclose(layers.downsample(jnp.ones((1, 8, 8, 1)))[:, 1:-1, 1:-1], 1, rtol=1e-6)


def test_two_pixels_of_the_fine_grid_are_one_of_the_coarse():
    images = jnp.pad(normal(0, B, 8, 8, 2), ((0, 0), (6, 6), (6, 6), (0, 0)))
    for resample, before, after in ((layers.downsample, 2, 1), (layers.upsample, 1, 2)):
        moved = resample(jnp.roll(images, (before, -before), axis=(1, 2)))
        expected = jnp.roll(resample(images), (after, -after), axis=(1, 2))
        np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)
        mirrored = resample(images[:, :, ::-1])
        np.testing.assert_allclose(mirrored, resample(images)[:, :, ::-1], rtol=1e-5, atol=1e-6)
