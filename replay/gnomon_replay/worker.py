"""The worker: reads traffic, asks the models, appends pairs; for ever, or until it has caught up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pyarrow as pa
from gnomon_capture.errors import GnomonError

from gnomon_replay.asking import Answers, Panel
from gnomon_replay.assembling import rows_of
from gnomon_replay.commit_size import CommitSize
from gnomon_replay.cutting import cut, offsets_of
from gnomon_replay.decode import Decoder
from gnomon_replay.distance import Distance, span
from gnomon_replay.duplicates import Duplicates, places_of
from gnomon_replay.ending import CAUGHT_UP, LIMIT, STOPPED, Budget
from gnomon_replay.errors import OvertakenError
from gnomon_replay.log import Batch, PairLog
from gnomon_replay.progress import Progress as Progress  # handed on
from gnomon_replay.quota import TimingQuota
from gnomon_replay.settings import ReplaySettings
from gnomon_replay.shape import Shape
from gnomon_replay.standing import Mask, Standing
from gnomon_replay.traffic import Frame, Source
from gnomon_replay.waiting import Waiting
from gnomon_replay.window import Bounds, Window

POLL_S = 0.5
OVERTAKEN_IN_A_ROW = 3
"""A position that moves may be a rebalance; that often, with no commit between, it is a rival."""


class Worker:
    """Runs candidates over one source into one log, every pair of each exactly once.

    Rows wait in memory until a commit is due. When a place is taken away, what waits is committed first; one
    that is lost, or given anew, loses its waiting rows here, and whoever owns it then reads them again from the
    log's position, so that nothing is lost and nothing doubled.

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
        window: Window = Window(),  # noqa: B008 - frozen
    ) -> None:
        self._source = source
        self._log = log
        self._panel = panel
        self._settings = settings
        self._on_progress = on_progress
        logged = log.schema()
        shape.refuse_change(logged)
        shape.adopt(logged)
        self._decoder = Decoder(
            shape, max_record_bytes=settings.max_record_bytes, task=panel.candidates[0].task
        )
        self._digests = [model.digest for model in panel.candidates]
        self._standing = Standing(log, self._digests)
        self._duplicates = Duplicates(
            lambda place, count: log.recent_ids(place, self._standing.hindmost(place), count),
            settings.dedupe_ids,
        )
        self._bounds = Bounds(window, source)
        self._distance = Distance(source, log, self._standing, self._bounds)
        self._limit = window.limit
        self._stop = threading.Event()
        self._lock = threading.Lock()  # over the next three, which the source's thread changes
        self._ours: set[str] = set()
        self._moved: set[str] = set()  # given or taken since we looked
        self._reading = False  # our own thread is in the source, so that another may commit for it
        self._waiting = Waiting()
        self._size = CommitSize(settings)
        self._until_caught_up = False
        self._quota = TimingQuota(settings.latency_per_s, settings.latency_min)
        self._progress = Progress()

    def stop(self) -> None:
        """Asks the run to commit what it has and return. Thread- and signal-safe."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def run(self, *, until_caught_up: bool) -> Progress:
        """Works until stopped, until a bound is reached, or until all that stands in the traffic is in the log.

        Raises:
            FencedError, ShapeMovedError: another worker writes the same pairs, or features of other types.
            TrafficError, LogError, ModelError: as they say; what was committed stays.
        """
        self._until_caught_up = until_caught_up
        budget = Budget(self._settings.stop)
        self._source.start(self)
        self._progress.todo = self._progress.lag = self._distance.of_log()
        self._on_progress(self._progress)
        overtaken = 0
        while True:
            self._settle()
            frames = [] if self._due() else self._read()
            moved = self._settle()  # what came of these may be from before
            self._take(frame for frame in frames if frame.place not in moved)
            ending = self._why_end(frames, budget)
            if self._waiting.frames and (ending or self._due()):
                try:
                    self._commit(last=bool(ending))
                    overtaken = 0
                except OvertakenError:
                    overtaken += 1
                    if overtaken == OVERTAKEN_IN_A_ROW:
                        raise
                    self._go_back()
                    continue
                ending = ending or self._why_end(frames, budget)
            if ending and (not self._waiting.frames or ending == LIMIT):
                self._progress.ended = ending
                return self._progress

    # ---- the source's keeper; called from the source's own thread ----

    def given(self, places: list[str]) -> None:
        """These places are ours, perhaps anew."""
        with self._lock:
            self._ours.update(places)
            self._moved.update(places)

    def taken(self, places: list[str]) -> None:
        """These places go to another reader: what waits is committed before, if the run is in the source."""
        if self._reading:
            self._flush()
        self.lost(places)

    def lost(self, places: list[str]) -> None:
        """These places are no longer ours."""
        with self._lock:
            self._ours.difference_update(places)
            self._moved.update(places)

    def _flush(self) -> None:
        """Commits what waits, without timing requests. Whatever fails, nothing is lost: all is read again from
        where the log stands, by us or by the next owner."""
        with self._lock:
            moved = set(self._moved)
        self._waiting = self._waiting.without(moved)
        if not self._waiting.frames:
            return
        try:
            self._commit(last=True, flush=True)
        except GnomonError:
            with self._lock:
                self._moved |= self._ours

    # ---- what the source's thread changed, taken over between two reads ----

    def _read(self) -> list[Frame]:
        self._reading = True
        try:
            return self._source.read(POLL_S)
        finally:
            self._reading = False

    def _settle(self) -> set[str]:
        """Throws away what waits of places that moved, and reads those that are ours from where the log
        stands; returns which moved."""
        with self._lock:
            moved, self._moved = self._moved, set()
            ours = moved & self._ours
        if not moved:
            return moved
        self._waiting = self._waiting.without(moved)
        self._duplicates.forget(moved)
        self._standing.close(moved)
        if ours:
            self._bounds.look(ours)
            self._standing.open(sorted(ours), self._bounds.begins, self._source.ends())
            self._source.rewind({place: self._standing.rewind_to(place) for place in ours})
        return moved

    def _take(self, frames: Iterable[Frame]) -> None:
        """Lets frames wait for the next commit: those of places that are ours, in the window, not read before."""
        ends = self._bounds.ends
        self._waiting.add(
            frame
            for frame in frames
            if frame.offset < ends.get(frame.place, frame.next_position) and self._standing.take(frame)
        )

    def _go_back(self) -> None:
        """After another worker was first: as if all places had been given anew, and with its features."""
        self._decoder.shape.adopt(self._log.schema())
        with self._lock:
            self._moved |= self._ours

    # ---- one commit ----

    def _due(self) -> bool:
        return self._size.due(self._waiting, catching_up=self._until_caught_up, room=self._room())

    def _room(self) -> int | None:
        """How many requests may still be read; None for any number."""
        return None if self._limit is None else max(0, self._limit - self._progress.requests)

    def _commit(self, *, last: bool, flush: bool = False) -> None:
        frames, self._waiting = self._waiting.frames, Waiting()
        decoded = self._decoder.decode(frames)
        begins: dict[str, int] = {}
        for frame in frames:
            begins.setdefault(frame.place, frame.offset)
        behind = {frame.place: frame.next_position for frame in frames}
        part = cut(decoded.requests, begins, behind, ends=self._bounds.ends, room=self._room())
        requests, reached = part.requests, part.reached
        places, offsets = places_of(requests), offsets_of(requests)
        wanted = {digest: self._standing.wants(digest, places, offsets) for digest in self._digests}
        anyone = np.logical_or.reduce(list(wanted.values()))
        if not anyone.all():
            requests = requests.filter(pa.array(anyone))
            wanted = {digest: mask[anyone] for digest, mask in wanted.items()}
        duplicate = self._duplicates.mark(requests)
        timed = 0 if flush else self._to_time(frames, requests, last)
        answers = self._panel.ask(requests, timed, self._stop.is_set, wanted)
        self._drop_failed(answers)
        pairs = self._pairs(requests, duplicate, answers, wanted)
        with self._lock:
            moved = self._moved & behind.keys()
        if moved:  # while the models were busy: what is still ours waits for the next commit
            self._waiting.add(frame for frame in frames if frame.place not in moved)
            return
        began, moves, marks = self._standing.moves(reached)
        if not moves:
            return  # what only a candidate wanted that was given up
        began_at = time.monotonic()
        self._log.commit(Batch(pairs, decoded.dead_letters, decoded.ledgers, began, moves, marks))
        self._size.committed(len(requests), time.monotonic() - began_at)
        self._standing.reach(reached)
        self._duplicates.remember()
        if not flush:
            self._source.acknowledge(reached)
        versions = {model.digest: model.version for model in self._panel.candidates}
        self._progress.add(pairs, versions, requests.num_rows, decoded.dead_letters.num_rows, span(frames))
        if not flush:
            self._progress.lag = self._distance.of_run()
            self._on_progress(self._progress)

    def _drop_failed(self, answers: Answers) -> None:
        """Goes on without the candidates that the panel gave up."""
        for digest in [digest for digest in self._digests if digest not in answers]:
            self._digests.remove(digest)
            self._standing.drop(digest)
        self._progress.failed = dict(self._panel.failed)

    def _pairs(
        self, requests: pa.Table, duplicate: pa.BooleanArray, answers: Answers, wanted: Mapping[str, Mask]
    ) -> pa.Table:
        primary = self._panel.primary
        return rows_of(
            requests,
            duplicate,
            answers,
            wanted,
            shape=self._decoder.shape,
            primary_digest=None if primary is None else primary.digest,
            noise_frac=self._panel.noise_frac,
            threads=self._settings.threads,
        )

    def _to_time(self, frames: list[Frame], requests: pa.Table, last: bool) -> int:
        share = min(1.0, span(frames) / max(1, self._progress.todo)) if requests.num_rows else 0.0
        ends = self._until_caught_up and not self._stop.is_set()
        return self._quota.due(self._progress.timed, share=share, last=last, ends=ends)

    # ---- how far it is ----

    def _why_end(self, frames: list[Frame], budget: Budget) -> str:
        """By what the run ends now; empty while it goes on."""
        if self._stop.is_set():
            return STOPPED
        if self._room() == 0:
            return LIMIT
        if spent := budget.spent(self._progress):
            return spent
        return CAUGHT_UP if self._until_caught_up and not frames and self._distance.caught_up() else ""
