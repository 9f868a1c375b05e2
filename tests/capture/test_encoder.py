"""From what a caller passed to numbered lines."""

from __future__ import annotations

import datetime
import logging
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gnomon_capture.encoder import Encoder, as_text
from gnomon_capture.handoff import Waiting
from gnomon_capture.record import Request, Served, Unencodable, decode_line, parse_ts

NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
NOON_NS = 1_795_521_600_000_000_000


def item(**changes: Any) -> Waiting:
    passed = {"ts": NOON_NS, "features": {"x": 1}, "payload": None, "served": None}
    passed |= {"key": None, "attributes": None, "request_id": None, "weight": 1.0} | changes
    return tuple(passed.values())  # type: ignore[return-value]


def encoded(encoder: Encoder, *items: Waiting) -> list[Request]:
    lines, count = encoder.encode(list(items))
    requests = [decode_line(line) for line in lines.splitlines()]
    assert len(requests) == count
    return requests  # type: ignore[return-value]


def one(**changes: Any) -> Request:
    [request] = encoded(Encoder("p", None, 1 << 20), item(**changes))
    return request


def test_what_was_passed_is_in_the_record() -> None:
    request = one(
        features={"carrier": "UA", "dep_delay": 2.0},
        payload=[1, {"a": None}],
        served={"version": "3.2", "label": "late", "score": 0.83, "latency_us": 1830},
        key="N14228",
        attributes={"region": "us-east", "client": None},
        request_id="9f0c",
    )
    assert request.features == {"carrier": "UA", "dep_delay": 2.0}
    assert request.payload == [1, {"a": None}]
    assert request.served == Served(version="3.2", label="late", score=0.83, latency_us=1830)
    assert request.attributes == {"region": "us-east", "client": None}
    assert (request.key, request.request_id, request.weight) == ("N14228", "9f0c", 1.0)


def test_records_are_numbered_from_zero_and_carry_process_and_service() -> None:
    encoder = Encoder("web.1.0", "arrival-delay", 1 << 20)
    requests = encoded(encoder, item(), item()) + encoded(encoder, item())
    assert [request.origin and request.origin.seq for request in requests] == [0, 1, 2]
    assert {request.origin and request.origin.process for request in requests} == {"web.1.0"}
    assert {request.service for request in requests} == {"arrival-delay"}
    assert encoder.numbered == 3


def test_without_an_id_each_record_gets_its_own() -> None:
    made = [request.request_id for request in encoded(Encoder("p", None, 1 << 20), *[item()] * 3)]
    assert len({uuid.UUID(text) for text in made}) == 3


@pytest.mark.parametrize("bad", range(5))
def test_what_cannot_be_encoded_is_counted_and_the_rest_goes_on_without_a_gap(bad: int) -> None:
    encoder = Encoder("p", None, 1 << 20)
    items = [item(features={"n": number}) for number in range(5)]
    items[bad] = item(features={"n": object()})
    requests = encoded(encoder, *items)
    assert [request.features for request in requests] == [
        {"n": number} for number in range(5) if number != bad
    ]
    assert [request.origin and request.origin.seq for request in requests] == [0, 1, 2, 3]
    assert (encoder.numbered, encoder.unencodable, encoder.oversize) == (4, 1, 0)


def test_what_is_too_large_is_counted_under_its_own_reason() -> None:
    encoder = Encoder("p", None, 1000)
    requests = encoded(encoder, item(), item(payload="x" * 1000), item(payload={"y": object()}), item())
    assert [request.origin and request.origin.seq for request in requests] == [0, 1]
    assert (encoder.numbered, encoder.unencodable, encoder.oversize) == (2, 1, 1)


def test_the_size_limit_is_that_of_the_line() -> None:
    [line] = Encoder("p", None, 1 << 20).encode([item(request_id="a", payload="x" * 100)])[0].splitlines()
    for limit, fits in [(len(line), 1), (len(line) - 1, 0)]:
        assert len(encoded(Encoder("p", None, limit), item(request_id="a", payload="x" * 100))) == fits


def test_many_records_may_be_longer_together_than_one_may_be() -> None:
    encoder = Encoder("p", None, 1000)
    assert len(encoded(encoder, *[item(payload="x" * 500)] * 10)) == 10
    assert encoder.oversize == 0


def test_only_the_first_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    encoder = Encoder("p", None, 1 << 20)
    with caplog.at_level(logging.DEBUG, "gnomon_capture"):
        for _ in range(3):
            encoder.encode([item(served={"lable": "late"})])
    [record] = caplog.records
    assert "lable" in record.getMessage()
    assert encoder.unencodable == 3


class Hostile:
    """Raises whatever is asked of it."""

    @property
    def item(self) -> Any:
        raise KeyError("no")

    ndim = 0


@pytest.mark.parametrize(
    "changes",
    [
        {"features": None, "payload": None},
        {"features": {"x": Hostile()}},
        {"features": {"x": "\ud800"}},
        {"features": {("a", "b"): 1}},
        {"payload": {"deep": [object()]}},
        {"served": {"lable": "late"}},
        {"served": {"latency_us": float("nan")}},
        {"served": {1: 2}},
        {"key": ["a"]},
        {"attributes": {"region": {"a": 1}}},
        {"request_id": b"bytes"},
        {"ts": NOON.replace(tzinfo=None)},
        {"ts": "yesterday"},
        {"ts": 1.5},
        {"ts": 10**30},
        {"ts": pd.NaT},
    ],
)
def test_every_wrong_argument_is_counted_and_none_escapes(changes: dict[str, Any]) -> None:
    encoder = Encoder("p", None, 1 << 20)
    assert encoded(encoder, item(**changes)) == []
    assert (encoder.numbered, encoder.unencodable) == (0, 1)


@pytest.mark.parametrize(
    "ts",
    [
        NOON_NS,
        np.int64(NOON_NS),
        NOON,
        NOON.astimezone(datetime.timezone(datetime.timedelta(hours=-5))),
        pd.Timestamp(NOON_NS, tz="America/New_York"),
        "2026-11-24T12:00:00Z",
        "2026-11-24T07:00:00-05:00",
    ],
)
def test_times_of_every_form_name_the_same_instant(ts: Any) -> None:
    assert parse_ts(one(ts=ts).ts) == NOON


def test_a_time_keeps_its_microseconds() -> None:
    moment = NOON.replace(microsecond=123_456)
    assert parse_ts(one(ts=moment).ts) == moment


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("N14228", "N14228"),
        ("1.0", "1.0"),
        (np.str_("a"), "a"),
        (7, "7"),
        (np.int64(7), "7"),
        (7.0, "7"),
        (True, "1"),
        (np.bool_(True), "1"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_keys_ids_and_attributes_become_text(value: Any, text: str | None) -> None:
    assert as_text(value) == text
    assert one(key=value).key == text
    assert one(attributes={"a": value}).attributes == {"a": text}


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(Unencodable, match="a list where text is expected"):
        as_text(["a"])


@pytest.mark.parametrize("latency", [1830, 1829.6, np.float64(1830.2), np.int64(1830)])
def test_latency_is_rounded_to_whole_microseconds(latency: Any) -> None:
    served = one(served={"latency_us": latency}).served
    assert served == Served(latency_us=1830)


def test_what_an_estimator_returns_can_be_passed_as_it_is() -> None:
    served = one(served={"label": np.str_("late"), "score": np.float32(0.25)}).served
    assert served == Served(label="late", score=0.25)
