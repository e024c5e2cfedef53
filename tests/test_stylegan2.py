from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxgan import penalties
from jaxgan.models import convolutions, deviation, equalized, layers, modulation, stylegan2

B, Z, S, SHAPE = 4, 5, 6, (4, 6, 2)  # of a grid of 2x3: two blocks would only be slower
LAYERS = 4
LABELS = jnp.int32([0, 2, 1, 1])
SEVERAL = jnp.float32([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def make_generator(shape=SHAPE, **options):
    small = {"width": 4, "widest": 8, "style_size": S, "mapping_depth": 1, "smallest": 2}
    return stylegan2.Generator(shape, **(small | options))


def make_discriminator(shape=SHAPE, **options):
    return stylegan2.Discriminator(
        shape, **({"width": 4, "widest": 8, "mapping_depth": 1, "smallest": 2} | options)
    )


def keys_of(count=B, seed=7):
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(count))


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    """Variables whose strengths of noise are not 0 as at the start, nor their mean of styles."""
    variables = module.init(jax.random.key(0), *inputs, train=True)

    def opened(path, leaf):
        name = path[-1].key
        return leaf + {"strength": 0.5, "w": 0.3}.get(name, 0.0)

    return jax.tree_util.tree_map_with_path(opened, variables)


@partial(jax.jit, static_argnums=0, static_argnames=("train", "method"))
def apply(module, variables, *inputs, train=False, method="__call__", **options):
    return module.apply(variables, *inputs, train=train, method=method, **options)


def parameters(module, *inputs):
    variables = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def distance(first, second):
    """The largest difference, as a share of the largest value."""
    return float(jnp.abs(first - second).max() / jnp.abs(second).max())


each_form = pytest.mark.parametrize("form", stylegan2.FORMS)


# Sizes


def test_the_networks_have_as_many_parameters_as_the_paper_says():
    """Karras et al. 2020, appendix B: from configuration E to F, 25 to 30 million of G, 24 to 29 of D."""
    shape, latents, images = (1024, 1024, 3), jnp.ones((2, 512)), jnp.ones((2, 1024, 1024, 3))
    found = [
        (parameters(stylegan2.Generator(shape, width=w), latents),
         parameters(stylegan2.Discriminator(shape, width=w), images))
        for w in (16, 32)
    ]  # fmt: skip
    assert found == [(24_900_764, 24_038_161), (30_370_060, 29_012_513)]
    assert stylegan2.Generator(shape).style_layers == 18  # as many as StyleGAN's paper has at 1024x1024


@pytest.mark.parametrize("labels", [None, LABELS, SEVERAL], ids=["none", "one", "several"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 24, 4), (4, 12, 16), (2, 2, 3)])
def test_images_of_any_shape_are_made_and_judged(shape, labels):
    given = {"num_classes": 0 if labels is None else 3, "dtype": jnp.bfloat16}
    for module, inputs, expected in (
        (make_generator(shape, **given), jnp.ones((B, Z)), (B, *shape)),
        (make_discriminator(shape, **given), jnp.ones((B, *shape)), (B,)),
    ):
        out, variables = jax.eval_shape(
            partial(module.init_with_output, train=True), jax.random.key(0), inputs, labels
        )
        assert (out.shape, out.dtype) == (expected, "float32")
        assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


@each_form
def test_each_form_is_finite_and_the_same_without_jit(form):
    keys = keys_of()
    for module, inputs in (
        (make_generator(generator_form=form, num_classes=3), (normal(0, B, Z), LABELS, keys)),
        (make_discriminator(discriminator_form=form, num_classes=3), (normal(0, B, *SHAPE), LABELS)),
    ):
        variables = init(module, *inputs)
        jitted = apply(module, variables, *inputs, train=True)
        assert jnp.isfinite(jitted).all() and jitted.std() > 0
        if form != "plain":  # the other two are all that it is made of
            plain = module.apply(variables, *inputs, train=True)
            np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-5)


def test_rematerialised_blocks_have_the_same_tree_and_values():
    for make, inputs in (
        (partial(make_generator, generator_form="residual"), (normal(0, B, Z), None, keys_of())),
        (make_discriminator, (normal(0, B, *SHAPE),)),
    ):
        variables = init(make(), *inputs)

        def total(variables, module, inputs=inputs):
            return module.apply(variables, *inputs, train=True).sum()

        found = [
            jax.jit(jax.value_and_grad(total), static_argnums=1)(variables, make(remat=remat))
            for remat in (False, True)
        ]
        chex.assert_trees_all_close(*found, rtol=1e-4, atol=1e-4)
        shapes = jax.eval_shape(partial(make(remat=True).init, train=True), jax.random.key(0), *inputs)
        assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)


def test_bfloat16_is_close_to_float32_and_not_equal():
    for make, inputs in (
        (make_generator, (normal(0, B, Z), None, keys_of())),
        (make_discriminator, (normal(0, B, *SHAPE),)),
    ):
        variables = init(make(), *inputs)
        difference = distance(
            apply(make(dtype=jnp.bfloat16), variables, *inputs), apply(make(), variables, *inputs)
        )
        assert 0 < difference < 0.03


def test_labels_matter_and_only_to_their_own_example():
    for module, inputs in (
        (make_generator(num_classes=3), normal(0, B, Z)),
        (make_discriminator(num_classes=3), normal(0, B, *SHAPE)),
    ):
        variables = init(module, inputs, LABELS)
        before, after = (apply(module, variables, inputs, labels) for labels in (LABELS, LABELS.at[1].set(0)))
        assert (before != after).reshape(B, -1).any(axis=1).tolist() == [False, True, False, False]


def test_a_description_has_grids_from_the_image_inwards_and_heads():
    module = make_discriminator(heads=(("classes", 5), ("codes", 2)))
    images = normal(0, B, *SHAPE)
    logits, grids, heads = apply(module, init(module, images), images, method="describe")
    assert logits.shape == (B,)
    assert [grid.shape for grid in grids] == [(B, 2, 3, 8), (B, 2, 3, 8)]
    assert {name: head.shape for name, head in heads.items()} == {"classes": (B, 5), "codes": (B, 2)}


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda: init(make_generator(generator_form="both"), normal(0, B, Z)),
      "generator_form is 'both', expected one of skip, residual, plain"),
     (lambda: init(make_discriminator(discriminator_form="both"), normal(0, B, *SHAPE)),
      "discriminator_form is 'both', expected"),
     (lambda: init(make_discriminator(), normal(0, B, 4, 4, 2)), r"Images are \(4, 4, 4, 2\), expected"),
     (lambda: init(make_generator(), normal(0, B, Z), None, keys_of(3)), r"Keys are \(3,\), expected one"),
     (lambda: init(make_generator(), normal(0, B, Z), LABELS), "built for 0 classes and was given labels"),
     (lambda: make_generator().init(jax.random.key(0), normal(0, B, 3, S), train=False, method="synthesize"),
      r"Styles are \(4, 3, 6\), expected \[B,6\], or \[B,4,6\] of all layers"),
     (lambda: init(make_discriminator(group=0), normal(0, B, *SHAPE)), "group is 0, expected")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Layers


def test_an_equalised_layer_has_kernels_of_deviation_1_and_outputs_too():
    inputs = normal(0, 16, 12, 12, 64).astype(jnp.float32)
    for module, rate in (
        (equalized.Conv(64, active=False), 1.0),
        (equalized.Dense(256), 1.0),
        (equalized.Dense(256, rate=0.01), 0.01),
    ):
        out, variables = module.init_with_output(jax.random.key(0), inputs)
        assert variables["params"]["kernel"].std() * rate == pytest.approx(1.0, rel=0.03)
        assert out[:, 1:-1, 1:-1].std() == pytest.approx(1.0, rel=0.05)
    assert jnp.sqrt((equalized.activate(inputs) ** 2).mean()) == pytest.approx(1.0, rel=0.03)


def test_a_rate_multiplies_the_speed_of_kernel_and_bias_and_not_the_outputs():
    inputs = normal(0, 3, 5).astype(jnp.float32)
    outs, moved = [], []
    for rate in (1.0, 0.1):
        module = equalized.Dense(4, rate=rate, bias=0.7)
        out, variables = module.init_with_output(jax.random.key(0), inputs)
        further = module.apply(jax.tree.map(lambda leaf: leaf + 1.0, variables), inputs)
        outs.append(out)
        moved.append(further - out)
    np.testing.assert_allclose(outs[0], outs[1], rtol=1e-5)
    np.testing.assert_allclose(0.1 * moved[0], moved[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 1), (2, 1)])
def test_resampling_shifts_with_the_image(rows, columns):
    """Of an image with nothing near its border."""
    small = jnp.pad(normal(0, 2, 4, 6, 3), ((0, 0), (6, 6), (6, 6), (0, 0)))
    kernel = normal(1, 3, 3, 3, 5)
    for up in (layers.upsample, partial(equalized.convolve_up, kernel=kernel)):
        shifted = up(jnp.roll(small, (rows, columns), (1, 2)))
        np.testing.assert_allclose(shifted, jnp.roll(up(small), (2 * rows, 2 * columns), (1, 2)), atol=1e-6)
    for down in (layers.downsample, partial(equalized.convolve_down, kernel=kernel)):
        shifted = down(jnp.roll(small, (2 * rows, 2 * columns), (1, 2)))
        np.testing.assert_allclose(shifted, jnp.roll(down(small), (rows, columns), (1, 2)), atol=1e-6)


def test_resampling_treats_left_and_right_above_and_below_alike():
    images, kernel = normal(0, 2, 4, 6, 3), normal(1, 3, 3, 3, 5)
    for function in (layers.upsample, layers.downsample):
        np.testing.assert_allclose(
            function(images[:, ::-1, ::-1]), function(images)[:, ::-1, ::-1], atol=1e-6
        )
    for function in (equalized.convolve_up, equalized.convolve_down):
        turned = function(images[:, ::-1, ::-1], kernel[::-1, ::-1])
        np.testing.assert_allclose(turned, function(images, kernel)[:, ::-1, ::-1], atol=1e-5)


def test_upsampling_interpolates_and_downsampling_keeps_the_level():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 1))
    up, down = layers.upsample(ramp)[0, :, 8, 0], layers.downsample(ramp)[0, :, 2, 0]
    np.testing.assert_allclose(up[1:-1], np.arange(14) / 2 + 0.25, rtol=1e-6)
    np.testing.assert_allclose(down[1:-1], [2.5, 4.5], rtol=1e-6)


def test_a_convolution_up_is_the_plain_one_of_the_interpolated_image():
    """Both are linear and shift-invariant: spread, filter and kernel may change places."""
    images, kernel = jnp.pad(normal(0, 2, 4, 6, 3), ((0, 0), (3, 3), (3, 3), (0, 0))), normal(1, 3, 3, 3, 5)
    found = equalized.convolve_up(images, kernel)
    np.testing.assert_allclose(found, convolutions.convolve(layers.upsample(images), kernel), atol=1e-4)


def by_example(images, kernel, styles, *, up, demodulate):
    """Each example by its own kernel, with lax alone, as eqs. 1 and 3 say."""
    out = []
    for image, style in zip(images, styles, strict=True):
        own = kernel * style[:, None]
        if demodulate:
            own = own / jnp.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
        if up:
            spread = lax.conv_general_dilated(
                image[None], own, (1, 1), ((2, 2), (2, 2)), (2, 2), dimension_numbers=DIMENSIONS
            )
            line = np.array([1.0, 3.0, 3.0, 1.0]) / 4
            taps = jnp.einsum("h,w,io->hwio", line, line, np.eye(kernel.shape[-1]))
            out.append(
                lax.conv_general_dilated(spread, taps, (1, 1), ((1, 1),) * 2, dimension_numbers=DIMENSIONS)
            )
        else:
            out.append(
                lax.conv_general_dilated(image[None], own, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
            )
    return jnp.concatenate(out)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3], ids=["", "large", "small"])
@pytest.mark.parametrize(("up", "demodulate"), [(False, True), (True, True), (False, False)])
def test_modulation_is_that_of_kernels_of_each_example_with_its_gradients(up, demodulate, scale):
    convolve = equalized.convolve_up if up else convolutions.convolve

    def ours(*inputs):
        return modulation.modulate(*inputs, convolve=convolve, demodulate=demodulate)

    with jax.enable_x64(True):
        inputs = normal(0, 3, 5, 4, 3), normal(1, 3, 3, 3, 4), scale * normal(2, 3, 3)
        theirs = partial(by_example, up=up, demodulate=demodulate)
        results = [
            jax.jit(jax.value_and_grad(lambda *x, f=f: (jnp.sin(f(*x))).sum(), (0, 1, 2)))(*inputs)
            for f in (ours, theirs)
        ]
        np.testing.assert_allclose(ours(*inputs), theirs(*inputs), rtol=1e-10, atol=1e-10 * max(scale, 1))
        chex.assert_trees_all_close(*results, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_demodulation_gives_outputs_of_variance_1_whatever_the_style(dtype):
    images, kernel = normal(0, 3, 12, 12, 32), normal(1, 3, 3, 32, 64)
    styles = jnp.array([1e-3, 1.0, 1e4])[:, None] * normal(2, 3, 32)
    out = modulation.modulate(images, kernel, styles, dtype=dtype).astype(jnp.float32)
    np.testing.assert_allclose(out[:, 1:-1, 1:-1].std((1, 2, 3)), 1.0, rtol=0.05)


# Noise and mixing


def test_an_image_is_of_its_own_key_whatever_the_batch():
    module, latents, keys = make_generator(num_classes=3), normal(0, B, Z), keys_of()
    variables = init(module, latents, LABELS)
    made = partial(apply, module, variables, train=True)
    images = made(latents, LABELS, keys)
    np.testing.assert_array_equal(images, made(latents, LABELS, keys))
    np.testing.assert_allclose(images, made(latents[::-1], LABELS[::-1], keys[::-1])[::-1], atol=1e-5)
    np.testing.assert_allclose(images[2:], made(latents[2:], LABELS[2:], keys[2:]), atol=1e-5)
    others = made(latents, LABELS, keys_of(seed=8))
    assert (jnp.abs(images - others).max((1, 2, 3)) > 1e-3).all()


def test_without_keys_there_is_neither_noise_nor_mixing():
    module, latents = make_generator(), normal(0, B, Z)
    variables = init(module, latents)
    images = apply(module, variables, latents)
    np.testing.assert_array_equal(images, apply(module, variables, latents, train=True))
    styles = apply(module, variables, latents, method="style")
    np.testing.assert_allclose(images, apply(module, variables, styles, method="synthesize"), rtol=1e-5)
    noisy = apply(module, variables, latents, None, keys_of())
    assert (jnp.abs(images - noisy).max((1, 2, 3)) > 1e-3).all()
    synthesized = apply(module, variables, styles, keys_of(), method="synthesize")
    np.testing.assert_allclose(noisy, synthesized, rtol=1e-5, atol=1e-6)


def test_noise_starts_as_nothing_and_is_one_image_for_all_channels():
    layer, grids = modulation.StyledConv(3, layer=1), normal(0, B, 4, 4, 2)
    styles, keys = normal(1, B, 2, S), keys_of()
    variables = layer.init(jax.random.key(0), grids, styles, keys)
    quiet = layer.apply(variables, grids, styles, None)
    np.testing.assert_array_equal(layer.apply(variables, grids, styles, keys), quiet)
    variables["params"]["strength"] += 0.7
    inverse = lambda out: jnp.where(out > 0, out, out / 0.2) / np.sqrt(2.0)  # noqa: E731
    noise = (inverse(layer.apply(variables, grids, styles, keys)) - inverse(quiet)) / 0.7
    np.testing.assert_allclose(noise, jnp.broadcast_to(noise[..., :1], noise.shape), atol=1e-5)
    assert 0.7 < noise[..., 0].std() < 1.3
    assert jnp.abs(noise[0] - noise[1]).max() > 0.1


def mixed_styles(mixing, count):
    """Styles of latents, and those that `synthesize` is given in training."""
    module, latents, keys = make_generator(mixing=mixing), normal(0, count, Z), keys_of(count)
    seen = []

    def spy(next_function, args, kwargs, context):
        return seen.append(args[0]) if context.method_name == "synthesize" else next_function(*args, **kwargs)

    @jax.jit
    def styles(variables):
        with nn.intercept_methods(spy):
            module.apply(variables, latents, None, keys, train=True)
        return module.apply(variables, latents, method="style", train=False), seen.pop()

    return styles(init(module, latents))


def test_with_mixing_all_examples_cross_over_once_and_stay():
    first, styles = mixed_styles(1.0, 32)
    own = jnp.isclose(styles, first[:, None], atol=1e-5).all(-1)
    assert own[:, 0].all() and not own[:, -1].any()
    places = own.sum(axis=1)
    assert (own == (jnp.arange(LAYERS) < places[:, None])).all()
    assert {*places.tolist()} == {1, 2, 3}
    other = jnp.broadcast_to(styles[:, -1:], styles.shape)
    np.testing.assert_array_equal(styles[~own], other[~own])


@pytest.mark.parametrize("mixing", [0.0, 0.5])
def test_the_share_of_mixed_examples_is_as_asked(mixing):
    first, styles = mixed_styles(mixing, 200)
    assert (jnp.abs(styles[:, -1] - first).max(-1) > 1e-4).mean() == pytest.approx(mixing, abs=0.1)


# The mean style


def test_truncation_goes_from_one_image_for_all_to_those_as_they_are():
    module, latents = make_generator(), normal(0, B, Z)
    variables = init(module, latents)
    images = apply(module, variables, latents)
    np.testing.assert_array_equal(apply(module, variables, latents, truncation=1.0), images)
    none = apply(module, variables, latents, truncation=0.0)
    mean = apply(module, variables, variables["averages"]["w"][None], method="synthesize")
    np.testing.assert_allclose(none, jnp.broadcast_to(mean, none.shape), rtol=1e-4, atol=1e-5)
    half = apply(module, variables, latents, truncation=0.5)
    styles = 0.5 * (apply(module, variables, latents, method="style") + variables["averages"]["w"])
    expected = apply(module, variables, styles, method="synthesize")
    np.testing.assert_allclose(half, expected, rtol=1e-4, atol=1e-5)


def test_the_mean_moves_in_training_alone():
    module, latents = make_generator(style_decay=0.9), normal(0, B, Z)
    start = module.init(jax.random.key(0), latents, train=True)
    np.testing.assert_array_equal(start["averages"]["w"], np.zeros(S))
    variables = init(module, latents)
    styles = apply(module, variables, latents, method="style")
    averaged = jax.jit(partial(module.apply, mutable=["averages"]), static_argnames="train")
    _, kept = averaged(variables, latents, train=False)
    np.testing.assert_array_equal(kept["averages"]["w"], variables["averages"]["w"])
    expected = 0.9 * 0.3 + 0.1 * styles.mean(axis=0)
    for given in (None, keys_of()):  # the styles mixed in do not count
        _, moved = averaged(variables, latents, None, given, train=True)
        np.testing.assert_allclose(moved["averages"]["w"], expected, rtol=1e-5)


# The minibatch's deviation


def naive_deviation(grids, size):
    """Means over pixels and channels of numpy's deviations, one a group."""
    values = [grids[i : i + size].std(axis=0).mean() for i in range(0, len(grids), size) for _ in range(size)]
    return np.array(values)


@pytest.mark.parametrize(("batch", "group", "size"), [(8, 4, 4), (6, 4, 3), (5, 4, 1), (4, 8, 4), (6, 2, 2)])
def test_the_deviation_is_that_of_groups_of_examples(batch, group, size):
    with jax.enable_x64(True):
        grids = normal(0, batch, 3, 2, 5)
        out = deviation.minibatch_deviation(grids, group)
        np.testing.assert_array_equal(out[..., :-1], grids)
        expected = np.broadcast_to(naive_deviation(np.asarray(grids), size)[:, None, None], (batch, 3, 2))
        np.testing.assert_allclose(out[..., -1], expected, rtol=1e-7, atol=1e-4 if size == 1 else 1e-7)


def test_of_equal_examples_the_derivatives_are_finite():
    grids = jnp.ones((4, 2, 2, 3))

    def slope(grids):
        return (jax.grad(lambda x: deviation.minibatch_deviation(x, 4).sum())(grids) ** 2).sum()

    assert jnp.isfinite(jax.grad(slope)(grids)).all()


def test_a_group_of_one_judges_each_example_by_itself():
    images = normal(0, B, *SHAPE)
    for group, mixed in ((1, False), (2, True), (4, True)):
        module = make_discriminator(group=group)
        variables = init(module, images)
        before, after = (apply(module, variables, x) for x in (images, images.at[0].add(1.0)))
        assert (before != after).tolist() == [True, mixed, group == 4, group == 4]


def over_devices(function, devices):
    """function(replicated, split) -> (split, replicated), on so many devices."""
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    return jax.jit(
        jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(P(), P("data")),
            out_specs=(P("data"), P()),
            check_vma=False,
        )
    )


def penalised(module, axis_name, variables, images, labels):
    """Logits, and the gradient over all devices of a loss with R1."""

    def loss(params):
        logits = module.apply(params, images, labels, train=True)
        slopes = penalties.r1(lambda x: module.apply(params, x, labels, train=True), images)
        return jnp.mean(jax.nn.softplus(-logits) + slopes), logits

    grads, logits = jax.grad(loss, has_aux=True)(variables)
    return logits, grads if axis_name is None else jax.lax.pmean(grads, axis_name)


def test_devices_change_nothing_of_the_discriminator():
    """Groups of 4 among 8 examples, of which a device may hold 2."""
    with jax.enable_x64(True):
        images, labels = normal(0, 8, *SHAPE), jnp.arange(8) % 3
        plain = make_discriminator(num_classes=3)
        variables = init(plain, images, labels)
        expected = jax.jit(partial(penalised, plain, None))(variables, images, labels)
        assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(expected))
        for devices in (1, 2, 4):
            module = make_discriminator(num_classes=3, axis_name="data")
            found = over_devices(
                lambda variables, batch, m=module: penalised(m, "data", variables, *batch), devices
            )(variables, (images, labels))
            chex.assert_trees_all_close(found, expected, rtol=0, atol=1e-11)


def test_devices_change_nothing_of_the_generator():
    def made(module, axis_name, variables, batch):
        def loss(params):
            images, mutated = module.apply(
                {**variables, "params": params}, *batch, train=True, mutable=["averages"]
            )
            return jnp.mean(images**2), (images, mutated)

        grads, (images, mutated) = jax.grad(loss, has_aux=True)(variables["params"])
        return images, (grads if axis_name is None else jax.lax.pmean(grads, axis_name), mutated)

    with jax.enable_x64(True):
        latents, labels, keys = normal(0, 8, Z), jnp.arange(8) % 3, keys_of(8)
        plain = make_generator(num_classes=3)
        variables = init(plain, latents, labels)
        expected = jax.jit(partial(made, plain, None))(variables, (latents, labels, keys))
        module = make_generator(num_classes=3, axis_name="data")
        found = over_devices(partial(made, module, "data"), 4)(variables, (latents, labels, keys))
        chex.assert_trees_all_close(found, expected, rtol=0, atol=3e-7)  # noise is drawn in float32


# Second derivatives


@pytest.mark.parametrize(("form", "dtype"), [("skip", None), ("residual", jnp.bfloat16)])
def test_second_derivatives_are_finite(form, dtype):
    keys, images, latents = keys_of(), normal(0, B, *SHAPE), normal(1, B, Z)
    discriminator = make_discriminator(discriminator_form=form, dtype=dtype)
    generator = make_generator(generator_form=form, dtype=dtype)

    def r1(variables):
        return penalties.r1(lambda x: discriminator.apply(variables, x, train=True), images).mean()

    def path_length(variables):
        styles = generator.apply(variables, latents, method="style", train=True)

        def generate(styles):
            return generator.apply(variables, styles, keys, method="synthesize", train=True)

        return penalties.path_length(generate, styles, keys, jnp.zeros(()))[0].mean()

    for penalty, module, inputs in ((r1, discriminator, images), (path_length, generator, latents)):
        grads = jax.jit(jax.grad(penalty))(init(module, inputs))["params"]
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        assert sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(grads)) > 0
