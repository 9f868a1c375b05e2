"""Evidence that a mean lies above or below a limit: a mixture of fixed stakes over counts.

An e-process is the capital of a gambler who bets against a hypothesis at fair odds. If the hypothesis holds,
that capital ever reaches 1/a with probability at most a, however often one looks (Ville 1939). All evidence
in this package is its natural logarithm: 0 is no evidence, ln(1/a) is what level a asks for, -inf is no
capital left.

Category k occurred n_k times and pays y_k >= -1, with E[y | past] <= 0 under the hypothesis:

    ln E = ln sum_j w_j prod_k (1 + u_j y_k)^n_k,    u_j = .95 * 2^(-j/2),   w_j = 1/((j+1) H),   j = 0..47

Only counts enter, so summaries merge in any order and evidence may be taken at any subset of times.
Source: Waudby-Smith & Ramdas 2024 (JRSS-B 86:1), Orabona & Jun 2024; statistics.md, section 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

STAKES: FloatArray = 0.95 * 2.0 ** (-np.arange(48) / 2)
_SHARES: FloatArray = 1.0 / np.arange(1, len(STAKES) + 1)
LOG_WEIGHTS: FloatArray = np.log(_SHARES / _SHARES.sum())
_SLACK = 1e-12  # by how much rounding may miss a pay-off of -1


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Two bounds; None is an end that the evidence does not give yet."""

    low: float | None
    high: float | None


def log_threshold(alpha: float) -> float:
    """The evidence that level `alpha` asks for, ln(1/alpha).

    Raises:
        ValueError: `alpha` is not strictly between 0 and 1.

    >>> round(log_threshold(0.05), 6)
    2.995732
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, not {alpha}")
    return -math.log(alpha)


def above(values: ArrayLike, mean: ArrayLike, low: float) -> FloatArray:
    """Pay-offs against "the mean is at most `mean`", for values that are never below `low`.

    Args:
        values: one per category, shape (k,).
        mean: the limit, above `low`; of shape (...) it gives pay-offs of shape (..., k).
        low: the smallest value possible, not the smallest seen.

    >>> above([0, 1], 0.25, 0.0)
    array([-1.,  3.])
    """
    limit = np.asarray(mean, dtype=np.float64)[..., None]
    if not np.all(limit > low):
        raise ValueError(f"the limit must lie above the smallest possible value {low}")
    payoffs: FloatArray = (np.asarray(values, dtype=np.float64) - limit) / (limit - low)
    return payoffs


def below(values: ArrayLike, mean: ArrayLike, high: float) -> FloatArray:
    """Pay-offs against "the mean is at least `mean`", for values that are never above `high`; see `above`.

    >>> below([0, 1], 0.75, 1.0)
    array([ 3., -1.])
    """
    limit = np.asarray(mean, dtype=np.float64)[..., None]
    if not np.all(limit < high):
        raise ValueError(f"the limit must lie below the largest possible value {high}")
    payoffs: FloatArray = (limit - np.asarray(values, dtype=np.float64)) / (high - limit)
    return payoffs


def log_e(counts: ArrayLike, payoffs: ArrayLike) -> FloatArray:
    """ln E from how often each category occurred and what it pays.

    Estimand: none by itself; evidence against E[pay-off | past] <= 0, under any dependence that this allows.
    Source: the module's text. Valid from the first observation; none at all gives 0. Rounding stays under
    4e-12 up to 1e9 observations.

    Args:
        counts: at least 0, shape (..., k). They need not be whole: a value between two categories may be
            split between them in proportion, which never gives more evidence than the value itself.
        payoffs: at least -1, shape (k,) or (..., k), fixed before the data.

    Returns:
        ln E, shape (...).

    Raises:
        ValueError: a count is negative or not finite, or a pay-off is below -1.

    >>> round(float(log_e([870, 130], above([0, 1], 0.1, 0.0))), 5)
    1.82023
    """
    n = np.asarray(counts, dtype=np.float64)
    y = _checked_payoffs(payoffs)
    if not np.all((n >= 0) & (n < np.inf)):
        raise ValueError("counts must be finite and at least 0")
    gains = np.log1p(y[..., None] * STAKES)
    return _mix((n[..., None, :] @ gains)[..., 0, :])


def log_e_path(payoffs: ArrayLike) -> FloatArray:
    """ln E after each observation, from what each one pays: shape (..., n) gives (..., n).

    The evidence of `log_e`, for observations that are no categories: whole days, say.

    >>> log_e_path([1.0, 3.0, -1.0]).round(5)
    array([0.31481, 1.2005 , 0.11117])
    """
    y = _checked_payoffs(payoffs)
    return _mix(np.cumsum(np.log1p(y[..., None] * STAKES), axis=-2))


def mean_bounds(
    counts: ArrayLike, values: ArrayLike, *, low: float, high: float, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Bounds of a mean, each at level `alpha` at all times: P(one ever excludes the mean) <= `alpha`.

    Estimand: the mean of independent values, or any m with E[value | past] = m at every observation. Source:
    `log_e` with `above` and `below`, both monotone in the limit, inverted by bisection; statistics.md, 0 and
    1 A. Valid from the first observation; without any, and where the evidence bounds nothing, the ends are
    `low` and `high`.

    Args:
        counts: how often each value occurred, shape (..., k).
        values: all within [`low`, `high`], shape (k,).
        low, high: the smallest and the largest value possible.
        alpha: level of each side, in (0, 1); both together err with probability at most 2 alpha.

    Returns:
        Lower and upper bounds, each of shape (...).

    >>> low, high = mean_bounds([900, 100], [0, 1], low=0, high=1, alpha=0.05)
    >>> round(float(low), 7), round(float(high), 6)
    (0.0704508, 0.133586)
    """
    n, x = np.asarray(counts, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not (low < high and np.all((x >= low) & (x <= high))):
        raise ValueError(f"values must lie within [{low}, {high}]")
    threshold = log_threshold(alpha)
    total = n.sum(axis=-1)
    estimate = np.where(total > 0, n @ x, (low + high) / 2) / np.where(total > 0, total, 1.0)
    edge = 1e-12 * (high - low)
    start = np.clip(estimate, low + edge, high - edge)
    lower = bisect(lambda m: log_e(n, above(x, m, low)) >= threshold, start, low + edge, low)
    upper = bisect(lambda m: log_e(n, below(x, m, high)) >= threshold, start, high - edge, high)
    return lower, upper


def bisect(
    shown: Callable[[FloatArray], BoolArray],
    inside: ArrayLike,
    outside: ArrayLike,
    otherwise: float,
    *,
    steps: int = 40,
) -> FloatArray:
    """Where `shown` turns from false (at `inside`) to true (at `outside`), element by element.

    Args:
        shown: takes limits of the common shape of `inside` and `outside`, answers for each.
        otherwise: the answer where `shown` is false even at `outside`.
        steps: halvings. The answer is a limit that is shown, |outside - inside| / 2^steps from one that is
            not.

    >>> float(bisect(lambda m: m * m >= 2, 0.0, 2.0, np.inf).round(6))
    1.414214
    """
    near, far = np.broadcast_arrays(np.asarray(inside, np.float64), np.asarray(outside, np.float64))
    found = shown(far)
    for _ in range(steps):
        middle = (near + far) / 2
        beyond = shown(middle)
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    return np.where(found, far, otherwise)


def _mix(log_capital: FloatArray) -> FloatArray:
    """ln of the weighted mean of the capitals of all stakes (last axis)."""
    z = log_capital + LOG_WEIGHTS
    top = z.max(axis=-1, keepdims=True)
    mixed: FloatArray = np.log(np.exp(z - top).sum(axis=-1)) + top[..., 0]
    return mixed


def _checked_payoffs(payoffs: ArrayLike) -> FloatArray:
    y = np.asarray(payoffs, dtype=np.float64)
    if not np.all((y >= -1 - _SLACK) & (y < np.inf)):
        raise ValueError("pay-offs must be finite and at least -1")
    return y
