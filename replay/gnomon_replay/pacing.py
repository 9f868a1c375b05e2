"""Traffic let through at the rate at which it came, or a multiple of it.

A record is due so long after the start as its time lies behind the first record's, divided by the factor. The
start is fixed when the first record comes: what is late is let through at once and delays nothing after it, so
that an hour of traffic takes an hour, however often the reader was busy.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pyarrow as pa
from gnomon_capture.record import is_ledger, parse_ts

from gnomon_replay.traffic import Frame, Keeper, Source

PACED_LINES = 50
"""Lines let through together: of a spool, whose reads hold thousands. A message is let through as it is."""
AHEAD_BYTES = 8 << 20
"""How much is read before it is due."""


class _Timed(msgspec.Struct):
    ts: str


_decoder = msgspec.json.Decoder(_Timed)


class PacedSource:
    """A source that brings frames no sooner than they are due.

    Args:
        source: the traffic; everything but `read` goes to it.
        factor: 1 for the original rate, 10 for ten times that.
        clock, sleep: monotonic seconds; a test's own.
    """

    def __init__(
        self,
        source: Source,
        factor: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not factor > 0:
            raise ValueError(f"a factor of {factor} is no pace")
        self._source = source
        self._factor = factor
        self._clock = clock
        self._sleep = sleep
        self._held: dict[str, deque[tuple[Frame, datetime.datetime | None]]] = {}
        self._held_bytes = 0
        self._start: tuple[float, datetime.datetime] | None = None

    @property
    def name(self) -> str:
        """The source's."""
        return self._source.name

    def start(self, keeper: Keeper) -> None:
        self._source.start(keeper)

    def read(self, timeout_s: float) -> list[Frame]:
        deadline = self._clock() + timeout_s
        while True:
            if self._held_bytes < AHEAD_BYTES:
                # Also while enough is held: a Kafka consumer has to be polled, and other places may be due sooner.
                self._hold(self._source.read(0.0 if self._held_bytes else min(timeout_s, 0.1)))
            frames = list(self._due())
            now = self._clock()
            if frames or now >= deadline:
                return frames
            self._sleep(max(0.0, min(deadline, self._next_due(deadline), now + 0.1) - now))

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        for place in positions:
            for frame, _ in self._held.pop(place, ()):
                self._held_bytes -= len(frame.data)
        self._source.rewind(positions)

    def ends(self) -> dict[str, int]:
        return self._source.ends()

    def starts(self) -> dict[str, int]:
        return self._source.starts()

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        return self._source.at_time(moment)

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        self._source.acknowledge(positions)

    def close(self) -> None:
        self._source.close()

    def _hold(self, frames: list[Frame]) -> None:
        for frame in frames:
            held = self._held.setdefault(frame.place, deque())
            for part in _parts(frame):
                held.append((part, _time_of(part)))
                self._held_bytes += len(part.data)
        if self._start is None:
            times = [ts for held in self._held.values() for _, ts in held if ts is not None]
            if times:
                self._start = (self._clock(), min(times))

    def _due(self) -> Iterator[Frame]:
        now = self._clock()
        for held in self._held.values():
            while held and self._due_at(held[0][1]) <= now:
                frame, _ = held.popleft()
                self._held_bytes -= len(frame.data)
                yield frame

    def _next_due(self, default: float) -> float:
        return min((self._due_at(held[0][1]) for held in self._held.values() if held), default=default)

    def _due_at(self, ts: datetime.datetime | None) -> float:
        """What has no time is due at once."""
        if ts is None or self._start is None:
            return float("-inf")
        began, first = self._start
        return began + (ts - first).total_seconds() / self._factor


def _parts(frame: Frame) -> Iterator[Frame]:
    """A frame of many lines, in frames of PACED_LINES; a message, and what is no NDJSON, as it is."""
    if not frame.by_line or frame.is_arrow or frame.next_position - frame.offset <= PACED_LINES:
        yield frame
        return
    lines = [line + b"\n" for line in frame.data.removesuffix(b"\n").split(b"\n")]
    for begin in range(0, len(lines), PACED_LINES):
        part = lines[begin : begin + PACED_LINES]
        offset = frame.offset + begin
        yield Frame(frame.stream, frame.partition, offset, offset + len(part), b"".join(part), by_line=True)


def _time_of(frame: Frame) -> datetime.datetime | None:
    """The time of a frame's first record that has one."""
    if frame.is_arrow:
        with contextlib.suppress(pa.ArrowException, KeyError):
            column = pa.ipc.open_stream(frame.data).read_all().column("ts")
            moment = column[0].as_py() if len(column) else None
            return moment if isinstance(moment, datetime.datetime) else None
    for line in frame.data.split(b"\n"):
        if line.strip() and not is_ledger(line):
            with contextlib.suppress(ValueError):  # msgspec's errors are such, too
                return parse_ts(_decoder.decode(line).ts)
    return None
