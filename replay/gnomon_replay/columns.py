"""Columns brought into the form that the contract has."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import canonical_label

from gnomon_replay.settings import Task


def complete(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with every column and struct field of `schema`, in its order; what it lacks is null, what it
    has beyond is left out."""
    if table.schema.equals(schema):
        return table
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
    if column.type == kind:
        return column
    if not pa.types.is_struct(kind) or not pa.types.is_struct(column.type):
        return column.cast(kind)
    have = {field.name: index for index, field in enumerate(column.type)}
    children = [
        _completed(column.field(have[field.name]), field.type)
        if field.name in have
        else pa.nulls(len(column), field.type)
        for field in kind
    ]
    mask = pc.is_null(column) if column.null_count else None
    if not children:
        return pa.array([None if null else {} for null in pc.is_null(column).to_pylist()], kind)
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys and no spaces; NaN and infinities bare, as the record has them."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical_output(task: Task, value: Any, *, finite: bool) -> str:
    """The one form in which outputs are stored and compared: a ranking's ids as labels are, and in any JSON
    integral numbers without `.0`, as RFC 8785 has them.

    Args:
        finite: refuse NaN and infinities.

    Raises:
        TypeError: a ranking that is no list of ids.
        ValueError: a number is not finite.

    >>> canonical_output("ranking", [7, "7.0", "b"], finite=True)
    '["7","7","b"]'
    >>> canonical_output("json", {"b": 1.0, "a": [-0.0, 0.5]}, finite=True)
    '{"a":[0,0.5],"b":1}'
    """
    if task == "ranking":
        if not isinstance(value, list) or not all(isinstance(each, (str, int, float)) for each in value):
            raise TypeError(f"a ranking is a list of ids, best first, not {value!r:.60}")
        value = [canonical_label(each) for each in value]
    else:
        value = _plain_numbers(value)
    if finite:
        json.dumps(value, allow_nan=False)
    return canonical_json(value)


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain_numbers(each) for name, each in value.items()}
    return value


def canonical_labels(column: pa.Array) -> pa.StringArray:
    """`canonical_label` over a column of strings, numbers or booleans."""
    encoded = column.dictionary_encode()
    names = [canonical_label(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)
