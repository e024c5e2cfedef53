import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import terms
from jaxgan.data import random_flip
from jaxgan.tasks import Round, Verdict
from jaxgan.tasks.synthesis import Codes, draw_latents, heads, make_task

B, Z = 6, 4
KEYS = jax.random.split(jax.random.key(0), B)
BATCH = {
    "image": jnp.arange(B * 3 * 2.0).reshape(B, 3, 2, 1),
    "label": jnp.arange(B, dtype=jnp.int32),
}


def flipped(batch, keys):
    return {"image": random_flip(batch["image"], keys)}


def keys_given_to_the_transform(keys):
    return make_task(Z, transform=lambda batch, keys: {"image": keys}).prepare(BATCH, keys).real


def test_latents_depend_on_the_examples_key_alone():
    task = make_task(Z)
    order = np.array([4, 1, 5])
    whole = task.prepare(BATCH, KEYS).given.latents
    other = {"image": jnp.zeros((3, 5, 5, 2))}
    assert whole.shape == (B, Z)
    np.testing.assert_array_equal(task.prepare(other, KEYS[order]).given.latents, whole[order])


def test_each_example_has_latents_of_its_own():
    assert len(np.unique(make_task(Z).prepare(BATCH, KEYS).given.latents)) == B * Z


def test_latents_are_standard_normal():
    latents = draw_latents(jax.random.split(jax.random.key(1), 4096), 8)
    assert latents.dtype == "float32"
    np.testing.assert_allclose(latents.mean(0), np.zeros(8), atol=0.06)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(8), atol=0.1)


def test_latents_take_the_default_float_dtype():
    with jax.enable_x64(True):
        assert draw_latents(KEYS, Z).dtype == "float64"


def test_a_fake_gets_the_label_of_its_real_image():
    given = make_task(Z, conditional=True).prepare(BATCH, KEYS).given
    np.testing.assert_array_equal(given.labels, BATCH["label"])
    assert given.labels.dtype == "int32"


def test_an_unconditional_task_leaves_labels_out():
    assert make_task(Z).prepare(BATCH, KEYS).given.labels is None


def test_real_images_are_taken_as_they_are():
    np.testing.assert_array_equal(make_task(Z).prepare(BATCH, KEYS).real, BATCH["image"])


def test_a_transform_makes_the_real_images():
    real = make_task(Z, transform=flipped).prepare(BATCH, KEYS).real
    expected = random_flip(BATCH["image"], keys_given_to_the_transform(KEYS))
    np.testing.assert_array_equal(real, expected)
    assert 0 < np.all(real != BATCH["image"], axis=(1, 2, 3)).sum() < B


def test_a_transforms_keys_depend_on_the_examples_key_alone():
    whole, part = (jax.random.key_data(keys_given_to_the_transform(keys)) for keys in (KEYS, KEYS[2:4]))
    np.testing.assert_array_equal(part, whole[2:4])
    assert len(np.unique(whole, axis=0)) == B


def test_what_a_transform_draws_is_independent_of_the_latents():
    keys = jax.random.split(jax.random.key(2), 4096)
    own = keys_given_to_the_transform(keys)
    latents = make_task(Z).prepare({"image": jnp.zeros(4096)}, keys).given.latents
    for drawn_from in (own, *jax.vmap(jax.random.split, out_axes=1)(own)):
        correlation = np.corrcoef(latents.T, draw_latents(drawn_from, Z).T)[:Z, Z:]
        np.testing.assert_allclose(correlation, np.zeros((Z, Z)), atol=0.08)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_players_are_called_with_their_inputs_and_the_labels(conditional):
    task = make_task(Z, conditional=conditional)
    given = task.prepare(BATCH, KEYS).given
    assert task.generate(lambda *inputs: inputs, given) == (given.latents, given.labels)
    assert task.judge(lambda *inputs: inputs, "sample", given).logits == ("sample", given.labels)


def test_a_discriminator_may_be_left_to_find_out_the_labels():
    task = make_task(Z, conditional=True, told=False)
    given = task.prepare(BATCH, KEYS).given
    assert task.generate(lambda *inputs: inputs, given) == (given.latents, given.labels)
    assert task.judge(lambda *inputs: inputs, "sample", given).logits == ("sample", None)


def test_nothing_else_is_asked_of_the_players():
    task = make_task(Z)
    assert task.generator_terms(None) == task.discriminator_terms(None) == {}


# Further losses

CODES = Codes(categorical=(3, 2), continuous=1)


def make_round(task, real=None, fake=None):
    """A round in which the discriminator said this."""
    example = task.prepare(BATCH, KEYS)
    return Round(None, None, example, None, real, fake, whole=lambda x: x)


def says(seed=0, features=(), **sizes):
    keys = jax.random.split(jax.random.key(seed), len(sizes) + 1)
    heads = {name: jax.random.normal(k, (B, n)) for k, (name, n) in zip(keys, sizes.items(), strict=False)}
    return Verdict(jnp.zeros(B), features, heads)


def test_codes_are_the_last_of_the_latents():
    latents = draw_latents(jax.random.split(jax.random.key(1), 4096), 4 + CODES.size, CODES)
    assert latents.shape == (4096, 10)
    (first, second), numbers = CODES.split(latents)
    np.testing.assert_allclose(np.cov(latents[:, :4].T), np.eye(4), atol=0.1)
    np.testing.assert_array_equal(latents[:, 4:7], jax.nn.one_hot(first, 3))
    np.testing.assert_array_equal(latents[:, 7:9], jax.nn.one_hot(second, 2))
    np.testing.assert_array_equal(latents[:, 9:], numbers)
    shares = np.histogram2d(np.asarray(first), np.asarray(second), bins=(3, 2))[0] / 4096
    np.testing.assert_allclose(shares, np.full((3, 2), 1 / 6), atol=0.025)  # independent, all as likely
    assert -1 <= numbers.min() < -0.95 and 0.95 < numbers.max() <= 1
    assert abs(numbers.mean()) < 0.04 and abs(numbers.std() - 3**-0.5) < 0.02


def test_a_choice_replaces_the_first_code_alone():
    latents = draw_latents(KEYS, 4 + CODES.size, CODES)
    chosen = CODES.choose(latents, jnp.int32([2, 0, 1, 2, 0, 1]))
    (first, second), _ = CODES.split(chosen)
    np.testing.assert_array_equal(first, [2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(second, CODES.split(latents)[0][1])
    np.testing.assert_array_equal(chosen[:, :4], latents[:, :4])
    np.testing.assert_array_equal(chosen[:, 7:], latents[:, 7:])


def test_the_auxiliary_classifier_names_reals_and_fakes():
    task = make_task(Z, conditional=True, terms=["auxiliary_classifier"])
    assert heads(["auxiliary_classifier"], 6) == (("classes", 6),)
    real, fake = says(1, classes=6), says(2, classes=6)
    round = make_round(task, real, fake)
    of_real, of_fake = (terms.auxiliary_classifier(v.heads["classes"], BATCH["label"]) for v in (real, fake))
    found = task.generator_terms(round)
    np.testing.assert_allclose(found["auxiliary_classifier"], of_fake, rtol=1e-6)
    found = task.discriminator_terms(round)
    np.testing.assert_allclose(found["auxiliary_classifier"], of_real + of_fake, rtol=1e-6)


def test_the_twin_learns_from_fakes_alone_and_pulls_the_generator_back():
    task = make_task(Z, conditional=True, terms=["twin_classifier"])
    assert heads(["twin_classifier"], 6) == (("classes", 6), ("twin", 6))
    real, fake = says(1, classes=6, twin=6), says(2, classes=6, twin=6)
    round, labels = make_round(task, real, fake), BATCH["label"]
    of_real = terms.auxiliary_classifier(real.heads["classes"], labels)
    of_fake, of_twin = (terms.auxiliary_classifier(fake.heads[h], labels) for h in ("classes", "twin"))
    found = task.generator_terms(round)
    np.testing.assert_allclose(found["twin_classifier"], of_fake - of_twin, rtol=1e-5)
    found = task.discriminator_terms(round)
    np.testing.assert_allclose(found["twin_classifier"], of_real + of_twin, rtol=1e-6)


def test_both_players_have_the_codes_read_off_the_fakes():
    task = make_task(4 + CODES.size, terms=["information"], codes=CODES)
    assert heads(["information"], 0, CODES) == (("codes", 6),)
    fake = says(3, codes=6)
    round = make_round(task, says(4, codes=6), fake)
    (first, second), numbers = CODES.split(round.example.given.latents)
    q = fake.heads["codes"]
    expected = terms.categorical_information(q[:, :3], first)
    expected += terms.categorical_information(q[:, 3:5], second)
    expected += 0.5 * (q[:, 5] - numbers[:, 0]) ** 2 + 0.5 * np.log(2 * np.pi)
    for player in (task.generator_terms, task.discriminator_terms):
        np.testing.assert_allclose(player(round)["information"], expected, rtol=1e-5)


def test_the_means_of_the_last_features_are_matched_by_the_generator_alone():
    task = make_task(Z, terms=["mean_feature_matching"])
    assert heads(["mean_feature_matching"], 6) == ()
    layers = [jax.random.normal(jax.random.key(i), (B, 2, 2, 3)) for i in range(4)]
    round = make_round(task, says(features=tuple(layers[:2])), says(features=tuple(layers[2:])))
    found = task.generator_terms(round)["mean_feature_matching"]
    np.testing.assert_allclose(found.mean(), ((layers[1].mean(0) - layers[3].mean(0)) ** 2).sum(), rtol=1e-5)
    assert task.discriminator_terms(round) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(terms=["classes"]), r"No terms \['classes'\]; expected some of auxiliary_classifier, twin"),
        (dict(terms=["auxiliary_classifier"]), "name the labels' classes; set conditional=True"),
        (dict(terms=["twin_classifier", "auxiliary_classifier"], conditional=True), "the same head; choose"),
        (dict(terms=["information"]), "'information' is about codes"),
        (dict(codes=CODES), "'information' is about codes"),
        (dict(terms=["information"], codes=Codes(continuous=Z)), "fewer than latent_size, 4"),
    ],
)
def test_terms_that_lack_something_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_task(Z, **options)


def test_prepare_is_the_same_under_jit():
    task = make_task(Z, conditional=True, transform=flipped)
    plain, jitted = task.prepare(BATCH, KEYS), jax.jit(task.prepare)(BATCH, KEYS)
    np.testing.assert_allclose(jitted.given.latents, plain.given.latents, rtol=1e-6)
    np.testing.assert_array_equal(jitted.real, plain.real)
