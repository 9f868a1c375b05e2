"""A part of the traffic in words: what was chosen, how much of the whole it is, and what it cannot say."""

from __future__ import annotations

import datetime

from gnomon_diff.comparison import PartOf

from gnomon_reports.markup import Content, code, group, say, value
from gnomon_reports.numerals import about, day, many, minute
from gnomon_reports.run import Run


def bounds(part: PartOf) -> str:
    """`1 Jul 2013 to 8 Jul 2013, UTC`: from the first moment that belongs to it to the first that does not."""
    if part.from_ts is not None and part.to_ts is not None:
        return f"{_moment(part.from_ts)} to {_moment(part.to_ts)}, UTC"
    if part.from_ts is not None:
        return f"from {_moment(part.from_ts)} UTC on"
    return f"before {_moment(part.to_ts)} UTC" if part.to_ts is not None else "all times"


def _moment(moment: datetime.datetime) -> str:
    utc = moment.astimezone(datetime.UTC)
    return day(utc) if utc.time() == datetime.time() else minute(utc).removesuffix(" UTC")


def described(part: PartOf) -> Content:
    """The window and the condition."""
    if part.where is None:
        return bounds(part)
    where = group("where ", code(value(part.where, 200)))
    if part.from_ts is None and part.to_ts is None:
        return where
    return group(bounds(part), ", ", where)


def size(run: Run, part: PartOf) -> str:
    """`1 204 of 167 246 pairs`."""
    return f"{about(run.comparison.accounts.paired)} of {many(part.pairs_of_all, 'pair')}"


def part_sentence(run: Run, part: PartOf, what: Content) -> Content:
    """Instead of a verdict: that it is a part, which, and what was counted in it."""
    return say(
        "This is a part of the traffic, {part}: {size}. A part has no verdict. {what}",
        part=described(part),
        size=size(run, part),
        what=what,
    )


CHOSEN = (
    "Chosen by whoever asked: intervals hold for a part that was named beforehand. Of parts that were tried, some "
    "look better or worse by chance."
)
NO_ACCOUNTS = (
    "A condition asks for what only a pair has, so that how many requests should be here is not known. "
    "Whether the log is the traffic is read in the report of all of it."
)
OF_A_WINDOW = (
    "Of a window: each process from its first number to its last one in it. What was seen, not selected or dropped "
    "meanwhile is not known: a ledger counts all that a process saw."
)
