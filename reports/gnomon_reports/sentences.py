"""The verdict in a sentence, and the four answers beneath it.

Sentences are templates over the run's own figures. None says more than its interval: a share over the
traffic seen is called counted, a statement about other days carries its ends.
"""

from __future__ import annotations

from gnomon_diff.comparison import Criterion, Verdict

from gnomon_reports.criteria import estimate_of, limit_number, limit_of, wording
from gnomon_reports.markup import Content, group, plain, say, strong
from gnomon_reports.numerals import about, day, grouped, in_words, many, rate, sentence, share
from gnomon_reports.part import part_sentence
from gnomon_reports.run import Run, segment_name

FIRST_INTERVAL_DAY = 7
WORDS = {"PROMOTE": "pass", "REJECT": "fail", "HOLD": "open", "INVALID": "invalid"}


def verdict_word(run: Run) -> str:
    if run.comparison.part is not None:
        return "A PART"  # whoever judged it: no verdict is shown on a part
    return "NOT JUDGED" if run.verdict is None else run.verdict.verdict


def verdict_state(run: Run) -> str:
    """The state whose colour and shape the verdict has."""
    return WORDS.get(verdict_word(run), "none")


def verdict_sentence(run: Run) -> Content:
    """The verdict, its one reason, the interval of that reason, its limit."""
    verdict = run.verdict
    part = run.comparison.part
    if part is not None:
        return part_sentence(run, part, data_state(run) or counted(run))
    if verdict is None:
        return say("No policy judged this comparison. {what}", what=data_state(run) or counted(run))
    if verdict.verdict == "PROMOTE":
        return _promote(run, verdict)
    if verdict.verdict == "REJECT":
        return _reject(run, verdict)
    if verdict.verdict == "HOLD":
        return _hold(run, verdict)
    return say(
        "No verdict: {reason}", reason=_continued(grouped(verdict.reason).removeprefix("No verdict: "))
    )


def _continued(reason: str) -> str:
    """`reason` as the rest of a sentence; what begins with a name or a number stays as it is."""
    return reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason


def _promote(run: Run, verdict: Verdict) -> Content:
    closest = next((c for c in run.criteria if c.limit), None)
    if closest is None:
        return grouped(verdict.reason)
    return say(
        "Promote {candidate}. {all} shown to lie within {limits}; the closest is {name}, {size}{ends} against {limit}.",
        all=f"All {about(len(run.criteria))} criteria are"
        if len(run.criteria) > 1
        else "Its one criterion is",
        limits="their limits" if len(run.criteria) > 1 else "its limit",
        **_parts(run, closest),
    )


def _reject(run: Run, verdict: Verdict) -> Content:
    failed = [c for c in run.criteria if c.state == "fail"]
    if not failed:
        return grouped(verdict.reason)
    more = len(failed) - 1
    others = (
        f" {sentence(in_words(more))} more {'is' if more == 1 else 'are'} beyond the limit." if more else ""
    )
    return say(
        "Do not promote {candidate}. {why}{others}",
        why=beyond(run, failed[0]),
        others=others,
        candidate=run.candidate,
    )


_BEYOND = {
    "disagreement": "{on} disagrees with {primary} by {size} more than noise explains{ends}; the limit is {limit}.",
    "disagreement_raw": "{on} disagrees with {primary} on {size} of requests{ends}; the limit is {limit}.",
    "error_rate": "{on} fails more often than what users got, by {size}{ends}; the limit is {limit}.",
    "latency_p95": "Its p95 latency is {size}{ends} against {primary}; the limit is {limit}.",
    "accuracy": "{on} loses {size} of the accuracy of {primary}{ends}; the limit is {limit}.",
    "critical_errors": "It crashed or hung on {size} of {n} requests, twice each; the limit is {limit}.",
}


def beyond(run: Run, criterion: Criterion) -> Content:
    """Why a criterion fails."""
    template = _BEYOND.get(criterion.name, "Its {name} is {size}{ends}; the limit is {limit}.")
    on = (
        say("On {segment} it", segment=strong(segment_name(criterion.segment))) if criterion.segment else "It"
    )
    return say(template, on=on, n=about(criterion.n), **_parts(run, criterion))


def _parts(run: Run, criterion: Criterion) -> dict[str, Content]:
    found = estimate_of(criterion)
    return {
        "candidate": run.candidate,
        "primary": run.primary,
        "name": wording(run, criterion).phrase,
        "size": strong(found.words),
        "ends": found.bracket,
        "limit": limit_number(criterion) if criterion.unit != "count" else limit_of(criterion),
    }


def _hold(run: Run, verdict: Verdict) -> Content:
    if verdict.expired:
        return _expired(run, verdict)
    state = data_state(run)
    if state is not None:
        return say("Not yet. {state}", state=state)
    if verdict.look is None and verdict.next_look is not None and verdict.days < verdict.next_look:
        return _too_few_days(run, verdict, verdict.next_look)
    still_open = [c for c in run.criteria if c.state == "open"]
    if verdict.look is None or not still_open:
        return say("Not yet: {reason}", reason=_continued(grouped(verdict.reason).removeprefix("Not yet: ")))
    within, more = sum(c.state == "pass" for c in run.criteria), len(still_open) - 1
    return say(
        "Not yet. {within} of {all} criteria are within limits; {name} is open{at} against {limit}.{more} {next}",
        within=about(within),
        all=about(len(run.criteria)),
        at=say(" at {size}{ends}", **_parts(run, still_open[0]))
        if still_open[0].estimate is not None
        else "",
        more=f" {sentence(in_words(more))} more {'is' if more == 1 else 'are'} open." if more else "",
        next=next_look(run, verdict),
        **_parts(run, still_open[0]),
    )


def _expired(run: Run, verdict: Verdict) -> Content:
    still_open = [c for c in run.criteria if c.state == "open"]
    what: Content = ""
    if still_open and still_open[0].estimate is not None:
        what = say(" {name} is open at {size}{ends} against {limit}.", **_parts(run, still_open[0]))
    return say(
        "Not shown in {days}:{what} That was the last look; a new experiment starts anew.",
        days=many(verdict.days, "day"),
        what=what,
    )


def _too_few_days(run: Run, verdict: Verdict, wanted: int) -> Content:
    early = verdict.days < FIRST_INTERVAL_DAY
    return say(
        "Not yet: {days}. {counted} {next}",
        days=strong(f"{about(verdict.days)} of {many(wanted, 'whole day')}"),
        counted=counted(
            run, f"; what other days bring is not known before day {FIRST_INTERVAL_DAY}" if early else ""
        ),
        next=next_look(run, verdict),
    )


def next_look(run: Run, verdict: Verdict) -> str:
    """When PROMOTE is looked at next; days without traffic do not count, so the date is the earliest."""
    if verdict.next_look is None:
        return ""
    date = run.look_date(verdict.next_look)
    when = "" if date is None else f", {day(date, year=False)} at the earliest"
    return f"Next look: {many(verdict.next_look, 'whole day')}{when}."


def data_state(run: Run) -> Content | None:
    """What keeps this data from saying anything, if it is so."""
    accounts, found = run.comparison.accounts, run.comparison.disagreement
    if accounts.paired == 0:
        return "No pairs in this window."
    if accounts.predicted == 0:
        kind, n = max(accounts.errors.items(), key=lambda item: item[1], default=("error", accounts.paired))
        return say(
            "{candidate} answered nothing: {all} of {all} requests failed, {n} by {kind}.",
            candidate=run.candidate,
            all=about(accounts.paired),
            n=about(n),
            kind=kind_words(kind),
        )
    if found.n == 0:
        return "No pair in which both sides answered."
    if found.n == 1:
        return "One pair: nothing can be estimated."
    return None


def kind_words(kind: str) -> str:
    """A kind of error, or of a dead letter, in words."""
    return {"timeout": "time-out", "nan_output": "NaN"}.get(kind, kind.replace("_", " "))


def counted(run: Run, unknown: str = "") -> str:
    """Disagreement over the traffic seen; with its interval once there is one."""
    found = run.comparison.disagreement
    if found.flips == 0:
        bound = "" if found.high is None else f": at most {rate(found.high, None, None, found.n).text} differ"
        return f"No {run.flips[:-1]} in {many(found.n, 'pair')}{bound}{unknown}."
    if found.low is None and found.high is None:
        size = share(found.flips, found.n)
        return f"Over the traffic seen {about(found.flips)} of {about(found.n)} differed ({size}), counted{unknown}."
    quoted = rate(found.rate, found.low, found.high, found.n)
    return (
        f"{about(found.flips)} of {about(found.n)} answers differed: {quoted.text}{quoted.bracket}{unknown}."
    )


def not_judged(verdict: Verdict) -> list[str]:
    """The criteria of the defaults that were not judged, each with the reason."""
    return [f"{name.replace('_', ' ')} ({grouped(why)})" for name, why in verdict.not_judged.items()]


def headline(run: Run) -> str:
    """Verdict and subject in one line of plain text: the title of the page."""
    subject = run.comparison.subject
    return plain(
        group(
            verdict_word(run),
            " · ",
            subject.experiment[:80],
            " ",
            run.primary,
            " → ",
            run.candidate,
            " · gnomon",
        )
    )
