"""A worker on a real broker: what it reads to the end, what is pending, and every error in words."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kafka.errors
import pytest
from gnomon_capture import CaptureSettings, Mirror
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_replay.kafka_source import KafkaSource, translated
from gnomon_replay.log import app_id
from gnomon_replay.pending import count_pending
from gnomon_replay.window import Window
from gnomon_replay.worker import Worker
from kafka import KafkaProducer

PARTITIONS = 3
TORN_EVERY = 800


def produce(
    bootstrap: str, topic: str, numbers: range, lines_each: int = 20, partitions: int = PARTITIONS
) -> None:
    """Requests with these numbers, so many a message; now and then a line that is no record."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all")) as producer:
        for start in range(numbers.start, numbers.stop, lines_each):
            lines = [record(x) for x in range(start, min(start + lines_each, numbers.stop))]
            if start % TORN_EVERY == 0:
                lines.insert(len(lines) // 2, b'{"request_id": "torn\n')
            producer.send(topic, b"".join(lines), partition=start // lines_each % partitions)


def record(x: int) -> bytes:
    fields = {
        "request_id": f"r{x}",
        "ts": f"2026-11-{1 + x % 20:02d}T08:00:00Z",
        "features": {"x": x},
        "served": {"label": x % 2},
        "origin": {"process": "p", "seq": x},
    }
    return json.dumps(fields).encode() + b"\n"


@pytest.fixture
def traffic(bootstrap: str, new_topic: Callable[..., str]) -> tuple[str, str]:
    """A broker's address, and a topic of several partitions."""
    return bootstrap, new_topic(partitions=PARTITIONS)


@pytest.fixture
def source(traffic: tuple[str, str]) -> Iterator[KafkaSource]:
    source = KafkaSource("kafka://{}/{}".format(*traffic), "g")
    yield source
    source.close()


def test_an_empty_topic_ends_at_once(folder: Path, source: KafkaSource, work: Callable[..., Worker]) -> None:
    began = time.monotonic()
    done = work(source).run(until_caught_up=True)
    assert (done.pairs, done.commits, done.todo, done.lag) == (0, 0, 0, 0)
    assert time.monotonic() - began < 10
    assert not (folder / "e").exists()


def test_messages_of_every_kind_are_read_to_the_end(
    traffic: tuple[str, str], source: KafkaSource, work: Callable[..., Worker], logged: Callable[..., Any]
) -> None:
    """Frames, single records, tombstones, empty ones, other encodings; behind them a transaction's end."""
    bootstrap, topic = traffic
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        producer.send(topic, b"".join(record(x) for x in range(10)), partition=0)
        producer.send(topic, record(10).rstrip(), partition=0)
        producer.send(topic, None, key=b"k", partition=0)
        producer.send(topic, b"", partition=0)
        producer.send(topic, record(11), partition=0, headers=[("content-type", b""), ("other", b"\xff")])
        producer.send(topic, record(12), partition=0, headers=[("content-type", b"application/x-ndjson")])
        producer.send(
            topic, b"ARROW1", partition=0, headers=[("content-type", b"application/vnd.apache.arrow.stream")]
        )
        producer.flush()
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)) as producer:
        producer.init_transactions()
        for x in (13, 14):
            producer.begin_transaction()
            producer.send(topic, record(x), partition=1)
            producer.commit_transaction()
    done = work(source).run(until_caught_up=True)
    placed = [
        (row["request_id"], row["source"]["partition"], row["source"]["offset"], row["source"]["line"])
        for row in logged()
    ]
    assert placed == [
        *((f"r{x}", "0", 0, x) for x in range(10)),
        ("r10", "0", 1, 0),
        ("r11", "0", 4, 0),
        ("r12", "0", 5, 0),
        ("r13", "1", 0, 0),
        ("r14", "1", 2, 0),
    ]
    [letter] = logged("dead_letters")
    assert (letter["source"]["offset"], letter["bytes"]) == (6, b"ARROW1")
    assert letter["source"]["name"] == source.ends().popitem()[0].rpartition("/")[0]
    assert (done.pairs, done.lag) == (15, 0)
    again = KafkaSource("kafka://{}/{}".format(*traffic), "other")
    with contextlib.closing(again):
        assert work(again).run(until_caught_up=True).commits == 0


def test_a_mirror_that_sends_arrow_loses_nothing_on_the_way(
    traffic: tuple[str, str], source: KafkaSource, work: Callable[..., Worker], logged: Callable[..., Any]
) -> None:
    """Payloads, which have no such form, go as lines between the streams."""
    settings = CaptureSettings(wire="arrow", linger_s=0.1)
    with Mirror("kafka://{}/{}".format(*traffic), settings=settings, process="p") as mirror:
        for x in range(3000):
            if x % 1000 == 500:
                mirror.record(payload={"x": x}, request_id=f"r{x}")
            else:
                mirror.record({"x": x}, served={"label": x % 2}, key=f"k{x % 7}", request_id=f"r{x}")
            if x % 100 == 0:
                time.sleep(0.01)
    frames = []
    looking = KafkaSource("kafka://{}/{}".format(*traffic), None)
    with contextlib.closing(looking):
        worker = work(source)
        pending = count_pending(looking, worker._log.positions)
    assert {process: sorted(seqs) for process, seqs in pending.seqs.items()} == {"p": list(range(3000))}
    done = worker.run(until_caught_up=True)
    rows = logged()
    assert sorted(row["origin"]["seq"] for row in rows) == list(range(3000))
    assert {row["request_id"]: row["features"] and row["features"]["x"] for row in rows} == {
        f"r{x}": None if x % 1000 == 500 else x for x in range(3000)
    }
    assert (done.pairs, done.dead_letters, done.duplicates) == (3000, 0, 0)
    looking = KafkaSource("kafka://{}/{}".format(*traffic), None)
    with contextlib.closing(looking):
        looking.start(SimpleNamespace(given=lambda _: None, taken=lambda _: None))
        looking.rewind(dict.fromkeys(looking.ends()))
        while more := looking.read(1.0):
            frames += more
    # A frame with a payload in it stays lines as a whole.
    assert any(frame.is_arrow for frame in frames)
    assert any(b'"payload"' in frame.data for frame in frames)


def test_a_header_without_a_value_says_nothing(source: KafkaSource) -> None:
    message = SimpleNamespace(topic="t", partition=0, offset=7, value=b"x", headers=[("content-type", None)])
    assert source._frame(message).content_type is None


def test_what_is_pending_is_counted_from_the_logs_positions(
    traffic: tuple[str, str], source: KafkaSource, work: Callable[..., Worker]
) -> None:
    produce(*traffic, range(200))
    worker = work(source)
    worker.run(until_caught_up=True)
    produce(*traffic, range(200, 290))
    looking = KafkaSource("kafka://{}/{}".format(*traffic), None)
    with contextlib.closing(looking):
        digest = worker._digests[0]

        def positions(places: list[str]) -> dict[str, int | None]:
            found = worker._log.positions(app_id(place, digest) for place in places)
            return {place: found[app_id(place, digest)] for place in places}

        pending = count_pending(looking, positions)
    assert pending.records == 90
    assert {process: sorted(seqs) for process, seqs in pending.seqs.items()} == {"p": list(range(200, 290))}
    assert {place.rpartition("/")[2] for place in pending.places} == {"0", "1", "2"}


def test_several_topics_and_an_expression_read_the_same_lines_under_the_same_names(
    bootstrap: str,
    new_topic: Callable[..., str],
    folder: Path,
    work: Callable[..., Worker],
    logged: Callable[..., Any],
) -> None:
    """First one topic alone, then both by name, then by expression: each goes on where the log stands."""
    one, two = new_topic(partitions=2), new_topic()
    produce(bootstrap, one, range(40), partitions=2)
    produce(bootstrap, two, range(1000, 1060), partitions=1)

    def replayed(names: str) -> tuple[int, dict[str, int]]:
        with contextlib.closing(
            KafkaSource(f"kafka://{bootstrap}/{names}", f"g-{one}-{names[:3]}")
        ) as source:
            done = work(source).run(until_caught_up=True)
            assert done.lag == 0
            return done.pairs, source.ends()

    assert replayed(one)[0] == 40
    assert replayed(f"{one},{two}")[0] == 60
    produce(bootstrap, two, range(1060, 1070), partitions=1)
    pairs, ends = replayed(f"re:{one}|{two[:-1]}.")
    assert pairs == 10
    rows = logged()
    assert sorted(row["request_id"] for row in rows) == sorted(
        f"r{x}" for x in [*range(40), *range(1000, 1070)]
    )
    for row in rows:
        source = row["source"]
        assert source["topic"] == (one if int(row["request_id"][1:]) < 1000 else two)
        assert source["name"].endswith(f":{source['topic']}")
        assert f"{source['name']}/{source['partition']}" in ends


def test_an_expression_that_no_topic_fits_is_said(bootstrap: str) -> None:
    with pytest.raises(TrafficError, match=r"no topic's whole name fits 'nothing-like-.*'"):
        KafkaSource(f"kafka://{bootstrap}/re:nothing-like-.*", "g")


def test_a_window_is_by_the_time_at_which_messages_were_sent(
    traffic: tuple[str, str], work: Callable[..., Worker], logged: Callable[..., Any]
) -> None:
    bootstrap, topic = traffic
    start_ms = 1_764_000_000_000
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        for x in range(90):
            producer.send(topic, record(x), partition=x % PARTITIONS, timestamp_ms=start_ms + 1000 * x)

    def moment(second: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(start_ms / 1000 + second, datetime.UTC)

    def replayed(window: Window) -> int:
        with contextlib.closing(KafkaSource(f"kafka://{bootstrap}/{topic}", f"g-{topic}")) as source:
            return work(source, window=window).run(until_caught_up=True).pairs

    assert replayed(Window(begin=moment(30), end=moment(60))) == 30
    assert sorted(row["features"]["x"] for row in logged()) == list(range(30, 60))
    assert replayed(Window(limit=7)) == 7  # goes on behind the window, not before it
    assert replayed(Window()) == 23
    assert sorted(row["features"]["x"] for row in logged()) == list(range(30, 90))


def test_a_member_that_joins_gets_its_share_after_the_other_has_committed(
    traffic: tuple[str, str],
    folder: Path,
    work: Callable[..., Worker],
    logged: Callable[..., Any],
) -> None:
    """Nothing is due by size or time, so that all there is when the second has joined came by the flush; the
    heartbeats go on while it is made, longer than a session."""
    address, group = "kafka://{}/{}".format(*traffic), f"g-{traffic[1]}"
    produce(*traffic, range(900))
    first = KafkaSource(address, group)
    second = KafkaSource(address, group)
    given: list[str] = []
    with contextlib.closing(first), contextlib.closing(second):
        worker = work(first, commit_s=3600.0)
        commit = worker._commit

        def slow(*, last: bool, flush: bool = False) -> None:
            if flush:
                time.sleep(12)  # a session is ten seconds
            commit(last=last, flush=flush)

        worker._commit = slow  # type: ignore[method-assign]
        thread = threading.Thread(target=worker.run, kwargs={"until_caught_up": False})
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while worker._waiting.lines < 900 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert logged() == []

            class Keeper:
                def given(self, places: list[str]) -> None:
                    given.extend(places)
                    second.rewind(dict.fromkeys(places))

                def taken(self, places: list[str]) -> None:
                    pass

                def lost(self, places: list[str]) -> None:
                    raise AssertionError

            second.start(Keeper())
            while not given and time.monotonic() < deadline:
                second.read(0.2)
            assert given
            assert len(logged()) == 900
            assert worker._progress.commits == 1
        finally:
            worker.stop()
            thread.join(60)
    assert len(logged()) == 900


def test_a_topic_that_is_not_there_is_named(bootstrap: str) -> None:
    with pytest.raises(TrafficError, match="the broker has no topic 'nowhere'; create it") as caught:
        KafkaSource(f"kafka://{bootstrap}/nowhere", "g")
    assert caught.value.address == f"kafka://{bootstrap}/nowhere"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "no-such-host.invalid"])
def test_without_a_broker_it_says_so_at_once(host: str) -> None:
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        address = f"kafka://{host}:{taken.getsockname()[1]},{host}:99999/t"
        began = time.monotonic()
        with pytest.raises(TrafficError, match="is a broker running there"):
            KafkaSource(address, "g")
    assert time.monotonic() - began < 15


def test_a_server_that_is_no_broker_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon_replay.kafka_source.CONNECT_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(TrafficError):
            KafkaSource(f"kafka://127.0.0.1:{mute.getsockname()[1]}/t", "g")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("address", ["spool:x", "kafka://b:9092", "kafka://b/t", "kafka://b:9092/a b"])
def test_what_is_no_address_of_a_topic_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        KafkaSource(address, "g")


ERRORS = sorted(
    {each for each in vars(kafka.errors).values() if isinstance(each, type) and issubclass(each, Exception)},
    key=lambda each: each.__name__,
)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_of_kafkas_client_is_translated(error: type[Exception]) -> None:
    exc = error.__new__(error)
    with pytest.raises((TrafficError, UsageError)) as caught, translated("kafka://b:9092/t"):
        raise exc
    assert str(caught.value).startswith("kafka://b:9092/t: ")
    assert caught.value.__cause__ is exc


def test_there_are_errors_to_translate() -> None:
    assert len(ERRORS) > 100
    assert os.path.basename(kafka.errors.__file__) == "errors.py"
