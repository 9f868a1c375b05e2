"""Fair latency: requests that both models answered alone, on the same machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnomon_diff.comparison import Latency, Quantile
from gnomon_diff.evidence import Interval, buckets, engine_ranks, paired_ratio_bounds, ratio_grid
from gnomon_diff.questions import Questions
from gnomon_diff.settings import Policy

QUANTILES = (0.5, 0.9, 0.95, 0.99)
KEPT_PAIRS = 20_000
_SERVED = ("p50", "p90", "p95", "p99")
_ALPHA_PER_SIDE = 0.025


def ask_latency(questions: Questions, overview: Mapping[str, Any], policy: Policy) -> Latency | None:
    """Latency of both models; None where nothing at all was timed.

    The ratio is bounded on the grid of the policy's limit, so that the bounds and the gate's evidence agree.
    """
    timed = questions.ask("latency")
    primary, candidate = timed["primary_us"].to_numpy(), timed["candidate_us"].to_numpy()
    n = len(primary)
    if not n and not overview["served_timed"]:
        return None
    threads = timed["threads"].drop_null().to_numpy()
    ratio = _ratio(primary, candidate, policy) if n else Interval(low=None, high=None)
    p95 = (
        {side: _quantile(values, 0.95) for side, values in (("p", primary), ("c", candidate))} if n else None
    )
    return Latency(
        n=n,
        threads=int(threads.max()) if len(threads) else None,
        quantiles=_quantiles(primary, candidate, policy),
        pairs_us=list(zip(primary[:KEPT_PAIRS].tolist(), candidate[:KEPT_PAIRS].tolist(), strict=True)),
        ratio_p95=p95["c"] / p95["p"] if p95 and p95["p"] else None,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        reason=_why(n, ratio),
        served_n=overview["served_timed"],
        served_p95_us=overview["served_p95_us"],
        served_us=dict(zip(_SERVED, overview["served_us"] or [], strict=False)),
    )


def _quantiles(primary: NDArray[np.int64], candidate: NDArray[np.int64], policy: Policy) -> list[Quantile]:
    n = len(primary)
    if not n:
        return []
    sides = np.sort(primary), np.sort(candidate)
    rows = []
    for p in QUANTILES:
        low, high = engine_ranks(n, p, _ALPHA_PER_SIDE)
        ends = [
            (float(side[low - 1]) if low >= 1 else None, float(side[high - 1]) if high <= n else None)
            for side in sides
        ]
        ratio = _ratio(primary, candidate, policy, p)
        primary_us = _quantile(primary, p)
        rows.append(
            Quantile(
                p=p,
                primary_us=primary_us,
                primary_low=ends[0][0],
                primary_high=ends[0][1],
                candidate_us=_quantile(candidate, p),
                candidate_low=ends[1][0],
                candidate_high=ends[1][1],
                ratio=_quantile(candidate, p) / primary_us if primary_us else None,
                ratio_low=ratio.low,
                ratio_high=ratio.high,
            )
        )
    return rows


def _quantile(values: NDArray[np.int64], p: float) -> float:
    """The smallest value that a share p of the values does not exceed."""
    return float(np.quantile(values, p, method="inverted_cdf"))


def _ratio(
    primary: NDArray[np.int64], candidate: NDArray[np.int64], policy: Policy, p: float = 0.95
) -> Interval:
    limit = policy.latency_p95.max_increase_rel if policy.latency_p95 is not None else None
    growth = ratio_grid(1 + (limit or 0.5)).growth
    pairs = np.stack([buckets(primary, growth), buckets(candidate, growth)])
    unique, counts = np.unique(pairs, axis=1, return_counts=True)
    return paired_ratio_bounds(unique[0], unique[1], counts, growth=growth, p=p, alpha=_ALPHA_PER_SIDE)


def _why(n: int, ratio: Interval) -> str | None:
    if not n:
        return "no request was timed with both models"
    if ratio.low is None or ratio.high is None:
        return f"{n} timed requests are too few to bound the ratio of p95 on both sides"
    return None
