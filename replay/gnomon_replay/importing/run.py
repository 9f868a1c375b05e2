"""One import: files in, traffic out, and an account of every row."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from gnomon_capture.errors import UsageError
from gnomon_capture.record import Request, Unencodable

from gnomon_replay.importing import csvfile, databricks, files, kserve, sagemaker
from gnomon_replay.importing.answers import Answers, constant
from gnomon_replay.importing.delivery import Delivery, refuse_known
from gnomon_replay.importing.exchange import Exchange, weight_of
from gnomon_replay.importing.settings import Format, ImportSettings
from gnomon_replay.importing.skips import SkipError, Skipped
from gnomon_replay.importing.table import Records, Table
from gnomon_replay.importing.times import Times


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How far an import is: of which file, in bytes (of a table: rows), of how many; 0 where that is not known."""

    path: Path
    done: int
    total: int


@dataclass(kw_only=True)
class Imported:
    """What became of one file, or of several that belong together.

    Attributes:
        read: requests that were read; of a log of events, both events of one are one.
        records: that were written.
        process: their name in the accounts.
        times: what the times were taken for, in words.
        features: the columns that became features; empty where rows name them themselves.
        payloads: records that have a payload instead of features.
    """

    paths: list[Path]
    format: Format
    read: int = 0
    records: int = 0
    process: str = ""
    times: str | None = None
    features: list[str] = field(default_factory=list)
    payloads: int = 0
    skipped: Skipped = field(default_factory=Skipped)


def import_files(
    paths: Sequence[Path],
    to: str,
    settings: ImportSettings,
    progress: Callable[[Reading], None] = lambda _: None,
    *,
    keep_skipped: bool = False,
) -> list[Imported]:
    """Imports files into a spool or a topic, each as a capturing process of its own.

    KServe's events are paired over all files, so those are one. The process, and the ids that are made, follow
    from the content: the same content is refused by a spool that has it, and is a duplicate in a topic.

    Raises:
        UsageError: a file is not what it should be, the mapping does not fit it, or nothing in it could be mapped.
        TrafficError: the traffic cannot be written.
    """
    if not paths:
        raise UsageError("name at least one file")
    formats = [settings.format or files.format_of(path) for path in paths]
    for kind in formats:
        settings.check_use(kind)
    units: list[tuple[list[Path], Format]] = [
        ([path], kind) for path, kind in zip(paths, formats, strict=True) if kind != "kserve"
    ]
    events = [path for path, kind in zip(paths, formats, strict=True) if kind == "kserve"]
    if events:
        units.append((events, "kserve"))
    contents = [_content(unit) for unit, _ in units]
    for (unit, _), content in zip(units, contents, strict=True):  # before anything is written
        refuse_known(to, content, str(unit[0]))
    if len(set(contents)) < len(contents):
        raise UsageError("a file is named twice")
    return [
        _import(unit, kind, content, to, settings, progress, keep_skipped)
        for (unit, kind), content in zip(units, contents, strict=True)
    ]


def _content(unit: Sequence[Path]) -> str:
    digests = [files.digest_of(path) for path in unit]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _import(
    unit: list[Path],
    kind: Format,
    content: str,
    to: str,
    settings: ImportSettings,
    progress: Callable[[Reading], None],
    keep_skipped: bool,
) -> Imported:
    done = Imported(paths=unit, format=kind)
    if keep_skipped:
        done.skipped.all = []
    times = Times(settings)
    reader = _Reader(unit, kind, content, settings, times, progress)
    mapping = hashlib.sha256(msgspec.json.encode(settings)).hexdigest()
    with Delivery(to, content, mapping, str(unit[0])) as delivery:
        done.process = delivery.process
        for number, records in reader.records():
            done.read += 1
            if isinstance(records, SkipError):
                done.skipped.add(number, records)
                continue
            for record in records:
                try:
                    delivery.add(record)
                except SkipError as exc:
                    done.skipped.add(number, exc)
                except Unencodable as exc:
                    done.skipped.add(number, SkipError("bad_row", str(exc)))
                else:
                    done.payloads += record.features is None
        done.records = delivery.numbered
        done.times = times.taken
        done.features = reader.features
        if not done.records:
            why = next(iter(done.skipped.lines()), "it is empty")
            examples = [
                f"line {line}: {text}" for line, text in next(iter(done.skipped.examples.values()), [])
            ]
            detail = f" {examples[0]}" if examples else ""
            raise UsageError(f"{unit[0]}: nothing in it could be imported as {kind}; {why}{detail}")
        delivery.finish(done.skipped)
    return done


class _Reader:
    """Reads a unit in its format."""

    def __init__(
        self,
        unit: Sequence[Path],
        kind: Format,
        content: str,
        settings: ImportSettings,
        times: Times,
        progress: Callable[[Reading], None],
    ) -> None:
        self._unit = unit
        self._kind = kind
        self._content = content
        self._settings = settings
        self._times = times
        self._progress = progress
        self._table: Table | None = None

    @property
    def features(self) -> list[str]:
        return [] if self._table is None else self._table.features

    def records(self) -> Records:
        """Each row's number, and its records or why it has none."""
        settings, times, [path, *_] = self._settings, self._times, self._unit
        match self._kind:
            case "csv":
                return self._by_mapping(
                    csvfile.csv_header(path, settings),
                    csvfile.csv_rows(path, settings, self._tell(path)),
                    csvfile.csv_types(path, settings),
                )
            case "ndjson" | "parquet" | "delta":
                rows = self._rows(path)
                first = list(itertools.islice(rows, 1000))
                columns = list(
                    dict.fromkeys(name for _, row in first if isinstance(row, dict) for name in row)
                )
                if not columns:
                    raise UsageError(f"{path}: no row of it is an object; it is no {self._kind}")
                return self._by_mapping(columns, itertools.chain(first, rows), None)
            case "databricks":
                rows = self._rows(path)
                first = list(itertools.islice(rows, 1))
                databricks.require_columns(name for _, row in first if isinstance(row, dict) for name in row)
                return self._by_exchange(databricks.exchanges(itertools.chain(first, rows), settings, times))
            case "sagemaker":
                rows = files.json_rows(path, self._tell(path))
                return self._by_exchange(sagemaker.exchanges(rows, settings, times, weight=self._weight()))
            case "kserve":
                chained = itertools.chain.from_iterable(
                    files.json_rows(each, self._tell(each)) for each in self._unit
                )
                requests_only = not any(_has_responses(each) for each in self._unit)
                return self._by_exchange(
                    kserve.exchanges(
                        chained, settings, times, requests_only=requests_only, weight=self._weight()
                    )
                )

    def _rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Rows of a table, whatever it is stored as."""
        tell = self._tell(path)
        if path.is_dir():
            return files.delta_rows(path, tell)
        with files.open_binary(path) as file:
            parquet = file.read(4) == b"PAR1"
        if parquet or self._kind == "parquet":
            return files.parquet_rows(path, tell)
        if self._kind == "delta":
            raise UsageError(f"{path} is no folder of a Delta table")
        return files.flat_rows(path, tell)

    def _by_mapping(
        self,
        columns: list[str],
        rows: Iterator[tuple[int, Any]],
        types: dict[str, Callable[[str], Any]] | None,
    ) -> Records:
        self._table = Table(
            self._settings, columns, self._times, lambda number: f"{self._content[:12]}-{number}", types
        )
        return self._table.records(rows)

    def _by_exchange(self, exchanges: Iterator[tuple[int, Exchange | SkipError]]) -> Records:
        answers = Answers(self._settings)
        for number, exchange in exchanges:
            if isinstance(exchange, SkipError):
                yield number, exchange
                continue
            try:
                records: list[Request] | SkipError = exchange.records(answers)
            except SkipError as exc:
                records = exc
            yield number, records

    def _weight(self) -> float:
        fraction = constant(self._settings.sampling_fraction)
        if fraction is None:
            return 1.0
        try:
            return weight_of(fraction)
        except SkipError as exc:
            raise UsageError(f"--sampling-fraction: {exc.detail}") from exc

    def _tell(self, path: Path) -> Callable[[int], None]:
        total = files.total_of(path, self._kind)
        return lambda done: self._progress(Reading(path=path, done=done, total=total))


def _has_responses(path: Path) -> bool:
    return any(b".inference.response" in line for _, line in files.lines_of(path, lambda _: None))
