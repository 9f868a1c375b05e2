"""Traffic as the worker sees it: frames of lines, with positions.

A *position* is where reading goes on: for Kafka the offset of the next message, for a spool the number of
the next line. Offsets have gaps, so a position is never an offset plus a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from gnomon_capture.errors import UsageError


@dataclass(frozen=True, slots=True)
class Stream:
    """What the frames of one traffic have in common.

    Attributes:
        name: `kafka:<cluster id>:<topic>` or `spool:<experiment>`; stays when an address changes.
        topic: Kafka's topic; None for a spool.
    """

    name: str
    topic: str | None


@dataclass(frozen=True, slots=True)
class Frame:
    """Some lines of one partition, as they were read.

    Attributes:
        stream: the traffic it belongs to.
        partition: Kafka's partition, or the capturing process.
        offset: of the message, or the number of the first line.
        next_position: where reading goes on after this frame.
        data: NDJSON, one or more lines.
        by_line: the offset counts lines (spool), not messages (Kafka).
        content_type: the message's header; None for NDJSON.
    """

    stream: Stream
    partition: str
    offset: int
    next_position: int
    data: bytes
    by_line: bool
    content_type: str | None = None


class Keeper(Protocol):
    """Whoever keeps the positions: asked when a partition is given to this worker, told when it is taken."""

    def position(self, partition: str) -> int | None:
        """Where reading goes on; None for the experiment's start. May be called from another thread."""

    def taken(self, partitions: list[str]) -> None:
        """These partitions are no longer this worker's. May be called from another thread."""


class Source(Protocol):
    """One kind of traffic. Not thread-safe."""

    @property
    def stream(self) -> Stream:
        """Its name is what positions are kept under."""

    def start(self, keeper: Keeper) -> None:
        """Begins to read, from the keeper's positions."""

    def read(self, timeout_s: float) -> list[Frame]:
        """The next frames, in order within each partition; an empty list after `timeout_s` without any."""

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        """Goes on from these positions."""

    def ends(self) -> dict[str, int]:
        """Where the traffic ends now, by partition."""

    def starts(self) -> dict[str, int]:
        """Where the traffic begins now, by partition."""

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Tells the source's own tools how far the log is; the log, not this, is the truth."""

    def close(self) -> None:
        """Lets go of files and connections."""


@dataclass(frozen=True)
class KafkaAddress:
    """`kafka://host:9092,host2:9092/topic`."""

    bootstrap: list[str]
    topic: str


def kafka_address(address: str) -> KafkaAddress:
    """The parts of a `kafka://` address.

    Raises:
        UsageError: hosts or topic are missing.
    """
    parts = urlsplit(address)
    topic = parts.path.strip("/")
    if not parts.netloc or not topic or "/" in topic:
        raise UsageError(f"{address!r} is no Kafka address: write kafka://host:9092/topic")
    return KafkaAddress(parts.netloc.split(","), topic)


def spool_folder(address: str, base: Path) -> Path:
    """The folder of a `spool:` address, relative to `base`."""
    return base / address.removeprefix("spool:")
