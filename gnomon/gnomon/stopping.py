"""How a run ends when it is told to: by what waits being committed, but not later than it was promised."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn

from gnomon_capture.errors import UnavailableError

from gnomon.exits import UNABLE

GRACE_S = 5.0
"""For closing what is open once the deadline has passed; then the process ends as it is."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SHOW_CURSOR = "\x1b[?25h"


class TooLateError(UnavailableError):
    """A run that was told to stop could not commit what it had within its deadline."""


class Stopping:
    """While it is entered, SIGTERM and Ctrl-C have the run commit what waits and end. Main thread only.

    `within_s` after the first signal the run is broken off wherever it is, unless it is within a commit, which
    ends first; nothing committed is lost, and what was read is read again. A second signal ends the process at
    once, and so does whatever cannot be broken off, or takes long to close. The models' processes end with this
    one in every case. Enter it before what has to be closed, so that closing has the deadline, too.

    Args:
        within_s: until the run is broken off.
        say: told what happens, in words.

    Raises:
        KeyboardInterrupt: a signal came before `began`.
        TooLateError: in the run, at the deadline.
    """

    def __init__(self, within_s: float, say: Callable[[str], None]) -> None:
        self._within_s = within_s
        self._say = say
        self._stop: Callable[[], None] | None = None
        self._left: Callable[[], str] = str
        self._asked = False
        self._closing = False
        self._status = UNABLE

    def began(self, stop: Callable[[], None], left: Callable[[], str]) -> None:
        """From here there is a run, that `stop` asks to end; `left` says what it has not committed."""
        self._stop, self._left = stop, left

    def ended(self, status: int) -> None:
        """The run is over and has this exit status, also if closing takes too long."""
        self._closing, self._status = True, status

    def __enter__(self) -> Stopping:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_deadline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._end(
                "ended at once, by a second signal; what was not committed is read again next time", UNABLE
            )
        self._asked = True
        if self._stop is None:
            raise KeyboardInterrupt
        self._say(f"stopping: committing what was read, within {self._within_s:g} s")
        signal.setitimer(signal.ITIMER_REAL, self._within_s, GRACE_S)
        self._stop()

    def _on_deadline(self, number: int, frame: FrameType | None) -> None:
        if self._closing:
            self._end("ended without closing its connections, which took too long", self._status)
        self._closing = True
        raise TooLateError(
            f"stopped after {self._within_s:g} s ([replay] stop_within_s) without committing {self._left()}; "
            "nothing is lost: the next run reads it again"
        )

    def _end(self, words: str, status: int) -> NoReturn:
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)  # a progress bar hides it
        self._say(words)
        sys.stderr.flush()
        os._exit(status)
