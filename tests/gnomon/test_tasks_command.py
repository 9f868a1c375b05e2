"""Tasks beyond binary on the command line: replayed, read, reported and judged."""

from __future__ import annotations

import csv
import io
import json
import socket
from pathlib import Path

import pytest
from gnomon_capture import Mirror
from gnomon_diff.comparison import from_json

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
def test_a_task_is_replayed_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str) -> None:
    config = prepared(tmp_path, task, f"models:{task}")
    status, out, err = run(capsys, "replay", "--config", config, "--json")
    assert (status, json.loads(out)["pairs"], json.loads(out)["errors"]) == (0, 4, 0), err
    columns = ", ".join(f"{name}::VARCHAR AS {name}" for name in EXPECTED[task])
    query = f"SELECT {columns} FROM pairs WHERE request_id = 'r3'"
    status, out, err = run(capsys, "sql", "--config", config, "--format", "csv", query)
    assert status == 0, err
    [row] = csv.DictReader(io.StringIO(out))
    assert row == EXPECTED[task]


PRIMARIES_AND_CANDIDATES = """
def p_regression(f): return f["x"] * 2.0
def c_regression(f): return f["x"] * 2.0 + (f["x"] % 10 == 3) * 5

def p_multiclass(f): return [{"label": "abc"[x % 3]} for x in f["x"].astype(int)]
def c_multiclass(f): return [{"label": "abz"[x % 3]} for x in f["x"].astype(int)]

def ids(x): return [str(int(x) + place) for place in range(12)]
def p_ranking(f): return [{"output": ids(x)} for x in f["x"]]
def c_ranking(f): return [{"output": ids(x)[3:] if x % 2 else ids(x)} for x in f["x"]]

def p_text(f): return [{"label": f"The answer is {int(x)}."} for x in f["x"]]
def c_text(f): return [{"label": f"the answer is  {int(x)}!" if x % 5 else "unknown"} for x in f["x"]]

def document(x): return {"total": x / 2, "tags": ["a", "b"]}
def p_json(f): return [{"output": document(x)} for x in f["x"]]
def c_json(f):
    return [{"output": {**document(x), **({"tags": ["b", "a"]} if x % 4 == 1 else {}), "trace": str(x)}} for x in f["x"]]
"""
JUDGED = {
    # task: what was served, what `[disagreement]` says, how many of 60 differ, words of the page
    "regression": (lambda x: {"score": x * 2.0}, "", 6, ["another value", "absolute difference"]),
    "multiclass": (
        lambda x: {"label": "abc"[x % 3]},
        "",
        20,
        ["a label that is neither declared nor among those that users got"],
    ),
    "ranking": (
        lambda x: {"output": [str(x + place) for place in range(12)]},
        "[disagreement]\ntop_k = 5",
        30,
        ["other ids", "overlap of the first 5", "Spearman"],
    ),
    "text": (lambda x: {"label": f"The answer is {x}."}, "", 12, ["another text"]),
    "json": (
        lambda x: {"output": {"total": x / 2, "tags": ["a", "b"]}},
        '[disagreement.paths]\n"$.trace" = { ignore = true }',
        15,
        ["$.tags", "another order"],
    ),
}


@pytest.mark.parametrize("task", list(JUDGED))
def test_a_task_is_replayed_reported_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    served, rules, differ, words = JUDGED[task]
    more = 'classes = ["a", "b", "c"]' if task == "multiclass" else ""
    text = CONFIG.format(task=task, more=more, model=f"models:c_{task}")
    text = text.replace('version = "1"', f'version = "1"\nmodel = "models:p_{task}"')
    config = tmp_path / "gnomon.toml"
    config.write_text(f"{text}noise_frac = 0.5\n{rules}\n")
    (tmp_path / "models.py").write_text(PRIMARIES_AND_CANDIDATES)
    with Mirror(f"spool:{tmp_path / 'traffic'}", require=True) as mirror:
        for x in range(60):
            mirror.record({"x": x, "half": "ab"[x % 2]}, served=served(x), request_id=f"r{x:02d}")
    status, out, err = run(capsys, "replay", "--config", str(config), "--json")
    assert (status, json.loads(out)["pairs"], json.loads(out)["errors"]) == (0, 60, 0), err

    status, out, err = run(capsys, "report", "--config", str(config))
    assert status == 0, err
    page = Path(out.strip()).read_text()
    assert all(word in page for word in words)
    assert "P(positive)" not in page
    document = from_json((Path(out.strip()).parent / "comparison.json").read_bytes())
    found = document.comparison.disagreement
    assert (found.n, found.flips, found.rate, found.noise) == (60, differ, differ / 60, 0)
    assert found.excess == differ / 60
    assert found.noise_n > 10
    assert len(document.comparison.examples) == differ

    status, out, err = run(capsys, "gate", "--config", str(config), "--json")
    assert status == 3, err  # no whole day yet
    assert json.loads(out)["verdict"] == "HOLD"
    query = "SELECT count(*) AS n FROM pairs WHERE disagrees AND difference IS NOT NULL"
    status, out, err = run(capsys, "sql", "--config", str(config), "--format", "csv", query)
    assert (status, out.split()) == (0, ["n", str(differ)]), err


def test_a_rule_of_another_task_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(prepared(tmp_path, "regression", "models:regression"))
    config.write_text(config.read_text() + "\n[disagreement]\ntop_k = 3\n")
    status, _, err = run(capsys, "report", "--config", str(config))
    line = config.read_text().splitlines().index("top_k = 3") + 1
    assert status == 2
    assert f"line {line}: [disagreement.top_k] it is of a ranking task, and this is a regression one" in err


def test_a_path_that_is_in_no_answer_ends_report_and_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gnomon.toml"
    rules = '[disagreement.paths]\n"$.totals" = { max_absolute = 1 }\n'
    config.write_text(CONFIG.format(task="json", more="", model="models:c_json") + rules)
    (tmp_path / "models.py").write_text(PRIMARIES_AND_CANDIDATES)
    with Mirror(f"spool:{tmp_path / 'traffic'}", require=True) as mirror:
        mirror.record({"x": 1}, served={"output": {"total": 1}}, request_id="r")
    assert run(capsys, "replay", "--config", str(config))[0] == 0
    for command in ("report", "gate"):
        status, out, err = run(capsys, command, "--config", str(config))
        assert (status, out) == (2, "")
        assert "disagreement.paths names $.totals, which no answer has; did you mean $.total?" in err


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
