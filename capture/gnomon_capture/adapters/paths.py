"""Picks: a place in a request or its answer, written as text or as a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnomon_capture.errors import UsageError

Pick = str | Callable[[Any], Any]
"""`request.features`, `response.predictions[0]`, `request_headers["x-user"]`; or a function of the exchange."""

ROOTS = ("request", "response", "request_headers", "response_headers")
_STEP = re.compile(r"""\.(\w[\w-]*)|\[(-?\d+)\]|\["([^"]+)"\]""")


def compile_pick(pick: Pick, *, required: bool = False) -> Callable[[Any], Any]:
    """A function of an exchange that gives what the pick names; None where nothing is there.

    Args:
        required: a path that leads nowhere raises LookupError instead; a function's answer is taken as it is.

    Raises:
        UsageError: the text is no path.
    """
    if callable(pick):
        return pick
    root, steps = parse_path(pick)

    def get(exchange: Any) -> Any:
        value = getattr(exchange, root)
        for step in steps:
            if value.__class__ is dict or isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(step, int) and isinstance(value, Sequence) and -len(value) <= step < len(value):
                value = value[step]
            else:
                value = None
                break
        if value is None and required:
            raise LookupError(f"nothing stands at `{pick}`")
        return value

    return get


def parse_path(path: str) -> tuple[str, tuple[str | int, ...]]:
    """The root and the steps of a path.

    >>> parse_path('request.rows[0]["home town"]')
    ('request', ('rows', 0, 'home town'))

    Raises:
        UsageError: the text is no path.
    """
    root = re.match(r"\w*", path)[0]  # type: ignore[index]  # it always matches
    steps: list[str | int] = []
    at = len(root)
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            break
        name, index, quoted = step.groups()
        steps.append(int(index) if index is not None else name or quoted)
        at = step.end()
    if root not in ROOTS or at < len(path):
        raise UsageError(
            f"{path!r} is no path; it begins with {', '.join(ROOTS)}, and goes on like "
            '`request.features`, `response.predictions[0]` or `request_headers["x-user"]`'
        )
    if root.endswith("_headers"):
        steps = [step.lower() if isinstance(step, str) else step for step in steps]
    return root, tuple(steps)
