"""Paths into JSON: `$`, then `.name` (in quotes where it is no plain word) or `[*]`, any element of a list.

DuckDB reads them as they are.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PATH = re.compile(r'\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\."(?:[^"\\]|\\.)*"|\[\*\])*\Z')

ELEMENT = "[*]"


def is_path(text: str) -> bool:
    """Whether it is written as paths are.

    >>> [is_path(text) for text in ("$", "$.items[*].price", '$."a b"', "items", "$.items[0]")]
    [True, True, True, False, False]
    """
    return _PATH.match(text) is not None


@functools.lru_cache(maxsize=65_536)
def child(path: str, name: str) -> str:
    """The path of a member.

    >>> print(child("$", "total"), child("$.a", "b c"))
    $.total $.a."b c"
    """
    return f"{path}.{name}" if _WORD.match(name) else f"{path}.{json.dumps(name, ensure_ascii=False)}"


def paths_of(value: Any, path: str = "$") -> Iterator[str]:
    """Every path in a decoded JSON value.

    >>> list(paths_of({"a": [{"b": 1}]}))
    ['$', '$.a', '$.a[*]', '$.a[*].b']
    """
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from paths_of(member, child(path, name))
    elif isinstance(value, list):
        for element in value:
            yield from paths_of(element, path + ELEMENT)
