"""In which ways the answers differ, and by how much."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gnomon_capture.errors import UsageError

from gnomon_diff.comparison import DifferenceCase, DifferenceKind, Differences, Distance
from gnomon_diff.daysums import Series
from gnomon_diff.jsondiff import differences
from gnomon_diff.jsonpaths import ELEMENT, paths_of
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal
from gnomon_diff.rules import Measure, Rule

MOST_KINDS, MOST_CASES, CASE_CHARS = 200, 3, 200
QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
COUNTED = "counted over the traffic seen, so no interval"


def ask_differences(
    questions: Questions, rule: Rule, declared: Mapping[str, Any], everything: Series, *, examples: bool
) -> Differences:
    """The kinds of difference and the distances.

    Args:
        declared: what a verdict is for, beside the policy.
        everything: the sums over all traffic.
        examples: show what single requests have at a path.
    """
    rows = questions.ask("kinds", **_kind_parts(questions, rule), most=str(MOST_KINDS + 1)).to_pylist()
    noise = _noise(questions, rule, everything)
    cases = _cases(questions, rule, rows[:MOST_KINDS]) if examples and rule.by_path else {}
    whole = everything.total("rows")
    return Differences(
        rule=rule.words,
        declared=dict(declared),
        kinds=[
            DifferenceKind(
                kind=row["kind"],
                path=row["path"],
                n=row["n"],
                share=row["weight"] / whole,
                noise=None if noise is None else noise.get((row["path"], row["kind"]), 0.0),
                cases=cases.get((row["path"], row["kind"]), []),
            )
            for row in rows[:MOST_KINDS]
        ],
        more_kinds=len(rows) > MOST_KINDS,
        distances=[_distance(questions, measure) for measure in rule.measures()],
    )


def refuse_unknown_paths(questions: Questions, rule: Rule) -> None:
    """Makes sure that every declared path is in some answer.

    Raises:
        UsageError: one is in none; with the nearest that is.
    """
    declared = sorted(rule.settings.paths)
    if not declared:
        return
    tests = [
        f"len(json_exists(output, {literal(path)})) > 0"
        if ELEMENT in path
        else f"json_exists(output, {literal(path)})"
        for path in declared
    ]
    [row] = questions.ask("paths", found=", ".join(f"bool_or({test})" for test in tests)).to_pylist()
    unknown = [path for path, found in zip(declared, row["found"], strict=True) if not found]
    if not row["answers"] or not unknown:
        return
    sample = questions.ask("some_outputs", most="1000")["output"].to_pylist()
    known = dict.fromkeys(path for text in sample for path in paths_of(json.loads(text)))
    near = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(known)[:10])}"
    raise UsageError(f"disagreement.paths names {unknown[0]}, which no answer has; {hint}")


def _kind_parts(questions: Questions, rule: Rule) -> dict[str, str]:
    if rule.by_path:
        return {
            "difference": "unnest(differences)",
            "path": "difference.path",
            "kind": "difference.kind",
            "examples": str(MOST_CASES),
        }
    kind = "difference"
    if rule.has_matrix:
        known = [
            f"SELECT DISTINCT served_label FROM {questions.part('pairs')} WHERE served_label IS NOT NULL"
        ]
        known += [f"SELECT {literal(label)}" for label in rule.classes]
        kind = (
            f"CASE WHEN difference = 'label' AND candidate_label NOT IN ({' UNION ALL '.join(known)}) "
            "THEN 'unseen_label' ELSE difference END"
        )
    return {"difference": kind, "path": "NULL::VARCHAR", "kind": "difference", "examples": str(MOST_CASES)}


def _noise(
    questions: Questions, rule: Rule, everything: Series
) -> dict[tuple[str | None, str], float] | None:
    base = everything.total("noise_base")
    if not rule.by_path or not base:
        return None
    return {(row["path"], row["kind"]): row["weight"] / base for row in questions.ask("itself").to_pylist()}


def _cases(
    questions: Questions, rule: Rule, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str | None, str], list[DifferenceCase]]:
    """Of each kind what a few requests have at its path."""
    wanted = sorted({name for row in rows for name in row["examples"]})
    if not wanted:
        return {}
    answer = questions.ask("outputs", drawn=", ".join(literal(name) for name in wanted))
    outputs = {row["request_id"]: (row["served"], row["candidate"]) for row in answer.to_pylist()}
    found: dict[tuple[str | None, str], list[DifferenceCase]] = {}
    for row in rows:
        for name in row["examples"]:
            served, candidate = map(json.loads, outputs[name])
            first = next(
                (
                    each
                    for each in differences(served, candidate, rule.settings.paths)
                    if (each.path, each.kind) == (row["path"], row["kind"])
                ),
                None,
            )
            if first is not None:
                found.setdefault((row["path"], row["kind"]), []).append(
                    DifferenceCase(
                        request_id=name,
                        served=_text(first.first, absent=first.kind == "extra"),
                        candidate=_text(first.second, absent=first.kind == "missing"),
                    )
                )
    return found


def _text(value: Any, *, absent: bool) -> str | None:
    return None if absent else json.dumps(value, ensure_ascii=False)[:CASE_CHARS]


def _distance(questions: Questions, measure: Measure) -> Distance:
    quantiles = ", ".join(f"min(d) FILTER (upto >= {share} * whole)" for share in QUANTILES.values())
    answer = questions.ask("distances", column=measure.column, quantiles=f"[{quantiles}]")
    sides = {row["side"]: row for row in answer.to_pylist()}
    between, itself = sides.get(0), sides.get(1)
    return Distance(
        name=measure.name,
        n=between["n"] if between else 0,
        mean=between["mean"] if between else None,
        quantiles=dict(zip(QUANTILES, between["quantiles"], strict=True)) if between else {},
        noise_n=itself["n"] // 2 if itself else 0,
        noise_mean=itself["mean"] if itself else None,
        noise_quantiles=dict(zip(QUANTILES, itself["quantiles"], strict=True)) if itself else {},
        reason=COUNTED,
    )
