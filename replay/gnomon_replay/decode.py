"""Frames of lines into Arrow: requests, ledgers and dead letters.

`gnomon_capture.record.decode_line` defines what a line means. Most lines never meet it: blocks of them go
through Arrow's JSON reader with the experiment's schema, the one fast reader that refuses what does not fit
(others turn 1.5 into 1, "7" into 7). A block that it refuses, or whose result leaves a doubt, is read again
line by line, which finds the bad line, learns a new field, and takes what only it can (payloads, labels that
are numbers). Both ways give the same rows; a test holds that.
"""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from gnomon_capture.record import (
    CONTENT_TYPE_NDJSON,
    DEAD_LETTER_BYTES,
    PROCESS_PATTERN,
    BadRecordError,
    Ledger,
    Reason,
    Request,
    canonical_label,
    decode_line,
    is_ledger,
    parse_ts,
)

from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, ORIGIN, OUTPUT, SCHEMA_VERSION, SOURCE, TIMESTAMP
from gnomon_replay.shape import EXACT_DOUBLE, FeatureTypeError, Shape
from gnomon_replay.traffic import Frame, Stream

BLOCK_LINES = 500
_WIRE_SERVED = pa.struct(
    [
        ("version", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("scores", pa.list_(pa.float64())),
        ("latency_us", pa.int64()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Decoded:
    """What some frames held.

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


@dataclass(slots=True)
class _Block:
    """Lines of one partition that look like requests, each with its place."""

    stream: Stream
    partition: str
    lines: list[bytes]
    offsets: list[int]
    line_numbers: list[int]

    def source(self, index: int) -> dict[str, Any]:
        return {
            "name": self.stream.name,
            "topic": self.stream.topic,
            "partition": self.partition,
            "offset": self.offsets[index],
            "line": self.line_numbers[index],
        }

    def sources(self) -> pa.StructArray:
        count = len(self.lines)
        return pa.StructArray.from_arrays(
            [
                pa.repeat(self.stream.name, count),
                pa.repeat(pa.scalar(self.stream.topic, pa.string()), count),
                pa.repeat(self.partition, count),
                pa.array(self.offsets, pa.int64()),
                pa.array(self.line_numbers, pa.int32()),
            ],
            fields=list(SOURCE),
        )


class Decoder:
    """Decodes frames, learning the experiment's shape as it goes. Not thread-safe."""

    def __init__(self, shape: Shape, *, max_record_bytes: int) -> None:
        self.shape = shape
        self._max_bytes = max_record_bytes

    def decode(self, frames: Sequence[Frame]) -> Decoded:
        """The requests, ledgers and dead letters in `frames`. Never raises for what a line holds."""
        now = datetime.datetime.now(datetime.UTC)
        bad = _DeadLetters(now)
        ledgers: list[dict[str, Any]] = []
        tables: list[pa.Table] = []
        self._blank = 0
        for block in _blocks(self._lines(frames, ledgers, bad)):
            table = None if self.shape.empty else self._fast(block)
            if table is None:
                table = self._slow(block, bad)
            tables.append(table)
        schema = requests_schema(self.shape)
        requests = pa.concat_tables([complete(table, schema) for table in tables] or [schema.empty_table()])
        return Decoded(requests, bad.table(), pa.Table.from_pylist(ledgers, schema=LEDGER), self._blank)

    def _lines(
        self, frames: Sequence[Frame], ledgers: list[dict[str, Any]], bad: _DeadLetters
    ) -> Iterator[_Block]:
        """The lines that may be requests, a block per frame; ledgers and blanks are taken out."""
        for frame in frames:
            if frame.content_type not in (None, CONTENT_TYPE_NDJSON):
                place = {
                    "topic": frame.stream,
                    "partition": frame.partition,
                    "offset": frame.offset,
                    "line": 0,
                }
                error = BadRecordError(
                    Reason.MALFORMED, f"content-type {frame.content_type!r:.80} is not {CONTENT_TYPE_NDJSON}"
                )
                bad.add(place, frame.data, error)
                continue
            lines = frame.data.split(b"\n")
            if not lines[-1]:
                lines.pop()
            if not lines:
                self._blank += 1
                continue
            numbers = range(len(lines))
            plain = b'"ledger"' not in frame.data and all(lines)
            block = _Block(
                frame.stream,
                frame.partition,
                lines,
                [frame.offset + number for number in numbers]
                if frame.by_line
                else [frame.offset] * len(lines),
                [0] * len(lines) if frame.by_line else list(numbers),
            )
            yield block if plain else self._without_ledgers(block, ledgers, bad)

    def _without_ledgers(self, block: _Block, ledgers: list[dict[str, Any]], bad: _DeadLetters) -> _Block:
        kept = _Block(block.stream, block.partition, [], [], [])
        for index, line in enumerate(block.lines):
            if not line.strip():
                self._blank += 1
            elif not is_ledger(line):
                kept.lines.append(line)
                kept.offsets.append(block.offsets[index])
                kept.line_numbers.append(block.line_numbers[index])
            else:
                try:
                    record = decode_line(line, max_bytes=self._max_bytes)
                    if isinstance(record, Ledger):
                        ledgers.append(_ledger_row(record, block.source(index)))
                except BadRecordError as exc:
                    bad.add(block.source(index), line, exc)
        return kept

    def _fast(self, block: _Block) -> pa.Table | None:
        """The block through Arrow's reader, or None where its answer would leave a doubt."""
        if max(map(len, block.lines)) > self._max_bytes:
            return None
        joined = b"\n".join(block.lines)
        # One object a line, exactly: with this and the count of rows, no object can span lines unseen.
        if joined.count(b"}\n{") != len(block.lines) - 1 or joined[:1] != b"{" or joined[-1:] != b"}":
            return None
        wire = pa.schema(
            [
                ("request_id", pa.string()),
                ("ts", TIMESTAMP),
                ("service", pa.string()),
                ("key", pa.string()),
                ("attributes", self.shape.attributes),
                ("features", self.shape.features),
                ("served", _WIRE_SERVED),
                ("weight", pa.float64()),
                ("origin", ORIGIN),
            ]
        )
        try:
            joined.decode()
            table = pj.read_json(
                io.BytesIO(joined),
                read_options=pj.ReadOptions(use_threads=False, block_size=len(joined) + 1),
                parse_options=pj.ParseOptions(explicit_schema=wire, unexpected_field_behavior="infer"),
            ).combine_chunks()
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        if table.num_rows != len(block.lines) or not self._beyond_doubt(table, wire):
            return None
        schema = requests_schema(self.shape)
        columns = {name: table.column(name).combine_chunks() for name in wire.names}
        columns["weight"] = pc.fill_null(columns["weight"], 1.0)
        columns["payload"] = pa.nulls(table.num_rows, pa.string())
        columns["served"] = _served_column(columns["served"])
        columns["source"] = block.sources()
        return pa.table([columns[field.name] for field in schema], schema=schema)

    def _beyond_doubt(self, table: pa.Table, wire: pa.Schema) -> bool:
        """Whether Arrow's rows are surely what `decode_line` would give."""
        if "payload" in table.column_names:
            return False
        for name in ("attributes", "features", "served", "origin"):
            if table.schema.field(name).type != wire.field(name).type:
                return False  # a field that nobody has learnt yet
        ids, features = table.column("request_id"), table.column("features")
        if ids.null_count or table.column("ts").null_count or features.null_count:
            return False
        if pc.min(pc.binary_length(ids)).as_py() == 0:
            return False
        weights = pc.fill_null(table.column("weight"), 1.0)
        if not pc.all(pc.and_(pc.is_finite(weights), pc.greater(weights, 0))).as_py():
            return False
        if not _origins_valid(table.column("origin").combine_chunks()):
            return False
        flat = features.combine_chunks()
        for index, field in enumerate(flat.type):
            if field.type == pa.float64():
                column = flat.field(index)
                extremes = pc.min_max(column)
                for bound in (extremes["min"].as_py(), extremes["max"].as_py()):
                    # Beyond 2^53 the text may have been an integer that a double does not hold.
                    if bound is not None and EXACT_DOUBLE < abs(bound) < float("inf"):
                        return False
        return True

    def _slow(self, block: _Block, bad: _DeadLetters) -> pa.Table:
        """The block line by line; bad lines go to `bad`."""
        records: list[tuple[int, Request]] = []
        for index, line in enumerate(block.lines):
            try:
                record = decode_line(line, max_bytes=self._max_bytes)
            except BadRecordError as exc:
                bad.add(block.source(index), line, exc)
                continue
            if isinstance(record, Request):
                records.append((index, record))
        self.shape.learn(record.features for _, record in records if record.features)
        for _, record in records:
            self.shape.learn_attributes(record.attributes or ())
        rows = []
        for index, record in records:
            try:
                rows.append(self._row(record, block.source(index)))
            except FeatureTypeError as exc:
                error = BadRecordError(
                    Reason.FEATURE_TYPE,
                    str(exc),
                    request_id=record.request_id,
                    key=record.key,
                    origin=record.origin,
                )
                bad.add(block.source(index), block.lines[index], error)
        return pa.Table.from_pylist(rows, schema=requests_schema(self.shape))

    def _row(self, record: Request, source: dict[str, Any]) -> dict[str, Any]:
        features = record.features
        return {
            "request_id": record.request_id,
            "ts": parse_ts(record.ts),
            "service": record.service,
            "key": record.key,
            "attributes": None
            if record.attributes is None
            else {self.shape.fit_attribute(name): value for name, value in record.attributes.items()},
            "weight": record.weight,
            "features": None
            if features is None
            else {name: self.shape.fit(name, value) for name, value in features.items()},
            "payload": None if record.payload is None else canonical_json(record.payload),
            "served": _served_row(record),
            "source": source,
            "origin": None
            if record.origin is None
            else {"process": record.origin.process, "seq": record.origin.seq},
        }


class _DeadLetters:
    def __init__(self, now: datetime.datetime) -> None:
        self._now = now
        self._rows: list[dict[str, Any]] = []

    def add(self, source: dict[str, Any], line: bytes, error: BadRecordError) -> None:
        origin = error.origin
        self._rows.append(
            {
                "source": source,
                "origin": None if origin is None else {"process": origin.process, "seq": origin.seq},
                "request_id": error.request_id,
                "key": error.key,
                "reason": str(error.reason),
                "detail": error.detail[:500],
                "bytes": line[:DEAD_LETTER_BYTES],
                "day": self._now.date(),
                "read_at": self._now,
                "schema_version": SCHEMA_VERSION,
            }
        )

    def table(self) -> pa.Table:
        return pa.Table.from_pylist(self._rows, schema=DEAD_LETTERS)


def _blocks(parts: Iterator[_Block]) -> Iterator[_Block]:
    """Blocks of about BLOCK_LINES lines: small frames of one partition joined, large ones cut."""
    held: _Block | None = None
    for part in parts:
        if held is not None and (held.stream, held.partition) != (part.stream, part.partition):
            yield held
            held = None
        if held is None:
            held = _Block(part.stream, part.partition, [], [], [])
        start = 0
        while start < len(part.lines):
            stop = start + BLOCK_LINES - len(held.lines)
            held.lines += part.lines[start:stop]
            held.offsets += part.offsets[start:stop]
            held.line_numbers += part.line_numbers[start:stop]
            start = stop
            if len(held.lines) >= BLOCK_LINES:
                yield held
                held = _Block(part.stream, part.partition, [], [], [])
    if held is not None and held.lines:
        yield held


def complete(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with every column and struct field of `schema`, in its order; what it lacks is null."""
    return pa.table(
        [
            _completed(table.column(field.name).combine_chunks(), field.type)
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _completed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind or not pa.types.is_struct(kind):
        return column if column.type == kind else column.cast(kind)
    have = {field.name: index for index, field in enumerate(column.type)}
    children = [
        column.field(have[field.name]) if field.name in have else pa.nulls(len(column), field.type)
        for field in kind
    ]
    if not children:
        return pa.nulls(len(column), kind) if column.null_count == len(column) else column.cast(kind)
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=pc.is_null(column))


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys and no spaces; NaN and infinities bare, as the record has them."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical_labels(column: pa.Array) -> pa.StringArray:
    """`canonical_label` over a column of strings, numbers or booleans."""
    encoded = column.dictionary_encode()
    names = [canonical_label(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)


def _origins_valid(column: pa.StructArray) -> bool:
    process, seq = column.field("process"), column.field("seq")
    there = pc.is_valid(column)
    if not pc.all(pc.and_(pc.equal(pc.is_valid(process), there), pc.equal(pc.is_valid(seq), there))).as_py():
        return False
    names = pc.unique(process).to_pylist()
    least = pc.min(seq).as_py()
    return (least is None or least >= 0) and all(
        name is None or re.match(PROCESS_PATTERN, name) for name in names
    )


def _served_column(wire: pa.StructArray) -> pa.StructArray:
    """The OUTPUT column of what the wire says was served; its error may be any text."""
    count = len(wire)
    error = wire.field("error")
    failed = pc.fill_null(pc.greater(pc.binary_length(error), 0), False)
    nothing = pa.nulls(count, pa.string())
    children = {
        "version": wire.field("version"),
        "label": canonical_labels(wire.field("label")),
        "score": wire.field("score"),
        "scores": wire.field("scores"),
        "output": nothing,
        "latency_us": wire.field("latency_us"),
        "error": pc.if_else(failed, pa.scalar("exception"), pa.scalar(None, pa.string())),
        "message": pc.if_else(failed, error, nothing),
    }
    return pa.StructArray.from_arrays(
        [children[field.name] for field in OUTPUT], fields=list(OUTPUT), mask=pc.is_null(wire)
    )


def _served_row(record: Request) -> dict[str, Any] | None:
    served = record.served
    if served is None:
        return None
    return {
        "version": served.version,
        "label": canonical_label(served.label),
        "score": served.score,
        "scores": served.scores,
        "output": None if served.output is None else canonical_json(served.output),
        "latency_us": served.latency_us,
        "error": "exception" if served.error else None,
        "message": served.error or None,
    }


def _ledger_row(ledger: Ledger, source: dict[str, Any]) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(ledger),
        "source": source,
        "ts": parse_ts(ledger.ts),
        "dropped": list(ledger.dropped.items()),
        "removed": None,
        "schema_version": SCHEMA_VERSION,
    }
