"""Questions to a log: one `.sql` file each, written against the views, with names and values put in quoted."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa

from gnomon_diff.comparison import Query
from gnomon_diff.quoting import identifier
from gnomon_diff.reading import readable


class Questions:
    """Asks a log one question after another, and keeps the SQL as it ran. Not to be shared between threads.

    Args:
        connection: with the views.
        folder: the log's, for messages.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.asked: list[Query] = []
        self._connection = connection
        self._folder = folder
        self._parts: dict[str, str] = {}
        self._kept: dict[str, str] = {}

    def about(self, **parts: str) -> None:
        """Sets parts of all further questions."""
        self._parts.update(parts)

    def part(self, name: str) -> str:
        """A part that `about` set."""
        return self._parts[name]

    def text(self, question: str, **parts: str) -> str:
        """The SQL of `sql/<question>.sql`, unasked: a part of other questions."""
        return _text(question).format_map({**self._parts, **parts})

    def ask(self, question: str, **parts: str) -> pa.Table:
        """The answer to `sql/<question>.sql`.

        Args:
            parts: what stands for `{name}` in the file: quoted names, literals, or lists of them.

        Raises:
            LogError: the log's files changed or broke, or are too large for the machine.
        """
        self.asked.append(Query(figure=question, sql=self.text(question, **parts)))
        with readable(self._folder):
            sql = self.text(question, **{**parts, **self._kept})
            return self._connection.sql(sql).to_arrow_table()

    def keep(self, part: str, question: str, **parts: str) -> None:
        """Answers `sql/<question>.sql` once, for all further questions that have it as their part `{part}`.

        What is shown as asked stays the whole question, which needs nothing that was kept.
        """
        sql = self.text(question, **parts)
        self.about(**{part: sql})
        with readable(self._folder):
            self._connection.execute(f"CREATE TEMP TABLE {identifier('kept ' + part)} AS {sql}")
        self._kept[part] = f"FROM {identifier('kept ' + part)}"

    def keep_view(self, view: str) -> None:
        """Answers a view once, for all further questions: a temporary table goes before a view of its name."""
        with readable(self._folder):
            name = identifier(view)
            self._connection.execute(f"CREATE TEMP TABLE {name} AS FROM memory.main.{name}")


@cache
def _text(question: str) -> str:
    return files("gnomon_diff").joinpath("sql", f"{question}.sql").read_text(encoding="utf-8")
