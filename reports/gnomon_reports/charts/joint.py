"""Score against score: where the pairs lie, in logarithmic steps of colour; no pair is no cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gnomon_reports.charts.frame import BOTTOM, Spec, axis, chart, chart_text, note, short, still_axes
from gnomon_reports.marks import Scale, horizontal, stretched, vertical, words
from gnomon_reports.markup import Content, Markup, group, path
from gnomon_reports.numerals import count
from gnomon_reports.run import Run

HEIGHT = 420
MARGIN_TOP, MARGIN_BOTTOM = 24, 42  # room for the names of the axes
LEVELS = 6
STILL_CELLS = 25
_TICKS = [(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")]

Cells = Sequence[Sequence[int]]


def joint_chart(ident: str, label: str, run: Run, cells: Cells) -> Markup:
    """`cells`: row the primary's bin, column the candidate's, both from 0 to 1."""
    size = len(cells)
    most = max(max(row) for row in cells)
    middles = [round((index + 0.5) / size, 4) for index in range(size)]
    # plotly's rows run upwards, and the candidate is the upright axis
    turned = [list(column) for column in zip(*cells, strict=True)]
    heat: Spec = {
        "type": "heatmap",
        "x": middles,
        "y": middles,
        "z": [[level(n, most) if n else None for n in row] for row in turned],
        "customdata": turned,
        "zmin": 0.5,
        "zmax": LEVELS + 0.5,
        "colorscale": [
            [(step + edge) / LEVELS, f"--s{step + 1}"] for step in range(LEVELS) for edge in (0, 1)
        ],
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": "%{x:.2f} → %{y:.2f}: %{customdata:,} pairs<extra></extra>",
    }
    primary, candidate = chart_text(run.primary), chart_text(run.candidate)
    title = {"standoff": 2}
    layout: Spec = {
        "hovermode": "closest",
        "xaxis": axis(
            _TICKS,
            0,
            1,
            title={**title, "text": f"score of {primary}", "font": {"size": 12, "color": "--primary"}},
        ),
        "yaxis": axis(_TICKS, 0, 1),
        "margin": {"l": 46, "r": 12, "t": MARGIN_TOP, "b": MARGIN_BOTTOM, "pad": 0},
        "annotations": [
            note(f"score of {candidate}", 0, 1, "--candidate", xref="paper", yref="paper", yshift=4)
        ],
        "shapes": [
            {
                "type": "line",
                "xref": "x",
                "yref": "y",
                "x0": x0,
                "x1": x1,
                "y0": y0,
                "y1": y1,
                "line": {"color": "--ink", "width": 1.5},
            }
            for cutoff in _cutoffs(run)
            for x0, x1, y0, y1 in ((cutoff, cutoff, 0, 1), (0, 1, cutoff, cutoff))
        ],
    }
    for name, x, y, where in _quadrants(run):
        layout["annotations"].append(
            note(chart_text(name), x, y, "--ink", xanchor=where, xshift=6 if where == "left" else -6)
        )
    return chart(ident, HEIGHT, label, still=_still(run, cells, most), traces=[heat], layout=layout)


def level(n: int, most: int) -> int:
    """1 to 6, in equal steps of the logarithm."""
    if n <= 0:
        return 0
    return min(LEVELS, 1 + int(LEVELS * math.log(n) / math.log(most + 1)))


def _cutoffs(run: Run) -> list[float]:
    return [] if run.cutoff_in_use is None else [run.cutoff_in_use]


def _quadrants(run: Run) -> list[tuple[Content, float, float, str]]:
    """The two quadrants of flips, if the cut-off in use is known: what they hold, and where they are."""
    positive = run.comparison.subject.positive
    if run.cutoff_in_use is None:
        return []
    lower = sum(flip.n for flip in run.changes if flip.primary == positive)
    higher = sum(flip.n for flip in run.changes if flip.candidate == positive)
    return [
        (group(run.candidate, f" lower: {count(lower)} flips"), 1.0, 0.06, "right"),
        (group(run.candidate, f" higher: {count(higher)} flips"), 0.0, 0.9, "left"),
    ]


def coarse(cells: Cells, size: int) -> list[list[int]]:
    """The same counts in at most `size` × `size` cells."""
    step = max(1, -(-len(cells) // size))
    blocks = range(0, len(cells), step)
    return [[sum(sum(row[j : j + step]) for row in cells[i : i + step]) for j in blocks] for i in blocks]


def _still(run: Run, cells: Cells, most: int) -> Markup:
    top, bottom = MARGIN_TOP, MARGIN_BOTTOM
    small = coarse(cells, STILL_CELLS)
    most = max(max(row) for row in small)
    size, area = len(small), HEIGHT - top - bottom
    squares: dict[int, list[str]] = {}
    for i, row in enumerate(small):
        for j, n in enumerate(row):
            if n:
                left, above = 1000 * i / size, top + area * (size - 1 - j) / size
                squares.setdefault(level(n, most), []).append(
                    f"M{left:.0f} {above:.1f}h{1000 / size:.0f}v{area / size:.1f}h-{1000 / size:.0f}z"
                )
    x, y = Scale(0, 1), Scale(0, 1, HEIGHT - bottom, top)
    lines = [
        group(vertical("limit", x(cutoff), top, HEIGHT - bottom), horizontal("limit", y(cutoff)))
        for cutoff in _cutoffs(run)
    ]
    labels = [
        words(
            x(at),
            y(height) - 2,
            name,
            cls="b e" if where == "right" else "b",
            dx=-6 if where == "right" else 6,
        )
        for name, at, height, where in _quadrants(run)
    ]
    return group(
        still_axes(HEIGHT - MARGIN_BOTTOM + BOTTOM, x, _TICKS, y, _TICKS),
        stretched(
            HEIGHT, *(path(cls=f"d{step}", d="".join(parts)) for step, parts in sorted(squares.items()))
        ),
        *lines,
        *labels,
        words(0, top - 8, "score of ", short(run.candidate), cls="b candidate"),
        words(0.5, HEIGHT - 6, "score of ", short(run.primary), cls="h b primary"),
    )
