"""The gate: `judge(comparison, policy, history) -> Verdict`, a pure function.

Two actions, an error budget each (statistics.md, 0): PROMOTE when at one look every criterion is shown, at
level alpha, to lie within its limit; REJECT when any is shown to lie beyond, all of them together at alpha.
INVALID overrides both, HOLD is the rest. No data never passes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from gnomon_capture.settings import duration_s

from gnomon_diff import wording
from gnomon_diff.comparison import Comparison, Criterion, Outcome, State, Verdict
from gnomon_diff.criteria import day_tests
from gnomon_diff.decision import Decision
from gnomon_diff.findings import find
from gnomon_diff.looks import Days, Schedule, schedule, whole_days
from gnomon_diff.settings import LabelSettings, Policy, policy_digest
from gnomon_diff.validity import invalid_because, skew_over

_ORDER: dict[State, int] = {"fail": 0, "open": 1, "pass": 2, "invalid": 3}


def judge(
    comparison: Comparison,
    policy: Policy,
    history: Sequence[Decision] = (),
    *,
    labels: LabelSettings = LabelSettings(),  # noqa: B008 - a frozen value
    defaults: bool = False,
    advisory: bool = False,
) -> Verdict:
    """May the candidate go near users?

    Args:
        comparison: what was measured, up to now.
        policy: the criteria, declared before the data they judge.
        history: the decision records of this experiment, oldest first.
        labels: how late labels may come.
        defaults: the policy is gnomon's default: criteria that cannot be measured are not judged, where a
            written one would hold.
        advisory: said in the verdict; changes nothing else.

    Returns:
        The verdict, the same for the same arguments.
    """
    subject = comparison.subject
    digest = policy_digest(policy, labels, comparison.declared)
    of_candidate = [record for record in history if record.candidate_digest == subject.candidate_digest]
    mine = [record for record in of_candidate if record.policy_digest == digest]
    tests = day_tests(policy, labels)
    not_judged = {}
    if defaults and comparison.correctness is None:
        tests = [test for test in tests if not test.late]
        not_judged["accuracy"] = "no labels yet: `gnomon labels FILE` adds them"
    days = whole_days(comparison, policy)
    due = schedule(
        days,
        policy,
        labels,
        mine,
        last_load=None if comparison.correctness is None else comparison.correctness.last_load,
        needs_labels=any(test.late for test in tests),
    )
    found = find(comparison, policy, tests, days, due)

    failed = [criterion for criterion in found.criteria if criterion.state == "fail"]
    rejected = next((record for record in mine if record.verdict == "REJECT"), None)
    look, next_look = due.promote, due.next_promote
    outcome: Outcome
    if invalid := invalid_because(comparison, policy):
        outcome, reason = "INVALID", f"No verdict: {'; '.join(invalid)}."
    elif failed:
        outcome, reason, next_look = "REJECT", wording.reject(subject.candidate_version, failed), None
        look = found.beyond_since if rejected is None else rejected.look
    elif rejected is not None:
        outcome, look, next_look = "REJECT", rejected.look, None
        reason = f"{rejected.reason} (Shown on {_date(rejected.made_at)}; a rejection stands.)"
    elif held := _held(comparison, policy, labels, days, due, found.criteria):
        outcome, reason = "HOLD", held
    else:
        outcome, reason = "PROMOTE", wording.promote(subject.candidate_version, found.criteria)
    valid_for = datetime.timedelta(seconds=duration_s(policy.valid_for, "gate.valid_for"))
    return Verdict(
        verdict=outcome,
        reason=reason,
        criteria=sorted(
            found.criteria, key=lambda criterion: (_ORDER[criterion.state], -wording.closeness(criterion))
        ),
        look=look,
        next_look=next_look,
        days=len(days),
        expired=outcome == "HOLD" and due.last,
        advisory=advisory,
        candidate_digest=subject.candidate_digest,
        primary_digest=subject.primary_digest,
        policy_digest=digest,
        valid_until=comparison.generated_at + valid_for if outcome == "PROMOTE" else None,
        not_judged=not_judged | found.not_judged,
        notes=[
            *_about_history(history, of_candidate, digest, subject.candidate_digest),
            *_about_data(comparison, days, due),
            *(["This verdict is advisory: the pipeline was not stopped."] if advisory else []),
        ],
    )


def _held(
    comparison: Comparison,
    policy: Policy,
    labels: LabelSettings,
    days: Days,
    due: Schedule,
    criteria: Sequence[Criterion],
) -> str | None:
    """Why the candidate cannot be promoted now, and what comes next; None where it can."""
    if due.promote is None:
        return _before_a_look(comparison, labels, len(days), due)
    skew = skew_over(comparison.disagreement, policy)
    if skew is not None:
        return f"Not yet: {skew.said}; that may be chance, and more pairs will tell."
    if any(criterion.state != "pass" for criterion in criteria):
        after = (
            "This was the last look: start a new run."
            if due.last
            else f"Next look: after {due.next_promote} whole days."
        )
        return f"{wording.still_open(criteria)} {after}"
    if comparison.accounts.paired < policy.min_pairs:
        return f"Not yet: {comparison.accounts.paired:,} pairs of at least {policy.min_pairs:,}."
    hours = sum(count > 0 for day in comparison.coverage.hours_of_week for count in day)
    if hours < policy.coverage.hours_of_week:
        return f"Not yet: {hours} hours of the week were seen, of at least {policy.coverage.hours_of_week}."
    return None


def _before_a_look(comparison: Comparison, labels: LabelSettings, days: int, due: Schedule) -> str:
    wanted = due.next_promote or 0
    if days < wanted:
        return f"Not yet: {days} of {wanted} whole days. What other days bring is not known before."
    if comparison.correctness is None:
        return "Not yet: accuracy is to be judged, and there are no labels: `gnomon labels FILE` loads them."
    return (
        f"Not yet: labels have had their {labels.deadline} on {due.usable} of {days} whole days, and {wanted} are "
        "wanted: `gnomon labels FILE` loads newer ones."
    )


def _about_history(
    history: Sequence[Decision], of_candidate: Sequence[Decision], policy: str, candidate: str
) -> list[str]:
    """What earlier decisions mean for this one."""
    notes = []
    by_other = [record for record in of_candidate if record.policy_digest != policy]
    if by_other:
        notes.append(
            f"The policy was changed: another one judged this candidate on {_date(by_other[0].made_at)}. The error "
            "budget no longer holds."
        )
    others = len({record.candidate_digest for record in history} - {candidate})
    if others:
        notes.append(
            f"{wording.many(others, 'other candidate')} {'was' if others == 1 else 'were'} judged in this "
            "experiment before."
        )
    return notes


def _about_data(comparison: Comparison, days: Days, due: Schedule) -> list[str]:
    """What the verdict leaves out, and what it mixes."""
    notes = []
    if due.last and due.promote is not None and len(days) > due.promote:
        notes.append(
            f"The last look was after {wording.many(due.promote, 'whole day')}; the "
            f"{len(days) - due.promote} since then are in no verdict of this run."
        )
    if len(comparison.subject.primary_digests) > 1:
        notes.append("The primary's model changed within these pairs: its runs are not of one model.")
    return notes


def _date(moment: datetime.datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"
