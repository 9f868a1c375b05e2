"""Shift: the vectors of statistics.md 9, and that chance is taken off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gnomon_diff.evidence import js_distance, psi, psi_independent, psi_paired, stuart_maxwell
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

P, Q = [10, 20, 30, 25, 15], [12, 20, 28, 24, 16]
TABLE = np.array([[90, 10, 0], [5, 480, 15], [5, 20, 375]])

unhurried = settings(deadline=None)  # a busy machine is no failure
bins = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=12).filter(
    lambda pairs: all(sum(column) > 0 for column in zip(*pairs, strict=True))
)


def test_two_laws() -> None:
    assert psi(P, Q) == pytest.approx(0.00607989, rel=1e-6)
    assert js_distance(P, Q) == pytest.approx(0.0330975, rel=1e-5)
    assert js_distance(P, Q) ** 2 * math.log(2) == pytest.approx(0.000759305, rel=1e-5)


def test_pairs() -> None:
    shift = psi_paired(TABLE)
    assert shift.psi == pytest.approx(0.000451204, rel=1e-5)
    assert shift.debiased == pytest.approx(5.13798e-5, rel=1e-5)
    assert shift.psi - shift.debiased == pytest.approx(0.000399825, rel=1e-5)
    value, freedom = stuart_maxwell(TABLE)
    assert value == pytest.approx(2.58065, rel=1e-5)
    assert freedom == 2


def test_stuart_maxwell_is_what_dropping_a_bin_gives() -> None:
    r, c = TABLE.sum(axis=1), TABLE.sum(axis=0)
    d, s = (c - r)[:2], (np.diag(r + c) - TABLE - TABLE.T)[:2, :2]
    assert stuart_maxwell(TABLE)[0] == pytest.approx(d @ np.linalg.solve(s, d))


@unhurried
@given(bins)
def test_symmetric_at_least_zero_and_blind_to_bins_empty_in_both(pairs: list[tuple[int, int]]) -> None:
    p, q = zip(*pairs, strict=True)
    assert psi(p, q) == pytest.approx(psi(q, p), abs=1e-12)
    assert psi(p, q) > -1e-12
    assert psi([*p, 0], [*q, 0]) == psi(p, q)
    assert 0 <= js_distance(p, q) <= 1
    expected = jensenshannon(p, q, base=2)
    assert js_distance(p, q) == pytest.approx(0 if math.isnan(expected) else expected, abs=1e-7)


@unhurried
@given(st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(sum))
def test_identical_pairs_have_no_shift_and_no_bias(diagonal: list[int]) -> None:
    table = np.diag(diagonal)
    assert psi_paired(table).psi == 0
    assert psi_paired(table).debiased == pytest.approx(0, abs=1e-15)
    assert stuart_maxwell(table) == (0, 0)


def test_chance_is_taken_off_two_independent_samples() -> None:
    rng = np.random.default_rng(5)
    law = np.full(10, 0.1)
    runs = [psi_independent(*rng.multinomial(1000, law, 2)) for _ in range(2000)]
    debiased = np.array([run.debiased for run in runs])
    assert np.mean([run.psi for run in runs]) == pytest.approx(9 * 2 / 1000, rel=0.03)
    assert abs(debiased.mean()) < 0.0005
    # The sd without any shift; each run's own is above it, from the PSI that it happens to show.
    assert debiased.std() == pytest.approx(math.sqrt(18) * 2 / 1000, rel=0.1)
    assert not any(run.flagged(0.05) for run in runs)


def test_a_shift_is_flagged() -> None:
    assert psi_independent([1000, 2000, 3000], [3000, 2000, 1000]).flagged(0.25)
    assert not psi_independent([10, 20, 30], [30, 20, 10]).flagged(0.25)


def test_chance_is_taken_off_pairs() -> None:
    rng = np.random.default_rng(6)
    law = np.full((10, 10), 0.001) + np.eye(10) * 0.09
    runs = [psi_paired(rng.multinomial(20_000, law.ravel()).reshape(10, 10)) for _ in range(500)]
    assert np.mean([run.psi for run in runs]) == pytest.approx(0.000088, abs=0.00001)
    assert abs(np.mean([run.debiased for run in runs])) < 0.00001


def test_what_is_no_histogram_is_refused() -> None:
    for measure in (psi, psi_independent, js_distance):
        with pytest.raises(ValueError, match="same bins"):
            measure([1, 2], [1, 2, 3])
        with pytest.raises(ValueError, match="rows"):
            measure([0, 0], [1, 2])
    for measure in (psi_paired, stuart_maxwell):
        with pytest.raises(ValueError, match="square"):
            measure([[1, 2]])
        with pytest.raises(ValueError, match="some"):
            measure([[0, 0], [0, 0]])
