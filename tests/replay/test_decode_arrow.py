"""Both encodings say the same: whatever goes in as JSON or as Arrow comes out alike, and no row is lost."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gnomon_capture.arrow import ArrowEncoder
from gnomon_capture.record import (
    CONTENT_TYPE_ARROW,
    Origin,
    Request,
    Served,
    Unencodable,
    encode_lines,
)
from gnomon_replay import decode
from gnomon_replay.decode import Decoded, Decoder
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STREAM = Stream("kafka:c:t", "t")
DECLARED = {"carrier": "string", "dep_delay": "double", "tail": "int64", "flag": "bool"}
MAX_BYTES = 4000
TS = "2026-11-24T08:00:00.123456Z"


def request(number: int = 0, **fields: Any) -> Request:
    return Request(**{"request_id": f"r{number}", "ts": TS, "features": {"carrier": "UA"}} | fields)


def frame(data: bytes, offset: int, content_type: str | None, *, partition: str = "0") -> Frame:
    return Frame(STREAM, partition, offset, offset + 1, data, by_line=False, content_type=content_type)


def streams(requests: list[list[Request]]) -> list[Frame] | None:
    """A frame of Arrow for each list; None if one has no such form."""
    frames = []
    encoder = ArrowEncoder()
    for offset, each in enumerate(requests):
        data = encoder.encode(encode_lines(each))
        if data is None:
            return None
        frames.append(frame(data, offset, CONTENT_TYPE_ARROW))
    return frames


def lines(requests: list[list[Request]]) -> list[Frame]:
    return [frame(encode_lines(each), offset, None) for offset, each in enumerate(requests)]


def decoded(frames: list[Frame], declared: dict[str, str] | None = None) -> tuple[Decoded, Shape]:
    shape = Shape.declared(DECLARED if declared is None else declared)
    return Decoder(shape, max_record_bytes=MAX_BYTES).decode(frames), shape


def plain(result: Decoded) -> dict[str, Any]:
    """What was decoded, as text: NaN equals NaN, and −0 is 0. A dead letter's detail may name other types."""
    dead = [
        {name: row[name] for name in ("source", "origin", "request_id", "key", "reason")}
        for row in result.dead_letters.to_pylist()
    ]
    return {
        "schema": str(result.requests.schema),
        "requests": [repr(row).replace("-0.0", "0.0") for row in result.requests.to_pylist()],
        "dead": sorted(map(repr, dead)),
        "blank": result.blank,
    }


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5)
honest_features = st.fixed_dictionaries(
    {},
    optional={
        "carrier": st.none() | st.text(),
        "dep_delay": st.floats() | st.integers(-(2**54), 2**54),
        "tail": st.none() | st.integers(-(2**63), 2**63 - 1),
        "flag": st.booleans(),
        "new": st.floats(allow_nan=False),
    },
)
hostile_features = st.dictionaries(
    st.sampled_from(["carrier", "dep_delay", "tail", "flag", "new", "Carrier", "", "\0"]), scalars
)
requests = st.builds(
    request,
    st.integers(0, 99),
    ts=st.datetimes(min_value=datetime.datetime(1, 1, 2)).map(lambda moment: moment.isoformat() + "Z"),
    key=st.none() | st.text(max_size=5),
    attributes=st.none()
    | st.dictionaries(st.sampled_from(["region", "client", "Client"]), st.none() | st.text(max_size=3)),
    features=honest_features | hostile_features,
    served=st.none()
    | st.builds(
        Served,
        version=st.none() | st.just("3.2"),
        label=scalars,
        score=st.none() | st.floats(),
        scores=st.none() | st.lists(st.floats(), max_size=3),
        latency_us=st.none() | st.integers(0, 10**6),
        error=st.none() | st.sampled_from(["", "timed out"]),
    ),
    weight=st.floats(min_value=1e-300, allow_nan=False, allow_infinity=False),
    origin=st.none() | st.builds(Origin, process=st.just("p.1"), seq=st.integers(0, 2**63 - 1)),
)


@given(st.lists(st.lists(requests, min_size=1, max_size=6), min_size=1, max_size=4), st.booleans())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_both_encodings_become_the_same_rows(batches: list[list[Request]], declared: bool) -> None:
    try:
        as_lines = lines(batches)
    except Unencodable:  # half a surrogate pair
        return
    as_arrow = streams(batches)
    if as_arrow is None:
        return
    first, first_shape = decoded(as_lines, None if declared else {})
    second, second_shape = decoded(as_arrow, None if declared else {})
    assert plain(first) == plain(second)
    assert first_shape.features == second_shape.features
    rows = sum(map(len, batches))
    assert len(second.requests) + len(second.dead_letters) == rows


def test_an_ordinary_batch_is_taken_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not row by row: otherwise the properties above would hold for a reader that is never fast."""
    monkeypatch.setattr(decode, "PART_LINES", 2)
    batch = [
        request(
            number,
            features={"carrier": "UA", "dep_delay": number, "flag": number % 2 == 0},
            served=Served(version="3.2", label="late", score=0.5),
            attributes={"region": "eu"},
            weight=10.0,
            origin=Origin(process="p.1", seq=number),
        )
        for number in range(10)
    ]
    frames = streams([batch, batch])
    assert frames is not None
    shape = Shape.declared(DECLARED)
    decoder = Decoder(shape, max_record_bytes=1 << 20)
    decoder.decode(frames)  # learns the attribute
    monkeypatch.setattr(Decoder, "_records", lambda *_: pytest.fail("row by row"))
    done = decoder.decode(frames)
    assert done.requests.column("features").to_pylist()[3] == {
        "carrier": "UA",
        "dep_delay": 3.0,
        "tail": None,
        "flag": False,
    }
    assert [place["line"] for place in done.requests.column("source").to_pylist()] == [*range(10)] * 2
    assert [place["offset"] for place in done.requests.column("source").to_pylist()] == [0] * 10 + [1] * 10


@pytest.mark.parametrize(
    "values",
    [
        [np.float64(0.5), np.float64("nan")],
        [np.float32(0.1), np.float32(0.2)],
        [np.int64(7), np.int32(8)],
        [np.bool_(True), np.bool_(False)],
        [np.str_("UA"), "UA"],
        [1, 2.5],
        [None, 2**60],
        ["", "\0\u2028é"],
    ],
)
def test_what_serving_code_passes_says_the_same_in_both(values: list[Any]) -> None:
    batch = [request(number, features={"new": value}) for number, value in enumerate(values)]
    frames = streams([batch])
    assert frames is not None
    assert plain(decoded(frames)[0]) == plain(decoded(lines([batch]))[0])


@pytest.mark.parametrize(
    "values",
    [
        [1, "a"],
        [True, 1],
        [0.5, False],
        [2**63],
        [2**60 + 1, 0.5],
        [1e300],
        [float("inf"), 1e300],
        [10**400],
        [[1]],
        [{"a": 1}],
    ],
)
def test_what_has_no_such_form_stays_json(values: list[Any]) -> None:
    batch = [request(number, features={"new": value}) for number, value in enumerate(values)]
    assert ArrowEncoder().encode(encode_lines(batch)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": {"text": 1}, "features": None},
        {"features": {"x": 1}, "payload": 7},
        {"served": Served(output=["a"])},
        {"served": Served(score=True)},
        {"served": Served(scores=[0.5, True])},
        {"served": Served(score=2**60 + 1)},
        {"weight": float(2**60)},
    ],
)
def test_nor_what_only_json_can_say(fields: dict[str, Any]) -> None:
    assert ArrowEncoder().encode(encode_lines([request(), request(1, **fields)])) is None


def test_text_that_looks_like_a_time_is_text() -> None:
    encoder = ArrowEncoder()
    for _ in range(2):
        batch = [
            request(
                features={"new": "2026-11-24", "dep_delay": 1},
                attributes={"region": "2026-11-24T08:00:00Z"},
                served=Served(label="2026-11-24 08:00:00"),
            )
        ]
        data = encoder.encode(encode_lines(batch))
        assert data is not None
        done, _ = decoded([frame(data, 0, CONTENT_TYPE_ARROW)])
        assert plain(done) == plain(decoded(lines([batch]))[0])


def table(**columns: Any) -> pa.Table:
    return pa.table(
        {
            "request_id": ["a", "b"],
            "ts": pa.array([1_795_507_200_123_456] * 2, pa.timestamp("us", tz="UTC")),
            "features": [{"carrier": "UA"}, {"carrier": "AA"}],
        }
        | columns
    )


def stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"ts": pa.array([1_795_507_200_123_456_789] * 2, pa.timestamp("ns", tz="UTC"))},
        {"ts": pa.array([1_795_507_200_123_456] * 2, pa.timestamp("us"))},
        {"ts": pa.array([1_795_507_200_123_456] * 2, pa.timestamp("us", tz="America/New_York"))},
        {"ts": ["2026-11-24T08:00:00.123456Z"] * 2},
        {"request_id": pa.array(["a", "b"]).dictionary_encode()},
        {"request_id": pa.array(["a", "b"], pa.large_string())},
        {"weight": [1, 1]},
        {"weight": pa.nulls(2)},
        {
            "features": pa.array(
                [{"carrier": "UA"}, {"carrier": "AA"}], pa.struct([("carrier", pa.string_view())])
            )
        },
        {"more": [[1], [2]]},
    ],
)
def test_other_producers_types_are_read_as_what_they_say(columns: dict[str, Any]) -> None:
    done, _ = decoded([frame(stream(table(**columns)), 0, CONTENT_TYPE_ARROW)])
    want, _ = decoded([frame(encode_lines([request(), request(features={"carrier": "AA"})]), 0, None)])
    rows, expected = done.requests.to_pylist(), want.requests.to_pylist()
    assert [row["ts"] for row in rows] == [row["ts"] for row in expected]
    assert [row["features"] for row in rows] == [row["features"] for row in expected]
    assert not len(done.dead_letters)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"request_id": ["a", None]}, "missing_field"),
        ({"request_id": ["a", ""]}, "wrong_type"),
        ({"request_id": [1, 2]}, "wrong_type"),
        ({"ts": pa.array([0, None], pa.timestamp("us", tz="UTC"))}, "missing_field"),
        ({"ts": pa.array([0, 2**62], pa.timestamp("us", tz="UTC"))}, "wrong_type"),
        ({"ts": [1, 2]}, "wrong_type"),
        ({"features": [{"carrier": "UA"}, None]}, "missing_field"),
        ({"features": [{"carrier": "UA"}, {"carrier": None, "dep_delay": "late"}]}, "feature_type"),
        ({"features": [{"Carrier": None}, {"Carrier": "UA"}]}, "feature_type"),
        ({"features": [{"carrier": ["UA"]}, {"carrier": ["AA"]}]}, "wrong_type"),
        ({"weight": [1.0, 0.0]}, "wrong_type"),
        ({"weight": [1.0, math.inf]}, "wrong_type"),
        ({"weight": [1.0, math.nan]}, "wrong_type"),
        ({"served": [{"latency_us": 1}, {"latency_us": -1}]}, "wrong_type"),
        ({"served": [{"scores": [0.5]}, {"scores": [None]}]}, "wrong_type"),
        ({"origin": [{"process": "p", "seq": 1}, {"process": "../p", "seq": 1}]}, "wrong_type"),
        ({"origin": [{"process": "p", "seq": 1}, {"process": "p", "seq": None}]}, "missing_field"),
    ],
)
def test_a_bad_row_is_a_dead_letter_with_its_place(columns: dict[str, Any], reason: str) -> None:
    done, _ = decoded([frame(stream(table(**columns)), 7, CONTENT_TYPE_ARROW)])
    dead = done.dead_letters.to_pylist()
    assert {row["reason"] for row in dead} == {reason}
    assert dead[-1]["source"]["offset"], dead[-1]["source"]["line"] == (7, 1)
    assert len(dead) + len(done.requests) == 2
    assert b"2026" in dead[-1]["bytes"] or "ts" in columns


def test_a_row_that_is_too_large_goes_alone() -> None:
    done, _ = decoded([frame(stream(table(key=["k", "k" * MAX_BYTES])), 0, CONTENT_TYPE_ARROW)])
    assert [row["reason"] for row in done.dead_letters.to_pylist()] == ["oversize"]
    assert len(done.requests) == 1


def test_what_is_no_stream_is_one_dead_letter() -> None:
    good = stream(table())
    for data in (b"{}", good[:40], good[: len(good) // 2], b"\0" * 64, b"ARROW1\0\0"):
        done, _ = decoded([frame(data, 3, CONTENT_TYPE_ARROW), frame(good, 4, CONTENT_TYPE_ARROW)])
        [dead] = done.dead_letters.to_pylist()
        assert (dead["reason"], dead["source"]["offset"], dead["bytes"]) == ("malformed", 3, data)
        assert len(done.requests) == 2


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_streams_end_nothing(data: st.DataObject) -> None:
    good = bytearray(stream(table(key=["k", None], weight=[1.0, 2.0])))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    done, _ = decoded([frame(bytes(good), 0, CONTENT_TYPE_ARROW)])
    assert len(done.requests) + len(done.dead_letters) + done.blank > 0


def test_a_stream_without_rows_is_blank() -> None:
    empty = stream(table().slice(0, 0))
    done, _ = decoded([frame(empty, offset, CONTENT_TYPE_ARROW) for offset in range(2)])
    assert (done.blank, len(done.requests), len(done.dead_letters)) == (2, 0, 0)


def test_frames_of_both_encodings_keep_the_order_of_the_traffic() -> None:
    frames = [
        frame(encode_lines([request(0), request(1)]), 0, None),
        frame(stream(table()), 1, CONTENT_TYPE_ARROW),
        frame(encode_lines([request(2)]), 2, "application/x-ndjson; charset=utf-8"),
        frame(stream(table()), 0, CONTENT_TYPE_ARROW, partition="1"),
    ]
    done, _ = decoded(frames)
    assert done.requests.column("request_id").to_pylist() == ["r0", "r1", "a", "b", "r2", "a", "b"]
    assert [place["partition"] for place in done.requests.column("source").to_pylist()] == ["0"] * 5 + [
        "1"
    ] * 2
