"""Traffic from a spool: one partition per capturing process, positions are line numbers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from gnomon_capture.spool import SpoolReader

from gnomon_replay.blocks import count_newlines
from gnomon_replay.traffic import Frame, Keeper, Stream

READ_BYTES = 4 << 20
POLL_S = 0.2


class SpoolSource:
    """Reads every capturing process of a spool folder; new ones are found as they appear."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self._reader = SpoolReader(folder)
        self._stream = Stream(f"spool:{experiment}", None)
        self._keeper: Keeper | None = None
        self._known: set[str] = set()
        self._turns: deque[str] = deque()  # the same, the next one first

    @property
    def stream(self) -> Stream:
        """Named by the experiment: the folder may move."""
        return self._stream

    def start(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._discover()

    def read(self, timeout_s: float) -> list[Frame]:
        deadline = time.monotonic() + timeout_s
        while True:
            frames = list(self._next_frames())
            self._discover()  # what is found now is rewound before it is read
            left = deadline - time.monotonic()
            if frames or left <= 0:
                return frames
            time.sleep(min(left, POLL_S))

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        for part, position in positions.items():
            self._reader.seek(part, position or 0)

    def ends(self) -> dict[str, int]:
        return {part: self._reader.end(part) for part in self._reader.partitions()}

    def starts(self) -> dict[str, int]:
        return dict.fromkeys(self._reader.partitions(), 0)

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        self._reader.close()

    def _discover(self) -> None:
        new = [part for part in self._reader.partitions() if part not in self._known]
        if new and self._keeper is not None:
            self._known.update(new)
            self._turns.extend(new)
            self._keeper.given(new)

    def _next_frames(self) -> Iterator[Frame]:
        """A frame of each partition in turn, until they are as much as one read may bring."""
        size = 0
        for _ in range(len(self._turns)):
            part = self._turns[0]
            self._turns.rotate(-1)
            first_line, data = self._reader.read(part, READ_BYTES)
            if data:
                end = first_line + count_newlines(data)
                yield Frame(self._stream, part, first_line, end, data, by_line=True)
            size += len(data)
            if size >= READ_BYTES:
                return
