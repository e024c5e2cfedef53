"""Moments of features, and Frechet distances between them."""

from functools import reduce

import numpy as np
import pytest
import scipy.linalg
from made_features import normal, pair

from jaxgan.metrics import (
    Moments,
    check_features,
    class_moments,
    frechet_at_infinity,
    frechet_by_class,
    frechet_distance,
)
from jaxgan.metrics import moments as moments_file


def distance(first, second):
    return frechet_distance(Moments.of(first), Moments.of(second))


def gaussian(mean, covariance):
    return Moments(11, np.float64(mean), 10 * np.float64(covariance))


def test_moments_are_numpys():
    features = normal(0, 50, 4) @ normal(1, 4, 4) + 3
    found = Moments.of(features)
    assert found.count == 50
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance(), np.cov(features, rowvar=False), rtol=1e-12)


def test_moments_of_batches_are_those_of_all(monkeypatch):
    features = normal(0, 60, 3) + 1e6  # far from 0, where a difference of squares has no digits left
    batches = [Moments.of(part) for part in np.split(features, [1, 2, 30])]
    monkeypatch.setattr(moments_file, "TILE", 7)
    for found in (reduce(Moments.merge, batches), Moments.of(features)):
        assert found.count == 60
        np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-15)
        np.testing.assert_allclose(found.covariance(), np.cov(features, rowvar=False), rtol=1e-8)


def test_moments_of_float32_are_taken_in_float64():
    features = np.float32(normal(0, 500, 3) + 1000)
    exact = np.cov(features.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(Moments.of(features).covariance(), exact, rtol=1e-9)


def test_gaussians_without_correlation_are_worked_by_hand():
    first, second = gaussian([0, 0, 1], np.diag([1, 4, 9])), gaussian([3, 4, 1], np.diag([4, 4, 25]))
    assert frechet_distance(first, second) == pytest.approx(9 + 16 + 1 + 0 + 4)  # means, then deviations


def test_two_points_each_in_many_dimensions_are_worked_by_hand():
    u, v = normal(0, 100), normal(1, 100)  # covariances 2 u u' and 2 v v'
    expected = 2 * u @ u + 2 * v @ v - 4 * abs(u @ v)
    assert distance(np.stack([u, -u]), np.stack([v, -v])) == pytest.approx(expected, rel=1e-12)


def test_subspaces_that_share_nothing_are_as_far_as_their_traces():
    first, second = np.zeros((20, 6)), np.zeros((20, 6))
    first[:, :3], second[:, 3:] = normal(0, 20, 3), normal(1, 20, 3)
    moments = Moments.of(first), Moments.of(second)
    step = moments[0].mean - moments[1].mean
    expected = step @ step + sum(np.trace(m.covariance()) for m in moments)
    assert frechet_distance(*moments) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("count", "size"), [(40, 100), (100, 100), (12, 300)])
def test_singular_covariances_are_exact(count, size):
    first = normal(0, count, size) * np.arange(1, size + 1) ** -0.5
    second = normal(1, count, size) + 0.1
    # From the features themselves: C1 = X'X / (N-1), and the root's trace is that of XY''s singular values.
    x, y = (z - z.mean(axis=0) for z in (first, second))
    root = scipy.linalg.svdvals(x @ y.T).sum() / (count - 1)
    step = first.mean(axis=0) - second.mean(axis=0)
    expected = step @ step + ((x**2).sum() + (y**2).sum()) / (count - 1) - 2 * root
    assert distance(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [30, 400])
def test_it_is_that_of_a_matrix_square_root_with_something_added(count):
    mixing = normal(2, 50, 50)
    first, second = normal(0, count, 50) @ mixing, 1.2 * normal(1, count, 50) @ mixing + 0.3
    means, covariances = (
        [f(x) for x in (first, second)] for f in (lambda x: x.mean(axis=0), lambda x: np.cov(x.T))
    )
    product = (covariances[0] + 1e-6 * np.eye(50)) @ (covariances[1] + 1e-6 * np.eye(50))
    root = np.trace(scipy.linalg.sqrtm(product).real)
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert distance(first, second) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("shape", "tolerance"), [((60, 8), 1e-12), ((20, 32), 2e-8)])
def test_it_is_that_of_torch_fidelity_and_of_pytorch_fid(shape, tolerance):
    # torch-fidelity 0.4.0 and pytorch-fid 0.3.0 with NumPy 2.4, SciPy 1.17, of these features. In the second
    # case covariances are singular: ours is exact (see above), and both of theirs are 1e-8 off.
    known = {
        (60, 8): (1.7983212504372528, 1.7983212504372523),
        (20, 32): (10.765262126859568, 10.7652621083485),
    }
    assert [distance(*pair(*shape))] * 2 == pytest.approx(known[shape], rel=tolerance)


def test_variances_of_all_sizes_are_worked_by_hand():
    first, second = 10.0 ** -np.linspace(0, 14, 100), 10.0 ** -np.linspace(0, 10, 100)
    rotation = np.linalg.qr(normal(0, 100, 100))[0]  # the same of both, so that roots are those of variances
    sets = [gaussian(np.zeros(100), (rotation * x) @ rotation.T) for x in (first, second)]
    expected = np.sum((first**0.5 - second**0.5) ** 2)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-7)


def test_a_set_is_at_no_distance_from_itself_and_order_of_sets_does_not_matter():
    first, second = normal(0, 30, 50), normal(1, 80, 50)
    assert 0 <= distance(first, first[::-1]) < 1e-10
    assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-12)


def test_a_collapsed_generator_has_a_distance():
    constant, real = np.full((9, 5), 2.0), normal(0, 100, 5)
    expected = np.sum((2 - real.mean(axis=0)) ** 2) + np.trace(np.cov(real.T))
    assert distance(constant, real) == pytest.approx(expected)
    assert distance(constant, constant + 1) == pytest.approx(5)


def test_extrapolation_takes_away_what_few_samples_add():
    features, exact = normal(0, 2000, 48), Moments(10**9, np.zeros(48), np.eye(48) * (10**9 - 1))
    biased = frechet_distance(Moments.of(features), exact)
    found = frechet_at_infinity(features, exact)  # of a set from the same distribution: 0
    assert biased > 0.25 and abs(found.value) < 0.2 * biased
    assert 0 < found.error < 0.1 * biased
    assert frechet_at_infinity(features, exact, seed=1) != found == frechet_at_infinity(features, exact)


def test_classes_are_compared_each_with_its_own():
    labels = np.repeat([0, 1, 7], 100)
    features = normal(0, 300, 4) + labels[:, None]
    reference = class_moments(features, labels)
    moved = features + np.where(labels == 7, 1.0, 0.0)[:, None]  # each entry by 1: a distance of 4
    found = frechet_by_class(class_moments(moved, labels), reference)
    assert found.of_class == pytest.approx({0: 0, 1: 0, 7: 4}, abs=1e-10)
    assert found.mean == pytest.approx(4 / 3)


def test_a_generator_that_exchanges_classes_is_seen():
    labels = np.repeat([0, 1], 100)
    features = normal(0, 200, 4) + 5 * labels[:, None]
    exchanged = frechet_by_class(class_moments(features, 1 - labels), class_moments(features, labels))
    assert min(exchanged.of_class.values()) > 80 and distance(features, features) < 1e-10


def test_what_biases_is_said():
    assert check_features(normal(0, 9, 8)) == []
    (few,) = check_features(normal(0, 8, 8))
    assert "8 samples of 8 dimensions" in few and "take more than 8" in few
    assert "constant" in check_features(np.ones((9, 3), np.float32))[0]


BAD = [
    (np.full((4, 3), np.nan), "Features of 4 of 4 images are not finite"),
    (np.float64([[0, 1], [0, np.inf], [0, 1]]), "of 1 of 3 .* the first of image 1"),
    (np.zeros((1, 3)), "of 1 images"),
    (np.zeros((4, 3), int), "Features are float"),
    (np.zeros((4, 3), np.float16), "Features are float32 or float64"),
    (np.zeros((4, 3, 1)), "Features are float"),
    (np.zeros((4, 0)), "Features are float"),
]


@pytest.mark.parametrize(("features", "message"), BAD)
def test_features_that_nothing_can_be_made_of_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        check_features(features)


def test_large_finite_features_are_not_taken_for_wrong_ones():
    assert not check_features(np.float32([[3e38, 3e38], [0, 1], [1, 0]]))


@pytest.mark.parametrize("features", [np.zeros((0, 3)), np.zeros(3), np.float64([[1, np.nan]])])
def test_moments_of_nothing_are_refused(features):
    with pytest.raises(ValueError, match="eatures are"):
        Moments.of(features)


def test_moments_of_other_networks_or_of_one_image_are_refused():
    three, four, one = Moments.of(normal(0, 5, 3)), Moments.of(normal(0, 5, 4)), Moments.of(normal(0, 1, 3))
    with pytest.raises(ValueError, match="of 3 and of 4 dimensions"):
        three.merge(four)
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        frechet_distance(three, four)
    with pytest.raises(ValueError, match="2 vectors or more, got 1"):
        frechet_distance(three, one)


def test_lines_and_classes_that_cannot_be_are_refused():
    features, labels = normal(0, 30, 3), np.repeat([0, 1, 2], 10)
    for options in ({"points": 2}, {"smallest": 1}):
        with pytest.raises(ValueError, match="make no line"):
            frechet_at_infinity(features, Moments.of(features), **options)
    with pytest.raises(ValueError, match=r"Labels are integers \[30\]"):
        class_moments(features, labels[:-1])
    with pytest.raises(ValueError, match=r"Classes \[2\] are not in both"):
        frechet_by_class(class_moments(features, labels), class_moments(features[:20], labels[:20]))
