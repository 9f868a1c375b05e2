"""Days of the traffic: 24 hours each, from the first full hour, in UTC."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from gnomon_replay.pending import Pending
from numpy.typing import NDArray

HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
BUSY_FRAC = 0.01
"""A day with less than this share of the busiest day's traffic is none: a few records with a wrong clock must not
make days, nor end them."""
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Window:
    """Where the days begin, and up to when the traffic was read.

    Attributes:
        start: the first full hour.
        read_upto: every partition has been read past this moment; None where nothing can be said.
    """

    start: datetime.datetime
    read_upto: datetime.datetime | None

    def begin(self, day: int) -> datetime.datetime:
        """When a day begins; the window's first is day 0."""
        return self.start + day * DAY

    def whole(self, days: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which days lie wholly in the window and have been read past their end in every partition."""
        if self.read_upto is None:
            return np.zeros(len(days), bool)
        read_days = (self.read_upto - self.start) // DAY
        return (days >= 0) & (days < read_days)


def first_full_hour(first: datetime.datetime) -> datetime.datetime:
    """The full hour at or after a moment.

    >>> first_full_hour(datetime.datetime(2013, 7, 1, 8, 0, 1, tzinfo=datetime.UTC)).hour
    9
    """
    into = (first - EPOCH) % HOUR
    return first + (HOUR - into if into else into)


def read_upto(
    newest: Mapping[str | None, datetime.datetime], pending: Pending | None
) -> datetime.datetime | None:
    """The moment past which every partition has been read.

    A partition with nothing pending has been read to its end, however old that is. Where the traffic could not be
    reached, nothing is taken to be pending.

    Args:
        newest: the newest time among each place's rows, a place being a partition of a topic or the like.
    """
    if pending is None or not pending.places:
        return max(newest.values(), default=None)
    if not pending.places <= newest.keys():
        return None  # one of them has not been read at all
    return min(newest[place] for place in pending.places)


def epoch_us(moment: datetime.datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)
