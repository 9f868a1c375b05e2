"""The ASGI middleware: what it mirrors, and that neither client nor application can tell that it is there."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import httpx
import pytest
from gnomon_capture import Mirror, UsageError
from gnomon_capture.adapters import ASGIMirror
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PICKS = {
    "features": "request.features",
    "served": {"label": "response.label", "score": "response.score"},
    "version": "3.2",
}


async def predict(request):
    asked = await request.json()
    return JSONResponse({"label": "late", "score": asked["features"]["x"] / 10})


async def fail(request):
    await request.json()
    raise ZeroDivisionError("no such carrier")


async def refuse(request):
    return JSONResponse({"detail": "no"}, status_code=422)


async def unavailable(request):
    await request.body()
    return JSONResponse({}, status_code=503)


async def words(request):
    await request.body()
    return PlainTextResponse("late")


async def stream(request):
    await request.body()

    async def pieces():
        yield b'{"label": "la'
        yield b'te", "score": 0.5}'

    return StreamingResponse(pieces(), media_type="application/json")


async def huge(request):
    await request.body()
    return Response(b"x" * 5000)


def application():
    routes = [
        Route(f"/{name}", function, methods=["POST", "GET"])
        for name, function in (
            ("predict", predict),
            ("fail", fail),
            ("refuse", refuse),
            ("unavailable", unavailable),
            ("words", words),
            ("stream", stream),
            ("huge", huge),
        )
    ]
    return Starlette(routes=routes)


def talk(app, *requests):
    """Answers to (method, path, content) in order, as a client gets them."""

    async def run():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return [await client.request(method, path, content=body) for method, path, body in requests]

    return asyncio.run(run())


def body(x: float = 3) -> bytes:
    return json.dumps({"features": {"x": x}, "user": "u1"}).encode()


def mirrored(tmp_path: Path, requests, spooled, app=None, **picks):
    """Responses, records, the adapter's counts, the closing ledger."""
    with Mirror(f"spool:{tmp_path}", require=True) as mirror:
        wrapped = ASGIMirror(app or application(), mirror=mirror, **{"paths": ["/*"], **PICKS, **picks})
        responses = talk(wrapped, *requests)
        stats = wrapped.stats()
    traffic = spooled(tmp_path)
    return responses, traffic.requests, stats, traffic.ledgers[-1]


def test_a_prediction_is_mirrored_with_its_features_answer_and_latency(tmp_path, spooled):
    responses, records, stats, ledger = mirrored(
        tmp_path,
        [("POST", "/predict", body())],
        spooled,
        key="request.user",
        attributes={"agent": 'request_headers["User-Agent"]'},
    )
    assert responses[0].json() == {"label": "late", "score": 0.3}
    [record] = records
    assert record.features == {"x": 3}
    assert (record.served.label, record.served.score, record.served.version) == ("late", 0.3, "3.2")
    assert record.served.latency_us > 0
    assert record.key == "u1"
    assert record.attributes["agent"].startswith("python-httpx")
    assert stats == {"recorded": 1, "ignored": 0, "pick_failed": 0, "body_too_large": 0}
    assert (ledger.seen, ledger.mirrored) == (1, 1)


def test_other_paths_and_methods_are_not_looked_at(tmp_path, spooled):
    responses, records, stats, ledger = mirrored(
        tmp_path,
        [("POST", "/words", body()), ("OPTIONS", "/predict", b""), ("GET", "/words", b"")],
        spooled,
        paths=["/predict"],
    )
    assert [response.status_code for response in responses] == [200, 405, 200]
    assert (records, ledger.seen, sum(stats.values())) == ([], 0, 0)


def test_a_streamed_answer_passes_in_its_pieces_and_is_mirrored_whole(tmp_path, spooled):
    sent = []

    async def run(app):
        messages = iter([{"type": "http.request", "body": body(), "more_body": False}])

        async def receive():
            try:
                return next(messages)
            except StopIteration:  # the client stays and says nothing
                await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/stream", "headers": [], "query_string": b""}
        await app(scope, receive, send)

    bare = []
    asyncio.run(run(application()))
    bare, sent = sent, []
    with Mirror(f"spool:{tmp_path}", require=True) as mirror:
        asyncio.run(run(ASGIMirror(application(), mirror=mirror, paths=["/stream"], **PICKS)))
    assert sent == bare
    assert [message.get("body") for message in sent][1:3] == [b'{"label": "la', b'te", "score": 0.5}']
    [record] = spooled(tmp_path).requests
    assert (record.served.label, record.served.score) == ("late", 0.5)


def test_bodies_over_the_bound_are_not_kept_and_counted(tmp_path, spooled):
    long = json.dumps({"features": {"x": 1, "pad": "p" * 2000}}).encode()
    responses, records, stats, ledger = mirrored(
        tmp_path,
        [("POST", "/predict", long), ("POST", "/huge", body()), ("POST", "/predict", body())],
        spooled,
        max_body_bytes=1000,
    )
    assert responses[0].json()["score"] == 0.1
    assert responses[1].content == b"x" * 5000
    assert len(records) == 1
    assert stats["body_too_large"] == 2
    assert ledger.dropped == {"body_too_large": 2}
    assert ledger.seen == 3


@pytest.mark.parametrize(
    ("served", "answer", "label", "score"),
    [
        ("response", {"label": "late", "score": 0.5, "took_ms": 3}, "late", 0.5),
        ("response.prediction", {"prediction": "late"}, "late", None),
        ("response.predictions[0]", {"predictions": [0.25]}, None, 0.25),
    ],
)
def test_the_whole_answer_may_be_named_by_one_path(tmp_path, spooled, served, answer, label, score):
    async def say(request):
        await request.body()
        return JSONResponse(answer)

    app = Starlette(routes=[Route("/predict", say, methods=["POST"])])
    _, [record], _, _ = mirrored(tmp_path, [("POST", "/predict", body())], spooled, app, served=served)
    assert (record.served.label, record.served.score, record.served.version) == (label, score, "3.2")


def bad_pick(exchange):
    raise RuntimeError("my pick is broken")


@pytest.mark.parametrize(
    ("path", "picks"),
    [
        ("/predict", {"features": bad_pick}),
        ("/predict", {"features": "request.nothing"}),
        ("/predict", {"served": bad_pick}),
        ("/predict", {"key": bad_pick}),
        ("/predict", {"features": None, "pick": bad_pick}),
        ("/predict", {"features": None, "pick": lambda exchange: {"feature": {"x": 1}}}),
        ("/predict", {"features": None, "pick": lambda exchange: 7}),
        ("/words", {}),
    ],
)
def test_a_pick_that_fails_is_counted_and_the_client_gets_its_answer(tmp_path, spooled, path, picks):
    responses, records, stats, ledger = mirrored(tmp_path, [("POST", path, body())], spooled, **picks)
    assert responses[0].status_code == 200
    assert records == []
    assert stats["pick_failed"] == 1
    assert (ledger.seen, ledger.dropped) == (1, {"pick_failed": 1})


def test_what_the_application_raises_is_recorded_and_raised_on(tmp_path, spooled):
    responses, records, _, _ = mirrored(
        tmp_path, [("POST", "/fail", body()), ("POST", "/unavailable", body())], spooled
    )
    assert [response.status_code for response in responses] == [500, 503]
    assert [record.served.error for record in records] == [
        "HTTP 500",
        "HTTP 503",
    ]  # Starlette answered itself
    assert [record.features for record in records] == [{"x": 3}, {"x": 3}]

    async def raising(scope, receive, send):
        await receive()
        raise ZeroDivisionError("no such carrier")

    with Mirror(f"spool:{tmp_path / 'bare'}", require=True) as mirror:
        app = ASGIMirror(raising, mirror=mirror, paths=["/*"], features=lambda exchange: {"x": 1})
        transport = httpx.ASGITransport(app=app)

        async def run():
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                await client.post("/predict", content=body())

        with pytest.raises(ZeroDivisionError):
            asyncio.run(run())
    [record] = spooled(tmp_path / "bare").requests
    assert record.served.error == "ZeroDivisionError: no such carrier"


def test_a_request_that_no_model_answered_is_ignored(tmp_path, spooled):
    _, records, stats, ledger = mirrored(
        tmp_path,
        [("POST", "/refuse", body()), ("POST", "/predict", body())],
        spooled,
        features=lambda exchange: None if exchange.path == "/predict" else {"x": 1},
    )
    assert (records, stats["ignored"], ledger.seen) == ([], 2, 0)


def test_a_batch_is_a_record_a_row(tmp_path, spooled):
    def rows(exchange):
        return [{"features": {"x": x}, "served": {"label": x}} for x in range(3)]

    _, records, stats, _ = mirrored(
        tmp_path, [("POST", "/predict", body())], spooled, features=None, served=None, pick=rows
    )
    assert [(record.features["x"], record.served.label) for record in records] == [(0, 0), (1, 1), (2, 2)]
    assert len({record.request_id for record in records}) == 3
    assert {record.served.latency_us for record in records} == {None}  # a batch's time is no row's
    assert stats["recorded"] == 3


def test_it_is_recorded_before_background_tasks_run(tmp_path, spooled):
    seen = []

    async def answer(request):
        await request.body()
        task = BackgroundTask(lambda: seen.append(wrapped.stats()["recorded"]))
        return JSONResponse({"label": "late"}, background=task)

    app = Starlette(routes=[Route("/predict", answer, methods=["POST"])])
    with Mirror(f"spool:{tmp_path}", require=True) as mirror:
        wrapped = ASGIMirror(app, mirror=mirror, paths=["/predict"], **PICKS)
        talk(wrapped, ("POST", "/predict", body()))
    assert seen == [1]


def test_inside_what_compresses_it_reads_the_answer_and_outside_it_says_why_not(tmp_path, spooled, caplog):
    def app(outside):
        made = application()
        with Mirror(f"spool:{tmp_path / str(outside)}", require=True) as mirror:
            mirrored_app = ASGIMirror(
                GZipMiddleware(made, minimum_size=0) if outside else made,
                mirror=mirror,
                paths=["/*"],
                **PICKS,
            )
            [response] = talk(
                mirrored_app if outside else GZipMiddleware(mirrored_app, minimum_size=0),
                ("POST", "/predict", body()),
            )
            assert response.headers["content-encoding"] == "gzip"
            assert response.json()["label"] == "late"
        return spooled(tmp_path / str(outside))

    assert len(app(outside=False).requests) == 1
    traffic = app(outside=True)
    assert traffic.ledgers[-1].dropped == {"pick_failed": 1}
    assert "Put the mirror inside what compresses" in caplog.text
    assert gzip.compress(b"")[:2] == b"\x1f\x8b"


def test_web_sockets_and_the_lifespan_pass(tmp_path):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], receive, send))

    async def one():
        pass

    with Mirror(f"spool:{tmp_path}") as mirror:
        wrapped = ASGIMirror(app, mirror=mirror, paths=["/*"], features="request")
        for kind in ("lifespan", "websocket"):
            asyncio.run(wrapped({"type": kind, "path": "/x"}, one, one))
    assert seen == [("lifespan", one, one), ("websocket", one, one)]


@pytest.mark.parametrize(
    ("picks", "words"),
    [
        ({}, "features, payload and pick"),
        ({"features": "request", "payload": "request"}, "features, payload and pick"),
        ({"features": "body.x"}, "no path"),
        ({"features": "request..x"}, "no path"),
        ({"features": "request", "served": {"lable": "response"}}, "lable"),
        ({"features": "request", "paths": []}, "paths"),
        ({"features": "request", "paths": "/predict"}, "paths"),
    ],
)
def test_a_wrong_pick_is_refused_at_start(tmp_path, picks, words):
    with Mirror(f"spool:{tmp_path}") as mirror, pytest.raises(UsageError, match=words):
        ASGIMirror(application(), mirror=mirror, **{"paths": ["/predict"], **picks})


@pytest.mark.parametrize("owns", [True, False])
@pytest.mark.parametrize("end", ["complete", "failed"])
def test_only_an_owned_mirror_is_closed_and_before_the_server_hears_of_the_end(tmp_path, owns, end):
    heard = []

    async def app(scope, receive, send):
        for message in ("startup.complete", f"shutdown.{end}"):
            await send({"type": f"lifespan.{message}"})

    with Mirror(f"spool:{tmp_path}") as mirror:

        async def send(message):
            mirror.record({"x": 1})
            heard.append((message["type"], mirror.stats().dropped.get("closed", 0)))

        wrapped = ASGIMirror(app, mirror=mirror, owns_mirror=owns, paths=["/*"], **PICKS)
        asyncio.run(wrapped({"type": "lifespan"}, None, send))
    assert heard == [("lifespan.startup.complete", 0), (f"lifespan.shutdown.{end}", int(owns))]
