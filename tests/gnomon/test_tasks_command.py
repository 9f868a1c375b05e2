"""Tasks beyond binary on the command line: replayed and read, and not judged yet."""

from __future__ import annotations

import csv
import io
import json
import socket
from pathlib import Path

import pytest
from gnomon_capture import Mirror

from gnomon import cli

CONFIG = """\
[experiment]
name = "tiny"
task = "{task}"
{more}

[traffic]
from = "spool:traffic"

[primary]
version = "1"

[[candidate]]
version = "2"
model = "{model}"
timeout_s = 30

[replay]
latency_min = 0
latency_per_s = 0
"""

MODELS = """
def regression(frame): return frame["x"] * 2
def multiclass(frame): return [{"scores": [.2, .7, .1]} for _ in frame["x"]]
def ranking(frame): return [{"output": [x, "b"]} for x in frame["x"]]
"""

SERVED = {
    "regression": {"score": 2.5},
    "multiclass": {"label": 1.0, "scores": [0.1, 0.8, 0.1]},
    "ranking": {"output": [0, "b"]},
}
EXPECTED = {
    "regression": {"served_score": "2.5", "candidate_score": "6.0", "candidate_label": ""},
    "multiclass": {
        "served_label": "1",
        "candidate_label": "1",
        "served_scores": "[0.1, 0.8, 0.1]",
        "candidate_scores": "[0.2, 0.7, 0.1]",
    },
    "ranking": {"served_output": '["0","b"]', "candidate_output": '["3","b"]'},
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(list(arguments))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def prepared(folder: Path, task: str, model: str) -> str:
    more = 'classes = ["no", 1, "maybe"]' if task == "multiclass" else ""
    (folder / "gnomon.toml").write_text(CONFIG.format(task=task, more=more, model=model))
    (folder / "models.py").write_text(MODELS)
    with Mirror(f"spool:{folder / 'traffic'}", require=True) as mirror:
        for x in range(4):
            mirror.record({"x": x}, served=SERVED[task], request_id=f"r{x}")
    return str(folder / "gnomon.toml")


@pytest.mark.parametrize("task", list(EXPECTED))
def test_a_task_is_replayed_and_read_but_not_judged_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    config = prepared(tmp_path, task, f"models:{task}")
    status, out, err = run(capsys, "replay", "--config", config, "--json")
    assert (status, json.loads(out)["pairs"], json.loads(out)["errors"]) == (0, 4, 0), err
    columns = ", ".join(f"{name}::VARCHAR AS {name}" for name in EXPECTED[task])
    query = f"SELECT {columns} FROM pairs WHERE request_id = 'r3'"
    status, out, err = run(capsys, "sql", "--config", config, "--format", "csv", query)
    assert status == 0, err
    [row] = csv.DictReader(io.StringIO(out))
    assert row == EXPECTED[task]
    for command in ("report", "gate"):
        status, out, err = run(capsys, command, "--config", config)
        assert (status, out) == (2, "")
        assert f"has a {task} task, and only binary ones are judged and reported so far" in err


def test_true_values_of_a_regression_are_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = prepared(tmp_path, "regression", "models:regression")
    (tmp_path / "values.csv").write_text("request_id,value\nr1,2.5\n")
    status, _, err = run(capsys, "labels", "--config", config, str(tmp_path / "values.csv"))
    assert status == 0, err
    status, out, _ = run(
        capsys, "sql", "--config", config, "--format", "csv", "SELECT label, value FROM labels"
    )
    assert (status, out.splitlines()[1]) == (0, ",2.5")


def test_true_answers_of_a_ranking_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = prepared(tmp_path, "ranking", "models:ranking")
    (tmp_path / "labels.csv").write_text("request_id,label\nr1,a\n")
    status, _, err = run(capsys, "labels", "--config", config, str(tmp_path / "labels.csv"))
    assert status == 2
    assert "whose true answers cannot be loaded yet" in err


def test_costs_are_those_of_a_binary_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = prepared(tmp_path, "regression", "models:regression")
    with Path(config).open("a") as file:
        file.write("\n[labels]\ncost = { false_positive = 1, false_negative = 5 }\n")
    status, _, err = run(capsys, "replay", "--config", config)
    assert status == 2
    assert "only a binary one has costs" in err and "line" in err


def test_an_endpoint_that_is_away_ends_the_run_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = prepared(tmp_path, "regression", f"http://127.0.0.1:{port}/predict")
    text = Path(config).read_text().replace("timeout_s = 30", "timeout_s = 0.2")
    Path(config).write_text(text)
    status, _, err = run(capsys, "replay", "--config", config)
    assert status == 4
    assert f"gnomon: model 2: http://127.0.0.1:{port}/predict does not take requests" in err
    assert not (tmp_path / "shadow" / "tiny" / "pairs").exists()


def test_a_key_that_does_not_fit_the_task_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(prepared(tmp_path, "regression", "models:regression"))
    config.write_text(config.read_text().replace('task = "regression"', 'task = "regression"\npositive = 1'))
    status, _, err = run(capsys, "replay", "--config", str(config))
    assert status == 2
    assert "line 4: [experiment.positive] a regression task has no positive label" in err
