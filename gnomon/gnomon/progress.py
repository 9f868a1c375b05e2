"""How far a long piece of work is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from gnomon_replay.worker import Progress
from rich import progress as bars
from rich.console import Console

EVERY_S = 5.0
"""Between two plain lines."""


class ReplayDisplay:
    """Shows a worker's progress on `stream`; a context manager."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = self._said = time.monotonic()
        self._bar: bars.Progress | None = None
        self._task: bars.TaskID | None = None
        if stream.isatty():
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
