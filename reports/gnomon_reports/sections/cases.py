"""Show me cases: rows drawn at random within strata, features side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gnomon_diff.comparison import Example

from gnomon_reports.figure import Figure, Section
from gnomon_reports.markup import (
    Content,
    Markup,
    button,
    caption,
    code,
    cut,
    div,
    group,
    input_,
    label,
    say,
    span,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
    value,
)
from gnomon_reports.numerals import MINUS, count, many
from gnomon_reports.run import Run

ROWS, FEATURES = 200, 12


def cases_section(run: Run) -> Section:
    question, name = "Show me cases", "Cases"
    if not run.examples:
        sentence = say("The rows were left out with {option}.", option=code("--examples 0"))
        return Section("cases", name, question, ["Left out on request."], (), sentence)
    rows = run.comparison.examples[:ROWS]
    if not rows:
        nothing = "No case was drawn: none was asked for, or the answers never differ."
        return Section("cases", name, question, ["None."], (), nothing)
    answer: list[Content] = [
        f"Drawn at random within each stratum, {_strata(run, rows)}, by the hash of the request's id with seed "
        f"{run.comparison.examples_seed}; never the first five. Values as captured, after redaction.",
        say("{option} leaves them out.", option=code("gnomon report --examples 0")),
    ]
    return Section("cases", name, question, answer, [_figure(run, rows)])


def _strata(run: Run, rows: Sequence[Example]) -> str:
    """What the cases were drawn apart by."""
    if not any(row.place for row in rows):
        return "a kind of flip"
    slices = run.comparison.slices
    confirmed = slices is not None and any(one.confirmed for one in slices.slices)
    return f"a kind of flip in a {'slice' if confirmed else 'segment'} or outside"


def _figure(run: Run, rows: Sequence[Example]) -> Figure:
    strata = len({(row.stratum, row.place) for row in rows})
    places = any(row.place for row in rows)
    features = _features(run, rows)
    left_out = len({name for row in rows for name in row.features}) - len(features)
    hidden = f"; {many(left_out, 'more feature')} not shown" if left_out else ""
    return Figure(
        "cases-rows",
        f"{many(len(rows), 'case')} of {many(strata, 'kind', 'kinds')}",
        f"difference in score, label, and what the request held{hidden}",
        group(_controls(len(rows)), _table(run, rows, features, places)),
        foot=[
            f"n {count(len(rows))} of {count(run.comparison.disagreement.n)} pairs",
            "examples, so no interval",
        ],
    )


def _features(run: Run, rows: Sequence[Example]) -> list[str]:
    """The columns to show: as the request has them, those that moved most first where there are too many."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row.features))
    if len(names) <= FEATURES:
        return list(names)
    moved = sorted(run.comparison.shifts, key=lambda shift: -(shift.psi_excess or 0.0))
    ranked = [shift.column.removeprefix("features.") for shift in moved]
    ordered = [name for name in ranked if name in names] + [name for name in names if name not in ranked]
    return ordered[:FEATURES]


def _controls(rows: int) -> Markup:
    return div(
        label(
            "Filter ",
            input_(type="search", id="cases-filter", data_filters="cases-table", autocomplete="off"),
        ),
        span(f"{count(rows)} of {count(rows)} rows", role="status", id="cases-table-count", cls="mut"),
        cls="controls",
        hidden=True,
    )


def _table(run: Run, rows: Sequence[Example], features: Sequence[str], places: bool) -> Markup:
    numeric = {name: all(_is_number(row.features.get(name)) for row in rows) for name in features}
    heads: list[tuple[Content, bool]] = [
        ("Kind", False),
        *([("Where", False)] if places else []),
        ("Request", False),
        *_heads(run),
        *((value(name, 30), numeric[name]) for name in features),
    ]
    head = [th(_sorter(name), scope="col", cls="num" if number else None) for name, number in heads]
    names = _addresses(rows)
    task = run.comparison.subject.task
    body = [_row(row, features, numeric, name, task, places) for row, name in zip(rows, names, strict=True)]
    return div(
        table(caption("Cases", cls="vh"), thead(tr(*head)), tbody(*body), cls="t cases", id="cases-table"),
        cls="scroll",
        tabindex=0,
        role="region",
        aria_label="Cases",
    )


def _sorter(name: Content) -> Markup:
    """A head that sorts, once the script lets it; until then text."""
    return button(name, type="button", disabled=True, cls="sorter")


def _heads(run: Run) -> list[tuple[Content, bool]]:
    """Of what the two sides answered, as the task has it, and of the label; a head that is number is set right."""
    task = run.comparison.subject.task
    if task == "regression":
        return [(run.primary, True), (run.candidate, True), ("Δ", True)]
    if task in ("ranking", "json", "text"):
        return [(run.primary, False), (run.candidate, False)]
    return [
        (run.primary, False),
        ("score", True),
        (run.candidate, False),
        ("score", True),
        ("Δ", True),
        ("Label", False),
    ]


def _sides(row: Example, task: str) -> list[Markup]:
    """The cells of `_heads`."""
    delta = None
    if row.served_score is not None and row.candidate_score is not None:
        delta = row.candidate_score - row.served_score
    if task == "regression":
        return [_value(row.served_score), _value(row.candidate_score), _value(delta)]
    if task in ("ranking", "json"):
        return [_text(row.served_output, 80), _text(row.candidate_output, 80)]
    if task == "text":
        return [_text(row.served_label, 80), _text(row.candidate_label, 80)]
    return [
        _text(row.served_label, 20),
        _number(row.served_score),
        _text(row.candidate_label, 20),
        _number(row.candidate_score),
        _number(delta, sign=True),
        _text(row.label, 20),
    ]


def _value(number: float | None) -> Markup:
    if number is None:
        return td("none", cls="num mut")
    return td(_written(number), cls="num", data_value=repr(number))


def _row(
    row: Example, features: Sequence[str], numeric: dict[str, bool], address: str, task: str, places: bool
) -> Markup:
    return tr(
        th(value(row.stratum, 40), scope="row"),
        _text(row.place or "elsewhere", 60, cls="mono" if row.place else "mut") if places else None,
        _text(row.request_id, 14, cls="mono"),
        *_sides(row, task),
        *(_feature(row.features.get(name), numeric[name]) for name in features),
        id=address,
    )


def _text(content: object, limit: int, cls: str | None = None) -> Markup:
    """A value in a cell that has its own direction; without an element more, as there are many of them."""
    if content is None:
        return td("none", cls="mut")
    whole = str(content)
    return td(cut(whole, limit), dir="auto", title=whole[:1000] if len(whole) > limit else None, cls=cls)


def _addresses(rows: Sequence[Example]) -> list[str]:
    """`case-<id>` with the characters an address may have; numbered where two would be the same."""
    taken: dict[str, int] = {}
    names = []
    for row in rows:
        name = "case-" + re.sub(r"[^A-Za-z0-9._-]", "_", row.request_id)[:64]
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return names


def _number(number: float | None, *, sign: bool = False) -> Markup:
    if number is None:
        return td("none", cls="num mut")
    text = f"{number:+.2f}" if sign and abs(number) >= 0.005 else f"{abs(number) if sign else number:.2f}"
    return td(text.replace("-", MINUS), cls="num", data_value=f"{number:.6g}")


def _feature(content: Any, number: bool) -> Markup:
    if content is None:
        return td("none", cls="num mut" if number else "mut")
    if number:
        return td(_written(content), cls="num", data_value=repr(float(content)))
    return _text(content, 80)


def _written(number: float) -> str:
    text = f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"
    return text.replace(",", "\u202f").replace("-", MINUS)


def _is_number(content: Any) -> bool:
    return content is None or (isinstance(content, int | float) and not isinstance(content, bool))
