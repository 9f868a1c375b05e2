"""The examples in the documentation run as they stand: real servers, real requests, records in the traffic."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"


@pytest.fixture
def serve(tmp_path):
    """Starts a server on a free port and waits until it answers; stops it in the end."""
    running = []

    def start(*command):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "TRAFFIC": f"spool:{tmp_path / 'traffic'}"}
        words = [word.format(port=port, folder=EXAMPLES) for word in command]
        process = subprocess.Popen([sys.executable, "-m", *words], env=environment, cwd=tmp_path)
        running.append(process)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process, f"http://127.0.0.1:{port}"
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])  # after the second, atexit does not run
def test_the_starlette_app_under_uvicorn(serve, tmp_path, spooled, sign):
    process, address = serve(
        "uvicorn", "asgi_app:app", "--app-dir", "{folder}", "--port", "{port}", "--log-level", "error"
    )
    with httpx.Client(base_url=address) as client:
        for number in range(20):
            body = {"user": f"u{number % 3}", "features": {"carrier": "UA", "dep_delay": number * 5}}
            answer = client.post("/predict", json=body, headers={"x-request-id": f"r{number}"}).json()
            assert answer["label"] == ("late" if number * 5 > 40 else "on_time")
        assert client.get("/health").json() == {"up": True}
        assert client.post("/predict", content=b"{").status_code == 500
    process.send_signal(sign)
    process.wait(60)
    traffic = spooled(tmp_path / "traffic")
    assert [record.request_id for record in traffic.requests] == [f"r{number}" for number in range(20)]
    assert traffic.requests[9].features == {"carrier": "UA", "dep_delay": 45}
    assert (traffic.requests[9].served.label, traffic.requests[9].key) == ("late", "u0")
    ledger = traffic.ledgers[-1]
    assert (ledger.closed, ledger.seen, ledger.mirrored, ledger.dropped) == (True, 21, 20, {"pick_failed": 1})


def test_the_wsgi_app_under_gunicorn(serve, tmp_path, spooled):
    process, address = serve(
        "gunicorn", "wsgi_app:app", "--chdir", "{folder}", "--bind", "127.0.0.1:{port}", "--workers", "1"
    )
    body = {"instances": [{"dep_delay": 42}, {"dep_delay": 3}]}
    assert httpx.post(f"{address}/predict", json=body).json() == {"predictions": ["late", "on_time"]}
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    traffic = spooled(tmp_path / "traffic")
    assert [(record.features["dep_delay"], record.served.label) for record in traffic.requests] == [
        (42, "late"),
        (3, "on_time"),
    ]
    assert traffic.ledgers[-1].closed


@pytest.mark.parametrize(("name", "count"), [("estimator", 4), ("function", 2)])
def test_the_scripts(tmp_path, spooled, name, count):
    environment = {**os.environ, "TRAFFIC": f"spool:{tmp_path}"}
    subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], env=environment, check=True)
    traffic = spooled(tmp_path)
    assert len(traffic.requests) == count
    assert (traffic.ledgers[-1].closed, traffic.ledgers[-1].seen) == (True, count)


def test_every_example_is_run_here_and_shown_in_the_how_to():
    names = {path.stem for path in EXAMPLES.glob("*.py") if "Mirror" in path.read_text()}
    assert names == {"asgi_app", "wsgi_app", "estimator", "function"}
    how_to = (EXAMPLES.parent / "adapters.md").read_text()
    assert {name for name in names if re.search(rf"examples/{name}\.py", how_to)} == names


def test_the_adapters_are_reached_through_gnomon_and_load_nothing_that_they_adapt_to():
    script = (
        "import sys, gnomon; gnomon.ASGIMirror, gnomon.WSGIMirror, gnomon.MirroredEstimator, gnomon.mirrored; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "gnomon_capture" in loaded
    assert loaded & {"starlette", "sklearn", "numpy", "pandas", "pyarrow", "kafka", "asyncio"} == set()
