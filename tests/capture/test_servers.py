"""Real servers with several workers, under load, mirroring to a real broker: the accounts balance at the other end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

Reader = Callable[..., Any]

APP = """
import asyncio
import os
from gnomon_capture import CaptureSettings, Mirror

mirror = Mirror(os.environ["TRAFFIC"], settings=CaptureSettings(linger_s=0.05, ledger_every_s=0.3))

def record(path):
    x = int(path[1:]) % 10
    mirror.record({"x": x}, served={"label": int(x > 4), "score": x / 10})

def wsgi(environ, start_response):
    record(environ["PATH_INFO"])
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{mirror.process} {os.getpid()}".encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":  # uvicorn dies by the signal, without running what atexit has
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(mirror.close)
        await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] != "http":
        return
    record(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{mirror.process} {os.getpid()}".encode()})
"""
CONFIG = """
[experiment]
name = "served"
task = "binary"
positive = "1"

[traffic]
from = "{traffic}"

[primary]
version = "1"

[[candidate]]
version = "2"
model = "models:candidate"
"""
MODELS = """
import pandas as pd

def candidate(frame):
    return pd.DataFrame({"label": (frame["x"] > 3).astype(int), "score": frame["x"] / 10})
"""
SERVERS = {
    "gunicorn": ["gunicorn", "--preload", "--workers=3", "--graceful-timeout=20", "--bind={at}", "app:wsgi"],
    "uvicorn": ["uvicorn", "--workers=3", "--log-level=error", "--lifespan=on", "--port={port}", "app:asgi"],
}


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    bootstrap: str,
    new_topic: Callable[..., str],
    port: int,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (tmp_path / "app.py").write_text(APP)
    topic = new_topic(partitions=2)
    command = [part.format(at=f"127.0.0.1:{port}", port=port) for part in SERVERS[request.param]]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=os.environ | {"TRAFFIC": f"kafka://{bootstrap}/{topic}"},
            stdout=log,
            stderr=log,
        )
    yield process, topic
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_workers_under_load_account_for_every_request_and_a_killed_one_is_unclosed(
    server: tuple[subprocess.Popen[bytes], str], port: int, bootstrap: str, consumed: Reader, tmp_path: Path
) -> None:
    process, topic = server
    client = httpx.Client(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
    url = f"http://127.0.0.1:{port}/"

    def get(number: int) -> str | None:
        try:
            return client.get(f"{url}{number}").text
        except httpx.HTTPError:  # in the worker that is killed
            return None

    deadline = time.monotonic() + 120
    while get(-1) is None:
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.2)
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(get, range(400)))
        while not vouched_for(
            consumed(bootstrap, topic), len(first)
        ):  # what was answered has left the process
            assert time.monotonic() < deadline, "what was answered does not arrive"
            time.sleep(0.2)
        victim = Counter(first).most_common(1)[0][0]
        assert victim is not None
        os.kill(int(victim.split()[1]), signal.SIGKILL)
        second = list(pool.map(get, range(400)))
    client.close()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    served = Counter(answer.split()[0] for answer in [*first, *second] if answer is not None)
    killed = victim.split()[0]
    traffic = consumed(bootstrap, topic)
    closing = {ledger.process: ledger for ledger in traffic.ledgers if ledger.closed}
    assert killed not in closing
    assert any(ledger.process == killed for ledger in traffic.ledgers)  # its last one says how far it came
    assert set(served) - {killed} <= set(closing)
    assert len(served) >= 2
    for name, count in served.items():
        seqs = sorted(one.origin.seq for one in traffic.requests if one.origin.process == name)
        assert seqs == list(range(len(seqs)))  # nothing missing, nothing twice
        if name == killed:
            assert len(seqs) >= Counter(first)[victim]
        else:  # beside the one request that waited for the server to come up
            assert closing[name].seen == closing[name].mirrored == len(seqs)
            assert count <= len(seqs) <= count + 1

    accounts, page = replayed(f"kafka://{bootstrap}/{topic}", tmp_path / "replayed")
    assert {line["name"]: line["balanced"] for line in accounts["balances"]} == dict.fromkeys(
        ("seen", "mirrored", "paired", "rows"), True
    )
    processes = {one["process"]: one for one in accounts["processes"]}
    numbers = Counter(one.origin.process for one in traffic.requests)
    assert {name: one["in_pairs"] for name, one in processes.items() if one["in_pairs"]} == dict(numbers)
    assert {name for name, one in processes.items() if not one["closed"]} == {killed}
    assert {one["missing"] for one in processes.values()} == {0}
    assert (accounts["paired"], accounts["duplicates"], accounts["dead_letters"]) == (
        len(traffic.requests),
        0,
        {},
    )
    assert re.search(rf"{re.escape(killed)}.{{0,400}}unclosed", page, re.DOTALL)


def vouched_for(traffic: Any, requests: int) -> bool:
    """Whether so many requests arrived, and after them the ledgers of their processes."""
    last = {ledger.process: ledger.mirrored for ledger in traffic.ledgers}
    arrived = Counter(one.origin.process for one in traffic.requests)
    return arrived.total() >= requests and all(last.get(name) == count for name, count in arrived.items())


def replayed(traffic: str, folder: Path) -> tuple[dict[str, Any], str]:
    """The accounts and the report's text of a replay of all that stands in the traffic."""
    folder.mkdir()
    (folder / "gnomon.toml").write_text(CONFIG.format(traffic=traffic))
    (folder / "models.py").write_text(MODELS)
    for command in ("replay", "report"):
        done = subprocess.run(
            [sys.executable, "-m", "gnomon.cli", command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    page = folder / done.stdout.strip()
    comparison = json.loads(page.with_name("comparison.json").read_text())["comparison"]
    return comparison["accounts"], page.read_text()
