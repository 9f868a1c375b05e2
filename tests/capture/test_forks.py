"""Forks: a mirror made before one works on both sides of it, and neither touches the other's."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Reader = Callable[..., Any]

PRELUDE = """
import multiprocessing, os, sys, time
from gnomon_capture import CaptureSettings, Mirror

def sockets():
    return [n for n in os.listdir("/proc/self/fd") if _is_socket(n)]

def _is_socket(n):
    try:
        return os.readlink(f"/proc/self/fd/{n}").startswith(("socket:", "anon_inode:[eventpoll]"))
    except OSError:
        return False

mirror = Mirror(sys.argv[1], settings=CaptureSettings(linger_s=0.01))
"""


def run(code: str, to: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, to], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORKED = """
mirror.record({"who": "parent", "n": -1})
while mirror.stats().unacknowledged or not mirror.stats().mirrored: time.sleep(0.01)
for n in range(1000): mirror.record({"who": "parent", "n": n})  # some still wait while it forks
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        mirror.close() if number == 2 else None  # this one mirrors nothing
        for n in range(500 if number < 2 else 0): mirror.record({"who": f"child {number}", "n": n})
        sys.exit(0)
    children.append(child)
for n in range(1000, 2000): mirror.record({"who": "parent", "n": n})
for child in children: assert os.waitpid(child, 0)[1] == 0
"""


def check_forked(traffic: Any) -> None:
    by_process: dict[str, list[Any]] = {}
    for request in traffic.requests:
        by_process.setdefault(request.origin.process, []).append(request)
    closing = {ledger.process: ledger for ledger in traffic.ledgers if ledger.closed}
    assert len(by_process) == 3 == len(closing)
    for process, requests in by_process.items():
        assert len({request.features["who"] for request in requests}) == 1
        requests.sort(key=lambda request: request.origin.seq)
        assert [request.origin.seq for request in requests] == list(range(len(requests)))
        numbers = [request.features["n"] for request in requests if request.features["n"] >= 0]
        assert numbers == list(range(2000 if requests[0].features["who"] == "parent" else 500))
        assert closing[process].mirrored == closing[process].seen == len(requests)


def test_a_fork_in_the_middle_of_traffic_mixes_nothing_up(tmp_path: Path, spooled: Reader) -> None:
    run(FORKED, f"spool:{tmp_path}")
    check_forked(spooled(tmp_path))


def test_what_a_childs_adapter_could_not_take_apart_is_in_its_ledger(tmp_path: Path, spooled: Reader) -> None:
    code = """
from gnomon_capture.handoff import Dropped
if not (child := os.fork()):
    mirror.miss(Dropped.PICK_FAILED)  # all that it ever counts
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run(code, f"spool:{tmp_path}")
    closing = [ledger for ledger in spooled(tmp_path).ledgers if ledger.closed and ledger.seen]
    assert [(ledger.seen, ledger.dropped) for ledger in closing] == [(1, {"pick_failed": 1})]


def test_the_switch_works_in_a_child_too(tmp_path: Path, spooled: Reader) -> None:
    """No thread of the parent's lives there that could look at the file."""
    code = f"""
control = {str(tmp_path / "control.toml")!r}
mirror.close()
mirror = Mirror(sys.argv[1], settings={{"control": control, "linger_s": 0.01}})
if not (child := os.fork()):
    mirror.record({{"n": 1}})
    while not mirror.stats().mirrored: time.sleep(0.01)
    open(control, "w").write("enabled = false")
    time.sleep(1)
    mirror.record({{"n": 2}})
    mirror.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    to = f"spool:{tmp_path}/spool"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, to], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr.strip() == "mirroring is switched off"
    traffic = spooled(tmp_path / "spool")
    assert [request.features for request in traffic.requests] == [{"n": 1}]
    closing = [ledger for ledger in traffic.ledgers if ledger.closed and ledger.seen]
    assert [(ledger.seen, ledger.mirrored, ledger.not_selected) for ledger in closing] == [(2, 1, 1)]


def test_a_fork_shares_no_connection_with_a_broker(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic(partitions=2)
    run(FORKED, f"kafka://{bootstrap}/{topic}")
    check_forked(consumed(bootstrap, topic))


def test_a_child_is_left_with_no_socket_of_its_parent(bootstrap: str, new_topic: Callable[..., str]) -> None:
    code = """
mirror.record({"n": 1})
while mirror.stats().unacknowledged or not mirror.stats().mirrored: time.sleep(0.01)
print(len(sockets()), flush=True)
child = os.fork()
if child == 0:
    print(len(sockets()), flush=True)
    os._exit(0)
os.waitpid(child, 0)
mirror.record({"n": 2})
mirror.close()
print(mirror.stats().unacknowledged)
"""
    before, inside, left = run(code, f"kafka://{bootstrap}/{new_topic()}").split()
    assert int(before) >= 3
    assert (int(inside), int(left)) == (0, 0)


def test_a_fork_while_it_connects_leaves_the_child_a_mirror_that_works(
    bootstrap: str, new_topic: Callable[..., str], consumed: Reader
) -> None:
    topic = new_topic()
    code = """
children = []
for number in range(4):  # at once, as a server that preloads does
    child = os.fork()
    if child == 0:
        mirror.record({"n": number})
        sys.exit(0)
    children.append(child)
    time.sleep(0.03)
for child in children: assert os.waitpid(child, 0)[1] == 0
"""
    run(code, f"kafka://{bootstrap}/{topic}")
    traffic = consumed(bootstrap, topic)
    assert sorted(request.features["n"] for request in traffic.requests) == [0, 1, 2, 3]
    assert len({ledger.process for ledger in traffic.ledgers if ledger.closed}) == 5


def test_a_mirrors_thread_imports_nothing(
    bootstrap: str, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    """What it imports while the process forks is locked for ever in the child."""
    code = """
from gnomon_capture.sender import Sender
class Watched(Sender):
    def start(self):
        before.update(sys.modules)
        super().start()
before = set()
sys.modules["gnomon_capture.mirror"].Sender = Watched
mirror = Mirror(sys.argv[1], settings=CaptureSettings(linger_s=0.01))
mirror.record({"n": 1, "x": float("nan")}, served={"label": "late"}, key="k", ts="2026-01-01T00:00:00Z")
while mirror.stats().unacknowledged or not mirror.stats().mirrored: time.sleep(0.01)
mirror.close()
print(sorted(set(sys.modules) - before))
"""
    for to in (f"kafka://{bootstrap}/{new_topic(partitions=2)}", f"spool:{tmp_path}"):
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE.partition("mirror = ")[0] + code, to],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pools_workers_mirror_and_close_at_their_end(tmp_path: Path, spooled: Reader, method: str) -> None:
    script = tmp_path / "pool.py"
    script.write_text(
        PRELUDE
        + "\ndef work(n):\n    mirror.record({'n': n})\n\n"
        + "if __name__ == '__main__':\n"
        + f"    workers = [multiprocessing.get_context({method!r}).Process(target=work, args=(n,)) for n in range(3)]\n"
        + "    for worker in workers: worker.start()\n"
        + "    for worker in workers: worker.join()\n"
    )
    to = f"spool:{tmp_path}/spool"
    done = subprocess.run(
        [sys.executable, str(script), to], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    traffic = spooled(tmp_path / "spool")
    assert sorted(request.features["n"] for request in traffic.requests) == [0, 1, 2]
    processes = {request.origin.process for request in traffic.requests}
    assert processes <= {ledger.process for ledger in traffic.ledgers if ledger.closed}
    assert len(processes) == 3


def test_a_parents_death_frees_its_file_though_children_live(tmp_path: Path, spooled: Reader) -> None:
    code = """
for n in range(100): mirror.record({"n": n})
while mirror.stats().unacknowledged or mirror.stats().mirrored < 100: time.sleep(0.01)
child = os.fork()
if child == 0:
    time.sleep(20)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", PRELUDE + code, f"spool:{tmp_path}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.wait(60)
    try:
        assert spooled(tmp_path).seqs == list(range(100))
    finally:
        os.kill(child, 9)
        process.stdout.close()
