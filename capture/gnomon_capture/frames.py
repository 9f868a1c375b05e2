"""Frames: the records of one partition that travel together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Held:
    """A file that has to stay until the frames that were made of it are settled; `frames` is how many are not."""

    frames: int = 0


@dataclass(slots=True, eq=False)
class Frame:
    """Lines on their way to one partition.

    Attributes:
        held: the file in which these lines lie too.
        foreign: they are another process's, and in none of this one's counts.
        opened: when its first line came (monotonic seconds).
        ledger: it holds one ledger line, which may only follow when all before it is acknowledged.
    """

    partition: int
    opened: float
    ledger: bool = False
    lines: int = 0
    size_bytes: int = 0
    pieces: list[bytes] = field(default_factory=list)
    held: Held | None = None
    foreign: bool = False

    def add(self, data: bytes, lines: int) -> None:
        """Appends whole lines."""
        self.pieces.append(data)
        self.lines += lines
        self.size_bytes += len(data)

    @property
    def data(self) -> bytes:
        """All lines."""
        return b"".join(self.pieces)

    def halves(self) -> list[Frame]:
        """Two frames of half the lines; none if there is only one line."""
        lines = self.data.splitlines(keepends=True)
        middle = len(lines) // 2
        return [self._part(part) for part in (lines[:middle], lines[middle:])] if middle else []

    def _part(self, lines: list[bytes]) -> Frame:
        part = Frame(self.partition, self.opened, self.ledger, foreign=self.foreign)
        part.add(b"".join(lines), len(lines))
        if self.held is not None:
            part.hold(self.held)
        return part

    def hold(self, held: Held) -> None:
        """From here on the file has to stay for this frame too."""
        self.held = held
        held.frames += 1

    def settle(self) -> None:
        """The frame is acknowledged, parted or lost: it needs its file no more."""
        if self.held is not None:
            self.held.frames -= 1


class OpenFrames:
    """One open frame per partition, closed when it is full or old. For one thread.

    Args:
        max_lines, max_bytes: how much a frame may hold; a line larger than that travels alone.
        put: receives every frame that is closed.
    """

    def __init__(self, max_lines: int, max_bytes: int, put: Callable[[Frame], None]) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._put = put
        self._open: dict[int, Frame] = {}
        self._unkeyed = 0

    def unkeyed(self, partitions: int) -> int:
        """Where records without a key go: to one partition until its frame closes, then to the next."""
        if self._unkeyed >= partitions:
            self._unkeyed = 0
        return self._unkeyed

    def add(self, partition: int, data: bytes, lines: int, now: float) -> None:
        """Adds whole lines to the partition's open frame."""
        if lines > 1 and not self._fits(partition, data, lines):
            for line in data.splitlines(keepends=True):
                self.add(partition, line, 1, now)
            return
        if partition in self._open and not self._fits(partition, data, lines):
            self._close(partition)
        frame = self._open.get(partition)
        if frame is None:
            frame = self._open[partition] = Frame(partition, now)
        frame.add(data, lines)
        if frame.lines >= self._max_lines or frame.size_bytes >= self._max_bytes:
            self._close(partition)

    def close_older(self, opened_before: float) -> None:
        """Closes the frames that were opened before that moment."""
        for partition in [number for number, frame in self._open.items() if frame.opened <= opened_before]:
            self._close(partition)

    def close_all(self) -> None:
        """Closes every open frame."""
        for partition in list(self._open):
            self._close(partition)

    def _fits(self, partition: int, data: bytes, lines: int) -> bool:
        frame = self._open.get(partition)
        have_lines, have_bytes = (frame.lines, frame.size_bytes) if frame else (0, 0)
        return have_lines + lines <= self._max_lines and have_bytes + len(data) <= self._max_bytes

    def _close(self, partition: int) -> None:
        if partition == self._unkeyed:
            self._unkeyed += 1
        self._put(self._open.pop(partition))
