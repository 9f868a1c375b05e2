"""Numbers and dates are written as report.md, 5 says."""

from __future__ import annotations

import datetime

import pytest
from gnomon_reports.numerals import (
    CHANGE,
    MS_OF_US,
    PERCENT,
    POINTS,
    TIMES,
    about,
    count,
    day,
    in_words,
    many,
    minute,
    period,
    quote,
    rate,
    share,
)
from hypothesis import given
from hypothesis import strategies as st

N = "\u202f"  # narrow no-break space


@pytest.mark.parametrize(
    ("number", "exact", "spoken"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (163149, f"163{N}149", f"163{N}149"),
        (1_240_000, f"1{N}240{N}000", f"1.24{N}M"),
        (2_500_000_000, f"2{N}500{N}000{N}000", f"2.50{N}bn"),
        (-218, "−218", "−218"),
    ],
)
def test_counts_have_thin_groups_and_are_short_only_in_prose(number: int, exact: str, spoken: str) -> None:
    assert count(number) == exact
    assert about(number) == spoken


def test_the_half_width_decides_the_decimals_of_estimate_and_ends() -> None:
    found = quote(PERCENT, 0.03812, 0.0363, 0.04)
    assert (found.text, found.bracket, found.span) == (f"3.81{N}%", " [3.63, 4.00]", "3.63 to 4.00")
    found = quote(POINTS, 0.2371, 0.224, 0.250)
    assert (found.text, found.words, found.bracket) == (f"23.7{N}pts", f"23.7{N}points", " [22.4, 25.0]")
    assert quote(POINTS, 0.237, 0.1, 0.4).text == f"24{N}pts"


def test_a_change_has_a_sign_and_a_true_minus() -> None:
    found = quote(CHANGE, -0.0092, -0.011, 0.0074)
    assert (found.text, found.bracket) == (f"−0.92{N}%", " [−1.10, +0.74]")
    assert quote(CHANGE, 0.31, 0.18, 0.55).bracket == " [+18, +55]"


def test_ratios_and_times_have_their_units() -> None:
    assert quote(TIMES, 1.31, 1.18, 1.55).text == f"1.31{N}×"
    assert quote(MS_OF_US, 3020.0, 2900.0, 3180.0).text == f"3.02{N}ms"


def test_an_end_that_is_not_known_says_so() -> None:
    found = quote(POINTS, 0.029, None, 0.061)
    assert (found.bracket, found.span) == (" [none, 6.1]", "none yet to 6.1")
    assert quote(POINTS, 0.02, None, None).bracket == ""
    assert quote(POINTS, None).text == "n/a"


def test_no_events_have_no_decimals_but_an_upper_end() -> None:
    found = rate(0.0, 0.0, 0.00003, 163149)
    assert (found.text, found.bracket, found.span) == (f"0{N}%", " [0, 0.003]", "0 to 0.003")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (48, 2700, f"1.8{N}%"),
        (0, 500, f"0{N}%"),
        (500, 500, f"100{N}%"),
        (99_860, 100_000, f"99.86{N}%"),
        (1, 3, f"33{N}%"),
        (3, 0, "n/a"),
    ],
)
def test_a_share_of_the_traffic_seen_is_as_fine_as_it_can_be_read(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_a_share_is_never_rounded_to_all_or_none(part: int, whole: int) -> None:
    part = min(part, whole)
    text = share(part, whole)
    if whole >= 1000:
        assert (text == f"0{N}%") == (part == 0)
        assert (text == f"100{N}%") == (part == whole)


def test_dates_are_utc_and_name_the_month() -> None:
    at = datetime.datetime(2013, 9, 9, 22, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-4)))
    assert day(at) == "10 Sep 2013"
    assert minute(at) == "10 Sep 2013, 02:30 UTC"
    assert period(datetime.datetime(2013, 7, 1), datetime.datetime(2013, 12, 31)) == "1 Jul to 31 Dec 2013"
    assert (
        period(datetime.datetime(2013, 12, 31), datetime.datetime(2014, 1, 2)) == "31 Dec 2013 to 2 Jan 2014"
    )
    assert (
        period(datetime.datetime(2013, 7, 1, 5), datetime.datetime(2013, 7, 1, 9, 5))
        == "1 Jul 2013, 05:00 to 09:05"
    )


def test_small_numbers_are_words_and_one_is_singular() -> None:
    assert (in_words(3), in_words(13)) == ("three", "13")
    assert (many(1, "day"), many(14, "day"), many(2, "query", "queries")) == ("1 day", "14 days", "2 queries")
