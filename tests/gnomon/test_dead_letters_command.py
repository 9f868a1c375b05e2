"""`gnomon dead-letters`: what could not be read is listed, and sent through again exactly once."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import gnomon_diff
import pytest
from deltalake import DeltaTable
from gnomon.config import load
from gnomon_replay import retry as retry_module
from gnomon_replay.log import PairLog, app_id
from gnomon_replay.model import locate
from gnomon_replay.pending import Pending
from gnomon_replay.retry import _Retry

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
"""
MODELS = """
import pandas as pd

def candidate(frame):
    return pd.DataFrame({"label": (frame["x"] > 4).astype(int), "score": frame["x"] / 1000})
"""
SMALL = "max_record_bytes = 300\n"


def record(number: int, **more: Any) -> str:
    return json.dumps(
        {
            "request_id": f"r{number}",
            "ts": "2026-11-24T08:00:00Z",
            "features": {"x": number},
            "served": {"label": 0},
            "origin": {"process": "web", "seq": number},
        }
        | more
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 lines: every fourth is longer than the settings allow, one is torn, one names a known request again."""
    lines = [record(x, payload="p" * 300 if x % 4 == 0 else None) for x in range(38)]
    lines[9] = lines[9][:50]
    lines.append(record(1, payload="p" * 300, origin={"process": "web", "seq": 38}))
    lines.append("a" * 70_000)
    (tmp_path / "traffic" / "web").mkdir(parents=True)
    (tmp_path / "traffic" / "web" / "a.ndjson").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "gnomon.toml").write_text(CONFIG + SMALL)
    (tmp_path / "models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["replay"]) == 0
    return tmp_path


def rows(folder: Path) -> list[dict[str, Any]]:
    table = DeltaTable(str(folder / "shadow" / "tiny" / "pairs")).to_pyarrow_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return sorted(found, key=lambda row: row["source"]["offset"])


def accounts(folder: Path) -> gnomon_diff.comparison.Accounts:
    config = load(folder / "gnomon.toml")
    digest = locate(config.candidates[0], folder).digest
    return gnomon_diff.compare(
        config.log,
        config.experiment,
        config.policy,
        candidate_digest=digest,
        pending=Pending(0, {}, frozenset()),
    ).accounts


def mend(folder: Path) -> None:
    (folder / "gnomon.toml").write_text(CONFIG)


def test_they_are_listed_with_position_and_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(["dead-letters", "--json"]) == 0
    captured = capsys.readouterr()
    letters = json.loads(captured.out)
    assert [letter["position"] for letter in letters] == sorted([*range(0, 38, 4), 9, 38, 39])
    assert {letter["reason"] for letter in letters} == {"oversize", "malformed"}
    assert "bytes" not in letters[0]
    assert "dead letters: 1 malformed" in captured.err
    assert "dead letters: 12 oversize" in captured.err
    assert cli.main(["dead-letters", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith(
        "source,partition,position,line,reason,detail,request_id,key,read_at\n"
    )


def test_a_retry_before_the_cause_is_mended_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(folder)
    capsys.readouterr()
    assert cli.main(["dead-letters", "--retry", "--json"]) == 0
    [done] = json.loads(capsys.readouterr().out)
    assert (done["paired"], done["not_whole"]) == (0, 1)
    assert done["still_dead"] == {"malformed": 1, "oversize": 11}
    assert rows(folder) == before


def test_a_mended_letter_becomes_a_pair_at_its_own_position_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = accounts(folder)
    assert (before.paired, before.dead_letters) == (27, {"malformed": 1, "oversize": 12})
    mend(folder)
    capsys.readouterr()
    assert cli.main(["dead-letters", "--retry"]) == 0
    assert (
        "retry with 2: 11 are pairs now, 1 still malformed, 1 are not kept whole" in capsys.readouterr().err
    )
    found = rows(folder)
    assert [row["source"]["offset"] for row in found] == [x for x in range(39) if x != 9]
    assert [row["request_id"] for row in found] == [f"r{x}" for x in range(38) if x != 9] + ["r1"]
    assert [row["duplicate"] for row in found] == [False] * 37 + [True]
    by_id = {row["request_id"]: row for row in found if not row["duplicate"]}
    assert by_id["r8"]["candidate"]["label"] == "1"
    assert by_id["r8"]["source"] == by_id["r7"]["source"] | {"offset": 8}

    after = accounts(folder)
    assert all(line.balanced for line in after.balances if line.balanced is not None)
    assert (after.paired, after.duplicates) == (37, 1)
    assert after.dead_letters == {"malformed": 1, "oversize": 1}
    [web] = after.processes
    assert (web.in_pairs, web.in_dead_letters, web.missing) == (38, 0, 1)

    assert cli.main(["dead-letters", "--json"]) == 0
    assert [letter["position"] for letter in json.loads(capsys.readouterr().out)] == [9, 39]
    assert cli.main(["dead-letters", "--retry"]) == 0
    assert rows(folder) == found
    assert cli.main(["replay"]) == 0  # the worker's own position did not move
    assert rows(folder) == found


def test_retries_at_once_and_beside_commits_pair_each_letter_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(folder)
    monkeypatch.setattr(retry_module, "CHUNK_LETTERS", 4)
    together = threading.Barrier(3)
    decode = _Retry._decode

    def late(self: _Retry, letters: list[Any]) -> Any:
        """All have looked at what is left before one of them commits."""
        with_all = decode(self, letters)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(20)
        together.abort()
        return with_all

    monkeypatch.setattr(_Retry, "_decode", late)
    states: list[int] = []
    threads = [
        threading.Thread(target=lambda: states.append(cli.main(["dead-letters", "--retry"])))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [0, 0, 0]
    assert [row["source"]["offset"] for row in rows(folder)] == [x for x in range(39) if x != 9]


def test_letters_that_the_worker_has_yet_to_pass_are_left_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a crash between the writing of letters and the commit, or for a candidate that came later."""
    mend(folder)
    (folder / "models.py").write_text(MODELS + "\n# another candidate\n")
    capsys.readouterr()
    assert cli.main(["dead-letters", "--retry"]) == 0
    assert "12 its replay has yet to reach" in capsys.readouterr().err
    assert len(rows(folder)) == 27


def test_the_position_of_a_retry_is_its_own(folder: Path) -> None:
    mend(folder)
    assert cli.main(["dead-letters", "--retry"]) == 0
    digest = locate(load(folder / "gnomon.toml").candidates[0], folder).digest
    log = folder / "shadow" / "tiny"
    stands = app_id("spool:tiny/web", digest)
    assert PairLog(log).positions([stands, f"{stands}/retry"]) == {stands: 40, f"{stands}/retry": 1}
