"""`gnomon import` on the command line: a whole run from a log to a verdict, and what it says when it cannot."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gnomon_capture.spool import SpoolReader

from gnomon import cli

CONFIG = """\
[experiment]
name = "tiny"
task = "binary"
positive = "1"

[traffic]
from = "{traffic}"

[import]
time = "at"
request_id = "id"
label = "answer"
score = "p"
sampling_fraction = "=0.5"
features = ["x"]
version = "=1"

[primary]
version = "1"
model = "models:primary"

[[candidate]]
version = "2"
model = "models:candidate"

[replay]
latency_min = 0
latency_per_s = 0
"""

MODELS = """
import pandas as pd

def primary(frame):
    return pd.DataFrame({"label": (frame["x"] > 4).astype(int), "score": frame["x"] / 10})

candidate = primary
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("gnomon.toml").write_text(CONFIG.format(traffic="spool:traffic"))
    Path("models.py").write_text(MODELS)
    rows = [f"r{x},{1788249600 + x * 600},{x % 10},{int(x % 10 > 4)},{x % 10 / 10}" for x in range(500)]
    rows[7] = rows[7].replace("1788253800", "soon")
    Path("log.csv").write_text("id,at,x,answer,p\n" + "\n".join(rows) + "\n")
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        status = cli.main(list(arguments))
    except SystemExit as exc:
        status = exc.code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def accounts(capsys) -> dict:
    status, out, _ = run(capsys, "report")
    assert status == 0
    comparison = json.loads(Path(out.strip()).with_name("comparison.json").read_text())["comparison"]
    return comparison["accounts"]


def test_from_a_log_to_balanced_accounts(capsys, folder):
    status, out, err = run(
        capsys, "import", "log.csv", "--to", "spool:traffic", "--mapping", "gnomon.toml", "--json"
    )
    assert status == 0
    [done] = json.loads(out)
    assert (done["read"], done["records"], done["skipped"]) == (500, 499, {"time": 1})
    assert "line 9: 'soon' is not a time" in err
    assert "seconds since 1970, recognised by their size" in err
    assert run(capsys, "replay")[0] == 0
    counted = accounts(capsys)
    assert (counted["seen"], counted["mirrored"], counted["paired"]) == (500, 499, 499)
    assert counted["dropped"] == {"time": 1}
    assert counted["without_ledger"] == []
    assert all(balance["balanced"] for balance in counted["balances"])
    query = "select count(*) n, sum(weight) w, avg(disagrees::int) d, min(served_version) v from pairs"
    status, out, _ = run(capsys, "sql", "--format", "json", query)
    assert json.loads(out) == [{"n": 499, "w": 998.0, "d": 0.0, "v": "1"}]


def test_a_topic_that_has_it_twice_counts_it_once(capsys, folder, bootstrap, topic):
    address = f"kafka://{bootstrap}/{topic}"
    Path("gnomon.toml").write_text(CONFIG.format(traffic=address))
    for _ in range(2):
        assert run(capsys, "import", "log.csv", "--to", address, "--mapping", "gnomon.toml")[0] == 0
    assert run(capsys, "replay")[0] == 0
    counted = accounts(capsys)
    assert (counted["seen"], counted["mirrored"], counted["paired"]) == (500, 499, 499)
    assert counted["duplicates"] == 499
    assert all(balance["balanced"] for balance in counted["balances"])


def test_a_flag_goes_before_the_table_and_every_skipped_row_can_be_written_out(capsys, folder):
    status, _, err = run(
        capsys,
        *["import", "log.csv", "--to", "spool:traffic", "--mapping", "gnomon.toml"],
        *["--features", "x, p", "--version", "=7", "--skipped", "skipped.csv"],
    )
    assert status == 0
    assert "features: x, p" in err
    reader = SpoolReader("traffic")
    [partition] = reader.partitions()
    first = json.loads(reader.read(partition)[1].splitlines()[0])
    assert (first["features"], first["served"]["version"]) == ({"x": 0, "p": 0.0}, "7")
    lines = Path("skipped.csv").read_text().splitlines()
    assert lines[0] == "file,line,reason,detail"
    assert lines[1].startswith("log.csv,9,time,'soon' is not a time")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("none.csv --to spool:traffic --time at", "there is no file none.csv"),
        ("log.csv --to traffic --time at", "no traffic address"),
        ("log.csv --to spool:traffic", "name the column of the time by --time"),
        ("log.csv --to spool:traffic --time att", "is 'at' meant"),
        ("log.csv --to spool:traffic --mapping none.toml", "there is no file none.toml"),
        ("log.csv --to spool:traffic --mapping models.py", "cannot be read as TOML"),
        ("log.csv --to spool:traffic --mapping empty.toml", "has no table"),
        ("log.csv --to spool:traffic --time at --latency p", "Name its unit"),
        ("log.csv --to spool:traffic --time at --format xml", "invalid choice"),
        ("log.csv --to spool:traffic --time at --skipped none/x.csv", "--skipped"),
        ("log.csv --time at", "--to"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(capsys, folder, arguments, words):
    Path("empty.toml").write_text("")
    status, out, err = run(capsys, "import", *arguments.split())
    assert (status, out) == (2, "")
    assert words in err


def test_the_same_log_again_is_refused_and_changes_nothing(capsys, folder):
    command = ["import", "log.csv", "--to", "spool:traffic", "--mapping", "gnomon.toml"]
    assert run(capsys, *command)[0] == 0
    before = sorted(path.name for path in Path("traffic").rglob("*"))
    status, _, err = run(capsys, *command)
    assert status == 2
    assert re.search("log.csv is in spool:traffic already, as import-", err)
    assert sorted(path.name for path in Path("traffic").rglob("*")) == before


def test_an_interrupted_import_says_what_is_there_and_can_be_repeated(folder):
    Path("big.csv").write_text("at,x\n" + "1788249600,1\n" * 400_000)
    command = [
        sys.executable,
        "-m",
        "gnomon.cli",
        *["import", "big.csv", "--to", "spool:traffic", "--time", "at"],
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(Path("traffic").glob(".import-*/*/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 4
    assert "a spool shows nothing of it" in process.communicate()[1]
    assert list(Path("traffic").iterdir()) == []


def test_a_broker_that_is_not_there(folder):
    words = ["import", "log.csv", "--to", "kafka://127.0.0.1:9/t", "--mapping", "gnomon.toml"]
    command = [sys.executable, "-m", "gnomon.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "kafka://127.0.0.1:9/t" in done.stderr
    assert "broker" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_typo_in_the_table_is_named_with_its_line(capsys, folder):
    text = Path("gnomon.toml").read_text().replace("label =", "lable =")
    Path("gnomon.toml").write_text(text)
    status, _, err = run(capsys, "replay")
    assert status == 2
    assert "line 12: [import.lable] unknown key; did you mean `label`?" in err
