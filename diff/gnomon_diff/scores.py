"""How the candidate's scores moved against those that users got, on the same requests."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gnomon_diff.comparison import Cutoff, Histogram, ScoreMove
from gnomon_diff.evidence import psi_paired
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import literal, number
from gnomon_diff.settings import Cost

FloatArray = NDArray[np.float64]

BINS = 50
EDGES = [index / BINS for index in range(BINS + 1)]
DELTA_EDGES = [index / BINS for index in range(-BINS, BINS + 1)]
_QUANTILES = ("p01", "p05", "p25", "p50", "p75", "p95", "p99")


def ask_scores(questions: Questions) -> tuple[ScoreMove | None, list[Cutoff]]:
    """The move of the scores, and what other cut-offs would do; None and nothing where there are no scores."""
    [row] = questions.ask("scores").to_pylist()
    n = row["n"]
    if not n and not row["out_of_range"]:
        return None, []
    cells = questions.ask("joint")
    joint = _counted(cells, "primary", "candidate", BINS)
    delta = np.zeros(2 * BINS, np.int64)
    np.add.at(delta, cells["delta"].to_numpy() + BINS, cells["n"].to_numpy())
    move = ScoreMove(
        n=n,
        mean=row["sum_delta"] / n if n else None,
        mean_abs=row["sum_abs_delta"] / n if n else None,
        quantiles=dict(zip(_QUANTILES, row["delta_quantiles"] or [], strict=bool(n))),
        delta=Histogram(edges=DELTA_EDGES, counts=delta.tolist()),
        primary=Histogram(edges=EDGES, counts=joint.sum(axis=1).tolist()),
        candidate=Histogram(edges=EDGES, counts=joint.sum(axis=0).tolist()),
        joint=joint.tolist(),
        out_of_range=row["out_of_range"],
        psi=_psi(questions, row["primary_deciles"]) if n else None,
        psi_low=None,
        psi_high=None,
    )
    return move, cutoffs(joint) if n else []


def cutoffs(joint: NDArray[np.int64]) -> list[Cutoff]:
    """Actions and flips at every inner edge of the bins: scores at or above it are acted on.

    The candidate's cut-off of equal action rate is the edge at which it acts as nearly as often as the primary does; of
    two, the lower.
    """
    inner = range(1, BINS)
    candidates = [int(joint[:, at:].sum()) for at in inner]
    rows = []
    for at in inner:
        primary, candidate = int(joint[at:].sum()), candidates[at - 1]
        equal = min(inner, key=lambda other: abs(candidates[other - 1] - primary))
        rows.append(
            Cutoff(
                cutoff=EDGES[at],
                primary_actions=primary,
                candidate_actions=candidate,
                flips=primary + candidate - 2 * int(joint[at:, at:].sum()),
                equal_cutoff=EDGES[equal],
                equal_actions=candidates[equal - 1],
                equal_flips=primary + candidates[equal - 1] - 2 * int(joint[at:, equal:].sum()),
            )
        )
    return rows


def ask_cutoff_costs(questions: Questions, positive: str, cost: Cost, rows: Sequence[Cutoff]) -> list[Cutoff]:
    """The cut-offs with what each costs a labelled pair, for both models on the same pairs."""
    cells = questions.ask("cutoff_costs", positive=literal(positive))
    n = int(pc.sum(cells["n"]).as_py() or 0)
    if not n:
        return list(rows)
    weights = np.zeros((2, BINS, BINS))
    y = cells["y"].to_numpy().astype(int)
    weights[y, cells["primary"].to_numpy(), cells["candidate"].to_numpy()] = cells["weight"].to_numpy()

    def costs(of: FloatArray) -> dict[float, float]:
        """By cut-off, from weights by truth and bin."""
        return {
            EDGES[at]: float(cost.false_positive * of[0, at:].sum() + cost.false_negative * of[1, :at].sum())
            / float(of.sum())
            for at in range(1, BINS)
        }

    primary, candidate = costs(weights.sum(axis=2)), costs(weights.sum(axis=1))
    return [
        msgspec.structs.replace(
            row,
            cost_n=n,
            primary_cost=primary[row.cutoff],
            candidate_cost=candidate[row.cutoff],
            equal_cost=None if row.equal_cutoff is None else candidate[row.equal_cutoff],
        )
        for row in rows
    ]


def _psi(questions: Questions, deciles: list[float]) -> float:
    """PSI less what the pairing explains, over the bins between the primary's deciles (equal ones are one edge)."""
    edges = sorted(set(deciles))
    cells = questions.ask("deciles", primary_bin=_bin("p", edges), candidate_bin=_bin("c", edges))
    return psi_paired(_counted(cells, "primary", "candidate", len(edges) + 1)).debiased


def _bin(value: str, edges: list[float]) -> str:
    """The number of edges at or below a value."""
    return " + ".join(f"({value} >= {number(edge)})::INTEGER" for edge in edges)


def _counted(cells: pa.Table, row: str, column: str, size: int) -> NDArray[np.int64]:
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (cells[row].to_numpy(), cells[column].to_numpy()), cells["n"].to_numpy())
    return table
