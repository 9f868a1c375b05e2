"""An ASGI middleware (Starlette, FastAPI, any other) that mirrors predictions. Needs none of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gnomon_capture.adapters.answers import error_text
from gnomon_capture.adapters.http import Exchange, HttpPicks
from gnomon_capture.mirror import Mirror

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class ASGIMirror:
    """Passes every message on as it is, and mirrors the requests on the given paths once they are answered.

    A request is recorded after the server has taken the last of its answer. What cannot be picked is counted
    and never reaches the client; what the application raises is recorded as `served.error` and raised on.
    Put it inside middleware that compresses.

    >>> app.add_middleware(  # doctest: +SKIP
    ...     gnomon.ASGIMirror,
    ...     mirror=mirror,
    ...     owns_mirror=True,
    ...     paths=["/predict"],
    ...     features="request.features",
    ...     served={"label": "response.label", "score": "response.score"},
    ... )

    Args:
        app: the application.
        mirror: where the records go.
        owns_mirror: close it when the application has shut down (the end of its lifespan). Else that stays with
            whoever made it; uvicorn ends by the signal that stops it, without what Python has for its exit.
        picks: see `gnomon_capture.adapters.http.HttpPicks`.
    """

    def __init__(self, app: App, *, mirror: Mirror, owns_mirror: bool = False, **picks: Any) -> None:
        self._app = app
        self._owned = mirror if owns_mirror else None
        self._picks = HttpPicks(mirror, **picks)

    def stats(self) -> dict[str, int]:
        """What became of the requests on these paths; see `HttpPicks.stats`."""
        return self._picks.stats()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._owned is not None:
            await self._app(scope, receive, _closing(self._owned, send))
            return
        picks = self._picks
        if (
            scope["type"] != "http"
            or not picks.matches(scope["path"])
            or scope["method"] not in picks.methods
        ):
            await self._app(scope, receive, send)
            return
        recording = _Recording(scope, receive, send, picks)
        try:
            await self._app(scope, recording.receive, recording.send)
        except Exception as exc:
            recording.fail(exc)
            raise
        finally:
            recording.end()


def _closing(mirror: Mirror, send: Send) -> Send:
    """Closes the mirror before the server hears that the application has shut down, and ends."""

    async def sending(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            mirror.close()  # waits, on any kind of event loop; there are no more requests that it could hold up
        await send(message)

    return sending


class _Recording:
    """One request on its way."""

    def __init__(self, scope: Any, receive: Receive, send: Send, picks: HttpPicks) -> None:
        self._began = time.perf_counter_ns()
        self._receive = receive
        self._send = send
        self._picks = picks
        self._settled = False
        query = scope.get("query_string", b"").decode("latin-1")
        self._exchange = Exchange(
            scope["method"], scope["path"], query, scope["headers"], time.time_ns(), picks.max_body_bytes
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._exchange.asked.add(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            exchange.response_raw_headers = message.get("headers", ())
        elif message["type"] == "http.response.body":
            exchange.answered.add(message.get("body", b""))
            if not message.get("more_body", False):
                exchange.latency_us = self._elapsed_us()
                await self._send(message)
                self._settle()  # before whatever the application does in the background
                return
        await self._send(message)

    def fail(self, exc: Exception) -> None:
        """The application raised; unless it had answered already, that is what the user got."""
        if not self._settled:
            self._exchange.error = error_text(exc)
            self._exchange.latency_us = self._elapsed_us()
            self._settle()

    def end(self) -> None:
        """The application is done; without an answer nobody got one, so there is nothing to record."""
        if not self._settled:
            self._settled = True
            self._picks.ignore()

    def _settle(self) -> None:
        self._settled = True
        self._picks.settle(self._exchange)

    def _elapsed_us(self) -> int:
        return (time.perf_counter_ns() - self._began) // 1000
