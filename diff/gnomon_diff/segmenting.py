"""Which features and attributes the traffic is split by."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_capture.errors import UsageError

from gnomon_diff.binning import Bins
from gnomon_diff.columns import Column
from gnomon_diff.comparison import SegmentKey
from gnomon_diff.quoting import identifier, literal
from gnomon_diff.settings import Segments

MOST_VALUES = 50
"""A feature with more values is no segment unless the policy names it."""
MOST_JUDGED_VALUES = 1000


@dataclass(frozen=True)
class Split:
    """One feature or attribute by whose values the traffic is split.

    Attributes:
        feature: `features.<name>` or `attributes.<name>`.
        column: its name in the view `pairs`.
        type: DuckDB's.
        judged: the policy gates on its values.
        bins: how it is cut, where it is; its values are then codes of bins.
    """

    feature: str
    column: str
    type: str
    judged: bool
    bins: Bins | None = None

    def sql(self, table: str = "") -> str:
        """Its value as text, NULL where the request had none; NaN is none. Of bins the code, missing on its own."""
        if self.bins is not None:
            return f"({self.bins.sql(table)})::VARCHAR"
        name = f"{table}.{identifier(self.column)}" if table else identifier(self.column)
        if self.type == "VARCHAR":
            return name
        if self.type == "DOUBLE":
            return f"CASE WHEN NOT isnan({name}) THEN {name}::VARCHAR END"
        return f"{name}::VARCHAR"


def possible_splits(columns: Sequence[Column], segments: Segments) -> list[Split]:
    """Every text and flag, and whatever the policy names; the policy's first, in its order.

    Raises:
        UsageError: the policy names what the traffic does not have.
    """
    known = {column.origin: column for column in columns if column.origin is not None}
    named = segments.by or ()
    for feature in named:
        if known and feature not in known:
            near = difflib.get_close_matches(feature, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            raise UsageError(f"gate.segments.by names {feature}, which the traffic does not have; {hint}")
    others = [
        feature
        for feature, column in known.items()
        if column.type in ("VARCHAR", "BOOLEAN") and feature not in named
    ]
    return [
        Split(
            feature,
            known[feature].name,
            known[feature].type,
            feature in named if segments.by is not None else feature.startswith("attributes."),
        )
        for feature in (*(name for name in named if name in known), *others)
    ]


def chosen_splits(possible: Sequence[Split], values: Sequence[int], segments: Segments) -> list[Split]:
    """Those with few enough values, and those that the policy names.

    Args:
        values: how many different values each has.

    Raises:
        UsageError: the policy names one with too many.
    """
    chosen = []
    for split, count in zip(possible, values, strict=True):
        named = split.feature in (segments.by or ())
        if named and count > MOST_JUDGED_VALUES:
            raise UsageError(
                f"gate.segments.by names {split.feature}, which has {count} different values; at most "
                f"{MOST_JUDGED_VALUES} can be judged: name a coarser one"
            )
        if named or count <= MOST_VALUES:
            chosen.append(split)
    return chosen


def binned_splits(bins: Sequence[Bins], chosen: Sequence[Split]) -> list[Split]:
    """What has too many values to be split by each, cut into bins; never judged."""
    features = {split.feature for split in chosen}
    return [
        Split(one.feature, one.column, one.type, judged=False, bins=one)
        for one in bins
        if one.feature not in features
    ]


def segment_predicate(key: SegmentKey, splits: Sequence[Split]) -> str:
    """SQL over the view `pairs` that is true for the rows of a segment."""
    [split] = [split for split in splits if split.feature == key.feature]
    if split.bins is not None:
        codes = range(split.bins.size + 1)
        return split.bins.predicate([code for code in codes if split.bins.key(code) == key])
    return f"{split.sql()} IS NULL" if key.value is None else f"{split.sql()} = {literal(key.value)}"
