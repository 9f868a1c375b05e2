"""The criteria as one picture: estimate and bounds over the limit, on one axis for all.

x is the estimate over the limit: 0 is the same as the primary, 1 the limit. The bounds are those that
decide, so that a state and its picture agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.comparison import Criterion

from gnomon_reports.criteria import Wording, estimate_of, limit_of, wording
from gnomon_reports.marks import Scale, chip, interval, percent, picture, vertical, words
from gnomon_reports.markup import (
    Content,
    Markup,
    b,
    br,
    caption,
    details,
    group,
    h2,
    p,
    plain,
    rect,
    say,
    small,
    span,
    summary,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
)
from gnomon_reports.numerals import about, grouped, in_words, sentence
from gnomon_reports.run import DISAGREEMENT, Run

SHOWN, FOLDED, MOST = 8, 7, 16  # all of eight; of more, seven and a line that opens the rest
CLIP, HEIGHT = 3.0, 44


def criteria_table(run: Run) -> Markup:
    """Failing ones, then open ones and the tightest passes as far as there is room; the rest folded."""
    if run.comparison.part is not None:
        return group(
            h2("No criterion is judged on a part", cls="h3"),
            p("Criteria are about all of the traffic, over days that were not chosen.", cls="line"),
        )
    if run.verdict is None:
        return group(
            h2("No criterion was judged", cls="h3"),
            p("This comparison was made without a policy.", cls="line"),
        )
    if not run.criteria:
        return group(h2("No criterion was judged", cls="h3"), p(grouped(run.verdict.reason), cls="line"))
    failing = sum(c.state in ("fail", "invalid") for c in run.criteria)
    shown = SHOWN if len(run.criteria) <= SHOWN else max(FOLDED, min(failing, MOST))
    first, rest = run.criteria[:shown], run.criteria[shown:]
    axis = _axis(run.criteria)
    return group(
        h2(_title(run), cls="h3"),
        _table(run, first, axis),
        details(summary(_rest(rest)), _table(run, rest, axis), cls="more") if rest else None,
        *(p(words, cls="line") for words in _why(run)),
        p("Bar: the bounds that decide, valid under polling. Grey block: noise floor.", cls="line"),
    )


def _axis(criteria: Sequence[Criterion]) -> Scale:
    reach = [
        _over(c, end) for c in criteria for end in (c.estimate, c.low, c.high) if end is not None and c.limit
    ]
    return Scale(-0.2, min(CLIP, max(1.5, 1.05 * max(reach))) if reach else 1.5)


def _over(criterion: Criterion, number: float) -> float:
    """`number` in limits; a limit of none is passed by the first one."""
    if criterion.limit == 0:
        return 0.0 if number <= 0 else CLIP + 1
    return number / criterion.limit


def _title(run: Run) -> str:
    """Counts of states: what the bounds have shown, and no more."""
    if run.verdict is not None and run.verdict.verdict == "INVALID":
        return "What the criteria would say, were the data sound"
    numbers = {
        state: sum(c.state == state for c in run.criteria) for state in ("fail", "invalid", "open", "pass")
    }
    verb = {n: "is" if n == 1 else "are" for n in numbers.values()}
    parts = [
        (numbers["fail"], "beyond the limit"),
        (numbers["invalid"], "not to be judged"),
        (numbers["open"], "open"),
        (numbers["pass"], "within"),
    ]
    told = [f"{in_words(n)} {verb[n]} {what}" for n, what in parts if n]
    if len(told) == 1:
        n, what = next((n, what) for n, what in parts if n)
        return f"All {in_words(n)} criteria are {what}" if n > 1 else f"The criterion is {what}"
    first = next(n for n, _ in parts if n)
    told[0] = told[0].replace(
        in_words(first), f"{in_words(first)} {'criterion' if first == 1 else 'criteria'}", 1
    )
    return sentence(", ".join(told))


def _rest(rest: Sequence[Criterion]) -> str:
    states = {state: sum(c.state == state for c in rest) for state in ("fail", "open", "pass")}
    return ", ".join(f"{about(n)} more {state}" for state, n in states.items() if n)


def _why(run: Run) -> list[Content]:
    """What the gate says of those that fail or are open."""
    unsettled = [c for c in run.criteria if c.state in ("open", "invalid")]
    return [say("{name}: {why}", name=wording(run, c).name, why=grouped(c.why)) for c in unsettled[:2]]


def _table(run: Run, criteria: Sequence[Criterion], axis: Scale) -> Markup:
    marks = [(0.0, ("same", "as primary")), (1.0, ("limit",)), (2.0, ("2 × limit",))]
    head = picture(
        30,
        *(
            words(axis(at), 26 - 14 * (len(names) - 1 - row), name, cls="h b" if at == 1 else "h")
            for at, names in marks
            if at <= axis.high * 0.95
            for row, name in enumerate(names)
        ),
    )
    return table(
        caption("Criteria of the policy: estimate and bounds against the limit", cls="vh"),
        thead(
            tr(
                th("Finding", scope="col"),
                th("Criterion", scope="col"),
                th(span("Bounds against the limit", cls="vh"), head, scope="col", cls="pic"),
                th("Estimate", br(), "bounds", scope="col", cls="num"),
                th("Limit", br(), "pairs", scope="col", cls="num hidem"),
            )
        ),
        tbody(*(_row(run, criterion, axis) for criterion in criteria)),
        cls="t crit",
    )


def _row(run: Run, criterion: Criterion, axis: Scale) -> Markup:
    name, found, limit = wording(run, criterion), estimate_of(criterion), limit_of(criterion)
    n = f"n {about(criterion.n)}"
    state = (
        "too few"
        if criterion.state == "open" and criterion.low is None and criterion.high is None
        else criterion.state
    )
    return tr(
        td(chip(criterion.state, state)),
        th(name.name, small(name.about), small(f"limit {limit} · {n}", cls="onlym"), scope="row"),
        td(_picture(run, criterion, name, axis), cls="pic"),
        td(b(found.text), small(found.span), cls="num est"),
        td(limit, small(n), cls="num hidem"),
        cls="hot" if criterion.state in ("fail", "invalid") else None,
    )


def _picture(run: Run, criterion: Criterion, name: Wording, axis: Scale) -> Markup:
    found = estimate_of(criterion)
    said = f"{plain(name.name)}: {found.text}, bounds {found.span}, limit {limit_of(criterion)}: {criterion.state}"
    limit = axis(1)
    noise = run.comparison.disagreement.noise
    block: Content = None
    if criterion.name in DISAGREEMENT and noise and criterion.limit:
        block = rect(
            cls="noise",
            x=percent(axis(0)),
            width=percent(axis(noise / criterion.limit) - axis(0)),
            y=13,
            height=18,
        )

    def place(number: float | None) -> float | None:
        return None if number is None else _over(criterion, number)

    estimate, low, high = place(criterion.estimate), place(criterion.low), place(criterion.high)
    beyond = estimate is not None and estimate > axis.high
    if criterion.unit == "count" or (low is not None and low > 0.95 * axis.high):
        low = high = None
    return picture(
        HEIGHT,
        rect(cls="over", x=percent(limit), width=percent(1 - limit), y=0, height=HEIGHT),
        vertical("zero", axis(0), 0, HEIGHT),
        vertical("limit", limit, 0, HEIGHT),
        block,
        interval(axis, None if beyond else estimate, low, high, HEIGHT),
        words(1, 26, f"{found.number} →", cls="e b", dx=-4) if beyond else None,
        label=said,
        cls=criterion.state,
    )
