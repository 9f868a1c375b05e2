"""Overflow: what comes while the traffic is away lies on the disk, and arrives in order when it is back."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker import Broker
from gnomon_capture import CaptureSettings, Mirror, delivery
from gnomon_capture.address import parse_address
from gnomon_capture.overflow import overflow_folder
from gnomon_capture.segments import has_segments
from gnomon_capture.spool_writer import SpoolWriter
from kafka import KafkaAdminClient

Reader = Callable[..., Any]

KEYS = [f"N{number:05d}" for number in range(20)]
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def overflow(tmp_path: Path) -> Path:
    return tmp_path / "overflow"


@pytest.fixture
def away(tmp_path: Path) -> str:
    """A spool that cannot be made until `arrives` is called: a file is in its place."""
    (tmp_path / "traffic").touch()
    return f"spool:{tmp_path}/traffic/spool"


def arrives(to: str) -> None:
    folder = Path(to.removeprefix("spool:")).parent
    folder.unlink()
    folder.mkdir()


def until(what: Callable[[], bool], timeout_s: float = 100.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def settings(overflow: Path, **changes: Any) -> CaptureSettings:
    return CaptureSettings(overflow=str(overflow), linger_s=0.01, ledger_every_s=0.2, **changes)


def lies_there(overflow: Path) -> bool:
    return any(has_segments(path) for path in overflow.glob("*/*") if path.is_dir())


def test_while_the_traffic_is_away_requests_lie_on_the_disk_and_then_arrive_in_order(
    away: str, overflow: Path, spooled: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror(away, settings=settings(overflow, buffer_records=500))
    until(lambda: mirror.stats().away)
    for number in range(5000):  # ten times what the buffer holds
        mirror.record({"n": number if number % 10 else float("nan")}, key="k")
        if number % 50 == 0:
            time.sleep(0.005)
    until(lambda: mirror.stats().mirrored == 5000)
    assert (mirror.stats().overflowing, mirror.stats().unacknowledged) == (True, 5000)
    arrives(away)
    until(lambda: not mirror.stats().overflowing)
    for number in range(100):
        mirror.record({"n": number})
    mirror.close()
    traffic = spooled(Path(away.removeprefix("spool:")))
    assert [request.origin.seq for request in traffic.requests] == list(range(5100))
    last = traffic.ledgers[-1]
    assert (last.seen, last.mirrored, last.dropped, last.closed) == (5100, 5100, {}, True)
    [lines] = traffic.lines.values()
    for at, ledger in [(at, line) for at, line in enumerate(lines) if hasattr(line, "ledger")]:
        before = [line.origin.seq for line in lines[:at] if hasattr(line, "origin")]
        assert ledger.upto_seq == max(before, default=-1)
    assert not lies_there(overflow)
    begun, ended = [record.getMessage() for record in caplog.records]
    assert "Requests go to" in begun
    assert "goes on after" in ended


def test_a_broker_that_is_only_slow_has_its_two_lines_in_the_log(
    overflow: Path,
    tmp_path: Path,
    spooled: Reader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "_UNDER_WAY_BYTES", 10_000)
    slow = threading.Event()
    collect = SpoolWriter.collect

    def late(self: SpoolWriter) -> Any:
        return ([], []) if slow.is_set() and self.path.is_relative_to(tmp_path / "traffic") else collect(self)

    monkeypatch.setattr(SpoolWriter, "collect", late)
    mirror = Mirror(
        f"spool:{tmp_path}/traffic", settings=settings(overflow, buffer_records=500), require=True
    )
    slow.set()
    for number in range(3000):
        mirror.record({"n": number})
        if number % 50 == 0:
            time.sleep(0.005)
    until(lambda: mirror.stats().overflowing and mirror.stats().mirrored == 3000)
    slow.clear()
    until(lambda: not mirror.stats().overflowing)
    mirror.close()
    assert spooled(tmp_path / "traffic").seqs == list(range(3000))
    begun, ended = [record.getMessage() for record in caplog.records]
    assert "slower than the requests come" in begun
    assert "keeps up again after" in ended


def test_past_its_bound_requests_are_dropped_under_their_own_reason(
    away: str, overflow: Path, spooled: Reader
) -> None:
    mirror = Mirror(away, settings=settings(overflow, buffer_records=200, overflow_bytes=100_000))
    until(lambda: mirror.stats().away)
    for number in range(20_000):
        mirror.record({"n": number})
        if number % 50 == 0:
            time.sleep(0.002)
    dropped = mirror.stats().dropped
    assert dropped["overflow_full"] > 10_000
    # Measured once a second, so it may be exceeded by what comes in one; here all of it is little.
    assert sum(path.stat().st_size for path in overflow.rglob("*.ndjson*")) < 2_000_000
    arrives(away)
    mirror.close()
    traffic = spooled(Path(away.removeprefix("spool:")))
    last = traffic.ledgers[-1]
    assert last.closed
    assert last.seen == 20_000 == last.mirrored + sum(last.dropped.values())
    assert [request.origin.seq for request in traffic.requests] == list(range(last.mirrored))


def test_what_a_process_leaves_at_its_end_the_next_one_sends_with_its_ledger(
    away: str, overflow: Path, spooled: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    first = Mirror(away, settings=settings(overflow))
    for number in range(1000):
        first.record({"n": number})
    first.close(2)
    assert "stay in" in caplog.records[-1].getMessage()
    assert lies_there(overflow)
    arrives(away)
    with Mirror(away, settings=settings(overflow)) as second:
        second.record({"n": -1})
        until(lambda: not lies_there(overflow))
    traffic = spooled(Path(away.removeprefix("spool:")))
    seqs = [request.origin.seq for request in traffic.requests if request.origin.process == first.process]
    assert seqs == list(range(1000))
    closing = {ledger.process: ledger for ledger in traffic.ledgers if ledger.closed}
    assert closing[first.process].mirrored == closing[first.process].seen == 1000
    assert (closing[second.process].mirrored, second.stats().unacknowledged) == (1, 0)


def test_what_a_killed_process_left_is_adopted_and_a_living_ones_is_not(
    away: str, overflow: Path, spooled: Reader
) -> None:
    code = (
        "import sys, time; from gnomon_capture import Mirror, CaptureSettings\n"
        "mirror = Mirror(sys.argv[1], settings=CaptureSettings(overflow=sys.argv[2], ledger_every_s=0.1))\n"
        "for n in range(3000): mirror.record({'n': n})\n"
        "while mirror.stats().mirrored < 3000: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "print(mirror.process, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, away, str(overflow)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    names = [process.stdout.readline().strip() for process in both if process.stdout]
    both[0].send_signal(signal.SIGKILL)
    both[0].wait()
    both[1].send_signal(signal.SIGSTOP)  # alive, and it will not drain its own meanwhile
    arrives(away)
    with Mirror(away, settings=settings(overflow)):
        until(lambda: not any(overflow.glob(f"*/{names[0]}")))
    both[1].kill()
    for process in both:
        process.communicate()
    assert any(overflow.glob(f"*/{names[1]}"))
    traffic = spooled(Path(away.removeprefix("spool:")))
    seqs = [request.origin.seq for request in traffic.requests if request.origin.process == names[0]]
    assert seqs == list(range(3000))
    last = [ledger for ledger in traffic.ledgers if ledger.process == names[0]][-1]
    assert (last.mirrored, last.closed) == (3000, False)


def test_a_disk_that_is_full_too_leaves_the_memory(away: str, tmp_path: Path, spooled: Reader) -> None:
    overflow = tmp_path / "nowhere"
    overflow.touch()
    mirror = Mirror(away, settings=settings(overflow, buffer_records=100))
    until(lambda: mirror.stats().away)
    for number in range(500):
        mirror.record({"n": number})
    assert mirror.stats().dropped == {"buffer_full": 400}
    arrives(away)
    mirror.close()
    traffic = spooled(Path(away.removeprefix("spool:")))
    assert [request.features["n"] for request in traffic.requests] == list(range(100))
    assert traffic.ledgers[-1].seen == 500


def test_a_disk_that_fills_up_tears_nothing(away: str, overflow: Path, spooled: Reader) -> None:
    code = (
        "import resource, shutil, sys, time\n"
        "from pathlib import Path\n"
        "from gnomon_capture import Mirror, CaptureSettings\n"
        "to = sys.argv[1]\n"
        "settings = CaptureSettings(overflow=sys.argv[2], linger_s=0.01, ledger_every_s=0.2)\n"
        "mirror = Mirror(to, settings=settings)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_001, resource.RLIM_INFINITY))\n"
        "for n in range(1000): mirror.record({'n': n}); time.sleep(0.0005)\n"
        "time.sleep(3)\n"
        "assert 0 < mirror.stats().mirrored < 1000\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "folder = Path(to.removeprefix('spool:')).parent; folder.unlink(); folder.mkdir()\n"
    )
    command = [sys.executable, "-c", code, away, str(overflow)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    traffic = spooled(Path(away.removeprefix("spool:")))
    assert [request.features["n"] for request in traffic.requests] == list(range(1000))
    assert traffic.seqs == list(range(1000))
    assert traffic.ledgers[-1].closed


def test_mirrors_to_other_addresses_keep_apart() -> None:
    addresses = [
        "kafka://a:9092,b:9092/t",
        "kafka://a:9092/t",
        "kafka://a:9092/u",
        "spool:t",
        "spool:u",
    ]
    folders = [overflow_folder("o", parse_address(address)) for address in addresses]
    assert len(set(folders)) == len(addresses)
    assert overflow_folder("o", parse_address("kafka://b:9092,a:9092/t")) == folders[0]


@pytest.mark.parametrize(("how", "outages"), [("stop", 2), ("kill", 1)])
def test_a_broker_gone_in_the_middle_of_traffic_costs_nothing_but_time(
    own_broker: Broker,
    overflow: Path,
    consumed: Reader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
    outages: int,
) -> None:
    monkeypatch.setattr(delivery, "_STALLED_S", 2.0)
    own_broker.create_topic("flights", partitions=3)
    mirror = Mirror(
        f"kafka://{own_broker.bootstrap}/flights", settings=settings(overflow, buffer_records=500)
    )
    number = 0
    stop = threading.Event()

    def serve() -> None:
        nonlocal number
        while not stop.is_set():
            mirror.record({"n": number}, key=KEYS[number % len(KEYS)])
            number += 1
            time.sleep(0.001)

    server = threading.Thread(target=serve)
    server.start()
    for _ in range(outages):
        until(lambda: mirror.stats().mirrored > 0 and not mirror.stats().overflowing)
        getattr(own_broker, how)()
        until(lambda: mirror.stats().overflowing)
        time.sleep(2)
        own_broker.start()
        until(lambda: not mirror.stats().overflowing)
        time.sleep(0.5)
    stop.set()
    server.join()
    mirror.close()
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.unacknowledged) == (number, number, 0)
    traffic = consumed(own_broker.bootstrap, "flights")
    assert traffic.seqs == list(range(number))  # all of them, each once
    for key in KEYS:
        mine = [request.features["n"] for request in traffic.requests if request.key == key]
        assert mine == sorted(mine)
    last = traffic.ledgers[-1]
    assert (last.seen, last.mirrored, last.closed) == (number, number, True)
    ours = [record.getMessage() for record in caplog.records if record.name == "gnomon_capture"]
    assert ["interrupted" in one for one in ours] == [True, False] * outages


def test_a_broker_that_is_down_at_the_start_and_a_topic_that_comes_late(
    bootstrap: str, new_topic: Callable[..., str], overflow: Path, consumed: Reader
) -> None:
    missing = f"{new_topic()}-late"
    mirror = Mirror(
        f"kafka://{bootstrap}/{missing}",
        settings=settings(overflow, buffer_records=2000),
        kafka={"max_block_ms": 300},
    )
    until(lambda: mirror.stats().away)
    for number in range(3000):
        mirror.record({"n": number}, key=KEYS[number % len(KEYS)])
        if number % 50 == 0:
            time.sleep(0.01)
    assert mirror.stats().dropped == {}
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({missing: {"num_partitions": 3}}, wait_for_metadata=True)
        mirror.close()
        traffic = consumed(bootstrap, missing)
        admin.delete_topics([missing])
    assert traffic.seqs == list(range(3000))
    for key in KEYS:
        mine = [request.features["n"] for request in traffic.requests if request.key == key]
        assert mine == sorted(mine)
    assert traffic.ledgers[-1].closed
    assert not lies_there(overflow)
