"""Frames into requests, ledgers and dead letters: what each line becomes, and where it stood."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_replay.blocks import BLOCK_LINES
from gnomon_replay.decode import Decoded, Decoder
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, OUTPUT
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream

GOLDEN = Path(__file__).parents[1] / "data"
KAFKA = Stream("kafka:c:t", "t")
SPOOL = Stream("spool:e", None)


def frame(data: bytes, *, offset: int = 0, partition: str = "0", **more: Any) -> Frame:
    return Frame(KAFKA, partition, offset, offset + 1, data, by_line=False, **more)


def spooled(data: bytes, *, offset: int = 0, partition: str = "p") -> Frame:
    lines = data.count(b"\n")
    return Frame(SPOOL, partition, offset, offset + lines, data, by_line=True)


def line(number: int, **fields: Any) -> bytes:
    record = {"request_id": f"r{number}", "ts": "2026-11-24T08:00:00Z", "features": {"x": number}} | fields
    return json.dumps(record).encode() + b"\n"


def ledger(seen: int) -> bytes:
    counts = {"upto_seq": seen - 1, "seen": seen, "mirrored": seen}
    return json.dumps({"ledger": 1, "process": "p", "ts": "2026-11-24T08:00:05Z"} | counts).encode() + b"\n"


def decode(*frames: Frame, declared: dict[str, str] | None = None) -> Decoded:
    return Decoder(Shape.declared(declared or {}), max_record_bytes=1 << 20).decode(frames)


def places(table: pa.Table) -> list[tuple[str, int, int]]:
    return [(at["partition"], at["offset"], at["line"]) for at in table.column("source").to_pylist()]


def test_the_golden_records_become_what_they_should() -> None:
    data = (GOLDEN / "records.ndjson").read_bytes()
    expected = json.loads((GOLDEN / "records.expected.json").read_text())
    done = decode(spooled(data + b"\n" * (not data.endswith(b"\n"))), declared={"distance": "double"})
    by_line = dict(zip(_offsets(done.requests), done.requests.to_pylist(), strict=True))
    dead = dict(zip(_offsets(done.dead_letters), done.dead_letters.to_pylist(), strict=True))
    ledgers = dict(zip(_offsets(done.ledgers), done.ledgers.to_pylist(), strict=True))
    kinds = []
    for number, want in enumerate(expected):
        kinds.append(want.pop("kind"))
        if kinds[-1] == "request":
            row = by_line.pop(number)
            assert row["request_id"] == want["request_id"]
            assert row["ts"] == datetime.datetime.fromisoformat(want["ts"])
            assert row["weight"] == want["weight"]
            assert (row["served"] or {}).get("label") == want["label"]
            assert (row["origin"] or {}).get("seq") == want["seq"]
            features = row["features"]
            for name, value in (want["features"] or {}).items():
                assert str(features[name]) == str(
                    float(value) if name in ("dep_delay", "distance") and value is not None else value
                )
        elif kinds[-1] == "bad":
            row = dead.pop(number)
            assert (row["reason"], row["request_id"]) == (want["reason"], want["request_id"])
            assert (row["origin"] or {}).get("seq") == want["seq"]
            assert row["bytes"] == data.split(b"\n")[number]
        elif kinds[-1] == "ledger":
            row = ledgers.pop(number)
            assert row["dropped"] == list(want.pop("dropped").items())
            assert {name: row[name] for name in want} == want
    assert (by_line, dead, ledgers, done.blank) == ({}, {}, {}, kinds.count("blank"))
    payload = next(row["payload"] for row in done.requests.to_pylist() if row["payload"])
    assert json.loads(payload) == {"text": "gnōmōn \U0001f600", "n": 9007199254740993}


def _offsets(table: pa.Table) -> list[int]:
    return [at["offset"] for at in table.column("source").to_pylist()]


def test_the_columns_are_the_contracts() -> None:
    done = decode(spooled(line(0) + ledger(1) + b"torn\n"))
    assert done.dead_letters.schema.equals(DEAD_LETTERS)
    assert done.ledgers.schema.equals(LEDGER)
    assert done.requests.schema.field("served").type == OUTPUT
    assert decode().requests.schema.names == done.requests.schema.names


@pytest.mark.parametrize("count", [1, 3, BLOCK_LINES - 1, BLOCK_LINES, BLOCK_LINES + 1, 2 * BLOCK_LINES])
def test_a_message_has_one_offset_and_its_lines_have_numbers(count: int) -> None:
    lines = [line(number) if number % 7 != 3 else b"torn\n" for number in range(count)]
    lines[count // 2] = ledger(1)
    done = decode(frame(b"".join(lines), offset=41), frame(line(0), offset=99))
    placed = places(done.requests) + places(done.dead_letters) + places(done.ledgers)
    assert sorted(placed) == [("0", 41, number) for number in range(count)] + [("0", 99, 0)]
    assert [f"r{at}" for _, _, at in places(done.requests)] == done.requests.column("request_id").to_pylist()


@pytest.mark.parametrize("cut", [1, 400, BLOCK_LINES, 2500])
def test_a_spools_lines_are_numbered_through_however_they_are_read(cut: int) -> None:
    count = 2500
    lines = [line(number) if number % 11 else ledger(1) for number in range(count)]
    frames = [
        spooled(b"".join(lines[begin : begin + cut]), offset=begin + 1_000_000)
        for begin in range(0, count, cut)
    ]
    done = decode(*frames, declared={"x": "double"})
    placed = places(done.requests) + places(done.ledgers)
    assert sorted(placed) == [("p", number + 1_000_000, 0) for number in range(count)]
    assert [f"r{at - 1_000_000}" for _, at, _ in places(done.requests)] == done.requests.column(
        "request_id"
    ).to_pylist()
    assert done.ledgers.num_rows == len(range(0, count, 11))


@pytest.mark.parametrize("lines", [BLOCK_LINES // 2, BLOCK_LINES, 3])
def test_partitions_may_take_turns_at_any_line(lines: int) -> None:
    frames = [
        frame(b"".join(line(10_000 * part + at) for at in range(lines)), offset=turn, partition=str(part))
        for turn in range(4)
        for part in range(2)
    ]
    done = decode(*frames, declared={"x": "double"})
    assert done.requests.num_rows == 8 * lines
    assert done.dead_letters.num_rows == 0


def test_a_partition_of_ledgers_alone_is_no_trouble() -> None:
    done = decode(frame(ledger(0), partition="1"), frame(line(0)), frame(ledger(2), partition="1"))
    assert (done.requests.num_rows, done.ledgers.num_rows) == (1, 2)


def test_empty_messages_and_blank_lines_are_counted() -> None:
    blanks = [
        b"",
        b"\n",
        b"\n\n",
        b" \n",
        b"\r\n",
        line(1) + b"\n" + line(2) + b"\r\n",
        line(3) + ledger(1) + b"\n",
    ]
    done = decode(*(frame(data, offset=at) for at, data in enumerate(blanks)), declared={"x": "double"})
    assert (done.requests.num_rows, done.ledgers.num_rows, done.dead_letters.num_rows) == (3, 1, 0)
    assert done.blank == 1 + 1 + 2 + 1 + 1 + 2 + 1


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (None, True),
        ("application/x-ndjson", True),
        ("Application/X-NDJSON; charset=utf-8", True),
        ("application/vnd.apache.arrow.stream", False),
        ("", True),
        ("\ufffd", False),
    ],
)
def test_a_message_of_another_encoding_is_one_dead_letter(kind: str | None, read: bool) -> None:
    done = decode(frame(line(0) + line(1), offset=5, content_type=kind), frame(line(2), offset=6))
    assert done.requests.num_rows == (3 if read else 1)
    assert places(done.dead_letters) == ([] if read else [("0", 5, 0)])
    if not read:
        [row] = done.dead_letters.to_pylist()
        assert (row["reason"], row["bytes"]) == ("malformed", line(0) + line(1))
        assert row["source"] == {"name": "kafka:c:t", "topic": "t", "partition": "0", "offset": 5, "line": 0}


def test_an_oversize_line_is_kept_by_its_head() -> None:
    long = line(1, key="k" * (1 << 20))
    [row] = decode(frame(line(0) + long + line(2))).dead_letters.to_pylist()
    assert (row["reason"], row["bytes"]) == ("oversize", long[: 64 << 10])


def test_served_is_stored_as_an_output() -> None:
    given = [
        {"version": "3", "label": 1, "score": 0.5, "latency_us": 7},
        {"label": "late", "error": ""},
        {"error": "timed out"},
        {"output": {"b": 1, "a": [None]}},
        None,
    ]
    rows = decode(frame(b"".join(line(at, served=served) for at, served in enumerate(given)))).requests
    empty = dict.fromkeys(field.name for field in OUTPUT)
    assert rows.column("served").to_pylist() == [
        empty | {"version": "3", "label": "1", "score": 0.5, "latency_us": 7},
        empty | {"label": "late"},
        empty | {"error": "exception", "message": "timed out"},
        empty | {"output": '{"a":[null],"b":1}'},
        None,
    ]


@pytest.mark.parametrize("label", [1, 1.0, "1", "1.0", True])
def test_a_label_has_one_form_in_either_reader(label: object) -> None:
    lines = b"".join(line(number, served={"label": label}) for number in range(3 * BLOCK_LINES))
    labels = decode(frame(lines)).requests.column("served").combine_chunks().field("label")
    assert set(labels.to_pylist()) == {"1"}


def test_the_first_lines_teach_the_shape_and_later_ones_widen_it() -> None:
    decoder = Decoder(Shape({}, ()), max_record_bytes=1 << 20)
    first = decoder.decode([frame(line(0, features={"a": 1, "b": "x", "c": None}, attributes={"r": "eu"}))])
    later = decoder.decode([frame(line(1, features={"c": True}, attributes={"s": None}))])
    assert first.requests.schema.field("features").type == pa.struct(
        [("a", pa.float64()), ("b", pa.string())]
    )
    assert later.requests.column("features").to_pylist() == [{"a": None, "b": None, "c": True}]
    assert later.requests.column("attributes").to_pylist() == [{"r": None}]


DEEP = """
from gnomon_replay.decode import Decoder
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream
lines = [b'{"request_id":"a","ts":"2026-11-24","features":{"x":1}%s}' % tail for tail in (
    b"", b',"u":' + b"[" * 200_000 + b"]" * 200_000, b',"u":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000)]
for each in (lines, lines[1:2], lines[2:]):
    frame = Frame(Stream("s", None), "0", 0, 1, b"\\n".join(each), by_line=False)
    done = Decoder(Shape.declared({"x": "double"}), max_record_bytes=1 << 20).decode([frame])
    print(done.requests.num_rows, done.dead_letters.num_rows)
"""


def test_a_line_nested_without_end_is_a_dead_letter_and_not_the_end() -> None:
    """Arrow's reader would overflow the stack of the process."""
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 2\n0 1\n0 1\n"), done.stderr
