"""Logs of every schema there has been are read by today's code; those of schemas to come are refused.

`tests/data/log-schema-1` was written once, by the first gnomon: 24 requests of three days, `r<x>` of the key
`k<x % 5>` with the features x and carrier; users got `late` for odd x, the candidate says it for x % 3 = 1; a
torn line, one ledger, labels for even x.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import gnomon_diff
import pytest
from deltalake import DeltaTable
from gnomon_replay.errors import LogError
from gnomon_replay.forget import forget
from gnomon_replay.log import PairLog, app_id
from gnomon_replay.maintenance import maintain
from gnomon_replay.pairs import SCHEMA_VERSION
from gnomon_replay.settings import ReplaySettings

DATA = Path(__file__).parents[1] / "data"
DIGEST_QUERY = "SELECT DISTINCT candidate_digest AS digest FROM pairs"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A copy of the log of schema 1."""
    return Path(shutil.copytree(DATA / "log-schema-1", tmp_path / "e"))


def test_there_is_a_golden_log_of_each_schema() -> None:
    names = {path.name for path in DATA.glob("log-schema-*")}
    assert names == {f"log-schema-{version}" for version in range(1, SCHEMA_VERSION + 1)}


def test_the_log_of_schema_1_says_what_it_said(first: Path) -> None:
    rows = gnomon_diff.query(
        first,
        "SELECT request_id, key, x, carrier, attribute_region, served_label, candidate_label, disagrees, "
        "origin_seq, source_offset FROM pairs ORDER BY origin_seq",
    ).to_pylist()
    said = {True: "late", False: "on time"}
    assert rows == [
        {
            "request_id": f"r{x}",
            "key": f"k{x % 5}",
            "x": float(x),
            "carrier": ["UA", "AA", None][x % 3],
            "attribute_region": "eu" if x % 2 else "us",
            "served_label": said[x % 2 == 1],
            "candidate_label": said[x % 3 == 1],
            "disagrees": (x % 2 == 1) != (x % 3 == 1),
            "origin_seq": x,
            "source_offset": x,
        }
        for x in range(24)
    ]
    [counts] = gnomon_diff.query(
        first,
        "SELECT (SELECT count(*) FROM labels WHERE label = 'late') AS labels, "
        "(SELECT reason FROM dead_letters) AS reason, (SELECT max(seen) FROM ledger) AS seen",
    ).to_pylist()
    assert counts == {"labels": 12, "reason": "malformed", "seen": 60}


def test_the_log_of_schema_1_is_gone_on_with(first: Path) -> None:
    [row] = gnomon_diff.query(first, DIGEST_QUERY).to_pylist()
    log, stands = PairLog(first), app_id("spool:e/web", row["digest"])
    assert log.positions([stands]) == {stands: 26}
    assert log.recent_ids("spool:e/web", row["digest"], 5) == ["r21", "r22", "r23"]
    maintain(first, ReplaySettings())
    done = forget(first, ["k2"], [])
    assert (done.pairs, done.labels) == (5, 3)  # 2, 7, 12, 17, 22; the even ones of them are labelled
    [left] = gnomon_diff.query(first, "SELECT count(*) AS n FROM pairs").to_pylist()
    assert left["n"] == 19
    assert log.positions([stands]) == {stands: 26}


def test_a_later_schema_is_refused_in_plain_words_and_nothing_is_changed(first: Path) -> None:
    DeltaTable(str(first / "pairs")).alter.set_table_description(f"gnomon pairs, schema {SCHEMA_VERSION + 1}")
    before = sorted(str(path) for path in first.rglob("*"))
    for read in (
        lambda: gnomon_diff.open_log(first),
        lambda: PairLog(first).positions(["spool:e/web/d"]),
        lambda: maintain(first, ReplaySettings(keep_days=1)),
        lambda: forget(first, ["k2"], []),
    ):
        with pytest.raises(LogError, match=f"has schema {SCHEMA_VERSION + 1}.* upgrade gnomon"):
            read()
    assert sorted(str(path) for path in first.rglob("*")) == before
