"""The rule for traffic not yet seen: whole days are the observations.

Requests of one day share its weather, outages and campaigns; read as independent they promote most candidates
that are just at the limit. So a criterion is the long-run ratio E[a]/E[b] of two sums per day, and it is
judged from the days' deviations X_d = theta b_d - a_d alone (statistics_dependence.md, "The rule"):

- PROMOTE: a one-sided t e-process on X, with one bad day added;
- REJECT: the mean of the t e-process (from the fourth day on) and of the engine with a day as one bet.

Every function takes days along the last axis, oldest first, and any number of series (segments) along the
others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri, stdtr

from gnomon_diff.evidence.engine import FloatArray, log_e_path

REJECT_T_FROM_DAYS = 4
_RATIO_TOP = 1e6  # beyond a million, a bound on a ratio says nothing


@dataclass(frozen=True, kw_only=True)
class DayCriterion:
    """What is judged by day: the long-run value E[a]/E[b] of two sums per day, and its limit.

    The constructors `rate`, `excess`, `error_ratio`, `accuracy_ratio` and `rate_difference` are the rows of
    the table in statistics_dependence.md; `dataclasses.replace` changes a field of one.

    Attributes:
        limit: theta, strictly between `low` and `high`.
        at_most: True if a/b must stay below the limit, False if above it.
        origin: the limit that allows nothing (0, or 1 for ratios).
        low, high: the range of the estimand, in which bounds are searched.
        bets: whether E_bet joins REJECT; it needs a >= low * b on every day, by construction.
        events_min: PROMOTE has no evidence while the limit allows fewer events than this over all days. Days
            on which nothing happens do not vary, and a t e-process takes that for certainty: where the limit
            allows .1 events a day, a rate exactly at it is promoted in .23 of runs by day 28 (simulated).
            With 5 that is at most .015 for independent requests, .033 if daily rates vary by their mean. 0:
            the note's rule.

    Raises:
        ValueError: `limit` is not within the range, or `events_min` is negative.
    """

    limit: float
    at_most: bool = True
    origin: float = 0.0
    low: float
    high: float
    bets: bool = False
    events_min: float = 0.0

    def __post_init__(self) -> None:
        if not self.low < self.limit < self.high:
            raise ValueError(f"limit must lie strictly between {self.low} and {self.high}, not {self.limit}")
        if not 0.0 <= self.events_min < math.inf:
            raise ValueError(f"events_min must be finite and at least 0, not {self.events_min}")

    @classmethod
    def rate(cls, limit: float, *, low: float = 0.0, high: float = 1.0) -> DayCriterion:
        """a: flags, or the sum of a pay-off per request within [low, high]; b: requests. Below `limit`."""
        return cls(limit=limit, low=low, high=high, bets=True)

    @classmethod
    def excess(cls, limit: float) -> DayCriterion:
        """a: flags less the day's noise, so it may be negative; b: requests. Below `limit`."""
        return cls(limit=limit, low=-1.0, high=1.0)

    @classmethod
    def error_ratio(cls, limit: float) -> DayCriterion:
        """a: the candidate's errors; b: the primary's, on the same requests. Below `limit`."""
        return cls(limit=limit, origin=1.0, low=0.0, high=_RATIO_TOP)

    @classmethod
    def accuracy_ratio(cls, limit: float) -> DayCriterion:
        """a: how often the candidate was right; b: the primary, on the same requests. Above `limit`."""
        return cls(limit=limit, at_most=False, origin=1.0, low=0.0, high=_RATIO_TOP)

    @classmethod
    def rate_difference(cls, limit: float) -> DayCriterion:
        """a: the candidate's errors less the primary's; b: requests. Below `limit`."""
        return cls(limit=limit, low=-1.0, high=1.0)

    @property
    def allowed(self) -> float:
        """L, the amount allowed per unit of b; 0 for a limit stricter than `origin`."""
        return float(allowed_at(self, self.limit))

    def promote_x(self, a: ArrayLike, b: ArrayLike) -> FloatArray:
        """X_d for PROMOTE: above 0 on a day within the limit.

        >>> DayCriterion.rate(0.05).promote_x([2.0, 9.0], [100.0, 100.0])
        array([ 3., -4.])
        >>> DayCriterion.accuracy_ratio(0.9).promote_x([85.0, 95.0], [100.0, 100.0])
        array([-5.,  5.])
        """
        return deviations(self, self.limit, *day_sums(a, b))

    def reject_x(self, a: ArrayLike, b: ArrayLike) -> FloatArray:
        """X_d for REJECT: above 0 on a day beyond the limit."""
        return -self.promote_x(a, b)


def t_log_e(n: ArrayLike, s: ArrayLike, v: ArrayLike) -> FloatArray:
    """ln e that the mean of X is above 0, from n values, their sum s and their sum of squares v.

    Estimand: the sign of the mean. With T_n Student's cdf of n degrees of freedom and k = (n+1) v - s^2:

        ln e = .5 ln(1/(n+1)) + (n/2) ln((n+1) v / k) + ln(2 T_n(s sqrt(n/k)))

    Free of scale; for independent N(0, sigma^2), any sigma, E[e] = 1 at every n and e is a test martingale.
    Source: the t e-process of Wang & Ramdas (Thm 4.9, c = 1), one-sided form derived in
    statistics_dependence.md. Valid from n = 1 for normal values, for others by simulation only; v = 0 (no
    values, or only zeros) gives 0.

    Raises:
        ValueError: n or v is negative, or no n values have that s and v (s^2 > n v).

    >>> t_log_e([7, 7, 14], [14, -14, 10], [35, 35, 30]).round(5)
    array([ 3.86487, -2.13949,  1.06513])
    """
    n, s, v = (np.asarray(value, dtype=np.float64) for value in (n, s, v))
    if not (np.all(n >= 0) and np.all(v >= 0)):
        raise ValueError("n and the sum of squares must be at least 0")
    if not np.all(s * s <= n * v * (1 + 1e-9)):
        raise ValueError("s^2 > n v: no n values have this sum and this sum of squares")
    some = v > 0
    v = np.where(some, v, 1.0)
    k = np.maximum((n + 1) * v - s * s, v / 2)  # at least v, but for rounding
    with np.errstate(divide="ignore"):  # a cdf that underflows is a capital of nothing
        one_sided = np.log(2 * stdtr(np.maximum(n, 1), s * np.sqrt(n / k)))
    return np.where(some, -0.5 * np.log1p(n) + n / 2 * np.log((n + 1) * v / k) + one_sided, 0.0)


def promote_log_e(criterion: DayCriterion, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """PROMOTE's evidence that the long-run value lies within the limit, after each day.

    One day is added to the D seen, w = min(min_d X_d, -L sum(b)/D): the worst of them, or one at twice the
    limit if that is worse. Then `t_log_e(D + 1, sum X + w, sum X^2 + w^2)`. Source: statistics_dependence.md.

    Estimand: E[a]/E[b], see `DayCriterion`. Valid for independent normal days, for skewed ones by simulation;
    meant for looks at 14, 21 and 28 days (at 7 it cannot reach ln 20), and for limits that allow some events
    on most days (`events_min`). A day without rows counts with X = 0.

    Args:
        criterion: what a and b are, and the limit.
        a, b: sums of each day, shape (..., D); b at least 0.

    Returns:
        ln e after day 1..D, shape (..., D); 0 while nothing happened and nothing was allowed.

    >>> a, b = [9, 14, 6, 22, 5, 4, 11], [900, 950, 870, 910, 620, 560, 940]
    >>> promote_log_e(DayCriterion.rate(0.05), a, b)[-1].round(5)
    np.float64(1.59264)
    """
    a, b = day_sums(a, b)
    x = deviations(criterion, criterion.limit, a, b)
    days = np.arange(1, x.shape[-1] + 1)
    allowance = criterion.allowed * np.cumsum(b, axis=-1)
    added = np.minimum(np.minimum.accumulate(x, axis=-1), -allowance / days)
    evidence = t_log_e(days + 1, np.cumsum(x, axis=-1) + added, np.cumsum(x * x, axis=-1) + added * added)
    return np.where(allowance < criterion.events_min, np.minimum(evidence, 0.0), evidence)


def reject_log_e(criterion: DayCriterion, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """REJECT's evidence that the long-run value lies beyond the limit, after each day.

    E_t, the t e-process on X, which is 0 before the fourth day; with bets the mean of E_t and E_bet, the
    engine with a day as one observation that pays (a_d/b_d - theta)/(theta - low). Source:
    statistics_dependence.md.

    Estimand: E[a]/E[b], see `DayCriterion`. E_t is valid as `t_log_e` is. E_bet counts from the first day and
    is exact whatever the law of the days, if the expected a/b of each day, given the days before, is within
    the limit. A day without rows counts with X = 0.

    Args:
        criterion: what a and b are, and the limit.
        a, b: sums of each day, shape (..., D); b at least 0.

    Returns:
        ln E after day 1..D, shape (..., D). It may fall again; a rejection stands once it was reached.

    Raises:
        ValueError: with bets, a day has a < low * b.

    >>> a, b = [9, 14, 6, 22, 5, 4, 11], [900, 950, 870, 910, 620, 560, 940]
    >>> reject_log_e(DayCriterion.rate(0.008), a, b).round(4)
    array([-0.6047, -0.3126, -0.3835,  0.8513,  0.8181,  0.724 ,  0.9828])
    """
    a, b = day_sums(a, b)
    x = -deviations(criterion, criterion.limit, a, b)
    days = np.arange(1, x.shape[-1] + 1)
    evidence = t_log_e(days, np.cumsum(x, axis=-1), np.cumsum(x * x, axis=-1))
    evidence = np.where(days >= REJECT_T_FROM_DAYS, evidence, -np.inf)
    if not criterion.bets:
        return evidence
    return np.logaddexp(evidence, log_e_path(bet_payoffs(criterion, criterion.limit, a, b))) - math.log(2)


def design_effect(a: ArrayLike, b: ArrayLike) -> float | None:
    """How much more a rate varies from block to block than independent requests would, which is 1.

    Estimand: variance of sum(a)/sum(b) with blocks (days, hours) as units, over that with requests as units:
    G/(G-1) sum (a - r b)^2 / (A (1 - r)), A = sum(a), r = A/sum(b), G blocks with rows. Source: Kish 1965;
    statistics_dependence.md. It grows with the volume of a block.

    Args:
        a, b: flags and requests of each block, shape (G,), 0 <= a <= b.

    Returns:
        The design effect; None with fewer than two blocks with rows, or if no or all requests are flagged.

    >>> a = [9, 14, 6, 22, 5, 4, 11, 8, 31, 12, 7, 3, 6, 10]
    >>> b = [900, 950, 870, 910, 620, 560, 940, 910, 930, 880, 905, 600, 570, 925]
    >>> round(design_effect(a, b), 5)
    4.33778
    """
    a, b = day_sums(a, b)
    if not np.all((a >= 0) & (a <= b)):
        raise ValueError("the flags of a block must lie between 0 and its requests")
    blocks, flags, requests = np.count_nonzero(b), a.sum(), b.sum()
    if blocks < 2 or flags in (0, requests):
        return None
    rate = flags / requests
    between = np.sum((a - rate * b) ** 2)
    return float(blocks / (blocks - 1) * between / (flags * (1 - rate)))


def design_effect_beyond_chance(
    effect: float, blocks: int, *, allowed: float = 1.2, level: float = 0.001
) -> bool:
    """Whether a design effect is larger than chance would make one whose true value is `allowed`.

    (G - 1) effect / allowed against the 1 - `level` quantile of chi-square with G - 1 degrees of freedom.
    Source: statistics.md, 6. Approximate, for at least two blocks with some flags each.

    >>> design_effect_beyond_chance(1.5, 14), design_effect_beyond_chance(4.3, 14)
    (False, True)
    """
    if blocks < 2:
        raise ValueError(f"a design effect needs at least 2 blocks, not {blocks}")
    return bool((blocks - 1) * effect / allowed > chdtri(blocks - 1, level))


def allowed_at(criterion: DayCriterion, limit: ArrayLike) -> FloatArray:
    """`DayCriterion.allowed` at other limits, of any shape."""
    beyond = np.asarray(limit, dtype=np.float64) - criterion.origin
    return np.maximum(beyond if criterion.at_most else -beyond, 0.0)


def deviations(criterion: DayCriterion, limit: ArrayLike, a: FloatArray, b: FloatArray) -> FloatArray:
    """`DayCriterion.promote_x` at other limits: shape (...) for sums of shape (..., D)."""
    within: FloatArray = np.asarray(limit, dtype=np.float64)[..., None] * b - a
    return within if criterion.at_most else -within


def bet_payoffs(criterion: DayCriterion, limit: ArrayLike, a: FloatArray, b: FloatArray) -> FloatArray:
    """What each day pays E_bet; 0 on a day without rows."""
    if not np.all(a >= criterion.low * b):
        raise ValueError(f"a day's sum is below {criterion.low} per request: E_bet does not apply")
    if np.any(a[b == 0]):
        raise ValueError("a day without rows has a sum")
    x = -deviations(criterion, limit, a, b)
    stake = (np.asarray(limit, dtype=np.float64)[..., None] - criterion.low) * b
    return np.divide(x, stake, out=np.zeros_like(x), where=stake > 0)


def day_sums(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both as arrays of one shape, days last.

    Raises:
        ValueError: their shapes differ, a number is not finite, or b is negative.
    """
    sums, units = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if sums.ndim < 1 or sums.shape != units.shape:
        raise ValueError(f"a and b must be of one shape with days last, not {sums.shape} and {units.shape}")
    if not (np.all(np.isfinite(sums)) and np.all(np.isfinite(units)) and np.all(units >= 0)):
        raise ValueError("day sums must be finite, and b at least 0")
    return sums, units
