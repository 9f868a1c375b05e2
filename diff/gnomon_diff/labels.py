"""Labels: what turned out to be true, loaded from a file into the log."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from gnomon_capture.errors import UsageError
from gnomon_capture.record import canonical_label
from gnomon_replay.delta import append
from gnomon_replay.pairs import LABELS, SCHEMA_VERSION, TIMESTAMP
from gnomon_replay.settings import Task

from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal, path
from gnomon_diff.reading import open_log
from gnomon_diff.views import connect

_EXPECTED = "a label file has the columns request_id and label (or value), and optionally labelled_at"


@dataclass(frozen=True, kw_only=True)
class LoadedLabels:
    """What a file brought.

    Attributes:
        rows: labels that were added to the log.
        requests: for how many different requests.
        matched: how many of these requests are in the pairs.
        without_label: rows of the file that name a request and no label (or value); left out.
    """

    rows: int
    requests: int
    matched: int
    without_label: int


def load_labels(
    file: str | Path, log: str | Path, task: Task = "binary", *, now: datetime.datetime | None = None
) -> LoadedLabels:
    """Adds the labels in a file to a log. Later files, and later rows, correct earlier ones.

    Args:
        file: CSV (its separator is found out) or Parquet.
        log: the folder of the experiment's log, `<log>/<experiment>`.
        task: what labels are: of `regression` numbers, stored as `value`; else text in canonical form.
        now: the time of loading.

    Raises:
        UsageError: the file cannot be read, or is none of labels.
        LogError: the log cannot be read or written.
    """
    file, folder = Path(file), Path(log)
    with contextlib.closing(duckdb.connect()) as connection, _reading(file):
        connection.execute("SET TimeZone = 'UTC'")
        found = _read(connection, file, ("value", "label") if task == "regression" else ("label", "value"))
    rows = found.num_rows
    labels: pa.Array = pa.nulls(rows, pa.string())
    values: pa.Array = pa.nulls(rows, pa.float64())
    if task == "regression":
        values = _numbers(file, found.column("label"))
    else:
        labels = _canonical(found.column("label"))
    kept = pc.or_(pc.is_valid(labels), pc.is_valid(values))
    table = pa.table(
        {
            "request_id": found.column("request_id"),
            "label": labels,
            "value": values,
            "labelled_at": found.column("labelled_at").cast(TIMESTAMP),
            "loaded_at": pa.repeat(pa.scalar(now or datetime.datetime.now(datetime.UTC), TIMESTAMP), rows),
            "row": pa.array(range(rows), pa.int64()),
            "schema_version": pa.repeat(pa.scalar(SCHEMA_VERSION, pa.int32()), rows),
        },
        schema=LABELS,
    ).filter(kept)
    if not table.num_rows:
        raise UsageError(f"{file} has no labels in it; {_EXPECTED}")
    requests, matched = _matched(folder, table)
    append(folder / "labels", "labels", table, LABELS)
    return LoadedLabels(
        rows=table.num_rows, requests=requests, matched=matched, without_label=rows - table.num_rows
    )


def _read(connection: duckdb.DuckDBPyConnection, file: Path, truth: tuple[str, str]) -> pa.Table:
    """The columns request_id, label and labelled_at of a file, as text and a time, in the order of its rows.

    Args:
        truth: the columns that may hold what was true, the preferred one first.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}; {_EXPECTED}")
    with file.open("rb") as opened:
        parquet = opened.read(4) == b"PAR1"
    where = literal(path(str(file)))
    source = f"read_parquet({where})" if parquet else f"read_csv({where}, header = true, all_varchar = true)"
    types = {name: kind for name, kind, *_ in connection.sql(f"DESCRIBE FROM {source}").fetchall()}
    names = {name.strip().lower(): name for name in types}
    for wanted in (("request_id",), ("label", "value")):
        if not any(name in names for name in wanted):
            near = difflib.get_close_matches(wanted[0], names, n=1)
            hint = f"; is {names[near[0]]} meant? Name it {wanted[0]}" if near else ""
            raise UsageError(
                f"{file} has no column {' or '.join(wanted)}: {_EXPECTED}, and this one has "
                f"{', '.join(types)}{hint}"
            )
    label = next(names[name] for name in truth if name in names)
    when = names.get("labelled_at")
    table = connection.sql(
        f"""SELECT
            nullif({identifier(names["request_id"])}::VARCHAR, '') AS request_id,
            {_as_text(label, types)} AS label,
            {f"try_cast({identifier(when)} AS TIMESTAMPTZ)" if when else "NULL::TIMESTAMPTZ"} AS labelled_at,
            {f"nullif({identifier(when)}::VARCHAR, '')" if when else "NULL::VARCHAR"} AS written
        FROM {source}"""
    ).to_arrow_table()
    _require_all(file, table, pc.is_valid(table["request_id"]), "has no request_id")
    timed = pc.or_(pc.is_valid(table["labelled_at"]), pc.is_null(table["written"]))
    _require_all(file, table, timed, "has no time such as 2026-11-24T08:00:00Z in labelled_at")
    return table


def _as_text(column: str, types: Mapping[str, str]) -> str:
    """A label as text, NULL where there is none."""
    name, kind = identifier(column), types[column]
    if kind == "BOOLEAN":
        return f"{name}::INTEGER::VARCHAR"
    if kind in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN NOT isnan({name}) THEN {name}::VARCHAR END"
    return f"nullif({name}::VARCHAR, '')"


def _require_all(file: Path, table: pa.Table, good: pa.ChunkedArray, what: str) -> None:
    bad = pc.index(good, False).as_py()
    if bad >= 0:
        raise UsageError(f"{file}, row {bad + 1} {what}: {table.slice(bad, 1).to_pylist()[0]}")


def _canonical(labels: pa.ChunkedArray) -> pa.Array:
    """Labels in canonical form; each different one is looked at once."""
    encoded = labels.combine_chunks().dictionary_encode()
    forms = pa.array([canonical_label(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return forms.take(encoded.indices)


def _numbers(file: Path, texts: pa.ChunkedArray) -> pa.Array:
    """True values of a regression; no number is none that can be measured against."""
    values = []
    for row, text in enumerate(texts.to_pylist(), 1):
        try:
            value = None if text is None else float(text)
        except ValueError:
            value = math.inf
        if value is not None and math.isinf(value):
            raise UsageError(
                f"{file}, row {row} has the value {text!r}; a regression's true values are numbers"
            )
        values.append(None if value is None or math.isnan(value) else value)
    return pa.array(values, pa.float64())


def _matched(folder: Path, table: pa.Table) -> tuple[int, int]:
    """Different requests in `table`, and those of them that are in the pairs."""
    log = open_log(folder)
    with contextlib.closing(connect(log)) as connection:
        connection.register("loaded", table)
        [row] = Questions(connection, log.folder).ask("matched").to_pylist()
    return row["requests"], row["matched"]


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turns what DuckDB and the file system raise about a file into a UsageError."""
    try:
        yield
    except (duckdb.Error, OSError) as exc:
        what = str(exc).strip().splitlines()[0]
        raise UsageError(f"{file} cannot be read as CSV or Parquet: {what}; {_EXPECTED}") from exc
