"""The measures of correctness of both models, a row each, every one with its n and its interval or the reason."""

from __future__ import annotations

from gnomon_diff.comparison import Correctness, Estimate, Measure, Rate

from gnomon_reports.figure import Column, Figure, grid, num
from gnomon_reports.markup import Content, say, span, strong
from gnomon_reports.numerals import (
    PERCENT,
    PLAIN,
    POINTS_CHANGE,
    THIN,
    Quote,
    Unit,
    count,
    fixed,
    many,
    quote,
    rate,
)
from gnomon_reports.run import Run

NAMES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "cost": "cost a pair",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "r2": "R²",
}
_SHARES = ("precision", "recall")
_CHANGE = Unit(1, "", "", signed=True)


def measures_figure(run: Run, right: Correctness) -> Figure:
    measures = [one for one in right.measures if one.n]
    rows = [] if right.primary.rate is None else [_accuracy_row(right)]
    rows += [_row(one) for one in measures]
    if not right.measures:
        rows += _losses(right)
    columns: list[Column | str] = [
        "measure",
        num(run.primary),
        num(run.candidate),
        num("difference"),
        num("interval"),
        num("n"),
    ]
    days = max([right.difference.days, *(one.days for one in measures)], default=0)
    foot: list[Content] = [f"n {count(right.labelled)} with a label"]
    if right.cost is not None:
        foot.append(f"cost: false positive {right.cost[0]:g}, false negative {right.cost[1]:g}")
    reasons = _reasons(measures)
    line = (
        f"both models on the same requests; 95\u202f% for traffic like that of {many(days, 'whole day')} "
        "whose labels have had their time"
        if days >= 7
        else "both models on the same requests, counted"
    )
    return Figure(
        "right-accuracy",
        _title(run, right),
        line,
        grid("Measures of both models", columns, rows),
        foot=[*foot, *reasons],
    )


def _accuracy_row(right: Correctness) -> list[Content]:
    a, b, d = right.primary, right.candidate, right.difference
    one, two = rate(a.rate, a.low, a.high, a.n), rate(b.rate, b.low, b.high, b.n)
    if one.bracket and two.bracket:
        one, two = quote(PERCENT, a.rate, a.low, a.high), quote(PERCENT, b.rate, b.low, b.high)
    difference = quote(POINTS_CHANGE, d.rate, d.low, d.high)
    return _cells("accuracy", one, two, difference, d.reason, d.n)


def _row(one: Measure) -> list[Content]:
    share = one.name in _SHARES
    sides = [
        rate(side.value, side.low, side.high, one.n) if share else _plain(side, PLAIN)
        for side in (one.primary, one.candidate)
    ]
    difference = one.difference
    change = (
        quote(POINTS_CHANGE, difference.value, difference.low, difference.high)
        if share
        else _plain(difference, _CHANGE, like=one.primary)
    )
    return _cells(NAMES.get(one.name, one.name), sides[0], sides[1], change, difference.reason, one.n)


def _plain(one: Estimate, unit: Unit, like: Estimate | None = None) -> Quote:
    """Without an interval, four decimals of what is about 1, fewer of what is larger."""
    if one.value is None or one.low is not None or one.high is not None:
        return quote(unit, one.value, one.low, one.high)
    size = abs((like.value if like and like.value is not None else one.value) or 0.0)
    number = fixed(one.value, 4 if size < 10 else 2 if size < 1000 else 0, signed=unit.signed)
    return Quote(number=number, text=number, words=number, bracket="", span="")


def _cells(name: str, one: Quote, two: Quote, difference: Quote, reason: str | None, n: int) -> list[Content]:
    interval: Content = difference.span
    if not difference.bracket:
        interval = span(
            "none yet" if reason and reason.startswith("no interval before") else "n/a", cls="mut"
        )
    return [
        name,
        f"{one.text}{one.bracket}",
        f"{two.text}{two.bracket}",
        strong(difference.text),
        interval,
        count(n),
    ]


def _losses(right: Correctness) -> list[list[Content]]:
    """Of a comparison that was written before there were measures."""
    rows: list[list[Content]] = []
    for name, before, after in (
        ("log loss", right.log_loss_primary, right.log_loss_candidate),
        ("Brier score", right.brier_primary, right.brier_candidate),
    ):
        if before is not None and after is not None:
            change = fixed(after - before, 4, signed=True)
            reason = span("n/a, not judged", cls="mut")
            rows.append([name, fixed(before, 4), fixed(after, 4), change, reason, count(right.scored)])
    return rows


def _reasons(measures: list[Measure]) -> list[Content]:
    """Why some have no interval, said once each."""
    by: dict[str, list[str]] = {}
    for one in measures:
        reason = one.difference.reason
        if reason is not None and one.difference.low is None and one.difference.high is None:
            by.setdefault(reason, []).append(NAMES.get(one.name, one.name))
    return [f"{', '.join(names)}: {reason}" for reason, names in by.items()]


def lead_measure(right: Correctness) -> tuple[str, Rate] | None:
    """What to speak of first where there is no accuracy: the mean absolute error's difference."""
    for one in right.measures:
        if one.name == "mae" and one.n:
            d = one.difference
            return NAMES[one.name], Rate(
                n=one.n, rate=d.value, low=d.low, high=d.high, days=one.days, reason=d.reason
            )
    return None


def _title(run: Run, right: Correctness) -> Content:
    """Who is better, where the interval of the first measure says so."""
    if right.primary.rate is None:
        found = lead_measure(right)
        if found is None:
            return "Measures of both models"
        low, high = found[1].low, found[1].high
        if high is not None and high < 0:
            return say("{name} is nearer to the truth", name=run.candidate)
        if low is not None and low > 0:
            return say("{name} is nearer to the truth", name=run.primary)
        return "Errors of both models"
    low, high = right.difference.low, right.difference.high
    if low is not None and low > 0:
        return say("{name} is right more often", name=run.candidate)
    if high is not None and high < 0:
        return say("{name} is right more often", name=run.primary)
    return "Accuracy of both models"


def percent(number: float | None) -> str:
    """A share with one decimal, of an estimate that has no interval."""
    return "n/a" if number is None else f"{100 * number:.1f}{THIN}%"
