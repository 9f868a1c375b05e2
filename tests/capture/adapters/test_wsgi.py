"""The WSGI middleware: what it mirrors, and that neither server nor application can tell that it is there."""

from __future__ import annotations

import io
import json
import threading
import wsgiref.util
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from gnomon_capture import Mirror
from gnomon_capture.adapters import WSGIMirror

PICKS = {"features": "request.features", "served": {"label": "response.label"}, "version": "3.2"}


def predict(environ, start_response):
    asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"label": asked["features"]["x"]}).encode()]


def ask(app, body=b'{"features": {"x": 7}}', path="/predict", method="POST", **extra):
    """Status and the pieces of the answer, taken and closed as a server does it."""
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": str(len(body)), **extra}
    wsgiref.util.setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    started = []

    def start_response(status, headers, exc_info=None):
        started.append(status)
        return written.append

    written: list[bytes] = []
    answer = app(environ, start_response)
    pieces = list(answer)
    if hasattr(answer, "close"):
        answer.close()
    return started[0] if started else None, written + pieces


@pytest.fixture
def wrap(tmp_path, spooled):
    """Wraps an app; calling the result's `end` closes the mirror and gives records and closing ledger."""

    class Wrapped:
        def __init__(self, app, **picks):
            self.mirror = Mirror(f"spool:{tmp_path}", require=True)
            self.app = WSGIMirror(app, mirror=self.mirror, **{"paths": ["/predict"], **PICKS, **picks})

        def end(self):
            self.mirror.close()
            traffic = spooled(tmp_path)
            return traffic.requests, traffic.ledgers[-1]

    made = []

    def make(app, **picks):
        made.append(Wrapped(app, **picks))
        return made[-1]

    yield make
    for each in made:
        each.mirror.close()


def test_a_prediction_is_mirrored_by_a_real_server(wrap):
    wrapped = wrap(predict, key='request_headers["x-user"]')

    class Silent(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    with make_server("127.0.0.1", 0, wrapped.app, handler_class=Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/predict"
        response = httpx.post(address, json={"features": {"x": 7}}, headers={"x-user": "u1"})
        server.shutdown()
        thread.join()
    assert response.json() == {"label": 7}
    assert response.headers["content-length"] == "12"  # wsgiref knows it from a single piece
    [record], ledger = wrapped.end()
    assert (record.features, record.served.label, record.served.version) == ({"x": 7}, 7, "3.2")
    assert (record.key, ledger.mirrored) == ("u1", 1)
    assert record.served.latency_us > 0


def test_however_the_application_reads_its_input_the_body_is_seen(wrap):
    def reader(how):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b'{"label": "%d"}' % len(how(environ["wsgi.input"]))]

        return app

    ways = [
        lambda stream: stream.read(),
        lambda stream: stream.read(5) + stream.read(),
        lambda stream: b"".join(stream),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: stream.readline() + stream.read(),
    ]
    body = b'{"features":\n {"x": 1}}'
    for way in ways:
        wrapped = wrap(reader(way))
        assert ask(wrapped.app, body)[1] == [b'{"label": "23"}']
        records, _ = wrapped.end()
        assert [record.features for record in records] == [{"x": 1}] * len(records)
        assert records[-1].served.label == "23"


def test_generators_the_write_callable_and_close_pass(wrap):
    closed = []

    class Pieces:
        def __iter__(self):
            yield b'l": "late"}'

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        environ["wsgi.input"].read()
        write = start_response("200 OK", [])
        write(b'{"labe')
        return Pieces()

    wrapped = wrap(app)
    assert ask(wrapped.app) == ("200 OK", [b'{"labe', b'l": "late"}'])
    assert closed == [True]
    [record], _ = wrapped.end()
    assert record.served.label == "late"


def test_other_paths_get_the_application_itself(wrap):
    answer = [b"1"]
    wrapped = wrap(lambda environ, start_response: answer)
    environ = {"PATH_INFO": "/health", "REQUEST_METHOD": "POST"}
    assert wrapped.app(environ, None) is answer
    assert wrapped.app({"PATH_INFO": "/predict", "REQUEST_METHOD": "GET"}, None) is answer


def test_a_file_is_handed_on_untouched(wrap):
    def app(environ, start_response):
        start_response("200 OK", [])
        return wsgiref.util.FileWrapper(io.BytesIO(b"x"))

    wrapped = wrap(app)
    environ = {"PATH_INFO": "/predict", "REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO()}
    environ["wsgi.file_wrapper"] = wsgiref.util.FileWrapper
    assert type(wrapped.app(environ, lambda *_: None)) is wsgiref.util.FileWrapper
    assert wrapped.app.stats()["ignored"] == 1


@pytest.mark.parametrize("late", [False, True])
def test_what_the_application_raises_is_recorded_and_raised_on(wrap, late):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        if not late:
            raise KeyError("carrier")
        start_response("200 OK", [])

        def pieces():
            yield b"{"
            raise KeyError("carrier")

        return pieces()

    wrapped = wrap(app)
    with pytest.raises(KeyError):
        ask(wrapped.app)
    [record], _ = wrapped.end()
    assert record.served.error == "KeyError: 'carrier'"
    assert record.features == {"x": 7}


def test_a_failing_pick_and_a_large_body_are_counted(wrap):
    wrapped = wrap(predict, served={"label": lambda exchange: 1 / 0}, max_body_bytes=100)
    assert ask(wrapped.app)[1] == [b'{"label": 7}']
    large = json.dumps({"features": {"x": 1, "pad": "p" * 200}}).encode()
    assert ask(wrapped.app, large)[1] == [b'{"label": 1}']
    records, ledger = wrapped.end()
    assert records == []
    assert ledger.dropped == {"pick_failed": 1, "body_too_large": 1}


def test_a_client_that_goes_away_in_the_middle_is_no_answer(wrap):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        yield b"{"
        yield b"}"

    wrapped = wrap(app)
    environ = {"PATH_INFO": "/predict", "REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(b"{}")}
    answer = wrapped.app(environ, lambda *_: None)
    assert next(iter(answer)) == b"{"
    answer.close()
    assert wrapped.app.stats() == {"recorded": 0, "ignored": 1, "pick_failed": 0, "body_too_large": 0}
