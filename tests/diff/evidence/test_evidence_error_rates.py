"""Seeded simulations at the limit: how often the rules decide wrongly, and how often they decide at all.

The figures are those of statistics_dependence.md and statistics.md, from more runs than here, with room for
chance.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gnomon_diff.evidence import (
    DayCriterion,
    buckets,
    log_threshold,
    paired_quantile_log_e,
    promote_log_e,
    ratio_grid,
    reject_log_e,
    rule_bounds,
    t_log_e,
)

RUNS, DAYS, RATE, PER_DAY = 4000, 30, 0.05, 900
LOOKS = (14, 21, 28)
LN20 = log_threshold(0.05)


def days(
    rng: np.random.Generator, *, deff: float, ar: float = 0.0, per_day: float = PER_DAY, runs: int = RUNS
) -> tuple[np.ndarray, np.ndarray]:
    """Flags and requests of days whose rate is RATE times a lognormal effect, of that design effect."""
    sigma2 = math.log1p((deff - 1) * (1 - RATE) / (RATE * per_day))
    effect = rng.standard_normal((runs, DAYS))
    for day in range(1, DAYS):
        effect[:, day] = ar * effect[:, day - 1] + math.sqrt(1 - ar * ar) * effect[:, day]
    requests = rng.poisson(per_day, (runs, DAYS))
    rates = RATE * np.exp(math.sqrt(sigma2) * effect - sigma2 / 2)
    return rng.binomial(requests, np.minimum(rates, 1)).astype(float), requests.astype(float)


def promoted(criterion: DayCriterion, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether a run is promoted by the look at 14, 21, 28 days."""
    evidence = promote_log_e(criterion, a, b)[:, [look - 1 for look in LOOKS]]
    return np.maximum.accumulate(evidence, axis=1) >= LN20


def rejected(criterion: DayCriterion, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return reject_log_e(criterion, a, b).max(axis=1) >= LN20


@pytest.mark.parametrize(
    ("deff", "ar", "promotes", "rejects"),  # the note: 0, .010 / 0, .005 / .008, .006 / .036, .034
    [(1, 0, 0.001, 0.015), (5, 0, 0.002, 0.01), (27, 0, 0.014, 0.012), (27, 0.3, 0.05, 0.048)],
)
def test_at_the_limit_days_seldom_decide(deff: float, ar: float, promotes: float, rejects: float) -> None:
    a, b = days(np.random.default_rng([1, round(deff), round(10 * ar)]), deff=deff, ar=ar)
    assert promoted(DayCriterion.rate(RATE), a, b)[:, -1].mean() <= promotes
    assert rejected(DayCriterion.rate(RATE), a, b).mean() <= rejects
    assert rejected(DayCriterion.excess(RATE), a, b).mean() <= 0.05


@pytest.mark.parametrize(("deff", "by_look"), [(1, (1, 1, 1)), (5, (0.93, 1, 1)), (27, (0.51, 0.85, 0.94))])
def test_at_half_the_limit_they_promote_as_often_as_the_note_says(
    deff: float, by_look: tuple[float, ...]
) -> None:
    a, b = days(np.random.default_rng([2, round(deff)]), deff=deff)
    found = promoted(DayCriterion.rate(2 * RATE), a, b).mean(axis=0)
    assert found == pytest.approx(by_look, abs=0.03)


def test_at_twice_the_limit_they_reject_as_soon_as_the_note_says() -> None:
    a, b = days(np.random.default_rng(3), deff=27)
    first = np.argmax(reject_log_e(DayCriterion.rate(RATE / 2), a, b) >= LN20, axis=1) + 1
    assert np.quantile(first, [0.5, 0.9]) == pytest.approx([11, 18], abs=1.1)


def test_few_events_promote_falsely_unless_they_are_asked_for() -> None:
    """Where the limit allows a tenth of an event a day, most days are alike and look certain."""
    a, b = days(np.random.default_rng(4), deff=1, per_day=0.1 / RATE)
    rate = DayCriterion.rate(RATE)
    assert promoted(rate, a, b)[:, -1].mean() > 0.2
    assert promoted(replace(rate, events_min=5.0), a, b)[:, -1].mean() < 0.01


def test_intervals_of_14_days_hold_the_true_rate() -> None:
    """At .025 a side the true rate is outside no more often than the evidence errs."""
    a, b = days(np.random.default_rng(5), deff=27, runs=1000)
    intervals = rule_bounds(DayCriterion.rate(RATE), a[:, :14], b[:, :14])
    outside = [
        (low is not None and low > RATE) or (high is not None and high < RATE)
        for low, high in ((interval.low, interval.high) for interval in intervals)
    ]
    assert np.mean(outside) < 0.02


def test_normal_days_seldom_reach_the_threshold_at_any_look() -> None:
    x = np.random.default_rng(6).standard_normal((RUNS, DAYS))
    evidence = t_log_e(np.arange(1, DAYS + 1), np.cumsum(x, axis=1), np.cumsum(x * x, axis=1))
    reached = evidence.max(axis=1) >= LN20
    assert reached.mean() < 0.05
    assert np.exp(evidence[:, 6]).mean() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_a_p95_at_the_declared_ratio_is_seldom_found_within_or_beyond(correlation: float) -> None:
    rng = np.random.default_rng([7, round(10 * correlation)])
    growth, steps = ratio_grid(1.1)
    looks = (500, 1000, 2000, 4000, 8000)
    wrong = 0
    for _ in range(100):
        shared, one, other = rng.standard_normal((3, looks[-1]))
        own = math.sqrt(1 - correlation)
        primary = np.exp(0.5 * (math.sqrt(correlation) * shared + own * one))
        candidate = 1.1 * np.exp(0.5 * (math.sqrt(correlation) * shared + own * other))
        base, scaled = buckets(primary, growth), buckets(candidate, growth)
        evidence = [paired_quantile_log_e(base[:n], scaled[:n], steps=steps) for n in looks]
        wrong += any(max(found) >= LN20 for found in evidence)
    assert wrong <= 4  # of 100, at .05 a side; the note found .003


def test_a_p95_well_within_the_ratio_is_found() -> None:
    """Equal models, correlation .9, limit 1.1: the note's median is 2,788 requests."""
    rng = np.random.default_rng(8)
    growth, steps = ratio_grid(1.1)
    found = 0
    for _ in range(40):
        shared, one, other = rng.standard_normal((3, 4000))
        primary, candidate = (
            np.exp(0.5 * (math.sqrt(0.9) * shared + math.sqrt(0.1) * z)) for z in (one, other)
        )
        evidence = paired_quantile_log_e(buckets(primary, growth), buckets(candidate, growth), steps=steps)
        found += evidence.within >= LN20
    assert found >= 24
