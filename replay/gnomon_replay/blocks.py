"""Frames cut into blocks: so many lines of one partition, each with its place; ledgers and blanks taken out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from gnomon_capture.record import BadRecordError, Ledger, Request, decode_line, is_ledger

from gnomon_replay.pairs import SOURCE
from gnomon_replay.traffic import Frame, Stream

BLOCK_LINES = 1000
_LEDGER = b'"ledger"'
_SHORT_BYTES = 4096  # from here on NumPy counts faster than bytes do


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A ledger, not yet decoded; `source` has the fields of `pairs.SOURCE`."""

    line: bytes
    source: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one partition that may be requests.

    Attributes:
        data: the lines, a newline between two of them.
        offsets: of each line's message, or its own number (spool).
        numbers: of each line within its message; 0 in a spool.
    """

    stream: Stream
    partition: str
    data: bytes
    offsets: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets)

    def lines(self) -> list[bytes]:
        """Its lines."""
        return self.data.split(b"\n")

    def line(self, index: int) -> bytes:
        """One of its lines."""
        return self.lines()[index]

    def records(self, max_bytes: int) -> Iterator[Request | Ledger | BadRecordError | None]:
        """What each line is; None: blank."""
        for line in self.lines():
            yield _decoded(line, max_bytes) if line.strip() else None

    def parts(self, lines: int) -> Iterator[Block]:
        """The same in smaller blocks, of so many lines."""
        ends = [-1, *newlines(self.data)[lines - 1 :: lines].tolist()]
        for index, begin in enumerate(ends):
            end = ends[index + 1] if index + 1 < len(ends) else len(self.data)
            mine = slice(index * lines, (index + 1) * lines)
            yield Block(
                self.stream,
                self.partition,
                self.data[begin + 1 : end],
                self.offsets[mine],
                self.numbers[mine],
            )

    def source(self, index: int) -> dict[str, Any]:
        """Where a line stood: the fields of `pairs.SOURCE`."""
        return {
            "name": self.stream.name,
            "topic": self.stream.topic,
            "partition": self.partition,
            "offset": int(self.offsets[index]),
            "line": int(self.numbers[index]),
        }

    def sources(self) -> pa.StructArray:
        """Where each line stood."""
        return sources_of(self.stream, self.partition, self.offsets, self.numbers)


def sources_of(
    stream: Stream, partition: str, offsets: npt.NDArray[np.int64], numbers: npt.NDArray[np.int32]
) -> pa.StructArray:
    """Places in one partition as a column of type `pairs.SOURCE`."""
    count = len(offsets)
    return pa.StructArray.from_arrays(
        [
            pa.repeat(stream.name, count),
            pa.repeat(pa.scalar(stream.topic, pa.string()), count),
            pa.repeat(partition, count),
            pa.array(offsets, pa.int64()),
            pa.array(numbers, pa.int32()),
        ],
        fields=list(SOURCE),
    )


def blocks_of(frames: Iterable[Frame], ledgers: list[LedgerLine]) -> Iterator[Block]:
    """Blocks of BLOCK_LINES lines, fewer at a partition's end, however the frames were cut.

    Args:
        frames: of NDJSON; not empty.
        ledgers: receives what is taken out.
    """
    held: list[_Run] = []
    room = BLOCK_LINES
    for frame in frames:
        if held and (frame.stream, frame.partition) != (held[0].frame.stream, held[0].frame.partition):
            yield _block(held)
            held, room = [], BLOCK_LINES
        for run in _runs(frame, ledgers):
            for part in run.parts(room):
                held.append(part)
                room -= part.count
                if not room:
                    yield _block(held)
                    held, room = [], BLOCK_LINES
    if held:
        yield _block(held)


def count_newlines(data: bytes) -> int:
    """How many newlines there are."""
    if len(data) < _SHORT_BYTES:
        return data.count(b"\n")
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


def _decoded(line: bytes, max_bytes: int) -> Request | Ledger | BadRecordError:
    try:
        return decode_line(line, max_bytes=max_bytes)
    except BadRecordError as exc:
        return exc


def newlines(data: bytes) -> npt.NDArray[np.int64]:
    """Where the newlines are."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))


@dataclass(frozen=True, slots=True)
class _Run:
    """Lines that follow each other in a frame: `count` of them, from the frame's line number `first` on."""

    frame: Frame
    data: bytes
    first: int
    count: int

    def parts(self, room: int) -> Iterator[_Run]:
        """The same in parts: of at most `room` lines, and then of BLOCK_LINES each."""
        if self.count <= room:
            yield self
            return
        ends = [*newlines(self.data).tolist(), len(self.data)]
        begin = done = 0
        while done < self.count:
            lines = min(room, self.count - done)
            end = ends[done + lines - 1]
            yield _Run(self.frame, self.data[begin:end], self.first + done, lines)
            begin, done, room = end + 1, done + lines, BLOCK_LINES


def _runs(frame: Frame, ledgers: list[LedgerLine]) -> Iterator[_Run]:
    """The lines between the ledgers."""
    data = frame.data.removesuffix(b"\n")
    begin = first = 0
    at = data.find(_LEDGER)
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        if is_ledger(data[start:end]):
            if start > begin:
                before = data[begin : start - 1]
                count = count_newlines(before) + 1
                yield _Run(frame, before, first, count)
                first += count
            ledgers.append(LedgerLine(data[start:end], place(frame, first)))
            first += 1
            begin = end + 1
        at = data.find(_LEDGER, end)
    if begin <= len(data):
        rest = data[begin:]
        yield _Run(frame, rest, first, count_newlines(rest) + 1)


def place(frame: Frame, line: int) -> dict[str, Any]:
    """Where a line of a frame stood, by its number within: the fields of `pairs.SOURCE`."""
    return {
        "name": frame.stream.name,
        "topic": frame.stream.topic,
        "partition": frame.partition,
        "offset": frame.offset + line if frame.by_line else frame.offset,
        "line": 0 if frame.by_line else line,
    }


def _block(runs: list[_Run]) -> Block:
    frame = runs[0].frame
    counts = np.array([run.count for run in runs])
    firsts = np.array([run.first for run in runs])
    begins = np.cumsum(counts) - counts
    offsets = np.repeat(np.array([run.frame.offset for run in runs], np.int64), counts)
    numbers = np.arange(counts.sum()) + np.repeat(firsts - begins, counts)
    if frame.by_line:
        offsets, numbers = offsets + numbers, np.zeros(len(numbers), np.int64)
    return Block(
        frame.stream,
        frame.partition,
        b"\n".join([run.data for run in runs]),
        offsets,
        numbers.astype(np.int32),
    )
