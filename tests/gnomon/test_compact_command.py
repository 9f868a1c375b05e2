"""`gnomon compact`, and what a replay does of it by itself."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable
from gnomon.config import load
from gnomon.housekeeping import Housekeeper
from gnomon_capture import Mirror

from gnomon import cli

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
latency_min = 0
latency_per_s = 0
commit_rows = 10
compact_every_s = 0.001
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gnomon.toml").write_text(CONFIG)
    (tmp_path / "models.py").write_text(
        "import pandas as pd\n"
        "def candidate(frame):\n"
        "    return pd.DataFrame({'label': 0, 'score': 0.5}, index=frame.index)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mirror(folder: Path, numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, 10):
        with Mirror(f"spool:{folder / 'traffic'}", process=f"p{start}", require=True) as mirror:
            for x in range(start, start + 10):
                mirror.record({"x": x}, request_id=f"r{x}", served={"label": 0})


def replay_in_parts(folder: Path) -> None:
    for start in range(0, 50, 10):
        mirror(folder, range(start, start + 10))
        assert cli.main(["replay"]) == 0


def files(folder: Path) -> int:
    return len(DeltaTable(str(folder / "shadow" / "tiny" / "pairs")).file_uris())


def test_it_says_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compact"]) == 0
    assert "there is no log at" in capsys.readouterr().err
    (folder / "gnomon.toml").write_text(CONFIG.replace("0.001", "3600"))
    replay_in_parts(folder)
    before = files(folder)
    assert before > 1
    capsys.readouterr()
    assert cli.main(["compact", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["files_after"]["pairs"] == 1
    assert f"compact: pairs: {before} files, now 1" in captured.err


def test_a_replay_compacts_in_a_process_of_its_own_and_goes_on(folder: Path) -> None:
    (folder / "gnomon.toml").write_text(CONFIG.replace("0.001", "3600"))
    replay_in_parts(folder)
    assert files(folder) > 1
    (folder / "gnomon.toml").write_text(CONFIG)
    with Housekeeper(load(Path("gnomon.toml"))) as housekeeper:
        time.sleep(0.01)
        deadline = time.monotonic() + 100
        while files(folder) > 1:
            housekeeper.look()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    mirror(folder, range(50, 60))
    assert cli.main(["replay"]) == 0  # starts one again, and ends it
    ids = DeltaTable(str(folder / "shadow" / "tiny" / "pairs")).to_pyarrow_table()["request_id"].to_pylist()
    assert sorted(ids) == sorted(f"r{x}" for x in range(60))


def test_a_compaction_that_cannot_is_told_and_does_not_stop_the_replay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shadow").mkdir()
    config = load(Path("gnomon.toml"))
    with Housekeeper(config) as housekeeper:
        (folder / "gnomon.toml").write_text("[experiment]\nnaem = 1\n")  # edited meanwhile
        time.sleep(0.01)
        deadline = time.monotonic() + 100
        said = ""
        while "the log was not compacted" not in said:
            housekeeper.look()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            said += capsys.readouterr().err
    assert "gnomon.toml" in said


def test_days_that_the_gate_needs_have_to_be_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gnomon.toml").write_text(CONFIG + "keep_days = 28\n")
    assert cli.main(["compact"]) == 2
    assert "line 21: [replay.keep_days] the gate looks at 28 whole days" in capsys.readouterr().err
    (folder / "gnomon.toml").write_text(CONFIG + "keep_days = 29\n")
    assert cli.main(["compact"]) == 0
