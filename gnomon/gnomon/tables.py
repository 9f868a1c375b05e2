"""Rows for people and for programs: a table, CSV, or JSON."""

from __future__ import annotations

import csv
import datetime
import json
from typing import Any, TextIO

import pyarrow as pa
from gnomon_reports.markup import printable
from rich.console import Console
from rich.table import Table
from rich.text import Text


def write_rows(rows: pa.Table, form: str, stream: TextIO) -> None:
    """Writes query results.

    Args:
        form: `table`, `csv` or `json` (one array of objects).
    """
    if form == "json":
        json.dump(rows.to_pylist(), stream, default=str, ensure_ascii=False)
        stream.write("\n")
    elif form == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows.column_names)
        writer.writerows([_cell(value) for value in row.values()] for row in rows.to_pylist())
    else:
        _print_table(rows, stream)


def _print_table(rows: pa.Table, stream: TextIO) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for field in rows.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(Text(printable(field.name)), justify="right" if number else "left", overflow="fold")
    for row in rows.to_pylist():
        table.add_row(*(Text(printable(_short(value))) for value in row.values()))
    console = Console(file=stream, width=None if stream.isatty() else 10_000, soft_wrap=False)
    console.print(table)
    console.print(Text(f"{rows.num_rows} row{'' if rows.num_rows == 1 else 's'}"), style="dim")


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
