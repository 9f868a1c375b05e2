"""What callers and the sender share: the buffer, and counters that need no lock to add to."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from gnomon_capture.record import Served

# ts, features, payload, served, key, attributes, request_id, weight. A plain tuple: a class costs the caller more.
Waiting = tuple[
    int | str | datetime,
    dict[str, Any] | None,
    Any,
    Served | dict[str, Any] | None,
    Any,
    dict[str, Any] | None,
    Any,
    float,
]


class Dropped(StrEnum):
    """Why a request that was seen is not in the traffic."""

    BUFFER_FULL = "buffer_full"
    OVERFLOW_FULL = "overflow_full"
    UNENCODABLE = "unencodable"
    OVERSIZE = "oversize"
    CLOSED = "closed"
    UNSENT = "unsent"
    PICK_FAILED = "pick_failed"
    BODY_TOO_LARGE = "body_too_large"
    RATE_LIMITED = "rate_limited"
    NOT_REDACTED = "not_redacted"


class Tally:
    """A counter that many threads add to without a lock: a step of `itertools.count` is one operation."""

    def __init__(self) -> None:
        self.add = itertools.count(1).__next__
        self._reads = 0
        self._lock = threading.Lock()

    def value(self) -> int:
        """How often `add` was called. Reading takes a step too, so the steps of readers are taken off again."""
        with self._lock:
            self._reads += 1
            return self.add() - self._reads


class Handoff:
    """The bounded buffer between the serving threads and the sender.

    Attributes:
        waiting: the requests, oldest first. Serving threads append, the sender takes.
        bound: how many may wait. Many threads may pass the check at once, so it can be exceeded by their number.
        overflowing: the overflow spool takes no more either, so that this is why requests find no room.
        complaint: the first exception that a caller's arguments raised; the sender logs it.
    """

    def __init__(self, bound: int) -> None:
        self.waiting: deque[Waiting] = deque()
        self.bound = bound
        self.closed = False
        self.complaint: Exception | None = None
        self.overflowing = False
        self.full = Tally()
        self.overflow_full = Tally()
        self.oversize = Tally()
        self.unencodable = Tally()
        self.late = Tally()
        self.unpicked = {reason: Tally() for reason in (Dropped.PICK_FAILED, Dropped.BODY_TOO_LARGE)}
        self._lock = threading.Lock()  # callers never take it

    def resize(self, bound: int) -> None:
        """Lets so many wait, unless it is closed."""
        with self._lock:
            if not self.closed:
                self.bound = bound

    def close(self) -> None:
        """Takes nothing from here on."""
        with self._lock:
            self.closed = True
            self.bound = 0  # the one check that every caller makes anyway

    def refuse(self) -> None:
        """Counts a request for which there is no room."""
        if self.closed:
            self.late.add()
        elif self.overflowing:
            self.overflow_full.add()
        else:
            self.full.add()

    def without_room(self) -> int:
        """How many found no room so far."""
        return self.full.value() + self.overflow_full.value()

    def take(self, count: int) -> list[Waiting]:
        """Up to `count` requests. For the sender alone, so that none can vanish between look and take."""
        waiting = self.waiting
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def refused(self) -> Mapping[str, int]:
        """What callers could not hand over, by reason."""
        return {
            Dropped.BUFFER_FULL: self.full.value(),
            Dropped.OVERFLOW_FULL: self.overflow_full.value(),
            Dropped.OVERSIZE: self.oversize.value(),
            Dropped.UNENCODABLE: self.unencodable.value(),
            Dropped.CLOSED: self.late.value(),
            **{reason: tally.value() for reason, tally in self.unpicked.items()},
        }
