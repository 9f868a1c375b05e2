"""The one strict checker of settings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.settings import CaptureSettings, Frac, Settings, duration_s, from_mapping


class Limits(Settings, frozen=True, kw_only=True):
    max_excess: Frac = 0.05


class Gate(Settings, frozen=True, kw_only=True):
    name: str
    limits: Limits = msgspec.field(default_factory=Limits)
    other: Limits | None = None

    def check(self, path: str) -> None:
        if self.name == "forbidden":
            raise SettingsError(f"{path}.name", "forbidden here")


@pytest.mark.parametrize(
    ("table", "path", "says"),
    [
        ({"nmae": "a"}, "gate.nmae", "did you mean `name`?"),
        ({"name": "a", "zzz": 1}, "gate.zzz", "known keys: limits, name, other"),
        ({"name": "a", "limits": {"max_exces": 0.1}}, "gate.limits.max_exces", "did you mean `max_excess`?"),
        ({"name": "a", "other": {"max_exces": 0.1}}, "gate.other.max_exces", "did you mean `max_excess`?"),
        ({"name": 1}, "gate.name", "Expected `str`, got `int`"),
        ({"name": "a", "limits": {"max_excess": 5}}, "gate.limits.max_excess", "<= 1.0"),
        ({"name": "a", "limits": {"max_excess": "5%"}}, "gate.limits.max_excess", "got `str`"),
        ({"name": "a", "limits": 3}, "gate.limits", "got `int`"),
        ({}, "gate", "missing required field `name`"),
        ({"name": "forbidden"}, "gate.name", "forbidden here"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place(table: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping(Gate, table, "gate")
    assert caught.value.path == path
    assert says in str(caught.value)
    assert isinstance(caught.value, (UsageError, ValueError))


def test_what_is_not_named_keeps_its_default() -> None:
    assert from_mapping(Gate, {"name": "a"}, "gate") == Gate(
        name="a", limits=Limits(max_excess=0.05), other=None
    )


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Limits().max_excess = 0.5  # type: ignore[misc]


@pytest.mark.parametrize("field", CaptureSettings.__struct_fields__)
def test_no_setting_of_capture_can_be_zero_or_less(field: str) -> None:
    for value in (0, -1):
        with pytest.raises(SettingsError, match=rf"\[capture\.{field}\]"):
            from_mapping(CaptureSettings, {field: value}, "capture")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604_800), ("2 h", 7200)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration_s(text, "labels.deadline") == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7w", "-1s", "1e3s", "7 days", "0s"])
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(SettingsError, match=r"\[labels\.deadline\]"):
        duration_s(text, "labels.deadline")
