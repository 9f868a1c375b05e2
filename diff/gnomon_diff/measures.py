"""Measures of correctness, for both models on the same labelled pairs.

What is a ratio of two sums per day (precision, recall, F1, cost, the losses, the errors) has its interval by whole days,
and so has the paired difference where both models share the base. What is not (AUC, macro-F1, R², the differences of
precision, F1 and RMSE) is given with its n, and the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from gnomon_replay.settings import Experiment
from numpy.typing import NDArray

from gnomon_diff.comparison import Estimate, Measure
from gnomon_diff.labelledsums import DaySum, SumsByDay, difference_of, mean_of
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal
from gnomon_diff.settings import Cost

LOG_LOSS_TOP = -math.log(2.220446049250313e-16)
"""No log loss is above it: chances are kept off 0."""
_ANY = 1e3  # times the mean of both, beyond which no bound is looked for; the evidence is free of scale

_NOT_A_MEAN = "it is no ratio of two sums of a day, so whole days give it no interval"
_TWO_BASES = "the two are shares of different pairs, so whole days give their difference no interval"
_NO_LABELS = "no pair with both answers has a label"


def ask_measures(
    questions: Questions,
    experiment: Experiment,
    settled: NDArray[np.int64],
    cost: Cost | None,
    *,
    weighted: bool,
) -> list[Measure]:
    """All measures of the experiment's task but accuracy; none of a task that has only right and wrong."""
    if experiment.task == "binary":
        return _binary(questions, experiment.positive_label, settled, cost, weighted=weighted)
    if experiment.task == "multiclass":
        return _multiclass(questions, experiment.class_labels, settled)
    if experiment.task == "regression":
        return _regression(questions, settled)
    return []


def _binary(
    questions: Questions, positive: str, settled: NDArray[np.int64], cost: Cost | None, *, weighted: bool
) -> list[Measure]:
    of = SumsByDay(questions.ask("measures_binary", positive=literal(positive)), settled)
    n, scored = round(of["answered_n"].total), round(of["scored_n"].total)
    hits = of["primary_hits"], of["candidate_hits"]
    false = of["primary_false"], of["candidate_false"]
    missed = of["positives"] - hits[0], of["positives"] - hits[1]
    nothing = "no pair with both answers has this label"
    measures = [
        _measure(
            "precision",
            n,
            settled,
            *(
                mean_of(bad, hit + bad, right=True, top=1.0, missing="it never said so on a labelled pair")
                for hit, bad in zip(hits, false, strict=True)
            ),
            reason=_TWO_BASES,
        ),
        _paired("recall", n, settled, missed, of["positives"], right=True, missing=nothing),
        _measure(
            "f1",
            n,
            settled,
            *(
                mean_of(bad + miss, 2.0 * hit + bad + miss, right=True, top=1.0, missing=nothing)
                for hit, bad, miss in zip(hits, false, missed, strict=True)
            ),
            reason=_TWO_BASES,
        ),
        _auc(questions, positive, settled, scored, weighted=weighted),
        _log_loss(of, settled),
        _paired("brier", scored, settled, (of["primary_brier"], of["candidate_brier"]), of["scored"]),
    ]
    if cost is not None:
        costs = tuple(
            cost.false_positive * bad + cost.false_negative * miss
            for bad, miss in zip(false, missed, strict=True)
        )
        top = max(cost.false_positive, cost.false_negative)
        measures.append(_paired("cost", n, settled, (costs[0], costs[1]), of["answered"], scale=top))
    return measures


def _multiclass(questions: Questions, classes: tuple[str, ...], settled: NDArray[np.int64]) -> list[Measure]:
    names = f"[{', '.join(map(literal, classes))}]"
    of = SumsByDay(questions.ask("measures_multiclass", classes=names), settled)
    rows = questions.ask("confusion").to_pylist()
    n = sum(row["n"] for row in rows)

    def macro_f1(side: str) -> Estimate:
        scores = [
            2 * row[f"{side}_right"] / (row["truth"] + row[side]) for row in rows if row["truth"] + row[side]
        ]
        return _counted(
            math.fsum(scores) / len(scores) if scores else None, _NOT_A_MEAN if scores else _NO_LABELS
        )

    f1 = _measure("macro_f1", n, settled, macro_f1("primary"), macro_f1("candidate"), reason=_NOT_A_MEAN)
    return [f1, _log_loss(of, settled)]


def _regression(questions: Questions, settled: NDArray[np.int64]) -> list[Measure]:
    of = SumsByDay(questions.ask("measures_regression"), settled)
    n, base = round(of["scored_n"].total), of["scored"]
    squares = of["primary_mse"], of["candidate_mse"]
    absolute = of["primary_mae"], of["candidate_mae"]
    spread = of["spread"].total

    def mean_scale(sums: tuple[DaySum, DaySum]) -> float:
        return (sums[0].total + sums[1].total) / base.total if base.total else 0.0

    mse = _paired("mse", n, settled, squares, base, scale=mean_scale(squares), top=_ANY)
    roots = (_mapped(side, lambda end: math.sqrt(max(end, 0.0))) for side in (mse.primary, mse.candidate))
    reason = "a root of a mean is no ratio of two sums of a day; the mean squared error's difference has an interval"
    fitted = (
        _counted(1 - side.total / spread, _NOT_A_MEAN)
        if spread > 0
        else _counted(None, "all true values are the same" if n else _NO_LABELS)
        for side in squares
    )
    return [
        _paired("mae", n, settled, absolute, base, scale=mean_scale(absolute), top=_ANY),
        _measure("rmse", n, settled, *roots, reason=reason, better="lower"),
        mse,
        _measure("r2", n, settled, *fitted, reason=_NOT_A_MEAN),
    ]


def _log_loss(of: SumsByDay, settled: NDArray[np.int64]) -> Measure:
    losses = of["primary_log_loss"], of["candidate_log_loss"]
    return _paired("log_loss", round(of["scored_n"].total), settled, losses, of["scored"], scale=LOG_LOSS_TOP)


def _auc(
    questions: Questions, positive: str, settled: NDArray[np.int64], n: int, *, weighted: bool
) -> Measure:
    """Mann and Whitney's share of pairs in order, ties half."""
    number = "DOUBLE" if weighted else "HUGEINT"
    rows = {
        row["side"]: row
        for row in questions.ask("auc", positive=literal(positive), number=number).to_pylist()
    }

    def area(side: str) -> Estimate:
        row = rows.get(side)
        if row is None:
            return _counted(None, _NO_LABELS)
        if not (row["positives"] and row["negatives"]):
            return _counted(None, "only one of the two labels came true")
        return _counted(row["in_order_twice"] / (2 * row["positives"] * row["negatives"]), _NOT_A_MEAN)

    return _measure("auc", n, settled, area("primary"), area("candidate"), reason=_NOT_A_MEAN)


def _paired(
    name: str,
    n: int,
    settled: NDArray[np.int64],
    bad: tuple[DaySum, DaySum],
    base: DaySum,
    *,
    right: bool = False,
    scale: float = 1.0,
    top: float = 1.0,
    missing: str = _NO_LABELS,
) -> Measure:
    """A measure whose two sides share their base, with the interval of their difference.

    Args:
        scale: what is divided by before, and multiplied by after, so that the ratios lie below `top`.
    """
    unit = scale or 1.0
    primary, candidate = (1 / unit * side for side in bad)
    sides = (mean_of(side, base, right=right, top=top, missing=missing) for side in (primary, candidate))
    difference = difference_of(candidate - primary, base, right=right, top=top, missing=missing)
    found = [_mapped(one, lambda end: end * unit) for one in (*sides, difference)]
    return Measure(
        name=name,
        n=n,
        better="higher" if right else "lower",
        primary=found[0],
        candidate=found[1],
        difference=found[2],
        days=len(settled),
    )


def _measure(
    name: str,
    n: int,
    settled: NDArray[np.int64],
    primary: Estimate,
    candidate: Estimate,
    *,
    reason: str,
    better: str = "higher",
) -> Measure:
    """A measure whose difference has no interval, for this reason."""
    value = None
    if primary.value is not None and candidate.value is not None:
        value = candidate.value - primary.value
    return Measure(
        name=name,
        n=n,
        better="higher" if better == "higher" else "lower",
        primary=primary,
        candidate=candidate,
        difference=_counted(
            value, reason if value is not None else primary.reason or candidate.reason or reason
        ),
        days=len(settled),
    )


def _counted(value: float | None, reason: str) -> Estimate:
    return Estimate(value=value, low=None, high=None, reason=reason)


def _mapped(one: Estimate, by: Callable[[float], float]) -> Estimate:
    value, low, high = (None if number is None else by(number) for number in (one.value, one.low, one.high))
    return Estimate(value=value, low=low, high=high, reason=one.reason)
