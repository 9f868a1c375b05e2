"""Distances of two samples against SciPy, and what chance shows against the note and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gnomon_diff.evidence import (
    clustered_auc,
    js_chance,
    js_distance,
    ks_chance,
    ks_distance,
    ks_radius,
    placements,
    psi,
    psi_chance,
    wasserstein_chance,
    wasserstein_distance,
)
from scipy import stats
from sklearn.metrics import roc_auc_score

RNG = np.random.default_rng(9)
SAMPLES = {
    "continuous": (RNG.normal(0, 1, 700), RNG.normal(0.3, 1.2, 900)),
    "ties": (RNG.integers(0, 5, 400).astype(float), RNG.integers(1, 7, 300).astype(float)),
    "one value": (np.array([3.0]), np.array([3.0, 5.0])),
    "the same": (np.arange(9.0), np.arange(9.0)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_distances_are_those_of_scipy(name: str) -> None:
    a, b = SAMPLES[name]
    assert ks_distance(a, b) == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    assert wasserstein_distance(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)


def test_ks_takes_infinities_and_refuses_nan() -> None:
    assert ks_distance([-math.inf, 0, math.inf], [0, 0, 0]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="NaN"):
        ks_distance([1.0, math.nan], [1.0])


def test_the_notes_sizes_under_chance() -> None:
    assert psi_chance(10, 1000, 1000) == pytest.approx(0.0338, abs=5e-5)
    assert psi_chance(30, 1000, 1000) == pytest.approx(0.0851, abs=5e-5)
    assert ks_chance(10**6, 10**6) == pytest.approx(1.358 * math.sqrt(2e-6))
    assert wasserstein_chance(10**6, 10**6) == pytest.approx(0.00182, abs=5e-6)
    assert ks_radius(10**4, 0.05) == pytest.approx(0.0277107, abs=5e-8)
    assert ks_radius(10**6, 0.05) == pytest.approx(0.00281919, abs=5e-9)


def test_chance_exceeds_its_sizes_in_about_five_of_a_hundred_cases() -> None:
    rng = np.random.default_rng(1)
    runs, n, m, bins = 2000, 2000, 3000, 10
    law = np.full(bins, 1 / bins)
    counts = [(rng.multinomial(n, law), rng.multinomial(m, law)) for _ in range(runs)]
    beyond = {
        "psi": np.mean([psi(a, b) > psi_chance(bins, n, m) for a, b in counts]),
        "js": np.mean([js_distance(a, b) > js_chance(bins, n, m) for a, b in counts]),
        "ks": np.mean(
            [ks_distance(rng.random(n), rng.random(m)) > ks_chance(n, m) for _ in range(runs // 4)]
        ),
    }
    for share in beyond.values():
        assert 0.03 < share < 0.07
    w1 = [wasserstein_distance(rng.normal(size=n), rng.normal(size=m)) for _ in range(400)]
    assert np.mean(w1) == pytest.approx(wasserstein_chance(n, m), rel=0.05)


def test_placements_average_to_scikit_learns_auc() -> None:
    score, side = RNG.integers(0, 30, 500), RNG.random(500) < 0.3
    found = placements(score, side)
    for part in (found[side].mean(), found[~side].mean()):
        assert part == pytest.approx(roc_auc_score(side, score))


def test_with_each_row_its_own_cluster_the_interval_is_delongs() -> None:
    score, side = RNG.normal(size=300), RNG.random(300) < 0.4
    score[side] += 0.5
    found = placements(score, side)
    auc, interval = clustered_auc([found], [side], [np.arange(300)])
    a, b = found[side], found[~side]
    half = stats.t.ppf(0.975, min(len(a), len(b)) - 1) * math.sqrt(
        a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)
    )
    assert interval.low == pytest.approx(auc - half)
    assert interval.high == pytest.approx(auc + half)


def test_the_interval_counts_days_not_rows() -> None:
    """Days with an effect of their own and no shift: the interval holds .5 about as often as it says."""
    rng = np.random.default_rng(4)
    runs, covered, by_rows = 400, 0, 0
    for _ in range(runs):
        day = np.repeat(np.arange(20), 40)
        side = day >= 10
        score = rng.normal(size=20)[day] + rng.normal(size=800)
        found = placements(score, side)
        _, interval = clustered_auc([found], [side], [day])
        assert interval.low is not None and interval.high is not None
        covered += interval.low <= 0.5 <= interval.high
        _, wrong = clustered_auc([found], [side], [np.arange(800)])
        assert wrong.low is not None and wrong.high is not None
        by_rows += wrong.low <= 0.5 <= wrong.high
    assert covered / runs > 0.92
    assert by_rows / runs < 0.5


def test_there_is_no_interval_from_three_days() -> None:
    side = np.arange(60) >= 30
    _, interval = clustered_auc([placements(np.arange(60.0), side)], [side], [np.arange(60) // 10])
    assert (interval.low, interval.high) == (None, None)
