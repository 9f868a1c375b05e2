"""What does it cost to serve? Latency of both models run alone, and errors by kind."""

from __future__ import annotations

from gnomon_diff.comparison import Latency, Quantile

from gnomon_reports.charts.latency import latency_chart, sides
from gnomon_reports.figure import Column, Figure, Section, grid, num
from gnomon_reports.marks import chip
from gnomon_reports.markup import Content, code, group, plain, say, span, strong, value
from gnomon_reports.numerals import (
    MS_OF_US,
    TIMES,
    about,
    count,
    fixed,
    in_words,
    many,
    places,
    quote,
    sentence,
    share,
)
from gnomon_reports.run import Run
from gnomon_reports.sentences import kind_words

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def cost_section(run: Run) -> Section:
    figures = [figure for figure in (*_latency(run), _errors(run)) if figure is not None]
    empty = None if figures else "Nothing was timed and nothing failed."
    return Section("cost", "Cost", "What does it cost to serve?", _answer(run), figures, empty)


def _answer(run: Run) -> list[Content]:
    latency, accounts = run.comparison.latency, run.comparison.accounts
    answer: list[Content] = []
    if latency is None or latency.n == 0:
        why = (
            latency.reason
            if latency is not None and latency.reason
            else "the primary was not run out of band; name its model"
        )
        answer.append(group(strong("Not known."), f" No request was timed: {why}."))
    elif latency.ratio_p95 is None:
        answer.append(
            f"{many(latency.n, 'request')} timed: {latency.reason or 'too few for the 95th percentile'}."
        )
    else:
        ratio = quote(TIMES, latency.ratio_p95, latency.ratio_low, latency.ratio_high)
        answer.append(
            say(
                "{bold}{ends}, on {n} timed alone.{why}",
                bold=strong(f"p95 is {ratio.text} that of the primary"),
                ends=ratio.bracket,
                n=many(latency.n, "request"),
                why=_judged(run),
            )
        )
    failed = accounts.paired - accounts.predicted
    critical = sum(error.critical for error in run.comparison.errors if error.side == "candidate")
    if accounts.paired:
        crashes = f", {in_words(critical)} critical" if critical else "; none critical"
        answer.append(
            say(
                "{n} of {all} requests failed in {candidate}{crashes}.",
                n=about(failed),
                all=about(accounts.paired),
                candidate=run.candidate,
                crashes=crashes if failed else "",
            )
        )
    return answer


def _judged(run: Run) -> Content:
    for criterion in run.criteria:
        if criterion.name == "latency_p95" and criterion.state == "open" and criterion.why:
            return f" Open: {criterion.why.rstrip('.')}."
    return ""


def _latency(run: Run) -> list[Figure | None]:
    latency = run.comparison.latency
    if latency is None or latency.n == 0:
        return []
    return [_ecdf(run, latency), _quantiles(run, latency)]


def _ecdf(run: Run, latency: Latency) -> Figure | None:
    if len(latency.pairs_us) < 2:
        return None
    title = _ecdf_title(run, latency)
    of = f", {count(len(latency.pairs_us))} of them drawn" if len(latency.pairs_us) < latency.n else ""
    return Figure(
        "cost-ecdf",
        title,
        "share answered within; one request at a time, warm, in random order; bars: 95\u202f% intervals of the quantiles",
        latency_chart("cost-ecdf", plain(group(title, f", n {about(latency.n)}")), run, latency),
        foot=[
            f"n {count(latency.n)} timed{of}",
            *([f"{many(latency.threads, 'thread')} each"] if latency.threads else []),
        ],
        data=_times_table(run, latency),
        width=6,
        wide=6,
    )


def _times_table(run: Run, latency: Latency) -> Content:
    first, second = sides(run, latency)
    picked = [
        next(index for index, (_, at) in enumerate(first.points) if at >= 100 * share_of - 1e-9)
        for share_of in _SHARES
        if first.points[-1][1] >= 100 * share_of - 1e-9
    ]
    rows: list[list[Content]] = [
        [
            f"{first.points[index][1]:.0f}\u202f%",
            milliseconds(1000 * first.points[index][0]),
            milliseconds(1000 * second.points[index][0]),
        ]
        for index in picked
    ]
    return grid(
        "Time within which a share is answered", ["answered", num(run.primary), num(run.candidate)], rows
    )


def _ecdf_title(run: Run, latency: Latency) -> Content:
    """Slower or faster only where the two intervals of every known quantile lie apart."""
    known = [
        q
        for q in latency.quantiles
        if None not in (q.primary_low, q.primary_high, q.candidate_low, q.candidate_high)
    ]
    slower = [q for q in known if (q.candidate_low or 0) > (q.primary_high or 0)]
    faster = [q for q in known if (q.candidate_high or 0) < (q.primary_low or 0)]
    if known and len(slower) == len(known):
        return say("{candidate} is slower at every quantile", candidate=run.candidate)
    if known and len(faster) == len(known):
        return say("{candidate} is faster at every quantile", candidate=run.candidate)
    return "Time to answer"


def _quantiles(run: Run, latency: Latency) -> Figure:
    ratio = quote(TIMES, latency.ratio_p95, latency.ratio_low, latency.ratio_high)
    title = (
        f"p95 is {ratio.text}{ratio.bracket}"
        if latency.ratio_p95 is not None and ratio.bracket
        else "Latency by quantile"
    )
    served = (
        ""
        if latency.served_p95_us is None
        else f"served {_served(latency)}, n {count(latency.served_n)}, never compared"
    )
    return Figure(
        "cost-quantiles",
        title,
        "timed side by side; the bracket is the 95\u202f% interval of the quantile",
        _quantile_table(run, latency),
        foot=[f"n {count(latency.n)} each", *([served] if served else [])],
        width=6,
        wide=6,
    )


def _served(latency: Latency) -> str:
    quantiles = latency.served_us or {"p95": latency.served_p95_us or 0.0}
    return ", ".join(f"{name} {milliseconds(us)}" for name, us in quantiles.items())


def milliseconds(us: float) -> str:
    """Three significant digits."""
    ms = us / 1000
    return f"{fixed(ms, min(places(ms, 3), 3))}\u202fms"


def _quantile_table(run: Run, latency: Latency) -> Content:
    rows: list[list[Content]] = []
    for one in latency.quantiles:
        plain_ratio = one.candidate_us / one.primary_us if one.primary_us else None
        ratio = quote(TIMES, plain_ratio, one.ratio_low, one.ratio_high)
        rows.append(
            [
                f"p{100 * one.p:g}",
                *_side(one.primary_us, one.primary_low, one.primary_high, one, latency.n),
                *_side(one.candidate_us, one.candidate_low, one.candidate_high, one, latency.n),
                group(ratio.text, ratio.bracket)
                if ratio.bracket
                else ("n/a" if plain_ratio is None else f"{fixed(plain_ratio, 2)}\u202f×"),
            ]
        )
    heads: list[Column | str] = [
        "quantile",
        num(run.primary),
        num("interval"),
        num(run.candidate),
        num("interval"),
        num("ratio"),
    ]
    return grid("Latency by quantile", heads, rows)


def _side(us: float, low: float | None, high: float | None, one: Quantile, n: int) -> list[Content]:
    if low is None or high is None:
        beyond = round(n * (1 - one.p))
        return [milliseconds(us), span(f"n/a, {count(beyond)} beyond", cls="mut")]
    found = quote(MS_OF_US, us, low, high)
    return [found.text, found.span]


def _errors(run: Run) -> Figure | None:
    errors = [error for error in run.comparison.errors if error.n]
    accounts = run.comparison.accounts
    if not accounts.paired:
        return None
    names: dict[str, Content] = {
        "served": "what users got",
        "primary": run.primary,
        "candidate": run.candidate,
    }
    own = sum(error.n for error in errors if error.side == "candidate")
    critical = sum(error.critical for error in errors if error.side == "candidate")
    if not errors:
        body: Content = "No error on either side."
        title: Content = "No errors"
    else:
        rows: list[list[Content]] = [
            [
                group(kind_words(error.kind), " ", chip("fail", "critical") if error.critical else None),
                names[error.side],
                count(error.n),
                count(error.critical),
                fixed(1e5 * error.n / accounts.paired, places(1e5 * error.n / accounts.paired, 2)),
                group(
                    code(value(error.example)) if error.example is not None else span("none kept", cls="mut"),
                    *(group(" · ", code(value(one.request_id, 40))) for one in error.examples),
                ),
            ]
            for error in sorted(errors, key=lambda error: (-error.critical, -error.n))
        ]
        columns: list[Column | str] = [
            "kind",
            "side",
            num("requests"),
            num("critical"),
            num("per 100\u202fk"),
            "one of the messages · requests drawn",
        ]
        body = grid("Errors by kind", columns, rows)
        title = say(
            "{n} of {candidate}, {critical} critical",
            n=sentence(f"{in_words(own)} {'error' if own == 1 else 'errors'}"),
            candidate=run.candidate,
            critical="none" if not critical else in_words(critical),
        )
    return Figure(
        "cost-errors",
        title,
        "by kind; critical: crashed or hung, and again when asked alone",
        body,
        foot=[
            f"n {count(accounts.paired)}",
            f"{share(own, accounts.paired)} failed",
            "counted over the traffic seen, so no interval",
        ],
    )
