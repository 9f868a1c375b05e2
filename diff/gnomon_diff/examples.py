"""Single requests on which the answers differ, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Example, Segment, SliceSearch
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal
from gnomon_diff.segmenting import Split, segment_predicate

MOST_PLACES = 5

OUTPUT_CHARS = 2000


def ask_examples(
    questions: Questions, columns: Sequence[Column], most: int, *, places: Sequence[str] = (), seed: int = 0
) -> list[Example]:
    """At most `most` requests, an equal share of each stratum; the hash of the seed and a request's id decides.

    Args:
        places: predicates of slices or segments. A stratum is a kind of flip in the first of them that a request
            fulfils, or in none.
    """
    if not most:
        return []
    own = [column for column in columns if column.origin is not None]
    chosen = ",\n    ".join(f"pair.{identifier(column.name)} AS f{index}" for index, column in enumerate(own))
    cases = " ".join(f"WHEN {place} THEN {index}" for index, place in enumerate(places))
    drawn = questions.ask(
        "drawn",
        most=str(most),
        seed=literal(f"{seed}:"),
        place=f"CASE {cases} ELSE {len(places)} END" if places else "0",
    )
    ids = drawn["request_id"].to_pylist()
    if not ids:
        return []
    place_of = dict(zip(ids, drawn["place"].to_pylist(), strict=True))
    answer = questions.ask(
        "examples", columns=chosen or "NULL AS nothing", drawn=", ".join(literal(one) for one in ids)
    )
    names = [*places, None]
    rows = sorted(answer.to_pylist(), key=lambda row: place_of[row["request_id"]])  # stable
    return [_example(row, own, names[place_of[row["request_id"]]]) for row in rows]


def _example(row: dict[str, Any], own: Sequence[Column], place: str | None) -> Example:
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
        place=place,
    )


def _cut(output: str | None) -> str | None:
    return None if output is None else output[:OUTPUT_CHARS]


def example_places(
    slices: SliceSearch | None, by_segment: Sequence[Segment], splits: Sequence[Split]
) -> list[str]:
    """Where examples are drawn apart: the slices that were confirmed; without any, the worst segment.

    Args:
        by_segment: the worst first.
    """
    confirmed = [one.predicate for one in slices.slices if one.confirmed] if slices is not None else []
    if confirmed:
        return confirmed[:MOST_PLACES]
    worst = [one for one in by_segment if one.low is not None and (one.lift or 0) > 1]
    return [segment_predicate(worst[0].key, splits)] if worst else []


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: as text they stay what they were."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
