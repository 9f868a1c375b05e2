"""What the two HTTP adapters share: one request with its answer, and what is picked from them.

Picking happens after the answer has been handed to the server, so it adds nothing to that request's latency;
it does use the serving thread, so functions given as picks should be quick.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from gnomon_capture.adapters.answers import SERVED_FIELDS, served_of
from gnomon_capture.adapters.paths import Pick, compile_pick
from gnomon_capture.errors import UsageError
from gnomon_capture.handoff import Dropped, Tally
from gnomon_capture.mirror import Mirror
from gnomon_capture.record import Served

MAX_BODY_BYTES = 256 << 10

Headers = Iterable[tuple[bytes | str, bytes | str]]


class Exchange:
    """One request and its answer, as an adapter saw them.

    Attributes:
        method, path, query: as text; `query` without the question mark.
        request_body, response_body: bytes, whole.
        status: the answer's; 0 if the application raised before it began one.
        error: what the application raised, as text; None if it did not.
        ts: when the request came (nanoseconds since 1970).
        latency_us: from the request's arrival until the application gave the last of its answer.
    """

    def __init__(
        self, method: str, path: str, query: str, request_headers: Headers, ts: int, max_bytes: int
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.ts = ts
        self.status = 0
        self.error: str | None = None
        self.latency_us = 0
        self.request_raw_headers = request_headers
        self.response_raw_headers: Headers = ()
        self.asked = Body(max_bytes)
        self.answered = Body(max_bytes)

    @property
    def request_body(self) -> bytes:
        return self.asked.data

    @property
    def response_body(self) -> bytes:
        return self.answered.data

    @cached_property
    def request(self) -> Any:
        """The request's body as JSON. Raises ValueError if it is none."""
        return _json(self.asked.data, "request")

    @cached_property
    def response(self) -> Any:
        """The answer's body as JSON. Raises ValueError if it is none."""
        return _json(self.answered.data, "response")

    @cached_property
    def request_headers(self) -> dict[str, str]:
        """By name in lower case; of several of one name the last."""
        return _headers(self.request_raw_headers)

    @cached_property
    def response_headers(self) -> dict[str, str]:
        """As `request_headers`."""
        return _headers(self.response_raw_headers)


class Body:
    """A body as it passes; beyond the bound nothing of it is kept."""

    __slots__ = ("_bound", "_pieces", "_size", "too_large")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._pieces: list[bytes] = []
        self._size = 0
        self.too_large = False

    def add(self, piece: bytes) -> None:
        """Keeps a piece."""
        if piece and not self.too_large:
            self._size += len(piece)
            if self._size > self._bound:
                self.too_large = True
                self._pieces.clear()
            else:
                self._pieces.append(piece)

    @property
    def data(self) -> bytes:
        """What passed."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class HttpPicks:
    """Which requests an adapter mirrors, and what of them.

    Args:
        paths: the paths that are predictions, `/predict`; one that ends in `*` stands for all that begin so.
        methods: the HTTP methods that are.
        features, payload: where the request's features stand, or its payload; one of the two, or `pick`.
        served: fields of `Served` by name, each with a pick of its own; or a path to the whole answer, read by
            `served_of`; or a function that returns a `Served` or a mapping with its fields.
        version: of the model that serves, if no pick gives it.
        key, request_id: picks.
        attributes: picks by attribute.
        pick: instead of all these, a function of the exchange that returns `Mirror.record`'s arguments as a
            mapping, a list of such (a batch), or None for a request that is no prediction. `ts`, and `latency_us`
            where it is one record, are added.
        max_body_bytes: of request and of answer; larger ones are not kept, and counted as `body_too_large`.

    Raises:
        UsageError: a path, a pick or a field of `served` is none.
    """

    def __init__(
        self,
        mirror: Mirror,
        *,
        paths: Iterable[str],
        methods: Iterable[str] = ("POST",),
        features: Pick | None = None,
        payload: Pick | None = None,
        served: Mapping[str, Pick] | Pick | None = None,
        version: str | None = None,
        key: Pick | None = None,
        request_id: Pick | None = None,
        attributes: Mapping[str, Pick] | None = None,
        pick: Callable[[Exchange], Any] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        if isinstance(paths, str) or not (paths := list(paths)):
            raise UsageError('name the paths that are predictions, such as paths=["/predict"]')
        if (features is None) + (payload is None) + (pick is None) != 2:
            raise UsageError("one of features, payload and pick is needed: what the model was asked")
        if isinstance(served, Mapping) and not served.keys() <= SERVED_FIELDS:
            wrong = ", ".join(sorted(served.keys() - SERVED_FIELDS))
            raise UsageError(f"served has no field {wrong}; it has {', '.join(sorted(SERVED_FIELDS))}")
        self.mirror = mirror
        self.exact = frozenset(path for path in paths if not path.endswith("*"))
        self.prefixes = tuple(path[:-1] for path in paths if path.endswith("*"))
        self.methods = frozenset(method.upper() for method in methods)
        self.max_body_bytes = max_body_bytes
        self._pick = pick or self._parts
        self._features = None if features is None else compile_pick(features, required=True)
        self._payload = None if payload is None else compile_pick(payload, required=True)
        self._served = _compile_served(served)
        self._version = version
        self._fields = {
            name: compile_pick(chosen)
            for name, chosen in (("key", key), ("request_id", request_id))
            if chosen is not None
        }
        self._attributes = {name: compile_pick(chosen) for name, chosen in (attributes or {}).items()}
        self._recorded, self._ignored = Tally(), Tally()
        self._missed = {reason: Tally() for reason in (Dropped.PICK_FAILED, Dropped.BODY_TOO_LARGE)}

    def matches(self, path: str) -> bool:
        """Whether a path is a prediction's."""
        return path in self.exact or (bool(self.prefixes) and path.startswith(self.prefixes))

    def stats(self) -> dict[str, int]:
        """What became of the requests on these paths, by what: recorded, ignored, pick_failed, body_too_large.

        Ignored are those that no model answered: refused with a status from 400 to 499, given up by their
        client, or said by `pick` to be none. `recorded` counts records, so a batch counts with its rows.
        """
        return {
            "recorded": self._recorded.value(),
            "ignored": self._ignored.value(),
            **{reason.value: tally.value() for reason, tally in self._missed.items()},
        }

    def ignore(self) -> None:
        """Counts a request that no model answered."""
        self._ignored.add()

    def settle(self, exchange: Exchange) -> None:
        """Records what is picked from a finished exchange. Never raises."""
        try:
            if exchange.error is None and 400 <= exchange.status < 500:
                self.ignore()
                return
            if exchange.asked.too_large or exchange.answered.too_large:
                self._miss(Dropped.BODY_TOO_LARGE)
                return
            picked = self._pick(exchange)
            if picked is None:
                self.ignore()
                return
            records = [picked] if isinstance(picked, Mapping) else list(picked)
            arguments = [self._completed(exchange, record, alone=len(records) == 1) for record in records]
        except Exception as exc:  # noqa: BLE001 - whatever a pick raises, the client has its answer already
            self._miss(Dropped.PICK_FAILED, exc)
            return
        for each in arguments:
            self._record(each)

    def _record(self, arguments: dict[str, Any]) -> None:
        try:
            self.mirror.record(**arguments)
        except TypeError as exc:  # an argument that `record` does not have
            self._miss(Dropped.PICK_FAILED, exc)
        else:
            self._recorded.add()

    def _miss(self, reason: Dropped, exc: Exception | None = None) -> None:
        self._missed[reason].add()
        self.mirror.miss(reason, exc)

    def _parts(self, exchange: Exchange) -> dict[str, Any] | None:
        """`Mirror.record`'s arguments by the single picks."""
        what = {"features": self._features, "payload": self._payload}
        parts = {name: pick(exchange) for name, pick in what.items() if pick is not None}
        if None in parts.values():
            return None
        if self._served is not None and failure(exchange) is None:
            parts["served"] = self._served(exchange)
        for name, pick in self._fields.items():
            parts[name] = pick(exchange)
        if self._attributes:
            parts["attributes"] = {name: pick(exchange) for name, pick in self._attributes.items()}
        return parts

    def _completed(self, exchange: Exchange, record: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
        """With the time, and with what was served: an error where the application failed."""
        served = record.get("served")
        if isinstance(served, Served):
            served = {name: getattr(served, name) for name in SERVED_FIELDS}
        served = {"version": self._version, **({} if served is None else served)}
        if alone:
            served.setdefault("latency_us", exchange.latency_us)
        if (error := failure(exchange)) is not None:
            served["error"] = error
        return {"ts": exchange.ts, **record, "served": served}


def failure(exchange: Exchange) -> str | None:
    """What the user got instead of an answer; None if it was an answer."""
    if exchange.error is not None:
        return exchange.error
    return f"HTTP {exchange.status}" if exchange.status >= 500 else None


def _compile_served(served: Mapping[str, Pick] | Pick | None) -> Callable[[Exchange], Any] | None:
    if served is None:
        return None
    if isinstance(served, str):
        get = compile_pick(served, required=True)
        return lambda exchange: served_of(get(exchange))
    if not isinstance(served, Mapping):
        return compile_pick(served)
    picks = {name: compile_pick(pick) for name, pick in served.items()}
    return lambda exchange: {name: pick(exchange) for name, pick in picks.items()}


def _json(body: bytes, which: Literal["request", "response"]) -> Any:
    try:
        return msgspec.json.decode(body)
    except ValueError:
        pass
    try:
        return json.loads(body)  # with bare NaN, which Python writes
    except ValueError as exc:
        hint = "; is it compressed? Put the mirror inside what compresses" if body[:2] == b"\x1f\x8b" else ""
        raise ValueError(f"the {which}'s body is not JSON{hint}: {body[:40]!r}") from exc


def _headers(raw: Headers) -> dict[str, str]:
    return {_text(name).lower(): _text(value) for name, value in raw}


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
