"""How much of the traffic has its label, how late labels come, and whether the labelled part looks like the rest."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gnomon_diff.comparison import LabelCoverage, LabelPart
from gnomon_diff.evidence import log_threshold, stratum_log_e
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier
from gnomon_diff.segmenting import Split
from gnomon_diff.settings import LabelSettings
from gnomon_diff.window import epoch_us

TESTED = 50_000
"""Pairs that the labelled and the unlabelled are compared on, about."""
ALPHA = 0.05
LEAST_PART = 100
"""Pairs tested; a smaller part is not compared."""
LEAST_APART = 0.01
"""Of the two shares: with pairs enough any difference is shown, and less than a point does no harm."""
MOST_PARTS = 200


def ask_coverage(
    questions: Questions,
    labels: LabelSettings,
    settled: NDArray[np.int64],
    splits: Sequence[Split],
    last_load: datetime.datetime,
) -> LabelCoverage:
    """Counts over all pairs, and a test of the pairs that are past the deadline."""
    questions.about(past_us=str(epoch_us(last_load) - round(1e6 * labels.deadline_s)))
    [row] = questions.ask(
        "label_coverage",
        settled=", ".join(map(str, settled.tolist())) or "NULL",
        deadline_s=str(labels.deadline_s),
    ).to_pylist()
    delays = row.pop("delays") or []
    past, unlabelled = row.pop("labelled_past_deadline"), row["overdue"]
    tested_n, parts, unlike = 0, 0, list[LabelPart]()
    if past and unlabelled:
        tested_n, parts, unlike = _unlike(questions, splits, max(1, (past + unlabelled) // TESTED))
    return LabelCoverage(
        **row,
        deadline_s=labels.deadline_s,
        settled_days=len(settled),
        delay_s=dict(zip(("p10", "p50", "p90", "p99"), delays, strict=bool(delays))),
        tested_n=tested_n,
        tested_parts=parts,
        unlike=unlike,
    )


def _unlike(questions: Questions, splits: Sequence[Split], every: int) -> tuple[int, int, list[LabelPart]]:
    """How many pairs and parts were compared, and the parts that are labelled unlike the rest, the surest first."""
    names = [f"k{index}" for index in range(len(splits))]
    keys = "".join(
        f",\n        {split.sql('pair')} AS {identifier(name)}"
        for split, name in zip(splits, names, strict=True)
    )
    rows = questions.ask("label_parts", keys=keys, every=str(every))
    if not rows.num_rows:
        return 0, 0, []
    columns = {"served.label": rows["served_label"], "candidate.label": rows["candidate_label"]}
    columns |= {"served.score": rows["p_bin"], "candidate.score": rows["c_bin"]}
    columns |= {split.feature: rows[name] for split, name in zip(splits, names, strict=True)}
    edges = {"served.score": rows["of_p"][0].as_py(), "candidate.score": rows["of_c"][0].as_py()}
    days, day = np.unique(rows["day"].to_numpy(), return_inverse=True)
    known = rows["known"].to_numpy().astype(np.int64)
    requests, chosen = (np.bincount(day, weights, len(days)) for weights in (None, known))
    found = []
    for column, values in columns.items():
        for name, inside in _parts(values, edges.get(column)):
            part, chosen_part = (np.bincount(day[inside], w, len(days)) for w in (None, known[inside]))
            n, labelled = int(part.sum()), int(chosen_part.sum())
            rest = len(known) - n
            found.append(
                LabelPart(
                    column=column,
                    value=name,
                    n=n,
                    labelled=labelled,
                    share=labelled / n,
                    rest_share=(int(known.sum()) - labelled) / rest if rest else None,
                    log_e=stratum_log_e(requests, part, chosen, chosen_part),
                )
            )
    asked = log_threshold(ALPHA / max(len(found), 1))
    unlike = [one for one in found if one.log_e >= asked and _apart(one) >= LEAST_APART]
    return len(known), len(found), sorted(unlike, key=lambda one: (-one.log_e, one.column, one.value))


def _parts(values: pa.ChunkedArray, edges: Sequence[float] | None) -> list[tuple[str, NDArray[np.bool_]]]:
    """The parts of one column that are large enough, the largest first, but not the whole; their choice knows no label."""
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    at, known = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    sizes = np.bincount(at, minlength=len(known)).tolist()
    large = [index for index, size in enumerate(sizes) if LEAST_PART <= size < len(at)]
    large.sort(key=lambda index: (-sizes[index], str(known[index])))
    return [(_name(known[index], edges), at == index) for index in large[:MOST_PARTS]]


def _name(value: str | int | None, edges: Sequence[float] | None) -> str:
    if value is None:
        return "missing"
    if edges is None or not isinstance(value, int):
        return str(value)
    if value == 0:
        return f"below {edges[0]:.3g}"
    if value == len(edges):
        return f"{edges[-1]:.3g} and above"
    return f"{edges[value - 1]:.3g} to {edges[value]:.3g}"


def _apart(one: LabelPart) -> float:
    return 0.0 if one.rest_share is None else abs(one.share - one.rest_share)
