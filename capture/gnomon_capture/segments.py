"""The spool's files.

`<folder>/<process>/<first line, 20 digits>.ndjson`: each file is named by the number of lines that its
process wrote before it, ledger lines included, so a line's number is known without reading what came before.
While it is written a file is called `.ndjson.part` and its writer holds a lock on it (`flock`); it is synced
to the disk and renamed when it is closed. A `.part` that nobody holds locked lost its writer, and is complete
up to its last newline: the system keeps what was written when a process is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gnomon_capture.errors import TrafficError, UsageError

CLOSED = ".ndjson"
PART = ".ndjson.part"
NUMBERED = re.compile(r"\d{20}\.ndjson(?:\.part)?\Z")
"""The name of a file that a capturing process wrote."""
SETTLED_S = 5.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a partition.

    Attributes:
        path: its path when closed; files are ordered by its name.
        first_line: the number in its name; None if lines have to be counted.
        orphan: it is a `.part` without a writer, so that a torn last line is no line.
    """

    path: Path
    first_line: int | None
    orphan: bool

    @property
    def name(self) -> str:
        """By which files are ordered."""
        return self.path.name

    def closed(self) -> bool:
        """Whether nothing will be added, even if no later file is there."""
        if self.first_line is not None:
            return True
        with contextlib.suppress(FileNotFoundError):
            return time.time() - self.path.stat().st_mtime > SETTLED_S
        return True

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Up to `max_bytes`, fewer only at its end; nothing if it was pruned meanwhile."""
        # What looked like an orphan may have been closed by its writer in the same moment.
        paths = [self.path, self.path.with_name(f"{self.name}.part")] if self.orphan else [self.path]
        for path in paths:
            with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), max_bytes, offset)
        return b""


def list_segments(folder: Path) -> list[Segment]:
    """The files of a partition that can be read now, in order; none if the folder is not there.

    Raises:
        UsageError: files of a capturing process and others lie side by side, so lines cannot be counted.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_traffic(entry))
    except FileNotFoundError:
        return []
    numbered = [name for name in names if NUMBERED.match(name)]
    if numbered and len(numbered) < len(names):
        [other, *_] = [name for name in names if name not in numbered]
        raise UsageError(
            f"{folder} holds files of a capturing process and others, such as {other}; "
            "move those into a folder of their own"
        )
    segments: dict[str, Segment] = {}
    for name in names:
        closed = name.removesuffix(".part")
        if name == closed or (closed not in segments and is_orphan(folder / name)):
            first_line = int(name[:20]) if numbered else None
            segments[closed] = Segment(folder / closed, first_line, orphan=name != closed)
    return list(segments.values())


def has_segments(folder: str | Path) -> bool:
    """Whether there is a file of traffic, readable or still being written."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:  # it may be gone again
        return any(_is_traffic(entry) for entry in entries)
    return False


def is_orphan(part: Path) -> bool:
    """Whether a `.part` has lost its writer; one that is gone meanwhile has not."""
    try:
        descriptor = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def spool_errors(address: object, doing: str, advice: str) -> Iterator[None]:
    """The system's errors as TrafficError."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise TrafficError(
            str(address), f"cannot {doing} {exc.filename or address}: {reason}; {advice}"
        ) from exc


def _is_traffic(entry: os.DirEntry[str]) -> bool:
    """A closed file of any name, or a process's part. What others have not finished yet is theirs."""
    name = entry.name
    ours = name.endswith(PART) and NUMBERED.match(name) is not None
    return (name.endswith(CLOSED) or ours) and not name.startswith(".") and entry.is_file()
