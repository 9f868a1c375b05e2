"""Windows, limits and bounds: where a run begins and ends, and that the next one goes on from there."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gnomon_capture.errors import TrafficError
from gnomon_replay.cutting import cut
from gnomon_replay.ending import Budget, cpu_s
from gnomon_replay.log import PairLog
from gnomon_replay.progress import Progress
from gnomon_replay.settings import Stop
from gnomon_replay.spool_source import SpoolSource
from gnomon_replay.standing import BEGAN
from gnomon_replay.window import Window
from gnomon_replay.worker import Worker

Work = Callable[..., Worker]
Logged = Callable[..., list[dict[str, Any]]]
LEDGER = b'{"ledger":1,"process":"web-1","ts":"2030-01-01T00:00:00Z","upto_seq":-1,"seen":0,"mirrored":0,"not_selected":0}\n'


def at(minute: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC) + datetime.timedelta(minutes=minute)


@pytest.fixture
def spool(folder: Path, line: Callable[..., bytes]) -> Path:
    """A request a minute in each of two processes, web-2's half a minute later; a ledger of another time."""
    for process, late in (("web-1", 0), ("web-2", 30)):
        (folder / "traffic" / process).mkdir(parents=True)
        lines = [
            line(
                x + 10 * late,
                x=x,
                with_={"ts": (at(x) + datetime.timedelta(seconds=late)).isoformat()},
            )
            for x in range(60)
        ]
        lines.insert(20, LEDGER)
        (folder / "traffic" / process / f"{0:020d}.ndjson").write_bytes(b"".join(lines))
    return folder / "traffic"


def run(work: Work, spool: Path, window: Window, **settings: Any) -> Progress:
    return work(SpoolSource(spool, "e"), window=window, **settings).run(until_caught_up=True)


def minutes(rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"web-1": [], "web-2": []}
    for row in rows:
        found[row["source"]["partition"]].append(int(row["features"]["x"]))
    return found


@pytest.mark.parametrize("commit_rows", [7, 1000])
def test_a_window_has_what_lies_in_it_and_the_next_run_goes_on_behind(
    work: Work, spool: Path, logged: Logged, commit_rows: int
) -> None:
    window = Window(begin=at(10), end=at(40))
    done = run(work, spool, window, commit_rows=commit_rows)
    assert minutes(logged()) == {"web-1": list(range(10, 40)), "web-2": list(range(10, 40))}
    assert (done.pairs, done.lag, done.ended) == (60, 0, "caught up")
    assert run(work, spool, window).pairs == 0
    done = run(work, spool, Window(begin=at(10)))
    assert minutes(logged()) == {"web-1": list(range(10, 60)), "web-2": list(range(10, 60))}
    assert done.pairs == 40


def test_where_a_window_began_stands_in_the_log(work: Work, spool: Path, folder: Path) -> None:
    worker = work(SpoolSource(spool, "e"), window=Window(begin=at(30)))
    worker.run(until_caught_up=True)
    [digest] = worker._digests
    ids = [f"spool:e/{process}/{digest}{end}" for process in ("web-1", "web-2") for end in ("", BEGAN)]
    assert list(PairLog(folder / "e").positions(ids).values()) == [61, 31, 61, 31]


def test_a_run_without_a_window_marks_no_begin(work: Work, spool: Path, folder: Path) -> None:
    worker = work(SpoolSource(spool, "e"), window=Window(begin=at(-10)))
    worker.run(until_caught_up=True)
    [digest] = worker._digests
    place = f"spool:e/web-1/{digest}"
    assert list(PairLog(folder / "e").positions([place, place + BEGAN]).values()) == [61, None]


def test_a_window_behind_what_was_read_would_leave_a_gap_and_is_refused(
    work: Work, spool: Path, logged: Logged
) -> None:
    run(work, spool, Window(end=at(10)))
    with pytest.raises(TrafficError, match="was read up to 10, and the window begins at 21") as caught:
        run(work, spool, Window(begin=at(20)))
    assert "Go on without --from" in str(caught.value)
    assert minutes(logged())["web-1"] == list(range(10))


def test_a_window_that_begins_before_the_position_goes_on_from_it(
    work: Work, spool: Path, logged: Logged
) -> None:
    run(work, spool, Window(end=at(30)))
    run(work, spool, Window(begin=at(10), end=at(50)))
    assert minutes(logged()) == {"web-1": list(range(50)), "web-2": list(range(50))}


def test_a_window_with_nothing_in_it_ends_at_once(work: Work, spool: Path, folder: Path) -> None:
    done = run(work, spool, Window(begin=at(600), end=at(700)))
    assert (done.pairs, done.commits, done.ended) == (0, 0, "caught up")
    assert not (folder / "e").exists()


@pytest.mark.parametrize("commit_rows", [7, 1000])
@pytest.mark.parametrize("candidates", [("thirds",), ("thirds", "fifths")])
def test_a_limit_is_a_number_of_requests_and_the_next_run_goes_on_behind_them(
    work: Work, spool: Path, logged: Logged, commit_rows: int, candidates: tuple[str, ...]
) -> None:
    settings: dict[str, Any] = {"commit_rows": commit_rows, "candidates": candidates}
    for limit, total in ((1, 1), (25, 26), (50, 76)):
        done = run(work, spool, Window(limit=limit), **settings)
        assert (done.requests, done.pairs, done.ended) == (limit, limit * len(candidates), "limit")
        found = minutes(logged())
        assert sum(map(len, found.values())) == total * len(candidates)
        for read in found.values():
            assert sorted(set(read)) == list(range(len(set(read))))  # no gap behind which reading goes on
    done = run(work, spool, Window(limit=1000), **settings)
    assert (done.requests, done.ended) == (44, "caught up")
    each = sorted([*range(60)] * len(candidates))
    assert minutes(logged()) == {"web-1": each, "web-2": each}


def requests(*rows: tuple[str, int]) -> pa.Table:
    source = [{"name": "kafka:c:t", "partition": part, "offset": offset} for part, offset in rows]
    return pa.table(
        {
            "source": pa.array(
                source, pa.struct([("name", pa.string()), ("partition", pa.string()), ("offset", pa.int64())])
            )
        }
    )


def test_a_cut_never_goes_through_a_message() -> None:
    rows = requests(("0", 3), ("0", 3), ("0", 3), ("0", 7), ("1", 2), ("1", 2))
    began, reached = (
        {"kafka:c:t/0": 1, "kafka:c:t/1": 0, "kafka:c:t/2": 5},
        {"kafka:c:t/0": 9, "kafka:c:t/1": 3, "kafka:c:t/2": 6},
    )
    for room in (1, 2, 3):
        found = cut(rows, began, reached, ends={}, room=room)
        assert (found.requests.num_rows, found.reached) == (3, {"kafka:c:t/0": 7, "kafka:c:t/1": 2})
    found = cut(rows, began, reached, ends={}, room=4)
    assert (found.requests.num_rows, found.reached) == (4, {"kafka:c:t/0": 9, "kafka:c:t/1": 2})
    found = cut(rows, began, reached, ends={}, room=5)
    assert (found.requests.num_rows, found.reached) == (6, {"kafka:c:t/0": 9, "kafka:c:t/1": 3})
    for room in (6, None):
        found = cut(rows, began, reached, ends={}, room=room)
        assert (found.requests.num_rows, found.reached) == (6, reached)


def test_a_cut_ends_where_the_window_does() -> None:
    rows = requests(("0", 3), ("0", 7), ("1", 2))
    began, reached = {"kafka:c:t/0": 1, "kafka:c:t/1": 2}, {"kafka:c:t/0": 9, "kafka:c:t/1": 3}
    found = cut(rows, began, reached, ends={"kafka:c:t/0": 5, "kafka:c:t/1": 2}, room=None)
    assert (found.requests.num_rows, found.reached) == (1, {"kafka:c:t/0": 5})


def test_a_run_stops_after_so_many_pairs(work: Work, spool: Path, logged: Logged) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnomon_replay.spool_source.READ_BYTES", 1000)
        patch.setattr("gnomon_capture.spool.MAX_RECORD_BYTES", 0)
        done = run(work, spool, Window(), stop=Stop(pairs=30), commit_rows=10)
        assert done.ended == "pairs"
        assert 30 <= done.pairs < 60
        assert run(work, spool, Window(), commit_rows=10).pairs == 120 - done.pairs


@pytest.mark.parametrize(("stop", "name"), [({"hours": 1e-9}, "hours"), ({"cpu_hours": 1e-9}, "cpu_hours")])
def test_a_run_that_follows_stops_when_its_time_is_spent(
    work: Work, spool: Path, logged: Logged, stop: dict[str, float], name: str
) -> None:
    worker = work(SpoolSource(spool, "e"), stop=Stop(**stop))
    assert worker.run(until_caught_up=False).ended == name


def test_bounds_that_are_not_reached_do_not_bind() -> None:
    budget = Budget(Stop(pairs=100, hours=1, cpu_hours=1))
    assert budget.spent(Progress(pairs=99)) == ""
    assert budget.spent(Progress(pairs=100)) == "pairs"


def test_cpu_time_takes_in_the_models_processes(work: Work, spool: Path) -> None:
    before = cpu_s()
    run(work, spool, Window())
    assert cpu_s() > before
