"""A frozen snapshot of a log: the files of each Delta table, as of the moment it was opened.

Whatever workers write afterwards is not seen, and every question is asked of the same rows. Tables are opened in
the order ledger, pairs, dead letters: a record that a ledger counts then stands in the pairs, in the dead letters,
or beyond the positions of that version of `pairs`, where whoever counts the pending ones will find it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from gnomon_capture.errors import UsageError
from gnomon_replay.delta import refuse_newer
from gnomon_replay.errors import LogError
from gnomon_replay.pairs import DEAD_LETTERS, LABELS, LEDGER, pairs_schema, struct_of

from gnomon_diff.decision import Decision, decode_decision
from gnomon_diff.rules import Rule

NO_PAIRS = pairs_schema(struct_of([]), struct_of([]))


@dataclass(frozen=True, kw_only=True)
class Table:
    """The files of one Delta table.

    Attributes:
        files: Parquet files; none for a table that does not exist or is empty.
        schema: the table's own, or the contract's where there is no table.
        version: Delta's; None where there is no table.
    """

    files: tuple[str, ...]
    schema: pa.Schema
    version: int | None


@dataclass(frozen=True, kw_only=True)
class Log:
    """What stood in a log when it was opened. May be shared between threads.

    Attributes:
        folder: `<log>/<experiment>`.
        decisions: the decision records, oldest first.
        rule: when two answers differ; of labels, unless told otherwise.
    """

    folder: Path
    pairs: Table
    dead_letters: Table
    ledger: Table
    labels: Table
    decisions: tuple[Decision, ...]
    rule: Rule = field(default_factory=Rule)

    @property
    def files(self) -> list[str]:
        """Every Parquet file of the snapshot."""
        return [
            file
            for table in (self.pairs, self.dead_letters, self.ledger, self.labels)
            for file in table.files
        ]


def open_log(folder: str | Path, rule: Rule | None = None) -> Log:
    """Opens the log of an experiment; one that does not exist yet is empty.

    Args:
        folder: `<log>/<experiment>`.
        rule: when two answers differ (`Rule.of(experiment)`); default: where their labels do.

    Raises:
        UsageError: the folder is a file.
        LogError: a table cannot be read.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name the folder of an experiment's log, <log>/<experiment>")
    ledger = _table(folder / "ledger", LEDGER)
    pairs = _table(folder / "pairs", NO_PAIRS)
    return Log(
        folder=folder,
        pairs=pairs,
        dead_letters=_table(folder / "dead_letters", DEAD_LETTERS),
        ledger=ledger,
        labels=_table(folder / "labels", LABELS),
        decisions=_decisions(folder / "decisions"),
        rule=rule or Rule(),
    )


def _table(folder: Path, declared: pa.Schema) -> Table:
    with _opening(folder):
        if not (folder / "_delta_log").is_dir():
            return Table(files=(), schema=declared, version=None)
        table = DeltaTable(str(folder))
        refuse_newer(table, folder)
        schema = pa.schema(table.schema().to_arrow())
        # Not `file_uris()`: it spells a folder's name as a URL would.
        paths = table.get_add_actions().column("path").to_pylist()
        files = tuple(str(folder / path) for path in sorted(paths))
    return Table(files=files, schema=schema, version=table.version())


def _decisions(folder: Path) -> tuple[Decision, ...]:
    with _opening(folder):
        found = [decode_decision(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return tuple(sorted(found, key=lambda decision: decision.number))


@contextlib.contextmanager
def _opening(folder: Path) -> Iterator[None]:
    """Turns what Delta and the file system raise while `folder` is opened into a LogError."""
    try:
        yield
    except (DeltaError, OSError, ValueError) as exc:
        raise LogError(str(folder), f"{folder} cannot be read: {_first_line(exc)}") from exc


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turns what DuckDB raises about the log's files and the machine into a LogError.

    Its other errors pass: of our own questions they would be bugs.
    """
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException) as exc:
        raise LogError(
            str(folder), f"{folder} changed or broke while it was read; run this again: {_first_line(exc)}"
        ) from exc
    except duckdb.OutOfMemoryException as exc:
        raise LogError(
            str(folder), f"{folder} is too large for this machine's memory: {_first_line(exc)}"
        ) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
