"""Delta tables of the log: how they are made, opened and written; their errors in words.

A log is of the schema that the description of `pairs` names. Whoever changes the contract's columns raises it
there in the commit that first uses them, so that an older gnomon refuses the log instead of misreading it.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gnomon_replay.errors import LogError
from gnomon_replay.pairs import (
    DEAD_LETTERS,
    LABELS,
    LEDGER,
    PARTITION_BY,
    SCHEMA_VERSION,
    pairs_schema,
    struct_of,
)

CHECKPOINT_EVERY = 10
PATIENCE_S = 60.0
"""How long a commit is tried again when others' come before it."""
PAUSE_S = 0.02
"""At most so long after the first refusal, and at most twice as long after each further one, up to 64 times: by
chance, so that workers do not meet again."""
REOPEN_S = 600.0
"""A handle older than that is not appended on: far less than the history that shows a rival's commit."""
WRITER = WriterProperties(compression="ZSTD", compression_level=1)
CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    # Smallest and largest values are kept of this column alone: of the others they cost each commit and each
    # opening more than they save a reader, and they would outlive, in the table's history, a forgotten key.
    "delta.dataSkippingStatsColumns": "schema_version",
    # Each commit lists the history: a day of it, at a commit every ten seconds, costs more than the commit.
    "delta.logRetentionDuration": "interval 30 minutes",
    # Marks of deleted files, which every opening reads.
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
_CONTRACT = {
    "pairs": pairs_schema(struct_of([]), struct_of([])),
    "dead_letters": DEAD_LETTERS,
    "ledger": LEDGER,
    "labels": LABELS,
}
_DESCRIBED = re.compile(r"gnomon \w+, schema (\d+)\Z")
_DENIED = "ermission"  # as the system says it, or Rust


def description(name: str) -> str:
    """What a table says of itself."""
    return f"gnomon {name}, schema {SCHEMA_VERSION}"


def open_table(path: str | Path) -> DeltaTable | None:
    """A fresh handle; None if there is no table.

    Raises:
        LogError: a later gnomon wrote it.
        DeltaError, OSError: it cannot be read.
    """
    try:
        table = DeltaTable(str(path))
    except TableNotFoundError as exc:
        if _DENIED in str(exc):
            raise  # it may well be there
        return None
    refuse_newer(table, path)
    return table


def refuse_newer(table: DeltaTable, path: str | Path) -> None:
    """Raises LogError if a later gnomon wrote this table, with columns that this one does not know."""
    found = _DESCRIBED.match(table.metadata().description or "")
    if found is not None and int(found[1]) > SCHEMA_VERSION:
        raise LogError(
            str(path),
            f"the log at {path} has schema {found[1]}, and this gnomon knows schemas up to {SCHEMA_VERSION}: "
            "upgrade gnomon. Nothing was changed.",
        )


def rows_in(
    table: DeltaTable,
    path: Path,
    columns: list[str],
    chosen: ds.Expression | None = None,
    day: datetime.date | None = None,
) -> Iterator[pa.Table]:
    """Some columns of a version's rows, with the contract's types, part by part.

    Args:
        path: the table's folder, which has its name.
        columns: not `day`, `features` or `attributes`; those that `chosen` asks about are among them.
        chosen: which rows; all if None.
        day: only of this one.
    """
    names = table.get_add_actions().column("path").to_pylist()
    inside = "" if day is None else f"day={day.isoformat()}/"
    files = [str(path / name) for name in names if name.startswith(inside)]
    schema = pa.schema([_CONTRACT[path.name].field(name) for name in columns])
    # Filtered here and not by the data set: a file that Delta has rewritten brings statistics in another type of
    # text, which a filter stumbles over.
    for batch in ds.dataset(files, schema=schema, format="parquet").to_batches():
        part = pa.Table.from_batches([batch], schema)
        yield part if chosen is None else part.filter(chosen)


def append(path: str | Path, name: str, rows: pa.Table, schema: pa.Schema) -> None:
    """Appends rows to a table that is not `pairs`; makes it if it is not there.

    Raises:
        LogError: it cannot be written.
    """
    if not rows.num_rows:
        return

    def write() -> None:
        write_deltalake(
            str(path),
            rows.cast(schema),
            mode="append",
            partition_by=PARTITION_BY.get(name),
            configuration=CONFIGURATION,
            description=description(name),
            writer_properties=WRITER,
        )

    repeated(path, write)


def repeated(
    path: str | Path, write: Callable[[], None], after_refusal: Callable[[], None] | None = None
) -> None:
    """Writes to a table; again where Delta refused it for what another process did meanwhile.

    Raises:
        LogError: it cannot be written, or others came first all the time.
    """
    deadline = time.monotonic() + PATIENCE_S
    for attempt in itertools.count():
        with translated(path):
            try:
                write()
                return
            except CommitFailedError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(random.uniform(0, PAUSE_S * 2 ** min(attempt, 6)))
        if after_refusal is not None:
            after_refusal()


@contextlib.contextmanager
def translated(path: str | Path) -> Iterator[None]:
    """Delta's and the disk's errors as LogError, with what to do."""
    try:
        yield
    except (DeltaError, OSError) as exc:
        text = str(exc)
        if "No space left" in text:
            advice = "the disk is full; free some space and start again, nothing committed is lost"
        elif _DENIED in text:
            advice = "this user may not write there; change the owner or name another [experiment] log"
        else:
            said = text.strip().splitlines()[0][:300]
            advice = f"{said}; look at the folder, then start again: nothing committed is lost"
        raise LogError(str(path), f"the log at {path} could not be used: {advice}") from exc
