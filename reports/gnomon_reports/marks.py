"""The marks that figures share: status shapes, the interval mark, axes. SVG, x in percent, y in pixels.

A status is a shape, a word and a colour, never a colour alone. Text never scales and bars never distort,
because nothing but lines is drawn in a stretched coordinate system (`stretched`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_reports.markup import Content, Markup, circle, group, line, path, plain, rect, span, svg, text

_SHAPES = {
    "pass": group(
        circle(cx=8, cy=8, r=7, fill="currentColor"),
        path(d="M4.6 8.3 7 10.6 11.4 5.6", cls="cut", fill="none", stroke_width=1.8),
    ),
    "fail": group(
        path(d="M5 1h6l4 4v6l-4 4H5L1 11V5z", fill="currentColor"),
        path(d="M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6", cls="cut", stroke_width=1.8),
    ),
    "open": group(
        circle(cx=8, cy=8, r=6.2, fill="none", stroke="currentColor", stroke_width=1.6),
        path(d="M8 1.8a6.2 6.2 0 0 1 0 12.4z", fill="currentColor"),
    ),
    "invalid": group(
        rect(x=1.5, y=1.5, width=13, height=13, rx=1.5, fill="currentColor"),
        path(d="M4.5 11.5l7-7", cls="cut", stroke_width=1.8),
    ),
    "none": circle(cx=8, cy=8, r=6.2, fill="none", stroke="currentColor", stroke_width=1.6),
}


def shape(state: str, size: int = 15) -> Markup:
    """The shape of a state; it says nothing without the word beside it."""
    return svg(_SHAPES[state], width=size, height=size, viewBox="0 0 16 16", aria_hidden="true")


def chip(state: str, word: Content, *, quiet: bool = False) -> Markup:
    """Shape and word of a state."""
    return span(shape(state), word, cls=f"chip {state}{' quiet' if quiet else ''}")


def percent(frac: float) -> str:
    """A coordinate as a share of the width."""
    return f"{100 * frac:.2f}%"


@dataclass(frozen=True)
class Scale:
    """From values to a range; `log` for both."""

    low: float
    high: float
    start: float = 0.0
    end: float = 1.0
    log: bool = False

    def __call__(self, number: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, number = math.log10(low), math.log10(high), math.log10(max(number, 1e-300))
        frac = 0.0 if high == low else (number - low) / (high - low)
        return self.start + (self.end - self.start) * min(max(frac, 0.0), 1.0)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`: steps of 1, 2, 2.5 or 5."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """The powers of ten from `low` to `high`."""
    return [
        10.0**power
        for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    ]


def interval(x: Scale, estimate: float | None, low: float | None, high: float | None, height: int) -> Markup:
    """A bar of honest width and a tick at the estimate; an end that is not known runs to the edge."""
    middle, parts = height / 2, []
    if low is not None or high is not None:
        left, right = (0.0 if low is None else x(low)), (1.0 if high is None else x(high))
        parts.append(
            rect(
                cls="bar",
                x=percent(left),
                width=percent(max(right - left, 0.007)),
                y=middle - 5,
                height=10,
                rx=1.5,
            )
        )
    if estimate is not None:
        parts.append(rect(cls="tick", x=percent(x(estimate)), width=2.5, y=middle - 9, height=18))
    return group(*parts)


def vertical(cls: str, at: float, top: float, bottom: float) -> Markup:
    return line(cls=cls, x1=percent(at), x2=percent(at), y1=top, y2=bottom)


def horizontal(cls: str, at: float) -> Markup:
    return line(cls=cls, x1="0", x2="100%", y1=at, y2=at)


def words(at: float, y: float, *content: Content, cls: str = "", dx: float = 0) -> Markup:
    """Text at a share of the width, shifted by pixels; only its characters, since SVG knows no HTML elements."""
    return text(plain(content), x=percent(at), y=y, dx=dx or None, cls=cls or None)


def stretched(height: float, *content: Content) -> Markup:
    """A coordinate system 1000 wide that stretches; the strokes in it keep their width."""
    return svg(
        *content, viewBox=f"0 0 1000 {height:g}", width="100%", height=height, preserveAspectRatio="none"
    )


def polyline(cls: str, points: Sequence[tuple[float, float]]) -> Markup:
    """A line in `stretched`; x as a share of the width, y in pixels."""
    return path(cls=cls, d=trail(points), vector_effect="non-scaling-stroke")


def trail(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{1000 * x:.0f} {y:.1f}" for x, y in points)


def dots(cls: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Round dots in `stretched`: strokes without length, so that they stay round."""
    where = "".join(f"M{1000 * x:.0f} {y:.0f}h0" for x, y in points)
    return path(cls=cls, d=where, vector_effect="non-scaling-stroke")


def picture(height: float, *content: Content, label: str | None = None, cls: str = "") -> Markup:
    """A drawing across the width; with a label if it says something that no text beside it says."""
    role = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return svg(*content, width="100%", height=height, cls=cls or None, **role)
