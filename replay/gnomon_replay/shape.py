"""The types of an experiment's features: declared, or learnt from what arrives first.

Learnt: a boolean, a string, and every number a double; int64 where an integer beyond 2^53 is met, which a
double would not hold. Where values disagree the kind that most of them have wins, so that one bad record
cannot fix a type for ever. A field that is null so far has no type yet, and no name. Names ignore case, as
Delta's and DuckDB's do: the first spelling wins, and a record with another does not fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
from gnomon_capture.errors import SettingsError
from gnomon_capture.record import Scalar

from gnomon_replay.pairs import FEATURE_TYPES, struct_of

EXACT_DOUBLE = 1 << 53
"""Integers below this magnitude are exact as a double, and no other integer becomes the same one."""
INT64 = range(-(1 << 63), 1 << 63)
MAX_FIELDS = 4096
"""Of features, and of attributes. A producer that puts ids into names would widen the log without end."""
_BOOL, _STRING, _DOUBLE, _INT64 = pa.bool_(), pa.string(), pa.float64(), pa.int64()
_NO_NAME = re.compile("[\0\ud800-\udfff]")  # DuckDB or Arrow cannot hold these


class FeatureTypeError(ValueError):
    """A feature's name or value does not fit what the experiment has."""


class Names:
    """Names with types, unique when case is ignored; only grows."""

    def __init__(self, types: Mapping[str, pa.DataType]) -> None:
        self.types: dict[str, pa.DataType] = {}
        self._spelling: dict[str, str] = {}
        for name, kind in types.items():
            self.add(name, kind)

    def reset(self) -> None:
        """Forgets all names."""
        self.types, self._spelling = {}, {}

    def add(self, name: str, kind: pa.DataType) -> None:
        """Adds a name, unless it is there in any spelling or cannot be added."""
        if name in self.types or self._refusal(name) is None:
            self._spelling.setdefault(_folded(name), name)
            self.types.setdefault(name, kind)

    def check(self, name: str) -> None:
        """Raises FeatureTypeError where the log cannot have this name."""
        refusal = self._refusal(name) if name not in self.types else None
        if refusal is not None:
            raise FeatureTypeError(refusal)

    def _refusal(self, name: str) -> str | None:
        known = self._spelling.get(_folded(name))
        if known is not None:
            return f"`{name}` is spelt `{known}` in this log; names that differ in case clash"
        if not name or _NO_NAME.search(name):
            return f"{name!r:.60} is no name that a table can have"
        if len(self.types) >= MAX_FIELDS:
            return (
                f"`{name}` would be one more than {MAX_FIELDS} names; put what is not tabular into `payload`"
            )
        return None


def _folded(name: str) -> str:
    return name.lower().casefold()


class Shape:
    """Which features and attributes there are, and their types; grows, never changes. Not thread-safe."""

    def __init__(self, features: Mapping[str, pa.DataType], attributes: Iterable[str]) -> None:
        self._features = Names(features)
        self._attributes = Names(dict.fromkeys(attributes, pa.string()))

    @classmethod
    def declared(cls, features: Mapping[str, str]) -> Shape:
        """A shape from `[features]`: names to `bool`, `string`, `double` or `int64`.

        Raises:
            SettingsError: two names differ only in case, or one is none.
        """
        shape = cls({}, ())
        for name, kind in features.items():
            try:
                shape._features.check(name)
            except FeatureTypeError as exc:
                raise SettingsError(f"features.{name}", str(exc)) from exc
            shape._features.add(name, FEATURE_TYPES[kind])
        return shape

    @property
    def features(self) -> pa.StructType:
        return struct_of(self._features.types.items())

    @property
    def attributes(self) -> pa.StructType:
        return struct_of(self._attributes.types.items())

    @property
    def feature_types(self) -> Mapping[str, pa.DataType]:
        return self._features.types

    @property
    def empty(self) -> bool:
        return not self._features.types

    def adopt(self, schema: pa.Schema) -> None:
        """Takes over the fields of a table's schema, which win over what is known here."""
        for column, known in (("features", self._features), ("attributes", self._attributes)):
            index = schema.get_field_index(column)
            if index >= 0:
                theirs = {field.name: field.type for field in schema.field(index).type}
                ours = known.types
                known.reset()
                for name, kind in (*theirs.items(), *ours.items()):
                    known.add(name, kind)

    def refuse_change(self, schema: pa.Schema) -> None:
        """Makes sure that what is known here (declared) has the types that a table has.

        Raises:
            SettingsError: a feature has another.
        """
        stored = Shape({}, ())
        stored.adopt(schema)
        names = {kind: name for name, kind in FEATURE_TYPES.items()}
        for name, kind in self.feature_types.items():
            has = stored.feature_types.get(name, kind)
            if has != kind:
                raise SettingsError(
                    f"features.{name}",
                    f"it is {names[has]} in the log, and a column keeps its type; "
                    f'declare "{names[has]}", or begin a new experiment',
                )

    def learn(self, rows: Iterable[Mapping[str, Scalar]]) -> None:
        """Gives a type to each feature in `rows` that has none yet."""
        found: dict[str, Counter[pa.DataType]] = {}
        for row in rows:
            for name, value in row.items():
                if name not in self._features.types and value is not None:
                    found.setdefault(name, Counter())[_kind(value)] += 1
        for name, kinds in found.items():
            self._features.add(name, _commonest(kinds))

    def learn_attributes(self, rows: Iterable[Mapping[str, str | None]]) -> None:
        """Adds attributes that are not known yet; all are text."""
        for row in rows:
            for name, value in row.items():
                if name not in self._attributes.types and value is not None:
                    self._attributes.add(name, pa.string())

    def fit_attribute(self, name: str, value: str | None) -> str | None:
        """An attribute's value as its column takes it.

        Raises:
            FeatureTypeError: the name does not fit.
        """
        if value is not None:
            self._attributes.check(name)
        return value

    def fit(self, name: str, value: Scalar) -> Scalar:
        """A feature's value as its column takes it.

        Raises:
            FeatureTypeError: name or value do not fit.
        """
        if value is None:
            return None
        self._features.check(name)
        kind = self._features.types[name]
        python = type(value)
        if kind == _DOUBLE and python in (float, int):
            if python is int and not -EXACT_DOUBLE <= value <= EXACT_DOUBLE:  # type: ignore[operator]
                raise FeatureTypeError(
                    f"`{name}` is {value}, which a double does not hold; declare it as int64 under [features]"
                )
            return float(value)
        fits = (
            (kind == _STRING and python is str)
            or (kind == _BOOL and python is bool)
            or (kind == _INT64 and python is int and value in INT64)
        )
        if not fits:
            raise FeatureTypeError(f"`{name}` is {value!r:.60}, not of type {kind}, as it is in this log")
        return value


def _kind(value: Scalar) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, int) and abs(value) > EXACT_DOUBLE and value in INT64:
        return pa.int64()
    return pa.float64()


def _commonest(kinds: Counter[pa.DataType]) -> pa.DataType:
    """The kind of most values, the first met of equals; one large integer makes all numbers int64."""
    if kinds[pa.int64()]:
        kinds[pa.int64()] += kinds.pop(pa.float64(), 0)
    return max(kinds, key=lambda kind: kinds[kind])
