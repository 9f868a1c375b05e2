"""Single requests on which the answers differ, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Example
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal

OUTPUT_CHARS = 2000


def ask_examples(questions: Questions, columns: Sequence[Column], most: int) -> list[Example]:
    """At most `most` requests, an equal share of each kind of disagreement; the hash of a request's id decides."""
    if not most:
        return []
    own = [column for column in columns if column.origin is not None]
    chosen = ",\n    ".join(f"pair.{identifier(column.name)} AS f{index}" for index, column in enumerate(own))
    drawn = questions.ask("drawn", most=str(most))["request_id"].to_pylist()
    if not drawn:
        return []
    answer = questions.ask(
        "examples", columns=chosen or "NULL AS nothing", drawn=", ".join(literal(one) for one in drawn)
    )
    return [_example(row, own) for row in answer.to_pylist()]


def _example(row: dict[str, Any], own: Sequence[Column]) -> Example:
    known: dict[str, dict[str, Any]] = {"features": {}, "attributes": {}}
    for index, column in enumerate(own):
        struct, _, name = (column.origin or "").partition(".")
        known[struct][name] = _plain(row[f"f{index}"])
    return Example(
        request_id=row["request_id"],
        ts=row["ts"],
        stratum=row["stratum"],
        served_label=row["served_label"],
        served_score=_finite(row["served_score"]),
        candidate_label=row["candidate_label"],
        candidate_score=_finite(row["candidate_score"]),
        served_output=_cut(row["served_output"]),
        candidate_output=_cut(row["candidate_output"]),
        label=row["label"],
        features=known["features"],
        attributes=known["attributes"],
    )


def _cut(output: str | None) -> str | None:
    return None if output is None else output[:OUTPUT_CHARS]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: as text they stay what they were."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
