"""Whether what is kept on the way, or labelled, falls evenly on the strata of the traffic.

Time-outs and decoding errors hit the odd requests, on which models differ most. A stratum that loses more than
the rest of the same hour makes the log another traffic than the one that was served; one that is labelled less
makes the labelled another than the rest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from gnomon_diff.evidence.engine import FloatArray

IntArray = NDArray[np.int64]
_STEPS = 0.02 * 2.0 ** np.arange(8)
TILTS = np.concatenate([-_STEPS, _STEPS])
"""Log odds ratios of being kept, of the stratum against the rest, that the evidence bets on with equal weights."""


def stratum_log_e(
    total: ArrayLike, in_stratum: ArrayLike, kept: ArrayLike, kept_in_stratum: ArrayLike
) -> float:
    """ln E against "within each block, being kept does not depend on the stratum".

    `T_h = sum over blocks of h k - ln sum_s Hyp(s; N, N1, K) e^(h s)`, and ln E is the log of the mean of e^T_h
    over the tilts h = +/- .02 * 2^(0..7): exact for any rate of keeping that may differ between blocks, at every
    look (conditional logistic form of Cochran-Mantel-Haenszel). Source: statistics.md, 10. For blocks in which
    one loss does not bring another of the same stratum; evidence from ln(20) on is strong at one stratum alone.

    Args:
        total, in_stratum, kept, kept_in_stratum: N, N1, K and k of each block, counts of shape (B,).

    Raises:
        ValueError: counts that cannot be: more kept than there were.

    >>> round(stratum_log_e([1000, 800, 1200], [300, 240, 400], [100, 160, 60], [45, 66, 27]), 4)
    10.2773
    """
    n, n1, k_all, k = (
        np.asarray(part, dtype=np.int64) for part in (total, in_stratum, kept, kept_in_stratum)
    )
    low, high = np.maximum(0, k_all - (n - n1)), np.minimum(k_all, n1)
    if np.any(k < low) or np.any(k > high):
        raise ValueError("in a block, more is kept than there was")
    open_ = high > low  # elsewhere the margins leave no choice, and a block says nothing
    n, n1, k_all, k, low, high = (part[open_] for part in (n, n1, k_all, k, low, high))
    if not len(n):
        return 0.0
    sizes = high - low + 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    s = np.arange(int(sizes.sum())) - np.repeat(starts - low, sizes)
    log_p = _log_hypergeometric(s, *(np.repeat(part, sizes) for part in (n, n1, k_all)))
    totals = [float(np.sum(h * k - _log_sums(log_p + h * s, starts, sizes))) for h in TILTS]
    most = max(totals)
    return most + math.log(sum(math.exp(one - most) for one in totals)) - math.log(len(TILTS))


def _log_hypergeometric(s: IntArray, n: IntArray, n1: IntArray, k: IntArray) -> FloatArray:
    """ln P(s of the k kept lie in the stratum)."""

    def choose(of: ArrayLike, some: ArrayLike) -> FloatArray:
        a, b = np.asarray(of, np.float64), np.asarray(some, np.float64)
        return np.asarray(gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1), np.float64)

    inside = np.asarray(s, np.float64)
    return choose(n1, inside) + choose(n - n1, k - inside) - choose(n, k)


def _log_sums(values: FloatArray, starts: IntArray, sizes: IntArray) -> FloatArray:
    """The log of the sum of exp(values) of each block."""
    most = np.maximum.reduceat(values, starts)
    sums = np.add.reduceat(np.exp(values - np.repeat(most, sizes)), starts)
    return np.asarray(most + np.log(sums), np.float64)
