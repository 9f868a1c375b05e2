"""The worker: reads traffic, asks the models, appends pairs; for ever, or until it has caught up."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from gnomon_replay.asking import Panel
from gnomon_replay.columns import complete
from gnomon_replay.decode import Decoder
from gnomon_replay.duplicates import Duplicates
from gnomon_replay.errors import FencedError
from gnomon_replay.log import Batch, PairLog
from gnomon_replay.pairs import SCHEMA_VERSION, TIMESTAMP, pairs_schema
from gnomon_replay.settings import ReplaySettings
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Source

POLL_S = 0.5
FENCED_IN_A_ROW = 3
"""A position that moves may be a rebalance; that often, with no commit between, it is a rival."""


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


@dataclass
class _Waiting:
    """Frames read and not yet committed."""

    frames: list[Frame] = field(default_factory=list)
    lines: int = 0
    since: float = 0.0

    def add(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if not self.frames:
                self.since = time.monotonic()
            self.frames.append(frame)
            self.lines += frame.data.count(b"\n") + 1

    def without(self, partitions: set[str]) -> _Waiting:
        kept = _Waiting()
        kept.add(frame for frame in self.frames if frame.partition not in partitions)
        return kept


class Worker:
    """Runs one candidate over one source into one log, every pair exactly once.

    Rows wait in memory until a commit is due. A partition that is taken away, or given anew, loses its
    waiting rows here; whoever owns it then reads them again from the log's position, so that nothing is lost
    and nothing doubled.
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
        logged = log.shape()
        shape.adopt(pairs_schema(logged.features, logged.attributes))
        self._decoder = Decoder(shape, max_record_bytes=settings.max_record_bytes)
        self._duplicates = Duplicates(log.recent_ids, settings.dedupe_ids)
        self._stop = threading.Event()
        self._lock = threading.Lock()  # over the next three, which the source's thread changes too
        self._at: dict[str, int | None] = {}  # where the log stands, of the partitions that are ours
        self._taken: set[str] = set()
        self._given: set[str] = set()
        self._next: dict[str, int] = {}  # what is read next
        self._waiting = _Waiting()
        self._until_caught_up = False
        self._timed_at = time.monotonic()
        self._progress = Progress()

    def stop(self) -> None:
        """Asks the run to commit what it has and return. Thread- and signal-safe."""
        self._stop.set()

    def run(self, *, until_caught_up: bool) -> Progress:
        """Works until stopped, or until everything that stands in the traffic is in the log.

        Raises:
            FencedError: another worker writes the same pairs.
            TrafficError, LogError, ModelError: as they say; what was committed stays.
        """
        self._until_caught_up = until_caught_up
        self._source.start(self)
        self._progress.todo = self._progress.lag = self._behind(
            self._log.positions(list(self._source.ends()))
        )
        self._on_progress(self._progress)
        fenced = 0
        while True:
            frames = self._source.read(0.0 if self._due() else POLL_S)
            changed = self._settle()
            self._waiting.add(self._unread(frames, changed))
            ending = self._stop.is_set() or (until_caught_up and not frames and self._caught_up())
            if self._waiting.frames and (ending or self._due()):
                try:
                    self._commit(last=ending)
                    fenced = 0
                except FencedError:
                    fenced += 1
                    if fenced == FENCED_IN_A_ROW:
                        raise
                    self._go_back()
                    continue
            if ending:
                return self._progress

    # ---- the source's keeper; called from the source's own thread ----

    def given(self, partitions: list[str]) -> None:
        """These partitions are ours, perhaps anew."""
        with self._lock:
            self._given.update(partitions)
            self._taken.difference_update(partitions)

    def taken(self, partitions: list[str]) -> None:
        """These partitions are no longer ours."""
        with self._lock:
            self._taken.update(partitions)
            self._given.difference_update(partitions)
            for part in partitions:
                self._at.pop(part, None)

    # ---- what the source's thread changed, taken over between two reads ----

    def _settle(self) -> set[str]:
        """Lets go of what was taken, and goes to the log's position in what was given; returns both."""
        with self._lock:
            taken, given = self._taken, self._given
            self._taken, self._given = set(), set()
        changed = taken | given
        if changed:
            self._drop(changed)
        if given:
            positions = self._log.positions(sorted(given))
            with self._lock:
                self._at.update((part, at) for part, at in positions.items() if part not in self._taken)
            self._next.update((part, at or 0) for part, at in positions.items())
            self._source.rewind(positions)
        return changed

    def _unread(self, frames: list[Frame], changed: set[str]) -> Iterable[Frame]:
        """The frames that are ours and not yet read. What a read brought of a partition that changed meanwhile
        may be from anywhere in it; it is read again from the log's position."""
        for frame in frames:
            ours = frame.partition not in changed and frame.partition in self._next
            if ours and frame.offset >= self._next[frame.partition]:
                self._next[frame.partition] = frame.next_position
                yield frame

    def _go_back(self) -> None:
        """After a fence: reads again from where the log stands."""
        with self._lock:
            parts = set(self._at)
        self._drop(parts)
        positions = self._log.positions(list(parts))
        with self._lock:
            self._at.update((part, at) for part, at in positions.items() if part in self._at)
        self._next.update((part, at or 0) for part, at in positions.items())
        self._source.rewind(positions)

    def _drop(self, partitions: set[str]) -> None:
        self._waiting = self._waiting.without(partitions)
        self._log.forget_standing(partitions)
        self._duplicates.forget(partitions)
        for part in partitions:
            self._next.pop(part, None)

    # ---- one commit ----

    def _due(self) -> bool:
        waiting = self._waiting
        if not waiting.frames:
            return False
        old = time.monotonic() - waiting.since >= self._settings.commit_s
        return waiting.lines >= self._settings.commit_rows or (old and not self._until_caught_up)

    def _commit(self, *, last: bool) -> None:
        frames, self._waiting = self._waiting.frames, _Waiting()
        reached = {frame.partition: frame.next_position for frame in frames}
        decoded = self._decoder.decode(frames)
        requests = decoded.requests
        duplicate = self._duplicates.mark(requests)
        share = len(requests) and self._share_of_run(frames)
        answers = self._panel.ask(requests, self._to_time(share, last))
        pairs = self._pairs(requests, duplicate, answers)
        with self._lock:
            gone = {part for part in reached if part not in self._at}
            began = {part: self._at.get(part) for part in reached}
        if gone:  # taken while the models were busy: the rest waits for the next commit
            self._waiting.add(frame for frame in frames if frame.partition not in gone)
            return
        self._log.commit(Batch(pairs, decoded.dead_letters, decoded.ledgers, began, reached))
        with self._lock:
            self._at.update((part, at) for part, at in reached.items() if part in self._at)
        self._duplicates.remember(requests)
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
        if self._until_caught_up:
            least = self._settings.latency_min
            owed = max(0, least - self._progress.timed) if last else least * share
        return round(max(by_clock, owed))

    def _share_of_run(self, frames: list[Frame]) -> float:
        """Which share of what the run had to do these frames are, by positions."""
        return min(1.0, _span(frames) / max(1, self._progress.todo))

    # ---- what is told ----

    def _caught_up(self) -> bool:
        """Whether everything that now stands in our partitions has been read."""
        with self._lock:
            at: dict[str, int | None] = dict(self._at)
        read = {part: self._next.get(part, position) for part, position in at.items()}
        ends = self._source.ends()
        if not at:  # nothing is ours yet: an empty topic is read, all else is still to come
            return self._behind({}) == 0
        return self._behind({part: read.get(part, end) for part, end in ends.items()}) == 0

    def _behind(self, read: Mapping[str, int | None]) -> int:
        """How many positions lie between these and the traffic's end."""
        ends, starts = self._source.ends(), self._source.starts()
        return sum(max(0, end - max(read.get(part) or 0, starts.get(part, 0))) for part, end in ends.items())

    def _count(self, pairs: pa.Table, dead_letters: int, frames: list[Frame]) -> None:
        candidate = pairs.column("candidate").combine_chunks()
        timed = pairs.column("primary").combine_chunks().field("latency_us")
        progress = self._progress
        progress.pairs += pairs.num_rows
        progress.errors += len(candidate) - candidate.field("error").null_count
        progress.timed += len(timed) - timed.null_count
        progress.duplicates += pc.sum(pairs.column("duplicate")).as_py() or 0
        progress.dead_letters += dead_letters
        progress.commits += 1
        progress.done += _span(frames)
        with self._lock:
            at: dict[str, int | None] = dict(self._at)
        progress.lag = self._behind(at)
        self._on_progress(progress)


def _span(frames: list[Frame]) -> int:
    """How many positions these frames take up."""
    return sum(frame.next_position - frame.offset for frame in frames)
