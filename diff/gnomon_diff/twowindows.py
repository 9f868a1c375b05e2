"""Two windows of one candidate's pairs, one held against the other."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Against, Comparison, PartOf, Shift
from gnomon_diff.part import Part
from gnomon_diff.questions import Questions
from gnomon_diff.shifts import shifts_between, subjects_of
from gnomon_diff.sides import between

Bounds = tuple[datetime.datetime | None, datetime.datetime | None]
"""From and to; None: no bound."""


def shown_part(part: Part, pairs_of_all: int) -> PartOf:
    """The part as the comparison carries it."""
    return PartOf(from_ts=part.from_ts, to_ts=part.to_ts, where=part.where, pairs_of_all=pairs_of_all)


def held_against(other: Comparison) -> Against:
    """What is kept of the comparison of the other window.

    Raises:
        ValueError: it is of all the traffic.
    """
    if other.part is None:
        raise ValueError("a window to hold another one against has a bound")
    return Against(
        part=other.part,
        first_ts=other.subject.first_ts,
        last_ts=other.subject.last_ts,
        days=other.disagreement.days,
        pairs=other.accounts.paired,
        predicted=other.accounts.predicted,
        disagreement=other.disagreement,
        correctness=other.correctness,
    )


def ask_moved(questions: Questions, columns: Sequence[Column], other: Part, inside: str) -> list[Shift]:
    """The shift of every column from the other window to this one, whole days or not; a request of both counts in
    both."""
    theirs = other.condition(f"candidate_digest = {questions.part('candidate')}")
    sides = between(f"(FROM pairs WHERE {theirs})", f"(FROM pairs WHERE {inside})")
    return shifts_between(questions, subjects_of(columns), sides)
