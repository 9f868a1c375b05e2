"""Kafka as a transport, against a real broker."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Broker
from gnomon_capture import CaptureSettings, Mirror, check_transport, delivery
from gnomon_capture import kafka as adapter
from gnomon_capture.errors import TrafficError, UsageError
from kafka import KafkaAdminClient, KafkaProducer
from kafka.partitioner import DefaultPartitioner

Reader = Callable[..., Any]

PARTITIONS = 4
# kafka-python leaves sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

KEYS = [f"N{number:05d}" for number in range(60)] + ["", "ключ", "🛩", "a" * 100]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()  # while the mark above holds, not in somebody else's test


def test_everything_arrives_once_with_each_key_where_every_client_puts_it(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic(partitions=PARTITIONS)
    with Mirror(f"kafka://{bootstrap}/{topic}", settings=CaptureSettings(ledger_every_s=0.3)) as mirror:
        for number in range(6000):
            mirror.record({"n": number}, key=KEYS[number % len(KEYS)])
            if number % 1000 == 0:
                time.sleep(0.2)
    traffic = consumed(bootstrap, topic)
    assert traffic.seqs == list(range(6000))
    assert sorted(request.features["n"] for request in traffic.requests) == list(range(6000))
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        expected = {key: producer.send(topic, b"", key=key.encode()).get(30).partition for key in KEYS}
    found: dict[str, set[int]] = {}
    for partition, lines in traffic.lines.items():
        for key in {line.key for line in lines if hasattr(line, "key")}:
            found.setdefault(key, set()).add(partition)
    assert found == {key: {partition} for key, partition in expected.items()}
    for key in KEYS:  # and in order
        mine = [request.features["n"] for request in traffic.requests if request.key == key]
        assert mine == sorted(mine)


def test_ledgers_go_to_one_partition_and_the_last_one_balances(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic(partitions=PARTITIONS)
    with Mirror(f"kafka://{bootstrap}/{topic}", settings=CaptureSettings(ledger_every_s=0.1)) as mirror:
        for number in range(1000):
            mirror.record({"n": number} if number % 100 else {"n": object()})
            time.sleep(0.001)
    traffic = consumed(bootstrap, topic)
    where = {
        partition
        for partition, lines in traffic.lines.items()
        if any(hasattr(line, "ledger") for line in lines)
    }
    assert len(where) == 1
    assert len(traffic.ledgers) > 3
    assert [ledger.upto_seq for ledger in traffic.ledgers] == sorted(
        ledger.upto_seq for ledger in traffic.ledgers
    )
    last = traffic.ledgers[-1]
    assert (last.seen, last.mirrored, last.dropped, last.closed) == (1000, 990, {"unencodable": 10}, True)
    assert traffic.seqs == list(range(990))


def test_records_travel_together_and_those_without_a_key_take_turns(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic(partitions=PARTITIONS)
    with Mirror(f"kafka://{bootstrap}/{topic}", settings=CaptureSettings(frame_records=100)) as mirror:
        for number in range(1000):
            mirror.record({"n": number})
    traffic = consumed(bootstrap, topic)
    records = {partition: len(lines) for partition, lines in traffic.lines.items()}
    assert sum(records.values()) == 1001
    assert set(records) == set(range(PARTITIONS))
    assert max(records.values()) <= 301
    assert sum(traffic.messages.values()) == 11  # ten frames and the ledger


def test_the_hash_is_kafkas_own() -> None:
    class Cluster:
        def topics(self) -> set[str]:
            return {"t"}

        def partitions_for_topic(self, topic: str) -> set[int]:
            return set(range(7))

        available_partitions_for_topic = partitions_for_topic

    for key in KEYS:
        data = key.encode()
        theirs = DefaultPartitioner().partition("t", key, data, b"", b"", Cluster())
        assert adapter._hash(key) % 7 == theirs


def test_a_topic_that_is_not_there_can_be_found_out_early(bootstrap: str) -> None:
    address = f"kafka://{bootstrap}/gnomon-test-misspelt"
    with pytest.raises(TrafficError, match="has no topic 'gnomon-test-misspelt'; create it") as caught:
        check_transport(address, kafka={"max_block_ms": 500})
    assert caught.value.address == address


def test_a_topic_that_comes_late_gets_what_waited(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic()
    missing = f"{topic}-late"
    mirror = Mirror(f"kafka://{bootstrap}/{missing}", kafka={"max_block_ms": 300})
    for number in range(100):
        mirror.record({"n": number})
    time.sleep(1)
    assert (mirror.stats().away, mirror.stats().waiting) == (True, 100)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({missing: {"num_partitions": 1}}, wait_for_metadata=True)
        mirror.close()
        traffic = consumed(bootstrap, missing)
        admin.delete_topics([missing])
    assert traffic.seqs == list(range(100))
    assert traffic.ledgers[-1].closed


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_broker_that_is_not_there_can_be_found_out_early(
    nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrafficError, match="is a broker running there"):
        Mirror(f"kafka://{nobody}/t", kafka={"bootstrap_timeout_ms": 500}, require=True)
    assert caplog.records == []  # the error says it all


def test_a_broker_that_is_not_there_is_one_line_in_the_log(
    nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = Mirror(f"kafka://{nobody}/t", kafka={"bootstrap_timeout_ms": 300})
    started = time.monotonic()
    for number in range(100):
        mirror.record({"n": number})
    assert time.monotonic() - started < 1.0
    time.sleep(2)
    mirror.close(0.5)
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.dropped) == (100, 0, {"unsent": 100})
    begun, ended = [record.getMessage() for record in caplog.records]
    assert "is a broker running there" in begun
    assert "100 requests could not be sent" in ended


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("retires", "no setting of kafka-python"),
        ("bootstrap_servers", "set by gnomon"),
        ("client_id", "set by gnomon"),
    ],
)
def test_a_setting_that_is_unknown_or_gnomons_own_is_refused_at_once(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.*{says}"):
        Mirror("kafka://localhost:9092/t", kafka={name: 1})


def test_arrow_without_pyarrow_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gnomon_capture.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow; install it"):
        Mirror("kafka://localhost:9/t", settings=CaptureSettings(wire="arrow"))


def test_settings_that_do_not_fit_together_are_the_callers_mistake(bootstrap: str, topic: str) -> None:
    with pytest.raises(UsageError, match="correct the Kafka settings"):
        check_transport(f"kafka://{bootstrap}/{topic}", kafka={"acks": 1})


def test_what_the_topic_will_not_take_is_halved_and_only_the_culprit_lost(
    bootstrap: str, topic: str, consumed: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    small = f"{topic}-small"
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        configs = {"max.message.bytes": 20_000}
        admin.create_topics({small: {"num_partitions": 1, "configs": configs}}, wait_for_metadata=True)
        with Mirror(f"kafka://{bootstrap}/{small}") as mirror:
            for number in range(40):
                mirror.record(payload=os.urandom(2000).hex(), request_id=str(number))
            mirror.record(payload=os.urandom(40_000).hex(), request_id="huge")
            mirror.record(payload="small", request_id="last")
        traffic = consumed(bootstrap, small)
        admin.delete_topics([small])
    ids = {request.request_id for request in traffic.requests}
    assert ids == {*map(str, range(40)), "last"}
    last = traffic.ledgers[-1]
    assert (last.seen, last.mirrored) == (42, 42)  # it had a number: its absence shows as missing
    assert set(range(42)) - set(traffic.seqs) == {40}
    stats = mirror.stats()
    assert (stats.refused, stats.unacknowledged) == (1, 0)
    [record] = [record for record in caplog.records if record.name == "gnomon_capture"]
    assert "is too large for" in record.getMessage()


def test_a_broker_stopped_in_the_middle_costs_nothing_but_time(
    own_broker: Broker, consumed: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_STALLED_S", 2.0)
    own_broker.create_topic("flights", partitions=2)
    settings = CaptureSettings(linger_s=0.05, ledger_every_s=0.5)
    mirror = Mirror(f"kafka://{own_broker.bootstrap}/flights", settings=settings)
    longest_s = 0.0
    number = 0
    stop = threading.Event()

    def serve() -> None:
        nonlocal longest_s, number
        while not stop.is_set():
            started = time.perf_counter()
            mirror.record({"n": number}, key=KEYS[number % len(KEYS)])
            longest_s = max(longest_s, time.perf_counter() - started)
            number += 1
            time.sleep(0.001)

    server = threading.Thread(target=serve)
    server.start()
    time.sleep(1)
    own_broker.stop()
    time.sleep(4)
    assert mirror.stats().away
    own_broker.start()
    deadline = time.monotonic() + 30
    while mirror.stats().away and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    server.join()
    mirror.close()
    traffic = consumed(own_broker.bootstrap, "flights")
    assert traffic.seqs == list(range(number))
    for key in KEYS:
        mine = [request.features["n"] for request in traffic.requests if request.key == key]
        assert mine == sorted(mine)
    last = traffic.ledgers[-1]
    assert (last.seen, last.mirrored, last.closed) == (number, number, True)
    assert longest_s < 1.0  # a call that waits for Kafka takes seconds
    begun, ended = [record.getMessage() for record in caplog.records if record.name == "gnomon_capture"]
    assert "nothing was acknowledged for 2 s" in begun
    assert "goes on after" in ended
    ours = [record for record in caplog.records if (record.threadName or "").startswith("gnomon-")]
    assert {record.name for record in ours} == {"gnomon_capture"}


def test_a_broker_killed_for_good_is_given_up_in_time(
    own_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    own_broker.create_topic("flights")
    mirror = Mirror(f"kafka://{own_broker.bootstrap}/flights")
    for number in range(100):
        mirror.record({"n": number})
    deadline = time.monotonic() + 10
    while (mirror.stats().mirrored < 100 or mirror.stats().unacknowledged) and time.monotonic() < deadline:
        time.sleep(0.01)
    own_broker.kill()
    for number in range(50):
        mirror.record({"n": number})
    started = time.monotonic()
    mirror.close(2)
    assert time.monotonic() - started < 4
    stats = mirror.stats()
    assert (stats.seen, stats.mirrored, stats.unacknowledged) == (150, 150, 50)
    assert "50 were sent and not acknowledged" in caplog.records[-1].getMessage()


def test_the_interpreters_exit_sends_what_waits(bootstrap: str, topic: str, consumed: Reader) -> None:
    code = (
        "import sys, time; from gnomon_capture import Mirror; mirror = Mirror(sys.argv[1])\n"
        "for number in range(5000): mirror.record({'n': number})\n"
        "while not mirror.stats().mirrored: time.sleep(0.001)\n"
    )
    command = [sys.executable, "-c", code, f"kafka://{bootstrap}/{topic}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    traffic = consumed(bootstrap, topic)
    assert traffic.seqs == list(range(5000))
    assert traffic.ledgers[-1].closed


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(path).startswith("socket:")
    return count


def test_an_attempt_that_fails_leaves_no_socket_behind(bootstrap: str, topic: str) -> None:
    gc.collect()
    before = sockets()
    gc.disable()  # it may not come for long in a quiet process
    try:
        for _ in range(5):
            with pytest.raises(UsageError):
                check_transport(f"kafka://{bootstrap}/{topic}", kafka={"acks": 1})
        assert sockets() <= before
    finally:
        gc.enable()


def test_a_refused_connection_leaves_no_socket_behind(nobody: str) -> None:
    gc.collect()
    before = sockets()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(TrafficError):
                check_transport(f"kafka://{nobody}/t", kafka={"bootstrap_timeout_ms": 300})
        assert sockets() <= before
    finally:
        gc.enable()


def test_only_the_mirrors_own_threads_are_kept_quiet(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("kafka.net.manager")
    logger.error("of the application")
    thread = threading.Thread(
        target=logger.error, args=("of the mirror",), name="gnomon-web.1.0-network-thread"
    )
    thread.start()
    thread.join()
    assert [record.getMessage() for record in caplog.records] == ["of the application"]
