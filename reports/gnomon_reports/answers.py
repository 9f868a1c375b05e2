"""The four answers beneath the verdict: what differs, where, how sure, what next."""

from __future__ import annotations

from gnomon_diff.comparison import Criterion

from gnomon_reports.markup import Content, a, code, say, strong
from gnomon_reports.numerals import THIN, about, many, minute, rate, share
from gnomon_reports.part import CHOSEN
from gnomon_reports.run import Run, flip_name, segment_name
from gnomon_reports.sentences import FIRST_INTERVAL_DAY, counted, data_state, next_look


def answers(run: Run) -> list[tuple[str, Content]]:
    """The four answers, always these."""
    return [
        ("What differs", what_differs(run)),
        ("Where", where(run)),
        ("How sure", how_sure(run)),
        ("What next", what_next(run)),
    ]


def what_differs(run: Run) -> Content:
    found = run.comparison.disagreement
    state = data_state(run)
    if state is not None or found.flips == 0:
        return state or counted(run)
    quoted = rate(found.rate, found.low, found.high, found.n)
    return say(
        "{size} of answers{how}; {noise}.{direction}",
        size=strong(quoted.text),
        how=quoted.bracket or f", counted over {many(found.n, 'pair')}",
        noise=noise_twin(run),
        direction=direction(run),
    )


def noise_twin(run: Run) -> str:
    found = run.comparison.disagreement
    if found.noise is None:
        return "the noise floor was not measured"
    if not found.noise:
        return f"no noise: {about(found.noise_n)} asked twice, answered alike"
    return f"noise alone gives {share(found.noise * found.noise_n, found.noise_n)}"


def direction(run: Run) -> Content:
    """The way most flips go, if most go one way."""
    flips = sum(flip.n for flip in run.changes)
    if flips < 10 or 2 * run.changes[0].n <= flips:
        return ""
    return say(" Mostly {flip}.", flip=flip_name(run.changes[0]))


def where(run: Run) -> Content:
    segment, found = run.standout, run.comparison.disagreement
    if segment is None:
        return nowhere(run)
    return say(
        "{segment}: {traffic} of traffic, {flips} of the {name}, counted.",
        segment=strong(segment_name(segment.key)),
        traffic=share(segment.n, found.n),
        flips=share(segment.flips, found.flips),
        name=run.flips,
    )


def nowhere(run: Run) -> str:
    """Why no segment is named."""
    segments = run.comparison.segments
    if not segments:
        return "No segments were compared."
    if all(segment.low is None for segment in segments):
        return "Not known yet: no segment has an interval."
    return "In no segment is it shown to be more than over all traffic."


def how_sure(run: Run) -> Content:
    verdict, days = run.verdict, run.whole_days
    if run.comparison.part is not None:
        return CHOSEN
    if verdict is not None and verdict.verdict == "INVALID" and not run.comparison.accounts.rows:
        return "Not at all: there is no data yet."
    if verdict is not None and verdict.verdict == "INVALID":
        return "Not at all: this data cannot carry a verdict until it is mended."
    if verdict is not None and verdict.verdict == "REJECT":
        worst = next((c for c in run.criteria if c.state == "fail"), None)
        if worst is not None and worst.unit == "count":
            return "Counted over the traffic seen; a count needs no interval."
        return f"Shown after {many(days, 'whole day')}, however often one looked in between."
    if days < FIRST_INTERVAL_DAY:
        return f"Counted only: no interval before {FIRST_INTERVAL_DAY} days, there {'is' if days == 1 else 'are'} {about(days)}."
    if verdict is None:
        return f"Intervals are 95{THIN}%, for traffic like that of these {many(days, 'day')}."
    if verdict.verdict == "PROMOTE":
        return f"All bounds within their limits at one look, after {many(verdict.look or days, 'whole day')}."
    return f"Bounds from {many(days, 'whole day')}; some still lie on both sides of their limit."


def what_next(run: Run) -> Content:
    verdict = run.verdict
    if run.comparison.part is not None:
        return say("{command} judges all of the traffic.", command=code("gnomon gate"))
    if verdict is None:
        return say(
            "Declare what is allowed in {gate}, then run {command}.",
            gate=code("[gate]"),
            command=code("gnomon gate"),
        )
    if verdict.verdict == "PROMOTE":
        until = "" if verdict.valid_until is None else f" before {minute(verdict.valid_until)}"
        limits = a("what this shadow cannot tell", href="#verdict-limits")
        return say("Promote{until}; after that, ask again. First read {limits}.", until=until, limits=limits)
    if verdict.verdict == "INVALID" and not run.comparison.accounts.rows:
        return say(
            "There is no data yet: {command} reads the traffic and fills the log.",
            command=code("gnomon replay"),
        )
    if verdict.verdict == "INVALID":
        target, name = "#input", "the log"
        if not run.balanced:
            target, name = "#input-accounts", "the accounts"
        elif run.skewed:
            target, name = "#skew", "serving skew"
        return say("Mend the data first; start with {link}.", link=a(name, href=target))
    if verdict.verdict == "HOLD":
        link = a("what is open", href="#verdict-criteria")
        if verdict.expired:
            return say("Start a new run, or change the candidate; see {link}.", link=link)
        return say("Let it run. {next} Meanwhile see {link}.", next=next_look(run, verdict), link=link)
    return _repair(run, next((c for c in run.criteria if c.state == "fail"), None))


def _repair(run: Run, worst: Criterion | None) -> Content:
    """Where the evidence for the failing criterion lies."""
    if worst is None:
        return a("See the criteria", href="#verdict-criteria")
    if worst.name == "latency_p95":
        return say("Find where the time goes: {link}.", link=a("latency by quantile", href="#cost-quantiles"))
    if worst.name in ("error_rate", "critical_errors"):
        return say("Mend the {link}.", link=a("errors", href="#cost-errors"))
    if worst.name == "accuracy":
        return say("See {link}.", link=a("who is right", href="#right"))
    return say(
        "Read the {cases}{segment}.{right}",
        cases=a("cases", href="#cases"),
        segment=say(" of {name}", name=segment_name(worst.segment)) if worst.segment else "",
        right=say(" Then see {link}.", link=a("who is right", href="#right"))
        if run.comparison.correctness
        else "",
    )
