"""Distances of two samples as effect sizes, and what chance alone shows at their sizes.

A p-value measures the number of rows at a million rows; an effect size does not, but is never nought. So each
stands beside the size that two samples of one law would show. Source: statistics.md, section 9. The sizes under
chance are those of independent rows: where rows of one day resemble each other, chance shows more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from gnomon_diff.evidence.engine import FloatArray

_PERCENT_95 = 0.95
_KS_95 = 1.358  # of Kolmogorov's law
_W1_MEAN = 1.288  # sd times this times sqrt(h): the mean of W1 between two normal samples


def ks_distance(first: ArrayLike, second: ArrayLike) -> float:
    """The largest difference of the two distribution functions, 0 to 1; ties allowed. Needs a value of each.

    >>> ks_distance([1, 2, 3, 4], [2, 3, 4, 5])
    0.25
    """
    a, b = _sorted(first), _sorted(second)
    at = np.concatenate([a, b])
    return float(np.max(np.abs(_upto(a, at) - _upto(b, at))))


def wasserstein_distance(first: ArrayLike, second: ArrayLike) -> float:
    """The area between the two distribution functions (W1), in the values' own unit; needs finite values.

    >>> wasserstein_distance([0.0, 1.0, 3.0], [5.0, 6.0, 8.0])
    5.0
    """
    a, b = _sorted(first), _sorted(second)
    at = np.sort(np.concatenate([a, b]))
    return float(np.sum(np.abs(_upto(a, at[:-1]) - _upto(b, at[:-1])) * np.diff(at)))


def psi_chance(bins: int, n: int, m: int) -> float:
    """The PSI that two independent samples of one law exceed in 5 of 100 cases: h chi2_{.95, B-1}, h = 1/n + 1/m.

    >>> round(psi_chance(10, 1000, 1000), 4), round(psi_chance(30, 1000, 1000), 4)
    (0.0338, 0.0851)
    """
    return _h(n, m) * _chi2(bins)


def js_chance(bins: int, n: int, m: int) -> float:
    """The Jensen-Shannon distance (base 2) that two independent samples of one law exceed in 5 of 100 cases.

    >>> round(js_chance(30, 1000, 1000), 4)
    0.1239
    """
    return math.sqrt(_h(n, m) / 8 * _chi2(bins) / math.log(2))


def ks_chance(n: int, m: int) -> float:
    """The KS distance that two independent samples of one continuous law exceed in 5 of 100 cases.

    >>> round(ks_chance(10**6, 10**6), 5)
    0.00192
    """
    return _KS_95 * math.sqrt(_h(n, m))


def wasserstein_chance(n: int, m: int) -> float:
    """W1 over the standard deviation that two independent normal samples of one law show on average.

    >>> round(wasserstein_chance(10**6, 10**6), 5)
    0.00182
    """
    return _W1_MEAN * math.sqrt(_h(n, m))


def ks_radius(n: int, alpha: float) -> float:
    """How far an empirical distribution function may lie from the true one, anywhere and at any look.

    .85 sqrt((ln(1 + ln n) + .8 ln(1612/alpha)) / n) (Howard & Ramdas 2022, theorem 2). For independent rows.

    >>> round(ks_radius(10**4, 0.05), 7), round(ks_radius(10**6, 0.05), 8)
    (0.0277107, 0.00281919)
    """
    return 0.85 * math.sqrt((math.log(1 + math.log(n)) + 0.8 * math.log(1612 / alpha)) / n)


def _h(n: int, m: int) -> float:
    if n < 1 or m < 1:
        raise ValueError("each sample must have rows")
    return 1 / n + 1 / m


def _chi2(bins: int) -> float:
    return float(chi2.ppf(_PERCENT_95, bins - 1)) if bins > 1 else 0.0


def _sorted(values: ArrayLike) -> FloatArray:
    found = np.sort(np.asarray(values, dtype=np.float64))
    if not len(found) or np.isnan(found[-1]):
        raise ValueError("each sample must have values, and no NaN among them")
    return found


def _upto(ordered: FloatArray, at: FloatArray) -> FloatArray:
    return np.asarray(np.searchsorted(ordered, at, side="right") / len(ordered), np.float64)
