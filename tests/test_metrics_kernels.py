"""Maximum mean discrepancies: KID and CMMD."""

import jax
import numpy as np
import pytest
from made_features import normal, pair

from jaxgan.metrics import cmmd, kernel_distance, kernel_distance_of_all, kernels

ONE, TWO = np.float64([[0], [1]]), np.float64([[1], [2]])


def test_two_numbers_each_are_worked_by_hand():
    # (xy + 1)^3 within: 1 and 27; between: 1, 1, 8 and 27.
    expected = 1 + 27 - 2 * 37 / 4
    assert kernel_distance_of_all(ONE, TWO) == pytest.approx(expected)
    assert kernel_distance(ONE, TWO, subsets=1, size=2) == pytest.approx((expected, 0, 0))


def test_products_are_divided_by_the_number_of_dimensions():
    repeated = [np.repeat(x, 5, axis=1) for x in (ONE, TWO)]
    assert kernel_distance_of_all(*repeated) == pytest.approx(9.5)


@pytest.mark.parametrize(
    ("shape", "value", "deviation"),
    [((60, 8), 1.497559344620303, 0.2434447224245359), ((20, 32), 1.364415479544742, 0.15645664804770548)],
)
def test_it_is_that_of_torch_fidelity(shape, value, deviation):
    # torch-fidelity 0.4.0 of these features, kid_subsets=10, kid_subset_size=N/2, its default seed.
    found = kernel_distance(*pair(*shape), subsets=10, size=shape[0] // 2)
    assert found == pytest.approx((value, deviation / 3, deviation), rel=1e-12)


def test_subsets_of_all_samples_are_all():
    first, second = pair(40, 6)
    found = kernel_distance(first, second, subsets=3, size=40)
    assert found.value == pytest.approx(kernel_distance_of_all(first, second), rel=1e-12)
    assert found.error == pytest.approx(0, abs=1e-12)


def test_sets_that_are_as_good_as_the_same_are_around_zero():
    found = [kernel_distance_of_all(normal(i, 60, 5), normal(i + 100, 80, 5)) for i in range(100)]
    assert min(found) < 0 and abs(np.mean(found)) < 3 * np.std(found) / 10


def test_cmmd_is_worked_by_hand():
    first, second = np.zeros((2, 1)), np.float64([[10], [20]])
    within = (2 + 2 * np.exp(-0.5)) / 4  # of the second, each with itself among the pairs
    expected = 1000 * (1 + within - np.exp(-0.5) - np.exp(-2))
    assert cmmd(first, second) == pytest.approx(expected)
    assert cmmd(second, second) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("figure", [cmmd, kernel_distance_of_all])
def test_tiles_are_not_seen(figure, monkeypatch):
    first, second = pair(50, 4)
    whole = figure(first, second[:37])
    monkeypatch.setattr(kernels, "PAIRS", 200)
    assert figure(first, second[:37]) == pytest.approx(whole, rel=1e-12)


def test_float32_are_as_good_and_the_precision_of_jax_stays_what_it_was():
    first, second = normal(0, 400, 64), 1.02 * normal(1, 400, 64)
    for figure in (cmmd, kernel_distance_of_all):
        assert figure(np.float32(first), np.float32(second)) == pytest.approx(figure(first, second), rel=2e-5)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("figure", [cmmd, kernel_distance_of_all, kernel_distance])
def test_features_that_cannot_be_compared_are_refused(figure):
    good = normal(0, 5, 3)
    for bad, message in (
        (normal(0, 5, 4), "3 and 4 dimensions"),
        (np.full((5, 3), np.nan), "not finite"),
        (good[:1], "2 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            figure(good, bad)


@pytest.mark.parametrize("options", [{"size": 1}, {"size": 6}, {"size": 2, "subsets": 0}, {}])
def test_subsets_that_cannot_be_drawn_are_refused(options):
    with pytest.raises(ValueError, match="the smaller set has 5.*a size of 2 to 5"):
        kernel_distance(normal(0, 5, 3), normal(1, 9, 3), **options)
