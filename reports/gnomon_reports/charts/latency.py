"""How long an answer takes: the share answered within a time, both models; bars are the quantiles' intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_diff.comparison import Latency

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
from gnomon_reports.marks import Scale, log_ticks, percent, polyline, stretched, vertical, words
from gnomon_reports.markup import Content, Markup, group, rect
from gnomon_reports.numerals import THIN
from gnomon_reports.run import Run

HEIGHT = 250
POINTS = 200
END = 0.999
_Y_TICKS = percent_ticks([0, 25, 50, 75, 100])


@dataclass(frozen=True)
class Side:
    """One model's line: (milliseconds, percent answered within), and its quantiles' intervals (low, high, percent)."""

    colour: str
    name: Content
    points: list[tuple[float, float]]
    intervals: list[tuple[float, float, float]]

    @property
    def named_at(self) -> tuple[float, float]:
        return self.points[round(len(self.points) * 0.55)]

    @property
    def right(self) -> bool:
        """The candidate's name stands right of its line, the primary's left."""
        return self.colour == "candidate"


def curve(times_us: Sequence[int]) -> list[tuple[float, float]]:
    """Milliseconds and the percent answered within them, at 200 equal shares up to 99.9 %."""
    ordered = sorted(times_us)
    n = len(ordered)
    shares = (
        [END * (index + 1) / POINTS for index in range(POINTS)]
        if n > POINTS
        else [(index + 1) / n for index in range(n)]
    )
    return [(max(ordered[max(0, math.ceil(at * n) - 1)], 1) / 1000, 100 * at) for at in shares]


def sides(run: Run, latency: Latency) -> list[Side]:
    ends = [one for one in latency.quantiles if one.p <= END]
    primary = [(q.primary_low, q.primary_high, q.p) for q in ends]
    candidate = [(q.candidate_low, q.candidate_high, q.p) for q in ends]
    return [
        Side("primary", run.primary, curve([a for a, _ in latency.pairs_us]), _known(primary)),
        Side("candidate", run.candidate, curve([b for _, b in latency.pairs_us]), _known(candidate)),
    ]


def _known(ends: Sequence[tuple[float | None, float | None, float]]) -> list[tuple[float, float, float]]:
    return [
        (low / 1000, high / 1000, 100 * p) for low, high, p in ends if low is not None and high is not None
    ]


def latency_chart(ident: str, label: str, run: Run, latency: Latency) -> Markup:
    drawn = sides(run, latency)
    low = min(side.points[0][0] for side in drawn) * 0.9
    high = max(side.points[-1][0] for side in drawn) * 1.15
    x_ticks = [(at, f"{at:g}{THIN}ms") for at in time_ticks(low, high)]
    served = (latency.served_p95_us or 0) / 1000
    notes, shapes = [_note(side) for side in drawn], []
    if low < served < high:
        shapes.append(_upright(served))
        notes.append({**note("", math.log10(served), 0, "--ink2", xshift=4), "text": "served p95"})
    layout: Spec = {
        "xaxis": axis(x_ticks, math.log10(low), math.log10(high), type="log", hoverformat=".3~r"),
        "yaxis": axis(_Y_TICKS, 0, 100, grid=True),
        "annotations": notes,
        "shapes": shapes,
    }
    x, y = Scale(low, high, log=True), scale_y(HEIGHT, 0, 100)
    still = group(
        still_axes(HEIGHT, x, x_ticks, y, _Y_TICKS),
        *(_still(side, x, y) for side in drawn),
        group(
            vertical("level dotted", x(served), y(100), HEIGHT - BOTTOM),
            words(x(served), HEIGHT - BOTTOM - 6, "served p95", dx=4),
        )
        if shapes
        else None,
    )
    return chart(
        ident, HEIGHT, label, still=still, traces=[t for side in drawn for t in _traces(side)], layout=layout
    )


def _note(side: Side) -> Spec:
    at, height = side.named_at
    return note(
        chart_text(side.name),
        math.log10(at),
        height,
        f"--{side.colour}",
        xanchor="left" if side.right else "right",
        xshift=10 if side.right else -10,
    )


def _upright(at: float) -> Spec:
    line = {"color": "--ink3", "width": 1.5, "dash": "dot"}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}


def _traces(side: Side) -> list[Spec]:
    curve_trace: Spec = {
        "type": "scatter",
        "mode": "lines",
        "name": chart_text(side.name),
        "x": [round(at, 4) for at, _ in side.points],
        "y": [round(at, 2) for _, at in side.points],
        "line": {
            "color": f"--{side.colour}",
            "width": 2.5 if side.right else 2,
            "dash": "solid" if side.right else "dash",
            "shape": "hv" if len(side.points) < POINTS else "linear",  # 200 steps would look like beads
        },
        "hovertemplate": f"%{{y:.1f}}{THIN}%",
    }
    bars: Spec = {
        "type": "scatter",
        "mode": "lines",
        "x": [at for low, high, _ in side.intervals for at in (low, high, None)],
        "y": [at for _, _, share in side.intervals for at in (share, share, None)],
        "line": {"color": f"--{side.colour}/0.42", "width": 8},
        "hoverinfo": "skip",
    }
    return [curve_trace, bars] if side.intervals else [curve_trace]


def _still(side: Side, x: Scale, y: Scale) -> Markup:
    points = [(x(at), y(share)) for at, share in side.points[:: max(1, len(side.points) // 100)]]
    bars = [
        rect(
            cls=f"bar {side.colour}",
            x=percent(x(low)),
            width=percent(max(x(high) - x(low), 0.004)),
            y=y(share) - 4,
            height=8,
        )
        for low, high, share in side.intervals
    ]
    at, height = side.named_at
    anchor, shift = ("", 10) if side.right else (" e", -10)
    return group(
        stretched(HEIGHT, polyline(f"trace {side.colour}", points)),
        *bars,
        words(x(at), y(height), short(side.name), cls=f"b {side.colour}{anchor}", dx=shift),
    )


def time_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten, or only the powers over a long range."""
    powers = log_ticks(low / 10, high)
    fine = [power * factor for power in powers for factor in (1, 2, 5) if low <= power * factor <= high]
    return fine if len(fine) <= 7 else [at for at in powers if low <= at <= high]
