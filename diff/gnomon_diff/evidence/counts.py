"""Rates and paired rates of independent requests, from their counts.

These are promises about *independent requests* only. On real traffic the rule of `days` decides; these serve
where someone has declared `unit = "request"` (statistics.md, 1, 2 and 6).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, xlog1py, xlogy

from gnomon_diff.evidence.engine import (
    BoolArray,
    FloatArray,
    above,
    below,
    bisect,
    log_e,
    log_threshold,
    mean_bounds,
)

Side = Literal["above", "below"]

_LOG_RATIO_TOP = math.log(1e6)  # beyond a million, a bound on a ratio says nothing
_DIFFERENCES = (0.0, 1.0, -1.0, 0.0)  # candidate's error less the primary's, in the order of PairCounts


class PairCounts(NamedTuple):
    """Pairs by who was wrong, each at least 0. Summaries merge by adding the counts, in any order."""

    both: int
    candidate_only: int
    primary_only: int
    neither: int


def rate_log_e(n: int, flags: float, limit: float, side: Side) -> float:
    """Evidence that the rate of a flag lies above, or below, `limit`.

    Estimand: P(flag), or the conditional rate at every request. Source: `engine.log_e` on {0, 1};
    statistics.md, 1 A. Valid from the first request.

    Args:
        n: requests, at least 0.
        flags: flagged ones, 0..n; the sum of values within [0, 1] is taken as well, at a loss of evidence.
        limit: in (0, 1).
        side: what is to be shown.

    >>> round(rate_log_e(1000, 130, 0.1, "above"), 5), round(rate_log_e(1000, 70, 0.1, "below"), 5)
    (1.82023, 3.29921)
    """
    payoffs = above([0, 1], limit, 0.0) if side == "above" else below([0, 1], limit, 1.0)
    return float(log_e([n - flags, flags], payoffs))


def rate_bounds(n: int, flags: float, *, alpha: float) -> tuple[float, float]:
    """Bounds of P(flag), each at level `alpha` at all times; (0, 1) without requests.

    See `rate_log_e` and `engine.mean_bounds`.

    >>> low, high = rate_bounds(500, 0, alpha=0.05)
    >>> low, round(high, 8)
    (0.0, 0.0089526)
    """
    low, high = mean_bounds([n - flags, flags], [0, 1], low=0.0, high=1.0, alpha=alpha)
    return float(low), float(high)


def difference_log_e(pairs: PairCounts, limit: float, side: Side) -> float:
    """Evidence that the candidate's error rate less the primary's lies above, or below, `limit`.

    Estimand: P(candidate wrong) - P(primary wrong), independent pairs, any joint law of a pair. Source:
    `engine.log_e` on {-1, 0, 1}; statistics.md, 2. Valid from the first pair; `limit` in (-1, 1).

    >>> pairs = PairCounts(both=150, candidate_only=60, primary_only=30, neither=9760)
    >>> round(difference_log_e(pairs, 0.0, "above"), 5)
    3.0468
    """
    payoffs = above(_DIFFERENCES, limit, -1.0) if side == "above" else below(_DIFFERENCES, limit, 1.0)
    return float(log_e(pairs, payoffs))


def difference_bounds(pairs: PairCounts, *, alpha: float) -> tuple[float, float]:
    """Bounds of the difference of error rates, each at level `alpha` at all times; (-1, 1) without pairs.

    See `difference_log_e` and `engine.mean_bounds`.

    >>> pairs = PairCounts(both=150, candidate_only=60, primary_only=30, neither=9760)
    >>> [round(end, 8) for end in difference_bounds(pairs, alpha=0.05)]
    [1.658e-05, 0.00622644]
    """
    low, high = mean_bounds(pairs, _DIFFERENCES, low=-1.0, high=1.0, alpha=alpha)
    return float(low), float(high)


def ratio_log_e(pairs: PairCounts, limit: float, side: Side) -> float:
    """Evidence that the candidate's error rate over the primary's lies above, or below, `limit`.

    Estimand: P(candidate wrong) / P(primary wrong), independent pairs, any joint law of a pair. It is judged
    as candidate - limit * primary, so pairs in which neither is wrong do not enter. Source: statistics.md, 2.
    Valid from the first pair; `limit` above 0.

    >>> pairs = PairCounts(both=150, candidate_only=60, primary_only=30, neither=9760)
    >>> round(ratio_log_e(pairs, 1.05, "above"), 6)
    0.730575
    """
    if not 0.0 < limit < math.inf:
        raise ValueError(f"a ratio's limit must be finite and above 0, not {limit}")
    return float(log_e(pairs, _ratio_payoffs(limit, side)))


def ratio_bounds(pairs: PairCounts, *, alpha: float) -> tuple[float, float]:
    """Bounds of the ratio of error rates, each at level `alpha` at all times; 0 and inf bound nothing.

    See `ratio_log_e`, which is monotone in the limit; bisected in the logarithm.

    >>> pairs = PairCounts(both=150, candidate_only=60, primary_only=30, neither=9760)
    >>> [round(end, 5) for end in ratio_bounds(pairs, alpha=0.05)]
    [1.00085, 1.37813]
    """
    threshold = log_threshold(alpha)
    candidate, primary = pairs.both + pairs.candidate_only, pairs.both + pairs.primary_only
    estimate = math.log(max(candidate, 0.5) / max(primary, 0.5))

    def shown_above(log_ratio: FloatArray) -> BoolArray:
        return log_e(pairs, _ratio_payoffs(math.exp(log_ratio), "above")) >= threshold

    def shown_below(log_ratio: FloatArray) -> BoolArray:
        return log_e(pairs, _ratio_payoffs(math.exp(log_ratio), "below")) >= threshold

    low = bisect(shown_above, estimate, -_LOG_RATIO_TOP, -np.inf)
    high = bisect(shown_below, estimate, _LOG_RATIO_TOP, np.inf)
    return math.exp(low), math.exp(high)


def mcnemar_log_e(candidate_only: int, primary_only: int, *, two_sided: bool = False) -> float:
    """Evidence that the candidate is wrong more often than the primary; two-sided, that the two differ.

    Estimand: P(candidate wrong | exactly one is), against at most 1/2 (two-sided: exactly 1/2), any joint law
    of a pair. With c and p the pairs in which only one is wrong, (c + p) ln 2 + ln B(1 + c, 1 + p), and for
    one side + ln 2 + ln I_{1/2}(1 + p, 1 + c). Source: the beta mixture of Robbins 1970 on the sign test;
    statistics.md, 2. Valid from the first pair.

    >>> round(mcnemar_log_e(60, 30, two_sided=True), 5), round(mcnemar_log_e(60, 30), 5)
    (3.00616, 3.69855)
    """
    if min(candidate_only, primary_only) < 0:
        raise ValueError("counts must be at least 0")
    c, p = 1.0 + candidate_only, 1.0 + primary_only
    evidence = (candidate_only + primary_only) * math.log(2) + float(betaln(c, p))
    if two_sided:
        return evidence
    share = float(betainc(p, c, 0.5))
    return evidence + math.log(2 * share) if share > 0 else -math.inf


def concentration(n_target: float, alpha: float) -> float:
    """K of the beta-binomial mixture that is tightest near `n_target` observations.

    Source: Howard, Ramdas, McAuliffe & Sekhon 2021 (AoS 49:2, conjugate mixtures); statistics.md, 1 B.

    >>> round(concentration(1000, 0.05), 3), round(concentration(10_000, 0.05), 2)
    (125.006, 1259.06)
    """
    if not n_target > 0:
        raise ValueError(f"n_target must be above 0, not {n_target}")
    doubled = 2 * log_threshold(alpha)
    return max(n_target / (doubled + math.log1p(doubled)) - 1, 1e-3)


def beta_binomial_log_e(p: ArrayLike, n: ArrayLike, flags: ArrayLike, *, k: float) -> FloatArray:
    """Two-sided evidence that P(flag) is not p, with S flags among n requests.

    ln B(Kp + S, K(1-p) + n - S) - ln B(Kp, K(1-p)) - S ln p - (n-S) ln(1-p). Source: Robbins 1970; Howard et
    al. 2021; statistics.md, 1 B. Valid from the first request, for independent ones; cancellation costs 1e-9
    at n = 1e6 and 3e-6 at 1e9.

    Args:
        p: in (0, 1). It, n and flags broadcast.
        n, flags: requests and flagged ones.
        k: a `concentration`, declared before the data.

    >>> beta_binomial_log_e(0.1, 1000, 130, k=concentration(1000, 0.05)).round(5)
    np.float64(2.92639)
    """
    p, n, s = (np.asarray(value, dtype=np.float64) for value in (p, n, flags))
    if not (np.all((p > 0) & (p < 1)) and np.all((s >= 0) & (s <= n))):
        raise ValueError("p must lie within (0, 1), and flags within 0..n")
    mixed = betaln(k * p + s, k * (1 - p) + n - s) - betaln(k * p, k * (1 - p))
    evidence: FloatArray = mixed - xlogy(s, p) - xlog1py(n - s, -p)
    return evidence


def beta_binomial_bounds(n: int, flags: int, *, alpha: float, n_target: float) -> tuple[float, float]:
    """Bounds of P(flag), both together at level `alpha` at all times, tightest near `n_target` requests.

    See `beta_binomial_log_e`; bisected on either side of flags/n. (0, 1) without requests.

    >>> low, high = beta_binomial_bounds(1000, 100, alpha=0.05, n_target=1000)
    >>> round(low, 7), round(high, 6)
    (0.0733985, 0.130973)
    """
    if not 0 <= flags <= n:
        raise ValueError(f"flags must lie within 0..{n}, not {flags}")
    threshold, k, edge = log_threshold(alpha), concentration(n_target, alpha), 1e-13
    estimate = min(max(flags / max(n, 1), edge), 1 - edge)

    def shown(p: FloatArray) -> BoolArray:
        return beta_binomial_log_e(p, n, flags, k=k) >= threshold

    low = 0.0 if flags == 0 else float(bisect(shown, estimate, edge, 0.0))
    high = 1.0 if flags == n else float(bisect(shown, estimate, 1 - edge, 1.0))
    return low, high


def _ratio_payoffs(limit: float, side: Side) -> tuple[float, float, float, float]:
    if side == "above":
        return (1 / limit - 1, 1 / limit, -1.0, 0.0)
    return (limit - 1, -1.0, limit, 0.0)
