"""The record: what goes in comes out, and what is no record is named."""

from __future__ import annotations

import datetime
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gnomon_capture.record import (
    BadRecordError,
    Ledger,
    Origin,
    Reason,
    Request,
    Served,
    Unencodable,
    canonical_label,
    decode_line,
    encode_lines,
    format_ts,
    new_request_id,
    parse_ts,
)
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data"
LINES = DATA.joinpath("records.ndjson").read_bytes().splitlines()
EXPECTED = json.loads(DATA.joinpath("records.expected.json").read_text())

TEXT = st.text(max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SERVED = st.builds(
    Served,
    version=st.none() | TEXT,
    label=SCALARS,
    score=st.none() | st.floats(),
    scores=st.none() | st.lists(st.floats(), max_size=3),
    output=JSON,
    latency_us=st.none() | st.integers(0, 2**62),
    error=st.none() | TEXT,
)
REQUESTS = st.builds(
    Request,
    request_id=st.text(min_size=1, max_size=20),
    ts=st.datetimes(timezones=st.just(datetime.UTC)).map(datetime.datetime.isoformat),
    service=st.none() | TEXT,
    key=st.none() | TEXT,
    attributes=st.none() | st.dictionaries(TEXT, st.none() | TEXT, max_size=3),
    features=st.dictionaries(TEXT, SCALARS, max_size=6),
    payload=JSON,
    served=st.none() | SERVED,
    weight=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    origin=st.none() | st.builds(Origin, process=st.just("web-7f.4711.0"), seq=st.integers(0, 2**62)),
)


def exact(value: Any) -> Any:
    """A form in which NaN equals itself, and 1, 1.0 and True differ, as do 0.0 and −0.0."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return f"{type(value).__name__} {value!r}"


def fields(request: Request) -> dict[str, Any]:
    """A request's fields as plain values, those without a value left out as in the encoding."""
    plain: dict[str, Any] = {}
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, (Served, Origin)):
            inner = {key: getattr(value, key) for key in value.__struct_fields__}
            value = {key: item for key, item in inner.items() if item is not None}
        if value is not None:
            plain[name] = value
    return plain


@given(st.lists(REQUESTS, max_size=4))
def test_python_reads_exactly_what_was_encoded(requests: list[Request]) -> None:
    lines = encode_lines(requests).splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    read = [{"weight": 1.0} | json.loads(line) for line in lines]
    assert exact(read) == exact([fields(request) for request in requests])


@given(REQUESTS)
def test_decoding_gives_back_what_was_encoded(request: Request) -> None:
    [line] = encode_lines([request]).splitlines()
    decoded = decode_line(line)
    assert isinstance(decoded, Request)
    assert exact(fields(decoded)) == exact(fields(request))


@given(st.binary(max_size=60) | TEXT.map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_record_or_says_why_not(line: bytes) -> None:
    try:
        decode_line(line)
    except BadRecordError as exc:
        assert exc.reason in Reason
        assert exc.detail


def test_golden_lines_decode_to_what_is_written_beside_them() -> None:
    assert [golden(line) for line in LINES] == EXPECTED


def golden(line: bytes) -> dict[str, Any]:
    if not line.strip():
        return {"kind": "blank"}
    try:
        record = decode_line(line)
    except BadRecordError as exc:
        seq = exc.origin.seq if exc.origin else None
        return {"kind": "bad", "reason": exc.reason, "request_id": exc.request_id, "seq": seq}
    if isinstance(record, Ledger):
        names = ("process", "seen", "mirrored", "not_selected", "dropped", "upto_seq")
        return {"kind": "ledger"} | {name: getattr(record, name) for name in names}
    features = record.features and {
        name: value if not isinstance(value, float) or math.isfinite(value) else json.dumps(value)
        for name, value in record.features.items()
    }
    return {
        "kind": "request",
        "request_id": record.request_id,
        "ts": parse_ts(record.ts).isoformat(),
        "features": features,
        "weight": record.weight,
        "label": canonical_label(record.served.label) if record.served else None,
        "seq": record.origin.seq if record.origin else None,
    }


def request_of(value: Any) -> Request:
    return Request(request_id="a", ts="2026-11-24T08:00:00Z", features={"x": value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (datetime.date(2026, 11, 24), "2026-11-24"),
    ],
)
def test_what_serving_code_likes_to_pass_is_encoded_as_plain_values(value: Any, expected: Any) -> None:
    decoded = decode_line(encode_lines([request_of(value)]).rstrip(b"\n"))
    assert isinstance(decoded, Request)
    assert exact(decoded.features) == exact({"x": expected})


@pytest.mark.parametrize("value", [object(), 1j, "\ud800", {"x": object()}, print])
def test_what_has_no_json_form_is_unencodable(value: Any) -> None:
    with pytest.raises(Unencodable):
        encode_lines([request_of(value)])


@given(st.integers(-(2**70), 2**70))
def test_an_integer_has_one_label_however_it_is_written(number: int) -> None:
    forms = {canonical_label(number), canonical_label(str(number))}
    if float(number) == number and abs(number) < 2**53:
        forms |= {
            canonical_label(float(number)),
            canonical_label(f"{number}.0"),
            canonical_label(f"{number}e0"),
        }
        forms |= {canonical_label(np.float64(number))}
    assert forms == {str(number)}


@given(st.floats())
def test_a_float_has_one_label_however_it_is_written(number: float) -> None:
    label = canonical_label(number)
    assert {canonical_label(repr(number)), canonical_label(np.float64(number))} == {label}
    assert label is not None
    assert not label.endswith(".0")
    assert float(label) == number or math.isnan(number)


@given(SCALARS)
def test_a_canonical_label_stays_as_it_is(value: Any) -> None:
    once = canonical_label(value)
    assert canonical_label(once) == once


@given(
    st.text().filter(lambda text: not text.strip().strip("+-.").isascii() or not any(map(str.isdigit, text)))
)
def test_text_that_is_no_number_is_its_own_label(text: str) -> None:
    assert canonical_label(text) == text


@pytest.mark.parametrize(
    "text", ["007", "1 ", " 1", "+1", "1.", ".5", "1_000", "0x10", "nan", "NaN", "inf", "١"]
)
def test_text_that_only_resembles_a_number_is_its_own_label(text: str) -> None:
    assert canonical_label(text) == text


def test_booleans_are_one_and_zero() -> None:
    values = [True, False, 1, 0, "1", "0"]
    assert [canonical_label(value) for value in values] == ["1", "0", "1", "0", "1", "0"]


@given(st.datetimes(min_value=datetime.datetime(1, 1, 2), timezones=st.just(datetime.UTC)))
def test_a_time_survives_its_text(moment: datetime.datetime) -> None:
    since_1970 = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    text = format_ts(since_1970 // datetime.timedelta(microseconds=1) * 1000)
    assert parse_ts(text) == moment


def test_request_ids_are_version_7_and_ascend_with_time() -> None:
    before = format_ts(0)
    ids = [uuid.UUID(new_request_id()) for _ in range(1000)]
    assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}
    assert len(set(ids)) == len(ids)
    millis = [made.int >> 80 for made in ids]
    assert millis == sorted(millis)
    assert before < format_ts(millis[0] * 1_000_000)
