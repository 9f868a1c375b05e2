"""The background thread of a mirror: takes, numbers, frames, and keeps the ledger."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gnomon_capture.encoder import Encoder, as_text
from gnomon_capture.footprint import UNMEASURED_BYTES, mean_footprint_bytes
from gnomon_capture.frames import Frame
from gnomon_capture.handoff import Dropped, Handoff, Waiting
from gnomon_capture.outlet import Outlet
from gnomon_capture.record import Ledger, encode_lines, format_ts
from gnomon_capture.screen import Screen
from gnomon_capture.settings import CaptureSettings
from gnomon_capture.transport import Transport

_log = logging.getLogger("gnomon_capture")

# A stretch holds the interpreter's lock for as long as it is encoded, so stretches are short unless there is backlog.
# Between two the sender sleeps: to let go of the lock and take it again at once leaves others no time to wake up.
_STRETCH_RECORDS = 10
_STRETCHES = 10
_YIELD_S = 1e-6  # some 60 µs, as systems go
_SLICE_RECORDS = 50
_LONGEST_SLICE_RECORDS = 500
_BACKLOG_SLICES = 20
_SHORTEST_PAUSE_S = 0.00005
_LONGEST_PAUSE_S = 0.05
_CLOSING_PAUSE_S = 0.002
_SIZE_EVERY_S = 0.2
# The last parts of the time for closing belong to the acknowledgements, then to the closing ledger.
_DRAIN_FRAC = 0.8
_ACKNOWLEDGE_FRAC = 0.95


@dataclass(frozen=True, slots=True)
class Counts:
    """What the sender has settled so far; replaced as a whole, so that any thread may read it.

    Attributes:
        taken: how many requests it took from the buffer.
        numbered: how many of them have a number, and so are mirrored.
        not_selected: how many configured selection left out.
        dropped: how many are not, by reason.
    """

    taken: int
    numbered: int
    not_selected: int
    dropped: dict[str, int]


class Sender:
    """Moves requests from the buffer into the traffic, on a thread of its own.

    What a ledger promises: it was sent after every record up to its `upto_seq` was acknowledged, and before
    anything that came later. So a number up to `upto_seq` that is not in the traffic when its ledger is, in
    any partition, was lost; it is not late. A request gets its number as it is encoded, only while the traffic
    can be written, and then counts as mirrored for good; what is given up before that is dropped, by reason.

    Args:
        handoff: where requests wait.
        transport: not yet opened.
        name: the traffic's address, for messages.
        screen: what may leave the process.
        overflow: the folder for requests while the transport is away; None: they wait in memory.
    """

    def __init__(
        self,
        handoff: Handoff,
        transport: Transport,
        name: str,
        process: str,
        service: str | None,
        settings: CaptureSettings,
        screen: Screen,
        overflow: Path | None = None,
    ) -> None:
        self.counts = Counts(0, 0, 0, {})
        self.outlet = Outlet(handoff, transport, name, process, settings, overflow)
        self._name = name
        self._process = process
        self._handoff = handoff
        self._transport = transport
        discreet = settings.redact is not None
        self._encoder = Encoder(process, service, settings.max_record_bytes, discreet=discreet)
        self._screen = screen
        self._settings = settings
        self._unsent = 0
        self._size_at = 0.0
        self._request_bytes = float(UNMEASURED_BYTES)
        self._began = 0.0
        self._ledger_at = 0.0
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"gnomon-{process}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._ledger_at = time.monotonic() + self._settings.ledger_every_s
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether the thread was started."""
        return self._thread.ident is not None

    def disown(self) -> None:
        """In a forked child, where the thread is not: closes what the parent has open."""
        self._transport.disown()
        if self.outlet.overflow is not None:
            self.outlet.overflow.disown()

    def close(self, timeout_s: float) -> None:
        """Has the thread finish within the time, and waits for it."""
        if not self.started:
            return
        if not self._closing.is_set():
            self._began = time.monotonic()
            self._deadline = self._began + timeout_s
            self._closing.set()
        self._thread.join(timeout_s + 0.2)  # it may be held up in the transport, and end later

    def _run(self) -> None:
        try:
            self.outlet.delivery.step()
            self._mirror()
            self._finish()
        except Exception:  # noqa: BLE001 - the serving process must not notice
            _log.exception("mirroring to %s stopped by a bug; requests are dropped and counted", self._name)
            self._handoff.close()

    def _mirror(self) -> None:
        pause_s = _LONGEST_PAUSE_S
        while not self._closing.is_set():
            took = self._step()
            if took >= _SLICE_RECORDS:
                pause_s = _SHORTEST_PAUSE_S
            elif took:  # so that the next slice is about half full
                pause_s *= _SLICE_RECORDS / 2 / took
            else:
                pause_s *= 2
            pause_s = min(max(pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
            time.sleep(pause_s)

    def _step(self) -> int:
        """One round; returns how many requests it took."""
        self.outlet.step(closing=self._closing.is_set())
        now = time.monotonic()
        if now >= self._size_at:
            self._size_at = now + _SIZE_EVERY_S
            self._size()
        # What is seen while the mirror is off is settled at once, lest it wait and be sent once it is on.
        took = self._take(now) if self.outlet.takes or self._screen.off else 0
        self.outlet.frames.close_older(now - self._settings.linger_s)
        if now >= self._ledger_at and self.outlet.takes:
            self._ledger_at = now + self._settings.ledger_every_s
            self._put_ledger(now, closed=False)
        return took

    def _size(self) -> None:
        """Has no more requests wait than fit into the bytes allowed, by those that wait now."""
        mean = mean_footprint_bytes(self._handoff.waiting)
        if mean is not None:
            self._request_bytes = mean
        bound = int(self._settings.buffer_bytes / self._request_bytes)
        self._handoff.resize(min(max(bound, 1), self._settings.buffer_records))

    def _take(self, now: float) -> int:
        waiting = len(self._handoff.waiting)
        size = min(max(_SLICE_RECORDS, waiting // _BACKLOG_SLICES), _LONGEST_SLICE_RECORDS)
        stretch = max(_STRETCH_RECORDS, size // _STRETCHES)
        took = 0
        while took < size:
            if took:
                time.sleep(_YIELD_S)
            taken = self._handoff.take(stretch)
            if taken:
                self._encode(taken, now)
                took += len(taken)
            if len(taken) < stretch:
                break
        self._complain()
        return took

    def _encode(self, taken: list[Waiting], now: float) -> None:
        chosen = self._screen.let_out(taken, self._encoder.complain)
        for partition, part in self._by_partition(chosen).items():
            lines, count = self._encoder.encode(part)
            if count:
                self.outlet.frames.add(partition, lines, count, now)
        self._count(self.counts.taken + len(taken))

    def _complain(self) -> None:
        if self._handoff.complaint is not None:
            self._encoder.complain(self._handoff.complaint)
            self._handoff.complaint = None

    def _by_partition(self, taken: list[Waiting]) -> dict[int, list[Waiting]]:
        partitions = self._transport.partitions
        unkeyed = self.outlet.frames.unkeyed(partitions)
        # On the disk all are in one order; which partition it will be, shows when they go out.
        if partitions <= 1 or self.outlet.overflowing:
            return {unkeyed: taken}
        groups: dict[int, list[Waiting]] = {}
        for item in taken:
            groups.setdefault(self._partition(item[4], unkeyed), []).append(item)
        return groups

    def _partition(self, key: object, unkeyed: int) -> int:
        try:
            text = as_text(key)
        except Exception:  # noqa: BLE001 - whatever a caller's object raises; the encoder will meet it, and count it
            return unkeyed
        return unkeyed if text is None else self._transport.partition_of(text)

    def _count(self, taken: int) -> None:
        dropped: dict[str, int] = {
            **self._screen.dropped,
            Dropped.UNENCODABLE: self._encoder.unencodable + self._screen.dropped[Dropped.UNENCODABLE],
            Dropped.OVERSIZE: self._encoder.oversize,
            Dropped.UNSENT: self._unsent,
        }
        self.counts = Counts(taken, self._encoder.numbered, self._screen.not_selected, dropped)

    def _put_ledger(self, now: float, *, closed: bool) -> None:
        """Puts the counts behind all that they count."""
        self.outlet.frames.close_all()
        frame = Frame(self._transport.ledger_partition, now, ledger=True)
        frame.add(encode_lines([self.ledger(closed=closed)]), 1)
        self.outlet.put(frame)

    def ledger(self, *, closed: bool = False) -> Ledger:
        """The counts of all requests whose fate is settled."""
        counts = self.counts
        refused: Mapping[str, int] = self._handoff.refused()
        dropped = {reason: counts.dropped.get(reason, 0) + refused.get(reason, 0) for reason in Dropped}
        return Ledger(
            process=self._process,
            ts=format_ts(time.time_ns()),
            upto_seq=counts.numbered - 1,
            seen=counts.taken + sum(refused.values()),
            mirrored=counts.numbered,
            not_selected=counts.not_selected,
            dropped={reason.value: count for reason, count in dropped.items() if count},
            closed=closed,
        )

    def _finish(self) -> None:
        """Sends what it can within the time, and counts the rest."""
        self.outlet.delivery.hurry()
        while self._handoff.waiting and self._left(_DRAIN_FRAC):
            if not self._step():
                time.sleep(_CLOSING_PAUSE_S)
        # What the traffic has not taken in time, a folder on this machine still may.
        while self._handoff.waiting and self._left(_ACKNOWLEDGE_FRAC) and self.outlet.divert():
            self._take(time.monotonic())
        self._unsent = len(self._handoff.take(len(self._handoff.waiting)))
        self._count(self.counts.taken + self._unsent)
        self._complain()
        self.outlet.frames.close_all()
        self._settle(_ACKNOWLEDGE_FRAC)
        if (
            not self.outlet.delivery.away or self.outlet.overflow is not None
        ):  # not worth waiting for by itself
            self._put_ledger(time.monotonic(), closed=True)
            self._settle(1.0)
        self.outlet.leave(max(self._deadline - time.monotonic(), 0.0))

    def _settle(self, frac: float) -> None:
        """Waits until everything put is acknowledged, for at most that share of the time for closing."""
        while not self.outlet.settled and self._left(frac):
            self.outlet.step(closing=True)
            if self.outlet.overflow is not None and self.outlet.away:
                return  # it is safe on the disk
            time.sleep(_CLOSING_PAUSE_S)

    def _left(self, frac: float) -> bool:
        return time.monotonic() < self._began + (self._deadline - self._began) * frac
