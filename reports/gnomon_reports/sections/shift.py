"""Shift of every column between the two windows of the traffic: one dot each, then a table."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.comparison import Shift

from gnomon_reports.figure import Column, Figure, grid, more, num
from gnomon_reports.marks import (
    Scale,
    chip,
    horizontal,
    interval,
    log_ticks,
    percent,
    picture,
    vertical,
    words,
)
from gnomon_reports.markup import (
    Content,
    Markup,
    a,
    b,
    button,
    circle,
    div,
    group,
    input_,
    label,
    p,
    path,
    span,
    svg,
    value,
)
from gnomon_reports.numerals import count, fixed, in_words, many, sentence
from gnomon_reports.run import Run

CONVENTION = 0.1  # Siddiqi 2006: below it no shift worth a look, from .25 on a large one
FLOOR = 0.0005
SHOWN, LISTED, HEIGHT = 12, 150, 22


def moved(columns: Sequence[Shift]) -> list[Shift]:
    """Those whose lower bound lies past the convention."""
    return [shift for shift in columns if shift.psi_low is not None and shift.psi_low > CONVENTION]


def _which(run: Run) -> str:
    if run.comparison.against is not None:
        return "this window against the other"
    return "the later against the earlier half of the window"


def shift_figure(run: Run) -> Figure | None:
    columns = sorted(run.comparison.shifts, key=lambda shift: -_size(shift))
    if not columns:
        return None
    far = moved(columns)
    shown = max(SHOWN, min(len(far), 24))
    first, rest = columns[:shown], columns[shown : shown + LISTED]
    axis = Scale(FLOOR, max(1.0, 1.2 * max(map(_size, columns))), log=True)
    body: list[Content] = [_strip(columns, axis), _table(first, axis)]
    if rest:
        body.append(
            more(
                many(len(rest), "more column"),
                _filter("shift-rest"),
                _slim(rest),
                _named(columns[shown + LISTED :]),
            )
        )
    n_then, n_now = max(shift.n_then for shift in columns), max(shift.n_now for shift in columns)
    return Figure(
        "input-shift",
        f"{sentence(in_words(len(far)))} of {many(len(columns), 'column')} moved past {CONVENTION}"
        if far
        else "Shift of each column",
        group(
            a("PSI", href="#def-psi"),
            f" of {_which(run)}, debiased; every column one dot; line: 0.1, by convention worth a look; bar: from its 95\u202f% lower bound",
        ),
        group(*body),
        foot=[f"n {count(n_now)} against {count(n_then)}", "grey: then, line: now"],
    )


def _size(shift: Shift) -> float:
    found = shift.psi_excess if shift.psi_excess is not None else shift.psi
    return max(found or 0.0, 0.0)


def _strip(columns: Sequence[Shift], axis: Scale) -> Markup:
    """Every column on one axis; the largest are named as far as there is room."""
    marks = log_ticks(axis.low, axis.high)
    height, base = 58, 30
    parts: list[Content] = [
        horizontal("grid", base),
        vertical("limit", axis(CONVENTION), base - 9, base + 9),
        *(words(axis(at), height - 6, f"{at:g}", cls="h b" if at == CONVENTION else "h") for at in marks),
    ]
    far = {id(shift) for shift in moved(columns)}
    last = 2.0
    for shift in columns:
        at = axis(max(_size(shift), FLOOR))
        parts.append(circle(cls="dot open" if id(shift) in far else "dot", cx=percent(at), cy=base, r=4.5))
        if last - at > 0.3 and _size(shift) > FLOOR:
            parts.append(words(at, 16, value(_name(shift), 14), cls="e" if at > 0.8 else "h"))
            last = at
    return picture(
        height, *parts, label=f"{len(columns)} columns by PSI, {len(far)} of them past {CONVENTION}"
    )


def _name(shift: Shift) -> str:
    return shift.column.split(".", 1)[-1] if shift.column.startswith("features.") else shift.column


def _table(columns: Sequence[Shift], axis: Scale) -> Markup:
    marks = [(axis(at), f"{at:g}") for at in log_ticks(axis.low, axis.high)]
    head = picture(16, *(words(at, 12, text, cls="h" if at < 0.98 else "e") for at, text in marks))
    heads: list[Column | Markup | str] = [
        "Column",
        "Then, now",
        Column(group(span("PSI, logarithmic", cls="vh"), head), "pic w30", narrow=False),
        num("PSI"),
        num("at least", narrow=False),
        num("Null", narrow=False),
        "Finding",
    ]
    return grid("Shift by column", heads, [_row(shift, axis) for shift in columns])


def _slim(columns: Sequence[Shift]) -> Markup:
    """The rest in words: a page of 300 columns is still one to read."""
    rows: list[list[Content]] = [
        [
            value(_name(shift), 60),
            _size_text(shift),
            "n/a" if shift.psi_low is None else _psi(shift.psi_low),
            _finding(shift, False),
        ]
        for shift in columns
    ]
    return grid(
        "Shift of the other columns",
        ["Column", num("PSI"), num("at least"), "Finding"],
        rows,
        ident="shift-rest",
    )


def _named(columns: Sequence[Shift]) -> Content:
    """Beyond those, only the names."""
    if not columns:
        return None
    return p(
        f"{many(len(columns), 'more')}, PSI at most {_size_text(columns[0])}: ",
        ", ".join(_name(shift)[:60] for shift in columns),
        cls="line",
    )


def _row(shift: Shift, axis: Scale) -> list[Content]:
    size = _size(shift)
    low = None if shift.psi_low is None else max(shift.psi_low, 0.0)
    far = low is not None and low > CONVENTION
    drawing = picture(
        HEIGHT,
        vertical("limit", axis(CONVENTION), 0, HEIGHT),
        interval(axis, max(size, FLOOR), max(low, FLOOR), max(size, FLOOR), HEIGHT)
        if low is not None
        else interval(axis, max(size, FLOOR), None, None, HEIGHT),
        cls="open" if far else "plain",
    )
    return [
        value(_name(shift), 60),
        _spark(shift),
        drawing,
        b(_size_text(shift)),
        _psi(low) if low is not None else span("no bound", cls="mut"),
        f"{100 * shift.null_now:.1f}\u202f%",
        _finding(shift, far),
    ]


def _size_text(shift: Shift) -> str:
    return _psi(_size(shift)) if shift.psi is not None else "n/a, too few"


def _psi(number: float) -> str:
    return fixed(number, 3) if number >= FLOOR else "below 0.001"


def _finding(shift: Shift, far: bool) -> Content:
    if far:
        return chip("open", "moved")
    for names, word in ((shift.new_values, "new"), (shift.gone_values, "gone")):
        if names:
            return group(f"{len(names)} {word}: ", value(", ".join(names[:2]), 30))
    if abs(shift.null_now - shift.null_then) > 0.01:
        return f"null was {100 * shift.null_then:.1f}\u202f%"
    return "not shown"


def _spark(shift: Shift) -> Markup | str:
    """The two distributions over each other: then as an area, now as a line."""
    total_then, total_now = sum(shift.then), sum(shift.now)
    bars = len(shift.bins)
    if not bars or not total_then or not total_now:
        return ""
    then, now = [n / total_then for n in shift.then], [n / total_now for n in shift.now]
    most = max(*then, *now)
    width = 96 / bars
    return svg(
        path(d=_stairs(then, width, most) + "V24H0z", cls="then"),
        path(d=_stairs(now, width, most), cls="now"),
        width=96,
        height=25,
        viewBox="0 0 96 25",
        cls="spark",
        aria_hidden="true",
    )


def _stairs(shares: Sequence[float], width: float, most: float) -> str:
    return "M0 24" + "".join(
        f"V{24 - 22 * at / most:.1f}H{width * (index + 1):.1f}" for index, at in enumerate(shares)
    )


def _filter(table: str) -> Markup:
    """A field that narrows a table; it appears with the script that makes it work."""
    return div(
        label("Filter ", input_(type="search", id=f"{table}-filter", data_filters=table, autocomplete="off")),
        span(role="status", id=f"{table}-count", cls="mut"),
        button("Clear", type="button", data_clears=f"{table}-filter"),
        cls="controls",
        hidden=True,
    )
