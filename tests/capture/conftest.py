"""What the tests of capture share: reading back everything that was mirrored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture.record import Ledger, Request, decode_line
from gnomon_capture.spool import SpoolReader
from kafka import KafkaConsumer, TopicPartition


@dataclass
class Traffic:
    """What a reader finds, in the order in which it finds it.

    Attributes:
        lines: every decoded line, by partition.
        messages: how many messages there were, by partition; none for a spool.
    """

    lines: dict[Any, list[Request | Ledger]] = field(default_factory=dict)
    messages: dict[Any, int] = field(default_factory=dict)

    @property
    def requests(self) -> list[Request]:
        return [line for lines in self.lines.values() for line in lines if isinstance(line, Request)]

    @property
    def ledgers(self) -> list[Ledger]:
        return [line for lines in self.lines.values() for line in lines if isinstance(line, Ledger)]

    @property
    def seqs(self) -> list[int]:
        """The numbers that arrived, in ascending order."""
        return sorted(request.origin.seq for request in self.requests if request.origin is not None)


def read_spool(folder: Path, max_bytes: int = 1 << 20) -> Traffic:
    reader = SpoolReader(folder)
    traffic = Traffic()
    for partition in reader.partitions():
        lines = traffic.lines.setdefault(partition, [])
        while (chunk := reader.read(partition, max_bytes))[1]:
            first, data = chunk
            assert first == len(lines)
            lines += [decode_line(line) for line in data.splitlines()]
        assert reader.end(partition) == len(lines)
    return traffic


def read_topic(bootstrap: str, topic: str) -> Traffic:
    traffic = Traffic()
    with contextlib.closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id=None)) as consumer:
        parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for part, messages in consumer.poll(timeout_ms=1000).items():
                lines = traffic.lines.setdefault(part.partition, [])
                traffic.messages[part.partition] = traffic.messages.get(part.partition, 0) + len(messages)
                for message in messages:
                    assert message.headers == [("content-type", b"application/x-ndjson")]
                    lines += [decode_line(line) for line in message.value.splitlines()]
    return traffic


@pytest.fixture
def spooled() -> Callable[..., Traffic]:
    """Reads a whole spool."""
    return read_spool


@pytest.fixture
def consumed() -> Callable[..., Traffic]:
    """Reads a whole topic."""
    return read_topic
