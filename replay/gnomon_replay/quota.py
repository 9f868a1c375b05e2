"""How many requests to run alone and time: by the clock, and by what a run that ends by itself owes."""

from __future__ import annotations

import time


class TimingQuota:
    """Counts what was timed against what should be. Not thread-safe.

    Args:
        per_s: timed requests a second of wall time.
        least: how many a run that ends by itself has, spread over it.
    """

    def __init__(self, per_s: float, least: int) -> None:
        self._per_s = per_s
        self._least = least
        self._counted_at = time.monotonic()

    def due(self, timed: int, *, share: float, last: bool, ends: bool) -> int:
        """How many of the next batch to time.

        Args:
            timed: so far in this run.
            share: of the run's work that this batch is, 0..1.
            last: no other batch comes.
            ends: the run ends by itself, so that it owes its least number.
        """
        now = time.monotonic()
        by_clock = self._per_s * (now - self._counted_at)
        self._counted_at = now
        owed = 0.0
        if ends:
            owed = max(0, self._least - timed) if last else self._least * share
        return round(max(by_clock, owed))
