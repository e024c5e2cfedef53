from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import costs, losses, models, penalties, steps
from jaxgan.alternation import PLAYERS, Phase
from jaxgan.models import dcgan, mlp, resnet, vit
from jaxgan.models.families import of_task
from jaxgan.tasks import synthesis
from jaxgan.updates import update_discriminator

SHAPE, Z, B = (8, 8, 1), 5, 4
BATCH = {"image": jax.ShapeDtypeStruct((B, *SHAPE), jnp.float32)}


def game(generator, discriminator, *, lazy=None, **options):
    """A game with these penalties, each every so many steps."""
    return steps.Game(
        task=synthesis.make_task(Z),
        generator=generator,
        discriminator=discriminator,
        loss=losses.LOSSES["non_saturating"],
        optimizers={name: optax.sgd(0.1) for name in PLAYERS},
        penalties={
            name: penalties.PENALTIES[name]._replace(weight=1.0, every=every)
            for name, every in (lazy or {}).items()
        },
        **options,
    )


def perceptrons(**options):
    return game(mlp.Generator(SHAPE, width=16, depth=1), mlp.Discriminator(width=16, depth=1), **options)


def networks(**options):
    """Name -> both players of a family, small."""
    stages = {"width": 4, "smallest": 2} | options
    tokens = {"width": 8, "depth": 1, "attention_heads": 2} | options
    return {
        "dcgan": (dcgan.Generator(SHAPE, **stages), dcgan.Discriminator(SHAPE, **stages)),
        "resnet": (resnet.Generator(SHAPE, **stages), resnet.Discriminator(SHAPE, **stages)),
        "vit": (vit.Generator(SHAPE, **tokens), vit.Discriminator(SHAPE, **tokens)),
    }


# Costs


def test_parameters_and_forward_flops_of_a_perceptron_worked_by_hand():
    found = costs.costs_of(perceptrons(), BATCH)
    assert found["generator"].parameters == (5 * 16 + 16) + (16 * 64 + 64)
    assert found["discriminator"].parameters == (64 * 16 + 16) + (16 + 1)
    products = {"generator": 2 * (5 * 16 + 16 * 64), "discriminator": 2 * (64 * 16 + 16)}
    for name, expected in products.items():
        assert expected < found[name].forward < 1.15 * expected  # biases and activations come on top


def test_an_update_holds_the_others_part_in_it():
    """Products of matrices: G forwards once; D forwards twice, and back to its first weights twice."""
    found = costs.costs_of(perceptrons(), BATCH)["discriminator"]
    generator, discriminator = 2 * (5 * 16 + 16 * 64), 2 * (64 * 16 + 16)
    expected = generator + 2 * (discriminator + discriminator + 2 * 16)
    assert expected < found.update < 1.4 * expected


def test_flops_of_an_image_hardly_depend_on_the_batch():
    small, large = (
        costs.costs_of(perceptrons(), {"image": jax.ShapeDtypeStruct((size, *SHAPE), jnp.float32)})
        for size in (32, 64)
    )
    for name in PLAYERS:
        assert small[name].forward == pytest.approx(large[name].forward, rel=0.01)
        assert small[name].update == pytest.approx(large[name].update, rel=0.1)  # one optimiser step
        assert large[name].kept == pytest.approx(2 * small[name].kept, rel=0.01)


def test_a_lazy_penalty_costs_its_share_and_keeps_as_much():
    found = {
        every: costs.costs_of(perceptrons(lazy={"r1": every}), BATCH)["discriminator"] for every in (1, 4)
    }
    without = costs.costs_of(perceptrons(), BATCH)["discriminator"]
    always, sometimes = (found[every].update - without.update for every in (1, 4))
    assert always > 0.2 * without.update
    assert sometimes == pytest.approx(always / 4, rel=0.1)
    assert found[4].kept >= found[1].kept > without.kept


def test_parts_of_a_batch_cost_as_much_and_keep_their_share():
    whole, parts = (
        costs.costs_of(perceptrons(lazy={"r1": 1}, accumulate=n), BATCH)["discriminator"] for n in (1, 2)
    )
    assert parts.update == whole.update
    assert parts.kept == pytest.approx(whole.kept / 2, rel=0.02)
    with pytest.raises(ValueError, match="A batch of 4 examples cannot be cut into 3 equal parts"):
        costs.costs_of(perceptrons(accumulate=3), BATCH)


def test_a_step_is_its_phases_for_each_image_shown():
    found = {"generator": costs.Cost(1, 1.0, 10.0, 1), "discriminator": costs.Cost(1, 1.0, 7.0, 1)}
    assert costs.step_flops(found, (Phase("discriminator"), Phase("generator"))) == 17.0
    assert costs.step_flops(found, (Phase("discriminator", 5), Phase("generator"))) == (5 * 7 + 10) / 5


def test_what_is_kept_is_bounded_by_hand():
    """A fake and what D's layers were given; at most also reals, slopes, signs, a few numbers an image."""
    found = costs.costs_of(perceptrons(), BATCH)["discriminator"]
    hidden, images = B * 16, B * 64
    assert 4 * (images + 2 * hidden) <= found.kept <= 4 * (2 * images + 2 * 3 * hidden + 20 * B)


@pytest.mark.parametrize("family", networks())
def test_rematerialisation_keeps_less_and_computes_more(family):
    plain, again = (costs.costs_of(game(*networks(remat=remat)[family]), BATCH) for remat in (False, True))
    for name in PLAYERS:
        assert again[name].kept < plain[name].kept
        assert again[name].update > plain[name].update
        assert again[name].parameters == plain[name].parameters
        assert again[name].forward == pytest.approx(plain[name].forward, rel=0.01)


@pytest.mark.parametrize("lazy", [{}, {"r1": 1}], ids=["plain", "r1"])
def test_it_agrees_with_what_xla_compiles(lazy):
    played = game(*networks(width=8)["resnet"], lazy=lazy)
    found, state = costs.costs_of(played, BATCH)["discriminator"], costs.initial(played, BATCH)
    update = jax.jit(lambda state, batch: update_discriminator(played, state, batch, jax.random.key(0)))
    compiled = update.lower(state, BATCH).compile()
    assert found.update * B == pytest.approx(compiled.cost_analysis()["flops"], rel=0.3)
    assert 0.3 < compiled.memory_analysis().temp_size_in_bytes / found.kept < 3.5


# Features


@pytest.mark.parametrize("family", networks())
@pytest.mark.parametrize("remat", [False, True])
def test_features_are_what_every_module_returned(family, remat):
    inputs = {"generator": jnp.ones((B, Z)), "discriminator": jnp.ones((B, *SHAPE))}
    for name, module in zip(PLAYERS, networks(remat=remat)[family], strict=True):
        variables = jax.jit(partial(module.init, train=True))(jax.random.key(0), inputs[name])
        outputs, found = jax.jit(partial(models.features, module))(variables, inputs[name])
        plain = jax.jit(partial(module.apply, train=False))(variables, inputs[name])
        np.testing.assert_allclose(outputs, plain, rtol=1e-4, atol=1e-6)
        assert {path.split("/")[0] for path in found} >= set(variables["params"])


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("family", of_task("synthesis"))
def test_features_reach_the_modules_of_every_family(family, player):
    """Those in loops and over domains, and those computed anew."""
    module, labels = getattr(of_task("synthesis")[family], player), jnp.zeros(B, jnp.int32)
    fields = {"image_shape": (16, 16, 1), "num_classes": 2, "width": 8, "attention_heads": 2, "depth": 1}
    fields = {name: value for name, value in fields.items() if name in module.__dataclass_fields__}
    module = module(**fields, **({"remat": True} if "remat" in module.__dataclass_fields__ else {}))
    inputs = jnp.ones((B, 8) if player == "generator" else (B, 16, 16, 1)), labels
    inputs += (jax.random.split(jax.random.key(1), B),) if hasattr(module, "style") else ()

    def read():
        variables = module.init(jax.random.key(0), *inputs, train=True)
        return variables["params"], models.features(module, variables, *inputs)[1]

    params, found = jax.eval_shape(read)
    learning = {name for name, part in params.items() if hasattr(part, "items")}
    assert learning <= {path.split("/")[0] for path in found}


def test_features_of_a_described_block_are_its_grid():
    module, images = networks()["vit"][1], jnp.ones((B, *SHAPE))
    variables = module.init(jax.random.key(0), images, train=True)
    (_, (grid,), _), found = models.features(module, variables, images, train=True, method="describe")
    np.testing.assert_array_equal(found["block_0"].reshape(grid.shape), grid)


def test_features_in_training_are_those_of_the_batch_and_what_is_mutated_is_dropped():
    module, latents = networks()["dcgan"][0], jnp.arange(20.0).reshape(B, Z)
    variables = module.init(jax.random.key(0), latents, train=True)
    before = jax.tree.map(np.asarray, variables)
    _, trained = models.features(module, variables, latents, train=True)
    np.testing.assert_allclose(trained["BatchNorm_0"].mean(axis=(0, 1, 2)), np.zeros(8), atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, before, variables))


def test_features_of_loops_are_stacked_and_those_of_repeated_calls_numbered():
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(3, name="dense")(x), None

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            axes, splits = {"params": 0, "intermediates": 0}, {"params": True}
            loop = nn.scan(Layer, variable_axes=axes, split_rngs=splits, length=2)
            x, _ = loop(name="loop")(x, None)
            twice = nn.Dense(3, name="twice")
            return twice(twice(x))

    module, x = Network(), jnp.ones((B, 3))
    variables = module.init(jax.random.key(0), x, train=False)
    outputs, found = models.features(module, variables, x)
    assert {path: array.shape for path, array in found.items()} == {
        "loop": (2, B, 3), "loop/dense": (2, B, 3), "twice/0": (B, 3), "twice/1": (B, 3),
    }  # fmt: skip
    np.testing.assert_array_equal(found["twice/1"], outputs)
