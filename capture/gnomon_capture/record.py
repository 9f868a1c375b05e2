"""Contract 1: the request record, the ledger, and their line encoding.

A message's value or a spool segment holds one JSON object a line (NDJSON). Two kinds of line exist: a
`Request`, one mirrored request with what users were given; and a `Ledger`, the cumulative counts of one
capturing process, told apart by its first key. Any producer in any language can write both. What a line
means is defined by `decode_line`; a faster reader may exist, but must agree with it.

Keys that the contract does not name are ignored, so that a producer may add its own.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import operator
import os
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

import msgspec

CONTENT_TYPE_HEADER = "content-type"
CONTENT_TYPE_NDJSON = "application/x-ndjson"
"""The encoding of a message without the header."""
CONTENT_TYPE_ARROW = "application/vnd.apache.arrow.stream"
"""The same record as columns; see `gnomon_capture.arrow`."""

MAX_RECORD_BYTES = 1 << 20
DEAD_LETTER_BYTES = 64 << 10
"""How much of an oversize or malformed line is kept."""

Scalar = bool | int | float | str | None
PROCESS_PATTERN = r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z"
Process = Annotated[str, msgspec.Meta(pattern=PROCESS_PATTERN)]
"""Also a folder's name in the spool: so no dot first, and not longer than file systems take."""
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Reason(StrEnum):
    """Why a line became a dead letter."""

    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    FEATURE_TYPE = "feature_type"


class BadRecordError(ValueError):
    """A line that is not a record.

    Attributes:
        reason: one of `Reason`.
        detail: what was expected where, in words.
        request_id: the record's id, if it could be read.
        key, origin: likewise.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        request_id: str | None = None,
        key: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.request_id = request_id
        self.key = key
        self.origin = origin


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The number that a record has among those its capturing process sent (from 0, without gaps)."""

    process: Process
    seq: Count


class Served(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What users got: an error, or an answer. An error wins over an answer beside it; an empty one is none.

    `label` and `score` are read by the experiment's task: binary, `score` is P(positive); multiclass,
    `scores` are the probabilities in the order of the classes; regression, `score` is the value; ranking,
    `output` is a list of ids, best first; text, `label` is the text; json, `output` is any JSON.
    """

    version: str | None = None
    label: Scalar = None
    score: float | None = None
    scores: list[float] | None = None
    output: Any = None
    latency_us: Count | None = None
    error: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mirrored request.

    Attributes:
        request_id: the caller's id, or a UUIDv7.
        ts: when it was served; ISO 8601, UTC where no offset is given.
        features: flat scalars, for tabular models; or
        payload: any JSON, handed to the candidate as it is. One of the two is required.
        key: what makes requests depend on each other (a user, a device).
        served: what users got; None when only the request was seen.
        weight: 1 / the probability with which configured selection mirrored the request.
        origin: its number in the process that sent it; None from producers that do not count.
    """

    request_id: Annotated[str, msgspec.Meta(min_length=1)]
    ts: str
    service: str | None = None
    key: str | None = None
    attributes: dict[str, str | None] | None = None
    features: dict[str, Scalar] | None = None
    payload: Any = None
    served: Served | None = None
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    origin: Origin | None = None


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The cumulative counts of one capturing process, sent every few seconds and at its end.

    Only requests whose fate is settled are counted, so two laws hold in every ledger:
    `seen = not_selected + mirrored + sum(dropped)`, and `mirrored = upto_seq + 1`. `upto_seq` is the last
    number sent, −1 for none; a numbered record is never counted as dropped afterwards.
    """

    ledger: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    process: Process
    ts: str
    upto_seq: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
    seen: Count
    mirrored: Count
    not_selected: Count = 0
    dropped: dict[str, Count] = {}
    closed: bool = False


class Unencodable(ValueError):  # noqa: N818 - an outcome that is counted, not an alarm
    """A request holds something that has no place in the record."""


class RedactionError(ValueError):
    """A request cannot be redacted as configured. Its message names the place, never a value."""


def plain(value: Any) -> Any:
    """Turns what serving code likes to pass (NumPy scalars, dates) into what JSON has."""
    if hasattr(value, "tolist") and hasattr(value, "ndim"):
        return value.tolist()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    raise Unencodable(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=plain)


def encode_lines(records: Sequence[Request | Ledger]) -> bytes:
    """Encodes records as NDJSON, a newline after each; a record's keys stand in contract order.

    JSON has no NaN and no infinity; like Python's own `json` this writes them bare, so that a missing
    feature arrives as what it was.

    Raises:
        Unencodable: a value has no JSON form.
    """
    try:
        lines = _encoder.encode_lines(records)
        if b"null" not in lines:
            return lines
        return b"".join(_encode_line(record) for record in records)
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError) as exc:
        raise Unencodable(str(exc)) from exc


def _encode_line(record: Request | Ledger) -> bytes:
    """One line. msgspec writes a non-finite float as null, so a line with a null is looked at again."""
    line = _encoder.encode(record)
    if b"null" in line and isinstance(record, Request) and _may_hold_non_finite(record):
        builtins = msgspec.to_builtins(record, enc_hook=plain)
        line = json.dumps(builtins, ensure_ascii=False, separators=(",", ":")).encode()
    return line + b"\n"


def _may_hold_non_finite(record: Request) -> bool:
    served = record.served
    return (
        (record.features is not None and any(map(_non_finite, record.features.values())))
        or _non_finite(record.payload)
        or (
            served is not None
            and any(map(_non_finite, (served.label, served.score, served.scores, served.output)))
        )
    )


def _non_finite(value: Any) -> bool:
    """Whether a value is, or holds, a float that JSON has not; True where only a closer look could tell."""
    if value is None or isinstance(value, (str, int)):
        return False
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_non_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_non_finite, value))
    return True


def is_ledger(line: bytes) -> bool:
    """Whether a line is a ledger: its first key says so."""
    return _LEDGER_LINE.match(line) is not None


_LEDGER_LINE = re.compile(rb'\s*\{\s*"ledger"\s*:')
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]", re.ASCII)


def decode_line(line: bytes, *, max_bytes: int = MAX_RECORD_BYTES) -> Request | Ledger:
    """Decodes one line.

    Bare `NaN` and `Infinity` are read (JSON has none, Python writes them). A number is taken where a
    number is expected, and nothing else: `"7"` is no number, `1.5` no count, `true` no score.

    Raises:
        BadRecordError: the line is no record; it says why.
    """
    if len(line) > max_bytes:
        raise BadRecordError(Reason.OVERSIZE, f"{len(line)} bytes; at most {max_bytes} are taken")
    try:
        raw = json.loads(line.decode())  # strict UTF-8: what Arrow could not hold is no record
        if _LONE_SURROGATE.search(line):
            json.dumps(raw, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise BadRecordError(Reason.MALFORMED, f"not JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise BadRecordError(Reason.MALFORMED, f"a record is a JSON object, this is {_json_type(raw)}")
    return _decode_ledger(raw) if is_ledger(line) else to_request(raw)


def to_request(raw: dict[str, Any]) -> Request:
    """The request that a JSON object is.

    Raises:
        BadRecordError: it is none; it says why.
    """
    known = {
        "request_id": _readable(raw.get("request_id"), str),
        "key": _readable(raw.get("key"), str),
        "origin": _readable(raw.get("origin"), Origin),
    }
    try:
        record = msgspec.convert(raw, Request)
        parse_ts(record.ts)
    except msgspec.ValidationError as exc:
        reason, detail = _explain(raw, str(exc))
        raise BadRecordError(reason, detail, **known) from exc
    except ValueError as exc:
        raise BadRecordError(Reason.WRONG_TYPE, f"`ts`: {exc}", **known) from exc
    if record.features is None and record.payload is None:
        raise BadRecordError(Reason.MISSING_FIELD, "neither `features` nor `payload` is there", **known)
    if not math.isfinite(record.weight):
        raise BadRecordError(Reason.WRONG_TYPE, "`weight` is not a finite number", **known)
    return record


def _decode_ledger(raw: dict[str, Any]) -> Ledger:
    try:
        ledger = msgspec.convert(raw, Ledger)
        parse_ts(ledger.ts)
    except ValueError as exc:  # msgspec's ValidationError is one
        raise BadRecordError(Reason.WRONG_TYPE, f"ledger: {exc}") from exc
    _check_ledger(ledger)
    return ledger


def _check_ledger(ledger: Ledger) -> None:
    settled = ledger.not_selected + ledger.mirrored + sum(ledger.dropped.values())
    if ledger.seen != settled:
        raise BadRecordError(Reason.WRONG_TYPE, f"a ledger that saw {ledger.seen} and accounts for {settled}")
    if ledger.mirrored != ledger.upto_seq + 1:
        detail = f"a ledger that mirrored {ledger.mirrored}, up to number {ledger.upto_seq}"
        raise BadRecordError(Reason.WRONG_TYPE, detail)


def _readable(value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def _explain(raw: dict[str, Any], message: str) -> tuple[Reason, str]:
    """Reason and words for msgspec's message; a required field that is null counts as missing."""
    for field in ("request_id", "ts"):
        if raw.get(field) is None:
            return Reason.MISSING_FIELD, f"`{field}` is missing"
    if message.startswith("Object missing required field"):
        return Reason.MISSING_FIELD, message
    return Reason.WRONG_TYPE, message


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


# RFC 3339, and what Arrow's reader takes beside it: a space for the T, seconds or all the time left out.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?\Z", re.ASCII
)


def parse_ts(text: str) -> datetime.datetime:
    """The instant that a record's `ts` names; without an offset it is UTC.

    Raises:
        ValueError: the text is not of RFC 3339's form, or names a time outside the years 1 to 9999.
    """
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is not a time such as 2026-11-24T08:00:00.123456Z")
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError as exc:
        raise ValueError(f"{text!r} is out of range") from exc


def format_ts(time_ns: int) -> str:
    """The record form of a time in nanoseconds since 1970: ISO 8601, UTC, microseconds.

    >>> format_ts(1_795_507_200_123_456_789)
    '2026-11-24T08:00:00.123456Z'
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    moment = time.gmtime(seconds)
    return (
        f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"
        f"T{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}"
    )


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits, so that ids sort by time."""
    millis = time.time_ns() // 1_000_000
    tail = int.from_bytes(os.urandom(10)) & ~(0xF << 76) & ~(0x3 << 62)
    value = f"{(millis << 80) | (0x7 << 76) | tail | (0x2 << 62):032x}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z", re.ASCII)


def canonical_label(value: Scalar) -> str | None:
    """The one form in which labels are stored and compared.

    Numbers, also as text, take their shortest form without `.0`; booleans are 1 and 0; all other text
    stays as it is. So `1`, `1.0`, `"1"` and `True` never disagree.

    >>> [canonical_label(v) for v in (1, 1.0, "1", "1.0", True, "late", 0.5, "0.50", -0.0, None)]
    ['1', '1', '1', '1', '1', 'late', '0.5', '0.5', '0', None]
    """
    if value is None:
        return None
    if isinstance(value, str):
        match = _NUMBER.match(value)
        if match is None:
            return value
        if match[1] is None and match[2] is None:
            return "0" if value == "-0" else value
        number = float(value)
        underflow = number == 0 and re.search("[1-9]", value.lower().partition("e")[0])
        return value if underflow or not math.isfinite(number) else _shortest(number)
    if hasattr(value, "item") and isinstance(value.item(), bool):
        value = value.item()  # NumPy's boolean is no index
    with contextlib.suppress(TypeError):
        return str(operator.index(value))  # type: ignore[arg-type]  # bool, int, NumPy's integers
    number = float(str(value))  # through text: a float32 keeps its own shortest form
    return _shortest(number) if math.isfinite(number) else str(number)


def _shortest(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
