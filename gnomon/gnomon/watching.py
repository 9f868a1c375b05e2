"""What a run does, seen from outside the worker: each commit, and how far each place is behind.

The log and the source that the worker is given tell whoever listens; neither they nor the worker behave in
any other way for it.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from gnomon_replay.log import Batch, PairLog
from gnomon_replay.traffic import Frame, Keeper, Source


@dataclass(frozen=True)
class Committed:
    """One commit.

    Attributes:
        version: of the table of pairs, after it.
        seconds: it took, dead letters and ledgers included, the models not.
        pairs, timed: rows, and those of them that were run alone, by the candidate's version.
        errors: rows that failed, by the candidate's version and the kind.
        duplicates: rows that are marked so.
        dead_letters: lines that are no records.
        partitions: that its rows come from.
    """

    version: int | None
    seconds: float
    pairs: Mapping[str, int]
    timed: Mapping[str, int]
    errors: Mapping[tuple[str, str], int]
    duplicates: int
    dead_letters: int
    partitions: tuple[str, ...]


class Listener(Protocol):
    """Told of what a run does. May be called from another thread than the run's."""

    def committed(self, commit: Committed) -> None:
        """A commit is in the log."""

    def reading(self, positions: Mapping[str, int | None]) -> None:
        """Reading goes on from here: these places were given to this run, or given anew."""


class WatchedLog(PairLog):
    """A pair log that tells of its commits."""

    def __init__(self, folder: Path, listeners: list[Listener]) -> None:
        super().__init__(folder)
        self._listeners = listeners

    def commit(self, batch: Batch) -> None:
        began = time.monotonic()
        super().commit(batch)
        done = summary(batch, self.version, time.monotonic() - began)
        for listener in self._listeners:
            listener.committed(done)


class WatchedSource:
    """A source that remembers how far it is read, and tells what it is to read."""

    def __init__(self, source: Source, listeners: list[Listener]) -> None:
        self._source = source
        self._listeners = listeners
        self._lock = threading.Lock()
        self._at: dict[str, int | None] = {}
        self._read_to: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def lags(self) -> dict[str, int]:
        """Positions between what is committed and the traffic's end when last looked, of the places that
        this run reads. Thread-safe."""
        with self._lock:
            return {
                part: max(0, self._ends[part] - max(at or 0, self._starts.get(part, 0)))
                for part, at in self._at.items()
                if part in self._ends
            }

    def in_hand(self) -> str:
        """What was read and is not committed, in words. Thread-safe."""
        with self._lock:
            count = sum(max(0, to - (self._at.get(part) or 0)) for part, to in self._read_to.items())
        what = "messages" if self.name.startswith("kafka:") else "lines"
        return f"{count:,} {what} that it had read" if count else "anything more"

    @property
    def name(self) -> str:
        return self._source.name

    def start(self, keeper: Keeper) -> None:
        self._source.start(_Told(keeper, self))

    def read(self, timeout_s: float) -> list[Frame]:
        frames = self._source.read(timeout_s)
        with self._lock:
            self._read_to.update((frame.place, frame.next_position) for frame in frames)
        return frames

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        self._source.rewind(positions)
        if positions:
            with self._lock:
                self._at.update(positions)
                self._read_to.update((place, at or 0) for place, at in positions.items())
            for listener in self._listeners:
                listener.reading(positions)

    def ends(self) -> dict[str, int]:
        ends = self._source.ends()
        with self._lock:
            self._ends.update(ends)
        return ends

    def starts(self) -> dict[str, int]:
        starts = self._source.starts()
        with self._lock:
            self._starts.update(starts)
        return starts

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        self._source.acknowledge(positions)
        with self._lock:
            self._at.update(positions)

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        return self._source.at_time(moment)

    def close(self) -> None:
        self._source.close()

    def forget(self, places: list[str]) -> None:
        """Stops telling of places that are another's now."""
        with self._lock:
            for place in places:
                self._at.pop(place, None)
                self._read_to.pop(place, None)


class _Told:
    """Passes on to the keeper, and has the source forget what was taken away."""

    def __init__(self, keeper: Keeper, source: WatchedSource) -> None:
        self._keeper = keeper
        self._watched = source

    def given(self, places: list[str]) -> None:
        self._keeper.given(places)

    def taken(self, places: list[str]) -> None:
        self._keeper.taken(places)
        self._watched.forget(places)

    def lost(self, places: list[str]) -> None:
        self._keeper.lost(places)
        self._watched.forget(places)


def summary(batch: Batch, version: int | None, seconds: float) -> Committed:
    """What a batch holds, counted from its rows."""
    pairs = batch.pairs
    candidate = pairs.column("candidate").combine_chunks()
    source = pairs.column("source").combine_chunks()
    facts = {
        "version": candidate.field("version"),
        "error": candidate.field("error"),
        "timed": pc.is_valid(candidate.field("latency_us")),
    }
    groups = pa.table(facts).group_by(list(facts)).aggregate([([], "count_all")]).to_pylist()
    rows: Counter[str] = Counter()
    timed: Counter[str] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for group in groups:
        rows[group["version"]] += group["count_all"]
        if group["timed"]:
            timed[group["version"]] += group["count_all"]
        if group["error"] is not None:
            errors[group["version"], group["error"]] += group["count_all"]
    return Committed(
        version,
        seconds,
        rows,
        timed,
        errors,
        pc.sum(pairs.column("duplicate")).as_py() or 0,
        batch.dead_letters.num_rows,
        tuple(sorted(each for each in pc.unique(source.field("partition")).to_pylist() if each)),
    )
