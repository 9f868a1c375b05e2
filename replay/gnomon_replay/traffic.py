"""Traffic as the worker sees it: frames of lines, with positions.

A *place* is one partition of one stream, `<stream's name>/<partition>`; a source reads one or more of them. A
*position* in it is where reading goes on: for Kafka the offset of the next message, for all others the number
of the next line or row. Offsets have gaps, so a position is never an offset plus a count.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gnomon_capture.record import CONTENT_TYPE_ARROW, CONTENT_TYPE_NDJSON


@dataclass(frozen=True, slots=True)
class Stream:
    """What the frames of one topic, spool or other body of records have in common.

    Attributes:
        name: `kafka:<cluster id>:<topic>`, `spool:<experiment>` and the like; stays when an address changes.
        topic: Kafka's topic; None for all others.
    """

    name: str
    topic: str | None

    def place(self, partition: str) -> str:
        """The place of one of its partitions."""
        return f"{self.name}/{partition}"


def partition_of(place: str) -> str:
    """The partition that a place names, for people: `partition 3 of kafka:c:flights`."""
    name, _, partition = place.rpartition("/")
    return f"partition {partition} of {name}" if partition else name


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
        by_line: the offset counts lines or rows, not messages (Kafka).
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

    @property
    def place(self) -> str:
        """Where its positions count."""
        return self.stream.place(self.partition)


class Keeper(Protocol):
    """Whoever reads a source: told which places are its own. May be called from another thread, but only while
    its own thread is in one of the source's methods, or before it first was."""

    def given(self, places: list[str]) -> None:
        """These places are this reader's, anew if they were before; it has to `rewind` each."""

    def taken(self, places: list[str]) -> None:
        """These places go to another reader once this returns: the last chance to commit what was read."""

    def lost(self, places: list[str]) -> None:
        """These places may be another's already: what was read and not committed is to be thrown away."""


class Onlooker:
    """A keeper for reading outside a group, where places stay whose they are."""

    def given(self, places: list[str]) -> None:
        pass

    def taken(self, places: list[str]) -> None:
        pass

    def lost(self, places: list[str]) -> None:
        pass


class Source(Protocol):
    """One kind of traffic: batches with positions, from any position, with a known end. Not thread-safe."""

    @property
    def name(self) -> str:
        """For messages."""

    def start(self, keeper: Keeper) -> None:
        """Begins to read. What comes of a place before it was rewound may be from anywhere in it."""

    def read(self, timeout_s: float) -> list[Frame]:
        """The next frames, in order within each place; an empty list after `timeout_s` without any."""

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        """Goes on from these positions, None for the first; passes over places that are not ours."""

    def ends(self) -> dict[str, int]:
        """Where the traffic ends now, by place."""

    def starts(self) -> dict[str, int]:
        """Where the traffic begins now, by place."""

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        """The first position of that time or later, by place; its end where there is none yet."""

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Tells the source's own tools how far the log is; the log, not this, is the truth."""

    def close(self) -> None:
        """Lets go of files and connections."""
