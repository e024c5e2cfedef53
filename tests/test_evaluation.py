"""Sets of images measured against each other: what is compared, what is kept, what is written."""

import json
import math
from functools import partial

import jax
import numpy as np
import pytest
from made_extractor import CLASSES, SHAPE, extractor, images_of, source, squares
from test_sampling import build

from jaxgan import data, metrics
from jaxgan.evaluation import collecting, evaluator, figures, results
from jaxgan.evaluation.collecting import Features, collect
from jaxgan.evaluation.evaluator import EvaluationError, Evaluator, Request
from jaxgan.evaluation.figures import FIGURES, Comparison, names_of
from jaxgan.evaluation.results import Result, ResultError
from jaxgan.evaluation.sets import of_sampler, of_source
from jaxgan.features import choosing
from jaxgan.metrics import Interval

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture
def chosen(monkeypatch):
    """Puts a network in the place of those with names: (network) -> None."""

    def put(network):
        monkeypatch.setattr(evaluator, "choose", lambda *arguments, **options: network)

    put(extractor())
    return put


@pytest.fixture(scope="module")
def conditional():
    _, variables, make, _ = build(CLASSES)
    return make(variables)


@pytest.fixture(scope="module")
def unconditional():
    _, variables, make, _ = build()
    return make(variables)


def directly(images, network):
    """What the network makes of images, in one piece."""
    scaled = images.astype(np.float64) * (255 / np.iinfo(images.dtype).max)
    return np.asarray(network.apply(network.variables, scaled.astype(np.float32)))


def counted(images, reads):
    """The set, which notes how many of its images are read at a time."""

    def inputs(indices):
        reads.append(len(indices))
        return images.inputs(indices)

    return images._replace(inputs=inputs)


# Sets


def test_a_sets_features_are_those_of_its_images_in_their_order():
    network, reals = extractor(), source(61)
    for devices in (1, 2, 4):
        for batch in (0, 1, 7, 61, 1000):
            images = of_source(reals)._replace(fingerprint="")  # made anew each time
            found = collect(images, network, batch=batch, devices=jax.devices()[:devices])
            expected = directly(reals.arrays["image"], network)
            np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-5)
            said = network.logits(None, reals.arrays["image"].astype(np.float32))
            np.testing.assert_allclose(found.logits, said, rtol=1e-4, atol=1e-4)
    assert (found.features.dtype, found.features.shape) == (np.float32, (61, 4))
    np.testing.assert_array_equal(found.labels, reals.arrays["label"])


def test_products_of_a_network_keep_all_digits_of_float32(chosen, unconditional):
    network, images, seen = extractor(), of_source(source(8)), []

    def noting(function):
        def noted(*given):
            seen.append(jax.config.jax_default_matmul_precision)
            return function(*given)

        return noted

    network = network._replace(apply=noting(network.apply), logits=noting(network.logits))
    collect(images._replace(fingerprint=""), network)
    distance = squares()._replace(apply=noting(squares().apply))
    fakes = of_sampler(unconditional, 2)
    FIGURES["ppl"].of(Comparison(None, None, fakes, images, distance))
    assert seen and {*seen} == {"highest"}


def test_batches_are_whole_and_of_one_size():
    reads = []
    images = counted(of_source(source(61))._replace(fingerprint=""), reads)
    collect(images, extractor(), batch=10, devices=jax.devices()[:4])
    assert reads == [12] * 6
    reads.clear()
    collect(images, extractor(), devices=jax.devices()[:4])
    assert reads == [64]  # no larger than the set needs


def test_a_network_without_logits_has_none():
    assert collect(of_source(source(6)), extractor(logits=False)).logits is None


def test_a_part_of_a_source_is_drawn_without_order_or_repetition():
    reals = source(60)
    some = of_source(reals, 20, seed=3)
    shown = some.look(np.arange(20))
    rows = [int(np.flatnonzero((reals.arrays["image"] == image).all(axis=(1, 2, 3)))[0]) for image in shown]
    assert rows == sorted({*rows}) and rows != list(range(20))
    np.testing.assert_array_equal(some.labels, reals.arrays["label"][rows])
    assert (some.about["count"], some.about["of"], some.about["seed"]) == (20, 60, 3)
    np.testing.assert_array_equal(of_source(reals, 20, seed=3).look(np.arange(20)), shown)
    assert (of_source(reals, 20, seed=4).look(np.arange(20)) != shown).any()
    with pytest.raises(data.DataError, match="61 images are asked for, and arrays has 60; ask for fewer"):
        of_source(reals, 61)
    assert of_source(reals, labelled=False).labels is None
    assert of_source(source(6, labelled=False)).labels is None


def test_labels_of_sets_that_are_read_are_read_some_at_a_time():
    reals, reads = source(600), []

    def read(indices):
        reads.append(len(indices))
        return {name: values[indices] for name, values in reals.arrays.items()}

    on_disk = data.Source(reals.name, SHAPE, CLASSES, reals.fingerprint, 600, read)
    np.testing.assert_array_equal(of_source(on_disk).labels, reals.arrays["label"])
    assert max(reads) <= 256


def test_middles_are_compared_where_parts_are_trained_on():
    reals, network = source(10, shape=(12, 11, 1)), extractor()
    found = collect(of_source(reals, crop=(8, 8)), network)
    expected = directly(reals.arrays["image"][:, 2:10, 1:9], network)
    np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-5)
    assert json.dumps(of_source(reals, crop=(8, 8)).about)  # as it is read again


def test_images_of_16_bits_are_brought_to_255():
    wide = np.random.default_rng(0).integers(0, 65536, (10, *SHAPE), np.uint16)
    wide[0] = 65535
    seen = extractor()._replace(apply=lambda variables, images: images.reshape(len(images), -1))
    found = collect(of_source(data.from_arrays(wide)), seen).features
    assert found.max() == 255.0 and found.min() >= 0.0
    np.testing.assert_allclose(found, wide.reshape(10, -1) / 257, rtol=1e-6)


def test_looking_at_many_images_makes_some_at_a_time(unconditional):
    reads = []
    images = counted(of_sampler(unconditional, 600, seed=5), reads)
    np.testing.assert_array_equal(images.look(np.arange(600)), unconditional.draw(600, seed=5))
    assert reads == [256, 256, 256]
    np.testing.assert_array_equal(images.look(np.array([599, 3])), unconditional.draw(600, seed=5)[[599, 3]])


# Samples


def test_samples_are_those_that_the_sampler_draws(conditional, unconditional):
    network = extractor()
    found = collect(of_sampler(unconditional, 30, seed=7), network, batch=8)
    expected = directly(unconditional.draw(30, seed=7), network)
    np.testing.assert_allclose(found.features, expected, atol=0.1)  # a pixel may be rounded otherwise
    images = of_sampler(conditional, 30, seed=7, labels=np.arange(60) % 3)
    found = collect(images, network, batch=8)
    expected = directly(conditional.draw(labels=images.labels, seed=7), network)
    np.testing.assert_allclose(found.features, expected, atol=0.1)
    np.testing.assert_array_equal(found.labels, images.labels)


@pytest.mark.parametrize("count", [10, 100, 200, 1000])
def test_samples_have_each_class_as_often_as_the_reference(conditional, count):
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    found = of_sampler(conditional, count, labels=labels, seed=1)
    assert np.bincount(found.labels).tolist() == [count // 2, 3 * count // 10, count // 5]
    assert (np.diff(found.labels) < 0).any()  # in an order of their own
    assert found.labels.dtype == np.int32
    other = of_sampler(conditional, count, labels=labels, seed=2).labels
    assert count == 10 or (other != found.labels).any()


def test_samples_have_all_classes_as_often_where_the_reference_has_none(conditional):
    found = of_sampler(conditional, 30)
    assert np.bincount(found.labels).tolist() == [10, 10, 10]
    assert found.about["labels"] == "all as often"


def test_samples_that_cannot_be_are_refused(conditional, unconditional):
    with pytest.raises(ValueError, match="labels up to 3, and the generator 3 classes"):
        of_sampler(conditional, 5, labels=np.array([0, 3]))
    with pytest.raises(ValueError, match="count of 1 or more is needed, got 0"):
        of_sampler(unconditional, 0)
    for truncation in (0.5, math.nan):
        with pytest.raises(ValueError, match=f"truncation is {truncation}, expected .*leave it out"):
            of_sampler(unconditional, 5, truncation=truncation)


# What is kept


def read_again(network, reals=None):
    """How many images are read to collect the features of a source."""
    reads = []
    found = collect(counted(of_source(reals or source(30)), reads), network, devices=jax.devices()[:1])
    return sum(reads), found


def test_features_are_made_once(user_cache):
    network = extractor()
    first, made = read_again(network)
    second, kept = read_again(network)
    assert (first, second) == (30, 0)
    for one, other in (
        (made.features, kept.features),
        (made.logits, kept.logits),
        (made.labels, kept.labels),
    ):
        np.testing.assert_array_equal(one, other)
    assert len([*user_cache.rglob("*.safetensors")]) == 1


def test_another_protocol_is_another_file(user_cache):
    for network in (extractor(), extractor(size=5), extractor(resize="clean"), extractor(logits=False)):
        assert read_again(network)[0] == 30
    assert read_again(extractor(), source(30, seed=1))[0] == 30
    shown = (
        of_source(source(30), 20, seed=0),
        of_source(source(30), 20, seed=1),
        of_source(source(30), crop=(8, 7)),
    )
    assert len({images.fingerprint for images in shown}) == 3
    assert len([*user_cache.rglob("*.safetensors")]) == 5


def test_processes_that_share_the_work_agree_on_what_is_kept(monkeypatch):
    """Where one has the features and another does not, both make them: alone neither could."""
    read_again(extractor())
    assert read_again(extractor())[0] == 0
    asked = []

    def gather(found):
        asked.append(bool(found))
        return np.array([found, False])

    monkeypatch.setattr(collecting.multihost_utils, "process_allgather", gather)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "process_count", lambda: 2)
        assert not collecting._everywhere(True)
    assert asked == [True]
    monkeypatch.setattr(collecting, "_everywhere", lambda found: False)
    assert read_again(extractor())[0] == 30


def test_samples_are_not_kept(user_cache, unconditional):
    collect(of_sampler(unconditional, 10), extractor())
    assert not user_cache.exists()


def flip(content):
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize(
    "damage", [flip, lambda content: content[:-5], lambda content: b"", lambda content: b"x" * 99]
)
def test_damaged_features_are_made_anew(user_cache, damage):
    _, made = read_again(extractor())
    (path,) = user_cache.rglob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    count, again = read_again(extractor())
    assert count == 30
    np.testing.assert_array_equal(made.features, again.features)
    assert path.read_bytes() == whole


def test_the_oldest_features_go(user_cache, monkeypatch):
    monkeypatch.setattr(collecting, "KEPT", 2500)
    for seed in range(6):
        read_again(extractor(), source(30, seed=seed))
    left = [*user_cache.rglob("*.safetensors")]
    assert 1 < len(left) < 6 and sum(path.stat().st_size for path in left) <= 2500
    assert read_again(extractor(), source(30, seed=5))[0] == 0
    assert read_again(extractor(), source(30, seed=0))[0] == 30


def test_features_that_cannot_be_kept_are_no_error(user_cache, capsys, monkeypatch):
    user_cache.parent.mkdir()
    user_cache.write_text("a file in the folder's place")
    assert read_again(extractor())[0] == 30
    assert "Features are not kept for the next time" in capsys.readouterr().err
    user_cache.unlink()

    def full(arrays, path, *about):
        raise collecting.SafetensorError("No space left on device")

    monkeypatch.setattr(collecting, "save_file", full)
    assert read_again(extractor())[0] == 30
    assert "No space left" in capsys.readouterr().err
    assert not [path for path in user_cache.rglob("*") if path.is_file()]


# Figures

# Of a set against itself.
ITSELF = {
    "fid": 0.0, "intra_fid": 0.0, "cmmd": 0.0, "precision": 1.0, "recall": 1.0, "density": 1.0,
    "coverage": 1.0, "nearer": 1.0, "copied": 1.0, "accuracy": 1.0, "sliced_wasserstein": 0.0,
}  # fmt: skip
# How they move under noise: up or down.
UNDER_NOISE = {
    "fid": 1, "fid_infinity": 1, "intra_fid": 1, "kid": 1, "cmmd": 1, "inception_score": -1, "precision": -1,
    "density": -1, "coverage": -1, "nearer": -1, "accuracy": -1, "trained_on_fakes": -1,
    "sliced_wasserstein": 1,
}  # fmt: skip
OF_SETS = tuple(name for name, figure in FIGURES.items() if not {"generator", "truth"} & {*figure.needs})


@pytest.fixture
def quick(monkeypatch):
    """Classifiers of a few steps."""
    score = partial(figures.classification_accuracy_score, steps=30, batch_size=32)
    monkeypatch.setattr(figures, "classification_accuracy_score", score)


def measured(fakes, reals, *, asked=OF_SETS, intervals=True, **fields):
    found = Evaluator(Request(asked, **fields), reals).measure(of_source(fakes), intervals=intervals)
    return found


def test_figures_of_a_set_against_itself(chosen, quick):
    found = measured(source(120), source(120))
    assert {name: found.figures[name].value for name in ITSELF} == pytest.approx(ITSELF, abs=1e-3)
    assert found.figures["kid"].value < 0.0  # unbiased, and an image with itself is a pair of both sets
    assert found.notes == []
    of_classes = [found.figures[f"intra_fid/{label}"].value for label in range(3)]
    assert of_classes == pytest.approx([0.0] * 3, abs=1e-6)


def test_figures_of_two_draws_from_one_distribution(chosen):
    found = measured(
        source(600, seed=1), source(600), asked=("fid", "copies", "pr", "dc"), intervals=False
    ).figures
    assert found["nearer"].value == pytest.approx(0.5, abs=0.05)
    assert found["copied"].value == pytest.approx(0.01, abs=0.015)
    assert min(found[name].value for name in ("precision", "recall", "coverage")) > 0.9
    assert found["density"].value == pytest.approx(1.0, abs=0.1)


def test_figures_move_as_they_should_under_noise(chosen, quick):
    levels = [measured(source(150, seed=1, noise=noise), source(150)).figures for noise in (0.0, 40.0, 120.0)]
    for values in levels:
        assert all(math.isfinite(figure.value) for figure in values.values())
    for name, way in UNDER_NOISE.items():
        first, second, third = (way * figures[name].value for figures in levels)
        assert first < third and first <= second <= third, (name, first, second, third)


def test_every_figure_is_named_and_lies_in_its_interval(chosen, quick):
    found = measured(source(150, seed=1, noise=20.0), source(150)).figures
    assert {name for asked in OF_SETS for name in names_of(asked)} <= {*found}
    for name, (value, low, high) in found.items():
        assert any(name.split("/")[0] in names_of(asked) for asked in OF_SETS), name
        assert math.isnan(low) == math.isnan(high)
        assert math.isnan(low) or low <= value <= high, name
    assert {name for name, figure in found.items() if not math.isnan(figure.low)} >= {
        "fid",
        "precision",
        "accuracy",
    }


def test_without_intervals_the_figures_are_the_same(chosen):
    sets = source(100, seed=1, noise=20.0), source(100)
    asked = ("fid", "kid", "pr")
    long, short = (measured(*sets, asked=asked, intervals=intervals).figures for intervals in (True, False))
    assert math.isnan(short["fid"].low) and not math.isnan(long["fid"].low)
    for name, figure in long.items():
        assert short[name].value == pytest.approx(figure.value, rel=1e-9)


def test_figures_are_those_of_the_functions(chosen):
    network, sets = extractor(), (source(90, seed=1, noise=30.0), source(90))
    fake, real = (directly(images.arrays["image"], network) for images in sets)
    labels = sets[0].arrays["label"]
    found = {
        name: figure.value
        for name, figure in measured(
            *sets, asked=("fid", "kid", "cmmd", "is", "pr", "accuracy")
        ).figures.items()
    }
    of_fakes, of_reals = metrics.Moments.of(fake), metrics.Moments.of(real)
    said = np.asarray(network.logits(None, sets[0].arrays["image"].astype(np.float32)))
    overlap = metrics.overlap(metrics.manifold(real, k=3), metrics.manifold(fake, k=3), k=3)
    assert found == pytest.approx(
        {
            "fid": metrics.frechet_distance(of_fakes, of_reals),
            "kid": metrics.kernel_distance_of_all(fake, real),
            "cmmd": metrics.cmmd(fake, real),
            "inception_score": metrics.inception_score(said).value,
            "precision": overlap.precision,
            "recall": overlap.recall,
            "accuracy": metrics.class_accuracy(said, labels),
        },
        rel=1e-4, abs=1e-4,
    )  # fmt: skip


def test_large_sets_have_a_kernel_distance_of_subsets(chosen, monkeypatch):
    monkeypatch.setattr(figures, "SUBSET", 30)
    sets = source(100, seed=1, noise=30.0), source(100)
    value, low, _ = measured(*sets, asked=("kid",)).figures["kid"]
    assert math.isfinite(value) and math.isnan(low)  # subsets do not know of other samples


def test_path_lengths_of_a_generator(chosen, conditional, unconditional, monkeypatch):
    monkeypatch.setattr(evaluator, "lpips", lambda path: squares())
    request = Request(("ppl", "swd"), samples=20, lpips="given")
    for sampler, reals in ((conditional, source()), (unconditional, source(labelled=False))):
        measure = Evaluator(request, reals)
        found = measure.measure(measure.samples(sampler, about={}))
        assert found.figures["path_length"].value > 0.0
        assert found.protocol["distance"] == {"network": "squares", "weights_sha256": "0" * 64}
    still = unconditional._replace(network=lambda variables, latents, labels: jax.numpy.ones((16, *SHAPE)))
    assert measure.measure(measure.samples(still, about={})).figures["path_length"].value == 0.0


def test_parts_that_are_large_look_at_fewer_images(chosen, monkeypatch):
    monkeypatch.setattr(figures, "LOOKED_AT_VALUES", 10 * 64)
    reads = []
    fakes = counted(of_source(source(60, seed=1)), reads)
    Evaluator(Request(("swd",)), source(60)).measure(fakes)
    assert reads[-1] == 10


# What cannot be measured


@pytest.fixture
def nothing_made(monkeypatch):
    """Fails where anything is compiled."""

    def refuse(*arguments, **options):
        pytest.fail("something was made")

    monkeypatch.setattr(collecting, "_pipeline", refuse)


NEEDED = [
    ("intra_fid", {"labelled": False}, {}, "intra_fid needs labels of both sets of images"),
    ("cas", {"labelled": False}, {}, "cas needs labels of both sets"),
    ("is", {}, {"logits": False}, "is needs a network with classes, as inception-2048; leave it out"),
    ("accuracy", {}, {"classes": ()}, "accuracy needs features=classifier"),
    ("accuracy", {"labelled": False}, {"classes": ()}, "accuracy needs labels of both sets"),
    ("ppl", {}, {}, "ppl needs lpips, the file of its weights"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "of", "network", "said"), NEEDED)
def test_needs_that_are_missing_are_named_first(chosen, nothing_made, asked, of, network, said):
    chosen(extractor(**network))
    with pytest.raises(EvaluationError, match=said):
        Evaluator(Request(("fid", asked)), source(**of))


def test_needs_of_the_other_set_are_named_before_anything_is_made(chosen, nothing_made, monkeypatch):
    measure = Evaluator(Request(("intra_fid",)), source())
    with pytest.raises(EvaluationError, match="intra_fid needs labels of both sets"):
        measure.measure(of_source(source(labelled=False)))
    monkeypatch.setattr(evaluator, "lpips", lambda path: squares())
    measure = Evaluator(Request(("ppl",), lpips="given"), source())
    with pytest.raises(EvaluationError, match="ppl needs a run, not a set of images"):
        measure.measure(of_source(source()))


def test_a_classifier_is_not_trained_for_what_is_refused(monkeypatch, nothing_made):
    monkeypatch.setattr(choosing, "train_classifier", lambda source: pytest.fail("trained"))
    with pytest.raises(EvaluationError, match="ppl needs lpips"):
        Evaluator(Request(("ppl",), features="classifier"), source())
    with pytest.raises(EvaluationError, match="cas needs labels"):
        Evaluator(Request(("cas",), features="classifier"), source(labelled=False))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metrics": ("fdi", "kid")}, r"No metrics \['fdi'\]; expected some of fid, .*ppl, swd"),
        ({"metrics": ()}, "No metrics are asked for; name some of fid"),
        ({"reference": 61}, "61 images are asked for, and arrays has 60"),
        ({"features": "inception"}, "No features 'inception'; expected one of inception-64"),
        ({"features": "dinov2"}, "dinov2 needs weights"),
        ({"features": "classifier", "resize": "clean"}, "resize is 'clean', and classifier has one way only"),
    ],
)
def test_requests_that_make_no_sense(nothing_made, fields, said):
    with pytest.raises(EvaluationError, match=said):
        Evaluator(Request(**fields), source())


def test_a_classifier_of_other_classes_has_no_accuracy(chosen, nothing_made):
    chosen(extractor(classes=CLASSES[::-1]))
    said = "The classes of the network are light, grey, dark.* and of the reference dark, grey, light"
    with pytest.raises(EvaluationError, match=said):
        Evaluator(Request(("accuracy",)), source())
    Evaluator(Request(("fid",)), source())  # features of it are features


def test_weights_that_are_not_there(nothing_made, tmp_path):
    for fields in ({"weights": str(tmp_path / "none.safetensors")}, {"lpips": str(tmp_path / "none.npz")}):
        with pytest.raises(OSError, match="none"):
            Evaluator(Request(**fields), source())


def test_images_that_are_not_for_the_network_are_refused_first(chosen, nothing_made, monkeypatch):
    with pytest.raises(EvaluationError, match="put transparent ones on a background first"):
        Evaluator(Request(), source(shape=(8, 8, 4)))

    def picky(variables, first, second):
        raise ValueError("too small for me")

    monkeypatch.setattr(evaluator, "lpips", lambda path: squares()._replace(apply=picky))
    with pytest.raises(EvaluationError, match="too small for me"):
        Evaluator(Request(("ppl",), lpips="given"), source())
    Evaluator(Request(("fid",), lpips="given"), source())


def test_samples_with_alpha_are_refused_in_words(chosen):
    with pytest.raises(EvaluationError, match="put transparent ones on a background first"):
        measured(source(shape=(8, 8, 4)), source(), asked=("fid",))


@pytest.mark.parametrize("reals", [1, 30])
def test_sets_of_one_image(chosen, reals):
    with pytest.raises(EvaluationError, match="features of 1 images, and figures of a set need 2 or more"):
        measured(source(1, labelled=False), source(reals, labelled=False), asked=("fid",))


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_sets_of_few_images_have_a_distance(chosen, count):
    found = measured(source(count, seed=1), source(30), asked=("fid", "is", "kid"))
    assert all(math.isfinite(figure.value) for figure in found.figures.values())
    assert (count <= 4) == any("leave the covariance singular" in note for note in found.notes)


def test_fewer_samples_than_dimensions_are_noted(chosen):
    chosen(extractor(size=40))
    found = measured(source(20, seed=1), source(60), asked=("fid",))
    assert [note[:38] for note in found.notes] == ["Samples: 20 samples of 40 dimensions l"]


def test_constant_images(chosen):
    same = data.from_arrays(np.full((30, *SHAPE), 7, np.uint8), np.arange(30) % 3, classes=CLASSES)
    found = measured(
        same, source(30), asked=("fid", "kid", "cmmd", "is", "pr", "dc", "copies", "swd", "intra_fid")
    )
    assert all(math.isfinite(figure.value) for figure in found.figures.values())
    assert found.figures["inception_score"].value == pytest.approx(1.0)
    assert any("All features are the same" in note for note in found.notes)


def test_a_figure_that_cannot_be_made_does_not_cost_the_others(chosen):
    one_alone = data.from_arrays(images_of(np.arange(30) % 2), [0, 1] * 14 + [0, 2], classes=CLASSES)
    found = measured(source(30), one_alone, asked=("fid", "intra_fid"))
    assert "fid" in found.figures and "intra_fid" not in found.figures
    assert any(note.startswith("intra_fid was not made: ") for note in found.notes)


def test_features_that_are_not_finite(chosen):
    def broken(variables, images):
        return extractor().apply(variables, images) * np.nan

    chosen(extractor()._replace(apply=broken))
    with pytest.raises(EvaluationError, match="Features of 30 of 30 images are not finite"):
        measured(source(30), source(30), asked=("fid",))


def test_classes_that_are_not_in_both_sets(chosen):
    with pytest.raises(EvaluationError, match=r"Classes \[2\] are not in both sets"):
        reals = data.from_arrays(images_of([0, 1] * 10), [0, 1] * 10, classes=CLASSES)
        measured(source(30), reals, asked=("intra_fid",))


# An evaluator of many sets


def test_the_reference_is_read_and_summed_up_once(chosen, unconditional, user_cache, monkeypatch):
    user_cache.parent.mkdir()
    user_cache.write_text("no folder")  # not even where nothing can be kept
    measure = Evaluator(Request(("fid", "pr"), samples=20), source(labelled=False))
    reads = []
    measure.reals = counted(measure.reals, reads)
    for seed in range(3):
        found = measure.measure(of_sampler(unconditional, 20, seed=seed, about={"step": seed}))
    assert sum(reads) == 60
    assert measure.real.moments is measure.real.moments
    assert found.protocol["reference"]["count"] == 60


def test_a_conditional_run_against_images_without_labels(chosen, conditional):
    measure = Evaluator(Request(("fid",), samples=30), source(labelled=False))
    found = measure.measure(measure.samples(conditional, about={"step": 1}))
    assert found.protocol["samples"]["labels"] == "all as often"
    with pytest.raises(EvaluationError, match="needs labels of both"):
        Evaluator(Request(("intra_fid",), samples=30), source(labelled=False))


@pytest.mark.parametrize("names", [(*CLASSES, "black"), CLASSES[::-1]])
def test_a_reference_of_other_classes_is_refused(chosen, conditional, names):
    images, labels = images_of(np.arange(40) % 3), np.arange(40) % len(names)
    reals = data.from_arrays(images, labels, classes=names)
    said = rf"of the samples are {', '.join(CLASSES)}, .* of the reference {', '.join(names)}"
    with pytest.raises(EvaluationError, match=said):
        Evaluator(Request(), reals).samples(conditional, about={})
    with pytest.raises(EvaluationError, match=said):
        Evaluator(Request(("intra_fid",)), reals).measure(of_source(source(30)))
    Evaluator(Request(("fid",)), reals).measure(of_source(source(30)))  # labels do not matter


def test_a_protocol_says_how_figures_were_made(chosen, conditional):
    measure = Evaluator(Request(("fid",), samples=30, reference=40, seed=2), source())
    found = measure.measure(measure.samples(conditional, about={"step": 5}))
    assert found.protocol["features"] == {
        "network": "projection-4", "weights_sha256": extractor().digest, "resize": "none", "size": 4,
    }  # fmt: skip
    assert found.protocol["reference"] == {
        "source": "arrays", "fingerprint": source().fingerprint, "count": 40, "of": 60, "seed": 2,
    }  # fmt: skip
    assert found.protocol["samples"] == {
        "step": 5, "count": 30, "seed": 2, "truncation": 1.0, "labels": "as often as in the reference",
    }  # fmt: skip
    assert found.seconds > 0.0


# Results


def result(step=3, *, seed=0, figures=None, **protocol):
    figures = (
        {"fid": Interval(1.5, 1.0, 2.0), "kid": Interval(0.25, math.nan, math.nan)}
        if figures is None
        else figures
    )
    made = {
        "features": {"network": "net", "weights_sha256": "a"},
        "reference": {"source": "here", "fingerprint": "f", "count": 9, "crop": (8, 8)},
        "samples": {"step": step, "count": 10, "seed": seed, "truncation": 1.0},
    }
    return Result(figures, ["A note."], made | protocol, 2.5)


def test_results_are_read_as_they_were_written(tmp_path):
    written = result(figures={"fid": Interval(1.5, 1.0, 2.0), "kid": Interval(math.nan, math.nan, math.nan)})
    results.write(written, tmp_path / "deep" / "a.json")
    found = results.read(tmp_path / "deep" / "a.json")
    assert repr(found.figures) == repr(written.figures)  # nan is nan
    assert found.notes == ["A note."] and found.seconds == 2.5
    assert found.protocol["reference"]["crop"] == [8, 8]
    assert "NaN" not in (tmp_path / "deep" / "a.json").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", '{"figures": {}}', "\xff",
        '{"figures": {"fid": 3}, "notes": [], "protocol": {}, "seconds": 1}',
        '{"figures": {"fid": {"low": 3}}, "notes": [], "protocol": {}, "seconds": 1}',
        '{"figures": {}, "notes": [], "protocol": {}, "seconds": 1}',
        '{"figures": {}, "notes": [], "seconds": 1, '
        '"protocol": {"features": {}, "reference": 3, "samples": {}}}',
        '{"figures": {}, "notes": [], "seconds": 1, '
        '"protocol": {"features": {}, "reference": {}, "samples": {}}}',
    ],
)  # fmt: skip
def test_damaged_results_are_named(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ResultError, match="a.json holds no results of an evaluation"):
        results.read(tmp_path / "a.json")


def test_figures_of_one_protocol_gather_in_one_file(tmp_path):
    first = results.save(result(), tmp_path)
    later = {"kid": Interval(0.5, 0.4, 0.6), "precision": Interval(0.75, math.nan, math.nan)}
    assert results.save(result(figures=later), tmp_path) == first
    assert first.name.startswith("step_000000003_net_")
    found = results.read(first)
    assert {name: figure.value for name, figure in found.figures.items()} == {
        "fid": 1.5, "kid": 0.5, "precision": 0.75,
    }  # fmt: skip
    assert found.notes == ["A note."]
    others = [
        results.save(result(**change), tmp_path) for change in ({"step": 4}, {"seed": 1}, {"platform": "gpu"})
    ]
    assert len({first, *others}) == 4
    assert {*results.read(others[0]).figures} == {"fid", "kid"}


def test_a_damaged_file_is_renamed(tmp_path):
    path = results.save(result(), tmp_path)
    path.write_text("torn")
    assert results.save(result(), tmp_path) == path
    assert results.read(path).figures["fid"].value == 1.5
    assert path.with_suffix(".1.json").read_text() == "torn"


def test_a_table_of_results():
    other = result(
        figures={"fid": Interval(12.34567, math.nan, math.nan), "recall": Interval(0.5, 0.25, 0.75)}
    )
    assert results.table({"a": result(), "b": other}).splitlines() == [
        "|        | a            | b                  |",
        "| ---    | ---:         | ---:               |",
        "| fid    | 1.5 (1 to 2) | 12.35              |",
        "| kid    | 0.25         |                    |",
        "| recall |              | 0.5 (0.25 to 0.75) |",
    ]


def test_results_that_cannot_be_compared_say_what_differs():
    here = result()
    results.check_comparable({"a": here, "b": result(step=9, seed=4)})
    elsewhere = {"source": "there", "fingerprint": "f", "count": 9, "crop": [8, 8]}
    results.check_comparable({"a": here, "b": result(reference=elsewhere)})  # the same images by another name
    results.check_comparable({"a": here, "b": result(samples={"count": 10})})  # of no generator
    for change, said in (
        ({"features": {"network": "other"}}, "features is .*net.* and .*other"),
        ({"reference": elsewhere | {"count": 8}}, "reference is .*9.* and .*8"),
        ({"samples": {"count": 11, "truncation": 1.0}}, "samples.count is 10 and 11"),
        ({"samples": {"count": 10, "truncation": 0.5}}, "samples.truncation is 1.0 and 0.5"),
    ):
        with pytest.raises(ResultError, match=f"a and b were measured in different ways.*{said}.*alike"):
            results.check_comparable({"a": here, "same": here, "b": result(**change)})


def test_path_lengths_by_other_weights_are_not_compared():
    plain, one, other = result(), result(distance={"network": "a"}), result(distance={"network": "b"})
    results.check_comparable({"plain": plain, "one": one})
    with pytest.raises(ResultError, match="one and other were .* distance is .*'a'.* and .*'b'"):
        results.check_comparable({"plain": plain, "one": one, "other": other})


def test_comparisons_need_no_network():
    """As in a notebook: of features that are at hand."""
    random = np.random.default_rng(0)
    sets = [Features(random.normal(size=(50, 3)).astype(np.float32), None, None) for _ in range(2)]
    found = FIGURES["fid"].of(Comparison(*sets, of_source(source(50)), of_source(source(50))))
    expected = metrics.frechet_distance(*(metrics.Moments.of(x.features) for x in sets))
    assert found["fid"].value == pytest.approx(expected)
