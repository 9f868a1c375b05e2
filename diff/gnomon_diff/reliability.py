"""The calibration curves: what the scores of each model promise, and what came true, in ten equal bins."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from gnomon_diff.comparison import Reliability
from gnomon_diff.labelledsums import SumsByDay, rate_of
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal

BINS = 10


def ask_reliability(questions: Questions, positive: str, settled: NDArray[np.int64]) -> list[Reliability]:
    """Ten bins of each model, on the same labelled pairs; nothing where no pair has a label and both scores."""
    answer = questions.ask("reliability", positive=literal(positive))
    if not answer.num_rows:
        return []
    bins = []
    for side in ("primary", "candidate"):
        own = answer.filter(pc.equal(answer["side"], side))
        for at in range(BINS):
            of = SumsByDay(own.filter(pc.equal(own["bin"], at)), settled)
            n, weight = round(of["n"].total), of["weight"]
            bins.append(
                Reliability(
                    side="primary" if side == "primary" else "candidate",
                    low=at / BINS,
                    high=(at + 1) / BINS,
                    mean_score=of["promised"].total / weight.total if n else None,
                    observed=rate_of(
                        round(of["positives_n"].total),
                        n,
                        of["positives"],
                        weight,
                        missing="no score lies in this bin",
                    ),
                )
            )
    return bins
