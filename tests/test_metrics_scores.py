"""Figures of logits and classes, and intervals of confidence."""

from functools import reduce

import numpy as np
import pytest
import scipy.stats
from made_features import made, normal

from jaxgan.metrics import (
    Moments,
    bootstrap,
    class_accuracy,
    cut,
    frechet_distance,
    inception_score,
    jackknife,
    mode_coverage,
)


def test_an_inception_score_is_worked_by_hand():
    sure = 100 * np.eye(4)[np.arange(8) % 4]
    assert inception_score(sure, splits=2, seed=None) == pytest.approx((4, 0))
    assert inception_score(sure, splits=8, seed=None) == pytest.approx((1, 0))  # an image is its own mean
    assert inception_score(np.zeros((8, 4)), splits=2) == pytest.approx((1, 0))
    mixed = np.concatenate([sure[:4], np.zeros((4, 4))])
    assert inception_score(mixed, splits=2, seed=None) == pytest.approx((2.5, 1.5))


@pytest.mark.parametrize(
    ("shape", "value", "deviation"),
    [
        ((60, 8), 1.9025206636925172, 0.09202080287342639),
        ((20, 32), 1.8318712792952958, 0.046035072923532594),
    ],
)
def test_it_is_that_of_torch_fidelity(shape, value, deviation):
    # torch-fidelity 0.4.0 of these logits, splits=3, its default seed.
    assert inception_score(5 * made(*shape), splits=3) == pytest.approx((value, deviation), rel=1e-12)


def test_accuracy_is_the_share_of_classes_that_were_meant():
    logits = np.float32([[1, 2, 0], [3, 0, 0], [0, 0, 1], [9, 8, 7]])
    assert class_accuracy(logits, np.array([1, 0, 2, 1])) == 0.75


def test_modes_are_counted_with_their_spread():
    assert mode_coverage(np.arange(1000), 1000) == pytest.approx((1000, 0))
    assert mode_coverage(np.arange(10), 1000) == pytest.approx((10, np.log(100)))
    assert mode_coverage(np.array([0, 1, 0, 0]), 1000) == (
        2,
        pytest.approx(0.75 * np.log(750) + 0.25 * np.log(250)),
    )


BAD = [
    (lambda: inception_score(np.zeros((4, 3))), "10 splits of 4 images"),
    (lambda: inception_score(np.full((10, 3), np.inf)), "not finite"),
    (lambda: inception_score(np.zeros((10, 1))), "2 classes or more"),
    (lambda: class_accuracy(np.zeros((4, 3)), np.zeros(3, int)), r"labels \[3\] of logits \[4, 3\]"),
    (lambda: class_accuracy(np.zeros((4, 3)), np.zeros(4)), "integers, got float64"),
    (lambda: class_accuracy(np.zeros((4, 3)), np.array([0, 1, 3, -1])), r"\[ 3 -1\] are not in 0 to 2"),
    (lambda: mode_coverage(np.array([10]), 10), "not in 0 to 9"),
    (lambda: mode_coverage(np.array([], int), 10), "Modes are"),
    (lambda: bootstrap(np.mean), "nothing to resample"),
    (lambda: bootstrap(np.mean, np.zeros(0)), "nothing to resample"),
    (lambda: bootstrap(np.mean, np.zeros(5), samples=10), "have no ends"),
    (lambda: bootstrap(np.mean, np.zeros(5), level=95), "level is 95"),
    (lambda: jackknife(np.mean, [1, 2], level=0), "level is 0"),
    (lambda: jackknife(np.mean, [1, 2], [1, 2, 3]), r"have \[2, 3\] parts"),
    (lambda: jackknife(np.mean), r"have \[\] parts"),
    (lambda: cut(np.zeros(5), 6), "5 samples cannot be cut into 6"),
]


@pytest.mark.parametrize(("figure", "message"), BAD)
def test_what_has_no_figure_is_refused(figure, message):
    with pytest.raises(ValueError, match=message):
        figure()


def test_the_bootstrap_of_a_mean_is_the_normal_interval():
    samples = normal(0, 400)
    found = bootstrap(np.mean, samples, samples=4000)
    reach = 1.96 * samples.std() / 20
    assert found == pytest.approx((samples.mean(), samples.mean() - reach, samples.mean() + reach), abs=0.006)


def test_sets_are_resampled_each_on_its_own():
    first, second = np.arange(30.0), np.arange(10.0)
    found = bootstrap(lambda a, b: len(a) + 100 * len(b) + np.mean(a) - np.mean(b), first, second)
    assert found.low < found.value == 1040 < found.high
    assert bootstrap(np.mean, first, seed=1) != bootstrap(np.mean, first) == bootstrap(np.mean, first)


def test_the_jackknife_of_a_mean_is_students_interval():
    samples = [1.0, 2.0, 4.0, 9.0]
    ends = scipy.stats.t.interval(0.9, 3, 4.0, scipy.stats.sem(samples))
    assert jackknife(np.mean, samples, level=0.9) == pytest.approx((4.0, *ends))


def test_two_sets_errors_add_up():
    first, second = cut(normal(0, 2000), 50), cut(3 * normal(1, 2000), 50)
    found = jackknife(lambda a, b: np.mean(a) - np.mean(b), first, second)
    assert (found.high - found.low) / 2 == pytest.approx(2.01 * (10 / 2000) ** 0.5, rel=0.25)


def test_parts_are_of_all_samples_in_another_order():
    parts = cut(np.arange(23), 5)
    assert [len(part) for part in parts] == [5, 5, 5, 4, 4]
    assert sorted(np.concatenate(parts)) == list(range(23)) != np.concatenate(parts).tolist()


def test_intervals_of_a_frechet_distance_hold_it_as_often_as_they_say():
    size, exact = 4, Moments(10**9, np.zeros(4), np.eye(4) * (10**9 - 1))
    true, held = size * (0.3**2 + 0.2**2), 0  # N(0, 1) against N(0.3, 1.2^2)
    for seed in range(200):
        parts = [Moments.of(part) for part in cut(1.2 * normal(seed, 2000, size) + 0.3)]
        found = jackknife(lambda parts: frechet_distance(reduce(Moments.merge, parts), exact), parts)
        held += found.low <= true <= found.high
    assert 0.9 <= held / 200 <= 0.99
