import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits

from jaxgan.data import DataError, from_arrays, mix
from jaxgan.features import fitting
from jaxgan.features.classifier import load_classifier, save_classifier, train_classifier
from jaxgan.features.usefulness import classification_accuracy_score
from jaxgan.interop import cards
from jaxgan.interop.pickles import WeightsError
from jaxgan.models import dcgan
from jaxgan.models.classifier import Classifier

FEW = dict(steps=2, batch_size=8)  # of training: enough for what does not depend on how good it is
VALUES, LABELS = load_digits(return_X_y=True)
IMAGES = (VALUES * 15).astype(np.uint8).reshape(-1, 8, 8, 1)


@pytest.fixture(scope="module")
def digits():
    return from_arrays(IMAGES, LABELS, name="digits")


@pytest.fixture(scope="module")
def trained(digits):
    return train_classifier(digits, steps=200, batch_size=64)


def some(count=30, shape=(8, 8, 1), classes=3):
    """Noise, brighter by class."""
    labels = np.arange(count) % classes
    noise = np.random.default_rng(0).integers(0, 60, (count, *shape))
    return from_arrays((noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels, name="some")


def test_it_learns_digits_and_says_how_well(trained):
    assert trained.accuracy > 0.93 and 0.09 < trained.chance < 0.12
    assert trained.classes == tuple("0123456789")


def test_features_are_the_hidden_layer_behind_the_logits(trained, digits):
    extractor = trained.extractor
    images = jnp.float32(IMAGES[:200])
    features, logits = (
        np.asarray(jax.jit(f)(extractor.variables, images)) for f in (extractor.apply, extractor.logits)
    )
    assert features.shape == (200, extractor.size) == (200, 64) and features.min() >= 0
    last = extractor.variables["params"]["logits"]
    np.testing.assert_allclose(features @ last["kernel"] + last["bias"], logits, rtol=1e-4, atol=1e-4)
    assert (logits.argmax(-1) == LABELS[:200]).mean() > 0.93
    assert extractor.name == "classifier-64" and extractor.resize == "to 8x8, linear, antialiased"


def test_accuracy_is_of_images_that_it_was_not_trained_on():
    """Labels at random can be learned by heart, and not known of others."""
    rng = np.random.default_rng(0)
    source = from_arrays(rng.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8), rng.integers(0, 2, 60))
    made = train_classifier(source, held_out=0.5, steps=80, batch_size=30, shift=0.0)
    train, test = fitting.divide(source, 0.5, seed=0)
    on = [
        fitting.accuracy_of(made.network, made.extractor.variables, fitting.part(source, rows))
        for rows in (train, test)
    ]
    assert on[0] > 0.95 and on[1] == made.accuracy < 0.8


def test_the_same_seed_makes_the_same_weights_wherever_images_come_from():
    source = some()
    decoded = replace(source, arrays=None)  # as of sets that do not fit into memory
    first, again, other, lazy = (
        train_classifier(each, **FEW, seed=seed).extractor.digest
        for each, seed in ((source, 0), (source, 0), (source, 1), (decoded, 0))
    )
    assert first == again == lazy != other


def test_what_is_saved_is_loaded_with_the_same_digest_and_features(trained, tmp_path):
    save_classifier(tmp_path / "digits.safetensors", trained)
    loaded = load_classifier(tmp_path / "digits.safetensors")
    assert loaded.extractor.digest == trained.extractor.digest
    assert loaded._replace(extractor=None) == trained._replace(extractor=None)
    features = [
        np.asarray(jax.jit(each.extractor.apply)(each.extractor.variables, jnp.float32(IMAGES[:9])))
        for each in (trained, loaded)
    ]
    assert features[0].tobytes() == features[1].tobytes()
    with pytest.raises(FileExistsError):
        save_classifier(tmp_path / "digits.safetensors", trained)


def test_files_of_something_else_are_refused(trained, tmp_path):
    network, latents = dcgan.Generator((8, 8, 1), width=4), jnp.zeros((1, 4))
    variables = network.init(jax.random.key(0), latents, train=False)
    cards.save(tmp_path / "g.safetensors", variables, network=network, inputs=(latents,))
    with pytest.raises(WeightsError, match="holds a Generator, expected a classifier"):
        load_classifier(tmp_path / "g.safetensors")
    save_classifier(tmp_path / "c.safetensors", trained)
    card = cards.load(tmp_path / "c.safetensors").card | {"metrics": {"accuracy": 1.0}}
    weights = load_file(tmp_path / "c.safetensors")
    save_file(weights, tmp_path / "d.safetensors", {cards.KEY: json.dumps(card)})
    with pytest.raises(WeightsError, match="card does not say .*chance"):
        load_classifier(tmp_path / "d.safetensors")


SHAPES = {  # of images, and of what the network sees
    (8, 8, 1): (8, 8, 1),
    (9, 14, 2): (9, 14, 2),
    (24, 36, 3): (16, 24, 3),
    (12, 12, 4): (12, 12, 4),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size_and_channels_can_be_trained_on_and_described(shape):
    made = train_classifier(some(shape=shape), most=16, features=5, held_out=0.2, **FEW)
    assert made.network.image_shape == SHAPES[shape]
    extractor = made.extractor
    channels = 1 if shape[2] == 3 else shape[2]  # grey ones are repeated
    for size in (shape[:2], (20, 11)):
        features = jax.jit(extractor.apply)(extractor.variables, jnp.ones((2, *size, channels)))
        assert features.shape == (2, 5) and np.isfinite(features).all()
    logits = jax.eval_shape(extractor.logits, extractor.variables, jnp.ones((2, 8, 8, channels)))
    assert logits.shape == (2, 3)
    with pytest.raises(ValueError, match="channels|transparent"):
        extractor.apply(extractor.variables, jnp.ones((2, 8, 8, shape[2] + 1)))


def test_images_of_more_bits_are_seen_as_those_of_eight():
    labels = np.arange(20) % 2
    images = (np.random.default_rng(0).integers(0, 100, (20, 8, 8)) + 100 * labels[:, None, None]).astype(
        np.uint8
    )
    eight, sixteen = (
        train_classifier(from_arrays(x, labels), **FEW).extractor
        for x in (images, 257 * images.astype(np.uint16))
    )
    found = [np.asarray(jax.jit(each.apply)(each.variables, images[..., None])) for each in (eight, sixteen)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)


# Parts of a set


def test_of_each_class_the_same_share_is_held_out():
    labels = np.repeat([0, 1, 2, 3], [100, 50, 10, 1])
    source = from_arrays(np.zeros((161, 8, 8, 1), np.uint8), labels)
    train, test = fitting.divide(source, 0.2, seed=0)
    assert np.bincount(labels[test], minlength=4).tolist() == [20, 10, 2, 0]
    assert sorted([*train, *test]) == [*range(161)]
    assert not np.array_equal(test, fitting.divide(source, 0.2, seed=1)[1])


def test_labels_of_a_part_are_those_of_its_examples():
    mixed = mix([some(), some(12)], [0.5, 0.5], name="mixed")  # whose examples are in an order of their own
    rows = np.array([5, 2, 28, 3])
    for whole in (some(), replace(some(), arrays=None), mixed):
        part = fitting.part(fitting.part(whole, np.arange(30)[::-1]), 29 - rows)
        assert fitting.labels_of(part).tolist() == whole.gather(rows)["label"].tolist()
        np.testing.assert_array_equal(part.gather([0, 3])["image"], whole.gather(rows[[0, 3]])["image"])
    assert fitting.labels_of(mixed).tolist() == mixed.gather(np.arange(len(mixed)))["label"].tolist()


def test_an_augmented_image_is_moved_by_its_key_alone():
    recipe = fitting.Recipe(shift=0.25)
    images = jnp.arange(2 * 8 * 12).reshape(2, 8, 12, 1) * jnp.ones((1, 1, 1, 2))
    augment = jax.jit(partial(fitting.augment, recipe=recipe))
    edged = np.pad(np.asarray(images[0]), ((2, 2), (3, 3), (0, 0)), mode="edge")
    shifts = set()
    for seed in range(60):
        keys = jax.random.split(jax.random.key(seed), 2)
        moved = np.asarray(augment(images, keys))
        places = [
            (y, x) for y in range(5) for x in range(7)
            if np.array_equal(edged[y : y + 8, x : x + 12], moved[0])
        ]  # fmt: skip
        assert len(places) == 1
        shifts.update(places)
        np.testing.assert_array_equal(augment(images[::-1], keys[::-1])[1], moved[0])
    assert {y for y, _ in shifts} == {*range(5)} and {x for _, x in shifts} == {*range(7)}


def test_images_are_flipped_only_where_that_was_asked_for():
    keys, images = (
        jax.random.split(jax.random.key(0), 100),
        jnp.broadcast_to(jnp.arange(8.0), (100, 8, 8))[..., None],
    )
    plain, flipped = (
        np.asarray(fitting.augment(images, keys, fitting.Recipe(shift=0.0, flip=flip)))
        for flip in (False, True)
    )
    np.testing.assert_array_equal(plain, images)
    mirrored = [np.array_equal(each, images[0, :, ::-1]) for each in flipped]
    assert 30 < sum(mirrored) < 70
    np.testing.assert_array_equal(flipped[~np.array(mirrored)], images[~np.array(mirrored)])


# What is refused

NAMELESS = from_arrays(np.zeros((9, 8, 8, 1), np.uint8))
WRONG = {
    "no labels": (lambda: train_classifier(NAMELESS), r"has the classes \[\]"),
    "one class": (lambda: train_classifier(some(classes=1)), r"has the classes \['0'\]"),
    "one class of two": (
        lambda: train_classifier(from_arrays(np.zeros((9, 8, 8), np.uint8), np.ones(9, int))),
        r"\[0, 9\] images a class",
    ),
    "none to test on": (lambda: train_classifier(some(6)), r"\[2, 2, 2\] images a class, and 0.1 is held"),
    "all held out": (lambda: train_classifier(some(), held_out=1.0), "held_out is 1.0"),
    "small images": (lambda: train_classifier(some(shape=(8, 7, 1))), "expected 8 or more pixels a side"),
    "shrunk too far": (lambda: train_classifier(some(), most=4), "most is 4, expected 8 pixels or more"),
    "no steps": (lambda: train_classifier(some(), steps=0), "steps is 0"),
    "a long shift": (lambda: train_classifier(some(), shift=1.0), "shift is 1.0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_trained_on_is_refused(kind):
    make, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        make()


# Train on fakes, test on reals


@pytest.fixture(scope="module")
def scores():
    """Of 'fakes' that are digits, with these shares of their labels drawn anew."""
    rng, half = np.random.default_rng(0), len(IMAGES) // 2
    made = {}
    for noise in (0.0, 0.9):
        labels = np.where(rng.random(half) < noise, rng.integers(0, 10, half), LABELS[:half])
        made[noise] = classification_accuracy_score(
            (IMAGES[:half], labels), (IMAGES[half:], LABELS[half:]), steps=100, batch_size=64
        )
    return made


def test_good_fakes_teach_as_much_as_reals(scores):
    good = scores[0.0]
    assert good.trained + good.tested == len(IMAGES) - len(IMAGES) // 2 and good.tested == pytest.approx(
        180, abs=5
    )
    assert good.fakes > 0.85 and good.fakes == pytest.approx(good.reals, abs=0.07)


def test_fakes_of_other_classes_than_they_were_made_for_teach_less(scores):
    assert scores[0.9].fakes < scores[0.0].fakes - 0.2
    assert scores[0.9].reals == scores[0.0].reals


def test_as_many_reals_are_trained_on_as_there_are_fakes():
    found = classification_accuracy_score((IMAGES[:50], LABELS[:50]), (IMAGES[50:250], LABELS[50:250]), **FEW)
    assert found.trained == 50 and found.tested == pytest.approx(40, abs=5)


def test_fakes_that_are_not_like_reals_are_refused():
    reals = IMAGES[:50], LABELS[:50] % 5
    with pytest.raises(DataError, match=r"Reals are \(8, 8, 1\) of 5 classes, fakes \(8, 8, 1\) of 10"):
        classification_accuracy_score((IMAGES[:50], LABELS[:50]), reals)
    with pytest.raises(DataError, match=r"fakes \(4, 8, 1\)"):
        classification_accuracy_score((IMAGES[:50, :4], LABELS[:50] % 5), reals)


def test_the_network_takes_its_images_and_no_others():
    network = Classifier((9, 8, 2), 3, width=8)
    init, apply = (jax.jit(partial(f, train=True)) for f in (network.init, network.apply))
    variables = init(jax.random.key(0), jnp.zeros((1, 9, 8, 2)))
    images = jax.random.normal(jax.random.key(1), (2, 9, 8, 2))
    plain = network.apply(variables, images, train=False)
    assert plain.shape == (2, 3)
    np.testing.assert_allclose(apply(variables, images), plain, atol=1e-5)
    with pytest.raises(ValueError, match="expected"):
        network.apply(variables, images[:, :8], train=False)
