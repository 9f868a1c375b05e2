"""The types of an experiment's features: declared, or learnt from what arrives first.

Learnt: a boolean, a string, and every number a double; int64 where an integer beyond 2^53 is met, which a
double would not hold. A field that is null so far has no type yet. Names ignore case, as Delta's and
DuckDB's do: the first spelling wins, and a record with another does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
from gnomon_capture.errors import SettingsError
from gnomon_capture.record import Scalar

from gnomon_replay.pairs import FEATURE_TYPES, struct_of

EXACT_DOUBLE = 1 << 53
"""Integers up to this magnitude are exact as a double."""
INT64 = range(-(1 << 63), 1 << 63)


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
        """Adds a name, unless it is there in any spelling."""
        if self._spelling.setdefault(_folded(name), name) == name:
            self.types.setdefault(name, kind)

    def check(self, name: str) -> None:
        """Raises FeatureTypeError where the name is there in another spelling."""
        known = self._spelling.get(_folded(name), name)
        if known != name:
            raise FeatureTypeError(
                f"`{name}` is spelt `{known}` in this log; names that differ in case clash"
            )


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
            SettingsError: two names differ only in case.
        """
        shape = cls({name: FEATURE_TYPES[kind] for name, kind in features.items()}, ())
        for name in features:
            if name not in shape.feature_types:
                raise SettingsError(
                    f"features.{name}", "two features differ only in case; the log tells them not apart"
                )
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

    def learn(self, rows: Iterable[Mapping[str, Scalar]]) -> None:
        """Gives a type to each feature in `rows` that has none yet, by its first value that is not null."""
        found: dict[str, pa.DataType] = {}
        for row in rows:
            for name, value in row.items():
                if name in self._features.types or value is None:
                    continue
                kind = _kind(value)
                if name not in found or (kind == pa.int64() and found[name] == pa.float64()):
                    found[name] = kind
        for name, kind in found.items():
            self._features.add(name, kind)

    def learn_attributes(self, names: Iterable[str]) -> None:
        """Adds attributes that are not known yet; all are text."""
        for name in names:
            self._attributes.add(name, pa.string())

    def fit_attribute(self, name: str) -> str:
        """The attribute's name, if it is spelt as in this log.

        Raises:
            FeatureTypeError: it is not.
        """
        self._attributes.check(name)
        return name

    def fit(self, name: str, value: Scalar) -> Scalar:
        """A feature's value as its column takes it.

        Raises:
            FeatureTypeError: name or value do not fit.
        """
        self._features.check(name)
        kind = self._features.types.get(name)
        if value is None or kind is None:
            return None
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind == pa.float64() and number:
            if isinstance(value, int) and abs(value) > EXACT_DOUBLE:
                raise FeatureTypeError(
                    f"`{name}` is {value}, which a double does not hold; declare it as int64 under [features]"
                )
            return float(value)
        fits = (
            (kind == pa.string() and isinstance(value, str))
            or (kind == pa.bool_() and isinstance(value, bool))
            or (kind == pa.int64() and number and isinstance(value, int) and value in INT64)
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
