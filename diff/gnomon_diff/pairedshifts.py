"""The distribution of the candidate's answers against that of what users got, on the same requests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gnomon_diff.comparison import PairedShift
from gnomon_diff.drawing import DRAWN_ROWS
from gnomon_diff.evidence import js_distance, ks_distance, ks_radius, psi_paired, wasserstein_distance
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import number

MOST_LABELS = 50
_NAMED = 10
_ALPHA = 0.05
_WHY = "effect sizes of the same requests; days, the unit of other intervals, play no part here"
_WHY_KS = "the bounds of KS are for independent requests; the other sizes have none"


def ask_paired_shifts(questions: Questions) -> list[PairedShift]:
    """Of the scores and of the labels; none of what there is not."""
    return [shift for shift in (_scores(questions), _labels(questions)) if shift is not None]


def _scores(questions: Questions) -> PairedShift | None:
    [row] = questions.ask("paired_deciles").to_pylist()
    n = row["n"]
    if not n:
        return None
    edges = sorted(set(row["deciles"]))
    cells = questions.ask("paired_scores", primary_bin=_bin("p", edges), candidate_bin=_bin("c", edges))
    table = _table(cells, len(edges) + 1)
    drawn = questions.ask("paired_sample", frac=number(1.1 if n <= DRAWN_ROWS else DRAWN_ROWS / n))
    primary, candidate = drawn["primary"].to_numpy(), drawn["candidate"].to_numpy()
    low = high = ks = moved = None
    if len(primary):
        ks, moved = ks_distance(primary, candidate), wasserstein_distance(primary, candidate)
        # Each of the two functions at half the level; that they come from the same requests does no harm.
        slack = 2 * ks_radius(len(primary), _ALPHA / 2)
        low, high = max(0.0, ks - slack), min(1.0, ks + slack)
    found = psi_paired(table)
    return PairedShift(
        column="score",
        n=n,
        psi=found.psi,
        psi_excess=found.debiased,
        js=js_distance(table.sum(axis=1), table.sum(axis=0)),
        sampled=len(primary),
        ks=ks,
        ks_low=low,
        ks_high=high,
        wasserstein=moved,
        new_values=[],
        gone_values=[],
        reason=_WHY_KS,
    )


def _labels(questions: Questions) -> PairedShift | None:
    cells = questions.ask("paired_labels").to_pylist()
    if not cells:
        return None
    sums: dict[str, list[int]] = {}
    for cell in cells:
        sums.setdefault(cell["primary"], [0, 0])[0] += cell["n"]
        sums.setdefault(cell["candidate"], [0, 0])[1] += cell["n"]
    known = sorted(sums, key=lambda label: (-sum(sums[label]), label))
    place = {label: min(at, MOST_LABELS) for at, label in enumerate(known)}
    table = np.zeros((min(len(known), MOST_LABELS + 1),) * 2, np.int64)
    for cell in cells:
        table[place[cell["primary"]], place[cell["candidate"]]] += cell["n"]
    found = psi_paired(table)
    return PairedShift(
        column="label",
        n=int(table.sum()),
        psi=found.psi,
        psi_excess=found.debiased,
        js=js_distance(table.sum(axis=1), table.sum(axis=0)),
        sampled=0,
        ks=None,
        ks_low=None,
        ks_high=None,
        wasserstein=None,
        new_values=[label for label in known if not sums[label][0]][:_NAMED],
        gone_values=[label for label in known if not sums[label][1]][:_NAMED],
        reason=_WHY,
    )


def _bin(value: str, edges: list[float]) -> str:
    """The number of edges below a value: a bin holds its upper edge."""
    return " + ".join(f"({value} > {number(edge)})::INTEGER" for edge in edges)


def _table(cells: pa.Table, size: int) -> NDArray[np.int64]:
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (cells["primary"].to_numpy(), cells["candidate"].to_numpy()), cells["n"].to_numpy())
    return table
