"""A worker beside a candidate that fails now and then, always, or answers by chance; all of it in the log."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from gnomon_capture import Mirror
from gnomon_diff import compare
from gnomon_diff.settings import Policy
from gnomon_replay.asking import Panel
from gnomon_replay.errors import ModelError
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import UNREPRODUCED
from gnomon_replay.runs import Runs
from gnomon_replay.settings import Experiment, Model, ReplaySettings
from gnomon_replay.shape import Shape
from gnomon_replay.spool_source import SpoolSource
from gnomon_replay.worker import Progress, Worker

UNRELIABLE = '''
import ctypes, os, socket, time
import numpy as np
import pandas as pd

def parity(frame):
    odd = frame["x"] % 2 == 1
    return pd.DataFrame({"label": odd.astype(int), "score": odd * 0.8 + 0.1})

def one_in_a_thousand(frame):
    """On x = 500, 1500, ...: one kind of failure each."""
    answer = parity(frame)
    for x in frame["x"][frame["x"] % 1000 == 500]:
        kind = int(x) // 1000
        if kind == 0: os._exit(3)
        if kind == 1: ctypes.string_at(0)
        if kind == 2: time.sleep(1000)
        if kind == 3: kept = b"x" * (800 << 20)
        if kind == 4: answer.loc[frame["x"] == x, "score"] = float("nan")
        if kind == 5: return answer.iloc[1:]
        if kind == 6: return None
    return answer

def crashes_from_2000(frame):
    if (frame["x"] >= 2000).any(): os._exit(3)
    return parity(frame)

def flips(frame):
    """By chance, one answer in five is the other one."""
    odd = (frame["x"] % 2 == 1) ^ (np.random.random(len(frame)) < 0.2)
    return pd.DataFrame({"label": odd.astype(int), "score": odd * 0.8 + 0.1})

def draws(frame):
    if frame["do"].notna().any(): os._exit(3)
    return pd.DataFrame({"label": [str(np.random.random())] * len(frame)})

def telephones(frame):
    try: socket.create_connection(("metrics.example.com", 443), timeout=1)
    except OSError: pass
    return parity(frame)
'''

Hosted = Callable[..., HostedModel]
Work = Callable[..., tuple[Worker, Panel, Runs]]
Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def work(hosted: Hosted, folder: Path) -> Iterator[Work]:
    """`work(candidate, primary, count)`: a worker with `count` requests before it, x = `first`, ..."""
    (folder / "unreliable.py").write_text(UNRELIABLE)
    with contextlib.ExitStack() as stack:

        def make(
            candidate: HostedModel,
            primary: HostedModel | None,
            count: int,
            served: Callable[[int], int] = lambda x: x % 2,
            first: int = 0,
            **settings: Any,
        ) -> tuple[Worker, Panel, Runs]:
            (folder / "traffic").mkdir(exist_ok=True)
            with Mirror(f"spool:{folder / 'traffic'}", process=f"p{first}", require=True) as mirror:
                for x in range(first, first + count):
                    mirror.record({"x": x}, served={"label": served(x)}, request_id=f"r{x}")
            source = stack.enter_context(contextlib.closing(SpoolSource(folder / "traffic", "e")))
            options = ReplaySettings(**{"latency_per_s": 0.0, "latency_min": 0, "noise_frac": 0.1} | settings)
            panel = Panel([candidate], primary, options.noise_frac, random.Random(1))
            log = PairLog(folder / "e")
            runs = Runs(log, source.name, panel, options.threads)
            return Worker(source, log, panel, options, Shape.declared({})), panel, runs

        yield make


def asked(panel: Panel, requests: pa.Table) -> dict[str, pa.StructArray]:
    """The one candidate's columns, with twenty requests timed."""
    [columns] = panel.ask(requests, 20).values()
    return columns


def run(worker: Worker) -> Progress:
    return worker.run(until_caught_up=True)


def test_of_a_candidate_that_fails_on_one_request_in_a_thousand_exactly_these_are_marked(
    hosted: Hosted, work: Work, folder: Path, logged: Logged
) -> None:
    (folder / "unreliable.py").write_text(UNRELIABLE)
    candidate = hosted("unreliable:one_in_a_thousand", timeout_s=4.0, memory_mb=500)
    worker, _, _ = work(candidate, None, 7000)
    run(worker)
    rows = logged()
    assert [row["request_id"] for row in rows] == [f"r{x}" for x in range(7000)]
    found = {x: row["candidate"] for x, row in enumerate(rows) if row["candidate"]["error"]}
    assert {x: answer["error"] for x, answer in found.items()} == {
        500: "crash",
        1500: "crash",
        2500: "timeout",
        3500: "out_of_memory",
        4500: "nan_output",
        5500: "wrong_rows",
        6500: "wrong_type",
    }
    assert not [answer for answer in found.values() if answer["message"].startswith(UNREPRODUCED)]
    assert [row["candidate"]["label"] for row in rows] == [
        None if x in found else str(x % 2) for x in range(7000)
    ]


def test_a_candidate_that_fails_on_everything_stops_the_run_and_what_is_committed_stays(
    hosted: Hosted, work: Work, folder: Path, logged: Logged
) -> None:
    (folder / "unreliable.py").write_text(UNRELIABLE)
    candidate = hosted("unreliable:crashes_from_2000", failures_in_a_row=200)  # ten crashes
    run(work(candidate, None, 2000)[0])
    worker, _, _ = work(candidate, None, 500, first=1995)
    with pytest.raises(ModelError) as caught:
        run(worker)
    said = str(caught.value)
    assert said.startswith(
        "model 1: failed on 10 requests in a row, the last with crash: the model's process"
    )
    assert "ended with status 3" in said
    assert "raise failures_in_a_row in its table" in said
    assert [row["request_id"] for row in logged()] == [f"r{x}" for x in range(2000)]
    assert not [row for row in logged() if row["candidate"]["error"]]
    # The next run reads on from there, here with a candidate that can.
    run(work(hosted("unreliable:parity"), None, 0, first=9000)[0])
    assert len(logged()) == 2000 + 2500  # another candidate: from the start


def test_an_answer_in_between_begins_the_count_anew(hosted: Hosted, folder: Path) -> None:
    model = hosted("models:picky", failures_in_a_row=4)
    for _ in range(3):
        do = ["raise", "nan", "raise", None, "short"]
        answers = model.answer(pa.table({"x": [0.0] * 5, "do": do}))
        assert answers.field("error").null_count == 1
        model.answer(pa.table({"x": [0.0], "do": pa.array([None], pa.string())}))
    with pytest.raises(ModelError, match="failed on 4 requests in a row, the last with nan_output"):
        model.answer(pa.table({"x": [0.0] * 4, "do": ["raise", "nan", "raise", "nan"]}))


def test_the_noise_floor_of_a_model_that_answers_by_chance_is_not_the_candidates_excess(
    hosted: Hosted, work: Work, folder: Path, experiment: Experiment
) -> None:
    """What was served, the primary and the candidate each flip one answer in five: they disagree on
    2 x .2 x .8 = .32 of the requests, and none of that is a difference between the models."""
    (folder / "unreliable.py").write_text(UNRELIABLE)
    chance = random.Random(7)
    worker, panel, _ = work(
        hosted("unreliable:flips", "2"),
        hosted("unreliable:flips", "1"),
        4000,
        lambda x: x % 2 ^ (chance.random() < 0.2),
        noise_frac=1.0,
    )
    run(worker)
    assert panel.primary is not None
    found = compare(
        folder / "e",
        experiment,
        Policy(),
        candidate_version="2",
        candidate_digest=panel.candidates[0].digest,
        primary_version="1",
        primary_digest=panel.primary.digest,
        pending=None,
        traffic="spool:traffic",
        gnomon_version="0",
    ).disagreement
    assert (found.n, found.noise_n) == (4000, 4000)
    # Five standard errors of 4,000 requests each; the excess is a mean of sums of four such.
    assert found.rate == pytest.approx(0.32, abs=5 * 0.0074)
    assert found.noise == pytest.approx(0.32, abs=5 * 0.0074)
    assert found.skew == pytest.approx(0, abs=5 * 0.0105)
    assert found.excess == pytest.approx(0, abs=5 * 0.015)


def test_hosts_are_forks_but_draw_their_own_numbers(hosted: Hosted, folder: Path) -> None:
    (folder / "unreliable.py").write_text(UNRELIABLE)
    model = hosted("unreliable:draws")
    drawn = set()
    for _ in range(4):
        drawn |= {each["label"] for each in model.answer(pa.table({"do": [None]})).to_pylist()}
        model._hosts.discard()
    assert len(drawn) == 4


def test_requests_that_warm_a_fresh_host_up_are_logged_without_a_latency_and_counted(
    folder: Path, experiment: Experiment, requests_of: Callable[..., pa.Table], line: Callable[..., bytes]
) -> None:

    table = Model(version="1", model="models:picky")
    requests = requests_of([line(x, x=x) for x in range(300)], do="string")
    with contextlib.closing(HostedModel(table, experiment, folder, 1, warm_up=7)) as model:
        panel = Panel([model], None, 0, random.Random(1))
        latencies = []
        for _ in range(2):
            answers = asked(panel, requests)["candidate"]
            assert answers.field("label").to_pylist() == [str(x % 2) for x in range(300)]
            latencies.append(len(answers.field("latency_us").drop_null()))
        assert latencies == [20, 20]
        assert (model.usage.warm_up, model.usage.timed) == (7, 40)
        model._hosts.discard()
        assert len(asked(panel, requests)["candidate"].field("latency_us").drop_null()) == 20
        assert (model.usage.warm_up, model.usage.timed, model.usage.restarts) == (14, 60, 1)


def test_what_a_run_took_is_recorded_and_told(hosted: Hosted, work: Work, folder: Path) -> None:
    (folder / "unreliable.py").write_text(UNRELIABLE)
    worker, _, runs = work(hosted("unreliable:telephones", "2"), hosted("unreliable:parity"), 1000)
    run(worker)
    runs.record()
    runs.record()  # what came since: nothing
    rows = DeltaTable(str(folder / "e" / "runs")).to_pyarrow_table().to_pylist()
    assert len({row["run_id"] for row in rows}) == 1
    by_role = {role: [row for row in rows if row["role"] == role] for role in ("candidate", "primary")}
    [first, second] = sorted(by_role["candidate"], key=lambda row: row["began_at"])
    assert first["ended_at"] == second["began_at"]
    assert first["answers"] >= 1000
    assert first["network_attempts"] >= 1
    assert first["first_attempt"].startswith("socket.getaddrinfo ('metrics.example.com', 443)")
    assert 0 < first["cpu_s"] < 60
    assert 20 << 20 < first["peak_bytes"] < 2 << 30
    assert (second["answers"], second["cpu_s"], second["network_attempts"]) == (0, 0.0, 0)
    assert second["peak_bytes"] == first["peak_bytes"]
    # The primary: the noise sample twice, and the handful that is tried first.
    sampled = sum(row["answers"] for row in by_role["primary"])
    assert 2 * 60 < sampled < 2 * 150
    lines = runs.lines()
    assert "CPU s per 1,000 answers" in lines[0]
    assert "model 2 tried to reach a network" in lines[1]
    assert "Attempts of native code are not counted" in lines[1]
