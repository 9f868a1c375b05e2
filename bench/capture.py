"""What mirroring costs: the caller's thread per `record`, and the sender per record.

python bench/capture.py [--records 200000]

CPU time, not wall time, so that a busy machine changes little. `record` is called hot, with 12 features, an
answer and a key, beside a Python function of the same signature that does nothing. The sender writes to a
spool in a temporary folder; its CPU is the process's less the caller's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from gnomon_capture import CaptureSettings, Mirror

FEATURES = {f"feature_{number}": f"AA{number}" if number % 3 == 0 else number * 1.5 for number in range(12)}
SERVED = {"version": "3.2", "label": "late", "score": 0.83, "latency_us": 1830}
KEYS = [f"N{number:05d}" for number in range(4000)]
BLOCK = 1000


def nothing(
    features: Any = None,
    *,
    payload: Any = None,
    served: Any = None,
    key: Any = None,
    attributes: Any = None,
    request_id: Any = None,
    ts: Any = None,
) -> None:
    """The control: a call of the same form."""


def hand_off_us(call: Callable[..., None]) -> float:
    """CPU µs of the calling thread per call, over one block of calls."""
    keys = KEYS[:BLOCK]
    start = time.thread_time_ns()
    for key in keys:
        call(FEATURES, served=SERVED, key=key)
    return (time.thread_time_ns() - start) / BLOCK / 1000


def hand_off(blocks: int) -> None:
    """Prints the caller's cost: blocks of both calls in turn, the sender asleep between them."""
    with tempfile.TemporaryDirectory() as folder, Mirror(f"spool:{folder}") as mirror:
        control, mirrored = [], []
        for _ in range(blocks):
            control.append(hand_off_us(nothing))
            mirrored.append(hand_off_us(mirror.record))
            while mirror.stats().waiting:
                time.sleep(0.002)
    empty, median = statistics.median(control), statistics.median(mirrored)
    p99 = statistics.quantiles(mirrored, n=100)[98]
    print(f"hand-off, median of {blocks} blocks of {BLOCK} calls")
    print(f"  empty call       {empty:6.3f} µs")
    print(f"  record           {median:6.3f} µs   p99 of blocks {p99:.3f} µs")
    print(f"  added            {median - empty:6.3f} µs   {median / empty:.1f} × an empty call")


def sender(records: int) -> None:
    """Prints the sender's CPU and rate, from the first record until the closing ledger is on the disk."""
    settings = CaptureSettings(buffer_records=records + 1)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu, caller = time.perf_counter(), time.process_time(), time.thread_time()
        with Mirror(f"spool:{folder}", service="bench", settings=settings) as mirror:
            for number in range(records):
                mirror.record(FEATURES, served=SERVED, key=KEYS[number % len(KEYS)])
            handed_over = time.thread_time() - caller
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu - (time.thread_time() - caller)
        stats = mirror.stats()
    if stats.mirrored != records:
        raise SystemExit(f"{stats.mirrored} of {records} records were mirrored: {stats.dropped}")
    print(f"sender to a spool, {records} records of 12 features")
    print(f"  caller           {handed_over / records * 1e6:6.2f} µs a record, as fast as it can")
    print(f"  sender           {cpu / records * 1e6:6.2f} µs a record   {records / wall:,.0f} records/s")
    print(f"  sender / caller  {cpu / handed_over:6.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=200_000, help="how many records the sender is given")
    parser.add_argument("--blocks", type=int, default=300, help="how many blocks of calls are timed")
    args = parser.parse_args()
    hand_off(args.blocks)
    sender(args.records)


if __name__ == "__main__":
    main()
