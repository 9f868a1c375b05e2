"""p95 latency against its limit: about the machine, not the day, so judged on the timed requests alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnomon_diff.comparison import Comparison
from gnomon_diff.evidence import (
    Interval,
    QuantileEvidence,
    buckets,
    paired_quantile_log_e,
    paired_ratio_bounds,
    ratio_grid,
)
from gnomon_diff.settings import Policy


@dataclass(frozen=True)
class TimedTest:
    """The evidence about p95 latency relative to the primary's.

    Attributes:
        n: requests that were timed.
        limit: the relative increase that is allowed.
        evidence: ln e that the increase lies within its limit, and beyond.
        estimate: of the relative increase.
        growth: of the buckets; pairs: buckets of primary and candidate, each pair once; counts: how often.
    """

    n: int
    limit: float
    evidence: QuantileEvidence
    estimate: float | None
    growth: float
    pairs: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def bounds(self, *, log_promote: float, log_reject: float) -> Interval:
        """Bounds of the relative increase, at the evidence that either decision asks."""
        high = self._at(log_promote).high
        low = self._at(log_reject).low
        return Interval(low=None if low is None else low - 1, high=None if high is None else high - 1)

    def _at(self, log_evidence: float) -> Interval:
        primary, candidate = self.pairs
        alpha = math.exp(-log_evidence)
        return paired_ratio_bounds(primary, candidate, self.counts, growth=self.growth, alpha=alpha)


def timed_test(comparison: Comparison, policy: Policy) -> TimedTest | None:
    """None where the policy does not judge latency."""
    if policy.latency_p95 is None:
        return None
    limit, latency = policy.latency_p95.max_increase_rel, comparison.latency
    growth, steps = ratio_grid(1 + limit)
    timed = np.array([] if latency is None else latency.pairs_us, dtype=np.float64).reshape(-1, 2)
    pairs, counts = np.unique(buckets(timed.T, growth), axis=1, return_counts=True)
    evidence = paired_quantile_log_e(pairs[0], pairs[1], counts, steps=steps)
    ratio = None if latency is None else latency.ratio_p95
    return TimedTest(len(timed), limit, evidence, None if ratio is None else ratio - 1, growth, pairs, counts)
