"""The engine: the vectors of statistics.md 0, 1 A and 7, an exact check, and what must always hold."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from gnomon_diff.evidence import above, below, log_e, log_e_path, log_threshold, mean_bounds
from gnomon_diff.evidence.engine import LOG_WEIGHTS, STAKES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import beta

unhurried = settings(deadline=None)  # a busy machine is no failure
FLAG = [0.0, 1.0]


def bounds_of_a_rate(n: int, flags: int, alpha: float) -> tuple[float, float]:
    low, high = mean_bounds([n - flags, flags], FLAG, low=0, high=1, alpha=alpha)
    return float(low), float(high)


def test_stakes_and_weights() -> None:
    assert len(STAKES) == 48
    assert STAKES[0] == 0.95
    assert np.exp(LOG_WEIGHTS).sum() == pytest.approx(1)
    assert math.exp(-LOG_WEIGHTS[0]) == pytest.approx(4.458797, rel=1e-6)


def test_evidence_about_a_rate() -> None:
    assert float(log_e([870, 130], above(FLAG, 0.1, 0))) == pytest.approx(1.82023, rel=1e-5)
    assert float(log_e([930, 70], below(FLAG, 0.1, 1))) == pytest.approx(3.29921, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "flags", "alpha", "low", "high"),
    [
        (1000, 100, 0.05, 0.0704508, 0.133586),
        (10_000, 37, 0.05, 0.00192224, 0.00597351),
        (500, 0, 0.05, 0.0, 0.00895260),
        (1000, 100, 0.025, 0.0688551, 0.136090),
        (1_000_000, 5000, 0.025, 0.00472859, 0.00526265),
    ],
)
def test_bounds_of_a_rate(n: int, flags: int, alpha: float, low: float, high: float) -> None:
    assert bounds_of_a_rate(n, flags, alpha) == pytest.approx((low, high), rel=1e-5)


def test_the_noise_floor_of_three_counts() -> None:
    values, counts = [0.0, 1.0, -0.5], [98_700, 900, 400]
    low, high = mean_bounds(counts, values, low=-0.5, high=1, alpha=0.05)
    assert (float(low), float(high)) == pytest.approx((0.00595381, 0.00809653), rel=1e-5)
    assert float(log_e(counts, above(values, 0.005, -0.5))) == pytest.approx(19.2656, rel=1e-5)


def test_the_unpaired_noise_floor() -> None:
    shown, noise = bounds_of_a_rate(100_000, 1400, 0.025), bounds_of_a_rate(20_000, 100, 0.025)
    difference = (shown[0] - noise[1], shown[1] - noise[0])
    assert difference == pytest.approx((0.00568335, 0.0120565), rel=1e-5)


def test_it_is_exact() -> None:
    """The definition in rational numbers, no logarithm until the end."""
    weights = [Fraction(float(weight)) for weight in np.exp(LOG_WEIGHTS)]
    stakes = [Fraction(float(stake)) for stake in STAKES]
    total = sum(
        weight * (1 + 9 * stake) ** 130 * (1 - stake) ** 870
        for weight, stake in zip(weights, stakes, strict=True)
    )
    exact = math.log(total.numerator) - math.log(total.denominator)
    assert float(log_e([870, 130], [-1.0, 9.0])) == pytest.approx(exact, abs=1e-10)


def test_a_shuffled_sequence_has_the_evidence_of_its_counts() -> None:
    rng = np.random.default_rng(1)
    payoffs = above(FLAG, 0.1, 0)
    sequence = rng.permutation(np.repeat([0, 1], [870, 130]))
    path = log_e_path(payoffs[sequence])
    assert path[-1] == pytest.approx(float(log_e([870, 130], payoffs)), abs=1e-10)
    seen = sequence[:500].sum()
    assert path[499] == pytest.approx(float(log_e([500 - seen, seen], payoffs)), abs=1e-10)


def test_the_mixture_is_scipys() -> None:
    counts, payoffs = np.array([[5.0, 2.0, 1.0], [500.0, 20.0, 0.0]]), np.array([0.1, -1.0, 3.0])
    expected = logsumexp(counts @ np.log1p(np.outer(STAKES, payoffs)).T + LOG_WEIGHTS, axis=-1)
    assert log_e(counts, payoffs) == pytest.approx(expected)


def test_no_data_is_no_evidence() -> None:
    assert float(log_e([0, 0], [-1.0, 9.0])) == pytest.approx(0, abs=1e-12)
    assert log_e_path([]).shape == (0,)
    assert bounds_of_a_rate(0, 0, 0.05) == (0.0, 1.0)


@pytest.mark.parametrize("n", [100, 10_000, 1_000_000])
def test_no_flag_bounds_a_rate_by_four_and_a_half_over_n(n: int) -> None:
    assert n * bounds_of_a_rate(n, 0, 0.05)[1] == pytest.approx(4.5, rel=0.03)


@pytest.mark.parametrize("p", [0.001, 0.01, 0.1, 0.5])
def test_bounds_are_wider_than_the_exact_ones_of_one_look_by_at_most_the_known_factor(p: float) -> None:
    for n in 10 ** np.arange(2, 9):
        flags = round(p * n)
        if flags < 5:
            continue
        low, high = bounds_of_a_rate(int(n), flags, 0.05)
        exact_low = beta.ppf(0.05, flags, n - flags + 1)
        exact_high = beta.ppf(0.95, flags + 1, n - flags)
        assert 1.55 < (flags / n - low) / (flags / n - exact_low) < 2.35
        assert 1.55 < (high - flags / n) / (exact_high - flags / n) < 2.35


def test_many_at_once_are_each_alone() -> None:
    counts = np.array([[900, 100], [9963, 37], [0, 0], [500, 0]])
    lows, highs = mean_bounds(counts, FLAG, low=0, high=1, alpha=0.05)
    for row, low, high in zip(counts, lows, highs, strict=True):
        assert (low, high) == bounds_of_a_rate(int(row.sum()), int(row[1]), 0.05)


def test_a_value_between_two_categories_has_at_least_the_evidence_of_its_parts() -> None:
    split = log_e([10 * 0.7, 10 * 0.3], below(FLAG, 0.5, 1))
    assert float(log_e([10], below([0.3], 0.5, 1))) > float(split)


@unhurried
@given(
    n=st.integers(1, 10_000),
    share=st.floats(0, 1),
    limits=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)),
)
def test_evidence_is_monotone_in_the_limit(n: int, share: float, limits: tuple[float, float]) -> None:
    flags = round(share * n)
    counts = [n - flags, flags]
    small, large = sorted(limits)
    slack = 1e-9 * n
    assert log_e(counts, above(FLAG, small, 0)) >= log_e(counts, above(FLAG, large, 0)) - slack
    assert log_e(counts, below(FLAG, large, 1)) >= log_e(counts, below(FLAG, small, 1)) - slack


@unhurried
@given(n=st.integers(0, 100_000), share=st.floats(0, 1), alpha=st.sampled_from([0.3, 0.05, 0.001]))
def test_bounds_contain_the_estimate_and_are_where_the_evidence_turns(
    n: int, share: float, alpha: float
) -> None:
    flags = round(share * n)
    counts = [n - flags, flags]
    low, high = bounds_of_a_rate(n, flags, alpha)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= flags / n <= high
    if low > 1e-9:
        assert log_e(counts, above(FLAG, low * (1 - 1e-6), 0)) >= log_threshold(alpha)
        assert log_e(counts, above(FLAG, low * (1 + 1e-6), 0)) <= log_threshold(alpha)
    if high < 1 - 1e-9:
        assert log_e(counts, below(FLAG, 1 - (1 - high) * (1 - 1e-6), 1)) >= log_threshold(alpha)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6), st.randoms())
def test_the_order_of_merging_does_not_matter(parts: list[tuple[int, int]], random: Random) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)
    payoffs = above(FLAG, 0.2, 0)
    assert log_e(np.sum(parts, axis=0), payoffs) == log_e(np.sum(shuffled, axis=0), payoffs)


@unhurried
@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_above_and_below_are_never_both_shown(n: int, share: float, limit: float) -> None:
    flags = round(share * n)
    counts = [n - flags, flags]
    assert min(log_e(counts, above(FLAG, limit, 0)), log_e(counts, below(FLAG, limit, 1))) < math.log(2)


@pytest.mark.parametrize(
    ("counts", "payoffs"),
    [([-1, 2], [0, 0]), ([math.nan], [0]), ([math.inf], [0]), ([1], [-1.1]), ([1], [math.nan])],
)
def test_impossible_counts_and_pay_offs_are_refused(counts: list[float], payoffs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"counts|pay-offs"):
        log_e(counts, payoffs)


def test_limits_outside_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="above the smallest"):
        above(FLAG, 0.0, 0.0)
    with pytest.raises(ValueError, match="below the largest"):
        below(FLAG, 1.0, 1.0)
    with pytest.raises(ValueError, match="within"):
        mean_bounds([1], [2.0], low=0, high=1, alpha=0.05)
    with pytest.raises(ValueError, match="alpha"):
        mean_bounds([1], [0.5], low=0, high=1, alpha=0.0)
