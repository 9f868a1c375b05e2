"""A model behind an HTTP endpoint: batches of JSON, asked by the worker itself, several at a time.

    POST <url>   content-type: application/json   x-gnomon-shadow: 1
    {"requests": [{"request_id", "ts", "key", "attributes", "features": {…}  or  "payload": …}, …]}
    →  200  {"answers": [{"label", "score", "scores", "output" as the task says, or "error": "why"}, …]}

One answer a request, in their order. A missing feature and NaN are null, since JSON has no NaN; an infinity is
`1e999`. A call is made again only where nothing was done: no connection, or 503 and 429, which say so.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Self

import msgspec
import pyarrow as pa
from gnomon_capture.record import format_ts

from gnomon_replay import host
from gnomon_replay.errors import EndpointAwayError
from gnomon_replay.hostprocess import HostError, Isolation
from gnomon_replay.settings import Model, Task

SHADOW_HEADER = "X-Gnomon-Shadow"
"""Marks every call, so that an endpoint can leave out what a shadow must not do: write, mail, pay."""
MOST_BYTES = 64 << 20
"""Of one response."""
_QUOTED = 200
_BUSY = (429, 503)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class Endpoint:
    """Asks one URL. Thread-safe.

    Attributes:
        features: None: it takes what it is given, or the configuration's `inputs`.
        classes: None: its labels stand in its answers.
        asked_alone: how many requests it was asked one at a time.
        isolation, restarts, peak_bytes, attempts: as `Reserve` has them; of a server elsewhere nothing is known.
    """

    features: list[str] | None
    classes = None
    isolation = Isolation(network=False, processes=False, why="an endpoint runs elsewhere")
    restarts = 0
    peak_bytes = 0
    attempts = (0, "")

    def __init__(self, model: Model, task: Task) -> None:
        try:
            import urllib3
        except ImportError as exc:
            raise ImportError("an HTTP endpoint needs urllib3: pip install 'gnomon[service]'") from exc
        self._urllib3 = urllib3
        self._model = model
        self._url = model.model or ""
        self._task = task
        self.features = list(model.inputs) or None
        self.asked_alone = 0
        self._pool = urllib3.PoolManager(maxsize=model.concurrency, block=True, retries=False)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "gnomon",
            SHADOW_HEADER: "1",
        }

    def current(self) -> Self:
        """What is to be asked: itself."""
        return self

    def discard(self) -> None:
        """Nothing here can be begun afresh."""

    def predict(self, table: pa.Table) -> tuple[pa.Table, int, int]:
        """Answers to a batch, the nanoseconds of the whole call, the network's included, and 0 of its CPU.

        Raises:
            HostError: no answer, or none that can be used.
            EndpointAwayError: it could not be reached, or was busy, for as long as `timeout_s`.
        """
        try:
            body = _body(table)
        except (RecursionError, OverflowError) as exc:
            raise HostError("exception", f"the request cannot be sent as JSON: {exc}") from exc
        began = time.perf_counter_ns()
        status, data = self._call(body)
        elapsed_ns = time.perf_counter_ns() - began
        if status != 200:
            raise HostError("exception", f"HTTP {status}: {_quoted(data)}")
        return pa.table(self._columns(data, table.num_rows)), elapsed_ns, 0

    def close(self) -> None:
        """Closes idle connections; it may be asked again."""
        self._pool.clear()

    def _columns(self, data: bytes, count: int) -> dict[str, pa.Array]:
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise HostError("wrong_type", f"answered what is no JSON: {_quoted(data)}") from exc
        rows = answer.get("answers") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise HostError("wrong_type", f'answered no {{"answers": [{{…}}, …]}}: {_quoted(data)}')
        if len(rows) != count:
            raise HostError("wrong_rows", f"{len(rows)} answers for {count} requests")
        try:
            return host.columns_of(rows, count, self._task)
        except host.WrongAnswerError as exc:
            raise HostError(exc.kind, str(exc)) from exc

    def _call(self, body: bytes) -> tuple[int, bytes]:
        """Status and body, after as many tries as are safe within the time limit."""
        patience = time.monotonic() + self._model.timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                status, data, wait_s = self._try(body)
                why = f"HTTP {status}: {_quoted(data)}"
                if status not in _BUSY:
                    return status, data
            except self._urllib3.exceptions.SSLError as exc:
                raise EndpointAwayError(self._model.version, self._url, str(exc)) from exc
            # Refused, no such host, or not connected in time: nothing was sent.
            except (
                self._urllib3.exceptions.NewConnectionError,
                self._urllib3.exceptions.ConnectTimeoutError,
            ) as exc:
                why, wait_s = str(exc), None
            left = patience - time.monotonic()
            wait_s = pause if wait_s is None else wait_s
            if wait_s >= left:
                raise EndpointAwayError(self._model.version, self._url, why)
            time.sleep(wait_s)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _try(self, body: bytes) -> tuple[int, bytes, float | None]:
        """Status, body, and for how long it asks to be left alone; all within the time limit."""
        limit_s = self._model.timeout_s
        until = time.monotonic() + limit_s
        errors = self._urllib3.exceptions
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=self._headers,
                timeout=self._urllib3.Timeout(total=limit_s),
                preload_content=False,
                redirect=False,
            )
            data = bytearray()
            while chunk := response.read1(1 << 16):
                data += chunk
                if len(data) > MOST_BYTES:
                    response.close()
                    raise HostError("wrong_type", f"answered more than {MOST_BYTES >> 20} MiB")
                if time.monotonic() > until:  # a trickle never lets a single read time out
                    response.close()
                    raise HostError("timeout", f"no answer within {limit_s:g} s")
            response.release_conn()
        except errors.ReadTimeoutError as exc:
            raise HostError("timeout", f"no answer within {limit_s:g} s") from exc
        except (errors.SSLError, errors.NewConnectionError, errors.ConnectTimeoutError):
            raise
        except (errors.HTTPError, OSError) as exc:
            raise HostError("crash", f"the connection broke before there was an answer: {exc}") from exc
        after = response.headers.get("Retry-After")
        return response.status, bytes(data), None if after is None else self._seconds(after)

    def _seconds(self, after: str) -> float | None:
        try:
            return float(self._urllib3.Retry().parse_retry_after(after))
        except self._urllib3.exceptions.InvalidHeader:
            return None


def _body(table: pa.Table) -> bytes:
    context = [name for name in table.column_names if name.startswith("\0") and name != host.PAYLOAD]
    rows = [
        {
            "request_id": row["\0request_id"],
            "ts": row["\0ts"] and format_ts(round(row["\0ts"].timestamp() * 1e6) * 1000),
            "key": row["\0key"],
            "attributes": {k: v for k, v in (row.get("\0attributes") or {}).items() if v is not None},
        }
        for row in table.select(context).to_pylist()
    ]
    if host.PAYLOAD in table.column_names:
        for row, text in zip(rows, table.column(host.PAYLOAD).to_pylist(), strict=True):
            row["payload"] = _strict(json.loads(text))
    else:
        features = [name for name in table.column_names if not name.startswith("\0")]
        for row, values in zip(rows, table.select(features).to_pylist(), strict=True):
            row["features"] = _strict(values)
    return msgspec.json.encode({"requests": rows})


def _strict(value: Any) -> Any:
    """The value as JSON has it: see the module."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else msgspec.Raw(b"1e999" if value > 0 else b"-1e999")
    if isinstance(value, dict):
        return {name: _strict(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_strict(each) for each in value]
    return value


def _quoted(data: bytes) -> str:
    return data[:_QUOTED].decode(errors="replace").strip() or "nothing"
