"""Who is right? On requests whose label is known; kept apart from how often the answers differ."""

from __future__ import annotations

from dataclasses import dataclass

from gnomon_diff.comparison import Correctness

from gnomon_reports.figure import Column, Figure, Section, grid, num
from gnomon_reports.marks import percent, picture, vertical
from gnomon_reports.markup import Content, Markup, code, group, i, rect, say, span, strong
from gnomon_reports.numerals import (
    MINUS,
    PERCENT,
    POINTS_CHANGE,
    count,
    fixed,
    many,
    minute,
    quote,
    rate,
    share,
)
from gnomon_reports.run import Run, flip_name, segment_name

NO_LABELS = "No labels yet: {command} adds them. Until then nothing here says who is right."


def right_section(run: Run) -> Section:
    right = run.comparison.correctness
    question = "Who is right?"
    if right is None or right.labelled == 0:
        sentence = say(NO_LABELS, command=code("gnomon labels FILE"))
        return Section("right", "Who is right", question, ["Not known."], (), sentence)
    figures = [_accuracy(run, right)]
    if _wins(run, right):
        figures.insert(0, _won(run, right))
    return Section("right", "Who is right", question, _answer(run, right), figures)


def _answer(run: Run, right: Correctness) -> list[Content]:
    found = quote(POINTS_CHANGE, right.difference.rate, right.difference.low, right.difference.high)
    low, high = right.difference.low, right.difference.high
    if low is not None and low > 0:
        lead: Content = say("{name}, more often.", name=run.candidate)
    elif high is not None and high < 0:
        lead = say("{name}, more often.", name=run.primary)
    else:
        lead = "Neither is shown to be."
    ends = found.bracket or f", {right.difference.reason or 'no interval before 7 days'}"
    waiting = right.n - right.labelled
    when = "" if right.last_load is None else f"; labels last loaded {minute(right.last_load)}"
    return [
        say(
            "{lead} Accuracy differs by {size}{ends}, on {n} with a label.",
            lead=strong(lead),
            size=found.words,
            ends=ends,
            n=many(right.labelled, "pair"),
        ),
        say(
            "Of the disagreements with a label {candidate} is right on {b}, {primary} on {a}, counted.",
            candidate=run.candidate,
            primary=run.primary,
            a=count(right.only_primary),
            b=count(right.only_candidate),
        ),
        f"Kept apart from how often they differ: {share(right.labelled, right.n)} of the pairs have a label, {count(waiting)} have none{when}.",
    ]


@dataclass(frozen=True)
class Win:
    """Disagreements of one kind: how many each side has right."""

    name: Content
    primary: int
    candidate: int


def _wins(run: Run, right: Correctness) -> list[Win]:
    wins = [Win("all with a label", right.only_primary, right.only_candidate)]
    wins += [
        Win(flip_name(flip), flip.primary_right, flip.candidate_right)
        for flip in run.changes[:8]
        if flip.labelled
    ]
    return [win for win in wins if win.primary + win.candidate]


def _won(run: Run, right: Correctness) -> Figure:
    wins = _wins(run, right)
    most = max(max(win.primary, win.candidate) for win in wins)
    head = span(
        span(i(cls="key primary"), run.primary, " right"),
        span(run.candidate, " right", i(cls="key candidate")),
        cls="sides",
    )
    rows: list[list[Content]] = [
        [
            win.name,
            _bars(win, most),
            count(win.primary),
            count(win.candidate),
            share(win.candidate, win.primary + win.candidate),
        ]
        for win in wins
    ]
    columns: list[Column | str] = [
        "disagreements",
        Column(head, "pic w34"),
        num(run.primary),
        num(run.candidate),
        num(group(run.candidate, " right")),
    ]
    flips = sum(flip.labelled for flip in run.changes)
    return Figure(
        "right-wins",
        "Who matched the label when they differed",
        "disagreements with a label, counted over the traffic seen, so no interval",
        group(grid("Who is right when they differ", columns, rows), _by_segment(run)),
        foot=[f"n {count(flips)} disagreements with a label"],
        wide=6,
    )


def _bars(win: Win, most: int) -> Markup:
    left, right = 0.5 * win.primary / most, 0.5 * win.candidate / most
    return picture(
        16,
        rect(cls="fill primary", x=percent(0.5 - left), width=percent(left), y=1, height=14),
        rect(cls="fill candidate", x=percent(0.5), width=percent(right), y=1, height=14),
        vertical("limit", 0.5, 0, 16),
    )


def _by_segment(run: Run) -> Markup | None:
    """What the named segment and the rest each add to the difference."""
    segment = run.standout
    if segment is None:
        return None
    whole, own = run.days(), run.days(segment.key)
    labelled = sum(day.labelled for day in own)
    if not labelled:
        return None
    net_own = sum(day.candidate_right - day.primary_right for day in own)
    net_all = sum(day.candidate_right - day.primary_right for day in whole)
    all_labelled = sum(day.labelled for day in whole)
    rows: list[list[Content]] = [
        [segment_name(segment.key), count(labelled), _signed(net_own)],
        ["everything else", count(all_labelled - labelled), _signed(net_all - net_own)],
    ]
    return grid(
        "Right answers won and lost by segment",
        ["where", num("with a label"), num("right answers won or lost")],
        rows,
        cls="spaced",
    )


def _signed(number: float) -> str:
    return fixed(round(number), 0, signed=True).replace("-", MINUS)


def _accuracy(run: Run, right: Correctness) -> Figure:
    a, b, d = right.primary, right.candidate, right.difference
    one, two = rate(a.rate, a.low, a.high, a.n), rate(b.rate, b.low, b.high, b.n)
    difference = quote(POINTS_CHANGE, d.rate, d.low, d.high)
    if one.bracket and two.bracket:
        one, two = quote(PERCENT, a.rate, a.low, a.high), quote(PERCENT, b.rate, b.low, b.high)
    rows: list[list[Content]] = [
        [
            "accuracy",
            f"{one.text}{one.bracket}",
            f"{two.text}{two.bracket}",
            strong(difference.text),
            difference.span,
        ],
    ]
    for name, before, after in (
        ("log loss", right.log_loss_primary, right.log_loss_candidate),
        ("Brier score", right.brier_primary, right.brier_candidate),
    ):
        if before is not None and after is not None:
            change = fixed(after - before, 4, signed=True)
            rows.append([name, fixed(before, 4), fixed(after, 4), change, span("n/a, not judged", cls="mut")])
    columns: list[Column | str] = [
        "measure",
        num(run.primary),
        num(run.candidate),
        num("difference"),
        num("interval"),
    ]
    scored = f"log loss and Brier on {count(right.scored)}" if right.scored else "no scores"
    return Figure(
        "right-accuracy",
        _accuracy_title(run, right),
        f"both models on the same requests; 95\u202f% for traffic like that of these {many(d.days, 'day')}"
        if d.days >= 7
        else "both models on the same requests, counted",
        grid("Accuracy of both models", columns, rows),
        foot=[f"n {count(right.labelled)} with a label", scored],
        wide=6,
    )


def _accuracy_title(run: Run, right: Correctness) -> Content:
    low, high = right.difference.low, right.difference.high
    if low is not None and low > 0:
        return say("{name} is right more often", name=run.candidate)
    if high is not None and high < 0:
        return say("{name} is right more often", name=run.primary)
    return "Accuracy of both models"
