"""Writing one process's traffic into a spool."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path

from gnomon_capture.address import SpoolAddress
from gnomon_capture.errors import TrafficError
from gnomon_capture.frames import Frame
from gnomon_capture.pruning import Pruner
from gnomon_capture.segments import PART, spool_errors
from gnomon_capture.settings import CaptureSettings

_log = logging.getLogger("gnomon_capture")


class SpoolWriter:
    """Writes one process's traffic into a spool: a transport of one partition.

    A frame counts as acknowledged once the system has taken it, which outlives this process but not a power
    cut; what a closed file holds outlives both. A write that fails half-way is written again at the same
    place, so a full disk leaves no torn line behind.
    """

    partitions = 1
    ledger_partition = 0

    def __init__(self, address: SpoolAddress, process: str, settings: CaptureSettings) -> None:
        self._address = address
        self._folder = address.folder.absolute() / process  # the server may change its directory later
        self._max_bytes = settings.segment_bytes
        self._max_age_s = settings.segment_s
        self._made = False
        self._descriptor: int | None = None
        self._began = 0.0
        self._first_line = 0
        self._lines = 0
        self._bytes = 0
        self._written: list[Frame] = []
        self._pruner = Pruner(self._folder.parent, settings)

    def partition_of(self, key: str) -> int:
        """There is only one."""
        return 0

    def open(self) -> None:
        """Makes the process's folder.

        Raises:
            TrafficError: it cannot be made, or another process of this name wrote there: line and record
                numbers would begin anew in the middle of its own.
        """
        with self._errors("make"):
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._folder.mkdir(exist_ok=self._made)
            except FileExistsError:
                text = (
                    f"{self._folder} is there already; give each mirror a `process` name of its own, or none"
                )
                raise TrafficError(str(self._address), text) from None
        self._made = True

    def send(self, frame: Frame) -> None:
        """Writes a frame."""
        if self._descriptor is not None and self._bytes >= self._max_bytes:
            self._finish(self._descriptor)
        with self._errors("write"):
            if self._descriptor is None:
                self._descriptor = self._begin()
            data = memoryview(frame.data)
            done = 0
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], self._bytes + done)
        self._bytes += len(data)
        self._lines += frame.lines
        self._written.append(frame)

    def collect(self) -> tuple[list[Frame], list[Frame]]:
        """The frames written since the last call. Also closes a file that has grown old."""
        written, self._written = self._written, []
        # Not both in one call: what is written must be told before anything here may fail.
        if not written and self._descriptor is not None and time.monotonic() > self._began + self._max_age_s:
            self._finish(self._descriptor)
        self._pruner.step()
        return written, []

    def abandon(self) -> None:
        """Nothing is under way between two calls."""

    @property
    def path(self) -> Path:
        """What the file that is being written will be called."""
        return self._part.with_suffix("")

    def rotate(self) -> None:
        """Closes the file that is being written, so that it can be read."""
        if self._descriptor is not None:
            self._finish(self._descriptor)

    def discard(self) -> None:
        """Removes the file that is being written, as if its lines had never come."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()
            os.close(self._descriptor)
            self._descriptor = None
        self._lines = self._bytes = 0
        self._written.clear()

    def disown(self) -> None:
        """In a forked child: the lock is the parent's as long as nobody else has the file open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def close(self, timeout_s: float) -> None:
        """Closes the file."""
        self.rotate()
        if self._made and self._first_line == 0:
            with contextlib.suppress(OSError):  # it stays if there is something in it
                self._folder.rmdir()

    def _begin(self) -> int:
        """A new file, locked before it gets a name under which readers look."""
        part = self._part
        hidden = part.with_name(f".{part.name}")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(part)
        except OSError:
            os.close(descriptor)
            raise
        self._began = time.monotonic()
        return descriptor

    def _finish(self, descriptor: int) -> None:
        with self._errors("close"):
            os.ftruncate(descriptor, self._bytes)  # what a failed write left behind
            os.fsync(descriptor)
            try:
                self._part.rename(self.path)
                _sync_folder(self._folder)
            except FileNotFoundError:
                _log.warning(
                    "%s was removed while it was written; its %d lines are lost", self._part, self._lines
                )
        os.close(descriptor)  # and so gives up the lock, after the rename
        self._descriptor = None
        self._first_line += self._lines
        self._lines = self._bytes = 0

    @property
    def _part(self) -> Path:
        return self._folder / f"{self._first_line:020d}{PART}"

    def _errors(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return spool_errors(self._address, doing, "is the disk full, and may this user write there?")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
