"""The views: documented as they are, typed by the contract, safe whatever features are called."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gnomon_capture.errors import UsageError
from gnomon_diff import compare, open_log, query, schema_text
from gnomon_diff.decision import Decision, encode_decision
from gnomon_diff.settings import Critical, Policy
from gnomon_diff.sqlgate import _explained
from gnomon_diff.views import connect, views
from gnomon_replay.errors import LogError
from gnomon_replay.settings import Experiment

from .conftest import START, Planted, WriteLog

HOSTILE = [
    *(
        "a b",
        'say "hi"',
        "it's",
        "select",
        "a.b",
        "é💥",
        "new\nline",
        "{x}",
        "a,b;",
        "$1",
        "back\\slash",
        "`x`",
        "x)--",
    ),
    # names of columns, of the stored structs, of views, and of what the questions call things
    *(
        "ts",
        "weight",
        "served_label",
        "disagrees",
        "duplicate",
        "stand_in",
        "noise",
        "attribute_region",
        "row",
    ),
    *(
        "served",
        "candidate",
        "primary",
        "features",
        "attributes",
        "source",
        "origin",
        "request",
        "pair",
        "labels",
    ),
    *(
        "label",
        "value",
        "labelled_at",
        "truth",
        "n",
        "p",
        "c",
        "d",
        "y",
        "w",
        "f",
        "k0",
        "day",
        "kind",
        "later",
        "turn",
    ),
    *(
        "request_id",
        "feature_ts",
        "pairs",
        "segment",
        "place",
        "process",
        "local",
        "hour",
        "inside",
        "sampled",
        "a",
    ),
]


def one_row(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        [{"request_id": "r1", "ts": START, "served_label": "late", "candidate_label": "on time"} | columns]
    )


@pytest.fixture(params=["planted", "empty"])
def folder(request: pytest.FixtureRequest, planted: Planted, tmp_path: Path) -> Path:
    return planted.folder if request.param == "planted" else tmp_path / "nothing"


def test_every_view_is_documented_as_it_is(folder: Path) -> None:
    log = open_log(folder)
    connection = connect(log)
    assert {name for (name,) in connection.sql("SHOW TABLES").fetchall()} == {
        view.name for view in views(log)
    }
    for view in views(log):
        real = [(name, kind) for name, kind, *_ in connection.sql(f"DESCRIBE {view.name}").fetchall()]
        assert real == [(column.name, column.type) for column in view.columns]
        assert all(column.meaning for column in view.columns)


def test_the_schema_text_names_every_column(folder: Path) -> None:
    log = open_log(folder)
    text = schema_text(log)
    for view in views(log):
        assert f"{view.name}: {view.meaning}" in text
        for column in view.columns:
            assert f"  {column.name} " in text


def test_a_log_without_tables_has_views_without_rows(tmp_path: Path) -> None:
    log = open_log(tmp_path / "nothing")
    for view in views(log):
        assert query(log, f"SELECT count(*) AS n FROM {view.name}")["n"].to_pylist() == [0]


def test_pairs_leaves_duplicates_out_and_all_pairs_does_not(planted: Planted) -> None:
    def count(view: str) -> int:
        where = "candidate_digest = 'sha256:candidate'"
        return query(planted.folder, f"SELECT count(*) AS n FROM {view} WHERE {where}")["n"].to_pylist()[0]

    assert count("pairs") == (~planted.rows["duplicate"]).sum()
    assert count("all_pairs") == len(planted.rows)
    assert count("(FROM all_pairs WHERE duplicate)") == 200


def test_columns_of_pairs_say_what_pandas_says(planted: Planted) -> None:
    answer = query(
        planted.folder,
        "FROM pairs WHERE candidate_digest = 'sha256:candidate' ORDER BY source_partition, "
        "source_offset, source_line",
    ).to_pandas()
    rows = planted.rows[~planted.rows["duplicate"]].sort_values(
        ["source_partition", "source_offset", "source_line"]
    )
    rows = rows.reset_index(drop=True)
    assert answer["request_id"].tolist() == rows["request_id"].tolist()
    served = rows["served_label"].notna() | rows["served_score"].notna() | rows["served_error"].notna()
    assert answer["stand_in"].tolist() == (~served).tolist()
    assert served.mean() > 0.9 and not served.all()
    for field in ("label", "error", "message", "version"):
        expected = rows[f"served_{field}"].where(served, rows[f"primary_{field}"])
        assert answer[f"served_{field}"].dropna().to_dict() == expected.dropna().to_dict()
    assert answer["served_latency_us"].isna().tolist() == rows["served_latency_us"].isna().tolist()
    delta = rows["candidate_score"] - rows["served_score"].where(served, rows["primary_score"])
    pd.testing.assert_series_equal(answer["score_delta"], delta, check_names=False)
    failed = rows["candidate_error"].isin(["crash", "timeout"])
    hard = failed & ~rows["candidate_message"].fillna("").str.startswith("unreproduced: ")
    assert answer["candidate_critical"].tolist() == hard.tolist()
    assert answer["attribute_region"].tolist() == rows["attributes.region"].tolist()
    assert answer["carrier"].dropna().to_dict() == rows["features.carrier"].dropna().to_dict()
    assert answer["day"].tolist() == [moment.date() for moment in rows["ts"]]


def test_disagrees_is_null_where_a_side_failed_or_did_not_answer(tmp_path: Path, write_log: WriteLog) -> None:
    rows = pd.DataFrame(
        [
            {"request_id": "differ", "served_label": "late", "candidate_label": "on time"},
            {"request_id": "same", "served_label": "late", "candidate_label": "late"},
            {"request_id": "stand-in", "primary_label": "late", "candidate_label": "on time"},
            {
                "request_id": "served failed",
                "served_label": "late",
                "served_error": "exception",
                "candidate_label": "late",
            },
            {"request_id": "candidate failed", "served_label": "late", "candidate_error": "crash"},
            {"request_id": "no label", "served_score": 0.5, "candidate_label": "late"},
            {"request_id": "nobody", "candidate_label": "late"},
            {
                "request_id": "served, and primary",
                "served_label": "a",
                "primary_label": "b",
                "candidate_label": "b",
            },
        ]
    ).assign(ts=START)
    answer = query(write_log(tmp_path / "log", rows), "SELECT request_id, disagrees FROM pairs")
    assert dict(zip(*(column.to_pylist() for column in answer.columns), strict=True)) == {
        "differ": True,
        "same": False,
        "stand-in": True,
        "served failed": None,
        "candidate failed": None,
        "no label": None,
        "nobody": None,
        "served, and primary": True,
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_feature_may_be_called_anything(tmp_path: Path, write_log: WriteLog, name: str) -> None:
    rows = one_row(**{f"features.{name}": "x'\"; DROP", f"attributes.{name}": "y", "attributes.region": "eu"})
    folder = write_log(tmp_path / "log", rows, features={name: "string"})
    columns = [column for column in views(open_log(folder))[0].columns if column.origin]
    assert {column.origin for column in columns} == {
        f"features.{name}",
        f"attributes.{name}",
        "attributes.region",
    }
    [row] = query(folder, "FROM pairs").to_pylist()
    values = {column.origin: row[column.name] for column in columns}
    assert values == {f"features.{name}": "x'\"; DROP", f"attributes.{name}": "y", "attributes.region": "eu"}
    assert (row["request_id"], row["ts"], row["disagrees"], row["served_label"]) == (
        "r1",
        START,
        True,
        "late",
    )


def test_a_feature_goes_by_another_name_where_a_column_has_its_own(
    tmp_path: Path, write_log: WriteLog
) -> None:
    rows = one_row(
        **{"features.ts": 1.0, "features.Feature_TS": 2.0, "features.carrier": "AA", "attributes.ts": "x"}
    )
    kinds = {"ts": "double", "Feature_TS": "double", "carrier": "string"}
    folder = write_log(tmp_path / "log", rows, features=kinds)
    names = {column.origin: column.name for column in views(open_log(folder))[0].columns if column.origin}
    assert names == {
        "attributes.ts": "attribute_ts",
        "features.ts": "feature_ts",
        "features.Feature_TS": "feature_Feature_TS",  # to DuckDB, feature_ts and Feature_TS are one name
        "features.carrier": "carrier",
    }


@pytest.mark.parametrize("name", ["", "nul\0byte"])
def test_a_feature_that_duckdb_cannot_name_is_left_out(
    tmp_path: Path, write_log: WriteLog, name: str
) -> None:
    rows = one_row(**{f"features.{name}": 1.0, "features.good": 2.0})
    folder = write_log(tmp_path / "log", rows, features={name: "double", "good": "double"})
    assert query(folder, "SELECT good FROM pairs")["good"].to_pylist() == [2.0]


def test_what_a_file_does_not_have_reads_as_null(tmp_path: Path, write_log: WriteLog) -> None:
    folder = tmp_path / "log"
    write_log(folder, one_row())
    write_log(
        folder,
        one_row(request_id="r2", **{"features.new": 2.0, "attributes.region": "eu"}),
        features={"new": "double"},
    )
    answer = query(folder, "SELECT request_id, new, attribute_region FROM pairs ORDER BY request_id")
    assert answer.to_pylist() == [
        {"request_id": "r1", "new": None, "attribute_region": None},
        {"request_id": "r2", "new": 2.0, "attribute_region": "eu"},
    ]


def test_nan_is_found_where_there_is_one(tmp_path: Path, write_log: WriteLog) -> None:
    rows = pd.concat(
        [one_row(request_id=f"r{index}", **{"features.x": value}) for index, value in enumerate([1.0, 2.0])]
    )
    nan = one_row(request_id="nan").assign(**{"features.x": pd.Series([float("nan")], dtype=object)})
    folder = write_log(tmp_path / "log", pd.concat([rows, nan]), features={"x": "double"})
    # DuckDB prunes by Parquet's smallest and largest value, which say nothing of NaN, unless it is told.
    assert query(folder, "SELECT request_id FROM pairs WHERE isnan(x)")["request_id"].to_pylist() == ["nan"]


@pytest.mark.parametrize("name", ["with space", "a=b", "ü#?&+", "it's", "star*"])
def test_a_log_may_lie_in_a_folder_of_any_name(tmp_path: Path, write_log: WriteLog, name: str) -> None:
    folder = write_log(tmp_path / name / "log", one_row())
    assert query(folder, "SELECT count(*) AS n FROM pairs")["n"].to_pylist() == [1]


def test_a_snapshot_does_not_move(tmp_path: Path, write_log: WriteLog) -> None:
    folder = write_log(tmp_path / "log", one_row())
    log = open_log(folder)
    write_log(folder, one_row(request_id="r2"))
    assert query(log, "SELECT count(*) AS n FROM pairs")["n"].to_pylist() == [1]
    assert query(folder, "SELECT count(*) AS n FROM pairs")["n"].to_pylist() == [2]
    assert open_log(folder).pairs.version == (log.pairs.version or 0) + 1


def test_the_latest_label_of_a_request_counts(planted: Planted) -> None:
    answer = query(planted.folder, "SELECT request_id, label FROM labels")
    assert (
        dict(zip(*(column.to_pylist() for column in answer.columns), strict=True)) == planted.truth.to_dict()
    )


def test_dead_letters_and_ledgers_are_folded(planted: Planted) -> None:
    dead = sum(len(places["dead"]) for places in planted.sent.values())
    assert query(planted.folder, "SELECT count(*) AS n FROM dead_letters")["n"].to_pylist() == [dead + 1]
    assert "bytes" not in query(planted.folder, "FROM dead_letters").column_names
    ledgers = query(
        planted.folder, "FROM ledger WHERE removed_from_seq IS NULL ORDER BY process, upto_seq"
    ).to_pylist()
    assert [(row["process"], row["upto_seq"]) for row in ledgers] == [
        ("web-1", 9),
        ("web-1", planted.ledgers["web-1"]["upto_seq"]),
        ("web-2", 9),
        ("web-2", planted.ledgers["web-2"]["upto_seq"]),
    ]
    assert dict(ledgers[1]["dropped"]) == {"buffer_full": 30, "closing": 4}


def test_decisions_are_read_from_their_records(tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    for number, human in enumerate([None, {"name": 'Ada\'s "own"', "reason": "late"}]):
        decision = Decision(
            schema=1,
            number=number,
            previous=None if number == 0 else "sha256:before",
            made_at=datetime.datetime(2026, 3, 20 + number, tzinfo=datetime.UTC),
            experiment="trial",
            candidate_version="3.3",
            candidate_digest="sha256:c",
            primary_digest=None,
            policy_digest="sha256:p",
            policy={"gate": {}},
            days=14 + number,
            look=14,
            verdict="HOLD",
            reason="it's open",
            valid_until=None,
            comparison_digest="sha256:x",
            human=human,
            gnomon_version="0.1",
        )
        (tmp_path / "decisions" / f"{9 - number}.json").write_bytes(encode_decision(decision))
    rows = query(
        tmp_path,
        "SELECT number, made_at, verdict, reason, look, days, human, previous FROM decisions ORDER BY number",
    ).to_pylist()
    assert rows == [
        {
            "number": 0,
            "made_at": datetime.datetime(2026, 3, 20, tzinfo=datetime.UTC),
            "verdict": "HOLD",
            "reason": "it's open",
            "look": 14,
            "days": 14,
            "human": None,
            "previous": None,
        },
        {
            "number": 1,
            "made_at": datetime.datetime(2026, 3, 21, tzinfo=datetime.UTC),
            "verdict": "HOLD",
            "reason": "it's open",
            "look": 14,
            "days": 15,
            "human": rows[1]["human"],
            "previous": "sha256:before",
        },
    ]
    assert rows[1]["human"] == '{"name":"Ada\'s \\"own\\"","reason":"late"}'


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "other bytes"])
def test_a_broken_file_of_the_log_says_so(
    tmp_path: Path, write_log: WriteLog, experiment: Experiment, damage: str
) -> None:
    folder = write_log(tmp_path / "log", one_row())
    log = open_log(folder)
    file = Path(log.files[0])
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": file.read_bytes()[:-20], "empty": b"", "other bytes": b"x" * 500}[damage])
    with pytest.raises(LogError, match="changed or broke"):
        compare(log, experiment, Policy(critical_errors=Critical()))
    with pytest.raises(LogError if damage == "gone" else (LogError, UsageError)):
        query(log, "SELECT sum(weight) FROM pairs")


def test_a_file_that_goes_while_a_query_runs_is_the_logs_fault(tmp_path: Path, write_log: WriteLog) -> None:
    log = open_log(write_log(tmp_path / "log", one_row()))
    with pytest.raises(LogError, match="changed while it was read"), _explained(log, 1.0):
        connection = connect(log)
        Path(log.files[0]).unlink()
        connection.sql("FROM pairs").fetchall()


def test_a_broken_table_says_so(tmp_path: Path, write_log: WriteLog) -> None:
    folder = write_log(tmp_path / "log", one_row())
    (folder / "pairs" / "_delta_log" / "00000000000000000000.json").write_text("{")
    with pytest.raises(LogError, match="cannot be read"):
        open_log(folder)


def test_a_broken_decision_record_says_so(tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "0.json").write_text("{}")
    with pytest.raises(LogError, match="decisions cannot be read"):
        open_log(tmp_path)


def test_a_file_is_no_log(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="name the folder"):
        open_log(file)
