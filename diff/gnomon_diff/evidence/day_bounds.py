"""Intervals that agree with the rule for days: the limits at which its decisions turn.

One end is the strictest limit that PROMOTE's evidence accepts (the upper end, for what must stay below its
limit), the other the loosest that REJECT's evidence refuses. Each is searched outward from the estimate
sum(a)/sum(b), for all series at once; where there is none within the range of the estimand, the end is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from gnomon_diff.evidence.days import (
    REJECT_T_FROM_DAYS,
    DayCriterion,
    allowed_at,
    bet_payoffs,
    day_sums,
    deviations,
    t_log_e,
)
from gnomon_diff.evidence.engine import BoolArray, FloatArray, Interval, bisect, log_e, log_threshold

BOUNDS_FROM_DAYS = 7
_HALVINGS = 20  # six digits of the distance from the estimate: more than a picture shows
_NEWTON_STEPS = 60  # about eight are needed

Slack = tuple[
    FloatArray, FloatArray
]  # by how much a limit is accepted or refused, and its slope in the limit


def rule_bounds(
    criterion: DayCriterion, a: ArrayLike, b: ArrayLike, *, alpha: float = 0.05
) -> list[Interval]:
    """The 1 - alpha interval of the long-run value: PROMOTE's evidence on one side, E_t on the other.

    Estimand: E[a]/E[b], see `DayCriterion`. Either side is at 2/alpha. Source: statistics_dependence.md,
    "Interval". Valid as the evidence is, from day 7 on; before, both ends are None.

    Args:
        criterion: what a and b are; its limit does not enter.
        a, b: sums of each day, shape (D,) or (series, D); b at least 0.
        alpha: both sides together, in (0, 1).

    Returns:
        One interval for each series.

    >>> a = [9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10]
    >>> b = [900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925]
    >>> [interval] = rule_bounds(DayCriterion.rate(0.05), a, b)
    >>> round(interval.low, 8), round(interval.high, 7)
    (0.0044144, 0.0280217)
    >>> [first_week] = rule_bounds(DayCriterion.rate(0.05), a[:7], b[:7])
    >>> first_week.high is None
    True
    """
    threshold = log_threshold(alpha / 2)
    a, b = _series(a, b)
    if a.shape[-1] < BOUNDS_FROM_DAYS:
        return [Interval(low=None, high=None)] * len(a)
    return _intervals(criterion, a, b, threshold, threshold, bets=False)


def decision_bounds(
    criterion: DayCriterion, a: ArrayLike, b: ArrayLike, *, log_promote: ArrayLike, log_reject: ArrayLike
) -> list[Interval]:
    """The bounds that decide: the limits at which PROMOTE and REJECT turn, on the days seen so far.

    As `rule_bounds`, but with REJECT's full evidence (E_bet included), at the evidence that each decision
    asks for, and from the day on which there is evidence. So a picture of it agrees with the state of this
    look.

    Args:
        criterion: what a and b are; its limit does not enter.
        a, b: sums of each day, shape (D,) or (series, D); b at least 0.
        log_promote, log_reject: evidence asked for, above 0; one for all series, or one for each.

    >>> a = [9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10]
    >>> b = [900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925]
    >>> asked = log_threshold(0.05)
    >>> [ends] = decision_bounds(DayCriterion.rate(0.05), a, b, log_promote=asked, log_reject=asked)
    >>> round(ends.high, 7)
    0.0254663
    """
    a, b = _series(a, b)
    return _intervals(criterion, a, b, log_promote, log_reject, bets=criterion.bets)


def _intervals(
    criterion: DayCriterion,
    a: FloatArray,
    b: FloatArray,
    log_promote: ArrayLike,
    log_reject: ArrayLike,
    *,
    bets: bool,
) -> list[Interval]:
    days = a.shape[-1]
    promote_at, reject_at = _critical(days + 1, log_promote), _critical(days, log_reject)
    total: FloatArray = b.sum(axis=-1)
    some = total > 0
    if not (days and some.any()):
        return [Interval(low=None, high=None)] * len(a)
    estimate = np.where(some, a.sum(axis=-1), 0.0) / np.where(some, total, 1.0)
    better, worse = (criterion.low, criterion.high)[:: 1 if criterion.at_most else -1]

    def promote_slack(limit: FloatArray) -> Slack:
        return _promote_slack(criterion, limit, a, b, promote_at)

    accepted = _turn(promote_slack, estimate, worse)
    if criterion.events_min:
        accepted = _with_events(criterion, promote_slack, accepted, total)
    if bets:
        refused = _refused_with_bets(criterion, estimate, a, b, np.asarray(log_reject, dtype=np.float64))
    elif days >= REJECT_T_FROM_DAYS:
        refused = _turn(lambda limit: _reject_slack(criterion, limit, a, b, reject_at), estimate, better)
    else:
        refused = np.full(estimate.shape, np.nan)
    ends = (refused, accepted) if criterion.at_most else (accepted, refused)
    lows, highs = (np.where(some, end, np.nan) for end in ends)
    return [Interval(low=_end(low), high=_end(high)) for low, high in zip(lows, highs, strict=True)]


def _promote_slack(
    criterion: DayCriterion, limit: FloatArray, a: FloatArray, b: FloatArray, critical: FloatArray
) -> Slack:
    """s - critical * sqrt(v) of PROMOTE's evidence, the added day included, and its slope in the limit."""
    sign = 1.0 if criterion.at_most else -1.0
    x = deviations(criterion, limit, a, b)
    worst = x.argmin(axis=-1)[:, None]
    seen = np.take_along_axis(x, worst, axis=-1)[:, 0]
    seen_slope = sign * np.take_along_axis(b, worst, axis=-1)[:, 0]
    allowed = allowed_at(criterion, limit)
    mean = b.mean(axis=-1)
    assumed = -allowed * mean < seen
    added = np.where(assumed, -allowed * mean, seen)
    added_slope = np.where(assumed, np.where(allowed > 0, -sign * mean, 0.0), seen_slope)
    root = np.sqrt(_dot(x, x) + added * added)
    root_slope = (sign * _dot(x, b) + added * added_slope) / np.where(root > 0, root, 1.0)
    value = x.sum(axis=-1) + added - critical * root
    return value, sign * b.sum(axis=-1) + added_slope - critical * root_slope


def _reject_slack(
    criterion: DayCriterion, limit: FloatArray, a: FloatArray, b: FloatArray, critical: FloatArray
) -> Slack:
    """s - critical * sqrt(v) of E_t, and its slope in the limit."""
    sign = -1.0 if criterion.at_most else 1.0
    x = -deviations(criterion, limit, a, b)
    root = np.sqrt(_dot(x, x))
    root_slope = sign * _dot(x, b) / np.where(root > 0, root, 1.0)
    return x.sum(axis=-1) - critical * root, sign * b.sum(axis=-1) - critical * root_slope


def _turn(slack: Callable[[FloatArray], Slack], start: FloatArray, end: float) -> FloatArray:
    """The first limit on the way from `start` to `end` at which the slack is 0; NaN if there is none.

    The slack is concave in the limit: s, with the added day, is concave, and sqrt(v), a norm, is convex. So
    from where it is negative, Newton's steps never pass the root, and a slope the wrong way says that there
    is none.
    """
    way = np.sign(end - start)
    limit = np.where(way == 0, np.nan, start + 1e-12 * (end - start))  # at the start perhaps nothing varies
    for _ in range(_NEWTON_STEPS):
        value, slope = slack(limit)
        ahead = slope * way > 0
        step = np.where(value < 0, -value / np.where(ahead, slope, np.nan), 0.0)
        limit = np.where((end - limit - step) * way >= 0, limit + step, np.nan)
        if not np.any(np.abs(step) > 1e-14 * np.abs(limit)):
            break
    return limit


def _with_events(
    criterion: DayCriterion, slack: Callable[[FloatArray], Slack], accepted: FloatArray, total: FloatArray
) -> FloatArray:
    """The accepted limit, moved out to where it allows `events_min` events, if it is accepted there too."""
    sign = 1.0 if criterion.at_most else -1.0
    enough = criterion.origin + sign * criterion.events_min / np.where(total > 0, total, np.nan)
    within = (enough > criterion.low) & (enough < criterion.high) & (slack(enough)[0] >= 0)
    return np.where((accepted - enough) * sign >= 0, accepted, np.where(within, enough, np.nan))


def _refused_with_bets(
    criterion: DayCriterion, estimate: FloatArray, a: FloatArray, b: FloatArray, log_reject: FloatArray
) -> FloatArray:
    """The loosest limit that the mean of E_t and E_bet refuses, bisected: E_bet has no slack."""
    days = a.shape[-1]

    def refused(limit: FloatArray) -> BoolArray:
        x = -deviations(criterion, limit, a, b)
        evidence = log_e(np.ones(days), bet_payoffs(criterion, limit, a, b))
        if days >= REJECT_T_FROM_DAYS:
            evidence = np.logaddexp(evidence, t_log_e(days, x.sum(axis=-1), _dot(x, x)))
        return evidence - math.log(2) >= log_reject

    edge = criterion.low + 1e-12 * (criterion.high - criterion.low)
    return bisect(refused, np.maximum(estimate, edge), edge, np.nan, steps=_HALVINGS)


def _critical(n: int, log_evidence: ArrayLike) -> FloatArray:
    """`_critical_ratio` of each."""
    levels = np.asarray(log_evidence, dtype=np.float64)
    if not np.all(levels > 0):
        raise ValueError("the evidence asked for must be above 0, a capital of 1")
    return np.array([_critical_ratio(n, float(level)) for level in levels.flat]).reshape(levels.shape)


@lru_cache(maxsize=1024)
def _critical_ratio(n: int, log_evidence: float) -> float:
    """The s / sqrt(v) at which n values reach that evidence; if none do, more than n values can have.

    The t e-process depends on s and v by this ratio alone and rises with it, so a search needs no cdf.
    """
    most = math.sqrt(n)
    return float(
        bisect(lambda ratio: t_log_e(n, ratio, 1.0) >= log_evidence, 0.0, most, 2 * most + 1, steps=60)
    )


def _dot(x: FloatArray, y: FloatArray) -> FloatArray:
    dot: FloatArray = np.einsum("...d,...d->...", x, y)
    return dot


def _end(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _series(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    sums, units = day_sums(a, b)
    if sums.ndim > 2:
        raise ValueError(f"one series of days, or several as rows, not {sums.ndim} dimensions")
    return np.atleast_2d(sums), np.atleast_2d(units)
