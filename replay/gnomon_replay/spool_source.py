"""Traffic from a spool: one partition per capturing process, positions are line numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from gnomon_capture.spool import SpoolReader

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
            self._discover()
            frames = [frame for part in sorted(self._known) for frame in self._next(part)]
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
        for part in self._reader.partitions():
            if part not in self._known and self._keeper is not None:
                self._reader.seek(part, self._keeper.position(part) or 0)
                self._known.add(part)

    def _next(self, part: str) -> list[Frame]:
        first_line, data = self._reader.read(part, READ_BYTES)
        if not data:
            return []
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        return [Frame(self._stream, part, first_line, first_line + lines, data, by_line=True)]
