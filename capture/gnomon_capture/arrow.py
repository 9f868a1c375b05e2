"""The record's Arrow encoding: an IPC stream whose columns have the names and the nesting of the JSON form.

`features` and `attributes` are structs, `ts` is a timestamp in microseconds of UTC; `payload` and `served.output`
are never there. Streams are made of lines, in native code that holds no lock of Python's: building the columns from
Python's objects costs as much, and holds it. What has no such form, or would not say quite the same (a payload, a
feature that is text here and a number there, an integer among doubles that a double does not hold), stays NDJSON.
Needs pyarrow, and is imported only where it is asked for.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

TIMESTAMP = pa.timestamp("us", tz="UTC")
_EXACT_DOUBLE = 1 << 53
_TEXT = (pa.string(), pa.null())
_SCALARS = (*_TEXT, pa.bool_(), pa.int64(), pa.float64())
_KINDS = {"features": _SCALARS, "attributes": _TEXT, "served": _SCALARS}
_SERVED = pa.struct(
    [
        ("version", pa.string()),
        ("score", pa.float64()),
        ("scores", pa.list_(pa.float64())),
        ("latency_us", pa.int64()),
        ("error", pa.string()),
    ]
)
_SERVED_KINDS = {field.name: (field.type,) for field in _SERVED} | {"output": (pa.null(),)}
_KNOWN = pa.schema(
    [
        ("request_id", pa.string()),
        ("ts", TIMESTAMP),
        ("service", pa.string()),
        ("key", pa.string()),
        ("served", _SERVED),
        ("origin", pa.struct([("process", pa.string()), ("seq", pa.int64())])),
    ]
)


class ArrowEncoder:
    """Turns lines into streams, and remembers which features only look like times. Not thread-safe."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], None] = {}  # column and field, in order

    def encode(self, lines: bytes) -> bytes | None:
        """The records in these lines as one IPC stream; None where that would not say the same.

        Args:
            lines: of requests, as `record.encode_lines` writes them.
        """
        if b'"payload":' in lines:
            return None
        try:
            table = self._read(lines)
            if self._learn_texts(table.schema):
                table = self._read(lines)
        except pa.ArrowException:
            return None
        if table.num_rows != lines.count(b"\n") or not _is_faithful(table, lines):
            return None
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    def _read(self, lines: bytes) -> pa.Table:
        return pj.read_json(
            pa.BufferReader(lines),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=pj.ParseOptions(explicit_schema=self._schema(), unexpected_field_behavior="infer"),
        )

    def _schema(self) -> pa.Schema:
        schema = _KNOWN
        for column in dict.fromkeys(column for column, _ in self._texts):
            known = [] if column != "served" else list(_SERVED)
            texts = [pa.field(name, pa.string()) for owner, name in self._texts if owner == column]
            index = schema.get_field_index(column)
            field = pa.field(column, pa.struct([*known, *texts]))
            schema = schema.append(field) if index < 0 else schema.set(index, field)
        return schema

    def _learn_texts(self, schema: pa.Schema) -> bool:
        """Whether text was taken for a time, and will be no more."""
        before = len(self._texts)
        for column in ("features", "attributes", "served"):
            for field in _fields(schema, column):
                if pa.types.is_timestamp(field.type):
                    self._texts[column, field.name] = None
        return len(self._texts) > before


def _is_faithful(table: pa.Table, lines: bytes) -> bool:
    """Whether each value is of a type that the record has, and was not rounded on the way."""
    numbers = []
    for name, kinds in _KINDS.items():
        for field, column in _children(table, name):
            kind = _SERVED_KINDS.get(field, kinds) if name == "served" else kinds
            if column.type not in kind:
                return False
            numbers.append(column)
    if "weight" in table.column_names:
        numbers.append(table.column("weight"))
    return not any(_may_be_rounded(column, lines) for column in numbers)


def _may_be_rounded(column: pa.ChunkedArray, lines: bytes) -> bool:
    """Whether a double may have been an integer that no double holds, or is beyond all doubles."""
    if column.type == pa.list_(pa.float64()):
        column = pc.list_flatten(column)
    if column.type != pa.float64():
        return False
    largest = pc.max(pc.abs(pc.drop_null(column))).as_py() or 0.0
    if largest == float("inf"):
        finite = pc.filter(column, pc.is_finite(column))
        return b"Infinity" not in lines or (pc.max(pc.abs(finite)).as_py() or 0.0) >= _EXACT_DOUBLE
    return bool(largest >= _EXACT_DOUBLE)


def _children(table: pa.Table, name: str) -> list[tuple[str, pa.ChunkedArray]]:
    fields = _fields(table.schema, name)
    return [(field.name, pc.struct_field(table.column(name), [index])) for index, field in enumerate(fields)]


def _fields(schema: pa.Schema, column: str) -> list[pa.Field]:
    index = schema.get_field_index(column)
    kind = schema.field(index).type if index >= 0 else pa.null()
    return list(kind) if pa.types.is_struct(kind) else []
