"""The sums of each day, over all traffic and by segment: what the gate judges and intervals come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gnomon_diff.comparison import Day, SegmentKey
from gnomon_diff.questions import Questions
from gnomon_diff.segmenting import Split
from gnomon_diff.window import BUSY_FRAC, Window, epoch_us

FloatArray = NDArray[np.float64]

COUNTS = ("n", "flips", "noise_n", "noise", "skew_n", "skew")
"""Requests, not weighted."""
SUMS = (
    "pairs",
    "rows",
    "flags",
    "noise_rows",
    "noise_sum",
    "noise_total",
    "candidate_errors",
    "primary_errors",
    "critical_errors",
    "labelled",
    "primary_right",
    "candidate_right",
)
"""The sums of the contract's `Day`, weighted."""
ESTIMATES = ("noise_base", "noise_estimate", "skew_base", "skew_estimate")
"""Of noise and skew over all traffic: weighted by `weight` / `noise_frac`, the inverse of the probability with which
a request is in the noise sample (Horvitz & Thompson 1952). `noise_base` and `skew_base` are sums of weights."""

WEIGHT = "least(weight, 1e15)::DECIMAL(38, 12)"
"""The part `weight` of a log that was sampled; of any other it is 1."""


@dataclass(frozen=True)
class Series:
    """One sum a day of everything in `COUNTS`, `SUMS` and `ESTIMATES`, over all traffic (`key` None) or one segment."""

    key: SegmentKey | None
    judged: bool
    by_day: Mapping[str, FloatArray]

    def total(self, name: str) -> float:
        """Over all the traffic seen, within whole days or not."""
        return float(self.by_day[name].sum())

    def ratio(self, part: str, whole: str) -> float | None:
        """One total over another; None where that is 0."""
        return self.total(part) / self.total(whole) if self.total(whole) else None

    def count(self, name: str) -> int:
        """`total` of what is counted."""
        return round(self.total(name))


@dataclass(frozen=True)
class DaySums:
    """All series over the same days.

    Attributes:
        days: those with any traffic, ascending; day 0 begins with the window, before it is only -1.
        whole: which of them are whole.
        all_traffic, segments: the segments in the order of their splits, then of their values, missing first.
    """

    days: NDArray[np.int64]
    whole: NDArray[np.bool_]
    all_traffic: Series
    segments: tuple[Series, ...]

    @property
    def whole_days(self) -> int:
        """How many days are whole."""
        return int(self.whole.sum())


def ask_days(questions: Questions, window: Window, splits: Sequence[Split], *, at_once: int = 8) -> DaySums:
    """Asks for the sums; the part `weight` says whether the log was sampled.

    Args:
        at_once: splits a question; the combinations of their values must stay few.
    """
    parts = [splits[at : at + at_once] for at in range(0, max(len(splits), 1), at_once)]
    answers = [(part, _ask(questions, window, part)) for part in parts]
    first = answers[0][1]
    days = np.unique(first["day"].to_numpy())
    [all_traffic] = _series(first, days, -1, None)
    segments = [
        series
        for part, answer in answers
        for index, split in enumerate(part)
        for series in _series(answer, days, index, split)
    ]
    pairs = all_traffic.by_day["pairs"]
    whole = window.whole(days) & (pairs >= BUSY_FRAC * pairs.max(initial=0))
    return DaySums(days, whole, all_traffic, tuple(segments))


def day_rows(sums: DaySums, window: Window) -> list[Day]:
    """The contract's days: by time, all traffic first, then the judged segments. The time before day 0 is none."""
    judged = [sums.all_traffic, *(series for series in sums.segments if series.judged)]
    return [
        _day(series, at, window, int(day), whole=bool(whole))
        for at, (day, whole) in enumerate(zip(sums.days, sums.whole, strict=True))
        if day >= 0
        for series in judged
    ]


def _day(series: Series, at: int, window: Window, day: int, *, whole: bool) -> Day:
    values = {name: float(series.by_day[name][at]) for name in SUMS if name != "critical_errors"}
    return Day(
        start=window.begin(day),
        segment=series.key,
        whole=whole,
        critical_errors=round(series.by_day["critical_errors"][at]),
        **values,
    )


def _ask(questions: Questions, window: Window, splits: Sequence[Split]) -> pa.Table:
    names = [f"k{index}" for index in range(len(splits))]
    which = " ".join(f"WHEN grouping({name}) = 0 THEN {index}" for index, name in enumerate(names))
    return questions.ask(
        "days",
        start_us=str(epoch_us(window.start)),
        keys="".join(f"{split.sql('pair')} AS {name}, " for split, name in zip(splits, names, strict=True)),
        names="".join(f"{name}, " for name in names),
        segment=f"CASE {which} ELSE -1 END" if names else "-1",
        value=f"coalesce({', '.join(names)})" if names else "NULL::VARCHAR",
        sums=",\n    ".join(f"sum({name})::DOUBLE AS {name}" for name in (*COUNTS, *SUMS, *ESTIMATES)),
        sets=", ".join(["(day)", *(f"(day, {name})" for name in names)]),
    )


def _series(answer: pa.Table, days: NDArray[np.int64], index: int, split: Split | None) -> list[Series]:
    """The series of one split; a day without rows of a segment counts with zeros."""
    rows = answer.filter(pc.equal(answer["segment"], index))
    values = rows["value"].combine_chunks().dictionary_encode(null_encoding="encode")
    known = values.dictionary.to_pylist()
    if split is None and not known:
        known = [None]  # no traffic at all
    shape = (len(known), len(days))
    at = values.indices.to_numpy(), np.searchsorted(days, rows["day"].to_numpy())
    sums = {}
    for name in (*COUNTS, *SUMS, *ESTIMATES):
        sums[name] = np.zeros(shape)
        sums[name][at] = rows[name].fill_null(0).to_numpy()
    return [
        Series(
            None if split is None else _key(split, value),
            split is not None and split.judged,
            {name: by_day[place] for name, by_day in sums.items()},
        )
        for place, value in enumerate(known)
    ]


def _key(split: Split, value: str | None) -> SegmentKey:
    if split.bins is not None and value is not None:
        return split.bins.key(int(value))
    return SegmentKey(feature=split.feature, kind="missing" if value is None else "value", value=value)
