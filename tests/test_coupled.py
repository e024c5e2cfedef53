from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import coupled, dcgan

B, Z, N = 4, 5, 3
LABELS = jnp.int32([0, 2, 1, 2])
SHAPE = (8, 16, 1)  # from 2x4 and doubled twice: three stages
STAGES = 3
RNG = np.random.default_rng(0)
LATENTS = jnp.asarray(RNG.normal(size=(B, Z)), jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(B, *SHAPE)), jnp.float32)
OPTIONS = {"image_shape": SHAPE, "num_classes": N, "width": 4, "smallest": 2}
each_sharing = pytest.mark.parametrize("shared", [0, 1, STAGES])


def generator(shared=1, **options):
    return coupled.Generator(**OPTIONS | {"generator_shared": shared} | options)


def discriminator(shared=1, **options):
    return coupled.Discriminator(**OPTIONS | {"discriminator_shared": shared} | options)


BOTH = {"generator": (generator, LATENTS), "discriminator": (discriminator, IMAGES)}
both = pytest.mark.parametrize("name", BOTH)


@partial(jax.jit, static_argnums=0)
def init(module, *inputs):
    return module.init(jax.random.key(0), *inputs, train=True)


@partial(jax.jit, static_argnums=0, static_argnames=("method", "train"))
def apply(module, variables, *inputs, method="__call__", train=False):
    call = {"train": train, "method": method}
    return module.apply(variables, *inputs, **call, mutable=["batch_stats"])[0]


def traced(module, *inputs):
    return jax.eval_shape(partial(module.init_with_output, train=True), jax.random.key(0), *inputs)


def sizes(module, *inputs):
    """Numbers of parameters by stage, the logits' last."""
    _, variables = traced(module, *inputs)
    names = sorted(variables["params"], key=lambda name: (name == "logits", name))
    return [sum(leaf.size for leaf in jax.tree.leaves(variables["params"][name])) for name in names]


# Shapes


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (16, 24, 4), (64, 96, 3)])
def test_they_make_and_judge_images_of_any_shape(shape):
    options = {"image_shape": shape, "smallest": 4, "dtype": jnp.bfloat16}
    out, made = traced(generator(**options), LATENTS, LABELS)
    assert (out.shape, out.dtype) == ((B, *shape), "float32")
    logits, judged = traced(discriminator(norm="spectral", **options), jnp.ones((B, *shape)), LABELS)
    assert (logits.shape, logits.dtype) == ((B,), "float32")
    assert {leaf.dtype.name for leaf in jax.tree.leaves((made, judged))} == {"float32"}


@each_sharing
def test_a_description_begins_with_the_logits_and_ends_with_the_heads(shared):
    module = discriminator(shared, heads=(("classes", 5), ("codes", 2)))
    variables = init(module, IMAGES, LABELS)
    logits, grids, heads = apply(module, variables, IMAGES, LABELS, method="describe")
    np.testing.assert_allclose(apply(module, variables, IMAGES, LABELS), logits, rtol=1e-5, atol=1e-6)
    assert [grid.shape for grid in grids] == [(B, 4, 8, 4), (B, 2, 4, 8)]
    assert {name: head.shape for name, head in heads.items()} == {"classes": (B, 5), "codes": (B, 2)}


# Sharing


@pytest.mark.parametrize("shared", range(STAGES + 1))
def test_shared_stages_have_one_set_of_parameters_and_private_ones_one_a_domain(shared):
    alone = [Z * 2 * 4 * 8 + 2 * 8, 16 * 8 * 4 + 2 * 4, 16 * 4 * 1 + 1]
    expected = [size if stage < shared else N * size for stage, size in enumerate(alone)]
    assert sizes(generator(shared), LATENTS, LABELS) == expected
    alone = [16 * 1 * 4 + 4, 16 * 4 * 8 + 8, 2 * 4 * 8 + 1]
    expected = [size if STAGES - stage <= shared else N * size for stage, size in enumerate(alone)]
    assert sizes(discriminator(shared), IMAGES, LABELS) == expected


def test_with_everything_shared_they_are_dcgan_and_all_domains_see_the_same():
    options = {"image_shape": SHAPE, "width": 4, "smallest": 2}
    made, judged = generator(STAGES), discriminator(STAGES)
    assert sum(sizes(made, LATENTS, LABELS)) == sum(sizes(dcgan.Generator(**options), LATENTS))
    assert sum(sizes(judged, IMAGES, LABELS)) == sum(sizes(dcgan.Discriminator(**options), IMAGES))
    images = apply(made, init(made, LATENTS, LABELS), LATENTS, method="joint")
    assert images.std() > 0
    for domain in range(1, N):
        np.testing.assert_array_equal(images[:, domain], images[:, 0])
    variables = init(judged, IMAGES, LABELS)
    np.testing.assert_array_equal(*(apply(judged, variables, IMAGES, x) for x in (LABELS, LABELS[::-1])))


@pytest.mark.parametrize(("shared", "train"), [(1, False), (1, True), (STAGES, True)])
def test_an_image_is_that_of_its_domain_among_the_joint_ones(shared, train):
    module = generator(shared)
    variables = init(module, LATENTS, LABELS)
    images = apply(module, variables, LATENTS, method="joint", train=train)
    assert images.shape == (B, N, *SHAPE)
    own = apply(module, variables, LATENTS, LABELS, train=train)
    np.testing.assert_allclose(own, images[jnp.arange(B), LABELS], rtol=1e-5, atol=1e-6)
    differ = jnp.abs(images[:, 0] - images[:, 1]).max() > 1e-4
    assert differ == (shared < STAGES)


def test_private_stages_start_differently():
    kernel = init(discriminator(0), IMAGES, LABELS)["params"]["stage_0"]["Conv_0"]["kernel"]
    assert kernel.shape == (N, 4, 4, 1, 4) and (kernel[0] != kernel[1]).all()


@each_sharing
def test_a_discriminator_judges_by_the_layers_of_the_domain(shared):
    """A network without coupling, given a domain's parameters, says the same of its images."""
    module = discriminator(shared)
    variables = init(module, IMAGES, LABELS)

    def of(domain):
        def own(path, leaf):
            stage = path[0].key
            private = (STAGES - 1 if stage == "logits" else int(stage[-1])) < STAGES - shared
            return leaf[domain] if private else leaf

        params = jax.tree_util.tree_map_with_path(own, variables["params"])
        alone = {"Dense_0": params.pop("logits")["Dense_0"], **params}
        network = dcgan.Discriminator(SHAPE, width=4, smallest=2)
        return network.apply({"params": alone}, IMAGES, train=False)

    expected = jnp.stack([of(domain) for domain in range(N)])[LABELS, jnp.arange(B)]
    np.testing.assert_allclose(apply(module, variables, IMAGES, LABELS), expected, rtol=1e-4, atol=1e-6)


@both
def test_one_domains_examples_teach_its_own_and_the_shared_layers_only(name):
    make, inputs = BOTH[name]
    module = make()
    variables = init(module, inputs, LABELS)
    labels = jnp.full(B, 1)

    def objective(params):
        given = {**variables, "params": params}
        out, _ = module.apply(given, inputs, labels, train=True, mutable=["batch_stats"])
        return jnp.sum(out**3) + jnp.sum(out)

    grads = jax.jit(jax.grad(objective))(variables["params"])
    private = {"generator": ["stage_1", "stage_2"], "discriminator": ["stage_0", "stage_1"]}[name]
    for stage, leaves in grads.items():
        for leaf in jax.tree.leaves(leaves):
            assert jnp.abs(leaf[1] if stage in private else leaf).max() > 0
            if stage in private:
                assert len(leaf) == N and not leaf[jnp.array([0, 2])].any()


# The contract


@both
def test_outputs_are_the_same_without_jit_with_remat_and_nearly_in_bfloat16(name):
    make, inputs = BOTH[name]
    module = make(2)
    variables = init(module, inputs, LABELS)
    jitted = apply(module, variables, inputs, LABELS)
    assert jnp.isfinite(jitted).all()
    plain = module.apply(variables, inputs, LABELS, train=False)
    np.testing.assert_allclose(plain, jitted, rtol=1e-4, atol=1e-6)
    remat = module.clone(remat=True)
    assert jax.tree.structure(traced(remat, inputs, LABELS)[1]) == jax.tree.structure(variables)
    again = apply(remat, variables, inputs, LABELS)
    np.testing.assert_allclose(again, jitted, rtol=1e-5, atol=1e-6)
    coarse = apply(module.clone(dtype=jnp.bfloat16), variables, inputs, LABELS)
    assert 0 < jnp.abs(coarse - jitted).max() / jnp.abs(jitted).max() < 0.05


@both
def test_labels_matter_and_only_to_their_own_example(name):
    make, inputs = BOTH[name]
    module = make()
    variables = init(module, inputs, LABELS)
    before, after = (
        apply(module, variables, inputs, labels, train=True) for labels in (LABELS, LABELS.at[1].set(0))
    )
    changed = (before != after).reshape(B, -1).any(axis=1)
    assert changed.tolist() == [False, True, False, False]


def test_every_domain_has_statistics_of_all_latents():
    module = generator(1)
    variables = init(module, LATENTS, LABELS)
    _, first = module.apply(variables, LATENTS, LABELS, train=True, mutable=["batch_stats"])
    _, other = module.apply(variables, LATENTS, LABELS[::-1], train=True, mutable=["batch_stats"])
    for leaf, same in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, same)
    assert first["batch_stats"]["stage_1"]["BatchNorm_0"]["mean"].shape == (N, 4)


def test_spectral_norm_is_of_each_domains_kernel():
    module = discriminator(1, norm="spectral")
    variables = init(module, IMAGES, LABELS)
    refine = jax.jit(lambda v: module.apply(v, IMAGES, LABELS, train=True, mutable=["batch_stats"])[1])
    for _ in range(40):
        variables = {**variables, **refine(variables)}
    kernels = np.asarray(variables["params"]["stage_1"]["Conv_0"]["kernel"])
    sigma = variables["batch_stats"]["stage_1"]["SpectralNorm_0"]["Conv_0/kernel/sigma"]
    largest = [np.linalg.norm(kernel.reshape(-1, 8), ord=2) for kernel in kernels]
    np.testing.assert_allclose(sigma, largest, rtol=1e-3)


def test_second_derivatives_of_the_discriminator_are_finite_and_of_its_domain():
    module = discriminator()
    variables = init(module, IMAGES, LABELS)

    def r1(params, labels):
        critic = lambda images: module.apply({"params": params}, images, labels, train=True).sum()  # noqa: E731
        return jnp.sum(jax.grad(critic)(IMAGES) ** 2)

    grads = jax.jit(jax.grad(r1))(variables["params"], jnp.full(B, 2))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    kernel = grads["stage_0"]["Conv_0"]["kernel"]
    assert jnp.abs(kernel[2]).max() > 0 and not kernel[:2].any()


# Errors


@both
@pytest.mark.parametrize("shared", [-1, STAGES + 1])
def test_sharing_more_than_there_is_is_refused(name, shared):
    make, inputs = BOTH[name]
    with pytest.raises(ValueError, match=f"{name}_shared is {shared}, and the network has 3 stages.*to 3"):
        traced(make(shared), inputs, LABELS)


@both
def test_what_cannot_be_is_refused(name):
    make, inputs = BOTH[name]
    with pytest.raises(ValueError, match="num_classes is 1; coupled networks need 2 domains or more"):
        traced(make(num_classes=1), inputs, LABELS)
    with pytest.raises(ValueError, match="8x16 cannot be doubled from a grid of at least 5 pixels"):
        traced(make(smallest=5), inputs, LABELS)
    with pytest.raises(ValueError, match="built for 3 classes and was given no labels; expected"):
        traced(make(), inputs)
    for labels in (jnp.ones((B, N)), jnp.ones(B)):
        with pytest.raises(ValueError, match=r"expected \[B\] integers.*of one domain"):
            traced(make(), inputs, labels)


def test_a_discriminator_refuses_other_images_and_norms():
    with pytest.raises(ValueError, match=r"Images are \(4, 16, 8, 1\), expected"):
        traced(discriminator(), IMAGES.swapaxes(1, 2), LABELS)
    with pytest.raises(ValueError, match="norm is 'batch', expected one of none, spectral"):
        traced(discriminator(norm="batch"), IMAGES, LABELS)
