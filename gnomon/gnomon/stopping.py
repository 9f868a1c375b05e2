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
    once, and so does a run that cannot be broken off. The models' processes end with this one in every case.

    Args:
        stop: asks the run to end.
        within_s: until it is broken off.
        left: says what is not committed, when that happens.
        say: told what happens, in words.

    Raises:
        TooLateError: in the run, at the deadline.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        within_s: float,
        left: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self._stop = stop
        self._within_s = within_s
        self._left = left
        self._say = say
        self._asked = False
        self._broken_off = False

    def __enter__(self) -> Stopping:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_deadline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets a run that was broken off still close its files; a second signal goes on ending the process."""
        if not self._broken_off:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if not self._asked:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._end("ended at once, by a second signal; what was not committed is read again next time")
        self._asked = True
        self._say(f"stopping: committing what was read, within {self._within_s:g} s")
        signal.setitimer(signal.ITIMER_REAL, self._within_s, GRACE_S)
        self._stop()

    def _on_deadline(self, number: int, frame: FrameType | None) -> None:
        if self._broken_off:
            self._end(f"ended without closing its connections, {GRACE_S:g} s after the deadline")
        self._broken_off = True
        raise TooLateError(
            f"stopped after {self._within_s:g} s ([replay] stop_within_s) without committing {self._left()}; "
            "nothing is lost: the next run reads it again"
        )

    def _end(self, words: str) -> NoReturn:
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)  # a progress bar hides it
        self._say(words)
        sys.stderr.flush()
        os._exit(UNABLE)
