"""The original rate, or a multiple of it: against a fixed start, by a clock of the test's own."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from gnomon_replay.pacing import PACED_LINES, PacedSource
from gnomon_replay.traffic import Frame, Keeper, Source, Stream

START = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC)


class Clock:
    """A clock that goes on by what is slept, and by what is spent."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += max(seconds, 1e-4)


class Listed(Source):
    """Frames that are given, so many a read."""

    def __init__(self, frames: list[Frame], per_read: int = 3) -> None:
        self.frames = frames
        self.per_read = per_read
        self.rewound: list[Mapping[str, int | None]] = []

    @property
    def name(self) -> str:
        return "listed"

    def start(self, keeper: Keeper) -> None:
        pass

    def read(self, timeout_s: float) -> list[Frame]:
        found, self.frames = self.frames[: self.per_read], self.frames[self.per_read :]
        return found

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        self.rewound.append(positions)


@pytest.fixture
def frame(line: Callable[..., bytes]) -> Callable[..., Frame]:
    def make(*seconds: float, offset: int = 0, partition: str = "p", by_line: bool = True) -> Frame:
        times = [(START + datetime.timedelta(seconds=each)).isoformat() for each in seconds]
        data = b"".join(line(offset + at, x=at, with_={"ts": ts}) for at, ts in enumerate(times))
        size = len(times) if by_line else 1
        return Frame(Stream("spool:e", None), partition, offset, offset + size, data, by_line=by_line)

    return make


def arrivals(paced: PacedSource, clock: Clock, busy_s: float = 0.0) -> list[tuple[int, float]]:
    """Each frame's offset with the time at which it came, after the start; `busy_s` is spent behind each read."""
    found, idle = [], 0
    while idle < 3:
        frames = paced.read(0.5)
        idle = 0 if frames or paced._held_bytes else idle + 1
        found += [(each.offset, clock.now - 1000.0) for each in frames]
        clock.now += busy_s if frames else 0
    return found


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_an_hour_of_traffic_does_not_drift(frame: Callable[..., Frame], factor: float) -> None:
    """A message every two seconds; the reader is busy for a tenth of that with each."""
    clock = Clock()
    frames = [frame(2.0 * at, offset=at, by_line=False) for at in range(1801)]
    paced = PacedSource(Listed(frames), factor, clock, clock.sleep)
    found = arrivals(paced, clock, busy_s=0.2 / factor)
    assert [offset for offset, _ in found] == list(range(1801))
    late = [came - 2.0 * offset / factor for offset, came in found]
    assert min(late) > -1e-6
    assert max(late) <= 0.2 / factor + 0.01
    assert abs(found[-1][1] - 3600 / factor) < 0.3


def test_what_is_late_comes_at_once_and_delays_nothing_after_it(frame: Callable[..., Frame]) -> None:
    clock = Clock()
    frames = [frame(float(at), offset=at, by_line=False) for at in range(20)]
    paced = PacedSource(Listed(frames, per_read=20), 1.0, clock, clock.sleep)
    assert [each.offset for each in paced.read(0.5)] == [0]
    clock.now += 10.5  # a long commit
    assert [each.offset for each in paced.read(0.5)] == list(range(1, 11))
    assert arrivals(paced, clock)[-1] == (19, pytest.approx(19.0, abs=0.01))


def test_a_long_read_is_let_through_in_parts_whose_positions_join(frame: Callable[..., Frame]) -> None:
    clock = Clock()
    count = 4 * PACED_LINES + 7
    long = frame(*[0.1 * at for at in range(count)], offset=30)
    paced = PacedSource(Listed([long]), 1.0, clock, clock.sleep)
    parts: list[Frame] = []
    while len(parts) < 5:
        parts += paced.read(0.5)
    assert b"".join(part.data for part in parts) == long.data
    assert [part.offset for part in parts] == [30 + PACED_LINES * at for at in range(5)]
    assert [part.next_position for part in parts] == [*(part.offset for part in parts[1:]), 30 + count]
    assert clock.now - 1000.0 == pytest.approx(0.1 * 4 * PACED_LINES, abs=0.02)


def test_places_keep_step_with_each_other(frame: Callable[..., Frame]) -> None:
    clock = Clock()
    frames = [frame(float(at), offset=at, partition=part, by_line=False) for part in "pq" for at in range(10)]
    paced = PacedSource(Listed(frames, per_read=20), 1.0, clock, clock.sleep)
    order: list[int] = []
    while len(order) < 20:
        order += [each.offset for each in paced.read(0.5)]
    assert order == sorted(order)


def test_what_was_read_before_a_rewind_is_thrown_away(frame: Callable[..., Frame]) -> None:
    clock = Clock()
    source = Listed([frame(0.0, offset=0, by_line=False), frame(100.0, offset=1, by_line=False)])
    paced = PacedSource(source, 1.0, clock, clock.sleep)
    assert len(paced.read(0.5)) == 1
    paced.rewind({"spool:e/p": 1})
    assert source.rewound == [{"spool:e/p": 1}]
    source.frames = [frame(100.0, offset=1, by_line=False)]
    assert arrivals(paced, clock) == [(1, pytest.approx(100.0, abs=0.01))]


def test_what_has_no_time_comes_at_once() -> None:
    clock = Clock()
    torn: Any = [Frame(Stream("spool:e", None), "p", 0, 1, b"torn\n", by_line=True)]
    assert len(PacedSource(Listed(torn), 1.0, clock, clock.sleep).read(0.5)) == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_what_is_no_pace_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="is no pace"):
        PacedSource(Listed([]), factor)
