"""Lines of both models over their scores, 0 to 1: what came true, or what a cut-off costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gnomon_reports.charts.frame import (
    BOTTOM,
    Spec,
    Tick,
    axis,
    chart,
    chart_text,
    note,
    scale_y,
    short,
    still_axes,
)
from gnomon_reports.marks import Scale, polyline, stretched, vertical, words
from gnomon_reports.markup import Markup, group
from gnomon_reports.run import Run

HEIGHT = 250
Points = Sequence[tuple[float, float]]
_X_TICKS = [(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")]
_LINES = (("primary", "dash", 2.0), ("candidate", "solid", 2.5))


def rightness_chart(
    ident: str,
    label: str,
    run: Run,
    both: tuple[Points, Points],
    y_ticks: Sequence[Tick],
    top: float,
    *,
    marked: Literal["diagonal"] | float | None,
    hover: str,
) -> Markup:
    """The primary's line and the candidate's, each with its name at its end.

    Args:
        marked: the diagonal, or the cut-off in use.
        hover: d3's format of a value.
    """
    names = (run.primary, run.candidate)
    drawn = [(points, name, line) for points, name, line in zip(both, names, _LINES, strict=True) if points]
    traces: list[Spec] = [
        {
            "type": "scatter",
            "mode": "lines+markers" if marked == "diagonal" else "lines",
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "name": chart_text(name),
            "line": {"color": f"--{colour}", "width": width, "dash": dash},
            "hovertemplate": f"%{{y:{hover}}}",
        }
        for points, name, (colour, dash, width) in drawn
    ]
    x, y = Scale(0, 1), scale_y(HEIGHT, 0, top)
    layout: Spec = {
        "xaxis": axis(_X_TICKS, 0, 1, hoverformat=".2f"),
        "yaxis": axis(y_ticks, 0, top, grid=True),
        "annotations": [],
        "shapes": [],
    }
    still = [still_axes(HEIGHT, x, _X_TICKS, y, y_ticks)]
    if marked == "diagonal":
        layout["shapes"].append(_straight(0, 0, 1, top, "x", "y", "--edge", "dot"))
        still.append(stretched(HEIGHT, polyline("trace zero", [(x(0), y(0)), (x(1), y(top))])))
    elif marked is not None:
        layout["shapes"].append(_straight(marked, 0, marked, 1, "x", "paper", "--ink", "solid"))
        layout["annotations"].append(
            note(f"in use {marked:.2f}", marked, 1, "--ink", yref="paper", xshift=4, yanchor="top")
        )
        still.append(vertical("limit", x(marked), y(top), HEIGHT - BOTTOM))
        still.append(words(x(marked), y(top) + 12, f"in use {marked:.2f}", cls="b", dx=4))
    still.append(
        stretched(
            HEIGHT,
            *(polyline(f"trace {line[0]}", [(x(a), y(b)) for a, b in points]) for points, _, line in drawn),
        )
    )
    for points, name, (colour, _, _) in drawn:
        # One name above its line and before it, the other below and after: they do not lie on each other.
        above = colour == "candidate"
        at, height = points[(3 if above else 1) * len(points) // 4]
        layout["annotations"].append(
            note(
                chart_text(name),
                at,
                height,
                f"--{colour}",
                xanchor="right" if above else "left",
                yanchor="bottom" if above else "top",
                xshift=-6 if above else 6,
                yshift=2 if above else -4,
            )
        )
        cls = f"b {colour}" + (" e" if above else "")
        still.append(
            words(x(at), y(height) + (-6 if above else 18), short(name), cls=cls, dx=-6 if above else 6)
        )
    return chart(ident, HEIGHT, label, still=group(*still), traces=traces, layout=layout)


def _straight(
    x0: float, y0: float, x1: float, y1: float, xref: str, yref: str, colour: str, dash: str
) -> Spec:
    line = {"color": colour, "width": 1.5, "dash": dash}
    return {"type": "line", "xref": xref, "yref": yref, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": line}
