"""The bodies of prediction requests, as rows.

Read are the forms of:
- TensorFlow Serving and KServe V1 (`instances`), https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
- the Open Inference Protocol, KServe V2 (`inputs` with name, shape, datatype, data),
  https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
- MLflow and Databricks (`dataframe_split`, `dataframe_records`, `inputs`, `instances`),
  https://docs.databricks.com/machine-learning/model-serving/score-custom-model-endpoints.html
- any other JSON: an object of scalars is one row's features, anything else one payload.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gnomon_replay.importing.skips import SkipError


@dataclass(frozen=True)
class Asked:
    """One row of a request: features, or a payload."""

    features: dict[str, Any] | None
    payload: Any = None


def rows_of(body: Any, columns: Sequence[str]) -> list[Asked]:
    """The rows of a request's body.

    Args:
        columns: names for the values of rows that have none; without them such a row is a payload.

    Raises:
        SkipError: it is of none of the forms, or its parts do not fit together.
    """
    if isinstance(body, list):
        return [_row(row, columns) for row in _several(body)]
    if not isinstance(body, dict):
        raise SkipError("features", f"a request is an object or a list, this is {body!r:.60}")
    if isinstance(split := body.get("dataframe_split"), dict):
        names, data = split.get("columns"), split.get("data")
        if not isinstance(names, list) or not isinstance(data, list):
            raise SkipError("features", "dataframe_split without columns or data")
        return [_row(row, [str(name) for name in names]) for row in _several(data)]
    for form in ("dataframe_records", "instances"):
        if isinstance(body.get(form), list):
            return [_row(row, columns) for row in _several(body[form])]
    if "inputs" in body:
        return _inputs(body["inputs"], columns)
    return [_row(body, columns)]


def _inputs(inputs: Any, columns: Sequence[str]) -> list[Asked]:
    if is_tensors(inputs):
        return _tensors(inputs, columns)
    if isinstance(inputs, list):
        return [_row(row, columns) for row in _several(inputs)]
    if isinstance(inputs, dict):  # by column
        if inputs and all(isinstance(values, list) for values in inputs.values()):
            return [_row(row, columns) for row in _turned(inputs)]
        return [_row(inputs, columns)]
    return [_row(inputs, columns)]


def is_tensors(value: Any) -> bool:
    """Whether it is a list of V2's tensors."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(tensor, dict) and {"name", "shape", "data"} <= tensor.keys() for tensor in value)
    )


def tensor_rows(tensor: dict[str, Any]) -> list[Any]:
    """A V2 tensor by its first dimension; its data may be flat or nested.

    Raises:
        SkipError: there is not as much data as its shape says.
    """
    shape, data = tensor["shape"], _flat(tensor["data"])
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise SkipError("features", f"tensor {tensor['name']!r} has the shape {shape}")
    if len(data) != math.prod(shape):
        raise SkipError("features", f"tensor {tensor['name']!r} has {len(data)} values for the shape {shape}")
    step = math.prod(shape[1:])
    return [_shaped(data, shape[1:], at * step) for at in range(shape[0])]


def _tensors(tensors: list[dict[str, Any]], columns: Sequence[str]) -> list[Asked]:
    if len(tensors) == 1 and len(tensors[0]["shape"]) > 1 and math.prod(tensors[0]["shape"][1:]) > 1:
        return [_row(row, columns) for row in tensor_rows(tensors[0])]
    by_name = {str(tensor["name"]): tensor_rows(tensor) for tensor in tensors}
    flat = {
        name: [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        for name, rows in by_name.items()
    }
    return [_row(row, columns) for row in _turned(flat)]


def _turned(by_column: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(values) for values in by_column.values()}
    if len(lengths) != 1:
        raise SkipError("features", f"columns of different lengths: {sorted(lengths)}")
    return [dict(zip(by_column, values, strict=True)) for values in zip(*by_column.values(), strict=True)]


def _several(rows: list[Any]) -> list[Any]:
    if not rows:
        raise SkipError("features", "a request without rows")
    return rows


def _row(row: Any, columns: Sequence[str]) -> Asked:
    if isinstance(row, dict):
        return Asked(row) if all(map(is_scalar, row.values())) and row else Asked(None, row)
    if isinstance(row, list) and columns and all(map(is_scalar, row)):
        if len(row) != len(columns):
            raise SkipError("features", f"{len(row)} values for {len(columns)} columns")
        return Asked(dict(zip(columns, row, strict=True)))
    if row is None:
        raise SkipError("features", "a row that is null")
    if is_scalar(row) and len(columns) == 1:
        return Asked({columns[0]: row})
    return Asked(None, row)


def is_scalar(value: Any) -> bool:
    """Whether it can be a feature."""
    return value is None or isinstance(value, (bool, int, float, str))


def _flat(data: Any) -> list[Any]:
    if isinstance(data, list) and any(isinstance(value, list) for value in data):
        return [value for inner in data for value in _flat(inner)]
    return data if isinstance(data, list) else [data]


def _shaped(data: list[Any], shape: Sequence[int], start: int) -> Any:
    if not shape:
        return data[start]
    step = math.prod(shape[1:])
    return [_shaped(data, shape[1:], start + at * step) for at in range(shape[0])]
