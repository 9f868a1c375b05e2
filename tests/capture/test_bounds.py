"""Bounds: memory stays within the bytes allowed, and whatever is passed is copied, counted, and never raises."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import CaptureSettings, Mirror, Served
from gnomon_capture.copying import deep_copied, is_longer
from gnomon_capture.footprint import footprint_bytes, mean_footprint_bytes
from hypothesis import given
from hypothesis import strategies as st

Reader = Callable[..., Any]


@pytest.fixture
def away(tmp_path: Path) -> str:
    (tmp_path / "file").touch()
    return f"spool:{tmp_path}/file/spool"


@pytest.mark.parametrize("features", [5, 40])
def test_no_more_requests_wait_than_fit_into_the_bytes(away: str, features: int) -> None:
    mirror = Mirror(away, settings=CaptureSettings(buffer_bytes=1 << 20, overflow=None))
    before, waited = mirror._handoff.bound, 0
    while mirror._handoff.bound == before and waited < 1000:  # until it has measured
        mirror.record({f"f{at}": at * 1.5 for at in range(features)})
        waited += 1
        time.sleep(0.02)
    for _ in range(20_000):
        mirror.record({f"f{at}": at * 1.5 for at in range(features)})
    stats = mirror.stats()
    mirror.close(0.1)
    each = sys.getsizeof({f"f{at}": at for at in range(features)}) + features * sys.getsizeof(1.5)
    assert stats.seen + stats.waiting == 20_000 + waited
    assert 100 < stats.waiting < (1 << 20) / each
    assert stats.dropped == {"buffer_full": 20_000 + waited - stats.waiting}


def test_an_applications_seeded_numbers_are_its_own(tmp_path: Path) -> None:
    random.seed(7)
    expected = [random.random() for _ in range(3)]
    random.seed(7)
    with Mirror(f"spool:{tmp_path}/file") as mirror:
        for _ in range(100):
            mirror.record({"n": 1})
            assert mean_footprint_bytes(mirror._handoff.waiting) != 0
    assert [random.random() for _ in range(3)] == expected


def test_a_huge_payload_is_refused_by_its_length_and_counted(tmp_path: Path, spooled: Reader) -> None:
    huge: list[Any] = ["x" * 50_000_000, {"image": "x" * 50_000_000}, [0] * 2_000_000, b"x" * 2_000_000]
    with Mirror(f"spool:{tmp_path}") as mirror:
        for payload in huge:
            mirror.record(payload=payload)
        assert mirror.stats().dropped == {"oversize": len(huge)}
        mirror.record(payload="small")
        mirror.record({"deep inside": [{"x": "x" * 50_000_000}]})  # found out when it is encoded
    assert mirror.stats().dropped == {"oversize": len(huge) + 1}
    assert [request.payload for request in spooled(tmp_path).requests] == ["small"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(JSON)
def test_a_deep_copy_is_equal_and_shares_nothing_that_can_change(value: Any) -> None:
    def containers(one: Any) -> set[int]:
        parts = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        own = {id(one)} if isinstance(one, (dict, list)) else set()
        return own.union(*map(containers, parts))

    copied = deep_copied(value)
    assert copied == value
    assert not containers(copied) & containers(value)


@given(JSON)
def test_a_footprint_is_at_least_that_of_the_value_itself(value: Any) -> None:
    assert footprint_bytes(value) >= sys.getsizeof(value)


@given(JSON, st.integers(1, 20))
def test_what_is_called_too_long_is_too_long(value: Any, max_bytes: int) -> None:
    if is_longer(value, max_bytes):
        assert len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) > max_bytes


def test_a_deep_copy_is_sent_as_it_was_at_that_moment(tmp_path: Path, spooled: Reader) -> None:
    payload, served = {"items": [{"id": 1}]}, {"output": [[1]]}
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(copy="deep")) as mirror:
        mirror.record(payload=payload, served=served)
        payload["items"][0]["id"] = served["output"][0][0] = 2
    [request] = spooled(tmp_path).requests
    assert (request.payload, request.served) == ({"items": [{"id": 1}]}, Served(output=[[1]]))


@pytest.mark.parametrize("copy", ["shallow", "deep"])
def test_a_value_that_holds_itself_never_raises(tmp_path: Path, copy: Any) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(copy=copy)) as mirror:
        mirror.record(payload=endless)
        mirror.record({"good": 1})
    assert (mirror.stats().mirrored, mirror.stats().dropped) == (1, {"unencodable": 1})


@pytest.mark.parametrize("ts", [1_795_507_200, 1_795_507_200_000, 1_795_507_200_000_000, 0, -5, 10**21])
def test_a_time_that_is_not_in_nanoseconds_is_refused_and_said(
    tmp_path: Path, ts: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Mirror(f"spool:{tmp_path}") as mirror:
        mirror.record({"x": 1}, ts=ts)
    assert mirror.stats().dropped == {"unencodable": 1}
    assert f"`ts` {ts} is not in nanoseconds" in caplog.text


def test_coroutines_mirror_without_waiting(tmp_path: Path, spooled: Reader) -> None:
    async def serve(mirror: Mirror, who: int) -> None:
        for number in range(200):
            mirror.record({"n": number}, key=str(who))
            await asyncio.sleep(0)

    async def main() -> None:
        mirror = Mirror(f"spool:{tmp_path}")
        await asyncio.gather(*(serve(mirror, who) for who in range(20)))
        await asyncio.to_thread(mirror.close)

    asyncio.run(main())
    traffic = spooled(tmp_path)
    assert traffic.seqs == list(range(4000))
    for who in range(20):
        assert [one.features["n"] for one in traffic.requests if one.key == str(who)] == list(range(200))
