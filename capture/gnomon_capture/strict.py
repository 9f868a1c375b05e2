"""The one strict checker that every stage's settings pass.

Settings are frozen values, made from a mapping (a TOML table) by `from_mapping`: an unknown key fails and
names the nearest known one, a value of the wrong type fails and says what was expected.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from gnomon_capture.errors import SettingsError

Frac = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A share of something, 0 to 1, never percent."""
PositiveFloat = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
PositiveInt = Annotated[int, msgspec.Meta(gt=0)]

T = TypeVar("T", bound="Settings")
V = TypeVar("V")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: frozen, keyword-only, closed."""

    def check(self, path: str) -> None:
        """Raises SettingsError where single values are right but do not fit together."""


def from_mapping(cls: type[T], mapping: Mapping[str, Any], path: str) -> T:
    """Settings of class `cls` from one table of the configuration.

    Args:
        mapping: the table, as `tomllib` gives it.
        path: where the table stands, for messages, such as `gate` or `candidate.0`.

    Raises:
        SettingsError: an unknown key, a missing one, or a value of the wrong type or out of its range.
    """
    if not isinstance(mapping, Mapping):
        raise SettingsError(path, f"a table is expected here, not {mapping!r:.40}")
    _refuse_unknown(cls, mapping, path)
    try:
        settings = msgspec.convert(dict(mapping), cls)
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at `$.")
        where = re.sub(r"\[(\d+)\]", r".\1", where.rstrip("`"))
        raise SettingsError(f"{path}.{where}" if where else path, message) from exc
    settings.check(path)
    return settings


def _refuse_unknown(cls: type[msgspec.Struct], mapping: Mapping[str, Any], path: str) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(cls)}
    for key, value in mapping.items():
        check_key(path, key, sorted(fields))
        nested = _settings_class(fields[key])
        if nested is not None:
            where = f"{path}.{key}" if path else key
            rows = value if isinstance(value, (list, tuple)) else [value]
            for index, row in enumerate(rows):
                if isinstance(row, Mapping):
                    _refuse_unknown(nested, row, where if row is value else f"{where}.{index}")


def _settings_class(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings class in an annotation such as `Limits`, `Limits | None` or `tuple[Limits, ...]`."""
    several = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is tuple
    options = typing.get_args(annotation) if several else (annotation,)
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_s(text: str, path: str) -> float:
    """Seconds of a duration such as `90s`, `15m`, `24h` or `7d`.

    Raises:
        SettingsError: the text is none.
    """
    match = _DURATION.match(text)
    if match is None or float(match[1]) == 0:
        raise SettingsError(path, f"{text!r} is no duration; write `90s`, `15m`, `24h` or `7d`")
    return float(match[1]) * _SECONDS[match[2]]


def check_key(path: str, key: str, known: Sequence[str]) -> None:
    """Raises SettingsError for a key that is not known, and names the nearest."""
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        raise SettingsError(f"{path}.{key}" if path else key, f"unknown key; {hint}")


def tried(path: str, parse: Callable[[str], V], text: str) -> V:
    """What a parser makes of a text; its ValueError becomes a SettingsError at a path."""
    try:
        return parse(text)
    except ValueError as exc:
        raise SettingsError(path, str(exc)) from exc
