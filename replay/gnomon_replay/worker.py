"""The worker: reads traffic, asks the models, appends pairs; for ever, or until it has caught up."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.errors import TrafficError

from gnomon_replay.asking import Panel
from gnomon_replay.columns import complete
from gnomon_replay.decode import Decoder
from gnomon_replay.duplicates import Duplicates
from gnomon_replay.errors import OvertakenError
from gnomon_replay.log import Batch, PairLog
from gnomon_replay.pairs import SCHEMA_VERSION, TIMESTAMP, pairs_schema
from gnomon_replay.settings import ReplaySettings
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Source
from gnomon_replay.waiting import Waiting

POLL_S = 0.5
CATCHING_UP = 6
"""By how much a run that catches up waits longer for its commits to fill: fewer, larger files."""
OVERTAKEN_IN_A_ROW = 3
"""A position that moves may be a rebalance; that often, with no commit between, it is a rival."""
COMMIT_BYTES = 64 << 20
"""Of traffic in one commit, however few rows it is: its memory is several times that."""


@dataclass
class Progress:
    """How far a run is; counts are of this run.

    Attributes:
        pairs: rows committed; `errors` of these failed, `duplicates` are marked.
        dead_letters: lines that are no records.
        timed: requests that were run alone.
        lag: positions between the log and the traffic's end, when last looked.
        done: positions read; of `todo`, the lag when the run began.
    """

    pairs: int = 0
    errors: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    timed: int = 0
    commits: int = 0
    lag: int = 0
    done: int = 0
    todo: int = 0


class Worker:
    """Runs one candidate over one source into one log, every pair exactly once.

    Rows wait in memory until a commit is due. A partition that is taken away, or given anew, loses its
    waiting rows here; whoever owns it then reads them again from the log's position, so that nothing is lost
    and nothing doubled.

    Raises:
        SettingsError: a feature is declared with another type than it has in the log.
    """

    def __init__(
        self,
        source: Source,
        log: PairLog,
        panel: Panel,
        settings: ReplaySettings,
        shape: Shape,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._source = source
        self._log = log
        self._panel = panel
        self._settings = settings
        self._on_progress = on_progress
        logged = log.schema()
        shape.refuse_change(logged)
        shape.adopt(logged)
        self._decoder = Decoder(shape, max_record_bytes=settings.max_record_bytes, task=panel.candidate.task)
        self._duplicates = Duplicates(log.recent_ids, settings.dedupe_ids)
        self._stop = threading.Event()
        self._lock = threading.Lock()  # over the next two, which the source's thread changes
        self._ours: set[str] = set()
        self._moved: set[str] = set()  # given or taken since we looked
        self._at: dict[str, int | None] = {}  # where the log stands, of the partitions that we read
        self._next: dict[str, int] = {}  # what is read next
        self._waiting = Waiting()
        self._until_caught_up = False
        self._timed_at = time.monotonic()
        self._progress = Progress()

    def stop(self) -> None:
        """Asks the run to commit what it has and return. Thread- and signal-safe."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def run(self, *, until_caught_up: bool) -> Progress:
        """Works until stopped, or until everything that stands in the traffic is in the log.

        Raises:
            FencedError, ShapeMovedError: another worker writes the same pairs, or features of other types.
            TrafficError, LogError, ModelError: as they say; what was committed stays.
        """
        self._until_caught_up = until_caught_up
        self._source.start(self)
        self._progress.todo = self._progress.lag = self._lag_of_log()
        self._on_progress(self._progress)
        overtaken = 0
        while True:
            self._settle()
            frames = [] if self._due() else self._source.read(POLL_S)
            moved = self._settle()  # what came of these may be from before
            self._take(frame for frame in frames if frame.partition not in moved)
            ending = self._stop.is_set() or (until_caught_up and not frames and self._caught_up())
            if self._waiting.frames and (ending or self._due()):
                try:
                    self._commit(last=ending)
                    overtaken = 0
                except OvertakenError:
                    overtaken += 1
                    if overtaken == OVERTAKEN_IN_A_ROW:
                        raise
                    self._go_back()
                    continue
            if ending and not self._waiting.frames:
                return self._progress

    # ---- the source's keeper; called from the source's own thread ----

    def given(self, partitions: list[str]) -> None:
        """These partitions are ours, perhaps anew."""
        with self._lock:
            self._ours.update(partitions)
            self._moved.update(partitions)

    def taken(self, partitions: list[str]) -> None:
        """These partitions are no longer ours."""
        with self._lock:
            self._ours.difference_update(partitions)
            self._moved.update(partitions)

    # ---- what the source's thread changed, taken over between two reads ----

    def _settle(self) -> set[str]:
        """Throws away what waits of partitions that moved, and reads those that are ours from where the log
        stands; returns which moved."""
        with self._lock:
            moved, self._moved = self._moved, set()
            ours = moved & self._ours
        if not moved:
            return moved
        self._waiting = self._waiting.without(moved)
        self._log.forget_standing(moved)
        self._duplicates.forget(moved)
        for part in moved:
            self._at.pop(part, None)
            self._next.pop(part, None)
        positions = self._log.positions(sorted(ours))
        self._refuse_lost_end(positions)
        self._source.rewind(positions)
        self._at.update(positions)
        self._next.update((part, at or 0) for part, at in positions.items())
        return moved

    def _refuse_lost_end(self, positions: Mapping[str, int | None]) -> None:
        ends = self._source.ends() if any(positions.values()) else {}
        for part, at in positions.items():
            if at is not None and at > ends.get(part, at):
                name = self._source.stream.name
                raise TrafficError(
                    name,
                    f"partition {part} of {name} ends at {ends[part]}, but {at} of it are in the log; "
                    "was the traffic made anew? Read it into an experiment of its own",
                )

    def _take(self, frames: Iterable[Frame]) -> None:
        """Lets frames wait for the next commit: those of partitions that are ours, and not read before. After a
        partition was lost and given anew, a read may still bring what was fetched before the rewind."""
        for frame in frames:
            if frame.partition in self._at and frame.offset >= self._next[frame.partition]:
                self._next[frame.partition] = frame.next_position
                self._waiting.add([frame])

    def _go_back(self) -> None:
        """After another worker was first: as if all partitions had been given anew, and with its features."""
        self._decoder.shape.adopt(self._log.schema())
        with self._lock:
            self._moved |= self._ours

    # ---- one commit ----

    def _due(self) -> bool:
        waiting = self._waiting
        if not waiting.frames:
            return False
        # A run that catches up fills its commits by itself, unless the models are slow.
        patience_s = self._settings.commit_s * (CATCHING_UP if self._until_caught_up else 1)
        old = time.monotonic() - waiting.since >= patience_s
        full = waiting.lines >= self._settings.commit_rows or waiting.size_bytes >= COMMIT_BYTES
        return full or old

    def _commit(self, *, last: bool) -> None:
        frames, self._waiting = self._waiting.frames, Waiting()
        reached = {frame.partition: frame.next_position for frame in frames}
        began = {part: self._at[part] for part in reached}
        decoded = self._decoder.decode(frames)
        requests = decoded.requests
        duplicate = self._duplicates.mark(requests)
        share = len(requests) and self._share_of_run(frames)
        answers = self._panel.ask(requests, self._to_time(share, last), self._stop.is_set)
        pairs = self._pairs(requests, duplicate, answers)
        with self._lock:
            moved = self._moved & reached.keys()
        if moved:  # while the models were busy: what is still ours waits for the next commit
            self._waiting.add(frame for frame in frames if frame.partition not in moved)
            return
        self._log.commit(Batch(pairs, decoded.dead_letters, decoded.ledgers, began, reached))
        self._at.update(reached)
        self._duplicates.remember()
        self._source.acknowledge(reached)
        self._count(pairs, decoded.dead_letters.num_rows, frames)

    def _pairs(
        self, requests: pa.Table, duplicate: pa.BooleanArray, answers: Mapping[str, pa.StructArray]
    ) -> pa.Table:
        """The rows of the log for these requests."""
        count = requests.num_rows
        primary = self._panel.primary
        constants = {
            "primary_digest": pa.scalar(None if primary is None else primary.digest, pa.string()),
            "candidate_digest": pa.scalar(self._panel.candidate.digest, pa.string()),
            "noise_frac": pa.scalar(0.0 if primary is None else self._panel.noise_frac),
            "threads": pa.scalar(self._settings.threads, pa.int32()),
            "replayed_at": pa.scalar(datetime.datetime.now(datetime.UTC), TIMESTAMP),
            "schema_version": pa.scalar(SCHEMA_VERSION, pa.int32()),
        }
        table = requests
        for name, column in answers.items():
            table = table.append_column(name, column)
        for name, value in constants.items():
            table = table.append_column(name, pa.repeat(value, count))
        day = requests.column("ts").cast(pa.timestamp("us")).cast(pa.date32())  # of the UTC time
        table = table.append_column("day", day).append_column("duplicate", duplicate)
        return complete(table, pairs_schema(self._decoder.shape.features, self._decoder.shape.attributes))

    def _to_time(self, share: float, last: bool) -> int:
        """How many of the next rows to run alone: by the clock, and by what a run that ends by itself owes."""
        now = time.monotonic()
        by_clock = self._settings.latency_per_s * (now - self._timed_at)
        self._timed_at = now
        owed = 0.0
        if self._until_caught_up and not self._stop.is_set():
            least = self._settings.latency_min
            owed = max(0, least - self._progress.timed) if last else least * share
        return round(max(by_clock, owed))

    def _share_of_run(self, frames: list[Frame]) -> float:
        """Which share of what the run had to do these frames are, by positions."""
        return min(1.0, _span(frames) / max(1, self._progress.todo))

    # ---- what is told ----

    def _caught_up(self) -> bool:
        """Whether everything that now stands in our partitions has been read."""
        if not self._at:  # nothing is ours yet, or any more: others may have done it all
            return self._lag_of_log() == 0
        ends = self._source.ends()
        return self._lag({part: self._next.get(part, end) for part, end in ends.items()}, ends) == 0

    def _lag_of_log(self) -> int:
        ends = self._source.ends()
        return self._lag(self._log.positions(list(ends)), ends)

    def _lag(self, read: Mapping[str, int | None], ends: Mapping[str, int]) -> int:
        """How many positions lie between these and the traffic's end."""
        starts = self._source.starts()
        return sum(max(0, end - max(read.get(part) or 0, starts.get(part, 0))) for part, end in ends.items())

    def _count(self, pairs: pa.Table, dead_letters: int, frames: list[Frame]) -> None:
        candidate = pairs.column("candidate").combine_chunks()
        timed = candidate.field("latency_us")
        progress = self._progress
        progress.pairs += pairs.num_rows
        progress.errors += len(candidate) - candidate.field("error").null_count
        progress.timed += len(timed) - timed.null_count
        progress.duplicates += pc.sum(pairs.column("duplicate")).as_py() or 0
        progress.dead_letters += dead_letters
        progress.commits += 1
        progress.done += _span(frames)
        progress.lag = self._lag(self._at, self._source.ends())
        self._on_progress(progress)


def _span(frames: list[Frame]) -> int:
    """How many positions these frames take up."""
    return sum(frame.next_position - frame.offset for frame in frames)
