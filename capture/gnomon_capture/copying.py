"""Copies of what callers pass."""

from __future__ import annotations

import copy
from typing import Any

_PLAIN = (str, int, float, bool, bytes, type(None))


def deep_copied(value: Any) -> Any:
    """A copy that shares nothing that can change; several times as fast as `copy.deepcopy` on plain values."""
    kind = value.__class__
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {name: part if part.__class__ in _PLAIN else deep_copied(part) for name, part in value.items()}
    if kind is list:
        return [part if part.__class__ in _PLAIN else deep_copied(part) for part in value]
    return copy.deepcopy(value)


def shallow_copied(payload: Any) -> Any:
    """A copy of a list or mapping; else the value itself."""
    return payload.copy() if isinstance(payload, (dict, list)) else payload


def is_longer(payload: Any, max_bytes: int) -> bool:
    """Whether a payload's text alone is longer than a record may be, as far as lengths tell without encoding."""
    if isinstance(payload, (str, bytes, bytearray)):
        return len(payload) > max_bytes
    if isinstance(payload, (list, tuple, dict)):
        if 2 * len(payload) > max_bytes:
            return True
        parts = payload.values() if isinstance(payload, dict) else payload
        return any(isinstance(part, (str, bytes)) and len(part) > max_bytes for part in parts)
    return False
