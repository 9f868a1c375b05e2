"""Segments: each at full level for PROMOTE, small ones together; for REJECT all of them as one, by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gnomon_diff import judge
from gnomon_diff.comparison import Criterion, SegmentKey, Verdict
from gnomon_diff.settings import ErrorRate, Excess, Policy, RawDisagreement, Segments

POLICY = Policy(disagreement=Excess(max_excess=0.05))
QUIET = [8, 9, 10, 11, 12, 9, 10, 11, 8, 10, 12, 9, 10, 11]  # of 1000


def key(value: str | None, kind: str = "value", feature: str = "features.carrier") -> SegmentKey:
    return SegmentKey(feature=feature, kind=kind, value=value)


def of(verdict: Verdict, segment: SegmentKey | None) -> Criterion:
    [criterion] = [
        each for each in verdict.criteria if each.segment == segment and each.name.startswith("dis")
    ]
    return criterion


def traffic(gate: Any, segments: dict[str, tuple[Any, Any]], n: int = 14) -> Any:
    """Days of these carriers, each (pairs, flags) a day; all traffic is their sum."""
    shape = {
        name: tuple(np.broadcast_to(np.asarray(x, float), n) for x in sums) for name, sums in segments.items()
    }
    pairs, flags = (sum(sums[index] for sums in shape.values()) for index in (0, 1))
    days = gate.days(n, pairs=pairs, flags=flags)
    for name, (own, flips) in shape.items():
        days += gate.days(n, name, pairs=own, flags=flips)
    return gate.comparison(days)


def test_a_segment_is_judged_like_all_traffic_at_full_level(gate: Any, notes: Any) -> None:
    flags = np.array([14, 20, 9, 17, 11, 16, 14, 21, 8, 15, 13, 18, 12, 19])
    verdict = judge(traffic(gate, {"UA": (1000, QUIET), "MQ": (300, flags)}), POLICY)
    e = notes.promote(15 - flags, 0.05 * 300 * 14)
    assert e < 20
    assert (verdict.verdict, of(verdict, key("MQ")).state, of(verdict, None).state) == (
        "HOLD",
        "open",
        "pass",
    )
    assert "disagreement above noise on carrier MQ is open at 4.93 points [" in verdict.reason
    better = judge(traffic(gate, {"UA": (1000, QUIET), "MQ": (300, flags // 2)}), POLICY)
    assert notes.promote(15 - flags // 2, 0.05 * 300 * 14) >= 20
    assert better.verdict == "PROMOTE"


def test_the_failing_segment_is_named(gate: Any) -> None:
    comparison = traffic(gate, {"UA": (9000, 90), "MQ": (300, 70 + np.arange(14) % 5), "B6": (900, 9)})
    verdict = judge(comparison, POLICY)
    assert [(each.segment, each.state) for each in verdict.criteria if each.state == "fail"] == [
        (key("MQ"), "fail")
    ]
    assert verdict.reason.startswith(
        "Do not promote 3.3: disagreement above noise on carrier MQ is 24 points ["
    )
    assert of(verdict, None).state == "pass"


@pytest.mark.parametrize("place", [1, 2, 5])
def test_a_part_is_beyond_by_its_weight_in_the_order_of_appearance(gate: Any, notes: Any, place: int) -> None:
    """Part j of the criterion needs 20 pi^2 j^2 / 6; the whole is part 1, then by first day and name."""
    asked = 20 * math.pi**2 * (place + 1) ** 2 / 6
    flags = np.array([80, 95, 85, 90, 99, 88, 92, 84, 97, 91, 86, 94, 89, 93])
    since = next(d for d in range(4, 15) if notes.reject_t(flags[:d] - 50) >= asked)
    names = ["A", "B", "C", "D", "E", "F"]
    names[place - 1] = names[place - 1] + "bad"
    segments = {name: (1000, flags if name.endswith("bad") else QUIET) for name in names}
    segments["other traffic"] = (50_000, 100)
    verdict = judge(traffic(gate, segments), POLICY)
    assert (verdict.verdict, verdict.look) == ("REJECT", since)
    criterion = of(verdict, key(names[place - 1]))
    needed = notes.reject_t(flags - criterion.low * 1000)
    assert needed == pytest.approx(asked, rel=1e-3)  # at its lower end, REJECT would turn


def test_a_segment_that_appears_late_changes_nothing_for_those_before_it(gate: Any) -> None:
    early = {"UA": (1000, QUIET), "MQ": (500, np.array(QUIET) * 2)}
    before = judge(traffic(gate, early), POLICY)
    late = np.where(np.arange(14) < 9, 0, 400)
    after = judge(traffic(gate, early | {"AA": (late, late // 40)}), POLICY)  # the first by name
    for name in early:
        assert of(after, key(name)) == of(before, key(name))
    assert of(after, key("AA")).days == 14


def test_a_segment_that_comes_after_the_look_is_not_part_of_it(gate: Any) -> None:
    policy = Policy(disagreement=Excess(max_excess=0.05), segments=Segments(min_segment_frac=0))
    new = np.where(np.arange(16) < 15, 0, 100)
    flags = [*QUIET, 10, 11]
    verdict = judge(traffic(gate, {"UA": (1000, flags), "AA": (new, new // 2)}, 16), policy)
    assert (verdict.verdict, verdict.look) == ("PROMOTE", 14)
    assert {each.segment for each in verdict.criteria} == {None, key("UA")}


# ---- small ones ----


def test_small_segments_are_one_for_promote_by_feature(gate: Any, notes: Any) -> None:
    """Of 10,000 pairs a day 1 % is 100: two carriers of 70 are judged together, and so are two regions."""
    flags = np.array([2, 1, 0, 3, 2, 1, 0, 1, 2, 3, 1, 0, 2, 1])
    days = gate.days(14, pairs=10_000, flags=100)
    for value in ("YV", "OO"):
        days += gate.days(14, value, pairs=70, flags=flags)
        days += gate.days(14, key(value, feature="attributes.region"), pairs=60, flags=flags)
    verdict = judge(gate.comparison(days), POLICY)
    others = {each.segment.feature: each for each in verdict.criteria if each.segment is not None}
    assert {each.segment.kind for each in others.values()} == {"other"}
    assert (others["features.carrier"].n, others["attributes.region"].n) == (140 * 14, 120 * 14)
    assert others["features.carrier"].estimate == pytest.approx(2 * flags.sum() / (140 * 14))
    passes = notes.promote(7 - 2 * flags, 0.05 * 140 * 14) >= 20
    assert (others["features.carrier"].state == "pass") == passes
    assert others["features.carrier"].low is None  # REJECT asks about each by itself


def test_a_small_segment_that_fails_is_named_and_not_hidden_among_the_others(gate: Any) -> None:
    days = gate.days(14, pairs=10_000, flags=100)
    days += gate.days(14, "YV", pairs=70, flags=40 + np.arange(14) % 4) + gate.days(14, "OO", pairs=70)
    verdict = judge(gate.comparison(days), POLICY)
    assert (verdict.verdict, of(verdict, key("YV")).state) == ("REJECT", "fail")
    assert "on carrier YV" in verdict.reason
    assert of(verdict, key(None, "other")).n == 140 * 14


def test_what_is_small_even_together_is_not_judged_and_said_so(gate: Any) -> None:
    """A handful of odd requests must not keep a candidate from ever being promoted."""
    days = gate.days(14, pairs=10_000, flags=100) + gate.days(14, "UA", pairs=9_990, flags=99)
    days += gate.days(14, "typo", pairs=7) + gate.days(14, key(None, "missing"), pairs=3, rows=0)
    verdict = judge(gate.comparison(days), POLICY)
    assert verdict.verdict == "PROMOTE"
    assert verdict.not_judged == {
        "disagreement above noise on the small segments of carrier": "0.1% of all pairs"
    }
    assert {each.segment for each in verdict.criteria} == {None, key("UA")}


def test_a_segment_without_answers_is_open_however_well_the_rest_does(gate: Any) -> None:
    days = gate.days(14, pairs=10_000, flags=100) + gate.days(14, "UA", pairs=9_000, flags=99)
    days += gate.days(14, "MQ", pairs=1000, rows=0, candidate_errors=1000)
    verdict = judge(gate.comparison(days), POLICY)
    criterion = of(verdict, key("MQ"))
    assert (verdict.verdict, criterion.state, criterion.estimate, criterion.n) == ("HOLD", "open", None, 0)
    assert verdict.reason == (
        "Not yet: 2 of 3 criteria are within their limits; disagreement above noise on carrier MQ is open: none of "
        "its requests has an answer on both sides. Next look: after 21 whole days."
    )


def test_a_segment_with_too_few_requests_is_open_and_says_why(gate: Any) -> None:
    days = (
        gate.days(14, pairs=200, flags=2)
        + gate.days(14, "UA", pairs=195, flags=2)
        + gate.days(14, "MQ", pairs=5)
    )
    verdict = judge(gate.comparison(days), POLICY)
    assert (
        of(verdict, key("MQ")).why == "its limit allows fewer than 5 cases in 14 whole days, too few to tell"
    )
    assert verdict.verdict == "HOLD"


# ---- limits and which segments ----


def test_segments_may_have_a_limit_of_their_own(gate: Any) -> None:
    comparison = traffic(gate, {"UA": (4000, QUIET), "MQ": (1000, np.array(QUIET) * 6)})
    assert judge(comparison, POLICY).verdict == "REJECT"
    policy = Policy(
        disagreement=Excess(max_excess=0.05), segments=Segments(disagreement=Excess(max_excess=0.15))
    )
    verdict = judge(comparison, policy)
    assert verdict.verdict == "PROMOTE"
    assert (of(verdict, None).limit, of(verdict, key("MQ")).limit) == (0.05, 0.15)


def test_without_segments_the_whole_needs_no_weight(gate: Any, notes: Any) -> None:
    flags = np.array([80, 95, 85, 90, 99, 88, 92, 84, 97, 91, 86, 94, 89, 93])
    for segments, asked in ((Segments(by=()), 20), (Segments(), 20 * math.pi**2 / 6)):
        policy = Policy(disagreement=Excess(max_excess=0.05), segments=segments)
        criterion = gate.one(gate.comparison(gate.days(14, flags=flags)), policy)
        assert notes.reject_t(flags - criterion.low * 1000) == pytest.approx(asked, rel=1e-3)


def test_what_is_not_judged_by_segment_is_judged_once(gate: Any) -> None:
    policy = Policy(error_rate=ErrorRate(max_increase_abs=0.01), disagreement_raw=RawDisagreement(max=0.05))
    verdict = judge(traffic(gate, {"UA": (1000, QUIET), "MQ": (1000, QUIET)}), policy)
    assert [(each.name, each.segment) for each in verdict.criteria if each.name == "error_rate"] == [
        ("error_rate", None)
    ]
    assert len([each for each in verdict.criteria if each.name == "disagreement_raw"]) == 3


def test_segments_stand_in_the_order_of_the_policy_where_they_appear_together(gate: Any) -> None:
    """The order is the weight, so it shows in how far out the lower bounds are."""
    flags = np.array(QUIET) * 8
    lows: dict[Sequence[str], list[float]] = {}
    for by in (("features.a", "features.b"), ("features.b", "features.a")):
        policy = Policy(disagreement=Excess(max_excess=0.05), segments=Segments(by=by))
        days = gate.days(14, pairs=1000, flags=flags)
        for feature in ("features.a", "features.b"):
            days += gate.days(14, key("x", feature=feature), pairs=1000, flags=flags)
        verdict = judge(gate.comparison(days), policy)
        lows[by] = [of(verdict, key("x", feature=feature)).low for feature in by]
        assert of(verdict, None).low > lows[by][0] > lows[by][1]
    assert lows["features.a", "features.b"] == lows["features.b", "features.a"]


def test_a_missing_value_is_a_segment_too(gate: Any) -> None:
    days = gate.days(14, pairs=1000, flags=20)
    days += gate.days(14, key(None, "missing"), pairs=300, flags=80 + np.arange(14) % 3)
    assert judge(gate.comparison(days), POLICY).reason.startswith(
        "Do not promote 3.3: disagreement above noise on requests without carrier is 27"
    )


def test_a_long_name_from_the_traffic_is_cut_in_the_sentence(gate: Any) -> None:
    days = gate.days(14, pairs=1000, flags=20) + gate.days(
        14, "x" * 10_000, pairs=300, flags=80 + np.arange(14) % 3
    )
    verdict = judge(gate.comparison(days), POLICY)
    assert len(verdict.reason) < 200
