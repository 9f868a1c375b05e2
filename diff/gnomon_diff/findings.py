"""Every criterion judged: its state and the bounds that decide, from the same days, so that the two agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gnomon_diff.comparison import Comparison, Criterion, State
from gnomon_diff.criteria import EVENTS_MIN, DayTest, Figures, Group, beyond, deciding, within
from gnomon_diff.evidence import log_threshold
from gnomon_diff.family import asked_at_looks
from gnomon_diff.looks import BoolArray, Days, FloatArray, Parts, Schedule
from gnomon_diff.settings import Policy
from gnomon_diff.timed import TimedTest, timed_test
from gnomon_diff.wording import many, percent, phrase, shown


@dataclass(frozen=True)
class Findings:
    """The criteria and every judged segment of them.

    Attributes:
        beyond_since: whole days after which the first of them was shown to lie beyond its limit; None while
            none is, or only by a count.
        not_judged: segments that are too small, and why.
    """

    criteria: list[Criterion]
    beyond_since: int | None
    not_judged: dict[str, str]


def find(
    comparison: Comparison, policy: Policy, tests: Sequence[DayTest], days: Days, due: Schedule
) -> Findings:
    """Judges every criterion of a policy.

    Args:
        tests: those by day; the others are judged as the policy has them.
    """
    case = _Case(policy, days, due)
    timed = timed_test(comparison, policy)
    groups = [group for test in tests for group in test.groups(days)]
    paths = [case.log_beyond(group) for group in groups]
    family: dict[str, list[FloatArray]] = {}
    for group, path in zip(groups, paths, strict=True):
        family.setdefault(group.test.name, []).append(path)
    if timed is not None:  # what it was at earlier looks is not known: nothing, then
        family["latency_p95"] = [np.array([[-np.inf] * (len(due.reject) - 1) + [timed.evidence.beyond]])]
    together = {name: np.concatenate(of) for name, of in family.items()}
    asked = asked_at_looks(together, policy.alpha)

    criteria: list[Criterion] = []
    for group, path in zip(groups, paths, strict=True):
        criteria += case.by_day(group, path, asked[group.test.name])
    if timed is not None:
        criteria.append(case.by_timing(timed, asked["latency_p95"][-1]))
    if policy.critical_errors is not None:
        criteria.append(_critical(comparison, policy.critical_errors.max))
    since = [
        due.reject[look]
        for name, log_e in together.items()
        for look in np.flatnonzero((log_e >= asked[name]).any(axis=0))
    ]
    return Findings(
        criteria,
        min(since, default=None),
        {name: why for group in groups for name, why in case.too_small(group)},
    )


@dataclass(frozen=True)
class _Case:
    """One policy at one moment."""

    policy: Policy
    days: Days
    due: Schedule

    @cached_property
    def days_shown(self) -> int:
        """The whole days whose figures are shown: those of PROMOTE's look, before the first all there are."""
        return self.due.reject[-1] if self.due.promote is None else self.due.promote

    @cached_property
    def log_alpha(self) -> float:
        return log_threshold(self.policy.alpha)

    @cached_property
    def _least(self) -> float:
        """The pairs that a segment has to have, to be judged by itself."""
        return self.policy.segments.min_segment_frac * self._pairs

    @cached_property
    def _pairs(self) -> float:
        return float(self.days.whole.first(self.days_shown).total("pairs")[0])

    def usable(self, group: Group, look: int) -> int:
        """Of the days of a look those that a criterion may count: labels have to have had their time."""
        return min(look, self.due.usable) if group.test.late else look

    def log_beyond(self, group: Group) -> FloatArray:
        """ln e that each part lies beyond its limit, weighted, at REJECT's looks: shape (parts, looks)."""
        some = np.cumsum(group.parts[group.test.base], axis=1) > 0
        path = np.where(some, beyond(group.limits, group.parts) + group.weights[:, None], -np.inf)
        found = np.full((len(group.parts), len(self.due.reject)), -np.inf)
        for index, look in enumerate(self.due.reject):
            day = self.usable(group, look)
            if group.test.lacks(self.days.whole.first(day)) is None:
                found[:, index] = path[:, day - 1]
        return found

    def by_day(self, group: Group, path: FloatArray, asked: FloatArray) -> Iterator[Criterion]:
        """The parts of a group, judged.

        What fails is shown as it was at the last look at which it was beyond its limit; the rest as at
        PROMOTE's look, with small segments as one, of which REJECT asks nothing.

        Args:
            path: of `log_beyond`; asked: what REJECT asks at each look.
        """
        fails = path >= asked
        for part in np.flatnonzero(fails.any(axis=1)).tolist():
            look = np.flatnonzero(fails[part])[-1]
            parts = group.parts.only([part]).first(self.usable(group, self.due.reject[look]))
            yield from self._judged(group, parts, asked[look] - group.weights[[part]], fails=True)
        here = group.parts.first(self.usable(group, self.days_shown))
        large = np.flatnonzero(self._large(here) & ~fails.any(axis=1))
        needed = asked[self.due.reject.index(self.days_shown)] - group.weights[large]
        yield from self._judged(group, here.only(large.tolist()), needed, fails=False)
        pooled, enough = self._pooled(group)
        others = pooled.only(np.flatnonzero(enough).tolist())
        yield from self._judged(group, others, np.full(len(others), np.inf), fails=False)

    def too_small(self, group: Group) -> Iterator[tuple[str, str]]:
        """The segments that are not judged, even together, and why."""
        pooled, enough = self._pooled(group)
        for part in np.flatnonzero(~enough):
            share = percent(pooled.total("pairs")[part] / self._pairs)
            yield phrase(group.test.name, pooled.keys[part]), f"{share} of all pairs"

    def _large(self, parts: Parts) -> BoolArray:
        """Which parts are judged by themselves."""
        pairs = parts.total("pairs")
        whole = np.array([key is None for key in parts.keys])
        return whole | (pairs > 0) & (pairs >= self._least)

    def _pooled(self, group: Group) -> tuple[Parts, BoolArray]:
        """The small parts of each feature as one, and whether that is large enough to be judged."""
        here = group.parts.first(self.usable(group, self.days_shown))
        small = (here.total("pairs") > 0) & ~self._large(here)
        pooled = here.pooled(np.flatnonzero(small).tolist())
        return pooled, pooled.total("pairs") >= self._least

    def _judged(self, group: Group, parts: Parts, needed: FloatArray, *, fails: bool) -> Iterator[Criterion]:
        """Criteria of some parts of a group.

        Args:
            parts: with their sums over the days that are shown.
            needed: ln e that REJECT asks of each.
        """
        test = group.test
        lacks = test.lacks(self.days.whole.first(parts.days))
        n = parts.total(test.base)
        if lacks is not None or not len(parts):
            found = [Figures(group.limits[0], None, None, None)] * len(parts)
            passes = np.zeros(len(parts), dtype=bool)
        else:
            may_pass = self.due.promote is not None and not fails
            passes = (within(group.limits, parts) >= self.log_alpha) & may_pass
            found = deciding(group.limits, parts, passes, log_alpha=self.log_alpha, log_reject=needed)
        few = np.all([limit.too_few(parts) for limit in group.limits], axis=0)
        for part, (limit, estimate, low, high) in enumerate(found):
            state: State = "fail" if fails else "pass" if passes[part] else "open"
            yield Criterion(
                name=test.name,
                segment=parts.keys[part],
                state=state,
                estimate=estimate,
                low=low,
                high=high,
                limit=limit.shown,
                unit=limit.unit,
                n=round(float(n[part])),
                days=parts.days,
                why=shown(state, many(parts.days, "whole day"))
                if state != "open"
                else lacks or self._why_open(parts.days, nothing=not n[part], few=bool(few[part])),
            )

    def _why_open(self, days: int, *, nothing: bool, few: bool) -> str:
        if nothing:
            return "none of its requests has an answer on both sides"
        if self.due.promote is None:
            return (
                f"the first look is after {self.due.next_promote} whole days, {self.due.usable} count so far"
            )
        if few:
            return f"its limit allows fewer than {EVENTS_MIN:.0f} cases in {many(days, 'whole day')}, too few to tell"
        return shown("open", many(days, "whole day"))

    def by_timing(self, timed: TimedTest, needed: float) -> Criterion:
        """p95 latency, judged."""
        state: State = "open"
        if timed.evidence.beyond >= needed:
            state = "fail"
        elif timed.evidence.within >= self.log_alpha:
            state = "pass"
        bounds = timed.bounds(log_promote=self.log_alpha, log_reject=needed)
        why = shown(state, many(timed.n, "timed request"))
        if not timed.n:
            why = "no request was timed with both models: `gnomon replay` times some"
        return Criterion(
            name="latency_p95",
            segment=None,
            state=state,
            estimate=timed.estimate,
            low=bounds.low,
            high=bounds.high,
            limit=timed.limit,
            unit="ratio",
            n=timed.n,
            days=0,
            why=why,
        )


def _critical(comparison: Comparison, most: int) -> Criterion:
    """Requests that crashed or hung the candidate: counted at once, over all pairs."""
    count = sum(kind.critical for kind in comparison.errors if kind.side == "candidate")
    pairs = comparison.accounts.paired
    state: State = "fail" if count > most else "pass" if pairs else "open"
    return Criterion(
        name="critical_errors",
        segment=None,
        state=state,
        estimate=float(count),
        low=float(count),
        high=float(count),
        limit=float(most),
        unit="count",
        n=pairs,
        days=0,
        why=f"counted over {many(pairs, 'pair')}: requests that crashed or hung the candidate, each twice",
    )
