"""How much memory waiting requests take, estimated from a few of them."""

from __future__ import annotations

import itertools
import random
import sys
from collections import deque
from typing import Any

import msgspec

from gnomon_capture.handoff import Waiting

UNMEASURED_BYTES = 2048
"""What a request is taken for before the first is seen."""
_SAMPLE = 8
_MOST_OBJECTS = 1000
_random = random.Random()  # the global one is the application's, which may have seeded it


def mean_footprint_bytes(waiting: deque[Waiting]) -> float | None:
    """The mean footprint of some of the waiting requests; None if none wait."""
    sizes = []
    for _ in range(_SAMPLE):
        try:
            sizes.append(footprint_bytes(waiting[_random.randrange(len(waiting))]))
        except (IndexError, ValueError):  # taken meanwhile
            break
        except Exception:  # noqa: BLE001 - whatever a caller's object does when it is looked at
            sizes.append(UNMEASURED_BYTES)
    return sum(sizes) / len(sizes) if sizes else None


def footprint_bytes(item: object) -> int:
    """The bytes of a value and of what it holds; an estimate, from above where values are shared.

    Of containers with very many values it looks at the first thousand and takes the rest to be like them.
    """
    left = [_MOST_OBJECTS]
    return int(_bytes(item, left))


def _bytes(value: Any, left: list[int]) -> float:
    left[0] -= 1
    size = float(sys.getsizeof(value))
    if isinstance(value, dict):
        parts: Any = itertools.chain.from_iterable(value.items())
        count = 2 * len(value)
    elif isinstance(value, (list, tuple)):
        parts, count = value, len(value)
    elif isinstance(value, msgspec.Struct):
        parts = [getattr(value, name) for name in value.__struct_fields__]
        count = len(parts)
    else:
        return size
    seen, inside = 0, 0.0
    for part in parts:
        if left[0] <= 0:
            break
        inside += _bytes(part, left)
        seen += 1
    return size + (inside * count / seen if seen else 0.0)
