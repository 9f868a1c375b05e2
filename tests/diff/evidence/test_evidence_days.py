"""The rule for days: the vectors of statistics_dependence.md, derivations anew, and what must always hold."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from gnomon_diff.evidence import (
    DayCriterion,
    design_effect,
    design_effect_beyond_chance,
    log_e,
    log_threshold,
    promote_log_e,
    reject_log_e,
    t_log_e,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import nct, norm
from scipy.stats import t as student

unhurried = settings(deadline=None)  # a busy machine is no failure
REQUESTS = np.array([900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925])
FLAGS = np.array([9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10])
LN20 = log_threshold(0.05)

values = st.lists(st.floats(-100, 100).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=30)
# A criterion and days of it: a, b.
criteria = st.sampled_from(
    [
        DayCriterion.rate(0.05),
        DayCriterion.excess(0.05),
        DayCriterion.error_ratio(1.2),
        DayCriterion.accuracy_ratio(0.9),
        DayCriterion.rate_difference(0.01),
    ]
)
day_lists = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 200)).map(lambda ab: (min(ab), max(ab))),
    min_size=1,
    max_size=28,
).map(lambda days: np.array(days, dtype=float).T)


def test_the_vectors_of_the_t_e_process() -> None:
    evidence = t_log_e([7, 7, 14], [14, -14, 10], [35, 35, 30])
    assert evidence == pytest.approx([3.86487, -2.13949, 1.06513], rel=1e-5)


@pytest.mark.parametrize(
    ("limit", "after_7", "after_14"),
    [(0.05, 1.59264, 6.26566), (0.03, 0.944310, 4.13343), (0.01, -1.85612, -2.27503)],
)
def test_the_vectors_of_promote(limit: float, after_7: float, after_14: float) -> None:
    evidence = promote_log_e(DayCriterion.rate(limit), FLAGS, REQUESTS)
    assert evidence[[6, 13]] == pytest.approx([after_7, after_14], rel=1e-5)


def test_the_vectors_of_reject() -> None:
    rate = DayCriterion.rate(0.01)
    payoffs = FLAGS / REQUESTS / 0.01 - 1
    assert reject_log_e(replace(rate, bets=False), FLAGS, REQUESTS)[-1] == pytest.approx(0.00876490, rel=1e-5)
    assert float(log_e(np.ones(14), payoffs)) == pytest.approx(0.650253, rel=1e-5)
    assert reject_log_e(rate, FLAGS, REQUESTS)[-1] == pytest.approx(0.380089, rel=1e-5)


def test_the_vector_of_the_design_effect() -> None:
    effect = design_effect(FLAGS, REQUESTS)
    assert effect == pytest.approx(4.33778, rel=1e-5)
    assert FLAGS.sum() / REQUESTS.sum() == pytest.approx(0.0129032, rel=1e-5)
    assert design_effect_beyond_chance(4.33778, 14)
    assert not design_effect_beyond_chance(1.2, 14)


def test_seven_days_without_a_flag_cannot_promote() -> None:
    evidence = promote_log_e(DayCriterion.rate(0.05), np.zeros(14), np.full(14, 900))
    assert evidence[6] == pytest.approx(2.356, rel=1e-3)
    assert evidence[13] > LN20


@pytest.mark.parametrize("n", [2, 3, 7, 30])
def test_the_expected_t_e_value_of_normal_values_is_one(n: int) -> None:
    def weighted(t: float) -> float:
        s = math.sqrt(n) * t / math.sqrt(n - 1 + t * t)  # free of scale: v = 1
        return math.exp(float(t_log_e(n, s, 1.0))) * float(student.pdf(t, n - 1))

    edges = (-math.inf, -10, 10, 1000, math.inf)
    pieces = [quad(weighted, low, high, limit=400)[0] for low, high in itertools.pairwise(edges)]
    assert sum(pieces) == pytest.approx(1, abs=1e-6)


def test_it_is_the_likelihood_ratio_of_student_s_t_over_a_half_normal_effect() -> None:
    """An independent derivation, by the noncentral t: s = 14 and v = 35 of 7 values are t = 4.899."""
    n, t = 7, 14 / math.sqrt(7) / math.sqrt((35 - 14**2 / 7) / 6)

    def weighted(effect: float) -> float:
        return 2 * norm.pdf(effect) * nct.pdf(t, n - 1, effect * math.sqrt(n))

    ratio = quad(weighted, 0, 10)[0] / student.pdf(t, n - 1)
    assert math.log(ratio) == pytest.approx(3.86487, abs=1e-4)


@pytest.mark.parametrize("days", range(4, 60, 5))
def test_an_added_day_of_at_most_zero_lifts_nothing_to_a_crossing(days: int) -> None:
    ratio = np.linspace(0, math.sqrt(days), 400)[:, None] * (1 - 1e-9)
    added = -np.r_[0, np.geomspace(1e-6, 1e3, 300)]
    after = t_log_e(days + 1, ratio + added, 1 + added**2)
    rise = after - t_log_e(days, ratio, 1.0)
    assert np.all(rise[after >= 0] <= 0)


@pytest.mark.parametrize("n", [1, 4, 15, 29])
def test_it_rises_with_the_ratio_of_sum_and_root(n: int) -> None:
    ratio = np.linspace(-math.sqrt(n), math.sqrt(n), 2001)
    assert np.all(np.diff(t_log_e(n, ratio, 1.0)) > 0)


@unhurried
@given(values, st.floats(1e-6, 1e6))
def test_it_is_free_of_scale(x: list[float], scale: float) -> None:
    n, s, v = len(x), sum(x), sum(value * value for value in x)
    plain = float(t_log_e(n, s, v))
    assert float(t_log_e(n, scale * s, scale * scale * v)) == pytest.approx(plain, rel=1e-6, abs=1e-6)


@unhurried
@given(values)
def test_the_two_signs_are_never_both_shown(x: list[float]) -> None:
    n, s, v = len(x), sum(x), sum(value * value for value in x)
    assert min(t_log_e(n, s, v), t_log_e(n, -s, v)) <= 0


def test_nothing_is_no_evidence() -> None:
    assert float(t_log_e(0, 0, 0)) == float(t_log_e(9, 0, 0)) == 0
    for criterion in (DayCriterion.rate(0.05), DayCriterion.error_ratio(1.05)):
        assert promote_log_e(criterion, [], []).shape == reject_log_e(criterion, [], []).shape == (0,)
        assert promote_log_e(criterion, np.zeros(20), np.zeros(20)).tolist() == [0] * 20
    assert reject_log_e(DayCriterion.error_ratio(1.05), np.zeros(5), np.zeros(5)).tolist() == [
        -math.inf,
        -math.inf,
        -math.inf,
        0,
        0,
    ]


def test_bets_count_from_the_first_day_and_the_t_from_the_fourth() -> None:
    flags, requests = np.full(5, 90), np.full(5, 100)
    with_bets = reject_log_e(DayCriterion.rate(0.01), flags, requests)
    alone = reject_log_e(DayCriterion.excess(0.01), flags, requests)
    assert np.all(with_bets[1:] > LN20)
    assert alone[:3].tolist() == [-math.inf] * 3
    assert alone[3] > 1


def test_an_underflowing_cdf_is_no_capital() -> None:
    assert float(t_log_e(2000, -2000, 2000)) == -math.inf


def test_a_day_without_rows_counts_as_a_day_with_zero() -> None:
    flags, requests = np.insert(FLAGS, 5, 0), np.insert(REQUESTS, 5, 0)
    rate = DayCriterion.rate(0.05)
    x = np.insert(0.05 * REQUESTS - FLAGS, 5, 0.0)
    added = min(x.min(), -0.05 * REQUESTS.sum() / 15)
    expected = t_log_e(16, x.sum() + added, x @ x + added**2)
    assert promote_log_e(rate, flags, requests)[-1] == pytest.approx(float(expected))
    skipped = reject_log_e(replace(rate, limit=0.01), flags, requests)
    assert (
        skipped[5]
        == pytest.approx(  # E_bet as after five days, E_t with a sixth value of 0
            np.logaddexp(
                float(log_e(np.ones(5), FLAGS[:5] / REQUESTS[:5] / 0.01 - 1)),
                float(
                    t_log_e(
                        6, (FLAGS - 0.01 * REQUESTS)[:5].sum(), ((FLAGS - 0.01 * REQUESTS)[:5] ** 2).sum()
                    )
                ),
            )
            - math.log(2)
        )
    )


@pytest.mark.parametrize(
    ("criterion", "allowed", "within"),
    [
        (DayCriterion.rate(0.05), 0.05, -1.0),
        (DayCriterion.excess(0.05), 0.05, -1.0),
        (DayCriterion.error_ratio(1.05), 0.05, 99.0),
        (DayCriterion.error_ratio(0.9), 0.0, 84.0),
        (DayCriterion.accuracy_ratio(0.9), 0.1, -84.0),
        (DayCriterion.rate_difference(0.01), 0.01, -5.0),
    ],
)
def test_the_table_of_criteria(criterion: DayCriterion, allowed: float, within: float) -> None:
    assert criterion.allowed == pytest.approx(allowed)
    assert criterion.promote_x([6.0], [100.0]) == pytest.approx([within])
    assert criterion.reject_x([6.0], [100.0]) == pytest.approx([-within])


@pytest.mark.parametrize("events_min", [0.0, 5.0])
def test_too_few_events_allowed_are_no_evidence(events_min: float) -> None:
    rate = replace(DayCriterion.rate(0.01), events_min=events_min)
    evidence = promote_log_e(rate, np.zeros(28), np.full(28, 20))
    assert np.all(evidence[:24] <= 0) == bool(events_min)
    assert evidence[24] > LN20  # 25 days of 20 requests allow 5 events


@unhurried
@given(criteria, day_lists)
def test_the_order_of_days_does_not_matter_at_the_end(criterion: DayCriterion, days: np.ndarray) -> None:
    a, b = days
    for evidence in (promote_log_e, reject_log_e):
        turned = evidence(criterion, a[::-1], b[::-1])[-1]
        assert turned == pytest.approx(evidence(criterion, a, b)[-1], abs=1e-6)


@unhurried
@given(criteria, day_lists)
def test_the_evidence_of_a_day_does_not_change_later(criterion: DayCriterion, days: np.ndarray) -> None:
    a, b = days
    for evidence in (promote_log_e, reject_log_e):
        whole = evidence(criterion, a, b)
        for day in range(1, len(a) + 1):
            assert evidence(criterion, a[:day], b[:day])[-1] == whole[day - 1]


@unhurried
@given(criteria, st.lists(day_lists, min_size=2, max_size=4))
def test_many_segments_at_once_are_each_alone(criterion: DayCriterion, series: list[np.ndarray]) -> None:
    shortest = min(days.shape[1] for days in series)
    a, b = np.stack([days[:, :shortest] for days in series], axis=1)
    for evidence in (promote_log_e, reject_log_e):
        together = evidence(criterion, a, b)
        for row, sums, units in zip(together, a, b, strict=True):
            assert row == pytest.approx(evidence(criterion, sums, units), abs=1e-9)


@unhurried
@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=28),
    st.tuples(st.floats(0.001, 0.9), st.floats(0.001, 0.9)),
)
def test_a_looser_limit_never_has_less_evidence_of_being_kept(
    flags: list[int], limits: tuple[float, float]
) -> None:
    """For days of equal volume."""
    requests = np.full(len(flags), 100)
    small, large = (DayCriterion.rate(limit) for limit in sorted(limits))
    wider, tighter = (promote_log_e(rate, flags, requests) for rate in (large, small))
    assert np.all((wider >= tighter - 1e-9) | (tighter < 0))
    assert np.all(reject_log_e(small, flags, requests) >= reject_log_e(large, flags, requests) - 1e-9)


@unhurried
@given(criteria, day_lists)
def test_promote_and_reject_by_the_t_are_never_both_reached(
    criterion: DayCriterion, days: np.ndarray
) -> None:
    a, b = days
    without = replace(criterion, bets=False)
    assert np.all(np.minimum(promote_log_e(without, a, b), reject_log_e(without, a, b)) <= 0)


@unhurried
@given(st.lists(st.integers(0, 100), min_size=1, max_size=28), st.floats(0.01, 0.5))
def test_with_bets_they_are_not_both_reached_either_on_days_of_equal_volume(
    flags: list[int], limit: float
) -> None:
    requests = np.full(len(flags), 100)
    rate = DayCriterion.rate(limit)
    assert np.all(np.minimum(promote_log_e(rate, flags, requests), reject_log_e(rate, flags, requests)) < 1)


def test_a_design_effect_needs_blocks_and_flags() -> None:
    assert design_effect([], []) is None
    assert design_effect([1], [10]) is None
    assert design_effect([0, 0], [10, 10]) is None
    assert design_effect([10, 10], [10, 10]) is None
    assert design_effect([3, 1, 0], [10, 10, 0]) == design_effect([3, 1], [10, 10])
    assert design_effect([10, 0], [10, 10]) == pytest.approx(20)


def test_impossible_arguments_are_refused() -> None:
    rate = DayCriterion.rate(0.05)
    with pytest.raises(ValueError, match="strictly between"):
        DayCriterion.rate(0.0)
    with pytest.raises(ValueError, match="strictly between"):
        replace(rate, limit=math.nan)
    with pytest.raises(ValueError, match="events_min"):
        replace(rate, events_min=-1.0)
    with pytest.raises(ValueError, match="at least 0"):
        t_log_e(-1, 0, 0)
    with pytest.raises(ValueError, match="at least 0"):
        t_log_e(2, 0, math.nan)
    with pytest.raises(ValueError, match="no n values"):
        t_log_e(2, 3, 4)
    for evidence in (promote_log_e, reject_log_e):
        with pytest.raises(ValueError, match="one shape"):
            evidence(rate, [1, 2], [3])
        with pytest.raises(ValueError, match="one shape"):
            evidence(rate, 1, 3)
        with pytest.raises(ValueError, match="finite"):
            evidence(rate, [math.nan], [3])
        with pytest.raises(ValueError, match="b at least 0"):
            evidence(rate, [1], [-3])
    with pytest.raises(ValueError, match="E_bet"):
        reject_log_e(rate, [-1], [10])
    with pytest.raises(ValueError, match="without rows"):
        reject_log_e(rate, [1], [0])
    with pytest.raises(ValueError, match="flags"):
        design_effect([11], [10])
    with pytest.raises(ValueError, match="blocks"):
        design_effect_beyond_chance(1.0, 1)
