"""When a run ends by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gnomon_replay.progress import Progress
from gnomon_replay.settings import Stop

CAUGHT_UP = "caught up"
STOPPED = "stopped"
LIMIT = "limit"


class Budget:
    """What `[replay] stop` allows a run, counted from its making.

    Args:
        stop: the bounds; those that are None do not bind.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._began = time.monotonic()
        self._cpu_began = cpu_s() if stop.cpu_hours is not None else 0.0

    def spent(self, progress: Progress) -> str:
        """The first bound that is reached, as `[replay] stop` names it; empty while there is none."""
        stop = self._stop
        if stop.pairs is not None and progress.pairs >= stop.pairs:
            return "pairs"
        if stop.hours is not None and time.monotonic() - self._began >= stop.hours * 3600:
            return "hours"
        if stop.cpu_hours is not None and cpu_s() - self._cpu_began >= stop.cpu_hours * 3600:
            return "cpu_hours"
        return ""


def cpu_s() -> float:
    """CPU seconds of this process and of the processes below it: the models' hosts, also those that have ended."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").glob(
        "[0-9]*/stat"
    ):  # none where there is no /proc: then this process alone counts
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(entry.parent.name)
        parents[pid] = int(fields[1])
        spent[pid] = (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / _TICKS
    below = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= found
    return total + sum(spent[pid] for pid in below if pid != os.getpid())


_TICKS = os.sysconf("SC_CLK_TCK")
