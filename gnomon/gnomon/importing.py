"""One `gnomon import`: shows how far it is, then what became of every row."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from gnomon_capture.errors import UnavailableError, UsageError
from gnomon_replay.importing.run import Imported, Reading, import_files
from gnomon_replay.importing.settings import ImportSettings
from rich import progress as bars
from rich.console import Console

from gnomon.progress import EVERY_S


def import_logs(
    paths: Sequence[Path], to: str, settings: ImportSettings, *, skipped_file: Path | None, out: TextIO | None
) -> None:
    """Imports files, and says on stderr what came of them.

    Args:
        skipped_file: where every skipped row is written, as CSV.
        out: where the summary goes as JSON, if it is wanted.

    Raises:
        UsageError: a file or the mapping is not what it should be.
        TrafficError: the traffic cannot be written.
        UnavailableError: it was interrupted.
    """
    began = time.monotonic()
    if skipped_file is not None:
        try:
            skipped_file.write_text("")
        except OSError as exc:
            raise UsageError(
                f"{skipped_file} cannot be written: {exc.strerror}; name another by --skipped"
            ) from exc
    try:
        with _Display(sys.stderr) as display:
            done = import_files(paths, to, settings, display.update, keep_skipped=skipped_file is not None)
    except KeyboardInterrupt as exc:
        raise UnavailableError(
            "interrupted; a spool shows nothing of it, and what a topic has of it counts once when you import it again"
        ) from exc
    seconds = time.monotonic() - began
    if skipped_file is not None:
        with skipped_file.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "line", "reason", "detail"])
            for each in done:
                writer.writerows([each.paths[0], *row] for row in each.skipped.all or ())
    for each in done:
        for line in summary(each, to):
            print(line, file=sys.stderr)
    records = sum(each.records for each in done)
    skipped = sum(each.skipped.total for each in done)
    print(
        f"import: {records:,} records to {to} in {seconds:.1f} s ({records / max(seconds, 1e-9):,.0f}/s), "
        f"{skipped:,} rows skipped",
        file=sys.stderr,
    )
    if out is not None:
        out.write(json.dumps([_json(each) for each in done]) + "\n")


def summary(done: Imported, to: str) -> list[str]:
    """What became of one file, for people."""
    name = ", ".join(map(str, done.paths[:3])) + (
        f" and {len(done.paths) - 3} more" if len(done.paths) > 3 else ""
    )
    lines = [f"{name} ({done.format}): {done.read:,} read, {done.records:,} records as {done.process}"]
    if done.times:
        lines.append(f"  times: {done.times}")
    if done.features:
        shown = ", ".join(done.features[:12]) + (
            f" and {len(done.features) - 12} more" if len(done.features) > 12 else ""
        )
        lines.append(f"  features: {shown}")
    if done.payloads:
        lines.append(
            f"  payloads: {done.payloads:,} records have one instead of features; values without names get them by --columns"
        )
    lines += [f"  {line}" for line in done.skipped.lines()]
    return lines


def _json(done: Imported) -> dict[str, Any]:
    return {
        "files": [str(path) for path in done.paths],
        "format": done.format,
        "process": done.process,
        "read": done.read,
        "records": done.records,
        "payloads": done.payloads,
        "times": done.times,
        "features": done.features,
        "skipped": done.skipped.counts,
        "skipped_examples": {
            why: [{"line": line, "detail": detail} for line, detail in examples]
            for why, examples in done.skipped.examples.items()
        },
    }


class _Display:
    """A bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said = self._shown = time.monotonic()
        self._bar: bars.Progress | None = None
        if stream.isatty():
            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(),
                bars.TaskProgressColumn(),
                bars.TimeRemainingColumn(),
                console=Console(file=stream),
                transient=True,
            )
        self._tasks: dict[Path, bars.TaskID] = {}

    def __enter__(self) -> _Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, reading: Reading) -> None:
        """Shows how far it is; called for every row, so it mostly does nothing."""
        now = time.monotonic()
        if self._bar is not None:
            if now - self._shown < 0.1 and reading.path in self._tasks:
                return
            self._shown = now
            if reading.path not in self._tasks:
                self._tasks[reading.path] = self._bar.add_task(reading.path.name, total=reading.total or None)
            self._bar.update(self._tasks[reading.path], completed=reading.done)
        elif now - self._said >= EVERY_S:
            self._said = now
            share = f", {reading.done / reading.total:.0%}" if reading.total else ""
            print(f"import: {reading.path}{share}", file=self._stream, flush=True)
