"""Keeping a spool within an age and a size.

What is removed is said: one line in the log a round, and one in `<spool>/.pruned.ndjson` for each file, with the
lines it held. A reader that had not read them finds a gap, and the accounts show their numbers as missing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gnomon_capture.record import format_ts
from gnomon_capture.segments import CLOSED, NUMBERED
from gnomon_capture.settings import CaptureSettings, duration_s

_log = logging.getLogger("gnomon_capture")

PRUNED = ".pruned.ndjson"
_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class _File:
    changed: float
    path: Path
    size_bytes: int


class Pruner:
    """Removes a spool's oldest closed files, those of all capturing processes. Several may do so at once.

    Args:
        folder: the spool.
    """

    def __init__(self, folder: Path, settings: CaptureSettings) -> None:
        self._folder = folder
        self._max_bytes = settings.spool_max_bytes
        age = settings.spool_max_age
        self._max_age_s = None if age is None else duration_s(age, "capture.spool_max_age")
        self._due = 0.0

    def step(self) -> None:
        """Prunes if it is time to. Never raises: what cannot be removed now is tried again."""
        now = time.monotonic()
        if now >= self._due and (self._max_bytes is not None or self._max_age_s is not None):
            self._due = now + _EVERY_S
            with contextlib.suppress(OSError):
                self.prune()

    def prune(self) -> None:
        """Removes what is too old, then the oldest until the rest is small enough.

        Raises:
            OSError: the system cannot list or remove.
        """
        files = self._files()
        size = sum(file.size_bytes for file in files)
        oldest = time.time() - self._max_age_s if self._max_age_s is not None else float("-inf")
        removed = []
        for file in files:
            if file.changed >= oldest and (self._max_bytes is None or size <= self._max_bytes):
                break
            size -= file.size_bytes
            if said := self._remove(file):
                removed.append(said)
        if removed:
            _log.warning(
                "pruned %d files of %d bytes and %d lines from %s; which, stands in %s",
                len(removed),
                sum(said["bytes"] for said in removed),
                sum(said["lines"] for said in removed),
                self._folder,
                self._folder / PRUNED,
            )

    def _files(self) -> list[_File]:
        files = []
        for folder in self._folder.iterdir():
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            for path in folder.glob(f"*{CLOSED}"):
                with contextlib.suppress(FileNotFoundError):
                    if NUMBERED.match(path.name):
                        stat = path.stat()
                        files.append(_File(stat.st_mtime, path, stat.st_size))
        return sorted(files, key=lambda file: (file.changed, file.path))

    def _remove(self, file: _File) -> dict[str, int] | None:
        """What it says about the file; None if another was faster."""
        try:
            lines = sum(block.count(b"\n") for block in _blocks(file.path))
            gone = file.path.with_name(f".{file.path.name}.pruned.{os.getpid()}")
            file.path.rename(gone)  # so that of several only one says it
            gone.unlink()
        except FileNotFoundError:
            return None
        said = {
            "process": file.path.parent.name,
            "first_line": int(file.path.name[:20]),
            "lines": lines,
            "bytes": file.size_bytes,
            "pruned_at": format_ts(time.time_ns()),
        }
        with (self._folder / PRUNED).open("ab") as log:
            log.write(msgspec.json.encode(said) + b"\n")
        return {"lines": lines, "bytes": file.size_bytes}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(1 << 20), b"")
