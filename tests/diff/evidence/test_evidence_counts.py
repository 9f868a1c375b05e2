"""Rates and pairs of independent requests: the vectors of statistics.md 1 and 2, and independent checks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gnomon_diff.evidence import (
    PairCounts,
    beta_binomial_bounds,
    beta_binomial_log_e,
    concentration,
    difference_bounds,
    difference_log_e,
    log_threshold,
    mcnemar_log_e,
    rate_bounds,
    rate_log_e,
    ratio_bounds,
    ratio_log_e,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

unhurried = settings(deadline=None)  # a busy machine is no failure
PAIRS = PairCounts(both=150, candidate_only=60, primary_only=30, neither=9760)
CLOSE = PairCounts(both=1800, candidate_only=200, primary_only=210, neither=97_790)

pair_counts = st.builds(
    PairCounts, st.integers(0, 300), st.integers(0, 100), st.integers(0, 100), st.integers(0, 10_000)
)


def test_the_evidence_of_pairs() -> None:
    assert difference_log_e(PAIRS, 0.0, "above") == pytest.approx(3.04680, rel=1e-5)
    assert ratio_log_e(PAIRS, 1.0, "above") == pytest.approx(3.04680, rel=1e-5)
    assert ratio_log_e(PAIRS, 1.05, "above") == pytest.approx(0.730575, rel=1e-5)
    assert ratio_log_e(CLOSE, 1.05, "below") == pytest.approx(10.9793, rel=1e-5)


@pytest.mark.parametrize(
    ("pairs", "alpha", "low", "high"),
    [
        (PAIRS, 0.05, 1.65815e-5, 0.00622644),
        (PAIRS, 0.025, -0.000199938, 0.00647132),
        (CLOSE, 0.05, -0.000774764, 0.000572745),
    ],
)
def test_bounds_of_a_difference(pairs: PairCounts, alpha: float, low: float, high: float) -> None:
    assert difference_bounds(pairs, alpha=alpha) == pytest.approx((low, high), rel=1e-5)


@pytest.mark.parametrize(
    ("pairs", "alpha", "low", "high"),
    [
        (PAIRS, 0.05, 1.00085, 1.37813),
        (PAIRS, 0.025, 0.989787, 1.39549),
        (CLOSE, 0.05, 0.962080, 1.02899),
    ],
)
def test_bounds_of_a_ratio(pairs: PairCounts, alpha: float, low: float, high: float) -> None:
    assert ratio_bounds(pairs, alpha=alpha) == pytest.approx((low, high), rel=1e-5)


def test_mcnemar() -> None:
    assert mcnemar_log_e(60, 30, two_sided=True) == pytest.approx(3.00616, rel=1e-5)
    assert mcnemar_log_e(60, 30) == pytest.approx(3.69855, rel=1e-5)
    assert mcnemar_log_e(0, 0) == mcnemar_log_e(0, 0, two_sided=True) == 0
    assert mcnemar_log_e(0, 3000) == -math.inf


def test_one_sided_mcnemar_is_the_mixture_over_the_upper_half() -> None:
    mixture = quad(lambda t: 2 * math.exp(60 * math.log(2 * t) + 30 * math.log(2 - 2 * t)), 0.5, 1)[0]
    assert mcnemar_log_e(60, 30) == pytest.approx(math.log(mixture), abs=1e-8)


def test_the_beta_binomial_mixture() -> None:
    assert concentration(1000, 0.05) == pytest.approx(125.006, rel=1e-5)
    assert concentration(10_000, 0.05) == pytest.approx(1259.06, rel=1e-5)
    k = concentration(1000, 0.05)
    assert float(beta_binomial_log_e(0.1, 1000, 130, k=k)) == pytest.approx(2.92639, rel=1e-5)


def test_the_beta_binomial_mixture_is_one_over_a_beta_prior() -> None:
    k, p, n, flags = 20.0, 0.3, 40, 20
    prior = quad(lambda t: t ** (k * p - 1) * (1 - t) ** (k * (1 - p) - 1), 0, 1)[0]
    mixed = quad(lambda t: t ** (k * p - 1 + flags) * (1 - t) ** (k * (1 - p) - 1 + n - flags), 0, 1)[0]
    exact = math.log(mixed / prior / (p**flags * (1 - p) ** (n - flags)))
    assert float(beta_binomial_log_e(p, n, flags, k=k)) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize(
    ("n", "flags", "n_target", "low", "high"),
    [
        (1000, 100, 1000, 0.0733985, 0.130973),
        (10_000, 37, 10_000, 0.00211835, 0.00582374),
        (500, 0, 1000, 0.0, 0.00997176),
        (1_000_000, 5000, 10_000, 0.00475220, 0.00525518),
    ],
)
def test_beta_binomial_bounds(n: int, flags: int, n_target: int, low: float, high: float) -> None:
    bounds = beta_binomial_bounds(n, flags, alpha=0.05, n_target=n_target)
    assert bounds == pytest.approx((low, high), rel=1e-5)


def test_without_data_nothing_is_bounded() -> None:
    none = PairCounts(0, 0, 0, 0)
    assert rate_bounds(0, 0, alpha=0.05) == (0, 1)
    assert beta_binomial_bounds(0, 0, alpha=0.05, n_target=100) == (0, 1)
    assert difference_bounds(none, alpha=0.05) == (-1, 1)
    assert ratio_bounds(none, alpha=0.05) == (0, math.inf)
    assert ratio_log_e(none, 1.05, "below") == pytest.approx(0, abs=1e-12)


def test_a_side_without_errors_bounds_a_ratio_on_one_side() -> None:
    low, high = ratio_bounds(PairCounts(0, 0, 20, 0), alpha=0.05)
    assert low == 0
    assert 0 < high < 1
    low, high = ratio_bounds(PairCounts(0, 20, 0, 0), alpha=0.05)
    assert low > 1
    assert high == math.inf


@unhurried
@given(pair_counts)
def test_bounds_contain_the_estimates(pairs: PairCounts) -> None:
    n, more = sum(pairs), pairs.candidate_only - pairs.primary_only
    low, high = difference_bounds(pairs, alpha=0.05)
    assert low <= (more / n if n else 0) <= high
    low, high = ratio_bounds(pairs, alpha=0.05)
    primary = pairs.both + pairs.primary_only
    if primary:
        assert low <= (primary + more) / primary <= high


@unhurried
@given(pair_counts, st.floats(0.2, 5), st.floats(0.2, 5))
def test_evidence_about_a_ratio_is_monotone_in_the_limit(pairs: PairCounts, one: float, other: float) -> None:
    small, large = sorted([one, other])
    assert ratio_log_e(pairs, small, "above") >= ratio_log_e(pairs, large, "above") - 1e-6
    assert ratio_log_e(pairs, large, "below") >= ratio_log_e(pairs, small, "below") - 1e-6


@unhurried
@given(st.integers(1, 2000), st.floats(0, 1))
def test_the_beta_binomial_interval_is_where_the_evidence_is_small(n: int, share: float) -> None:
    flags = round(share * n)
    low, high = beta_binomial_bounds(n, flags, alpha=0.05, n_target=500)
    p = np.linspace(0.0005, 0.9995, 2000)
    inside = beta_binomial_log_e(p, n, flags, k=concentration(500, 0.05)) < log_threshold(0.05)
    assert np.array_equal(inside, (p > low) & (p < high))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        rate_log_e(10, 11, 0.1, "above")
    with pytest.raises(ValueError, match="ratio"):
        ratio_log_e(PAIRS, 0.0, "above")
    with pytest.raises(ValueError, match="counts"):
        mcnemar_log_e(-1, 0)
    with pytest.raises(ValueError, match="flags"):
        beta_binomial_bounds(10, 11, alpha=0.05, n_target=10)
    with pytest.raises(ValueError, match="p must"):
        beta_binomial_log_e(1.0, 10, 5, k=1)
    with pytest.raises(ValueError, match="n_target"):
        concentration(0, 0.05)
