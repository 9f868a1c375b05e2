"""Which whole days a verdict may use: the sums of each, and the looks that are due.

PROMOTE is looked at after `looks_days` whole days, REJECT after every one. Asked again between two looks,
the last look stands, whoever asked when: everything is computed again from the days. A candidate that is
first judged on more days than the last look gets one look, at all of them.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnomon_diff.comparison import Comparison, Day, SegmentKey
from gnomon_diff.decision import Decision
from gnomon_diff.settings import LabelSettings, Policy

FloatArray = npt.NDArray[np.float64]

DAY = datetime.timedelta(days=1)
_SUMS = (
    "pairs",
    "rows",
    "flags",
    "noise_rows",
    "noise_total",
    "candidate_errors",
    "primary_errors",
    "labelled",
    "primary_right",
    "candidate_right",
)


class Sums(dict[str, FloatArray]):
    """The sums of `comparison.Day` by name, one value a whole day, oldest first."""

    def first(self, days: int) -> Sums:
        """Of the first so many days."""
        return Sums({name: values[:days] for name, values in self.items()})

    def __add__(self, other: Sums) -> Sums:
        return Sums({name: values + other[name] for name, values in self.items()})


@dataclass(frozen=True)
class Days:
    """The whole days of a comparison.

    Attributes:
        starts: of each day.
        whole: the sums over all traffic.
        segments: of each segment, in the order in which they enter a family: first day with rows, then the
            policy's order, then name. A day without rows of a segment counts with zeros.
    """

    starts: tuple[datetime.datetime, ...]
    whole: Sums
    segments: dict[SegmentKey, Sums]

    def __len__(self) -> int:
        return len(self.starts)


def whole_days(comparison: Comparison, policy: Policy) -> Days:
    """The whole days that had traffic, with the sums of all traffic and of each segment."""
    everything = sorted(
        (day for day in comparison.days if day.segment is None and day.whole and day.pairs),
        key=lambda day: day.start,
    )
    at = {day.start: index for index, day in enumerate(everything)}
    rows: dict[SegmentKey, list[Day]] = {}
    for day in comparison.days:
        if day.segment is not None and day.start in at:
            rows.setdefault(day.segment, []).append(day)
    named = list(policy.segments.by or ())
    first = {
        key: min((at[day.start] for day in days if day.pairs), default=len(at)) for key, days in rows.items()
    }

    def order(key: SegmentKey) -> tuple[int, int, str, str, str]:
        place = named.index(key.feature) if key.feature in named else len(named)
        return first[key], place, key.feature, key.kind, key.value or ""

    return Days(
        tuple(at),
        _sums(everything, at),
        {key: _sums(rows[key], at) for key in sorted(rows, key=order)},
    )


def _sums(days: Sequence[Day], at: dict[datetime.datetime, int]) -> Sums:
    sums = Sums({name: np.zeros(len(at)) for name in _SUMS})
    for day in days:
        for name in _SUMS:
            sums[name][at[day.start]] = getattr(day, name)
    return sums


@dataclass(frozen=True)
class Schedule:
    """The looks that are due.

    Attributes:
        promote: whole days of PROMOTE's look that stands; None before the first.
        next_promote: of the next; None after the last.
        reject: whole days after which REJECT is looked at, all of them so far.
        usable: whole days that PROMOTE may count (labels have had their time).
        last: no further look comes.
    """

    promote: int | None
    next_promote: int | None
    reject: tuple[int, ...]
    usable: int
    last: bool


def schedule(
    days: Days,
    policy: Policy,
    labels: LabelSettings,
    history: Sequence[Decision],
    *,
    last_load: datetime.datetime | None,
    needs_labels: bool,
) -> Schedule:
    """Which looks are due.

    Args:
        history: the records of this candidate and policy.
        last_load: when labels were last loaded.
        needs_labels: a label criterion is judged: PROMOTE then counts, for all criteria, only days that ended
            longer than the labels' deadline before `last_load`.
    """
    usable = len(days)
    if needs_labels:
        horizon = None if last_load is None else last_load - datetime.timedelta(seconds=labels.deadline_s)
        usable = sum(horizon is not None and start + DAY <= horizon for start in days.starts)
    looks = policy.looks_days
    first_asked = history[0].days if history else len(days)
    if first_asked > looks[-1]:
        one = min(first_asked, len(days))
        promote = min(one, usable)
        enough = promote >= looks[0]
        return Schedule(promote if enough else None, None if enough else looks[0], (one,), usable, enough)
    due = [look for look in looks if look <= usable]
    to_come = [look for look in looks if look > usable]
    return Schedule(
        due[-1] if due else None,
        to_come[0] if to_come else None,
        tuple(range(1, min(len(days), looks[-1]) + 1)),
        usable,
        not to_come,
    )
