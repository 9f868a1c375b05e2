"""Sums over labelled pairs, in all and by day, and the intervals that come from the days.

Labels whose delay depends on the outcome break any interval (statistics.md, 0): so only *settled* days enter one, whole
days that ended longer than the labels' deadline before labels were last loaded.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gnomon_diff.comparison import Estimate, Rate
from gnomon_diff.daysums import DaySums, FloatArray
from gnomon_diff.disagreement import EVENTS_MIN, why_open
from gnomon_diff.evidence import BOUNDS_FROM_DAYS, DayCriterion, Interval, rule_bounds
from gnomon_diff.settings import LabelSettings
from gnomon_diff.window import DAY, Window

_NO_INTERVAL = Interval(low=None, high=None)


@dataclass(frozen=True)
class DaySum:
    """One sum: over all labelled pairs, and of each settled day."""

    total: float
    days: FloatArray

    def __add__(self, other: DaySum) -> DaySum:
        return DaySum(self.total + other.total, self.days + other.days)

    def __sub__(self, other: DaySum) -> DaySum:
        return DaySum(self.total - other.total, self.days - other.days)

    def __rmul__(self, factor: float) -> DaySum:
        return DaySum(factor * self.total, factor * self.days)


class SumsByDay:
    """The columns of an answer that has at most one row a day, as sums.

    Args:
        answer: with a column `day`.
        settled: the days that intervals come from, ascending. One without labelled pairs counts with zeros.
    """

    def __init__(self, answer: pa.Table, settled: NDArray[np.int64]) -> None:
        self._answer = answer
        self._settled = settled
        day = answer["day"].to_numpy()
        self._at = np.searchsorted(settled, day)
        self._counts = np.isin(day, settled)

    def __getitem__(self, name: str) -> DaySum:
        values = self._answer[name].to_numpy().astype(np.float64)
        days = np.zeros(len(self._settled))
        days[self._at[self._counts]] = values[self._counts]
        return DaySum(float(values.sum()), days)


def settled_days(
    sums: DaySums, window: Window, labels: LabelSettings, last_load: datetime.datetime | None
) -> NDArray[np.bool_]:
    """Which of `sums.days` are whole and ended longer than the deadline before labels were last loaded."""
    if last_load is None:
        return np.zeros(len(sums.days), bool)
    ends_by = last_load - datetime.timedelta(seconds=labels.deadline_s)
    return sums.whole & (sums.days < (ends_by - window.start) // DAY)


def why_unbounded(days: int, bounds: Interval) -> str | None:
    """Why a figure about labels lacks an end of its interval; None where it has both."""
    if days < BOUNDS_FROM_DAYS:
        return f"no interval before {BOUNDS_FROM_DAYS} whole days whose labels have had their time, there are {days}"
    return why_open(days, bounds)


def mean_of(bad: DaySum, base: DaySum, *, right: bool, top: float, missing: str) -> Estimate:
    """The ratio of two sums per day, E[bad]/E[base], with its interval by whole days.

    Args:
        bad: what counts against a model, at least 0.
        right: give 1 minus the ratio, of a measure that counts what is right; `bad` then counts events, at most `base`.
        top: the ratio is below it, by construction or by far.
        missing: why there is no value where the base is 0.
    """
    if not base.total > 0:
        return Estimate(value=None, low=None, high=None, reason=missing)
    rule = DayCriterion(limit=top / 2, low=0.0, high=top, events_min=EVENTS_MIN if right else 0.0)
    [bounds] = rule_bounds(rule, bad.days, base.days)
    return _estimate(bad.total / base.total, bounds, len(base.days), 1.0 if right else None)


def difference_of(worse: DaySum, base: DaySum, *, right: bool, top: float, missing: str) -> Estimate:
    """As `mean_of`, of what counts against the candidate less what counts against the primary; may be negative."""
    if not base.total > 0:
        return Estimate(value=None, low=None, high=None, reason=missing)
    [bounds] = rule_bounds(DayCriterion(limit=top / 2, low=-top, high=top), worse.days, base.days)
    return _estimate(worse.total / base.total, bounds, len(base.days), 0.0 if right else None)


def rate_of(cases: int, n: int, part: DaySum, base: DaySum, *, missing: str) -> Rate:
    """A counted share, with its interval by whole days."""
    bounds = _NO_INTERVAL
    if n:
        rule = DayCriterion(limit=0.5, low=0.0, high=1.0, events_min=EVENTS_MIN)
        [bounds] = rule_bounds(rule, part.days, base.days)
    days = len(base.days)
    return Rate(
        n=n,
        rate=cases / n if n else None,
        low=bounds.low,
        high=bounds.high,
        days=days,
        reason=why_unbounded(days, bounds) if n else missing,
    )


def _estimate(value: float, bounds: Interval, days: int, whole: float | None) -> Estimate:
    """An estimate; with a `whole`, of what is left of it."""
    reason = why_unbounded(days, bounds)
    low, high = bounds.low, bounds.high
    if whole is not None:
        value = whole - value
        low, high = (None if end is None else whole - end for end in (high, low))
    return Estimate(value=value, low=low, high=high, reason=reason)
