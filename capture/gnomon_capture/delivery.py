"""Brings closed frames to the transport, however often that goes away."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from gnomon_capture.errors import GnomonError
from gnomon_capture.frames import Frame
from gnomon_capture.transport import Transport

_log = logging.getLogger("gnomon_capture")

# How much may be closed and not acknowledged yet; beyond, requests wait in the buffer.
_UNDER_WAY_BYTES = 8 << 20
_STALLED_S = 5.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


class Delivery:
    """Keeps frames until they are acknowledged, and sends them again after every failure. For one thread.

    A frame once put is never dropped, except one line that the transport refuses for good. So what is sent
    again may arrive twice; its numbers tell. A ledger frame is sent when everything put before it is
    acknowledged, and before anything put after it.

    Args:
        transport: not yet opened.
        name: its address, for messages.
        dropped: how many requests were dropped so far, for the message at the end of an outage.

    Attributes:
        acknowledged: how many records the transport has acknowledged.
        refused: how many the transport refused for good.
    """

    def __init__(self, transport: Transport, name: str, dropped: Callable[[], int]) -> None:
        self._transport = transport
        self._name = name
        self._outage = Outage(name, dropped)
        self._outbox: deque[Frame] = deque()
        self._sent: dict[Frame, float] = {}  # when; in order
        self._under_way_bytes = 0
        self._opened = False
        self._retry_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self.acknowledged = 0
        self.refused = 0

    @property
    def ready(self) -> bool:
        """Whether more may be put: the transport works, and not too much is under way."""
        return self._opened and not self.away and self._under_way_bytes < _UNDER_WAY_BYTES

    @property
    def idle(self) -> bool:
        """Whether everything put is acknowledged."""
        return not self._outbox and not self._sent

    @property
    def away(self) -> bool:
        """Whether the transport is away."""
        return self._outage.begun is not None

    def open(self) -> None:
        """Opens the transport.

        Raises:
            GnomonError: it cannot be opened; `step` tries again.
        """
        self._transport.open()
        self._opened = True

    def put(self, frame: Frame) -> None:
        """Takes charge of a frame."""
        self._outbox.append(frame)
        self._under_way_bytes += frame.size_bytes

    def step(self) -> None:
        """Opens the transport if need be, collects what was acknowledged, sends what can be sent."""
        now = time.monotonic()
        try:
            if not self._opened:
                if now < self._retry_at:
                    return
                self.open()
            self._collect(now)
            self._send(now)
        except GnomonError as exc:
            self._fail(exc)
        except Exception as exc:  # noqa: BLE001 - a bug in a client must not end the mirror
            self._fail(exc)

    def close(self, timeout_s: float) -> None:
        """Closes the transport."""
        try:
            self._transport.close(timeout_s)
        except Exception as exc:  # noqa: BLE001 - as above; there is nobody left to raise it to
            _log.warning("closing: %s", exc)

    def _collect(self, now: float) -> None:
        acknowledged, refused = self._transport.collect()
        for frame in acknowledged:
            self._forget(frame)
            self.acknowledged += 0 if frame.ledger else frame.lines
        for frame in refused:
            self._forget(frame)
            self._split(frame)
        if acknowledged or self.idle:
            self._pause_s = _FIRST_PAUSE_S
            self._outage.end()
        elif self._sent and now - next(iter(self._sent.values())) > _STALLED_S:
            self._outage.begin(f"{self._name}: nothing was acknowledged for {_STALLED_S:.0f} s")

    def _send(self, now: float) -> None:
        while self._outbox and not (self._outbox[0].ledger and self._sent):
            frame = self._outbox[0]
            self._transport.send(frame)
            self._outbox.popleft()
            self._sent[frame] = now

    def _forget(self, frame: Frame) -> None:
        self._sent.pop(frame)
        self._under_way_bytes -= frame.size_bytes

    def _split(self, frame: Frame) -> None:
        halves = frame.halves()
        for half in reversed(halves):
            self._outbox.appendleft(half)
            self._under_way_bytes += half.size_bytes
        if not halves:
            self.refused += frame.lines
            _log.warning("a record of %d bytes was refused for its size, and is lost", frame.size_bytes)

    def _fail(self, exc: Exception) -> None:
        self._opened = False
        self._outbox.extendleft(reversed(self._sent))
        self._sent.clear()
        self._outage.begin(str(exc) if isinstance(exc, GnomonError) else repr(exc))
        self._retry_at = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        try:
            self._transport.abandon()
        except Exception as again:  # noqa: BLE001 - as above
            _log.debug("abandoning: %s", again)


class Outage:
    """One line in the log when it begins, and one when it ends."""

    def __init__(self, name: str, dropped: Callable[[], int]) -> None:
        self.begun: float | None = None
        self._name = name
        self._dropped = dropped
        self._dropped_before = 0

    def begin(self, reason: str) -> None:
        """The transport is away, perhaps for some time already."""
        if self.begun is None:
            self.begun = time.monotonic()
            self._dropped_before = self._dropped()
            _log.warning(
                "mirroring is interrupted (%s). Requests wait; those without room are dropped and counted",
                reason,
            )

    def end(self) -> None:
        """The transport works."""
        if self.begun is not None:
            _log.warning(
                "mirroring to %s goes on after %.1f s; %d requests were dropped",
                self._name,
                time.monotonic() - self.begun,
                self._dropped() - self._dropped_before,
            )
            self.begun = None
