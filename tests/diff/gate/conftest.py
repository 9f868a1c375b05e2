"""Comparisons made of day rows, and the formulas of the notes, computed here by scipy and numpy alone."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from gnomon_diff import compare, judge
from gnomon_diff.comparison import (
    Comparison,
    Correctness,
    Criterion,
    Day,
    ErrorKind,
    Latency,
    Rate,
    SegmentKey,
    Verdict,
)
from gnomon_diff.decision import SCHEMA, Decision
from gnomon_diff.settings import Critical, LabelSettings, Policy, policy_digest, policy_rules
from gnomon_replay.settings import Experiment
from scipy.stats import t as student

START = datetime.datetime(2026, 3, 2, 7, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NO_SUMS = {
    field.name: 0.0
    for field in msgspec.structs.fields(Day)
    if field.name not in ("start", "segment", "whole", "critical_errors")
}

Sums = Mapping[str, Any]  # each one number for all days, or one a day
Key = SegmentKey | str  # a carrier


def carrier(value: str) -> SegmentKey:
    return SegmentKey(feature="features.carrier", kind="value", value=value)


class Gate:
    """Makes comparisons and records, and asks `judge`."""

    carrier = staticmethod(carrier)

    def __init__(self, empty: Comparison) -> None:
        self.empty = empty

    def days(
        self, n: int, segment: Key | None = None, *, first: int = 0, whole: bool = True, **sums: Any
    ) -> list[Day]:
        """`n` days from day `first`. `rows` are all `pairs` unless given, and a few of them noise rows."""
        sums = {"pairs": 1000.0, **sums}
        sums.setdefault("rows", sums["pairs"])
        sums.setdefault("noise_rows", np.asarray(sums["rows"]) * 0.05)
        columns = {
            name: np.broadcast_to(np.asarray(sums.get(name, 0.0), float), n).tolist() for name in NO_SUMS
        }
        key = carrier(segment) if isinstance(segment, str) else segment
        return [
            Day(
                start=START + (first + index) * DAY,
                segment=key,
                whole=whole,
                critical_errors=0,
                **{name: values[index] for name, values in columns.items()},
            )
            for index in range(n)
        ]

    def comparison(
        self,
        days: Sequence[Day],
        *,
        critical: int = 0,
        labels_loaded: datetime.datetime | None = None,
        timed: Sequence[tuple[int, int]] | np.ndarray = (),
        accounts: Mapping[str, Any] | None = None,
        disagreement: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Comparison:
        """A sound comparison with these days; `accounts`, `disagreement` and fields may be changed."""
        pairs = round(sum(day.pairs for day in days if day.segment is None))
        mean = {
            "mirrored": pairs,
            "missing": 0,
            "paired": pairs,
            "predicted": pairs,
            "rows": pairs,
            "pending": 0,
        }
        noise_n = round(sum(day.noise_rows for day in days if day.segment is None))
        fields: dict[str, Any] = {
            "days": list(days),
            "accounts": msgspec.structs.replace(self.empty.accounts, **mean | dict(accounts or {})),
            "disagreement": msgspec.structs.replace(
                self.empty.disagreement,
                **{"noise_n": noise_n, "noise": 0.0, "skew": 0.0} | dict(disagreement or {}),
            ),
            "generated_at": START + 60 * DAY,
        }
        if critical:
            fields["errors"] = [
                ErrorKind(side="candidate", kind="crash", n=critical, critical=critical, example=None)
            ]
        if labels_loaded is not None:
            fields["correctness"] = _correctness(labels_loaded)
        if len(timed):
            fields["latency"] = _latency(np.asarray(timed))
        return msgspec.structs.replace(self.empty, **fields | changes)

    def record(
        self,
        comparison: Comparison,
        verdict: Verdict,
        policy: Policy,
        labels: LabelSettings = LabelSettings(),  # noqa: B008
    ) -> Decision:
        """The record of a verdict."""
        return Decision(
            schema=SCHEMA,
            number=0,
            previous=None,
            made_at=comparison.generated_at,
            experiment=comparison.subject.experiment,
            candidate_version=comparison.subject.candidate_version,
            candidate_digest=verdict.candidate_digest,
            primary_digest=verdict.primary_digest,
            policy_digest=policy_digest(policy, labels),
            policy=policy_rules(policy, labels),
            days=verdict.days,
            look=verdict.look,
            verdict=verdict.verdict,
            reason=verdict.reason,
            valid_until=verdict.valid_until,
            comparison_digest="",
            human=None,
            gnomon_version="",
        )

    def one(self, comparison: Comparison, policy: Policy, **options: Any) -> Criterion:
        """The one criterion of a policy, judged."""
        [criterion] = judge(comparison, policy, **options).criteria
        return criterion


def _correctness(loaded: datetime.datetime) -> Correctness:
    rate = Rate(n=0, rate=None, low=None, high=None, days=0, reason=None)
    counts = dict.fromkeys(
        ("n", "labelled", "both", "only_primary", "only_candidate", "neither", "scored"), 0
    )
    losses = ("log_loss_primary", "log_loss_candidate", "brier_primary", "brier_candidate")
    return Correctness(
        last_load=loaded, primary=rate, candidate=rate, difference=rate, **counts, **dict.fromkeys(losses)
    )


def _latency(timed: np.ndarray) -> Latency:
    primary, candidate = np.quantile(timed, 0.95, axis=0, method="inverted_cdf").tolist()
    return Latency(
        n=len(timed),
        threads=1,
        quantiles=[],
        pairs_us=[(int(before), int(after)) for before, after in timed],
        ratio_p95=candidate / primary,
        ratio_low=None,
        ratio_high=None,
        reason=None,
        served_n=0,
        served_p95_us=None,
    )


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    policy = Policy(critical_errors=Critical())
    return Gate(
        compare(
            tmp_path_factory.mktemp("no-log"),
            Experiment(name="trial", task="binary", positive="late"),
            policy,
            candidate_version="3.3",
            candidate_digest="sha256:candidate",
            now=START,
        )
    )


@dataclass(frozen=True)
class Notes:
    """The formulas of statistics_dependence.md and statistics.md, written anew. Evidence is an e-value."""

    def t_e(self, x: np.ndarray) -> float:
        """That the mean of x is above 0."""
        n, s, v = len(x), float(x.sum()), float(x @ x)
        if v == 0:
            return 1.0
        k = (n + 1) * v - s * s
        log_e = 0.5 * math.log(1 / (n + 1)) + n / 2 * math.log((n + 1) * v / k)
        return math.exp(log_e) * 2 * float(student.cdf(s * math.sqrt(n / k), n))

    def promote(self, x: Any, allowed: float) -> float:
        """Of X_d, with the day added: the worst, or one at twice the limit. `allowed`: L sum(b)."""
        x = np.asarray(x, float)
        if allowed < 5:  # the limit allows too few events to show anything
            return min(self._promote(x, allowed), 1.0)
        return self._promote(x, allowed)

    def _promote(self, x: np.ndarray, allowed: float) -> float:
        return self.t_e(np.append(x, min(x.min(), -allowed / len(x))))

    def reject_t(self, x: Any) -> float:
        """Of X_d, above 0 on a day beyond; nothing before the fourth day."""
        x = np.asarray(x, float)
        return self.t_e(x) if len(x) >= 4 else 0.0

    def reject_bet(self, a: Any, b: Any, theta: float) -> float:
        """The engine with a day as its unit."""
        y = np.asarray(a, float) / (theta * np.asarray(b, float)) - 1
        stakes = [0.95 * 2 ** (-j / 2) for j in range(48)]
        shares = [1 / (j + 1) for j in range(48)]
        return sum(share * math.prod(1 + u * y) for u, share in zip(stakes, shares, strict=True)) / sum(
            shares
        )

    def closed(self, e: Sequence[float], alpha: float = 0.05) -> list[bool]:
        """Closed testing with averages by its definition: every intersection has to be rejected."""
        everyone = range(len(e))
        subsets = [of for size in range(1, len(e) + 1) for of in itertools.combinations(everyone, size)]
        rejected = {of for of in subsets if sum(e[k] for k in of) / len(of) >= 1 / alpha}
        return [all(of in rejected for of in subsets if k in of) for k in everyone]


@pytest.fixture(scope="session")
def notes() -> Notes:
    return Notes()
