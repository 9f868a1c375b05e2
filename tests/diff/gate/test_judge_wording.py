"""The sentences of a verdict, as they are read aloud."""

from __future__ import annotations

from typing import Any

import pytest
from gnomon_diff import wording
from gnomon_diff.comparison import Criterion, SegmentKey


def criterion(name: str, estimate: float | None, limit: float, **more: Any) -> Criterion:
    values = {
        "segment": None,
        "state": "pass",
        "low": None,
        "high": None,
        "unit": "points",
        "n": 9,
        "days": 14,
        "why": "so",
    }
    return Criterion(name=name, estimate=estimate, limit=limit, **values | more)


MQ = SegmentKey(feature="features.carrier", kind="value", value="MQ")
LATENCY = criterion("latency_p95", 0.31, 0.5, unit="ratio", low=0.22, high=0.412)
FLIPS = criterion("disagreement", 0.029, 0.05, segment=MQ, high=0.061, state="open")
CRITICAL = criterion("critical_errors", 0.0, 0.0, unit="count", low=0.0, high=0.0)
ACCURACY = criterion("accuracy", -0.004, 0.1, unit="ratio", low=-0.01, high=0.002)


def test_a_promotion_names_the_criterion_closest_to_its_limit() -> None:
    assert wording.promote("3.3", [CRITICAL, ACCURACY, LATENCY]) == (
        "Promote 3.3: all 3 criteria are shown to lie within their limits; the closest is the rise in p95 latency, "
        "31% [22, 41.2] against 50%."
    )
    assert wording.promote("3.3", [CRITICAL, ACCURACY]).endswith(
        "the loss of accuracy, -0.4% [-1, 0.2] against 10%."
    )
    assert wording.promote("3.3", [LATENCY]) == (
        "Promote 3.3: the rise in p95 latency, 31% [22, 41.2] against 50%, its one criterion, is within its limit."
    )


def test_a_rejection_names_the_one_furthest_beyond() -> None:
    far = criterion("disagreement", 0.237, 0.1, segment=MQ, low=0.224, high=0.25)
    near = criterion("error_rate", 0.0012, 0.001, low=0.00101, high=None)
    assert wording.reject("3.3", [near]) == (
        "Do not promote 3.3: the rise in errors is 0.12 points [0.101, none]; the limit is 0.1 points."
    )
    assert wording.reject("3.3", [near, far, near]) == (
        "Do not promote 3.3: disagreement above noise on carrier MQ is 23.7 points [22.4, 25]; the limit is 10 points. "
        "2 more are beyond the limit."
    )
    crashed = criterion("critical_errors", 3.0, 1.0, unit="count")
    assert wording.reject("3.3", [crashed, near]) == (
        "Do not promote 3.3: 3 requests crashed or hung it, each twice; at most 1 may. 1 more is beyond the limit."
    )


def test_what_is_open_says_how_far_it_is_and_why() -> None:
    assert wording.still_open([LATENCY, FLIPS, CRITICAL]) == (
        "Not yet: 2 of 3 criteria are within their limits; disagreement above noise on carrier MQ is open at 2.9 points "
        "[none, 6.1] against 5 points: so."
    )
    assert wording.still_open([FLIPS]) == (
        "Not yet: disagreement above noise on carrier MQ is open at 2.9 points [none, 6.1] against 5 points: so."
    )
    blind = criterion("accuracy", None, 0.1, unit="ratio", state="open", why="none of its pairs has a label")
    assert wording.still_open([FLIPS, blind]) == (
        "Not yet: 0 of 2 criteria are within their limits; the loss of accuracy is open: none of its pairs has a label."
    )


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("value", "MQ", "disagreement on carrier MQ"),
        ("missing", None, "disagreement on requests without carrier"),
        ("other", None, "disagreement on the small segments of carrier"),
        ("value", "", 'disagreement on carrier ""'),
        ("value", "a\n\x1b[2Jb", "disagreement on carrier a��[2Jb"),
        ("value", "x" * 99, f"disagreement on carrier {'x' * 39}…"),
    ],
)
def test_a_segment_is_named(kind: Any, value: str | None, words: str) -> None:
    assert (
        wording.phrase("disagreement_raw", SegmentKey(feature="features.carrier", kind=kind, value=value))
        == words
    )


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (12.34, "1,234%"),
        (0.0999999, "10%"),
        (0.237, "23.7%"),
        (0.05, "5%"),
        (0.0005, "0.05%"),
        (0.00123, "0.123%"),
        (1.234e-6, "0.0001%"),
        (-1e-12, "0%"),
        (-0.02, "-2%"),
    ],
)
def test_a_share_has_three_digits_and_no_more_zeros_than_it_needs(share: float, words: str) -> None:
    assert wording.percent(share) == words


def test_one_is_one_and_many_have_their_thousands_apart() -> None:
    assert [wording.many(n, "whole day") for n in (0, 1, 12_700)] == [
        "0 whole days",
        "1 whole day",
        "12,700 whole days",
    ]
    assert wording.shown("pass", "1 whole day") == "shown by 1 whole day to lie within its limit"
