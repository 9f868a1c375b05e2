"""The mirror: what is recorded arrives, or is counted, and the caller never notices."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import CaptureSettings, Ledger, Mirror, Request, Served, SpoolReader, check_transport
from gnomon_capture.errors import SettingsError, TrafficError, UsageError
from gnomon_capture.record import decode_line
from hypothesis import given, settings
from hypothesis import strategies as st

Reader = Callable[..., Any]

QUICK = CaptureSettings(linger_s=0.01, ledger_every_s=60.0)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
)
PASSED = st.fixed_dictionaries(
    {"features": st.dictionaries(st.text(max_size=9), SCALARS, max_size=5)},
    optional={
        "payload": st.lists(SCALARS, max_size=3),
        "key": st.text(max_size=9),
        "request_id": st.text(min_size=1, max_size=9),
        "attributes": st.dictionaries(st.text(max_size=9), st.none() | st.text(max_size=9), max_size=3),
        "ts": st.just("2013-07-01T12:00:00Z"),
        "served": st.fixed_dictionaries({"label": st.text(max_size=9)}, optional={"score": st.floats(0, 1)}),
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(PASSED, max_size=30))
def test_what_was_passed_is_what_is_read(passed: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Mirror(f"spool:{folder}", service="s", settings=QUICK) as mirror:
            for one in passed:
                mirror.record(**one)
        reader = SpoolReader(folder)
        [partition] = reader.partitions()
        _, data = reader.read(partition)
    *requests, ledger = [decode_line(line) for line in data.splitlines()]
    for number, (request, one) in enumerate(zip(requests, passed, strict=True)):
        assert isinstance(request, Request)
        assert request.features == one["features"]
        assert request.payload == one.get("payload")
        assert request.key == one.get("key")
        assert request.request_id == one.get("request_id", request.request_id)
        assert request.attributes == one.get("attributes")
        assert request.ts == one.get("ts", request.ts)
        assert request.served == (Served(**one["served"]) if "served" in one else None)
        assert request.service == "s"
        assert request.origin is not None
        assert (request.origin.process, request.origin.seq) == (mirror.process, number)
    assert isinstance(ledger, Ledger)
    assert (ledger.seen, ledger.mirrored, ledger.closed) == (len(passed), len(passed), True)


def test_what_is_sent_is_what_was_passed_at_that_moment(tmp_path: Path, spooled: Reader) -> None:
    features, served, attributes, payload = {"x": 1}, {"label": "a"}, {"b": "c"}, [1]
    with Mirror(f"spool:{tmp_path}") as mirror:
        mirror.record(features, served=served, attributes=attributes, payload=payload)
        features["x"] = served["label"] = attributes["b"] = payload[0] = 2  # type: ignore[assignment]
    [request] = spooled(tmp_path).requests
    assert (request.features, request.served) == ({"x": 1}, Served(label="a"))
    assert (request.attributes, request.payload) == ({"b": "c"}, [1])


def test_many_threads_mirror_everything_once(tmp_path: Path, spooled: Reader) -> None:
    def serve(thread: int) -> None:
        for number in range(2000):
            mirror.record({"n": number}, key=str(thread), request_id=f"{thread}-{number}")

    with Mirror(f"spool:{tmp_path}") as mirror:
        threads = [threading.Thread(target=serve, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    traffic = spooled(tmp_path)
    assert traffic.seqs == list(range(16_000))
    assert {request.request_id for request in traffic.requests} == {
        f"{thread}-{number}" for thread in range(8) for number in range(2000)
    }
    for thread in range(8):  # each thread's requests are in its order
        mine = [request.features["n"] for request in traffic.requests if request.key == str(thread)]
        assert mine == list(range(2000))


def test_beyond_the_bound_requests_are_dropped_and_counted(tmp_path: Path, spooled: Reader) -> None:
    with Mirror(
        f"spool:{tmp_path}", settings=CaptureSettings(buffer_records=20, ledger_every_s=0.02)
    ) as mirror:
        for number in range(50_000):
            mirror.record({"n": number})
    traffic, stats = spooled(tmp_path), mirror.stats()
    assert stats.dropped["buffer_full"] > 0
    assert stats.seen == 50_000 == stats.mirrored + stats.dropped["buffer_full"]
    assert traffic.seqs == list(range(stats.mirrored))
    assert traffic.ledgers[-1].seen == 50_000
    assert traffic.ledgers[-1].dropped == stats.dropped


def test_bad_ones_among_good_ones_are_counted_by_reason(
    tmp_path: Path, spooled: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(max_record_bytes=2000)) as mirror:
        for number in range(1000):
            mirror.record({"n": number})
            if number % 10 == 0:
                mirror.record({"n": object()})
            if number % 50 == 0:
                mirror.record({"n": "x" * 2000})
            if number % 100 == 0:
                mirror.record(number)  # type: ignore[arg-type]
    traffic = spooled(tmp_path)
    assert [request.features["n"] for request in traffic.requests] == list(range(1000))
    assert traffic.seqs == list(range(1000))
    assert traffic.ledgers[-1].dropped == {"unencodable": 110, "oversize": 20}
    assert traffic.ledgers[-1].seen == 1130
    assert len([record for record in caplog.records if "cannot be mirrored" in record.getMessage()]) == 1


class Raises:
    """A mapping by look, that raises whatever is done with it."""

    def keys(self) -> Any:
        raise RuntimeError("keys")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"features": Raises()},
        {"features": [1, 2]},
        {"features": {"x": Raises()}},
        {"payload": Raises()},
        {"payload": {"x": [Raises()]}},
        {"features": {}, "served": Raises()},
        {"features": {}, "served": "late"},
        {"features": {}, "served": {"label": Raises()}},
        {"features": {}, "key": Raises()},
        {"features": {}, "attributes": Raises()},
        {"features": {}, "attributes": {"x": Raises()}},
        {"features": {}, "request_id": Raises()},
        {"features": {}, "ts": Raises()},
    ],
)
def test_recording_never_raises_whatever_is_passed(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with Mirror(f"spool:{tmp_path}") as mirror:
        mirror.record(**arguments)
        mirror.record({"good": 1})
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.dropped) == (2, 1, {"unencodable": 1})


def test_ledgers_count_what_stands_before_them(tmp_path: Path, spooled: Reader) -> None:
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(ledger_every_s=0.05)) as mirror:
        for number in range(300):
            mirror.record({"n": number})
            time.sleep(0.001)
    [lines] = spooled(tmp_path).lines.values()
    ledgers = [(at, line) for at, line in enumerate(lines) if isinstance(line, Ledger)]
    assert len(ledgers) > 3
    for before, (at, ledger) in enumerate(ledgers):
        assert ledger.mirrored == ledger.seen == ledger.upto_seq + 1 == at - before
        assert ledger.process == mirror.process
    assert [ledger.closed for _, ledger in ledgers] == [False] * (len(ledgers) - 1) + [True]
    assert ledgers[-1][1].mirrored == 300


def test_after_closing_requests_are_counted_as_such(tmp_path: Path, spooled: Reader) -> None:
    mirror = Mirror(f"spool:{tmp_path}")
    mirror.record({"n": 1})
    mirror.close()
    mirror.record({"n": 2})
    mirror.close()
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.dropped) == (2, 1, {"closed": 1})
    assert [ledger.closed for ledger in spooled(tmp_path).ledgers] == [True]


def test_a_mirror_without_requests_still_closes_its_account(tmp_path: Path, spooled: Reader) -> None:
    Mirror(f"spool:{tmp_path}").close()
    [ledger] = spooled(tmp_path).ledgers
    assert (ledger.seen, ledger.upto_seq, ledger.closed) == (0, -1, True)


def test_every_mirror_has_a_name_of_its_own(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        names = {stack.enter_context(Mirror(f"spool:{tmp_path}")).process for _ in range(5)}
    assert len(names) == 5
    assert set(SpoolReader(tmp_path).partitions()) == names


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"to": "traffic"}, "write kafka://host:9092/topic or spool:folder"),
        ({"process": "a/b"}, "cannot name a process"),
        ({"process": "../up"}, "cannot name a process"),
        ({"settings": CaptureSettings(buffer_records=0)}, r"\[capture.buffer_records\]"),
    ],
)
def test_wrong_arguments_are_refused_at_once(tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Mirror(**{"to": f"spool:{tmp_path}", **arguments})


def test_settings_are_checked_like_any_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="linger_s"):
        Mirror(f"spool:{tmp_path}", settings=CaptureSettings(linger_s=-1.0))


def test_a_place_that_cannot_be_written_is_logged_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    mirror = Mirror(f"spool:{tmp_path}/file/spool", settings=CaptureSettings(buffer_records=10))
    for number in range(20):
        mirror.record({"n": number})
    assert mirror.stats().away or mirror.stats().waiting
    started = time.monotonic()
    mirror.close(0.5)
    assert time.monotonic() - started < 2
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored) == (20, 0)
    assert stats.dropped == {"buffer_full": 10, "unsent": 10}
    begun, ended = [record.getMessage() for record in caplog.records]
    assert "Not a directory" in begun
    assert "10 requests could not be sent" in ended


@pytest.mark.parametrize("attempt", [lambda to: Mirror(to, require=True), check_transport])
def test_a_place_that_cannot_be_written_can_be_required(
    tmp_path: Path, attempt: Callable[[str], object]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrafficError, match="may this user write there") as caught:
        attempt(f"spool:{tmp_path}/file/spool")
    assert caught.value.address == f"spool:{tmp_path}/file/spool"


def test_checking_a_spool_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_transport(f"spool:{tmp_path}/new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_process_name_cannot_be_used_twice(tmp_path: Path, spooled: Reader) -> None:
    with Mirror(f"spool:{tmp_path}", process="web") as mirror:
        mirror.record({"n": 1})
    with pytest.raises(TrafficError, match="give each mirror a `process` name of its own"):
        Mirror(f"spool:{tmp_path}", process="web", require=True)
    assert len(spooled(tmp_path).requests) == 1


def script(body: str, *arguments: object) -> subprocess.Popen[str]:
    code = f"import sys, time\nfrom gnomon_capture import *\n{body}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_interpreters_exit_closes_the_mirror(tmp_path: Path, spooled: Reader) -> None:
    process = script(
        "mirror = Mirror('spool:' + sys.argv[1])\nfor n in range(5000): mirror.record({'n': n})", tmp_path
    )
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    traffic = spooled(tmp_path)
    assert traffic.seqs == list(range(5000))
    assert traffic.ledgers[-1].closed


def test_exit_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = script(
        "mirror = Mirror(f'spool:{sys.argv[1]}/file/spool', settings=CaptureSettings(close_timeout_s=0.5))\n"
        "mirror.record({'n': 1})",
        tmp_path,
    )
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 0
    assert "1 requests could not be sent" in errors


def test_killing_the_process_loses_nothing_that_was_written(tmp_path: Path, spooled: Reader) -> None:
    process = script(
        "mirror = Mirror('spool:' + sys.argv[1], settings=CaptureSettings(segment_bytes=100_000))\n"
        "for n in range(5000): mirror.record({'n': n})\n"
        "while mirror.stats().mirrored < 5000 or mirror.stats().unacknowledged: time.sleep(0.01)\n"
        "print('written', flush=True)\n"
        "time.sleep(60)",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    before = len(spooled(tmp_path).requests)  # what is still being written is not there yet
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    traffic = spooled(tmp_path)
    assert before < 5000
    assert traffic.seqs == list(range(5000))
    assert not any(ledger.closed for ledger in traffic.ledgers)


def test_a_full_disk_tears_no_line_and_the_traffic_goes_on_when_there_is_room(
    tmp_path: Path, spooled: Reader
) -> None:
    process = script(
        "import logging, resource\n"
        "logging.basicConfig(format='%(message)s')\n"
        "mirror = Mirror('spool:' + sys.argv[1], settings=CaptureSettings(linger_s=0.01))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, resource.RLIM_INFINITY))\n"
        "for n in range(1000): mirror.record({'n': n})\n"
        "while not mirror.stats().away: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "while mirror.stats().away: time.sleep(0.01)\n",
        tmp_path,
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    traffic = spooled(tmp_path)
    assert [request.features["n"] for request in traffic.requests] == list(range(1000))
    assert traffic.seqs == list(range(1000))
    assert traffic.ledgers[-1].seen == 1000
    begun, ended = errors.splitlines()
    assert "File too large" in begun
    assert "goes on" in ended


def test_the_log_stays_silent_while_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Mirror(f"spool:{tmp_path}") as mirror:
        mirror.record({"n": 1})
    assert caplog.records == []
