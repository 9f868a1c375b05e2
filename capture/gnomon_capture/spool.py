"""Reading a spool.

Every sub-folder of the spool is a partition, one capturing process; files that lie in the folder itself form
the partition "". A position is the number of a line, blank and ledger lines included. Files are read in order
of name:

- A file that a capturing process wrote is named by its first line's number (see `gnomon_capture.segments`).
  Lines missing between two such files were pruned or lost: reading goes on behind them, and the gap shows in
  the position. A file still being written is not there yet; one whose writer was killed is read up to its
  last newline.
- In other files (`*.ndjson`, brought by hand or by another producer) lines are counted in order of name, from
  the first. Such a file may grow while it is the last in order. Its torn last line, one without a newline,
  counts as a line once the file is closed: when a later one is there, or it has not changed for 5 s.
  A file that sorts before one already read would shift every position, and is refused; a new reader cannot
  know of it, so files read once must stay, and new ones sort after them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gnomon_capture.errors import TrafficError, UsageError
from gnomon_capture.record import MAX_RECORD_BYTES
from gnomon_capture.segments import Segment, has_segments, list_segments, spool_errors

READ_BYTES = 4 << 20


class SpoolReader:
    """Reads the lines of a spool, by partition and line number.

    Nothing is held open between calls, and nothing is read twice: each partition remembers its file and byte.
    Any number of readers may read one spool. A reader is for one thread.

    Raises:
        UsageError: there is no such folder, from the first call on.
        TrafficError: the system cannot read it, or it is not what it was.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._address = f"spool:{folder}"
        self._partitions: dict[str, _Partition] = {}

    def partitions(self) -> list[str]:
        """The partitions that have at least one file."""
        if not self._folder.is_dir():
            raise UsageError(
                f"{self._address}: there is no such folder; has anything been mirrored there yet?"
            )
        with self._errors(), os.scandir(self._folder) as entries:
            found = [
                entry.name
                for entry in entries
                if entry.is_dir() and not entry.name.startswith(".") and has_segments(entry.path)
            ]
            if has_segments(self._folder):
                found.append("")
        return sorted(found)

    def seek(self, partition: str, line: int) -> None:
        """Goes to a line, so that the next read begins there; without, reading begins with the first line.

        For files that a capturing process wrote this reads part of one of them; for others, all before it.

        Raises:
            TrafficError: the partition ends before it.
        """
        with self._errors():
            self._partition(partition).seek(line)

    def read(self, partition: str, max_bytes: int = READ_BYTES) -> tuple[int, bytes]:
        """The number of the next line, and whole lines from there on, each with its newline.

        A line longer than `max_bytes` (and than any record may be) is cut to it. No bytes: nothing is there yet.
        """
        with self._errors():
            return self._partition(partition).read(max(max_bytes, MAX_RECORD_BYTES + 1))

    def end(self, partition: str) -> int:
        """The number of lines that the partition has now, or had if some were pruned."""
        with self._errors():
            return self._partition(partition).end()

    def close(self) -> None:
        """Forgets all positions."""
        self._partitions.clear()

    def _partition(self, name: str) -> _Partition:
        if name not in self._partitions:
            self._partitions[name] = _Partition(self._folder / name, self._address)
        return self._partitions[name]

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return spool_errors(self._address, "read", "may this user read there?")


class _Partition:
    """Where reading stands in one partition."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address
        self._rewind()
        self._counted: dict[str, tuple[int, int]] = {}  # a file's bytes and newlines, as far as counted

    def _rewind(self) -> None:
        self._line = 0
        self._current: Segment | None = None
        self._offset = 0
        self._torn = False  # the current file's last line was taken without a newline
        self._known: set[str] = set()

    def read(self, max_bytes: int) -> tuple[int, bytes]:
        while True:
            if self._current is not None and (data := self._lines(self._current, max_bytes)):
                return self._step(data)
            following = self._following()
            current = self._current
            if current is not None and (following is not None or current.closed()):
                # Closed now, so what it holds is final; lines may have come since the first try.
                data = self._lines(current, max_bytes) or self._torn_line(current, max_bytes)
                if data:
                    return self._step(data)
            if following is None:
                return self._line, b""
            self._enter(following)

    def seek(self, line: int) -> None:
        self._rewind()
        segments = list_segments(self._folder)
        self._known = {segment.name for segment in segments}
        before = [
            segment for segment in segments if segment.first_line is not None and segment.first_line <= line
        ]
        if before:
            self._enter(before[-1])
        while self._line < line:
            offset, current = self._offset, self._current
            first, data = self.read(max(READ_BYTES, MAX_RECORD_BYTES + 1))
            if not data:
                raise TrafficError(
                    self._address,
                    f"{self._folder} ends at line {self._line}, but line {line} was asked for; "
                    "was the spool replaced? Read it into an experiment of its own",
                )
            if self._line > line or first > line:
                offset = offset if self._current is current else 0
                self._offset = offset + _after(data, max(line - first, 0))
                self._line = max(line, first)
                return

    def end(self) -> int:
        segments = list_segments(self._folder)
        if not segments:
            return 0
        *earlier, last = segments
        if last.first_line is not None:
            return last.first_line + self._count(last, closed=True)
        return sum(self._count(file, closed=True) for file in earlier) + self._count(
            last, closed=last.closed()
        )

    def _step(self, data: bytes) -> tuple[int, bytes]:
        first = self._line
        self._line += data.count(b"\n")
        return first, data

    def _lines(self, segment: Segment, max_bytes: int) -> bytes:
        """Whole lines from where reading stands; nothing at the end, or before a line that is not whole."""
        data = segment.read(self._offset, max_bytes)
        if data and self._torn:
            raise TrafficError(
                self._address,
                f"{segment.path} grew after its torn last line was read; bring files there only when finished",
            )
        cut = data.rfind(b"\n") + 1
        if cut:
            self._offset += cut
            return data[:cut]
        return self._long_line(segment, data) if len(data) == max_bytes else b""

    def _long_line(self, segment: Segment, head: bytes) -> bytes:
        """A line that is longer than a read: its head stands for it, so that no line can fill the memory."""
        offset = self._offset + len(head)
        while more := segment.read(offset, READ_BYTES):
            newline = more.find(b"\n") + 1
            offset += newline or len(more)
            if newline:
                self._offset = offset
                return head + b"\n"
        return b""

    def _torn_line(self, segment: Segment, max_bytes: int) -> bytes:
        """What stands behind the last newline of a closed file, as a line."""
        if segment.orphan or not (data := segment.read(self._offset, max_bytes)):
            return b""
        self._offset += len(data)
        while more := segment.read(self._offset, READ_BYTES):
            self._offset += len(more)
        self._torn = True
        return data + b"\n"

    def _following(self) -> Segment | None:
        """The file to read after the current one."""
        following = self._look()
        if following is not None and (following.first_line or 0) > self._line:
            following = self._look()  # a gap: look twice, lest a rename slipped through the first look
        return following

    def _look(self) -> Segment | None:
        segments = list_segments(self._folder)
        current = self._current
        if current is not None:
            for segment in segments:
                if segment.name < current.name and segment.name not in self._known:
                    raise UsageError(
                        f"{segment.path} sorts before {current.name}, which has been read already; "
                        "give files that are brought to the spool ascending names"
                    )
        self._known = {segment.name for segment in segments}
        return next((segment for segment in segments if current is None or segment.name > current.name), None)

    def _enter(self, segment: Segment) -> None:
        if segment.first_line is not None:
            if segment.first_line < self._line:
                raise TrafficError(
                    self._address,
                    f"{segment.path} begins before line {self._line}, where the file before it ends; "
                    "two writers used one folder, so give each mirror a `process` name of its own",
                )
            self._line = segment.first_line
        self._current, self._offset, self._torn = segment, 0, False

    def _count(self, segment: Segment, *, closed: bool) -> int:
        """The lines of a file, counted once; of one that grew, only what was added."""
        offset, newlines = self._counted.get(segment.name, (0, 0))
        while data := segment.read(offset, READ_BYTES):
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) < READ_BYTES:
                break
            offset += cut or len(data)
            newlines += data.count(b"\n")
        self._counted[segment.name] = (offset, newlines)
        torn = segment.read(max(offset - 1, 0), 2) not in (b"", b"\n")
        return newlines + (torn and closed and not segment.orphan)


def _after(data: bytes, lines: int) -> int:
    """The length of that many lines."""
    at = 0
    for _ in range(lines):
        at = data.index(b"\n", at) + 1
    return at
