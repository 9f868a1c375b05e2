"""Brings closed frames to the transport, however often that goes away."""

from __future__ import annotations

import logging
import threading
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
_OPENING_S = 0.05  # how long the first step waits for the transport to open
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
        plan: what becomes of requests meanwhile, for the message at its beginning.

    Attributes:
        acknowledged: how many records the transport has acknowledged.
        refused: how many the transport refused for good.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        dropped: Callable[[], int],
        plan: str = "Requests wait; those without room are dropped and counted",
    ) -> None:
        self._transport = transport
        self._opening: _Opening | None = None
        self._name = name
        self._outage = Outage(name, dropped, plan)
        self._outbox: deque[Frame] = deque()
        self._sent: dict[Frame, float] = {}  # when; in order
        self._under_way_bytes = 0
        self._opened = False
        self._retry_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._heard_at = 0.0  # when something was acknowledged last
        self._suspects = 0  # how many of the next frames go one at a time
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

    @property
    def trying(self) -> bool:
        """Whether the transport is being opened, or will be in the next step."""
        return not self._opened and (self._opening is not None or time.monotonic() >= self._retry_at)

    def hurry(self) -> None:
        """Tries again in the next step, however long the pause was to be."""
        self._retry_at = 0.0

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
            if not self._opened and (now < self._retry_at or not self._opens()):
                return
            self._collect(now)
            if self._opened:
                self._send(now)
        except GnomonError as exc:
            self._fail(exc)
        except Exception as exc:  # noqa: BLE001 - a bug in a client must not end the mirror
            self._fail(exc)

    def under_way(self) -> list[Frame]:
        """All that was put and is not acknowledged, in order."""
        return [*self._sent, *self._outbox]

    def close(self, timeout_s: float) -> None:
        """Closes the transport."""
        if self._opening is not None and not self._opening.give_up():
            return  # it ends what it opens
        try:
            self._transport.close(timeout_s)
        except Exception as exc:  # noqa: BLE001 - as above; there is nobody left to raise it to
            _log.warning("closing: %s", exc)

    def _opens(self) -> bool:
        """Whether the transport is open now. It may take seconds, in which the caller has other things to do."""
        wait_s = 0.0
        if self._opening is None:
            self._opening = _Opening(self._transport)
            wait_s = _OPENING_S
        if not self._opening.is_done(wait_s):
            return False
        error, self._opening = self._opening.error, None
        if error is not None:
            raise error
        self._opened = True
        return True

    def _collect(self, now: float) -> None:
        acknowledged, refused = self._transport.collect()
        for frame in acknowledged:
            self._forget(frame)
            self.acknowledged += 0 if frame.ledger or frame.foreign else frame.lines
            self._suspects = max(self._suspects - 1, 0)
        if refused:
            self._part(refused)
        if acknowledged or self.idle:
            self._heard_at = now
            self._pause_s = _FIRST_PAUSE_S
            self._outage.end()
        elif self._sent and now - max(self._heard_at, next(iter(self._sent.values()))) > _STALLED_S:
            self._outage.begin(f"{self._name}: nothing was acknowledged for {_STALLED_S:.0f} s")

    def _send(self, now: float) -> None:
        while self._outbox and not (self._sent and (self._outbox[0].ledger or self._suspects)):
            frame = self._outbox[0]
            self._transport.send(frame)
            self._outbox.popleft()
            self._sent[frame] = now

    def _forget(self, frame: Frame) -> None:
        self._sent.pop(frame)
        self._under_way_bytes -= frame.size_bytes
        frame.settle()

    def _part(self, refused: list[Frame]) -> None:
        """Sends again what was refused as too large: one at a time, then in halves."""
        if len(self._sent) == 1:
            [frame] = refused
            halves = frame.halves()
            self._forget(frame)
            self._outbox.extendleft(reversed(halves))
            self._under_way_bytes += sum(half.size_bytes for half in halves)
            self._suspects += len(halves)
            if not halves and not frame.ledger:
                self.refused += 0 if frame.foreign else frame.lines
                _log.warning(
                    "a record of %d bytes is too large for %s, and is lost", frame.size_bytes, self._name
                )
        else:
            self._suspects = len(self._sent)  # a client may refuse all for the sake of one
        self._reopen()

    def _fail(self, exc: Exception) -> None:
        self._outage.begin(str(exc) if isinstance(exc, GnomonError) else repr(exc))
        self._retry_at = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._reopen()

    def _reopen(self) -> None:
        """Has the next step open the transport again, and send what was under way."""
        self._opened = False
        self._outbox.extendleft(reversed(self._sent))
        self._sent.clear()
        try:
            self._transport.abandon()
        except Exception as exc:  # noqa: BLE001 - as above
            _log.debug("abandoning: %s", exc)


class _Opening:
    """Opens a transport on a thread of its own."""

    def __init__(self, transport: Transport) -> None:
        self.error: Exception | None = None
        self._transport = transport
        self._given_up = False
        self._lock = threading.Lock()
        self._done = threading.Event()
        try:
            name = f"{threading.current_thread().name}-opening"
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the interpreter is ending, and starts no more threads
            self._run()

    def is_done(self, timeout_s: float) -> bool:
        return self._done.wait(timeout_s)

    def give_up(self) -> bool:
        """Whether it is done; if not, what it still opens is ended at once."""
        with self._lock:
            self._given_up = not self._done.is_set()
        return not self._given_up

    def _run(self) -> None:
        try:
            self._transport.open()
        except Exception as exc:  # noqa: BLE001 - raised again where it is awaited
            self.error = exc
        with self._lock:
            self._done.set()
        if self._given_up:
            self._transport.abandon()


class Outage:
    """One line in the log when it begins, and one when it ends."""

    def __init__(self, name: str, dropped: Callable[[], int], plan: str) -> None:
        self.begun: float | None = None
        self._name = name
        self._dropped = dropped
        self._dropped_before = 0
        self._plan = plan

    def begin(self, reason: str) -> None:
        """The transport is away, perhaps for some time already."""
        if self.begun is None:
            self.begun = time.monotonic()
            self._dropped_before = self._dropped()
            _log.warning("mirroring is interrupted (%s). %s", reason, self._plan)

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
