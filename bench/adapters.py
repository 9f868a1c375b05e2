"""What the adapters cost the serving thread, beside the bare application or model.

python bench/adapters.py [--blocks 40]

CPU time of the calling thread per call, as the median over blocks of bare and mirrored calls in turn, the sender
asleep between them. The applications are called in process, without a socket or an HTTP parser, so the ratios are
worse than a real server's. A request has 12 features (about 300 bytes of JSON).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pandas as pd
from gnomon_capture import Mirror
from gnomon_capture.adapters import ASGIMirror, MirroredEstimator, WSGIMirror, mirrored
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

FEATURES = {f"feature_{number}": f"AA{number}" if number % 3 == 0 else number * 1.5 for number in range(12)}
BODY = json.dumps({"user": "u1", "features": FEATURES}).encode()
PICKS: dict[str, Any] = {
    "paths": ["/predict"],
    "features": "request.features",
    "served": {"label": "response.label", "score": "response.score"},
    "key": "request.user",
    "version": "3.2",
}


async def predict(request: Any) -> JSONResponse:
    """A Starlette handler that answers at once."""
    await request.json()
    return JSONResponse({"label": "late", "score": 0.83})


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI application can do."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"label": "late", "score": 0.83}'})


def bare_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """The least that a WSGI application can do."""
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b'{"label": "late", "score": 0.83}']


def asgi_call(app: Any, path: str) -> Callable[[int], None]:
    """A block of requests to an ASGI application."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    def send(_: Any) -> Awaitable[None]:
        return asyncio.sleep(0)

    async def block(count: int) -> None:
        for _ in range(count):
            scope = {
                "type": "http",
                "method": "POST",
                "path": path,
                "headers": [(b"content-type", b"application/json")],
                "query_string": b"",
            }
            await app(scope, receive, send)

    return lambda count: asyncio.run(block(count))


def wsgi_call(app: Any, path: str) -> Callable[[int], None]:
    """A block of requests to a WSGI application."""

    def block(count: int) -> None:
        for _ in range(count):
            environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "wsgi.input": io.BytesIO(BODY)}
            answer = app(environ, lambda *_: None)
            for _ in answer:
                pass
            if hasattr(answer, "close"):
                answer.close()

    return block


def plain_call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[int], None]:
    """A block of calls."""

    def block(count: int) -> None:
        for _ in range(count):
            function(*arguments, **named)

    return block


def compare(
    name: str,
    mirror: Mirror,
    bare: Callable[[int], None],
    wrapped: Callable[[int], None],
    blocks: int,
    calls: int,
) -> None:
    """Prints the cost of both and their ratio."""
    costs: tuple[list[float], list[float]] = ([], [])
    for _ in range(blocks):
        for cost, call in zip(costs, (bare, wrapped), strict=True):
            start = time.thread_time_ns()
            call(calls)
            cost.append((time.thread_time_ns() - start) / calls / 1000)
        while mirror.stats().waiting:
            time.sleep(0.002)
    without, with_ = (statistics.median(cost) for cost in costs)
    print(
        f"{name:52} {without:10.2f} {with_:10.2f} {with_ - without:9.2f} µs {without / with_:8.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=40, help="how many blocks of calls are timed")
    blocks = parser.parse_args().blocks
    print(f"{'':52} {'bare':>10} {'mirrored':>10} {'added':>12} {'bare/mirrored':>8}")
    with tempfile.TemporaryDirectory() as folder, Mirror(f"spool:{folder}") as mirror:
        starlette = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
        for name, app in (("ASGI, an app that does nothing", bare_asgi), ("ASGI, Starlette", starlette)):
            for path, what in (("/predict", ""), ("/other", ", another path")):
                wrapped = ASGIMirror(app, mirror=mirror, **PICKS)
                compare(name + what, mirror, asgi_call(app, path), asgi_call(wrapped, path), blocks, 500)
        for path, what in (("/predict", ""), ("/other", ", another path")):
            wsgi = WSGIMirror(bare_wsgi, mirror=mirror, **PICKS)
            compare(
                "WSGI, an app that does nothing" + what,
                mirror,
                wsgi_call(bare_wsgi, path),
                wsgi_call(wsgi, path),
                blocks,
                500,
            )

        def answer(**features: Any) -> dict[str, Any]:
            return {"label": "late", "score": 0.83}

        decorated = mirrored(mirror)(answer)
        compare(
            "function that does nothing",
            mirror,
            plain_call(answer, **FEATURES),
            plain_call(decorated, **FEATURES),
            blocks,
            1000,
        )
        rng = np.random.default_rng(7)
        frame = pd.DataFrame({f"feature_{number}": rng.normal(size=5000) for number in range(12)})
        labels = frame.sum(axis=1) > 0
        for kind in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=50)):
            model = kind.fit(frame, labels)
            wrapper = MirroredEstimator(model, mirror, version="3.2")
            for rows, calls in ((1, 50), (100, 10), (5000, 1)):
                part = frame[:rows]
                compare(
                    f"{type(kind).__name__}.predict_proba, {rows} rows",
                    mirror,
                    plain_call(model.predict_proba, part),
                    plain_call(wrapper.predict_proba, part),
                    max(blocks // 2, 5),
                    calls,
                )
        dropped = mirror.stats().dropped
    if dropped:
        raise SystemExit(f"not all was mirrored, so it cost less than it should: {dropped}")


if __name__ == "__main__":
    main()
