import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import to_uint8
from jaxgan.losses import minimax
from jaxgan.models import dcgan
from jaxgan.sampling import make_sampler
from jaxgan.steps import Game
from jaxgan.tasks import synthesis

Z = 5
CLASSES = ("zero", "one", "two")


def build(classes=()):
    """(module, variables with statistics of a trained network, make, what was traced)."""
    traced = []
    task = synthesis.make_task(Z, conditional=bool(classes))

    def generate(generator, given):
        traced.append(given.latents.shape)
        return task.generate(generator, given)

    module = dcgan.Generator((8, 8, 1), num_classes=len(classes), width=4, smallest=2)
    labels = jnp.zeros(1, jnp.int32) if classes else None
    variables = module.init(jax.random.key(0), jnp.ones((1, Z)), labels, train=True)
    variables = jax.tree.map(lambda leaf: leaf * 20.0 if leaf.ndim > 1 else leaf + 0.1, variables)
    game = Game(task._replace(generate=generate), module, None, minimax, {})
    return module, variables, make_sampler(game, Z, classes), traced


@pytest.fixture(scope="module")
def unconditional():
    _, variables, make, _ = build()
    return make(variables)


@pytest.fixture(scope="module")
def conditional():
    _, variables, make, _ = build(CLASSES)
    return make(variables)


def changed(first, second):
    return np.nonzero((first != second).any(axis=(1, 2, 3)))[0].tolist()


def test_images_are_uint8_and_all_different(unconditional):
    images = unconditional.draw(300)
    assert (images.shape, images.dtype) == ((300, 8, 8, 1), np.uint8)
    assert len(np.unique(images, axis=0)) == 300


def test_the_same_seed_draws_the_same_images(unconditional):
    np.testing.assert_array_equal(unconditional.draw(3, seed=7), unconditional.draw(3, seed=7))
    assert changed(unconditional.draw(3, seed=7), unconditional.draw(3, seed=8)) == [0, 1, 2]


@pytest.mark.parametrize("fewer", [1, 10, 256, 257])
def test_an_image_does_not_depend_on_how_many_are_drawn(unconditional, fewer):
    np.testing.assert_array_equal(unconditional.draw(fewer), unconditional.draw(300)[:fewer])


def test_an_image_does_not_depend_on_the_labels_of_others(conditional):
    labels = np.arange(300) % 3
    whole = conditional.draw(labels=labels)
    np.testing.assert_array_equal(conditional.draw(labels=labels[:10].tolist()), whole[:10])
    other = labels.copy()
    other[[4, 270]] += 1
    assert changed(conditional.draw(labels=other % 3), whole) == [4, 270]


def test_images_are_the_generators_in_evaluation_mode():
    module, variables, make, _ = build(CLASSES)
    key = jax.random.fold_in(jax.random.key(3), 2)  # not of those that training with seed 3 takes
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4))
    latents, labels = synthesis.draw_latents(keys, Z), jnp.int32([2, 0, 1, 1])
    expected = to_uint8(np.asarray(module.apply(variables, latents, labels, train=False)))
    found = make(variables).draw(labels=labels, seed=3)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)  # rounding


def test_it_is_compiled_once_for_all_variables_and_counts():
    _, variables, make, traced = build()
    first = make(variables).draw(10)
    second = make(jax.tree.map(lambda leaf: leaf * 1.5, variables)).draw(300)
    assert traced == [(1, Z), (256, Z)]  # the first for the size of an image alone
    assert len(changed(first, second[:10])) == 10


def test_a_sampler_without_classes_wants_a_count(unconditional):
    for given in ({}, {"labels": [0, 1]}, {"count": 2, "labels": [0, 1]}):
        with pytest.raises(ValueError, match="needs a count; got count="):
            unconditional.draw(**given)


def test_a_sampler_of_classes_wants_labels(conditional):
    for given in ({}, {"count": 2}, {"count": 2, "labels": [0, 1]}):
        with pytest.raises(ValueError, match=r"needs labels=\[\.\.\.\]; got count="):
            conditional.draw(**given)


@pytest.fixture(scope="module")
def coded():
    _, variables, _, _ = build()
    codes = synthesis.Codes((3,), 1)
    module = dcgan.Generator((8, 8, 1), width=4, smallest=2)
    task = synthesis.make_task(Z, terms=["information"], codes=codes)
    return make_sampler(Game(task, module, None, minimax, {}), Z, codes=codes)(variables)


def test_a_choice_is_that_of_its_own_image(coded):
    choices = np.arange(300) % 3
    whole = coded.draw(300, choices=choices)
    np.testing.assert_array_equal(coded.draw(10, choices=choices[:10].tolist()), whole[:10])
    other = choices.copy()
    other[[4, 270]] += 1
    assert changed(coded.draw(300, choices=other % 3), whole) == [4, 270]
    assert 0 < len(changed(coded.draw(300), whole)) < 300  # drawn, some choices are the same


def test_choices_that_cannot_be_are_refused(unconditional, coded):
    with pytest.raises(ValueError, match="no categorical codes to choose; leave `choices` out"):
        unconditional.draw(2, choices=[0, 1])
    with pytest.raises(ValueError, match="There are 2 choices for 3 images"):
        coded.draw(3, choices=[0, 1])
    with pytest.raises(ValueError, match=r"Choices \[3\] are not in 0 to 2"):
        coded.draw(2, choices=[0, 3])


@pytest.mark.parametrize("wrong", [-1, 3])
def test_labels_out_of_range_are_refused(conditional, wrong):
    with pytest.raises(ValueError, match=rf"Labels \[{wrong}\] are not in 0 to 2"):
        conditional.draw(labels=[0, wrong, 2])
