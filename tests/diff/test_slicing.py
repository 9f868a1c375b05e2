"""The search for slices: it finds what is planted, chooses bins as well as trying all of them, and repeats itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from gnomon_diff.slicing import LEAST_SCORE, Rows, _best_bins, _conjunctions, propose, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES, ORDERED = [5, 8, 4, 8, 2, 8], [False, True, False, True, False, True]


def made(seed: int, planted: tuple[tuple[int, tuple[int, ...]], ...], rate: float, n: int = 20_000) -> Rows:
    """Rows with a day's weather in every rate; feature 5 follows the weather; one value is a decoy."""
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 14, n)
    weather = rng.lognormal(-0.2, 0.6, 14)
    codes = np.stack([rng.integers(0, size + 1, n) for size in SIZES], axis=1).astype(np.uint8)
    codes[:, 5] = np.minimum(np.argsort(np.argsort(weather))[days] // 2 + rng.integers(0, 2, n), 8)
    chance = np.full(n, 0.03)
    chance[codes[:, 4] == 1] = 0.06
    chance *= weather[days]
    inside = np.ones(n, bool)
    for feature, bins in planted:
        inside &= np.isin(codes[:, feature], bins)
    if planted:
        chance[inside] = rate
    return rows_of(codes, SIZES, ORDERED, rng.random(n) < chance, days)


PLANTED = [
    ((0, (2,)), (1, (4,))),
    ((0, (0, 1)), (1, (5, 6, 7)), (3, (0, 1))),
    ((1, (3, 4)), (2, (1,)), (3, (6, 7))),
    ((2, (4,)), (3, (2,))),  # of those without a value
]


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_interaction_is_the_first_proposed(
    planted: tuple[tuple[int, tuple[int, ...]], ...],
) -> None:
    rows = made(0, planted, 0.4)
    first, inside = rows.where(propose(rows)[0]), rows.where(planted)
    assert 0.01 < inside.mean() < 0.06
    assert np.count_nonzero(first & inside) / np.count_nonzero(first | inside) > 0.8


def test_slices_that_say_the_same_are_merged() -> None:
    rows = made(4, PLANTED[0], 0.5)
    found = [rows.where(region) for region in propose(rows)]
    for one, other in combinations(found, 2):
        assert np.count_nonzero(one & other) <= 0.5 * min(np.count_nonzero(one), np.count_nonzero(other))
    inside = rows.where(PLANTED[0])
    assert sum(np.count_nonzero(mask & inside) > 0.5 * np.count_nonzero(inside) for mask in found) == 1


def test_the_weather_alone_proposes_nothing_by_the_feature_that_follows_it() -> None:
    """Without taking the day's rate off, stormy days would be a slice: that they are is shown beside."""
    for seed in range(2):
        rows = made(seed, (), 0.0)
        assert all(feature != 5 for region in propose(rows)[:1] for feature, _ in region)
    blind = rows_of(
        rows.codes, rows.sizes, rows.ordered, rows.surplus > 0, np.zeros(len(rows.surplus), np.int64)
    )
    assert any(feature == 5 for region in propose(blind)[:2] for feature, _ in region)


def test_the_same_rows_and_seed_give_the_same_slices() -> None:
    assert propose(made(1, PLANTED[1], 0.2)) == propose(made(1, PLANTED[1], 0.2))


@pytest.mark.parametrize("flips", [0, 1])
def test_where_nothing_or_everything_differs_there_is_no_slice(flips: int) -> None:
    rows = made(1, (), 0.0, n=2000)
    same = rows_of(rows.codes, SIZES, ORDERED, np.full(2000, bool(flips)), np.zeros(2000, np.int64))
    assert propose(same) == []


def test_a_few_rows_are_no_slice() -> None:
    rows = made(1, (), 0.0, n=40)
    assert propose(rows) == []


def test_the_best_pair_of_bins_is_the_one_that_trying_all_finds() -> None:
    rows = made(2, PLANTED[0], 0.4, n=6000)
    singles = [(feature, code) for feature, size in enumerate(SIZES) for code in range(size + 1)]
    best = max(
        (
            rows.score(rows.where([(f, (a,)), (g, (b,))]))
            for (f, a), (g, b) in combinations(singles, 2)
            if f != g
        )
    )
    of_two = [region for region in _conjunctions(rows) if len(region) == 2]
    assert rows.score(rows.where(of_two[0])) == pytest.approx(best, rel=1e-4)
    assert best > LEAST_SCORE


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.booleans())
def test_the_best_bins_of_a_feature_are_those_that_trying_all_finds(seed: int, ordered: bool) -> None:
    rng = np.random.default_rng(seed)
    n, size = 3000, 5
    codes = rng.integers(0, size + 1, (n, 1)).astype(np.uint8)
    chance = rng.uniform(0.02, 0.3, size + 1)[codes[:, 0]]
    rows = rows_of(codes, [size], [ordered], rng.random(n) < chance, rng.integers(0, 3, n))
    every = np.ones(n, bool)
    found = _best_bins(rows, 0, every)
    assert found is not None
    sets = [chosen for k in range(1, size + 2) for chosen in combinations(range(size + 1), k)]
    if ordered:  # neighbours, and missing values or not
        numbers = [tuple(code for code in chosen if code < size) for chosen in sets]
        sets = [c for c, of in zip(sets, numbers, strict=True) if not of or of[-1] - of[0] == len(of) - 1]
    best = max(rows.score(rows.where([(0, chosen)])) for chosen in sets)
    chosen = rows.where([(0, found)]) if found else every
    assert rows.score(chosen) == pytest.approx(best, rel=1e-9, abs=1e-9)
