"""Labels from files: CSV and Parquet as people write them, and what is none."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gnomon_capture.errors import UsageError
from gnomon_diff import load_labels, query
from gnomon_replay.errors import LogError

from .conftest import START, WriteLog


@pytest.fixture
def log(tmp_path: Path, write_log: WriteLog) -> Path:
    rows = pd.DataFrame({"request_id": ["r1", "r2", "r3", "007"], "ts": START, "served_label": "late"})
    return write_log(tmp_path / "log", rows)


def loaded(log: Path) -> dict[str, str]:
    answer = query(log, "SELECT request_id, label FROM labels ORDER BY request_id")
    return dict(zip(*(column.to_pylist() for column in answer.columns), strict=True))


def write(tmp_path: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_csv_is_loaded_and_counted(tmp_path: Path, log: Path) -> None:
    file = write(tmp_path, "request_id,label\nr1,late\nr2,on time\nnobody,late\nr3,\n007,late\n")
    found = load_labels(file, log)
    assert (found.rows, found.requests, found.matched, found.without_label) == (4, 4, 3, 1)
    assert loaded(log) == {"r1": "late", "r2": "on time", "nobody": "late", "007": "late"}


def test_later_rows_and_later_files_correct_earlier_ones(tmp_path: Path, log: Path) -> None:
    first = write(tmp_path, "request_id,label\nr1,late\nr2,late\nr1,on time\n")
    found = load_labels(first, log)
    assert (found.rows, found.requests) == (3, 2)
    assert loaded(log) == {"r1": "on time", "r2": "late"}
    load_labels(write(tmp_path, "request_id,label\nr2,on time\n"), log)
    assert loaded(log) == {"r1": "on time", "r2": "on time"}


def test_the_last_row_wins_in_a_file_of_many(tmp_path: Path, log: Path) -> None:
    rows = pd.DataFrame({"request_id": [f"r{index % 100_000}" for index in range(400_000)]})
    rows["label"] = ["early"] * 300_000 + ["late"] * 100_000
    file = tmp_path / "many.csv"
    rows.to_csv(file, index=False)
    load_labels(file, log)
    assert set(loaded(log).values()) == {"late"}


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["1.0", "0"], ["1", "0"]),
        ([True, False], ["1", "0"]),
        ([1, 0], ["1", "0"]),
        ([1.0, 0.0], ["1", "0"]),
        ([0.1, 2.5], ["0.1", "2.5"]),
        (["late", "on time"], ["late", "on time"]),
        (pd.array([0.1, 2.5], dtype="float32"), ["0.1", "2.5"]),
        (pd.Categorical(["late", "x"]), ["late", "x"]),
        ([2**60 + 1, 7], [str(2**60 + 1), "7"]),
    ],
)
def test_labels_are_stored_in_canonical_form(tmp_path: Path, log: Path, values: Any, form: list[str]) -> None:
    file = tmp_path / "labels.parquet"
    pd.DataFrame({"request_id": ["r1", "r2"], "label": values}).to_parquet(file)
    load_labels(file, log)
    assert loaded(log) == {"r1": form[0], "r2": form[1]}


def test_a_missing_label_is_left_out(tmp_path: Path, log: Path) -> None:
    file = tmp_path / "labels.parquet"
    pd.DataFrame({"request_id": ["r1", "r2"], "label": [1.0, float("nan")]}).to_parquet(file)
    assert load_labels(file, log).without_label == 1
    assert loaded(log) == {"r1": "1"}


@pytest.mark.parametrize(
    "text",
    [
        "request_id,label,labelled_at\nr1,late,2026-03-05T10:00:00Z\n",
        "request_id;labelled_at;label\r\nr1;2026-03-05 12:00:00+02;late\r\n",
        "\ufeffrequest_id\tlabel\tlabelled_at\nr1\tlate\t2026-03-05 10:00:00\n",
        'label,"request_id",other,Labelled_At\n"late","r1","a,""b""\n",2026-03-05T10:00:00\n',
        "request_id,value,labelled_at\nr1,late,2026-03-05T10:00:00Z",
    ],
)
def test_a_csv_may_be_written_in_many_ways(tmp_path: Path, log: Path, text: str) -> None:
    load_labels(write(tmp_path, text), log)
    [row] = query(log, "SELECT request_id, label, labelled_at FROM labels").to_pylist()
    assert row == {
        "request_id": "r1",
        "label": "late",
        "labelled_at": datetime.datetime(2026, 3, 5, 10, tzinfo=datetime.UTC),
    }


def test_parquet_is_told_by_its_bytes_and_numbers_as_ids_are_text(tmp_path: Path, log: Path) -> None:
    file = tmp_path / "labels.dat"
    when = pa.array([datetime.datetime(2026, 3, 5, 10)], pa.timestamp("ms"))
    pq.write_table(pa.table({"request_id": [7], "value": ["late"], "labelled_at": when}), file)
    load_labels(file, log)
    [row] = query(log, "FROM labels").to_pylist()
    assert (row["request_id"], row["label"]) == ("7", "late")
    assert row["labelled_at"] == datetime.datetime(2026, 3, 5, 10, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\nr1,late\n", "has no column request_id"),
        ("request_id,lable\nr1,late\n", "has no column label or value.*lable"),
        ("requestid,label\nr1,late\n", "is requestid meant"),
        ("request_id,label\n", "has no labels in it"),
        ("request_id,label\nr1,\n", "has no labels in it"),
        ("request_id,label\nr1,late\n,late\n", "row 2 has no request_id"),
        ("request_id,label,labelled_at\nr1,late,soon\n", "row 1 has no time such as"),
        ("", "has no column request_id|cannot be read"),
        (b"\x00\xff\xfe\x01" * 50, "has no column request_id|cannot be read"),
        (b"request_id,label\nr1,\xff\xfe\n", "cannot be read"),
        (b"PAR1 and no more", "cannot be read"),
    ],
)
def test_a_file_that_is_none_of_labels_says_what_to_do(
    tmp_path: Path, log: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        load_labels(write(tmp_path, text), log)
    assert (
        "a label file has the columns request_id and label (or value)" in str(error.value) or "row" in message
    )
    assert loaded(log) == {}


def test_a_file_that_is_not_there_says_so(tmp_path: Path, log: Path) -> None:
    for missing in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(UsageError, match="there is no file"):
            load_labels(missing, log)


def test_labels_may_come_before_the_first_pair(tmp_path: Path) -> None:
    found = load_labels(write(tmp_path, "request_id,label\nr1,late\n"), tmp_path / "log")
    assert (found.rows, found.matched) == (1, 0)
    assert loaded(tmp_path / "log") == {"r1": "late"}


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path, log: Path) -> None:
    (log / "labels").write_text("a file where the table should be")
    with pytest.raises(LogError, match="labels"):
        load_labels(write(tmp_path, "request_id,label\nr1,late\n"), log)


def test_hostile_labels_and_ids_are_values(tmp_path: Path, log: Path) -> None:
    rows = pd.DataFrame(
        {"request_id": ["a'b", 'say "hi"', "x; DROP TABLE labels"], "label": ["<b>", "'", "é💥"]}
    )
    file = tmp_path / "it's [1] *.csv"
    rows.to_csv(file, index=False)
    load_labels(file, log)
    assert loaded(log) == dict(zip(rows["request_id"], rows["label"], strict=True))


def test_true_values_of_a_regression_are_numbers(tmp_path: Path, log: Path) -> None:
    file = write(tmp_path, "request_id,value,label\nr1,1.50,a\nr2,-2e3,b\nr3,,c\n007,nan,d\n")
    found = load_labels(file, log, "regression")
    assert (found.rows, found.matched, found.without_label) == (2, 2, 2)
    rows = query(log, "SELECT request_id, label, value FROM labels ORDER BY request_id").to_pylist()
    assert rows == [
        {"request_id": "r1", "label": None, "value": 1.5},
        {"request_id": "r2", "label": None, "value": -2000.0},
    ]
    load_labels(
        write(tmp_path, "request_id,label\nr1,7\n"), log, "regression"
    )  # corrected; the column may be `label`
    assert query(log, "SELECT value FROM labels WHERE request_id = 'r1'").to_pylist() == [{"value": 7.0}]


@pytest.mark.parametrize("text", ["late", "inf", "1,5"])
def test_a_true_value_that_is_no_number_is_refused(tmp_path: Path, log: Path, text: str) -> None:
    file = write(tmp_path, f'request_id,value\nr1,1\nr2,"{text}"\n')
    with pytest.raises(UsageError, match=f"row 2 has the value '{text}'"):
        load_labels(file, log, "regression")
    assert loaded(log) == {}
