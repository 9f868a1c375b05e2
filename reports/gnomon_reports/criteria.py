"""A criterion in words: its name, its estimate in its own unit, its limit."""

from __future__ import annotations

from dataclasses import dataclass

from gnomon_diff.comparison import Criterion

from gnomon_reports.markup import Content, group, value
from gnomon_reports.numerals import (
    CHANGE,
    MS,
    PERCENT,
    POINTS,
    Quote,
    Unit,
    count,
    fixed,
    places,
    quote,
    significant,
)
from gnomon_reports.run import Run, segment_name


@dataclass(frozen=True)
class Wording:
    """How a criterion is shown.

    Attributes:
        name: `Disagreement above noise`; a segment's own name.
        about: the line below it.
        phrase: inside a sentence: `disagreement on carrier = 9E`.
    """

    name: Content
    about: Content
    phrase: Content


_NAMES = {
    "disagreement": ("Disagreement above noise", "disagreement"),
    "disagreement_raw": ("Disagreement, noise included", "disagreement with its noise"),
    "error_rate": ("Error rate increase", "the error rate"),
    "latency_p95": ("p95 latency", "p95 latency"),
    "accuracy": ("Accuracy loss", "the loss of accuracy"),
    "critical_errors": ("Critical errors", "the number of critical errors"),
}


def wording(run: Run, criterion: Criterion) -> Wording:
    """The words for `criterion`; of a name that is not known here, the name itself."""
    words = value(criterion.name.replace("_", " "), 40)
    name, phrase = _NAMES.get(criterion.name, (words, words))
    if criterion.segment is not None:
        segment = segment_name(criterion.segment)
        return Wording(segment, _lower(name), group(phrase, " on ", segment))
    about: dict[str, Content] = {
        "error_rate": group(run.candidate, " against what users got"),
        "latency_p95": "absolute, run alone"
        if criterion.unit == "ms"
        else group(run.candidate, " against ", run.primary, ", run alone"),
        "accuracy": "relative, labelled pairs",
        "critical_errors": "crashed or hung, twice",
    }
    return Wording(name, about.get(criterion.name, "all traffic"), phrase)


def _lower(name: Content) -> Content:
    return name[:1].lower() + name[1:] if isinstance(name, str) else name


def estimate_of(criterion: Criterion) -> Quote:
    """Estimate and the bounds that decide, with the unit of the limit."""
    if criterion.unit == "count" and criterion.estimate is not None:
        number = count(criterion.estimate)
        return Quote(number=number, text=number, words=number, bracket="", span="counted")
    return quote(unit_of(criterion), criterion.estimate, criterion.low, criterion.high)


def limit_of(criterion: Criterion, *, words: bool = False) -> str:
    """`10 pts`, `+50 %`, `none`."""
    if criterion.unit == "count":
        return "none" if criterion.limit == 0 else count(criterion.limit)
    unit = unit_of(criterion)
    return limit_number(criterion) + (unit.word if words else unit.suffix)


def limit_number(criterion: Criterion) -> str:
    unit = unit_of(criterion)
    limit = criterion.limit * unit.scale
    if unit.signed:
        return fixed(limit, places(abs(limit), 2) if abs(limit) < 10 else 0, signed=True)
    return significant(limit, 3)


def unit_of(criterion: Criterion) -> Unit:
    if criterion.unit == "ratio":
        return PERCENT if criterion.name == "accuracy" else CHANGE
    return {"points": POINTS, "ms": MS, "frac": PERCENT}.get(criterion.unit, PERCENT)
