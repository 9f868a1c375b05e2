"""What a row's columns mean: the table `[import]`, or the flags of `gnomon import`."""

from __future__ import annotations

import zoneinfo
from typing import Literal, get_args

import msgspec
from gnomon_capture.errors import SettingsError
from gnomon_capture.settings import Settings

Format = Literal["csv", "ndjson", "parquet", "delta", "kserve", "databricks", "sagemaker"]
FORMATS: tuple[Format, ...] = get_args(Format)
Unit = Literal["s", "ms", "us", "ns"]


_OF_BODIES = frozenset({"columns", "prediction"})
_OF_TABLES = frozenset(
    {
        "request_id", "time", "time_format", "key", "latency", "latency_unit", "error", "weight", "attributes",
        "features", "payload", "exclude",
    }
)  # fmt: skip


class ImportSettings(Settings, frozen=True, kw_only=True):
    """How a log is read. A column of NDJSON within an object is named with dots, `input.age`.

    Attributes:
        format: of the file; by default what its name and its beginning say.
        separator: of CSV.
        request_id: the column of the caller's id; without one, ids are made of the file's digest and the line.
        time: the column of the time of serving.
        time_unit: of numbers in it; by default recognised by their size.
        time_format: of text in it, as strptime has it; by default ISO 8601.
        timezone: of times without an offset; an IANA name.
        service: named in every record.
        key, label, score, error: columns, or in an answer that is an object, its keys.
        version: likewise; or `=3.2`, for all.
        latency: the column of the latency, in
        latency_unit.
        weight: the column of the weight; or
        sampling_fraction: of the share that was logged, `=0.1` for all: the weight is 1 / it.
        attributes: columns.
        features: columns; `input.*` takes all that begin so, without that beginning. By default all others.
        payload: the column of a payload, instead of features.
        exclude: columns that are no features.
        text: features that stay text though they look like numbers, such as a postal code.
        columns: the names of the values in a row that has none (`instances`, a CSV payload).
        prediction: what a bare value in an answer is.
        classes: the classes in the order of the scores, negative first where there are two.
        cutoff: the score above which the label is the second class, where only a score was logged.
    """

    format: Format | None = None
    separator: str = ","
    request_id: str | None = None
    time: str | None = None
    time_unit: Unit | None = None
    time_format: str | None = None
    timezone: str = "UTC"
    service: str | None = None
    key: str | None = None
    label: str | None = None
    score: str | None = None
    version: str | None = None
    latency: str | None = None
    latency_unit: Unit | None = None
    error: str | None = None
    weight: str | None = None
    sampling_fraction: str | None = None
    attributes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    payload: str | None = None
    exclude: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    prediction: Literal["label", "score", "scores", "output"] | None = None
    classes: tuple[str, ...] = ()
    cutoff: float | None = None

    def check_use(self, kind: Format) -> None:
        """Refuses what would say nothing about a log of this format, lest it be thought to.

        Raises:
            SettingsError: a key has no use there.
        """
        table = kind in ("csv", "ndjson", "parquet", "delta")
        unused = _OF_BODIES if table else _OF_TABLES
        if kind != "csv":
            unused = unused | {"separator", "text"}
        if kind == "databricks":
            unused = unused | {"sampling_fraction"}
        for field in msgspec.structs.fields(type(self)):
            if field.name in unused and getattr(self, field.name) != field.default:
                why = "its columns have names" if table else "what its parts mean is known"
                raise SettingsError(f"import.{field.name}", f"has no use for {kind}: {why}; leave it out")
        for name in () if table else ("version", "sampling_fraction"):
            value = getattr(self, name)
            if value is not None and not value.startswith("="):
                raise SettingsError(f"import.{name}", f"{kind} has no column of it; write ={value} for all")

    def check(self, path: str) -> None:
        if self.latency is not None and self.latency_unit is None:
            raise SettingsError(
                f"{path}.latency_unit", f"is {self.latency!r} in s, ms, us or ns? Name its unit"
            )
        if self.weight is not None and self.sampling_fraction is not None:
            raise SettingsError(f"{path}.weight", "name the weight or the sampling fraction, not both")
        if self.payload is not None and self.features:
            raise SettingsError(f"{path}.payload", "a request has features or a payload; leave one out")
        if self.cutoff is not None and len(self.classes) != 2:
            raise SettingsError(
                f"{path}.cutoff", "a cutoff needs two classes, negative first, such as on_time,late"
            )
        if len(self.separator) != 1:
            raise SettingsError(f"{path}.separator", f"{self.separator!r} is not one character")
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as exc:
            raise SettingsError(
                f"{path}.timezone", f"{self.timezone!r} is no time zone; write one such as America/New_York"
            ) from exc
