"""Intervals from days: the vectors of statistics_dependence.md, and that they agree with the evidence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gnomon_diff.evidence import (
    DayCriterion,
    Interval,
    decision_bounds,
    log_threshold,
    promote_log_e,
    reject_log_e,
    rule_bounds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

unhurried = settings(deadline=None)  # a busy machine is no failure
REQUESTS = np.array([900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925])
FLAGS = np.array([9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10])
NONE = Interval(low=None, high=None)
LN20 = log_threshold(0.05)

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
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda ab: (min(ab), max(ab))),
    min_size=7,
    max_size=28,
).map(lambda days: np.array(days, dtype=float).T)


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


@pytest.mark.parametrize(
    ("alpha", "low", "high"), [(0.05, 0.00441440, 0.0280217), (0.10, 0.00545552, 0.0254663)]
)
def test_the_vectors(alpha: float, low: float, high: float) -> None:
    [interval] = rule_bounds(DayCriterion.rate(0.05), FLAGS, REQUESTS, alpha=alpha)
    assert ends(interval) == pytest.approx((low, high), rel=1e-5)


def test_a_week_has_no_upper_end_yet() -> None:
    assert rule_bounds(DayCriterion.rate(0.05), FLAGS[:7], REQUESTS[:7]) == [NONE]
    [steady] = rule_bounds(DayCriterion.rate(0.05), np.full(7, 9), REQUESTS[:7])
    assert steady.low is not None
    assert steady.high is None


def test_before_a_week_there_is_no_interval() -> None:
    assert rule_bounds(DayCriterion.rate(0.05), FLAGS[:6], REQUESTS[:6]) == [NONE]


def test_without_rows_there_is_no_interval() -> None:
    for criterion in (DayCriterion.rate(0.05), DayCriterion.error_ratio(1.05)):
        assert rule_bounds(criterion, np.zeros(14), np.zeros(14)) == [NONE]
        assert decision_bounds(criterion, [], [], log_promote=3, log_reject=3) == [NONE]
    assert rule_bounds(DayCriterion.error_ratio(1.05), np.ones(14), np.zeros(14)) == [NONE]


def test_a_series_without_rows_among_others() -> None:
    both = rule_bounds(DayCriterion.rate(0.05), np.stack([FLAGS, 0 * FLAGS]), np.stack([REQUESTS, 0 * FLAGS]))
    assert both == [*rule_bounds(DayCriterion.rate(0.05), FLAGS, REQUESTS), NONE]


def test_days_without_a_flag_bound_a_rate_only_by_the_events_asked_for() -> None:
    """Without that, days that do not vary look certain: the t e-process accepts every limit above 0."""
    nothing, requests = np.zeros(14), np.full(14, 100)
    [trusting] = rule_bounds(DayCriterion.rate(0.05), nothing, requests)
    assert trusting.low is None
    assert trusting.high == pytest.approx(0, abs=1e-9)
    [careful] = rule_bounds(replace(DayCriterion.rate(0.05), events_min=5), nothing, requests)
    assert careful.high == pytest.approx(5 / 1400)


@unhurried
@given(criteria, day_lists, st.sampled_from([0.05, 0.2]))
def test_an_interval_holds_the_estimate_and_turns_where_the_evidence_does(
    criterion: DayCriterion, days: np.ndarray, alpha: float
) -> None:
    a, b = days
    [interval] = rule_bounds(criterion, a, b, alpha=alpha)
    if not b.sum():
        assert interval == NONE
        return
    asked = log_threshold(alpha / 2)
    estimate = a.sum() / b.sum()
    promote, reject = (interval.high, interval.low) if criterion.at_most else (interval.low, interval.high)
    without = replace(criterion, bets=False)
    for end, evidence in ((promote, promote_log_e), (reject, reject_log_e)):
        if end is None:
            continue
        outward = 1e-6 * (1 if end >= estimate else -1) * max(abs(end - estimate), 1e-3)
        assert evidence(replace(without, limit=end + outward), a, b)[-1] >= asked - 1e-6
        if abs(end - estimate) > 1e-2:
            inside = replace(without, limit=end - 1e3 * outward)
            assert evidence(inside, a, b)[-1] <= asked + 1e-6
    if interval.low is not None:
        assert interval.low <= estimate + 1e-5
    if interval.high is not None:
        assert interval.high >= estimate - 1e-5


@unhurried
@given(criteria, day_lists)
def test_what_is_accepted_between_the_estimate_and_the_limit_stays_accepted_up_to_the_end(
    criterion: DayCriterion, days: np.ndarray
) -> None:
    """No accepted limit is missed: with none found, a walk over the range finds none either."""
    a, b = days
    [interval] = decision_bounds(criterion, a, b, log_promote=LN20, log_reject=LN20)
    end = interval.high if criterion.at_most else interval.low
    if not b.sum() or end is not None:
        return
    estimate = a.sum() / b.sum()
    worst = min(criterion.high, estimate + 10) if criterion.at_most else criterion.low
    for limit in np.linspace(estimate, worst, 30)[1:-1] if worst != estimate else ():
        assert promote_log_e(replace(criterion, limit=float(limit)), a, b)[-1] < LN20 + 1e-6


@unhurried
@given(day_lists, st.floats(0.01, 0.9), st.integers(1, 28))
def test_the_bounds_that_decide_agree_with_the_decision(days: np.ndarray, limit: float, upto: int) -> None:
    a, b = days[:, :upto]
    rate = DayCriterion.rate(limit)
    [interval] = decision_bounds(rate, a, b, log_promote=LN20, log_reject=LN20 + 1)
    if not b.sum():
        return
    # Within a digit of the end, either answer may be right.
    if interval.low is not None and limit < interval.low - 1e-5 * (a.sum() / b.sum()):
        assert reject_log_e(rate, a, b)[-1] >= LN20 + 1
    if interval.low is not None and limit > interval.low + 1e-5:
        assert reject_log_e(rate, a, b)[-1] < LN20 + 1
    if interval.high is None or limit < interval.high - 1e-6:
        assert promote_log_e(rate, a, b)[-1] < LN20


def test_the_bounds_that_decide_start_with_the_evidence() -> None:
    flags, requests = np.full(3, 90), np.full(3, 100)
    [bets] = decision_bounds(DayCriterion.rate(0.05), flags, requests, log_promote=3, log_reject=3)
    [alone] = decision_bounds(DayCriterion.excess(0.05), flags, requests, log_promote=3, log_reject=3)
    assert bets.low is not None
    assert bets.high is alone.low is alone.high is None


@unhurried
@given(criteria, st.lists(day_lists, min_size=2, max_size=4))
def test_many_series_at_once_are_each_alone(criterion: DayCriterion, series: list[np.ndarray]) -> None:
    shortest = min(days.shape[1] for days in series)
    a, b = np.stack([days[:, :shortest] for days in series], axis=1)
    asked = LN20 + np.arange(len(a))
    together = decision_bounds(criterion, a, b, log_promote=LN20, log_reject=asked)
    for interval, sums, units, one in zip(together, a, b, asked, strict=True):
        [expected] = decision_bounds(criterion, sums, units, log_promote=LN20, log_reject=one)
        for end, alone in ((interval.low, expected.low), (interval.high, expected.high)):
            assert (end is None) == (alone is None)
            assert end is None or end == pytest.approx(alone, rel=1e-6, abs=1e-6)


@unhurried
@given(day_lists, st.floats(0.1, 100))
def test_an_interval_does_not_depend_on_the_unit_of_counting(days: np.ndarray, scale: float) -> None:
    a, b = days
    [plain], [scaled] = (rule_bounds(DayCriterion.error_ratio(1.1), k * a, k * b) for k in (1.0, scale))
    for end, other in ((plain.low, scaled.low), (plain.high, scaled.high)):
        if end is not None and other is not None:
            assert end == pytest.approx(other, rel=1e-4, abs=2e-6)


def test_impossible_arguments_are_refused() -> None:
    rate = DayCriterion.rate(0.05)
    with pytest.raises(ValueError, match="alpha"):
        rule_bounds(rate, FLAGS, REQUESTS, alpha=2)
    with pytest.raises(ValueError, match="above 0"):
        decision_bounds(rate, FLAGS, REQUESTS, log_promote=0, log_reject=3)
    with pytest.raises(ValueError, match="dimensions"):
        rule_bounds(rate, np.zeros((2, 2, 2)), np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="E_bet"):
        decision_bounds(rate, -FLAGS, REQUESTS, log_promote=math.log(20), log_reject=3)
