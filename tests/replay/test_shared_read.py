"""Several candidates in one pass: one read, one pair of each for each request, whoever is ahead."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_replay import log as log_module
from gnomon_replay.errors import ModelError
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel
from gnomon_replay.spool_source import SpoolSource
from gnomon_replay.window import Window
from gnomon_replay.worker import Worker

Work = Callable[..., Worker]
Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def spool(folder: Path) -> Path:
    (folder / "traffic").mkdir()
    return folder / "traffic"


@pytest.fixture
def write(spool: Path, line: Callable[..., bytes]) -> Callable[..., None]:
    """Finished files of capturing processes: `write(range(9), "web-1")`."""
    written: collections.Counter[str] = collections.Counter()

    def file(numbers: range, process: str = "web-1") -> None:
        (spool / process).mkdir(exist_ok=True)
        lines = b"".join(line(x, x=x) for x in numbers)
        (spool / process / f"{written[process]:020d}.ndjson").write_bytes(lines)
        written[process] += len(numbers)

    return file


def source(spool: Path) -> SpoolSource:
    return SpoolSource(spool, "e")


def pairs(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The requests of each candidate's rows, by its version."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["candidate"]["version"], []).append(row["request_id"])
    return found


def ids(numbers: range) -> list[str]:
    return [f"r{x}" for x in numbers]


def test_each_request_has_a_pair_of_each_candidate_with_the_same_primary(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged
) -> None:
    write(range(300))
    done = work(source(spool), candidates=("thirds", "fifths"), commit_rows=70).run(until_caught_up=True)
    assert (done.pairs, done.requests, done.by_candidate) == (600, 300, {"2": 300, "3": 300})
    assert done.ended == "caught up"
    by_request: dict[str, dict[str, Any]] = {}
    for row in logged():
        assert row["candidate"]["version"] not in by_request.setdefault(row["request_id"], {})
        by_request[row["request_id"]][row["candidate"]["version"]] = row
    for x in range(300):
        two, three = by_request[f"r{x}"]["2"], by_request[f"r{x}"]["3"]
        assert (two["candidate"]["label"], three["candidate"]["label"]) == (
            str(int(x % 3 == 0)),
            str(int(x % 5 == 0)),
        )
        assert two["candidate_digest"] != three["candidate_digest"]
        for column in ("primary", "primary_again", "served", "features", "source", "duplicate"):
            assert two[column] == three[column]
        assert (
            (two["candidate_again"] is None)
            == (three["candidate_again"] is None)
            == (two["primary_again"] is None)
        )


def test_the_primary_is_asked_once_for_all_candidates(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: collections.Counter[str] = collections.Counter()
    answer, clock = HostedModel.answer, HostedModel.time

    def counted(self: HostedModel, table: pa.Table) -> pa.StructArray:
        asked[self.version] += table.num_rows
        return answer(self, table)

    def timed(self: HostedModel, table: pa.Table) -> pa.StructArray:
        asked[f"{self.version} timed"] += 1
        return clock(self, table)

    monkeypatch.setattr(HostedModel, "answer", counted)
    monkeypatch.setattr(HostedModel, "time", timed)
    write(range(400))
    worker = work(source(spool), candidates=("thirds", "fifths"), latency_min=30)
    done = worker.run(until_caught_up=True)
    rows = [row for row in logged() if row["candidate"]["version"] == "2"]
    noise = sum(row["primary_again"] is not None for row in rows)
    unseen = sum(row["primary"] is not None for row in rows) - noise - done.timed
    assert (unseen, done.timed) == (400 - noise - 30, 30)  # nothing was served, so the primary stands in
    checks = 5
    assert asked["1"] == 2 * noise + unseen + checks
    assert asked["2"] == asked["3"] == 400 - 30 + noise + checks
    assert asked["1 timed"] == asked["2 timed"] == asked["3 timed"] == 30


@pytest.mark.parametrize("commit_rows", [30, 1000])
def test_a_candidate_that_is_added_catches_up_and_nothing_is_doubled_or_lost(
    spool: Path,
    write: Callable[..., None],
    work: Work,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    commit_rows: int,
) -> None:
    """Reads are cut where no position is, so that what is offered to whom is told by each row."""
    monkeypatch.setattr("gnomon_replay.spool_source.READ_BYTES", 1700)
    monkeypatch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
    write(range(130))
    write(range(1000, 1090), "web-2")
    work(source(spool), commit_rows=47).run(until_caught_up=True)
    work(source(spool), candidates=("fifths",), window=Window(limit=33)).run(until_caught_up=True)
    write(range(130, 200))
    done = work(source(spool), candidates=("thirds", "fifths"), commit_rows=commit_rows).run(
        until_caught_up=True
    )
    everything = ids(range(200)) + ids(range(1000, 1090))
    assert {version: sorted(rows) for version, rows in pairs(logged()).items()} == {
        "2": sorted(everything),
        "3": sorted(everything),
    }
    assert not any(row["duplicate"] for row in logged())
    assert done.by_candidate == {"2": 70, "3": 290 - 33}
    again = work(source(spool), candidates=("fifths", "thirds")).run(until_caught_up=True)
    assert (again.pairs, again.commits) == (0, 0)


def test_duplicates_are_told_alike_for_one_that_catches_up(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged
) -> None:
    write(range(50))
    write(range(10, 20))
    work(source(spool)).run(until_caught_up=True)
    write(range(5))
    work(source(spool), candidates=("thirds", "fifths"), commit_rows=13).run(until_caught_up=True)
    flags: dict[str, list[bool]] = {}
    for row in logged():
        flags.setdefault(row["candidate"]["version"], []).append(row["duplicate"])
    assert flags["2"] == flags["3"] == [False] * 50 + [True] * 15


@pytest.mark.parametrize("seed", range(3))
def test_a_commit_that_fails_at_any_step_is_made_good_by_the_next_run(
    spool: Path,
    write: Callable[..., None],
    work: Work,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Half way: dead letters written, the pairs' files there, but no version of the table; or just after it."""
    chance = random.Random(seed)
    write(range(100))
    (spool / "web-1" / f"{100:020d}.ndjson").write_bytes(b"torn\n")
    work(source(spool), commit_rows=10).run(until_caught_up=True)
    write_deltalake = log_module.write_deltalake

    def failing(target: Any, *args: Any, **options: Any) -> None:
        step = chance.randrange(4)
        if step == 0:
            raise OSError(28, "No space left on device")
        write_deltalake(target, *args, **options)
        if step == 1:
            raise OSError(5, "Input/output error")

    runs = 0
    while runs < 60:
        runs += 1
        with monkeypatch.context() as patch:
            patch.setattr(log_module, "write_deltalake", failing)
            patch.setattr("gnomon_replay.spool_source.READ_BYTES", 1700)
            patch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
            try:
                work(source(spool), candidates=("thirds", "fifths"), commit_rows=20).run(until_caught_up=True)
                break
            except Exception as exc:  # noqa: BLE001
                assert "disk is full" in str(exc) or "Input/output" in str(exc)
    assert 1 < runs < 60
    assert pairs(logged()) == {"2": ids(range(100)), "3": ids(range(100))}
    assert {row["source"]["offset"] for row in logged("dead_letters")} == {100}


def test_one_that_fails_on_everything_is_given_up_and_the_others_go_on(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged
) -> None:
    write(range(60))
    done = work(source(spool), candidates=("refusing", "thirds", "fifths"), commit_rows=25).run(
        until_caught_up=True
    )
    assert pairs(logged()) == {"2": ids(range(60)), "3": ids(range(60))}
    assert list(done.failed) == ["4"]
    assert "failed on all of 5 requests" in done.failed["4"]
    assert "not today" in done.failed["4"]


def test_the_only_candidate_that_is_left_is_not_given_up(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged
) -> None:
    write(range(60))
    with pytest.raises(ModelError, match="model 4: failed on all of 5 requests"):
        work(source(spool), candidates=("refusing",)).run(until_caught_up=True)
    assert logged() == []


def test_a_host_that_cannot_be_started_again_gives_its_candidate_up(
    spool: Path, write: Callable[..., None], work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(range(100))
    answer = HostedModel.answer
    calls = iter(range(100))

    def failing(self: HostedModel, table: pa.Table) -> pa.StructArray:
        if self.version == "3" and next(calls) == 4:
            raise ModelError("3", "its file is gone")
        return answer(self, table)

    monkeypatch.setattr(HostedModel, "answer", failing)
    monkeypatch.setattr("gnomon_replay.spool_source.READ_BYTES", 1700)
    monkeypatch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
    done = work(source(spool), candidates=("thirds", "fifths"), commit_rows=20).run(until_caught_up=True)
    found = pairs(logged())
    assert found["2"] == ids(range(100))
    assert found["3"] == ids(range(len(found["3"])))
    assert 0 < len(found["3"]) < 100
    assert done.failed == {"3": "model 3: its file is gone"}
    monkeypatch.undo()
    work(source(spool), candidates=("thirds", "fifths")).run(until_caught_up=True)
    assert pairs(logged())["3"] == ids(range(100))


def test_a_log_keeps_a_position_for_each_candidate(
    spool: Path, write: Callable[..., None], work: Work, folder: Path
) -> None:
    write(range(40))
    worker = work(source(spool), candidates=("thirds", "fifths"))
    worker.run(until_caught_up=True)
    positions = PairLog(folder / "e").positions(f"spool:e/web-1/{digest}" for digest in worker._digests)
    assert list(positions.values()) == [40, 40]
