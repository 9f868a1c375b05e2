"""`[capture.select]`: which requests are mirrored."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gnomon_capture.errors import SettingsError
from gnomon_capture.paths import WHOLE, flattened, parse_path
from gnomon_capture.strict import Frac, PositiveFloat, Settings, check_key, tried
from gnomon_capture.windows import parse_hours, parse_zone

CONDITIONS = ("min", "max", "not", "matches", "present")
SMALLEST_FRAC = 1e-9


class SelectRule(Settings, frozen=True, kw_only=True):
    """One `[[capture.select.rules]]`: which requests it is about, and what share of them is mirrored.

    Attributes:
        frac: the share of the requests for which all that follows holds.
        where: conditions by path, such as `"features.amount"`. A value or a list: it is one of these. A table:
            `min`, `max` (both included), `not` (a value or a list), `matches` (a regular expression found in
            the text), `present` (true or false). A field that is not there holds no other condition.
        regions: the attribute `region` is one of these.
        hours: of the day, such as `08:00-18:00`; `22:00-06:00` runs past midnight.
        days: of the week, `mon` to `sun`.
        timezone: for hours and days; an IANA name.
        since, until: instants with an offset; until is not included.
    """

    frac: Frac
    where: dict[str, Any] = msgspec.field(default_factory=dict)
    regions: tuple[str, ...] = ()
    hours: str | None = None
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    timezone: str = "UTC"
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None

    def check(self, path: str) -> None:
        check_frac(self.frac, f"{path}.frac")
        for name, condition in flattened(self.where).items():
            _check_condition(name, condition, f"{path}.where")
        tried(f"{path}.timezone", parse_zone, self.timezone)
        if self.hours is not None:
            tried(f"{path}.hours", parse_hours, self.hours)
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise SettingsError(f"{path}.{name}", "an offset is missing; write 2026-11-24T08:00:00Z")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise SettingsError(f"{path}.until", "it does not come after `since`")


class SelectSettings(Settings, frozen=True, kw_only=True):
    """`[capture.select]`: which requests are mirrored.

    Attributes:
        frac: the share of the requests that no rule is about.
        by: `request` decides each by chance. A path, such as `key` or `attributes.tenant`, decides by its value:
            the same value, the same answer, in every process and language; by chance where there is none.
        salt: text that the value is hashed with; another salt selects other keys.
        rules: the first that holds decides.
        max_per_s: how many a process may send in a second; beyond, they are dropped as `rate_limited`.
    """

    frac: Frac = 1.0
    by: str = "request"
    salt: str = ""
    rules: tuple[SelectRule, ...] = ()
    max_per_s: PositiveFloat | None = None

    def check(self, path: str) -> None:
        check_frac(self.frac, f"{path}.frac")
        if self.by != "request":
            tried(f"{path}.by", parse_path, self.by)
            if self.by == "service":
                raise SettingsError(f"{path}.by", "a mirror has one service; write `request` or `key`")
        for index, rule in enumerate(self.rules):
            rule.check(f"{path}.rules.{index}")


def check_frac(frac: float, path: str) -> None:
    """Raises SettingsError for a share so small that a record's weight could not carry it."""
    if 0 < frac < SMALLEST_FRAC:
        raise SettingsError(path, f"write 0, or at least {SMALLEST_FRAC}")


def _check_condition(name: str, condition: Any, path: str) -> None:
    place = tried(path, parse_path, name)
    if place.root not in WHOLE and not place.names:
        raise SettingsError(f"{path}.{name}", f"say which value; write {name}.name")
    if not isinstance(condition, Mapping):
        condition = {"not": condition}  # the same form
    for key, value in condition.items():
        check_key(f"{path}.{name}", key, CONDITIONS)
        values = value if key == "not" and isinstance(value, (list, tuple)) else [value]
        kind: Any = {"min": (int, float), "max": (int, float), "matches": str, "present": bool}.get(
            key, (bool, int, float, str)
        )
        for one in values:
            if not isinstance(one, kind) or (key in ("min", "max") and isinstance(one, bool)):
                raise SettingsError(f"{path}.{name}", f"`{key}` cannot be {one!r:.40}")
        if not values:
            raise SettingsError(f"{path}.{name}", "an empty list is never met")
        if key == "matches":
            try:
                re.compile(value)
            except re.error as exc:
                raise SettingsError(f"{path}.{name}", f"{value!r} is no regular expression: {exc}") from exc
