"""Frames that were read and are not committed yet."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from gnomon_replay.arrowread import count_rows
from gnomon_replay.blocks import count_newlines
from gnomon_replay.traffic import Frame


@dataclass
class Waiting:
    """Frames for the next commit.

    Attributes:
        lines: about how many they hold.
        since: when the first of them came (monotonic seconds).
    """

    frames: list[Frame] = field(default_factory=list)
    lines: int = 0
    size_bytes: int = 0
    since: float = 0.0

    def add(self, frames: Iterable[Frame]) -> None:
        """Adds frames behind the others."""
        for frame in frames:
            if not self.frames:
                self.since = time.monotonic()
            self.frames.append(frame)
            self.lines += _count_lines(frame)
            self.size_bytes += len(frame.data)

    def without(self, places: set[str]) -> Waiting:
        """The same less the frames of these places."""
        kept = Waiting()
        kept.add(frame for frame in self.frames if frame.place not in places)
        return kept


def _count_lines(frame: Frame) -> int:
    if frame.by_line:
        return frame.next_position - frame.offset
    return count_rows(frame.data) if frame.is_arrow else count_newlines(frame.data) + 1
