"""Whether being chosen (captured, labelled) depends on what a request is, with the time held fixed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, logsumexp

_TILTS = np.concatenate([-0.02 * 2.0 ** np.arange(8), 0.02 * 2.0 ** np.arange(8)])  # of the log odds ratio


def stratified_log_e(
    requests: ArrayLike, part: ArrayLike, chosen: ArrayLike, chosen_part: ArrayLike
) -> float:
    """ln E that requests of one part are chosen more, or less, often than the rest of their block.

    Given a block's totals, under the null the part's share of the chosen is hypergeometric, whatever the rate of
    choosing in that block; each tilt of it is a likelihood ratio, and the mean over 16 tilts an e-value. Blocks
    multiply. Source: statistics.md, 10 (conditional logistic, sequential CMH). Exact if each request of a block is
    chosen independently with one probability; a block without both parts, or without both outcomes, adds nothing.

    Args:
        requests, part: of each block (a day): N requests, N1 of them in the part.
        chosen, chosen_part: K of the N and k of the N1 were chosen.

    >>> round(stratified_log_e([1000, 800, 1200], [300, 240, 400], [100, 160, 60], [45, 66, 27]), 4)
    10.2773
    """
    total = np.zeros(len(_TILTS))
    for n, n1, k, k1 in zip(
        *(np.asarray(of, np.int64) for of in (requests, part, chosen, chosen_part)), strict=True
    ):
        s = np.arange(max(0, k - (n - n1)), min(k, n1) + 1)
        if len(s) < 2:
            continue
        weight = -(gammaln(s + 1) + gammaln(n1 - s + 1) + gammaln(k - s + 1) + gammaln(n - n1 - k + s + 1))
        weight -= logsumexp(weight)
        total += _TILTS * k1 - logsumexp(weight + np.outer(_TILTS, s), axis=1)
    return float(logsumexp(total)) - math.log(len(_TILTS))
