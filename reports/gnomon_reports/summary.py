"""The verdict for a terminal: the sentence, then a line for each criterion."""

from __future__ import annotations

import re

from gnomon_diff.comparison import Comparison, Verdict

from gnomon_reports.answers import answers
from gnomon_reports.criteria import estimate_of, limit_of, wording
from gnomon_reports.limits import limits
from gnomon_reports.markup import Content, plain, printable
from gnomon_reports.numerals import THIN, about
from gnomon_reports.run import Run
from gnomon_reports.sentences import not_judged, verdict_sentence, verdict_word

MOST = 12


def summary_text(comparison: Comparison, verdict: Verdict | None) -> str:
    """A short plain text, ending in a newline; no control character from the traffic reaches the terminal."""
    run = Run(comparison, verdict)
    subject = comparison.subject
    blocks = [
        f"{verdict_word(run)}  {_text(subject.experiment[:80])}  {_text(run.primary)} → {_text(run.candidate)}",
        _text(verdict_sentence(run)),
        "\n".join(_criteria(run)),
        "\n".join(f"{name + ':':14}{_text(answer)}" for name, answer in answers(run)),
        "\n".join(["What this shadow cannot tell:", *(f"  - {_text(line)}" for line in limits(run)[:3])]),
    ]
    if verdict is not None and verdict.not_judged:
        blocks.insert(3, "\n".join(["Not judged:", *(f"  {_text(line)}" for line in not_judged(verdict))]))
    if verdict is not None and verdict.notes:
        blocks.insert(2, "\n".join(_text(note) for note in verdict.notes))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text(content: Content) -> str:
    """As a terminal shows it, with the thousands' commas of all other commands."""
    return printable(
        " ".join(re.sub(rf"(?<=\d){THIN}(?=\d)", ",", plain(content)).replace(THIN, " ").split())
    )


def _criteria(run: Run) -> list[str]:
    """Failing and open first; as a table whose columns are as wide as they need be."""
    rows = []
    for criterion in run.criteria[:MOST]:
        words, found = wording(run, criterion), estimate_of(criterion)
        name = f"{_text(words.name)}, {_text(words.about)}"
        cells = (
            criterion.state,
            name,
            found.text + found.bracket,
            f"limit {limit_of(criterion)}",
            f"n {about(criterion.n)}",
        )
        rows.append([_text(cell) for cell in cells])
    widths = [max((len(row[index]) for row in rows), default=0) for index in range(5)]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rest = len(run.criteria) - MOST
    return [*lines, f"  and {about(rest)} more"] if rest > 0 else lines
