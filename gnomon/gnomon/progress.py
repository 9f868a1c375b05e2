"""How far a replay is: a bar on a terminal, plain lines elsewhere; or lines of a log."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from gnomon_replay.worker import Progress
from rich import progress as bars
from rich.console import Console

from gnomon import logs
from gnomon.watching import Committed

EVERY_S = 5.0
"""Between two plain lines."""


class ReplayDisplay:
    """Shows a worker's progress on `stream`, or nothing if `quiet`; a context manager."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stream = stream
        self._began = self._said = time.monotonic()
        self._bar: bars.Progress | None = None
        self._task: bars.TaskID | None = None
        if stream.isatty() and not quiet:
            self._bar = bars.Progress(
                bars.TextColumn("replay"),
                bars.BarColumn(),
                bars.TaskProgressColumn(),
                bars.TextColumn(
                    "{task.fields[pairs]:,} pairs  {task.fields[rate]:,.0f}/s  lag {task.fields[lag]:,}"
                ),
                bars.TimeElapsedColumn(),
                console=Console(file=stream),
            )

    def __enter__(self) -> ReplayDisplay:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("replay", total=None, pairs=0, rate=0.0, lag=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: Progress) -> None:
        """Shows the newest figures; a plain line at most every few seconds."""
        if self._quiet:
            return
        now = time.monotonic()
        rate = done.pairs / max(1e-9, now - self._began)
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                total=max(1, done.todo, done.done + done.lag),
                completed=done.done,
                pairs=done.pairs,
                rate=rate,
                lag=done.lag,
            )
        elif now - self._said >= EVERY_S:
            self._said = now
            print(
                f"replay: {done.pairs:,} pairs, {rate:,.0f}/s, lag {done.lag:,}",
                file=self._stream,
                flush=True,
            )

    def finish(self, done: Progress, seconds: float, notes: list[str]) -> None:
        """The last line: what was done."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        rate = done.pairs / max(1e-9, seconds)
        parts = [f"{done.pairs:,} pairs in {seconds:.1f} s ({rate:,.0f}/s)", f"{done.timed:,} timed alone"]
        for count, what in (
            (done.errors, "errors"),
            (done.duplicates, "duplicates"),
            (done.dead_letters, "dead letters"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        if done.lag:
            parts.append(f"lag {done.lag:,}")
        if len(done.by_candidate) > 1:
            parts += [f"{rows:,} of candidate {version}" for version, rows in done.by_candidate.items()]
        print(f"replay: {', '.join(parts)}; ended: {done.ended}", file=self._stream)
        for version, why in done.failed.items():
            print(f"candidate {version} was given up: {why}", file=self._stream)
        for note in notes:
            print(f"note: {note}", file=self._stream)


class LoggedProgress:
    """Logs what a run does, an event for each commit."""

    def __init__(self) -> None:
        self._untold: deque[Committed] = deque()

    def update(self, done: Progress) -> None:
        """How far it is, and so what the last commits brought; the first time, how much there is to do."""
        if not done.commits:
            logs.event("started", lag=done.lag)
        while self._untold:
            self._tell(self._untold.popleft(), done.lag)

    def reading(self, positions: Mapping[str, int | None]) -> None:
        """Partitions were given to this run, or given anew."""
        logs.event("reading", positions=dict(positions))

    def committed(self, commit: Committed) -> None:
        """A commit is in the log; told of once it is known how far behind that leaves the run."""
        self._untold.append(commit)

    def _tell(self, commit: Committed, lag: int) -> None:
        errors: Counter[str] = Counter()
        for (_, kind), count in commit.errors.items():
            errors[kind] += count
        logs.event(
            "committed",
            version=commit.version,
            partitions=list(commit.partitions),
            pairs=sum(commit.pairs.values()),
            errors=errors.total(),
            error_kinds=dict(errors),
            duplicates=commit.duplicates,
            dead_letters=commit.dead_letters,
            timed=sum(commit.timed.values()),
            seconds=round(commit.seconds, 4),
            lag=lag,
        )

    def finish(self, done: Progress, seconds: float, notes: list[str]) -> None:
        """What was done in all."""
        while self._untold:
            self._tell(self._untold.popleft(), done.lag)
        for note in notes:
            logs.event(note, logging.WARNING)
        logs.event(
            "ended",
            pairs=done.pairs,
            errors=done.errors,
            duplicates=done.duplicates,
            dead_letters=done.dead_letters,
            timed=done.timed,
            commits=done.commits,
            lag=done.lag,
            seconds=round(seconds, 3),
        )
