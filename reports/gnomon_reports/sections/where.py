"""Where do they disagree? The flip matrix, disagreement over time, segments."""

from __future__ import annotations

import math

from gnomon_diff.comparison import Flip

from gnomon_reports.answers import noise_twin, nowhere
from gnomon_reports.charts.days import Panel, above, days_chart, panels
from gnomon_reports.figure import Column, Figure, Section, grid, num
from gnomon_reports.marks import percent, picture
from gnomon_reports.markup import (
    Content,
    Markup,
    caption,
    group,
    i,
    plain,
    rect,
    say,
    small,
    strong,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
    value,
)
from gnomon_reports.numerals import THIN, about, count, day, many, rate, share
from gnomon_reports.run import Run, flip_name, segment_name
from gnomon_reports.sections.differences import kinds_figure
from gnomon_reports.sections.segments import segments_figure
from gnomon_reports.sections.slices import slice_sentence, slices_figure
from gnomon_reports.sentences import counted, data_state

MATRIX_CLASSES = 6
LARGEST_FLIPS = 20


def where_section(run: Run) -> Section:
    found = run.comparison.disagreement
    drawn = (_flips(run), kinds_figure(run), _days(run), slices_figure(run), segments_figure(run))
    figures = [figure for figure in drawn if figure is not None]
    empty = data_state(run) or "Nothing to draw."
    return Section(
        "where",
        "Where",
        "Where do they disagree?",
        _answer(run),
        figures if found.n > 1 else (),
        empty if found.n <= 1 else None,
    )


def _answer(run: Run) -> list[Content]:
    found, segment = run.comparison.disagreement, run.standout
    state = data_state(run)
    if state is not None:
        return [state]
    if segment is None:
        answer: list[Content] = [group(strong(counted(run)), " ", nowhere(run) if found.flips else "")]
    else:
        own = rate(segment.rate, segment.low, segment.high, segment.n)
        answer = [
            say(
                "{bold} {name} {differs} on {own}{ends} of its {n}, everything else on {rest}, counted.",
                bold=strong(
                    f"{share(segment.flips, found.flips)} of the {run.flips} sit in {share(segment.n, found.n)} of the traffic."
                ),
                name=segment_name(segment.key),
                differs="flips" if run.flips == "flips" else "differs",
                own=own.text,
                ends=own.bracket,
                n=many(segment.n, "pair"),
                rest=share(found.flips - segment.flips, found.n - segment.n),
            )
        ]
    sliced = slice_sentence(run)
    if sliced is not None:
        answer.append(sliced)
    if found.flips:
        answer.append(_direction(run))
    noise = noise_twin(run)
    on = f", on {many(found.noise_n, 'pair')} answered twice" if found.noise else ""
    answer.append(f"{noise[0].upper()}{noise[1:]}{on}.")
    return answer


def _direction(run: Run) -> Content:
    if not run.changes:
        return ""
    first, flips = run.changes[0], sum(flip.n for flip in run.changes)
    return say(
        "{part} of the flips {go}: {primary} says {a}, {candidate} says {b}.",
        part=share(first.n, flips),
        go="go one way" if 2 * first.n > flips else "are of the most frequent kind",
        primary=run.primary,
        candidate=run.candidate,
        a=value(first.primary, 30),
        b=value(first.candidate, 30),
    )


def _flips(run: Run) -> Figure | None:
    flips, found = run.comparison.flips, run.comparison.disagreement
    if not flips or found.n == 0:
        return None
    labels = sorted({flip.primary for flip in flips} | {flip.candidate for flip in flips})
    labels.sort(key=lambda label: label != run.comparison.subject.positive)
    few = len(labels) <= MATRIX_CLASSES
    quoted = rate(found.rate, found.low, found.high, found.n)
    differ = f"{quoted.text} differ" + (quoted.bracket or f", {found.reason or 'no interval'}")
    noise = (
        "noise not measured"
        if found.noise is None
        else f"noise {share(found.noise * found.noise_n, found.noise_n)}, n {count(found.noise_n)}"
    )
    if run.changes:
        title = say(
            "{n} answers flip, {part} of them {how}",
            n=about(sum(flip.n for flip in run.changes)),
            part=share(run.changes[0].n, sum(flip.n for flip in run.changes)),
            how=flip_name(run.changes[0]),
        )
    else:
        title = group(f"No flip in {many(found.n, 'pair')}")
    return Figure(
        "where-flips",
        title,
        f"counted over {many(found.n, 'pair')}; bar: how much of the cell has a label, hatched: can never have one",
        _matrix(run, labels) if few else _largest(run),
        foot=[f"n {count(found.n)}", differ, noise],
        width=6 if len(labels) <= 3 else 12,
        wide=4 if len(labels) <= 3 else 12,
    )


def _matrix(run: Run, labels: list[str]) -> Markup:
    cells = {(flip.primary, flip.candidate): flip for flip in run.comparison.flips}
    most = max((flip.n for flip in run.changes), default=1)
    rows = [
        tr(
            th(i(cls="key primary"), run.primary, ": ", value(row, 30), scope="row"),
            *(_cell(run, cells.get((row, column)), row != column, most) for column in labels),
        )
        for row in labels
    ]
    head = tr(
        td(cls="corner"),
        *(
            th(i(cls="key candidate"), run.candidate, ": ", value(column, 30), scope="col")
            for column in labels
        ),
    )
    name = caption("Answers of one model against those of the other", cls="vh")
    return table(name, thead(head), tbody(*rows), cls="flip")


def _cell(run: Run, flip: Flip | None, off: bool, most: int) -> Markup:
    if flip is None:
        return td(strong("0"), cls="none")
    tint = f" s{1 + round(2 * math.sqrt(flip.n / most))}" if off else ""
    part = share(flip.n, run.comparison.disagreement.n)
    if flip.labelled == flip.never == 0:
        return td(strong(count(flip.n)), small(part), small("no label yet"), cls=f"cell{tint}")
    bar = picture(
        6,
        rect(cls="track", width="100%", height=6),
        rect(cls="filled", width=percent(flip.labelled / flip.n), height=6),
        rect(cls="hole", x=percent(1 - flip.never / flip.n), width=percent(flip.never / flip.n), height=6)
        if flip.never
        else None,
    )
    return td(strong(count(flip.n)), small(part), bar, small(_label_words(flip)), cls=f"cell{tint}")


def _label_words(flip: Flip) -> str:
    """`62 % labelled, 30 % waiting, 8 % never`; what is none is left out."""
    parts = ((flip.labelled, "labelled"), (flip.waiting, "waiting"), (flip.never, "never"))
    return ", ".join(f"{share(n, flip.n)} {word}" for n, word in parts if n or word == "labelled")


def _largest(run: Run) -> Markup:
    flips = run.changes[:LARGEST_FLIPS]
    most = max((flip.n for flip in flips), default=1)
    rows: list[list[Content]] = [
        [
            flip_name(flip),
            picture(12, rect(cls="filled", width=percent(flip.n / most), y=2, height=8)),
            count(flip.n),
            share(flip.n, run.comparison.disagreement.n),
            _label_words(flip),
        ]
        for flip in flips
    ]
    columns: list[Column | Markup | str] = ["Flip", "Pairs, as a bar", num("Pairs"), num("Share"), "Labels"]
    return grid("The largest flips", columns, rows)


def _days(run: Run) -> Figure | None:
    drawn = panels(run)
    if not drawn:
        return None
    found, whole = run.comparison.disagreement, drawn[-1]
    weekly = whole.steps is not whole.days
    unit = "week" if weekly else "day"
    band = (
        f"band: 95{THIN}% for traffic like that of these {many(found.days, 'day')}"
        if found.low is not None or found.high is not None
        else found.reason or "no interval before 7 days"
    )
    scales = "two scales; " if len(drawn) > 1 else ""
    columns: list[Column | Markup | str] = [f"{unit} from", num("pairs"), num("differ")]
    table_rows: list[list[Content]] = [
        [day(step.start), count(step.rows), share(step.flags, step.rows)] for step in whole.steps
    ]
    if len(drawn) > 1:
        own = {step.start: step for step in drawn[0].steps}
        columns += [num(group(drawn[0].name, ", pairs")), num("differ")]
        for row, step in zip(table_rows, whole.steps, strict=True):
            one = own.get(step.start)
            row += [count(one.rows), share(one.flags, one.rows)] if one else ["0", "n/a"]
    return Figure(
        "where-days",
        _days_title(run, unit),
        f"share of answers that differ, counted by {unit}{'; dots: days' if weekly else ''}; {scales}{band}",
        days_chart("where-days", plain(group(_days_title(run, unit), f", n {about(found.n)}")), drawn),
        foot=[f"n {count(found.n)}", *_cut(drawn)],
        data=grid(f"Disagreement by {unit}", columns, table_rows),
        width=6,
        wide=8,
    )


def _cut(drawn: list[Panel]) -> list[Content]:
    days = sum(map(above, drawn))
    return [f"{many(days, 'day')} above the picture, drawn at its edge"] if days else []


def _days_title(run: Run, unit: str) -> Content:
    """How many times as often, at the least, by the two intervals; else neutral."""
    segment, whole = run.standout, run.comparison.disagreement.high
    if segment is None or segment.low is None or not whole or not run.days(segment.key):
        return f"Disagreement by {unit}"
    times = segment.low / whole
    if times < 1:
        return f"Disagreement by {unit}"
    if times < 2:
        return say("{name} disagrees more often than all traffic", name=segment_name(segment.key))
    return say(
        "{name} disagrees at least {n} times as often as all traffic",
        name=segment_name(segment.key),
        n=count(math.floor(times)),
    )
