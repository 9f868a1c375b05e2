"""What REJECT asks of each criterion, when all of them are controlled together.

A criterion enters once, by the largest of its parts' weighted evidence (`evidence.leading_part`); over the
criteria goes closed testing with averages (`evidence.closed_mean`; Vovk & Wang 2021; statistics.md, 5). Here
that is put as the evidence asked of one, the others being what they are, so that a bound can agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gnomon_diff.evidence import log_threshold
from gnomon_diff.looks import FloatArray


def part_weights(parts: int) -> FloatArray:
    """ln of 6/(pi^2 j^2), the weight of the j-th part of a criterion: one that comes later changes none."""
    weights: FloatArray = math.log(6 / math.pi**2) - 2 * np.log(np.arange(1, parts + 1))
    return weights


def asked_at_looks(log_e: Mapping[str, FloatArray], alpha: float) -> dict[str, FloatArray]:
    """What is asked of any part of each criterion: by criterion, shape (looks,).

    Args:
        log_e: by criterion, the evidence of its parts at each look, weighted: shape (parts, looks).
    """
    if not log_e:
        return {}
    leads = np.stack([parts.max(axis=0) for parts in log_e.values()])
    asked = np.stack([asked_of_each(of_all, alpha) for of_all in leads.T])
    return dict(zip(log_e, asked.T, strict=True))


def asked_of_each(log_e: FloatArray, alpha: float) -> FloatArray:
    """The evidence asked of each of K hypotheses, at which `closed_mean` rejects it.

    (E_k + the s smallest others)/(s + 1) must reach 1/alpha for every s, so E_k must reach the largest of
    (s + 1)/alpha - (the s smallest others): between 1/alpha and K/alpha.

    Args:
        log_e: evidence of each, shape (K,); -inf is an e-value of 0.

    >>> np.exp(asked_of_each(np.log([50, 30, 8, 1, 0.5]), 0.1)).round(6)
    array([30.5, 30.5, 28.5, 21.5, 21. ])
    """
    count = len(log_e)
    enough = log_threshold(alpha) + math.log(count)  # with more of it another asks no less of this one
    values = np.exp(np.minimum(log_e, enough))
    asked = np.empty(count)
    for index in range(count):
        smallest = np.cumsum(np.sort(np.delete(values, index)))
        asked[index] = np.max(np.arange(1, count + 1) / alpha - np.concatenate([[0.0], smallest]))
    return np.log(asked)
