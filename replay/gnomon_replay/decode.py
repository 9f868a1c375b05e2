"""Frames of lines into Arrow: requests, ledgers and dead letters.

`gnomon_capture.record.decode_line` defines what a line means. Most lines never meet it: blocks of them go
through Arrow's JSON reader (`fastread`), and frames that are Arrow already are taken as they are (`arrowread`). A block that this refuses is tried again in parts, and a part that it
refuses is read line by line, which finds the bad line, learns a new field, and takes what only it can
(payloads). Both ways give the same rows; a test holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_NDJSON,
    BadRecordError,
    Ledger,
    Reason,
    Request,
    canonical_label,
    decode_line,
    parse_ts,
)

from gnomon_replay.arrowread import ArrowRows, read_columns, read_frames
from gnomon_replay.blocks import Block, LedgerLine, blocks_of
from gnomon_replay.columns import canonical_json, canonical_labels, canonical_output, complete
from gnomon_replay.deadletters import DeadLetters
from gnomon_replay.fastread import read_fast, wire_schema
from gnomon_replay.pairs import LEDGER, ORIGIN, OUTPUT, SCHEMA_VERSION, SOURCE, TIMESTAMP
from gnomon_replay.settings import Task
from gnomon_replay.shape import FeatureTypeError, Shape
from gnomon_replay.traffic import Frame

PART_LINES = 125
_ENCODINGS = (CONTENT_TYPE_NDJSON, CONTENT_TYPE_ARROW)

Lines = Block | ArrowRows
"""Some lines of one partition, in either encoding."""


@dataclass(frozen=True)
class Decoded:
    """What some frames held; each of their lines is in one of these.

    Attributes:
        requests: one row per request, the columns of `requests_schema`, in the order of the traffic.
        dead_letters: one row per line that is no record.
        ledgers: one row per ledger line.
        blank: empty lines and empty messages.
    """

    requests: pa.Table
    dead_letters: pa.Table
    ledgers: pa.Table
    blank: int


def requests_schema(shape: Shape) -> pa.Schema:
    """The columns of a request, as the log has them."""
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("ts", TIMESTAMP),
            ("service", pa.string()),
            ("key", pa.string()),
            ("attributes", shape.attributes),
            ("weight", pa.float64()),
            ("features", shape.features),
            ("payload", pa.string()),
            ("served", OUTPUT),
            ("source", SOURCE),
            ("origin", ORIGIN),
        ]
    )


class Decoder:
    """Decodes frames, learning the experiment's shape as it goes. Not thread-safe."""

    def __init__(self, shape: Shape, *, max_record_bytes: int, task: Task = "binary") -> None:
        self.shape = shape
        self._task: Task = task  # what a served `output` is
        self._max_bytes = max_record_bytes
        self._label = pa.string()  # the type of `served.label` in the lines read last

    def decode(self, frames: Sequence[Frame]) -> Decoded:
        """The requests, ledgers and dead letters in `frames`. Never raises for what a line holds."""
        bad = DeadLetters()
        self._blank = 0
        ledger_lines: list[LedgerLine] = []
        tables: list[pa.Table] = []
        for arrow, run in groupby(self._known(frames, bad), key=lambda frame: frame.is_arrow):
            held = list(run)
            for lines in read_frames(held, bad.add_frame) if arrow else blocks_of(held, ledger_lines):
                tables += self._requests(lines, bad)
        ledgers = list(self._ledgers(ledger_lines, bad))
        schema = requests_schema(self.shape)
        # Tables of one schema are joined before they are worked on: there are thousands of small ones.
        groups = [pa.concat_tables(group) for _, group in groupby(tables, key=lambda table: table.schema)]
        requests = pa.concat_tables([_as_logged(group, schema) for group in groups] or [schema.empty_table()])
        return Decoded(requests, bad.table(), pa.Table.from_pylist(ledgers, schema=LEDGER), self._blank)

    def _known(self, frames: Iterable[Frame], bad: DeadLetters) -> Iterable[Frame]:
        """The frames that hold something in an encoding of the contract."""
        for frame in frames:
            if frame.media_type not in _ENCODINGS:
                bad.add_frame(frame, f"content-type {frame.content_type!r:.80} is none of {_ENCODINGS}")
            elif frame.data:
                yield frame
            else:
                self._blank += 1

    def _ledgers(self, lines: list[LedgerLine], bad: DeadLetters) -> Iterable[dict[str, Any]]:
        for found in lines:
            try:
                record = decode_line(found.line, max_bytes=self._max_bytes)
            except BadRecordError as exc:
                bad.add(found.source, found.line, exc)
                continue
            if isinstance(record, Ledger):
                yield _ledger_row(record, found.source)

    def _requests(self, lines: Lines, bad: DeadLetters) -> list[pa.Table]:
        """The requests in order, as tables with the columns of either reader."""
        if not len(lines):
            self._blank += 1
            return []
        table = self._fast(lines)
        if table is not None:
            return [table]
        parts: list[Lines] = [*lines.parts(PART_LINES)]
        tables = [self._fast(part) for part in parts] if len(parts) > 1 else [None]
        read = {
            index: self._records(parts[index], bad) for index, table in enumerate(tables) if table is None
        }
        # Learnt from all of them before the first row, whatever the parts are.
        self._learn([record for records in read.values() for _, record in records])
        for index, records in read.items():
            tables[index] = self._rows(parts[index], records, bad)
        return tables

    def _fast(self, lines: Lines) -> pa.Table | None:
        if isinstance(lines, ArrowRows):
            table = read_columns(lines, self.shape, self._max_bytes)
        else:
            table = read_fast(lines, self.shape, self._label, self._max_bytes)
        return None if table is None else table.append_column("source", lines.sources())

    def _records(self, lines: Lines, bad: DeadLetters) -> list[tuple[int, Request]]:
        """The records among the lines, with their line's index; bad lines go to `bad`."""
        records = []
        for index, record in enumerate(lines.records(self._max_bytes)):
            if isinstance(record, BadRecordError):
                bad.add(lines.source(index), lines.line(index), record)
            elif isinstance(record, Request):
                records.append((index, record))
            elif record is None:
                self._blank += 1
        return records

    def _learn(self, records: list[Request]) -> None:
        self.shape.learn(record.features for record in records if record.features)
        self.shape.learn_attributes(record.attributes for record in records if record.attributes)
        labels = {type(record.served.label) for record in records if record.served is not None}
        if labels and labels <= {int, float, type(None)}:
            self._label = pa.float64()
        elif labels and labels <= {bool, type(None)}:
            self._label = pa.bool_()
        elif labels:
            self._label = pa.string()

    def _rows(self, lines: Lines, records: list[tuple[int, Request]], bad: DeadLetters) -> pa.Table:
        """Records as a table; those that do not fit go to `bad`."""
        kept: list[tuple[int, Request]] = []
        rows: list[dict[str, Any]] = []

        def refuse(index: int, record: Request, reason: Reason, exc: Exception) -> None:
            error = BadRecordError(
                reason, str(exc), request_id=record.request_id, key=record.key, origin=record.origin
            )
            bad.add(lines.source(index), lines.line(index), error)

        for index, record in records:
            try:
                rows.append(self._row(record, lines.source(index)))
                kept.append((index, record))
            except FeatureTypeError as exc:
                refuse(index, record, Reason.FEATURE_TYPE, exc)
            except RecursionError as exc:
                refuse(index, record, Reason.MALFORMED, exc)
        schema = _slow_schema(self.shape)
        try:
            return pa.Table.from_pylist(rows, schema=schema)
        except (pa.ArrowException, ValueError) as exc:  # half a surrogate pair, say: no text for Arrow
            if len(kept) == 1:
                refuse(*kept[0], Reason.MALFORMED, exc)
                return schema.empty_table()
        return pa.concat_tables([self._rows(lines, [each], bad) for each in kept])

    def _row(self, record: Request, source: dict[str, Any]) -> dict[str, Any]:
        served = record.served
        return {
            "request_id": record.request_id,
            "ts": parse_ts(record.ts),
            "service": record.service,
            "key": record.key,
            "attributes": record.attributes
            and {name: self.shape.fit_attribute(name, value) for name, value in record.attributes.items()},
            "weight": record.weight,
            "features": record.features
            and {name: self.shape.fit(name, value) for name, value in record.features.items()},
            "payload": None if record.payload is None else canonical_json(record.payload),
            "served": served
            and {
                "version": served.version,
                "label": canonical_label(served.label),
                "score": served.score,
                "scores": served.scores,
                "output": None if served.output is None else self._output(served.output),
                "latency_us": served.latency_us,
                "error": served.error,
            },
            "source": source,
            "origin": record.origin and {"process": record.origin.process, "seq": record.origin.seq},
        }

    def _output(self, value: Any) -> str:
        """A served output in canonical form; one that does not fit the task is recorded as it is."""
        try:
            return canonical_output(self._task, value, finite=False)
        except (TypeError, RecursionError):
            return canonical_json(value)


def _slow_schema(shape: Shape) -> pa.Schema:
    """The columns of `_row`: the log's, with `served` as a line has it."""
    served = wire_schema(shape, pa.string()).field("served").type
    logged = requests_schema(shape)
    index = logged.get_field_index("served")
    return logged.set(index, pa.field("served", pa.struct([*served, pa.field("output", pa.string())])))


def _as_logged(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of either reader with the columns of `requests_schema`."""
    for name, column in (
        ("served", _served(table.column("served").combine_chunks())),
        ("weight", pc.fill_null(table.column("weight"), 1.0)),
    ):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return complete(table, schema)


def _served(wire: pa.StructArray) -> pa.StructArray:
    """The OUTPUT column of what the lines say was served; its error may be any text."""
    count = len(wire)
    fields = {field.name: wire.field(index) for index, field in enumerate(wire.type)}
    nothing = pa.nulls(count, pa.string())
    failed = pc.fill_null(pc.greater(pc.binary_length(fields["error"]), 0), False)
    fields["label"] = canonical_labels(fields["label"])
    fields["message"] = pc.if_else(failed, fields["error"], nothing)
    fields["error"] = pc.if_else(failed, pa.scalar("exception"), nothing)
    fields.setdefault("output", nothing)
    return pa.StructArray.from_arrays(
        [fields[field.name] for field in OUTPUT], fields=list(OUTPUT), mask=pc.is_null(wire)
    )


def _ledger_row(ledger: Ledger, source: dict[str, Any]) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(ledger),
        "source": source,
        "ts": parse_ts(ledger.ts),
        "dropped": list(ledger.dropped.items()),
        "removed": None,
        "schema_version": SCHEMA_VERSION,
    }
