"""The verdict: at which looks it is given, what sticks, what overrides what, and what never passes."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from gnomon_diff import judge
from gnomon_diff.comparison import Comparison
from gnomon_diff.decision import Decision
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

# statistics_dependence.md, Vectors
B = [900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925]
A = [9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10]

WHOLE = Segments(by=())
LIMIT = 0.05
POLICY = Policy(disagreement=Excess(max_excess=LIMIT), segments=WHOLE)
DAY = datetime.timedelta(days=1)

# Flags a day of 1000 rows: within the limit by day 14, two wild days before day 21, quiet again until day 28.
FLAGS = np.array([8, 12, 9, 11, 14, 7, 10, 13, 9, 12, 8, 11, 10, 9] + [8, 120, 125, 12, 9, 11, 10] + [1] * 19)


def flagged(gate: Any, days: int, flags: np.ndarray = FLAGS, **changes: Any) -> Comparison:
    """So many whole days of `flags`."""
    return gate.comparison(gate.days(days, flags=flags[:days]), **changes)


# ---- the vector of the note ----


@pytest.mark.parametrize(
    ("limit", "verdict", "ln_promote"),
    [(0.05, "PROMOTE", 6.26566), (0.03, "PROMOTE", 4.13343), (0.01, "HOLD", -2.27503)],
)
def test_the_vector_of_the_note_is_judged_as_the_note_says(
    gate: Any, notes: Any, limit: float, verdict: str, ln_promote: float
) -> None:
    x = limit * np.array(B) - A
    assert np.log(notes.promote(x, limit * sum(B))) == pytest.approx(ln_promote, rel=1e-5)
    found = judge(
        gate.comparison(gate.days(14, pairs=B, flags=A)),
        Policy(disagreement=Excess(max_excess=limit), segments=WHOLE),
    )
    [criterion] = found.criteria
    assert found.verdict == verdict
    assert criterion.estimate == pytest.approx(0.0129032, abs=1e-7)
    assert (criterion.low, criterion.high) == pytest.approx((0.00545552, 0.0254663), rel=1e-5)  # .05 a side
    assert (criterion.n, criterion.days, found.look, found.next_look) == (sum(B), 14, 14, 21)


def test_its_raw_disagreement_is_rejected_by_the_mean_of_both_evidences(gate: Any, notes: Any) -> None:
    assert np.log(notes.reject_bet(A, B, 0.01)) == pytest.approx(0.650253, rel=1e-5)
    assert np.log(notes.reject_t(np.array(A) - 0.01 * np.array(B))) == pytest.approx(0.00876490, rel=1e-4)
    criterion = gate.one(
        gate.comparison(gate.days(14, pairs=B, flags=A)),
        Policy(disagreement_raw=RawDisagreement(max=0.01), segments=WHOLE),
    )
    low = criterion.low
    mean = (notes.reject_bet(A, B, low) + notes.reject_t(np.array(A) - low * np.array(B))) / 2
    assert mean == pytest.approx(20, rel=1e-3)  # the low end is the limit at which REJECT would turn
    assert criterion.high == pytest.approx(0.0254663, rel=1e-5)


def test_after_seven_days_the_vector_has_no_upper_end(gate: Any) -> None:
    verdict = judge(gate.comparison(gate.days(7, pairs=B[:7], flags=A[:7])), POLICY)
    [criterion] = verdict.criteria
    assert (verdict.verdict, criterion.state, criterion.high, verdict.look) == ("HOLD", "open", None, None)
    assert verdict.reason == "Not yet: 7 of 14 whole days. What other days bring is not known before."


# ---- PROMOTE's looks ----


def test_promote_is_given_at_looks_stands_between_them_and_must_be_shown_anew(gate: Any, notes: Any) -> None:
    shown = {look: notes.promote(50 - FLAGS[:look], 50 * look) >= 20 for look in (14, 21, 28)}
    assert shown == {14: True, 21: False, 28: True}
    history: list[Decision] = []
    for days in range(1, 36):
        comparison = flagged(gate, days)
        verdict = judge(comparison, POLICY, history)
        history.append(gate.record(comparison, verdict, POLICY))
        look = max((look for look in shown if look <= days), default=None)
        assert verdict.look == look
        assert verdict.verdict == ("PROMOTE" if look is not None and shown[look] else "HOLD"), days
        assert verdict.next_look == min((look for look in shown if look > days), default=None)
        assert (verdict.valid_until is not None) == (verdict.verdict == "PROMOTE")


def test_between_looks_nothing_is_promoted_anew(gate: Any, notes: Any) -> None:
    flags = np.array([45, 40, 35, 48, 30, 49, 20, 46, 33, 45, 40, 41, 49, 20] + [10] * 20)
    assert notes.promote(50 - flags[:14], 50 * 14) < 20 < notes.promote(50 - flags[:20], 50 * 20)
    verdicts = {days: judge(flagged(gate, days, flags), POLICY).verdict for days in (14, 20, 21)}
    assert verdicts == {14: "HOLD", 20: "HOLD", 21: "PROMOTE"}


def test_a_promote_is_for_a_time_each_time_it_is_asked(gate: Any) -> None:
    policy = msgspec.structs.replace(POLICY, valid_for="90m")
    for hours in (0, 5):
        now = datetime.datetime(2026, 3, 17, hours, tzinfo=datetime.UTC)
        verdict = judge(flagged(gate, 15, generated_at=now), policy)
        assert verdict.valid_until == now + datetime.timedelta(minutes=90)


def test_after_the_last_look_a_hold_is_final_and_later_days_are_in_no_verdict(gate: Any) -> None:
    flags = np.array([45, 55] * 14 + [0] * 30)
    at_28 = judge(flagged(gate, 28, flags), POLICY)
    history = [gate.record(flagged(gate, 28, flags), at_28, POLICY)]
    later = judge(flagged(gate, 40, flags), POLICY, history)
    assert (at_28.verdict, at_28.expired, at_28.next_look) == ("HOLD", True, None)
    assert later.criteria == at_28.criteria
    assert (later.verdict, later.expired, later.look, later.days) == ("HOLD", True, 28, 40)
    assert at_28.notes == []
    promoted, rejected = (judge(flagged(gate, 28, np.full(28, n)), POLICY) for n in (1, 200))
    assert [(v.verdict, v.expired) for v in (promoted, rejected)] == [("PROMOTE", False), ("REJECT", False)]
    assert later.notes == [
        "The last look was after 28 whole days; the 12 since then are in no verdict of this run."
    ]


def polled(gate: Any, policy: Policy, flags: np.ndarray, per_day: int) -> tuple[list[Any], list[Decision]]:
    """The verdicts at the end of each day, polled so often during it, and the records that this leaves."""
    records: list[Decision] = []
    at_ends = []
    for day in range(len(flags)):
        for poll in range(1, per_day + 1):
            part = poll / per_day
            last = gate.days(1, first=day, whole=poll == per_day, pairs=1000 * part, flags=flags[day] * part)
            comparison = gate.comparison([*gate.days(day, flags=flags[:day]), *last])
            verdict = judge(comparison, policy, records)
            now = (verdict.verdict, verdict.look)
            if not records or now != (records[-1].verdict, records[-1].look):
                records.append(gate.record(comparison, verdict, policy))
        at_ends.append(verdict)
    return at_ends, records


@pytest.mark.parametrize(
    "flags", [FLAGS[:28], np.array([20] * 5 + [400] * 6 + [0] * 17)], ids=["holds", "rejects"]
)
def test_polled_all_day_equals_polled_once_a_day(gate: Any, flags: np.ndarray) -> None:
    once, records_once = polled(gate, POLICY, flags, 1)
    often, records_often = polled(gate, POLICY, flags, 8)
    never = [judge(flagged(gate, days + 1, flags), POLICY) for days in range(len(flags))]
    assert once == often == never
    assert [(record.verdict, record.look) for record in records_once] == [
        (record.verdict, record.look) for record in records_often
    ]


# ---- the first record on more days than the last look ----


def test_first_asked_on_more_days_than_the_last_look_there_is_one_look_at_all(gate: Any, notes: Any) -> None:
    flags = np.full(60, 30) + np.arange(60) % 7
    first = flagged(gate, 40, flags)
    verdict = judge(first, POLICY)
    assert (verdict.verdict, verdict.look, verdict.next_look) == ("PROMOTE", 40, None)
    history = [gate.record(first, verdict, POLICY)]
    flags[41:] = 900
    later = judge(flagged(gate, 60, flags), POLICY, history)
    assert (later.verdict, later.look, later.criteria) == ("PROMOTE", 40, verdict.criteria)
    assert judge(flagged(gate, 60, flags), POLICY).look == 60  # who asks first then


def test_that_one_look_rejects_only_by_all_of_its_days(gate: Any, notes: Any) -> None:
    flags = np.array([300] * 6 + [0] * 34)
    assert notes.reject_t(flags[:6] - 50) > 20 > notes.reject_t(flags - 50)
    assert judge(flagged(gate, 28, flags), POLICY).verdict == "REJECT"
    assert judge(flagged(gate, 40, flags), POLICY).verdict == "HOLD"


def test_that_one_look_waits_until_all_its_labels_have_had_their_time(gate: Any) -> None:
    policy = Policy(accuracy=Accuracy(max_decrease_rel=0.1))
    days = gate.days(40, labelled=1000, primary_right=900, candidate_right=905)
    last_end = days[-1].start + DAY
    early = gate.comparison(days, labels_loaded=last_end)
    verdict = judge(early, policy)
    assert (verdict.verdict, verdict.look, verdict.next_look, verdict.expired) == ("HOLD", None, 40, False)
    assert verdict.reason == (
        "Not yet: labels have had their 7d on 32 of 40 whole days, and 40 are wanted: `gnomon labels FILE` loads "
        "newer ones."
    )
    history = [gate.record(early, verdict, policy)]
    later = judge(gate.comparison(days, labels_loaded=last_end + 8 * DAY), policy, history)
    assert (later.verdict, later.look) == ("PROMOTE", 40)


# ---- REJECT ----


def test_reject_comes_on_the_day_that_shows_it_and_stands_by_recomputation(gate: Any, notes: Any) -> None:
    flags = np.array([40, 90, 95, 110, 100, 105, 95, 100, 98] + [0] * 19)
    since = next(day for day in range(1, 29) if notes.reject_t(flags[:day] - 50) >= 20)
    last = max(day for day in range(1, 29) if notes.reject_t(flags[:day] - 50) >= 20)
    assert (since, last) == (7, 9)
    for days in range(1, 29):
        verdict = judge(flagged(gate, days, flags), POLICY)
        assert verdict.verdict == ("REJECT" if days >= since else "HOLD"), days
        if days >= since:
            [criterion] = verdict.criteria
            assert (verdict.look, verdict.next_look, criterion.days) == (since, None, min(days, last))
            assert criterion.low > LIMIT  # shown as it was when it was last shown
    mean = flags[:last].mean() / 10
    assert verdict.reason.startswith(f"Do not promote 3.3: disagreement above noise is {mean:.3g} points [")
    assert verdict.reason.endswith("]; the limit is 5 points.")


def test_a_reject_that_was_recorded_stands_whatever_the_data_are_now(gate: Any) -> None:
    bad = flagged(gate, 10, np.full(10, 200))
    rejected = judge(bad, POLICY)
    history = [gate.record(bad, rejected, POLICY)]
    verdict = judge(flagged(gate, 14), POLICY, history)
    assert (rejected.verdict, verdict.verdict, verdict.look) == ("REJECT", "REJECT", rejected.look)
    assert verdict.reason == f"{rejected.reason} (Shown on 1 May 2026; a rejection stands.)"
    assert [criterion.state for criterion in verdict.criteria] == ["pass"]


def test_invalid_overrides_a_reject_and_it_stands_again_after(gate: Any) -> None:
    bad = flagged(gate, 10, np.full(10, 200))
    history = [gate.record(bad, judge(bad, POLICY), POLICY)]
    torn = flagged(gate, 14, accounts={"missing": 7})
    invalid = judge(torn, POLICY, history)
    assert invalid.verdict == "INVALID"
    history.append(gate.record(torn, invalid, POLICY))
    again = judge(flagged(gate, 14), POLICY, history)
    assert again.verdict == "REJECT"
    assert again.reason.count("a rejection stands") == 1


def test_invalid_overrides_what_fails_now_too(gate: Any) -> None:
    verdict = judge(flagged(gate, 10, np.full(10, 200), accounts={"missing": 7}), POLICY)
    assert (verdict.verdict, [criterion.state for criterion in verdict.criteria]) == ("INVALID", ["fail"])


def test_the_look_of_a_rejection_stays_the_recorded_one(gate: Any) -> None:
    """As of latency, whose evidence at earlier looks is not known afterwards: else each day brought a new record."""
    bad = flagged(gate, 10, np.full(10, 200) + np.arange(10))
    record = msgspec.structs.replace(gate.record(bad, judge(bad, POLICY), POLICY), look=2)
    assert judge(bad, POLICY, [record]).look == 2


def test_another_candidate_starts_from_zero_and_the_note_says_that_there_were_others(gate: Any) -> None:
    bad = flagged(gate, 10, np.full(10, 200))
    record = gate.record(bad, judge(bad, POLICY), POLICY)
    others = [record, msgspec.structs.replace(record, candidate_digest="sha256:another")]
    subject = msgspec.structs.replace(bad.subject, candidate_digest="sha256:new")
    for history, note in (
        (others[:1], "1 other candidate was judged in this experiment before."),
        (others, "2 other candidates were judged in this experiment before."),
    ):
        verdict = judge(flagged(gate, 14, subject=subject), POLICY, history)
        assert (verdict.verdict, verdict.notes) == ("PROMOTE", [note])


@pytest.mark.parametrize(
    ("policy", "labels"),
    [
        (msgspec.structs.replace(POLICY, min_pairs=999), LabelSettings()),
        (POLICY, LabelSettings(max_missing_frac=0.2)),
    ],
    ids=["policy", "labels"],
)
def test_another_policy_starts_from_zero_and_the_note_says_so(
    gate: Any, policy: Policy, labels: LabelSettings
) -> None:
    bad = flagged(gate, 10, np.full(10, 200))
    history = [gate.record(bad, judge(bad, POLICY), POLICY)]
    verdict = judge(flagged(gate, 14), policy, history, labels=labels)
    assert verdict.verdict == "PROMOTE"
    assert verdict.notes == [
        "The policy was changed: another one judged this candidate on 1 May 2026. The error budget no longer holds."
    ]


def test_all_criteria_are_rejected_together_at_alpha_by_closed_testing(gate: Any, notes: Any) -> None:
    """Against closed testing by its definition, over every subset, day by day."""
    rng = np.random.default_rng(1)
    policy = Policy(
        disagreement=Excess(max_excess=0.05),
        disagreement_raw=RawDisagreement(max=0.06),
        error_rate=ErrorRate(max_increase_abs=0.01),
        segments=WHOLE,
    )
    seen = set()
    for _ in range(60):
        flags = rng.binomial(1000, rng.choice([0.04, 0.06, 0.075]), 12) + rng.integers(0, 25, 12)
        errors = rng.binomial(1000, rng.choice([0.01, 0.02, 0.03]), 12)
        shown: set[str] = set()
        for day in range(1, 13):
            raw = (notes.reject_t(flags[:day] - 60) + notes.reject_bet(flags[:day], [1000] * day, 0.06)) / 2
            e = [notes.reject_t(flags[:day] - 50), raw, notes.reject_t(errors[:day] - 10)]
            names = ("disagreement", "disagreement_raw", "error_rate")
            shown |= {name for name, beyond in zip(names, notes.closed(e), strict=True) if beyond}
        comparison = gate.comparison(gate.days(12, flags=flags, candidate_errors=errors))
        found = {
            criterion.name for criterion in judge(comparison, policy).criteria if criterion.state == "fail"
        }
        assert found == shown
        seen.add(frozenset(shown))
    assert len(seen) >= 4  # none, some, all


def test_of_several_failing_the_worst_is_named_first_and_the_rest_counted(gate: Any) -> None:
    policy = Policy(
        disagreement=Excess(max_excess=0.05), error_rate=ErrorRate(max_increase_abs=0.01), segments=WHOLE
    )
    days = gate.days(12, flags=200 + np.arange(12), candidate_errors=400 + np.arange(12))
    verdict = judge(gate.comparison(days), policy)
    assert [criterion.name for criterion in verdict.criteria] == ["error_rate", "disagreement"]
    assert verdict.reason.startswith("Do not promote 3.3: the rise in errors is 40.6 points [")
    assert verdict.reason.endswith("]; the limit is 1 point. 1 more is beyond the limit.")


# ---- no data never passes ----

EVERYTHING = Policy(
    disagreement=Excess(max_excess=0.05),
    error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001),
    latency_p95=LatencyP95(max_increase_rel=0.5),
    accuracy=Accuracy(max_decrease_rel=0.1),
    critical_errors=Critical(),
)
SINGLE = [
    Policy(disagreement=Excess(max_excess=0.05)),
    Policy(disagreement_raw=RawDisagreement(max=0.05)),
    Policy(error_rate=ErrorRate(max_increase_rel=0.05)),
    Policy(error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001)),
    Policy(latency_p95=LatencyP95(max_increase_rel=0.5)),
    Policy(accuracy=Accuracy(max_decrease_rel=0.1)),
    Policy(critical_errors=Critical(max=5)),
    EVERYTHING,
]


@pytest.mark.parametrize(
    "policy", SINGLE, ids=lambda policy: "+".join(n for n in Policy.CRITERIA if getattr(policy, n))
)
def test_no_data_never_passes(gate: Any, policy: Policy) -> None:
    assert judge(gate.empty, policy).verdict == "INVALID"
    assert judge(gate.comparison([]), policy).verdict == "INVALID"
    not_whole = gate.days(30, whole=False)
    found = judge(gate.comparison(not_whole), policy)
    assert (found.verdict, found.days, found.look) == ("HOLD", 0, None)
    only_duplicates = gate.comparison([], accounts={"rows": 50, "duplicates": 50})
    assert judge(only_duplicates, policy).verdict == "HOLD"
    without_traffic = gate.comparison(gate.days(30, pairs=0), accounts={"rows": 50})
    assert judge(without_traffic, policy).verdict == "HOLD"


@pytest.mark.parametrize("policy", [SINGLE[0], SINGLE[1], EVERYTHING], ids=["excess", "raw", "everything"])
def test_pairs_without_answers_never_pass(gate: Any, policy: Policy) -> None:
    """Everything failed on one side or on both."""
    for primary_errors in (0, 1000):
        days = gate.days(28, rows=0, candidate_errors=1000, primary_errors=primary_errors)
        verdict = judge(gate.comparison(days, accounts={"predicted": 0}), policy)
        assert verdict.verdict in ("HOLD", "REJECT")
        assert all(
            criterion.state == "open" for criterion in verdict.criteria if criterion.name.startswith("dis")
        )


def test_a_candidate_that_answers_nothing_is_rejected_by_its_errors(gate: Any) -> None:
    days = gate.days(8, rows=0, candidate_errors=1000)
    verdict = judge(gate.comparison(days, accounts={"predicted": 0}), EVERYTHING)
    assert verdict.verdict == "REJECT"
    assert verdict.reason == (
        "Do not promote 3.3: the rise in errors is 100 points [100, none]; the limit is 0.1 points."
    )


# ---- it is a function of its arguments ----


def test_judge_gives_the_same_for_the_same_and_leaves_its_arguments_alone(gate: Any) -> None:
    comparison = flagged(gate, 20, labels_loaded=None)
    history = [gate.record(comparison, judge(comparison, POLICY), POLICY)]
    before = msgspec.json.encode([comparison, POLICY, history])
    first = judge(comparison, POLICY, history)
    assert judge(comparison, POLICY, history) == first
    assert msgspec.json.encode([comparison, POLICY, history]) == before


def test_the_order_of_the_day_rows_does_not_matter(gate: Any) -> None:
    days = [
        *gate.days(20, flags=FLAGS[:20]),
        *gate.days(20, "UA", pairs=300, flags=6),
        *gate.days(12, "AA", first=8, pairs=90),
    ]
    policy = Policy(disagreement=Excess(max_excess=LIMIT))
    verdict = judge(gate.comparison(days), policy)
    np.random.default_rng(0).shuffle(days)
    assert judge(gate.comparison(days), policy) == verdict


def test_advisory_is_said_and_changes_nothing_else(gate: Any) -> None:
    comparison = flagged(gate, 14)
    plain, advisory = judge(comparison, POLICY), judge(comparison, POLICY, advisory=True)
    assert advisory.notes == ["This verdict is advisory: the pipeline was not stopped."]
    assert msgspec.structs.replace(advisory, notes=[], advisory=False) == plain


def test_a_primary_that_changed_is_noted(gate: Any) -> None:
    subject = msgspec.structs.replace(gate.empty.subject, primary_digests=["sha256:a", "sha256:b"])
    verdict = judge(flagged(gate, 14, subject=subject), POLICY)
    assert verdict.notes == ["The primary's model changed within these pairs: its runs are not of one model."]


# ---- what else PROMOTE waits for ----


def test_promote_waits_for_pairs_and_for_hours_of_the_week(gate: Any) -> None:
    few = gate.comparison(gate.days(14, pairs=60, flags=[0, 1] * 7))
    assert judge(few, POLICY).reason == "Not yet: 840 pairs of at least 1,000."
    policy = Policy(disagreement=Excess(max_excess=LIMIT), coverage={"hours_of_week": 168}, segments=WHOLE)
    policy = msgspec.convert(msgspec.to_builtins(policy), Policy)
    hours = [[1] * 24 for _ in range(7)]
    hours[6][3] = 0
    for seen, verdict in ((hours, "HOLD"), ([[1] * 24] * 7, "PROMOTE")):
        coverage = msgspec.structs.replace(gate.empty.coverage, hours_of_week=seen)
        found = judge(flagged(gate, 14, coverage=coverage), policy)
        assert found.verdict == verdict
    assert judge(
        flagged(gate, 14, coverage=msgspec.structs.replace(coverage, hours_of_week=hours)), policy
    ).reason == ("Not yet: 167 hours of the week were seen, of at least 168.")
