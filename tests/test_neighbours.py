from math import prod

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from jaxgan import metrics
from jaxgan.metrics import neighbours

# Of prdc 0.2 for the sets below: precision, recall, density, coverage. Those of torch-fidelity 0.4 are the
# same for float64 features; of float32 ones far from 0 its own distances are too coarse.
BY_PRDC = {
    ("uniform", 3): (0.992, 0.63, 1.32, 0.8566666666666667),
    ("uniform", 5): (1.0, 0.78, 1.4056, 0.96),
    ("correlated", 3): (0.996, 0.7366666666666667, 1.3973333333333333, 0.7966666666666666),
    ("correlated", 5): (1.0, 0.84, 1.4144, 0.8966666666666666),
}
each_arithmetic = pytest.mark.parametrize("arithmetic", [np.float32, np.float64])


def uniform(seed, *shape):
    """In [0, 1), from bits that NumPy does not change."""
    return np.random.PCG64(seed).random_raw(prod(shape)).reshape(shape) / 2.0**64


def sets(kind, dtype=np.float64):
    """300 reals and 250 fakes."""
    real, fake = uniform(0, 300, 8), 0.15 + 0.8 * uniform(1, 250, 8)
    if kind == "correlated":
        real, fake = (100 + np.cumsum(x - 0.5, axis=1) for x in (real, fake))
    return real.astype(dtype), fake.astype(dtype)


def figures(overlap):
    return overlap.precision, overlap.recall, overlap.density, overlap.coverage


def on_a_line(*values):
    return np.array(values, np.float32)[:, None]


@pytest.fixture(params=[64, 2048])
def tile(request, monkeypatch):
    """Sets in one tile and in many, of which the last are smaller."""
    monkeypatch.setattr(neighbours, "TILE", request.param)


@pytest.mark.parametrize(("kind", "k"), BY_PRDC)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_arithmetic
def test_figures_are_exactly_those_of_prdc(kind, k, dtype, arithmetic, tile):
    real, fake = (metrics.manifold(x, arithmetic=arithmetic) for x in sets(kind, dtype))
    found = figures(metrics.overlap(real, fake, k=k, arithmetic=arithmetic))
    np.testing.assert_allclose(found, BY_PRDC[kind, k], rtol=1e-12)


def test_figures_worked_by_hand():
    real = metrics.manifold(on_a_line(0, 1, 3, 10), k=1)
    fake = metrics.manifold(on_a_line(-0.5, 2.5, 30), k=1)
    np.testing.assert_array_equal(real.radii(1), [1, 1, 2, 7])  # [-1,1] [0,2] [1,5] [3,17]
    np.testing.assert_array_equal(fake.radii(1), [3, 3, 27.5])  # [-3.5,2.5] [-0.5,5.5] [2.5,57.5]
    found = metrics.overlap(real, fake, k=1)
    np.testing.assert_array_equal(found.precise, [True, True, False])
    np.testing.assert_array_equal(found.recalled, [True, True, True, True])
    np.testing.assert_array_equal(found.holders, [1, 1, 0])
    np.testing.assert_array_equal(found.covered, [True, False, True, False])
    assert figures(found) == (pytest.approx(2 / 3), 1, pytest.approx(2 / 3), 0.5)


def test_a_boundary_counts_for_precision_and_recall_alone():
    real, fake = (metrics.manifold(on_a_line(*x), k=1) for x in ((0, 2), (4, 6)))
    found = metrics.overlap(real, fake, k=1)  # the real at 2 has the fake at 4 on its boundary, and it has 2
    assert figures(found) == (0.5, 0.5, 0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_set_has_itself_for_its_manifold_in_any_order(dtype):
    features = uniform(0, 200, 512).astype(dtype) - 3
    first, again = metrics.manifold(features), metrics.manifold(features[::-1].copy())
    np.testing.assert_allclose(
        first.distances, again.distances[::-1], rtol=1e-13 if dtype == np.float64 else 0
    )
    assert figures(metrics.overlap(first, first, k=5)) == (1, 1, 1, 1)
    if dtype == np.float32:  # its ties are exact
        assert figures(metrics.overlap(first, again, k=5)) == (1, 1, 1, 1)


def test_numbers_of_reals_and_fakes_may_differ_and_one_k_serves_smaller_ones():
    real, fake = sets("uniform")
    few = metrics.overlap(metrics.manifold(real, k=5), metrics.manifold(fake[:7], k=3), k=3)
    again = metrics.overlap(metrics.manifold(real, k=3), metrics.manifold(fake[:7], k=6), k=3)
    assert few.precise.shape == (7,) and few.covered.shape == (300,)
    assert figures(few) == figures(again)


def test_duplicates_are_neighbours_at_distance_zero():
    features = np.concatenate([uniform(0, 4, 2048)] * 3).astype(np.float32)
    real = metrics.manifold(features, k=3)
    np.testing.assert_array_equal(real.radii(2), np.zeros(12))
    assert real.radii(3).min() > 1
    copies, others = (
        metrics.manifold(x.astype(np.float32), k=2) for x in (features[:6], uniform(1, 5, 2048))
    )
    assert figures(metrics.overlap(real, copies, k=2))[::2] == (1, 0)  # balls of one point, and open ones
    assert metrics.overlap(real, others, k=2).precision == 0


@each_arithmetic
def test_nearest_are_those_of_all_distances(arithmetic, tile):
    samples, points = sets("correlated")
    found = metrics.nearest(samples, jnp.asarray(points), k=7, arithmetic=arithmetic)
    every = cdist(samples, points.astype(np.float32))  # as JAX makes them
    np.testing.assert_array_equal(found.indices, np.argsort(every, axis=1)[:, :7])
    squared_lengths = np.square(points - points.mean(axis=0)).sum(axis=1).max()
    error = found.distances**2 - np.sort(every, axis=1)[:, :7] ** 2
    assert np.abs(error).max() < (1e-6 if arithmetic == np.float32 else 1e-14) * squared_lengths
    assert found.distances.dtype == np.float64


def test_all_points_can_be_asked_for_and_of_equal_ones_the_first_comes_first(tile):
    points = np.tile(on_a_line(3, 1), (50, 1))
    found = metrics.nearest(on_a_line(0), points, k=100)
    np.testing.assert_array_equal(found.indices[0], [*range(1, 100, 2), *range(0, 100, 2)])
    np.testing.assert_array_equal(found.distances[0], [1] * 50 + [3] * 50)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-7), (np.float64, 1e-11)])
def test_distances_are_accurate_far_from_the_origin(dtype, rtol):
    samples, points = (1e4 + uniform(i, 30, 300).astype(dtype) for i in (0, 1))
    found = metrics.nearest(samples.astype(dtype), points.astype(dtype), k=30).distances
    exact = cdist(samples.astype(np.float64), points.astype(np.float64))
    np.testing.assert_allclose(found, np.sort(exact, axis=1), rtol=rtol)


@each_arithmetic
def test_memory_is_of_tiles(arithmetic, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", 128)
    seen, distances = [], neighbours._distances

    def watched(*args):
        tile = distances(*args)
        seen.append(tile.shape)
        return tile

    monkeypatch.setattr(neighbours, "_distances", watched)
    real, fake = (metrics.manifold(uniform(i, 300, 4), arithmetic=arithmetic) for i in (0, 1))
    metrics.overlap(real, fake, k=3, arithmetic=arithmetic)
    assert len(seen) == 27 and max(max(shape) for shape in seen) == 128


def test_realism_worked_by_hand():
    real = metrics.manifold(on_a_line(0, 1, 3, 10), k=1)  # radii 1, 1, 2, 7; half of them up to 1.5
    found = metrics.realism(real, on_a_line(0.5, 3, -4, 0), k=1)
    np.testing.assert_allclose(found, [2, 0.5, 0.25, np.inf])


def test_realism_is_of_all_tiles(tile):
    (real, fake), radii = sets("uniform"), metrics.manifold(sets("uniform")[0]).radii(3)
    small = radii <= np.median(radii)
    expected = (radii[small, None] / cdist(real[small], fake)).max(axis=0)
    np.testing.assert_allclose(metrics.realism(metrics.manifold(real), fake, k=3), expected, rtol=1e-12)


def test_copies_are_told_from_new_samples():
    train, unseen, new = (uniform(i, 400, 6) for i in (0, 1, 2))
    copies = np.concatenate([new[:300], train[:100] + 1e-3])
    fair, copied = (metrics.memorisation(samples, train, unseen) for samples in (new, copies))
    assert fair.nearer == pytest.approx(0.5, abs=0.05) and abs(fair.z) < 2
    assert fair.copied() == pytest.approx(0.01, abs=0.015)
    assert copied.nearer > 0.6 and copied.z < -3
    assert copied.copied() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(copied.neighbours.indices[300:, 0], np.arange(100))
    far = metrics.memorisation(new + 5, train, unseen)
    assert (far.nearer, far.copied()) == (0, 0) and far.z > 3


def test_the_test_of_copies_is_that_of_mann_and_whitney():
    train, unseen, new = uniform(0, 60, 3), uniform(1, 40, 3), uniform(2, 50, 3) * 0.9
    found = metrics.memorisation(new, train, unseen)
    first, second = (cdist(x, train).min(axis=1) for x in (new, unseen))
    assert found.nearer == pytest.approx((first[:, None] < second).mean(), abs=1e-12)
    p = stats.mannwhitneyu(first, second, method="asymptotic", use_continuity=False).pvalue
    assert 2 * stats.norm.sf(abs(found.z)) == pytest.approx(p, rel=1e-9)


def test_without_unseen_images_training_images_are_the_yardstick():
    train = on_a_line(0, 1, 3, 10)
    found = metrics.memorisation(on_a_line(0, 12), train)
    np.testing.assert_array_equal(found.unseen, [1, 1, 2, 7])
    np.testing.assert_array_equal(found.neighbours.indices, [[0], [3]])
    assert found.nearer == (4 + 1.5) / 8  # 0 is nearer than all; 2 than one, and ties with one
    assert found.copied(0.5) == 0.5


GOOD = np.zeros((4, 3), np.float32)
WRONG = {
    "one image": ((GOOD[:1],), {"k": 1}, "k is 1.*0 other images"),
    "as many neighbours as images": ((GOOD,), {"k": 4}, "k is 4.*3 other images"),
    "no neighbours": ((GOOD,), {"k": 0}, "k is 0, expected 1"),
    "images": ((np.zeros((4, 2, 2), np.float32),), {}, r"\[N,D\].*features is float32 \[4, 2, 2\]"),
    "none": ((GOOD[:0],), {}, r"\[0, 3\]"),
    "whole numbers": ((GOOD.astype(np.uint8),), {}, "float32 or float64.*uint8"),
    "nan": ((np.where(np.eye(4, 3) > 0, np.nan, 0),), {}, "3 of 4 vectors of features are not finite"),
    "an arithmetic": ((GOOD,), {"k": 1, "arithmetic": np.float16}, "float16.*expected np.float64"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_has_no_manifold_is_refused(wrong):
    args, options, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        metrics.manifold(*args, **options)


def test_what_cannot_be_compared_is_refused():
    real, fake = (metrics.manifold(uniform(0, 9, d), k=3) for d in (4, 5))
    with pytest.raises(ValueError, match=r"of one network.*real \[9, 4\], fake \[9, 5\]: D differs"):
        metrics.overlap(real, fake, k=3)
    with pytest.raises(ValueError, match=r"samples \[9, 5\], points \[9, 4\]"):
        metrics.nearest(fake.features, real.features)
    with pytest.raises(ValueError, match="k is 5.*3 neighbours in this manifold"):
        metrics.overlap(real, real, k=5)
    with pytest.raises(ValueError, match="k is 10.*9 points"):
        metrics.nearest(real.features, real.features, k=10)
    with pytest.raises(ValueError, match=r"quantile is 1\.0"):
        metrics.memorisation(real.features, real.features).copied(1.0)
