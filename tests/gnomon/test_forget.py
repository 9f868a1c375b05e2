"""`gnomon forget`: the key is gone from everything that lies here, and the accounts still balance."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from deltalake import DeltaTable
from gnomon.config import load
from gnomon.judging import compare_and_judge
from gnomon_capture import Mirror
from gnomon_diff.comparison import Comparison
from gnomon_replay.log import PairLog
from gnomon_replay.model import locate

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
"""
MODELS = """
import pandas as pd

def candidate(frame):
    return pd.DataFrame({"label": (frame["x"] > 4).astype(int), "score": frame["x"] / 1000})
"""
KEY = "user-O'Neil \\ 7"  # a quote and a backslash: it passes through SQL and JSON


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.joinpath("gnomon.toml").write_text(CONFIG)
    tmp_path.joinpath("models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mirror(folder: Path, numbers: range, process: str) -> None:
    """Every third request is the key's."""
    with Mirror(f"spool:{folder / 'traffic'}", process=process, require=True) as mirror:
        for x in numbers:
            key = f"other-{x % 5}" if x % 3 else KEY
            mirror.record({"x": x}, served={"label": 0}, request_id=f"{process}-{x}", key=key)


def dead_lines(folder: Path) -> None:
    """Foreign lines, none of them a record: the key's with its key read, the key's torn, and somebody else's."""
    quoted = json.dumps(KEY)
    lines = [
        f'{{"request_id": "d0", "ts": "2026-11-24T08:00:00Z", "key": {quoted}, "features": {{"x": "text"}}}}',
        f'{{"request_id": "d1", "key": {quoted}, "features',
        '{"request_id": "d2", "key": "other", "features',
    ]
    (folder / "traffic" / "z-foreign").mkdir(parents=True)
    (folder / "traffic" / "z-foreign" / "a.ndjson").write_text("".join(f"{line}\n" for line in lines))


def compare(folder: Path) -> Comparison:
    """The comparison, with what is pending in the spool."""
    config = load(folder / "gnomon.toml")
    return compare_and_judge(config, config.candidates[0], examples=0).comparison


def balanced(comparison: Comparison) -> bool:
    return all(line.balanced is True for line in comparison.accounts.balances)


def files_with(folder: Path, *texts: bytes) -> list[str]:
    """Files that hold one of these, Parquet read as what it says."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            data = json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
            texts = (*texts, *(json.dumps(text.decode()).strip('"').encode() for text in texts))
        if any(text in data for text in texts):
            found.append(str(path.relative_to(folder)))
    return found


@pytest.fixture
def logged(folder: Path) -> Path:
    """A log of 90 requests, 30 of them the key's, with labels and dead letters; 30 more are still pending."""
    mirror(folder, range(60), "a")
    mirror(folder, range(30), "b")
    dead_lines(folder)
    assert cli.main(["replay"]) == 0
    with Path("labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "label"])
        writer.writerows([f"a-{x}", 1] for x in range(60))
    assert cli.main(["labels", "labels.csv"]) == 0
    mirror(folder, range(30), "c")  # pending
    return folder


def test_everything_of_the_key_goes_and_the_accounts_balance(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = compare(logged)
    assert balanced(before)
    assert (before.accounts.paired, before.accounts.pending, before.accounts.removed) == (90, 30 + 3 * 0, 0)
    capsys.readouterr()
    assert cli.main(["forget", "--key", KEY, "--yes", "--now", "--json"]) == 0
    captured = capsys.readouterr()
    done = json.loads(captured.out)
    assert (done["pairs"], done["dead_letters"], done["labels"], done["spool_lines"]) == (30, 2, 20, 42)
    assert "out of reach: the topic" in captured.err

    after = compare(logged)
    assert balanced(after)
    assert (after.accounts.seen, after.accounts.mirrored) == (before.accounts.seen, before.accounts.mirrored)
    assert (after.accounts.paired, after.accounts.removed, after.accounts.pending) == (60, 40, 20)
    assert after.accounts.dead_letters == {"malformed": 1}
    log = logged / "shadow" / "tiny"
    assert set(DeltaTable(str(log / "pairs")).to_pyarrow_table()["key"].to_pylist()) == {
        f"other-{n}" for n in range(5)
    }
    # Nowhere, the tables' history and statistics and the old files included.
    key = KEY.encode()
    assert files_with(logged, key, json.dumps(KEY).encode()[1:-1]) == []

    digest = locate(load(logged / "gnomon.toml").candidates[0], logged).digest
    recent = PairLog(log).recent_ids("spool:tiny/a", digest, 100)
    assert recent == [f"a-{x}" for x in range(60) if x % 3]
    assert cli.main(["replay"]) == 0  # positions are where they were; blank lines are passed over
    last = compare(logged)
    assert balanced(last)
    assert (last.accounts.paired, last.accounts.removed, last.accounts.pending) == (80, 40, 0)
    assert cli.main(["forget", "--key", KEY, "--yes"]) == 0
    assert "deleted 0 pairs, 0 dead letters, 0 labels, 0 lines" in capsys.readouterr().err


def test_a_dry_run_counts_the_same_and_changes_nothing(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(logged.rglob("*")) if path.is_file()}

    before = state()
    capsys.readouterr()
    assert cli.main(["forget", "--key", KEY, "--dry-run"]) == 0
    assert (
        "would delete 30 pairs, 2 dead letters, 20 labels, 42 lines of the spool" in capsys.readouterr().err
    )
    assert state() == before


def test_it_asks_first_and_without_a_terminal_refuses(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.main(["forget", "--key", KEY]) == 2
    assert "--dry-run, then say --yes" in capsys.readouterr().err
    assert compare(logged).accounts.paired == 90
    assert cli.main(["forget"]) == 2
    assert cli.main(["forget", "--key", "", "--yes"]) == 2


def test_the_redacted_form_is_forgotten_with_the_key_or_alone(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert (
        cli.main(["forget", "--key", "gone", "--redacted", "other-1", "--redacted", "other-2", "--yes"]) == 0
    )
    assert "deleted 24 pairs" in capsys.readouterr().err
    assert balanced(compare(logged))
    assert cli.main(["forget", "--redacted", "other-4", "--yes"]) == 0
    assert balanced(compare(logged))


def test_reports_that_name_the_key_are_named(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = logged / "shadow" / "tiny" / "reports"
    reports.mkdir()
    (reports / "page.html").write_text("<td>other-1</td>")
    capsys.readouterr()
    assert cli.main(["forget", "--key", "other-1", "--yes"]) == 0
    assert f"not changed, and names the key: {reports / 'page.html'}" in capsys.readouterr().err


def test_an_unforgotten_crash_between_the_numbers_and_the_rows_balances(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gnomon_replay import removal

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removal, "delete_joined", die)
        assert cli.main(["forget", "--key", "other-1", "--yes"]) == 4
    half = compare(logged)
    assert balanced(half)
    assert half.accounts.paired == 90
    assert cli.main(["forget", "--key", "other-1", "--yes"]) == 0
    assert balanced(compare(logged))


def test_retention_balances_too(logged: Path) -> None:
    config = logged / "gnomon.toml"
    config.write_text(config.read_text() + "keep_days = 30\n")
    from datetime import UTC, datetime, timedelta

    from gnomon_replay.maintenance import maintain

    loaded = load(config)
    maintain(loaded.log, loaded.replay, now=datetime.now(UTC) + timedelta(days=32))
    after = compare(logged)
    assert balanced(after)
    assert (after.accounts.paired, after.accounts.removed, after.accounts.pending) == (0, 90, 30)
