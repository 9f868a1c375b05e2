"""Traffic that was selected, limited and redacted at its source: its accounts, weights and keys at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gnomon_capture import redacted_key, sticky_point
from gnomon_capture.configfile import read_capture

import gnomon

REQUESTS, KEYS = 6000, 600

CONFIG = """
[experiment]
name = "sampled"
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

[capture]
ledger_every_s = 0.2

[capture.select]
frac = 0.25
by = "key"
max_per_s = 300

[[capture.select.rules]]
where.features.x.min = 9
frac = 1.0

[capture.redact]
secret_env = "REDACT_SECRET"
fields = { key = "hash", "features.name" = "drop" }
"""

MODELS = """
import pandas as pd

def candidate(frame):
    return pd.DataFrame({"label": (frame["x"] > 3).astype(int), "score": frame["x"] / 10})
"""


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "gnomon.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of an experiment, its comparison, and what the mirror counted itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDACT_SECRET", "correct horse battery staple")
        folder = tmp_path_factory.mktemp("sampled")
        (folder / "gnomon.toml").write_text(CONFIG)
        (folder / "models.py").write_text(MODELS)
        with gnomon.Mirror.from_config(folder / "gnomon.toml") as mirror:
            for number in range(REQUESTS):
                x = number % 10
                served = {"label": int(x > 4), "score": x / 10}
                mirror.record({"x": x, "name": "Ada"}, served=served, key=str(number // 10 % KEYS))
        run(folder, "replay")
        page = folder / run(folder, "report").strip()
        comparison = json.loads(page.with_name("comparison.json").read_text())["comparison"]
        yield folder, comparison, mirror.stats()


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    return json.loads(run(folder, "sql", "--format", "json", query))  # type: ignore[no-any-return]


def selected(number: int) -> bool:
    return number % 10 >= 9 or sticky_point(str(number // 10 % KEYS)) < 0.25


def test_the_accounts_balance_from_what_was_seen_to_what_was_paired(sampled: Any) -> None:
    _, comparison, stats = sampled
    accounts = comparison["accounts"]
    chosen = sum(map(selected, range(REQUESTS)))
    assert accounts["seen"] == REQUESTS
    assert accounts["not_selected"] == REQUESTS - chosen
    assert accounts["dropped"] == {"rate_limited": chosen - accounts["mirrored"]}
    assert accounts["mirrored"] == accounts["paired"] == stats.mirrored >= 300
    assert (accounts["missing"], accounts["pending"], accounts["dead_letters"]) == (0, 0, {})
    assert [line["balanced"] for line in accounts["balances"]] == [True] * len(accounts["balances"])


def test_each_pair_has_the_weight_of_the_rule_that_selected_it(sampled: Any) -> None:
    folder, *_ = sampled
    groups = rows(folder, "select x >= 9 as high, min(weight) least, max(weight) most from pairs group by 1")
    assert {row["high"]: (row["least"], row["most"]) for row in groups} == {True: (1, 1), False: (4, 4)}


def test_a_users_rows_are_found_by_the_redacted_key_and_nothing_else_of_theirs_is_there(
    sampled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = sampled
    monkeypatch.setenv("REDACT_SECRET", "correct horse battery staple")
    first = rows(folder, "select key, count(*) n from pairs group by 1 order by min(origin_seq) limit 1")
    redact = read_capture(folder / "gnomon.toml").settings.redact
    assert [row["key"] for row in first] == [redacted_key(redact, "0")]
    columns = {row["column_name"] for row in rows(folder, "describe select * from pairs")}
    assert "x" in columns
    assert "name" not in columns
