"""The gate through which users' own SQL reaches a log: it reads, and reads nothing but the log.

Layers, each of which would do alone against all that we know of:
  1. the statement is one SELECT, and so is every query inside it. DuckDB 2 runs `COPY … TO`, INSERT, UPDATE and
     DELETE inside a WITH and still calls the whole a SELECT, so its own word is not enough: the parsed tree is;
  2. no table function but the few that only make rows or take JSON apart: others read files, run text as SQL, or
     follow raw pointers;
  3. DuckDB may touch the snapshot's files and no others, loads no extension, and takes no setting any more.
The third alone would not do: DuckDB's permission to read a file is also one to overwrite it.
All of it happens in a process of its own, whose memory and time the system limits (`queryprocess`).
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from gnomon_capture.errors import UsageError
from gnomon_replay.errors import LogError

from gnomon_diff.queryprocess import Limits, answer_apart, too_long
from gnomon_diff.quoting import literal, path
from gnomon_diff.reading import Log, open_log
from gnomon_diff.views import connect, views

READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
"""The kinds of query that change nothing."""
TABLE_FUNCTIONS = {"generate_series", "json_each", "json_tree", "range", "repeat", "unnest"}

_ROWS_AT_ONCE = 100_000


def query(
    log: Log | str | Path,
    sql: str,
    *,
    time_limit_s: float = 60.0,
    memory_limit_bytes: int = 2 << 30,
    answer_limit_bytes: int = 1 << 30,
) -> pa.Table:
    """Answers one SELECT over the views of a log. May be called from any thread.

    It runs in a process of its own (`queryprocess`), so that whatever it does ends with its limits, or at once with a
    Ctrl-C.

    Args:
        log: an opened log, or its folder, `<log>/<experiment>`.
        sql: one statement: SELECT, or what parses as one (FROM …, VALUES, DESCRIBE, SUMMARIZE, SHOW).
        time_limit_s: it is stopped after that.
        memory_limit_bytes: of DuckDB's operators.
        answer_limit_bytes: of the rows it returns.

    Raises:
        UsageError: it is no such statement, it is wrong, it took too long, or its answer is too large; with
            DuckDB's words, and the nearest name where one is unknown.
        LogError: the log cannot be read.
    """
    if not isinstance(log, Log):
        log = open_log(log)
    with contextlib.closing(duckdb.connect()) as parser, _explained(log, time_limit_s):
        one_select(parser, sql)  # what is refused needs no process
    limits = Limits(time_s=time_limit_s, memory_bytes=memory_limit_bytes, answer_bytes=answer_limit_bytes)
    return answer_apart(_answer, log, sql, limits)


def _answer(log: Log, sql: str, limits: Limits, ready: Callable[[], None]) -> pa.Table:
    """What `query` does, in the process that is made for it. The statement is checked here, where it runs."""
    with contextlib.closing(connect(log)) as connection, _explained(log, limits.time_s):
        _close(connection, log.files, limits.memory_bytes)
        statement = one_select(connection, sql)
        ready()
        with _interrupted_after(connection, limits.time_s):
            return _collected(connection.sql(statement).to_arrow_reader(_ROWS_AT_ONCE), limits.answer_bytes)


def _close(connection: duckdb.DuckDBPyConnection, files: Iterable[str], memory_limit_bytes: int) -> None:
    """Takes from a connection everything but the log's files. The views were made before: they need no more."""
    connection.execute(f"SET memory_limit = '{memory_limit_bytes} bytes'")
    connection.execute("SET temp_directory = ''")
    allowed = dict.fromkeys(
        name for file in files for name in (file, path(file))
    )  # it asks for both spellings
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, allowed))}]::VARCHAR[]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statement, if it is one SELECT through and through. The connection needs no views: nothing runs.

    Raises:
        UsageError: it is not.
        duckdb.Error: it cannot be parsed.
    """
    try:
        statements = connection.extract_statements(sql)
        kinds = [statement.type for statement in statements]
    except ValueError as exc:  # a statement that DuckDB's Python has no name for
        raise UsageError(f"one SELECT is answered here, and this is something else ({exc})") from exc
    if len(statements) != 1:
        raise UsageError(f"one SELECT is answered at a time, and here are {len(statements)} statements")
    if kinds == [duckdb.StatementType.MULTI]:
        raise UsageError("a PIVOT has to name its values, such as PIVOT pairs ON carrier IN ('AA', 'UA')")
    if kinds != [duckdb.StatementType.SELECT]:
        what = kinds[0].name.replace("_", " ")
        raise UsageError(f"one SELECT is answered here, and this is {what}: the log is only read")
    [statement] = statements
    try:
        tree = json.loads(
            connection.execute("SELECT json_serialize_sql(?)", [statement.query]).fetchall()[0][0]
        )
        for node in nodes(tree):
            _require_reading(node)
    except RecursionError as exc:
        raise UsageError("this query is nested too deeply") from exc
    if tree["error"]:
        raise UsageError(f"one SELECT is answered here: {tree['error_message']}")
    return statement.query


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a parsed statement."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from nodes(part)


def _require_reading(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING_NODES:
        what = kind.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")
        raise UsageError(f"one SELECT is answered here, and this has {what} in it: the log is only read")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"]["function_name"]).lower()
        if name not in TABLE_FUNCTIONS:
            raise UsageError(
                f"{name}() is not for queries here: they read the log's views alone "
                f"(of table functions there are {', '.join(sorted(TABLE_FUNCTIONS))})"
            )


@contextlib.contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, time_limit_s: float) -> Iterator[None]:
    timer = threading.Timer(time_limit_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _collected(answer: pa.RecordBatchReader, limit_bytes: int) -> pa.Table:
    batches = []
    size = 0
    for batch in answer:
        size += batch.nbytes
        if size > limit_bytes:
            raise UsageError(
                f"the answer is larger than {limit_bytes >> 20} MiB; add a LIMIT, name fewer columns, or count"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, answer.schema)


@contextlib.contextmanager
def _explained(log: Log, time_limit_s: float) -> Iterator[None]:
    """Turns DuckDB's errors into UsageErrors with its words and the nearest name; lost files are the log's."""
    try:
        yield
    except duckdb.InterruptException as exc:
        raise too_long(time_limit_s) from exc
    except duckdb.IOException as exc:
        raise LogError(str(log.folder), f"{log.folder} changed while it was read; ask again: {exc}") from exc
    except OSError as exc:  # what a streamed answer raises for an error on the way
        if "INTERRUPT" in str(exc):
            raise too_long(time_limit_s) from exc
        raise UsageError(_words(exc, log)) from exc
    except duckdb.Error as exc:
        raise UsageError(_words(exc, log)) from exc


_UNKNOWN = re.compile(r'(?:Referenced column|column named|Table with name) "?([^"\s]+)"?')


def _words(exc: Exception, log: Log) -> str:
    message = str(exc).strip()
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return message
    names = [name for view in views(log) for name in (view.name, *(column.name for column in view.columns))]
    names = [name for name in dict.fromkeys(names) if name != unknown[1]]  # it is there, in another view
    near = difflib.get_close_matches(unknown[1], names, n=1)
    return f"{message}\n\nDid you mean {near[0]}?" if near else message
