"""The area under the ROC curve with an interval from clusters of rows, here whole days."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, t

from gnomon_diff.evidence.engine import FloatArray, Interval


def placements(scores: ArrayLike, positive: ArrayLike) -> FloatArray:
    """Of each row, the share of the other class that it is placed on the right side of; ties count half.

    Their mean over either class is the AUC (DeLong, DeLong & Clarke-Pearson 1988).

    >>> placements([0.1, 0.4, 0.35, 0.8], [False, False, True, True]).tolist()
    [1.0, 0.5, 0.5, 1.0]
    """
    score, later = np.asarray(scores, np.float64), np.asarray(positive, bool)
    n_later, n_then = int(later.sum()), int((~later).sum())
    if not n_later or not n_then:
        raise ValueError("there must be rows of both classes")
    below = np.empty(len(score))
    ranks = rankdata(score)
    below[later] = (ranks[later] - rankdata(score[later])) / n_then
    below[~later] = 1 - (ranks[~later] - rankdata(score[~later])) / n_later
    return below


def clustered_auc(
    found: Sequence[FloatArray], positive: Sequence[NDArray[np.bool_]], clusters: Sequence[NDArray[np.int64]]
) -> tuple[float, Interval]:
    """AUC over folds that share no cluster, and its 95 % interval, with clusters as the unit.

    Estimand: P(score of a later row > score of an earlier one), both of one fold. The variance is that of
    Obuchowski 1997 for clusters which are each of one class: for either class, D/(D - 1) times the sum over its
    D clusters of (sum of the rows' placements - rows x AUC)^2, over the rows squared; Student's t with the
    smaller D less 1. No interval from fewer than four clusters of either class. One look.

    Args:
        found, positive, clusters: of each fold, its rows' `placements`, class and cluster.

    >>> later, day = np.arange(80) >= 40, np.arange(80) // 10
    >>> scores = np.arange(80) * 37 % 50 + 5 * later
    >>> auc, interval = clustered_auc([placements(scores, later)], [later], [day])
    >>> round(auc, 3), round(interval.low, 3), round(interval.high, 3)
    (0.568, 0.447, 0.689)
    """
    value, later, cluster = (np.concatenate(list(part)) for part in (found, positive, clusters))
    auc = float((value[later].mean() + value[~later].mean()) / 2)
    variance, fewest = 0.0, math.inf
    for side in (later, ~later):
        _, place = np.unique(cluster[side], return_inverse=True)
        d = int(place.max()) + 1
        fewest = min(fewest, d)
        if d > 1:
            sums = np.bincount(place, weights=value[side] - value[side].mean())
            variance += d / (d - 1) * float(np.sum(sums**2)) / int(side.sum()) ** 2
    if fewest < 4:
        return auc, Interval(low=None, high=None)
    half = float(t.ppf(0.975, fewest - 1)) * math.sqrt(variance)
    return auc, Interval(low=max(0.0, auc - half), high=min(1.0, auc + half))
