"""How much of the traffic has its label, how late labels come, and whether the labelled part looks like the rest."""

from __future__ import annotations

from gnomon_diff.comparison import Correctness, LabelCoverage, LabelPart

from gnomon_reports.figure import Figure, grid, num
from gnomon_reports.marks import chip
from gnomon_reports.markup import Content, group, p, say, value
from gnomon_reports.numerals import count, many, share
from gnomon_reports.run import Run, feature_name

MOST = 6
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: float) -> str:
    """`7 days`, `3.5 hours`."""
    for size, name in _UNITS:
        if seconds >= size or size == 1:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {name}" + ("" if number == "1" else "s")
    raise AssertionError("there is a smallest unit")


def labelled_figure(run: Run, right: Correctness) -> Figure | None:
    of = right.coverage
    if of is None or not of.n:
        return None
    rows: list[list[Content]] = [
        ["with a label", count(of.labelled), share(of.labelled, of.n)],
        [f"waiting: younger than {duration(of.deadline_s)}", count(of.waiting), share(of.waiting, of.n)],
        ["overdue: older, and without", count(of.overdue), share(of.overdue, of.n)],
        [
            say("cannot be labelled: {primary} ended it", primary=run.primary),
            count(of.never),
            share(of.never, of.n),
        ],
    ]
    body: list[Content] = [grid("Pairs by label", ["pairs", num("number"), num("share")], rows), _alike(of)]
    if of.unlike:
        body.append(_unlike(of))
    return Figure(
        "right-labels",
        _title(of),
        "counted over the traffic seen; the labelled against the rest of the same days, past the labels' deadline",
        group(*body),
        foot=[f"n {count(of.n)} pairs", *_delays(of), *_settled(of)],
        wide=6,
    )


def unlike_warning(of: LabelCoverage) -> Content | None:
    """For the answer: what is said of the labelled part may not hold for the rest."""
    if not of.unlike:
        return None
    first = of.unlike[0]
    return say(
        "The labelled part does not look like the rest: of {part} {own} have a label, of the others {rest}. What is "
        "said here is about the labelled.",
        part=_part(first),
        own=share(first.labelled, first.n),
        rest=_rest(of, first),
    )


def _title(of: LabelCoverage) -> Content:
    if of.unlike:
        return "The labelled part does not look like the rest"
    return f"{share(of.labelled, of.n)} of the pairs have a label"


def _alike(of: LabelCoverage) -> Content:
    if of.unlike:
        return p(
            chip(
                "open", f"{many(len(of.unlike), 'part')} of {count(of.tested_parts)} labelled unlike the rest"
            )
        )
    if not of.tested_n:
        return p(
            "Labelled and unlabelled were not compared: past the deadline there are not both.", cls="line"
        )
    parts = many(of.tested_parts, "part")
    return p(
        f"No sign that the labelled differ from the rest, in {parts} of {many(of.tested_n, 'pair')}.",
        cls="line",
    )


def _unlike(of: LabelCoverage) -> Content:
    rows: list[list[Content]] = [
        [_part(one), count(one.n), share(one.labelled, one.n), _rest(of, one)] for one in of.unlike[:MOST]
    ]
    return grid(
        "Parts that are labelled unlike the rest",
        ["part", num("pairs tested"), num("with a label"), num("of the others")],
        rows,
        cls="spaced",
    )


def _part(one: LabelPart) -> Content:
    return group(value(feature_name(one.column) if one.column.startswith(("features.", "attributes.")) else one.column, 40), " = ", value(one.value, 40))  # fmt: skip


def _rest(of: LabelCoverage, one: LabelPart) -> str:
    return (
        "n/a"
        if one.rest_share is None
        else share(one.rest_share * (of.tested_n - one.n), of.tested_n - one.n)
    )


def _delays(of: LabelCoverage) -> list[Content]:
    if not of.delay_n:
        return ["no label says when it became known"]
    ends = " · ".join(
        f"{name} {duration(of.delay_s[name])}" for name in ("p50", "p90", "p99") if name in of.delay_s
    )
    found: list[Content] = [f"delay {ends}, n {count(of.delay_n)}"]
    if of.after_deadline:
        found.append(f"{share(of.after_deadline, of.delay_n)} came after the deadline")
    if of.early:
        found.append(
            f"{many(of.early, 'label')} known before the request: a wrong clock, or known beforehand"
        )
    return found


def _settled(of: LabelCoverage) -> list[Content]:
    if not of.settled_days:
        return ["no whole day is past the deadline yet"]
    share_of = share(of.settled_labelled, of.settled_n)
    return [f"{share_of} labelled on the {many(of.settled_days, 'whole day')} past the deadline"]
