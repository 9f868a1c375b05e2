"""Parquet files and an earlier log as traffic: the same requests, once each, from any position."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from gnomon_capture.errors import TrafficError, UsageError
from gnomon_replay.pairs_source import PairsSource
from gnomon_replay.parquet_source import ParquetSource
from gnomon_replay.settings import Traffic
from gnomon_replay.sources import open_source, shares
from gnomon_replay.spool_source import SpoolSource
from gnomon_replay.traffic import Source
from gnomon_replay.window import Window
from gnomon_replay.worker import Worker

Work = Callable[..., Worker]
Logged = Callable[..., list[dict[str, Any]]]
START = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC)


def rows(numbers: range, **columns: Any) -> pa.Table:
    table = {
        "request_id": [f"r{x}" for x in numbers],
        "ts": [START + datetime.timedelta(minutes=x) for x in numbers],
        "features": [{"x": x, "word": f"w{x}"} for x in numbers],
        "served": [{"version": "1", "label": x % 2, "score": 0.25} for x in numbers],
        "key": [f"k{x % 7}" for x in numbers],
        "weight": [2.0] * len(numbers),
        "ours": [0] * len(numbers),
    }
    return pa.table(table | {name: pa.array(values) for name, values in columns.items()})


def run(worker: Worker) -> Any:
    return worker.run(until_caught_up=True)


@pytest.fixture
def files(folder: Path) -> Path:
    (folder / "requests").mkdir()
    pq.write_table(rows(range(50)), folder / "requests" / "day-1.parquet", row_group_size=13)
    pq.write_table(rows(range(50, 80)), folder / "requests" / "day-2.parquet", row_group_size=13)
    return folder / "requests"


def parquet(folder: Path) -> ParquetSource:
    return ParquetSource(folder, "requests/*.parquet", "e")


@pytest.mark.parametrize("commit_rows", [7, 1000])
def test_rows_of_files_are_replayed_in_order_of_name(
    folder: Path, files: Path, work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch, commit_rows: int
) -> None:
    monkeypatch.setattr("gnomon_replay.parquet_source.READ_ROWS", 11)
    assert run(work(parquet(folder), commit_rows=commit_rows)).pairs == 80
    found = logged()
    assert [(row["request_id"], row["source"]["offset"]) for row in found] == [
        (f"r{x}", x) for x in range(80)
    ]
    for x, row in enumerate(found):
        assert row["ts"] == START + datetime.timedelta(minutes=x)
        assert row["features"] == {"x": float(x), "word": f"w{x}"}
        assert (row["served"]["label"], row["served"]["score"], row["key"]) == (str(x % 2), 0.25, f"k{x % 7}")
        assert (row["weight"], row["origin"], row["source"]["name"]) == (2.0, None, "parquet:e")
        assert row["candidate"]["label"] == str(int(x % 3 == 0))
    pq.write_table(rows(range(80, 90)), files / "day-3.parquet")
    done = run(work(parquet(folder)))
    assert (done.pairs, done.lag) == (10, 0)
    assert [row["request_id"] for row in logged()] == [f"r{x}" for x in range(90)]


def test_a_limit_and_a_window_are_row_numbers(
    folder: Path, files: Path, work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnomon_replay.parquet_source.READ_ROWS", 11)
    window = {"begin": START + datetime.timedelta(minutes=20), "end": START + datetime.timedelta(minutes=60)}
    run(work(parquet(folder), window=Window(**window, limit=5)))
    assert [row["source"]["offset"] for row in logged()] == list(range(20, 25))
    run(work(parquet(folder), window=Window(**window)))
    assert [row["source"]["offset"] for row in logged()] == list(range(20, 60))


def test_what_a_foreign_file_may_hold(folder: Path, work: Work, logged: Logged) -> None:
    """Times as text or naive, payloads as JSON text, nulls, NaN, large integers, and rows that are no records."""
    table = pa.table(
        {
            "request_id": ["a", "b", None, "d"],
            "ts": ["2026-11-24T08:00:00Z", "2026-11-24T09:00:00+01:00", "2026-11-24T08:00:00Z", "yesterday"],
            "features": pa.array(
                [{"x": 1.0, "big": 2**60 + 1}, {"x": float("nan"), "big": None}, {"x": 3.0}, {"x": 4.0}],
                pa.struct([("x", pa.float64()), ("big", pa.int64())]),
            ),
            "attributes": pa.array([[("region", "eu")], None, None, None], pa.map_(pa.string(), pa.string())),
            "payload": ['{"deep": [1, 2]}', None, None, None],
        }
    )
    pq.write_table(table, folder / "foreign.parquet")
    run(work(ParquetSource(folder, "foreign.parquet", "e"), declared={"big": "int64"}))
    first, second = logged()
    assert first["features"]["big"] == 2**60 + 1
    assert (first["attributes"], json.loads(first["payload"])) == ({"region": "eu"}, {"deep": [1, 2]})
    assert first["ts"] == second["ts"] == START
    assert second["features"]["x"] != second["features"]["x"]
    assert [(row["source"]["offset"], row["reason"]) for row in logged("dead_letters")] == [
        (2, "missing_field"),
        (3, "wrong_type"),
    ]


def test_files_that_are_not_there_or_no_records_are_named(folder: Path, files: Path) -> None:
    with pytest.raises(TrafficError, match=r"there is no file .*other.*correct \[traffic\] from"):
        ParquetSource(folder, "other/*.parquet", "e")
    (files / "day-3.parquet").write_bytes(b"PAR0")
    with pytest.raises(TrafficError, match="are all of these Parquet files"):
        parquet(folder).ends()
    pq.write_table(pa.table({"x": [1]}), files / "day-3.parquet")
    with pytest.raises(UsageError, match="has no column request_id, ts; records are rows"):
        parquet(folder).ends()


def test_a_file_that_sorts_before_one_that_was_there_is_refused(folder: Path, files: Path) -> None:
    source = parquet(folder)
    source.ends()
    pq.write_table(rows(range(3)), files / "day-0.parquet")
    with pytest.raises(UsageError, match=r"day-0.parquet sorts before day-2.parquet"):
        source.ends()


# ---- an earlier log ----


@pytest.fixture
def earlier(folder: Path, work: Work, line: Callable[..., bytes]) -> Path:
    """A log of two candidates over two processes, with a duplicate and a line that is no record."""
    (folder / "traffic" / "web-1").mkdir(parents=True)
    (folder / "traffic" / "web-2").mkdir(parents=True)

    def record(x: int) -> bytes:
        ts = (START + datetime.timedelta(minutes=x % 100)).isoformat()
        served = {"version": "1", "label": x % 2, "score": 0.25, "error": "it broke" if x % 10 == 9 else None}
        more = {
            "ts": ts,
            "served": served,
            "key": f"k{x}",
            "weight": 4.0,
            "origin": {"process": "web-1", "seq": x},
        }
        return line(x, x=x, with_=more)

    lines = [record(x) for x in range(40)]
    lines[7:7] = [b"torn\n", record(3)]
    (folder / "traffic" / "web-1" / f"{0:020d}.ndjson").write_bytes(b"".join(lines))
    (folder / "traffic" / "web-2" / f"{0:020d}.ndjson").write_bytes(
        b"".join(record(x) for x in range(100, 130))
    )
    run(work(SpoolSource(folder / "traffic", "e"), candidates=("thirds", "fifths"), commit_rows=13))
    (folder / "e").rename(folder / "last-week")
    return folder / "last-week"


@pytest.mark.parametrize("commit_rows", [7, 1000])
def test_each_request_of_an_earlier_log_comes_once_as_it_was(
    earlier: Path, work: Work, logged: Logged, monkeypatch: pytest.MonkeyPatch, commit_rows: int
) -> None:
    monkeypatch.setattr("gnomon_replay.pairs_source.READ_ROWS", 9)
    done = run(work(PairsSource(earlier), candidates=("fifths",), commit_rows=commit_rows))
    assert (done.pairs, done.duplicates, done.dead_letters, done.lag) == (70, 0, 0, 0)
    old = DeltaTable(str(earlier / "pairs")).to_pyarrow_table().to_pylist()
    before = {row["request_id"]: row for row in old if not row["duplicate"]}
    assert len(logged()) == len(before) == 70
    for row in logged():
        was = before[row["request_id"]]
        for name in ("ts", "service", "key", "attributes", "weight", "features", "payload", "served"):
            assert row.get(name) == was.get(name), name
        assert row["origin"] is None
        assert row["source"]["name"] == "pairs:last-week:spool:e"
        assert row["source"]["partition"] == was["source"]["partition"]
        assert row["source"]["offset"] == was["source"]["offset"]
        assert row["candidate"]["label"] == str(int(row["features"]["x"] % 5 == 0))
    assert run(work(PairsSource(earlier), candidates=("fifths",))).pairs == 0


def test_an_earlier_log_may_grow_and_be_compacted(
    earlier: Path, folder: Path, work: Work, logged: Logged, line: Callable[..., bytes]
) -> None:
    source = PairsSource(earlier)
    run(work(source, window=Window(limit=25)))
    (folder / "traffic" / "web-1" / f"{42:020d}.ndjson").write_bytes(line(999, x=999))
    earlier.rename(folder / "e2")
    (folder / "e").rename(folder / "kept")
    (folder / "e2").rename(folder / "e")
    run(work(SpoolSource(folder / "traffic", "e")))
    DeltaTable(str(folder / "e" / "pairs")).optimize.compact()
    (folder / "e").rename(earlier)
    (folder / "kept").rename(folder / "e")
    assert run(work(PairsSource(earlier))).pairs == 71 - 25
    found = [row["request_id"] for row in logged()]
    assert sorted(found) == sorted([f"r{x}" for x in [*range(40), *range(100, 130), 999]])


def test_a_window_of_an_earlier_log_is_by_its_requests_time(
    earlier: Path, work: Work, logged: Logged
) -> None:
    begin, end = START + datetime.timedelta(minutes=10), START + datetime.timedelta(minutes=20)
    run(work(PairsSource(earlier), window=Window(begin=begin, end=end)))
    assert sorted(row["features"]["x"] for row in logged()) == [*range(10, 20), *range(110, 120)]


def test_a_log_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(TrafficError, match=r"there is no log at .*nowhere; name the folder of an earlier"):
        PairsSource(folder / "nowhere")


def test_addresses_open_what_they_name(folder: Path, files: Path, earlier: Path) -> None:
    kinds: dict[str, type[Source]] = {
        "parquet:requests/*.parquet": ParquetSource,
        f"parquet:{files}/*.parquet": ParquetSource,
        "pairs:last-week": PairsSource,
        "spool:traffic": SpoolSource,
    }
    for address, kind in kinds.items():
        source = open_source(Traffic(address=address), folder, "e", group=None)
        assert isinstance(source, kind)
        assert sum(source.ends().values()) > 0
        assert not shares(Traffic(address=address))
        source.close()
    assert shares(Traffic(address="kafka://b:9092/t"))
