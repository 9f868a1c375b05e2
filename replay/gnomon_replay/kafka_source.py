"""Traffic from a Kafka topic, read in a consumer group whose offsets nobody believes.

The log says where reading goes on; the group only shares the partitions out. A partition that is taken away
while rows wait for their commit loses them here and is read again by its next owner from the log's position.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import kafka.errors
from gnomon_capture.address import KafkaAddress, parse_address
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.kafka_errors import kafka_errors
from gnomon_capture.record import CONTENT_TYPE_HEADER
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from gnomon_replay.traffic import Frame, Keeper, Stream

CONNECT_TIMEOUT_S = 5.0
SESSION_TIMEOUT_MS = 10_000
"""How long the partitions of a worker that was killed wait for their next owner."""
READ_BYTES = 8 << 20
"""About how much one read brings: messages may hold one record each or hundreds."""
POLL_MESSAGES = 100
"""At first; then as many as READ_BYTES hold, but at most MOST_MESSAGES."""
MOST_MESSAGES = 5_000
FETCH_BYTES = 8 << 20
"""Of one partition, as sent: compressed, so that what waits in memory may be ten times as much."""

translated = kafka_errors


class KafkaSource:
    """One topic, as a member of a consumer group.

    Args:
        address: `kafka://host:9092/topic`.
        group: the consumer group; None to look at the traffic without joining one.

    Raises:
        TrafficError: no broker answers, or the topic is not there.
    """

    def __init__(self, address: str, group: str | None) -> None:
        where = parse_address(address)
        if not isinstance(where, KafkaAddress):
            raise UsageError(f"{address!r} is no Kafka address; write kafka://host:9092/topic")
        self._address = address
        self._group = group
        self._topic = where.topic
        self._read_to: dict[str, int] = {}
        self._messages = POLL_MESSAGES
        _knock(where)
        with translated(address):
            cluster = _cluster_id(where)
            self._stream = Stream(f"kafka:{cluster}:{where.topic}", where.topic)
            self._consumer = KafkaConsumer(
                bootstrap_servers=list(where.servers),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=SESSION_TIMEOUT_MS,
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=FETCH_BYTES,
                metrics_enabled=False,
            )

    @property
    def stream(self) -> Stream:
        """Named by the cluster's id: brokers may move."""
        return self._stream

    def start(self, keeper: Keeper) -> None:
        with translated(self._address):
            if self._group is not None:
                self._consumer.subscribe(topics=[self._topic], listener=_Listener(keeper))
            else:
                partitions = self._partitions()
                self._consumer.assign(partitions)
                keeper.given([str(part.partition) for part in partitions])

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
        self._read_to.update((frame.partition, frame.next_position) for frame in frames)
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
        return {str(part.partition): end for part, end in ends.items()}

    def starts(self) -> dict[str, int]:
        with translated(self._address):
            begins = self._consumer.beginning_offsets(self._partitions())
        return {str(part.partition): begin for part, begin in begins.items()}

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
        return {str(part.partition): part for part in self._consumer.assignment()}

    def _partitions(self) -> list[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _frame(self, record: Any) -> Frame:
        content_type = next((value for key, value in record.headers if key == CONTENT_TYPE_HEADER), None)
        return Frame(
            self._stream,
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
                    yield Frame(self._stream, name, before, position, b"", by_line=False)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's decisions to the keeper. Runs on the consumer's network thread, so it must be quick."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self._keeper.given([str(part.partition) for part in assigned])

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self._keeper.taken([str(part.partition) for part in revoked])

    def on_partitions_lost(self, lost: list[TopicPartition]) -> None:
        self._keeper.taken([str(part.partition) for part in lost])


def _seek(consumer: KafkaConsumer, part: TopicPartition, position: int | None) -> None:
    if position is None:
        consumer.seek_to_beginning(part)
    else:
        consumer.seek(part, position)


def _knock(address: KafkaAddress) -> None:
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


def _cluster_id(address: KafkaAddress) -> str:
    """The cluster's id; also makes sure that a broker answers and has the topic."""
    admin = KafkaAdminClient(
        bootstrap_servers=list(address.servers),
        bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1000),
    )
    try:
        if address.topic not in admin.list_topics():
            raise TrafficError(
                str(address),
                f"{address}: the broker has no topic {address.topic!r}; create it, or correct [traffic] from",
            )
        return str(admin.describe_cluster()["cluster_id"])
    finally:
        admin.close()
