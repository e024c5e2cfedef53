"""Tests of jaxgan.data: arrays in .npz, pairs, sides, masks, unpaired domains and mixtures."""

import functools
import itertools

import jax
import numpy as np
import PIL.Image
import pytest
from made_sets import noise, ordered, pack, save, tree

from jaxgan import data


@pytest.fixture
def open_set(tmp_path):
    """Opens a source, straight from its files where nothing else is said."""
    return functools.partial(data.open_source, data_dir=tmp_path / "data", prepare=False)


def batches(source, count, **options):
    stream = data.make_stream(source, seed=3, **options)
    load = jax.jit(stream.load)
    return [load(stream.resident, item) for item in itertools.islice(stream.iterate(0), count)]


# Pairs


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_pairs_go_by_name_whatever_the_suffix(tmp_path, open_set, prepare, packed):
    stems = ["a", "b", "deep/c", "d.e"]
    inputs = tree(tmp_path / "set/in", [f"{stem}.bmp" for stem in stems], (3, 3), seed=9)
    images = tree(tmp_path / "set/out", [f"{stem}.png" for stem in stems])
    pack(tmp_path / "set", tmp_path / "set.tar")
    root = f"{tmp_path}/set" + ".tar" * packed
    source = open_set(f"pairs:{root}/in,{root}/out", prepare=prepare)
    np.testing.assert_array_equal(source.arrays["image"], [images[f"{x}.png"] for x in ordered(stems)])
    np.testing.assert_array_equal(
        source.arrays["input"][..., 0], [inputs[f"{x}.bmp"] for x in ordered(stems)]
    )
    assert source.shapes == {"input": (3, 3, 1)} and source.classes == ()
    assert source.name == f"pairs:{root}/in,{root}/out:train"
    (batch,) = batches(source, 1, batch_size=4)
    assert batch["image"].shape == (1, 1, 4, 6, 5, 3) and batch["input"].shape == (1, 1, 4, 3, 3, 1)


def test_pairs_have_a_layout_each(tmp_path, open_set):
    for name in ("in", "out"):
        tree(tmp_path / name, ["a.png", "b.png"], (8, 8, 3))
    spec, small = f"pairs:{tmp_path}/in,{tmp_path}/out", data.Layout((2, 2), channels=1)
    source = open_set(spec, layout=data.Layout((4, 4)), input_layout=small)
    assert source.image_shape == (4, 4, 3) and source.shapes == {"input": (2, 2, 1)}
    source = open_set(spec, layout=small)
    assert source.image_shape == (2, 2, 1) and source.shapes == {"input": (2, 2, 1)}


def test_pairs_have_splits(tmp_path, open_set):
    for name in ("in", "out"):
        tree(tmp_path / name, [f"train/{i}.png" for i in range(4)] + ["test/0.png"])
    spec = f"pairs:{tmp_path}/in,{tmp_path}/out"
    assert [len(open_set(spec, split=split)) for split in ("train", "train[1:]", "test")] == [4, 3, 1]


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("half", ["left", "right"])
def test_sides_are_halved(tmp_path, open_set, prepare, half):
    pictures = tree(tmp_path / "set", ["a.png", "b.png"], (4, 6, 3))
    source = open_set(f"sides:{tmp_path}/set", input_half=half, prepare=prepare)
    whole = np.stack([pictures[name] for name in ordered(pictures)])
    sides = {"left": whole[:, :, :3], "right": whole[:, :, 3:]}
    np.testing.assert_array_equal(source.arrays["input"], sides.pop(half))
    np.testing.assert_array_equal(source.arrays["image"], *sides.values())


def test_halves_are_prepared_apart(tmp_path, open_set):
    tree(tmp_path / "set", ["a.png"], (4, 6, 3))
    for half in ("left", "right"):
        open_set(f"sides:{tmp_path}/set", input_half=half, prepare=True)
    assert len([*(tmp_path / "data").glob("files_[0-9a-f]*")]) == 2


def test_masks_have_one_channel_and_no_value_in_between(tmp_path, open_set):
    tree(tmp_path / "images", ["a.jpg"], (8, 8, 3))
    mask = np.kron(np.array([[0, 7], [9, 255]], np.uint8), np.ones((4, 4), np.uint8))
    save(tmp_path / "masks" / "a.png", PIL.Image.fromarray(mask).convert("RGB"))
    spec = f"masks:{tmp_path}/images,{tmp_path}/masks"
    source = open_set(spec, layout=data.Layout((6, 6), background=(9, 9, 9), channels=4))
    assert source.image_shape == (6, 6, 4) and source.shapes == {"mask": (6, 6, 1)}
    assert {*source.arrays["mask"].ravel().tolist()} == {0, 7, 9, 255}


# Unpaired domains


@pytest.mark.parametrize("placement", ["device", "host"])
def test_unpaired_domains_have_an_order_each(tmp_path, open_set, placement):
    inputs = tree(tmp_path / "in", [f"{i}.png" for i in range(3)], (3, 3), seed=9)
    images = tree(tmp_path / "out", [f"{k}/{i}.png" for k in "ab" for i in range(3)])
    source = open_set(f"unpaired:{tmp_path}/in,folder:{tmp_path}/out")
    assert (len(source), len(source.others["input"])) == (6, 3) and source.classes == ("a", "b")
    made = batches(source, 2, batch_size=3, placement=placement)
    for key, known, times in (("image", images, 1), ("input", inputs, 2)):
        seen = np.concatenate([np.asarray(batch[key]).reshape(3, -1) for batch in made])
        assert sorted(map(bytes, seen)) == sorted(bytes(x) for x in known.values() for _ in range(times))
    first = [data.batch_indices(6, seed=3, step=0, shape=(6,), domain=domain).tolist() for domain in (0, 1)]
    assert first[0] != first[1]


def test_sources_at_hand_are_unpaired_domains_too():
    inputs, images = (data.from_arrays(noise(count, 4, 4, 3), name=f"{count}") for count in (3, 5))
    source = data.unpaired(inputs, images)
    assert (source.name, len(source), source.others["input"]) == ("unpaired:3,5", 5, inputs)
    examples = data.gather_examples(source, np.arange(4))
    np.testing.assert_array_equal(examples["image"], images.arrays["image"][:4])
    np.testing.assert_array_equal(examples["input"], inputs.arrays["image"][[0, 1, 2, 0]])


@pytest.mark.parametrize("placement", ["device", "host"])
def test_inputs_of_classes_come_with_their_labels(tmp_path, open_set, placement):
    images = tree(tmp_path / "set", [f"{k}/{i}.png" for k in "ab" for i in range(2)])
    labels = {image.tobytes(): "ab".index(name[0]) for name, image in images.items()}
    source = open_set(f"unpaired:folder:{tmp_path}/set,folder:{tmp_path}/set")
    for batch in batches(source, 2, batch_size=3, placement=placement):
        for name, label in (("image", "label"), ("input", "input_label")):
            seen = zip(np.asarray(batch[name]).reshape(3, -1), np.asarray(batch[label]).ravel(), strict=True)
            assert all(labels[image.tobytes()] == own for image, own in seen)


def test_fingerprint_of_a_stream_follows_every_domain(tmp_path, open_set):
    tree(tmp_path / "in", ["a.png"]), tree(tmp_path / "out", ["a.png"], seed=1)
    prints = []
    for seed in (2, 3):
        tree(tmp_path / "in", ["a.png"], seed=seed)
        source = open_set(f"unpaired:{tmp_path}/in,{tmp_path}/out")
        prints.append(data.make_stream(source, seed=0, batch_size=1).fingerprint)
    assert prints[0]["source"] == prints[1]["source"] and prints[0] != prints[1]


# Mixtures


@pytest.fixture
def three(tmp_path):
    """Folders of 6, 4 and 5 pictures, of which each has one value throughout."""
    for folder, kinds, value in (("x", "ab", 0), ("y", "cb", 100), ("z", "bd", 200)):
        for i in range({"x": 6, "y": 4, "z": 5}[folder]):
            kind = kinds[i % len(kinds)]
            save(tmp_path / folder / kind / f"{i}.png", np.full((2, 2), value + i, np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        (("", "", ""), (6, 4, 5)),  # by size
        (("*1", "*1", "*1"), (6, 6, 6)),
        (("*0.25", "*0.25", "*0.5"), (6, 6, 12)),
        (("*3", "*2", "*7"), (6, 4, 14)),
        (("*30", "*2", "*0.001"), (150_000, 10_000, 5)),
    ],
)
def test_shares_are_exact_over_the_shortest_epoch_with_everything(three, open_set, weights, counts):
    spec = "mixture:" + ",".join(f"{three}/{x}{w}" for x, w in zip("xyz", weights, strict=True))
    source = open_set(spec)
    assert len(source) == sum(counts) and source.name == spec
    whole = source.gather(np.arange(len(source)))
    np.testing.assert_array_equal(np.bincount(whole["domain"]), counts)
    np.testing.assert_array_equal(whole["domain"], whole["image"][:, 0, 0, 0] // 100)
    times = np.unique(whole["image"][:, 0, 0, 0], return_counts=True)[1]
    domains = np.repeat([0, 1, 2], [6, 4, 5])
    assert len(times) == 15 and all(np.ptp(times[domains == d]) <= 1 for d in range(3))


@pytest.mark.parametrize("placement", ["device", "host"])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_epoch_of_batches_has_the_shares_whatever_the_processes(three, open_set, placement, processes):
    source = open_set(f"mixture:{three}/x*1,{three}/y*3", prepare=True)  # 6 and 18 of them
    options = {"batch_size": 4, "placement": placement, "process_count": processes}
    made = [batches(source, 6, process_index=p, **options) for p in range(processes)]
    seen = np.concatenate([batch["image"][..., 0, 0, 0].ravel() for batch in itertools.chain(*made)])
    values, counts = np.unique(seen, return_counts=True)
    assert values.tolist() == [*range(6), *range(100, 104)]
    assert counts[:6].tolist() == [1] * 6 and sorted(counts[6:]) == [4, 4, 5, 5]


def test_resident_and_host_mixtures_give_the_same_batches(three, open_set):
    source = open_set(f"mixture:{three}/x*1,{three}/y*2,{three}/z*1.5")
    resident, host = (batches(source, 5, batch_size=6, updates=2, placement=p) for p in ("device", "host"))
    jax.tree.map(np.testing.assert_array_equal, resident, host)
    assert resident[0].keys() == {"image", "label", "domain"} and resident[0]["domain"].dtype == np.int32
    assert len(source.arrays["image"]) == 15  # each once on the device, however often it occurs


def test_classes_of_one_name_are_one(three, open_set):
    source = open_set(f"mixture:{three}/x,{three}/y")
    assert source.classes == ("a", "b", "c")
    whole = source.gather(np.arange(len(source)))
    for image, label in zip(whole["image"], whole["label"], strict=True):
        domain, number = divmod(int(image[0, 0, 0]), 100)
        assert source.classes[label] == ("ab", "cb")[domain][number % 2]


def test_a_source_without_labels_takes_those_of_the_others(three, open_set):
    source = open_set(f"mixture:{three}/x,{three}/z/b")
    assert source.classes == () and source.gather([0]).keys() == {"image", "domain"}


@pytest.mark.parametrize("placement", ["device", "host"])
def test_domains_may_be_the_labels(three, open_set, placement):
    mixture = open_set(f"mixture:{three}/x,{three}/y")
    source = data.by_domain(mixture)
    assert source.classes == mixture.domains == ("x", "y")
    (batch,) = batches(source, 1, batch_size=10, placement=placement)
    np.testing.assert_array_equal(batch["label"], batch["image"][..., 0, 0, 0] // 100)
    assert source.fingerprint != mixture.fingerprint


def test_fingerprint_of_a_mixture_follows_sources_and_weights(three, open_set):
    specs = ["x,{}/y", "y,{}/x", "x*1,{}/y*1", "x*1,{}/z*1", "x*2,{}/y*2"]
    prints = [open_set(f"mixture:{three}/" + spec.format(three)).fingerprint for spec in specs]
    assert len({*prints[:4]}) == 4 and prints[4] == prints[2]


def test_mixtures_of_pairs_keep_their_inputs(tmp_path):
    parts = [
        data.from_arrays(noise(n, 4, 4, 3), extra={"input": noise(n, 2, 2, seed=n)}, name=str(n))
        for n in (2, 3)
    ]
    mixture = data.mix(parts, [1, 1], name="both")
    made = mixture.gather(np.arange(6))
    np.testing.assert_array_equal(made["input"][:2], parts[0].arrays["input"][[0, 1]])
    np.testing.assert_array_equal(made["input"][3:], parts[1].arrays["input"])
    assert mixture.shapes == {"input": (2, 2, 1), "domain": ()}
    assert mixture.shapes_of_all == {"image": mixture.image_shape, "input": (2, 2, 1)}  # of images alone


# Arrays of a file

IMAGES, LABELS = noise(10, 4, 4, 3), np.arange(10) % 3
FORMS = {
    "ours": {"image": IMAGES, "label": LABELS},
    "plural": {"images": IMAGES, "labels": LABELS},
    "Keras's": {"x_train": IMAGES, "y_train": LABELS, "x_test": 255 - IMAGES, "y_test": LABELS[::-1]},
    "MedMNIST's": {"train_images": IMAGES, "train_labels": LABELS[:, None], "test_images": 255 - IMAGES},
    "one by class": {f"train_{name}": IMAGES[i::3] for i, name in enumerate("012")},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_are_found_by_name(tmp_path, open_set, form, write):
    write(tmp_path / "set.npz", **FORMS[form])
    source = open_set(f"arrays:{tmp_path}/set.npz")
    order = np.argsort(LABELS, kind="stable") if form == "one by class" else np.arange(10)
    np.testing.assert_array_equal(source.arrays["image"], IMAGES[order])
    np.testing.assert_array_equal(source.arrays["label"], LABELS[order])
    assert source.classes == ("0", "1", "2") and source.name == f"arrays:{tmp_path}/set.npz:train"


def test_splits_and_parts_of_arrays(tmp_path, open_set):
    spec = f"arrays:{tmp_path}/set.npz"
    np.savez(tmp_path / "set.npz", **FORMS["Keras's"])
    np.testing.assert_array_equal(open_set(spec, split="test").arrays["image"], 255 - IMAGES)
    np.savez(
        tmp_path / "set.npz", image=np.arange(20, dtype=np.uint8)[:, None, None], label=np.arange(20) // 10
    )
    parts = [open_set(spec, split=f"train[{part}]").arrays for part in (":50%", "50%:")]
    values = np.concatenate([part["image"].ravel() for part in parts])
    assert sorted(values) == [*range(20)] and values.tolist() != sorted(values)
    for part in parts:
        np.testing.assert_array_equal(part["label"], part["image"].ravel() // 10)
        assert {*part["label"].tolist()} == {0, 1}


def test_arrays_may_name_their_classes_and_have_none(tmp_path, open_set):
    np.savez(tmp_path / "named.npz", image=IMAGES, label=LABELS, classes=["cat", "dog", "fox"])
    assert open_set(f"arrays:{tmp_path}/named.npz").classes == ("cat", "dog", "fox")
    np.savez(tmp_path / "grey.npz", train_images=IMAGES[..., 0])
    source = open_set(f"arrays:{tmp_path}/grey.npz")
    assert source.image_shape == (4, 4, 1) and source.classes == ()


def test_arrays_are_brought_to_a_layout(tmp_path, open_set):
    values = np.array([[[[0, 9, 9, 255], [0, 99, 99, 255]]]], np.uint8)
    np.savez(tmp_path / "set.npz", image=values)
    layout = data.Layout((1, 1), "stretch", "box", background=(0, 0, 0))
    assert open_set(f"arrays:{tmp_path}/set.npz", layout=layout).arrays["image"].tolist() == [[[[0, 54, 54]]]]
    np.savez(tmp_path / "set.npz", image=noise(2, 3, 3, dtype=np.uint16))
    source = open_set(f"arrays:{tmp_path}/set.npz", layout=data.Layout(channels=3))
    assert source.image_shape == (3, 3, 3) and source.dtype == np.uint16
