"""How each column's distribution moved between the earlier and the later half of the whole days."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Shift
from gnomon_diff.evidence import js_distance, psi_independent
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, numbers
from gnomon_diff.sides import Sides, halves
from gnomon_diff.window import Window

MOST_VALUES = 50
OTHER = "(other)"
_NAMED = 10  # new and gone values
_DECILES = "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]"


@dataclass(frozen=True)
class Subject:
    """One column that may have moved; `sql` is NULL where there is no value."""

    name: str
    sql: str
    kind: Literal["numeric", "categorical"]


def ask_shifts(
    questions: Questions, columns: Sequence[Column], window: Window, whole_days: Sequence[int]
) -> list[Shift]:
    """The shift of every feature, of both scores and of both labels; none before there are two whole days."""
    sides = halves(questions.part("pairs"), window, whole_days)
    return [] if sides is None else shifts_between(questions, subjects_of(columns), sides)


def shifts_between(questions: Questions, subjects: Sequence[Subject], sides: Sides) -> list[Shift]:
    """The shift of each subject from the earlier side to the later one, which need not be of one table."""
    parts = sides.parts
    moved = _numbers(questions, [one for one in subjects if one.kind == "numeric"], parts)
    moved.update(_values(questions, [one for one in subjects if one.kind == "categorical"], parts))
    return [moved[subject.name] for subject in subjects]


def subjects_of(columns: Sequence[Column]) -> list[Subject]:
    """Every feature, both scores and both labels."""
    return [
        *features_of(columns),
        _number("served.score", "served_score"),
        _number("candidate.score", "candidate_score"),
        Subject("served.label", "served_label", "categorical"),
        Subject("candidate.label", "candidate_label", "categorical"),
    ]


def features_of(columns: Sequence[Column]) -> list[Subject]:
    """Every feature."""
    return [
        _number(column.origin, identifier(column.name))
        if column.type in ("DOUBLE", "BIGINT")
        else Subject(column.origin, f"{identifier(column.name)}::VARCHAR", "categorical")
        for column in columns
        if column.origin is not None and column.origin.startswith("features.")
    ]


def _number(name: str, column: str) -> Subject:
    value = f"{column}::DOUBLE"
    return Subject(name, f"CASE WHEN NOT isnan({value}) THEN {value} END", "numeric")


def _numbers(questions: Questions, subjects: Sequence[Subject], parts: dict[str, str]) -> dict[str, Shift]:
    quantiles = ",\n    ".join(f"quantile_disc({one.sql}, {_DECILES})" for one in subjects)
    [row] = questions.ask("shift_edges", edges=quantiles, **parts).to_pylist()
    edges = [sorted(set(found or [])) for found in row["edges"]]
    answer = questions.ask(
        "shift_numbers",
        missing=", ".join(f"count(*) - count({one.sql})" for one in subjects),
        histograms=",\n    ".join(
            f"histogram({one.sql}, {numbers(found)}) AS h{index}"
            for index, (one, found) in enumerate(zip(subjects, edges, strict=True))
        ),
        **parts,
    )
    halves = {row["later"]: row for row in answer.to_pylist()}
    return {
        one.name: _number_shift(one.name, found, index, halves.get(False), halves.get(True))
        for index, (one, found) in enumerate(zip(subjects, edges, strict=True))
    }


def _number_shift(
    name: str, edges: list[float], index: int, then: dict[str, Any] | None, now: dict[str, Any] | None
) -> Shift:
    counts, missing, rows = [], [], []
    for half in (then, now):
        found = dict(half[f"h{index}"] or []) if half else {}
        upto = [found.get(edge, 0) for edge in edges]
        rows.append(half["n"] if half else 0)
        missing.append(half["missing"][index] if half else 0)
        counts.append([*upto, rows[-1] - missing[-1] - sum(upto)] if edges else [])
    return _shift(name, "numeric", _ranges(edges), counts, missing, rows)


def _ranges(edges: list[float]) -> list[str]:
    """Names of the bins: each holds what is above its lower edge, and its upper edge."""
    if not edges:
        return []
    names = [_short(edge) for edge in edges]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(names)]
    return [f"≤ {names[0]}", *between, f"> {names[-1]}"]


def _short(value: float) -> str:
    return f"{value:.6g}"


def _values(questions: Questions, subjects: Sequence[Subject], parts: dict[str, str]) -> dict[str, Shift]:
    names = [f"k{index}" for index in range(len(subjects))]
    which = " ".join(f"WHEN grouping({name}) = 0 THEN {index}" for index, name in enumerate(names))
    answer = questions.ask(
        "shift_values",
        which=f"CASE {which} END",
        value=f"coalesce({', '.join(names)})",
        keys=", ".join(f"{one.sql} AS {name}" for one, name in zip(subjects, names, strict=True)),
        sets=", ".join(f"({name})" for name in names),
        most=str(MOST_VALUES),
        **parts,
    )
    rows: dict[int, list[dict[str, Any]]] = {index: [] for index in range(len(subjects))}
    for row in answer.to_pylist():
        rows[row["which"]].append(row)
    return {one.name: _value_shift(one.name, rows[index]) for index, one in enumerate(subjects)}


def _value_shift(name: str, rows: list[dict[str, Any]]) -> Shift:
    known = [row for row in rows if row["value"] is not None]
    missing = [sum(row[f"{half}_n"] for row in rows if row["value"] is None) for half in ("earlier", "later")]
    totals = [rows[0][f"{half}_all"] if rows else 0 for half in ("earlier", "later")]
    shown = [row for row in known if row["place"] <= MOST_VALUES]
    bins = [row["value"] for row in shown]
    counts = [[row[f"{half}_n"] for row in shown] for half in ("earlier", "later")]
    if known and known[0]["distinct_values"] > MOST_VALUES:
        bins.append(OTHER)
        for half, total, gone in zip(counts, totals, missing, strict=True):
            half.append(total - gone - sum(half))
    new = sorted(
        (row for row in known if not row["earlier_n"]), key=lambda row: (-row["later_n"], row["value"])
    )
    gone_values = sorted(
        (row for row in known if not row["later_n"]), key=lambda row: (-row["earlier_n"], row["value"])
    )
    return _shift(
        name,
        "categorical",
        bins,
        counts,
        missing,
        totals,
        new=[row["value"] for row in new[:_NAMED]],
        gone=[row["value"] for row in gone_values[:_NAMED]],
    )


def _shift(
    name: str,
    kind: Literal["numeric", "categorical"],
    bins: list[str],
    counts: list[list[int]],
    missing: list[int],
    rows: list[int],
    *,
    new: Sequence[str] = (),
    gone: Sequence[str] = (),
) -> Shift:
    then, now = counts
    both = sum(then) > 0 and sum(now) > 0
    moved = psi_independent(then, now) if both else None
    return Shift(
        column=name,
        kind=kind,
        n_then=rows[0],
        n_now=rows[1],
        null_then=missing[0] / rows[0] if rows[0] else 0.0,
        null_now=missing[1] / rows[1] if rows[1] else 0.0,
        bins=bins,
        then=then,
        now=now,
        psi=moved.psi if moved else None,
        psi_excess=moved.debiased if moved else None,
        psi_low=moved.debiased - 1.645 * moved.sd if moved else None,
        js=js_distance(then, now) if both else None,
        new_values=list(new),
        gone_values=list(gone),
    )
