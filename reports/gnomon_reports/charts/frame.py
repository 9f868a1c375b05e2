"""What every chart has: a still picture, plotly's figure of the same size, and names for its colours.

The still picture is what stands there without JavaScript, on paper, and until plotly is alive. Both have the
same margins, ticks and height, so nothing moves when one takes the other's place. A colour is the name of a
custom property (`--candidate`, `--candidate/0.16` for a tint) that the page's script looks up, so that a
chart follows the theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnomon_reports.marks import Scale, horizontal, picture, words
from gnomon_reports.markup import Content, Markup, cut, data_script, div, group, plain
from gnomon_reports.numerals import THIN

LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26
NAME = 34  # characters of a name in a chart
Tick = tuple[float, str]
Spec = dict[str, Any]


def chart(
    ident: str, height: int, label: str, *, still: Content, traces: Sequence[Spec], layout: Spec
) -> Markup:
    """The container of a chart: the still picture, and the figure as data that the page's script draws."""
    spec = {"data": list(traces), "layout": {**_base(height), **layout}}
    return group(
        div(
            div(
                picture(height, still),
                cls="still",
                role="img",
                aria_label=label,
                aria_details=f"{ident}-data",
            ),
            cls=f"plot h{height}",
            data_chart=f"{ident}-spec",
        ),
        data_script(f"{ident}-spec", spec),
    )


def _base(height: int) -> Spec:
    return {
        "height": height,
        "margin": {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x unified",
        "separators": f".{THIN}",
        "font": {"size": 12, "color": "--ink2"},
        "hoverlabel": {
            "bgcolor": "--surface",
            "bordercolor": "--edge",
            "font": {"size": 12, "color": "--ink"},
        },
    }


def axis(marks: Sequence[Tick], low: float, high: float, *, grid: bool = False, **more: Any) -> Spec:
    """An axis that shows exactly these ticks, cannot be dragged, and has its lines only where they help."""
    return {
        "tickmode": "array",
        "tickvals": [at for at, _ in marks],
        "ticktext": [name for _, name in marks],
        "range": [low, high],
        "showgrid": grid,
        "gridcolor": "--rule",
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "tickangle": 0,
        "ticklabelstandoff": 4,
        **more,
    }


def scale_y(
    height: int, low: float, high: float, *, domain: tuple[float, float] = (0, 1), log: bool = False
) -> Scale:
    """From values to pixels of a picture of this height; `domain` is a share of it, counted from below."""
    area = height - TOP - BOTTOM
    return Scale(low, high, TOP + area * (1 - domain[0]), TOP + area * (1 - domain[1]), log=log)


def still_axes(height: int, x: Scale, x_ticks: Sequence[Tick], y: Scale, y_ticks: Sequence[Tick]) -> Markup:
    """Grid lines with their numbers, and the numbers below."""
    return group(still_y(y, y_ticks), *(still_x(height, x, x_ticks)))


def still_y(y: Scale, marks: Sequence[Tick]) -> Markup:
    rows = [group(horizontal("grid", y(at)), words(0, y(at) + 4, name, cls="e", dx=-8)) for at, name in marks]
    return group(*rows)


def still_x(height: int, x: Scale, marks: Sequence[Tick]) -> list[Markup]:
    return [words(x(at), height - BOTTOM + 17, name, cls="h") for at, name in marks]


def note(name: str, x: float, y: float, colour: str, **more: Any) -> Spec:
    """A label in the chart, instead of a legend."""
    return {
        "text": f"<b>{name}</b>",
        "x": x,
        "y": y,
        "showarrow": False,
        "font": {"size": 12, "color": colour},
        "bgcolor": "--paper/0.7",
        "borderpad": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        **more,
    }


def short(content: Content) -> str:
    """A name that fits into a chart."""
    text = " ".join(plain(content).replace("\u00a0", " ").split())
    return cut(text, NAME)


def chart_text(content: Content) -> str:
    """Text for plotly, which reads some markup in its labels: a value from the traffic must not become any."""
    text = short(content)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {")


def percent_ticks(values: Sequence[float]) -> list[Tick]:
    """Of percentages: `2.5 %`."""
    return [(at, f"{at:g}{THIN}%") for at in values]
