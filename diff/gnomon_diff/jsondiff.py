"""How two JSON values differ: by path, as a closed set of kinds.

    value    both are of one type and not equal
    type     null, boolean, number, text, list and object are never equal to each other
    missing  the first has a member that the second has not
    extra    the second has a member that the first has not; it passes no more than the others do
    order    two lists hold equal elements in another order
    length   two lists are not equally long; what both have is compared element by element

An element's number is not in its path: `$.items[*].price` is any of them.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gnomon_diff.differing import Matcher
from gnomon_diff.jsonpaths import ELEMENT, child

KINDS = ("value", "type", "missing", "extra", "order", "length")
_ABSENT = object()
_SCALARS = (str, int, float, bool, type(None))


class Difference(NamedTuple):
    """One difference; a side is None where it has nothing there."""

    path: str
    kind: str
    first: Any
    second: Any


def differences(first: Any, second: Any, matchers: Mapping[str, Matcher]) -> Iterator[Difference]:
    """The differences of two decoded JSON values, in the order of the first.

    Args:
        matchers: what is alike at a path, and below one that is ignored or only has to be present.

    >>> [(each.path, each.kind) for each in differences({"a": 1, "b": [1, 2]}, {"a": "1", "b": [2, 1], "c": 0}, {})]
    [('$.a', 'type'), ('$.b', 'order'), ('$.c', 'extra')]
    """
    return _walk("$", first, second, matchers)


def _walk(path: str, a: Any, b: Any, matchers: Mapping[str, Matcher]) -> Iterator[Difference]:
    matcher = matchers.get(path)
    if matcher is not None and matcher.ignore:
        return
    if a is _ABSENT or b is _ABSENT:
        kind = "extra" if a is _ABSENT else "missing"
        yield Difference(path, kind, None if a is _ABSENT else a, None if b is _ABSENT else b)
        return
    if matcher is not None and (matcher.present or _alike(matcher, a, b)):
        return
    kind_of_a, kind_of_b = _type(a), _type(b)
    if kind_of_a != kind_of_b:
        yield Difference(path, "type", a, b)
    elif kind_of_a == "object":
        for name in (*a, *(name for name in b if name not in a)):
            one, other = a.get(name, _ABSENT), b.get(name, _ABSENT)
            if type(one) is type(other) and type(one) in _SCALARS and one == other:
                continue  # by far the most members, and no matcher makes them differ
            yield from _walk(child(path, name), one, other, matchers)
    elif kind_of_a == "list":
        yield from _lists(path, a, b, matchers, any_order=matcher is not None and bool(matcher.any_order))
    elif a != b and not _both_nan(a, b):
        yield Difference(path, "value", a, b)


def _lists(
    path: str, a: Sequence[Any], b: Sequence[Any], matchers: Mapping[str, Matcher], *, any_order: bool
) -> Iterator[Difference]:
    inside = path + ELEMENT
    if len(a) != len(b):
        yield Difference(path, "length", a, b)
    if any_order:
        a, b = _unmatched(inside, a, b, matchers)
    found = [each for one, other in zip(a, b, strict=False) for each in _walk(inside, one, other, matchers)]
    if found and len(a) == len(b) and not any_order and Counter(map(_text, a)) == Counter(map(_text, b)):
        found = [Difference(path, "order", a, b)]
    yield from found


def _unmatched(
    inside: str, a: Sequence[Any], b: Sequence[Any], matchers: Mapping[str, Matcher]
) -> tuple[list[Any], list[Any]]:
    """What is left of two lists when each element has taken one that is equal, or else the first that is alike."""
    spare: dict[str, list[int]] = {}
    for index, other in enumerate(b):
        spare.setdefault(_text(other), []).append(index)
    left = []
    taken = set()
    for one in a:
        equal = spare.get(_text(one))
        if equal:
            taken.add(equal.pop(0))
        else:
            left.append(one)
    rest = [other for index, other in enumerate(b) if index not in taken]
    odd = []
    for one in left:
        for index, other in enumerate(rest):
            if next(_walk(inside, one, other, matchers), None) is None:
                del rest[index]
                break
        else:
            odd.append(one)
    return odd, rest


def _alike(matcher: Matcher, a: Any, b: Any) -> bool:
    if matcher.pattern is not None:
        texts = isinstance(a, str) and isinstance(b, str)
        return texts and bool(re.fullmatch(matcher.pattern, a) and re.fullmatch(matcher.pattern, b))
    if matcher.max_absolute is None and matcher.max_relative is None:
        return False
    if _type(a) != "number" or _type(b) != "number":
        return False
    try:
        return math.isclose(a, b, rel_tol=matcher.max_relative or 0.0, abs_tol=matcher.max_absolute or 0.0)
    except OverflowError:  # an integer beyond any double
        return bool(a == b)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def _both_nan(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
