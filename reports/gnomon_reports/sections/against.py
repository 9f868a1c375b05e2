"""Two windows side by side: each figure with its own n and interval."""

from __future__ import annotations

from gnomon_diff.comparison import Against, Correctness, Disagreement

from gnomon_reports.figure import Figure, Section, grid, num
from gnomon_reports.markup import Content
from gnomon_reports.numerals import POINTS, count, many, quote, rate, share
from gnomon_reports.part import described
from gnomon_reports.run import Run


def against_section(run: Run) -> Section | None:
    """Only where another window was named."""
    other = run.comparison.against
    if other is None or run.comparison.part is None:
        return None
    answer: list[Content] = [
        _answer(run.comparison.disagreement, other.disagreement),
        "How the input moved between the two is under Log and input.",
    ]
    return Section("against", "Two windows", "Is it as it was?", answer, [_figure(run, other)])


def _answer(mine: Disagreement, other: Disagreement) -> Content:
    if mine.low is None or mine.high is None or other.low is None or other.high is None:
        return f"Counted only: {mine.reason or other.reason or 'one of the windows has no interval'}."
    if mine.low > other.high or mine.high < other.low:
        return "No: the intervals of disagreement lie apart."
    return "Not shown to differ: the intervals of disagreement overlap."


def _figure(run: Run, other: Against) -> Figure:
    comparison, accounts = run.comparison, run.comparison.accounts
    mine, theirs = comparison.disagreement, other.disagreement
    rows: list[list[Content]] = [
        ["window", described(comparison.part) if comparison.part else "", described(other.part)],
        ["pairs", count(accounts.paired), count(other.pairs)],
        ["whole days", count(mine.days), count(other.days)],
        ["answers that differ", _rate(mine), _rate(theirs)],
        ["noise floor", _noise(mine), _noise(theirs)],
        ["disagreement above noise", _excess(mine), _excess(theirs)],
        [
            "candidate's errors",
            _errors(accounts.paired, accounts.predicted),
            _errors(other.pairs, other.predicted),
        ],
        ["accuracy of the candidate", _right(comparison.correctness), _right(other.correctness)],
        ["less that of the primary", _gain(comparison.correctness), _gain(other.correctness)],
    ]
    return Figure(
        "against-figures",
        "Both windows, each with its own interval",
        "their differences have none: read whether intervals overlap",
        grid("Two windows", ["figure", num("this window"), num("the other")], rows),
        foot=[f"n {count(accounts.paired)} and {count(other.pairs)}"],
    )


def _rate(found: Disagreement) -> str:
    quoted = rate(found.rate, found.low, found.high, found.n)
    return quoted.text + (quoted.bracket or ", counted") + f" of {many(found.n, 'pair')}"


def _noise(found: Disagreement) -> str:
    if found.noise is None:
        return "not measured"
    return f"{share(found.noise * found.noise_n, found.noise_n)} of {many(found.noise_n, 'pair')}"


def _excess(found: Disagreement) -> str:
    quoted = quote(POINTS, found.excess, found.excess_low, found.excess_high)
    return quoted.text + (quoted.bracket or (", no interval yet" if found.excess is not None else ""))


def _errors(pairs: int, predicted: int) -> str:
    return f"{count(pairs - predicted)} of {count(pairs)}, counted"


def _right(found: Correctness | None) -> str:
    if found is None or not found.labelled:
        return "no labels"
    quoted = rate(found.candidate.rate, found.candidate.low, found.candidate.high, found.labelled)
    return quoted.text + (quoted.bracket or ", counted") + f" of {many(found.labelled, 'labelled pair')}"


def _gain(found: Correctness | None) -> str:
    if found is None or not found.labelled:
        return "no labels"
    quoted = quote(POINTS, found.difference.rate, found.difference.low, found.difference.high)
    return quoted.text + (quoted.bracket or ", counted")
