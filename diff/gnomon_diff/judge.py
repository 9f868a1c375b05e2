"""The gate: `judge(comparison, policy, history) -> Verdict`, a pure function.

Two actions, an error budget each (statistics.md, 0): PROMOTE when at one look every criterion is shown, at
level alpha, to lie within its limit; REJECT when any is shown to lie beyond, all of them together at alpha.
INVALID overrides both, HOLD is the rest. No data never passes.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gnomon_capture.settings import duration_s

from gnomon_diff.comparison import Comparison, Criterion, Outcome, SegmentKey, State, Verdict
from gnomon_diff.criteria import DayTest, LatencyTest, day_tests, latency_test
from gnomon_diff.decision import Decision
from gnomon_diff.evidence import closed_mean, leading_part, log_threshold
from gnomon_diff.looks import Days, Schedule, Sums, schedule, whole_days
from gnomon_diff.settings import LabelSettings, Policy, policy_digest
from gnomon_diff.validity import invalid_because
from gnomon_diff.wording import closeness, limit_of, name_of, said

_ORDER: dict[State, int] = {"fail": 0, "invalid": 1, "open": 2, "pass": 3}


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
    case = _Case(comparison, policy, history, labels, defaults)
    invalid = invalid_because(comparison, policy)
    criteria = case.criteria()
    outcome, reason = case.decide(invalid, criteria)
    now = comparison.generated_at
    valid_s = duration_s(policy.valid_for, "gate.valid_for")
    return Verdict(
        verdict=outcome,
        reason=reason,
        criteria=sorted(criteria, key=lambda criterion: (_ORDER[criterion.state], -closeness(criterion))),
        look=case.due.promote,
        next_look=case.due.next_promote,
        days=len(case.days),
        expired=outcome == "HOLD" and case.due.last,
        advisory=advisory,
        candidate_digest=comparison.subject.candidate_digest,
        primary_digest=comparison.subject.primary_digest,
        policy_digest=case.digest,
        valid_until=now + datetime.timedelta(seconds=valid_s) if outcome == "PROMOTE" else None,
        not_judged=case.not_judged,
        notes=case.notes(),
    )


@dataclass(frozen=True)
class _Part:
    """All traffic (`key` None) or one segment, for one criterion."""

    key: SegmentKey | None
    sums: Sums


class _Case:
    """One judgement: what is due, the evidence, and what follows from it."""

    def __init__(
        self,
        comparison: Comparison,
        policy: Policy,
        history: Sequence[Decision],
        labels: LabelSettings,
        defaults: bool,
    ) -> None:
        self.comparison = comparison
        self.policy = policy
        self.labels = labels
        self.digest = policy_digest(policy, labels)
        candidate = comparison.subject.candidate_digest
        self._of_candidate = [record for record in history if record.candidate_digest == candidate]
        self._mine = [record for record in self._of_candidate if record.policy_digest == self.digest]
        self._earlier = {record.candidate_digest for record in history} - {candidate}
        self.not_judged: dict[str, str] = {}
        tests = day_tests(policy)
        if defaults and comparison.correctness is None:
            tests = [test for test in tests if test.name != "accuracy"]
            self.not_judged["accuracy"] = "no labels yet: `gnomon labels FILE` adds them"
        self.tests: list[DayTest] = tests
        self.days: Days = whole_days(comparison, policy)
        correctness = comparison.correctness
        self.due: Schedule = schedule(
            self.days,
            policy,
            labels,
            self._mine,
            last_load=None if correctness is None else correctness.last_load,
            needs_labels=any(test.name == "accuracy" for test in tests),
        )
        self.latency: LatencyTest | None = latency_test(comparison, policy)
        self._family = len(tests) + (self.latency is not None)
        self._log_alpha = log_threshold(policy.alpha)

    # ---- evidence ----

    def criteria(self) -> list[Criterion]:
        """Every criterion and every judged segment, with its state and the bounds that decide."""
        rejected = self._rejected()
        found = [
            self._by_day(test, part, rejected)
            for test in self.tests
            for part in self._parts(test, self._shown_days(), pooled=True)
        ]
        seen = {(criterion.name, criterion.segment) for criterion in found}
        for test in self.tests:  # a segment that fails while it is pooled for PROMOTE still has to be named
            found += [
                self._by_day(test, part, rejected)
                for part in self._parts(test, self._shown_days(), pooled=False)
                if (test.name, part.key) in rejected and (test.name, part.key) not in seen
            ]
        if self.latency is not None:
            found.append(self._latency(self.latency, ("latency_p95", None) in rejected))
        if self.policy.critical_errors is not None:
            found.append(self._critical(self.policy.critical_errors.max))
        return found

    def _shown_days(self) -> int:
        """The days whose figures are shown: those of PROMOTE's look, else all that a look may use."""
        if self.due.promote is not None:
            return self.due.promote
        return self.due.reject[-1] if self.due.reject else 0

    def _parts(self, test: DayTest, days: int, *, pooled: bool) -> list[_Part]:
        """The whole and its segments. For PROMOTE, segments that are small at this look are one, `other`."""
        parts = [_Part(None, self.days.whole.first(days))]
        if not test.segment_limits:
            return parts
        other: dict[str, Sums] = {}
        least = self.policy.segments.min_segment_frac * float(parts[0].sums[test.base].sum())
        for key, sums in self.days.segments.items():
            mine = sums.first(days)
            if not pooled or float(mine[test.base].sum()) >= least:
                parts.append(_Part(key, mine))
            else:
                other[key.feature] = other[key.feature] + mine if key.feature in other else mine
        for feature, mine in other.items():
            if float(mine[test.base].sum()):
                parts.append(_Part(SegmentKey(feature=feature, kind="other", value=None), mine))
        return parts

    def _rejected(self) -> set[tuple[str, SegmentKey | None]]:
        """The criteria, and of them the parts, that were shown to lie beyond their limit at some look."""
        if not self.due.reject:
            return set()
        last = self.due.reject[-1]
        parts = [self._parts(test, last, pooled=False) for test in self.tests]
        paths = [
            np.stack([test.beyond(part.sums, segment=part.key is not None) for part in of], axis=-1)
            for test, of in zip(self.tests, parts, strict=True)
        ]
        rejected: set[tuple[str, SegmentKey | None]] = set()
        for day in self.due.reject:
            leads = [leading_part(path[day - 1]) for path in paths]
            family = [float(lead.log_e) for lead in leads]
            if self.latency is not None:
                family.append(self.latency.beyond if day == last else 0.0)
            adjusted = closed_mean(family)
            for test, of, lead, value in zip(self.tests, parts, leads, adjusted, strict=False):
                if value >= self._log_alpha:
                    rejected.add((test.name, of[int(lead.part)].key))
            if self.latency is not None and adjusted[-1] >= self._log_alpha:
                rejected.add(("latency_p95", None))
        return rejected

    def _by_day(self, test: DayTest, part: _Part, rejected: set[tuple[str, SegmentKey | None]]) -> Criterion:
        segment = part.key is not None
        days = len(next(iter(part.sums.values())))
        n = round(float(part.sums[test.base].sum()))
        state: State = "open"
        if (test.name, part.key) in rejected:
            state = "fail"
        elif (
            self.due.promote is not None
            and n > 0
            and test.within(part.sums, segment=segment) >= self._log_alpha
        ):
            state = "pass"
        limit = test.deciding(part.sums, segment=segment) if days else test.limits_for(segment=segment)[0]
        # REJECT judges all criteria and segments together: what it asks of this one alone is at most so much.
        log_reject = self._log_alpha + math.log(max(1, self._family)) + self._weight(part.key)
        bounds = limit.bounds(part.sums, log_promote=self._log_alpha, log_reject=log_reject) if days else None
        return Criterion(
            name=test.name,
            segment=part.key,
            state=state,
            estimate=limit.estimate(part.sums),
            low=None if bounds is None else bounds.low,
            high=None if bounds is None else bounds.high,
            limit=limit.shown,
            unit=limit.unit,
            n=n,
            days=days,
            why=self._why(state, n, days, test),
        )

    def _weight(self, key: SegmentKey | None) -> float:
        """−ln of the weight 6/(π² j²) that a part has in its family."""
        keys = list(self.days.segments)
        place = 1 if key is None else 2 + (keys.index(key) if key in keys else len(keys))
        return 2 * math.log(place) - math.log(6 / math.pi**2)

    def _latency(self, test: LatencyTest, beyond: bool) -> Criterion:
        state: State = "fail" if beyond else "pass" if test.within >= self._log_alpha else "open"
        bounds = test.bounds(alpha_high=self.policy.alpha, alpha_low=self.policy.alpha / max(1, self._family))
        why = _STATES[state]
        if state == "open":
            why = f"{test.n} requests were timed alone: not shown to lie within, nor beyond"
        return Criterion(
            name="latency_p95",
            segment=None,
            state=state,
            estimate=test.estimate,
            low=bounds.low,
            high=bounds.high,
            limit=test.limit,
            unit="ratio",
            n=test.n,
            days=0,
            why=why,
        )

    def _critical(self, most: int) -> Criterion:
        count = sum(kind.critical for kind in self.comparison.errors if kind.side == "candidate")
        state: State = "fail" if count > most else "pass"
        return Criterion(
            name="critical_errors",
            segment=None,
            state=state,
            estimate=float(count),
            low=float(count),
            high=float(count),
            limit=float(most),
            unit="count",
            n=self.comparison.accounts.paired,
            days=0,
            why="counted over all pairs: requests that crashed or hung the candidate, twice",
        )

    def _why(self, state: State, n: int, days: int, test: DayTest) -> str:
        if state != "open":
            return _STATES[state]
        if not n:
            command = "gnomon labels FILE" if test.name == "accuracy" else "gnomon replay"
            return f"nothing to judge it by yet: `{command}` brings it"
        if self.due.promote is None:
            return f"{days} whole days of traffic; the first look is after {self.policy.looks_days[0]}"
        return f"not shown to lie within its limit by {days} whole days, nor beyond"

    # ---- what follows ----

    def decide(self, invalid: Sequence[str], criteria: Sequence[Criterion]) -> tuple[Outcome, str]:
        """The verdict and its one reason."""
        version = self.comparison.subject.candidate_version
        if invalid:
            return "INVALID", f"No verdict: {'; '.join(invalid)}."
        failed = [criterion for criterion in criteria if criterion.state == "fail"]
        if failed:
            worst = max(failed, key=closeness)
            return (
                "REJECT",
                f"Do not promote {version}: {name_of(worst)} is {said(worst)}; the limit is {limit_of(worst)}.",
            )
        sticky = next((record for record in self._mine if record.verdict == "REJECT"), None)
        if sticky is not None:
            return "REJECT", f"{sticky.reason} (Shown on {sticky.made_at:%-d %b %Y}; a rejection stands.)"
        blocked = self._blocked(criteria)
        if blocked is not None:
            return "HOLD", blocked
        closest = max(criteria, key=closeness)
        return (
            "PROMOTE",
            f"Promote {version}: all {len(criteria)} criteria are shown to lie within their limits; the closest is "
            f"{name_of(closest)}, {said(closest)} against {limit_of(closest)}.",
        )

    def _blocked(self, criteria: Sequence[Criterion]) -> str | None:
        """Why the candidate cannot be promoted now, and what comes next; None where it can."""
        policy, due, accounts = self.policy, self.due, self.comparison.accounts
        if due.promote is None:
            if len(self.days) >= policy.looks_days[0]:
                return (
                    f"Not yet: of {len(self.days)} whole days {due.usable} ended more than {self.labels.deadline} "
                    "before labels were last loaded; load newer labels."
                )
            return (
                f"Not yet: {len(self.days)} of {policy.looks_days[0]} whole days. What other days bring is not known "
                "before."
            )
        still = [criterion for criterion in criteria if criterion.state == "open"]
        if still:
            worst = max(still, key=closeness)
            shown = len([criterion for criterion in criteria if criterion.state == "pass"])
            last = (
                "This was the last look: start a new run."
                if due.last
                else f"Next look: {due.next_promote} whole days."
            )
            return (
                f"Not yet: {shown} of {len(criteria)} criteria are within their limits; {name_of(worst)} is open, "
                f"{said(worst)} against {limit_of(worst)}. {last}"
            )
        if accounts.paired < policy.min_pairs:
            return f"Not yet: {accounts.paired} pairs of at least {policy.min_pairs}."
        hours = sum(count > 0 for day in self.comparison.coverage.hours_of_week for count in day)
        if hours < policy.coverage.hours_of_week:
            return (
                f"Not yet: {hours} hours of the week were seen, of at least {policy.coverage.hours_of_week}."
            )
        unlabelled = self._unlabelled()
        if unlabelled is not None and unlabelled > self.labels.max_missing_frac:
            return (
                f"Not yet: {unlabelled:.1%} of the pairs have no label, of at most "
                f"{self.labels.max_missing_frac:.0%}; load more labels."
            )
        return None

    def _unlabelled(self) -> float | None:
        """The share without a label on the days of the look; None where no label criterion is judged."""
        if self.due.promote is None or all(test.name != "accuracy" for test in self.tests):
            return None
        sums = self.days.whole.first(self.due.promote)
        pairs = float(sums["pairs"].sum())
        return 1 - float(sums["labelled"].sum()) / pairs if pairs else None

    def notes(self) -> list[str]:
        """What a reader must know beside the verdict."""
        notes = []
        others = [record for record in self._of_candidate if record.policy_digest != self.digest]
        if others:
            notes.append(
                f"The policy was changed after {others[0].made_at:%-d %b %Y}, when this candidate was first judged by "
                "another: its error budget no longer holds."
            )
        if self._earlier:
            notes.append(f"{len(self._earlier)} other candidates were judged in this experiment before.")
        if len(self.comparison.subject.primary_digests) > 1:
            notes.append("The primary's model changed within these pairs: its runs are not of one model.")
        return notes


_STATES: dict[State, str] = {
    "pass": "shown to lie within its limit",
    "fail": "shown to lie beyond its limit",
    "open": "not shown to lie within its limit, nor beyond",
    "invalid": "the data cannot carry a verdict",
}
