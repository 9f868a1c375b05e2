"""How was this computed? Policy, figures and their SQL, versions, definitions, limits of the method."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_reports.figure import QUERIES, Figure, Section, code_block, more
from gnomon_reports.markup import Content, Markup, a, code, dd, div, dl, dt, group, li, p, ul, value
from gnomon_reports.numerals import about, day, many, minute
from gnomon_reports.run import Run

DEFINITIONS: tuple[tuple[str, str, str], ...] = (
    ("noise", "Noise floor", "How often the models disagree with themselves: a sample of requests is answered twice by each. What any candidate would show, even the primary itself."),
    ("excess", "Disagreement above noise", "The share of answers that differ, less the noise floor and serving skew. This is what is judged."),
    ("flip", "Flip", "An answer whose label changes from one model to the other."),
    ("interval", "Interval, [a, b]", "Where the long-run figure lies for traffic like that of these days, with 95\u202f% confidence, however often one looks. It comes from whole days, not from single requests, because requests of one day resemble each other. There is none before 7 days; an end may be none yet."),
    ("bounds", "Bounds that decide", "The upper end at the level of PROMOTE, the lower end at that of REJECT, where all criteria are controlled together. A criterion passes when its upper bound is within the limit at a look, and fails when its lower bound is beyond it."),
    ("counted", "Counted", "A number over the traffic seen. It is exact, and says nothing about other days."),
    ("day", "Whole day", "24 hours from the window's first full hour, UTC, read past its end in every partition. Days without traffic are not counted."),
    ("skew", "Serving skew", "How often the primary, run again on the captured features, answers otherwise than was served, less how often it disagrees with itself. Then the features captured are not those that were served."),
    ("psi", "PSI", "Population stability index: how far two distributions lie apart, over the same bins. By convention 0.1 is worth a look and 0.25 is large. Debiased: what two samples of this size would show anyway is taken off."),
    ("chance", "What chance shows", "The distance that two samples of these sizes show though nothing moved: exceeded in 5 of 100 cases by independent rows. Requests of one day resemble each other, so whole days show more."),
    ("auc", "Told apart, AUC", "How often a classifier, given one request of each side from days that it was not trained on, says which is which by their features. 0.5 is guessing, 1 is certainty."),
    ("lift", "Share of flips, share of traffic", "A segment that holds more of the flips than of the traffic disagrees more often than the rest."),
    ("p95", "p95", "The time within which 95 of 100 requests are answered. Both models are timed on the same requests, one at a time, warm, in random order."),
    ("critical", "Critical error", "A request on which the candidate crashes or hangs, and does so again alone in a fresh process."),
    ("ledger", "Ledger", "What a capturing process reports of itself: how many requests it saw, did not select, sent, and dropped. It lets the other end tell whether anything is missing."),
)  # fmt: skip

METHOD: tuple[str, ...] = (
    "A shadow test is open loop: nobody acted on the candidate's answers, so what people would have done is not in it.",
    "Intervals from days are exact for independent days of any variance, and checked by simulation on real, skewed days. Seasons and rare kinds of day that did not occur are not covered.",
    "Latency is that of one request at a time in a worker, on this machine; not of serving under load.",
    "Segments explain where; only those that the policy declared beforehand are judged.",
)


def how_section(run: Run) -> Section:
    comparison, subject = run.comparison, run.comparison.subject
    version = (
        "an empty log"
        if subject.log_version is None
        else f"version {about(subject.log_version)} of the table"
    )
    answer: list[Content] = [
        group(
            f"From {version} ",
            code(value(subject.log, 60)),
            ", read once; this file holds aggregates",
            " and the cases above." if run.examples and comparison.examples else ".",
        ),
        "Looking often does not raise the share of false alarms: the bounds hold at every look.",
    ]
    parts = [
        more("Policy", _policy(run), ident="how-policy"),
        more("What each word means", _definitions(), ident="how-words"),
        more(f"SQL: {many(len(comparison.queries), 'query', 'queries')}", _queries(run), ident="how-sql"),
        more("Versions and digests", _versions(run), ident="how-versions"),
        more("Limits of the method", ul(*map(li, METHOD), cls="plain"), ident="how-limits"),
    ]
    body = Figure("how-all", "Everything needed to check this page", "each opens", div(*parts, cls="method"))
    return Section("how", "Method", "How was this computed?", answer, [body])


def _policy(run: Run) -> Content:
    verdict = run.verdict
    digest = p("Digest ", code(verdict.policy_digest), cls="line") if verdict is not None else None
    if run.policy_text is None:
        words = "No policy." if verdict is None else "The policy's text was not given; its digest is this."
        return group(p(words), digest)
    return group(code_block(run.policy_text, "Policy"), digest)


def _definitions() -> Markup:
    return dl(
        *(group(dt(word, id=f"def-{ident}"), dd(meaning)) for ident, word, meaning in DEFINITIONS),
        cls="words",
    )


def _queries(run: Run) -> Content:
    queries = run.comparison.queries
    if not queries:
        return p("This comparison kept no SQL.")
    shown = {name: figure for figure, names in QUERIES.items() for name in (figure, *names)}
    here = [query for query in queries if query.figure not in shown]
    beside = [query for query in queries if query.figure in shown]
    links = [li(a(value(query.figure, 40), href=f"#{shown[query.figure]}")) for query in beside]
    return group(
        p("Beside the figures: open SQL under ", cls="line") if links else None,
        ul(*links, cls="inline") if links else None,
        *(
            group(p(value(query.figure, 60), cls="line"), code_block(query.sql, f"SQL of {query.figure}"))
            for query in here
        ),
    )


def _versions(run: Run) -> Markup:
    comparison, subject, verdict = run.comparison, run.comparison.subject, run.verdict
    rows: list[tuple[str, Content]] = [
        ("gnomon", comparison.gnomon_version),
        ("computed", minute(comparison.generated_at)),
        ("experiment", value(subject.experiment)),
        ("task", value(subject.task)),
        ("primary", group(run.primary, " ", _digest(subject.primary_digest))),
        *(
            ("also in these rows", _digest(digest))
            for digest in subject.primary_digests
            if digest != subject.primary_digest
        ),
        ("candidate", group(run.candidate, " ", _digest(subject.candidate_digest))),
        ("traffic", code(value(subject.traffic, 200))),
        ("log", code(value(subject.log, 200))),
        ("table version", "none" if subject.log_version is None else str(subject.log_version)),
        ("answered twice", f"{many(comparison.disagreement.noise_n, 'pair')}"),
    ]
    if subject.first_ts is not None:
        rows.append(("window from", minute(subject.first_ts)))
    if subject.last_ts is not None:
        rows.append(("window to", minute(subject.last_ts)))
    if verdict is not None and verdict.look is not None:
        look = run.look_date(verdict.look)
        rows.append(("look", f"{many(verdict.look, 'whole day')}" + (f", from {day(look)}" if look else "")))
    return dl(*_facts(rows), cls="facts")


def _facts(rows: Sequence[tuple[str, Content]]) -> list[Markup]:
    return [group(dt(name), dd(fact)) for name, fact in rows]


def _digest(digest: str | None) -> Content:
    return code(value(digest, 80)) if digest else "no digest"
