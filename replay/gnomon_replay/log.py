"""The pair log: Delta tables, and the commit that makes every pair exactly one.

`pairs` is the truth about progress: each commit carries, as Delta app transactions, the positions up to
which the traffic has been read, one for each place and candidate. A worker that finds another position than
the one its reading began from is fenced.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from gnomon_replay.columns import complete
from gnomon_replay.delta import (
    CHECKPOINT_EVERY,
    CONFIGURATION,
    REOPEN_S,
    WRITER,
    append,
    description,
    open_table,
    repeated,
    rows_in,
    translated,
)
from gnomon_replay.errors import FencedError, ShapeMovedError
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, PARTITION_BY, RUNS, pairs_schema
from gnomon_replay.shape import Shape


@dataclass(frozen=True)
class Batch:
    """What one commit brings.

    Attributes:
        pairs, dead_letters, ledgers: rows, with the columns of the contract.
        began: where reading stood before it, by `app_id`; None for the experiment's start.
        reached: where reading stands after it.
        marks: further numbers kept in the same commit, under ids of their own.
    """

    pairs: pa.Table
    dead_letters: pa.Table
    ledgers: pa.Table
    began: Mapping[str, int | None]
    reached: Mapping[str, int]
    marks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, at in self.reached.items():
            began = self.began[name]
            if began is not None and at <= began:
                raise ValueError(f"{name} from {began} to {at}: positions only grow")


def app_id(place: str, digest: str) -> str:
    """The id under which the log keeps a candidate's position in a place of the traffic."""
    return f"{place}/{digest}"


class PairLog:
    """The log of one experiment. Not thread-safe.

    Args:
        folder: `<log>/<experiment>`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pairs: DeltaTable | None = None
        self._opened = 0  # the checkpoint before the handle
        self._opened_at = 0.0
        self._standing: dict[str, int | None] = {}
        self.version: int | None = None  # of the table of pairs, after the last commit

    def positions(self, ids: Iterable[str], *, version: int | None = None) -> dict[str, int | None]:
        """Where the log stands, by `app_id`; None for the experiment's start. Thread-safe.

        Args:
            version: of the table of pairs, to ask about an earlier state; the newest if None.
        """
        with translated(self._path("pairs")):
            table = open_table(self._path("pairs"))
            if table is not None and version is not None:
                table.load_as_version(version)
            return {name: None if table is None else table.transaction_version(name) for name in ids}

    def schema(self) -> pa.Schema:
        """The columns that the table of pairs has; none if it is not there yet."""
        with translated(self._path("pairs")):
            table = open_table(self._path("pairs"))
            return pa.schema([] if table is None else table.schema().to_arrow())

    def recent_ids(self, place: str, digest: str, count: int) -> list[str]:
        """The ids of a candidate's last `count` requests in a place, oldest first, for telling duplicates."""
        name, _, partition = place.rpartition("/")
        with translated(self._path("pairs")):
            table = open_table(self._path("pairs"))
            reached = None if table is None else table.transaction_version(app_id(place, digest))
            if table is None or reached is None:
                return []
            chosen = (
                (pc.field("source", "partition") == partition)
                & (pc.field("source", "name") == name)
                & (pc.field("source", "offset") >= reached - count)
                & (pc.field("candidate_digest") == digest)
            )
            columns = ["request_id", "source", "candidate_digest"]
            parts = list(rows_in(table, self._folder / "pairs", columns, chosen))
            if not parts:
                return []
            found = pa.concat_tables(parts)
            source = found.column("source").combine_chunks()
            rows = pa.table(
                {
                    "request_id": found.column("request_id"),
                    "offset": source.field("offset"),
                    "line": source.field("line"),
                }
            ).sort_by([("offset", "ascending"), ("line", "ascending")])
            ids: list[str] = rows.column("request_id")[-count:].to_pylist()
            return ids

    def commit(self, batch: Batch) -> None:
        """Appends a batch, exactly once.

        1. One table handle is kept. It is opened at assignment (`reopen`), after each checkpoint, after any
           refused commit, and when it is old: Delta finds rivals in the table's history, which is short.
        2. On each opening, on *that* handle, the position of every place and candidate must be the one at which
           this worker's reading stands, else `FencedError`. Between openings any other commit makes Delta refuse
           ours (no retries of its own: it would pass a rival's for another place, or for a position that
           was never committed before).
        3. Dead letters and ledger rows are written first. They are idempotent by `source`: a crash after
           this step leaves only rows that the views fold.
        4. The pairs are appended on that same handle, never by address, with the next positions as app
           transactions. A refused append reopens and repeats 2; if no position moved (another worker merged
           a field, say), it writes again.
        5. The caller then acknowledges to Kafka's group, for lag tools only.

        Raises:
            FencedError: another worker moved a position; nothing of this batch's pairs was written.
            ShapeMovedError: another worker gave a field of this batch another type; likewise.
            LogError: the log cannot be written; the same batch may be given again.
        """
        standing = {**self._standing, **batch.began}
        old = time.time() - self._opened_at > REOPEN_S  # of the clock: a machine may have slept
        if self._pairs is None or standing != self._standing or old:
            self._standing = standing
            self.reopen()
        append(self._path("dead_letters"), "dead_letters", batch.dead_letters, DEAD_LETTERS)
        append(self._path("ledger"), "ledger", batch.ledgers, LEDGER)
        transactions = [Transaction(name, at) for name, at in {**batch.reached, **batch.marks}.items()]
        # No retries of Delta's own: it would pass commits that nobody has checked, also a first one's rival.
        properties = CommitProperties(app_transactions=transactions, max_commit_retries=0)
        repeated(self._path("pairs"), lambda: self._write_pairs(batch.pairs, properties), self.reopen)
        self._standing.update(batch.reached)
        self.version = None if self._pairs is None else self._pairs.version()
        if self._pairs is not None and self._pairs.version() // CHECKPOINT_EVERY != self._opened:
            self._pairs = None  # a checkpoint came: the next commit opens anew

    def record_run(self, rows: pa.Table) -> None:
        """Appends to `runs`.

        Raises:
            LogError: the log cannot be written.
        """
        append(self._path("runs"), "runs", rows, RUNS)

    def reopen(self) -> None:
        """Opens the handle afresh and checks, on it, every position that reading stands at (step 2).

        Raises:
            FencedError: a position moved.
        """
        self._pairs = None
        with translated(self._path("pairs")):
            table = open_table(self._path("pairs"))
            for name, expected in self._standing.items():
                found = None if table is None else table.transaction_version(name)
                if found != expected:
                    raise FencedError(name, expected, found)
            self._keep(table)

    def forget_standing(self, ids: Iterable[str]) -> None:
        """Stops vouching for these positions: their places were taken away, or reading goes back."""
        for name in ids:
            self._standing.pop(name, None)
        self._pairs = None

    def _write_pairs(self, pairs: pa.Table, properties: CommitProperties) -> None:
        table = self._pairs if self._pairs is not None else self._create(pairs.schema)
        fitted, grows = fit_to_table(pairs, pa.schema(table.schema().to_arrow()))
        write_deltalake(
            table,
            fitted,
            mode="append",
            schema_mode="merge" if grows else None,
            commit_properties=properties,
            writer_properties=WRITER,
        )

    def _create(self, schema: pa.Schema) -> DeltaTable:
        """The `pairs` table, made with the schema of its first batch; another worker may be first."""
        try:
            table = DeltaTable.create(
                self._path("pairs"),
                schema,
                mode="error",
                partition_by=PARTITION_BY["pairs"],
                configuration=CONFIGURATION,
                description=description("pairs"),
            )
        except DeltaError:
            self.reopen()
            if self._pairs is None:
                raise
            return self._pairs
        self._keep(table)
        return table

    def _keep(self, table: DeltaTable | None) -> None:
        self._pairs = table
        self._opened_at = time.time()
        self._opened = 0 if table is None else table.version() // CHECKPOINT_EVERY

    def _path(self, name: str) -> str:
        return str(self._folder / name)


def fit_to_table(pairs: pa.Table, known: pa.Schema) -> tuple[pa.Table, bool]:
    """The pairs with all the table's features and attributes and their own new ones behind; are there new ones?

    Raises:
        ShapeMovedError: one of theirs has another type or spelling in the table.
    """
    theirs, both = Shape({}, ()), Shape({}, ())
    theirs.adopt(known)
    both.adopt(pairs.schema)
    both.adopt(known)
    for column, kind in (("features", both.features), ("attributes", both.attributes)):
        if column in pairs.schema.names:
            for field in pairs.schema.field(column).type:
                index = kind.get_field_index(field.name)
                if index < 0 or kind.field(index).type != field.type:
                    raise ShapeMovedError(field.name)
    grows = (both.features, both.attributes) != (theirs.features, theirs.attributes)
    return complete(pairs, pairs_schema(both.features, both.attributes)), grows
