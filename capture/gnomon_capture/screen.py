"""What may leave the process: first control, then selection and the maximum rate, then redaction.

Selection looks at what was passed, so that its answer is the same everywhere; everything after sees only
what redaction left.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

from gnomon_capture.control import Control
from gnomon_capture.handoff import Dropped, Waiting
from gnomon_capture.redaction import Redactor
from gnomon_capture.selection import Bucket, Selection
from gnomon_capture.settings import CaptureSettings

Complain = Callable[[Exception], None]


class Screen:
    """Lets requests out, and counts those that it holds back. For one thread.

    Attributes:
        not_selected: how many configured selection left out, those seen while switched off included.
        dropped: how many were turned away after it, by reason.

    Raises:
        SettingsError: the secret for hashing is not there, or GNOMON_CAPTURE is not what it can be.
    """

    def __init__(self, settings: CaptureSettings, service: str | None) -> None:
        select = settings.select
        self._control = Control(None if settings.control is None else Path(settings.control))
        self._selection = Selection(select, service)
        self._all = not select.rules and select.frac == 1
        self._redact = None if settings.redact is None else Redactor(settings.redact)
        self._max_per_s = select.max_per_s
        self.restart()

    def restart(self) -> None:
        """Counts from nothing again."""
        self._bucket = None if self._max_per_s is None else Bucket(self._max_per_s, time.monotonic())
        self.not_selected = 0
        self.dropped: dict[str, int] = {
            Dropped.RATE_LIMITED: 0,
            Dropped.NOT_REDACTED: 0,
            Dropped.UNENCODABLE: 0,
        }

    def fresh(self) -> Screen:
        """One that has counted nothing yet, for a forked child: it may not be able to read the secret again."""
        another = copy.copy(self)
        another.restart()
        return another

    @property
    def off(self) -> bool:
        """Whether nothing is let out now."""
        return not self._control.read(time.monotonic()).enabled

    def let_out(self, taken: list[Waiting], complain: Complain) -> list[Waiting]:
        """Those that are selected, with their weight, and redacted; in order.

        Args:
            complain: told of each that could not be looked at or redacted.
        """
        now = time.monotonic()
        orders = self._control.read(now)
        if not orders.enabled:
            self.not_selected += len(taken)
            return []
        if not self._all or orders.frac is not None:
            taken = self._select(taken, orders.frac, complain)
        if self._bucket is not None:
            take = self._bucket.take
            within = [item for item in taken if take(now)]
            self.dropped[Dropped.RATE_LIMITED] += len(taken) - len(within)
            taken = within
        return taken if self._redact is None else self._redacted(taken, self._redact, complain)

    def _select(self, taken: list[Waiting], frac: float | None, complain: Complain) -> list[Waiting]:
        weight_of = self._selection.weight
        selected = []
        for item in taken:
            try:
                weight = weight_of(item, frac)
            except Exception as exc:  # noqa: BLE001 - whatever a caller's object raises when it is looked at
                complain(exc)
                self.dropped[Dropped.UNENCODABLE] += 1
                continue
            if weight == 1:
                selected.append(item)
            elif weight:
                selected.append((*item[:7], item[7] * weight))
            else:
                self.not_selected += 1
        return selected

    def _redacted(self, taken: list[Waiting], redact: Redactor, complain: Complain) -> list[Waiting]:
        redacted = []
        for item in taken:
            try:
                redacted.append(redact(item))
            except Exception as exc:  # noqa: BLE001 - it must not leave, whatever went wrong
                complain(exc)
                self.dropped[Dropped.NOT_REDACTED] += 1
        return redacted
