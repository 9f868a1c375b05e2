"""The criteria of a policy as evidence: what each counts a day, and what it shows for and against a limit.

All evidence is ln e (see `gnomon_diff.evidence`). Where a criterion has two limits, it lies within if it lies
within either, and beyond only if beyond both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gnomon_diff.comparison import Comparison
from gnomon_diff.evidence import (
    DayCriterion,
    Interval,
    beyond_both,
    buckets,
    decision_bounds,
    paired_quantile_log_e,
    paired_ratio_bounds,
    promote_log_e,
    ratio_grid,
    reject_log_e,
    within_either,
)
from gnomon_diff.looks import FloatArray, Sums
from gnomon_diff.settings import Policy

EVENTS_MIN = 5.0
"""A limit that allows fewer events than this over all days is never shown to be kept (evidence.days)."""
LATENCY_MIN = 100
"""Timed requests below which nothing is said about a p95."""

Unit = Literal["points", "ratio", "ms", "count", "frac"]


@dataclass(frozen=True)
class Limit:
    """One limit of a criterion, by day.

    Attributes:
        rule: what is judged, of `numerator`/`denominator` a day.
        shown: the limit as people wrote it; `show` turns a value of the rule into that form.
    """

    rule: DayCriterion
    numerator: Callable[[Sums], FloatArray]
    denominator: Callable[[Sums], FloatArray]
    shown: float
    unit: Unit
    show: Callable[[float], float]

    def estimate(self, sums: Sums) -> float | None:
        """The value over all days, as people read it; None where nothing is counted."""
        below = float(self.denominator(sums).sum())
        return self.show(float(self.numerator(sums).sum()) / below) if below > 0 else None

    def bounds(self, sums: Sums, *, log_promote: float, log_reject: float) -> Interval:
        """The bounds that decide, as people read them."""
        [found] = decision_bounds(
            self.rule,
            self.numerator(sums),
            self.denominator(sums),
            log_promote=log_promote,
            log_reject=log_reject,
        )
        ends = [None if end is None else self.show(end) for end in (found.low, found.high)]
        return (
            Interval(low=ends[0], high=ends[1]) if self.rule.at_most else Interval(low=ends[1], high=ends[0])
        )


@dataclass(frozen=True)
class DayTest:
    """A criterion that is judged by whole days.

    Attributes:
        base: the sum that counts what it rests on.
        segmented: judged by segment too, with these limits.
    """

    name: str
    limits: tuple[Limit, ...]
    base: str
    segment_limits: tuple[Limit, ...]

    def limits_for(self, *, segment: bool) -> tuple[Limit, ...]:
        return self.segment_limits if segment else self.limits

    def within(self, sums: Sums, *, segment: bool) -> float:
        """ln e that the value lies within, after all the days of `sums`."""
        shown = [
            float(promote_log_e(limit.rule, limit.numerator(sums), limit.denominator(sums))[-1])
            for limit in self.limits_for(segment=segment)
        ]
        return shown[0] if len(shown) == 1 else float(within_either(*shown))

    def beyond(self, sums: Sums, *, segment: bool) -> FloatArray:
        """ln e that the value lies beyond, after each day."""
        shown = [
            reject_log_e(limit.rule, limit.numerator(sums), limit.denominator(sums))
            for limit in self.limits_for(segment=segment)
        ]
        return shown[0] if len(shown) == 1 else beyond_both(*shown)

    def deciding(self, sums: Sums, *, segment: bool) -> Limit:
        """Of two limits the one that is nearer to being kept."""
        return max(
            self.limits_for(segment=segment),
            key=lambda limit: float(
                promote_log_e(limit.rule, limit.numerator(sums), limit.denominator(sums))[-1]
            ),
        )


def day_tests(policy: Policy) -> list[DayTest]:
    """The policy's criteria that are judged by day, in its order."""
    tests = []
    if policy.disagreement is not None:
        by_segment = policy.segments.disagreement or policy.disagreement
        whole, part = _excess(policy.disagreement.max_excess), _excess(by_segment.max_excess)
        tests.append(DayTest("disagreement", (whole,), "rows", (part,)))
    if policy.disagreement_raw is not None:
        raw = Limit(
            _lively(DayCriterion.rate(policy.disagreement_raw.max)),
            lambda sums: sums["flags"],
            lambda sums: sums["rows"],
            policy.disagreement_raw.max,
            "points",
            _as_is,
        )
        tests.append(DayTest("disagreement_raw", (raw,), "rows", (raw,)))
    if policy.error_rate is not None:
        limits = []
        if policy.error_rate.max_increase_rel is not None:
            limits.append(_more_errors(policy.error_rate.max_increase_rel))
        if policy.error_rate.max_increase_abs is not None:
            limits.append(_more_error_points(policy.error_rate.max_increase_abs))
        tests.append(DayTest("error_rate", tuple(limits), "pairs", ()))
    if policy.accuracy is not None:
        tests.append(DayTest("accuracy", (_less_right(policy.accuracy.max_decrease_rel),), "labelled", ()))
    return tests


def _lively(rule: DayCriterion) -> DayCriterion:
    return replace(rule, events_min=EVENTS_MIN)


def _as_is(value: float) -> float:
    return value


def _excess(limit: float) -> Limit:
    """Disagreement above noise and skew: unbiased day by day (statistics.md, 7 and 11)."""
    return Limit(
        _lively(DayCriterion.excess(limit)),
        lambda sums: sums["flags"] - sums["noise_total"],
        lambda sums: sums["rows"],
        limit,
        "points",
        _as_is,
    )


def _more_errors(limit: float) -> Limit:
    return Limit(
        _lively(DayCriterion.error_ratio(1 + limit)),
        lambda sums: sums["candidate_errors"],
        lambda sums: sums["primary_errors"],
        limit,
        "ratio",
        lambda ratio: ratio - 1,
    )


def _more_error_points(limit: float) -> Limit:
    return Limit(
        _lively(DayCriterion.rate_difference(limit)),
        lambda sums: sums["candidate_errors"] - sums["primary_errors"],
        lambda sums: sums["pairs"],
        limit,
        "points",
        _as_is,
    )


def _less_right(limit: float) -> Limit:
    return Limit(
        _lively(DayCriterion.accuracy_ratio(1 - limit)),
        lambda sums: sums["candidate_right"],
        lambda sums: sums["primary_right"],
        limit,
        "ratio",
        lambda ratio: 1 - ratio,
    )


@dataclass(frozen=True)
class LatencyTest:
    """p95 latency: about the machine, not the day, so judged on the timed requests alone.

    Attributes:
        within, beyond: ln e that it lies within its limit, and beyond.
        estimate: relative increase.
    """

    n: int
    limit: float
    within: float
    beyond: float
    estimate: float | None
    _pairs: tuple[np.ndarray, np.ndarray]

    def bounds(self, *, alpha_high: float, alpha_low: float) -> Interval:
        """Bounds of the relative increase, each at its own level."""
        if self.n < LATENCY_MIN:
            return Interval(low=None, high=None)
        grid = ratio_grid(1 + self.limit)
        primary, candidate = (buckets(values, grid.growth) for values in self._pairs)
        high = paired_ratio_bounds(primary, candidate, growth=grid.growth, alpha=alpha_high).high
        low = paired_ratio_bounds(primary, candidate, growth=grid.growth, alpha=alpha_low).low
        return Interval(low=None if low is None else low - 1, high=None if high is None else high - 1)


def latency_test(comparison: Comparison, policy: Policy) -> LatencyTest | None:
    """The evidence about p95 latency relative to the primary's; None where it is not judged."""
    if policy.latency_p95 is None:
        return None
    limit = policy.latency_p95.max_increase_rel
    latency = comparison.latency
    timed = [] if latency is None else latency.pairs_us
    pairs = np.array(timed, dtype=float).reshape(-1, 2).T
    estimate = None if latency is None or latency.ratio_p95 is None else latency.ratio_p95 - 1
    if len(timed) < LATENCY_MIN:
        return LatencyTest(len(timed), limit, 0.0, 0.0, estimate, (pairs[0], pairs[1]))
    grid = ratio_grid(1 + limit)
    shown = paired_quantile_log_e(
        buckets(pairs[0], grid.growth), buckets(pairs[1], grid.growth), steps=grid.steps
    )
    return LatencyTest(len(timed), limit, shown.within, shown.beyond, estimate, (pairs[0], pairs[1]))
