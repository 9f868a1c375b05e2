"""Traffic from a spool: one partition per capturing process, positions are line numbers."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from gnomon_capture.record import is_ledger, parse_ts
from gnomon_capture.spool import SpoolReader

from gnomon_replay.blocks import count_newlines
from gnomon_replay.traffic import Frame, Keeper, Stream

READ_BYTES = 4 << 20
POLL_S = 0.2


class SpoolSource:
    """Reads every capturing process of a spool folder; new ones are found as they appear."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self._folder = folder
        self._reader = SpoolReader(folder)
        self._stream = Stream(f"spool:{experiment}", None)
        self._keeper: Keeper | None = None
        self._known: set[str] = set()
        self._turns: deque[str] = deque()  # the same, the next one first

    @property
    def name(self) -> str:
        """Named by the experiment: the folder may move."""
        return self._stream.name

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
        for place, position in positions.items():
            self._reader.seek(_process(place), position or 0)

    def ends(self) -> dict[str, int]:
        return {self._stream.place(part): self._reader.end(part) for part in self._reader.partitions()}

    def starts(self) -> dict[str, int]:
        return {self._stream.place(part): 0 for part in self._reader.partitions()}

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        """By the records' `ts`; each partition is read up to there."""
        found = {}
        with contextlib.closing(
            SpoolReader(self._folder)
        ) as reader:  # of its own: reading stands where it stood
            for part in reader.partitions():
                found[self._stream.place(part)] = _first_at(reader, part, moment)
        return found

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        self._reader.close()

    def _discover(self) -> None:
        new = [part for part in self._reader.partitions() if part not in self._known]
        if new and self._keeper is not None:
            self._known.update(new)
            self._turns.extend(new)
            self._keeper.given([self._stream.place(part) for part in new])

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


def _process(place: str) -> str:
    return place.rpartition("/")[2]


class _Time(msgspec.Struct):
    ts: str | None = None


_time_of = msgspec.json.Decoder(_Time)


def _first_at(reader: SpoolReader, part: str, moment: datetime.datetime) -> int:
    """The number of the first request's line with that time or a later one; the end where there is none."""
    while True:
        first, data = reader.read(part, READ_BYTES)
        if not data:
            return first
        for number, line in enumerate(data.split(b"\n"), first):
            with contextlib.suppress(ValueError):  # no record, which has no time
                ts = None if is_ledger(line) else _time_of.decode(line).ts
                if ts is not None and parse_ts(ts) >= moment:
                    return number
