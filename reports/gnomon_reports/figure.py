"""The frame of every figure and section: title, one line, picture, footer with n and the data as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gnomon_reports.markup import (
    Content,
    Markup,
    a,
    button,
    caption,
    details,
    div,
    figure_,
    h2,
    h3,
    header,
    p,
    pre,
    section,
    span,
    summary,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
)
from gnomon_reports.run import Run

QUERIES = {
    "where-flips": ("flips",),
    "where-kinds": ("kinds", "itself", "outputs"),
    "where-days": ("days",),
    "where-segments": ("segments", "binning"),
    "where-slices": ("searched", "slices"),
    "scores-joint": ("joint",),
    "scores-distances": ("distances",),
    "scores-delta": ("scores", "deciles"),
    "scores-cutoffs": ("cutoffs",),
    "input-accounts": (
        "overview",
        "rows",
        "processes",
        "dead_letters",
        "missed_duplicates",
        "part_rows",
        "part_processes",
    ),
    "input-hours": ("hours",),
    "input-losses": ("losses",),
    "input-filled": ("presence",),
    "input-distances": ("shift_sample",),
    "input-reference": ("reference_columns", "reference_readable"),
    "scores-paired": ("paired_deciles", "paired_scores", "paired_labels", "paired_sample"),
    "input-shift": ("shift_edges", "shift_numbers", "shift_values"),
    "cost-ecdf": ("latency",),
    "cost-errors": ("errors",),
    "right-accuracy": (
        "correctness",
        "measures_binary",
        "measures_multiclass",
        "measures_regression",
        "auc",
        "confusion",
    ),
    "right-wins": ("wins",),
    "right-labels": ("label_coverage", "label_parts"),
    "right-calibration": ("reliability",),
    "right-cutoffs": ("cutoff_costs",),
    "right-estimated": ("estimated_accuracy",),
    "cases-rows": ("drawn", "examples"),
}
"""The figures and the queries of the comparison that feed them, besides one of the figure's own name."""


@dataclass(frozen=True)
class Figure:
    """One piece of evidence.

    Attributes:
        ident: its address on the page.
        title: a finding, if an interval or a count supports it; else a neutral name.
        line: what is drawn, in what unit, with what interval.
        body: the picture or the table.
        foot: n and the key figures.
        data: the same as a table, for a picture that is none.
        width: of twelve columns, on a page from 720 px; `wide` on one from 1500 px.
        stacked: with its neighbours that are, one below the other in one column, up to 1500 px.
    """

    ident: str
    title: Content
    line: Content
    body: Content
    foot: Sequence[Content] = ()
    data: Content | None = None
    width: int = 12
    wide: int = 0
    stacked: bool = False


@dataclass(frozen=True)
class Section:
    """A question, its computed answer, the evidence."""

    ident: str
    name: str
    question: str
    answer: Sequence[Content]
    figures: Sequence[Figure] = field(default_factory=tuple)
    empty: Content | None = None


def render_section(run: Run, part: Section) -> Markup:
    """The question and its answer on the left, the evidence on the right."""
    first, *rest = part.answer
    left = header(
        h2(part.question, id=f"{part.ident}-h"),
        p(first, cls="lead"),
        *(p(more, cls="lead more") for more in rest),
    )
    if part.figures:
        groups = groupby(part.figures, key=lambda one: one.stacked)
        right = div(*(_column(run, list(inside), stacked) for stacked, inside in groups), cls="evidence")
    else:
        right = p(part.empty, cls="empty")
    return section(left, right, cls="sec", id=part.ident, aria_labelledby=f"{part.ident}-h")


def _column(run: Run, figures: Sequence[Figure], stacked: bool) -> Content:
    drawn = [render_figure(run, one) for one in figures]
    return div(*drawn, cls="stack w6") if stacked else drawn


def render_figure(run: Run, one: Figure) -> Markup:
    foot: list[Content] = [span(item) for item in one.foot]
    if one.data is not None:
        foot.append(details(summary("Data as a table"), div(one.data, id=f"{one.ident}-data")))
    sql = _sql(run, one.ident)
    if sql is not None:
        foot.append(sql)
    return figure_(
        h3(one.title, " ", a("#", href=f"#{one.ident}", cls="anchor", aria_label=f"Link to {one.ident}")),
        p(one.line, cls="line"),
        div(one.body, cls="body"),
        div(*foot, cls="foot", id=f"{one.ident}-foot") if foot else None,
        id=one.ident,
        cls=f"w{one.width}" + (f" wide{one.wide}" if one.wide else ""),
    )


def _sql(run: Run, ident: str) -> Markup | None:
    names = (ident, *QUERIES.get(ident, ()))
    queries = [query for query in run.comparison.queries if query.figure in names]
    if not queries:
        return None
    blocks = (code_block(query.sql, f"SQL of {ident}, {number}") for number, query in enumerate(queries, 1))
    return details(summary("SQL"), *blocks, cls="sql")


def code_block(source: str, name: str) -> Markup:
    """Code that scrolls on its own, with a button that copies it."""
    copy = button("Copy", type="button", cls="copy", hidden=True)
    return div(pre(source, tabindex=0, role="region", aria_label=name), copy, cls="code")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: the head.
        kind: `num` is set right, `pic` holds a drawing, empty is text.
        narrow: leave it out on a narrow page.
    """

    name: Content
    kind: str = ""
    narrow: bool = True

    @property
    def cls(self) -> str | None:
        return " ".join(filter(None, (self.kind, "" if self.narrow else "hidem"))) or None


def num(name: Content, *, narrow: bool = True) -> Column:
    return Column(name, "num", narrow)


def grid(
    name: str,
    columns: Sequence[Column | Markup | str],
    rows: Sequence[Sequence[Content]],
    *,
    cls: str = "",
    ident: str | None = None,
) -> Markup:
    """A table whose first column heads its rows, in a region that scrolls by itself."""
    heads = [column if isinstance(column, Column) else Column(column) for column in columns]
    body = [
        tr(
            th(row[0], scope="row", cls=heads[0].cls),
            *(td(cell, cls=head.cls) for cell, head in zip(row[1:], heads[1:], strict=True)),
        )
        for row in rows
    ]
    return div(
        table(
            caption(name, cls="vh"),
            thead(tr(*(th(head.name, scope="col", cls=head.cls) for head in heads))),
            tbody(*body),
            cls=f"t {cls}".strip(),
            id=ident,
        ),
        cls="scroll",
        tabindex=0,
        role="region",
        aria_label=name,
    )


def more(words: Content, *content: Content, ident: str | None = None) -> Markup:
    """What is folded away."""
    return details(summary(words), *content, cls="more", id=ident)
