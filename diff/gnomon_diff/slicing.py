"""The search for slices: where answers differ more often than the day's traffic does. It proposes, and tests nothing.

Every row has a code for each feature (`binning`). A region allows some bins of one, two or three features. Its
score is the surplus of flips over what the day's own rate explains, in standard deviations of independent
requests: sum of (flip - r_day) / sqrt(sum of r_day (1 - r_day)). It ranks, and is no evidence: regions are
chosen by it. Starts are all conjunctions of one, two and three bins, and the leaves of small regression trees
on the surplus; each is then improved one feature at a time (for the other conditions as they are, the best range
or set of bins is found exactly), what changes little is left out, and the best are narrowed by further conditions
that help. Of regions that overlap the best stays: the
next is scored on the rows that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from gnomon_diff.evidence.engine import FloatArray

MOST_CONDITIONS = 3
MOST_SLICES = 10
LEAST_SHARE = 0.005
LEAST_ROWS = 50
LEAST_SCORE = 4.0  # surplus, in standard deviations: less is not worth a place among those tested
_WORK = 1e10  # multiplications spent on conjunctions of three
_MOST_SINGLES = 160
_STARTS = 40  # of each kind
_NARROWED = 20
_TREES, _TREE_ROWS = 6, 40_000
_SIMPLER = 0.97  # a condition stays only if the score would fall below this part without it

Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Condition = tuple[int, tuple[int, ...]]  # a feature, the bins allowed
Region = tuple[Condition, ...]  # by feature


@dataclass(frozen=True)
class Rows:
    """What is searched.

    Attributes:
        codes: bin of each row and feature, shape (n, F); `sizes[f]` is the bin of missing values.
        sizes: bins of each feature without the one for missing values.
        ordered: whether neighbouring bins are neighbours.
        surplus: flip less the rate of the row's day, shape (n,).
        variance: r (1 - r) of the row's day.
    """

    codes: Codes
    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]
    surplus: FloatArray
    variance: FloatArray

    @property
    def least(self) -> int:
        """Rows that a region must have."""
        return max(LEAST_ROWS, int(LEAST_SHARE * len(self.surplus)))

    def where(self, region: Iterable[Condition]) -> Mask:
        """The rows of a region."""
        mask = np.ones(len(self.surplus), bool)
        for feature, bins in region:
            mask &= self.allowed(feature, bins)[self.codes[:, feature]]
        return mask

    def allowed(self, feature: int, bins: Sequence[int]) -> Mask:
        """Bins as a mask over all bins of a feature."""
        table = np.zeros(self.sizes[feature] + 1, bool)
        table[list(bins)] = True
        return table

    def score(self, mask: Mask) -> float:
        """Surplus in standard deviations; -inf for too few rows."""
        return _score(self.surplus[mask].sum(), self.variance[mask].sum(), int(mask.sum()), self.least)


def rows_of(
    codes: Codes, sizes: Sequence[int], ordered: Sequence[bool], flips: Mask, days: NDArray[np.int64]
) -> Rows:
    """Rows with the rate of their day taken off."""
    _, day = np.unique(days, return_inverse=True)
    rate = (np.bincount(day, flips) / np.maximum(np.bincount(day), 1))[day]
    return Rows(codes, tuple(sizes), tuple(ordered), flips - rate, rate * (1 - rate))


def propose(rows: Rows, *, seed: int = 0) -> list[Region]:
    """At most `MOST_SLICES` regions, the best first, each scored on the rows that those before it left.

    The same rows and seed give the same regions.
    """
    if len(rows.surplus) < rows.least or not rows.variance.any():
        return []
    starts = {*_conjunctions(rows), *_leaves(rows, seed)}
    found = _ranked(rows, {_improved(rows, start) for start in sorted(starts)})
    narrowed = {_narrowed(rows, region) for region in found[:_NARROWED]}
    return _apart(rows, _ranked(rows, {*found, *narrowed}))


def _score(surplus: float, variance: float, n: int, least: int) -> float:
    return surplus / np.sqrt(variance) if n >= least and variance > 0 else -np.inf


def _ranked(rows: Rows, regions: Iterable[Region]) -> list[Region]:
    """The best first, without the one that is everything."""
    return sorted(
        (region for region in regions if region),
        key=lambda region: (-round(rows.score(rows.where(region)), 6), region),
    )


def _apart(rows: Rows, ranked: Sequence[Region]) -> list[Region]:
    """Without those that say again what a better one says."""
    left = np.ones(len(rows.surplus), bool)
    chosen: list[Region] = []
    masks = {region: rows.where(region) for region in ranked}
    while len(chosen) < MOST_SLICES and masks:
        scores = {}
        for region, mask in masks.items():
            own = mask & left
            most = 2 * own.sum() > mask.sum()  # else it is mainly what was chosen already
            scores[region] = round(rows.score(own), 6) if most else -np.inf
        best = max(scores, key=lambda region: (scores[region], -len(region)))
        if scores[best] < LEAST_SCORE:
            break
        chosen.append(best)
        left &= ~masks.pop(best)
    return chosen


def _conjunctions(rows: Rows) -> list[Region]:
    """The best conjunctions of one, two and three single bins."""
    singles = _singles(rows)
    if not singles:
        return []
    part = np.arange(len(rows.surplus))
    per_row = len(rows.sizes) * len(singles) ** 2
    if per_row * len(part) > _WORK:
        # Evenly over the rows, which have no order that matters.
        part = part[:: int(np.ceil(per_row * len(part) / _WORK))]
    held = np.stack([(rows.codes[part, feature] == code) for feature, code in singles], axis=1)
    held = held.astype(np.float32)
    surplus, variance = rows.surplus[part].astype(np.float32), rows.variance[part].astype(np.float32)
    least = rows.least * len(part) / len(rows.surplus)
    of = np.array([feature for feature, _ in singles])
    best: list[tuple[float, tuple[int, ...]]] = []
    kinds: list[list[tuple[float, tuple[int, ...]]]] = [[], [], []]
    alone = _scores(held.T @ surplus, held.T @ variance, held.sum(axis=0), least)
    kinds[0] = [(float(score), (index,)) for index, score in enumerate(alone)]
    pairs = _scores(
        held.T @ (held * surplus[:, None]), held.T @ (held * variance[:, None]), held.T @ held, least
    )
    upper = np.triu(of[:, None] != of[None, :], 1)
    kinds[1] = [(float(pairs[i, j]), (i, j)) for i, j in _top(np.where(upper, pairs, -np.inf))]
    for first in range(len(singles)):
        inside = held[:, first] > 0
        few = held[inside]
        if len(few) < least:
            continue
        scores = _scores(
            few.T @ (few * surplus[inside, None]),
            few.T @ (few * variance[inside, None]),
            few.T @ few,
            least,
        )
        later = upper & (np.arange(len(singles))[:, None] > first) & (of[:, None] != of[first])
        scores = np.where(later, scores, -np.inf)
        kinds[2] += [(float(scores[i, j]), (first, int(i), int(j))) for i, j in _top(scores, 5)]
    for kind in kinds:
        best += sorted(kind, key=lambda one: (-round(one[0], 3), one[1]))[:_STARTS]
    return [
        tuple(sorted((singles[index][0], (singles[index][1],)) for index in chosen))
        for score, chosen in best
        if score > 0
    ]


def _singles(rows: Rows) -> list[tuple[int, int]]:
    """Single bins with enough rows; of too many those that stand out most, one way or the other."""
    found = []
    for feature, size in enumerate(rows.sizes):
        surplus, variance, n = _by_bin(rows, feature, np.ones(len(rows.surplus), bool))
        score = np.abs(surplus) / np.sqrt(np.maximum(variance, 1e-12))
        found += [
            (-round(float(score[code]), 6), feature, code)
            for code in range(size + 1)
            if rows.least <= n[code] < len(rows.surplus)
        ]
    return sorted((feature, code) for _, feature, code in sorted(found)[:_MOST_SINGLES])


def _scores(surplus: FloatArray, variance: FloatArray, n: FloatArray, least: float) -> FloatArray:
    scores: FloatArray = np.where(n >= least, surplus / np.sqrt(np.maximum(variance, 1e-12)), -np.inf)
    return scores


def _top(scores: FloatArray, most: int = _STARTS) -> list[tuple[int, int]]:
    flat = scores.ravel()
    at = np.argpartition(-flat, min(most, len(flat) - 1))[:most]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(at, scores.shape), strict=True)]


def _leaves(rows: Rows, seed: int) -> list[Region]:
    """The leaves of small trees, as regions. Texts enter bin by bin, numbers by the order of their bins."""
    part = np.arange(0, len(rows.surplus), max(1, len(rows.surplus) // _TREE_ROWS))
    columns: list[tuple[int, int | None]] = []  # a feature, and a single bin of it
    for feature, (size, ordered) in enumerate(zip(rows.sizes, rows.ordered, strict=True)):
        columns += [(feature, None)] if ordered else [(feature, code) for code in range(size + 1)]
    inputs = np.stack(
        [
            rows.codes[part, feature] if code is None else rows.codes[part, feature] == code
            for feature, code in columns
        ],
        axis=1,
    ).astype(np.float32)
    least = max(2, rows.least * len(part) // len(rows.surplus))
    regions: list[tuple[float, Region]] = []
    for number in range(_TREES):
        tree = DecisionTreeRegressor(
            max_depth=MOST_CONDITIONS,
            min_samples_leaf=least,
            max_features=None if number == 0 else 0.5,
            random_state=(seed + number) % 2**32,
        ).fit(inputs, rows.surplus[part])
        regions += [
            (value, region)
            for value, region in _walk(rows, columns, tree.tree_, 0, {})
            if value > 0 and region
        ]
    return [region for _, region in sorted(set(regions), key=lambda one: (-one[0], one[1]))[:_STARTS]]


def _walk(
    rows: Rows, columns: Sequence[tuple[int, int | None]], tree: object, node: int, held: dict[int, Mask]
) -> Iterable[tuple[float, Region]]:
    left, right = tree.children_left[node], tree.children_right[node]  # type: ignore[attr-defined]
    if left == right:
        region = tuple(
            (feature, tuple(np.flatnonzero(mask).tolist())) for feature, mask in sorted(held.items())
        )
        yield float(tree.value[node].item()), region  # type: ignore[attr-defined]
        return
    feature, code = columns[tree.feature[node]]  # type: ignore[attr-defined]
    bins = np.arange(rows.sizes[feature] + 1)
    below = bins <= tree.threshold[node] if code is None else bins != code  # type: ignore[attr-defined]
    before = held.get(feature, np.ones(len(bins), bool))
    yield from _walk(rows, columns, tree, left, {**held, feature: before & below})
    yield from _walk(rows, columns, tree, right, {**held, feature: before & ~below})


def _improved(rows: Rows, start: Region) -> Region:
    """The region, each condition in turn made the best for the others; then without those that change little."""
    region, score = dict(start), -np.inf
    for _ in range(4):
        for feature in list(region):
            others = rows.where((key, bins) for key, bins in region.items() if key != feature)
            bins = _best_bins(rows, feature, others)
            if bins is None:
                return ()
            if bins:
                region[feature] = bins
            else:
                del region[feature]
        now = rows.score(rows.where(region.items()))
        if now <= score + 1e-9:
            break
        score = now
    return _simpler(rows, region)


def _narrowed(rows: Rows, region: Region) -> Region:
    """The region with further conditions, each the one that helps most, as long as one does."""
    score = rows.score(rows.where(region))
    while len(region) < MOST_CONDITIONS:
        mask, options = rows.where(region), []
        for feature in sorted(set(range(len(rows.sizes))) - {feature for feature, _ in region}):
            bins = _best_bins(rows, feature, mask)
            if bins:
                option = tuple(sorted([*region, (feature, bins)]))
                options.append((-round(rows.score(rows.where(option)), 6), option))
        best = min(options, default=(0.0, region))
        if _SIMPLER * -best[0] <= score:
            break
        score, region = -best[0], best[1]
    return _improved(rows, region)


def _simpler(rows: Rows, region: dict[int, tuple[int, ...]]) -> Region:
    """Without conditions whose absence costs next to nothing, the least telling first."""
    score = rows.score(rows.where(region.items()))
    if not region or score <= 0:
        return ()
    while len(region) > 1:
        without = {
            feature: rows.score(rows.where((key, bins) for key, bins in region.items() if key != feature))
            for feature in region
        }
        least = max(without, key=lambda feature: (without[feature], feature))
        if without[least] < _SIMPLER * score:
            break
        del region[least]
    return tuple(sorted(region.items()))


def _by_bin(rows: Rows, feature: int, mask: Mask) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    codes, most = rows.codes[mask, feature], rows.sizes[feature] + 1
    n = np.bincount(codes, minlength=most).astype(np.int64)
    surplus, variance = (
        np.bincount(codes, values[mask], most).astype(np.float64) for values in (rows.surplus, rows.variance)
    )
    return surplus, variance, n


def _best_bins(rows: Rows, feature: int, mask: Mask) -> tuple[int, ...] | None:
    """The bins of one feature with the highest score among the rows of `mask`; () stands for all of them.

    Of a number every range, with missing values and without; of a text the bins with the highest surplus for
    their variance (the best set is such a prefix).
    """
    surplus, variance, n = _by_bin(rows, feature, mask)
    size = rows.sizes[feature]
    sets: list[list[int]] = [[size]] if n[size] else []
    if rows.ordered[feature]:
        for low, high in combinations(range(size + 1), 2):
            inside = list(range(low, high))
            sets += [inside, [*inside, size]] if n[size] else [inside]
    else:
        order = [int(code) for code in np.argsort(-surplus / np.maximum(variance, 1e-12), kind="stable")]
        order = [code for code in order if n[code]]
        sets += [order[:most] for most in range(1, len(order) + 1)]
    best, bins = -np.inf, None
    for chosen in sets:
        score = _score(surplus[chosen].sum(), variance[chosen].sum(), int(n[chosen].sum()), rows.least)
        if score > best:
            best, bins = score, chosen
    if bins is None:
        return None
    return () if n[bins].sum() == n.sum() else tuple(sorted(bins))
