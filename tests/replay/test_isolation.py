"""Hostile and unfinished models: what they do stays theirs, and leaves no process behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_replay.model import HostedModel
from gnomon_replay.output import OUTPUT_BYTES
from gnomon_replay.settings import Model

Hosted = Callable[..., HostedModel]

HOSTILE = '''
import json, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path
import pandas as pd

def hostile(frame):
    """P(1) is 0.9 for odd x, 0.1 for even x, after what the requests bid it do."""
    for do in frame["do"].dropna():
        globals()[do]()
    odd = frame["x"] % 2 == 1
    return pd.DataFrame({"label": odd.astype(int), "score": odd * 0.8 + 0.1})

def forks():
    for _ in range(3):
        if not os.fork():
            os.setsid()
            if os.fork(): os._exit(0)
            time.sleep(1000)
    os._exit(1)

def forks_and_hangs():
    if not os.fork(): os.setsid()
    time.sleep(1000)

def prints():
    while True: print("y" * 1000)

def closes(): os.closerange(0, 1000)
def leaves(): sys.exit()
def leaves_at_once(): os._exit(0)

def kills():
    """All that it can reach."""
    for pid in (os.getppid(), -1):
        if pid: os.kill(pid, signal.SIGKILL)
    os.killpg(os.getpgid(os.getppid()) if os.getppid() else 0, signal.SIGKILL)
    os._exit(7)

def grows():
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))
        time.sleep(0.01)

def grows_in_a_child():
    if not os.fork(): grows()
    time.sleep(1000)

def grows_at_once(): sum(map(len, [b"x" * (800 << 20)]))

def writes(data):
    for descriptor in range(3, 40):
        try: os.write(descriptor, data)
        except OSError: pass

def writes_garbage(): writes(b"\\0\\0\\0\\5\\0\\0\\0\\0\\0\\0\\0\\0hello")
def writes_sizes(): writes(b"\\xff" * 12)
def writes_an_answer():
    header = json.dumps({"elapsed_ns": 1, "cpu_ns": 1, "id": 0}).encode()
    writes(len(header).to_bytes(4, "big") + bytes(8) + header)

def ignores(): signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)
def threads():
    for _ in range(50): threading.Thread(target=time.sleep, args=(1000,)).start()
def stops(): os.kill(os.getpid(), signal.SIGSTOP); time.sleep(1000)

def spies():
    """On the variables of all processes that it can read."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: found = b"hunter2" in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError: continue
        if found: raise ValueError(f"process {pid} told its secret")

def where(): return tuple(json.loads(Path("address").read_text()))
def connects(): socket.create_connection(where(), timeout=5).close()
def looks_up(): socket.getaddrinfo("example.com", 443)
def hides_it():
    try: connects()
    except OSError: pass
def connects_below():
    """By a program, which has no audit hook."""
    code = f"import socket; socket.create_connection({where()}, timeout=5)"
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
def talks():
    """Prints what it was given to know."""
    raise ValueError(f"{os.environ.get('ALLOWED')} {os.environ.get('SECRET')}")
'''


@pytest.fixture
def hostile(hosted: Hosted, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    """Starts hostile models; at the end none of their processes is left."""
    (folder / "hostile.py").write_text(HOSTILE)
    mark = uuid.uuid4().hex
    monkeypatch.setenv("MARK", mark)
    started = []

    def start(**settings: Any) -> HostedModel:
        settings = {"timeout_s": 2.0, "environment": ("MARK",)} | settings
        started.append(hosted("hostile:hostile", **settings))
        return started[-1]

    yield start
    assert marked(mark)  # or what is asserted below would say nothing
    for each in started:
        each.close()
    deadline = time.monotonic() + 20
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not marked(mark)


def marked(mark: str) -> list[int]:
    """The processes, other than this one, that inherited the mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            pass  # gone meanwhile
    return [pid for pid in found if pid != os.getpid()]


def asked(do: dict[int, str], count: int = 8) -> pa.Table:
    return pa.table({"x": pa.array(range(count), pa.float64()), "do": [do.get(x) for x in range(count)]})


def errors(answers: pa.StructArray) -> dict[int, tuple[str, str]]:
    rows = enumerate(answers.to_pylist())
    return {x: (row["error"], row["message"]) for x, row in rows if row["error"]}


@pytest.mark.parametrize(
    ("do", "kind", "said"),
    [
        ("forks", "crash", "ended with status 1"),
        ("forks_and_hangs", "timeout", "no answer within 2 s"),
        ("prints", "timeout", "no answer within 2 s"),
        ("closes", "crash", "ended with status 1"),
        ("leaves", "crash", "ended with status 0"),
        ("leaves_at_once", "crash", "ended with status 0"),
        ("writes_garbage", "crash", "answered what is no message"),
        ("writes_sizes", "crash", "answered what is no message"),
        ("writes_an_answer", "crash", "an answer to another question"),
        ("ignores", "timeout", "no answer within 2 s"),
        ("stops", "timeout", "no answer within 2 s"),
        ("threads", None, ""),
        ("spies", None, ""),
    ],
)
def test_the_guilty_request_alone_is_marked(
    hostile: Hosted, do: str, kind: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    model = hostile()
    found = errors(model.answer(asked({3: do})))
    if kind is None:
        assert found == {}
    else:
        assert list(found) == [3]
        assert found[3][0] == kind
        assert said in found[3][1]
    assert errors(model.answer(asked({}))) == {}


def test_it_cannot_signal_this_process_nor_its_warden(hostile: Hosted) -> None:
    model = hostile()
    warden = model._hosts._warden
    assert warden is not None
    assert list(errors(model.answer(asked({3: "kills"})))) == [3]
    assert errors(model.answer(asked({}))) == {}
    assert model._hosts._warden is warden
    assert warden.poll() is None


@pytest.mark.parametrize("do", ["grows", "grows_at_once", "grows_in_a_child"])
def test_memory_is_limited_and_the_guilty_request_is_found(hostile: Hosted, do: str) -> None:
    model = hostile(memory_mb=500, timeout_s=60.0)
    assert errors(model.answer(asked({}))) == {}
    [(x, (kind, message))] = errors(model.answer(asked({3: do}))).items()
    assert (x, kind) == (3, "out_of_memory")
    assert message.startswith("held ")
    assert message.endswith("its memory_mb is 500")
    assert model.usage.peak_bytes > 500 << 20


def test_a_batch_too_large_for_the_memory_is_cut_and_blames_nobody(hosted: Hosted, folder: Path) -> None:
    """A tenth of a MB a request; later batches are asked in parts from the start."""
    (folder / "wide.py").write_text(
        "def predict(frame):\n    kept = [b'x' * 100_000 for _ in range(len(frame))]\n"
        "    return [{'label': len(each)} for each in kept]\n"
    )
    model = hosted("wide:predict", memory_mb=500)
    table = pa.table({"x": pa.array(range(6000), pa.float64())})
    assert errors(model.answer(table)) == {}
    restarts = model.usage.restarts
    assert restarts > 0
    assert errors(model.answer(table)) == {}
    assert model.usage.restarts == restarts


@pytest.fixture
def listener(folder: Path) -> Iterator[list[object]]:
    """A server on loopback, and who has connected to it; its address is in a file."""
    server = socket.create_server(("127.0.0.1", 0))
    (folder / "address").write_text(json.dumps(server.getsockname()))
    came: list[object] = []

    def accept() -> None:
        while True:
            try:
                connection, peer = server.accept()
                connection.close()
                came.append(peer)
            except OSError:
                return

    thread = threading.Thread(target=accept)
    thread.start()
    yield came
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_no_network_is_reached_and_attempts_are_counted(hostile: Hosted, listener: list[object]) -> None:
    model = hostile(timeout_s=20.0)
    found = errors(model.answer(asked({1: "connects", 5: "looks_up"})))
    assert {x: kind for x, (kind, _) in found.items()} == {1: "exception", 5: "exception"}
    assert "`network = true` in its table allows it" in found[1][1]
    count = model.usage.network_attempts
    assert count >= 2
    assert model.usage.first_attempt.startswith("socket.getaddrinfo ('127.0.0.1', ")
    assert errors(model.answer(asked({1: "hides_it"}))) == {}
    assert model.usage.network_attempts == count + 1
    assert listener == []


def test_attempts_of_other_programs_find_nothing_and_are_not_counted(
    hostile: Hosted, listener: list[object]
) -> None:
    model = hostile(timeout_s=20.0)
    assert model.network_isolated
    assert list(errors(model.answer(asked({1: "connects_below"}, 2)))) == [1]
    assert (listener, model.usage.network_attempts) == ([], 0)


@pytest.mark.parametrize("do", ["connects", "connects_below"])
def test_a_model_that_may_reach_the_network_does(hostile: Hosted, listener: list[object], do: str) -> None:
    model = hostile(network=True, timeout_s=20.0)
    assert errors(model.answer(asked({1: do}, 2))) == {}
    deadline = time.monotonic() + 10
    while not listener and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(listener) == 1
    assert model.usage.network_attempts == 0
    assert model.cautions() == ["model 1 may reach the network (network = true)"]


def test_only_named_variables_are_inherited(hostile: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("ALLOWED", "yes")
    [(_, said)] = errors(hostile(environment=("MARK", "ALLOWED")).answer(asked({0: "talks"}, 1))).values()
    assert said == "ValueError: yes None"


def test_what_it_prints_is_in_a_file_that_stays_small(hosted: Hosted, folder: Path, experiment: Any) -> None:
    (folder / "hostile.py").write_text(HOSTILE)
    path = folder / "log" / "output" / "candidate.txt"
    named = Model(version="1", model="hostile:hostile", timeout_s=2.0)
    model = HostedModel(named, experiment, folder, 1, output=path)
    try:
        assert list(errors(model.answer(asked({0: "prints"}, 1)))) == [0]
        model.answer(asked({}))
        assert 0 < path.stat().st_blocks * 512 <= 2 * OUTPUT_BYTES
        assert "yyyy" in path.read_text()
    finally:
        model.close()


FALLBACK = """
import ctypes, json, os, sys
from pathlib import Path

user, group = os.geteuid(), os.getegid()
ctypes.CDLL(None).unshare(0x10000000)  # so that what is forbidden is forbidden to us alone
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
    Path("/proc/self", name).write_text(text)
for name in ("user", "net", "pid", "ipc"):
    Path(f"/proc/sys/user/max_{name}_namespaces").write_text("0")

import pyarrow as pa
from gnomon_replay.model import HostedModel
from gnomon_replay.settings import Experiment, Model

table = Model(version="1", model="hostile:hostile", timeout_s=5.0, environment=("MARK",))
model = HostedModel(table, Experiment(name="e", task="binary", positive=1), Path(), 1)
found = {}
for do in ("forks", "forks_and_hangs", "connects", "leaves"):
    answers = model.answer(pa.table({"x": [0.0, 1.0], "do": [None, do]}))
    found[do] = answers.field("error").to_pylist()
print(json.dumps([model.cautions(), found, model.usage.network_attempts]), flush=True)
if sys.argv[1] == "close":
    model.close()
else:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["close", "killed"])
def test_where_the_system_allows_no_namespace_it_says_so_and_does_what_it_can(
    hostile: Hosted, folder: Path, listener: list[object], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FALLBACK), end],
        cwd=folder,
        stdout=subprocess.PIPE,
        timeout=120,
    )
    cautions, found, attempts = json.loads(done.stdout)
    assert "allows no empty network" in cautions[0]
    assert "native code and programs that it starts could reach the network" in cautions[0]
    assert "could signal other processes" in cautions[1]
    assert found == {
        "forks": [None, "crash"],
        "forks_and_hangs": [None, "timeout"],
        "connects": [None, "exception"],
        "leaves": [None, "crash"],
    }
    assert attempts > 0
    assert listener == []
