"""Who is right? On requests whose label is known; kept apart from how often the answers differ."""

from __future__ import annotations

from dataclasses import dataclass

from gnomon_diff.comparison import Correctness

from gnomon_reports.figure import Column, Figure, Section, grid, num
from gnomon_reports.marks import percent, picture, vertical
from gnomon_reports.markup import Content, Markup, code, group, i, rect, say, span, strong
from gnomon_reports.numerals import (
    MINUS,
    POINTS_CHANGE,
    Unit,
    count,
    fixed,
    many,
    minute,
    quote,
    rate,
    share,
)
from gnomon_reports.run import Run, flip_name, segment_name
from gnomon_reports.sections.cutoffcosts import calibration_figure, costs_figure
from gnomon_reports.sections.estimated import estimated_figure, estimated_words
from gnomon_reports.sections.labelled import labelled_figure, unlike_warning
from gnomon_reports.sections.measures import lead_measure, measures_figure

CHANGE_PLAIN = Unit(1, "", "", signed=True)
NO_LABELS = "No labels yet: {command} adds them. Until then nothing here says who is right."


def right_section(run: Run) -> Section:
    right = run.comparison.correctness
    question = "Who is right?"
    if right is None or right.labelled == 0:
        return Section("right", "Who is right", question, *_unknown(run))
    figures = [
        figure
        for figure in (
            _won(run, right) if _wins(run, right) else None,
            labelled_figure(run, right),
            measures_figure(run, right),
            calibration_figure(run, right),
            costs_figure(run, right),
        )
        if figure is not None
    ]
    return Section("right", "Who is right", question, _answer(run, right), figures)


def _unknown(run: Run) -> tuple[list[Content], list[Figure], Content]:
    """Without labels of these pairs: an estimate, if there are scores."""
    right, estimated = run.comparison.correctness, run.comparison.estimated_accuracy
    sentence: Content = say(NO_LABELS, command=code("gnomon labels FILE"))
    if right is not None:
        sentence = say(
            "Labels were loaded, and none of them is of these pairs: is {column} the same in both?",
            column=code("request_id"),
        )
    if estimated is None:
        return ["Not known."], [], sentence
    return (
        ["Not known.", sentence, estimated_words(run, estimated)],
        [estimated_figure(run, estimated)],
        sentence,
    )


def _answer(run: Run, right: Correctness) -> list[Content]:
    answer = [_lead(run, right)]
    if right.primary.rate is not None:
        answer.append(_won_words(run, right))
    waiting = right.n - right.labelled
    when = "" if right.last_load is None else f"; labels last loaded {minute(right.last_load)}"
    answer.append(
        f"Kept apart from how often they differ: {share(right.labelled, right.n)} of the pairs have a label, {count(waiting)} have none{when}."
    )
    warning = None if right.coverage is None else unlike_warning(right.coverage)
    if warning is not None:
        answer.append(warning)
    return answer


def _lead(run: Run, right: Correctness) -> Content:
    if right.primary.rate is None:
        return _lead_by_error(run, right)
    found = quote(POINTS_CHANGE, right.difference.rate, right.difference.low, right.difference.high)
    low, high = right.difference.low, right.difference.high
    if low is not None and low > 0:
        lead: Content = say("{name}, more often.", name=run.candidate)
    elif high is not None and high < 0:
        lead = say("{name}, more often.", name=run.primary)
    else:
        lead = "Neither is shown to be."
    ends = found.bracket or f", {right.difference.reason or 'no interval before 7 days'}"
    return say(
        "{lead} Accuracy differs by {size}{ends}, on {n} with a label.",
        lead=strong(lead),
        size=found.words,
        ends=ends,
        n=many(right.labelled, "pair"),
    )


def _lead_by_error(run: Run, right: Correctness) -> Content:
    """Of a regression: who is nearer to the truth."""
    found = lead_measure(right)
    if found is None:
        return say("Not known: no pair has a label and both answers.")
    name, difference = found
    quoted = quote(CHANGE_PLAIN, difference.rate, difference.low, difference.high)
    lead: Content = "Neither is shown to be nearer."
    if difference.high is not None and difference.high < 0:
        lead = say("{name} is nearer to the truth.", name=run.candidate)
    elif difference.low is not None and difference.low > 0:
        lead = say("{name} is nearer to the truth.", name=run.primary)
    return say(
        "{lead} The {name} differs by {size}{ends}, on {n} with a true value.",
        lead=strong(lead),
        name=name,
        size=quoted.words,
        ends=quoted.bracket or f", {difference.reason or 'no interval'}",
        n=many(difference.n, "pair"),
    )


def _won_words(run: Run, right: Correctness) -> Content:
    wins = right.wins
    if wins is None:
        return say(
            "Of the disagreements with a label {candidate} is right on {b}, {primary} on {a}, counted.",
            candidate=run.candidate,
            primary=run.primary,
            a=count(right.only_primary),
            b=count(right.only_candidate),
        )
    if wins.rate is None:
        return "None of the disagreements has a label yet."
    won = rate(wins.rate, wins.low, wins.high, wins.n)
    return say(
        "Of {n} with a label {candidate} wins {won}{ends}; {primary} is right on {a}, {candidate} on {b}.",
        n=many(wins.n, "disagreement"),
        won=won.text,
        ends=won.bracket or f" ({wins.reason or 'no interval'})",
        candidate=run.candidate,
        primary=run.primary,
        a=count(right.wins_primary),
        b=count(round(wins.rate * wins.n)),
    )


@dataclass(frozen=True)
class Win:
    """Disagreements of one kind: how many each side has right."""

    name: Content
    primary: int
    candidate: int


def _wins(run: Run, right: Correctness) -> list[Win]:
    whole = right.wins
    if whole is not None and whole.rate is not None:
        wins = [Win("all with a label", right.wins_primary, round(whole.rate * whole.n))]
    else:
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
        _won_line(right),
        group(grid("Who is right when they differ", columns, rows), _by_segment(run)),
        foot=[f"n {count(flips)} disagreements with a label"],
        wide=6,
    )


def _won_line(right: Correctness) -> str:
    wins = right.wins
    if wins is None or (wins.low is None and wins.high is None):
        return "disagreements with a label, counted over the traffic seen, so no interval"
    won = rate(wins.rate, wins.low, wins.high, wins.n)
    return f"disagreements with a label, counted; all together {won.text}{won.bracket}, 95\u202f% for traffic like that of these {many(wins.days, 'day')}"


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
