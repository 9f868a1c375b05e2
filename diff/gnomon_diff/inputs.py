"""Is the log the traffic, and the input the same? What is said beside the verdict, and judged by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Comparison, Shift, TwoSample
from gnomon_diff.drawing import draw, with_distances
from gnomon_diff.losses import ask_losses
from gnomon_diff.pairedshifts import ask_paired_shifts
from gnomon_diff.presence import ask_presence
from gnomon_diff.questions import Questions
from gnomon_diff.reference import ask_reference, by_size
from gnomon_diff.segmenting import Split
from gnomon_diff.shifts import subjects_of
from gnomon_diff.sides import Sides, halves
from gnomon_diff.twosample import two_sample
from gnomon_diff.window import Window


@dataclass(frozen=True)
class ReferenceFiles:
    """What the traffic is held against: its name, and its files; none for the traffic's first day."""

    name: str
    files: tuple[str, ...]


def with_inputs(
    comparison: Comparison,
    questions: Questions,
    columns: Sequence[Column],
    splits: Sequence[Split],
    window: Window,
    whole_days: Sequence[int],
    reference: ReferenceFiles | None,
) -> Comparison:
    """The comparison with what was lost, what is empty, and how far input and answers moved.

    Its `shifts` gain the distances that need a sample of the rows.
    """
    sides = halves(questions.part("pairs"), window, whole_days)
    shifts, found = comparison.shifts, None
    if sides is not None and shifts:
        shifts, found = with_sample(questions, columns, sides, shifts)
    presence = ask_presence(questions, columns, window)
    return msgspec.structs.replace(
        comparison,
        shifts=shifts,
        two_sample=found,
        losses=ask_losses(
            questions,
            columns,
            splits,
            window,
            comparison.subject.timezone,
            comparison.accounts,
            len(presence.days) if presence is not None else len(whole_days),
        ),
        presence=presence,
        paired_shifts=ask_paired_shifts(questions),
        reference=None
        if reference is None
        else ask_reference(questions, reference.name, reference.files, columns, window, whole_days),
    )


def with_sample(
    questions: Questions, columns: Sequence[Column], sides: Sides, shifts: Sequence[Shift]
) -> tuple[list[Shift], TwoSample | None]:
    """The shifts with the distances of a sample, and the classifier's test on it."""
    drawn = draw(
        questions,
        subjects_of(columns),
        sides,
        n_then=max((shift.n_then for shift in shifts), default=0),
        n_now=max((shift.n_now for shift in shifts), default=0),
    )
    moved = with_distances(shifts, drawn)
    if not drawn.later.any() or drawn.later.all():
        return moved, None
    return moved, two_sample(drawn, most_telling=by_size(moved))
