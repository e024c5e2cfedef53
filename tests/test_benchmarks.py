"""What benchmarks count with: their own measurements are too slow for tests."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import config

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(images):
    """The digit that an image says it is, in its first pixel."""
    return images[:, 0, 0, 0].astype(int)


def digits(count):
    images = np.zeros((count, 28, 28, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 10
    return images


def test_modes_of_stacked_digits_are_counted():
    stacked_mnist = load("stacked_mnist")
    every = np.stack(np.unravel_index(np.arange(1000), (10, 10, 10)), axis=-1)
    stacks = np.zeros((1000, 28, 28, 3), np.uint8)
    stacks[:, 0, 0] = every
    assert stacked_mnist.count_modes(stacks, read) == (1000, pytest.approx(0.0))
    assert stacked_mnist.count_modes(stacks[:10], read) == (10, pytest.approx(np.log(100)))
    twice = np.concatenate([stacks[:2], stacks[:1], stacks[:1]])  # shares 3/4 and 1/4
    expected = 0.75 * np.log(750) + 0.25 * np.log(250)
    assert stacked_mnist.count_modes(twice, read) == (2, pytest.approx(expected))


def test_stacks_are_of_three_random_digits():
    stacks = load("stacked_mnist").stack(digits(50), 3000)
    assert stacks.shape == (3000, 28, 28, 3) and stacks.dtype == np.uint8
    said = stacks[:, 0, 0].astype(int)
    assert np.bincount(said.ravel(), minlength=10).min() > 750
    assert np.abs(np.corrcoef(said.T) - np.eye(3)).max() < 0.06


def test_the_config_of_stacked_mnist_can_run():
    config.check(load("stacked_mnist").get_config())


def test_points_near_a_centre_are_good_and_a_tenth_of_a_share_covers_it():
    toy = load("toy_modes")
    centres, deviation = np.array([[0.0, 0.0], [1.0, 0.0]]), 0.1
    samples = np.array([[0.0, 0.0]] * 90 + [[0.29, 0.0]] * 3 + [[0.31, 0.0]] * 3 + [[1.0, 0.2]] * 4)
    assert toy.judge(samples, centres, deviation) == (1.0, pytest.approx(0.97))
    assert toy.judge(samples[10:], centres, deviation)[0] == 1.0
    assert toy.judge(np.repeat(centres, [8, 2], axis=0), centres, deviation) == (2.0, 1.0)


def test_our_side_of_the_training_step_runs_without_pytorch(tmp_path):
    measured = tmp_path / "measured.json"
    command = [sys.executable, "-m", "benchmarks.train_step", "--smoke", "--lines=dcgan64", "--rounds=1"]
    done = subprocess.run(
        [*command, "--steps=1", f"--json={measured}"],
        cwd=BENCHMARKS.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.count("| dcgan64 |") == 1 and "--torch_python" in done.stdout
    ours = json.loads(measured.read_text())["dcgan64"]["ours"]
    assert ours["rates"][0] > 0 and ours["first_step"] > 0 and ours["first_step_cached"] > 0


@pytest.mark.parametrize("kind", ["independent", "correlated"])
def test_our_side_of_the_agreement_has_every_figure(kind):
    agreement = load("agreement_features")
    first, second = agreement.draw(kind, 8, 40)
    assert first.shape == second.shape == (40, 8) and first.dtype == np.float32 and first.min() >= 0
    found = agreement.figures(first, second, 20 * first, 20)
    assert found.keys() == {"FID", "KID", "KID's deviation", "IS", "IS's deviation"}
    assert np.isfinite([*found.values()]).all() and found["FID"] > 0


def test_networks_of_other_sizes_are_not_compared():
    check_same = load("train_step").check_same
    check_same({"ours": {"generator": 1000}, "best": {"generator": 1020}})
    with pytest.raises(SystemExit, match="1,021 parameters on the side 'best' and 1,000 on ours"):
        check_same({"ours": {"generator": 1000}, "best": {"generator": 1021}})


def test_the_cost_of_neighbours_is_measured():
    clock, cores, peak, features, pairs = load("neighbours_cost").measure("256x8", np.float64)
    assert clock > 0 and cores > 0 and peak >= 0
    assert (features, pairs) == (2 * 256 * 8 * 4 / 2**20, 256**2 * 4 / 2**20)


def test_pairs_of_coupled_digits_are_of_different_images_and_are_counted():
    coupled_digits = load("coupled_digits")
    kept, changed = coupled_digits.halves(11)
    assert sorted([*kept, *changed]) == [*range(11)] and abs(len(kept) - len(changed)) == 1
    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 1:4, 1:4] = 200
    outline = coupled_digits.edges(image)[0, ..., 0]
    assert outline[2, 2] == 0 and (np.delete(outline.ravel(), 12) == 200).all()
    assert (coupled_digits.negatives(image) == 255 - image).all()
    found = coupled_digits.agreement(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4]))
    assert found == {"agreement": 0.75, "by_chance": 0.25, "digits": [3, 4]}


def test_photographs_are_made_of_label_maps_without_a_network():
    facades = load("facades")
    random = np.random.default_rng(0)
    palette = random.permutation(np.arange(12) * 20)[:, None].repeat(3, axis=1).astype(np.uint8)
    labels = random.integers(0, 12, (6, 16, 16))
    colours = random.integers(0, 256, (12, 3)).astype(np.uint8)
    pairs = {"input": palette[labels], "image": colours[labels]}
    made = facades.baselines(pairs, {name: images[:2] for name, images in pairs.items()})
    np.testing.assert_array_equal(made["mean colour of the label"], pairs["image"][:2])
    assert facades.l1(made["mean colour of the label"], pairs["image"][:2]) == 0.0
    expected = np.round(pairs["image"].mean(axis=0))
    np.testing.assert_allclose(made["mean photograph"][0], expected, atol=1)
    knowing = made["mean photograph, in the truth's mean colour"]
    truth = pairs["image"][:2].mean(axis=(1, 2))
    np.testing.assert_allclose(knowing.mean(axis=(1, 2)), truth, atol=8)  # but for what is clipped
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    assert facades.l1(black, white) == 2.0
