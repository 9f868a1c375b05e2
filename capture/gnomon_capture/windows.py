"""Windows in time: hours of the day and days of the week somewhere, and spans between two instants."""

from __future__ import annotations

import datetime
import operator
import re
import zoneinfo
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from gnomon_capture.record import parse_ts

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)\Z", re.ASCII)
_DAY_MINUTES = 24 * 60
_MINUTE_NS = 60_000_000_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def instant_ns(ts: Any) -> int:
    """Nanoseconds since 1970 of what callers pass as `ts`: these, ISO 8601, or an aware datetime.

    Raises:
        ValueError, TypeError: it is none of them.
    """
    if ts.__class__ is int:
        return int(ts)
    if isinstance(ts, (str, datetime.datetime)):
        moment = parse_ts(ts) if isinstance(ts, str) else ts
        if moment.tzinfo is None:
            raise ValueError("`ts` without a time zone")
        return (moment - _EPOCH) // _MICROSECOND * 1000
    return operator.index(ts)


def parse_hours(text: str) -> tuple[int, int]:
    """Minutes of the day, from and up to, of `08:00-18:00`; `22:00-06:00` runs past midnight.

    >>> parse_hours("22:00-06:30")
    (1320, 390)

    Raises:
        ValueError: the text is none.
    """
    match = _HOURS.match(text)
    if match is None:
        raise ValueError(f"{text!r} are no hours; write 08:00-18:00, or 22:00-06:00 for a night")
    start, end = (int(match[at]) * 60 + int(match[at + 1]) for at in (1, 3))
    if start == end or max(start, end) > _DAY_MINUTES:
        raise ValueError(f"{text!r} are no hours; leave them out for the whole day")
    return start % _DAY_MINUTES, end


def parse_zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        ValueError: there is none.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"{name!r} is no time zone here; write one such as Europe/Berlin, or UTC") from exc


def hours_and_days(hours: str | None, days: Sequence[str], timezone: str) -> Callable[[int], bool]:
    """Whether an instant, in nanoseconds since 1970, lies in the hours and on the days of a time zone.

    A night that runs past midnight belongs, after midnight, to the next day.
    """
    zone = parse_zone(timezone)
    start, end = parse_hours(hours) if hours is not None else (0, _DAY_MINUTES)
    numbers = frozenset(DAYS.index(day) for day in days or DAYS)

    @lru_cache(maxsize=16)  # zone arithmetic once a minute, not once a request
    def holds(minute: int) -> bool:
        local = datetime.datetime.fromtimestamp(minute * 60, zone)
        at = local.hour * 60 + local.minute
        inside = start <= at < end if start < end else at >= start or at < end
        return inside and local.weekday() in numbers

    return lambda time_ns: holds(time_ns // _MINUTE_NS)
