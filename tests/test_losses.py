from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.losses import (
    LOSSES,
    dual_contrastive,
    hinge,
    make_logistic,
    minimax,
    non_saturating,
    relativistic_average,
    top_k,
)
from jaxgan.terms import (
    auxiliary_classifier,
    categorical_information,
    feature_matching,
    gaussian_information,
    mean_feature_matching,
    twin_classifier,
)


def s(x):
    return 1 / (1 + np.exp(-x))


def relativistic_average_by_the_paper(real, fake):
    return (-np.log(s(real - fake.mean())) - np.log(s(-(fake - real.mean())))) / 2


def dual_contrastive_by_the_paper(real, fake):
    chosen_real = np.exp(real) / (np.exp(real) + np.exp(fake).sum())
    chosen_fake = np.exp(-fake) / (np.exp(-fake) + np.exp(-real).sum())
    return -np.log(chosen_real) - np.log(chosen_fake)


# (D's, G's) formulas as the papers write them, of logits r and f.
FORMULAS = {
    "minimax": (
        lambda r, f: -0.5 * np.log(s(r)) - 0.5 * np.log(1 - s(f)),
        lambda r, f: 0.5 * np.log(1 - s(f)),
    ),
    "non_saturating": (lambda r, f: -np.log(s(r)) - np.log(1 - s(f)), lambda r, f: -np.log(s(f))),
    "hinge": (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
    "least_squares": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: -np.log(s(r - f)), lambda r, f: -np.log(s(f - r))),
    "relativistic_average": (
        relativistic_average_by_the_paper,
        lambda r, f: relativistic_average_by_the_paper(f, r),
    ),
    "dual_contrastive": (
        dual_contrastive_by_the_paper,
        lambda r, f: -dual_contrastive_by_the_paper(r, f),
    ),
}
# D's and G's loss at (real, fake) = (2, -1), then at (-0.5, 3), each a batch of one, worked by hand.
BY_HAND = {
    "minimax": [(0.2200948494, -0.1566308439), (2.0113321681, -1.5242936761)],
    "non_saturating": [(0.4401896988, 1.3132616875), (4.0226643362, 0.0485873516)],
    "hinge": [(0.0, 1.0), (5.5, -3.0)],
    "least_squares": [(1.0, 2.0), (5.625, 2.0)],
    "wasserstein": [(-3.0, 1.0), (3.5, -3.0)],
    "relativistic": [(0.0485873516, 3.0485873516), (3.5297504108, 0.0297504108)],
    "relativistic_average": [(0.0485873516, 3.0485873516), (3.5297504108, 0.0297504108)],
    "dual_contrastive": [(0.0971747031, -0.0971747031), (7.0595008365, -7.0595008365)],
}
BOUNDARIES = {"minimax": 0, "non_saturating": 0, "hinge": 0, "least_squares": 0.5,
              "wasserstein": None, "relativistic": None, "relativistic_average": None,
              "dual_contrastive": None}  # fmt: skip
# Where each logit's loss depends on all logits of the batch.
BATCH_WIDE = {"relativistic_average", "dual_contrastive"}
# Where only differences of reals' and fakes' logits matter.
OF_DIFFERENCES = {"relativistic", *BATCH_WIDE}

each_loss = pytest.mark.parametrize("name", LOSSES)
each_player = pytest.mark.parametrize("player", ["discriminator", "generator"])


each_dtype = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])


def logits(seed, shape, dtype=None):
    return jnp.asarray(np.random.default_rng(seed).normal(scale=3, size=shape), dtype)


def test_every_loss_is_worked_by_hand_here():
    assert LOSSES.keys() == FORMULAS.keys() == BY_HAND.keys() == BOUNDARIES.keys()


@each_loss
def test_values_worked_by_hand(name):
    found = [
        (LOSSES[name].discriminator(r, f), LOSSES[name].generator(r, f))
        for r, f in ((jnp.float32(2), jnp.float32(-1)), (jnp.float32(-0.5), jnp.float32(3)))
    ]
    np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-6, atol=1e-7)


@each_loss
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)], ids=["images", "patches"])
def test_values_by_the_papers_formula(name, shape):
    with jax.enable_x64(True):
        real, fake = logits(0, shape), logits(1, shape)
        for function, formula in zip(LOSSES[name][:2], FORMULAS[name], strict=True):
            np.testing.assert_allclose(
                function(real, fake), formula(np.asarray(real), np.asarray(fake)), rtol=1e-12, atol=1e-14
            )


@each_loss
@each_player
@each_dtype
def test_shape_and_dtype_are_kept(name, player, dtype):
    with jax.enable_x64(True):
        out = jax.eval_shape(getattr(LOSSES[name], player), *[jax.ShapeDtypeStruct((2, 3, 4), dtype)] * 2)
    assert (out.shape, out.dtype) == ((2, 3, 4), dtype)


@each_loss
@each_player
def test_a_logit_counts_for_its_own_loss_alone_unless_the_loss_is_batch_wide(name, player):
    function, real, fake = getattr(LOSSES[name], player), logits(0, (2, 3, 4)), logits(1, (2, 3, 4))
    before, after = function(real, fake), function(real.at[1, 2, 0].add(0.5), fake.at[1, 2, 0].add(1))
    changed = np.argwhere(before != after).tolist()
    assert (len(changed) == 24) if name in BATCH_WIDE else (changed == [[1, 2, 0]])


@each_loss
@each_player
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_huge_logits_have_finite_losses_and_gradients(name, player, dtype):
    ends = jnp.asarray([-1e4, 0, 1e4], dtype)
    real, fake = (x.ravel() for x in jnp.meshgrid(ends, ends))
    function = getattr(LOSSES[name], player)
    # A batch-wide loss is also given each pair as a batch of one, where the other kind's mean is as huge.
    for one in [function, jax.vmap(function)] if name in BATCH_WIDE else [function]:
        losses, pull = jax.vjp(one, real, fake)
        for x in (losses, *pull(jnp.ones_like(losses))):
            assert jnp.isfinite(x).all()


@each_player
@pytest.mark.parametrize("name", sorted(BATCH_WIDE))
def test_jit_of_a_batch_wide_loss_equals_plain(name, player):
    function, inputs = getattr(LOSSES[name], player), (logits(0, (2, 3, 4)), logits(1, (2, 3, 4)))
    np.testing.assert_allclose(jax.jit(function)(*inputs), function(*inputs), rtol=2e-6, atol=1e-6)


@each_loss
@each_player
def test_d_parts_reals_from_fakes_and_g_raises_the_fakes(name, player):
    real, fake = jnp.float32([0.5, 0.25, 0.75]), jnp.float32([0.25, 0.5, 0.125])
    in_real, in_fake = jax.grad(lambda r, f: getattr(LOSSES[name], player)(r, f).sum(), (0, 1))(real, fake)
    if player == "discriminator":
        assert (in_real < 0).all() and (in_fake > 0).all()
    else:
        assert (in_real >= 0).all() and (in_fake < 0).all()


@each_loss
@each_player
def test_gradients_are_those_of_finite_differences(name, player):
    with jax.enable_x64(True):
        check_grads(getattr(LOSSES[name], player), (logits(2, (9,)), logits(3, (9,))), 1, ["rev"], 1e-7, 1e-7)


def test_the_saturating_generator_plays_a_zero_sum_game():
    real, fake = logits(0, (9,)), logits(1, (9,))
    of_fake = [jax.grad(lambda f, p=player: p(real, f).sum())(fake) for player in minimax[:2]]
    np.testing.assert_allclose(of_fake[0], -of_fake[1], rtol=1e-6)


def test_minimax_of_an_undecided_discriminator_is_log_2():
    assert minimax.discriminator(jnp.float32(0), jnp.float32(0)) == pytest.approx(log(2))
    assert minimax.generator(jnp.float32(0), jnp.float32(0)) == pytest.approx(-log(2) / 2)


@each_player
@pytest.mark.parametrize("name", sorted(OF_DIFFERENCES))
def test_relativistic_losses_take_no_notice_of_a_shift_of_both_logits(name, player):
    real, fake = jnp.float32([1.5, -2.0, 0.25]), jnp.float32([0.5, 3.0, -8.0])
    function = getattr(LOSSES[name], player)
    np.testing.assert_allclose(function(real + 64, fake + 64), function(real, fake), rtol=1e-5)


@each_loss
def test_boundaries(name):
    assert LOSSES[name].boundary == BOUNDARIES[name]


@pytest.mark.parametrize("name", [name for name, boundary in BOUNDARIES.items() if boundary is not None])
@pytest.mark.parametrize("away", [0.25, 2.0])
def test_at_its_boundary_a_discriminator_is_drawn_equally_to_both_sides(name, away):
    def at(logit):
        return float(LOSSES[name].discriminator(jnp.float32(logit), jnp.float32(logit)))

    assert at(BOUNDARIES[name] + away) == pytest.approx(at(BOUNDARIES[name] - away), rel=1e-6)


@pytest.mark.parametrize("name", [name for name, boundary in BOUNDARIES.items() if boundary is None])
def test_without_a_boundary_equal_logits_say_nothing(name):
    equal = jnp.float32([-5.0, 0.0, 0.5, 7.0])
    assert len(np.unique([LOSSES[name].discriminator(logit, logit) for logit in equal])) == 1


# Peers' values: torch 2.13.0, float64.
PEERS_LOGITS = [1.5, -2.0, 0.25, 3.0], [0.5, 3.0, -8.0, -1.0]
# binary_cross_entropy_with_logits against the other's mean, halved, as in the author's repository; then
# cross_entropy of class 0 in rows [r_i, f_1, ..., f_B], and in rows [-f_i, -r_1, ..., -r_B].
# Losses, and the derivatives of their sum in the logits of reals and of fakes.
PEERS = {
    ("relativistic_average", "discriminator"): [
        [0.329333734357, 1.730306777068, 0.089956651182, 0.09111832423],
        [-0.216631965432, -0.515607732865, -0.27218853198, -0.196146125958],
        [0.336844212535, 0.565166791546, 0.110297614904, 0.18826573725],
    ],
    ("relativistic_average", "generator"): [
        [1.860583734357, 0.261556777068, 5.246206651182, 3.12236832423],
        [0.783368034568, 0.484392267135, 0.72781146802, 0.803853874042],
        [-0.663155787465, -0.434833208454, -0.889702385096, -0.81173426275],
    ],
    ("dual_contrastive", "discriminator"): [
        [4.482782529157, 10.240749017451, 2.904986432216, 2.154387418037],
        [-0.902427546387, -3.345524371343, -1.192953330316, -0.539749164575],
        [1.178698636896, 3.98784476821, 0.002873569172, 0.811237438343],
    ],
}


@pytest.mark.parametrize("name, player", PEERS)
def test_batch_wide_losses_and_their_gradients_are_those_of_torch(name, player):
    with jax.enable_x64(True):
        losses, pull = jax.vjp(getattr(LOSSES[name], player), *map(jnp.float64, PEERS_LOGITS))
        np.testing.assert_allclose([losses, *pull(jnp.ones(4))], PEERS[name, player], atol=1e-11)


def test_relativistic_average_by_hand():
    real, fake = jnp.float32([1, 3]), jnp.float32([0, 2])  # means 2 and 1
    # D: reals at 0 and 2 above the fakes' mean, fakes at -2 and 0 above the reals'.
    half = (log(2) + np.log1p(np.exp(-2))) / 2
    np.testing.assert_allclose(relativistic_average.discriminator(real, fake), [half, half], rtol=1e-6)
    half = (log(2) + np.log1p(np.exp(2))) / 2
    np.testing.assert_allclose(relativistic_average.generator(real, fake), [half, half], rtol=1e-6)


def test_dual_contrastive_by_hand():
    real, fake = jnp.log(jnp.float32([3, 1])), jnp.log(jnp.float32([1, 2]))
    # Reals: 3/(3+3) and 1/(1+3). Fakes: 1/(1+4/3) and 1/2/(1/2+4/3).
    expected = np.log([2, 4]) + np.log([7 / 3, 11 / 3])
    np.testing.assert_allclose(dual_contrastive.discriminator(real, fake), expected, rtol=1e-6)
    np.testing.assert_allclose(dual_contrastive.generator(real, fake), -expected, rtol=1e-6)


# The logistic loss with softened targets.


def test_the_logistic_loss_with_hard_targets_is_the_non_saturating_one():
    real, fake = logits(0, (2, 3)), logits(1, (2, 3))
    for function, expected in zip(make_logistic()[:2], non_saturating[:2], strict=True):
        np.testing.assert_array_equal(function(real, fake), expected(real, fake))
    assert make_logistic().boundary == non_saturating.boundary == 0


@pytest.mark.parametrize(
    "fake_target, expected",
    [(0.1, [1.275490262163, 4.675515362617, 1.401274826252, 0.761849039092]),
     (0.0, [1.325490262163, 4.975515362617, 0.601274826252, 0.661849039092])],
)  # fmt: skip
def test_smoothed_targets_are_those_of_torchs_cross_entropy(fake_target, expected):
    with jax.enable_x64(True):
        loss = make_logistic(real_target=0.9, fake_target=fake_target)
        np.testing.assert_allclose(loss.discriminator(*map(jnp.float64, PEERS_LOGITS)), expected, rtol=1e-11)


def test_flipped_targets_are_their_expectation():
    real, fake = logits(0, (7,)), logits(1, (7,))

    def of_real(target):  # with fakes so sure that their part is 0
        return make_logistic(real_target=target).discriminator(real, jnp.full(7, -1e4))

    def of_fake(target):
        return make_logistic(fake_target=target).discriminator(jnp.full(7, 1e4), fake)

    found = make_logistic(real_target=0.9, fake_target=0.2, flipped=0.25).discriminator(real, fake)
    # A flipped real is told 0.1, a flipped fake 0.8.
    expected = 0.75 * (of_real(0.9) + of_fake(0.2)) + 0.25 * (of_real(0.1) + of_fake(0.8))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_with_half_of_the_targets_flipped_d_is_told_nothing():
    loss = make_logistic(flipped=0.5)
    assert loss.boundary == 0
    np.testing.assert_allclose(loss.discriminator(jnp.float32(2), jnp.float32(-1)),
                               loss.discriminator(jnp.float32(-1), jnp.float32(2)), rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize(
    "targets, boundary",
    [({"real_target": 0.9}, log(0.45 / 0.55)),
     ({"real_target": 0.9, "fake_target": 0.1}, 0),
     ({"real_target": 0.75, "fake_target": 0.25, "flipped": 0.1}, 0),
     ({"real_target": 1.0, "fake_target": 0.2}, log(0.6 / 0.4))],
)  # fmt: skip
def test_the_boundary_of_softened_targets_is_where_d_rests_between_equal_kinds(targets, boundary):
    loss = make_logistic(**targets)
    assert loss.boundary == pytest.approx(boundary, abs=1e-12)
    slope = jax.grad(lambda logit: loss.discriminator(logit, logit))(jnp.float32(loss.boundary))
    assert abs(slope) < 1e-6


@each_dtype
def test_the_logistic_losss_dtype_is_kept(dtype):
    with jax.enable_x64(True):
        loss = make_logistic(real_target=0.9, fake_target=0.1, flipped=0.05)
        out = jax.eval_shape(loss.discriminator, *[jax.ShapeDtypeStruct((3,), dtype)] * 2)
    assert out.dtype == dtype


def test_the_logistic_loss_and_its_gradient_are_finite_at_huge_logits():
    ends = jnp.float32([-1e4, 0, 1e4])
    losses, pull = jax.vjp(make_logistic(real_target=0.9, fake_target=0.1).discriminator, ends, ends)
    assert all(jnp.isfinite(x).all() for x in (losses, *pull(jnp.ones(3))))


@pytest.mark.parametrize(
    "targets",
    [{"real_target": 1.1}, {"fake_target": -0.1}, {"real_target": 0.4, "fake_target": 0.4},
     {"real_target": 0.1, "fake_target": 0.9}, {"real_target": float("nan")},
     {"flipped": 0.6}, {"flipped": -0.1}],
)  # fmt: skip
def test_impossible_targets_are_refused(targets):
    with pytest.raises(ValueError, match="expected"):
        make_logistic(**targets)


# Top-k.


def test_top_k_trains_on_the_most_real_fakes():
    real, fake = jnp.zeros(4), jnp.float32([-1, 3, 2, -5])
    found = top_k(hinge, 0.5).generator(real, fake)
    np.testing.assert_array_equal(found, [0, -6, -4, 0])  # twice -3 and -2: their mean is that of the chosen
    assert found.mean() == -2.5


def test_top_k_of_patches_chooses_among_all_patches():
    fake = jnp.float32([[[4, 1], [2, 7]], [[0, 3], [5, 6]]])
    found = top_k(hinge, 0.25).generator(jnp.zeros((2, 2, 2)), fake)
    np.testing.assert_array_equal(found, [[[0, 0], [0, -28]], [[0, 0], [0, -24]]])


def test_top_k_gives_no_gradient_to_the_others():
    fake = jnp.float32([-1, 3, 2, -5])
    gradient = jax.grad(lambda f: top_k(non_saturating, 0.5).generator(jnp.zeros(4), f).mean())(fake)
    np.testing.assert_allclose(gradient, [0, -s(-3) / 2, -s(-2) / 2, 0], rtol=1e-5)


def test_top_k_chooses_equals_together_and_at_least_one():
    assert top_k(hinge, 0.25).generator(jnp.zeros(4), jnp.float32([2, 1, 2, 2])).tolist() == [
        pytest.approx(-8 / 3), 0, pytest.approx(-8 / 3), pytest.approx(-8 / 3)]  # fmt: skip
    assert top_k(hinge, 1e-6).generator(jnp.zeros(4), jnp.float32([2, 1, 4, 3])).tolist() == [0, 0, -16, 0]


@pytest.mark.parametrize("loss", [hinge, dual_contrastive], ids=["hinge", "dual_contrastive"])
def test_top_k_of_all_is_the_loss_itself(loss):
    real, fake = logits(0, (2, 3, 4)), logits(1, (2, 3, 4))
    whole = top_k(loss, 1.0)
    np.testing.assert_array_equal(whole.generator(real, fake), loss.generator(real, fake))
    assert (whole.discriminator, whole.boundary) == (loss.discriminator, loss.boundary)


def test_top_ks_share_may_be_traced_and_one_program_serves_all_shares():
    real, fake = jnp.zeros(9), logits(1, (9,))
    traces = []

    @jax.jit
    def jitted(share):
        traces.append(share)
        return top_k(non_saturating, share).generator(real, fake)

    for share in (0.01, 0.34, 0.5, 1.0):
        expected = top_k(non_saturating, share).generator(real, fake)
        np.testing.assert_allclose(jitted(jnp.float32(share)), expected, rtol=1e-6)
        assert (expected != 0).sum() == max(1, round(share * 9))
    assert len(traces) == 1


def test_top_ks_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        inputs = logits(2, (9,)), logits(3, (9,))
        check_grads(top_k(non_saturating, 0.4).generator, inputs, 1, ["rev"], 1e-7, 1e-7)


@each_dtype
def test_top_ks_dtype_is_kept_and_huge_logits_are_finite(dtype):
    with jax.enable_x64(True):
        fake = jnp.asarray([-1e4, 0, 1e4], dtype)
        for share in (0.5, jnp.float32(0.5)):
            found = top_k(non_saturating, share).generator(fake, fake)
            assert found.dtype == dtype and jnp.isfinite(found).all()


@pytest.mark.parametrize("name", [*LOSSES, "smoothed", "chosen"])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_logits_of_two_shapes_are_refused(name, player):
    """They would be broadcast to [4,4], silently."""
    own = {"smoothed": make_logistic(real_target=0.9), "chosen": top_k(hinge, 0.5)}
    function = getattr((LOSSES | own)[name], player)
    if (name, player) == ("smoothed", "generator"):
        assert function is LOSSES["non_saturating"].generator
    with pytest.raises(ValueError, match=r"one shape, got real_logits \[4\], fake_logits \[4, 1\]"):
        function(jnp.zeros(4), jnp.zeros((4, 1)))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match=f"share is {share}, expected"):
        top_k(hinge, share)


# Classes.

CLASS_LOGITS, TWIN_LOGITS = [[2.0, -1, 0.5], [0, 3, -2]], [[-0.5, 1, 0], [1, 1, 4]]


def test_class_terms_are_those_of_torchs_cross_entropy():
    labels = jnp.int32([2, 0])
    with jax.enable_x64(True):
        logits, twin = jnp.float64(CLASS_LOGITS), jnp.float64(TWIN_LOGITS)
        expected = [1.741311296657, 3.054985235377]
        np.testing.assert_allclose(auxiliary_classifier(logits, labels), expected, rtol=1e-11)
        np.testing.assert_allclose(categorical_information(logits, labels), expected, rtol=1e-11)
        np.testing.assert_allclose(
            twin_classifier(logits, twin, labels), [0.276942512549, -0.039937721044], rtol=1e-11
        )


@pytest.mark.parametrize("function", [auxiliary_classifier, categorical_information])
def test_cross_entropy_by_hand(function):
    logits = jnp.log(jnp.float32([[1, 2, 1], [5, 3, 2]]))
    np.testing.assert_allclose(function(logits, jnp.int32([1, 2])), [log(2), log(5)], rtol=1e-6)


def test_the_twins_term_by_hand_and_with_its_sign():
    probabilities, twins = jnp.float32([[0.5, 0.5]]), jnp.float32([[0.8, 0.2]])
    found, pull = jax.vjp(
        lambda p, q: twin_classifier(p, q, jnp.int32([0])), jnp.log(probabilities), jnp.log(twins)
    )
    np.testing.assert_allclose(found, [log(0.8 / 0.5)], rtol=1e-6)
    in_class, in_twin = pull(jnp.ones(1))
    # The generator raises the label's share of the classifier and lowers the twin's.
    np.testing.assert_allclose(in_class, [[-0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(in_twin, [[0.2, -0.2]], rtol=1e-5)


def test_with_ideal_heads_the_twins_term_is_least_where_fakes_labels_are_the_reals():
    # p(y|x) and candidates for q(y|x) at two points x of equal weight; labels are equally likely.
    p = np.array([[0.7, 0.3], [0.3, 0.7]])

    def mean_over_fakes(sharpness):
        q = np.array([[sharpness, 1 - sharpness], [1 - sharpness, sharpness]])
        terms = [twin_classifier(jnp.log(p), jnp.log(q), jnp.full(2, y)) for y in (0, 1)]
        return sum(float((q[:, y] * terms[y]).sum()) / 2 for y in (0, 1))

    assert mean_over_fakes(0.7) == pytest.approx(0, abs=1e-6)
    assert min(map(mean_over_fakes, (0.5, 0.6, 0.8, 0.95))) > 0.01


def test_class_terms_and_their_gradients_are_finite_at_huge_logits():
    huge = jnp.float32([[1e4, -1e4, 0], [-1e4, 1e4, 0]])
    found, pull = jax.vjp(lambda p, q: twin_classifier(p, q, jnp.int32([1, 1])), huge, -huge)
    assert all(jnp.isfinite(x).all() for x in (found, *pull(jnp.ones(2))))
    np.testing.assert_array_equal(auxiliary_classifier(huge, jnp.int32([1, 1])), [2e4, 0])


# Codes.


def test_gaussian_information_is_torchs_gaussian_nll_loss():
    with jax.enable_x64(True):
        means, log_variances = jnp.float64([[0, 1], [0.5, -2]]), jnp.float64([[0, 1], [-1, 0.5]])
        found = gaussian_information(means, log_variances, jnp.float64([[1, -1], [0.25, 0]]))
        np.testing.assert_allclose(found, [3.573635948752, 2.885884692974], rtol=1e-11)


def test_gaussian_information_by_hand():
    means, codes = jnp.float32([[0, 0], [1, 2]]), jnp.float32([[0, 0], [4, -2]])
    log_variances = jnp.log(jnp.float32([[1, 1], [9, 4]]))
    # At the mean log sqrt(2 pi) a code; then a squared distance of 1 + 4 and log 3 + log 2 more.
    expected = [log(2 * np.pi), log(2 * np.pi) + 2.5 + log(6)]
    np.testing.assert_allclose(gaussian_information(means, log_variances, codes), expected, rtol=1e-6)


@pytest.mark.parametrize("labels", [jnp.zeros((2, 1), int), jnp.zeros(3, int), jnp.zeros(2)], ids=str)
@pytest.mark.parametrize("function", [auxiliary_classifier, categorical_information])
def test_labels_of_other_shapes_and_kinds_are_refused(function, labels):
    with pytest.raises(ValueError, match=r"Got logits \[2, 3\] and labels .*expected \[B,K\] and integers"):
        function(jnp.zeros((2, 3)), labels)


def test_heads_and_codes_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"class_logits \[2, 3\], twin_logits \[2, 4\]"):
        twin_classifier(jnp.zeros((2, 3)), jnp.zeros((2, 4)), jnp.zeros(2, int))
    with pytest.raises(ValueError, match=r"log_variances \[2, 1\]"):
        gaussian_information(jnp.zeros((2, 3)), jnp.zeros((2, 1)), jnp.zeros((2, 3)))


# Features.


def test_feature_matching_by_hand():
    real = [jnp.float32([[1, 2], [3, 4]]), jnp.zeros((2, 1, 2, 2))]
    fake = [jnp.float32([[0, 4], [3, 4]]), jnp.float32([1, -1, 1, -1, 2, 0, 0, 0]).reshape(2, 1, 2, 2)]
    # Layer by layer 1.5 and 1 for the first example, 0 and 0.5 for the second.
    np.testing.assert_array_equal(feature_matching(real, fake), [1.25, 0.25])


def test_mean_feature_matching_by_hand():
    real = [jnp.float32([[1, 2], [3, 4]]), jnp.zeros((2, 1))]
    fake = [jnp.float32([[0, 3], [0, 3]]), jnp.float32([[4], [2]])]
    # Means [2, 3] and [0, 3], 0 and 3: 4 + 9.
    np.testing.assert_array_equal(mean_feature_matching(real, fake), [13, 13])
    swapped = [layer[::-1] for layer in real]  # which example is which plays no part
    np.testing.assert_array_equal(mean_feature_matching(swapped, fake), [13, 13])


def test_feature_matching_is_of_each_example_alone():
    real, fake = logits(0, (3, 2, 4)), logits(1, (3, 2, 4))
    changed = feature_matching([real], [fake]) != feature_matching([real], [fake.at[1].add(1)])
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("function", [feature_matching, mean_feature_matching])
@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (2, 3)], [(2, 3), (2, 5)], []], ids=str)
def test_features_of_other_layers_are_refused(function, shapes):
    expected = [(2, 3), (2, 4)] if shapes else []
    with pytest.raises(ValueError, match="expected the same layers"):
        function([jnp.zeros(shape) for shape in expected], [jnp.zeros(shape) for shape in shapes])


# Of the terms, what holds of all.

LABELS = np.int32([0, 2])
TERMS = {
    "auxiliary_classifier": lambda x, y: auxiliary_classifier(x, LABELS),
    "twin_classifier": lambda x, y: twin_classifier(x, y, LABELS),
    "categorical_information": lambda x, y: categorical_information(x, LABELS),
    "gaussian_information": lambda x, y: gaussian_information(x, y, x * y),
    "feature_matching": lambda x, y: feature_matching([x, x[:, :2]], [y, y[:, :2]]),
    "mean_feature_matching": lambda x, y: mean_feature_matching([x, x[:, :2]], [y, y[:, :2]]),
}
each_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)


@each_term
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_a_term_is_an_examples_in_the_inputs_dtype(term, dtype):
    with jax.enable_x64(True):
        found = jax.eval_shape(term, *[jax.ShapeDtypeStruct((2, 3), dtype)] * 2)
    assert (found.shape, found.dtype) == ((2,), dtype)


@each_term
def test_a_terms_gradients_are_those_of_finite_differences(term):
    with jax.enable_x64(True):
        check_grads(term, (logits(2, (2, 3)) / 3, logits(3, (2, 3)) / 3), 1, ["rev"], 1e-6, 1e-6)


@each_term
def test_jit_of_a_term_equals_plain(term):
    inputs = logits(0, (2, 3)), logits(1, (2, 3))
    np.testing.assert_allclose(jax.jit(term)(*inputs), term(*inputs), rtol=1e-5)
