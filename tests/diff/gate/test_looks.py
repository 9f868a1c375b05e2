"""Which days count, and when it is looked at them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from gnomon_diff import judge
from gnomon_diff.comparison import SegmentKey
from gnomon_diff.looks import Schedule, schedule, whole_days
from gnomon_diff.settings import Critical, Excess, LabelSettings, Policy, Segments

DAY = datetime.timedelta(days=1)
POLICY = Policy(critical_errors=Critical())


def due(
    gate: Any,
    days: int,
    *,
    first_asked: int | None = None,
    mature: int | None = None,
    looks: Any = (14, 21, 28),
) -> Schedule:
    """The looks due at so many whole days, if it was first asked at `first_asked`, with so many mature days."""
    policy = Policy(critical_errors=Critical(), looks_days=looks)
    comparison = gate.comparison(gate.days(days))
    history = []
    if first_asked is not None:
        then = gate.comparison(gate.days(first_asked))
        history = [gate.record(then, judge(then, policy), policy)]
    found = whole_days(comparison, policy)
    last_load = None
    if mature:
        last_load = found.starts[mature - 1] + 8 * DAY + datetime.timedelta(seconds=1)
    return schedule(
        found, policy, LabelSettings(), history, last_load=last_load, needs_labels=mature is not None
    )


@pytest.mark.parametrize(
    ("days", "promote", "next_promote"),
    [(0, None, 14), (13, None, 14), (14, 14, 21), (20, 14, 21), (21, 21, 28), (27, 21, 28), (28, 28, None)],
)
def test_promote_has_looks_and_reject_every_day(
    gate: Any, days: int, promote: int | None, next_promote: int | None
) -> None:
    found = due(gate, days)
    assert (found.promote, found.next_promote, found.usable) == (promote, next_promote, days)
    assert found.reject == tuple(range(days + 1))


def test_after_the_last_look_nothing_is_looked_at_any_more(gate: Any) -> None:
    found = due(gate, 35, first_asked=20)
    assert (found.promote, found.next_promote, found.last, found.reject[-1]) == (28, None, True, 28)


def test_first_asked_after_the_last_look_there_is_one_look(gate: Any) -> None:
    for days, first_asked in ((40, None), (40, 40), (55, 40)):
        found = due(gate, days, first_asked=first_asked)
        assert (found.promote, found.next_promote, found.reject) == (40, None, (40,))
    assert due(gate, 29, looks=(14, 30)).promote == 14
    assert due(gate, 28, first_asked=28).reject[-1] == 28


def test_days_that_are_gone_again_promote_nothing(gate: Any) -> None:
    """Retention took the first days away: what the one look was at is not there any more."""
    found = due(gate, 30, first_asked=40)
    assert (found.promote, found.next_promote, found.reject) == (None, 40, (30,))


def test_days_without_mature_labels_wait(gate: Any) -> None:
    assert due(gate, 25, mature=0).promote is None
    found = due(gate, 25, mature=20)
    assert (found.promote, found.next_promote, found.usable, found.reject[-1]) == (14, 21, 20, 25)


def test_a_day_counts_if_it_is_whole_and_had_traffic(gate: Any) -> None:
    days = (
        gate.days(3)
        + gate.days(1, first=3, pairs=0)
        + gate.days(2, first=5)
        + gate.days(1, first=7, whole=False)
    )
    found = whole_days(gate.comparison(days), POLICY)
    first = days[0].start
    assert found.starts == tuple(first + n * DAY for n in (0, 1, 2, 5, 6))
    assert found.whole["pairs"].tolist() == [[1000.0] * 5]


def test_a_segment_without_rows_on_a_day_counts_with_zeros(gate: Any) -> None:
    days = gate.days(4) + gate.days(1, "UA", first=2, pairs=30, flags=7)
    found = whole_days(gate.comparison(days), POLICY)
    assert found.segments.keys == (gate.carrier("UA"),)
    assert found.segments["flags"].tolist() == [[0, 0, 7, 0]]


def test_segments_enter_by_first_day_then_policy_then_name(gate: Any) -> None:
    policy = Policy(disagreement=Excess(max_excess=0.1), segments=Segments(by=("features.b", "features.a")))

    def key(feature: str, value: str | None) -> SegmentKey:
        return SegmentKey(
            feature=f"features.{feature}", kind="missing" if value is None else "value", value=value
        )

    first_day = {
        key("a", "x"): 0,
        key("b", "z"): 0,
        key("b", "y"): 0,
        key("a", None): 0,
        key("b", "early"): 1,
        key("a", "late"): 3,
    }
    days = gate.days(5)
    for segment, first in reversed(first_day.items()):
        days += gate.days(5, segment, pairs=np.where(np.arange(5) < first, 0, 10))
    found = whole_days(gate.comparison(days), policy)
    assert found.segments.keys == (
        key("b", "y"), key("b", "z"), key("a", None), key("a", "x"), key("b", "early"), key("a", "late"),
    )  # fmt: skip


def test_no_days_at_all_are_no_days(gate: Any) -> None:
    found = whole_days(gate.comparison([]), POLICY)
    assert (len(found), found.whole["pairs"].shape, len(found.segments)) == (0, (1, 0), 0)
