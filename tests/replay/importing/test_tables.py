"""CSV, NDJSON, Parquet and Delta by a mapping of their columns: every row is a record or is named as skipped."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from gnomon_capture.errors import SettingsError, UsageError
from gnomon_capture.record import decode_line, parse_ts
from gnomon_capture.spool import SpoolReader
from gnomon_replay.importing.run import import_files
from gnomon_replay.importing.settings import ImportSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LOG = """\
id,at,carrier,zip,delay,full,answer,p,ms,share,user
a,2026-09-01T08:00:00Z,UA,00501,1.5,true,late,0.8,12.5,0.1,u1
b,2026-09-01T08:00:01+02:00,,10001,,false,on_time,0.2,3,0.5,
c,2026-09-01T08:00:02,AA,10002,-3,TRUE,late,,,1,u2
"""
MAPPING = {
    "time": "at",
    "request_id": "id",
    "label": "answer",
    "score": "p",
    "latency": "ms",
    "latency_unit": "ms",
    "sampling_fraction": "share",
    "key": "user",
    "attributes": ["carrier"],
    "features": ["carrier", "zip", "delay", "full"],
    "version": "=3.2",
    "service": "arrival-delay",
}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_a_csv_by_its_mapping(imported, log):
    [done], records, _ = imported(log, **MAPPING)
    a, b, c = records
    assert a.request_id == "a"
    assert a.ts == "2026-09-01T08:00:00.000000Z"
    assert a.features == {"carrier": "UA", "zip": "00501", "delay": 1.5, "full": True}
    assert (a.served.label, a.served.score, a.served.latency_us) == ("late", 0.8, 12_500)
    assert (a.served.version, a.service, a.key) == ("3.2", "arrival-delay", "u1")
    assert a.attributes == {"carrier": "UA"}
    assert [record.weight for record in records] == [10.0, 2.0, 1.0]
    assert b.features == {"carrier": None, "zip": "10001", "delay": None, "full": False}
    assert (b.ts, b.key) == ("2026-09-01T06:00:01.000000Z", None)
    assert (c.served.score, c.served.latency_us, c.features["delay"]) == (None, None, -3)
    assert (done.format, done.read, done.records) == ("csv", 3, 3)
    assert done.features == ["carrier", "zip", "delay", "full"]
    assert "UTC where no offset is given" in done.times


def test_all_that_has_no_other_use_is_a_feature_and_text_can_stay_text(imported, log):
    _, [first, *_], _ = imported(
        log, time="at", request_id="id", exclude=["p", "ms", "share", "user", "answer"], text=["delay"]
    )
    assert first.features == {"carrier": "UA", "zip": "00501", "delay": "1.5", "full": True}
    assert (first.served, first.weight, first.key) == (None, 1.0, None)


def test_a_column_is_numbers_only_if_all_of_it_is(imported, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("at,x,y,z\n2026-09-01,1,1e3,1\n2026-09-01,2.5,NaN,0x10\n")
    _, records, _ = imported(path, time="at")
    assert [record.features["x"] for record in records] == [1, 2.5]
    assert records[0].features["y"] == 1000.0
    assert math.isnan(records[1].features["y"])
    assert [record.features["z"] for record in records] == ["1", "0x10"]


def test_rows_that_cannot_be_mapped_are_named_by_line_and_reason_and_counted(imported, tmp_path):
    path = tmp_path / "log.csv"
    rows = [
        "id,at,x,share,ms",
        "good,2026-09-01,1,0.5,1",
        "short,2026-09-01",
        'quoted,2026-09-01,"two\nlines",0.5,1',
        "when,soon,1,0.5,1",
        "never,,1,0.5,1",
        "share,2026-09-01,1,1.5,1",
        "ms,2026-09-01,1,0.5,-1",
    ]
    path.write_bytes("\n".join(rows).encode() + b"\nbytes,2026-09-01,\xff,0.5,1\n")
    [done], records, [ledger] = imported(
        path,
        time="at",
        request_id="id",
        sampling_fraction="share",
        latency="ms",
        latency_unit="us",
        label="x",
        features=["x"],
    )
    assert [record.request_id for record in records] == ["good", "quoted"]
    lines = {why: [line for line, _ in each] for why, each in done.skipped.examples.items()}
    assert lines == {"bad_row": [3, 10], "time": [6, 7], "weight": [8], "latency": [9]}
    assert ledger.dropped == {"bad_row": 2, "time": 2, "weight": 1, "latency": 1}
    assert (done.read, ledger.seen) == (8, 8)


def test_ids_that_are_made_are_the_same_each_time(imported, log, tmp_path):
    _, first, _ = imported(log, time="at", to=tmp_path / "one")
    _, second, _ = imported(log, time="at", features=["delay"], to=tmp_path / "two")
    assert [record.request_id for record in first] == [record.request_id for record in second]
    assert len({record.request_id for record in first}) == 3


def test_the_same_content_is_refused_by_a_spool_that_has_it(imported, log, tmp_path):
    imported(log, time="at")
    other = tmp_path / "renamed.csv"
    other.write_text(LOG)
    with pytest.raises(UsageError, match=r"renamed\.csv is in spool:.* already, as import-"):
        imported(other, time="at", features=["delay"])
    with pytest.raises(UsageError, match="named twice"):
        imported(log, other, time="at", to=tmp_path / "fresh")


def test_an_import_that_fails_leaves_nothing_behind(imported, tmp_path):
    path = tmp_path / "log.ndjson"
    path.write_text('{"at": "2026-09-01T08:00:00Z", "x": 1}\n' * 100)
    interrupted = []

    def stop(reading):
        interrupted.append(reading)
        if len(interrupted) == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files([path], f"spool:{tmp_path / 'traffic'}", ImportSettings(time="at"), stop)
    assert SpoolReader(tmp_path / "traffic").partitions() == []
    assert list((tmp_path / "traffic").iterdir()) == []
    _, records, _ = imported(path, time="at")
    assert len(records) == 100


def test_ndjson_names_inner_columns_by_dots_and_a_star_takes_what_begins_so(imported, tmp_path):
    path = tmp_path / "log.ndjson.gz"
    rows = [
        {"at": 1_788_249_600, "in": {"x": 1, "y": {"z": "a"}}, "out": {"label": 1}, "raw": [1, 2]},
        {"at": 1_788_249_601.5, "in": {"x": 2}, "out": {"label": 0}},
        "no object",
        {"at": 1_788_249_602, "in": {"x": [1]}, "out": {"label": 0}},
    ]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(map(json.dumps, rows)) + "\n{torn\n")
    [done], records, _ = imported(path, time="at", features=["in.*"], label="out.label")
    assert [record.features for record in records] == [{"x": 1, "y.z": "a"}, {"x": 2}]
    assert [record.served.label for record in records] == [1, 0]
    assert records[1].ts == "2026-09-01T08:00:01.500000Z"
    assert {why: [line for line, _ in each] for why, each in done.skipped.examples.items()} == {
        "bad_row": [3, 5],
        "features": [4],
    }
    assert "seconds since 1970, recognised" in done.times


def test_a_payload_reaches_the_record_as_it_is(imported, tmp_path):
    path = tmp_path / "log.ndjson"
    path.write_text(json.dumps({"at": "2026-09-01", "body": {"text": [1, {"a": None}]}}) + "\n")
    with pytest.raises(UsageError, match=r"no column 'body'; is 'body\.text' meant"):
        imported(path, time="at", payload="body")
    _, [record], _ = imported(path, time="at", payload="body.text")
    assert (record.payload, record.features) == ([1, {"a": None}], None)


ARROW = pa.table(
    {
        "at": pa.array([datetime.datetime(2026, 9, 1, 8), datetime.datetime(2026, 9, 1, 9)], pa.timestamp("us", "UTC")),
        "in": pa.array([{"x": 1.5, "day": datetime.date(2026, 1, 2)}, {"x": None, "day": None}]),
        "price": pa.array([decimal.Decimal("1.25"), None]),
        "answer": pa.array([True, False]),
    }
)  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_parquet_and_delta_by_the_same_mapping(imported, tmp_path, kind):
    if kind == "parquet":
        path = tmp_path / "log.parquet"
        pq.write_table(ARROW, path)
    else:
        path = tmp_path / "log"
        write_deltalake(str(path), ARROW)
    [done], records, _ = imported(path, time="at", label="answer")
    assert [record.features for record in records] == [
        {"in.x": 1.5, "in.day": "2026-01-02", "price": 1.25},
        {"in.x": None, "in.day": None, "price": None},
    ]
    assert [record.served.label for record in records] == [True, False]
    assert [record.ts[11:19] for record in records] == ["08:00:00", "09:00:00"]
    assert done.format == kind


def test_a_delta_tables_partition_columns_are_columns(imported, tmp_path):
    table = pa.table({"at": ["2026-09-01", "2026-09-02"] * 3, "carrier": ["UA", "AA"] * 3, "x": range(6)})
    write_deltalake(str(tmp_path / "log"), table, partition_by=["carrier"])
    _, records, _ = imported(tmp_path / "log", time="at")
    found = sorted((record.features["x"], record.features["carrier"]) for record in records)
    assert found == [(x, "AA" if x % 2 else "UA") for x in range(6)]


@pytest.mark.parametrize(
    ("value", "ts", "mapping"),
    [
        ("1788249600", "2026-09-01T08:00:00.000000Z", {}),
        ("1788249600.25", "2026-09-01T08:00:00.250000Z", {}),
        ("1788249600123", "2026-09-01T08:00:00.123000Z", {}),
        ("1788249600123456", "2026-09-01T08:00:00.123456Z", {}),
        ("1788249600123456789", "2026-09-01T08:00:00.123456Z", {}),
        ("86400", "1970-01-02T00:00:00.000000Z", {"time_unit": "s"}),
        ("2026-09-01 08:00", "2026-09-01T12:00:00.000000Z", {"timezone": "America/New_York"}),
        ("01.09.2026 08:00", "2026-09-01T08:00:00.000000Z", {"time_format": "%d.%m.%Y %H:%M"}),
    ],
)
def test_times_of_every_kind(imported, tmp_path, value, ts, mapping):
    path = tmp_path / "log.csv"
    path.write_text(f"at,x\n{value},1\n")
    [done], [record], _ = imported(path, time="at", **mapping)
    assert record.ts == ts
    assert done.times


def test_a_number_of_another_unit_than_those_before_is_not_guessed(imported, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("at,x\n1788249600,1\n1788249600123,1\n12,1\n")
    [done], records, _ = imported(path, time="at")
    assert len(records) == 1
    assert [line for line, _ in done.skipped.examples["time"]] == [3, 4]


@pytest.mark.parametrize(
    ("text", "mapping", "words"),
    [
        (LOG, {}, "name the column of the time by --time; there are id, at"),
        (LOG, {"time": "att"}, "no column 'att'; is 'at' meant"),
        (LOG, {"time": "at", "features": ["delays"]}, "is 'delay' meant"),
        (LOG.replace(",", ";"), {"time": "at"}, "is --separator ';' meant"),
        ("", {"time": "at"}, "is empty"),
        ("at,x\n", {"time": "at"}, "nothing in it could be imported"),
        ("at,x\nsoon,1\n", {"time": "at"}, "line 2: 'soon' is not a time"),
        ("at,x,x\n1,1,1\n", {"time": "at"}, "'x' twice"),
    ],
)
def test_a_csv_that_does_not_fit_its_mapping_says_what_to_do(imported, tmp_path, text, mapping, words):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        imported(path, **mapping)
    assert not (tmp_path / "traffic").exists() or not list((tmp_path / "traffic").iterdir())


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"tme": "at"}, "did you mean `time`"),
        ({"latency": "ms"}, "Name its unit"),
        ({"weight": "a", "sampling_fraction": "b"}, "not both"),
        ({"payload": "a", "features": ["b"]}, "leave one out"),
        ({"cutoff": 0.5}, "two classes"),
        ({"separator": ""}, "one character"),
        ({"timezone": "Mars"}, "no time zone"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(imported, log, mapping, words):
    with pytest.raises(SettingsError, match=words):
        imported(log, **mapping)


@pytest.mark.parametrize(
    ("kind", "mapping", "words"),
    [
        ("csv", {"columns": ["a"]}, "import.columns. has no use for csv"),
        ("csv", {"prediction": "score"}, "import.prediction. has no use"),
        ("ndjson", {"separator": ";"}, "import.separator. has no use"),
        ("databricks", {"key": "user"}, "import.key. has no use for databricks"),
        ("databricks", {"sampling_fraction": "=0.1"}, "import.sampling_fraction. has no use"),
        ("sagemaker", {"version": "model"}, "write =model for all"),
        ("kserve", {"time": "at"}, "import.time. has no use"),
    ],
)
def test_what_would_say_nothing_about_this_format_is_refused(imported, log, kind, mapping, words):
    with pytest.raises(SettingsError, match=words):
        imported(log, format=kind, **mapping)


def test_files_that_are_not_what_they_should_be(imported, tmp_path):
    for name, content, words in (
        ("log.xlsx", b"PK\x03\x04", "does not say what it is"),
        ("log.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("log.csv.gz", b"\x1f\x8b\x08 torn", "is torn"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UsageError, match=words):
            imported(path, time="at")
    with pytest.raises(UsageError, match="there is no file"):
        imported(tmp_path / "none.csv", time="at")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no Delta table"):
        imported(tmp_path / "folder", time="at")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.text(max_size=8),
            st.one_of(st.sampled_from(["2026-09-01", "1788249600", "", "1e99"]), st.text(max_size=12)),
            st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=5)),
            st.text(max_size=5),
        ),
        max_size=12,
    )
)
def test_every_row_of_any_csv_is_a_valid_record_or_a_named_skip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "log.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "at", "x", "key"])
        writer.writerows(rows)
    mapping = ImportSettings(time="at", request_id="id", key="key")
    try:
        [done] = import_files([path], f"spool:{folder / 'traffic'}", mapping)
    except UsageError as exc:
        assert "nothing in it could be imported" in str(exc)
        return
    assert done.read == len(rows)
    assert done.records + done.skipped.total == len(rows)
    reader = SpoolReader(folder / "traffic")
    [partition] = reader.partitions()
    lines = reader.read(partition)[1].splitlines()
    decoded = [decode_line(line) for line in lines[:-1]]
    assert len(decoded) == done.records
    for record in decoded:
        parse_ts(record.ts)
        assert set(record.features) == {"x"}
