"""Times as logs have them: numbers of some unit, ISO 8601, or a given format."""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo
from typing import Any

from gnomon_capture.record import format_ts, parse_ts

from gnomon_replay.importing.settings import ImportSettings, Unit
from gnomon_replay.importing.skips import SkipError

_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# In each of these spans a number is a time from 1973 to 5138 in one unit alone.
_SPANS: tuple[tuple[Unit, float], ...] = (("s", 1e8), ("ms", 1e11), ("us", 1e14), ("ns", 1e17))
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?\Z", re.ASCII)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_LAST_NS = 253_402_300_800 * 10**9  # the year 10000


class Times:
    """Reads the times of one file, all of one kind, and remembers which it was.

    Attributes:
        taken: what the times were taken for, in words; None as long as none was read.
    """

    def __init__(self, settings: ImportSettings) -> None:
        self._unit = settings.time_unit
        self._format = settings.time_format
        self._zone = zoneinfo.ZoneInfo(settings.timezone)
        self._zone_name = settings.timezone
        self._recognised: Unit | None = None
        self._seen: dict[str, None] = {}

    @property
    def taken(self) -> str | None:
        return "; ".join(self._seen) or None

    def ns(self, value: Any) -> int:
        """Nanoseconds since 1970.

        Raises:
            SkipError: it is no time, or a number of another size than those before.
        """
        if isinstance(value, str):
            value = value.strip()
            if self._format is not None:
                return self._formatted(value)
            if not _NUMBER.match(value):
                return self._text(value)
            value = float(value) if "." in value else int(value)
        if isinstance(value, datetime.datetime):
            return self._moment(value, "timestamps")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return self._number(value)
        raise SkipError("time", "no time" if value in (None, "") else f"{value!r:.60} is no time")

    def text(self, value: Any) -> str:
        """The record's `ts`."""
        return format_ts(self.ns(value))

    def _number(self, value: float) -> int:
        unit = self._unit or self._recognise(value)
        self._seen[
            f"{_NAMES[unit]} since 1970"
            + ("" if self._unit else ", recognised by their size (--time-unit says otherwise)")
        ] = None
        # A float of nanoseconds has lost its last digits already; of seconds it has microseconds.
        ns = value * _NS[unit] if isinstance(value, int) else round(value * 1e6) * _NS[unit] // 10**6
        if not 0 <= ns < _LAST_NS:
            raise SkipError("time", f"{value!r} {_NAMES[unit]} since 1970 is no time of serving")
        return ns

    def _recognise(self, value: float) -> Unit:
        found = next((unit for unit, least in reversed(_SPANS) if value >= least), None)
        if found is None or value >= 1e20:
            raise SkipError("time", f"{value!r} is no time in s, ms, us or ns; say which by --time-unit")
        if self._recognised is None:
            self._recognised = found
        elif found != self._recognised:
            raise SkipError(
                "time",
                f"{value!r} looks like {_NAMES[found]}, those before were {_NAMES[self._recognised]}; "
                "say which by --time-unit",
            )
        return found

    def _text(self, value: str) -> int:
        try:
            parse_ts(value)  # RFC 3339, and what is near it
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise SkipError(
                "time",
                f"{value[:60]!r} is not a time such as 2026-11-24T08:00:00Z; --time-format says how it is written",
            ) from None
        return self._moment(moment, "ISO 8601")

    def _formatted(self, value: str) -> int:
        try:
            moment = datetime.datetime.strptime(value, self._format or "")
        except ValueError:
            raise SkipError("time", f"{value[:60]!r} is not of the form {self._format}") from None
        return self._moment(moment, f"text of the form {self._format}")

    def _moment(self, moment: datetime.datetime, what: str) -> int:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
            what += f", {self._zone_name} where no offset is given"
        self._seen[what] = None
        nanosecond = getattr(moment, "nanosecond", 0)  # pandas has them
        try:
            return (moment - _EPOCH) // _MICROSECOND * 1000 + int(nanosecond)
        except (OverflowError, ValueError) as exc:
            raise SkipError("time", f"{moment} is out of range") from exc
