"""Frames of Arrow IPC streams, whose rows mean what the lines of JSON that they stand for would mean.

Columns of the experiment's types are taken as they are (`read_columns`). Wherever a row could be refused, or a
field is new, the answer is None, and the rows are read one by one as `gnomon_capture.record` defines them
(`ArrowRows.records`), which names the bad one. A null is what a missing key is in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import BadRecordError, Reason, Request, format_ts, to_request

from gnomon_replay.blocks import place, sources_of
from gnomon_replay.fastread import valid_columns, wire_schema
from gnomon_replay.pairs import ORIGIN
from gnomon_replay.shape import EXACT_DOUBLE, Shape
from gnomon_replay.traffic import Frame

MOST_ROWS = 5000
"""Read together, about: the first of them are read one by one, so that the types of features are learnt."""
_LABELS = (pa.float64(), pa.int64(), pa.bool_())


@dataclass(frozen=True)
class ArrowRows:
    """Rows of one partition with the same columns.

    Attributes:
        frames: where they stood, with the number of rows in each.
        longest_frame: its bytes; no row's line is longer by much.
    """

    frames: Sequence[tuple[Frame, int]]
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def longest_frame(self) -> int:
        return max(len(frame.data) for frame, _ in self.frames)

    def parts(self, rows: int) -> Iterator[ArrowRows]:
        """The same in parts of at least so many rows: some frames each."""
        if len(self.frames) < 2:
            yield self
            return
        begin = done = count = 0
        for index, (_, size) in enumerate(self.frames, 1):
            count += size
            if count >= rows or index == len(self.frames):
                yield ArrowRows(self.frames[begin:index], self.table.slice(done, count))
                begin, done, count = index, done + count, 0

    def source(self, index: int) -> dict[str, Any]:
        """Where a row stood: the fields of `pairs.SOURCE`."""
        frame, _ = self.frames[self._frame_of[index]]
        return place(frame, int(self._numbers[index]))

    def sources(self) -> pa.StructArray:
        """Where each row stood."""
        first = self.frames[0][0]
        offsets = np.array([frame.offset for frame, _ in self.frames], np.int64)[self._frame_of]
        numbers = self._numbers
        if first.by_line:
            offsets, numbers = offsets + numbers, np.zeros_like(numbers)
        return sources_of(first.stream, first.partition, offsets, numbers.astype(np.int32))

    def line(self, index: int) -> bytes:
        """The line that the row stands for, as far as JSON can say it."""
        text = json.dumps(self._rows[index], ensure_ascii=False, separators=(",", ":"), default=str)
        return text.encode(errors="replace")

    def records(self, max_bytes: int) -> Iterator[Request | BadRecordError]:
        """What each row is."""
        for index, row in enumerate(self._rows):
            try:
                if self.longest_frame > max_bytes and len(self.line(index)) > max_bytes:
                    detail = f"more than {max_bytes} bytes, which are taken at most"
                    raise BadRecordError(Reason.OVERSIZE, detail)
                yield to_request(row)
            except BadRecordError as exc:
                yield exc

    def origins(self) -> list[dict[str, Any] | None]:
        """The `origin` of each row that has one of the contract's form."""
        index = self.table.schema.get_field_index("origin")
        if index < 0 or self.table.schema.field(index).type != ORIGIN:
            return [None] * len(self)
        origins: list[dict[str, Any] | None] = self.table.column(index).to_pylist()
        return origins

    @cached_property
    def _frame_of(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(len(self.frames)), [count for _, count in self.frames])

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int64]:
        """Of each row within its frame."""
        return np.concatenate([np.arange(count) for _, count in self.frames])

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return [_as_json(row) for row in _times_as_text(self.table).to_pylist()]


def read_frames(frames: Iterable[Frame], refuse: Callable[[Frame, str], None]) -> Iterator[ArrowRows]:
    """The rows of some frames, those of one partition and of the same columns together.

    Args:
        refuse: called with each frame that is no IPC stream, and why.
    """
    read = ((frame, table) for frame in frames if (table := _read(frame, refuse)) is not None)
    for _, group in groupby(read, key=_alike):
        held: list[tuple[Frame, pa.Table]] = []
        rows = 0
        for frame, table in group:
            held.append((frame, table))
            rows += table.num_rows
            if rows >= MOST_ROWS:
                yield _joined(held)
                held, rows = [], 0
        if held:
            yield _joined(held)


def _joined(read: Sequence[tuple[Frame, pa.Table]]) -> ArrowRows:
    return ArrowRows(
        [(frame, table.num_rows) for frame, table in read], pa.concat_tables([table for _, table in read])
    )


def _alike(read: tuple[Frame, pa.Table]) -> tuple[Any, ...]:
    """What frames that are read together share; one without rows stands alone, and is counted."""
    frame, table = read
    return frame.stream, frame.partition, table.schema, table.num_rows > 0 or frame.offset


def count_rows(data: bytes) -> int:
    """How many rows an IPC stream has; 1 if it is none."""
    try:
        with pa.ipc.open_stream(pa.BufferReader(data)) as reader:
            return sum(batch.num_rows for batch in reader)
    except (pa.ArrowException, OSError):
        return 1


def _read(frame: Frame, refuse: Callable[[Frame, str], None]) -> pa.Table | None:
    try:
        with pa.ipc.open_stream(pa.BufferReader(frame.data)) as reader:
            table = reader.read_all()
        table.validate(full=True)  # offsets beyond their data would end this process
        _check_names(table.schema)
    except (pa.ArrowException, OSError, TypeError, ValueError) as exc:
        refuse(frame, str(exc))
        return None
    return table


def _check_names(fields: pa.Schema | pa.StructType) -> None:
    """Makes sure that names can be read, and stand for one thing each."""
    names = {field.name for field in fields}
    if len(names) < len(fields):
        raise pa.ArrowInvalid("two columns have the same name")
    for field in fields:
        if pa.types.is_struct(field.type):
            _check_names(field.type)


def read_columns(rows: ArrowRows, shape: Shape, max_bytes: int) -> pa.Table | None:
    """The rows with the columns of `fastread.wire_schema`; None where in doubt."""
    table = rows.table
    if shape.empty or rows.longest_frame > max_bytes or _has_values(table, "payload"):
        return None
    columns = {}
    for field in wire_schema(shape, _label_type(table)):
        if field.name not in table.column_names:
            columns[field.name] = pa.nulls(len(rows), field.type)
            continue
        column = _taken(_one(table.column(field.name)), field.type)
        if column is None:
            return None
        columns[field.name] = column
    weights = pc.fill_null(columns["weight"], 1.0).to_numpy()
    if not valid_columns(columns) or not ((weights > 0) & (weights < np.inf)).all():
        return None
    return pa.table(columns)


def _label_type(table: pa.Table) -> pa.DataType:
    """As what served labels are read: as they are, if numbers or booleans."""
    served = table.schema.field("served").type if "served" in table.column_names else pa.null()
    index = served.get_field_index("label") if pa.types.is_struct(served) else -1
    kind = served.field(index).type if index >= 0 else pa.string()
    return kind if kind in _LABELS else pa.string()


def _has_values(table: pa.Table, name: str) -> bool:
    return name in table.column_names and table.column(name).null_count < table.num_rows


def _taken(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The column as `kind`, if it says the same then; None where in doubt."""
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(column.type):
        return _taken_struct(column, kind)
    if kind == pa.float64() and column.type == pa.int64():
        bounds = pc.min_max(column).as_py()
        exact = bounds["min"] >= -EXACT_DOUBLE and bounds["max"] <= EXACT_DOUBLE
        return column.cast(kind) if exact else None
    return None


def _taken_struct(column: pa.StructArray, kind: pa.StructType) -> pa.StructArray | None:
    found = {field.name: child for field, child in zip(column.type, column.flatten(), strict=True)}
    known = {field.name for field in kind}
    if any(child.null_count < len(child) for name, child in found.items() if name not in known):
        return None
    children = [
        _taken(found[field.name], field.type) if field.name in found else pa.nulls(len(column), field.type)
        for field in kind
    ]
    if any(child is None for child in children) or not children:
        return None
    mask = pc.is_null(column) if column.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _times_as_text(table: pa.Table) -> pa.Table:
    """The table with its times as a line has them."""
    index = table.schema.get_field_index("ts")
    if index < 0 or not pa.types.is_timestamp(table.schema.field(index).type):
        return table
    zone = table.schema.field(index).type.tz
    moments = table.column(index).cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    texts = [None if moment is None else format_ts(moment * 1000) for moment in moments.to_pylist()]
    return table.set_column(index, "ts", pa.array(texts, pa.string()))


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the keys that it has no value for."""
    there = {name: value for name, value in row.items() if value is not None}
    for name in ("served", "origin"):
        if isinstance(there.get(name), dict):
            there[name] = {key: value for key, value in there[name].items() if value is not None}
    return there
