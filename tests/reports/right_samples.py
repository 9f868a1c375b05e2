"""What labels say, for the sample comparisons: measures, calibration, coverage and costs that could be real."""

from __future__ import annotations

import msgspec
from gnomon_diff.comparison import (
    Correctness,
    Cutoff,
    Estimate,
    EstimatedAccuracy,
    LabelCoverage,
    LabelPart,
    Measure,
    Rate,
    Reliability,
)

NOT_A_MEAN = "it is no ratio of two sums of a day, so whole days give it no interval"
TWO_BASES = "the two are shares of different pairs, so whole days give their difference no interval"
MEASURES = (  # name, better, primary, candidate, half of an interval, why the difference has none
    ("precision", "higher", 0.71, 0.68, 0.011, TWO_BASES),
    ("recall", "higher", 0.52, 0.55, 0.014, None),
    ("f1", "higher", 0.60, 0.61, 0.010, TWO_BASES),
    ("auc", "higher", 0.871, 0.859, None, NOT_A_MEAN),
    ("log_loss", "lower", 0.3719, 0.3908, 0.013, None),
    ("brier", "lower", 0.1171, 0.1229, 0.004, None),
    ("cost", "lower", 0.61, 0.58, 0.03, None),
)
ESTIMATED = EstimatedAccuracy(
    n=24_000,
    by_primary=(0.86, 0.84),
    by_candidate=(0.83, 0.88),
    reason="its error is that of the scores' calibration, which cannot be known without labels",
)


def with_truth(right: Correctness) -> Correctness:
    """A correctness with all that labels say."""
    days, n = right.primary.days, right.labelled
    known = days >= 7
    early = f"no interval before 7 whole days whose labels have had their time, there are {days}"

    def estimate(value: float, half: float | None, why: str | None) -> Estimate:
        if half is None or not known or why:
            return Estimate(value=value, low=None, high=None, reason=why if known else why or early)
        return Estimate(value=value, low=value - half, high=value + half, reason=None)

    measures = [
        Measure(
            name=name,
            n=n - 40,
            better="higher" if better == "higher" else "lower",
            primary=estimate(a, half, None if half else why),
            candidate=estimate(b, half, None if half else why),
            difference=estimate(b - a, half and half / 3, why),
            days=days,
        )
        for name, better, a, b, half, why in MEASURES
    ]
    won = right.only_candidate / max(right.only_primary + right.only_candidate, 1)
    return msgspec.structs.replace(
        right,
        wins=Rate(
            n=right.only_primary + right.only_candidate,
            rate=won,
            low=won - 0.06 if known else None,
            high=won + 0.07 if known else None,
            days=days,
            reason=None if known else early,
        ),
        wins_primary=right.only_primary,
        measures=measures,
        reliability=[
            *(_bin("primary", at, n, 0.0, days) for at in range(10)),
            *(_bin("candidate", at, n, 0.08, days) for at in range(10)),
        ],
        cost=(1.0, 5.0),
        coverage=_coverage(right, days),
    )


def with_costs(rows: list[Cutoff], n: int) -> list[Cutoff]:
    """Cut-offs with costs, the least near 0.3, and the candidate's cut-off of equal action rate a little above."""
    return [
        msgspec.structs.replace(
            row,
            equal_cutoff=min(0.99, row.cutoff + 0.03),
            equal_actions=row.primary_actions,
            equal_flips=row.flips // 2,
            cost_n=n,
            primary_cost=0.5 + (row.cutoff - 0.3) ** 2,
            candidate_cost=0.52 + (row.cutoff - 0.34) ** 2,
            equal_cost=0.52 + (row.cutoff - 0.31) ** 2,
        )
        for row in rows
    ]


def _bin(side: str, at: int, labelled: int, off: float, days: int) -> Reliability:
    n = labelled // (3 + 4 * at) if at < 9 else 12
    rate = min(1.0, max(0.0, at / 10 + 0.05 - off * at / 10))
    known = days >= 7 and at < 9
    return Reliability(
        side="primary" if side == "primary" else "candidate",
        low=at / 10,
        high=(at + 1) / 10,
        mean_score=at / 10 + 0.048,
        observed=Rate(
            n=n,
            rate=rate,
            low=max(0.0, rate - 0.03) if known else None,
            high=min(1.0, rate + 0.03) if known else None,
            days=days,
            reason=None if known else f"{days} whole days do not bound it from above yet",
        ),
    )


def _coverage(right: Correctness, days: int) -> LabelCoverage:
    rest = right.n - right.labelled
    overdue, never = rest // 4, rest // 5
    past = (3 * right.labelled) // 4
    part = past // 9
    return LabelCoverage(
        n=right.n,
        labelled=right.labelled,
        waiting=rest - overdue - never,
        overdue=overdue,
        never=never,
        deadline_s=7 * 86_400.0,
        settled_days=days,
        settled_n=past + overdue,
        settled_labelled=past,
        delay_n=right.labelled - 3,
        delay_s={"p10": 5400.0, "p50": 93_600.0, "p90": 302_400.0, "p99": 700_000.0},
        after_deadline=right.labelled // 60,
        early=3,
        tested_n=past + overdue,
        tested_parts=31,
        unlike=[
            LabelPart(
                column="features.carrier",
                value="<i>9E</i>",
                n=part,
                labelled=part // 2,
                share=0.5,
                rest_share=0.93,
                log_e=88.4,
            )
        ],
    )
