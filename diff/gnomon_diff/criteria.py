"""The criteria of a policy that are judged by day: what each counts, and what that shows about its limits.

All evidence is ln e (see `gnomon_diff.evidence`), of many parts at once: all traffic, or its segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from gnomon_diff.evidence import (
    DayCriterion,
    beyond_both,
    decision_bounds,
    promote_log_e,
    reject_log_e,
    within_either,
)
from gnomon_diff.family import part_weights
from gnomon_diff.looks import BoolArray, Days, FloatArray, Parts
from gnomon_diff.settings import LabelSettings, Policy

EVENTS_MIN = 5.0
"""A limit that allows fewer events than this over all days is never shown to be kept (evidence.days)."""


class Figures(NamedTuple):
    """One part against the limit that decides; estimate and bounds in the form of that limit."""

    limit: Limit
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit, by day.

    Attributes:
        rule: what is judged, of the sums `numerator` and `denominator` a day.
        shown: the limit as people wrote it; `show` turns a value of the rule into that form.
    """

    rule: DayCriterion
    numerator: Callable[[Parts], FloatArray]
    denominator: str
    shown: float
    unit: Literal["points", "ratio"]
    show: Callable[[float], float] = float

    def within(self, parts: Parts) -> FloatArray:
        """ln e that the value lies within, after all the days: shape (parts,)."""
        return promote_log_e(self.rule, self.numerator(parts), parts[self.denominator])[:, -1]

    def beyond(self, parts: Parts) -> FloatArray:
        """ln e that it lies beyond, after each day: shape (parts, days)."""
        return reject_log_e(self.rule, self.numerator(parts), parts[self.denominator])

    def too_few(self, parts: Parts) -> BoolArray:
        """Whether it allows too few events for anything to show that it is kept."""
        few: BoolArray = self.rule.allowed * parts.total(self.denominator) < self.rule.events_min
        return few

    def figures(self, parts: Parts, *, log_promote: FloatArray, log_reject: FloatArray) -> list[Figures]:
        """Of each part, with the bounds at the evidence that either decision asks of it."""
        a, b = self.numerator(parts), parts[self.denominator]
        bounds = decision_bounds(self.rule, a, b, log_promote=log_promote, log_reject=log_reject)
        found = []
        for above, below, bound in zip(a.sum(axis=1), b.sum(axis=1), bounds, strict=True):
            ends = [None if end is None else self.show(end) for end in (bound.low, bound.high)]
            low, high = ends if self.rule.at_most else ends[::-1]
            found.append(Figures(self, self.show(above / below) if below > 0 else None, low, high))
        return found


Limits = tuple[Limit, ...]
"""One limit on a value, or two: it lies within if within either, and beyond only if beyond both."""


def within(limits: Limits, parts: Parts) -> FloatArray:
    """As `Limit.within`."""
    shown = [limit.within(parts) for limit in limits]
    return shown[0] if len(shown) == 1 else within_either(*shown)


def beyond(limits: Limits, parts: Parts) -> FloatArray:
    """As `Limit.beyond`."""
    shown = [limit.beyond(parts) for limit in limits]
    return shown[0] if len(shown) == 1 else beyond_both(*shown)


def deciding(
    limits: Limits, parts: Parts, passes: BoolArray, *, log_alpha: float, log_reject: FloatArray
) -> list[Figures]:
    """The figures of each part, against the limit that decides, so that its bounds agree with its state.

    Of two that is the better kept one where the part passes, else the one less plainly broken.
    """
    kept = [limit.within(parts) for limit in limits]
    broken = [limit.beyond(parts)[:, -1] for limit in limits]
    found = []
    for index, limit in enumerate(limits):
        log_promote = np.full(len(parts), log_alpha)
        for other in kept[:index] + kept[index + 1 :]:  # it is the mean of both that has to reach 1/alpha
            log_promote += np.log(2 - np.exp(np.minimum(other - log_alpha, 0.0)))
        found.append(limit.figures(parts, log_promote=log_promote, log_reject=log_reject))
    chosen = []
    for part, options in enumerate(zip(*found, strict=True)):
        order = [
            (figures.estimate is not None, kept[index][part] if passes[part] else -broken[index][part])
            for index, figures in enumerate(options)
        ]
        chosen.append(options[order.index(max(order))])
    return chosen


@dataclass(frozen=True, kw_only=True)
class DayTest:
    """A criterion that is judged by whole days.

    Attributes:
        limits: over all traffic.
        segment_limits: of every segment; None for a criterion that is not judged by segment.
        base: the sum that counts what it rests on.
        lacks: what keeps the traffic of some days from being judged by it, in words; None if nothing does.
        late: it rests on labels, which come late.
    """

    name: str
    limits: Limits
    segment_limits: Limits | None = None
    base: str
    lacks: Callable[[Parts], str | None]
    late: bool = False

    def groups(self, days: Days) -> list[Group]:
        """All traffic, and all its segments."""
        if self.segment_limits is None:
            return [Group(self, self.limits, days.whole, np.zeros(1))]
        weights = part_weights(1 + len(days.segments))
        found = [Group(self, self.limits, days.whole, weights[:1])]
        if len(days.segments):
            found.append(Group(self, self.segment_limits, days.segments, weights[1:]))
        return found


@dataclass(frozen=True)
class Group:
    """Parts of the traffic that have the same limits under a criterion.

    Attributes:
        weights: ln of the weight of each among all parts of the criterion.
    """

    test: DayTest
    limits: Limits
    parts: Parts
    weights: FloatArray


def day_tests(policy: Policy, labels: LabelSettings) -> list[DayTest]:
    """The policy's criteria that are judged by day, in its order."""
    tests = []
    segmented = policy.segments.by != ()
    if policy.disagreement is not None:
        by_segment = policy.segments.disagreement or policy.disagreement
        tests.append(
            DayTest(
                name="disagreement",
                limits=(_excess(policy.disagreement.max_excess),),
                segment_limits=(_excess(by_segment.max_excess),) if segmented else None,
                base="rows",
                lacks=_lacks_noise,
            )
        )
    if policy.disagreement_raw is not None:
        raw = (_raw(policy.disagreement_raw.max),)
        tests.append(
            DayTest(
                name="disagreement_raw",
                limits=raw,
                segment_limits=raw if segmented else None,
                base="rows",
                lacks=_lacks_answers,
            )
        )
    if policy.error_rate is not None:
        rel, most = policy.error_rate.max_increase_rel, policy.error_rate.max_increase_abs
        limits = [] if rel is None else [_more_errors(rel)]
        limits += [] if most is None else [_more_error_points(most)]
        tests.append(DayTest(name="error_rate", limits=tuple(limits), base="pairs", lacks=_lacks_pairs))
    if policy.accuracy is not None:
        tests.append(
            DayTest(
                name="accuracy",
                limits=(_less_right(policy.accuracy.max_decrease_rel),),
                base="labelled",
                lacks=lambda whole: _lacks_labels(whole, labels),
                late=True,
            )
        )
    return tests


def _excess(limit: float) -> Limit:
    """Disagreement above noise and skew: unbiased day by day (statistics.md, 7 and 11)."""
    return Limit(
        rule=_lively(DayCriterion.excess(limit)),
        numerator=lambda parts: parts["flags"] - parts["noise_total"],
        denominator="rows",
        shown=limit,
        unit="points",
    )


def _raw(limit: float) -> Limit:
    return Limit(
        rule=_lively(DayCriterion.rate(limit)),
        numerator=lambda parts: parts["flags"],
        denominator="rows",
        shown=limit,
        unit="points",
    )


def _more_errors(limit: float) -> Limit:
    return Limit(
        rule=_lively(DayCriterion.error_ratio(1 + limit)),
        numerator=lambda parts: parts["candidate_errors"],
        denominator="primary_errors",
        shown=limit,
        unit="ratio",
        show=lambda ratio: float(ratio - 1),
    )


def _more_error_points(limit: float) -> Limit:
    return Limit(
        rule=_lively(DayCriterion.rate_difference(limit)),
        numerator=lambda parts: parts["candidate_errors"] - parts["primary_errors"],
        denominator="pairs",
        shown=limit,
        unit="points",
    )


def _less_right(limit: float) -> Limit:
    return Limit(
        rule=_lively(DayCriterion.accuracy_ratio(1 - limit)),
        numerator=lambda parts: parts["candidate_right"],
        denominator="primary_right",
        shown=limit,
        unit="ratio",
        show=lambda ratio: float(1 - ratio),
    )


def _lively(rule: DayCriterion) -> DayCriterion:
    return replace(rule, events_min=EVENTS_MIN)


def _lacks_pairs(whole: Parts) -> str | None:
    return None if whole.total("pairs")[0] else "no whole day of traffic yet"


def _lacks_answers(whole: Parts) -> str | None:
    if _lacks_pairs(whole) or whole.total("rows")[0]:
        return _lacks_pairs(whole)
    return "no request has an answer on both sides"


def _lacks_noise(whole: Parts) -> str | None:
    if _lacks_answers(whole) or whole.total("noise_rows")[0]:
        return _lacks_answers(whole)
    return "no request of the noise sample has all four answers: `gnomon replay` runs them"


def _lacks_labels(whole: Parts, labels: LabelSettings) -> str | None:
    labelled, pairs = (float(whole.total(name)[0]) for name in ("labelled", "pairs"))
    if not pairs:
        return (
            f"no whole day yet whose labels have had their {labels.deadline}: `gnomon labels FILE` loads them"
        )
    if not labelled:
        return "none of its pairs has a label: `gnomon labels FILE` loads them"
    missing = 1 - labelled / pairs
    if missing <= labels.max_missing_frac:
        return None
    return (
        f"{missing:.1%} of its pairs have no label, of at most {labels.max_missing_frac:.0%}: "
        "`gnomon labels FILE` loads more"
    )
