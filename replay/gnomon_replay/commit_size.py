"""When a commit is due: large enough that files are few, soon enough that its memory is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

from gnomon_replay.settings import ReplaySettings
from gnomon_replay.waiting import Waiting

COMMIT_BYTES = 64 << 20
"""Of traffic in one commit, however few rows it is: its memory is several times that."""
SMALL_FRAC = 0.1
"""A commit with less than this share of `commit_rows` is small: the next one waits twice as long."""
LONGEST = 6
"""By how much a commit waits longer at most: at the defaults a minute, 1,440 files a day from a slow traffic."""
COST_FRAC = 0.1
"""A commit that is due by its age may take this share of the time: a slow disk or store gets fewer, larger ones."""


class CommitSize:
    """Learns from each commit how long the next one waits. Not thread-safe.

    Args:
        settings: `commit_rows` and `commit_s`.
        clock: monotonic seconds.
    """

    def __init__(self, settings: ReplaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = settings.commit_rows
        self._least_s = settings.commit_s
        self._clock = clock
        self._times = 1
        self._cost_s = 0.0

    @property
    def patience_s(self) -> float:
        """How long the oldest line waits, unless the commit is full before."""
        longest = self._least_s * LONGEST
        return min(longest, max(self._least_s * self._times, self._cost_s / COST_FRAC))

    def due(self, waiting: Waiting, *, catching_up: bool, room: int | None = None) -> bool:
        """Whether what waits should be committed now.

        Args:
            room: how many requests the run may still read; None for any number.
            catching_up: the run ends by itself: its commits fill by themselves, unless the models are slow.
        """
        if not waiting.frames:
            return False
        full = self._rows if room is None else max(1, min(self._rows, room))
        if waiting.lines >= full or waiting.size_bytes >= COMMIT_BYTES:
            return True
        patience_s = self._least_s * LONGEST if catching_up else self.patience_s
        return self._clock() - waiting.since >= patience_s

    def committed(self, lines: int, cost_s: float) -> None:
        """Takes note of a commit.

        Args:
            lines: that it was made of.
            cost_s: how long the log took for it.
        """
        small = lines < self._rows * SMALL_FRAC
        self._times = min(LONGEST, self._times * 2) if small else 1
        self._cost_s = cost_s
