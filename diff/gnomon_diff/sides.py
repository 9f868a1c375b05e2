"""Two sides whose distributions are held against each other: windows, tables, or a table and a reference."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_diff.quoting import literal
from gnomon_diff.window import Window, epoch_us

THEN_TS, NOW_TS, _END = (f"TIMESTAMPTZ '1970-01-0{day} 00:00:00+00'" for day in (1, 2, 3))


@dataclass(frozen=True)
class Sides:
    """What stands for `then` and what for `now`, in SQL.

    Attributes:
        pairs: a relation with the columns of the view `pairs` that are asked for, both sides in it.
        start, middle, end: moments; `ts` tells the sides apart, at `middle`.
        block: an expression, the whole day of a row: rows of one block depend on each other.
    """

    pairs: str
    start: str
    middle: str
    end: str
    block: str

    @property
    def parts(self) -> dict[str, str]:
        """As the questions about shift take them."""
        return {"pairs": self.pairs, "start": self.start, "middle": self.middle, "end": self.end}


def halves(pairs: str, window: Window, whole_days: Sequence[int]) -> Sides | None:
    """The earlier and the later half of the whole days of a relation; None before there are two."""
    return split_at(pairs, window, whole_days, len(whole_days) // 2)


def split_at(pairs: str, window: Window, whole_days: Sequence[int], then_days: int) -> Sides | None:
    """The first `then_days` whole days, and the others; None before there are two."""
    if len(whole_days) < 2:
        return None
    return Sides(
        pairs=pairs,
        start=_time(window.begin(whole_days[0])),
        middle=_time(window.begin(whole_days[then_days])),
        end=_time(window.begin(whole_days[-1] + 1)),
        block=f"floor((epoch_us(ts) - {epoch_us(window.start)}) / 86400000000)::BIGINT",
    )


def between(first: str, second: str) -> Sides:
    """Two relations with the columns of `pairs` each, such as two windows or two logs, whatever their times.

    Args:
        first, second: what may follow FROM: `(FROM pairs WHERE ts < …)`. A request may stand in both.
    """
    parts = [
        f"SELECT * REPLACE ({at} AS ts), floor(epoch_us(ts) / 86400000000)::BIGINT AS block FROM {relation}"
        for at, relation in ((THEN_TS, first), (NOW_TS, second))
    ]
    return joined(*parts, block="block")


def joined(first: str, second: str, *, block: str) -> Sides:
    """Two SELECTs whose `ts` is THEN_TS in the first and NOW_TS in the second; a name that one lacks is NULL there."""
    return Sides(f"({first}\nUNION ALL BY NAME\n{second})", THEN_TS, NOW_TS, _END, block)


def _time(moment: datetime.datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.isoformat())}"
