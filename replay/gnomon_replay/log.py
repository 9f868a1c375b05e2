"""The pair log: Delta tables, and the commit that makes every pair exactly one.

`pairs` is the truth about progress: each commit carries, as Delta app transactions, the positions up to
which the traffic has been read for this candidate. A worker that finds another position than the one its
reading began from is fenced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gnomon_replay.columns import complete
from gnomon_replay.errors import FencedError, LogError
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, PARTITION_BY, SCHEMA_VERSION, pairs_schema
from gnomon_replay.shape import Shape

CHECKPOINT_EVERY = 10
ATTEMPTS = 10
_WRITER = WriterProperties(compression="ZSTD", compression_level=1)


@dataclass(frozen=True)
class Batch:
    """What one commit brings.

    Attributes:
        pairs, dead_letters, ledgers: rows, with the columns of the contract.
        began: where reading stood before it, by partition; None for the experiment's start.
        reached: where reading stands after it.
    """

    pairs: pa.Table
    dead_letters: pa.Table
    ledgers: pa.Table
    began: Mapping[str, int | None]
    reached: Mapping[str, int]


def experiment_folder(log: Path, name: str) -> Path:
    """Where the tables of an experiment lie."""
    return log / name


class PairLog:
    """The log of one experiment, written for one candidate from one source. Not thread-safe.

    Args:
        folder: `<log>/<experiment>`.
        source: the traffic's name, `kafka:<cluster id>:<topic>` or `spool:<experiment>`.
        digest: the candidate's.
    """

    def __init__(self, folder: Path, source: str, digest: str) -> None:
        self._folder = folder
        self._source = source
        self._digest = digest
        self._pairs: DeltaTable | None = None
        self._standing: dict[str, int | None] = {}

    def positions(self, partitions: list[str], *, version: int | None = None) -> dict[str, int | None]:
        """Where the log stands, by partition; None for the experiment's start. Thread-safe.

        Args:
            version: of the table of pairs, to ask about an earlier state; the newest if None.
        """
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            if table is not None and version is not None:
                table.load_as_version(version)
            return {
                part: None if table is None else table.transaction_version(self._app_id(part))
                for part in partitions
            }

    def shape(self) -> Shape:
        """The features and attributes that the table has."""
        shape = Shape({}, ())
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            if table is not None:
                shape.adopt(pa.schema(table.schema().to_arrow()))
        return shape

    def recent_ids(self, partition: str, count: int) -> list[str]:
        """The ids of the last `count` requests of a partition, oldest first, for telling duplicates."""
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            if table is None:
                return []
            dataset = table.to_pyarrow_dataset()
            rows = dataset.to_table(
                columns={
                    "request_id": pa.dataset.field("request_id"),
                    "offset": pa.dataset.field("source", "offset"),
                    "line": pa.dataset.field("source", "line"),
                },
                filter=(pa.dataset.field("source", "partition") == partition)
                & (pa.dataset.field("candidate_digest") == self._digest),
            ).sort_by([("offset", "ascending"), ("line", "ascending")])
            ids: list[str] = rows.column("request_id")[-count:].to_pylist()
            return ids

    def commit(self, batch: Batch) -> None:
        """Appends a batch, exactly once.

        1. One table handle is kept. It is opened at assignment (`reopen`), after each checkpoint, and after
           any refused commit.
        2. On each opening, on *that* handle, the position of every partition must be the one at which this
           worker's reading stands, else `FencedError`. Between openings Delta itself refuses a rival.
        3. Dead letters and ledger rows are written first. They are idempotent by `source`: a crash after
           this step leaves only rows that the views fold.
        4. The pairs are appended on that same handle, never by address, with the next positions as app
           transactions. A refused append reopens and repeats 2; if no position moved (another worker merged
           a field, say), it writes again.
        5. The caller then acknowledges to Kafka's group, for lag tools only.

        Raises:
            FencedError: another worker moved a position; nothing of this batch's pairs was written.
            LogError: the log cannot be written; the same batch may be given again.
        """
        standing = {**self._standing, **batch.began}
        if self._pairs is None or standing != self._standing:
            self._standing = standing
            self.reopen()
        self._append("dead_letters", batch.dead_letters, DEAD_LETTERS)
        self._append("ledger", batch.ledgers, LEDGER)
        transactions = [Transaction(self._app_id(part), at) for part, at in batch.reached.items()]
        with _translated(self._path("pairs")):
            for attempt in range(ATTEMPTS):
                try:
                    self._write_pairs(batch.pairs, CommitProperties(app_transactions=transactions))
                    break
                except CommitFailedError:
                    if attempt == ATTEMPTS - 1:
                        raise
                    self.reopen()
        self._standing.update(batch.reached)
        if self._pairs is not None and self._pairs.version() % CHECKPOINT_EVERY == 0:
            self.reopen()

    def reopen(self) -> None:
        """Opens the handle afresh and checks, on it, every position that reading stands at (step 2).

        Raises:
            FencedError: a position moved.
        """
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            for part, expected in self._standing.items():
                found = None if table is None else table.transaction_version(self._app_id(part))
                if found != expected:
                    self._pairs = None
                    raise FencedError(part, expected, found)
            self._pairs = table

    def forget_standing(self, partitions: Iterable[str]) -> None:
        """Stops vouching for these partitions: they were taken away, or reading goes back."""
        for part in partitions:
            self._standing.pop(part, None)
        self._pairs = None

    def _write_pairs(self, pairs: pa.Table, properties: CommitProperties) -> None:
        if self._pairs is None:
            self._pairs = self._create(pairs.schema)
        shape = Shape({}, ())
        known = pa.schema(self._pairs.schema().to_arrow())
        shape.adopt(known)
        brought = Shape({}, ())
        brought.adopt(known)
        brought.adopt(pairs.schema)
        grows = (shape.features, shape.attributes) != (brought.features, brought.attributes)
        write_deltalake(
            self._pairs,
            complete(pairs, pairs_schema(brought.features, brought.attributes)),
            mode="append",
            schema_mode="merge" if grows else None,
            commit_properties=properties,
            writer_properties=_WRITER,
        )

    def _create(self, schema: pa.Schema) -> DeltaTable:
        """The `pairs` table, made with the schema of its first batch; another worker may be first."""
        path = self._path("pairs")
        try:
            return DeltaTable.create(
                path,
                schema,
                mode="error",
                partition_by=PARTITION_BY["pairs"],
                configuration={"delta.checkpointInterval": str(CHECKPOINT_EVERY)},
                description=f"gnomon pairs, schema {SCHEMA_VERSION}",
            )
        except DeltaError:
            if self._open("pairs") is None:
                raise
            self.reopen()
            if self._pairs is None:
                raise
            return self._pairs

    def _append(self, name: str, rows: pa.Table, schema: pa.Schema) -> None:
        if rows.num_rows:
            with _translated(self._path(name)):
                write_deltalake(
                    self._path(name),
                    rows.cast(schema),
                    mode="append",
                    partition_by=PARTITION_BY.get(name),
                    writer_properties=_WRITER,
                )

    def _open(self, name: str) -> DeltaTable | None:
        with contextlib.suppress(TableNotFoundError):
            return DeltaTable(self._path(name))
        return None

    def _app_id(self, partition: str) -> str:
        return f"{self._source}/{partition}/{self._digest}"

    def _path(self, name: str) -> str:
        return str(self._folder / name)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Delta's and the disk's errors as LogError, with what to do."""
    try:
        yield
    except (DeltaError, OSError) as exc:
        text = str(exc)
        if "No space left" in text:
            advice = "the disk is full; free some space and start again, nothing committed is lost"
        elif "ermission" in text:
            advice = "this user may not write there; change the owner or name another [experiment] log"
        else:
            advice = f"{text[:300]}; look at the folder, then start again: nothing committed is lost"
        raise LogError(path, f"the log at {path} could not be used: {advice}") from exc
