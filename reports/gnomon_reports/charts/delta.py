"""Candidate's score minus primary's, on a logarithmic count: below zero in the primary's hue, above in the candidate's."""

from __future__ import annotations

import math

from gnomon_diff.comparison import Histogram

from gnomon_reports.charts.frame import (
    BOTTOM,
    Spec,
    axis,
    chart,
    chart_text,
    note,
    scale_y,
    short,
    still_axes,
)
from gnomon_reports.marks import Scale, log_ticks, stretched, ticks, vertical, words
from gnomon_reports.markup import Content, Markup, group, path
from gnomon_reports.numerals import MINUS
from gnomon_reports.run import Run

HEIGHT = 250
FLOOR = 0.7  # so that a bin of one pair has a height
MOST_BINS = 60


def bins(histogram: Histogram) -> list[tuple[float, float, int]]:
    """From, to and count; without the empty ends, at most sixty, zero always an edge where it was one."""
    filled = [
        (a, b, n) for a, b, n in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
    ]
    while filled and filled[0][2] == 0:
        filled.pop(0)
    while filled and filled[-1][2] == 0:
        filled.pop()
    step = -(-len(filled) // MOST_BINS)
    if step <= 1:
        return filled
    zero = next((index for index, one in enumerate(filled) if one[0] >= -1e-12), 0)
    starts = range(zero % step - step, len(filled), step)
    groups = [filled[max(start, 0) : start + step] for start in starts]
    return [(part[0][0], part[-1][1], sum(n for _, _, n in part)) for part in groups if part]


def signed(number: float) -> str:
    text = f"{number:+.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("+0", "-0") else text.replace("-", MINUS)


def delta_chart(ident: str, label: str, run: Run, histogram: Histogram) -> Markup:
    drawn = bins(histogram)
    reach = max(abs(drawn[0][0]), abs(drawn[-1][1]), 0.01)
    most = max(n for _, _, n in drawn)
    x_ticks = [(at, signed(at)) for at in ticks(-reach, reach, 5)]
    high = 10 ** math.ceil(math.log10(most + 1))
    y_ticks = [(at, power(at)) for at in log_ticks(1, high)]
    candidate = chart_text(run.candidate)
    bars: Spec = {
        "type": "bar",
        "x": [round((low + above) / 2, 6) for low, above, _ in drawn],
        "width": [round((above - low) * 0.9, 6) for low, above, _ in drawn],
        "y": [n or None for _, _, n in drawn],
        "marker": {"color": ["--candidate" if low + above > 0 else "--primary" for low, above, _ in drawn]},
        "hovertemplate": "%{y:,} pairs<extra></extra>",
    }
    layout: Spec = {
        "xaxis": axis(x_ticks, -reach, reach, hoverformat="+.2f"),
        "yaxis": axis(y_ticks, math.log10(FLOOR), math.log10(high), grid=True, type="log"),
        "bargap": 0,
        "annotations": [
            note(
                f"{candidate} lower", 0, 1, "--primary", xref="paper", yref="paper", xshift=6, yanchor="top"
            ),
            note(
                f"{candidate} higher",
                1,
                1,
                "--candidate",
                xref="paper",
                yref="paper",
                xshift=-6,
                xanchor="right",
                yanchor="top",
            ),
        ],
        "shapes": [
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": 0,
                "x1": 0,
                "y0": 0,
                "y1": 1,
                "line": {"color": "--edge", "width": 1, "dash": "dot"},
            }
        ],
    }
    return chart(
        ident,
        HEIGHT,
        label,
        still=_still(run, drawn, reach, high, x_ticks, y_ticks),
        traces=[bars],
        layout=layout,
    )


def power(number: float) -> str:
    """Powers of ten: `10 k`."""
    for size, suffix in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}\u202f{suffix}"
    return f"{number:g}"


def _still(
    run: Run,
    drawn: list[tuple[float, float, int]],
    reach: float,
    high: float,
    x_ticks: list[tuple[float, str]],
    y_ticks: list[tuple[float, str]],
) -> Content:
    x, y = Scale(-reach, reach), scale_y(HEIGHT, FLOOR, high, log=True)
    floor = y(FLOOR)
    bars: dict[str, list[str]] = {"primary": [], "candidate": []}
    for low, above, n in drawn:
        if n:
            left, right = 1000 * x(low), 1000 * x(above)
            side = "candidate" if low + above > 0 else "primary"
            bars[side].append(
                f"M{left + 0.05 * (right - left):.1f} {floor:.0f}V{y(n):.1f}h{0.9 * (right - left):.1f}V{floor:.0f}z"
            )
    return group(
        still_axes(HEIGHT, x, x_ticks, y, y_ticks),
        stretched(HEIGHT, *(path(cls=f"fill {side}", d="".join(parts)) for side, parts in bars.items())),
        vertical("zero", x(0), y(high), HEIGHT - BOTTOM),
        words(0, y(high) + 12, short(run.candidate), " lower", cls="b primary", dx=6),
        words(1, y(high) + 12, short(run.candidate), " higher", cls="e b candidate", dx=-6),
    )
