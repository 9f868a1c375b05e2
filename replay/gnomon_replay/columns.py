"""Columns brought into the form that the contract has."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.record import canonical_label


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


def canonical_labels(column: pa.Array) -> pa.StringArray:
    """`canonical_label` over a column of strings, numbers or booleans."""
    encoded = column.dictionary_encode()
    names = [canonical_label(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)
