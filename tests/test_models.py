from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxgan.models import convolutions, dcgan, layers, mlp, resnet

B, Z = 3, 5
LABELS = jnp.int32([0, 2, 1])
SMALL = (8, 8, 1)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(0), *inputs, train=True)


@partial(jax.jit, static_argnums=0, static_argnames="train")
def apply(module, variables, *inputs, train=False):
    outputs, _ = module.apply(variables, *inputs, train=train, mutable=["batch_stats"])
    return outputs


def count(module, *inputs):
    params = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def distance(first, second):
    """The largest difference, as a share of the largest value."""
    return float(jnp.abs(first - second).max() / jnp.abs(second).max())


def cases(num_classes=0, **options):
    """Name -> a small network and its inputs, of every family."""
    given = () if num_classes == 0 else (LABELS,)
    options |= {"num_classes": num_classes}
    return {
        "dcgan generator": (dcgan.Generator(SMALL, width=4, smallest=2, **options), normal(0, B, Z), *given),
        "dcgan discriminator": (
            dcgan.Discriminator(SMALL, width=4, smallest=2, **options), normal(0, B, *SMALL), *given
        ),
        "mlp generator": (mlp.Generator((2,), width=8, **options), normal(0, B, Z), *given),
        "mlp discriminator": (mlp.Discriminator(width=8, **options), normal(0, B, 2), *given),
        "resnet generator": (
            resnet.Generator(SMALL, width=8, smallest=2, attention=4, **options), normal(0, B, Z), *given
        ),
        "resnet discriminator": (
            resnet.Discriminator(SMALL, width=8, smallest=2, attention=4, **options),
            normal(0, B, *SMALL), *given
        ),
    }  # fmt: skip


each_case = pytest.mark.parametrize("name", cases())
either_kind = pytest.mark.parametrize("num_classes", [0, 3], ids=["unconditional", "conditional"])


# Layers


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_conv_is_its_kernel_and_a_bias_if_asked(transposed, use_bias):
    images, padding = normal(0, 2, 6, 4, 4), ((1, 1), (2, 0))
    module = layers.Conv(6, (4, 3), 2, padding, groups=2, transposed=transposed, use_bias=use_bias)
    params = module.init(jax.random.key(0), images)["params"]
    bias = {"bias": normal(1, 6)} if use_bias else {}
    assert jax.tree.map(jnp.shape, params) == {"kernel": (4, 3, 2, 6)} | jax.tree.map(jnp.shape, bias)
    found = module.apply({"params": params | bias}, images)
    convolve = convolutions.convolve_transposed if transposed else convolutions.convolve
    expected = convolve(images, params["kernel"], stride=2, padding=padding, groups=2) + bias.get("bias", 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_conv_keeps_the_grid_computes_in_its_dtype_and_keeps_float32_parameters():
    images = normal(0, 2, 6, 4, 3)
    out, variables = layers.Conv(5, (3, 2), dtype=jnp.bfloat16).init_with_output(jax.random.key(0), images)
    assert (out.shape, out.dtype) == ((2, 6, 4, 5), jnp.bfloat16)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


def test_channels_that_cannot_be_cut_into_groups_are_refused():
    with pytest.raises(ValueError, match="3 channels and 4 features cannot both be cut into 2 groups"):
        layers.Conv(4, groups=2).init(jax.random.key(0), jnp.ones((1, 4, 4, 3)))


def test_labels_become_codes_and_several_an_image_stay_as_they_are():
    np.testing.assert_array_equal(layers.label_codes(jnp.int32([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    several = jnp.float32([[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(layers.label_codes(several, 3), several)
    assert layers.label_codes(None, 0) is None
    with pytest.raises(ValueError, match=r"expected \[B\] integers or \[B,4\] numbers"):
        layers.label_codes(several, 4)


# Sizes


@pytest.mark.parametrize(
    ("shape", "smallest", "expected"),
    [((64, 64, 3), 4, 4), ((28, 28, 1), 4, 2), ((8, 8, 1), 2, 2), ((8, 8, 1), 4, 1), ((64, 48, 3), 4, 3),
     ((48, 64, 3), 4, 3), ((32, 30, 3), 4, 1), ((7, 8, 1), 2, 0), ((4, 4, 1), 4, 0)],
)  # fmt: skip
def test_doublings(shape, smallest, expected):
    assert layers.doublings(shape, smallest) == expected


def test_widths_double_up_to_8_times_the_narrowest():
    assert dcgan.widths(128, 4) == [128, 256, 512, 1024]  # Radford et al. 2016, figure 1
    assert dcgan.widths(4, 6) == [4, 8, 16, 32, 32, 32]
    assert dcgan.widths(4, 0) == []


def test_parameter_counts_of_a_small_dcgan_worked_by_hand():
    options = {"width": 4, "smallest": 2}  # stages of 4 and 8 channels, a 2x2 grid
    generator = (5 * 2 * 2 * 8) + (8 + 8) + (16 * 8 * 4) + (4 + 4) + (16 * 4 * 1 + 1)
    assert count(dcgan.Generator(SMALL, **options), jnp.ones((B, Z))) == generator
    conditional = dcgan.Generator(SMALL, num_classes=3, **options)
    assert count(conditional, jnp.ones((B, Z)), LABELS) == generator + 3 * 2 * 2 * 8
    discriminator = (16 * 1 * 4 + 4) + (16 * 4 * 8 + 8) + (2 * 2 * 8 + 1)
    images = jnp.ones((B, *SMALL))
    assert count(dcgan.Discriminator(SMALL, **options), images) == discriminator
    assert count(dcgan.Discriminator(SMALL, norm="batch", **options), images) == discriminator + 8 + 8
    conditional = dcgan.Discriminator(SMALL, num_classes=3, **options)
    assert count(conditional, images, LABELS) == discriminator + 3 * 8


def test_parameter_counts_at_64x64_are_those_of_the_pytorch_example():
    shape = (64, 64, 3)  # pytorch/examples/dcgan, ngf = ndf = 64; it has no biases
    generator = count(dcgan.Generator(shape, width=64), jnp.ones((B, 100)))
    assert generator == 3_576_704 + 3
    discriminator = count(dcgan.Discriminator(shape, width=64, norm="batch"), jnp.ones((B, *shape)))
    assert discriminator == 2_765_568 + (64 + 128 + 256 + 512 + 1)


def test_parameter_counts_of_a_small_mlp_worked_by_hand():
    generator = (5 * 4 + 4) + (4 * 4 + 4) + (4 * 2 + 2)
    assert count(mlp.Generator((2,), width=4, depth=2), jnp.ones((B, Z))) == generator
    conditional = mlp.Generator((2,), width=4, depth=2, num_classes=3)
    assert count(conditional, jnp.ones((B, Z)), LABELS) == generator + 3 * 4
    discriminator = (2 * 4 + 4) + (4 * 4 + 4) + (4 + 1)
    assert count(mlp.Discriminator(width=4, depth=2), jnp.ones((B, 2))) == discriminator
    conditional = mlp.Discriminator(width=4, depth=2, num_classes=3)
    assert count(conditional, jnp.ones((B, 2)), LABELS) == discriminator + 3 * 4


# Families


def traced(module, *inputs):
    """Shapes and dtypes of outputs and variables, as training makes them."""
    return jax.eval_shape(partial(module.init_with_output, train=True), jax.random.key(0), *inputs)


def check_traced(out, variables, shape):
    assert (out.shape, out.dtype) == (shape, "float32")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


@either_kind
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("grid", "smallest"), [((8, 8), 2), ((28, 28), 4), ((32, 32), 4), ((64, 48), 4)])
def test_dcgan_makes_and_judges_images_of_any_shape(grid, smallest, channels, num_classes):
    shape, given = (*grid, channels), (LABELS,) if num_classes else ()
    options = {"width": 4, "smallest": smallest, "num_classes": num_classes, "dtype": jnp.bfloat16}
    check_traced(*traced(dcgan.Generator(shape, **options), jnp.ones((B, Z)), *given), (B, *shape))
    discriminator = dcgan.Discriminator(shape, norm="batch", **options)
    check_traced(*traced(discriminator, jnp.ones((B, *shape)), *given), (B,))


@either_kind
@pytest.mark.parametrize("shape", [(2,), (4, 5, 3)], ids=["points", "images"])
def test_mlp_makes_and_judges_points_and_images(shape, num_classes):
    given, options = (LABELS,) if num_classes else (), {"num_classes": num_classes, "dtype": jnp.bfloat16}
    check_traced(*traced(mlp.Generator(shape, **options), jnp.ones((B, Z)), *given), (B, *shape))
    check_traced(*traced(mlp.Discriminator(**options), jnp.ones((B, *shape)), *given), (B,))


@each_case
def test_outputs_are_finite_and_the_same_without_jit(name):
    module, *inputs = cases(3)[name]
    variables = init(module, *inputs)
    jitted = apply(module, variables, *inputs)
    assert jnp.isfinite(jitted).all() and jitted.std() > 0
    plain = module.apply(variables, *inputs, train=False)
    np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-6)


@each_case
def test_bfloat16_is_close_to_float32_and_not_equal(name):
    module, *inputs = cases()[name]
    coarse, *_ = cases(dtype=jnp.bfloat16)[name]
    variables = init(module, *inputs)
    difference = distance(apply(coarse, variables, *inputs), apply(module, variables, *inputs))
    assert 0 < difference < 0.03


@pytest.mark.parametrize(
    ("module", "bounded"),
    [(dcgan.Generator(SMALL, width=4, smallest=2), True), (mlp.Generator(SMALL, squash=True), True),
     (mlp.Generator(SMALL), False)],
)  # fmt: skip
def test_images_are_in_range_however_large_the_weights_and_points_are_free(module, bounded):
    latents = normal(0, B, Z)
    variables = jax.tree.map(lambda leaf: 30 * leaf, init(module, latents))
    largest = jnp.abs(apply(module, variables, latents)).max()
    assert (0.9 < largest <= 1) if bounded else largest > 2


@each_case
def test_labels_matter_and_only_to_their_own_example(name):
    module, *inputs = cases(3)[name]
    variables = init(module, *inputs)
    before, after = (apply(module, variables, inputs[0], labels) for labels in (LABELS, LABELS.at[1].set(0)))
    changed = (before != after).reshape(B, -1).any(axis=1)
    assert changed.tolist() == [False, True, False]


@each_case
def test_labels_without_classes_are_refused(name):
    module, *inputs = cases()[name]
    with pytest.raises(ValueError, match=r"built for 0 classes and was given labels of shape \(3,\)"):
        init(module, *inputs, LABELS)


@each_case
def test_classes_without_labels_are_refused(name):
    module, *inputs = cases(3)[name]
    with pytest.raises(ValueError, match="built for 3 classes and was given no labels.*num_classes=0 and"):
        init(module, inputs[0])


# What a discriminator says beside its logits


@pytest.mark.parametrize("name", [name for name in cases() if name.endswith("discriminator")])
def test_a_description_begins_with_the_logits_and_ends_with_the_heads(name):
    module, *inputs = cases(3)[name]
    module = module.clone(heads=(("classes", 5), ("codes", 2)))
    (logits, features, heads), variables = jax.jit(
        partial(module.init_with_output, train=True, method="describe")
    )(jax.random.key(0), *inputs)
    np.testing.assert_allclose(apply(module, variables, *inputs), logits, rtol=1e-5, atol=1e-6)
    assert {name: head.shape for name, head in heads.items()} == {"classes": (B, 5), "codes": (B, 2)}
    assert len(features) > 1 and all(len(layer) == B for layer in features)
    assert {name for name in variables["params"] if name.startswith("head_")} == {
        "head_classes",
        "head_codes",
    }
    plain = init(cases(3)[name][0], *inputs)
    without = {k: v for k, v in variables["params"].items() if not k.startswith("head_")}
    assert jax.tree.map(jnp.shape, without) == jax.tree.map(jnp.shape, plain["params"])


def test_a_projection_adds_the_product_with_the_labels_embedding():
    logits, patches = jnp.float32([1, 2]), jnp.float32([[[1, 2]], [[3, 4]]])
    embeddings = jnp.float32([[1, 0, 2], [0, -1, 1]])
    features = jnp.float32([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(layers.project(logits, features, embeddings), [8, 3])
    grid = jnp.stack([features, 2 * features], axis=1)[:, None]
    np.testing.assert_array_equal(layers.project(patches, grid, embeddings), [[[8, 16]], [[4, 6]]])


# Batch statistics


@pytest.mark.parametrize(
    ("norm", "train", "mixed"),
    [("batch", True, True), ("batch", False, False), ("none", True, False), ("none", False, False)],
)
def test_a_discriminator_mixes_examples_only_where_it_trains_with_batch_norm(norm, train, mixed):
    images = normal(0, B, *SMALL)
    module = dcgan.Discriminator(SMALL, width=4, smallest=2, norm=norm)
    variables = init(module, images)
    before, after = (apply(module, variables, x, train=train) for x in (images, images.at[1].add(1.0)))
    assert (before != after).tolist() == [mixed, True, mixed]


@pytest.mark.parametrize("train", [True, False])
def test_a_generator_mixes_examples_only_while_it_trains(train):
    latents = normal(0, B, Z)
    module = dcgan.Generator(SMALL, width=4, smallest=2)
    variables = init(module, latents)
    before, after = (apply(module, variables, x, train=train) for x in (latents, latents.at[1].add(1.0)))
    assert (before != after).reshape(B, -1).any(axis=1).tolist() == [train, True, train]


def test_statistics_move_a_tenth_of_the_way_while_training():
    images = normal(0, B, *SMALL)
    module = dcgan.Discriminator(SMALL, width=4, smallest=2, norm="batch")
    variables = init(module, images)
    _, updated = module.apply(variables, images, train=True, mutable=["batch_stats"])
    _, kept = module.apply(variables, images, train=False, mutable=["batch_stats"])
    kernels = [variables["params"][f"stage_{i}"]["Conv_0"]["kernel"] for i in (0, 1)]
    (statistics,) = updated["batch_stats"]["stage_1"].values()
    halve = partial(convolutions.convolve, stride=2, padding=((1, 1), (1, 1)))
    x = halve(images, kernels[0])  # biases start at 0
    x = halve(jnp.where(x > 0, x, 0.2 * x), kernels[1])
    np.testing.assert_allclose(statistics["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-5)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, kept["batch_stats"], variables["batch_stats"]))


def test_what_is_computed_anew_is_the_same():
    for name, (module, *inputs) in cases().items():
        if not hasattr(module, "remat"):
            continue
        kept, anew = module.clone(remat=False), module.clone(remat=True)
        variables = init(kept, *inputs)
        assert jax.tree.structure(variables) == jax.tree.structure(init(anew, *inputs)), name

        def gradients(module, variables=variables, inputs=inputs):
            return jax.grad(lambda params: apply(module, {**variables, "params": params}, *inputs).sum())(
                variables["params"]
            )

        chex.assert_trees_all_close(gradients(anew), gradients(kept), rtol=1e-5, atol=1e-6)


# Spectral normalisation


def refined(module, variables, *inputs, calls=40):
    """The variables after so many calls in training, each a step of the power iteration."""
    step = jax.jit(lambda variables: module.apply(variables, *inputs, train=True, mutable=["batch_stats"])[1])
    for _ in range(calls):
        variables = {**variables, **step(variables)}
    return variables


def test_spectral_norm_finds_the_largest_singular_value_of_every_kernel():
    module = dcgan.Discriminator(SMALL, num_classes=3, width=4, smallest=2, norm="spectral")
    inputs = normal(0, B, *SMALL), LABELS
    variables = refined(module, init(module, *inputs), *inputs)
    kernels = {path: leaf for path, leaf in flatten_dict(variables["params"]).items() if path[-1] == "kernel"}
    found = {
        (*stage, *name.split("/")[:-1]): sigma
        for (*stage, _, name), sigma in flatten_dict(variables["batch_stats"]).items()
        if name.endswith("/sigma")
    }
    assert found.keys() == kernels.keys() and len(found) == 4
    for path, sigma in found.items():
        kernel = np.asarray(kernels[path])
        largest = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), ord=2)
        assert sigma == pytest.approx(largest, rel=1e-3), path


def test_under_spectral_norm_the_size_of_a_kernel_does_not_matter():
    module = dcgan.Discriminator(SMALL, width=4, smallest=2, norm="spectral")
    images = normal(0, B, *SMALL)
    variables = refined(module, init(module, images), images)

    def enlarged(path, leaf):
        return leaf * 7 if path[-1].key == "kernel" else leaf

    larger = {**variables, "params": jax.tree_util.tree_map_with_path(enlarged, variables["params"])}
    larger = refined(module, larger, images)
    np.testing.assert_allclose(apply(module, larger, images), apply(module, variables, images), rtol=1e-4)


def test_evaluation_does_not_refine():
    module = dcgan.Discriminator(SMALL, width=4, smallest=2, norm="spectral")
    images = normal(0, B, *SMALL)
    variables = init(module, images)
    _, after = module.apply(variables, images, train=False, mutable=["batch_stats"])
    before = jax.tree.leaves(variables["batch_stats"])
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(after), before, strict=True))


# Residual networks


def parameters(module, *inputs):
    variables = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_biggan_has_as_many_parameters_as_the_paper_says():
    """Brock et al. 2019, table 1: 70.43 million of G; of D, which it does not say, those of its table 4."""
    generator = resnet.Generator(
        (128, 128, 3), 1000, width=96, embedding=128, hierarchical=True, attention=64, norm="spectral"
    )
    discriminator = resnet.Discriminator((128, 128, 3), 1000, width=96, attention=64)
    labels = jnp.zeros(2, jnp.int32)
    assert parameters(generator, jnp.zeros((2, 120)), labels) == 70_433_988
    assert parameters(discriminator, jnp.zeros((2, 128, 128, 3)), labels) == 87_982_370


def test_sngan_has_the_parameters_of_its_tables():
    """Miyato et al. 2018, table 4: a dense layer to 4x4x256, three blocks of 256, and so on."""
    dense, block = 128 * 4096 + 4096, 2 * (9 * 256 * 256 + 256) + 256 * 256 + 256 + 4 * 256
    expected = dense + 3 * block + 2 * 256 + 9 * 256 * 3 + 3
    generator = resnet.Generator((32, 32, 3), width=256, multiples=(1, 1, 1))
    assert parameters(generator, jnp.zeros((2, 128))) == expected
    conv = 9 * 128 * 128 + 128
    expected = 9 * 3 * 128 + 128 + 7 * conv + 3 * 128 + 128 + 128 * 128 + 128 + 128 + 1
    discriminator = resnet.Discriminator((32, 32, 3), width=128, multiples=(1, 1), smallest=8, plain=2)
    assert parameters(discriminator, jnp.zeros((2, 32, 32, 3))) == expected


@either_kind
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 24, 4), (12, 8, 2)])
def test_residual_networks_make_and_judge_images_of_any_shape(shape, num_classes):
    given, smallest = (LABELS,) if num_classes else (), 2 if shape == SMALL else 4
    options = {"num_classes": num_classes, "width": 4, "smallest": smallest, "dtype": jnp.bfloat16}
    made = traced(
        resnet.Generator(shape, embedding=3, hierarchical=True, **options), jnp.ones((B, Z)), *given
    )
    check_traced(*made, (B, *shape))
    check_traced(*traced(resnet.Discriminator(shape, **options), jnp.ones((B, *shape)), *given), (B,))


def test_self_attention_starts_as_nothing_and_then_looks_everywhere():
    images = normal(0, 1, 4, 4, 8)
    attention = resnet.SelfAttention(lambda layer, inputs: layer(inputs))
    variables = attention.init(jax.random.key(0), images)
    np.testing.assert_array_equal(attention.apply(variables, images), images)
    open_ = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.ones(()) if path[-1].key == "gamma" else leaf, variables
    )
    before, after = (attention.apply(open_, x) for x in (images, images.at[0, 3, 3].add(5.0)))
    assert (jnp.abs(before - after).sum(-1) > 1e-6).all()


def test_parts_of_the_latents_reach_their_own_blocks():
    latents = normal(0, B, 6)
    whole = resnet.Generator(SMALL, width=4, smallest=2, hierarchical=True)  # two blocks: three parts of two
    variables = init(whole, latents)
    dense = variables["params"]["Dense_0"]["kernel"]
    assert dense.shape[0] == 2
    for part in range(3):
        moved = apply(whole, variables, latents.at[:, 2 * part].add(3.0))
        assert jnp.abs(moved - apply(whole, variables, latents)).max() > 1e-4


def test_multiples_are_one_for_each_block():
    with pytest.raises(ValueError, match="multiples has 3 numbers, expected 2, one for each block"):
        init(resnet.Generator(SMALL, width=4, smallest=2, multiples=(1, 2, 4)), normal(0, B, Z))


def test_an_unknown_norm_of_a_residual_network_is_refused():
    for module, inputs in ((resnet.Generator, (B, Z)), (resnet.Discriminator, (B, *SMALL))):
        with pytest.raises(ValueError, match="norm is 'batch', expected one of none, spectral"):
            init(module(SMALL, width=4, smallest=2, norm="batch"), normal(0, *inputs))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resampling_inside_a_convolution_is_resampling_beside_it(dtype):
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        images, kernel = (jnp.asarray(rng.normal(size=s), dtype) for s in ((2, 4, 6, 3), (3, 3, 3, 5)))
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        for inside, beside in (
            (layers.convolve_enlarged, lambda x, k: convolutions.convolve(layers.enlarge(x), k)),
            (layers.convolve_shrunk, lambda x, k: layers.shrink(convolutions.convolve(x, k))),
        ):
            made, expected = inside(images, kernel), beside(images, kernel)
            np.testing.assert_allclose(made, expected, rtol=tolerance, atol=tolerance)
