"""The gate for users' SQL: it answers one SELECT over the log, and nothing else happens, whatever is asked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from gnomon_capture.errors import UsageError
from gnomon_diff import open_log, query
from gnomon_diff.sqlgate import _close
from gnomon_diff.views import connect

from .conftest import START, WriteLog


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, write_log: WriteLog) -> Path:
    rows = pd.DataFrame({"request_id": [f"r{index}" for index in range(500)], "ts": START})
    rows["served_label"], rows["candidate_label"] = "late", "on time"
    rows["features.carrier"] = "AA"
    rows["attributes.region"] = "eu"
    folder = tmp_path_factory.mktemp("gate") / "log"
    return write_log(
        folder, rows, features={"carrier": "string"}, labels=[{"request_id": "r1", "label": "late"}]
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log; afterwards no file of it has changed, and none was made where the query ran."""
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    yield written
    assert {path: path.read_bytes() for path in written.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT count(*) FROM pairs", 500),
        ("FROM pairs SELECT count(*)", 500),
        ("WITH a AS (SELECT 1), b AS MATERIALIZED (FROM a) FROM b", 1),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT max(n) FROM r",
            5,
        ),
        ("(SELECT 2) UNION ALL (SELECT 3) ORDER BY 1", 2),
        ("VALUES (7)", 7),
        ("TABLE labels", "r1"),
        ("DESCRIBE pairs", "request_id"),
        ("SUMMARIZE labels", "request_id"),
        ("SHOW TABLES", "all_pairs"),
        ("SELECT count(*) FROM range(10)", 10),
        ("SELECT x FROM (SELECT unnest([4, 5]) AS x)", 4),
        ("SELECT value FROM json_each('[6]')", "6"),
        ("PIVOT pairs ON carrier IN ('AA') USING count(*) GROUP BY attribute_region", "eu"),
        ("SELECT 'DROP TABLE x; COPY' -- ; a comment", "DROP TABLE x; COPY"),
        ("SELECT 1;", 1),
        ("SELECT {'type': 'COPY_QUERY_NODE'}.type", "COPY_QUERY_NODE"),
    ],
)
def test_what_reads_is_answered(folder: Path, sql: str, first: object) -> None:
    assert query(folder, sql).column(0)[0].as_py() == first


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "EXPLAIN {}",
        "EXPLAIN ANALYZE {}",
        "SELECT 1; {}",
        "WITH x AS ({}) FROM x",
        "SELECT (WITH x AS ({}) SELECT 1)",
        "FROM (WITH x AS ({}) FROM x)",
        "SELECT 1 UNION ALL (WITH x AS ({}) SELECT 1)",
        "WITH RECURSIVE x AS ({}) FROM x",
        "PREPARE x AS {}",
        "SUMMARIZE {}",
        "WITH y AS (WITH x AS ({}) FROM x) FROM y",
    ],
)
@pytest.mark.parametrize("target", ["log", "new"])
def test_a_copy_over_the_log_is_refused_before_it_runs(
    folder: Path, tmp_path: Path, around: str, target: str
) -> None:
    file = open_log(folder).files[0] if target == "log" else str(tmp_path / "new.parquet")
    with pytest.raises(UsageError):
        query(folder, around.format(f"COPY (SELECT 1) TO '{file}' (use_tmp_file false)"))


def test_duckdb_alone_would_let_the_copy_through(tmp_path: Path, write_log: WriteLog) -> None:
    """Why the statement is read before it runs: what the log's files are opened by, they are overwritten by."""
    rows = pd.DataFrame({"request_id": ["r1"], "ts": START, "served_label": "late"})
    log = open_log(write_log(tmp_path / "log", rows))
    [file] = log.files
    connection = connect(log)
    _close(connection, log.files, 1 << 30)
    sql = f"WITH x AS (COPY (SELECT 1) TO '{file}' (use_tmp_file false)) FROM x"
    [statement] = connection.extract_statements(sql)
    assert statement.type == duckdb.StatementType.SELECT
    before = Path(file).read_bytes()
    connection.execute(sql)
    assert Path(file).read_bytes() != before


@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "INSERT INTO labels VALUES (1)",
        "UPDATE labels SET label = 'x'",
        "DELETE FROM labels",
        "TRUNCATE labels",
        "WITH x AS (INSERT INTO labels VALUES ('a') RETURNING *) FROM x",
        "WITH x AS (UPDATE labels SET label = 'x' RETURNING *) FROM x",
        "WITH x AS (DELETE FROM labels RETURNING *) FROM x",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE MACRO x() AS 1",
        "DROP VIEW pairs",
        "ALTER VIEW pairs RENAME TO x",
        "COMMENT ON VIEW pairs IS 'x'",
        "ATTACH 'new.db'",
        "ATTACH ':memory:' AS x",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '/tmp/x.duckdb_extension'",
        "UPDATE EXTENSIONS",
        "PRAGMA version",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SET VARIABLE x = 1",
        "EXPORT DATABASE 'out'",
        "IMPORT DATABASE 'out'",
        "BEGIN",
        "EXECUTE x",
        "PREPARE x AS SELECT 1",
        "PIVOT pairs ON carrier",
        "MERGE INTO labels USING pairs ON true WHEN MATCHED THEN DELETE",
        "CREATE SECRET x (TYPE s3)",
        "EXPLAIN SELECT 1",
    ],
)
def test_what_is_no_single_select_is_refused(folder: Path, sql: str) -> None:
    with pytest.raises(UsageError):
        query(folder, sql)


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_blob('/etc/passwd')",
        "glob('/etc/*')",
        "'/etc/passwd'",
        "read_json('/etc/passwd')",
        "sniff_csv('/etc/passwd')",
        "parquet_metadata('/etc/passwd')",
        "read_duckdb('/etc/passwd')",
        "'/etc/hosts.csv'",
        "read_parquet('https://example.com/x.parquet')",
        "query('SELECT 1')",
        "query_table('pairs')",
        "json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "arrow_scan(1, 2, 3)",
        "pandas_scan(1)",
        "python_arrow_scan(1)",
        "seq_scan('pairs')",
        "duckdb_settings()",
        "duckdb_secrets()",
        "duckdb_logs()",
        "duckdb_temporary_files()",
        "pragma_version()",
        "enable_logging()",
        "checkpoint()",
        "force_checkpoint()",
        "which_secret('x', 's3')",
        "duckdb_extensions()",
        "system.main.duckdb_settings()",
        "Read_CSV('/etc/passwd')",
        "\"read_text\"('/etc/passwd')",
    ],
)
def test_nothing_but_the_log_is_read(folder: Path, source: str) -> None:
    with pytest.raises(UsageError):
        query(folder, f"FROM {source}")


@pytest.mark.parametrize(
    "function", ["getenv('HOME')", "set_config('threads', '1')", "read_text('/etc/passwd')"]
)
def test_no_function_reaches_the_machine(folder: Path, function: str) -> None:
    with pytest.raises(UsageError):
        query(folder, f"SELECT {function}")


def test_python_variables_are_not_tables(folder: Path) -> None:
    secrets = pd.DataFrame({"secret": [1]})
    with pytest.raises(UsageError, match="does not exist"):
        query(folder, "FROM secrets")
    assert len(secrets) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3",
        "SELECT sleep_ms(60000)",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "FROM range(100000000000)",
    ],
)
def test_a_statement_ends_at_the_time_limit(folder: Path, sql: str) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"longer than 0\.5 s"):
        query(folder, sql, time_limit_s=0.5, answer_limit_bytes=1 << 40)
    assert time.monotonic() - began < 10


def test_one_call_that_makes_a_huge_value_is_killed_at_the_time_limit(folder: Path) -> None:
    """DuckDB cannot interrupt it, and does not count its memory."""
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"longer than 0\.2 s"):
        query(folder, "SELECT len(list_resize([1], 400000000))", time_limit_s=0.2)
    assert time.monotonic() - began < 120


def test_one_call_that_makes_a_huge_value_ends_at_what_the_process_may_reserve(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"Out of Memory|more memory"):
        query(folder, "SELECT len(list_resize([1], 4000000000))", time_limit_s=100)


def test_ctrl_c_ends_a_query_at_once_and_leaves_no_process(folder: Path) -> None:
    script = (
        "import sys, threading, os, signal, time, subprocess\n"
        "from gnomon_diff import queryprocess, query\n"
        "heard = queryprocess._next\n"
        "def then_interrupted(stream, deadline):\n"
        "    if deadline is not None:\n"  # the query runs
        "        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return heard(stream, deadline)\n"
        "queryprocess._next = then_interrupted\n"
        "try:\n"
        "    query(sys.argv[1], 'SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b', time_limit_s=250)\n"
        "except KeyboardInterrupt:\n"
        "    left = [name for name in os.listdir('/proc') if name.isdigit() and _parent(name) == os.getpid()]\n"
        "    print('interrupted', left)\n"
    ).replace(
        "try:\n",
        "def _parent(pid):\n    try:\n        return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n    except OSError:\n        return 0\ntry:\n",
        1,
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=240
    )
    assert out.stdout.split() == ["interrupted", "[]"], out.stderr


def test_a_statement_ends_at_the_memory_limit(folder: Path) -> None:
    with pytest.raises(UsageError, match="Out of Memory"):
        query(folder, "SELECT count(DISTINCT range) FROM range(100000000)", memory_limit_bytes=50 << 20)


def test_an_answer_ends_at_its_limit(folder: Path) -> None:
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        query(folder, "FROM range(10000000)", answer_limit_bytes=1 << 20)


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT servd_label FROM pairs", "Did you mean served_label?"),
        ("SELECT carier FROM pairs", "Did you mean carrier?"),
        ("FROM deadletters", "Did you mean dead_letters?"),
        ("SELECT p.candidate_lable FROM pairs p", "Did you mean candidate_label?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(folder: Path, sql: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        query(folder, sql)
    assert hint in str(error.value)


def test_an_error_carries_duckdbs_own_words(folder: Path) -> None:
    with pytest.raises(UsageError, match="syntax error at or near"):
        query(folder, "SELECT FROM WHERE")
    with pytest.raises(UsageError, match="Could not convert string 'late' to INT32"):
        query(folder, "SELECT served_label::INTEGER FROM pairs")


def test_a_query_nested_beyond_all_measure_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError):
        query(folder, "SELECT " + "(" * 5000 + "1" + ")" * 5000)
