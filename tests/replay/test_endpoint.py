"""A candidate behind HTTP: what it is sent, and what becomes of each way in which it can fail."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_replay.asking import Panel
from gnomon_replay.endpoint import Endpoint, _body
from gnomon_replay.errors import EndpointAwayError
from gnomon_replay.host import PAYLOAD
from gnomon_replay.model import HostedModel
from gnomon_replay.modelfile import locate
from gnomon_replay.pairs import UNREPRODUCED
from gnomon_replay.settings import Experiment, Model
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]


class Server(ThreadingHTTPServer):
    """Answers parity of `x`, but for what the feature `do` bids; remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.busy = 0  # so many answers of 503 first
        self.retry_after: str | None = "0"
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/predict"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hung up, as it does on a hang."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.busy -= 1
            busy = server.busy >= 0
        try:
            self.answer([row["features"] for row in body["requests"]], busy)
        finally:
            with server.lock:
                server.at_once -= 1

    def answer(self, rows: list[dict[str, Any]], busy: bool) -> None:
        bidden = {row.get("do") for row in rows}
        if "hang" in bidden:
            self.server.released.wait(30)
        if "drop" in bidden:
            self.close_connection = True
            return
        if "trickle" in bidden:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.released.wait(0.1):
                self.wfile.write(b" ")
            return
        answers: Any = [{"label": row["x"] % 2, "score": 0.9 if row["x"] % 2 else 0.1} for row in rows]
        if "error" in bidden:
            answers = [{"error": "no such user"} if row.get("do") == "error" else answer for row, answer in zip(rows, answers, strict=True)]  # fmt: skip
        if "short" in bidden:
            answers = answers[:-1]
        if "nan" in bidden:
            answers[-1]["score"] = float("nan")
        data = b"<html>oops" if "html" in bidden else json.dumps({"answers": answers}).encode()
        status = 503 if busy else 500 if "500" in bidden else 302 if "moved" in bidden else 200
        self.send_response(status)
        if busy and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.released.set()
    made.shutdown()
    made.server_close()


def model_of(url: str, **given: Any) -> HostedModel:
    named = Model(version="2", model=url, **{"timeout_s": 20.0} | given)
    return HostedModel(named, Experiment(name="e", task="binary", positive=1), Path(), 1)


def frame(do: dict[int, str], count: int = 40) -> pa.Table:
    """As the worker hands it over."""
    rows = range(count)
    return pa.table(
        {
            "x": pa.array(rows, pa.float64()),
            "do": [do.get(x) for x in rows],
            "\0request_id": [f"r{x}" for x in rows],
            "\0ts": pa.nulls(count, pa.timestamp("us", "UTC")),
            "\0key": pa.nulls(count, pa.string()),
        }
    )


def parity(x: int) -> tuple[str, float, None]:
    return ("1", 0.9, None) if x % 2 else ("0", 0.1, None)


def found(answers: pa.StructArray) -> list[Any]:
    return [(each["label"], each["score"], each["error"]) for each in answers.to_pylist()]


def test_calls_are_made_side_by_side_and_answers_keep_their_order(server: Server) -> None:
    answers = model_of(server.url, batch_rows=7, concurrency=3).answer(frame({}, 100))
    assert found(answers) == [parity(x) for x in range(100)]
    assert sorted(len(body["requests"]) for body in server.bodies) == [2, *[7] * 14]
    assert 1 <= server.most_at_once <= 3
    assert {headers["X-Gnomon-Shadow"] for headers in server.headers} == {"1"}
    assert {headers["Content-Type"] for headers in server.headers} == {"application/json"}


@pytest.mark.parametrize(
    ("do", "kind", "said"),
    [
        ("500", "exception", "HTTP 500: {"),
        ("moved", "exception", "HTTP 302"),
        ("html", "wrong_type", "answered what is no JSON: <html>oops"),
        ("short", "wrong_rows", "0 answers for 1 requests"),
        ("drop", "crash", "the connection broke before there was an answer"),
        ("nan", "nan_output", "missing, NaN or infinite"),
        ("error", "exception", "no such user"),
        ("hang", "timeout", "no answer within 2 s"),
        ("trickle", "timeout", "no answer within 2 s"),
    ],
)
def test_exactly_the_guilty_request_gets_its_error(server: Server, do: str, kind: str, said: str) -> None:
    slow = do in ("hang", "trickle")
    count = 8 if slow else 40
    guilty = count - 1
    model = model_of(server.url, timeout_s=2.0 if slow else 20.0, batch_rows=20)
    answers = model.answer(frame({guilty: do}, count))
    wrong = answers[guilty].as_py()
    assert (wrong["error"], wrong["label"], wrong["score"]) == (kind, None, None)
    assert said in wrong["message"]
    assert not wrong["message"].startswith(UNREPRODUCED)
    assert found(answers)[:guilty] == [parity(x) for x in range(guilty)]


def test_a_busy_endpoint_is_asked_again_when_it_says(server: Server) -> None:
    server.busy = 2
    assert found(model_of(server.url).answer(frame({}, 4))) == [parity(x) for x in range(4)]
    assert len(server.bodies) == 3


@pytest.mark.parametrize("retry_after", [None, "0", "3600", "nonsense"])
def test_one_that_stays_busy_stops_the_run_and_blames_no_request(
    server: Server, retry_after: str | None
) -> None:
    server.busy, server.retry_after = 10**6, retry_after
    with pytest.raises(EndpointAwayError, match="does not take requests: HTTP 503") as caught:
        model_of(server.url, timeout_s=0.5).answer(frame({}, 4))
    assert (caught.value.version, caught.value.url) == ("2", server.url)


def test_one_that_is_not_there_stops_the_run_and_one_that_comes_back_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(EndpointAwayError, match="What was committed stays; start it, or correct its `model`"):
        model_of(url, timeout_s=0.3).answer(frame({}, 4))
    command = [sys.executable, str(ROOT / "docs" / "examples" / "endpoint.py"), str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as example:
        try:  # the example of the documentation, asked before it is up
            table = frame({}, 2).append_column("dep_delay", pa.array([6.0, 45.0]))
            assert found(model_of(url, timeout_s=60.0).answer(table)) == [
                ("on_time", 0.1, None),
                ("late", 0.75, None),
            ]
        finally:
            example.terminate()


def test_it_is_told_of_each_request_what_it_needs(
    server: Server, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    model = model_of(server.url)
    beside = {"key": "N1", "attributes": {"region": "us"}, "ts": "2026-11-24T08:00:00.123456Z"}
    requests = requests_of([line(7, x=1, with_=beside), line(8, x=2)])
    [columns] = Panel([model], None, 0, random.Random(1)).ask(requests, 1).values()
    assert found(columns["candidate"]) == [parity(1), parity(2)]
    asked = {row["request_id"]: row for body in server.bodies for row in body["requests"]}
    assert asked == {
        "r7": {"request_id": "r7", "ts": beside["ts"], "key": "N1", "attributes": {"region": "us"}, "features": {"x": 1.0}},
        "r8": {"request_id": "r8", "ts": "2026-11-24T08:00:00.000000Z", "key": None, "attributes": {}, "features": {"x": 2.0}},
    }  # fmt: skip
    timed = [each["latency_us"] for each in columns["candidate"].to_pylist()]
    assert sum(each is not None for each in timed) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(JSON, st.integers(-(2**63), 2**63 - 1), st.floats())
def test_values_are_sent_as_they_are_and_nan_as_null(payload: Any, whole: int, real: float) -> None:
    context = {"\0request_id": ["r"], "\0ts": pa.nulls(1, pa.timestamp("us", "UTC")), "\0key": ["ü😀"]}
    refusing = json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    [row] = refusing.decode(_body(pa.table({PAYLOAD: [json.dumps(payload)]} | context)).decode())["requests"]
    assert row["payload"] == payload
    [row] = refusing.decode(_body(pa.table({"w": [whole], "r": [real]} | context)).decode())["requests"]
    assert row["features"] == {"w": whole, "r": None if real != real else real}
    assert row["key"] == "ü😀"


def test_its_digest_is_that_of_its_table_however_it_is_paced() -> None:
    def digest(**table: Any) -> str:
        return locate(Model(**{"version": "1", "model": "http://h/"} | table), Path()).digest

    assert digest() == digest(batch_rows=1, concurrency=9)
    assert len({digest(), digest(version="2"), digest(model="http://i/"), digest(inputs=("x",))}) == 4


def test_a_payload_too_deep_to_send_is_that_requests_error(server: Server) -> None:
    context = {"\0request_id": ["r"], "\0ts": pa.nulls(1, pa.timestamp("us", "UTC")), "\0key": ["k"]}
    [answer] = model_of(server.url).answer(pa.table({PAYLOAD: ["[" * 900 + "]" * 900]} | context)).to_pylist()
    assert answer["error"] == "exception"
    assert "cannot be sent as JSON" in answer["message"]


def test_a_response_without_end_is_not_read_to_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon_replay.endpoint.MOST_BYTES", 10)
    endpoint = Endpoint(Model(version="1", model=server.url), "binary")
    with pytest.raises(Exception, match="answered more than"):
        endpoint.predict(frame({}, 100))


def test_a_pause_is_no_longer_than_the_limit(server: Server) -> None:
    server.busy, server.retry_after = 1, "3600"
    began = time.monotonic()
    with pytest.raises(EndpointAwayError):
        model_of(server.url, timeout_s=600.0).answer(frame({}, 1))
    assert time.monotonic() - began < 300
