"""Tests of jaxgan.data: sources, TFDS sets, streams of batches, transforms."""

import dataclasses
import functools
import hashlib
import io
import itertools
import json
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from jaxgan import data
from jaxgan.data import catalogue, digits, records


def toy_arrays(count=20, shape=(5, 4, 3), classes=4, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, rng.integers(0, classes, count)


@pytest.fixture
def toy():
    return data.from_arrays(*toy_arrays(), classes=list("abcd"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A directory in which digits is prepared."""
    directory = tmp_path_factory.mktemp("tfds")
    data.open_source("tfds:digits", data_dir=directory)
    return directory


def take(stream, count, start=0):
    return list(itertools.islice(stream.iterate(start), count))


def run_python(code, *args):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
    )


# Sources in memory


def test_arrays_are_kept_gathered_and_described(toy):
    images, labels = toy_arrays()
    assert (len(toy), toy.image_shape, toy.classes) == (20, (5, 4, 3), ("a", "b", "c", "d"))
    batch = toy.gather(np.array([[3, 3, 0], [19, 7, 1]]))
    assert batch["image"].dtype == np.uint8 and batch["label"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"], images[[[3, 3, 0], [19, 7, 1]]])
    np.testing.assert_array_equal(batch["label"], labels[[[3, 3, 0], [19, 7, 1]]])
    assert toy.gather(4)["image"].shape == (5, 4, 3) and toy.gather(4)["label"].shape == ()
    assert toy.gather(np.zeros(0, int))["image"].shape == (0, 5, 4, 3)


def test_grey_images_gain_a_channel_and_unlabelled_sets_have_no_label():
    source = data.from_arrays(np.zeros((3, 8, 6), np.uint8))
    assert source.image_shape == (8, 6, 1) and source.classes == ()
    assert source.gather([0]).keys() == source.arrays.keys() == {"image"}


def test_classes_are_numbered_without_names():
    images, _ = toy_arrays(3)
    assert data.from_arrays(images, [0, 2, 0]).classes == ("0", "1", "2")


def test_arrays_of_a_source_are_read_only(toy):
    with pytest.raises(ValueError, match="read-only"):
        toy.arrays["image"][0] = 0


def test_fingerprint_follows_images_labels_and_order():
    images, labels = toy_arrays()
    other = images.copy()
    other[7, 2, 2, 1] ^= 1
    variants = [
        (images, labels),
        (other, labels),
        (images[::-1], labels[::-1]),
        (images, np.roll(labels, 1)),
        (images, None),
        (images.reshape(20, 4, 5, 3), labels),
    ]
    prints = [data.from_arrays(*variant).fingerprint for variant in variants]
    assert len(set(prints)) == len(variants)
    again = data.from_arrays(images.copy(), labels.astype(np.int8), name="other")
    assert again.fingerprint == prints[0]


IMAGES = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("args", "classes", "message"),
    [
        ((IMAGES.astype(np.float32),), None, r"are float32, expected uint8.*to_uint8.* \* 255"),
        ((IMAGES.astype(np.int64),), None, "are int64, expected uint8"),
        ((IMAGES[0, 0],), None, r"shape \(4, 3\), expected \[N,H,W,C\]"),
        ((np.moveaxis(IMAGES, -1, 1).repeat(3, -1),), None, r"shape \(2, 3, 4, 12\).*moveaxis"),
        ((IMAGES[:0],), None, r"shape \(0, 4, 4, 3\): there are none"),
        ((IMAGES, [0]), None, r"labels have the shape \(1,\), expected \(2,\)"),
        ((IMAGES, np.eye(2)), None, r"labels have the shape \(2, 2\), expected \(2,\)"),
        ((IMAGES, [0.0, 1.0]), None, "labels are float64, expected integers"),
        ((IMAGES, [True, False]), None, "labels are bool, expected integers.*astype"),
        ((IMAGES, [0, -1]), None, "a label is -1, expected 0 or more"),
        ((IMAGES, [0, 2]), ["a", "b"], "a label is 2, expected less than 2"),
        ((IMAGES, [0, 10**9]), None, "a label is 1000000000, but there are 2 images. Number the classes"),
        ((IMAGES,), ["a"], "1 class names were given without labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(args, classes, message):
    with pytest.raises(data.DataError, match=message) as caught:
        data.from_arrays(*args, classes=classes, name="mine")
    assert str(caught.value).startswith("mine: ")


@pytest.mark.parametrize("index", [-1, 20])
def test_gather_outside_the_set_is_refused(toy, index):
    with pytest.raises(IndexError, match=rf"{index}.*indices from 0 to 19"):
        toy.gather([3, index])


# TFDS sets


def test_digits_are_scikit_learns(prepared):
    from sklearn.datasets import load_digits

    train = data.open_source("tfds:digits", data_dir=prepared)
    test = data.open_source("tfds:digits", split="test", data_dir=prepared)
    assert (len(train), len(test)) == (1497, 300)
    assert train.image_shape == (8, 8, 1) and train.classes == tuple("0123456789")
    values, labels = load_digits(return_X_y=True)
    held_out = np.arange(1797) % 6 == 0
    for source, rows in ((train, ~held_out), (test, held_out)):
        expected = np.round(values[rows] * 255 / 16).reshape(-1, 64)
        ours = source.arrays["image"].reshape(-1, 64)
        assert ours.max() == 255 and ours.min() == 0
        pairs = [
            sorted(zip(map(bytes, x.astype(np.uint8)), y.tolist(), strict=True))
            for x, y in ((ours, source.arrays["label"]), (expected, labels[rows]))
        ]
        assert pairs[0] == pairs[1]


def test_digits_document_themselves(prepared):
    info = tfds.builder_from_directory(str(prepared / "digits" / "1.0.0")).info
    assert "1,797" in info.description and "UCI" in info.citation
    assert "CC BY 4.0" in info.description


def test_order_and_fingerprint_are_those_of_another_preparation(prepared, tmp_path):
    first = data.open_source("tfds:digits", data_dir=prepared)
    second = data.open_source("tfds:digits", data_dir=tmp_path / "new")
    assert first.fingerprint == second.fingerprint
    assert first.name == "tfds:digits/1.0.0:train"


def test_prepared_set_is_found_by_name_without_its_builder(prepared):
    records = tfds.data_source("digits", split="train", data_dir=prepared, download=False)
    source = data.open_source("tfds:digits:1.0.0", data_dir=str(prepared))
    np.testing.assert_array_equal(source.arrays["label"], [r["label"] for r in records])


def test_default_directory_is_that_of_tfds(prepared, monkeypatch):
    monkeypatch.setattr(catalogue.constants, "DATA_DIR", str(prepared))
    assert len(data.open_source("tfds:digits", split="test")) == 300


@pytest.mark.parametrize(("split", "length"), [("train[:10%]", 150), ("train+test", 1797)])
def test_splits_can_be_sliced_and_added(prepared, split, length):
    assert len(data.open_source("tfds:digits", split=split, data_dir=prepared)) == length


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("validation", r"Unknown split 'validation'.*'train': 1497, 'test': 300.*train\[:80%\]"),
        ("train[:9999]", r"\[:9999\] incompatible with 1497.*'train': 1497"),
        ("train[:0]", "'train': 1497"),
        ("train[5:3]", "'train': 1497"),
        ("train[", "Unrecognized split format"),
    ],
)
def test_unknown_and_empty_splits_are_refused(prepared, split, message):
    with pytest.raises(data.DataError, match=message):
        data.open_source("tfds:digits", split=split, data_dir=prepared)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digits", "'digits' is not known. Expected one of.*tfds:NAME.*folder:PATH"),
        ("tfds:", "'tfds:' is not known. Expected one of"),
        ("tfds:mnits", "no set 'mnits', and none .* prepared in .*Did you mean mnist"),
        ("tfds:zzzzzz", "no set 'zzzzzz'.*Check the name"),
        ("tfds:digits:9.0.0", "makes digits in version 1.0.0"),
        ("tfds:/no/name", "cannot be opened.*must be of the following format"),
    ],
)
def test_unknown_names_are_refused(tmp_path, spec, message):
    with pytest.raises(data.DataError, match="(?s)" + message):
        data.open_source(spec, data_dir=tmp_path)


def test_catalogue_set_that_is_not_prepared_fails_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(data.DataError) as caught:
        data.open_source("tfds:mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 2
    message = str(caught.value)
    assert f"looked for in {tmp_path}." in message
    assert "pip install -e '.[tensorflow]'" in message
    code = message.split('python -c "')[1].removesuffix('"')
    assert f"tfds.builder('mnist', data_dir='{tmp_path}', file_format='array_record')" in code
    compile(code, "the remedy", "exec")


def test_the_remedy_prepares_a_set(tmp_path):
    """The command of the error, with digits for its name, since the others need the network."""
    code = catalogue._how_to_prepare("digits", tmp_path).split('python -c "')[1].removesuffix('"')
    exec(code)
    assert (tmp_path / "digits" / "1.0.0" / "features.json").exists()


def test_two_processes_can_prepare_at_once(tmp_path, monkeypatch):
    """The other process ends between our look and our rename."""
    prepare = digits.Digits._split_generators

    def slow(self, dl_manager):
        if threading.current_thread() is threading.main_thread():
            other = run_python(
                "import sys; from jaxgan import data\n"
                "print(len(data.open_source('tfds:digits', data_dir=sys.argv[1])))",
                tmp_path,
            )
            assert other.returncode == 0, other.stderr
        return prepare(self, dl_manager)

    monkeypatch.setattr(digits.Digits, "_split_generators", slow)
    assert len(data.open_source("tfds:digits", data_dir=tmp_path)) == 1497
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["1.0.0"]


def test_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(data.DataError, match="^tfds:digits could not .*Pass a data_dir"):
        data.open_source("tfds:digits", data_dir=tmp_path / "file")


def prepare_set(directory, features, examples, name="throwaway"):
    """Writes a TFDS set of `examples`, PIL images among them, by a builder of its own."""

    class Throwaway(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features_dict = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features_dict)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    Throwaway.name = name
    Throwaway(data_dir=directory, file_format="array_record").download_and_prepare()


def pictures(count, *, size=(6, 5), mode="RGB", seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, *size) if mode == "L" else (count, *size, len(mode))
    return [PIL.Image.fromarray(x) for x in rng.integers(0, 256, shape, dtype=np.uint8)]


IMAGE = tfds.features.Image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_images_are_found_by_type_and_keep_their_channels(tmp_path, mode):
    images = pictures(7, mode=mode)
    features = {"picture": IMAGE(shape=(6, 5, len(mode))), "size": tfds.features.Scalar(np.int64)}
    prepare_set(tmp_path, features, [{"picture": x, "size": 1} for x in images])
    source = data.open_source("tfds:throwaway", data_dir=tmp_path)
    assert source.image_shape == (6, 5, len(mode)) and source.classes == ()
    assert source.gather([0]).keys() == {"image"}
    expected = sorted(np.asarray(x).tobytes() for x in images)
    assert sorted(x.tobytes() for x in source.arrays["image"]) == expected


def test_label_is_found_by_type_and_size_is_read_from_the_images(tmp_path):
    features = {"image": IMAGE(), "kind": tfds.features.ClassLabel(names=["cat", "dog"])}
    examples = [{"image": x, "kind": i % 2} for i, x in enumerate(pictures(5))]
    prepare_set(tmp_path, features, examples)
    source = data.open_source("tfds:throwaway", data_dir=tmp_path)
    assert source.image_shape == (6, 5, 3) and source.classes == ("cat", "dog")
    assert sorted(source.arrays["label"]) == [0, 0, 0, 1, 1]


def test_grey_files_in_a_colour_set_become_colour(tmp_path):
    mixed = [*pictures(2, mode="RGB"), *pictures(2, mode="L"), pictures(1, mode="RGBA")[0]]
    prepare_set(tmp_path, {"image": IMAGE(shape=(6, 5, 3))}, [{"image": x} for x in mixed])
    source = data.open_source("tfds:throwaway", data_dir=tmp_path)
    assert source.arrays["image"].shape == (5, 6, 5, 3)


def test_the_feature_called_label_is_the_label(tmp_path):
    labels = {key: tfds.features.ClassLabel(num_classes=3) for key in ("coarse", "label")}
    examples = [{"image": x, "coarse": 0, "label": 2} for x in pictures(3)]
    prepare_set(tmp_path, {"image": IMAGE(shape=(6, 5, 3)), **labels}, examples)
    source = data.open_source("tfds:throwaway", data_dir=tmp_path)
    assert source.classes == ("0", "1", "2") and source.arrays["label"].tolist() == [2, 2, 2]


def test_several_labels_without_that_name_are_left_out_aloud(tmp_path, caplog):
    labels = {key: tfds.features.ClassLabel(num_classes=2) for key in ("fine", "coarse")}
    examples = [{"image": x, "fine": 0, "coarse": 1} for x in pictures(2)]
    prepare_set(tmp_path, {"image": IMAGE(shape=(6, 5, 3)), **labels}, examples)
    assert data.open_source("tfds:throwaway", data_dir=tmp_path).classes == ()
    assert "read without labels" in caplog.text and "fine" in caplog.text


@pytest.mark.parametrize("limit", [2**30, 0], ids=["memory", "on demand"])
def test_images_that_vary_in_size_are_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(records, "MEMORY_LIMIT_BYTES", limit)
    sizes = [*pictures(3), *pictures(3, size=(4, 9))]
    prepare_set(tmp_path, {"image": IMAGE()}, [{"image": x} for x in sizes])
    with pytest.raises(data.DataError, match=r"vary in size: example \d is .*Set data.size to"):
        data.open_source("tfds:throwaway", data_dir=tmp_path)


def test_examples_without_a_label_are_refused(tmp_path):
    features = {"image": IMAGE(), "label": tfds.features.ClassLabel(num_classes=2)}
    prepare_set(tmp_path, features, [{"image": x, "label": -1} for x in pictures(2)])
    with pytest.raises(data.DataError, match="example 0 has the label -1, expected 0 to 1"):
        data.open_source("tfds:throwaway", data_dir=tmp_path)


def test_set_without_images_is_refused(tmp_path):
    prepare_set(tmp_path, {"x": tfds.features.Scalar(np.int64)}, [{"x": 1}])
    with pytest.raises(data.DataError, match=r"has none among its features \['x'\]"):
        data.open_source("tfds:throwaway", data_dir=tmp_path)


def test_set_with_several_images_and_none_called_image_is_refused(tmp_path):
    features = {key: IMAGE(shape=(6, 5, 3)) for key in "ab"}
    prepare_set(tmp_path, features, [{"a": x, "b": x} for x in pictures(1)])
    with pytest.raises(data.DataError, match=r"one called 'image'; the set has \['a', 'b'\]"):
        data.open_source("tfds:throwaway", data_dir=tmp_path)


def test_images_that_vary_in_size_are_brought_to_the_one_asked_for(tmp_path):
    sizes = [*pictures(3), *pictures(3, size=(4, 9))]
    prepare_set(tmp_path, {"image": IMAGE()}, [{"image": x} for x in sizes])
    layout = data.Layout(size=(6, 6), channels=1)
    source = data.open_source("tfds:throwaway", data_dir=tmp_path, layout=layout)
    assert source.arrays["image"].shape == (6, 6, 6, 1)


def test_sixteen_bit_images_keep_their_depth(tmp_path):
    feature = IMAGE(shape=(6, 5, 1), dtype=np.uint16, encoding_format="png")
    values = np.arange(30, dtype=np.uint16).reshape(6, 5) * 2000
    prepare_set(tmp_path, {"image": feature}, [{"image": PIL.Image.fromarray(values)}])
    source = data.open_source("tfds:throwaway", data_dir=tmp_path)
    np.testing.assert_array_equal(source.arrays["image"], values[None, ..., None])


def encoded(picture, kind):
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            lambda: encoded(PIL.Image.fromarray(np.zeros((6, 5), np.uint16)), "PNG"),
            "is uint16, and the set says uint8",
        ),
        (lambda: encoded(PIL.Image.new("1", (2**13, 2**13 + 8)), "PNG"), "claims 8192x8200; more than"),
        (lambda: encoded(PIL.Image.new("1", (20_000, 20_000)), "PNG"), "claims more than|claims 20000x20000"),
        (lambda: encoded(pictures(1)[0], "EPS"), "is no image: expected PNG, JPEG"),
        (lambda: encoded(pictures(1)[0], "PNG")[:-40], "is broken: "),
        (lambda: b"no picture", "is no image: expected PNG, JPEG"),
    ],
)
def test_files_that_are_no_images_of_8_bits_are_refused(tmp_path, monkeypatch, file, message):
    prepare_set(tmp_path, {"image": IMAGE(shape=(6, 5, 1))}, [{"image": pictures(1, mode="L")[0]}])
    opened = PIL.Image.open
    monkeypatch.setattr(PIL.Image, "open", lambda _, **kinds: opened(io.BytesIO(file()), **kinds))
    with pytest.raises(data.DataError, match=f"throwaway.*: example 0 .*({message})"):
        data.open_source("tfds:throwaway", data_dir=tmp_path)


def test_set_prepared_as_tfrecord_says_how_to_prepare_it_again(tmp_path):
    prepare_set(tmp_path, {"image": IMAGE(shape=(6, 5, 3))}, [{"image": pictures(1)[0]}])
    info = tmp_path / "throwaway" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(data.DataError, match="as tfrecord in .*delete that directory") as caught:
        data.open_source("tfds:throwaway", data_dir=tmp_path)
    assert f"in {info.parent}," in str(caught.value)
    assert f"data_dir='{tmp_path}', file_format='array_record'" in str(caught.value)


def test_large_sets_are_decoded_on_demand_to_the_same_examples(prepared, monkeypatch):
    whole = data.open_source("tfds:digits", data_dir=prepared)
    monkeypatch.setattr(records, "MEMORY_LIMIT_BYTES", 1497 * 64 - 1)
    lazy = data.open_source("tfds:digits", data_dir=prepared)
    assert lazy.arrays is None and lazy.name == whole.name and lazy.classes == whole.classes
    for key, value in lazy.gather(np.arange(1496).reshape(4, 374)).items():
        expected = whole.arrays[key][:1496]
        np.testing.assert_array_equal(value.reshape(expected.shape), expected)
        assert value.dtype == expected.dtype
    half = data.open_source("tfds:digits", split="train[:50%]", data_dir=prepared)
    assert len({whole.fingerprint, lazy.fingerprint, half.fingerprint}) == 3
    with pytest.raises(data.DataError, match="placement='device' was given for tfds:digits"):
        data.make_stream(lazy, seed=0, batch_size=4, placement="device")
    (item,) = take(data.make_stream(lazy, seed=1, batch_size=4), 1)
    (same,) = take(data.make_stream(whole, seed=1, batch_size=4, placement="host"), 1)
    jax.tree.map(np.testing.assert_array_equal, item, same)


def test_sample_fingerprint_follows_the_decoded_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MEMORY_LIMIT_BYTES", 0)
    prints = []
    for seed in (0, 0, 1):
        directory = tmp_path / str(len(prints))
        examples = [{"image": x} for x in pictures(9, seed=seed)]
        prepare_set(directory, {"image": IMAGE(shape=(6, 5, 3))}, examples)
        prints.append(data.open_source("tfds:throwaway", data_dir=directory).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_importing_the_room_is_light():
    heavy = "{'tensorflow', 'tensorflow_datasets', 'grain', 'sklearn'}"
    result = run_python(f"import sys, jaxgan.data; assert not {heavy} & set(sys.modules)")
    assert result.returncode == 0, result.stderr


# Streams


def indices(size, seed, step, shape):
    return data.batch_indices(size, seed=seed, step=step, shape=shape)


@pytest.mark.parametrize(("size", "shape"), [(12, (1, 4)), (10, (2, 3)), (3, (2, 5)), (1, (1, 4))])
def test_each_example_is_seen_once_an_epoch(size, shape):
    steps = 7 * size
    flat = np.concatenate([indices(size, 5, step, shape).ravel() for step in range(steps)])
    epochs = flat[: len(flat) // size * size].reshape(-1, size)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(size), (len(epochs), 1)))
    assert flat.dtype == np.int64


def test_epochs_and_seeds_differ_in_order():
    orders = [indices(1000, seed, epoch, (1000,)) for seed in (0, 1) for epoch in (0, 1)]
    assert len({order.tobytes() for order in orders}) == 4
    assert all(abs((order == np.arange(1000)).sum()) < 10 for order in orders)


def test_a_step_is_a_pure_function_of_seed_and_step():
    forwards = [indices(50, 3, step, (2, 7)) for step in range(40)]
    backwards = [indices(50, 3, step, (2, 7)) for step in reversed(range(40))]
    np.testing.assert_array_equal(forwards, backwards[::-1])
    expected = [[3, 1, 4], [5, 7, 6]]  # that a release of NumPy or of ours would change every run
    np.testing.assert_array_equal(indices(10, 42, 1_000_003, (2, 3)), expected)


def test_positions_are_the_same_whatever_the_shape():
    long = indices(13, 0, 0, (60,))
    parts = [indices(13, 0, step, (2, 5)).ravel() for step in range(6)]
    np.testing.assert_array_equal(long, np.concatenate(parts))


@pytest.mark.parametrize("placement", ["device", "host"])
def test_iterating_from_a_step_equals_skipping_to_it(toy, placement):
    stream = data.make_stream(toy, seed=2, batch_size=6, updates=2, steps_per_call=3, placement=placement)
    resumed, whole = take(stream, 3, start=6), take(stream, 5)[2:]
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_threads_do_not_change_the_order(toy, threads):
    stream = data.make_stream(toy, seed=2, batch_size=6, threads=threads)
    expected = [indices(20, 2, step, (1, 1, 6)) for step in range(30)]
    np.testing.assert_array_equal([item[""]["index"] for item in take(stream, 30)], expected)


@pytest.mark.parametrize("placement", ["device", "host"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_shares_of_processes_make_up_the_batch_of_one(toy, placement, count):
    def items(index, count):
        return data.make_stream(
            toy,
            seed=1,
            batch_size=8,
            updates=2,
            placement=placement,
            process_index=index,
            process_count=count,
        )

    whole = take(items(0, 1), 6)
    shares = zip(*(take(items(index, count), 6) for index in range(count)), strict=True)
    joined = [jax.tree.map(lambda *x: np.concatenate(x, axis=2), *share) for share in shares]
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    assert items(count - 1, count).fingerprint == items(0, 1).fingerprint


def test_device_and_host_placements_give_the_same_batches(toy):
    batches = {}
    for placement in ("device", "host"):
        stream = data.make_stream(toy, seed=9, batch_size=6, updates=2, steps_per_call=2, placement=placement)
        load = jax.jit(stream.load)
        batches[placement] = [load(stream.resident, item) for item in take(stream, 4)]
    jax.tree.map(np.testing.assert_array_equal, batches["device"], batches["host"])
    first = batches["device"][0]
    assert first["image"].shape == (2, 2, 6, 5, 4, 3) and first["image"].dtype == jnp.uint8
    assert first["label"].shape == (2, 2, 6) and first["label"].dtype == jnp.int32
    rows = [indices(20, 9, step, (2, 6)) for step in range(2)]
    jax.tree.map(np.testing.assert_array_equal, first, toy.gather(np.stack(rows)))


def test_load_works_inside_a_scan_over_steps(toy):
    stream = data.make_stream(toy, seed=9, batch_size=6, steps_per_call=3, placement="device")
    (item,) = take(stream, 1)

    def body(total, part):
        batch = stream.load(stream.resident, part)
        return total + batch["image"].astype(jnp.int32).sum(), batch["label"]

    total, labels = jax.jit(lambda item: jax.lax.scan(body, 0, item))(item)
    whole = stream.load(stream.resident, item)
    assert total == np.asarray(whole["image"], np.int64).sum()
    np.testing.assert_array_equal(labels, whole["label"])


def test_items_are_numpy_and_unlabelled_sets_stream(toy):
    stream = data.make_stream(toy, seed=0, batch_size=4)
    assert set(stream.resident[""]) == {"image", "label"}
    (item,) = (item[""] for item in take(stream, 1))
    assert item.keys() == {"index"} and item["index"].dtype == np.int32
    assert isinstance(item["index"], np.ndarray)
    plain = data.from_arrays(toy.arrays["image"])
    stream = data.make_stream(plain, seed=0, batch_size=4, placement="host")
    (item,) = (item[""] for item in take(stream, 1))
    assert stream.resident == {"": {}} and item.keys() == {"image"}
    assert isinstance(item["image"], np.ndarray) and item["image"].shape == (1, 1, 4, 5, 4, 3)


def test_auto_placement_goes_by_size(toy, monkeypatch):
    size = 20 * (60 + 4)
    for limit, resident in ((size, True), (size - 1, False)):
        monkeypatch.setattr("jaxgan.data.stream.DEVICE_LIMIT_BYTES", limit)
        assert bool(data.make_stream(toy, seed=0, batch_size=4).resident[""]) == resident


def seen_ids(stream, steps, start=0):
    """A digest of every example that a stream shows, in their order."""
    digests = []
    for item in take(stream, steps, start=start):
        images = stream.load(stream.resident, item)["image"]
        digests += [
            hashlib.sha256(np.asarray(image).tobytes()).hexdigest() for image in images.reshape(-1, 60)
        ]
    return digests


@pytest.mark.parametrize("placement", ["device", "host"])
def test_each_example_is_shown_once_an_epoch_also_after_a_resume(toy, placement):
    make = functools.partial(data.make_stream, toy, seed=3, batch_size=5, placement=placement)
    whole = seen_ids(make(), 8)
    assert len(set(whole[:20])) == len(set(whole[20:])) == 20 and whole[:20] != whole[20:]
    assert seen_ids(make(), 3) + seen_ids(make(), 5, start=3) == whole


@pytest.mark.parametrize("placement", ["device", "host"])
def test_another_domain_comes_in_an_order_of_its_own(toy, placement):
    images, _ = toy_arrays(14)
    both = dataclasses.replace(toy, others={"input": data.from_arrays(images)})
    stream = data.make_stream(both, seed=3, batch_size=7, placement=placement)
    batches = [stream.load(stream.resident, item) for item in take(stream, 20)]
    assert set(batches[0]) == {"image", "label", "input"} and batches[0]["input"].shape == (1, 1, 7, 5, 4, 3)
    shown = np.concatenate([batch["input"].reshape(7, -1) for batch in batches]).reshape(10, 14, -1)
    assert all(len(np.unique(epoch, axis=0)) == 14 for epoch in shown)  # each once, in all ten epochs
    alone = data.make_stream(toy, seed=3, batch_size=7, placement=placement)
    for batch, item in zip(batches, take(alone, 20), strict=True):
        np.testing.assert_array_equal(batch["image"], alone.load(alone.resident, item)["image"])
    assert stream.fingerprint != alone.fingerprint
    orders = [data.batch_indices(14, seed=3, step=0, shape=(14,), domain=d) for d in (0, 1)]
    assert (orders[0] != orders[1]).any()


def test_batches_may_exceed_the_set(toy):
    (item,) = take(data.make_stream(toy, seed=0, batch_size=50), 1)
    assert sorted(np.bincount(item[""]["index"].ravel())) == [2] * 10 + [3] * 10


def test_fingerprint_of_a_stream_follows_what_it_depends_on(toy):
    images, labels = toy_arrays()
    base = {"seed": 1, "batch_size": 8}
    other = data.from_arrays(255 - images, labels)
    prints = [
        data.make_stream(source, **{**base, **change}).fingerprint
        for source, change in (
            (toy, {}),
            (toy, {"seed": 2}),
            (toy, {"batch_size": 10}),
            (toy, {"updates": 2}),
            (other, {}),
        )
    ]
    assert len({json.dumps(x, sort_keys=True) for x in prints}) == 5
    assert json.loads(json.dumps(prints[0])) == prints[0]
    assert prints[0]["source"] == toy.fingerprint and prints[0]["length"] == 20
    same = data.make_stream(toy, **base, placement="host", steps_per_call=4, threads=0)
    assert same.fingerprint == prints[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 was given, expected 1 or more"),
        ({"updates": 0}, "updates=0"),
        ({"steps_per_call": 0}, "steps_per_call=0"),
        ({"threads": -1}, "threads=-1 was given, expected 0 or more"),
        ({"seed": -1}, r"seed=-1 was given, expected an integer in \[0, 2\*\*64\)"),
        ({"seed": 2**64}, "seed=18446744073709551616"),
        ({"process_count": 0}, "process_count=0"),
        ({"process_count": 3}, "batch_size=4 was given, expected a multiple of process_count=3"),
        ({"process_count": 2, "process_index": 2}, "process_index=2 was given, expected 0 to 1"),
        ({"placement": "gpu"}, "placement='gpu' was given, expected one of auto, device, host"),
    ],
)
def test_streams_that_cannot_be_are_refused(toy, change, message):
    with pytest.raises(data.DataError, match=message):
        data.make_stream(toy, **{"seed": 0, "batch_size": 4, **change})


@pytest.mark.parametrize("start", [-2, 3])
def test_start_steps_between_items_are_refused_at_once(toy, start):
    stream = data.make_stream(toy, seed=0, batch_size=4, steps_per_call=2)
    with pytest.raises(data.DataError, match=f"start_step={start} .*steps_per_call=2"):
        stream.iterate(start)


@pytest.mark.parametrize("bad", [{"size": 0}, {"step": -1}, {"shape": (2, 0)}])
def test_indices_that_cannot_be_are_refused(bad):
    with pytest.raises(data.DataError, match=f"{next(iter(bad))}=.* was given, expected"):
        data.batch_indices(**{"size": 4, "seed": 0, "step": 0, "shape": (1, 2), **bad})


def test_an_error_in_a_thread_reaches_the_caller(toy):
    def broken(indices):
        raise OSError("the disk is gone")

    source = data.Source("broken", (1, 1, 1), (), "", 4, broken)
    with pytest.raises(OSError, match="the disk is gone"):
        next(data.make_stream(source, seed=0, batch_size=2).iterate(0))


def test_a_program_ends_in_mid_stream():
    code = (
        "import time, numpy as np; from jaxgan import data\n"
        "source = data.from_arrays(np.zeros((9, 8, 8), np.uint8))\n"
        "stream = data.make_stream(source, seed=0, batch_size=4, placement='host')\n"
        "items = stream.iterate(0); next(items); other = stream.iterate(0); next(other)\n"
        "print(time.time())"
    )
    result = run_python(code)
    ended = time.time()
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert ended - float(result.stdout) < 5


# Transforms


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_every_value_survives_the_round_trip(wrap):
    values = wrap(np.arange(256, dtype=np.uint8))
    floats = data.to_float(values)
    assert type(floats) is type(values) and floats.dtype == np.float32
    assert floats[0] == -1 and floats[255] == 1
    np.testing.assert_allclose(floats, np.arange(256) / 127.5 - 1, atol=6e-8)
    back = data.to_uint8(floats)
    assert type(back) is type(values) and back.dtype == np.uint8
    np.testing.assert_array_equal(back, values)


def test_numpy_jax_and_jit_agree_to_the_bit():
    values = np.arange(256, dtype=np.uint8)
    expected = data.to_float(values)
    np.testing.assert_array_equal(data.to_float(jnp.asarray(values)), expected)
    np.testing.assert_array_equal(jax.jit(data.to_float)(values), expected)
    floats = np.linspace(-1.2, 1.2, 4001, dtype=np.float32)
    np.testing.assert_array_equal(jax.jit(data.to_uint8)(floats), data.to_uint8(floats))


def test_to_uint8_rounds_and_clips():
    floats = np.array([-7, -1, -0.9999, 0.996, 0.9999, 1, 7], np.float32)
    for images in (floats, jnp.asarray(floats)):
        np.testing.assert_array_equal(data.to_uint8(images), [0, 0, 0, 254, 255, 255, 255])
    halves = jnp.asarray([-1.5, 0.0, 0.5, 1.0], jnp.bfloat16)
    np.testing.assert_array_equal(data.to_uint8(halves), [0, 128, 191, 255])


def test_what_is_already_converted_passes_through():
    for dtype in (jnp.float32, jnp.bfloat16):
        images = jnp.asarray([0.3, -2.0], dtype)
        assert data.to_float(images) is images
    images = np.array([3], np.uint8)
    assert data.to_uint8(images) is images


@pytest.mark.parametrize("convert", [data.to_float, data.to_uint8])
def test_other_dtypes_are_not_converted(convert):
    with pytest.raises(data.DataError, match=f"{convert.__name__} was given int32, expected"):
        jax.jit(convert)(jnp.zeros(3, jnp.int32))


def test_flip_goes_by_each_examples_key():
    images = jnp.asarray(toy_arrays(64)[0])
    keys = jax.random.split(jax.random.key(0), 64)
    flipped = jax.jit(data.random_flip)(images, keys)
    assert flipped.dtype == images.dtype
    mirrored = images[:, :, ::-1]
    was_flipped = (flipped == mirrored).all(axis=(1, 2, 3))
    was_kept = (flipped == images).all(axis=(1, 2, 3))
    assert (was_flipped ^ was_kept).all() and 16 < was_flipped.sum() < 48
    part = data.random_flip(images[10:20], keys[10:20])
    np.testing.assert_array_equal(part, flipped[10:20])
    same = data.random_flip(images, jnp.repeat(keys[:1], 64))
    np.testing.assert_array_equal(same, mirrored if was_flipped[0] else images)
    other = data.random_flip(images, jax.random.split(jax.random.key(1), 64))
    assert (other != flipped).any()


def test_flip_wants_a_key_for_each_image():
    images = jnp.zeros((3, 4, 4, 1))
    with pytest.raises(data.DataError, match=r"images \(3, 4, 4, 1\) and keys \(2,\), expected"):
        data.random_flip(images, jax.random.split(jax.random.key(0), 2))
    with pytest.raises(data.DataError, match="one key for each image"):
        data.random_flip(images[0], jax.random.split(jax.random.key(0), 4))
