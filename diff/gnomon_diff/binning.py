"""Bins that people can read: numbers at round edges, texts by their most frequent values, missing on its own.

A number with few different values is taken by value. Any other is cut near its eighths: each edge is the
roundest multiple of 1, 2 or 5 times a power of ten whose rank is off by at most `RANK_SLACK`. Edges come from
at most `SAMPLE_ROWS` requests, drawn by the hash of their id, and from no answer: nothing that is tested later
depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_diff.columns import Column
from gnomon_diff.comparison import SegmentKey
from gnomon_diff.evidence.engine import FloatArray
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal, plain_identifier

SAMPLE_ROWS = 50_000
RANK_SLACK = 0.03
MOST_BINS = 8
FEW_VALUES = 10  # a number with no more is taken by value
MOST_VALUES = 20  # of a text; the rest is pooled
_LEAST_SHARE = 0.001  # a value rarer than this is pooled
_NUMBERS = ("DOUBLE", "BIGINT", "INTEGER")
_HEX = 16**8


@dataclass(frozen=True)
class Bins:
    """How one feature or attribute is cut.

    A bin has a code: 0 to `size` - 1, and `size` for requests without a value (NULL or NaN).

    Attributes:
        feature: `features.<name>` or `attributes.<name>`.
        column: its name in the view `pairs`.
        type: DuckDB's.
        edges: inner edges of a number's ranges, ascending; bin i holds [edges[i - 1], edges[i]).
        values: where there are no edges, the values with a bin of their own.
        pooled: whether there are more values; they share the last bin.
        nan: whether the log has NaN here, which counts as missing. (To DuckDB it is larger than any number.)
    """

    feature: str
    column: str
    type: str
    edges: tuple[float, ...] = ()
    values: tuple[str | int | float | bool, ...] = ()
    pooled: bool = False
    nan: bool = False

    @property
    def size(self) -> int:
        """Bins without the one for missing values."""
        return len(self.edges) + 1 if self.edges else len(self.values) + self.pooled

    @property
    def ordered(self) -> bool:
        """Whether neighbouring bins are neighbours: ranges of a number."""
        return bool(self.edges)

    def sql(self, table: str = "") -> str:
        """The code of a row's bin."""
        name = self._name(table)
        if self.edges:
            cases = [f"WHEN {name} < {_written(edge)} THEN {code}" for code, edge in enumerate(self.edges)]
            rest = len(self.edges)
        else:
            cases = [f"WHEN {name} = {_written(value)} THEN {code}" for code, value in enumerate(self.values)]
            rest = len(self.values)  # of values never seen before as well
        return f"CASE WHEN {self._missing(table)} THEN {self.size} {' '.join(cases)} ELSE {rest} END"

    def key(self, code: int) -> SegmentKey:
        """The segment that a bin is."""
        if code == self.size:
            return SegmentKey(feature=self.feature, kind="missing", value=None)
        if self.edges:
            return SegmentKey(feature=self.feature, kind="range", value=self._range(code))
        if code < len(self.values):
            value = self.values[code]
            text = value if isinstance(value, str) else _written(value)
            return SegmentKey(feature=self.feature, kind="value", value=text)
        return SegmentKey(feature=self.feature, kind="other", value=None)

    def predicate(self, codes: Iterable[int]) -> str:
        """SQL over the view `pairs` that is true for the rows of these bins, and false or NULL for all others.

        >>> bins = Bins("features.km", "km", "DOUBLE", edges=(100.0, 200.0, 500.0), nan=True)
        >>> print(bins.predicate([1, 2]))
        km >= 100 AND km < 500
        >>> print(bins.predicate([3]))
        km >= 500 AND NOT isnan(km)
        >>> carrier = Bins("features.carrier", "carrier", "VARCHAR", values=("AA", "B6"), pooled=True)
        >>> print(carrier.predicate([1, 2, 3]))
        (carrier <> 'AA' OR carrier IS NULL)
        """
        chosen = sorted(set(codes))
        missing = self.size in chosen
        present = [code for code in chosen if code < self.size]
        if not present:
            return f"({self._missing()})" if self.nan else self._missing()
        if self.edges:
            return self._of_ranges(present, missing)
        return self._of_values(present, missing)

    def _of_ranges(self, codes: Sequence[int], missing: bool) -> str:
        name = self._name()
        low, high = codes[0], codes[-1]
        if codes != list(range(low, high + 1)):
            raise ValueError("the ranges of a number must be neighbours")
        parts = []
        if low:
            parts.append(f"{name} >= {_written(self.edges[low - 1])}")
        if high < len(self.edges):
            parts.append(f"{name} < {_written(self.edges[high])}")
        elif self.nan and not missing:
            parts.append(f"NOT isnan({name})")
        if not parts:
            parts.append(f"{name} IS NOT NULL")
        whole = " AND ".join(parts)
        return f"({whole} OR {self._missing()})" if missing else whole

    def _of_values(self, codes: Sequence[int], missing: bool) -> str:
        name = self._name()
        inside = [self.values[code] for code in codes if code < len(self.values)]
        if self.pooled and codes[-1] == len(self.values):
            inside = [value for value in self.values if value not in inside]  # what is left out
            whole = _one_of(name, inside, out=True) or f"{name} IS NOT NULL"
            if self.nan and not missing:
                whole += f" AND NOT isnan({name})"
        else:
            whole = _one_of(name, inside)
        return f"({whole} OR {self._missing()})" if missing else whole

    def _range(self, code: int) -> str:
        if code == 0:
            return f"under {_written(self.edges[0])}"
        if code == len(self.edges):
            return f"{_written(self.edges[-1])} or more"
        return f"{_written(self.edges[code - 1])} to {_written(self.edges[code])}"

    def _missing(self, table: str = "") -> str:
        name = self._name(table)
        return f"{name} IS NULL OR isnan({name})" if self.nan else f"{name} IS NULL"

    def _name(self, table: str = "") -> str:
        name = plain_identifier(self.column)
        return f"{table}.{name}" if table else name


def ask_bins(questions: Questions, columns: Sequence[Column], pairs: int) -> list[Bins]:
    """Bins of every feature and attribute that has more than one, in the order of the columns.

    Args:
        pairs: how many there are.
    """
    own = [column for column in columns if column.origin is not None and column.type in _BINNED]
    if not own or not pairs:
        return []
    rows = questions.ask(
        "binning",
        columns=", ".join(f"{identifier(column.name)} AS c{index}" for index, column in enumerate(own)),
        drawn=drawn_sql("'bins:' || request_id", SAMPLE_ROWS / pairs),
    )
    with_nan = _with_nan(questions, [column.name for column in own if column.type == "DOUBLE"])
    found = [
        _bins(column, rows[f"c{index}"].combine_chunks(), nan=column.name in with_nan)
        for index, column in enumerate(own)
    ]
    return [bins for bins in found if bins is not None]


def _with_nan(questions: Questions, names: Sequence[str]) -> set[str]:
    """Which of some numbers are NaN anywhere."""
    if not names:
        return set()
    [row] = questions.ask(
        "nans", isnan=", ".join(f"bool_or(isnan({identifier(name)}))" for name in names)
    ).to_pylist()
    return {name for name, nan in zip(names, row["nan"], strict=True) if nan}


_BINNED = (*_NUMBERS, "VARCHAR", "BOOLEAN")


def drawn_sql(text: str, frac: float) -> str:
    """SQL that is true for a share of the rows, chosen by the hash of a text, whatever the order of the rows."""
    return "true" if frac >= 1 else f"md5({text}) < '{int(frac * _HEX):08x}'"


def readable_edges(values: FloatArray, bins: int = MOST_BINS) -> list[float]:
    """Round edges near the quantiles of some numbers, ascending; none where all are equal.

    >>> readable_edges(np.arange(1000.0), 4)
    [240.0, 500.0, 760.0]
    """
    ordered = np.sort(values)
    n, edges = len(ordered), set()
    for index in range(1, bins):
        at = index / bins
        low = ordered[max(0, math.ceil((at - RANK_SLACK) * n) - 1)]
        high = ordered[min(n - 1, math.ceil((at + RANK_SLACK) * n) - 1)]
        if low == high:  # one value holds all of these ranks: it gets a bin of its own
            above = ordered[np.searchsorted(ordered, low, side="right") :]
            below = ordered[: np.searchsorted(ordered, low)]
            edges |= {round_between(float(below[-1]), float(low))} if len(below) else set()
            edges |= {round_between(float(low), float(above[0]))} if len(above) else set()
        else:
            edges.add(round_between(float(low), float(high)))
    return sorted(edge for edge in edges if math.isfinite(edge))


def round_between(low: float, high: float) -> float:
    """The roundest number in (low, high]: a multiple of 1, 2 or 5 times the largest possible power of ten.

    >>> round_between(187, 231), round_between(0.0, 0.37), round_between(-3.0, 4.0), round_between(6.0, 7.0)
    (200.0, 0.2, 0.0, 7.0)
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return high
    top = math.ceil(math.log10(max(abs(low), abs(high)))) if low or high else 0
    for power in range(top, top - 18, -1):
        for step in (5.0, 2.0, 1.0):
            unit = step * 10.0**power
            edge = float(f"{math.floor(high / unit) * unit:.12g}")
            if low < edge <= high:
                return edge + 0.0  # no minus zero
    return high


def _bins(column: Column, values: pa.Array, *, nan: bool) -> Bins | None:
    present = values.drop_null()
    if column.type == "DOUBLE":
        present = present.filter(pc.invert(pc.is_nan(present)))
    counts = pc.value_counts(present)
    counted = sorted(
        ((row["counts"], row["values"]) for row in counts.to_pylist()), key=lambda one: (-one[0], one[1])
    )
    name, missing = (column.origin or "", column.name, column.type), len(values) - len(present)
    if len(counted) + bool(missing) < 2:
        return None
    if column.type in _NUMBERS and len(counted) > FEW_VALUES:
        edges = readable_edges(present.to_numpy(zero_copy_only=False).astype(np.float64))
        return Bins(*name, edges=tuple(edges), nan=nan) if edges else None
    kept: list[Any] = [value for n, value in counted[:MOST_VALUES] if n >= _LEAST_SHARE * len(values)]
    if column.type in _NUMBERS:
        kept = sorted(value for value in kept if math.isfinite(value))
    if len(kept) + bool(missing) < 2:
        return None  # an id, say: no value stands out
    return Bins(*name, values=tuple(kept), pooled=True, nan=nan)


def _one_of(name: str, values: Sequence[Any], *, out: bool = False) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{name} {'<>' if out else '='} {_written(values[0])}"
    return f"{name} {'NOT IN' if out else 'IN'} ({', '.join(_written(value) for value in values)})"


def _written(value: str | float | bool) -> str:
    """A value as DuckDB and people read it."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool):
        return str(value).lower()
    return (
        str(int(value))
        if (value == int(value) and abs(value) < 1e15) or isinstance(value, int)
        else repr(value)
    )
