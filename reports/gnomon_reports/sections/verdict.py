"""The first screen: verdict, four answers, criteria, what ran, from served to labelled, what it cannot tell."""

from __future__ import annotations

from gnomon_reports.accounts import balance_chip, funnel
from gnomon_reports.answers import answers
from gnomon_reports.limits import limits
from gnomon_reports.marks import chip, shape
from gnomon_reports.markup import Content, Markup, aside, dd, div, dl, dt, group, h1, h2, li, p, section, ul
from gnomon_reports.numerals import about, count, grouped, many, period, share
from gnomon_reports.part import described
from gnomon_reports.run import Run
from gnomon_reports.sections.criteria import criteria_table
from gnomon_reports.sentences import not_judged, verdict_sentence, verdict_state, verdict_word


def verdict_section(run: Run) -> Markup:
    """All that fits on one screen; the rest of the page only says why."""
    return group(_band(run), div(div(_criteria(run), _beside(run), cls="first"), cls="wrap"))


def _band(run: Run) -> Markup:
    state, verdict = verdict_state(run), run.verdict
    notes = list(verdict.notes) if verdict is not None and run.comparison.part is None else []
    if (
        run.comparison.part is None
        and verdict is not None
        and verdict.advisory
        and not any("advisory" in note.lower() for note in notes)
    ):
        notes.append("This policy is advisory: the pipeline was not stopped.")
    return section(
        div(
            div(
                h1(shape(state, 42), verdict_word(run), cls=state),
                p(verdict_sentence(run)),
                cls="headline",
            ),
            ul(*(li(grouped(note)) for note in notes), cls="notes") if notes else None,
            dl(*(div(dt(name), dd(answer)) for name, answer in answers(run)), cls="answers"),
            cls="wrap",
        ),
        id="verdict",
        cls=f"verdict {state}",
        aria_label="Verdict",
    )


def _criteria(run: Run) -> Markup:
    return div(criteria_table(run), _checks(run), _not_judged(run), id="verdict-criteria")


def _checks(run: Run) -> Markup:
    """Whether the data can carry a verdict at all."""
    accounts, coverage, found = run.comparison.accounts, run.comparison.coverage, run.comparison.disagreement
    part = run.comparison.part
    if part is not None and part.where is not None:
        checks = [chip("none", "no accounts of a condition", quiet=True)]
    else:
        checks = [
            balance_chip(run, "accounts balance", "accounts do not balance"),
            *([_missing(accounts.missing)] if accounts.mirrored else []),
        ]
    if coverage.frac is not None:
        checks.append(chip("none", f"{share(coverage.frac * 1e4, 1e4)} of the traffic covered", quiet=True))
    if found.skew is None:
        checks.append(chip("none", "serving skew not measured", quiet=True))
    else:
        checks.append(
            chip("none", f"serving skew {share(abs(found.skew) * found.noise_n, found.noise_n)}", quiet=True)
        )
    return p("Data", *checks, cls="checks")


def _missing(missing: int | None) -> Markup:
    if missing is None:
        return chip("open", "some may be missing: the traffic was away")
    return chip("fail", f"{about(missing)} missing") if missing else chip("pass", "nothing missing")


def _not_judged(run: Run) -> Content:
    verdict = run.verdict
    if verdict is None or not verdict.not_judged or run.comparison.part is not None:
        return None
    return p(f"Not judged: {'; '.join(not_judged(verdict))}.", cls="line")


def _beside(run: Run) -> Markup:
    return aside(
        div(h2("What ran", cls="h3"), dl(*_ran(run), cls="facts")),
        funnel(run),
        div(
            h2("What this shadow cannot tell", cls="h3"),
            ul(*map(li, limits(run))),
            cls="cannot",
            id="verdict-limits",
        ),
        cls="beside",
        aria_label="What ran, and what it cannot tell",
    )


def _ran(run: Run) -> list[Markup]:
    comparison, subject = run.comparison, run.comparison.subject
    facts: list[tuple[str, Content]] = []
    if comparison.part is not None:
        facts.append(("Part", described(comparison.part)))
    if subject.first_ts is not None and subject.last_ts is not None:
        facts.append(("Window", f"{period(subject.first_ts, subject.last_ts)} UTC"))
    hours = comparison.coverage.hours_of_week
    seen = sum(n > 0 for row in hours for n in row)
    facts.append(("Days", f"{count(run.whole_days)} whole"))
    facts.append(("Hours", f"{seen} of 168 of the week seen"))
    facts.append(("Pairs", count(comparison.accounts.paired)))
    timed = comparison.latency.n if comparison.latency is not None else 0
    facts.append(
        ("Rerun", f"{many(comparison.disagreement.noise_n, 'pair')} twice, {about(timed)} timed alone")
    )
    return [group(dt(name), dd(fact)) for name, fact in facts]
