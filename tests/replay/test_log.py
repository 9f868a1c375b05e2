"""The numbered commit: exactly one row for each line of the traffic, whoever else writes."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from gnomon_replay import log as log_module
from gnomon_replay.errors import FencedError, LogError, ShapeMovedError
from gnomon_replay.log import CHECKPOINT_EVERY, Batch, PairLog, app_id
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, pairs_schema, struct_of

SOURCE = "kafka:c:t"
NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
X = {"x": pa.float64()}


def place(partition: str, offset: int) -> dict[str, Any]:
    return {"name": SOURCE, "topic": "t", "partition": partition, "offset": offset, "line": 0}


def batch(
    began: int | None,
    reached: int,
    *,
    partition: str = "0",
    fields: dict[str, pa.DataType] = X,
    value: Any = 1.0,
    dead: int = 0,
    digest: str = "sha256:a",
    source: str = SOURCE,
) -> Batch:
    """A batch of one pair for each offset from `began` to `reached`, the first `dead` of them dead letters."""
    offsets = range(began or 0, reached)
    pairs = [
        {
            "request_id": f"{partition}-{offset}",
            "ts": NOON,
            "day": NOON.date(),
            "features": dict.fromkeys(fields, value),
            "source": place(partition, offset),
            "candidate_digest": digest,
        }
        for offset in offsets[dead:]
    ]
    letters = [{"source": place(partition, offset), "day": NOON.date()} for offset in offsets[:dead]]
    schema = pairs_schema(struct_of(fields.items()), struct_of([]))
    return Batch(
        pa.Table.from_pylist(pairs, schema=schema),
        pa.Table.from_pylist(letters, schema=DEAD_LETTERS),
        pa.Table.from_pylist([], schema=LEDGER),
        {place_id(partition, digest, source): began},
        {place_id(partition, digest, source): reached},
    )


def place_id(partition: str, digest: str = "sha256:a", source: str = SOURCE) -> str:
    """The id of a position."""
    return app_id(f"{source}/{partition}", digest)


def stands(
    log: PairLog, *partitions: str, digest: str = "sha256:a", source: str = SOURCE
) -> dict[str, int | None]:
    found = log.positions(place_id(part, digest, source) for part in partitions)
    return {part: found[place_id(part, digest, source)] for part in partitions}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shadow" / "e"


def opened(folder: Path) -> PairLog:
    return PairLog(folder)


def ids(folder: Path) -> Counter[str]:
    table = DeltaTable(str(folder / "pairs")).to_pyarrow_table(columns=["request_id"])
    return Counter(table.column("request_id").to_pylist())


def once(*ranges: tuple[str, int, int]) -> Counter[str]:
    return Counter(f"{part}-{offset}" for part, begin, end in ranges for offset in range(begin, end))


def test_a_log_that_is_not_there_stands_at_the_start(folder: Path) -> None:
    log = opened(folder)
    assert stands(log, "0", "1") == {"0": None, "1": None}
    assert log.schema().names == []
    assert log.recent_ids(f"{SOURCE}/0", "sha256:a", 10) == []
    assert not folder.exists()


def test_a_commit_moves_its_position_and_a_restart_goes_on_from_it(folder: Path) -> None:
    log = opened(folder)
    log.commit(batch(None, 5))
    log.commit(batch(5, 9))
    assert stands(opened(folder), "0", "1") == {"0": 9, "1": None}
    again = opened(folder)
    again.commit(batch(9, 12))
    assert ids(folder) == once(("0", 0, 12))


def test_a_batch_given_again_is_fenced(folder: Path) -> None:
    opened(folder).commit(batch(None, 5))
    for began in (None, 4, 6):
        with pytest.raises(FencedError) as caught:
            opened(folder).commit(batch(began, 9))
        assert (caught.value.partition, caught.value.expected, caught.value.found) == (
            f"partition 0 of {SOURCE}",
            began,
            5,
        )
    assert ids(folder) == once(("0", 0, 5))


def test_a_crash_before_the_pairs_leaves_dead_letters_that_fold_by_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PairLog, "_write_pairs", _die)
        with pytest.raises(KeyboardInterrupt):
            opened(folder).commit(batch(None, 5, dead=2))
    opened(folder).commit(batch(None, 5, dead=2))
    letters = DeltaTable(str(folder / "dead_letters")).to_pyarrow_table().column("source").to_pylist()
    assert len(letters) == 4
    assert {at["offset"] for at in letters} == {0, 1}
    assert ids(folder) == once(("0", 2, 5))


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_rival_that_commits_between_our_opening_and_our_append_fences_us(folder: Path) -> None:
    ours, rival = opened(folder), opened(folder)
    ours.commit(batch(None, 5))
    rival.commit(batch(5, 8))
    with pytest.raises(FencedError):
        ours.commit(batch(5, 9))
    assert ids(folder) == once(("0", 0, 8))
    ours.forget_standing([place_id("0")])
    ours.commit(batch(8, 9))
    assert ids(folder) == once(("0", 0, 9))


def test_a_rival_is_found_out_beyond_checkpoints_too(folder: Path) -> None:
    ours, rival = opened(folder), opened(folder)
    ours.commit(batch(None, 5))
    for at in range(5, 5 + 3 * CHECKPOINT_EVERY):
        rival.commit(batch(at, at + 1))
    with pytest.raises(FencedError):
        ours.commit(batch(5, 9))
    assert ids(folder) == once(("0", 0, 5 + 3 * CHECKPOINT_EVERY))


def test_a_zombie_that_opens_its_handle_after_the_new_owners_commit_is_fenced(folder: Path) -> None:
    zombie, heir = opened(folder), opened(folder)
    zombie.commit(batch(None, 5))
    heir.commit(batch(5, 8))
    zombie._pairs = None  # as after a checkpoint: the next commit opens anew
    with pytest.raises(FencedError):
        zombie.commit(batch(5, 7))
    assert ids(folder) == once(("0", 0, 8))


def test_a_zombie_that_never_committed_is_fenced_when_it_makes_the_table(folder: Path) -> None:
    zombie, heir = opened(folder), opened(folder)
    with pytest.MonkeyPatch.context() as patch:
        first = PairLog._create

        def late(self: PairLog, schema: pa.Schema) -> DeltaTable:
            heir.commit(batch(None, 5))  # between the zombie's look and its making
            patch.undo()
            return first(self, schema)

        patch.setattr(
            PairLog,
            "_create",
            lambda self, schema: late(self, schema) if self is zombie else first(self, schema),
        )
        with pytest.raises(FencedError):
            zombie.commit(batch(None, 5))
    assert ids(folder) == once(("0", 0, 5))


def test_workers_that_commit_without_a_pause_all_get_their_rows_in(folder: Path) -> None:
    """From the making of the log on, though each commit is refused that another came before."""
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def work(part: str) -> None:
        try:
            log = opened(folder)
            start.wait()
            for at in range(0, 40, 10):
                log.commit(batch(at or None, at + 10, partition=part, dead=2))
        except BaseException as exc:  # noqa: BLE001 - shown below
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(str(part),)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    expected = once(*((str(part), at + 2, at + 10) for part in range(8) for at in range(0, 40, 10)))
    assert ids(folder) == expected
    assert DeltaTable(str(folder / "dead_letters")).to_pyarrow_table().num_rows == 8 * 4 * 2


def test_another_candidates_commits_do_not_fence(folder: Path) -> None:
    ours, other = opened(folder), opened(folder)
    ours.commit(batch(None, 5))
    other.commit(batch(None, 7, digest="sha256:b"))
    ours.commit(batch(5, 9))
    assert stands(ours, "0") == {"0": 9}
    assert stands(other, "0", digest="sha256:b") == {"0": 7}
    assert ids(folder) == once(("0", 0, 9), ("0", 0, 7))


def test_another_sources_positions_are_its_own(folder: Path) -> None:
    opened(folder).commit(batch(None, 5))
    elsewhere = opened(folder)
    assert stands(elsewhere, "0", source="kafka:d:t") == {"0": None}
    elsewhere.commit(batch(None, 5, source="kafka:d:t"))
    assert ids(folder) == once(("0", 0, 5), ("0", 0, 5))


def test_a_field_that_another_worker_merged_is_no_fence(folder: Path) -> None:
    ours, other = opened(folder), opened(folder)
    ours.commit(batch(None, 2))
    other.commit(batch(None, 2, partition="1", fields=X | {"y": pa.string()}, value=None))
    ours.commit(batch(2, 4))
    ours.commit(batch(4, 6, fields=X | {"z": pa.bool_()}, value=None))
    assert ids(folder) == once(("0", 0, 6), ("1", 0, 2))
    assert ours.schema().field("features").type == struct_of(
        [("x", pa.float64()), ("y", pa.string()), ("z", pa.bool_())]
    )


@pytest.mark.parametrize("theirs", [{"y": pa.string()}, {"Y": pa.float64()}])
def test_a_field_that_another_worker_gave_another_type_is_read_again(
    folder: Path, theirs: dict[str, pa.DataType]
) -> None:
    ours, other = opened(folder), opened(folder)
    ours.commit(batch(None, 2))
    other.commit(batch(None, 2, partition="1", fields=theirs, value=None))
    with pytest.raises(ShapeMovedError) as caught:
        ours.commit(batch(2, 4, fields=X | {"y": pa.float64()}))
    assert caught.value.name == "y"
    assert (ids(folder), stands(ours, "0")) == (once(("0", 0, 2), ("1", 0, 2)), {"0": 2})


def test_rows_of_an_older_shape_are_read_back_with_nulls(folder: Path) -> None:
    log = opened(folder)
    log.commit(batch(None, 1))
    log.commit(batch(1, 2, fields={"y": pa.string()}, value="new"))
    rows = DeltaTable(str(folder / "pairs")).to_pyarrow_table().sort_by("request_id")
    assert rows.column("features").to_pylist() == [{"x": 1.0, "y": None}, {"x": None, "y": "new"}]


def test_the_first_features_may_come_late(folder: Path) -> None:
    log = opened(folder)
    log.commit(batch(None, 1, fields={}))
    log.commit(batch(1, 2))
    rows = DeltaTable(str(folder / "pairs")).to_pyarrow_table().sort_by("request_id")
    assert rows.column("features").to_pylist() == [None, {"x": 1.0}]


def test_25_commits_beside_anothers_open_anew_and_lose_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = opened(folder), opened(folder)
    openings: list[int] = []
    reopen = PairLog.reopen

    def counted(self: PairLog) -> None:
        if self is log:
            openings.append(self._standing[place_id("0")] or 0)
        reopen(self)

    monkeypatch.setattr(PairLog, "reopen", counted)
    for at in range(25):
        log.commit(batch(at or None, at + 1))
        other.commit(batch(at or None, at + 1, partition="1"))
    assert ids(folder) == once(("0", 0, 25), ("1", 0, 25))
    checkpoints = list((folder / "pairs" / "_delta_log").glob("*.checkpoint.parquet"))
    assert len(checkpoints) == 50 // CHECKPOINT_EVERY
    assert openings == list(range(25))  # another's commit came before each, so Delta refused ours once
    assert stands(log, "0") == {"0": 25}


def test_an_empty_batch_still_moves_the_position(folder: Path) -> None:
    log = opened(folder)
    log.commit(batch(None, 3, dead=3))
    log.commit(batch(3, 4, dead=1))
    assert stands(opened(folder), "0") == {"0": 4}
    log.commit(batch(4, 6))
    assert ids(folder) == once(("0", 4, 6))


def test_positions_only_grow() -> None:
    with pytest.raises(ValueError, match="kafka:c:t/0/sha256:a from 5 to 5: positions only grow"):
        batch(5, 5)


def test_what_is_no_longer_vouched_for_does_not_fence(folder: Path) -> None:
    ours, heir = opened(folder), opened(folder)
    ours.commit(batch(None, 5))
    ours.commit(batch(None, 5, partition="1"))
    heir.commit(batch(5, 9))
    ours.forget_standing([place_id("0")])
    ours.commit(batch(5, 9, partition="1"))
    assert ids(folder) == once(("0", 0, 9), ("1", 0, 9))


def test_recent_ids_are_the_last_of_the_partition_in_order(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 40, 10):
        log.commit(batch(at or None, at + 10))
    log.commit(batch(None, 5, partition="1"))
    opened(folder).commit(batch(None, 50, digest="sha256:b"))
    assert log.recent_ids(f"{SOURCE}/0", "sha256:a", 7) == [f"0-{at}" for at in range(33, 40)]
    assert log.recent_ids(f"{SOURCE}/0", "sha256:a", 1000) == [f"0-{at}" for at in range(40)]
    assert log.recent_ids(f"{SOURCE}/1", "sha256:a", 2) == ["1-3", "1-4"]
    assert log.recent_ids(f"{SOURCE}/2", "sha256:a", 2) == []


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A log's folder that may be read, but not written; root is made somebody else for it."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    folder = top / "e"
    opened(folder).commit(batch(None, 5, dead=1))
    for path in (top, *top.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        for path in (top, *[each for each in top.rglob("*") if each.is_dir()]):
            path.chmod(0o755)
        shutil.rmtree(top)


def test_a_folder_that_may_not_be_written_is_named_with_what_to_do(foreign: Path) -> None:
    log = opened(foreign)
    assert stands(log, "0") == {"0": 5}
    for case in (batch(5, 9), batch(5, 9, dead=1)):
        with pytest.raises(LogError, match="change the owner") as caught:
            log.commit(case)
        assert caught.value.path.startswith(str(foreign))
    assert ids(foreign) == once(("0", 1, 5))


@pytest.mark.parametrize("barred", [".", "pairs", "pairs/_delta_log"])
def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(foreign: Path, barred: str) -> None:
    user = os.geteuid()
    if user == 65534:
        os.seteuid(0)
    (foreign / barred).chmod(0)
    if user == 65534:
        os.seteuid(65534)
    with pytest.raises(LogError, match="this user may not"):
        stands(opened(foreign), "0")


def test_a_torn_log_is_one_clear_line(folder: Path) -> None:
    log = opened(folder)
    log.commit(batch(None, 5))
    (folder / "pairs" / "_delta_log" / f"{1:020d}.json").write_text('{"commitInfo":{"tim')
    with pytest.raises(LogError, match="nothing committed is lost") as caught:
        stands(opened(folder), "0")
    assert "\n" not in str(caught.value)


def test_after_an_error_the_same_batch_may_be_given_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(folder)
    log.commit(batch(None, 5))
    with monkeypatch.context() as patch:
        patch.setattr(log_module, "write_deltalake", _disk_full)
        with pytest.raises(LogError, match="the disk is full"):
            log.commit(batch(5, 9))
    log.commit(batch(5, 9))
    assert ids(folder) == once(("0", 0, 9))


def test_an_error_after_the_commit_landed_doubles_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the checkpoint that follows a commit finds the disk full."""
    log = opened(folder)
    log.commit(batch(None, 5))
    write = log_module.write_deltalake

    def landed(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        _disk_full()

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "write_deltalake", landed)
        with pytest.raises(LogError):
            log.commit(batch(5, 9))
    with pytest.raises(FencedError):
        opened(folder).commit(batch(5, 9))
    assert ids(folder) == once(("0", 0, 9))


def _disk_full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_rivals_commit_on_another_partition_is_found_out(folder: Path) -> None:
    zombie = opened(folder)
    zombie.commit(batch(None, 5))
    zombie.commit(batch(None, 5, partition="1"))
    opened(folder).commit(batch(5, 9))  # partition 0 has another owner now
    with pytest.raises(FencedError):
        zombie.commit(batch(5, 9, partition="1"))
    assert ids(folder) == once(("0", 0, 9), ("1", 0, 5))


def test_a_zombie_that_made_the_table_and_slept_before_its_first_append_is_fenced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta's own check knows no rival for a position that was never committed before."""
    create = PairLog._create

    def overtaken(self: PairLog, schema: pa.Schema) -> DeltaTable:
        table = create(self, schema)
        monkeypatch.setattr(PairLog, "_create", create)
        opened(folder).commit(batch(None, 9))
        return table

    monkeypatch.setattr(PairLog, "_create", overtaken)
    with pytest.raises(FencedError):
        opened(folder).commit(batch(None, 5))
    assert ids(folder) == once(("0", 0, 9))


def test_a_worker_that_slept_longer_than_the_history_lasts_opens_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its append would take the number of a commit that is gone from the history, and never be seen."""
    ours, rival = opened(folder), opened(folder)
    ours.commit(batch(None, 5))
    for at in range(5, 5 + 2 * CHECKPOINT_EVERY):
        rival.commit(batch(at, at + 1))
    for version in range(CHECKPOINT_EVERY):
        (folder / "pairs" / "_delta_log" / f"{version:020d}.json").unlink()
    later = time.time() + log_module.REOPEN_S + 1
    monkeypatch.setattr(log_module.time, "time", lambda: later)
    with pytest.raises(FencedError):
        ours.commit(batch(5, 9))
    assert ids(folder) == once(("0", 0, 5 + 2 * CHECKPOINT_EVERY))


def test_the_history_is_half_an_hour_long(folder: Path) -> None:
    log = opened(folder)
    for at in range(0, 40):
        log.commit(batch(at or None, at + 1))
    entries = folder / "pairs" / "_delta_log"
    old = time.time() - 31 * 60
    for version in range(30):
        for path in entries.glob(f"{version:020d}.*"):
            os.utime(path, (old, old))
    for at in range(40, 40 + 2 * CHECKPOINT_EVERY):
        log.commit(batch(at, at + 1))
    assert len(list(entries.glob("*.json"))) < 45
    assert ids(folder) == once(("0", 0, 60))
    assert stands(opened(folder), "0") == {"0": 60}
