"""A worker as a service's manager and its monitoring meet it: signals, log lines, metrics. Real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from gnomon_capture import Mirror
from prometheus_client.parser import text_string_to_metric_families

CONFIG = """\
[experiment]
name = "tiny"
task = "binary"
positive = "1"
[traffic]
from = "spool:traffic"
[primary]
version = "1"
[[candidate]]
version = "2"
model = "models:candidate"
[replay]
latency_min = 3
latency_per_s = 0
commit_s = 0.2
stop_within_s = 3
"""

MODELS = """
import time
from pathlib import Path

def candidate(frame):
    if (frame["do"] == "hang").any():
        Path("hanging").touch()
        time.sleep(1000)
    if (frame["do"] == "raise").any():
        raise ValueError("no such carrier")
    return [{"label": int(x % 2), "score": x / 1000} for x in frame["x"]]
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.joinpath("gnomon.toml").write_text(CONFIG)
    tmp_path.joinpath("models.py").write_text(MODELS)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts `gnomon replay` in the folder; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*how: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gnomon.cli", "replay", *how],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def mirrored(folder: Path, numbers: range, **do: str) -> None:
    with Mirror(f"spool:{folder / 'traffic'}", require=True) as mirror:
        for x in numbers:
            mirror.record({"x": x, "do": do.get(f"r{x}", "")}, served={"label": x % 2}, request_id=f"r{x}")


def logged(folder: Path) -> list[str]:
    path = folder / "shadow" / "tiny" / "pairs"
    try:
        table = DeltaTable(str(path))
    except TableNotFoundError:  # not yet, or being made
        return []
    ids: list[str] = table.to_pyarrow_table(columns=["request_id"])["request_id"].to_pylist()
    return sorted(ids, key=lambda name: int(name[1:]))


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> list[int]:
    """What it started: the wardens of its models, and behind them the hosts."""
    wardens = started_by(process.pid)
    return [*wardens, *(host for warden in wardens for host in started_by(warden))]


def started_by(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- signals ----


def test_sigterm_commits_what_was_read_and_ends_well(folder: Path, start: Start) -> None:
    mirrored(folder, range(200))
    process = start("--follow")
    wait_for(lambda: logged(folder), process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopping: committing what was read, within 3 s" in err
    assert logged(folder) == [f"r{x}" for x in range(200)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_candidate_that_hangs_does_not_keep_a_run_beyond_its_deadline(
    folder: Path, start: Start, number: signal.Signals
) -> None:
    mirrored(folder, range(50), r20="hang")
    process = start("--follow")
    wait_for(lambda: (folder / "hanging").exists(), process)
    hosts = children(process)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (
        time.monotonic() - began < 30
    )  # far less than the model's time limit of 60 s, in each of its rounds
    assert process.returncode == 4
    assert "stopped after 3 s ([replay] stop_within_s) without committing" in err
    assert re.search(r"5[0-9] lines that it had read; nothing is lost", err)  # with ledgers
    assert "Traceback" not in err
    assert logged(folder) == []
    assert hosts
    assert not any(runs(pid) for pid in hosts)
    # And so it is: the next run has them all.
    folder.joinpath("models.py").write_text(MODELS.replace('"hang"', '"sing"'))
    again = start()
    assert again.wait(60) == 0
    assert logged(folder) == [f"r{x}" for x in range(50)]


def test_a_second_signal_ends_it_at_once(folder: Path, start: Start) -> None:
    folder.joinpath("gnomon.toml").write_text(CONFIG.replace("stop_within_s = 3", "stop_within_s = 1000"))
    mirrored(folder, range(50), r20="hang")
    process = start("--follow")
    wait_for(lambda: (folder / "hanging").exists(), process)
    hosts = children(process)
    process.terminate()
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 4
    assert "ended at once, by a second signal" in err
    deadline = time.monotonic() + 20
    while any(runs(pid) for pid in hosts) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(runs(pid) for pid in hosts)


def test_a_signal_while_the_models_load_ends_it_with_nothing_to_commit(folder: Path, start: Start) -> None:
    folder.joinpath("models.py").write_text(
        "import time\nfrom pathlib import Path\nPath('loading').touch()\ntime.sleep(100)\n"
    )
    mirrored(folder, range(10))
    process = start("--follow")
    wait_for(lambda: (folder / "loading").exists(), process)
    hosts = children(process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "interrupted" in err
    assert "Traceback" not in err
    assert hosts
    assert not any(runs(pid) for pid in hosts)


# ---- log lines ----


def test_json_logs_have_an_event_for_each_commit_with_its_facts(folder: Path, start: Start) -> None:
    mirrored(folder, range(40), r7="raise")
    process = start("--log-format", "json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"ts", "level", "event", "run", "experiment", "candidate"} <= set.intersection(*map(set, lines))
    assert {(line["candidate"], line["run"]) for line in lines} == {("2", lines[0]["run"])}
    commits = [line for line in lines if line["event"] == "committed"]
    assert commits[-1]["version"] == DeltaTable(str(folder / "shadow" / "tiny" / "pairs")).version()
    assert sum(line["pairs"] for line in commits) == 40
    assert sum(line["errors"] for line in commits) == 1
    assert [line["error_kinds"] for line in commits if line["errors"]] == [{"exception": 1}]
    assert sum(line["timed"] for line in commits) in (2, 3)  # r7 may be among them, and has no latency
    assert commits[-1]["lag"] == 0
    [partition] = {part for line in commits for part in line["partitions"]}
    assert partition in {path.name for path in (folder / "traffic").iterdir()}
    assert (lines[-1]["event"], lines[-1]["pairs"], lines[-1]["lag"]) == ("ended", 40, 0)


def test_an_error_is_an_event_of_a_json_log_too(folder: Path, start: Start) -> None:
    process = start("--log-format", "json", "--quiet")  # there is no traffic
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    failed = json.loads(err.splitlines()[-1])
    assert (failed["event"], failed["level"], failed["status"]) == ("failed", "error", 4)
    assert "there is no traffic at" in failed["message"]


def test_text_logs_and_quiet_and_verbose(folder: Path, start: Start) -> None:
    mirrored(folder, range(20))
    text = start("--log-format", "text").communicate(timeout=60)[1]
    assert re.search(
        r"^\S+Z info committed run=\w+ experiment=tiny candidate=2 version=1 .*pairs=20 .*lag=0$", text, re.M
    )
    mirrored(folder, range(20, 40))
    assert start("--quiet").communicate(timeout=60)[1] == (
        "no primary model: no noise floor and no fair latency will be known\n"
    )
    mirrored(folder, range(40, 60))
    assert "info committed" in start("--verbose").communicate(timeout=60)[1]
    assert logged(folder) == [f"r{x}" for x in range(60)]
    both = start("--quiet", "--verbose")
    assert both.wait(60) == 2


# ---- metrics ----


def scraped(url: str) -> dict[str, float]:
    """Every sample of a page of metrics, by its name and labels."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode()
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_is_in_the_log(folder: Path, start: Start) -> None:
    mirrored(folder, range(40), r7="raise")
    process = start("--follow", "--log-format", "json", "--metrics-port", "0")
    assert process.stderr is not None
    url = ""
    while not url:
        event = json.loads(process.stderr.readline())["event"]
        url = event.removeprefix("metrics at ") if event.startswith("metrics at ") else ""
    assert url.startswith("http://127.0.0.1:")
    wait_for(lambda: len(logged(folder)) == 40, process)
    wait_for(lambda: scraped(url)["gnomon_pairs_total candidate=2"] == 40, process)
    wait_for(
        lambda: [v for name, v in scraped(url).items() if name.startswith("gnomon_lag ")] == [0], process
    )
    found = scraped(url)
    assert found["gnomon_errors_total candidate=2 kind=exception"] == 1
    assert found["gnomon_commit_seconds_count"] == 1
    assert 0 < found["gnomon_commit_seconds_sum"] < 60
    assert found["gnomon_log_version"] == 1
    assert found["gnomon_dead_letters_total"] == 0
    assert found["gnomon_host_restarts_total model=2"] == 0
    assert found["process_resident_memory_bytes"] > 1e7
    # More traffic, and a host that dies.
    os.kill(children(process)[-1], signal.SIGKILL)
    mirrored(folder, range(40, 60))
    wait_for(lambda: len(logged(folder)) == 60, process)
    wait_for(lambda: scraped(url)["gnomon_pairs_total candidate=2"] == 60, process)
    assert scraped(url)["gnomon_host_restarts_total model=2"] >= 1
    process.terminate()
    assert process.wait(60) == 0


def test_a_port_that_is_taken_is_said_before_anything_is_read(folder: Path, start: Start) -> None:
    mirrored(folder, range(10))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("--metrics-port", port)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"metrics cannot be served on 127.0.0.1:{port}" in err
    assert "name another --metrics-port" in err
    assert logged(folder) == []


@pytest.mark.parametrize("port", ["-1", "65536", "http", ""])
def test_what_is_no_port_is_a_usage_error(start: Start, port: str) -> None:
    process = start(f"--metrics-port={port}")
    assert process.wait(60) == 2
    assert process.stderr is not None
    assert "is no port" in process.stderr.read()
