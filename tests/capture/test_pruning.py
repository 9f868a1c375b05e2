"""Pruning: a spool stays within its age and size, and what goes is said."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from gnomon_capture import CaptureSettings, Mirror, SettingsError, SpoolReader
from gnomon_capture.pruning import PRUNED, Pruner
from gnomon_capture.settings import from_mapping


def closed(spool: Path, process: str, first: int, lines: int, age_s: float) -> Path:
    path = spool / process / f"{first:020d}.ndjson"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789abcde\n" * lines)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def left(spool: Path) -> set[Path]:
    return set(spool.glob("*/*.ndjson*"))


def test_what_is_too_old_goes_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = [closed(tmp_path, "a", 0, 10, 7200), closed(tmp_path, "b", 0, 3, 4000)]
    young = {closed(tmp_path, "a", 10, 5, 3000)}
    Pruner(tmp_path, CaptureSettings(spool_max_age="1h")).step()
    assert left(tmp_path) == young
    said = [json.loads(line) for line in (tmp_path / PRUNED).read_text().splitlines()]
    assert [(one["process"], one["first_line"], one["lines"], one["bytes"]) for one in said] == [
        (path.parent.name, 0, lines, 16 * lines) for path, lines in zip(old, (10, 3), strict=True)
    ]
    [record] = caplog.records
    assert "pruned 2 files of 208 bytes and 13 lines" in record.getMessage()


def test_beyond_the_size_the_oldest_of_all_processes_go(tmp_path: Path) -> None:
    closed(tmp_path, "a", 0, 100, 50)
    closed(tmp_path, "b", 0, 100, 40)
    stays = {closed(tmp_path, "b", 100, 100, 20), closed(tmp_path, "a", 100, 100, 10)}
    Pruner(tmp_path, CaptureSettings(spool_max_bytes=3200)).step()
    assert left(tmp_path) == stays


def test_a_file_that_is_being_written_and_files_of_others_stay(tmp_path: Path) -> None:
    closed(tmp_path, "a", 0, 100, 9000).rename(tmp_path / "a" / f"{0:020d}.ndjson.part")
    foreign = tmp_path / "logs" / "monday.ndjson"
    foreign.parent.mkdir()
    foreign.write_text("{}\n")
    os.utime(foreign, (0, 0))
    Pruner(tmp_path, CaptureSettings(spool_max_age="1h", spool_max_bytes=1)).step()
    assert foreign.exists()
    assert (tmp_path / "a" / f"{0:020d}.ndjson.part").exists()


def test_a_reader_behind_goes_on_behind_the_gap_and_nothing_goes_by_default(tmp_path: Path) -> None:
    closed(tmp_path, "a", 0, 4, 9000)
    closed(tmp_path, "a", 4, 4, 10)
    reader = SpoolReader(tmp_path)
    assert reader.partitions() == ["a"]
    Pruner(tmp_path, CaptureSettings()).step()
    assert reader.read("a", 10)[0] == 0
    reader.seek("a", 0)
    Pruner(tmp_path, CaptureSettings(spool_max_age="1h")).step()
    first, data = reader.read("a")
    assert (first, data.count(b"\n")) == (4, 4)


def test_a_mirror_prunes_as_it_writes(tmp_path: Path) -> None:
    old = closed(tmp_path, "gone", 0, 100, 9000)
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(spool_max_age="1h")) as mirror:
        mirror.record({"n": 1})
    assert not old.exists()


def test_an_age_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"spool_max_age.*no duration"):
        from_mapping(CaptureSettings, {"spool_max_age": "old"}, "capture")
