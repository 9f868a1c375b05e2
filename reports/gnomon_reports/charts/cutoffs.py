"""What another cut-off would do: the share acted on by both, and the answers that would flip."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.comparison import Cutoff

from gnomon_reports.charts.frame import (
    BOTTOM,
    Spec,
    axis,
    chart,
    chart_text,
    note,
    percent_ticks,
    scale_y,
    short,
    still_axes,
)
from gnomon_reports.marks import Scale, polyline, stretched, ticks, vertical, words
from gnomon_reports.markup import Markup, group
from gnomon_reports.numerals import THIN
from gnomon_reports.run import Run

HEIGHT = 250
_X_TICKS = [(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")]
LINES = (("primary", "dash", 2.0), ("candidate", "solid", 2.5), ("ink", "solid", 2.0))


def cutoffs_chart(ident: str, label: str, run: Run, rows: Sequence[Cutoff], n: int) -> Markup:
    series = [
        [100 * row.primary_actions / n for row in rows],
        [100 * row.candidate_actions / n for row in rows],
        [100 * row.flips / n for row in rows],
    ]
    at = [row.cutoff for row in rows]
    top = max(max(values) for values in series) * 1.05 or 1.0
    y_ticks = percent_ticks(ticks(0, top, 4))
    names = [run.primary, run.candidate, "answers that flip"]
    traces: list[Spec] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": at,
            "y": [round(value, 3) for value in values],
            "name": chart_text(name),
            "line": {"color": f"--{colour}", "width": width, "dash": dash},
            "hovertemplate": f"%{{y:.1f}}{THIN}%",
        }
        for values, name, (colour, dash, width) in zip(series, names, LINES, strict=True)
    ]
    used = run.cutoff_in_use
    places = _places(rows, series)
    layout: Spec = {
        "xaxis": axis(_X_TICKS, 0, 1, hoverformat=".2f"),
        "yaxis": axis(y_ticks, 0, top, grid=True),
        "annotations": [
            note(chart_text(name), x, y, f"--{colour}", xanchor=anchor, xshift=6 if anchor == "left" else -6)
            for name, (colour, _, _), (x, y, anchor) in zip(names, LINES, places, strict=True)
        ],
        "shapes": [],
    }
    if used is not None:
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": used,
                "x1": used,
                "y0": 0,
                "y1": 1,
                "line": {"color": "--ink", "width": 1.5},
            }
        )
        layout["annotations"].append(
            note(f"in use {used:.2f}", used, 1, "--ink", yref="paper", xshift=4, yanchor="top")
        )
    x, y = Scale(0, 1), scale_y(HEIGHT, 0, top)
    still = group(
        still_axes(HEIGHT, x, _X_TICKS, y, y_ticks),
        stretched(
            HEIGHT,
            *(
                polyline(f"trace {colour}", [(x(a), y(b)) for a, b in zip(at, values, strict=True)])
                for values, (colour, _, _) in zip(series, LINES, strict=True)
            ),
        ),
        *(
            words(
                x(px),
                y(py) - 4,
                short(name),
                cls=f"b {colour}" + (" e" if anchor == "right" else ""),
                dx=6 if anchor == "left" else -6,
            )
            for name, (colour, _, _), (px, py, anchor) in zip(names, LINES, places, strict=True)
        ),
        group(
            vertical("limit", x(used), y(top), HEIGHT - BOTTOM),
            words(x(used), y(top) + 12, f"in use {used:.2f}", cls="b", dx=4),
        )
        if used is not None
        else None,
    )
    return chart(ident, HEIGHT, label, still=still, traces=traces, layout=layout)


def _places(rows: Sequence[Cutoff], series: Sequence[Sequence[float]]) -> list[tuple[float, float, str]]:
    """Where the names stand: the two models on the outer sides of their lines, the flips above theirs."""
    near = min(range(len(rows)), key=lambda index: abs(rows[index].cutoff - 0.3))
    upper = 0 if series[0][near] >= series[1][near] else 1
    spots: list[tuple[float, float, str]] = [(0, 0, "left")] * 3
    spots[upper] = (rows[near].cutoff, series[upper][near], "left")
    spots[1 - upper] = (rows[near].cutoff, series[1 - upper][near] * 0.82, "right")
    low = min(range(len(rows)), key=lambda index: abs(rows[index].cutoff - 0.8))
    spots[2] = (1.0, max(series[2][low], series[0][low], series[1][low]), "right")
    return spots
