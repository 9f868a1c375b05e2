"""Which requests are mirrored, and how many requests each of them stands for.

A request's share is that of the first rule that holds, or else the general one. It is selected if its point,
a number in [0, 1), lies below its share; its weight is 1 / share. Points come by chance, or from a value such
as the key. A maximum rate is no selection: what it turns away is a drop, and no weight makes up for it.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from gnomon_capture.encoder import as_text
from gnomon_capture.handoff import Waiting
from gnomon_capture.paths import Path, flattened, getter, parse_path
from gnomon_capture.record import canonical_label
from gnomon_capture.select_settings import SelectRule, SelectSettings
from gnomon_capture.windows import hours_and_days, instant_ns

_STEPS = float(1 << 52)

Holds = Callable[[Waiting], bool]

# Not the application's generator: neither may its seed repeat our choices, nor our draws disturb its own.
_chance = random.Random()
os.register_at_fork(after_in_child=_chance.seed)


def sticky_point(text: str, salt: str = "") -> float:
    """Where a text lies in [0, 1), the same in every process and language.

    The first 52 bits of SHA-256 of the salt's and the text's UTF-8, as a fraction: 13 hexadecimal digits, which
    a double holds exactly. murmur2, which is at hand, chooses Kafka's partitions already: selecting by it too
    could leave some of them empty.

    >>> sticky_point("N14228") == int("b54635a3f9c69", 16) / 2**52
    True
    """
    digest = hashlib.sha256((salt + text).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:7]) >> 4) / _STEPS


class Bucket:
    """A token bucket: `per_s` a second, and as many at once after a quiet second (at least one)."""

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._most = max(per_s, 1.0)
        self._tokens = self._most
        self._at = now

    def take(self, now: float) -> bool:
        """Takes a token at a time of a monotonic clock, if there is one."""
        self._tokens = min(self._tokens + max(now - self._at, 0.0) * self._per_s, self._most)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Selection:
    """Settings, compiled once. For one thread.

    Args:
        service: the mirror's, which rules may ask for.
        chance: draws a point in [0, 1).
    """

    def __init__(
        self, settings: SelectSettings, service: str | None, chance: Callable[[], float] = _chance.random
    ) -> None:
        self._general = settings.frac
        self._rules = [
            (conditions, rule.frac)
            for rule in settings.rules
            if (conditions := _conditions(rule, service)) is not None
        ]
        self._by = None if settings.by == "request" else getter(parse_path(settings.by))
        self._salt = settings.salt
        self._chance = chance

    def share(self, item: Waiting, general: float | None = None) -> float:
        """The probability with which a request is selected.

        Args:
            general: takes the place of the share of requests that no rule is about.
        """
        for conditions, frac in self._rules:
            for holds in conditions:
                if not holds(item):
                    break
            else:
                return frac
        return self._general if general is None else general

    def weight(self, item: Waiting, general: float | None = None) -> float:
        """How many requests a selected one stands for; 0 if it is not selected."""
        share = self.share(item, general) if self._rules else self._general if general is None else general
        if share >= 1:
            return 1.0
        if share <= 0:
            return 0.0
        point = self._chance() if self._by is None else self._point(self._by(item))
        return 1 / share if point < share else 0.0

    def _point(self, value: Any) -> float:
        text = as_text(value)
        return self._chance() if text is None else sticky_point(text, self._salt)


def _conditions(rule: SelectRule, service: str | None) -> list[Holds] | None:
    """A rule's conditions, the cheapest first; None if it can never hold for this service."""
    found: list[Holds] = []
    if rule.since is not None or rule.until is not None:
        found.append(_between(rule))
    if rule.hours is not None or rule.days:
        inside = hours_and_days(rule.hours, rule.days, rule.timezone)
        found.append(lambda item: inside(instant_ns(item[0])))
    where = dict(flattened(rule.where))
    if rule.regions:
        found.append(_condition(Path("attributes", ("region",)), list(rule.regions)))
    for name, wanted in where.items():
        path = parse_path(name)
        if path.root != "service":
            found.append(_condition(path, wanted))
        elif not _test(wanted)(service):
            return None
    return found


def _between(rule: SelectRule) -> Holds:
    since_ns = float("-inf") if rule.since is None else instant_ns(rule.since)
    until_ns = float("inf") if rule.until is None else instant_ns(rule.until)
    return lambda item: since_ns <= instant_ns(item[0]) < until_ns


def _condition(path: Path, wanted: Any) -> Holds:
    value, test = getter(path), _test(wanted)
    return lambda item: test(value(item))


def _test(wanted: Any) -> Callable[[Any], bool]:
    if not isinstance(wanted, Mapping):
        return _one_of(wanted)
    tests = [_OPERATIONS[name](value) for name, value in wanted.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _one_of(wanted: Any) -> Callable[[Any], bool]:
    texts = {canonical_label(one) for one in (wanted if isinstance(wanted, (list, tuple)) else [wanted])}

    def test(value: Any) -> bool:
        if value is None:
            return False
        return (value.__class__ is str and value in texts) or as_label(value) in texts

    return test


def as_label(value: Any) -> str | None:
    """A scalar in the form that labels are compared in; None for what is none."""
    try:
        return canonical_label(as_text(value))
    except ValueError:
        return None


def _none_of(unwanted: Any) -> Callable[[Any], bool]:
    one_of = _one_of(unwanted)
    return lambda value: value is not None and not one_of(value)


def _number(value: Any) -> float | None:
    if value.__class__ is float or value.__class__ is int:
        return value
    if getattr(value, "ndim", None) == 0:  # a NumPy scalar
        value = value.item()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _at_least(least: float) -> Callable[[Any], bool]:
    return lambda value: (number := _number(value)) is not None and number >= least


def _at_most(most: float) -> Callable[[Any], bool]:
    return lambda value: (number := _number(value)) is not None and number <= most


def _matches(pattern: str) -> Callable[[Any], bool]:
    search = re.compile(pattern).search
    return lambda value: isinstance(value, str) and search(value) is not None


def _present(wanted: bool) -> Callable[[Any], bool]:
    return lambda value: (value is not None) is wanted


_OPERATIONS: Mapping[str, Callable[[Any], Callable[[Any], bool]]] = {
    "min": _at_least,
    "max": _at_most,
    "not": _none_of,
    "matches": _matches,
    "present": _present,
}
