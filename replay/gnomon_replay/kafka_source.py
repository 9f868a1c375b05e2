"""Traffic from a Kafka topic, read in a consumer group whose offsets nobody believes.

The log says where reading goes on; the group only shares the partitions out. A partition that is taken away
while rows wait for their commit loses them here and is read again by its next owner from the log's position.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import kafka.errors
from gnomon_capture.errors import TrafficError
from gnomon_capture.record import CONTENT_TYPE_HEADER
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from gnomon_replay.traffic import Frame, Keeper, Stream, kafka_address

CONNECT_TIMEOUT_MS = 10_000
POLL_RECORDS = 5_000


class KafkaSource:
    """One topic, as a member of a consumer group.

    Args:
        address: `kafka://host:9092/topic`.
        group: the consumer group; None to look at the traffic without joining one.

    Raises:
        TrafficError: no broker answers, or the topic is not there.
    """

    def __init__(self, address: str, group: str | None) -> None:
        self._address = address
        self._group = group
        where = kafka_address(address)
        self._topic = where.topic
        with translated(address):
            cluster = _cluster_id(address, where.bootstrap, where.topic)
            self._stream = Stream(f"kafka:{cluster}:{where.topic}", where.topic)
            self._consumer = KafkaConsumer(
                bootstrap_servers=where.bootstrap,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=POLL_RECORDS,
                max_partition_fetch_bytes=8 << 20,
                metrics_enabled=False,
            )

    @property
    def stream(self) -> Stream:
        """Named by the cluster's id: brokers may move."""
        return self._stream

    def start(self, keeper: Keeper) -> None:
        listener = _Listener(self._consumer, keeper)
        with translated(self._address):
            if self._group is not None:
                self._consumer.subscribe(topics=[self._topic], listener=listener)
            else:
                self._consumer.assign(self._partitions())
                listener.on_partitions_assigned(self._partitions())

    def read(self, timeout_s: float) -> list[Frame]:
        with translated(self._address):
            polled: Mapping[Any, list[Any]] = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [self._frame(record) for records in polled.values() for record in records]

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        owned = {str(part.partition): part for part in self._consumer.assignment()}
        for name, position in positions.items():
            if name in owned:
                _seek(self._consumer, owned[name], position)

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
        owned = {str(part.partition): part for part in self._consumer.assignment()}
        offsets = {
            owned[name]: OffsetAndMetadata(position, "", -1)
            for name, position in positions.items()
            if name in owned
        }
        with contextlib.suppress(kafka.errors.KafkaError):
            self._consumer.commit_async(offsets)

    def close(self) -> None:
        with contextlib.suppress(kafka.errors.KafkaError):
            self._consumer.close(autocommit=False)

    def _partitions(self) -> list[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _frame(self, record: Any) -> Frame:
        content_type = next(
            (value.decode("ascii", "replace") for key, value in record.headers if key == CONTENT_TYPE_HEADER),
            None,
        )
        return Frame(
            self._stream,
            str(record.partition),
            record.offset,
            record.offset + 1,
            record.value or b"",
            by_line=False,
            content_type=content_type,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's decisions to the keeper. Runs on the consumer's network thread, so it must be quick."""

    def __init__(self, consumer: KafkaConsumer, keeper: Keeper) -> None:
        self._consumer = consumer
        self._keeper = keeper

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        for part in assigned:
            _seek(self._consumer, part, self._keeper.position(str(part.partition)))

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self._keeper.taken([str(part.partition) for part in revoked])

    def on_partitions_lost(self, lost: list[TopicPartition]) -> None:
        self._keeper.taken([str(part.partition) for part in lost])


def _seek(consumer: KafkaConsumer, part: TopicPartition, position: int | None) -> None:
    if position is None:
        consumer.seek_to_beginning(part)
    else:
        consumer.seek(part, position)


def _cluster_id(address: str, bootstrap: list[str], topic: str) -> str:
    """The cluster's id; also makes sure that a broker answers and has the topic."""
    admin = KafkaAdminClient(
        bootstrap_servers=bootstrap, bootstrap_timeout_ms=CONNECT_TIMEOUT_MS, metrics_enabled=False
    )
    try:
        if topic not in admin.list_topics():
            raise TrafficError(
                address,
                f"{address}: the broker has no topic {topic!r}; create it, or correct [traffic] from",
            )
        return str(admin.describe_cluster()["cluster_id"])
    finally:
        admin.close()


@contextlib.contextmanager
def translated(address: str) -> Iterator[None]:
    """Kafka's errors as TrafficError, with what to do."""
    try:
        yield
    except kafka.errors.KafkaError as exc:
        name = type(exc).__name__
        if (
            isinstance(exc, (kafka.errors.NoBrokersAvailable, kafka.errors.KafkaTimeoutError))
            or exc.retriable
        ):
            advice = "is the broker running, and reachable from here?"
        elif "Auth" in name:
            advice = "check the credentials and the rights of this user"
        else:
            advice = "see the broker's log"
        raise TrafficError(address, f"{address} cannot be read ({name}); {advice}") from exc
