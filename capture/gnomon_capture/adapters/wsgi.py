"""A WSGI middleware (Flask, Django, any other) that mirrors predictions. Needs none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gnomon_capture.adapters.answers import error_text
from gnomon_capture.adapters.http import Exchange, HttpPicks
from gnomon_capture.mirror import Mirror

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class WSGIMirror:
    """Passes everything on as it is, and mirrors the requests on the given paths once they are answered.

    A request is recorded when the server closes the answer, which it does after it has sent it. What cannot be
    picked is counted and never reaches the client; what the application raises is recorded as `served.error`
    and raised on. An answer that is a file (`wsgi.file_wrapper`) is handed to the server untouched, and not mirrored.

    >>> app.wsgi_app = gnomon.WSGIMirror(  # doctest: +SKIP
    ...     app.wsgi_app, mirror=mirror, paths=["/predict"], features="request", served="response"
    ... )

    Args:
        app: the application.
        mirror: where the records go; closing it stays its owner's.
        picks: see `gnomon_capture.adapters.http.HttpPicks`.
    """

    def __init__(self, app: App, *, mirror: Mirror, **picks: Any) -> None:
        self._app = app
        self._picks = HttpPicks(mirror, **picks)

    def stats(self) -> dict[str, int]:
        """What became of the requests on these paths; see `HttpPicks.stats`."""
        return self._picks.stats()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        picks = self._picks
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if not picks.matches(path) or environ["REQUEST_METHOD"] not in picks.methods:
            return self._app(environ, start_response)
        recording = _Recording(environ, path, picks)
        environ["wsgi.input"] = _Input(environ["wsgi.input"], recording.exchange.asked.add)
        try:
            body = self._app(environ, recording.starter(start_response))
        except Exception as exc:
            recording.fail(exc)
            raise
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            recording.give_up()
            return body
        return (_Sized if hasattr(body, "__len__") else _Answer)(body, recording)


class _Recording:
    """One request on its way."""

    def __init__(self, environ: Environ, path: str, picks: HttpPicks) -> None:
        self._began = time.perf_counter_ns()
        self._picks = picks
        self._settled = False
        self.exchange = Exchange(
            environ["REQUEST_METHOD"],
            path,
            environ.get("QUERY_STRING", ""),
            _request_headers(environ),
            time.time_ns(),
            picks.max_body_bytes,
        )

    def starter(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        """`start_response`, watched."""

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
            self.exchange.status = int(status[:3]) if status[:3].isdigit() else 0
            self.exchange.response_raw_headers = headers
            write = start_response(status, headers, *exc_info)

            def watched(data: bytes) -> Any:
                self.exchange.answered.add(data)
                return write(data)

            return watched

        return start

    def tick(self) -> None:
        """So far the application has taken this long."""
        self.exchange.latency_us = (time.perf_counter_ns() - self._began) // 1000

    def fail(self, exc: Exception) -> None:
        """The application raised: that is what the user got."""
        if not self._settled:
            self.exchange.error = error_text(exc)
            self.tick()
            self.settle()

    def settle(self) -> None:
        """The answer is with the server."""
        if not self._settled:
            self._settled = True
            self._picks.settle(self.exchange)

    def give_up(self) -> None:
        """Nobody got a whole answer, or it is none that could be looked at."""
        if not self._settled:
            self._settled = True
            self._picks.ignore()


class _Answer:
    """The application's answer, piece by piece as it gives it."""

    def __init__(self, body: Iterable[bytes], recording: _Recording) -> None:
        self._body = body
        self._recording = recording
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        recording = self._recording
        try:
            for piece in self._body:
                recording.exchange.answered.add(piece)
                recording.tick()
                yield piece
        except Exception as exc:
            recording.fail(exc)
            raise
        self._ended = True
        recording.tick()

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            # A server that stops in the middle lost its client.
            (self._recording.settle if self._ended else self._recording.give_up)()


class _Sized(_Answer):
    """An answer whose number of pieces is known: servers compute Content-Length from a single one."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]  # it was made because this works


class _Input:
    """The request's body, watched as the application reads it."""

    def __init__(self, stream: Any, seen: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._seen = seen

    def read(self, *size: int) -> Any:
        return self._tell(self._stream.read(*size))

    def readline(self, *size: int) -> Any:
        return self._tell(self._stream.readline(*size))

    def readlines(self, *hint: int) -> Any:
        lines = self._stream.readlines(*hint)
        for line in lines:
            self._seen(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            yield self._tell(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _tell(self, data: bytes) -> bytes:
        self._seen(data)
        return data


def _request_headers(environ: Environ) -> Iterator[tuple[str, str]]:
    """Read only if a pick asks for a header."""
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), value
        elif name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            yield name.replace("_", "-"), value
