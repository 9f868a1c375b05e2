"""When a commit is due: few files from a slow traffic, bounded memory from a fast one."""

from __future__ import annotations

import pytest
from gnomon_replay import commit_size
from gnomon_replay.commit_size import CommitSize
from gnomon_replay.settings import ReplaySettings
from gnomon_replay.traffic import Frame, Stream
from gnomon_replay.waiting import Waiting

SETTINGS = ReplaySettings(commit_rows=50_000, commit_s=10.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def waiting(lines: int, *, since: float, size_bytes: int = 0) -> Waiting:
    frame = Frame(Stream("spool:e", None), "p", 0, lines, b"", by_line=True)
    return Waiting([frame], lines, size_bytes, since)


def test_nothing_is_never_due() -> None:
    assert not CommitSize(SETTINGS).due(Waiting(), catching_up=True)


def test_a_full_commit_is_due_at_once_by_rows_or_by_bytes() -> None:
    clock = Clock()
    size = CommitSize(SETTINGS, clock)
    assert not size.due(waiting(49_999, since=1000), catching_up=False)
    assert size.due(waiting(50_000, since=1000), catching_up=False)
    assert size.due(waiting(7, since=1000, size_bytes=commit_size.COMMIT_BYTES), catching_up=True)


def test_a_day_of_slow_traffic_makes_1_440_files_and_not_8_640() -> None:
    clock = Clock()
    size = CommitSize(SETTINGS, clock)
    commits, since = 0, clock.now
    for _ in range(86_400):  # a line a second
        clock.now += 1
        lines = int(clock.now - since)
        if size.due(waiting(lines, since=since), catching_up=False):
            size.committed(lines, 0.01)
            commits, since = commits + 1, clock.now
    assert 1440 <= commits <= 1450


def test_a_busy_traffic_is_committed_every_ten_seconds_again_after_one_large_commit() -> None:
    size = CommitSize(SETTINGS)
    for _ in range(5):
        size.committed(10, 0.01)
    assert size.patience_s == 60
    size.committed(20_000, 0.01)
    assert size.patience_s == 10


def test_a_dear_commit_is_made_less_often() -> None:
    size = CommitSize(SETTINGS)
    size.committed(20_000, 2.5)
    assert size.patience_s == pytest.approx(25)
    size.committed(20_000, 100)
    assert size.patience_s == 60
