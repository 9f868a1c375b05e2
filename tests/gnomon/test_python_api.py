"""`gnomon` in Python: what docs/python.md says runs as it stands, and a comparison shows itself honestly."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from gnomon_capture import Mirror
from gnomon_capture.errors import UsageError
from gnomon_diff import notebook
from gnomon_diff.comparison import Comparison

import gnomon
from gnomon import cli

DOC = Path(__file__).parents[2] / "docs" / "python.md"
CONFIG = """\
[experiment]
name = "arrival-delay"
task = "binary"
positive = "late"

[traffic]
from = "spool:traffic"

[primary]
version = "3.2"
model = "models:primary"

[[candidate]]
version = "3.3"
model = "models:candidate"

[replay]
latency_min = 0
latency_per_s = 0
noise_frac = 0.5
"""
MODELS = """
import pandas as pd

def answers(late):
    return pd.DataFrame({"label": late.map({True: "late", False: "on time"}), "score": late * 0.5 + 0.25})

def primary(frame):
    return answers(frame["dep_delay"] > 20)

def candidate(frame):
    return answers(frame["dep_delay"] > 10)
"""
N = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that was replayed, with labels."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "gnomon.toml").write_text(CONFIG)
    (folder / "models.py").write_text(MODELS)
    labels = ["request_id,label"]
    with Mirror(f"spool:{folder / 'traffic'}", require=True, service="arrival-delay") as mirror:
        for index in range(N):
            delay, at = float(index % 40), datetime.datetime(2026, 11, 10, tzinfo=datetime.UTC)
            mirror.record(
                {"carrier": "MQ" if index % 4 == 0 else "UA", "dep_delay": delay},
                served={"label": "late" if delay > 20 else "on time", "score": 0.75 if delay > 20 else 0.25},
                request_id=f"r{index}",
                ts=at + datetime.timedelta(hours=1.5 * index),
            )
            labels.append(f"r{index},{'late' if delay > 15 else 'on time'}")
    (folder / "outcomes.csv").write_text("\n".join(labels) + "\n")
    config = str(folder / "gnomon.toml")
    assert cli.main(["replay", "--config", config]) == 0
    assert cli.main(["labels", "--config", config, str(folder / "outcomes.csv")]) == 0
    return folder


@pytest.fixture(scope="module")
def log(folder: Path) -> Any:
    return gnomon.open_log(folder / "gnomon.toml")


@pytest.fixture(scope="module")
def compared(log: Any) -> Comparison:
    return log.compare()


def test_the_documentation_runs_as_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    blocks = re.findall(r"^```python\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 7
    assert names["flips"].shape[0] == sum(10 < index % 40 <= 20 for index in range(N))
    assert names["right"].fetchall() == [(N, N - sum(10 < index % 40 <= 15 for index in range(N)))]
    assert names["verdict"].verdict == "HOLD"


def test_relations_are_of_duckdb_and_go_to_arrow_and_pandas(folder: Path) -> None:
    log = gnomon.open_log(str(folder / "shadow" / "arrival-delay"))
    pairs = log.pairs()
    assert isinstance(pairs, duckdb.DuckDBPyRelation)
    assert isinstance(pairs.df(), pd.DataFrame) and len(pairs.df()) == N
    assert isinstance(pairs.to_arrow_table(), pa.Table)
    assert pa.table(pairs.arrow()).num_rows == N
    assert log.pairs("3.3").shape[0] == N
    assert log.pairs("it's none").shape[0] == 0
    assert sorted(log.labels().columns) == ["label", "labelled_at", "loaded_at", "request_id", "value"]
    assert "arrival-delay" in repr(log)


def test_a_log_by_its_folder_compares_as_by_its_configuration(folder: Path, compared: Comparison) -> None:
    log = gnomon.open_log(folder / "shadow" / "arrival-delay")
    found = log.compare("3.3", positive="late")
    assert (found.disagreement, found.flips) == (compared.disagreement, compared.flips)
    assert gnomon.compare(log, positive="late").disagreement == compared.disagreement
    with pytest.raises(UsageError, match="positive"):
        log.compare()
    [carrier] = {
        one.key.feature
        for one in log.compare(positive="late", segments=["features.carrier"]).segments
        if one.judged
    }
    assert carrier == "features.carrier"


def test_a_part_is_no_verdicts(log: Any) -> None:
    part = log.compare(where="carrier = 'MQ'", from_ts="2026-11-12", to_ts="2026-11-14T12:00+01:00")
    assert part.part.to_ts == datetime.datetime(2026, 11, 14, 11, tzinfo=datetime.UTC)
    assert (
        part.accounts.paired
        == log.pairs().filter("carrier = 'MQ' AND ts >= '2026-11-12' AND ts < '2026-11-14 11:00+00'").shape[0]
    )
    verdict = gnomon.judge(part, log.policy)
    assert verdict.verdict == "INVALID"
    assert "a part of the traffic" in verdict.reason
    with pytest.raises(UsageError, match="not a time"):
        log.compare(from_ts="yesterday")


@pytest.mark.parametrize("shown", ["_repr_html_", "_repr_markdown_"])
def test_a_comparison_shows_every_figure_with_its_n_and_why_it_has_no_interval(
    compared: Comparison, shown: str
) -> None:
    text = getattr(compared, shown)()
    found = compared.disagreement
    for row in notebook.rows(compared):
        assert all(row)
    assert f"{100 * (found.rate or 0):.2f}" in text
    assert found.low is not None and found.high is not None
    ends = f"[{100 * found.low:.2f}, {100 * found.high:.2f}]"
    assert (ends if shown == "_repr_html_" else f"\\{ends[:-1]}\\]") in text
    assert f"{N} pairs" in text
    assert "Not a verdict" in text
    assert not {"PROMOTE", "REJECT", "HOLD", "INVALID"} & set(re.findall(r"\w+", text))


def test_before_there_is_an_interval_its_reason_is_shown(log: Any) -> None:
    early = log.compare(to_ts="2026-11-12")
    assert early.disagreement.low is None and early.disagreement.reason
    assert early.disagreement.reason in early._repr_html_()


def test_a_part_shows_that_it_is_one_and_nothing_in_it_is_markup(log: Any) -> None:
    part = log.compare(where="carrier = '<script>|x'")
    for text in (part._repr_html_(), part._repr_markdown_()):
        assert "<script" not in text
        assert "A part of the traffic has no verdict" in text
        assert "The accounts" not in text
    assert "\\|x" in part._repr_markdown_()


def test_an_empty_log_shows_itself_too(tmp_path: Path) -> None:
    found = gnomon.open_log(tmp_path / "nothing").compare(positive="late")
    assert "No pairs." in found._repr_html_()
    assert found._repr_markdown_().count("\n|") == 8


def test_opening_is_what_loads_the_heavy_parts() -> None:
    script = (
        "import sys, gnomon; before = {'duckdb', 'pyarrow', 'numpy'} & set(sys.modules); gnomon.open_log; "
        "print(len(before), 'duckdb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
