"""What is lost: the vector of statistics.md 10, hand counts, and false alarms under losses that fall evenly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gnomon_diff.evidence import stratum_log_e
from gnomon_diff.evidence.sample_ratio import TILTS
from scipy.special import logsumexp
from scipy.stats import hypergeom


def by_scipy(blocks: list[tuple[int, int, int, int]]) -> float:
    totals = np.zeros(len(TILTS))
    for n, n1, k_all, k in blocks:
        s = np.arange(max(0, k_all - (n - n1)), min(k_all, n1) + 1)
        log_p = hypergeom.logpmf(s, n, n1, k_all)
        totals += TILTS * k - logsumexp(log_p[None, :] + np.outer(TILTS, s), axis=1)
    return float(logsumexp(totals) - math.log(len(TILTS)))


def test_the_notes_vector() -> None:
    blocks = [(1000, 300, 100, 45), (800, 240, 160, 66), (1200, 400, 60, 27)]
    found = stratum_log_e(*map(list, zip(*blocks, strict=True)))
    assert found == pytest.approx(10.2773, abs=5e-5)
    assert found == pytest.approx(by_scipy(blocks), rel=1e-9)


def test_few_losses_among_many_are_what_scipy_computes() -> None:
    blocks = [(5000, 700, 4980, 688), (4000, 10, 3999, 9), (30, 30, 20, 20), (12, 0, 5, 0), (50, 5, 50, 5)]
    found = stratum_log_e(*map(list, zip(*blocks, strict=True)))
    assert found == pytest.approx(by_scipy(blocks), rel=1e-9)


def test_where_nothing_was_lost_nothing_is_shown() -> None:
    assert stratum_log_e([10, 20], [3, 4], [10, 20], [3, 4]) == 0.0


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="more is kept"):
        stratum_log_e([10], [3], [5], [4])


def test_losses_that_fall_evenly_are_rarely_said_to_fall_unevenly() -> None:
    """At one stratum and ln 20 in at most 5 of 100 runs, whatever the rates of the blocks."""
    rng = np.random.default_rng(5)
    alarms, runs = 0, 400
    for _ in range(runs):
        n = rng.integers(200, 2000, 60)
        n1 = rng.binomial(n, 0.2)
        kept = n - rng.binomial(n, rng.choice([0.001, 0.02, 0.3], 60))
        k = rng.hypergeometric(n1, n - n1, kept)
        alarms += stratum_log_e(n, n1, kept, k) >= math.log(20)
    assert alarms <= 0.05 * runs


def test_a_stratum_that_loses_twice_as_often_is_found() -> None:
    rng = np.random.default_rng(6)
    n, n1 = np.full(100, 1000), np.full(100, 200)
    k = n1 - rng.binomial(n1, 0.02)
    kept = k + 800 - rng.binomial(800, 0.01, 100)
    assert stratum_log_e(n, n1, kept, k) > math.log(1000)
