"""Settings of capture, and the one strict checker that every stage's settings pass.

Settings are frozen values, made from a mapping (a TOML table) by `from_mapping`: an unknown key fails and
names the nearest known one, a value of the wrong type fails and says what was expected.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from gnomon_capture.errors import SettingsError
from gnomon_capture.record import MAX_RECORD_BYTES

Frac = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A share of something, 0 to 1, never percent."""
PositiveFloat = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
PositiveInt = Annotated[int, msgspec.Meta(gt=0)]

T = TypeVar("T", bound="Settings")


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
        raise SettingsError(f"{path}.{where.rstrip('`')}" if where else path, message) from exc
    settings.check(path)
    return settings


def _refuse_unknown(cls: type[msgspec.Struct], mapping: Mapping[str, Any], path: str) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(cls)}
    for key, value in mapping.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(fields))}"
            raise SettingsError(f"{path}.{key}" if path else key, f"unknown key; {hint}")
        nested = _settings_class(fields[key])
        if nested is not None and isinstance(value, Mapping):
            _refuse_unknown(nested, value, f"{path}.{key}" if path else key)


def _settings_class(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings class in an annotation such as `Limits` or `Limits | None`."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
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


class CaptureSettings(Settings, frozen=True, kw_only=True):
    """How a serving process mirrors: the table `[capture]`, or the arguments of `Mirror`.

    Attributes:
        buffer_records: how many requests may wait for the sender; beyond, they are dropped and counted.
        buffer_bytes: how much memory they may take; the number that fits is measured several times a second.
        copy: `shallow` copies what is passed one level deep, `deep` all of it, on the caller's thread.
        overflow: a folder for requests while the traffic's transport is away or too slow; none by default, so
            that no request is written to a disk that nobody named. The next mirror to the same address that is
            given the folder sends what a killed process left there.
        overflow_bytes: how much may lie in that folder, of all processes that share it and the address; beyond,
            requests are dropped and counted (`overflow_full`).
        max_record_bytes: how large one encoded record may be; a larger one is dropped and counted.
        frame_records: how many records a message or a write holds at most.
        frame_bytes: how large a frame may grow; kept below Kafka's default limit for a message.
        wire: how messages to Kafka are encoded: "ndjson", or "arrow" (needs pyarrow), which costs the sender some
            microseconds a record more, outside Python's lock, and the replay as much less. A spool has lines.
        linger_s: how long a record waits at most for its frame to fill.
        ledger_every_s: how often the sender writes its counts into the traffic.
        close_timeout_s: how long closing waits for what is buffered; what is left then is counted.
        segment_bytes: how large a file of the spool grows before it is closed, and so shown to readers.
        segment_s: how old it grows.
        spool_max_bytes: how large a spool's closed files may grow in sum, all processes'; beyond, the oldest are
            removed. None: they stay.
        spool_max_age: how old they may grow, such as `7d`.
    """

    buffer_records: PositiveInt = 100_000
    buffer_bytes: PositiveInt = 64 << 20
    copy: Literal["shallow", "deep"] = "shallow"
    overflow: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    overflow_bytes: PositiveInt = 1 << 30
    max_record_bytes: PositiveInt = MAX_RECORD_BYTES
    frame_records: PositiveInt = 500
    frame_bytes: PositiveInt = 900_000
    wire: Literal["ndjson", "arrow"] = "ndjson"
    linger_s: PositiveFloat = 0.5
    ledger_every_s: PositiveFloat = 5.0
    close_timeout_s: PositiveFloat = 30.0
    segment_bytes: PositiveInt = 64 << 20
    segment_s: PositiveFloat = 30.0
    spool_max_bytes: PositiveInt | None = None
    spool_max_age: str | None = None

    def check(self, path: str) -> None:
        """Checks the duration."""
        if self.spool_max_age is not None:
            duration_s(self.spool_max_age, f"{path}.spool_max_age")
