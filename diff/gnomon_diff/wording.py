"""A criterion in words, for the one sentence of a verdict."""

from __future__ import annotations

import math

from gnomon_diff.comparison import Criterion


def closeness(criterion: Criterion) -> float:
    """How near to the limit, or how far beyond, as a share of the limit."""
    if criterion.estimate is None:
        return -math.inf
    if criterion.limit <= 0:
        return 0.0 if criterion.estimate <= 0 else math.inf
    return criterion.estimate / criterion.limit


def name_of(criterion: Criterion) -> str:
    """The criterion in words, with its segment."""
    words = {
        "disagreement": "disagreement above noise",
        "disagreement_raw": "disagreement",
        "error_rate": "the error rate",
        "latency_p95": "p95 latency",
        "accuracy": "the loss of accuracy",
        "critical_errors": "critical errors",
    }[criterion.name]
    segment = criterion.segment
    if segment is None:
        return words
    feature = segment.feature.partition(".")[2]
    value = {"value": segment.value, "missing": "(none)", "other": "(others, small)"}[segment.kind]
    return f"{words} on {feature} {value}"


def said(criterion: Criterion) -> str:
    """Its estimate and bounds in words."""
    if criterion.estimate is None:
        return "not measured"
    if criterion.unit == "count":
        return f"{criterion.estimate:.0f}"
    ends = [
        ("none yet" if end is None else _figure(end, criterion.unit))
        for end in (criterion.low, criterion.high)
    ]
    return f"{_figure(criterion.estimate, criterion.unit)} [{ends[0]}, {ends[1]}]"


def limit_of(criterion: Criterion) -> str:
    """Its limit in words."""
    return f"{criterion.limit:.0f}" if criterion.unit == "count" else _figure(criterion.limit, criterion.unit)


def _figure(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value:+.1%}"
    return f"{100 * value:.2f} points"
