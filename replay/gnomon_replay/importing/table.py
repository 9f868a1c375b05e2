"""Rows of CSV, NDJSON, Parquet or Delta, by a mapping of their columns."""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gnomon_capture.encoder import as_text
from gnomon_capture.errors import UsageError
from gnomon_capture.record import Request, Unencodable

from gnomon_replay.importing.answers import Answers, constant, served
from gnomon_replay.importing.bodies import is_scalar
from gnomon_replay.importing.exchange import weight_of
from gnomon_replay.importing.files import Row
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError
from gnomon_replay.importing.times import Times

_ROLES = (
    "request_id", "time", "key", "label", "score", "version", "latency", "error", "weight", "sampling_fraction",
    "payload",
)  # fmt: skip
_MICROSECONDS = {"s": 1_000_000.0, "ms": 1000.0, "us": 1.0, "ns": 0.001}

Records = Iterator[tuple[int, list[Request] | SkipError]]


class Table:
    """Turns rows into records.

    Args:
        columns: what the file has; None where each row says it anew (NDJSON).
        types: how a column's text becomes a feature; for CSV.
        made_id: the id of a row that has none, by its number.

    Raises:
        UsageError: the mapping names a column that is not there, or no time.
    """

    def __init__(
        self,
        settings: ImportSettings,
        columns: list[str],
        times: Times,
        made_id: Callable[[int], str],
        types: dict[str, Callable[[str], Any]] | None = None,
    ) -> None:
        if settings.time is None:
            raise UsageError(f"name the column of the time by --time; there are {_listed(columns)}")
        named = [getattr(settings, role) for role in _ROLES]
        used = [name for name in named if name is not None and constant(name) is None]
        for name in [*used, *settings.attributes, *settings.exclude, *settings.text]:
            _require(name, columns)
        for pattern in settings.features:
            if not fnmatch.filter(columns, pattern):
                _require(pattern, columns)
        self._settings = settings
        self._times = times
        self._made_id = made_id
        self._types = types or {}
        self._answers = Answers(settings)
        self._used = {*used, *settings.attributes, *settings.exclude}
        self._features: dict[str, str | None] = {}

    @property
    def features(self) -> list[str]:
        """The features that were met, by the names they were given."""
        return [name for name in self._features.values() if name is not None]

    def records(self, rows: Iterable[tuple[int, Any]]) -> Records:
        """Each row's number, and its record or why it has none."""
        for number, row in rows:
            if isinstance(row, SkipError):
                yield number, row
                continue
            try:
                yield number, [self._record(number, row)]
            except SkipError as exc:
                yield number, exc
            except Unencodable as exc:
                yield number, SkipError("bad_row", str(exc))

    def _record(self, number: int, row: Row) -> Request:
        settings = self._settings

        def value(column: str | None) -> Any:
            if column is None:
                return None
            given = constant(column)
            return row.get(column) if given is None else given

        error = _text(value(settings.error))
        fields = self._answers.label_and_score(_no_nan(value(settings.label)), _no_nan(value(settings.score)))
        version = _text(value(settings.version))
        if version is not None:
            fields["version"] = version
        answered = error is not None or "label" in fields or "score" in fields
        return Request(
            request_id=_text(value(settings.request_id)) or self._made_id(number),
            ts=self._times.text(value(settings.time)),
            service=settings.service,
            key=_text(value(settings.key)),
            attributes={name: _text(row.get(name)) for name in settings.attributes} or None,
            features=self._picked(row) if settings.payload is None else None,
            payload=_payload(value(settings.payload)) if settings.payload else None,
            served=served(fields, latency_us=self._latency_us(value(settings.latency)), error=error)
            if answered
            else None,
            weight=self._weight(value(settings.weight), value(settings.sampling_fraction)),
        )

    def _picked(self, row: Row) -> dict[str, Any]:
        features = {}
        for column, value in row.items():
            if column not in self._features:
                self._features[column] = self._feature_name(column)
            name = self._features[column]
            if name is None:
                continue
            if not is_scalar(value):
                value = _scalar(column, value)
            convert = self._types.get(column)
            features[name] = value if convert is None or value is None else convert(value)
        if not features:
            raise SkipError("features", "no column of it is a feature")
        return features

    def _feature_name(self, column: str) -> str | None:
        """A column's name as a feature; None if it is none."""
        if not self._settings.features:
            return None if column in self._used else column
        if column in self._settings.exclude:
            return None
        for pattern in self._settings.features:
            if column == pattern:
                return column
            if fnmatch.fnmatchcase(column, pattern):
                return column.removeprefix(pattern.partition("*")[0]) if pattern.endswith("*") else column
        return None

    def _latency_us(self, value: Any) -> int | None:
        if value is None:
            return None
        try:
            latency = float(value) * _MICROSECONDS[self._settings.latency_unit or "us"]
        except (TypeError, ValueError):
            latency = math.nan
        if not 0 <= latency < 1e15:
            raise SkipError("latency", f"{value!r:.40} is no latency")
        return round(latency)

    def _weight(self, weight: Any, fraction: Any) -> float:
        if self._settings.sampling_fraction is not None:
            return weight_of(fraction)
        if self._settings.weight is None:
            return 1.0
        try:
            number = float(weight)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 < number < math.inf:
            raise SkipError("weight", f"{weight!r:.40} is no weight")
        return number


def _require(name: str, columns: list[str]) -> None:
    if name not in columns:
        near = difflib.get_close_matches(name, columns, n=1)
        hint = f"is {near[0]!r} meant?" if near else f"there are {_listed(columns)}"
        raise UsageError(f"there is no column {name!r}; {hint}")


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def _text(value: Any) -> str | None:
    value = _no_nan(value)
    return None if value is None or value == "" else as_text(value)


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _payload(value: Any) -> Any:
    if value is None:
        raise SkipError("features", "the payload is empty")
    return value


def _scalar(column: str, value: Any) -> Any:
    """What Parquet has beside JSON's scalars: dates and decimals."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "as_tuple"):
        return float(value)
    raise SkipError(
        "features", f"{column!r} is {value!r:.40}, which is no scalar; exclude it, or name it by --payload"
    )
