"""Each criterion: what makes it pass, fail or stay open, and that its bounds say the same."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from gnomon_diff import judge
from gnomon_diff.comparison import Criterion
from gnomon_diff.settings import (
    Accuracy,
    Critical,
    ErrorRate,
    Excess,
    LabelSettings,
    LatencyP95,
    Policy,
    RawDisagreement,
    Segments,
)

DAY = datetime.timedelta(days=1)
WHOLE = Segments(by=())
BOTH = Policy(error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001))
RELATIVE = Policy(error_rate=ErrorRate(max_increase_rel=0.05))
ABSOLUTE = Policy(error_rate=ErrorRate(max_increase_abs=0.001))
ACCURACY = Policy(accuracy=Accuracy(max_decrease_rel=0.1))
LATENCY = Policy(latency_p95=LatencyP95(max_increase_rel=0.5))
EXCESS = Policy(disagreement=Excess(max_excess=0.05), segments=WHOLE)


def agrees(criterion: Criterion) -> bool:
    """Whether the picture of the bounds against the limit says what the state says."""
    low, high, limit = criterion.low, criterion.high, criterion.limit
    if criterion.state == "pass":
        return high is not None and high <= limit + 1e-9
    if criterion.state == "fail":
        return low is not None and low >= limit - 1e-9
    return (high is None or high >= limit - 1e-9) and (low is None or low <= limit + 1e-9)


# ---- error rate ----


def error_evidence(notes: Any, candidate: Any, primary: Any, pairs: Any) -> dict[str, float]:
    """e-values after all days, and the smaller of the two REJECT evidences after each."""
    rel, extra = candidate - 1.05 * primary, candidate - primary - 0.001 * pairs
    return {
        "within_rel": notes.promote(-rel, 0.05 * primary.sum()),
        "within_abs": notes.promote(-extra, 0.001 * pairs.sum()),
        "beyond": max(
            min(notes.reject_t(rel[:day]), notes.reject_t(extra[:day])) for day in range(1, len(pairs) + 1)
        ),
    }


@pytest.mark.parametrize("seed", range(8))
def test_two_limits_hold_if_either_holds_and_break_only_if_both_do(gate: Any, notes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = set()
    for _ in range(40):
        pairs = rng.integers(20_000, 40_000, 14).astype(float)
        level, change = rng.choice([1e-4, 0.002, 0.02]), rng.choice([-0.002, 0, 0.0003, 0.0012, 0.004])
        primary = rng.binomial(pairs.astype(int), level).astype(float)
        candidate = rng.binomial(pairs.astype(int), max(level + change, 0)).astype(float)
        e = error_evidence(notes, candidate, primary, pairs)
        expected = "open"
        if (e["within_rel"] + e["within_abs"]) / 2 >= 20:
            expected = "pass"
        if e["beyond"] >= 20:
            expected = "fail"
        days = gate.days(14, pairs=pairs, candidate_errors=candidate, primary_errors=primary)
        criterion = gate.one(gate.comparison(days), BOTH)
        assert criterion.state == expected
        assert agrees(criterion), criterion
        states.add(expected)
    assert len(states) >= 2


def test_where_one_limit_is_better_kept_and_yet_more_plainly_broken_the_picture_is_of_the_other(
    gate: Any,
) -> None:
    """Rare: days of very different size, found by search. By its absolute limit alone it would be beyond."""
    pairs = [6327, 6751, 561020, 58707, 1078376, 6117, 48374, 76665, 97138, 23579, 966, 127368, 11276, 113229]
    primary = [1, 0, 120, 16, 52, 0, 5, 9, 11, 1, 0, 4, 2, 2]
    candidate = [6, 16, 703, 88, 1147, 8, 61, 85, 124, 28, 2, 146, 17, 116]
    comparison = gate.comparison(
        gate.days(14, pairs=pairs, primary_errors=primary, candidate_errors=candidate)
    )
    assert gate.one(comparison, ABSOLUTE).state == "fail"
    assert gate.one(comparison, RELATIVE).state == "open"
    criterion = gate.one(comparison, BOTH)
    assert (criterion.state, criterion.unit, agrees(criterion)) == ("open", "ratio", True)


def test_a_relative_limit_is_kept_where_the_absolute_one_is_not_and_the_other_way_round(gate: Any) -> None:
    """At 20 % errors +1 % relative is 0.2 points; at 0.1 % errors +0.02 points is +20 % relative."""
    jitter = np.arange(14) % 3
    for pairs, primary, extra, unit in ((20_000, 4000, 40, "ratio"), (100_000, 100, 20, "points")):
        days = gate.days(
            14, pairs=pairs, primary_errors=primary + jitter, candidate_errors=primary + extra - jitter
        )
        criterion = gate.one(gate.comparison(days), BOTH)
        assert (criterion.state, criterion.unit) == ("pass", unit)
        assert criterion.limit == {"ratio": 0.05, "points": 0.001}[unit]
        one_only = ABSOLUTE if unit == "ratio" else RELATIVE
        assert gate.one(gate.comparison(days), one_only).state == "fail"


def test_without_any_error_the_absolute_limit_decides(gate: Any, notes: Any) -> None:
    """0 and 0: the relative e-value is 1."""
    for per_day, passes in ((1000, True), (300, False)):  # 300 x 14 x .001 allows 4.2 events: too few to tell
        e = notes.promote(np.full(14, 0.001 * per_day), 0.014 * per_day)
        assert ((e + 1) / 2 >= 20) == passes
        criterion = gate.one(gate.comparison(gate.days(14, pairs=per_day)), BOTH)
        assert (criterion.state, criterion.unit, criterion.estimate) == (
            "pass" if passes else "open",
            "points",
            0.0,
        )
        assert agrees(criterion)
    few = gate.one(gate.comparison(gate.days(14, pairs=300)), BOTH)
    assert few.why == "its limit allows fewer than 5 cases in 14 whole days, too few to tell"


def test_a_relative_limit_alone_says_nothing_while_nobody_fails(gate: Any) -> None:
    criterion = gate.one(gate.comparison(gate.days(28)), RELATIVE)
    assert (criterion.state, criterion.estimate, criterion.low, criterion.high) == ("open", None, None, None)


def test_errors_where_the_primary_had_none_break_a_relative_limit_in_words_that_are_true(gate: Any) -> None:
    verdict = judge(gate.comparison(gate.days(14, candidate_errors=[3, 4, 5, 4, 3, 5, 4] * 2)), RELATIVE)
    assert verdict.verdict == "REJECT"
    assert verdict.reason == "Do not promote 3.3: the rise in errors is from none at all; the limit is 5%."
    assert verdict.criteria[0].estimate is None


def test_the_estimate_is_the_relative_or_the_absolute_rise(gate: Any) -> None:
    days = gate.days(14, pairs=10_000, primary_errors=200, candidate_errors=206)
    comparison = gate.comparison(days)
    assert gate.one(comparison, RELATIVE).estimate == pytest.approx(0.03)
    assert gate.one(comparison, ABSOLUTE).estimate == pytest.approx(0.0006)
    assert gate.one(comparison, ABSOLUTE).n == 140_000


# ---- accuracy and its late labels ----


def labelled_days(gate: Any, n: int, right: Any = 905, **sums: Any) -> list[Any]:
    right = np.broadcast_to(np.asarray(right), n) + np.arange(n) % 3
    return gate.days(n, **{"labelled": 1000, "primary_right": 900, "candidate_right": right} | sums)


def test_accuracy_is_judged_as_the_ratio_of_right_answers(gate: Any, notes: Any) -> None:
    for right in (905, 830, 815, 780):
        days = labelled_days(gate, 14, right)
        x = np.array([day.candidate_right - 0.9 * day.primary_right for day in days])
        expected = "open"
        if notes.promote(x, 0.1 * 900 * 14) >= 20:
            expected = "pass"
        if max(notes.reject_t(-x[:day]) for day in range(4, 15)) >= 20:
            expected = "fail"
        criterion = gate.one(gate.comparison(days, labels_loaded=days[-1].start + 9 * DAY), ACCURACY)
        assert (criterion.state, agrees(criterion)) == (expected, True)
        mean = np.mean([day.candidate_right for day in days])
        assert criterion.estimate == pytest.approx(1 - mean / 900)  # a loss; negative for a better candidate
        assert criterion.n == 14_000


def test_with_a_label_criterion_promote_counts_only_days_whose_labels_have_had_their_time(gate: Any) -> None:
    """For all criteria: day 14 is wild, and counts only once labels of a week later were loaded."""
    policy = Policy(
        disagreement=Excess(max_excess=0.05), accuracy=Accuracy(max_decrease_rel=0.1), segments=WHOLE
    )
    days = labelled_days(gate, 20, flags=[10, 12] * 10)
    fourteenth_ends = days[13].start + DAY
    at, after = (
        judge(gate.comparison(days, labels_loaded=fourteenth_ends + 7 * DAY + late), policy)
        for late in (datetime.timedelta(0), datetime.timedelta(seconds=1))
    )
    assert (at.verdict, at.look, at.next_look) == ("HOLD", None, 14)
    assert at.reason == (
        "Not yet: labels have had their 7d on 13 of 20 whole days, and 14 are wanted: `gnomon labels FILE` loads "
        "newer ones."
    )
    assert at.criteria[0].why == "the first look is after 14 whole days, 13 count so far"
    assert (after.verdict, after.look) == ("PROMOTE", 14)
    assert [criterion.days for criterion in after.criteria] == [14, 14]
    sooner = judge(
        gate.comparison(days, labels_loaded=fourteenth_ends + DAY),
        policy,
        labels=LabelSettings(deadline="12h"),
    )
    assert (sooner.verdict, sooner.look) == ("PROMOTE", 14)


def test_labels_that_have_not_had_their_time_reject_nothing(gate: Any) -> None:
    """Early labels are not like late ones: on the last days only the flights that went wrong are labelled."""
    early = np.arange(16) < 4
    days = gate.days(
        16,
        labelled=np.where(early, 1000, 300),
        primary_right=np.where(early, 900, 250),
        candidate_right=np.where(early, 905, 0),
    )
    loaded = days[3].start + DAY + 7 * DAY + datetime.timedelta(hours=1)
    criterion = gate.one(gate.comparison(days, labels_loaded=loaded), ACCURACY)
    assert (criterion.state, criterion.days, criterion.n) == ("open", 4, 4000)
    believed = gate.comparison(days, labels_loaded=loaded + 30 * DAY)
    assert gate.one(believed, ACCURACY, labels=LabelSettings(max_missing_frac=1)).state == "fail"
    too_many_missing = gate.one(believed, ACCURACY)
    assert too_many_missing.state == "open"
    assert (
        too_many_missing.why
        == "50.0% of its pairs have no label, of at most 10%: `gnomon labels FILE` loads more"
    )


def test_too_many_without_a_label_hold_the_verdict(gate: Any) -> None:
    for labelled, verdict in ((900, "PROMOTE"), (899, "HOLD")):
        days = labelled_days(gate, 14, 820, labelled=labelled, primary_right=810)
        found = judge(gate.comparison(days, labels_loaded=days[-1].start + 9 * DAY), ACCURACY)
        assert found.verdict == verdict
    assert found.reason == (
        "Not yet: the loss of accuracy is open: 10.1% of its pairs have no label, of at most 10%: "
        "`gnomon labels FILE` loads more. Next look: after 21 whole days."
    )
    allowed = judge(
        gate.comparison(days, labels_loaded=days[-1].start + 9 * DAY),
        ACCURACY,
        labels=LabelSettings(max_missing_frac=0.2),
    )
    assert allowed.verdict == "PROMOTE"


def test_a_written_criterion_without_labels_holds_and_names_the_command(gate: Any) -> None:
    policy = Policy(
        disagreement=Excess(max_excess=0.05), accuracy=Accuracy(max_decrease_rel=0.1), segments=WHOLE
    )
    verdict = judge(gate.comparison(gate.days(20)), policy)
    assert verdict.verdict == "HOLD"
    assert verdict.reason == (
        "Not yet: accuracy is to be judged, and there are no labels: `gnomon labels FILE` loads them."
    )
    [accuracy] = [criterion for criterion in verdict.criteria if criterion.name == "accuracy"]
    assert (accuracy.state, accuracy.n) == ("open", 0)
    assert accuracy.why == "no whole day yet whose labels have had their 7d: `gnomon labels FILE` loads them"


def test_labels_of_other_requests_are_none(gate: Any) -> None:
    days = gate.days(20)
    verdict = judge(gate.comparison(days, labels_loaded=days[-1].start + 30 * DAY), ACCURACY)
    assert verdict.reason == (
        "Not yet: the loss of accuracy is open: none of its pairs has a label: `gnomon labels FILE` loads them. "
        "Next look: after 21 whole days."
    )


def test_a_default_criterion_without_labels_is_not_judged_and_listed(gate: Any) -> None:
    policy = Policy(
        disagreement=Excess(max_excess=0.05), accuracy=Accuracy(max_decrease_rel=0.1), segments=WHOLE
    )
    verdict = judge(gate.comparison(gate.days(20)), policy, defaults=True)
    assert (verdict.verdict, verdict.look) == ("PROMOTE", 14)
    assert verdict.not_judged == {"accuracy": "no labels yet: `gnomon labels FILE` adds them"}
    assert [criterion.name for criterion in verdict.criteria] == ["disagreement"]
    labelled = labelled_days(gate, 20)
    loaded = gate.comparison(labelled, labels_loaded=labelled[-1].start + 9 * DAY)
    assert judge(loaded, policy, defaults=True).not_judged == {}


# ---- latency ----


def timed(n: int, ratio: float, seed: int = 1) -> np.ndarray:
    """Microseconds of both models: lognormal, correlated, the candidate's `ratio` times as long."""
    rng = np.random.default_rng(seed)
    shared, one, other = rng.standard_normal((3, n))
    return np.stack(
        [1000 * np.exp(0.3 * (shared + 0.3 * one)), 1000 * ratio * np.exp(0.3 * (shared + 0.3 * other))],
        axis=1,
    ).round()


@pytest.mark.parametrize(("ratio", "state"), [(1.0, "pass"), (1.2, "pass"), (2.0, "fail"), (1.5, "open")])
def test_latency_is_judged_by_the_timed_requests(gate: Any, ratio: float, state: str) -> None:
    pairs = timed(4000, ratio)
    criterion = gate.one(gate.comparison(gate.days(14), timed=pairs), LATENCY)
    p95 = np.quantile(pairs, 0.95, axis=0, method="inverted_cdf")
    assert criterion.state == state
    assert agrees(criterion)
    assert criterion.estimate == pytest.approx(p95[1] / p95[0] - 1)
    assert criterion.low is not None
    assert criterion.high is not None
    assert criterion.low < criterion.estimate < criterion.high
    assert (criterion.n, criterion.days, criterion.unit) == (4000, 0, "ratio")


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_with_few_timed_requests_latency_is_open_however_good_it_looks(gate: Any, alpha: float) -> None:
    """A p95 has no bound before some 60 to 90 requests, were they ten times as fast."""
    policy = Policy(latency_p95=LatencyP95(max_increase_rel=0.5), alpha=alpha)
    for n in (1, 20, 55):
        verdict = judge(gate.comparison(gate.days(14), timed=timed(n, 0.1)), policy)
        [criterion] = verdict.criteria
        assert (verdict.verdict, criterion.state, criterion.high, criterion.n) == ("HOLD", "open", None, n)
        requests = "1 timed request" if n == 1 else f"{n} timed requests"
        assert criterion.why == f"shown by {requests} neither to lie within its limit nor beyond"


def test_without_any_timed_request_latency_is_open_and_says_what_times_them(gate: Any) -> None:
    for latency in (
        None,
        msgspec.structs.replace(gate.comparison([], timed=timed(1, 1)).latency, n=0, pairs_us=[]),
    ):
        verdict = judge(gate.comparison(gate.days(14), latency=latency), LATENCY)
        assert (
            verdict.reason
            == (
                "Not yet: the rise in p95 latency is open: no request was timed with both models: `gnomon replay` times "
                "some. Next look: after 21 whole days."
            )
            or latency is not None
        )
        assert verdict.criteria[0].why == "no request was timed with both models: `gnomon replay` times some"


def test_latency_beyond_its_limit_rejects_before_any_day_is_whole(gate: Any) -> None:
    comparison = gate.comparison(gate.days(1, whole=False), timed=timed(4000, 3.0))
    verdict = judge(comparison, LATENCY)
    assert (verdict.verdict, verdict.days) == ("REJECT", 0)
    assert verdict.reason.startswith("Do not promote 3.3: the rise in p95 latency is 20")


def test_latency_within_its_limit_does_not_promote_before_the_first_look(gate: Any) -> None:
    verdict = judge(gate.comparison(gate.days(13), timed=timed(4000, 1.0)), LATENCY)
    assert (verdict.verdict, verdict.criteria[0].state) == ("HOLD", "pass")
    assert verdict.reason.startswith("Not yet: 13 of 14 whole days.")


def test_latency_shares_the_error_budget_of_reject_with_the_other_criteria(gate: Any) -> None:
    """Its lower bound is further out the more criteria there are, and its upper one is not."""
    policy = Policy(
        latency_p95=LatencyP95(max_increase_rel=0.5),
        error_rate=ErrorRate(max_increase_abs=0.01),
        disagreement=Excess(max_excess=0.05),
        segments=WHOLE,
    )
    lows = []
    for n in (300, 600, 1000):
        comparison = gate.comparison(gate.days(14), timed=timed(n, 1.3))
        alone = gate.one(comparison, LATENCY)
        [among] = [each for each in judge(comparison, policy).criteria if each.name == "latency_p95"]
        assert among.high == alone.high
        lows.append((among.low, alone.low))
    assert all(among <= alone for among, alone in lows)
    assert any(among < alone for among, alone in lows)


def test_latency_that_would_fail_alone_may_be_open_among_others(gate: Any) -> None:
    """The one state in which its own level and that of the family part: an e-value between 20 and 60."""
    policy = Policy(
        latency_p95=LatencyP95(max_increase_rel=0.5),
        error_rate=ErrorRate(max_increase_abs=0.01),
        disagreement=Excess(max_excess=0.05),
        segments=WHOLE,
    )
    states = set()
    for n in range(240, 480, 8):
        comparison = gate.comparison(gate.days(14), timed=timed(n, 1.75))
        [among] = [each for each in judge(comparison, policy).criteria if each.name == "latency_p95"]
        assert agrees(among)
        states.add((gate.one(comparison, LATENCY).state, among.state))
    assert states == {("open", "open"), ("fail", "open"), ("fail", "fail")}


# ---- critical errors ----


@pytest.mark.parametrize("days", [0, 1, 14])
def test_a_critical_error_rejects_at_once(gate: Any, days: int) -> None:
    policy = Policy(critical_errors=Critical(), disagreement=Excess(max_excess=0.05))
    comparison = gate.comparison(gate.days(days), critical=1, accounts={"rows": 900, "paired": 900})
    verdict = judge(comparison, policy)
    assert (verdict.verdict, verdict.look, verdict.next_look) == ("REJECT", None, None)
    assert verdict.reason == "Do not promote 3.3: 1 request crashed or hung it, each twice; at most 0 may."
    assert verdict.criteria[0].why == (
        "counted over 900 pairs: requests that crashed or hung the candidate, each twice"
    )


def test_as_many_critical_errors_as_are_allowed_pass(gate: Any) -> None:
    policy = Policy(critical_errors=Critical(max=2))
    verdicts = [judge(gate.comparison(gate.days(14), critical=n), policy) for n in (0, 2, 3)]
    assert [verdict.verdict for verdict in verdicts] == ["PROMOTE", "PROMOTE", "REJECT"]
    assert (
        verdicts[1].reason
        == "Promote 3.3: critical errors, 2 of at most 2, its one criterion, is within its limit."
    )


# ---- disagreement ----


def test_disagreement_is_what_exceeds_the_noise(gate: Any, notes: Any) -> None:
    """A primary that disagrees with itself on 8 % of requests, and a candidate that does no worse."""
    rng = np.random.default_rng(3)
    flags, noise = rng.binomial(1000, 0.081, 14), rng.binomial(50, 0.08, 14) * 20
    days = gate.days(14, flags=flags, noise_total=noise)
    assert notes.promote(50 - (flags - noise), 50 * 14) >= 20
    criterion = gate.one(gate.comparison(days), EXCESS)
    assert criterion.state == "pass"
    assert criterion.estimate == pytest.approx((flags - noise).sum() / 14_000)
    raw = Policy(disagreement_raw=RawDisagreement(max=0.05), segments=WHOLE)
    assert gate.one(gate.comparison(days), raw).state == "fail"


def test_without_a_noise_sample_disagreement_above_noise_is_not_judged(gate: Any) -> None:
    """Else the noise of a primary that is never the same would reject every candidate."""
    verdict = judge(gate.comparison(gate.days(14, flags=80, noise_rows=0)), EXCESS)
    [criterion] = verdict.criteria
    assert (verdict.verdict, criterion.state, criterion.estimate) == ("HOLD", "open", None)
    assert criterion.why == "no request of the noise sample has all four answers: `gnomon replay` runs them"
    assert (
        verdict.reason
        == f"Not yet: disagreement above noise is open: {criterion.why}. Next look: after 21 whole days."
    )


def test_raw_disagreement_rejects_by_betting_before_the_fourth_day(gate: Any, notes: Any) -> None:
    flags = np.array([600, 700, 650])
    assert notes.reject_bet(flags, [1000] * 3, 0.01) / 2 >= 20
    raw = Policy(disagreement_raw=RawDisagreement(max=0.01), segments=WHOLE)
    first = next(d for d in (1, 2, 3) if notes.reject_bet(flags[:d], [1000] * d, 0.01) / 2 >= 20)
    verdict = judge(gate.comparison(gate.days(3, flags=flags)), raw)
    assert (verdict.verdict, verdict.look) == ("REJECT", first)
