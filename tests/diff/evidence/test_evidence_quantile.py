"""Quantiles of latency: the vectors of statistics.md 4, a naive version, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gnomon_diff.evidence import (
    Interval,
    Ranks,
    above,
    below,
    beta_binomial_log_e,
    buckets,
    concentration,
    engine_ranks,
    histogram,
    log_e,
    log_threshold,
    merge_histograms,
    mixture_ranks,
    paired_quantile_log_e,
    paired_ratio_bounds,
    quantile_bounds,
    quantile_ratio_bounds,
    rank_bounds,
    ratio_grid,
)
from gnomon_diff.evidence.quantile import _beyond, _located, _Pairs, _within
from hypothesis import given, settings
from hypothesis import strategies as st

unhurried = settings(deadline=None)  # a busy machine is no failure
GROWTH = 1.1 ** (1 / 8)
NUMBERS = np.arange(20_000)
PRIMARY = 100 + 40 * (7919 * NUMBERS % 20_000) // 20_000
CANDIDATE = PRIMARY + 31 * NUMBERS % 5 - 2
FLAG = [0.0, 1.0]

pair_lists = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=1, max_size=200).map(
    lambda pairs: np.array(pairs).T
)


def lognormal_pairs(
    rng: np.random.Generator, n: int, *, ratio: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    shared, one, other = rng.standard_normal((3, n))
    own = math.sqrt(1 - correlation)
    primary = np.exp(0.5 * (math.sqrt(correlation) * shared + own * one))
    candidate = ratio * np.exp(0.5 * (math.sqrt(correlation) * shared + own * other))
    return primary, candidate


def naive_log_e(primary: np.ndarray, candidate: np.ndarray, steps: int, p: float) -> tuple[float, float]:
    """min over buckets, all of them counted one by one, far beyond both ends."""
    n, within, beyond = len(primary), [], []
    seen = np.concatenate([primary, candidate, candidate - steps])
    for i in range(seen.min() - 3, seen.max() + 4):
        upto, before = np.sum(primary <= i), np.sum(primary <= i - 1)
        location = (
            math.exp(min(float(log_e([n - upto, upto], below(FLAG, p, 1))), 600))
            + math.exp(min(float(log_e([n - before, before], above(FLAG, p, 0))), 600))
        ) / 2
        # x_i = growth ** i: the candidate against r x_(i-1), the primary against x_i; then the reverse.
        fast, slow = candidate <= i - 1 + steps, primary > i
        test = math.exp(float(log_e([np.sum(fast & slow), np.sum(~fast & ~slow)], [1.0, -1.0])))
        within.append(0.1 * location + 0.9 * test)
        fast, slow = primary <= i - 1, candidate > i + steps
        test = math.exp(float(log_e([np.sum(fast & slow), np.sum(~fast & ~slow)], [1.0, -1.0])))
        beyond.append(0.1 * location + 0.9 * test)
    return math.log(min(within)), math.log(min(beyond))


@pytest.mark.parametrize(
    ("n", "n_target", "ranks"),
    [
        (1000, 1000, Ranks(928, 970)),
        (10_000, 10_000, Ranks(9433, 9565)),
        (100_000, 10_000, Ranks(94_775, 95_222)),
    ],
)
def test_the_vectors_of_order_statistics(n: int, n_target: int, ranks: Ranks) -> None:
    assert mixture_ranks(n, 0.95, 0.05, n_target) == ranks


def test_the_vector_of_the_engine() -> None:
    assert engine_ranks(10_000, 0.95, 0.025) == Ranks(9415 + 1, 9576)


def test_the_vector_of_the_marginal_ratio() -> None:
    interval = quantile_ratio_bounds(
        histogram(CANDIDATE), histogram(PRIMARY), growth=GROWTH, p=0.95, alpha=0.05
    )
    assert interval.low == pytest.approx(0.976454, rel=1e-5)
    assert interval.high == pytest.approx(1.02411, rel=1e-5)


@pytest.mark.parametrize(("steps", "within", "beyond"), [(8, 329.319, -4.90945), (2, 46.4687, -4.87151)])
def test_the_vectors_of_the_paired_test(steps: int, within: float, beyond: float) -> None:
    """The note's own form: drop the buckets located away at .1 a, take the least of the others."""
    pairs = _Pairs.of(PRIMARY, CANDIDATE, None)
    where = _located(pairs, 0.95)
    kept = where.log_e < math.log(0.5 * 20 / 0.05)  # the mean of two, one of which reaches 20/a
    for test, expected in ((_within, within), (_beyond, beyond)):
        least = test(pairs, where, steps)[kept].min() - log_threshold(0.9 * 0.05)
        assert least == pytest.approx(expected, rel=1e-5)


def test_what_the_note_s_test_shows_the_e_process_shows() -> None:
    rng = np.random.default_rng(7)
    for ratio in (0.8, 0.9, 1.0, 1.15, 1.3):
        primary, candidate = lognormal_pairs(rng, 2000, ratio=ratio, correlation=0.9)
        pairs = _Pairs.of(buckets(primary, GROWTH), buckets(candidate, GROWTH), None)
        where = _located(pairs, 0.95)
        kept = where.log_e < math.log(0.5 * 20 / 0.05)
        evidence = paired_quantile_log_e(*pairs, steps=8)
        for test, least in ((_within, evidence.within), (_beyond, evidence.beyond)):
            if test(pairs, where, 8)[kept].min() >= log_threshold(0.9 * 0.05):
                assert least >= log_threshold(0.05)


@unhurried
@given(pair_lists, st.integers(-10, 10), st.sampled_from([0.5, 0.95]))
def test_it_is_the_naive_one(pairs: np.ndarray, steps: int, p: float) -> None:
    evidence = paired_quantile_log_e(*pairs, steps=steps, p=p)
    assert tuple(evidence) == pytest.approx(naive_log_e(*pairs, steps, p), abs=1e-9)


@unhurried
@given(pair_lists, st.integers(-5, 5))
def test_equal_pairs_may_be_counted_and_come_in_any_order(pairs: np.ndarray, steps: int) -> None:
    distinct, counts = np.unique(pairs, axis=1, return_counts=True)
    together = paired_quantile_log_e(*distinct, counts, steps=steps)
    assert tuple(together) == pytest.approx(tuple(paired_quantile_log_e(*pairs, steps=steps)), abs=1e-9)


@unhurried
@given(pair_lists, st.integers(-10, 10))
def test_paired_evidence_is_monotone_in_the_ratio(pairs: np.ndarray, steps: int) -> None:
    tight, loose = (paired_quantile_log_e(*pairs, steps=k) for k in (steps, steps + 1))
    assert loose.within >= tight.within - 1e-9
    assert loose.beyond <= tight.beyond + 1e-9


@unhurried
@given(pair_lists, st.integers(1, 10), st.sampled_from([0.5, 0.9]))
def test_paired_bounds_turn_where_the_evidence_does(pairs: np.ndarray, times: int, p: float) -> None:
    repeated = np.repeat(pairs, 4 * times, axis=1)
    interval = paired_ratio_bounds(*repeated, growth=2.0, p=p, alpha=0.05)
    for end, side, inward in ((interval.high, "within", -1), (interval.low, "beyond", 1)):
        if end is None:
            continue
        steps = round(math.log2(end))
        shown, not_shown = (
            getattr(paired_quantile_log_e(*repeated, steps=k, p=p), side) for k in (steps, steps + inward)
        )
        assert shown >= log_threshold(0.05) > not_shown


def test_paired_bounds_hold_the_ratio_and_are_tighter_than_marginal_ones() -> None:
    primary, candidate = lognormal_pairs(np.random.default_rng(8), 5000, ratio=1.1, correlation=0.9)
    growth, _ = ratio_grid(1.5)
    base, other = buckets(primary, growth), buckets(candidate, growth)
    paired = paired_ratio_bounds(base, other, growth=growth, alpha=0.05)
    marginal = quantile_ratio_bounds(histogram(other), histogram(base), growth=growth, alpha=0.05)
    assert marginal.low is not None
    assert marginal.high is not None
    assert paired.low is not None
    assert paired.high is not None
    assert marginal.low < paired.low < 1.1 < paired.high < marginal.high


def test_no_pairs_show_nothing() -> None:
    assert tuple(paired_quantile_log_e([], [], steps=8)) == pytest.approx((0, 0), abs=1e-12)
    assert paired_ratio_bounds([], [], growth=1.1, alpha=0.05) == Interval(low=None, high=None)
    assert quantile_bounds({}, growth=1.1, alpha=0.05) == Interval(low=None, high=None)
    one_sided = quantile_ratio_bounds({}, histogram(PRIMARY), growth=1.1, alpha=0.05)
    assert one_sided == Interval(low=None, high=None)


def test_one_pair_bounds_nothing() -> None:
    assert paired_ratio_bounds([3], [4], growth=1.1, alpha=0.05) == Interval(low=None, high=None)


@pytest.mark.parametrize("n", [0, 1, 20, 87, 88, 500])
@pytest.mark.parametrize("p", [0.5, 0.95])
def test_ranks_are_what_trying_every_count_gives(n: int, p: float) -> None:
    counts = np.arange(n + 1)
    table = np.stack([n - counts, counts], axis=-1)
    under = counts[log_e(table, below(FLAG, p, 1)) >= log_threshold(0.05)]
    over = counts[log_e(table, above(FLAG, p, 0)) >= log_threshold(0.05)]
    assert engine_ranks(n, p, 0.05) == Ranks(
        under.max() + 1 if len(under) else 0, over.min() if len(over) else n + 1
    )
    shown = beta_binomial_log_e(p, n, counts, k=concentration(200, 0.05)) >= log_threshold(0.05)
    under, over = counts[shown & (counts < n * p)], counts[shown & (counts > n * p)]
    assert mixture_ranks(n, p, 0.05, 200) == Ranks(
        under.max() + 1 if len(under) else 0, over.min() if len(over) else n + 1
    )


def test_a_p95_has_an_upper_bound_from_88_values_on() -> None:
    assert engine_ranks(87, 0.95, 0.05).high == 88
    assert engine_ranks(88, 0.95, 0.05).high == 88


@unhurried
@given(st.lists(st.floats(0.001, 1000), min_size=100, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
def test_bounds_hold_the_sample_quantile_and_the_order_statistics(values: list[float], p: float) -> None:
    interval = quantile_bounds(histogram(buckets(values, 1.05)), growth=1.05, p=p, alpha=0.05)
    ranks, ordered = engine_ranks(len(values), p, 0.05), np.sort(values)
    sample = float(np.quantile(values, p, method="inverted_cdf"))
    slack = 1 + 1e-9
    if interval.low is not None:
        exact = ordered[ranks.low - 1]
        assert exact / 1.05 / slack <= interval.low <= exact * slack
        assert interval.low <= sample * slack
    if interval.high is not None:
        exact = ordered[ranks.high - 1]
        assert exact / slack <= interval.high <= exact * 1.05 * slack
        assert interval.high >= sample / slack


@unhurried
@given(st.lists(st.lists(st.integers(-5, 5), max_size=20), max_size=5), st.permutations(range(5)))
def test_histograms_merge_in_any_order(parts: list[list[int]], order: list[int]) -> None:
    histograms = [histogram(part) for part in parts]
    whole = histogram([index for part in parts for index in part])
    assert merge_histograms(histograms) == whole
    assert merge_histograms(histograms[i] for i in order if i < len(parts)) == whole


@unhurried
@given(st.floats(0.05, 20).filter(lambda ratio: ratio != 1))
def test_a_declared_ratio_is_a_whole_number_of_buckets(ratio: float) -> None:
    growth, steps = ratio_grid(ratio)
    assert growth**steps == pytest.approx(ratio, rel=1e-9)
    assert abs(steps) >= 1
    if abs(math.log(ratio)) > 0.1:
        assert 1.011 < growth < 1.0135


def test_a_ratio_of_one_is_no_step() -> None:
    assert tuple(ratio_grid(1.0)) == (1.012, 0)


def test_buckets_hold_their_upper_edge_and_share_what_a_clock_cannot_tell() -> None:
    assert buckets([2.0, 2.0000001, 4.0, 3.9], 2.0).tolist() == [1, 2, 2, 2]
    assert len(set(buckets([0.0, -1.0, 1e-9, 1e-6], 1.012).tolist())) == 1


def test_rank_bounds_are_outer_edges() -> None:
    counts = {0: 10, 3: 80, 5: 10}
    assert rank_bounds(counts, Ranks(11, 90), growth=2.0) == Interval(low=4.0, high=8.0)
    assert rank_bounds(counts, Ranks(0, 101), growth=2.0) == Interval(low=None, high=None)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        buckets([math.nan], 1.1)
    with pytest.raises(ValueError, match="growth"):
        buckets([1.0], 1.0)
    with pytest.raises(ValueError, match="ratio"):
        ratio_grid(0.0)
    with pytest.raises(ValueError, match="one length"):
        paired_quantile_log_e([1, 2], [1], steps=1)
    with pytest.raises(ValueError, match="at least 0"):
        paired_quantile_log_e([1], [1], [-1], steps=1)
    with pytest.raises(ValueError, match="at least 0"):
        quantile_bounds({1: -1, 2: 200}, growth=1.1, alpha=0.05)
    with pytest.raises(ValueError, match="within"):
        engine_ranks(10, 1.0, 0.05)
    with pytest.raises(ValueError, match="within"):
        paired_quantile_log_e([1], [1], steps=1, p=0.0)
    with pytest.raises(ValueError, match="at least 0"):
        engine_ranks(-1, 0.95, 0.05)
