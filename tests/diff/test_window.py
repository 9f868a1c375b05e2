"""Days: where they begin, and when they are whole."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from gnomon_diff.window import DAY, Window, epoch_us, first_full_hour, read_upto
from gnomon_replay.pending import Pending
from hypothesis import given
from hypothesis import strategies as st

UTC = datetime.UTC
moments = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moments)
def test_the_first_full_hour_is_the_next_one_and_a_full_hour_is_its_own(first: datetime.datetime) -> None:
    start = first_full_hour(first)
    assert (start.minute, start.second, start.microsecond) == (0, 0, 0)
    assert datetime.timedelta(0) <= start - first < datetime.timedelta(hours=1)
    assert first_full_hour(start) == start


@given(moments)
def test_microseconds_are_exact(moment: datetime.datetime) -> None:
    assert (
        datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=epoch_us(moment))
        == moment
    )


def test_a_day_is_whole_when_it_was_read_to_its_end() -> None:
    start = datetime.datetime(2026, 3, 2, 7, tzinfo=UTC)
    days = np.array([-1, 0, 1, 2])
    assert Window(start, start + 2 * DAY).whole(days).tolist() == [False, True, True, False]
    just_before = start + 2 * DAY - datetime.timedelta(microseconds=1)
    assert Window(start, just_before).whole(days).tolist() == [False, True, False, False]
    assert Window(start, None).whole(days).tolist() == [False] * 4
    assert Window(start, start - DAY).whole(days).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("pending", "hour"),
    [(None, 9), (set(), 9), ({"a"}, 3), ({"a", "b"}, 3), ({"b"}, 9), ({"b", "c"}, None)],
)
def test_read_upto_is_the_newest_of_all_or_the_least_of_those_with_something_pending(
    pending: set[str] | None, hour: int | None
) -> None:
    newest: dict[str | None, datetime.datetime] = {
        "a": datetime.datetime(2026, 3, 2, 3, tzinfo=UTC),
        "b": datetime.datetime(2026, 3, 2, 9, tzinfo=UTC),
    }
    what = None if pending is None else Pending(1, {}, frozenset(pending))
    found = read_upto(newest, what)
    assert (None if found is None else found.hour) == hour
    assert read_upto({}, None) is None
