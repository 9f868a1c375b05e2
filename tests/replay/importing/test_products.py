"""The logs of KServe, Databricks and SageMaker, made after what these publish."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from gnomon_capture.errors import UsageError
from gnomon_replay.importing.bodies import Asked, rows_of
from gnomon_replay.importing.skips import SkipError

DATA = Path(__file__).resolve().parents[2] / "data" / "import"
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]


def named(values):
    return dict(zip(IRIS, values, strict=True))


def test_kserves_events_are_paired_by_id_in_both_protocols_and_any_order(imported):
    [done], records, [ledger] = imported(DATA / "kserve.ndjson", columns=IRIS)
    first, second, third = records
    batch = "0009174a-24a8-4603-b098-09c8799950e9"
    assert [first.request_id, second.request_id] == [f"{batch}.0", f"{batch}.1"]
    assert [first.features, second.features] == [named(row) for row in ROWS]
    assert {first.key, second.key} == {batch}  # rows that came together depend on each other
    assert [first.served.label, second.served.label] == [1, 1]
    assert (first.served.latency_us, first.service) == (None, "sklearn-iris")
    assert third.request_id == "689b15e7-84a1-4e89-9805-20809efc216d"
    assert third.features == named(ROWS[0])
    assert (third.served.label, third.served.version) == (2, "v1.0.0")
    assert third.served.latency_us == 505_997 - 501_752
    assert third.ts == "2023-04-05T07:39:53.501752Z"
    assert done.format == "kserve"
    lines = {why: [line for line, _ in each] for why, each in done.skipped.examples.items()}
    assert lines == {"bad_row": [6, 7], "no_response": [5]}
    assert ledger.dropped == {"bad_row": 2, "no_response": 1}


def test_a_log_of_requests_alone_has_nothing_served(imported, tmp_path):
    path = tmp_path / "events.ndjson"
    lines = (DATA / "kserve.ndjson").read_text().splitlines()
    path.write_text("\n".join(line for line in lines[:5] if ".response" not in line) + "\n")
    _, records, _ = imported(path)
    assert len(records) == 4
    assert {record.served for record in records} == {None}
    assert records[0].payload == ROWS[0]  # its values have no names


def test_events_of_one_request_may_stand_in_different_files(imported, tmp_path):
    asked, answered, *_ = (DATA / "kserve.ndjson").read_text().splitlines()
    (tmp_path / "a.ndjson").write_text(asked + "\n")
    (tmp_path / "b.ndjson").write_text(answered + "\n")
    [done], records, _ = imported(tmp_path / "a.ndjson", tmp_path / "b.ndjson")
    assert (done.records, len(records), done.skipped.total) == (2, 2, 0)


def custom_model_table(rows):
    """The schema that the documentation gives for custom models' inference tables."""
    return pa.table(
        {
            "client_request_id": pa.array([row.get("client") for row in rows], pa.string()),
            "databricks_request_id": pa.array([row["id"] for row in rows], pa.string()),
            "date": pa.array([datetime.date(2026, 9, 1) for _ in rows], pa.date32()),
            "timestamp_ms": pa.array([1_788_249_600_123 for _ in rows], pa.int64()),
            "status_code": pa.array([row.get("status", 200) for row in rows], pa.int32()),
            "sampling_fraction": pa.array([row.get("fraction", 0.25) for row in rows], pa.float64()),
            "execution_time_ms": pa.array([row.get("ms", 12) for row in rows], pa.int64()),
            "request": pa.array([row["request"] for row in rows], pa.string()),
            "response": pa.array([row.get("response") for row in rows], pa.string()),
            "request_metadata": pa.array(
                [
                    [("model_name", "iris"), ("model_version", "3"), ("endpoint_name", "iris-prod")]
                    for _ in rows
                ],
                pa.map_(pa.string(), pa.string()),
            ),
        }
    )


def test_a_databricks_inference_table_in_all_four_forms(imported, tmp_path):
    first, second = named(ROWS[0]), named(ROWS[1])
    forms = [
        {"dataframe_split": {"index": [0, 1], "columns": IRIS, "data": ROWS}},
        {"dataframe_records": [first, second]},
        {"instances": ROWS},
        {"inputs": {name: [row[at] for row in ROWS] for at, name in enumerate(IRIS)}},
    ]
    answer = json.dumps({"predictions": [0, 1], "databricks_output": {"trace": None}})
    rows = [
        {"id": f"r{at}", "request": json.dumps(form), "response": answer} for at, form in enumerate(forms)
    ]
    rows += [
        {"id": "one", "client": "mine", "request": json.dumps({"dataframe_records": [first]}), "response": '{"predictions": ["b"]}'},
        {"id": "broken", "status": 500, "request": rows[0]["request"], "response": "upstream gone"},
        {"id": "refused", "status": 400, "request": "nonsense", "response": "{}"},
        {"id": "torn", "request": '{"dataframe_rec', "response": answer},
        {"id": "few", "request": rows[1]["request"], "response": '{"predictions": [1]}'},
        {"id": "share", "fraction": 0.0, "request": rows[1]["request"], "response": answer},
    ]  # fmt: skip
    write_deltalake(str(tmp_path / "payload"), custom_model_table(rows))
    [done], records, [ledger] = imported(tmp_path / "payload", columns=IRIS)
    assert done.format == "databricks"
    assert [record.features for record in records[:8]] == [first, second] * 4
    assert [record.served.label for record in records[:8]] == [0, 1] * 4
    assert [record.request_id for record in records[:3]] == ["r0.0", "r0.1", "r1.0"]
    one = records[8]
    assert (one.request_id, one.served.label, one.served.latency_us) == ("mine", "b", 12_000)
    assert (one.served.version, one.service, one.weight) == ("3", "iris-prod", 4.0)
    assert one.ts == "2026-09-01T08:00:00.123000Z"
    assert [record.served.error for record in records[9:]] == ["HTTP 500", "HTTP 500"]
    assert done.skipped.counts == {"refused": 1, "bad_row": 1, "answer": 1, "weight": 1}
    assert ledger.not_selected == 1  # no model answered it
    assert ledger.dropped == {"bad_row": 1, "answer": 1, "weight": 1}
    assert "milliseconds" in done.times


def test_an_ai_gateways_inference_table(imported, tmp_path):
    when = datetime.datetime(2026, 9, 1, 8, 0, 0, 250_000)
    table = pa.table(
        {
            "request_date": pa.array([when.date()], pa.date32()),
            "databricks_request_id": ["r1"],
            "client_request_id": pa.array([None], pa.string()),
            "request_time": pa.array([when], pa.timestamp("us", "UTC")),
            "status_code": pa.array([200], pa.int32()),
            "sampling_fraction": [1.0],
            "execution_duration_ms": pa.array([7], pa.int64()),
            "request": ['{"dataframe_records": [{"x": 1, "y": "a"}]}'],
            "response": ['{"predictions": [{"label": "late", "score": 0.9}]}'],
            "served_entity_id": ["e"],
            "requester": ["me@example.com"],
        }
    )
    write_deltalake(str(tmp_path / "payload"), table)
    _, [record], _ = imported(tmp_path / "payload", version="=9")
    assert record.ts == "2026-09-01T08:00:00.250000Z"
    assert record.features == {"x": 1, "y": "a"}
    assert (record.served.label, record.served.score) == ("late", 0.9)
    assert (record.served.latency_us, record.served.version) == (7_000, "9")


def test_a_table_that_is_no_inference_table_says_what_it_lacks(imported, tmp_path):
    path = tmp_path / "log.ndjson"
    path.write_text('{"databricks_request_id": "r", "request": "{}", "response": "{}"}\n')
    with pytest.raises(UsageError, match="no inference table: it has no status_code"):
        imported(path, format="databricks")


def test_sagemakers_captures_in_every_encoding(imported):
    [done], records, [ledger] = imported(
        DATA / "sagemaker.jsonl",
        columns=["crim", "zn", "indus", "chas", "kind"],
        prediction="score",
        classes=["cheap", "dear"],
        cutoff=0.5,
        sampling_fraction="=0.2",
    )
    assert done.format == "sagemaker"
    assert [record.features for record in records[:3]] == [
        {"crim": 0.00632, "zn": 18.0, "indus": 2.31, "chas": 0, "kind": "RM"},
        {"crim": 1, "zn": 2, "indus": 3, "chas": 4, "kind": "a"},
        {"crim": 5, "zn": 6, "indus": 7, "chas": 8, "kind": "b"},
    ]
    assert [record.served.score for record in records] == [0.4133586884, 0.1, 0.9, 0.93]
    assert [record.served.label for record in records] == ["cheap", "cheap", "dear", 1]
    assert [record.request_id for record in records] == [
        "8f45e35c-fa44-40d2-8ed3-1bcab3a596f3",
        "order-7.0",
        "order-7.1",
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    ]
    assert {record.weight for record in records} == {5.0}
    assert records[3].ts == "2025-11-15T10:30:45.123000Z"
    lines = {why: [line for line, _ in each] for why, each in done.skipped.examples.items()}
    assert lines == {"bad_row": [4], "no_request": [5]}
    assert (ledger.seen, done.read) == (6, 5)  # two rows came in one request


@pytest.mark.parametrize("share", ["=2", "=x", "=0"])
def test_a_share_that_is_none_is_refused(imported, share):
    with pytest.raises(UsageError, match="is no sampling fraction"):
        imported(DATA / "sagemaker.jsonl", sampling_fraction=share)


def test_what_a_bare_number_means_is_asked_and_never_guessed(imported):
    with pytest.raises(UsageError, match="--prediction score"):
        imported(DATA / "sagemaker.jsonl")


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [1, 2]}, [Asked({"a": 1}), Asked({"a": 2})]),
        ({"a": 1, "b": "x"}, [Asked({"a": 1, "b": "x"})]),
        ({"text": ["long"]}, [Asked(None, {"text": ["long"]})]),
        ([{"a": 1}], [Asked({"a": 1})]),
        ({"inputs": [[1], [2]]}, [Asked({"a": 1}), Asked({"a": 2})]),
        ({"inputs": "hello"}, [Asked({"a": "hello"})]),
        (
            {
                "inputs": [
                    {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2.5]},
                    {"name": "y", "shape": [2], "datatype": "BYTES", "data": ["u", "v"]},
                ]
            },
            [Asked({"x": 1.5, "y": "u"}), Asked({"x": 2.5, "y": "v"})],
        ),
    ],
)
def test_bodies_of_many_forms(body, rows):
    assert rows_of(body, ["a"]) == rows


@pytest.mark.parametrize(
    "body",
    [
        "text",
        [],
        {"instances": []},
        {"instances": [None]},
        {"instances": [[1, 2]]},
        {"dataframe_split": {"columns": ["a"]}},
        {"inputs": {"a": [1], "b": [1, 2]}},
        {"inputs": [{"name": "x", "shape": [3], "data": [1]}]},
        {"inputs": [{"name": "x", "shape": [0], "data": []}]},
        {"inputs": [{"name": "x", "shape": "3", "data": [1]}]},
    ],
)
def test_bodies_that_are_none(body):
    with pytest.raises(SkipError):
        rows_of(body, ["a"])
