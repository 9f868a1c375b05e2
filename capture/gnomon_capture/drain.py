"""From an overflow folder back to the traffic: its files in order, each gone when all of it is acknowledged."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from gnomon_capture.frames import Frame, Held, OpenFrames
from gnomon_capture.record import is_ledger
from gnomon_capture.segments import Segment, list_segments
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.transport import Transport


class Drain:
    """Reads one process's overflow folder into frames. For one thread.

    Records keep their order, and so do ledgers among them. After a crash a file is read again from its start,
    so what it held may arrive twice; the records' numbers tell.

    Args:
        foreign: the folder is another process's.
        put: takes the frames.
    """

    def __init__(
        self,
        folder: Path,
        transport: Transport,
        settings: CaptureSettings,
        put: Callable[[Frame], None],
        *,
        foreign: bool,
    ) -> None:
        self._folder = folder
        self._transport = transport
        self._read_bytes = settings.frame_bytes
        self._line_bytes = 2 * settings.max_record_bytes
        self._foreign = foreign
        self._put = put
        self._frames = OpenFrames(settings.frame_records, settings.frame_bytes, self._put_held)
        self._lines: deque[bytes] = deque()  # read, and not in a frame yet
        self._segment: Segment | None = None
        self._offset = 0
        self._held = Held()
        self._read_up_to = ""
        self._settling: deque[tuple[Path, Held]] = deque()

    @property
    def settled(self) -> bool:
        """Whether nothing that was read awaits its acknowledgement."""
        return self._segment is None and not self._settling

    def skip(self, path: Path, held: Held) -> None:
        """Leaves out the file that follows: its frames are under way already."""
        self._read_up_to = path.name
        self._settling.append((path, held))

    def feed(self, max_lines: int, now: float) -> bool:
        """Puts about so many lines; returns whether nothing is left that could be read now.

        Raises:
            OSError: the system cannot read it.
        """
        while max_lines > 0:
            if not self._lines and not self._read():
                return True
            for _ in range(min(max_lines, len(self._lines))):
                self._add(self._lines.popleft(), now)
                max_lines -= 1
        return False

    def settle(self) -> None:
        """Removes the files of which everything is acknowledged."""
        while self._settling and not self._settling[0][1].frames:
            path, _ = self._settling.popleft()
            for name in (path, path.with_name(f"{path.name}.part")):
                with contextlib.suppress(FileNotFoundError):
                    name.unlink()

    def _read(self) -> bool:
        """Whether there are lines now."""
        while True:
            if self._segment is None:
                segments = list_segments(self._folder)
                self._segment = next((one for one in segments if one.name > self._read_up_to), None)
                if self._segment is None:
                    return False
                self._offset, self._held = 0, Held()
            for size in (self._read_bytes, self._line_bytes):
                data = self._segment.read(self._offset, size)
                cut = data.rfind(b"\n") + 1
                if cut:
                    self._offset += cut
                    self._lines.extend(data[:cut].splitlines(keepends=True))
                    return True
            self._frames.close_all()
            self._settling.append((self._segment.path, self._held))
            self._read_up_to = self._segment.name
            self._segment = None

    def _add(self, line: bytes, now: float) -> None:
        if is_ledger(line):
            self._frames.close_all()  # it counts what stands before it
            frame = Frame(self._transport.ledger_partition, now, ledger=True)
            frame.add(line, 1)
            self._put_held(frame)
            return
        key = _key(line)
        partitions = self._transport.partitions
        unkeyed = self._frames.unkeyed(partitions)
        partition = unkeyed if key is None or partitions == 1 else self._transport.partition_of(key)
        self._frames.add(partition, line, 1, now)

    def _put_held(self, frame: Frame) -> None:
        frame.foreign = self._foreign
        frame.hold(self._held)
        self._put(frame)


class _Keyed(msgspec.Struct):
    key: str | None = None


_keyed = msgspec.json.Decoder(_Keyed)


def _key(line: bytes) -> str | None:
    try:
        return _keyed.decode(line).key
    except ValueError:  # a bare NaN, perhaps
        with contextlib.suppress(ValueError, AttributeError):
            key = json.loads(line).get("key")
            return key if isinstance(key, str) else None
    return None
