"""Maintenance: fewer files, the same rows, the same positions, whoever works at the same time."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from gnomon_replay.delta import append
from gnomon_replay.log import Batch, PairLog, app_id
from gnomon_replay.maintenance import Maintained, crowd, maintain, vacuum
from gnomon_replay.pairs import DEAD_LETTERS, LABELS, LEDGER, pairs_schema, struct_of
from gnomon_replay.settings import ReplaySettings

SOURCE = "kafka:c:t"
NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
SCHEMA = pairs_schema(
    struct_of([("x", pa.float64()), ("carrier", pa.string())]), struct_of([("region", pa.string())])
)


def pairs_of(offsets: range, partition: str = "0", days: int = 3) -> pa.Table:
    """A pair for each offset, each tenth later a day earlier; numbered by the process `web`."""
    rows = [
        {
            "request_id": f"{partition}-{offset}",
            "ts": NOON - DAY * (offset // 10 % days),
            "day": (NOON - DAY * (offset // 10 % days)).date(),
            "key": f"k{offset % 7}",
            "attributes": {"region": "eu" if offset % 2 else None},
            "features": {"x": offset / 8, "carrier": None if offset % 5 else "UA"},
            "served": None if offset % 3 else {"label": "1", "scores": [0.25, 0.75]},
            "candidate": {"label": "0", "score": float("nan")},
            "source": {"name": SOURCE, "topic": "t", "partition": partition, "offset": offset, "line": 0},
            "origin": {"process": f"web-{partition}", "seq": offset},
            "candidate_digest": "sha256:a",
            "schema_version": 1,
        }
        for offset in offsets
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def commit(log: PairLog, begin: int, end: int, partition: str = "0", days: int = 3) -> None:
    ledger = [
        {"process": f"web-{partition}", "upto_seq": end - 1, "dropped": [("buffer_full", 2)], "ts": NOON}
    ]
    log.commit(
        Batch(
            pairs_of(range(begin, end), partition, days),
            DEAD_LETTERS.empty_table(),
            pa.Table.from_pylist(ledger, schema=LEDGER),
            {place_id(partition): begin or None},
            {place_id(partition): end},
        )
    )


def opened(folder: Path) -> PairLog:
    return PairLog(folder)


def place_id(partition: str) -> str:
    return app_id(f"{SOURCE}/{partition}", "sha256:a")


def stands(log: PairLog, partition: str = "0") -> int | None:
    [at] = log.positions([place_id(partition)]).values()
    return at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shadow" / "e"


def rows(folder: Path, table: str = "pairs") -> list[str]:
    """Every row of a table as text, in the order of the traffic."""
    found = DeltaTable(str(folder / table)).to_pyarrow_table().to_pylist()
    return sorted(repr(sorted(row.items(), key=lambda item: item[0])) for row in found)


def files(folder: Path, table: str = "pairs") -> int:
    return len(DeltaTable(str(folder / table)).file_uris())


def run(folder: Path, now: datetime.datetime = NOON, **settings: Any) -> Maintained:
    return maintain(folder, ReplaySettings(**settings), now=now)


def test_rows_and_positions_are_what_they_were_and_files_are_one_a_day(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 240, 10):
        commit(log, at, at + 10)
    commit(log, 0, 10, partition="1")
    before = rows(folder), rows(folder, "ledger"), (stands(log, "0"), stands(log, "1"))
    done = run(folder)
    assert (rows(folder), rows(folder, "ledger"), (stands(log, "0"), stands(log, "1"))) == before
    assert before[2] == (240, 10)
    assert (done.files_before, done.files_after) == ({"pairs": 25, "ledger": 25}, {"pairs": 3, "ledger": 1})
    assert crowd(folder) == 0
    commit(log, 240, 250)  # on the handle from before
    assert stands(opened(folder)) == 250
    assert run(folder).files_after["pairs"] == 3
    assert run(folder).files_before["pairs"] == 3
    version = DeltaTable(str(folder / "pairs")).version()
    run(folder)
    assert DeltaTable(str(folder / "pairs")).version() == version  # nothing to do makes no version


def test_rows_of_a_commit_stay_in_order(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 100, 10):
        commit(log, at, at + 10, days=1)
    run(folder)
    [file] = DeltaTable(str(folder / "pairs")).file_uris()
    offsets = pa.parquet.read_table(file).column("source").combine_chunks().field("offset").to_pylist()
    for at in range(0, 100, 10):
        first = offsets.index(at)
        assert offsets[first : first + 10] == list(range(at, at + 10))


def test_a_log_that_is_not_there_is_nothing_to_do(folder: Path) -> None:
    done = run(folder, keep_days=1)
    assert (done.files_before, done.files_deleted, done.rows_expired) == ({}, 0, {})
    assert not folder.exists()


def test_a_reader_keeps_its_files_for_an_hour(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 40, 10):
        commit(log, at, at + 10, days=1)
    old = DeltaTable(str(folder / "pairs")).file_uris()
    assert run(folder).files_deleted == 0
    assert all(Path(name).exists() for name in old)
    assert vacuum(folder / "pairs", readers_h=0) == len(old)
    assert not any(Path(name).exists() for name in old)
    assert len(rows(folder)) == 40
    assert vacuum(folder / "pairs", readers_h=0) == 0


def test_a_killed_workers_file_goes_after_a_day_and_a_living_ones_stays(folder: Path) -> None:
    commit(opened(folder), 0, 10)
    [file, *_] = DeltaTable(str(folder / "pairs")).file_uris()
    orphan, fresh = Path(file).with_name("orphan.parquet"), Path(file).with_name("fresh.parquet")
    for path in (orphan, fresh):
        path.write_bytes(Path(file).read_bytes())
    yesterday = time.time() - 25 * 3600
    os.utime(orphan, (yesterday, yesterday))
    os.utime(file, (yesterday, yesterday))  # old, and in the table
    assert run(folder).files_deleted == 1
    assert (orphan.exists(), fresh.exists(), Path(file).exists()) == (False, True, True)


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_maintenance import commit, opened, stands
folder, upto = Path({folder!r}), int({upto!r})
log = opened(folder)
at = stands(log) or 0
while at < upto:
    commit(log, at, at + 10)
    at += 10
"""
COMPACTOR = """
import sys
from pathlib import Path
from gnomon_replay.maintenance import maintain
from gnomon_replay.settings import ReplaySettings
while True:
    maintain(Path({folder!r}), ReplaySettings())
"""


def versions(folder: Path) -> int:
    return len(list((folder / "pairs" / "_delta_log").glob("*.json")))


def process(code: str, **values: str) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).parent)
    return subprocess.Popen([sys.executable, "-c", code.format(here=here, **values)], stderr=subprocess.PIPE)


def test_writers_and_compactors_that_are_killed_while_a_reader_reads_leave_each_row_once(
    folder: Path,
) -> None:
    commit(opened(folder), 0, 10)
    chance = random.Random(5)
    stop = threading.Event()
    wrong: list[str] = []
    readings = 0

    def read() -> None:
        """Opens snapshots and asks each twice, a while apart, as a report does."""
        nonlocal readings
        while not stop.is_set():
            names = DeltaTable(str(folder / "pairs")).file_uris()
            with duckdb.connect() as connection:
                counts = []
                for _ in range(3):
                    [(count, different)] = connection.execute(
                        "SELECT count(*), count(DISTINCT request_id) FROM read_parquet(?)", [names]
                    ).fetchall()
                    counts.append((count, different))
                    time.sleep(0.05)
            if len(set(counts)) != 1 or counts[0][0] != counts[0][1]:
                wrong.append(str(counts))
            readings += 1

    reader = threading.Thread(target=read)
    reader.start()
    kills = 0
    try:
        for _ in range(3):
            begin = versions(folder)
            pair = [process(WRITER, folder=str(folder), upto="9000"), process(COMPACTOR, folder=str(folder))]
            deadline = time.monotonic() + 60
            while versions(folder) < begin + 20:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 0.2))
            for each in pair:
                assert each.poll() is None, each.communicate()[1].decode()
                each.send_signal(signal.SIGKILL)
                each.communicate()
                kills += 1
    finally:
        stop.set()
        reader.join()
    reached = stands(opened(folder)) or 0
    ids = DeltaTable(str(folder / "pairs")).to_pyarrow_table(columns=["request_id"])["request_id"].to_pylist()
    assert Counter(ids) == Counter(f"0-{offset}" for offset in range(reached))
    assert wrong == []
    assert readings > 3
    assert kills == 6
    before = rows(folder)
    run(folder)
    assert rows(folder) == before
    assert files(folder) == 3


def test_two_maintenances_at_once_lose_nothing(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 300, 10):
        commit(log, at, at + 10)
    before = rows(folder)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(folder)
        except BaseException as exc:  # noqa: BLE001 - shown below
            errors.append(exc)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rows(folder) == before
    assert files(folder) == 3


# ---- retention ----


def removed(folder: Path) -> list[tuple[str, int, int]]:
    found = DeltaTable(str(folder / "ledger")).to_pyarrow_table().to_pylist()
    return sorted(
        (row["process"], row["removed"]["from_seq"], row["removed"]["to_seq"])
        for row in found
        if row["removed"]
    )


def test_days_beyond_keep_days_go_with_their_numbers_and_positions_stay(folder: Path) -> None:
    commit(opened(folder), 0, 60)  # 0-9, 30-39 today; 10-19, 40-49 yesterday; 20-29, 50-59 the day before
    letters = [
        {
            "source": {"name": SOURCE, "topic": "t", "partition": "0", "offset": 60 + ago, "line": 0},
            "origin": {"process": "web-0", "seq": 60 + ago} if ago != 3 else None,
            "day": (NOON - DAY * ago).date(),
            "bytes": b"{",
        }
        for ago in range(4)
    ]
    append(
        folder / "dead_letters",
        "dead_letters",
        pa.Table.from_pylist(letters, schema=DEAD_LETTERS),
        DEAD_LETTERS,
    )
    labels = [{"request_id": f"0-{ago}", "label": "1", "loaded_at": NOON - DAY * ago} for ago in range(4)]
    write_deltalake(str(folder / "labels"), pa.Table.from_pylist(labels, schema=LABELS))
    done = run(folder, keep_days=1)
    assert done.rows_expired == {"pairs": 20, "dead_letters": 2, "labels": 2}
    ids = DeltaTable(str(folder / "pairs")).to_pyarrow_table()["request_id"].to_pylist()
    assert sorted(ids) == sorted(f"0-{offset}" for offset in range(60) if offset // 10 % 3 != 2)
    assert removed(folder) == [("web-0", 20, 29), ("web-0", 50, 59), ("web-0", 62, 62)]
    assert stands(opened(folder)) == 60
    assert run(folder, keep_days=1).rows_expired == {}


def test_the_bytes_of_dead_letters_go_after_seven_days_and_the_rest_stays(folder: Path) -> None:
    letters = [
        {"day": (NOON - DAY * ago).date(), "bytes": b"{", "reason": "malformed"} for ago in (0, 7, 8, 30)
    ]
    append(
        folder / "dead_letters",
        "dead_letters",
        pa.Table.from_pylist(letters, schema=DEAD_LETTERS),
        DEAD_LETTERS,
    )
    assert run(folder).letters_emptied == 2
    found = DeltaTable(str(folder / "dead_letters")).to_pyarrow_table().sort_by("day").to_pylist()
    assert [row["bytes"] for row in found] == [None, None, b"{", b"{"]
    assert {row["reason"] for row in found} == {"malformed"}
    assert run(folder).letters_emptied == 0
