"""Where a value stands in a request: `key`, `features.distance`, `payload.user.email`.

Feature and attribute names are flat, so all that follows the first dot is the name. A name in a payload that
holds a dot itself stands in double quotes: `payload."user.email"`.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon_capture.handoff import Waiting
from gnomon_capture.record import Served

FLAT = ("features", "attributes")
NESTED = ("payload", "served")
WHOLE = ("key", "request_id", "service")
_ROOTS = (*FLAT, *NESTED, *WHOLE)
_NAMES = re.compile(r'\.(?:"([^"]+)"|([^."]+))')
_FIELDS = ("ts", "features", "payload", "served", "key", "attributes", "request_id")


@dataclass(frozen=True, slots=True)
class Path:
    """A place in a request.

    Attributes:
        root: the record's field.
        names: what follows; empty for the whole field.
    """

    root: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.root, *self.names))


def parse_path(text: str) -> Path:
    """Reads a path.

    >>> parse_path('payload.user."e.mail"')
    Path(root='payload', names=('user', 'e.mail'))

    Raises:
        ValueError: it is none; the message says how to write one.
    """
    root, dot, rest = text.partition(".")
    if root not in _ROOTS:
        near = difflib.get_close_matches(root, _ROOTS, n=1)
        hint = f"did you mean `{near[0]}{dot}{rest}`?" if near else f"a path begins with {', '.join(_ROOTS)}"
        raise ValueError(f"{text!r} is no path in a request; {hint}")
    if "*" in rest:
        raise ValueError(f"{text!r}: there are no wildcards; `{root}` alone means all of it")
    if not dot:
        return Path(root)
    if root in WHOLE or not rest:
        raise ValueError(f"{text!r} is no path in a request; write `{root}`")
    if root in FLAT:
        quoted = _NAMES.fullmatch(dot + rest)
        return Path(root, (quoted[1] if quoted and quoted[1] else rest,))
    found = list(_NAMES.finditer(dot + rest))
    if "".join(match[0] for match in found) != dot + rest:
        raise ValueError(f'{text!r} is no path in a request; write {root}.name, or {root}."na.me".name')
    names = tuple(match[1] or match[2] for match in found)
    if root == "served":
        _check_served(text, names)
    return Path(root, names)


def _check_served(text: str, names: tuple[str, ...]) -> None:
    fields = Served.__struct_fields__
    if names[0] not in fields or (len(names) > 1 and names[0] != "output"):
        near = difflib.get_close_matches(names[0], fields, n=1)
        hint = f"did you mean `served.{near[0]}`?" if near else f"there are {', '.join(fields)}"
        raise ValueError(f"{text!r} is no path in a request; {hint}")


def flattened(table: Mapping[str, Any]) -> dict[str, Any]:
    """Values by path, of a table in which paths are quoted keys, or, as TOML reads bare ones, tables in tables.

    >>> flattened({"features.age": "drop", "payload": {"user": {"email": "hash", "note": {"truncate": 9}}}})
    {'features.age': 'drop', 'payload.user.email': 'hash', 'payload.user.note': {'truncate': 9}}
    """
    flat: dict[str, Any] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, Mapping) and value and not _OPERATORS.issuperset(value):
            for name, inner in value.items():
                bare = re.fullmatch(r'[^."]+', name)
                walk(f"{path}.{name}" if bare or path in FLAT else f'{path}."{name}"', inner)
        else:
            flat[path] = value

    for path, value in table.items():
        if path in FLAT and isinstance(value, Mapping):  # whose names may be those of operators
            flat |= {f"{path}.{name}": inner for name, inner in value.items()}
        elif path in NESTED and isinstance(value, Mapping) and not _OPERATORS.issuperset(value):
            walk(path, value)
        else:
            flat[path] = value
    return flat


_OPERATORS = frozenset({"min", "max", "not", "matches", "present", "truncate"})


def getter(path: Path) -> Callable[[Waiting], Any]:
    """What stands at a path of a request as it was passed; None if nothing does. Not for `service`."""
    root, names = path.root, path.names
    at = _FIELDS.index(root)
    if root in WHOLE:
        return operator.itemgetter(at)
    if root in FLAT:
        return lambda item: _flat(item[at], names[0])
    return lambda item: _inside(item[at], names)


def _flat(values: Any, name: str) -> Any:
    return None if values is None else values.get(name)


def _inside(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, Served):
        value, names = getattr(value, names[0]), names[1:]
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
