"""Many criteria, many segments, two limits: combining evidence without losing the promise.

All evidence is ln e. What enters must be e-values, as all evidence in this package is; they may depend on
each other in any way. Source: statistics.md, sections 5 and 11.

PROMOTE needs every criterion at its full level, so no correction (intersection-union test, Berger 1982).
REJECT needs any one: `closed_mean` over the criteria, each of which enters once, by `leading_part` over its
segments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnomon_diff.evidence.engine import FloatArray, log_threshold


class Lead(NamedTuple):
    """The evidence of a whole and its segments together, and the index of the part that gave it."""

    log_e: FloatArray
    part: NDArray[np.int64]


def closed_mean(log_e: ArrayLike) -> FloatArray:
    """Evidence of each of K hypotheses, adjusted for all K: reject where it is at least ln(1/a).

    Then P(a true hypothesis is rejected) <= a, under any dependence: closed testing, in which an intersection
    is judged by the mean of its e-values, e*_k = min over s of (E_k + sum of the s smallest others)/(s + 1).
    Source: Vovk & Wang 2021 (AoS 49:3); statistics.md, 5. It never rejects less than E_k >= K/a does.

    Args:
        log_e: shape (K,), any K; -inf is an e-value of 0.

    >>> np.exp(closed_mean(np.log([50, 30, 8, 1, 0.5]))).round(5)
    array([14.875  ,  9.875  ,  3.16667,  0.75   ,  0.5    ])
    """
    values = _checked(log_e)
    if values.ndim != 1:
        raise ValueError(f"one row of evidence, not {values.ndim} dimensions")
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    smaller = np.concatenate([[-np.inf], np.logaddexp.accumulate(ranked)[:-1]]) if len(ranked) else ranked
    # Row k, column s: mean of E_k and the s smallest. Others larger than E_k would only raise it, so s <= k.
    means = np.logaddexp(ranked[:, None], smaller) - np.log(np.arange(1, len(ranked) + 1))
    means[np.triu_indices_from(means, 1)] = np.inf
    adjusted = np.empty_like(values)
    adjusted[order] = means.min(axis=1, initial=np.inf)
    return adjusted


def leading_part(log_e: ArrayLike) -> Lead:
    """One e-value for a criterion's whole and its segments, whose number is not known before the data.

    max_j 6 E_j / (pi^2 j^2), j = 1..J: the weights sum to at most 1 however many parts come, and a maximum is
    at most the sum. Source: statistics.md, 11. Valid for any J.

    Args:
        log_e: shape (..., J), at least one part, the whole first, the others in the order of their first
            whole day with rows (then policy, then name), so that a later one changes no weight.

    >>> lead = leading_part(np.log([20.0, 120.0, 40.0]))
    >>> round(float(np.exp(lead.log_e)), 4), int(lead.part)
    (18.2378, 1)
    """
    values = _checked(log_e)
    if values.ndim < 1 or not values.shape[-1]:
        raise ValueError("a criterion has at least one part, its whole")
    weighted = values + math.log(6 / math.pi**2) - 2 * np.log(np.arange(1, values.shape[-1] + 1))
    index = np.argmax(weighted, axis=-1)
    return Lead(np.take_along_axis(weighted, index[..., None], axis=-1)[..., 0], index)


def within_either(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Evidence of lying within at least one of two limits: the mean of the two (null: beyond both).

    >>> np.exp(within_either(np.log(30.0), np.log(1.0))).round(6)
    np.float64(15.5)
    """
    return np.logaddexp(_checked(first), _checked(second)) - math.log(2)


def beyond_both(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Evidence of lying beyond two limits: the smaller of the two (null: within one of them).

    >>> np.exp(beyond_both(np.log(30.0), np.log(1.0))).round(6)
    np.float64(1.0)
    """
    return np.minimum(_checked(first), _checked(second))


def e_bh(log_e: ArrayLike, *, alpha: float) -> NDArray[np.int64]:
    """The hypotheses to report, strongest first, of which on average at most a share `alpha` are false.

    The k* largest, k* = max{k : the k-th largest e-value >= K/(alpha k)}. Any dependence; the e-values of one
    time, not their maxima so far. Source: Wang & Ramdas 2022 (JRSS-B 84:3); statistics.md, 5.

    Args:
        log_e: shape (K,), all that were declared or proposed, with data or without (an e-value of 1).
        alpha: the false discovery rate, in (0, 1).

    Returns:
        Their indices.

    >>> e_bh(np.log([8, 50, 30, 1, 0.5]), alpha=0.1)
    array([1, 2])
    """
    values = _checked(log_e)
    if values.ndim != 1:
        raise ValueError(f"one row of evidence, not {values.ndim} dimensions")
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    passed = np.flatnonzero(
        values[order] >= log_threshold(alpha) + math.log(max(len(values), 1)) - np.log(ranks)
    )
    return order[: passed[-1] + 1] if len(passed) else order[:0]


def _checked(log_e: ArrayLike) -> FloatArray:
    values = np.asarray(log_e, dtype=np.float64)
    if np.any(np.isnan(values)):
        raise ValueError("evidence must not be NaN")
    return values
