"""Where closed frames go: to the traffic, or to the overflow folder while that is away or too slow."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from gnomon_capture.delivery import Delivery
from gnomon_capture.frames import Frame, OpenFrames
from gnomon_capture.handoff import Handoff
from gnomon_capture.overflow import Overflow
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.transport import Transport

_log = logging.getLogger("gnomon_capture")

# Of what lies on the disk, in one step; more than arrive meanwhile, or draining would not end.
_FEED_LINES = 500


class Outlet:
    """Puts frames into the traffic or the overflow folder, and what lies there into the traffic. For one thread.

    Args:
        handoff: whose backlog shows that the traffic is too slow.
        transport: not yet opened.
        name: the traffic's address, for messages.
        folder: of the overflow; None: requests wait in memory.

    Attributes:
        frames: the open ones.
        kept: what was not acknowledged in the end lies in the overflow folder.
    """

    def __init__(
        self,
        handoff: Handoff,
        transport: Transport,
        name: str,
        process: str,
        settings: CaptureSettings,
        folder: Path | None,
    ) -> None:
        self.delivery = Delivery(transport, name, handoff.without_room, _plan(settings, folder))
        self.overflow: Overflow | None = None
        if folder is not None:
            self.overflow = Overflow(folder, process, transport, settings, self.delivery.put)
        self.frames = OpenFrames(settings.frame_records, settings.frame_bytes, self.put)
        self.kept = False
        self._handoff = handoff
        self._name = name
        self._slow_since: float | None = None

    @property
    def takes(self) -> bool:
        """Whether more requests may be taken from the buffer and numbered."""
        overflow = self.overflow
        if overflow is not None and overflow.active:
            return overflow.writable and not self._handoff.overflowing
        return self.delivery.ready

    @property
    def overflowing(self) -> bool:
        """Whether frames go to the folder."""
        return self.overflow is not None and self.overflow.active

    @property
    def settled(self) -> bool:
        """Whether everything put is acknowledged."""
        return self.delivery.idle and (self.overflow is None or self.overflow.settled)

    @property
    def away(self) -> bool:
        """Whether the traffic is away and not just being tried again."""
        return self.delivery.away and not self.delivery.trying

    def put(self, frame: Frame) -> None:
        """Takes charge of a frame."""
        if self.overflow is not None and self.overflow.active:
            self.overflow.put(frame, time.monotonic())
        else:
            self.delivery.put(frame)

    def step(self, *, closing: bool) -> None:
        """Sends what can be sent; to the disk while the transport is away or too slow, from there when it is back.

        Args:
            closing: what other processes left waits for the next mirror.
        """
        self.delivery.step()
        overflow, now = self.overflow, time.monotonic()
        if overflow is None:
            return
        if not overflow.active:
            if self.delivery.away or self._falls_behind():
                self._begin(overflow, now)
        else:
            overflow.flush(now)
            self.frames.close_all()  # so that the disk has it before the process may die
            if self.delivery.ready:
                overflow.feed(_FEED_LINES, now)
        overflow.settle()
        if self._slow_since is not None and overflow.settled:
            _log.warning("mirroring to %s keeps up again after %.1f s", self._name, now - self._slow_since)
            self._slow_since = None
        if self.delivery.ready and not overflow.active and not closing:
            overflow.adopt(_FEED_LINES, now)
        self._handoff.overflowing = overflow.active and overflow.full(now)

    def divert(self) -> bool:
        """Has what is put go to the folder; is there one, and does it take anything?"""
        if self.overflow is None:
            return False
        if not self.overflow.active:
            self._begin(self.overflow, time.monotonic())
        return self.takes

    def leave(self, timeout_s: float) -> None:
        """Ends it. What did not arrive stays on the disk, for the next mirror that is given the folder."""
        overflow = self.overflow
        if overflow is not None:
            if not self.delivery.idle:
                overflow.begin(self.delivery.under_way(), time.monotonic())
            left = overflow.close()
            self.kept = left > 0
            if left:
                _log.warning(
                    "mirroring to %s ended; %d bytes of requests stay in %s, and go out with the next mirror there",
                    self._name,
                    left,
                    overflow.folder,
                )
        self.delivery.close(timeout_s)

    def _begin(self, overflow: Overflow, now: float) -> None:
        self.frames.close_all()
        overflow.begin(self.delivery.under_way(), now)
        if (
            overflow.active and not self.delivery.away and not self.delivery.trying
        ):  # else an outage has its line
            self._slow_since = now
            _log.warning(
                "mirroring to %s is slower than the requests come. They go by way of %s",
                self._name,
                overflow.folder,
            )

    def _falls_behind(self) -> bool:
        return not self.delivery.ready and len(self._handoff.waiting) > self._handoff.bound // 2 > 0


def _plan(settings: CaptureSettings, folder: Path | None) -> str:
    """What becomes of requests while the transport is away, for the log."""
    if folder is None:
        return "Requests wait; those without room are dropped and counted"
    return f"Requests go to {folder}, {settings.overflow_bytes} bytes of them; beyond, they are dropped and counted"
