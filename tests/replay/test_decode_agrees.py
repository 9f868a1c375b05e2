"""The fast reader and the definition (`decode_line`) say the same about every line, however hostile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import pytest
from gnomon_replay import blocks, decode
from gnomon_replay.decode import Decoded, Decoder
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STREAM = Stream("kafka:c:t", "t")
DECLARED = {"carrier": "string", "dep_delay": "double", "tail": "int64", "flag": "bool"}
MAX_BYTES = 2000


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """So that a few lines make several blocks, and a bad line leaves the other parts of its block fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_LINES", 12)
        patch.setattr(decode, "PART_LINES", 3)
        yield


def record(**fields: Any) -> dict[str, Any]:
    return {"request_id": "a", "ts": "2026-11-24T08:00:00.123456Z", "features": {"carrier": "UA"}} | fields


def line(**fields: Any) -> bytes:
    return json.dumps(record(**fields)).encode()


def raw(text: str) -> bytes:
    """A record with something in it that `json.dumps` would not write."""
    return line(request_id="a")[:-1] + b", " + text.encode() + b"}"


PLAIN = line()
NUMBERED = line(served={"label": 1}, weight=2.0)
REGIONAL = line(attributes={"region": "eu"})
HOSTILE = [
    b"",
    b"  ",
    b"\r",
    b"\t",
    b"{}",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{",
    b"}",
    b"\xff\xfe",
    b"\xef\xbb\xbf" + line(),
    line() + b"\r",
    b" " + line() + b" ",
    line() + line(),
    line() + b" " + line(),
    line() + b",",
    line() + b"/* */",
    line() + b"\x00",
    line()[:-1],
    line().replace(b'"a"', b'"a\x00"'),
    line().replace(b'"a"', b'"a\x1f"'),
    line().replace(b'"a"', b'"a\xff"'),
    line().replace(b'"a"', b'"a\\u0000"'),
    line().replace(b'"a"', b'"\\ud83d\\ude00"'),
    line().replace(b'"a"', b'"\\ud83d"'),
    line().replace(b'"a"', b'"\\udc00"'),
    line().replace(b'"carrier"', b'"\\udc00"'),
    line().replace(b'"carrier"', b'"c\\u0061rrier"'),
    line(request_id=""),
    line(request_id=None),
    line(request_id=7),
    line(features=None),
    line(features={}),
    line(features=[]),
    line(features=None, payload={"text": "gnōmōn \U0001f600"}),
    line(features=None, payload=0),
    line(payload=None),
    line(payload="text"),
    line(payload=[1, {"b": math.nan, "a": 2**70}]),
    raw('"payload": ' + "[" * 990 + "]" * 990),
    raw('"unknown": ' + "[" * 990 + "]" * 990),
    line(unknown={"a": [1, "2", None]}),
    raw('"unknown": Inf'),
    raw('"unknown": Infinity'),
    raw('"unknown": 1e999'),
    raw('"unknown": ' + "9" * 308),
    raw('"unknown": ' + "9" * 309),
    raw('"unknown": "Inf"'),
    line(features={"dep_delay": -math.inf, "carrier": "Inf"}),
    line(features={"dep_delay": math.inf}, unknown="9" * 400),
    raw('"unknown": Inf, "key": "Infinity"'),
    line(features={"dep_delay": 10**308}),
    line(features={"dep_delay": 10**309}),
    raw('"request_id": "b"'),
    raw('"weight": null'),
    raw('"weight" : null'),
    line(weight=0),
    line(weight=-1),
    line(weight=math.inf),
    line(weight=math.nan),
    line(weight=True),
    line(weight="1"),
    line(weight=10**400),
    line(ts="2026-11-24"),
    line(ts="2026-11-24 08:00"),
    line(ts="2026-11-24T08:00:00+02:30"),
    line(ts="2026-11-24T08:00:00.123456789Z"),
    line(ts="2026-11-24T08:00:60Z"),
    line(ts="0000-01-01T00:00:00Z"),
    line(ts="0001-01-01T00:00:00+01:00"),
    line(ts="9999-12-31T23:59:59.999999Z"),
    line(ts="9999-12-31T23:59:59-01:00"),
    line(ts=0),
    line(ts=None),
    line(key=""),
    line(key=7),
    line(service=7),
    line(attributes={}),
    line(attributes={"region": None}),
    line(attributes={"region": "eu"}),
    line(attributes={"Region": "eu"}),
    line(attributes={"Region": None}),
    line(attributes={"region": 7}),
    line(features={"carrier": None}),
    line(features={"carrier": 7}),
    line(features={"Carrier": "UA"}),
    line(features={"Carrier": None}),
    line(features={"": 1}),
    line(features={"\x00": 1}),
    line(features={"new": None}),
    line(features={"new": 1}),
    line(features={"new": "1"}),
    line(features={"new": "2026-11-24"}),
    line(features={"new": True}),
    line(features={"new": {"deep": 1}}),
    line(features={"dep_delay": math.nan}),
    line(features={"dep_delay": math.inf}),
    raw('"features": {"dep_delay": Inf}').replace(b'"features": {"carrier": "UA"}, ', b""),
    raw('"features": {"dep_delay": -0}').replace(b'"features": {"carrier": "UA"}, ', b""),
    raw('"features": {"dep_delay": 1e400}').replace(b'"features": {"carrier": "UA"}, ', b""),
    line(features={"dep_delay": 2**53}),
    line(features={"dep_delay": 2**53 + 1}),
    line(features={"dep_delay": -(2**53) - 1}),
    line(features={"dep_delay": float(2**60)}),
    line(features={"dep_delay": 10**400}),
    line(features={"dep_delay": "7"}),
    line(features={"dep_delay": True}),
    line(features={"tail": 2**63 - 1}),
    line(features={"tail": 2**63}),
    line(features={"tail": -(2**63)}),
    line(features={"tail": 1.0}),
    line(features={"tail": False}),
    line(features={"flag": True}),
    line(features={"flag": 1}),
    line(served=None),
    line(served={}),
    line(served=[]),
    line(served={"label": 1}),
    line(served={"label": 1.0}),
    line(served={"label": "1"}),
    line(served={"label": True}),
    line(served={"label": math.nan}),
    line(served={"label": 2**60 + 1}),
    line(served={"label": 10**400}),
    line(served={"label": ["late"]}),
    line(served={"score": 1}),
    line(served={"score": math.inf}),
    line(served={"score": math.nan}),
    line(served={"score": "1"}),
    line(served={"score": 10**400}),
    line(served={"scores": [0.5, 1]}),
    line(served={"scores": [0.5, None]}),
    line(served={"scores": [10**400]}),
    line(served={"scores": []}),
    line(served={"output": None}),
    line(served={"output": ["a", 1]}),
    line(served={"output": "text"}),
    line(served={"extra": 1, "label": "late"}),
    line(served={"latency_us": 0}),
    line(served={"latency_us": -1}),
    line(served={"latency_us": 1.0}),
    line(served={"latency_us": 2**63}),
    line(served={"error": ""}),
    line(served={"error": "timed out"}),
    line(origin=None),
    line(origin={}),
    line(origin={"process": "p"}),
    line(origin={"process": "p", "seq": None}),
    line(origin={"process": "p", "seq": 0, "extra": 1}),
    line(origin={"process": "p", "seq": -1}),
    line(origin={"process": "../p", "seq": 1}),
    line(origin={"process": "", "seq": 1}),
    line(request_id="x" * MAX_BYTES),
    b'{"ledger":1,"process":"p","ts":"2026-11-24T08:00:00Z","upto_seq":-1,"seen":0,"mirrored":0}',
    b' { "ledger" :1,"process":"p","ts":"2026-11-24T08:00:00Z","upto_seq":-1,"seen":0,"mirrored":0}\r',
    b'{"ledger":1,"process":"p","ts":"2026-11-24T08:00:00Z","upto_seq":4,"seen":0,"mirrored":0}',
    b'{"ledger":2}',
    b'{"ledger":',
    line(features={"ledger": 1}),
    raw('"ledger": 1'),
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
features = st.dictionaries(
    st.sampled_from(["carrier", "dep_delay", "tail", "flag", "new", "Carrier"]) | st.text(max_size=3), scalars
)
honest = st.builds(
    line,
    request_id=st.text("abc", min_size=1),
    ts=st.datetimes().map(lambda moment: moment.isoformat()),
    key=st.none() | st.text(max_size=5),
    attributes=st.none()
    | st.dictionaries(st.sampled_from(["region", "client", "Client"]), st.text(max_size=3)),
    features=st.fixed_dictionaries(
        {},
        optional={
            "carrier": st.none() | st.text(),
            "dep_delay": st.floats() | st.integers(-(2**54), 2**54),
            "tail": st.none() | st.integers(-(2**63), 2**63 - 1),
            "flag": st.booleans(),
        },
    ),
    served=st.none()
    | st.fixed_dictionaries(
        {},
        optional={"label": scalars, "score": st.floats() | st.none(), "latency_us": st.integers(0, 10**6)},
    ),
    weight=st.floats(min_value=1e-300, allow_nan=False, allow_infinity=False),
    origin=st.none() | st.builds(dict, process=st.just("p.1"), seq=st.integers(0, 2**63 - 1)),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An honest line with something cut out and something else put in."""
    text = draw(honest)
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 8)))
    tokens = st.sampled_from(
        [b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"NaN", b"-", b"0"]
    )
    return text[:begin] + draw(tokens | st.binary(max_size=4)).replace(b"\n", b"") + text[end:]


def halves(text: bytes, at: int) -> list[bytes]:
    """One object over two lines."""
    return [text[: at % len(text)], text[at % len(text) :]]


def flat(lists: list[list[bytes]]) -> list[bytes]:
    return list(chain.from_iterable(lists))


pieces = st.lists(
    st.one_of(honest, honest, st.builds(line, features=features), mutated(), st.sampled_from(HOSTILE))
) | st.lists(st.builds(halves, honest, st.integers(0, 500)), max_size=3).map(flat)
traffic = st.lists(pieces, max_size=4).map(flat)


def frames_of(lines: list[bytes], cuts: list[int], *, by_line: bool) -> list[Frame]:
    """The lines in frames that are cut before the lines of these numbers."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(lines)}), len(lines)]
    return [
        Frame(
            STREAM,
            "0",
            begin if by_line else 10 * number,
            end if by_line else 10 * number + 1,
            b"".join(each + b"\n" for each in lines[begin:end]),
            by_line=by_line,
        )
        for number, (begin, end) in enumerate(pairwise(edges))
        if begin < end
    ]


def decoded(frames: list[Frame], *, fast: bool) -> tuple[Decoded, Shape]:
    shape = Shape.declared(DECLARED)
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(decode, "read_fast", lambda *_: None)
        return Decoder(shape, max_record_bytes=MAX_BYTES).decode(frames), shape


def plain(result: Decoded) -> dict[str, list[str]]:
    """What was decoded, as text: NaN equals NaN, and −0 is 0 since JSON has one integer of that name."""
    dead = result.dead_letters.to_pylist()
    for row in dead:
        del row["day"], row["read_at"]
    rows = {"requests": result.requests.to_pylist(), "ledgers": result.ledgers.to_pylist(), "dead": dead}
    return {
        "schema": [str(result.requests.schema)],
        "requests": [repr(row).replace("-0.0", "0.0") for row in rows["requests"]],
        "ledgers": [repr(row) for row in rows["ledgers"]],
        "dead": sorted(repr(row) for row in rows["dead"]),
    }


def agree(frames: list[Frame], lines: int) -> None:
    fast, fast_shape = decoded(frames, fast=True)
    slow, slow_shape = decoded(frames, fast=False)
    assert plain(fast) == plain(slow)
    assert fast.blank == slow.blank
    assert (fast_shape.features, fast_shape.attributes) == (slow_shape.features, slow_shape.attributes)
    assert len(fast.requests) + len(fast.dead_letters) + len(fast.ledgers) + fast.blank == lines


@given(traffic, st.lists(st.integers(0, 60), max_size=5), st.booleans())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_both_readers_say_the_same_and_lose_no_line(
    lines: list[bytes], cuts: list[int], by_line: bool
) -> None:
    agree(frames_of(lines, cuts, by_line=by_line), len(lines))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_they_do_so_wherever_a_hostile_line_stands(hostile: bytes) -> None:
    for lines in (
        [PLAIN, hostile, PLAIN],
        [hostile, PLAIN, hostile],
        [*[NUMBERED] * 12, NUMBERED, hostile, NUMBERED],
        [*[REGIONAL] * 12, REGIONAL, hostile, REGIONAL],
        [hostile],
    ):
        agree(frames_of(lines, [2], by_line=False), len(lines))


@pytest.mark.parametrize(
    "lines",
    [[PLAIN + PLAIN, b" ", PLAIN], [PLAIN[:9], PLAIN[9:] + PLAIN, PLAIN], [PLAIN[:-1], b"}", PLAIN * 2]],
)
def test_an_object_is_one_line_and_a_line_one_object(lines: list[bytes]) -> None:
    agree(frames_of(lines, [], by_line=True), len(lines))
