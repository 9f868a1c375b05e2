"""Traffic as the worker sees it: frames of lines, with positions.

A *position* is where reading goes on: for Kafka the offset of the next message, for a spool the number of
the next line. Offsets have gaps, so a position is never an offset plus a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gnomon_capture.record import CONTENT_TYPE_ARROW, CONTENT_TYPE_NDJSON


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
        offset: of the message, or the number of the first line; where reading went on before this frame,
            or behind that, since positions have gaps.
        next_position: where reading goes on after this frame.
        data: NDJSON, one or more lines; or an Arrow IPC stream, whose rows count as lines.
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

    @property
    def media_type(self) -> str:
        """Its encoding: the content type without parameters."""
        return (self.content_type or CONTENT_TYPE_NDJSON).partition(";")[0].strip().lower()

    @property
    def is_arrow(self) -> bool:
        """Whether `data` is an Arrow IPC stream."""
        return self.media_type == CONTENT_TYPE_ARROW


class Keeper(Protocol):
    """Whoever reads a source: told which partitions are its own. May be called from another thread."""

    def given(self, partitions: list[str]) -> None:
        """These partitions are this reader's, anew if they were before; it has to `rewind` each."""

    def taken(self, partitions: list[str]) -> None:
        """These partitions are no longer this reader's."""


class Source(Protocol):
    """One kind of traffic. Not thread-safe."""

    @property
    def stream(self) -> Stream:
        """Its name is what positions are kept under."""

    def start(self, keeper: Keeper) -> None:
        """Begins to read. What comes of a partition before it was rewound may be from anywhere in it."""

    def read(self, timeout_s: float) -> list[Frame]:
        """The next frames, in order within each partition; an empty list after `timeout_s` without any."""

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        """Goes on from these positions, None for the first; passes over partitions that are not ours."""

    def ends(self) -> dict[str, int]:
        """Where the traffic ends now, by partition."""

    def starts(self) -> dict[str, int]:
        """Where the traffic begins now, by partition."""

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Tells the source's own tools how far the log is; the log, not this, is the truth."""

    def close(self) -> None:
        """Lets go of files and connections."""
