"""Which whole days a verdict may use: the sums of each, and the looks that are due.

PROMOTE is looked at after `looks_days` whole days, REJECT after every one. Asked again between two looks,
the last look stands, whoever asked when: everything is computed again from the days. A candidate that is
first judged on more days than the last look gets one look, at all of them.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnomon_diff.comparison import Comparison, SegmentKey
from gnomon_diff.decision import Decision
from gnomon_diff.settings import LabelSettings, Policy

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

DAY = datetime.timedelta(days=1)
SUMS = (
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
_sums_of = operator.attrgetter(*SUMS)


@dataclass(frozen=True)
class Parts:
    """Sums of `comparison.Day`, of all traffic (key None) or of its segments.

    Attributes:
        keys: of the rows.
        sums: by name, a row a part and a column a whole day, oldest first.
    """

    keys: tuple[SegmentKey | None, ...]
    sums: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, name: str) -> FloatArray:
        return self.sums[name]

    @property
    def days(self) -> int:
        """How many columns there are."""
        return int(self.sums["pairs"].shape[1])

    def total(self, name: str) -> FloatArray:
        """Of each part, over all its days."""
        total: FloatArray = self.sums[name].sum(axis=1)
        return total

    def first(self, days: int) -> Parts:
        """Of the first so many days."""
        return Parts(self.keys, {name: values[:, :days] for name, values in self.sums.items()})

    def only(self, rows: Iterable[int]) -> Parts:
        """Some of the parts."""
        of = list(rows)
        return Parts(
            tuple(self.keys[row] for row in of), {name: values[of] for name, values in self.sums.items()}
        )

    def pooled(self, rows: Iterable[int]) -> Parts:
        """Some of the parts, those of each feature as one, `other`."""
        of: dict[str, list[int]] = {}
        for row in rows:
            key = self.keys[row]
            if key is not None:
                of.setdefault(key.feature, []).append(row)
        sums = {
            name: np.array([values[some].sum(axis=0) for some in of.values()]).reshape(len(of), self.days)
            for name, values in self.sums.items()
        }
        keys = tuple(SegmentKey(feature=feature, kind="other", value=None) for feature in of)
        return Parts(keys, sums)


@dataclass(frozen=True)
class Days:
    """The whole days of a comparison.

    Attributes:
        starts: of each day.
        whole: all traffic, one part.
        segments: in the order in which they enter a family: first day with rows, then the policy's order,
            then name. A day without rows of a segment counts with zeros.
    """

    starts: tuple[datetime.datetime, ...]
    whole: Parts
    segments: Parts

    def __len__(self) -> int:
        return len(self.starts)


def whole_days(comparison: Comparison, policy: Policy) -> Days:
    """The whole days that had traffic, with the sums of all traffic and of each segment."""
    starts = sorted(day.start for day in comparison.days if day.segment is None and day.whole and day.pairs)
    column = {start: index for index, start in enumerate(starts)}
    days = [day for day in comparison.days if day.start in column]
    row = {key: index for index, key in enumerate({None: None} | {day.segment: None for day in days})}
    table = np.zeros((len(SUMS), len(row), len(column)))
    for day in days:
        table[:, row[day.segment], column[day.start]] = _sums_of(day)
    parts = Parts(tuple(row), dict(zip(SUMS, table, strict=True)))
    some = parts["pairs"] > 0
    first = np.where(some.any(axis=1), some.argmax(axis=1) if column else 0, len(column))
    named = list(policy.segments.by or ())

    def order(index: int) -> tuple[int, int, str, str, str]:
        key = parts.keys[index]
        if key is None:
            return -1, 0, "", "", ""
        place = named.index(key.feature) if key.feature in named else len(named)
        return int(first[index]), place, key.feature, key.kind, key.value or ""

    rows = sorted(range(len(parts)), key=order)
    return Days(tuple(starts), parts.only(rows[:1]), parts.only(rows[1:]))


@dataclass(frozen=True)
class Schedule:
    """The looks that are due.

    Attributes:
        promote: whole days of PROMOTE's look that stands; None before the first.
        next_promote: of the next; None after the last.
        reject: whole days after which REJECT is looked at; the last are all so far.
        usable: whole days that PROMOTE may count (labels have had their time).
    """

    promote: int | None
    next_promote: int | None
    reject: tuple[int, ...]
    usable: int

    @property
    def last(self) -> bool:
        """No further look comes."""
        return self.next_promote is None


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
        history: the records of this candidate and policy, oldest first.
        last_load: when labels were last loaded.
        needs_labels: a label criterion is judged: PROMOTE then counts, for all criteria, only days that ended
            longer than the labels' deadline before `last_load`.
    """
    usable = len(days)
    if needs_labels:
        horizon = None if last_load is None else last_load - datetime.timedelta(seconds=labels.deadline_s)
        usable = sum(horizon is not None and start + DAY < horizon for start in days.starts)
    looks = policy.looks_days
    reject = tuple(range(min(len(days), looks[-1]) + 1))
    first_asked = history[0].days if history else len(days)
    if first_asked > looks[-1]:  # what would have been seen at the looks before, nobody asked
        looks, reject = (first_asked,), (min(first_asked, len(days)),)
    return Schedule(
        promote=max((look for look in looks if look <= usable), default=None),
        next_promote=min((look for look in looks if look > usable), default=None),
        reject=reject,
        usable=usable,
    )
