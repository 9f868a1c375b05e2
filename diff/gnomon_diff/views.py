"""The views: what `gnomon sql` shows of a log, and what every question of this package is written against."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
from gnomon_capture.errors import UsageError
from gnomon_replay import pairs as stored
from gnomon_replay.pairs import PARTITION_BY

from gnomon_diff import columns
from gnomon_diff.columns import Column, documented, duckdb_type, fields_of, pair_columns
from gnomon_diff.decision import Decision
from gnomon_diff.functions import register
from gnomon_diff.quoting import identifier, literal, path
from gnomon_diff.reading import NO_PAIRS, Log, Table, readable


@dataclass(frozen=True)
class View:
    """One view; `source` is what follows FROM."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    source: str

    @property
    def sql(self) -> str:
        """The statement that creates it."""
        chosen = ",\n    ".join(f"{column.sql} AS {identifier(column.name)}" for column in self.columns)
        return f"CREATE VIEW {identifier(self.name)} AS SELECT\n    {chosen}\nFROM {self.source}"


def views(log: Log) -> tuple[View, ...]:
    """The views of a log, in the order in which they are documented."""
    of_pairs = pair_columns(log.pairs.schema, log.rule)
    rows = _files_of(log.pairs, "pairs")
    return (
        View(
            "pairs",
            "one row per request and candidate; duplicates are left out",
            of_pairs,
            f"{rows} WHERE duplicate IS NOT TRUE",
        ),
        View(
            "all_pairs",
            "the rows of `pairs` and the duplicates that it leaves out",
            (*of_pairs, *documented(columns.DUPLICATE)),
            rows,
        ),
        View(
            "labels",
            "what turned out to be true; the latest row of each request",
            documented(columns.LABELS),
            f"{_files_of(log.labels, 'labels')} GROUP BY request_id",
        ),
        View(
            "dead_letters",
            "lines of the traffic that are no records; their bytes are left out",
            documented([*columns.SOURCE, *columns.ORIGIN, *columns.DEAD_LETTERS]),
            # A crash between two steps of a commit leaves a line twice.
            f"{_files_of(log.dead_letters, 'dead_letters')} "
            "QUALIFY row_number() OVER (PARTITION BY source ORDER BY read_at, reason, detail) = 1",
        ),
        View(
            "ledger",
            "the cumulative counts of each capturing process; rows with `removed_…` are what was deleted later",
            documented([*columns.SOURCE, *columns.LEDGER]),
            f"(SELECT DISTINCT * FROM {_files_of(log.ledger, 'ledger')})",
        ),
        View("decisions", "the decision records", documented(columns.DECISIONS), _records_of(log.decisions)),
    )


def connect(log: Log) -> duckdb.DuckDBPyConnection:
    """A connection of its own, in memory, with the views of a log. Not to be shared between threads.

    It reads the log's files and whatever else DuckDB may: `sqlgate` closes it for queries of users.

    Raises:
        LogError: files of the log are gone or broken.
        UsageError: the user's function that tells answers apart cannot be imported.
    """
    connection = duckdb.connect(
        config={
            "allow_persistent_secrets": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    # What does not fit into memory goes there, not into the folder one happens to stand in.
    connection.execute(
        f"SET temp_directory = {literal(str(Path(tempfile.gettempdir()) / f'gnomon-{os.getpid()}'))}"
    )
    connection.execute("SET parquet_metadata_cache = true")  # the same files are asked many times
    connection.execute("SET parquet_can_have_nan = true")  # else `WHERE isnan(x)` finds no rows
    register(connection, log.rule)
    with readable(log.folder):
        for view in views(log):
            connection.execute(view.sql)
    return connection


def named_views(log: Log, name: str | None) -> tuple[View, ...]:
    """The view of this name; None: all.

    Raises:
        UsageError: there is none.
    """
    known = {view.name: view for view in views(log)}
    if name is None:
        return tuple(known.values())
    if name not in known:
        raise UsageError(f"there is no view {name!r}; there are {', '.join(known)}")
    return (known[name],)


def schema_rows(log: Log, name: str | None = None) -> list[dict[str, str | None]]:
    """A row for each column, for programs: `view`, `column`, `type` (DuckDB's), `meaning`, and `origin`, the feature
    or attribute that it is. Of one view, or of all."""
    return [
        {
            "view": view.name,
            "column": column.name,
            "type": column.type,
            "meaning": column.meaning,
            "origin": column.origin,
        }
        for view in named_views(log, name)
        for column in view.columns
    ]


def schema_text(log: Log, name: str | None = None) -> str:
    """The views and their columns, for people. Of one view, or of all."""
    parts = []
    for view in named_views(log, name):
        width = max(len(column.name) for column in view.columns)
        kinds = max(len(column.type) for column in view.columns)
        rows = [
            f"  {column.name:<{width}}  {column.type:<{kinds}}  {column.meaning}" for column in view.columns
        ]
        parts.append("\n".join([f"{view.name}: {view.meaning}", *rows]))
    return "\n\n".join(parts) + "\n"


def _files_of(table: Table, name: str) -> str:
    """The files of a table, read with declared types; what a file does not have reads as NULL."""
    schema = _declared(table.schema, name)
    if not table.files:
        nothing = ", ".join(f"NULL::{kind} AS {identifier(column)}" for column, kind in schema.items())
        return f"(SELECT {nothing} WHERE false)"
    files = ", ".join(literal(path(file)) for file in table.files)
    partitions = PARTITION_BY.get(name, [])
    declared = ", ".join(
        f"{literal(column)}: {{name: {literal(column)}, type: {literal(kind)}, default_value: NULL}}"
        for column, kind in schema.items()
        if column not in partitions
    )
    options = [f"schema = MAP {{{declared}}}"]
    if partitions:
        kinds = ", ".join(f"{literal(column)}: DATE" for column in partitions)
        options.append(f"hive_partitioning = true, hive_types = {{{kinds}}}")
    else:
        options.append("hive_partitioning = false")
    return f"read_parquet([{files}], {', '.join(options)})"


def _records_of(decisions: tuple[Decision, ...]) -> str:
    """The decision records, which are few, as part of the query."""
    kinds = {name: "JSON" if name == "human" else kind for name, kind, _, _ in columns.DECISIONS}
    text = msgspec.json.encode(decisions).decode()
    structure = msgspec.json.encode([kinds]).decode()
    return f"(SELECT unnest(from_json({literal(text)}, {literal(structure)}), max_depth := 2))"


def _declared(schema: pa.Schema, name: str) -> dict[str, str]:
    """DuckDB's type of each column: the contract's, with the table's own features and attributes."""
    kinds = {field.name: duckdb_type(field.type) for field in _CONTRACT[name]}
    for struct in ("features", "attributes"):
        fields = fields_of(schema, struct)
        if fields:
            kinds[struct] = duckdb_type(pa.struct(fields))
    return kinds


_CONTRACT = {
    "pairs": NO_PAIRS,
    "dead_letters": stored.DEAD_LETTERS,
    "ledger": stored.LEDGER,
    "labels": stored.LABELS,
}
