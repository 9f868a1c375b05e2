"""The command line on bad input: one clear line that says what to do, the right status, no traceback."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gnomon_capture import Mirror
from gnomon_capture.errors import TrafficError, UsageError

from gnomon import cli, exits

CONFIG = """\
[experiment]
name = "tiny"
task = "binary"
positive = "1"

[traffic]
from = "spool:traffic"

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
def folder(tmp_path: Path) -> Path:
    tmp_path.joinpath("gnomon.toml").write_text(CONFIG)
    tmp_path.joinpath("models.py").write_text(MODELS)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        status = cli.main(list(arguments))
    except SystemExit as exc:
        status = exc.code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def mirrored(folder: Path, count: int = 10) -> None:
    with Mirror(f"spool:{folder / 'traffic'}", require=True) as mirror:
        for x in range(count):
            mirror.record({"x": x}, served={"label": int(x > 4), "score": x / 10}, request_id=f"r{x}")


def test_without_arguments_it_shows_its_help(capsys):
    status, _, err = run(capsys)
    assert status == 2
    assert all(
        name in err for name in ("demo", "init", "doctor", "replay", "report", "gate", "sql", "labels")
    )


@pytest.mark.parametrize(
    "command", ["demo", "import", "init", "doctor", "replay", "report", "gate", "sql", "labels"]
)
def test_every_command_has_help_with_an_example(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0
    assert re.search(rf"example:\n  .*gnomon {command}", out)


@pytest.mark.parametrize("command", ["replay", "report", "gate", "labels x.csv", "sql q"])
def test_a_missing_configuration_is_named(capsys, tmp_path, command):
    status, out, err = run(capsys, *command.split(), "--config", str(tmp_path / "none.toml"))
    assert (status, out) == (2, "")
    assert "none.toml" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        ('name = "tiny"', 'nam = "tiny"', 2),
        ("latency_min = 0", "latency_mim = 0", 18),
        ("[replay]", "[repaly]", 17),
    ],
)
def test_a_misspelt_key_is_named_with_its_line_and_the_nearest(capsys, folder, wrong, right, line):
    config = folder / "gnomon.toml"
    config.write_text(CONFIG.replace(wrong, right))
    status, _, err = run(capsys, "replay", "--config", str(config))
    assert status == 2
    assert f"line {line}" in err or "[repaly]" in err
    assert "did you mean" in err


def test_an_unknown_flag_and_an_unknown_command_are_usage(capsys):
    assert run(capsys, "gate", "--now")[0] == 2
    assert run(capsys, "judge")[0] == 2


def test_traffic_that_is_not_there(capsys, folder):
    status, _, err = run(capsys, "replay", "--config", str(folder / "gnomon.toml"))
    assert status == 4
    assert "there is no traffic at" in err


# kafka-python leaves the sockets of refused attempts to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_is_not_there(capsys, folder):
    with socket.socket() as taken:  # bound, not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        address = f"kafka://127.0.0.1:{taken.getsockname()[1]}/t"
        config = folder / "gnomon.toml"
        config.write_text(CONFIG.replace("spool:traffic", address))
        status, _, err = run(capsys, "replay", "--config", str(config))
    assert status == 4
    assert address in err
    assert "broker" in err


def test_an_empty_topic_ends_at_once_and_the_gate_does_not_pass(capsys, folder, bootstrap, topic):
    config = folder / "gnomon.toml"
    config.write_text(CONFIG.replace("spool:traffic", f"kafka://{bootstrap}/{topic}"))
    status, out, _ = run(capsys, "replay", "--config", str(config), "--json")
    assert (status, json.loads(out)["pairs"]) == (0, 0)
    status, out, _ = run(capsys, "gate", "--config", str(config))
    assert status == 4
    assert "INVALID" in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.skops", None, "cannot be read"),
        ("text.skops", b"not a model", "cannot be loaded"),
        ("code.joblib", b"not a model", "allow_pickle"),
        ("models", None, "module:callable"),
        ("models:nothing", None, "nothing"),
    ],
)
def test_a_model_that_is_none(capsys, folder, name, content, words):
    mirrored(folder)
    if content is not None:
        folder.joinpath(name).write_bytes(content)
    config = folder / "gnomon.toml"
    config.write_text(CONFIG.replace("models:candidate", name))
    status, _, err = run(capsys, "replay", "--config", str(config))
    assert status == 2
    assert "model 2" in err
    assert words in err


def test_a_malformed_line_among_good_ones_is_a_dead_letter_and_the_rest_goes_on(capsys, folder):
    mirrored(folder)
    foreign = folder / "traffic" / "other"
    foreign.mkdir()
    lines = [
        json.dumps({"request_id": f"f{x}", "ts": "2026-11-24T08:00:00Z", "features": {"x": x}})
        for x in range(3)
    ]
    foreign.joinpath(f"{0:020d}.ndjson").write_text(
        "\n".join([lines[0], '{"request_id": "torn', *lines[1:]]) + "\n"
    )
    foreign.joinpath(f"{4:020d}.ndjson").write_text("")  # a later file: the one before is whole
    config = str(folder / "gnomon.toml")
    status, out, _ = run(capsys, "replay", "--config", config, "--json")
    done = json.loads(out)
    assert (status, done["pairs"], done["dead_letters"]) == (0, 13, 1)
    status, out, _ = run(
        capsys, "sql", "--config", config, "--format", "json", "select reason from dead_letters"
    )
    assert json.loads(out) == [{"reason": "malformed"}]


def test_an_empty_log_gives_a_page_that_says_so_and_an_invalid_verdict(capsys, folder):
    mirrored(folder)
    config = str(folder / "gnomon.toml")
    status, out, _ = run(capsys, "report", "--config", config)
    assert status == 0
    page = Path(out.strip()).read_text()
    assert "INVALID" in page
    status, out, _ = run(capsys, "gate", "--config", config, "--json")
    assert (status, json.loads(out)["verdict"]) == (4, "INVALID")


def test_an_empty_log_names_the_command_that_feeds_it(capsys, folder):
    mirrored(folder)
    status, out, _ = run(capsys, "gate", "--config", str(folder / "gnomon.toml"))
    assert status == 4
    assert "There is no data yet: gnomon replay" in out
    assert "Mend" not in out


def test_a_part_has_a_page_without_a_verdict_and_the_gate_takes_none(capsys, folder):
    mirrored(folder)
    config = str(folder / "gnomon.toml")
    assert run(capsys, "replay", "--config", config)[0] == 0
    for options in (
        ["--where", "x > 5"],
        ["--from", "2020-01-01", "--against", "..2020-01-01", "--where", "x > 5"],
    ):
        status, out, err = run(capsys, "report", "--config", config, *options)
        assert status == 0, err
        page = Path(out.strip())
        text = re.sub(
            r"<[^>]+>", "", page.read_text().partition("<main")[2].partition('type="text/plain"')[0]
        )
        assert "A PART" in text and "A part has no verdict" in text and "4 of 10 pairs" in text
        assert "x &gt; 5" in text
        assert "no accounts of a condition" in text and "nothing missing" not in text
        assert not re.search(r"PROMOTE|REJECT|HOLD", text.partition("What differs")[0])
        written = json.loads(page.with_name("comparison.json").read_text())
        assert written["verdict"] is None
        assert written["comparison"]["part"]["where"] == "(x > 5)"
        assert ("Is it as it was?" in text) == ("--against" in options)
        assert page.parent.name.endswith("-part")
    status, out, _ = run(capsys, "report", "--config", config, "--from", "2020-01-01")
    assert status == 0
    assert "nothing missing" in Path(out.strip()).read_text()  # a window has accounts
    for option in ("--where", "--from", "--to"):
        status, out, err = run(capsys, "gate", "--config", config, option, "x")
        assert (status, out) == (2, "")
        assert "judges all of the traffic" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--examples", "-1"], "0 or more"),
        (["--from", "yesterday"], "not a time"),
        (["--against", "2026-01-01"], "FROM..TO"),
        (["--against", "2026-01-01.."], "name this one too"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "before it begins"),
        (["--where", "x > 1; drop view pairs"], "statements"),
        (["--where", "y > 1"], "y"),
    ],
)
def test_a_part_that_is_none_is_refused(capsys, folder, options, words):
    mirrored(folder)
    config = str(folder / "gnomon.toml")
    assert run(capsys, "replay", "--config", config)[0] == 0
    status, out, err = run(capsys, "report", "--config", config, *options)
    assert (status, out) == (2, "")
    assert words in err


def test_the_schema_of_one_view_as_text_and_as_json(capsys, folder):
    config = str(folder / "gnomon.toml")
    text = run(capsys, "sql", "--config", config, "--schema", "labels")[1]
    assert text.startswith("labels: ") and "served_label" not in text
    rows = json.loads(run(capsys, "sql", "--config", config, "--schema", "--json")[1])
    assert {row["view"] for row in rows} >= {"pairs", "labels", "dead_letters", "ledger", "decisions"}
    assert all(row["column"] and row["type"] and row["meaning"] for row in rows)
    status, _, err = run(capsys, "sql", "--config", config, "--schema", "pears")
    assert status == 2 and "there are pairs" in err
    assert run(capsys, "sql", "--config", config, "--time-limit", "0", "select 1")[0] == 2


def test_few_days_hold_and_advisory_lets_the_pipeline_go_on(capsys, folder):
    mirrored(folder)
    config = str(folder / "gnomon.toml")
    assert run(capsys, "replay", "--config", config)[0] == 0
    status, out, _ = run(capsys, "gate", "--config", config)
    assert status == 3
    assert out.startswith("HOLD")
    status, out, _ = run(capsys, "gate", "--config", config, "--advisory", "--json")
    assert status == 0
    assert (json.loads(out)["verdict"], json.loads(out)["advisory"]) == ("HOLD", True)


def test_sql_prints_tables_csv_and_json_and_refuses_to_write(capsys, folder):
    mirrored(folder, 3)
    config = str(folder / "gnomon.toml")
    assert run(capsys, "replay", "--config", config)[0] == 0
    query = "select request_id, x from pairs order by 1"
    assert (
        run(capsys, "sql", "--config", config, "--format", "csv", query)[1]
        == "request_id,x\nr0,0.0\nr1,1.0\nr2,2.0\n"
    )
    assert json.loads(run(capsys, "sql", "--config", config, "--format", "json", query)[1])[2] == {
        "request_id": "r2",
        "x": 2.0,
    }
    assert "3 rows" in run(capsys, "sql", "--config", config, query)[1]
    assert "candidate_label" in run(capsys, "sql", "--config", config, "--schema")[1]
    status, _, err = run(capsys, "sql", "--config", config, "copy (select 1) to 'x.csv'")
    assert status == 2
    assert "SELECT" in err
    assert run(capsys, "sql", "--config", config)[0] == 2
    assert run(capsys, "sql", "--config", config, "select nothing from pairs")[0] == 2


def test_a_labels_file_that_is_none(capsys, folder):
    mirrored(folder, 3)
    config = str(folder / "gnomon.toml")
    file = folder / "labels.csv"
    file.write_text("id,truth\nr0,1\n")
    status, _, err = run(capsys, "labels", "--config", config, str(file))
    assert status == 2
    assert "request_id" in err


def test_labels_that_no_model_ever_answered_are_named(capsys, folder):
    mirrored(folder, 10)
    config = str(folder / "gnomon.toml")
    assert run(capsys, "replay", "--config", config)[0] == 0
    file = folder / "labels.csv"
    file.write_text("request_id,label\nr0,0\nr1,late\nr9,1\n")
    status, _, err = run(capsys, "labels", "--config", config, str(file))
    assert status == 0
    assert "3 loaded" in err
    assert "1 labels are 'late', which no model ever answered (0, 1)" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("u"), exits.USAGE),
        (TrafficError("kafka://h/t", "away"), exits.UNABLE),
        (RuntimeError("a bug"), exits.UNABLE),
        (AssertionError(), exits.UNABLE),
        (MemoryError(), exits.UNABLE),
        (KeyboardInterrupt(), exits.UNABLE),
        (ModuleNotFoundError("no duckdb", name="duckdb"), exits.UNABLE),
        (ModuleNotFoundError("no such thing", name="thing"), exits.UNABLE),
    ],
)
def test_whatever_is_raised_is_one_line_and_never_status_1(capsys, error, status):
    def command() -> int:
        raise error

    assert exits.guarded(command) == status
    err = capsys.readouterr().err
    assert err.startswith("gnomon: ")
    assert err.count("\n") == 1


def test_a_replay_that_is_stopped_before_it_has_caught_up_says_so_by_its_status(folder):
    with Mirror(f"spool:{folder / 'traffic'}", require=True) as mirror:
        for x in range(5000):  # 15 MB: more than three reads, each a commit
            mirror.record({"x": x, "pad": "p" * 3000}, served={"label": 0})
    config = folder / "gnomon.toml"
    slow = "import time\n" + MODELS.replace(
        "    return pd", "    time.sleep(0.001 * len(frame))\n    return pd"
    )
    folder.joinpath("models.py").write_text(slow)
    config.write_text(CONFIG + "commit_rows = 50\n")
    command = [sys.executable, "-m", "gnomon.cli", "replay", "--config", str(config), "--until-caught-up"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = folder / "shadow" / "tiny" / "pairs" / "_delta_log"
    while process.poll() is None and not log.is_dir():
        pass
    process.terminate()
    assert process.wait(60) == 4
    assert "stopped before it had caught up" in process.communicate()[1]


def test_an_interrupted_replay_commits_and_goes_on_next_time(folder):
    mirrored(folder, 50)
    command = [
        sys.executable,
        "-m",
        "gnomon.cli",
        "replay",
        "--config",
        str(folder / "gnomon.toml"),
        "--follow",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = folder / "shadow" / "tiny" / "pairs" / "_delta_log"
    while process.poll() is None and not log.is_dir():
        pass
    process.terminate()
    assert process.wait(60) == 0
    assert "stopping" in process.communicate()[1]
