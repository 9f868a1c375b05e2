"""Traffic from Kafka topics, read in a consumer group whose offsets nobody believes.

The log says where reading goes on; the group only shares the partitions out, cooperatively: a rebalance leaves
alone what does not move. Before a partition goes to another member its keeper may commit what waits; the
consumer's own thread, which sends the heartbeats, goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import kafka.errors
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.kafka_errors import kafka_errors
from gnomon_capture.record import CONTENT_TYPE_HEADER
from kafka import AsyncConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.net.selector import KernelEvent
from kafka.structs import OffsetAndMetadata

from gnomon_replay.addresses import KafkaTopics, parse_traffic
from gnomon_replay.traffic import Frame, Keeper, Stream

CONNECT_TIMEOUT_S = 5.0
SESSION_TIMEOUT_MS = 10_000
"""How long the partitions of a worker that was killed wait for their next owner."""
READ_BYTES = 8 << 20
"""About how much one read brings: messages may hold one record each or hundreds."""
POLL_MESSAGES = 100
"""At first; then as many as READ_BYTES hold, but at most MOST_MESSAGES."""
MOST_MESSAGES = 5_000
NEW_TOPICS_MS = 30_000
"""How soon a new topic that fits a regular expression is found."""
FETCH_BYTES = 8 << 20
"""Of one partition, as sent: compressed, so that what waits in memory may be ten times as much."""

translated = kafka_errors


class KafkaSource:
    """Topics of one cluster, as a member of a consumer group.

    Args:
        address: `kafka://host:9092/topic`, or as `addresses` has it.
        group: the consumer group; None to look at the traffic without joining one.

    Raises:
        TrafficError: no broker answers, or a topic is not there.
    """

    def __init__(self, address: str, group: str | None) -> None:
        where = parse_traffic(address)
        if not isinstance(where, KafkaTopics):
            raise UsageError(f"{address!r} is no Kafka address; write kafka://host:9092/topic")
        self._address = address
        self._where = where
        self._group = group
        self._streams: dict[str, Stream] = {}
        self._read_to: dict[str, int] = {}
        self._messages = POLL_MESSAGES
        _knock(where)
        with translated(address):
            self._cluster = _cluster_id(where)
            self._consumer = KafkaConsumer(
                bootstrap_servers=list(where.servers),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=SESSION_TIMEOUT_MS,
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=FETCH_BYTES,
                metadata_max_age_ms=300_000 if where.pattern is None else NEW_TOPICS_MS,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                metrics_enabled=False,
            )

    @property
    def name(self) -> str:
        """As it was written."""
        return self._address

    def start(self, keeper: Keeper) -> None:
        with translated(self._address):
            if self._group is None:
                partitions = self._partitions()
                self._consumer.assign(partitions)
                keeper.given([self._place(part) for part in partitions])
                return
            listener = _Listener(keeper, self._place)
            if self._where.pattern is None:
                self._consumer.subscribe(topics=list(self._where.topics), listener=listener)
            else:
                self._consumer.subscribe(pattern=f"(?:{self._where.pattern})\\Z", listener=listener)

    def read(self, timeout_s: float) -> list[Frame]:
        with translated(self._address):
            polled: Mapping[Any, list[Any]] = self._consumer.poll(
                timeout_ms=int(timeout_s * 1000), max_records=self._messages
            )
            frames = [self._frame(record) for records in polled.values() for record in records]
            if frames:
                size = sum(len(frame.data) for frame in frames)
                self._messages = max(1, min(MOST_MESSAGES, READ_BYTES * len(frames) // max(1, size)))
            else:
                frames = list(self._skipped())
        self._read_to.update((frame.place, frame.next_position) for frame in frames)
        return frames

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        with translated(self._address):
            for name, part in self._owned().items():
                if name in positions:
                    _seek(self._consumer, part, positions[name])
                    self._read_to[name] = positions[name] or 0

    def ends(self) -> dict[str, int]:
        with translated(self._address):
            ends = self._consumer.end_offsets(self._partitions())
        return {self._place(part): end for part, end in ends.items()}

    def starts(self) -> dict[str, int]:
        with translated(self._address):
            begins = self._consumer.beginning_offsets(self._partitions())
        return {self._place(part): begin for part, begin in begins.items()}

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        """By the messages' timestamps: when they were sent, or appended, as the topic is set up."""
        time_ms = max(0, int(moment.timestamp() * 1000))
        with translated(self._address):
            found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions(), time_ms))
        ends = self.ends()
        return {
            place: ends.get(place, 0) if at is None else at.offset
            for place, at in ((self._place(part), at) for part, at in found.items())
        }

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Commits the group's offsets, which lag tools read; a failure changes nothing that matters."""
        offsets = {
            part: OffsetAndMetadata(positions[name], "", -1)
            for name, part in self._owned().items()
            if name in positions
        }
        with contextlib.suppress(kafka.errors.KafkaError):
            self._consumer.commit_async(offsets)

    def close(self) -> None:
        with contextlib.suppress(kafka.errors.KafkaError):
            self._consumer.close(autocommit=False)

    def _owned(self) -> dict[str, TopicPartition]:
        return {self._place(part): part for part in self._consumer.assignment()}

    def _partitions(self) -> list[TopicPartition]:
        names: Iterable[str] = self._where.topics
        if self._where.pattern is not None:
            fits = re.compile(self._where.pattern).fullmatch
            names = sorted(name for name in self._consumer.topics() if fits(name))
        return [
            TopicPartition(name, number)
            for name in names
            for number in sorted(self._consumer.partitions_for_topic(name) or ())
        ]

    def _stream(self, topic: str) -> Stream:
        """Named by the cluster's id: brokers may move. One topic's name is the same in every form of address."""
        if topic not in self._streams:
            self._streams[topic] = Stream(f"kafka:{self._cluster}:{topic}", topic)
        return self._streams[topic]

    def _place(self, part: TopicPartition) -> str:
        return self._stream(part.topic).place(str(part.partition))

    def _frame(self, record: Any) -> Frame:
        content_type = next((value for key, value in record.headers if key == CONTENT_TYPE_HEADER), None)
        return Frame(
            self._stream(record.topic),
            str(record.partition),
            record.offset,
            record.offset + 1,
            record.value or b"",
            by_line=False,
            content_type=None if content_type is None else content_type.decode("ascii", "replace"),
        )

    def _skipped(self) -> Iterator[Frame]:
        """Where reading has passed offsets without a message (a transaction's end, what compaction took), an
        empty frame: else the traffic's end would never be reached."""
        for name, part in self._owned().items():
            before = self._read_to.get(name)
            if before is not None:
                position = self._consumer.position(part, timeout_ms=0)
                if position is not None and position > before:
                    stream = self._stream(part.topic)
                    yield Frame(stream, str(part.partition), before, position, b"", by_line=False)


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's decisions to the keeper, while whoever polls waits for them.

    Runs on the consumer's network thread. A commit takes too long for it: heartbeats would stop, so that is made
    in a thread of its own, and the group waits for it (at most `max_poll_interval_ms`, five minutes).
    """

    def __init__(self, keeper: Keeper, place: Callable[[TopicPartition], str]) -> None:
        self._keeper = keeper
        self._place = place

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._keeper.given(self._places(assigned))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        thread = threading.Thread(target=self._keeper.taken, args=(self._places(revoked),), daemon=True)
        thread.start()
        while thread.is_alive():
            await KernelEvent("_sleep", 0.01)  # the loop has no public sleep, and a Future does not wake it

    async def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._keeper.lost(self._places(lost))

    def _places(self, partitions: Iterable[TopicPartition]) -> list[str]:
        return [self._place(part) for part in partitions]


def _seek(consumer: KafkaConsumer, part: TopicPartition, position: int | None) -> None:
    if position is None:
        consumer.seek_to_beginning(part)
    else:
        consumer.seek(part, position)


def _knock(address: KafkaTopics) -> None:
    """Makes sure that somebody listens. kafka-python would try for long, tell the log each time, and leave its
    sockets to the garbage collector.

    Raises:
        TrafficError: nobody does.
    """
    failure: Exception | None = None
    for server in address.servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
            return
        except (OSError, OverflowError) as exc:  # no such host, nobody there, no such port
            failure = exc
    raise TrafficError(
        str(address),
        f"{address} cannot be reached ({failure}); is a broker running there, and can it be reached from here?",
    ) from failure


def _cluster_id(address: KafkaTopics) -> str:
    """The cluster's id; also makes sure that a broker answers and has the topics."""
    admin = KafkaAdminClient(
        bootstrap_servers=list(address.servers),
        bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1000),
    )
    try:
        known = set(admin.list_topics())
        for topic in address.topics:
            if topic not in known:
                raise TrafficError(
                    str(address),
                    f"{address}: the broker has no topic {topic!r}; create it, or correct [traffic] from",
                )
        if address.pattern is not None and not any(map(re.compile(address.pattern).fullmatch, known)):
            raise TrafficError(
                str(address),
                f"{address}: no topic's whole name fits {address.pattern!r}; correct [traffic] from",
            )
        return str(admin.describe_cluster()["cluster_id"])
    finally:
        admin.close()
