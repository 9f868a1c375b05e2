"""What REJECT asks of one criterion among several."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from gnomon_diff import family
from gnomon_diff.family import asked_at_looks, asked_of_each, part_weights


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(family)
    assert (found.failed, found.attempted) == (0, 1)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_what_is_asked_of_one_is_what_closed_testing_rejects_it_at(notes: Any, alpha: float) -> None:
    """Against closed testing by its definition, for evidence of all sizes, none and more than enough."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        log_e = rng.normal(2, 3, rng.integers(1, 7))
        log_e[rng.random(len(log_e)) < 0.1] = -np.inf
        log_e[rng.random(len(log_e)) < 0.1] = 2000
        e = np.exp(np.minimum(log_e, 600))
        assert (log_e >= asked_of_each(log_e, alpha)).tolist() == notes.closed(e.tolist(), alpha)


def test_it_lies_between_the_level_alone_and_that_of_bonferroni() -> None:
    asked = np.exp(asked_of_each(np.log([1e6, 1e6, 1e6]), 0.05))
    assert asked == pytest.approx([20] * 3)
    assert np.exp(asked_of_each(np.full(3, -np.inf), 0.05)) == pytest.approx([60] * 3)


def test_a_criterion_enters_by_its_strongest_part_at_each_look() -> None:
    parts = {"a": np.log([[1.0, 30.0], [5.0, 2.0]]), "b": np.log([[25.0, 1.0]])}
    asked = asked_at_looks(parts, 0.05)
    for look, leads in enumerate(([5.0, 25.0], [30.0, 1.0])):
        expected = asked_of_each(np.log(leads), 0.05)
        assert [asked["a"][look], asked["b"][look]] == pytest.approx(expected.tolist())
    assert asked_at_looks({}, 0.05) == {}


def test_the_weights_of_however_many_parts_spend_no_more_than_the_budget() -> None:
    weights = np.exp(part_weights(100_000))
    assert 0.9999 < weights.sum() <= 1
    assert part_weights(3).tolist() == part_weights(100_000)[:3].tolist()
