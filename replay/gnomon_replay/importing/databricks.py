"""Databricks' inference tables: a row a request, with both bodies as JSON text.

Two schemas, by their columns:
- of custom models: `databricks_request_id`, `client_request_id`, `timestamp_ms`, `status_code`,
  `sampling_fraction`, `execution_time_ms`, `request`, `response`, `request_metadata` (a map with `model_name`,
  `model_version`, `endpoint_name`):
  https://docs.databricks.com/en/machine-learning/model-serving/inference-tables.html
- of the AI Gateway: `request_time`, `execution_duration_ms`, `served_entity_id`, `requester` instead:
  https://docs.databricks.com/ai-gateway/inference-tables.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gnomon_capture.errors import UsageError

from gnomon_replay.importing.bodies import rows_of
from gnomon_replay.importing.exchange import Exchange, error_of_status, weight_of
from gnomon_replay.importing.files import Row
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError
from gnomon_replay.importing.times import Times


def require_columns(columns: Iterable[str]) -> None:
    """Makes sure that it is such a table.

    Raises:
        UsageError: it is not.
    """
    have = set(columns)
    missing = {"databricks_request_id", "request", "response", "status_code"} - have
    if missing or not {"timestamp_ms", "request_time"} & have:
        lacking = ", ".join(sorted(missing)) or "timestamp_ms or request_time"
        raise UsageError(f"this is no inference table: it has no {lacking}; name another --format")


def exchanges(
    rows: Iterable[tuple[int, Any]], settings: ImportSettings, times: Times
) -> Iterator[tuple[int, Exchange | SkipError]]:
    """Each row's number, and the exchange or why there is none."""
    for number, row in rows:
        try:
            yield number, row if isinstance(row, SkipError) else _exchange(row, settings, times)
        except SkipError as exc:
            yield number, exc


def _exchange(row: Row, settings: ImportSettings, times: Times) -> Exchange:
    request_id = row.get("client_request_id") or row.get("databricks_request_id")
    if not request_id:
        raise SkipError("bad_row", "neither client_request_id nor databricks_request_id")
    error = error_of_status(row.get("status_code"))
    when = row.get("timestamp_ms")
    latency = row.get("execution_time_ms", row.get("execution_duration_ms"))
    fraction = row.get("sampling_fraction")
    metadata = row.get("request_metadata")
    if isinstance(metadata, list):  # as Arrow gives a map
        metadata = dict(metadata)
    version = (metadata or {}).get("model_version") or row.get("request_metadata.model_version")
    endpoint = (metadata or {}).get("endpoint_name") or row.get("request_metadata.endpoint_name")
    return Exchange(
        request_id=str(request_id),
        ts=times.text(row.get("request_time") if when is None else when),
        asked=rows_of(_json(row.get("request"), "request"), settings.columns),
        answer=None if error else _json(row.get("response"), "response"),
        error=error,
        latency_us=None if latency is None else round(float(latency) * 1000),
        service=settings.service or endpoint,
        weight=1.0 if fraction is None else weight_of(fraction),
        version=version and str(version),
    )


def _json(text: Any, which: str) -> Any:
    if not isinstance(text, str):
        raise SkipError("bad_row", f"its {which} is {'empty' if text is None else 'no text'}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SkipError("bad_row", f"its {which} is not JSON: {exc}") from exc
