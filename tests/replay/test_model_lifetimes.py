"""No process of a model outlives what it was started for, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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

model = HostedModel(Model(version="1", model=sys.argv[1]), Experiment(name="e", task="binary", positive=1), Path(), 1)
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


def pids(folder: Path) -> list[int]:
    """The host, a program that it started and a fork of it."""
    assert eventually(
        lambda: len((folder / "pids").read_text().split()) == 3 if (folder / "pids").exists() else False
    )
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_close_ends_the_host_and_all_that_it_started(
    hosted: Callable[..., HostedModel], folder: Path
) -> None:
    model = hosted("models:parental")
    assert model.answer(ASKED).field("error").null_count == 1
    started = pids(folder)
    assert [alive(pid) for pid in started] == [True] * 3
    model.close()
    assert eventually(lambda: not any(map(alive, started)))
    model.close()  # may be called again


def test_a_crash_leaves_no_child_behind(hosted: Callable[..., HostedModel], folder: Path) -> None:
    model = hosted("models:parental")
    model.answer(ASKED)
    started = pids(folder)
    (folder / "pids").unlink()
    model.answer(pa.table({"x": [1.0], "do": ["_exit"]}))
    assert eventually(lambda: not any(map(alive, started)))


@pytest.mark.parametrize("target", ["models:parental", "models:busy"])
def test_nothing_outlives_a_worker_that_was_killed(folder: Path, target: str) -> None:
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
        started = pids(folder)
        assert started[0] == host
        time.sleep(0.3)  # so that the busy one is in the middle of it
        assert [alive(pid) for pid in started] == [True] * 3
        os.kill(parent.pid, signal.SIGKILL)
    assert eventually(lambda: not any(map(alive, started)))


def test_a_model_that_cannot_be_loaded_leaves_nothing(
    hosted: Callable[..., HostedModel], folder: Path
) -> None:
    (folder / "stuck.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\nraise ValueError\n"
    )
    with pytest.raises(Exception, match="ValueError"):
        hosted("stuck:f")
    pid = int((folder / "pid").read_text())
    assert not alive(pid)


def test_a_worker_opens_no_more_files_with_every_host(hosted: Callable[..., HostedModel]) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    model = hosted("models:picky")
    before = descriptors()
    for _ in range(3):
        model.answer(pa.table({"x": [1.0], "do": ["_exit"]}))
        model.answer(ASKED)
    assert descriptors() == before
