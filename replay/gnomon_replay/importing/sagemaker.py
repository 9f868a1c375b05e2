"""SageMaker's data capture: JSON lines with the input and the output of each request.

`captureData.endpointInput` and `.endpointOutput`, each `{observedContentType, mode, data, encoding}` with the
encoding CSV, JSON or BASE64 (then the content type says what the bytes are); `eventMetadata.eventId`,
`.inferenceId` (the caller's, if it gave one) and `.inferenceTime`; `eventVersion`. The share that was sampled is
not in the file: give it as `sampling_fraction = "=0.2"`.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture.html
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from gnomon_replay.importing.bodies import Asked, rows_of
from gnomon_replay.importing.csvfile import plain_value
from gnomon_replay.importing.exchange import Exchange
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError
from gnomon_replay.importing.times import Times


def exchanges(
    rows: Iterable[tuple[int, Any]], settings: ImportSettings, times: Times, *, weight: float
) -> Iterator[tuple[int, Exchange | SkipError]]:
    """Each line's number, and the exchange or why there is none."""
    for number, row in rows:
        try:
            yield number, row if isinstance(row, SkipError) else _exchange(row, settings, times, weight)
        except SkipError as exc:
            yield number, exc


def _exchange(row: dict[str, Any], settings: ImportSettings, times: Times, weight: float) -> Exchange:
    captured, event = row.get("captureData"), row.get("eventMetadata")
    if not isinstance(captured, dict) or not isinstance(event, dict):
        raise SkipError("bad_row", "no captureData or no eventMetadata")
    asked, answer = captured.get("endpointInput"), captured.get("endpointOutput")
    if not isinstance(asked, dict):
        raise SkipError("no_request", "its input was not captured")
    request_id = event.get("inferenceId") or event.get("eventId")
    if not request_id:
        raise SkipError("bad_row", "neither eventId nor inferenceId")
    return Exchange(
        request_id=str(request_id),
        ts=times.text(event.get("inferenceTime")),
        asked=_rows(asked, settings),
        answer=_answer(answer) if isinstance(answer, dict) else None,
        answered=isinstance(answer, dict),
        service=settings.service,
        weight=weight,
    )


def _rows(part: dict[str, Any], settings: ImportSettings) -> list[Asked]:
    kind, text = _decoded(part, "input")
    return rows_of(_csv(text) if kind == "csv" else _json(text, "input"), settings.columns)


def _answer(part: dict[str, Any]) -> Any:
    kind, text = _decoded(part, "output")
    if kind == "json":
        return _json(text, "output")
    rows = [row[0] if len(row) == 1 else row for row in _csv(text)]
    # One line of several values is what some built-in algorithms answer to several rows.
    return rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows


def _decoded(part: dict[str, Any], which: str) -> tuple[str, str]:
    """`csv` or `json`, and the text."""
    encoding, data = str(part.get("encoding")).upper(), part.get("data")
    content = str(part.get("observedContentType")).lower()
    if not isinstance(data, str):
        raise SkipError("bad_row", f"its {which} has no data")
    if encoding == "BASE64":
        try:
            data = base64.b64decode(data, validate=True).decode()
        except ValueError as exc:
            raise SkipError("bad_row", f"its {which} is not base64 of text: {exc}") from exc
    elif encoding not in ("CSV", "JSON"):
        raise SkipError("bad_row", f"its {which} has the encoding {encoding!r}, none of CSV, JSON and BASE64")
    if "json" in content:
        return "json", data
    if "csv" in content or encoding == "CSV":
        return "csv", data
    if encoding == "JSON":
        return "json", data
    raise SkipError("bad_row", f"its {which} is {content!r:.60}, neither CSV nor JSON")


def _csv(text: str) -> list[list[Any]]:
    try:
        rows = [
            [plain_value(value) for value in row] for row in csv.reader(io.StringIO(text), strict=True) if row
        ]
    except csv.Error as exc:
        raise SkipError("bad_row", f"not CSV: {exc}") from exc
    if not rows:
        raise SkipError("bad_row", "an empty CSV")
    return rows


def _json(text: str, which: str) -> Any:
    lines = text.strip().splitlines()
    try:
        if len(lines) > 1 and all(line.lstrip()[:1] in "{[" for line in lines):
            try:
                return json.loads(text)
            except ValueError:
                return [json.loads(line) for line in lines]  # application/jsonlines
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SkipError("bad_row", f"its {which} is not JSON: {exc}") from exc
