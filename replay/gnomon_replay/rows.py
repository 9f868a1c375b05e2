"""Rows of Arrow tables as lines of contract 1: what is read from Parquet files and from an earlier log.

Columns have the record's names and nesting: `features` and `attributes` are structs or maps, `ts` is a timestamp
(UTC where it names no zone) or text, `payload` is JSON text or a struct. Columns that the contract does not name are
ignored; a row without `request_id` or `ts` becomes a dead letter, as a line without them would.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
from gnomon_capture.record import Origin, Request, Served, Unencodable, encode_lines

COLUMNS = (
    "request_id",
    "ts",
    "service",
    "key",
    "attributes",
    "features",
    "payload",
    "served",
    "weight",
    "origin",
)
_SERVED = Served.__struct_fields__


def lines_of(rows: pa.RecordBatch | pa.Table) -> list[bytes]:
    """One line a row, with its newline."""
    names = [name for name in COLUMNS if name in rows.schema.names]
    records = rows.select(names).to_pylist(maps_as_pydicts="strict")
    return [_line(record) for record in records]


def _line(row: Mapping[str, Any]) -> bytes:
    ts = row.get("ts")
    served = row.get("served")
    origin = row.get("origin")
    request = Request(
        request_id=row.get("request_id"),  # type: ignore[arg-type]  # null is for the decoder to refuse
        ts=_text(ts) if isinstance(ts, datetime.datetime) else ts,  # type: ignore[arg-type]
        service=row.get("service"),
        key=row.get("key"),
        attributes=row.get("attributes"),
        features=row.get("features"),
        payload=_json(row.get("payload")),
        served=served and _served(served),
        weight=1.0 if row.get("weight") is None else row["weight"],
        origin=Origin(**origin) if origin and None not in origin.values() else None,
    )
    try:
        return encode_lines([request])
    except Unencodable as exc:
        # No record, but a row of the traffic: its line says why it is none.
        return (
            msgspec.json.encode({"request_id": str(request.request_id), "ts": None, "reason": str(exc)})
            + b"\n"
        )


def _served(row: Mapping[str, Any]) -> Served:
    known = {name: row.get(name) for name in _SERVED}
    if known["error"] is not None and row.get("message"):
        known["error"] = row["message"]  # as the log has it: a kind, and the text that was sent
    known["output"] = _json(known["output"])
    return Served(**known)


def _json(value: Any) -> Any:
    """JSON text as what it holds; text that is none as itself."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _text(ts: datetime.datetime) -> str:
    return (
        (ts if ts.tzinfo is not None else ts.replace(tzinfo=datetime.UTC))
        .astimezone(datetime.UTC)
        .isoformat()
    )
