"""What a commit and an opening of the log cost as it grows, and what compaction gives back.

python bench/log.py [--commits 10000]

CPU time of this process, Delta's threads included, so that a busy machine changes little; wall time beside it.
Commits of a hundred pairs with 12 features, as a slow traffic makes them, one handle, as a worker keeps it. An
opening is what a worker, a gate and a report begin with: the newest version of `pairs`, from nothing.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from gnomon_diff.reading import open_log
from gnomon_replay.columns import complete
from gnomon_replay.log import Batch, PairLog, app_id
from gnomon_replay.maintenance import maintain
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, TIMESTAMP, pairs_schema, struct_of
from gnomon_replay.settings import ReplaySettings

ROWS = 100
SOURCE = "kafka:bench:traffic"
DIGEST = "sha256:bench"
PLACE = f"{SOURCE}/0"
STANDS = app_id(PLACE, DIGEST)
NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
FEATURES = struct_of(
    [*((f"number_{index}", pa.float64()) for index in range(9)), *((name, pa.string()) for name in "abc")]
)


def batch(at: int, random: np.random.Generator) -> Batch:
    """The commit from position `at` on: a pair a position."""
    offsets = np.arange(at, at + ROWS)
    features = pa.StructArray.from_arrays(
        [
            pa.array(random.random(ROWS) if "number" in field.name else random.choice(["x", "y"], ROWS))
            for field in FEATURES
        ],
        fields=list(FEATURES),
    )
    source = pa.StructArray.from_arrays(
        [
            pa.repeat(SOURCE, ROWS),
            pa.repeat("traffic", ROWS),
            pa.repeat("0", ROWS),
            pa.array(offsets),
            pa.array(np.zeros(ROWS, np.int32)),
        ],
        names=["name", "topic", "partition", "offset", "line"],
    )
    table = pa.table(
        {
            "request_id": [f"r{offset}" for offset in offsets],
            "key": [f"k{offset % 999}" for offset in offsets],
            "ts": pa.repeat(pa.scalar(NOW, TIMESTAMP), ROWS),
            "day": pa.repeat(pa.scalar(NOW.date()), ROWS),
            "features": features,
            "source": source,
            "candidate_digest": pa.repeat(DIGEST, ROWS),
        }
    )
    rows = complete(table, pairs_schema(FEATURES, struct_of([])))
    return Batch(
        rows, DEAD_LETTERS.empty_table(), LEDGER.empty_table(), {STANDS: at or None}, {STANDS: at + ROWS}
    )


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of `work`."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def shown(name: str, costs: list[tuple[float, float]]) -> float:
    """Prints the median in ms; returns that of the CPU time."""
    cpu, wall = (1000 * statistics.median(column) for column in zip(*costs, strict=True))
    print(f"{name:<46} {cpu:9.2f} ms CPU {wall:9.2f} ms wall   n = {len(costs)}", flush=True)
    return cpu


def age(folder: Path, seconds: float) -> None:
    """Makes the table's history older, as if commits had come slower."""
    for path in (folder / "pairs" / "_delta_log").iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def openings(folder: Path, when: str) -> None:
    """What it costs to find the position, the last ids, and the files."""
    log = PairLog(folder)
    shown(f"open for the position, {when}", [cost(lambda: log.positions([STANDS])) for _ in range(7)])
    shown(f"open for a report, {when}", [cost(lambda: open_log(folder)) for _ in range(7)])
    shown(
        f"the last 100,000 ids, {when}",
        [cost(lambda: log.recent_ids(PLACE, DIGEST, 100_000)) for _ in range(3)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument(
        "--compact-every",
        type=int,
        default=0,
        metavar="N",
        help="maintain after every N commits, as an hour does",
    )
    parser.add_argument(
        "--every-s", type=float, default=10, help="how long after each other commits seem to come"
    )
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "e"
        log = PairLog(folder)
        costs = []
        upkeep = []
        for index in range(arguments.commits):
            made = batch(index * ROWS, random)
            costs.append(cost(lambda made=made: log.commit(made)))
            if (index + 1) % 10 == 0:
                age(folder, 10 * arguments.every_s)
            if arguments.compact_every and (index + 1) % arguments.compact_every == 0:
                upkeep.append(cost(lambda: maintain(folder, ReplaySettings())))
        early = shown("a commit at versions 10-30", costs[10:30])
        for begin, end in ((100, 300), (500, 700), (1000, 1200), (5000, 5200), (9800, 10_000)):
            if end <= len(costs):
                late = shown(f"a commit at versions {begin}-{end}", costs[begin:end])
                print(f"    {late / early:.2f} times that at versions 10-30")
        if upkeep:
            shown("a compaction between them", upkeep)
        files = len(open_log(folder).pairs.files)
        openings(folder, f"{files:,} files")
        print(f"compaction: {cost(lambda: maintain(folder, ReplaySettings()))[0]:.2f} s CPU")
        openings(folder, f"{len(open_log(folder).pairs.files):,} files after it")


if __name__ == "__main__":
    main()
