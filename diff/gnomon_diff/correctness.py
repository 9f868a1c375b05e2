"""Who is right, on requests whose label is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gnomon_diff.comparison import Correctness, Rate
from gnomon_diff.daysums import DaySums
from gnomon_diff.disagreement import ANY_LIMIT, EVENTS_MIN
from gnomon_diff.evidence import DayCriterion, Interval, rule_bounds
from gnomon_diff.labelledsums import why_unbounded
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal


def ask_correctness(
    questions: Questions, sums: DaySums, settled: NDArray[np.bool_], positive: str
) -> Correctness:
    """Accuracies, their difference, and the losses of the scores.

    Args:
        settled: which of the days intervals come from.
    """
    [row] = questions.ask("correctness", positive=literal(positive)).to_pylist()
    settled_days = int(settled.sum())
    labelled, scored = row["labelled"], row["scored"]
    primary = row["both"] + row["only_primary"]
    candidate = row["both"] + row["only_candidate"]

    def rate(cases: int, wrong: Interval) -> Rate:
        """Of accuracy, from the interval of how much is wrong."""
        right = Interval(low=_minus(wrong.high, 1.0), high=_minus(wrong.low, 1.0))
        return _rate(labelled, cases, right, settled_days)

    days = {
        name: sums.all_traffic.by_day[name][settled]
        for name in ("labelled", "primary_right", "candidate_right")
    }
    one_side = replace(DayCriterion.rate(ANY_LIMIT), events_min=EVENTS_MIN)
    [primary_wrong] = rule_bounds(one_side, days["labelled"] - days["primary_right"], days["labelled"])
    [candidate_wrong] = rule_bounds(one_side, days["labelled"] - days["candidate_right"], days["labelled"])
    [worse] = rule_bounds(
        DayCriterion.rate_difference(ANY_LIMIT),
        days["primary_right"] - days["candidate_right"],
        days["labelled"],
    )
    better = Interval(low=_minus(worse.high, 0.0), high=_minus(worse.low, 0.0))
    return Correctness(
        n=row["n"],
        labelled=labelled,
        last_load=row["last_load"],
        primary=rate(primary, primary_wrong),
        candidate=rate(candidate, candidate_wrong),
        difference=_rate(labelled, candidate - primary, better, settled_days),
        both=row["both"],
        only_primary=row["only_primary"],
        only_candidate=row["only_candidate"],
        neither=row["neither"],
        scored=scored,
        log_loss_primary=_mean(row["log_loss_primary"], scored),
        log_loss_candidate=_mean(row["log_loss_candidate"], scored),
        brier_primary=_mean(row["brier_primary"], scored),
        brier_candidate=_mean(row["brier_candidate"], scored),
    )


def _rate(n: int, cases: int, bounds: Interval, days: int) -> Rate:
    return Rate(
        n=n,
        rate=cases / n if n else None,
        low=bounds.low,
        high=bounds.high,
        days=days,
        reason=why_unbounded(days, bounds) if n else "no pair has a label",
    )


def _minus(end: float | None, whole: float) -> float | None:
    return None if end is None else whole - end


def _mean(total: float | None, n: int) -> float | None:
    return None if total is None or not n else total / n
