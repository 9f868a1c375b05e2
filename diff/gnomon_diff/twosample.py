"""The classifier two-sample test: can a request's side be told from its features, on days not trained on?

Lopez-Paz & Oquab 2017. Requests of one day resemble each other, so a classifier that saw some of a day's requests
would know the others: folds are whole days, each with days of both sides, and the interval counts days, not rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from gnomon_diff.comparison import Telling, TwoSample
from gnomon_diff.drawing import Drawn
from gnomon_diff.evidence import clustered_auc, placements

FOLDS = 5
MOST_COLUMNS = 40
MOST_ROWS = 5_000
"""Of each side: the interval counts days, so more rows would hardly narrow it."""
_TOLD = 10
_LEVELS = 250  # the classifier takes at most 255 categories
_SEED = 0
_LARGE = 1e30  # stands for infinity, which the classifier does not take

FloatArray = NDArray[np.float64]


def two_sample(drawn: Drawn, *, most_telling: Sequence[str] = ()) -> TwoSample | None:
    """The test over the features drawn; None where there are none.

    Args:
        most_telling: names of columns, the most moved first: where there are more than 40, these are looked at.
    """
    drawn = _fewer(drawn)
    features = [index for index, one in enumerate(drawn.subjects) if one.name.startswith("features.")]
    if not features:
        return None
    order = {name: place for place, name in enumerate(most_telling)}
    features.sort(key=lambda index: order.get(drawn.subjects[index].name, len(order)))
    chosen = features[:MOST_COLUMNS]
    days = [len(np.unique(drawn.block[side])) for side in (~drawn.later, drawn.later)]
    folds = min(FOLDS, *days)
    auc, low, high, telling, reason = (
        _on_one_thread(drawn, chosen, folds, days)
        if folds >= 2
        else (None, None, None, [], "fewer than two whole days on a side: none is left to test on")
    )
    return TwoSample(
        n_then=int((~drawn.later).sum()),
        n_now=int(drawn.later.sum()),
        days_then=days[0],
        days_now=days[1],
        auc=auc,
        low=low,
        high=high,
        telling=telling,
        left_out=len(features) - len(chosen),
        reason=reason,
    )


def _on_one_thread(
    drawn: Drawn, chosen: Sequence[int], folds: int, days: Sequence[int]
) -> tuple[float | None, float | None, float | None, list[Telling], str | None]:
    """OpenMP's threads wait for each other by spinning: on a busy machine that takes minutes instead of a second."""
    with threadpool_limits(1):
        return _cross_validated(drawn, chosen, folds, days)


def _cross_validated(
    drawn: Drawn, chosen: Sequence[int], folds: int, days: Sequence[int]
) -> tuple[float | None, float | None, float | None, list[Telling], str | None]:
    fold = _folds(drawn, folds)
    table = np.column_stack([_codes(drawn, index) for index in chosen])
    categories = [drawn.subjects[index].kind == "categorical" for index in chosen]
    rng = np.random.default_rng(_SEED)
    drops = np.zeros(len(chosen))
    placed, later, blocks = [], [], []
    for number in range(folds):
        test = fold == number
        # A column without any value on the days trained on cannot be split; it has none on the others either.
        rows = np.where(np.isnan(table[~test]).all(axis=0), 0.0, table)
        model = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=15, categorical_features=categories, early_stopping=False,
            random_state=_SEED,
        ).fit(rows[~test], drawn.later[~test])  # fmt: skip
        rows, side = rows[test], drawn.later[test]
        placed.append(placements(model.decision_function(rows), side))
        later.append(side)
        blocks.append(drawn.block[test])
        auc = float(placed[-1][side].mean())
        for column in range(len(chosen)):
            shuffled = rows.copy()
            shuffled[:, column] = rng.permutation(rows[:, column])
            drops[column] += auc - float(placements(model.decision_function(shuffled), side)[side].mean())
    value, interval = clustered_auc(placed, later, blocks)
    ranked = sorted(zip(chosen, drops / folds, strict=True), key=lambda one: -one[1])
    telling = [one for one in ranked[:_TOLD] if one[1] > 0]
    return (
        value,
        interval.low,
        interval.high,
        [Telling(column=drawn.subjects[index].name, auc_drop=float(drop)) for index, drop in telling],
        f"no interval from {min(days)} days on a side: it takes four" if interval.low is None else None,
    )


def _fewer(drawn: Drawn) -> Drawn:
    """At most 5,000 rows of each side, evenly over its days: rows stand by day."""
    keep = np.zeros(len(drawn.later), bool)
    for side in (~drawn.later, drawn.later):
        rows = np.flatnonzero(side)
        keep[rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)]] = True
    return Drawn(
        drawn.subjects,
        drawn.later[keep],
        drawn.block[keep],
        tuple(values.filter(pa.array(keep)) for values in drawn.values),
    )


def _folds(drawn: Drawn, folds: int) -> NDArray[np.int64]:
    """The fold of each row: the days of each side take turns, so that a fold has days of both."""
    fold = np.zeros(len(drawn.block), np.int64)
    for side in (~drawn.later, drawn.later):
        _, turn = np.unique(drawn.block[side], return_inverse=True)
        fold[side] = turn % folds
    return fold


def _codes(drawn: Drawn, index: int) -> FloatArray:
    """A column as the classifier takes it: numbers, or the place among the most frequent values; NaN for none."""
    if drawn.subjects[index].kind == "numeric":
        return np.clip(drawn.numbers(index), -_LARGE, _LARGE)
    values = drawn.values[index].combine_chunks()
    counts = pc.value_counts(values.drop_null()).to_pylist()
    frequent = sorted(counts, key=lambda one: (-one["counts"], one["values"]))[:_LEVELS]
    place = pc.index_in(values, value_set=pa.array([one["values"] for one in frequent], values.type))
    codes = np.array(place.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    rare = np.isnan(codes) & values.is_valid().to_numpy(zero_copy_only=False)
    codes[rare] = len(frequent)
    return codes
