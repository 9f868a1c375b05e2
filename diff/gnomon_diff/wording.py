"""The sentences of a verdict: true of the figures they are given, short enough to be read aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gnomon_diff.comparison import Criterion, SegmentKey, State

_NAMES = {
    "disagreement": "disagreement above noise",
    "disagreement_raw": "disagreement",
    "error_rate": "the rise in errors",
    "latency_p95": "the rise in p95 latency",
    "accuracy": "the loss of accuracy",
    "critical_errors": "critical errors",
}
_MOST = 40  # characters of a name that came with the traffic


def promote(version: str, criteria: Sequence[Criterion]) -> str:
    """Why a candidate may go."""
    closest = max(criteria, key=closeness)
    size = f"{phrase(closest.name, closest.segment)}, {_sizes(closest)}"
    if len(criteria) == 1:
        return f"Promote {version}: {size}, its one criterion, is within its limit."
    return f"Promote {version}: all {len(criteria)} criteria are shown to lie within their limits; the closest is {size}."


def reject(version: str, failed: Sequence[Criterion]) -> str:
    """Why it may not."""
    worst = max(failed, key=closeness)
    more = len(failed) - 1
    others = f" {more} more {'is' if more == 1 else 'are'} beyond the limit." if more else ""
    return f"Do not promote {version}: {_beyond(worst)}.{others}"


def still_open(criteria: Sequence[Criterion]) -> str:
    """How far the criteria are, and the one to name: what cannot be judged at all, else the closest."""
    named = max(
        (criterion for criterion in criteria if criterion.state == "open"),
        key=lambda criterion: (criterion.estimate is None, closeness(criterion)),
    )
    passed = sum(criterion.state == "pass" for criterion in criteria)
    within = f"{passed} of {len(criteria)} criteria are within their limits; " if len(criteria) > 1 else ""
    at = f" at {_sizes(named)}" if named.estimate is not None else ""
    return f"Not yet: {within}{phrase(named.name, named.segment)} is open{at}: {named.why}."


def shown(state: State, by: str) -> str:
    """Why a criterion is in its state: what `14 whole days` or `3,000 timed requests` show."""
    return {
        "pass": f"shown by {by} to lie within its limit",
        "fail": f"shown by {by} to lie beyond its limit",
    }.get(state, f"shown by {by} neither to lie within its limit nor beyond")


def phrase(name: str, segment: SegmentKey | None) -> str:
    """A criterion inside a sentence, with its segment."""
    if segment is None:
        return _NAMES[name]
    feature = _cut(segment.feature.partition(".")[2])
    where = {
        "value": f"{feature} {_cut(segment.value or '')}",
        "range": f"{feature} {_cut(segment.value or '')}",
        "missing": f"requests without {feature}",
        "other": f"the small segments of {feature}",
    }
    return f"{_NAMES[name]} on {where[segment.kind]}"


def closeness(criterion: Criterion) -> float:
    """How near to its limit the estimate is, or how far beyond, as a share of the limit."""
    if criterion.estimate is None:
        return math.inf if criterion.state == "fail" else -math.inf
    if criterion.limit <= 0:
        return math.inf if criterion.estimate > 0 else -math.inf
    return criterion.estimate / criterion.limit


def many(n: int, what: str) -> str:
    """`1 pair`, `14 whole days`, `12,700 pairs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def percent(share: float) -> str:
    """`0.31%`."""
    return f"{_number(share)}%"


def _sizes(criterion: Criterion) -> str:
    """`23.7 points [22.4, 25] against 10 points`; an end that the evidence does not give is `none`."""
    if criterion.unit == "count":
        return f"{criterion.estimate or 0:,.0f} of at most {criterion.limit:,.0f}"
    return f"{_estimate(criterion)} against {_with_unit(criterion.limit, criterion.unit)}"


def _beyond(criterion: Criterion) -> str:
    if criterion.unit == "count":
        requests = many(round(criterion.estimate or 0), "request")
        return f"{requests} crashed or hung it, each twice; at most {criterion.limit:,.0f} may"
    limit = _with_unit(criterion.limit, criterion.unit)
    return f"{phrase(criterion.name, criterion.segment)} is {_estimate(criterion)}; the limit is {limit}"


def _estimate(criterion: Criterion) -> str:
    if criterion.estimate is None:
        return "from none at all"  # which no share describes
    size = _with_unit(criterion.estimate, criterion.unit)
    if criterion.low is None and criterion.high is None:
        return size
    ends = ["none" if end is None else _number(end) for end in (criterion.low, criterion.high)]
    return f"{size} [{ends[0]}, {ends[1]}]"


def _with_unit(value: float, unit: str) -> str:
    number = _number(value)
    return f"{number}%" if unit == "ratio" else f"{number} point{'' if number == '1' else 's'}"


def _number(value: float) -> str:
    """A fraction in hundredths, to three digits and four decimals at most."""
    hundredths = 100 * value
    size = math.floor(math.log10(abs(hundredths))) if hundredths else 0
    places = max(0, min(4, 2 - size))
    return (
        f"{round(hundredths, places) + 0.0:.{places}f}".rstrip("0").rstrip(".")
        if places
        else f"{hundredths:,.0f}"
    )


def _cut(text: str) -> str:
    """What came with the traffic, on one line and with nothing that a terminal would obey."""
    text = "".join(letter if letter.isprintable() else "�" for letter in text) or '""'
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
