"""No process of a model outlives what it was started for, however that ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from gnomon_replay.model import HostedModel

ASKED = pa.table({"x": [1.0], "do": pa.array([None], pa.string())})

PARENT = """
import sys
from pathlib import Path
import pyarrow as pa
from gnomon_replay.model import HostedModel
from gnomon_replay.settings import Experiment, Model

table = Model(version="1", model=sys.argv[1], environment=("MARK",))
model = HostedModel(table, Experiment(name="e", task="binary", positive=1), Path(), 1)
print(model._hosts.current()._pid, flush=True)
model.answer(pa.table({"x": [1.0], "do": pa.array([None], pa.string())}))
sys.stdin.read()
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(claim: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.02)
    return claim()


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A variable's value that all processes of a model inherit if it is to have `MARK`: they call themselves by
    other numbers than we do."""
    value = uuid.uuid4().hex
    monkeypatch.setenv("MARK", value)
    return value


def marked(mark: str) -> dict[int, str]:
    """The processes that inherited the mark, other than this one and the worker: their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (path / "environ").read_bytes() and alive(int(path.name)):
                found[int(path.name)] = (path / "cmdline").read_text()
    return {pid: line for pid, line in found.items() if "MARK" not in line and pid != os.getpid()}


def test_close_ends_the_host_and_all_that_it_started(
    hosted: Callable[..., HostedModel], folder: Path, mark: str
) -> None:
    model = hosted("models:parental", environment=("MARK",))
    assert model.answer(ASKED).field("error").null_count == 1
    started = marked(mark)
    assert len(started) == 4  # the warden, the host, its program and its fork
    assert sum("sleep" in line for line in started.values()) == 1
    model.close()
    assert eventually(lambda: not marked(mark))
    model.close()  # may be called again


def test_a_crash_leaves_no_child_behind(hosted: Callable[..., HostedModel], folder: Path, mark: str) -> None:
    model = hosted("models:parental", environment=("MARK",))
    model.answer(ASKED)
    started = marked(mark)
    model.answer(pa.table({"x": [1.0], "do": ["_exit"]}))
    warden = model._hosts._warden
    assert warden is not None
    assert eventually(lambda: not (started.keys() - {warden.pid}) & marked(mark).keys())


@pytest.mark.parametrize(("target", "busy"), [("models:parental", False), ("models:busy", True)])
def test_nothing_outlives_a_worker_that_was_killed(folder: Path, target: str, busy: bool, mark: str) -> None:
    """While the model is idle, and while it is busy and holds the interpreter's lock."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, target],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        host = int(parent.stdout.readline())
        assert eventually(lambda: len(marked(mark)) == 4)
        time.sleep(0.3)  # so that the busy one is in the middle of it
        assert host in marked(mark)
        os.kill(parent.pid, signal.SIGKILL)
    assert eventually(lambda: not marked(mark))


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGTERM])
def test_a_warden_that_was_killed_is_replaced(
    hosted: Callable[..., HostedModel], mark: str, signalled: signal.Signals
) -> None:
    model = hosted("models:picky", environment=("MARK",))
    before = model._hosts._warden
    assert before is not None
    os.kill(before.pid, signalled)
    before.wait()
    for do in ("_exit", None, "_exit", None):
        answers = model.answer(pa.table({"x": [1.0], "do": pa.array([do], pa.string())}))
        assert answers.field("error").to_pylist() == ["crash" if do else None]
    model.close()
    assert eventually(lambda: not marked(mark))


def test_a_model_that_cannot_be_loaded_leaves_nothing(
    hosted: Callable[..., HostedModel], folder: Path, mark: str
) -> None:
    (folder / "stuck.py").write_text(
        "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nraise ValueError\n"
    )
    with pytest.raises(Exception, match="ValueError"):
        hosted("stuck:f", environment=("MARK",))
    assert eventually(lambda: not marked(mark))


def test_a_worker_opens_no_more_files_with_every_host(hosted: Callable[..., HostedModel]) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    model = hosted("models:picky")
    model.answer(pa.table({"x": [1.0], "do": ["_exit"]}))  # from now on there is one in reserve
    model.answer(ASKED)
    before = descriptors()
    for _ in range(3):
        model.answer(pa.table({"x": [1.0], "do": ["_exit"]}))
        model.answer(ASKED)
    assert descriptors() == before
