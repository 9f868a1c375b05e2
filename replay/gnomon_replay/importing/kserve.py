"""KServe's inference logger: CloudEvents of requests and responses, paired by id.

One event a line, in CloudEvents' JSON form: `specversion`, `type` (`org.kubeflow.serving.inference.request` and
`…response`), `id` (the same for both), `time` (RFC 3339), `inferenceservicename`, `data` (or `data_base64`): the
body, of the V1 or the V2 protocol. As documented, with the events this reader's test file is made after:
https://kserve.github.io/website/docs/model-serving/predictive-inference/logger/basic-logger
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gnomon_capture.record import format_ts

from gnomon_replay.importing.bodies import rows_of
from gnomon_replay.importing.exchange import Exchange
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError
from gnomon_replay.importing.times import Times

_REQUEST, _RESPONSE = ".inference.request", ".inference.response"


@dataclass(frozen=True)
class _Event:
    number: int
    body: Any
    ns: int
    service: str | None


def exchanges(
    rows: Iterable[tuple[int, Any]],
    settings: ImportSettings,
    times: Times,
    *,
    requests_only: bool,
    weight: float,
) -> Iterator[tuple[int, Exchange | SkipError]]:
    """Each request's line number, and the exchange or why there is none.

    Args:
        requests_only: the log has no responses at all, so a request without one is nothing special.
    """
    waiting: dict[str, tuple[str, _Event]] = {}

    def paired(event_id: str, asked: _Event, answer: _Event | None) -> tuple[int, Exchange | SkipError]:
        try:
            return asked.number, Exchange(
                request_id=event_id,
                ts=format_ts(asked.ns),
                asked=rows_of(asked.body, settings.columns),
                answer=None if answer is None else answer.body,
                answered=answer is not None,
                latency_us=None if answer is None else max(0, (answer.ns - asked.ns) // 1000),
                service=settings.service or asked.service,
                weight=weight,
            )
        except SkipError as exc:
            return asked.number, exc

    for number, row in rows:
        try:
            if isinstance(row, SkipError):
                raise row
            kind, event_id, event = _event(number, row, times)
        except SkipError as exc:
            yield number, exc
            continue
        if kind == _REQUEST and requests_only:
            yield paired(event_id, event, None)
            continue
        if event_id not in waiting:
            waiting[event_id] = (kind, event)
            continue
        other_kind, other = waiting[event_id]
        if other_kind == kind:
            yield number, SkipError("bad_row", f"a second {kind[11:]} with the id {event_id!r}")
            continue
        del waiting[event_id]
        yield paired(event_id, *((event, other) if kind == _REQUEST else (other, event)))
    for event_id, (kind, event) in waiting.items():
        if kind == _REQUEST:
            yield event.number, SkipError("no_response", f"no response with the id {event_id!r}")
        else:
            yield event.number, SkipError("no_request", f"no request with the id {event_id!r}")


def _event(number: int, row: dict[str, Any], times: Times) -> tuple[str, str, _Event]:
    kind = str(row.get("type"))
    end = next((end for end in (_REQUEST, _RESPONSE) if kind.endswith(end)), None)
    if end is None:
        raise SkipError("bad_row", f"an event of type {kind!r:.80}, neither request nor response")
    event_id = row.get("id")
    if not isinstance(event_id, str) or not event_id:
        raise SkipError("bad_row", "an event without id")
    service = row.get("inferenceservicename")
    return end, event_id, _Event(number, _body(row), times.ns(row.get("time")), service if service else None)


def _body(row: dict[str, Any]) -> Any:
    body = row.get("data")
    try:
        if "data_base64" in row:
            body = base64.b64decode(row["data_base64"], validate=True).decode()
        return json.loads(body) if isinstance(body, str) else body
    except (ValueError, binascii.Error, TypeError) as exc:
        raise SkipError("bad_row", f"its data is not JSON: {exc}") from exc
