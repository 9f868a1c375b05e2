"""What users got, from what a model, a function or a server answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon_capture.record import Served

SERVED_FIELDS = frozenset(Served.__struct_fields__)


def served_of(answer: Any) -> Served | Mapping[str, Any]:
    """What users got, from what a function returned.

    A mapping's keys that `Served` has are its fields; a mapping without any is an `output`. Text, an integer
    or a boolean is a `label`; another number is a `score`; anything else is an `output`.

    >>> served_of({"label": "late", "score": 0.8, "took": 3})
    {'label': 'late', 'score': 0.8}
    >>> served_of("late"), served_of(0.25), served_of([3, 1])
    ({'label': 'late'}, {'score': 0.25}, {'output': [3, 1]})
    """
    if isinstance(answer, Served):
        return answer
    if isinstance(answer, Mapping):
        fields = {name: value for name, value in answer.items() if name in SERVED_FIELDS}
        return fields or {"output": answer}
    if getattr(answer, "ndim", None) == 0:  # a NumPy scalar
        answer = answer.item()
    if isinstance(answer, (str, bool, int)):
        return {"label": answer}
    return {"score": answer} if isinstance(answer, float) else {"output": answer}


def error_text(exc: BaseException) -> str:
    """An exception as `served.error`: its class and the beginning of its text. Never raises."""
    try:
        return f"{type(exc).__name__}: {exc}"[:500]
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return type(exc).__name__
