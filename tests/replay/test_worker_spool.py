"""A worker on a spool: what was sent is in the log, once each, whenever it is stopped and started."""

from __future__ import annotations

import collections
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import Mirror
from gnomon_capture.errors import SettingsError, TrafficError
from gnomon_replay import commit_size
from gnomon_replay.pairs import SCHEMA_VERSION
from gnomon_replay.spool_source import SpoolSource
from gnomon_replay.worker import Progress, Worker

Work = Callable[..., Worker]
Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def spool(folder: Path) -> Path:
    (folder / "traffic").mkdir()
    return folder / "traffic"


@pytest.fixture
def source(spool: Path) -> Iterator[SpoolSource]:
    source = SpoolSource(spool, "e")
    yield source
    source.close()


def mirrored(spool: Path, numbers: range, process: str) -> None:
    with Mirror(f"spool:{spool}", process=process, require=True) as mirror:
        for x in numbers:
            mirror.record(
                {"x": x}, served={"label": x % 2, "score": 0.5}, request_id=f"r{x}", key=f"k{x % 9}"
            )


def closed(spool: Path, process: str, first_line: int, lines: list[bytes]) -> None:
    """A finished file of a capturing process, as the spool's contract has it."""
    (spool / process).mkdir(exist_ok=True)
    (spool / process / f"{first_line:020d}.ndjson").write_bytes(b"".join(lines))


def run(worker: Worker) -> Progress:
    return worker.run(until_caught_up=True)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["request_id"] for row in rows]


def following(worker: Worker) -> tuple[threading.Thread, list[BaseException]]:
    failures: list[BaseException] = []

    def follow() -> None:
        try:
            worker.run(until_caught_up=False)
        except BaseException as exc:  # noqa: BLE001 - shown by the test
            failures.append(exc)

    thread = threading.Thread(target=follow)
    thread.start()
    return thread, failures


def wait_for(claim: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_every_request_of_two_processes_has_its_pair(
    spool: Path, source: SpoolSource, work: Work, logged: Logged
) -> None:
    mirrored(spool, range(700), "web-1")
    mirrored(spool, range(700, 1200), "web-2")
    done = run(work(source))
    rows = logged()
    assert ids(rows) == [f"r{x}" for x in range(1200)]
    for x, row in enumerate(rows):
        assert row["features"] == {"x": float(x)}
        assert row["candidate"]["label"] == str(int(x % 3 == 0))
        assert (row["served"]["label"], row["key"]) == (str(x % 2), f"k{x % 9}")
        assert (row["duplicate"], row["schema_version"]) == (False, SCHEMA_VERSION)
        assert row["source"]["name"] == "spool:e"
        assert row["source"]["partition"] == row["origin"]["process"] == ("web-1" if x < 700 else "web-2")
        assert row["origin"]["seq"] == (x if x < 700 else x - 700)
        assert row["day"] == row["ts"].date()
        assert row["threads"] == 1
        noise = row["primary_again"] is not None
        assert (row["noise_frac"], row["primary"] is not None, row["candidate_again"] is not None) == (
            0.1,
            noise,
            noise,
        )
    assert (done.pairs, done.errors, done.duplicates, done.dead_letters) == (1200, 0, 0, 0)
    assert (done.lag, done.done, done.timed) == (0, done.todo, 0)
    last = {row["process"]: row for row in logged("ledger")}
    assert {name: (row["mirrored"], row["closed"]) for name, row in last.items()} == {
        "web-1": (700, True),
        "web-2": (500, True),
    }


def test_a_second_run_finds_nothing_and_a_third_what_came_since(
    spool: Path, work: Work, logged: Logged
) -> None:
    mirrored(spool, range(50), "web-1")
    assert run(work(SpoolSource(spool, "e"))).pairs == 50
    again = run(work(SpoolSource(spool, "e")))
    assert (again.pairs, again.commits, again.todo) == (0, 0, 0)
    mirrored(spool, range(50, 80), "web-2")
    assert run(work(SpoolSource(spool, "e"))).pairs == 30
    assert ids(logged()) == [f"r{x}" for x in range(80)]


def test_an_empty_spool_ends_at_once_and_makes_no_log(folder: Path, source: SpoolSource, work: Work) -> None:
    assert run(work(source)).pairs == 0
    assert not (folder / "e").exists()


def test_malformed_lines_among_good_ones_are_dead_letters(
    spool: Path, source: SpoolSource, work: Work, logged: Logged, line: Callable[..., bytes]
) -> None:
    bad = {3: b'{"torn\n', 40: b"\xff\xfe\n", 41: b"[1]\n", 99: line(99).replace(b'"ts"', b'"tz"')}
    closed(spool, "web-1", 0, [bad.get(x, line(x, x=x)) for x in range(100)])
    done = run(work(source))
    assert ids(logged()) == [f"r{x}" for x in range(100) if x not in bad]
    letters = logged("dead_letters")
    assert {row["source"]["offset"]: row["bytes"] + b"\n" for row in letters} == bad
    assert [row["reason"] for row in letters] == ["malformed"] * 3 + ["missing_field"]
    assert (done.pairs, done.dead_letters) == (96, 4)


def test_lines_that_hold_no_request_at_all_are_passed_for_good(
    spool: Path, work: Work, logged: Logged
) -> None:
    closed(spool, "web-1", 0, [b"torn\n", b"\n", b"{}\n"])
    run(work(SpoolSource(spool, "e")))
    again = run(work(SpoolSource(spool, "e")))
    assert (again.commits, len(logged("dead_letters")), logged()) == (0, 2, [])


def test_a_request_that_came_before_is_marked_wherever_that_was(
    spool: Path, work: Work, logged: Logged, line: Callable[..., bytes]
) -> None:
    def numbers(*given: int) -> list[bytes]:
        return [line(x, x=x) for x in given]

    first = [*range(20), 5, 5]
    closed(spool, "web-1", 0, numbers(*first))
    run(work(SpoolSource(spool, "e")))
    second = [20, 3, *range(21, 40), 20]
    closed(spool, "web-1", len(first), numbers(*second))
    closed(spool, "web-2", 0, numbers(0, 1))  # another partition's ids are its own
    done = run(work(SpoolSource(spool, "e"), commit_rows=10))
    marked = [(row["source"]["partition"], row["source"]["offset"]) for row in logged() if row["duplicate"]]
    assert marked == [("web-1", 20), ("web-1", 21), ("web-1", 23), ("web-1", len(first) + len(second) - 1)]
    assert done.duplicates == 2
    assert len(logged()) == len(first) + len(second) + 2


def test_ids_beyond_the_last_so_many_are_forgotten(
    spool: Path,
    source: SpoolSource,
    work: Work,
    logged: Logged,
    line: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gnomon_replay.spool_source.READ_BYTES", 100)  # a line is a read, and a commit
    monkeypatch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
    closed(spool, "web-1", 0, [line(x, x=0.0) for x in (1, 2, 3, 1, 3)])
    run(work(source, dedupe_ids=2, commit_rows=1))
    assert [row["duplicate"] for row in logged()] == [False, False, False, False, True]


def test_stop_commits_what_was_read(spool: Path, source: SpoolSource, work: Work, logged: Logged) -> None:
    mirrored(spool, range(60), "web-1")
    worker = work(source, commit_s=3600.0)
    thread, failures = following(worker)
    wait_for(lambda: worker._waiting.lines > 0)
    worker.stop()
    thread.join(30)
    assert (failures, thread.is_alive()) == ([], False)
    assert ids(logged()) == [f"r{x}" for x in range(60)]


def test_a_worker_that_follows_commits_in_time_and_finds_new_processes(
    spool: Path, source: SpoolSource, work: Work, logged: Logged
) -> None:
    worker = work(source, commit_s=0.2)
    thread, failures = following(worker)
    try:
        mirrored(spool, range(30), "web-1")
        wait_for(lambda: len(logged()) == 30 or bool(failures))
        mirrored(spool, range(30, 70), "web-2")
        wait_for(lambda: len(logged()) == 70 or bool(failures))
    finally:
        worker.stop()
        thread.join(30)
    assert failures == []
    assert ids(logged()) == [f"r{x}" for x in range(70)]


def test_few_large_records_are_a_commit_too(
    spool: Path,
    source: SpoolSource,
    work: Work,
    logged: Logged,
    line: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gnomon_replay.spool_source.READ_BYTES", 10_000)
    monkeypatch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 10_000)
    monkeypatch.setattr(commit_size, "COMMIT_BYTES", 30_000)
    closed(spool, "web-1", 0, [line(x, x=x, text="t" * 1000) for x in range(100)])
    done = run(work(source))
    assert done.pairs == 100
    assert 3 <= done.commits <= 4


def test_a_run_that_ends_by_itself_times_what_it_owes_and_one_that_is_stopped_does_not(
    spool: Path, work: Work, logged: Logged
) -> None:
    mirrored(spool, range(300), "web-1")
    done = run(work(SpoolSource(spool, "e"), latency_min=40, commit_rows=100))
    timed = [row for row in logged() if row["candidate"]["latency_us"]]
    assert len(timed) == done.timed >= 40
    assert all(row["primary"]["latency_us"] and row["primary_again"] is None for row in timed)
    mirrored(spool, range(300, 400), "web-2")
    stopped = work(SpoolSource(spool, "e"), latency_min=1000)
    stopped.stop()
    done = run(stopped)
    assert (done.pairs, done.timed) == (100, 0)


def test_a_time_before_1970_has_its_own_day(
    spool: Path, source: SpoolSource, work: Work, logged: Logged, line: Callable[..., bytes]
) -> None:
    times = ["1969-12-31T23:59:59.999999Z", "1970-01-01T00:30:00+01:00", "0001-01-01", "9999-12-31T23:59:59Z"]
    closed(spool, "web-1", 0, [line(x, x=x, with_={"ts": each}) for x, each in enumerate(times)])
    run(work(source))
    assert [str(row["day"]) for row in logged()] == ["1969-12-31", "1969-12-31", "0001-01-01", "9999-12-31"]


def test_a_feature_keeps_the_type_that_it_has_in_the_log(
    spool: Path, work: Work, logged: Logged, line: Callable[..., bytes]
) -> None:
    closed(spool, "web-1", 0, [line(0, x=0, code="a")])
    run(work(SpoolSource(spool, "e")))
    with pytest.raises(SettingsError, match=r"\[features.code\] it is string in the log") as caught:
        work(SpoolSource(spool, "e"), declared={"code": "int64"})
    assert caught.value.path == "features.code"
    closed(spool, "web-1", 1, [line(1, x=1, code=7), line(2, x=2, code="b", new=1)])
    run(work(SpoolSource(spool, "e"), declared={"code": "string", "new": "int64"}))
    assert [row["features"] for row in logged()] == [
        {"x": 0.0, "code": "a", "new": None},
        {"x": 2.0, "code": "b", "new": 1},
    ]
    [letter] = logged("dead_letters")
    assert (letter["reason"], letter["request_id"]) == ("feature_type", "r1")


def test_a_spool_that_was_made_anew_is_not_passed_over_in_silence(
    spool: Path, work: Work, line: Callable[..., bytes]
) -> None:
    closed(spool, "web-1", 0, [line(x, x=x) for x in range(9)])
    run(work(SpoolSource(spool, "e")))
    shutil.rmtree(spool / "web-1")
    closed(spool, "web-1", 0, [line(x, x=x) for x in range(3)])
    with pytest.raises(TrafficError, match="experiment of its own"):
        run(work(SpoolSource(spool, "e")))


def test_many_processes_are_read_in_turn_and_not_all_at_once(
    spool: Path, source: SpoolSource, line: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnomon_replay.spool_source.READ_BYTES", 4000)
    monkeypatch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
    for part in range(20):
        closed(spool, f"web-{part:02d}", 0, [line(x, x=x) for x in range(100)])

    class Keeper:
        def given(self, places: list[str]) -> None:
            source.rewind(dict.fromkeys(places))

        def taken(self, places: list[str]) -> None:
            raise AssertionError

        def lost(self, places: list[str]) -> None:
            raise AssertionError

    source.start(Keeper())
    lines: collections.Counter[str] = collections.Counter()
    for read in range(400):
        frames = source.read(0.0)
        if not frames:
            break
        assert sum(len(frame.data) for frame in frames) < 8000
        for frame in frames:
            assert frame.offset == lines[frame.partition]
            lines[frame.partition] += frame.next_position - frame.offset
        if read == 30:
            assert len(lines) == 20
    assert lines == {f"web-{part:02d}": 100 for part in range(20)}
