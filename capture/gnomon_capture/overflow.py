"""The overflow spool: requests on disk while the traffic's transport is away.

`<overflow>/<address>/<process>/` is a spool of one process (see `gnomon_capture.segments`), beside it a `.lock`
that its user holds. Whoever finds such a folder unlocked may take it over: its process is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from gnomon_capture.address import KafkaAddress, SpoolAddress
from gnomon_capture.drain import Drain
from gnomon_capture.errors import GnomonError
from gnomon_capture.frames import Frame, Held
from gnomon_capture.segments import has_segments
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.spool_writer import SpoolWriter
from gnomon_capture.transport import Transport

_log = logging.getLogger("gnomon_capture")

_LOCK = ".lock"
_SEGMENT_BYTES = 4 << 20  # what a crash in the middle of draining may send twice
_RETRY_S = 2.0
_MEASURE_S = 1.0
_ADOPT_S = 30.0


def overflow_folder(overflow: str, address: KafkaAddress | SpoolAddress) -> Path:
    """Where mirrors to this address overflow to: requests must not end up in another topic or cluster."""
    if isinstance(address, SpoolAddress):
        name, where = "spool", str(address.folder.absolute())
    else:
        name, where = address.topic, ",".join(sorted(address.servers))
    return Path(overflow).absolute() / f"{name}@{hashlib.sha256(where.encode()).hexdigest()[:12]}"


class Overflow:
    """One process's overflow spool, and what others left beside it. For one thread.

    While it is active everything new goes to the disk, in order; what is read back from there goes first.

    Args:
        folder: of all processes that mirror to this address.
        put: takes frames that go out.

    Attributes:
        active: whether everything new has to go here.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        transport: Transport,
        settings: CaptureSettings,
        put: Callable[[Frame], None],
    ) -> None:
        self.active = False
        self.folder = folder
        self._own = folder / process
        self._transport = transport
        self._settings = msgspec.structs.replace(
            settings,
            segment_bytes=min(settings.segment_bytes, _SEGMENT_BYTES),
            spool_max_bytes=None,
            spool_max_age=None,
        )
        self._put = put
        self._writer = SpoolWriter(SpoolAddress(folder), process, self._settings)
        self._drain = Drain(self._own, transport, settings, put, foreign=False)
        self._lock: int | None = None
        self._unwritten: deque[Frame] = deque()
        self._retry_at = 0.0
        self._told = False
        self._used = 0
        self._measure_at = 0.0
        self._adopt_at = 0.0
        self._adopted: tuple[Path, int, Drain] | None = None

    @property
    def writable(self) -> bool:
        """Whether the disk has taken everything so far."""
        return not self._unwritten

    @property
    def settled(self) -> bool:
        """Whether nothing of this process lies here."""
        return not self.active and self._drain.settled

    def full(self, now: float) -> bool:
        """Whether the folder holds as much as it may; measured once a second."""
        if now >= self._measure_at:
            self._measure_at = now + _MEASURE_S
            self._used = _size_bytes(self.folder)
        return self._used >= self._settings.overflow_bytes

    def begin(self, under_way: list[Frame], now: float) -> None:
        """Becomes active, if the disk allows it.

        Args:
            under_way: what was put and is not acknowledged. It stays where it is, and lies here too, for the
                case that the process dies.
        """
        if now < self._retry_at:
            return
        copied = [frame for frame in under_way if frame.held is None]
        try:
            self._open()
            self._writer.rotate()
            files = self._copy(copied)
        except (GnomonError, OSError) as exc:
            self._fail(exc, now)
            return
        held = Held()
        for frame in copied:
            frame.hold(held)
        for path in files:
            self._drain.skip(path, held)
        self._told = False
        self.active = True

    def put(self, frame: Frame, now: float) -> None:
        """Takes charge of a frame. What the disk does not take is kept, and tried again."""
        self._unwritten.append(frame)
        self.flush(now)

    def flush(self, now: float) -> None:
        """Writes what the disk did not take so far."""
        if now < self._retry_at:
            return
        try:
            while self._unwritten:
                self._writer.send(self._unwritten[0])
                self._used += self._unwritten.popleft().size_bytes
            self._writer.collect()
        except GnomonError as exc:
            self._fail(exc, now)

    def feed(self, max_lines: int, now: float) -> None:
        """Puts what lies here, oldest first; ends being active when that was all."""
        try:
            if not self._drain.feed(max_lines, now) or self._unwritten:
                return
            self._writer.rotate()
            if self._drain.feed(max_lines, now):
                self.active = False
        except (GnomonError, OSError) as exc:
            self._fail(exc, now)

    def settle(self) -> None:
        """Removes what is acknowledged."""
        with contextlib.suppress(OSError):  # tried again in the next step
            self._drain.settle()
            if self._adopted is not None:
                self._adopted[2].settle()

    def adopt(self, max_lines: int, now: float) -> None:
        """Puts what processes left that are gone; one folder at a time."""
        if self._adopted is None:
            if now >= self._adopt_at:
                self._adopted = self._find()
                if self._adopted is None:
                    self._adopt_at = now + _ADOPT_S
            return
        folder, lock, drain = self._adopted
        try:
            if drain.feed(max_lines, now) and drain.settled:
                _remove(folder, lock)
                self._adopted = None
        except OSError as exc:
            _log.warning("%s cannot be sent: %s; may this user read there?", folder, exc)
            os.close(lock)
            self._adopted, self._adopt_at = None, now + _ADOPT_S

    def close(self) -> int:
        """Ends it; returns how many bytes stay for another mirror."""
        self.settle()
        if self._adopted is not None:
            os.close(self._adopted[1])
            self._adopted = None
        if self._lock is None:
            return 0
        self._retry_at = 0.0
        self.flush(0.0)
        with contextlib.suppress(GnomonError):
            self._writer.rotate()
        left = _size_bytes(self._own)
        if left:
            os.close(self._lock)
        else:
            _remove(self._own, self._lock)
        self._lock = None
        return left

    def disown(self) -> None:
        """In a forked child: the locks are the parent's."""
        self._writer.disown()
        for lock in (self._lock, self._adopted and self._adopted[1]):
            if lock is not None:
                os.close(lock)

    def _open(self) -> None:
        if self._lock is None:
            self._writer.open()
            unnamed = self._own / f"{_LOCK}.new"  # locked before it gets the name that others look for
            self._lock = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._own / _LOCK)

    def _copy(self, frames: list[Frame]) -> list[Path]:
        """Writes frames into files of their own; all of them or none."""
        files: dict[Path, None] = {}
        try:
            for frame in frames:
                self._writer.send(frame)
                self._writer.collect()
                files[self._writer.path] = None
            self._writer.rotate()
        except GnomonError:
            self._writer.discard()
            for path in files:
                path.unlink(missing_ok=True)
            raise
        return list(files)

    def _find(self) -> tuple[Path, int, Drain] | None:
        with contextlib.suppress(OSError):
            for folder in sorted(
                path for path in self.folder.iterdir() if path != self._own and path.is_dir()
            ):
                lock = _locked(folder / _LOCK)
                if lock is None:
                    continue
                if has_segments(folder):
                    _log.warning(
                        "sending %d bytes that %s left in %s", _size_bytes(folder), folder.name, folder
                    )
                    return (
                        folder,
                        lock,
                        Drain(folder, self._transport, self._settings, self._put, foreign=True),
                    )
                _remove(folder, lock)
        return None

    def _fail(self, exc: Exception, now: float) -> None:
        self._retry_at = now + _RETRY_S
        if not self._told:
            self._told = True
            _log.warning("the overflow folder takes nothing (%s). Requests wait in memory", exc)


def _locked(path: Path) -> int | None:
    """The lock of a folder whose process is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (
            path.stat().st_ino == os.fstat(descriptor).st_ino
        ):  # else another mirror has just been done with it
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _size_bytes(folder: Path) -> int:
    """The bytes of all files below; what vanishes meanwhile is none."""
    size = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                size += _size_bytes(Path(entry.path)) if entry.is_dir() else entry.stat().st_size
    return size
