"""Slices found by search: what was shown on the part of the log that they were not found on."""

from __future__ import annotations

from gnomon_diff.comparison import Slice, SliceSearch
from gnomon_diff.quoting import literal

from gnomon_reports.figure import Column, Figure, code_block, grid, more, num
from gnomon_reports.marks import Scale, chip, interval, picture, ticks, vertical, words
from gnomon_reports.markup import Content, b, code, group, say, small, span
from gnomon_reports.numerals import (
    PERCENT,
    POINTS,
    THIN,
    TIMES,
    Unit,
    count,
    in_words,
    many,
    places,
    quote,
    sentence,
    share,
    significant,
)
from gnomon_reports.run import Run

HEIGHT = 22


def slices_figure(run: Run) -> Figure | None:
    """Confirmed ones first; none before a search was made, or where there is nothing to compare."""
    search = run.comparison.slices
    if search is None or run.comparison.disagreement.n < 2:
        return None
    foot: list[Content] = [
        f"searched on {many(search.searched_n, 'pair')}, seed {search.seed}",
        f"tested on {many(search.test_n, 'pair')} of {many(search.test_days, 'day')}",
        f"{count(search.proposed)} tested, {_confirmed(search)} confirmed",
        f"false discovery rate {search.alpha:.0%}".replace("%", f"{THIN}%"),
    ]
    line = (
        f"found on half of the keys and even days, tested on the other half and odd days; "
        f"{_unit(search)} on the test part; limit {_limit(search)}"
    )
    if not search.slices:
        return Figure("where-slices", "No slice was found", line, f"{_capital(search.reason)}.", foot=foot)
    return Figure("where-slices", _title(search), line, _body(run, search), foot=foot)


def slice_sentence(run: Run) -> Content | None:
    """For the answer: the strongest of the confirmed; nothing where none is."""
    search = run.comparison.slices
    confirmed = [one for one in search.slices if one.confirmed] if search is not None else []
    if search is None or not confirmed:
        return None
    found = quote(_quoted(search), *_bounds(search, confirmed[0]))
    return say(
        "Searched for and then tested apart, {where} is shown beyond {limit}: {words}{ends}{noise}.",
        where=code(confirmed[0].predicate),
        limit=_limit(search),
        words=found.words,
        ends=found.bracket,
        noise=" above noise" if search.measure == "excess" else ", noise included",
    )


def _title(search: SliceSearch) -> str:
    """What the test has shown; before it, no claim."""
    if search.slices[0].confirmed is None:
        return f"{sentence(in_words(len(search.slices)))} to look at, not tested yet"
    confirmed = _confirmed(search)
    if not confirmed:
        return "No slice is shown beyond the limit"
    verb = "is" if confirmed == 1 else "are"
    return (
        f"{sentence(in_words(confirmed))} of {in_words(search.proposed)} slices {verb} shown beyond the limit"
    )


def _body(run: Run, search: SliceSearch) -> Content:
    axis = _axis(search)
    marks = [at for at in ticks(0, axis.high, 4) if abs(axis(at) - axis(search.limit)) > 0.12]
    head = picture(
        16,
        *(
            words(axis(at), 12, f"{100 * at:g}", cls="" if at == 0 else "h")
            for at in marks
            if axis(at) < 0.95
        ),
        words(axis(search.limit), 12, f"limit {100 * search.limit:g}", cls="h b"),
    )
    columns = [
        Column("Slice", "w30"),
        num("Pairs, flips"),
        num("Lift", narrow=False),
        Column(group(span("Bounds", cls="vh"), head), "pic w20"),
        num("Points, bounds" if search.measure == "excess" else "Share, bounds"),
        Column("Finding"),
    ]
    rows = [
        _row(run, search, one, axis, f"slice-{number}") for number, one in enumerate(search.slices, start=1)
    ]
    of_candidate = f"candidate_digest = {literal(run.comparison.subject.candidate_digest)}"
    sql = [
        code_block(
            f"SELECT * FROM pairs WHERE {of_candidate} AND disagrees AND {one.predicate}",
            f"SQL of slice {number}",
        )
        for number, one in enumerate(search.slices, start=1)
    ]
    note = "Pairs, flips and lift are counted over all traffic seen, the part searched among it, which flatters them."
    untested = search.slices[0].confirmed is None
    reason = f" {_capital(search.slices[0].reason)}." if untested else ""
    return group(
        grid("Slices found by search", columns, rows), small(note + reason), more("Their rows as SQL", *sql)
    )


def _row(run: Run, search: SliceSearch, one: Slice, axis: Scale, ident: str) -> list[Content]:
    estimate, low, high = _bounds(search, one)
    found = quote(_quoted(search), estimate, low, high)
    if one.confirmed is None:
        state, finding = "open", chip("open", "too few days")
    elif one.confirmed:
        state, finding = "fail", chip("fail", "beyond")
    else:
        state, finding = "none", span("not shown", cls="mut")
    drawing = picture(
        HEIGHT,
        vertical("limit", axis(search.limit), 0, HEIGHT),
        interval(axis, estimate, low, high, HEIGHT),
        label=f"{found.text}, bounds {found.span}, limit {_limit(search)}",
        cls=state,
    )
    whole = run.comparison.disagreement
    lift = "n/a" if one.lift is None else f"{one.lift:.{places(one.lift, 2)}f}{TIMES.suffix}"
    return [
        code(one.predicate, id=ident),
        group(
            b(count(one.n)),
            f" ({share(one.n, whole.n)}), ",
            f"{count(one.flips)} ({share(one.flips, whole.flips)})",
        ),
        lift,
        drawing,
        group(
            b(found.number),
            " ",
            span(found.bracket.strip() or "no interval", cls="ends"),
            f", n {count(one.test_n)}",
        ),
        finding,
    ]


def _bounds(search: SliceSearch, one: Slice) -> tuple[float | None, float | None, float | None]:
    if search.measure == "excess":
        return one.excess, one.excess_low, one.excess_high
    return one.test_rate, one.low, one.high


def _axis(search: SliceSearch) -> Scale:
    found = [_bounds(search, one) for one in search.slices]
    reach = max([search.limit, *(estimate for estimate, _, _ in found if estimate is not None)])
    highs = [high for _, _, high in found if high is not None]
    return Scale(0, max(reach * 1.25, min(max(highs, default=0), reach * 2)))


def _confirmed(search: SliceSearch) -> int:
    return sum(one.confirmed is True for one in search.slices)


def _quoted(search: SliceSearch) -> Unit:
    return POINTS if search.measure == "excess" else PERCENT


def _unit(search: SliceSearch) -> str:
    return (
        "points above the noise floor" if search.measure == "excess" else "share that differs, noise included"
    )


def _limit(search: SliceSearch) -> str:
    return significant(100 * search.limit, 3) + _quoted(search).suffix


def _capital(text: str | None) -> str:
    return "" if not text else text[0].upper() + text[1:]
