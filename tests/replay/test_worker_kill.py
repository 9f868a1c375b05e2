"""Workers that are killed, stopped and doubled: one pair for each request, every time.

What is expected is counted by the producer of the traffic, here, and never by gnomon.
"""

from __future__ import annotations

import collections
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable
from kafka import KafkaProducer

CONFIG = """
[experiment]
name = "kill"
task = "binary"
positive = "1"
[traffic]
from = "{traffic}"
[primary]
version = "1"
model = "models:primary"
[[candidate]]
version = "2"
model = "models:candidate"
[replay]
latency_per_s = 0
latency_min = 0
commit_rows = 700
commit_s = 0.3
"""

MODELS = """
import pandas as pd

def primary(frame):
    return pd.DataFrame({"label": (frame["x"] % 2).astype(int), "score": (frame["x"] % 2).astype(float)})

def candidate(frame):
    return pd.DataFrame({"label": (frame["x"] % 3 == 0).astype(int), "score": (frame["x"] % 3 == 0) * 1.0})

def second(frame):
    return pd.DataFrame({"label": (frame["x"] % 5 == 0).astype(int), "score": (frame["x"] % 5 == 0) * 1.0})
"""


@pytest.fixture
def experiment(tmp_path, bootstrap, new_topic):
    topic = new_topic(partitions=3)
    tmp_path.joinpath("models.py").write_text(MODELS)
    config = tmp_path / "gnomon.toml"
    config.write_text(CONFIG.format(traffic=f"kafka://{bootstrap}/{topic}"))
    return config, topic, bootstrap


def produce(bootstrap: str, topic: str, numbers: range) -> None:
    """Requests with these numbers, 20 a message, a message in forty with a line that is no record."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for start in range(numbers.start, numbers.stop, 20):
        producer.send(topic, frame(range(start, start + 20)), partition=(start // 20) % 3)
    producer.close()


def spool(folder: Path, numbers: range) -> None:
    """The same as finished files of a capturing process, 200 requests each."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(numbers.start, numbers.stop, 200):
        first_line = start + len(range(0, start, 800))
        frames = [frame(range(at, at + 20)) for at in range(start, start + 200, 20)]
        (folder / f"{first_line:020d}.ndjson").write_bytes(b"".join(frames))


def frame(numbers: range) -> bytes:
    lines = [
        json.dumps(
            {
                "request_id": f"r{number}",
                "ts": f"2026-11-{1 + number % 20:02d}T08:00:00Z",
                "features": {"x": number},
                "served": {"label": number % 2, "score": float(number % 2)},
                "origin": {"process": "p", "seq": number},
            }
        )
        for number in numbers
    ]
    if numbers.start % 800 == 0:
        lines.insert(3, '{"request_id": "torn')
    return "".join(f"{line}\n" for line in lines).encode()


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def worker(config: Path, *how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gnomon.cli", "replay", "--config", str(config), *how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"GNOMON_DEBUG": "1"},
    )
    STARTED.append(process)
    return process


def listens_to_sigterm(process: subprocess.Popen[str]) -> bool:
    """Whether it runs its worker: from then on SIGTERM commits and ends it."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def pairs(config: Path) -> list[dict]:
    table = DeltaTable(str(config.parent / "shadow" / "kill" / "pairs"))
    return table.to_pyarrow_table(
        columns=["request_id", "candidate", "candidate_digest", "duplicate", "source"]
    ).to_pylist()


def committed(config: Path) -> int:
    folder = config.parent / "shadow" / "kill" / "pairs" / "_delta_log"
    return len(list(folder.glob("*.json"))) if folder.is_dir() else 0


def assert_one_pair_each(config: Path, numbers: range) -> None:
    rows = pairs(config)
    counts = collections.Counter(row["request_id"] for row in rows)
    assert counts == dict.fromkeys((f"r{number}" for number in numbers), 1)
    assert not any(row["duplicate"] for row in rows)
    for row in rows:
        assert row["candidate"]["label"] == str(int(int(row["request_id"][1:]) % 3 == 0))


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("where", "kills"), [("spool", 5), ("kafka", 1)])
def test_killed_at_random_moments_and_started_again_leaves_one_pair_each(experiment, where, kills):
    """More often on a spool: a broker keeps a dead worker's partitions until its session ends."""
    config, topic, bootstrap = experiment
    if where == "spool":
        config.write_text(CONFIG.format(traffic="spool:traffic"))
    numbers = range(0)
    chance = random.Random(13)
    for _ in range(kills):
        came = range(numbers.stop, numbers.stop + 4000)
        numbers = range(came.stop)
        spool(config.parent / "traffic" / "p", came) if where == "spool" else produce(bootstrap, topic, came)
        process = worker(config, "--follow")
        before = committed(config)
        wait_for(lambda before=before: committed(config) > before, process)
        time.sleep(chance.uniform(0, 0.4))  # within the next commits
        assert process.poll() is None, process.communicate()[1]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = worker(config, "--until-caught-up")
    assert done.wait(120) == 0, done.communicate()[1]
    done.communicate()
    assert_one_pair_each(config, numbers)
    letters = DeltaTable(str(config.parent / "shadow" / "kill" / "dead_letters")).to_pyarrow_table()
    places = {json.dumps(source) for source in letters.column("source").to_pylist()}
    assert len(places) == len(range(0, numbers.stop, 800))


@pytest.mark.timeout(280)
def test_a_second_worker_that_joins_and_leaves_doubles_and_loses_nothing(experiment):
    config, topic, bootstrap = experiment
    produce(bootstrap, topic, range(6000))
    first = worker(config, "--follow")
    wait_for(lambda: committed(config) > 1, first)
    second = worker(config, "--follow")
    produce(bootstrap, topic, range(6000, 12_000))
    wait_for(lambda: listens_to_sigterm(second), second)
    time.sleep(6)  # it joins the group
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0, second.communicate()[1]
    produce(bootstrap, topic, range(12_000, 15_000))
    wait_for(lambda: len(pairs(config)) >= 15_000, first)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0, first.communicate()[1]
    first.communicate(), second.communicate()
    assert_one_pair_each(config, range(15_000))


@pytest.mark.timeout(280)
def test_a_worker_that_sleeps_past_its_session_wakes_to_find_itself_fenced_or_rebalanced(experiment):
    config, topic, bootstrap = experiment
    produce(bootstrap, topic, range(6000))
    zombie = worker(config, "--follow")
    wait_for(lambda: committed(config) > 0, zombie)
    os.kill(zombie.pid, signal.SIGSTOP)
    try:
        produce(bootstrap, topic, range(6000, 9000))
        heir = worker(
            config, "--until-caught-up"
        )  # the group gives it the partitions when the session is over
        assert heir.wait(150) == 0, heir.communicate()[1]
        heir.communicate()
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    produce(bootstrap, topic, range(9000, 10_000))
    wait_for(lambda: len(pairs(config)) >= 10_000, zombie)
    zombie.send_signal(signal.SIGTERM)
    zombie.wait(60)
    zombie.communicate()
    assert_one_pair_each(config, range(10_000))


TWO = """
[[candidate]]
version = "3"
model = "models:second"
"""


@pytest.mark.timeout(280)
def test_a_candidate_that_is_added_while_the_other_is_ahead_is_killed_and_catches_up(experiment):
    config, topic, bootstrap = experiment
    produce(bootstrap, topic, range(6000))
    first = worker(config, "--until-caught-up")
    assert first.wait(120) == 0, first.communicate()[1]
    first.communicate()
    with config.open("a") as file:
        file.write(TWO)
    produce(bootstrap, topic, range(6000, 9000))
    ahead = worker(config, "--until-caught-up", "--candidate", "2")
    assert ahead.wait(120) == 0, ahead.communicate()[1]
    ahead.communicate()
    chance = random.Random(7)
    for begin in (9000, 10_500):
        produce(bootstrap, topic, range(begin, begin + 1500))
        before = committed(config)
        both = worker(config, "--follow")
        wait_for(lambda before=before: committed(config) > before, both)
        time.sleep(chance.uniform(0, 0.4))
        assert both.poll() is None, both.communicate()[1]
        os.killpg(both.pid, signal.SIGKILL)
        both.communicate()
    done = worker(config, "--until-caught-up", "--json")
    _, err = done.communicate(timeout=150)
    assert done.returncode == 0, err
    rows = pairs(config)
    by_digest = collections.defaultdict(collections.Counter)
    for row in rows:
        by_digest[row["candidate_digest"]][row["request_id"]] += 1
        divisor = {"2": 3, "3": 5}[row["candidate"]["version"]]
        assert row["candidate"]["label"] == str(int(int(row["request_id"][1:]) % divisor == 0))
    counts = sorted(len(counter) for counter in by_digest.values())
    assert counts == [12_000, 12_000]
    assert all(set(counter.values()) == {1} for counter in by_digest.values())


@pytest.mark.timeout(280)
def test_a_broker_that_is_restarted_in_the_middle_of_a_run_costs_nothing(tmp_path, own_broker):
    topic = "restarted"
    own_broker.create_topic(topic, 3)
    tmp_path.joinpath("models.py").write_text(MODELS)
    config = tmp_path / "gnomon.toml"
    config.write_text(CONFIG.format(traffic=f"kafka://{own_broker.bootstrap}/{topic}"))
    produce(own_broker.bootstrap, topic, range(6000))
    process = worker(config, "--follow")
    wait_for(lambda: committed(config) > 0, process)
    own_broker.kill()
    time.sleep(3)
    assert process.poll() is None, process.communicate()[1]
    own_broker.start()
    produce(own_broker.bootstrap, topic, range(6000, 9000))
    wait_for(lambda: len(pairs(config)) >= 9000, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.communicate()[1]
    process.communicate()
    assert_one_pair_each(config, range(9000))


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)
