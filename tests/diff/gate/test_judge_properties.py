"""What holds whatever the days are: no state without its evidence, no picture that says otherwise."""

from __future__ import annotations

import datetime
import math
from typing import Any

import msgspec
import numpy as np
from gnomon_diff import judge
from gnomon_diff.comparison import Criterion, Verdict
from gnomon_diff.settings import (
    Accuracy,
    Critical,
    ErrorRate,
    Excess,
    LatencyP95,
    Policy,
    RawDisagreement,
    Segments,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

DAY = datetime.timedelta(days=1)

policies = st.builds(
    Policy,
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
    disagreement=st.sampled_from([None, Excess(max_excess=0.05), Excess(max_excess=0.01)]),
    disagreement_raw=st.sampled_from([None, RawDisagreement(max=0.06)]),
    error_rate=st.sampled_from(
        [None, ErrorRate(max_increase_rel=0.2), ErrorRate(max_increase_rel=0.05, max_increase_abs=0.004)]
    ),
    accuracy=st.sampled_from([None, Accuracy(max_decrease_rel=0.05)]),
    critical_errors=st.just(Critical()),
    segments=st.sampled_from(
        [Segments(), Segments(by=()), Segments(min_segment_frac=0), Segments(min_segment_frac=0.3)]
    ),
)


@st.composite
def comparisons(draw: st.DrawFn, gate: Any, least_days: int = 0, most_days: int = 30) -> Any:
    """Days of traffic with everything a day may hold, of all sizes, and two carriers that come and go."""
    n = draw(st.one_of(st.integers(least_days, most_days), st.sampled_from([least_days, 14, most_days])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([1, 30, 1000, 100_000]))
    rate, noise = draw(st.sampled_from([0.0, 0.002, 0.03, 0.08])), draw(st.sampled_from([0.0, 0.02]))
    errors, worse = draw(st.sampled_from([0.0, 0.001, 0.05])), draw(st.sampled_from([0.9, 1.0, 1.0, 3.0]))
    accuracy, labels = draw(st.sampled_from([0.8, 0.88, 0.93])), draw(st.sampled_from([0.5, 0.95, 1.0]))
    effect = np.exp(draw(st.sampled_from([0.0, 0.3, 1.0])) * rng.standard_normal(n))

    def sums(pairs: np.ndarray) -> dict[str, np.ndarray]:
        rows, labelled = rng.binomial(pairs, 1 - errors), rng.binomial(pairs, labels)
        return {
            "pairs": pairs,
            "rows": rows,
            "flags": rng.binomial(rows, np.minimum((rate + noise) * effect, 1)),
            "noise_rows": rng.binomial(rows, 0.05),
            "noise_total": 20 * rng.binomial(rng.binomial(rows, 0.05), noise)
            - 10 * rng.binomial(rows, noise / 100),
            "candidate_errors": rng.binomial(pairs, np.minimum(errors * worse * effect, 1)),
            "primary_errors": rng.binomial(pairs, np.minimum(errors * effect, 1)),
            "labelled": labelled,
            "primary_right": rng.binomial(labelled, 0.9),
            "candidate_right": rng.binomial(labelled, accuracy),
        }

    pairs = rng.poisson(size, n)
    days = gate.days(n, **sums(pairs))
    for value, share in (("UA", 0.6), ("MQ", 0.02)):
        there = np.arange(n) >= draw(st.integers(0, 20))
        days += gate.days(n, value, **sums(rng.binomial(pairs, share) * there))
    loaded = days[0].start + draw(st.integers(0, 40)) * DAY if n and draw(st.booleans()) else None
    return gate.comparison(days, labels_loaded=loaded, critical=int(draw(st.integers(0, 9)) == 9))


def agrees(criterion: Criterion, at_a_look: bool) -> bool:
    """Whether the bounds against the limit say what the state says."""
    low, high, limit = criterion.low, criterion.high, criterion.limit
    slack = 1e-6 * max(1.0, abs(limit))
    if criterion.unit == "count":
        return (criterion.state == "fail") == (criterion.estimate > limit)
    if criterion.state == "pass":
        return high is not None and high <= limit + slack
    if criterion.state == "fail":
        return low is not None and low >= limit - slack
    return (low is None or low <= limit + slack) and (not at_a_look or high is None or high >= limit - slack)


def check(verdict: Verdict) -> None:
    """What must hold of every verdict."""
    states = {criterion.state for criterion in verdict.criteria}
    if verdict.verdict == "PROMOTE":
        assert states == {"pass"}
        assert verdict.look is not None
        assert verdict.valid_until is not None
    if verdict.verdict == "HOLD":
        assert "fail" not in states
    assert (verdict.verdict == "REJECT") == ("fail" in states) or verdict.verdict == "INVALID"
    assert verdict.expired <= (verdict.verdict == "HOLD")
    at_a_look = verdict.verdict != "REJECT" and verdict.look is not None
    for criterion in verdict.criteria:
        numbers = (criterion.estimate, criterion.low, criterion.high, criterion.limit)
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert agrees(criterion, at_a_look), criterion
        if criterion.state == "pass":
            assert criterion.n > 0
    msgspec.json.encode(verdict)  # no numpy scalar hides in it
    order = [("fail", "open", "pass").index(criterion.state) for criterion in verdict.criteria]
    assert order == sorted(order)
    assert 20 < len(verdict.reason) < 400
    assert verdict.reason[0].isupper()
    assert verdict.reason.endswith((".", ".)"))
    for odd in ("None", "nan", "inf", "  ", "..", "np."):
        assert odd not in verdict.reason.replace("information", "")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), policy=policies)
def test_states_verdict_picture_and_words_agree(gate: Any, data: st.DataObject, policy: Policy) -> None:
    verdict = judge(data.draw(comparisons(gate)), policy)
    event(verdict.verdict)
    check(verdict)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), policy=policies)
def test_the_verdict_is_a_function_of_its_arguments(gate: Any, data: st.DataObject, policy: Policy) -> None:
    comparison = data.draw(comparisons(gate))
    before = msgspec.json.encode([comparison, policy])
    verdict = judge(comparison, policy)
    again = msgspec.json.decode(before, type=tuple[type(comparison), Policy])
    assert judge(*again) == verdict
    assert msgspec.json.encode([comparison, policy]) == before


@settings(max_examples=100, deadline=None)
@given(data=st.data(), limit=st.sampled_from([0.01, 0.05]), days=st.sampled_from([14, 21, 28]))
def test_more_flags_on_no_better_than_average_days_never_make_a_promotion(
    gate: Any, data: st.DataObject, limit: float, days: int
) -> None:
    policy = Policy(disagreement=Excess(max_excess=limit))
    comparison = data.draw(comparisons(gate, least_days=days, most_days=days))
    within = {
        day.start: limit * day.rows - day.flags + day.noise_total
        for day in comparison.days
        if day.segment is None
    }
    ordinary = sorted(start for start, x in within.items() if x <= np.mean(list(within.values())))
    at = data.draw(st.sampled_from(ordinary))
    extra = data.draw(st.integers(1, 300))
    worse = [
        msgspec.structs.replace(day, flags=min(day.rows, day.flags + extra))
        if day.segment is None and day.start == at
        else day
        for day in comparison.days
    ]
    before, after = judge(comparison, policy), judge(msgspec.structs.replace(comparison, days=worse), policy)
    assert (after.verdict == "PROMOTE") <= (before.verdict == "PROMOTE")


def test_a_day_far_better_than_all_others_counts_as_variation(gate: Any, notes: Any) -> None:
    """So flags on it may make a promotion: what varies less is shown sooner. That is the t e-process; here a day
    on which chance drew much noise."""
    policy = Policy(disagreement=Excess(max_excess=0.05), segments=Segments(by=()))
    outcomes = {}
    for flags in (20, 590):
        flagged, noise = np.array([20, 22] * 6 + [21, flags]), np.array([0] * 13 + [570])
        verdict = judge(gate.comparison(gate.days(14, flags=flagged, noise_total=noise)), policy).verdict
        assert (verdict == "PROMOTE") == (notes.promote(50 - flagged + noise, 50 * 14) >= 20)
        outcomes[flags] = verdict
    assert outcomes == {20: "HOLD", 590: "PROMOTE"}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), policy=policies)
def test_a_rejection_stays_as_days_go_by(gate: Any, data: st.DataObject, policy: Policy) -> None:
    """Asked on each day anew, without any record: once rejected, always."""
    policy = msgspec.structs.replace(policy, accuracy=None)  # its labels are not there on each day
    comparison = data.draw(comparisons(gate))
    comparison = msgspec.structs.replace(comparison, correctness=None, errors=[])
    starts = sorted({day.start for day in comparison.days})[:28]
    rejected, looks = False, set()
    for upto in range(1, len(starts) + 1):
        days = [day for day in comparison.days if day.start in starts[:upto]]
        verdict = judge(msgspec.structs.replace(comparison, days=days), policy)
        assert (verdict.verdict == "REJECT") >= rejected
        rejected = verdict.verdict == "REJECT"
        if rejected:
            looks.add(verdict.look)
    assert len(looks) <= 1


def test_with_timed_requests_the_same_holds(gate: Any) -> None:
    rng = np.random.default_rng(5)
    policy = Policy(
        disagreement=Excess(max_excess=0.05),
        error_rate=ErrorRate(max_increase_abs=0.01),
        latency_p95=LatencyP95(max_increase_rel=0.3),
    )
    seen = set()
    for _ in range(60):
        n = int(rng.choice([50, 200, 800, 3000]))
        timed = 1000 * np.exp(rng.normal(0, 0.3, (n, 2))) * [1, rng.choice([0.9, 1.2, 1.35, 2.5])]
        days = gate.days(int(rng.choice([0, 3, 14])), flags=rng.choice([10, 48, 80]), candidate_errors=5)
        verdict = judge(gate.comparison(days, timed=timed, accounts={"rows": 9}), policy)
        check(verdict)
        seen |= {criterion.state for criterion in verdict.criteria if criterion.name == "latency_p95"}
    assert seen == {"pass", "open", "fail"}
