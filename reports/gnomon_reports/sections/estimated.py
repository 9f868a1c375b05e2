"""Before labels: what accuracy would be if the scores were true chances. An estimate, and marked as one."""

from __future__ import annotations

from gnomon_diff.comparison import EstimatedAccuracy

from gnomon_reports.figure import Figure, grid, num
from gnomon_reports.markup import Content, group, say
from gnomon_reports.numerals import count
from gnomon_reports.run import Run
from gnomon_reports.sections.measures import percent


def estimated_figure(run: Run, found: EstimatedAccuracy) -> Figure:
    rows: list[list[Content]] = [
        [say("if {name}'s scores are true chances", name=name), percent(a), percent(b)]
        for name, (a, b) in ((run.primary, found.by_primary), (run.candidate, found.by_candidate))
    ]
    return Figure(
        "right-estimated",
        "An estimate, not a measurement: accuracy from the scores alone",
        "the mean chance of the answers given, by either model's scores (CBPE, as NannyML has it; arXiv 2401.08348); not judged by the gate",
        grid("Estimated accuracy", ["assumed", num(run.primary), num(run.candidate)], rows),
        foot=[f"n {count(found.n)}", f"no interval: {found.reason}"],
    )


def estimated_words(run: Run, found: EstimatedAccuracy) -> Content:
    """Who would be better, where both assumptions agree; by its own scores each model looks best."""
    (a, b), (c, d) = found.by_primary, found.by_candidate
    if a == b and c == d:
        verdict: Content = "both would be right equally often"
    elif a >= b and c >= d:
        verdict = group(run.primary, " would be right more often by either's scores")
    elif b >= a and d >= c:
        verdict = group(run.candidate, " would be right more often by either's scores")
    else:
        verdict = "the scores do not say who is better, since by its own each model is"
    return say(
        "An estimate until then, if scores are true chances: {primary} {own}, {candidate} {other}, each by its own "
        "scores; {verdict}. It never enters the gate.",
        primary=run.primary,
        own=percent(a),
        candidate=run.candidate,
        other=percent(d),
        verdict=verdict,
    )
