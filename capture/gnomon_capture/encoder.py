"""From what a caller passed to numbered lines."""

from __future__ import annotations

import datetime
import logging
import operator
import uuid
from typing import Any

from gnomon_capture.handoff import Waiting
from gnomon_capture.record import (
    Origin,
    RedactionError,
    Request,
    Served,
    Unencodable,
    canonical_label,
    encode_lines,
    format_ts,
    new_request_id,
    parse_ts,
)

_log = logging.getLogger("gnomon_capture")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
# March 1973 to the year 9999. Seconds, milli- and microseconds of our time, read as nanoseconds, lie before.
_FIRST_NS = 10**17
_END_NS = 253_402_300_800 * 10**9


class Encoder:
    """Encodes requests and numbers those that it could encode. For one thread.

    Args:
        discreet: what an error says is not logged: it may hold a value that is redacted elsewhere.

    Attributes:
        numbered: how many requests have a number; the next one's `origin.seq`.
        unencodable: how many had no JSON form.
        oversize: how many were too large.
    """

    def __init__(
        self, process: str, service: str | None, max_record_bytes: int, *, discreet: bool = False
    ) -> None:
        self.numbered = 0
        self.unencodable = 0
        self.oversize = 0
        self._process = process
        self._service = service
        self._max_bytes = max_record_bytes
        self._discreet = discreet
        self._complained: set[bool] = set()

    def encode(self, taken: list[Waiting]) -> tuple[bytes, int]:
        """Lines, and how many. What cannot be encoded is counted, gets no number, and stops nothing else."""
        try:
            first = self.numbered
            lines = encode_lines([self._request(item, first + at) for at, item in enumerate(taken)])
        except Exception:  # noqa: BLE001 - whatever a caller's object raises; the slow way names the culprit
            return self._one_by_one(taken)
        if len(lines) > self._max_bytes and max(map(len, lines.split(b"\n"))) > self._max_bytes:
            return self._one_by_one(taken)
        self.numbered += len(taken)
        return lines, len(taken)

    def complain(self, exc: Exception) -> None:
        """Logs the first request that could not be encoded; the rest is only counted."""
        named = isinstance(exc, RedactionError)  # whose text names places alone
        if named not in self._complained:
            self._complained.add(named)
            withheld = self._discreet and not named
            _log.warning(
                "a request cannot be mirrored: %s: %s. It is counted as dropped; others like it will be, silently",
                type(exc).__name__,
                "what it says is withheld, as [capture.redact] is set" if withheld else exc,
            )

    def _one_by_one(self, taken: list[Waiting]) -> tuple[bytes, int]:
        lines = []
        for item in taken:
            try:
                line = encode_lines([self._request(item, self.numbered)])
            except Exception as exc:  # noqa: BLE001 - as above
                self.complain(exc)
                self.unencodable += 1
                continue
            if len(line) - 1 > self._max_bytes:
                self.oversize += 1
                continue
            self.numbered += 1
            lines.append(line)
        return b"".join(lines), len(lines)

    def _request(self, item: Waiting, seq: int) -> Request:
        ts, features, payload, served, key, attributes, request_id, weight = item
        if features is None and payload is None:
            raise Unencodable("neither `features` nor `payload` was passed")
        return Request(
            request_id=as_text(request_id) or new_request_id(),
            ts=_time_text(ts),
            service=self._service,
            key=as_text(key),
            attributes=attributes and {name: as_text(value) for name, value in attributes.items()},
            features=features,
            payload=payload,
            served=_served(served),
            weight=weight,
            origin=Origin(process=self._process, seq=seq),
        )


def as_text(value: Any) -> str | None:
    """A key, an id or an attribute as the record has it: text. Numbers take the form that labels take.

    Raises:
        Unencodable: it is neither text nor number nor UUID.
    """
    if value is None or value.__class__ is str:
        return value
    if isinstance(value, (str, uuid.UUID)):
        return str(value)
    if getattr(value, "ndim", None) == 0:  # a NumPy scalar
        return as_text(value.item())
    if isinstance(value, (bool, int, float)):
        return canonical_label(value)
    raise Unencodable(f"a {type(value).__name__} where text is expected: {value!r:.80}")


def _served(served: Served | dict[str, Any] | None) -> Served | None:
    if not isinstance(served, dict):
        return served
    latency_us = served.get("latency_us")
    if latency_us is not None and latency_us.__class__ is not int:
        served = {**served, "latency_us": round(latency_us)}
    return Served(**served)  # an unknown key is a typo, and raises


def _time_text(ts: Any) -> str:
    """The record's `ts` of what callers pass: nanoseconds, ISO 8601 or an aware datetime."""
    if ts.__class__ is int:
        return _nanoseconds_text(ts)
    if isinstance(ts, str):
        parse_ts(ts)
        return ts
    if isinstance(ts, datetime.datetime):
        if ts.tzinfo is None:
            raise Unencodable(f"`ts` without a time zone: {ts!r}")
        return format_ts((ts - _EPOCH) // _MICROSECOND * 1000)
    return _nanoseconds_text(operator.index(ts))  # NumPy's integers; a float is seconds, or a mistake


def _nanoseconds_text(ts: int) -> str:
    if not _FIRST_NS <= ts < _END_NS:
        raise Unencodable(
            f"`ts` {ts} is not in nanoseconds since 1970, such as time.time_ns(); multiply seconds by 10**9, "
            "milliseconds by 10**6, or pass an aware datetime"
        )
    return format_ts(ts)
