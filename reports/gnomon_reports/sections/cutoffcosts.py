"""What both models would cost at other cut-offs, on the labelled pairs; and their calibration curves."""

from __future__ import annotations

from gnomon_diff.comparison import Correctness, Cutoff, Reliability

from gnomon_reports.charts.frame import percent_ticks
from gnomon_reports.charts.rightness import rightness_chart
from gnomon_reports.figure import Figure, grid, num
from gnomon_reports.marks import ticks
from gnomon_reports.markup import Content, group, plain, say
from gnomon_reports.numerals import about, count, rate
from gnomon_reports.run import Run

FEWEST = 30
"""Labels; a bin with fewer is not drawn."""


def calibration_figure(run: Run, right: Correctness) -> Figure | None:
    if not any(one.observed.n for one in right.reliability):
        return None
    by_side = [[one for one in right.reliability if one.side == side] for side in ("primary", "candidate")]
    points = [
        [
            (round(one.mean_score, 4), round(100 * one.observed.rate, 2))
            for one in bins
            if one.observed.n >= FEWEST and one.mean_score is not None and one.observed.rate is not None
        ]
        for bins in by_side
    ]
    n = sum(one.observed.n for one in by_side[0])
    title = "What scores promise, and what came true"
    rows: list[list[Content]] = [
        [f"{one.low:.1f} to {one.high:.1f}", *_bin(one), *_bin(two)]
        for one, two in zip(*by_side, strict=True)
    ]
    data = grid(
        "Calibration of both models by score",
        [
            "score",
            num(group(run.primary, ", mean score")),
            num("came true"),
            num("n"),
            num(group(run.candidate, ", mean score")),
            num("came true"),
            num("n"),
        ],
        rows,
    )
    hidden = sum(0 < one.observed.n < FEWEST for one in right.reliability)
    foot: list[Content] = [f"n {count(n)} with a label and both scores"]
    if hidden:
        foot.append(f"{hidden} with fewer than {FEWEST} labels only in the table")
    return Figure(
        "right-calibration",
        title,
        "share of the positive label by mean score, in ten equal bins of the score; dotted: as promised",
        rightness_chart(
            "right-calibration",
            plain(group(title, f", n {about(n)}")),
            run,
            (points[0], points[1]),
            percent_ticks([0, 25, 50, 75, 100]),
            100.0,
            marked="diagonal",
            hover=".1f",
        ),
        foot=foot,
        data=data,
        width=6,
    )


def _bin(one: Reliability) -> list[Content]:
    observed = one.observed
    if one.mean_score is None:
        return ["n/a", "n/a", "0"]
    quoted = rate(observed.rate, observed.low, observed.high, observed.n)
    return [f"{one.mean_score:.3f}", f"{quoted.text}{quoted.bracket}", count(observed.n)]


def costs_figure(run: Run, right: Correctness) -> Figure | None:
    rows = sorted(
        (
            row
            for row in run.comparison.cutoffs
            if row.primary_cost is not None and row.candidate_cost is not None
        ),
        key=lambda row: row.cutoff,
    )
    if right.cost is None or len(rows) < 2:
        return None
    both = (
        [(row.cutoff, row.primary_cost or 0.0) for row in rows],
        [(row.cutoff, row.candidate_cost or 0.0) for row in rows],
    )
    top = max(cost for points in both for _, cost in points) * 1.05 or 1.0
    n, title = rows[0].cost_n, "What each cut-off costs"
    least = [min(points, key=lambda point: point[1]) for points in both]
    return Figure(
        "right-cutoffs",
        title,
        f"cost a labelled pair if both were cut there: false positive {right.cost[0]:g}, false negative {right.cost[1]:g}",
        rightness_chart(
            "right-cutoffs",
            plain(group(title, f", n {about(n)}")),
            run,
            both,
            [(at, f"{at:g}") for at in ticks(0, top, 4)],
            top,
            marked=run.cutoff_in_use,
            hover=".4f",
        ),
        foot=[
            f"n {count(n)} with a label and both scores",
            say(
                "least, picked after looking: {a} at {x}, {b} at {y}",
                a=run.primary,
                x=f"{least[0][0]:.2f}",
                b=run.candidate,
                y=f"{least[1][0]:.2f}",
            ),
            "counted, so no interval",
        ],
        data=_cost_table(run, rows),
        width=6,
    )


def _cost_table(run: Run, rows: list[Cutoff]) -> Content:
    used = run.cutoff_in_use
    kept = [row for row in rows if abs(row.cutoff * 10 - round(row.cutoff * 10)) < 1e-6 or row.cutoff == used]
    return grid(
        "Cost by cut-off",
        [
            "cut-off",
            num(run.primary),
            num(run.candidate),
            num(group(run.candidate, ", at equal action rate")),
        ],
        [
            [
                f"{row.cutoff:.2f}" + (" in use" if row.cutoff == used else ""),
                _cost(row.primary_cost),
                _cost(row.candidate_cost),
                _cost(row.equal_cost)
                + (f" at {row.equal_cutoff:.2f}" if row.equal_cutoff is not None else ""),
            ]
            for row in kept
        ],
    )


def _cost(number: float | None) -> str:
    return "n/a" if number is None else f"{number:.4g}"
