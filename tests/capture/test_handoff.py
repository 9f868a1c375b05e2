"""Counting without a lock."""

from __future__ import annotations

import threading

from gnomon_capture.handoff import Tally


def test_a_tally_counts_what_many_threads_add() -> None:
    tally = Tally()
    stop = threading.Event()
    seen = []

    def add() -> None:
        for _ in range(20_000):
            tally.add()

    def look() -> None:
        while not stop.is_set():
            seen.append(tally.value())

    adders = [threading.Thread(target=add) for _ in range(4)]
    watcher = threading.Thread(target=look)
    for thread in [watcher, *adders]:
        thread.start()
    for thread in adders:
        thread.join()
    stop.set()
    watcher.join()
    assert tally.value() == tally.value() == 80_000
    assert seen == sorted(seen)
