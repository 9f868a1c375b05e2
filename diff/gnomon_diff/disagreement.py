"""Disagreement, its noise floor and the excess over it, with what the days say about other days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gnomon_diff.comparison import Disagreement, Segment
from gnomon_diff.daysums import DaySums, FloatArray, Series
from gnomon_diff.evidence import BOUNDS_FROM_DAYS, DayCriterion, Interval, rule_bounds

ANY_LIMIT = 0.5  # a bound does not depend on the limit
EVENTS_MIN = 5.0
"""A bound allows at least so many events over all days: days on which nothing happens do not vary, and the t
e-process takes that for certainty (evidence.days)."""


def disagreement(sums: DaySums) -> Disagreement:
    """Of all traffic."""
    [measured] = measure([sums.all_traffic], sums)
    return measured


def segments(*parts: DaySums) -> list[Segment]:
    """Of every segment, the worst first: by the lower bound of the excess, where there is one."""
    rows = [
        _segment(series, measured, sums.all_traffic)
        for sums in parts
        for series, measured in zip(sums.segments, measure(sums.segments, sums), strict=True)
    ]
    return sorted(rows, key=_worst_first)


def measure(series: Sequence[Series], sums: DaySums) -> list[Disagreement]:
    """Counts and shares over the traffic seen and intervals from the whole days, of several series at once.

    Shares are Horvitz-Thompson estimates (each request by its `weight`) where the log was sampled.
    """
    if not series:
        return []
    of_days = [_stack(series, name)[:, sums.whole] for name in ("flags", "rows", "noise_total")]
    flags, rows, noise_total = of_days
    rate, excess = (
        replace(rule, events_min=EVENTS_MIN)
        for rule in (DayCriterion.rate(ANY_LIMIT), DayCriterion.excess(ANY_LIMIT))
    )
    rates = rule_bounds(rate, flags, rows)
    excesses = rule_bounds(excess, flags - noise_total, rows)
    return [
        _measured(one, rate, excess, sums.whole_days)
        for one, rate, excess in zip(series, rates, excesses, strict=True)
    ]


def why_open(days: int, *bounds: Interval) -> str | None:
    """Why an interval lacks an end; None where it has both."""
    if days < BOUNDS_FROM_DAYS:
        return f"no interval before {BOUNDS_FROM_DAYS} whole days, there are {days}"
    ends = [("below", bound.low) for bound in bounds] + [("above", bound.high) for bound in bounds]
    open_ends = list(dict.fromkeys(side for side, end in ends if end is None))
    if not open_ends:
        return None
    return f"{days} whole days do not bound it from {' or '.join(open_ends)} yet"


def _measured(series: Series, rate: Interval, excess: Interval, days: int) -> Disagreement:
    n, noise_n = series.count("n"), series.count("noise_n")
    share = series.ratio("flags", "rows")
    noise = series.ratio("noise_estimate", "noise_base")
    floor = series.ratio("noise_total", "noise_base")  # with skew
    over = None
    if share is not None and floor is not None:
        over = share - floor
    else:
        excess = Interval(low=None, high=None)
    if not n:
        reasons: list[str | None] = ["no request has an answer on both sides"]
    elif over is None:
        reasons = [why_open(days, rate), "no noise floor: no request was answered twice by both models"]
    else:
        reasons = [why_open(days, rate, excess)]
    return Disagreement(
        n=n,
        flips=series.count("flips"),
        rate=share,
        low=rate.low,
        high=rate.high,
        noise_n=noise_n,
        noise=noise,
        skew=series.ratio("skew_estimate", "skew_base"),
        excess=over,
        excess_low=excess.low,
        excess_high=excess.high,
        days=days,
        reason="; ".join(reason for reason in reasons if reason) or None,
    )


def _segment(series: Series, measured: Disagreement, everything: Series) -> Segment:
    if series.key is None:
        raise ValueError("all traffic is no segment")
    rest = everything.total("rows") - series.total("rows")
    rest_flags = everything.total("flags") - series.total("flags")
    lift = measured.rate * rest / rest_flags if measured.rate is not None and rest_flags > 0 else None
    return Segment(
        key=series.key,
        n=measured.n,
        share=measured.n / everything.count("n") if everything.count("n") else 0.0,
        flips=measured.flips,
        rate=measured.rate,
        low=measured.low,
        high=measured.high,
        lift=lift,
        noise_n=measured.noise_n,
        noise=measured.noise,
        excess=measured.excess,
        excess_low=measured.excess_low,
        excess_high=measured.excess_high,
        days=measured.days,
        reason=measured.reason,
        judged=series.judged,
    )


def _worst_first(segment: Segment) -> tuple[float, float, int, str, str, str]:
    shown = [value for value in (segment.excess_low, segment.low) if value is not None]
    rate = -1.0 if segment.rate is None else segment.rate
    key = segment.key
    return (-(shown[0] if shown else -1.0), -rate, -segment.n, key.feature, key.kind, key.value or "")


def _stack(series: Sequence[Series], name: str) -> FloatArray:
    return np.stack([one.by_day[name] for one in series])
