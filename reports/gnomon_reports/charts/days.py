"""Disagreement over time: all traffic below, the segment to name above it, own scales, one time axis.

Every point is a count over the traffic seen. The band is the statement about other days: the 95 % interval
of the long-run share. More than six weeks are drawn by week, with the days as dots.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_diff.comparison import Day

from gnomon_reports.charts.frame import (
    Spec,
    Tick,
    axis,
    chart,
    chart_text,
    note,
    percent_ticks,
    scale_y,
    short,
    still_x,
    still_y,
)
from gnomon_reports.marks import Scale, dots, horizontal, polyline, stretched, ticks, words
from gnomon_reports.markup import Content, Markup, group, rect
from gnomon_reports.numerals import THIN, day, fixed
from gnomon_reports.run import DISAGREEMENT, Run, segment_name

HEIGHT = 268
WEEKS_FROM_DAYS = 42
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """A stretch of time with its counts."""

    start: datetime.datetime
    end: datetime.datetime
    rows: float
    flags: float

    @property
    def percent(self) -> float:
        return 100 * self.flags / self.rows


@dataclass(frozen=True)
class Panel:
    """One line of the chart, in percent."""

    name: Content
    colour: str
    days: list[Step]
    steps: list[Step]
    low: float | None
    high: float | None
    limit: float | None = None
    noise: float | None = None


def steps(rows: Sequence[Day]) -> tuple[list[Step], list[Step]]:
    """The days with traffic, and what the line is drawn by: weeks from the first day on, or the days."""
    days = [Step(row.start, row.start + _DAY, row.rows, row.flags) for row in rows if row.rows > 0]
    if not days or days[-1].end - days[0].start <= WEEKS_FROM_DAYS * _DAY:
        return days, days
    first = days[0].start
    weeks: dict[int, list[Step]] = {}
    for one in days:
        weeks.setdefault((one.start - first).days // 7, []).append(one)
    return days, [_week(first + 7 * index * _DAY, inside) for index, inside in sorted(weeks.items())]


def _week(start: datetime.datetime, days: Sequence[Step]) -> Step:
    return Step(start, start + 7 * _DAY, sum(one.rows for one in days), sum(one.flags for one in days))


def panels(run: Run) -> list[Panel]:
    """The named segment, if there is one, then all traffic."""
    found, segment = run.comparison.disagreement, run.standout
    noise = None if found.noise is None else 100 * found.noise
    drawn = []
    if segment is not None and run.days(segment.key):
        judged = run.criterion(segment)
        colour = "fail" if judged is not None and judged.state == "fail" else "ink"
        days, line = steps(run.days(segment.key))
        drawn.append(Panel(segment_name(segment.key), colour, days, line, segment.low, segment.high))
    days, line = steps(run.days())
    drawn.append(
        Panel("all traffic", "candidate", days, line, found.low, found.high, limit_percent(run), noise)
    )
    return [panel for panel in drawn if panel.steps]


def limit_percent(run: Run) -> float | None:
    """The limit on all traffic, as a share of answers: what noise and skew explain comes on top."""
    found = run.comparison.disagreement
    for criterion in run.criteria:
        if criterion.name in DISAGREEMENT and criterion.segment is None:
            explained = (found.noise or 0) + (found.skew or 0) if criterion.name == "disagreement" else 0
            return 100 * (criterion.limit + explained)
    return None


def days_chart(ident: str, label: str, drawn: Sequence[Panel]) -> Markup:
    first, last = drawn[-1].steps[0].start, max(panel.steps[-1].end for panel in drawn)
    x = Scale(first.timestamp(), last.timestamp())
    dates = date_ticks(first, last)
    traces: list[Spec] = []
    notes: list[Spec] = []
    shapes: list[Spec] = []
    layout: Spec = {
        "xaxis": axis(
            [(_js(at), name) for at, name in dates],
            _js(first.timestamp()),
            _js(last.timestamp()),
            type="date",
            hoverformat="%-d %b %Y",
            anchor="y",
        ),
        "annotations": notes,
        "shapes": shapes,
    }
    still: list[Content] = [*still_x(HEIGHT, x, dates)]
    for index, panel in enumerate(drawn):
        domain = (0.0, 1.0) if len(drawn) == 1 else ((0.57, 1.0) if index == 0 else (0.0, 0.44))
        axis_name = "y" if index == len(drawn) - 1 else "y2"
        top = _top(panel)
        marks = percent_ticks(ticks(0, top, 3))
        y = scale_y(HEIGHT, 0, top, domain=domain)
        layout["yaxis" + axis_name[1:]] = axis(marks, 0, top, grid=True, domain=list(domain))
        traces += _traces(panel, axis_name, top, first, last)
        notes.append(_label(panel, axis_name, top))
        shapes += _lines(panel, axis_name, top)
        still.append(_still(panel, x, y, marks, top))
    return chart(ident, HEIGHT, label, still=still, traces=traces, layout=layout)


def above(panel: Panel) -> int:
    """Days that lie above the picture, where they are drawn at its edge."""
    return sum(one.percent > _top(panel) for one in panel.days)


def _top(panel: Panel) -> float:
    """Room for the line, its band, and the limit if that is not far off."""
    seen = max(one.percent for one in panel.steps)
    band = 100 * panel.high if panel.high is not None else 0.0
    spread = max(one.percent for one in panel.days)
    reach = max(min(spread, 2 * seen), min(band, 2 * seen) if seen else band, 0.01)
    if panel.limit is not None and panel.limit <= 3 * reach:
        reach = max(reach, panel.limit * 1.15)
    return min(reach * 1.12, 100.0)


def _line(panel: Panel) -> list[tuple[datetime.datetime, float]]:
    return [(one.start, one.percent) for one in panel.steps] + [
        (panel.steps[-1].end, panel.steps[-1].percent)
    ]


def _traces(
    panel: Panel, y: str, top: float, first: datetime.datetime, last: datetime.datetime
) -> list[Spec]:
    traces: list[Spec] = []
    if panel.low is not None or panel.high is not None:
        low, high = 100 * (panel.low or 0.0), 100 * (1.0 if panel.high is None else panel.high)
        ends = [_js(first.timestamp()), _js(last.timestamp())]
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "yaxis": y}
        traces.append({"type": "scatter", "x": ends, "y": [low, low], **edge})
        traces.append(
            {
                "type": "scatter",
                "x": ends,
                "y": [high, high],
                "fill": "tonexty",
                "fillcolor": f"--{panel.colour}/0.13",
                **edge,
            }
        )
    if panel.steps is not panel.days:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [_js((one.start + _DAY / 2).timestamp()) for one in panel.days],
                "y": [round(min(one.percent, top), 4) for one in panel.days],
                "marker": {"size": 3.5, "color": f"--{panel.colour}/0.4"},
                "hoverinfo": "skip",
                "yaxis": y,
            }
        )
    line = _line(panel)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": chart_text(panel.name),
            "x": [_js(at.timestamp()) for at, _ in line],
            "y": [round(at, 4) for _, at in line],
            "customdata": [round(one.rows) for one in panel.steps] + [round(panel.steps[-1].rows)],
            "hovertemplate": f"%{{y:.2f}}{THIN}% of %{{customdata:,}}",
            "line": {"color": f"--{panel.colour}", "width": 2.5, "shape": "hv"},
            "yaxis": y,
        }
    )
    return traces


def _label(panel: Panel, y: str, top: float) -> Spec:
    return note(
        chart_text(panel.name), 0, top, f"--{panel.colour}", xref="paper", yref=y, xshift=4, yanchor="top"
    )


def _lines(panel: Panel, y: str, top: float) -> list[Spec]:
    """The limit and the noise floor, each with its name."""
    shapes: list[Spec] = []
    for at, name, colour, dash in _levels(panel, top):
        shapes.append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "yref": y,
                "y0": at,
                "y1": at,
                "line": {"color": colour, "width": 1.5, "dash": dash},
                "label": {
                    "text": name,
                    "textposition": "end",
                    "yanchor": "bottom",
                    "font": {"size": 12, "color": "--ink2"},
                },
            }
        )
    return shapes


def _levels(panel: Panel, top: float) -> list[tuple[float, str, str, str]]:
    found = []
    if panel.limit is not None and panel.limit < top:
        found.append((panel.limit, f"limit {fixed(panel.limit, 1)}{THIN}%", "--ink", "solid"))
    if panel.noise is not None and panel.noise < top:
        found.append((panel.noise, f"noise floor {fixed(panel.noise, 2)}{THIN}%", "--ink3", "dot"))
    return found


def _still(panel: Panel, x: Scale, y: Scale, marks: Sequence[Tick], top: float) -> Markup:
    corner = y(top) + 12
    parts: list[Content] = [still_y(y, marks)]
    if panel.low is not None or panel.high is not None:
        upper = y(100 * (1.0 if panel.high is None else panel.high))
        parts.append(
            rect(
                cls=f"band {panel.colour}", width="100%", y=upper, height=y(100 * (panel.low or 0.0)) - upper
            )
        )
    points: list[tuple[float, float]] = []
    for (at, height), (after, _) in zip(_line(panel), _line(panel)[1:], strict=False):
        points += [(x(at.timestamp()), y(height)), (x(after.timestamp()), y(height))]
    spots = [(x((one.start + _DAY / 2).timestamp()), y(one.percent)) for one in panel.days]
    parts.append(
        stretched(
            HEIGHT,
            dots(f"dots {panel.colour}", spots) if panel.steps is not panel.days else None,
            polyline(f"trace {panel.colour}", points),
        )
    )
    for height, name, _, dash in _levels(panel, top):
        parts.append(horizontal("level dotted" if dash == "dot" else "level", y(height)))
        parts.append(words(1, y(height) - 4, name, cls="e"))
    parts.append(words(0, corner, short(panel.name), cls=f"b {panel.colour}", dx=4))
    return group(*parts)


def date_ticks(first: datetime.datetime, last: datetime.datetime) -> list[Tick]:
    """The first of each month over long windows, else whole days: at most eight."""
    span = (last - first).days
    if span > 62:
        months = [
            moment
            for year in range(first.year, last.year + 1)
            for month in range(1, 13)
            if first <= (moment := datetime.datetime(year, month, 1, tzinfo=first.tzinfo)) < last
        ]
        step = max(1, -(-len(months) // 8))
        return [(moment.timestamp(), day(moment, year=False)) for moment in months[::step]]
    step = max(1, -(-span // 6))
    days = [first + index * _DAY for index in range(0, max(span, 1), step)]
    return [(moment.timestamp(), day(moment, year=False)) for moment in days]


def _js(seconds: float) -> float:
    """Milliseconds, as plotly counts dates."""
    return seconds * 1000
