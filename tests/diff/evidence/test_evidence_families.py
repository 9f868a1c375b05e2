"""Combining evidence: the vectors of statistics.md 5, and closed testing by its definition."""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from gnomon_diff.evidence import (
    beyond_both,
    closed_mean,
    e_bh,
    leading_part,
    within_either,
)
from hypothesis import given, settings
from hypothesis import strategies as st

unhurried = settings(deadline=None)  # a busy machine is no failure
evidence_lists = st.lists(st.floats(-30, 30) | st.just(-math.inf), min_size=1, max_size=6)


def test_the_vector_of_closed_testing() -> None:
    adjusted = np.exp(closed_mean(np.log([50, 30, 8, 1, 0.5])))
    assert adjusted == pytest.approx([14.875, 9.875, 3.16667, 0.75, 0.5], rel=1e-5)


def test_the_vector_of_e_bh() -> None:
    assert e_bh(np.log([50, 30, 8, 1, 0.5]), alpha=0.1).tolist() == [0, 1]
    assert e_bh(np.log([8, 1]), alpha=0.1).tolist() == []
    assert e_bh([], alpha=0.1).tolist() == []


def test_e_bh_takes_in_a_weak_one_behind_strong_ones() -> None:
    assert e_bh(np.log([30, 31, 21, 1]), alpha=0.2).tolist() == [1, 0, 2]


@unhurried
@given(evidence_lists)
def test_closed_testing_is_the_least_mean_over_all_sets_that_contain_it(values: list[float]) -> None:
    e = np.exp(values)
    adjusted = closed_mean(values)
    for k in range(len(values)):
        others = [i for i in range(len(values)) if i != k]
        means = [
            np.mean(e[[k, *some]])
            for size in range(len(values))
            for some in itertools.combinations(others, size)
        ]
        assert np.exp(adjusted[k]) == pytest.approx(min(means), rel=1e-9)


@unhurried
@given(evidence_lists, st.randoms())
def test_closed_testing_knows_no_order(values: list[float], random: Random) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    moved = closed_mean([values[i] for i in order])
    assert moved == pytest.approx(closed_mean(values)[order])


@unhurried
@given(evidence_lists)
def test_closed_testing_lies_between_bonferroni_and_no_correction(values: list[float]) -> None:
    adjusted = closed_mean(values)
    assert np.all(adjusted <= np.asarray(values) + 1e-9)
    assert np.all(adjusted >= np.asarray(values) - math.log(len(values)) - 1e-9)


def test_closed_testing_of_none_one_and_huge() -> None:
    assert closed_mean([]).tolist() == []
    assert closed_mean([2.0]).tolist() == [2.0]
    assert closed_mean([2000.0, -math.inf]).tolist() == pytest.approx([2000 - math.log(2), -math.inf])


def test_the_leading_part_is_the_largest_after_its_weight() -> None:
    values = np.array([[3.0, 4.0, 6.0], [3.0, -math.inf, 0.0]])
    lead = leading_part(values)
    assert lead.part.tolist() == [2, 0]
    weights = 6 / math.pi**2 / np.array([9, 1])
    assert lead.log_e == pytest.approx(np.array([6.0, 3.0]) + np.log(weights))


def test_the_weights_of_all_parts_sum_to_one() -> None:
    weights = np.exp([float(leading_part([-math.inf] * j + [0.0]).log_e) for j in range(2000)])
    assert 0.999 < weights.sum() < 1


def test_a_later_part_without_evidence_changes_nothing() -> None:
    assert leading_part([2.0, 5.0, -math.inf]).log_e == leading_part([2.0, 5.0]).log_e


def test_two_limits() -> None:
    assert np.exp(within_either(math.log(40), math.log(2))) == pytest.approx(21)
    assert np.exp(beyond_both(math.log(40), math.log(2))) == pytest.approx(2)
    assert within_either(-math.inf, -math.inf) == -math.inf


@unhurried
@given(st.floats(-50, 50), st.floats(-50, 50))
def test_two_limits_know_no_order(one: float, other: float) -> None:
    assert within_either(one, other) == within_either(other, one)
    assert beyond_both(one, other) == beyond_both(other, one) <= within_either(one, other) + 1e-12


def test_what_is_no_evidence_is_refused() -> None:
    for combine in (closed_mean, leading_part, lambda e: e_bh(e, alpha=0.1)):
        with pytest.raises(ValueError, match="NaN"):
            combine([1.0, math.nan])
    with pytest.raises(ValueError, match="its whole"):
        leading_part([])
    with pytest.raises(ValueError, match="one row"):
        closed_mean([[1.0]])
    with pytest.raises(ValueError, match="alpha"):
        e_bh([1.0], alpha=0)
