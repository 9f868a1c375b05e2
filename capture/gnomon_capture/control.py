"""Switches mirroring off and on, and changes the share, without a restart.

Two places are looked at about four times a second: the control file, and the environment variable
GNOMON_CAPTURE. Off in either is off. A share in the file goes before one in the variable, and both go before
`[capture.select] frac`. Another program can change the file alone: the environment of a running process can only
be changed by itself (`os.environ`).
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from gnomon_capture.errors import SettingsError
from gnomon_capture.select_settings import check_frac
from gnomon_capture.strict import Frac, Settings, from_mapping

_log = logging.getLogger("gnomon_capture")

VARIABLE = "GNOMON_CAPTURE"
_EVERY_S = 0.25
_MOST_BYTES = 64 << 10
_OFF, _ON = frozenset({"off", "false", "no"}), frozenset({"", "on", "true", "yes"})


class Orders(Settings, frozen=True, kw_only=True):
    """A control file: TOML with these keys.

    Attributes:
        enabled: false: nothing is mirrored; what is seen counts as not selected.
        frac: takes the place of `[capture.select] frac`. Rules keep their own.
    """

    enabled: bool = True
    frac: Frac | None = None

    def check(self, path: str) -> None:
        if self.frac is not None:
            check_frac(self.frac, f"{path}.frac" if path else "frac")


def parse_variable(text: str) -> Orders:
    """Reads GNOMON_CAPTURE: `off`, `on`, or a share such as `0.05`.

    Raises:
        SettingsError: it is none of these.
    """
    word = text.strip().lower()
    if word in _ON or word in _OFF:
        return Orders(enabled=word in _ON)
    try:
        return from_mapping(Orders, {"frac": float(word)}, "")
    except ValueError as exc:  # SettingsError is one
        raise SettingsError(
            VARIABLE, f"{text!r:.40}: write off, on, or a share of 0 to 1 such as 0.05"
        ) from exc


class Control:
    """What holds now. For one thread.

    A file that is not there orders nothing. What cannot be read or understood changes nothing, and is logged
    once it has been found twice: at first sight it may be half written.

    Args:
        file: the control file; it need not be there.

    Raises:
        SettingsError: the environment variable is set to what it cannot be.
    """

    def __init__(self, file: Path | None, environ: Mapping[str, str] = os.environ) -> None:
        self._file = file
        self._environ = environ
        self._text = environ.get(VARIABLE, "")
        self._by_variable = parse_variable(self._text)
        self._by_file = Orders()
        self._data: bytes | None = None
        self._suspect: object = None
        self._complained = False
        self._due = float("-inf")
        self.orders = self._by_variable

    def read(self, now: float) -> Orders:
        """The orders at a time of a monotonic clock; looks at most every quarter of a second."""
        if now >= self._due:
            self._due = now + _EVERY_S
            self._read_variable()
            if self._file is not None:
                self._read_file(self._file)
            self._settle()
        return self.orders

    def _read_variable(self) -> None:
        text = self._environ.get(VARIABLE, "")
        if text != self._text:
            self._text = text
            try:
                self._by_variable = parse_variable(text)
            except SettingsError as exc:
                _log.warning("%s; what held before goes on", exc)

    def _read_file(self, file: Path) -> None:
        try:
            with file.open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            self._by_file, self._data, self._suspect, self._complained = Orders(), None, None, False
            return
        except OSError as exc:
            self._doubt(file, exc.errno, exc.strerror or str(exc))
            return
        if data == self._data:
            self._suspect = None
            return
        try:
            if len(data) > _MOST_BYTES or not data.strip():
                raise ValueError(
                    "it is empty" if not data.strip() else f"it has more than {_MOST_BYTES} bytes"
                )
            orders = from_mapping(Orders, tomllib.loads(data.decode()), "")
        except ValueError as exc:  # TOML's, UTF-8's and the checker's errors are all of this kind
            self._doubt(file, data, str(exc))
            return
        self._by_file, self._data, self._suspect, self._complained = orders, data, None, False

    def _doubt(self, file: Path, what: object, why: str) -> None:
        if what == self._suspect and not self._complained:
            self._complained = True
            _log.warning("the control file %s is of no use (%s); what it said before goes on", file, why)
        self._suspect = what

    def _settle(self) -> None:
        by_file, by_variable = self._by_file, self._by_variable
        orders = Orders(
            enabled=by_file.enabled and by_variable.enabled,
            frac=by_variable.frac if by_file.frac is None else by_file.frac,
        )
        if orders.enabled != self.orders.enabled:
            _log.warning("mirroring is switched %s", "on" if orders.enabled else "off")
        elif orders.frac != self.orders.frac:
            share = "as configured" if orders.frac is None else orders.frac
            _log.info("the share that is mirrored is now %s", share)
        self.orders = orders
