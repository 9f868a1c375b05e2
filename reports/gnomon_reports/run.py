"""One run as the page sees it: the comparison, the verdict, and what several sections ask of them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property

import msgspec
from gnomon_diff.comparison import Comparison, Criterion, Day, Flip, Segment, SegmentKey, Verdict

from gnomon_reports.markup import Content, group, value

EXAMPLE_QUERIES = ("drawn", "examples", "outputs")  # their SQL names the requests that were drawn
STATES = ("fail", "invalid", "open", "pass")
DISAGREEMENT = ("disagreement", "disagreement_raw")
SKEW = 0.01  # the default of `skew.max`


@dataclass(frozen=True)
class Run:
    """What the page is made of.

    Attributes:
        policy_text: the policy as its owner wrote it, shown as it is.
        examples: show the rows among which the answers differ.
    """

    comparison: Comparison
    verdict: Verdict | None
    policy_text: str | None = None
    examples: bool = True

    @property
    def primary(self) -> Content:
        version = self.comparison.subject.primary_version
        return "the primary" if version is None else value(version, 40)

    @property
    def candidate(self) -> Content:
        return value(self.comparison.subject.candidate_version, 40)

    @cached_property
    def criteria(self) -> list[Criterion]:
        """Failing, open, passing; within these the closest to its limit, or the furthest beyond, first."""
        if self.verdict is None:
            return []
        return sorted(self.verdict.criteria, key=lambda c: (STATES.index(c.state), -closeness(c)))

    def criterion(self, segment: Segment) -> Criterion | None:
        """The one that judged the disagreement of `segment`."""
        for criterion in self.criteria:
            if criterion.name in DISAGREEMENT and criterion.segment == segment.key:
                return criterion
        return None

    @cached_property
    def standout(self) -> Segment | None:
        """The segment to name first: it fails, or its interval lies above that of all traffic."""
        judged = [
            c.segment for c in self.criteria if c.state == "fail" and c.name in DISAGREEMENT and c.segment
        ]
        for key in judged:
            for segment in self.comparison.segments:
                if segment.key == key:
                    return segment
        above = [segment for segment in self.comparison.segments if self.stands_out(segment)]
        return max(above, key=lambda segment: segment.flips, default=None)

    def stands_out(self, segment: Segment) -> bool:
        """Whether the interval of `segment` lies wholly above that of all traffic."""
        whole = self.comparison.disagreement.high
        return segment.low is not None and whole is not None and segment.low > whole

    def days(self, segment: SegmentKey | None = None) -> list[Day]:
        """The day rows of all traffic or of one segment, in order."""
        rows = [day for day in self.comparison.days if day.segment == segment]
        return sorted(rows, key=lambda day: day.start)

    @cached_property
    def whole_days(self) -> int:
        """As the verdict counts them; without one, the days that are whole and had traffic."""
        if self.verdict is not None:
            return self.verdict.days
        return sum(day.whole and day.pairs > 0 for day in self.days())

    @cached_property
    def changes(self) -> list[Flip]:
        """The cells of the flip matrix in which the answers differ, the largest first."""
        cells = [flip for flip in self.comparison.flips if flip.primary != flip.candidate]
        return sorted(cells, key=lambda flip: -flip.n)

    @property
    def flips(self) -> str:
        """What answers that differ are called: only a label flips."""
        return "flips" if self.comparison.subject.task in ("binary", "multiclass") else "differences"

    def look_date(self, days: int) -> datetime.datetime | None:
        """The earliest moment at which there can be `days` whole days."""
        rows = self.days()
        return rows[0].start + datetime.timedelta(days=days) if rows else None

    @cached_property
    def cutoff_in_use(self) -> float | None:
        """The cut-off at which both models would act as often as they did; null if there is none such."""
        positive, flips = self.comparison.subject.positive, self.comparison.flips
        n = sum(flip.n for flip in flips)
        primary = sum(flip.n for flip in flips if flip.primary == positive)
        candidate = sum(flip.n for flip in flips if flip.candidate == positive)
        fits = [
            (
                abs(row.primary_actions - primary) + abs(row.candidate_actions - candidate),
                abs(row.cutoff - 0.5),
                row.cutoff,
            )
            for row in self.comparison.cutoffs
        ]
        off, _, cutoff = min(fits, default=(n + 1, 0.0, 0.0))
        return cutoff if n and off <= 0.002 * n else None

    @property
    def skewed(self) -> bool:
        """Whether serving skew is enough to come before all else."""
        skew = self.comparison.disagreement.skew
        return skew is not None and skew >= SKEW

    @cached_property
    def balanced(self) -> bool:
        """No line of the accounts is off; one whose sides cannot be known is not."""
        return all(balance.balanced is not False for balance in self.comparison.accounts.balances)


def without_examples(comparison: Comparison) -> Comparison:
    """The comparison without any single request."""
    queries = [query for query in comparison.queries if query.figure not in EXAMPLE_QUERIES]
    errors = [msgspec.structs.replace(error, examples=[]) for error in comparison.errors]
    found = comparison.differences
    if found is not None:
        kinds = [msgspec.structs.replace(kind, cases=[]) for kind in found.kinds]
        found = msgspec.structs.replace(found, kinds=kinds)
    return msgspec.structs.replace(comparison, examples=[], errors=errors, queries=queries, differences=found)


def closeness(criterion: Criterion) -> float:
    """How near its limit the bound that decides is; 1 at the limit."""
    bound = criterion.low if criterion.state == "fail" else criterion.high
    reach = max((x for x in (bound, criterion.estimate) if x is not None), default=0.0)
    if criterion.limit == 0:
        return reach * 10
    return reach / criterion.limit


def feature_name(feature: str) -> str:
    """`carrier` of `features.carrier`."""
    return feature.split(".", 1)[-1]


def segment_name(key: SegmentKey) -> Content:
    """`carrier = MQ` (which does not break), `distance 200 to 500`, `carrier missing`, `carrier, small ones together`."""
    name = value(feature_name(key.feature), 40)
    if key.kind == "value":
        return group(name, "\u00a0=\u00a0", value(key.value, 40))
    if key.kind == "range":
        return group(name, "\u00a0", value(key.value, 40))
    return group(name, " missing" if key.kind == "missing" else ", small ones together")


def flip_name(flip: Flip) -> Content:
    """`late → on time`."""
    return group(value(flip.primary, 30), " →\u00a0", value(flip.candidate, 30))
