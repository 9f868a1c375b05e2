"""Quantiles of latency and their ratio, from logarithmic buckets.

Bucket i holds (g^(i-1), g^i]. Counts at the edges are exact, so buckets cost a bound no more than one bucket
of width. A histogram is a mapping from bucket to count; histograms merge by adding. Pairs are the two buckets
of each request that both models were timed on; they merge by concatenation, and equal ones may be counted
together. Source: statistics.md, section 4; buckets as in DDSketch (Masson, Rim & Lee 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnomon_diff.evidence.counts import beta_binomial_log_e, concentration
from gnomon_diff.evidence.engine import FloatArray, Interval, above, below, log_e, log_threshold

IntArray = NDArray[np.int64]

_FLOOR = 1e-6  # values at or below it share one bucket: a clock that says 0 is not an error
_FAR = 2**40  # a bucket beyond all
_LOCATION_SHARE = 0.1  # of the capital, staked on where the primary's quantile is not


class Grid(NamedTuple):
    """Buckets in which a declared ratio is a whole number of steps: ratio = growth ** steps."""

    growth: float
    steps: int


class Ranks(NamedTuple):
    """The order statistics that bound a quantile: from X_(low) (none if 0) to X_(high) (none if n + 1)."""

    low: int
    high: int


class QuantileEvidence(NamedTuple):
    """ln e that the ratio of quantiles lies within the declared ratio, and that it lies beyond it."""

    within: float
    beyond: float


def ratio_grid(ratio: float, *, near: float = 1.012) -> Grid:
    """Buckets whose growth is close to `near` and of which `ratio` is a whole power (at least one step).

    >>> growth, steps = ratio_grid(1.5)
    >>> round(growth, 6), steps, round(growth**steps, 12)
    (1.011997, 34, 1.5)
    """
    if not (0.0 < ratio < math.inf and near > 1.0):
        raise ValueError(f"the ratio must be above 0 and the growth above 1, not {ratio} and {near}")
    if ratio == 1.0:
        return Grid(near, 0)
    size = max(1, round(abs(math.log(ratio)) / math.log(near)))
    return Grid(math.exp(abs(math.log(ratio)) / size), size if ratio > 1.0 else -size)


def buckets(values: ArrayLike, growth: float) -> IntArray:
    """Bucket of each value, i = ceil(ln x / ln growth); values at or below 1e-6 share one bucket.

    A value on an edge may fall to either side of it, by rounding.

    Raises:
        ValueError: a value is NaN or infinite, or `growth` is not above 1.

    >>> buckets([0.5, 1.0, 1.9, 2.1], 2.0)
    array([-1,  0,  1,  2])
    """
    x = np.asarray(values, dtype=np.float64)
    if not 1.0 < growth < math.inf:
        raise ValueError(f"growth must be above 1, not {growth}")
    if not np.all(np.isfinite(x)):
        raise ValueError("values must be finite")
    return np.ceil(np.log(np.maximum(x, _FLOOR)) / math.log(growth)).astype(np.int64)


def histogram(buckets: ArrayLike) -> dict[int, int]:
    """Counts by bucket.

    >>> histogram([3, 1, 3])
    {1: 1, 3: 2}
    """
    found, counts = np.unique(np.asarray(buckets, dtype=np.int64), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def merge_histograms(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The histogram of all, whatever their order.

    >>> merge_histograms([{1: 1, 3: 2}, {3: 1, 2: 5}])
    {1: 1, 2: 5, 3: 3}
    """
    total: dict[int, int] = {}
    for part in histograms:
        for index, count in part.items():
            total[index] = total.get(index, 0) + count
    return dict(sorted(total.items()))


@lru_cache(maxsize=1024)
def engine_ranks(n: int, p: float, alpha: float) -> Ranks:
    """Ranks of the order statistics that bound the p-quantile, each at level `alpha` at all times.

    Estimand: q = inf{x : F(x) >= p} of independent values, any distribution, ties allowed. A count of values
    at or below x shows F(x) < p, or > p, where `engine.log_e` shows it of a rate. Source: statistics.md, 4;
    Howard & Ramdas 2022 (Bernoulli 28:3). For any n; a rank is 0, or n + 1, while n is too small for it.

    Args:
        n: values, at least 0.
        p: in (0, 1).
        alpha: level of each side, in (0, 1).

    >>> engine_ranks(10_000, 0.95, 0.025)
    Ranks(low=9416, high=9576)
    """
    threshold = log_threshold(alpha)
    under, over = _under(p), _over(p)
    return _ranks(
        n,
        p,
        lambda c: bool(log_e([n - c, c], under) >= threshold),
        lambda c: bool(log_e([n - c, c], over) >= threshold),
    )


@lru_cache(maxsize=1024)
def mixture_ranks(n: int, p: float, alpha: float, n_target: int) -> Ranks:
    """As `engine_ranks`, but both sides together at level `alpha`, and tightest near `n_target`.

    Source: the beta-binomial mixture at p, statistics.md, 1 B and 4.

    >>> mixture_ranks(1000, 0.95, 0.05, 1000)
    Ranks(low=928, high=970)
    """
    threshold, k = log_threshold(alpha), concentration(n_target, alpha)

    def shown(c: int) -> bool:
        return bool(beta_binomial_log_e(p, n, c, k=k) >= threshold)

    return _ranks(n, p, shown, shown)


def rank_bounds(counts: Mapping[int, int], ranks: Ranks, *, growth: float) -> Interval:
    """Bounds of a quantile from a histogram: the outer edges of the buckets that hold the two ranks.

    >>> rank_bounds({0: 10, 3: 80, 5: 10}, Ranks(5, 95), growth=2.0)
    Interval(low=0.5, high=32.0)
    """
    low, high = _edges(counts, ranks)
    return Interval(low=None if low is None else growth**low, high=None if high is None else growth**high)


def quantile_bounds(counts: Mapping[int, int], *, growth: float, p: float = 0.95, alpha: float) -> Interval:
    """Bounds of the p-quantile from a histogram, each at level `alpha` at all times; see `engine_ranks`.

    At alpha = .05 a p95 has an upper bound from 88 values on.

    >>> counts = histogram(buckets(np.arange(1, 10_001) / 100, 1.01))
    >>> bounds = quantile_bounds(counts, growth=1.01, alpha=0.025)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (93.443, 96.274)
    """
    return rank_bounds(counts, engine_ranks(sum(counts.values()), p, alpha), growth=growth)


def quantile_ratio_bounds(
    candidate: Mapping[int, int],
    primary: Mapping[int, int],
    *,
    growth: float,
    p: float = 0.95,
    alpha: float,
) -> Interval:
    """Bounds of the candidate's p-quantile over the primary's, each at level `alpha` at all times.

    Estimand: q_candidate / q_primary, requests independent, the two values of one in any relation. Each of
    the four bounds used is at alpha/2. Source: statistics.md, 4. An end is None while a quantile that it
    needs has no bound. Where the pairs are known, `paired_ratio_bounds` needs far fewer requests.

    >>> a = histogram(buckets(np.arange(1, 10_001) / 100, 1.01))
    >>> b = histogram(buckets(np.arange(1, 10_001) / 80, 1.01))
    >>> bounds = quantile_ratio_bounds(b, a, growth=1.01, alpha=0.05)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (1.22, 1.282)
    """
    candidate_low, candidate_high = _edges(candidate, engine_ranks(sum(candidate.values()), p, alpha / 2))
    primary_low, primary_high = _edges(primary, engine_ranks(sum(primary.values()), p, alpha / 2))
    low = None if candidate_low is None or primary_high is None else growth ** (candidate_low - primary_high)
    high = None if candidate_high is None or primary_low is None else growth ** (candidate_high - primary_low)
    return Interval(low=low, high=high)


def paired_quantile_log_e(
    primary: ArrayLike, candidate: ArrayLike, counts: ArrayLike | None = None, *, steps: int, p: float = 0.95
) -> QuantileEvidence:
    """Evidence from pairs that the ratio of p-quantiles lies within, and beyond, r = growth ** steps.

    Estimand: whether q_candidate < r q_primary, or >; pairs independent, the two values of one in any
    relation. If q_primary lay in bucket i and q_candidate at or above r q_primary, then a pair with candidate
    <= r x_(i-1) and primary > x_i (plus), x_i = g^i, would be no likelier than the opposite (minus). So for
    each bucket: E_i, the engine on (plus, minus), and L_i, the mean of the engine's evidence that F(x_i) < p
    and that F(x_(i-1)) > p, in short that i is not the bucket. The evidence is min_i (.1 L_i + .9 E_i) over
    all i: in the true bucket both are e-processes. "Beyond" is the mirror image. Source: statistics.md, 4,
    made an e-process: the test there (drop the buckets located away at level .1 a, ask 1/(.9 a) of the
    others) never rejects without ln e >= ln(1/a) here. Valid from the first pair.

    Args:
        primary, candidate: buckets of each pair, on the same `ratio_grid`.
        counts: how often each pair of buckets occurred; once if None.
        steps: the declared ratio in buckets, fixed before the data.
        p: in (0, 1).

    >>> i = np.arange(20_000)
    >>> primary = 100 + 40 * (7919 * i % 20_000) // 20_000
    >>> evidence = paired_quantile_log_e(primary, primary + 31 * i % 5 - 2, steps=8)
    >>> round(evidence.within, 2), round(evidence.beyond, 2)
    (153.74, -1.79)
    """
    pairs = _Pairs.of(primary, candidate, counts)
    where = _located(pairs, p)
    return QuantileEvidence(
        within=_least(where, _within(pairs, where, steps)), beyond=_least(where, _beyond(pairs, where, steps))
    )


def paired_ratio_bounds(
    primary: ArrayLike,
    candidate: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    growth: float,
    p: float = 0.95,
    alpha: float,
) -> Interval:
    """Bounds of the candidate's p-quantile over the primary's, from pairs, each at level `alpha`.

    The powers of `growth` at which `paired_quantile_log_e` turns, so they agree with it at every ratio on the
    grid. Estimand, source and smallest sample as there.

    >>> i = np.arange(20_000)
    >>> primary = 100 + 40 * (7919 * i % 20_000) // 20_000
    >>> bounds = paired_ratio_bounds(primary, primary + 31 * i % 5 - 2, growth=1.1**0.125, alpha=0.05)
    >>> round(bounds.low, 4), round(bounds.high, 4)
    (0.9765, 1.0241)
    """
    threshold = log_threshold(alpha)
    pairs = _Pairs.of(primary, candidate, counts)
    where = _located(pairs, p).below(threshold - math.log(_LOCATION_SHARE))  # the others show enough already
    if not pairs.counts.sum() or not len(where.buckets):  # none left: values from no one distribution
        return Interval(low=None, high=None)
    reach = int(np.ptp(np.concatenate([pairs.primary, pairs.candidate]))) + 2

    def within(steps: int) -> bool:
        return _least(where, _within(pairs, where, steps)) >= threshold

    def beyond(steps: int) -> bool:
        return _least(where, _beyond(pairs, where, -steps)) >= threshold

    high, low = _first(within, -reach, reach), _first(beyond, -reach, reach)
    return Interval(low=None if low is None else growth**-low, high=None if high is None else growth**high)


class _Pairs(NamedTuple):
    """Buckets of each pair, and how often it occurred."""

    primary: IntArray
    candidate: IntArray
    counts: FloatArray

    @staticmethod
    def of(primary: ArrayLike, candidate: ArrayLike, counts: ArrayLike | None) -> _Pairs:
        base, other = np.asarray(primary, dtype=np.int64), np.asarray(candidate, dtype=np.int64)
        n = np.ones(base.shape) if counts is None else np.asarray(counts, dtype=np.float64)
        if base.ndim != 1 or not base.shape == other.shape == n.shape:
            raise ValueError("primary, candidate and counts must be of one length")
        if not np.all((n >= 0) & (n < np.inf)):
            raise ValueError("counts must be finite and at least 0")
        return _Pairs(base, other, n)


class _Located(NamedTuple):
    """Buckets i, rising, and ln L_i of each."""

    buckets: IntArray
    log_e: FloatArray

    def below(self, evidence: float) -> _Located:
        some = self.log_e < evidence
        return _Located(self.buckets[some], self.log_e[some])


def _located(pairs: _Pairs, p: float) -> _Located:
    """Of each bucket that can hold the least evidence.

    Those are the primary's, from one below its smallest to one above its largest, and the far ends, where no
    pair says anything: further out L_i stays as it is, and E_i lies between that of a neighbour and 1.
    """
    if not len(pairs.primary):
        return _Located(np.zeros(1, dtype=np.int64), np.zeros(1))
    primary, n = pairs.primary, pairs.counts.sum()
    seen = np.arange(primary.min() - 1, primary.max() + 2)
    where = np.concatenate([[-_FAR], seen, [_FAR]])
    upto, before = _upto(where, primary, pairs.counts), _upto(where, primary + 1, pairs.counts)
    under = log_e(np.stack([n - upto, upto], axis=-1), _under(p))
    over = log_e(np.stack([n - before, before], axis=-1), _over(p))
    return _Located(where, np.logaddexp(under, over) - math.log(2))


def _within(pairs: _Pairs, where: _Located, steps: int) -> FloatArray:
    """ln E_i that the ratio lies within growth ** steps."""
    return _opposed(where.buckets, pairs.candidate - steps, pairs.primary, pairs.counts)


def _beyond(pairs: _Pairs, where: _Located, steps: int) -> FloatArray:
    """ln E_i that the ratio lies beyond growth ** steps."""
    return _opposed(where.buckets, pairs.primary, pairs.candidate - steps, pairs.counts)


def _opposed(where: IntArray, x: IntArray, y: IntArray, counts: FloatArray) -> FloatArray:
    """The engine on plus = #{x < i < y} and minus = #{y <= i <= x} for each i in `where`."""

    def tally(first: IntArray, after: IntArray) -> FloatArray:
        """#{first <= i < after}."""
        some = first < after
        return _upto(where, first[some], counts[some]) - _upto(where, after[some], counts[some])

    return log_e(np.stack([tally(x + 1, y), tally(y, x + 1)], axis=-1), [1.0, -1.0])


def _upto(where: IntArray, values: IntArray, counts: FloatArray) -> FloatArray:
    """#{values <= i} for each i in `where`."""
    first = np.searchsorted(where, values)
    found = np.bincount(first, counts, minlength=len(where) + 1)[: len(where)]
    return np.cumsum(found, dtype=np.float64)


def _least(where: _Located, test: FloatArray) -> float:
    """min over i of ln(.1 L_i + .9 E_i); inf if there is no i."""
    capital = np.logaddexp(math.log(_LOCATION_SHARE) + where.log_e, math.log1p(-_LOCATION_SHARE) + test)
    return float(capital.min(initial=math.inf))


def _edges(counts: Mapping[int, int], ranks: Ranks) -> tuple[int | None, int | None]:
    """Exponents of the edges: below the bucket that holds the low rank, above the one that holds the high."""
    buckets = sorted(counts)
    if any(counts[index] < 0 for index in buckets):
        raise ValueError("counts must be at least 0")
    upto = np.cumsum([counts[index] for index in buckets])
    total = int(upto[-1]) if buckets else 0

    def holds(rank: int) -> int:
        return buckets[int(np.searchsorted(upto, rank))]

    low = holds(ranks.low) - 1 if ranks.low >= 1 else None
    high = holds(ranks.high) if ranks.high <= total else None
    return low, high


def _under(p: float) -> FloatArray:
    """Pay-offs of a value (above x, at or below it) against F(x) >= p."""
    _check_p(p)
    return below([0, 1], p, 1.0)


def _over(p: float) -> FloatArray:
    """Pay-offs of a value (above x, at or below it) against F(x) <= p."""
    _check_p(p)
    return above([0, 1], p, 0.0)


def _check_p(p: float) -> None:
    if not 0.0 < p < 1.0:
        raise ValueError(f"p must lie within (0, 1), not {p}")


def _ranks(n: int, p: float, under: Callable[[int], bool], over: Callable[[int], bool]) -> Ranks:
    if n < 0:
        raise ValueError(f"n must be at least 0, not {n}")
    most = math.ceil(n * p) - 1  # the largest count that is less than np
    low = _first(lambda c: under(most - c), -1, most)
    high = _first(over, math.floor(n * p), n)
    return Ranks(0 if low is None else most - low + 1, n + 1 if high is None else high)


def _first(shown: Callable[[int], bool], below_all: int, last: int) -> int | None:
    """The smallest number in (below_all, last] from which `shown` is true; None if it is false at `last`."""
    if last <= below_all or not shown(last):
        return None
    while last - below_all > 1:
        middle = (below_all + last) // 2
        if shown(middle):
            last = middle
        else:
            below_all = middle
    return last
