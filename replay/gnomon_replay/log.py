"""The pair log: Delta tables, and the commit that makes every pair exactly one.

`pairs` is the truth about progress: each commit carries, as Delta app transactions, the positions up to
which the traffic has been read, one for each place and candidate. A worker that finds another position than
the one its reading began from is fenced.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gnomon_replay.columns import complete
from gnomon_replay.errors import FencedError, LogError, ShapeMovedError
from gnomon_replay.pairs import DEAD_LETTERS, LEDGER, PARTITION_BY, RUNS, SCHEMA_VERSION, pairs_schema
from gnomon_replay.shape import Shape

CHECKPOINT_EVERY = 10
PATIENCE_S = 60.0
"""How long a commit is tried again when others' come before it."""
PAUSE_S = 0.02
"""At most so long after the first refusal, and at most twice as long after each further one, up to 64 times: by
chance, so that workers do not meet again."""
_DENIED = "ermission"  # as the system says it, or Rust
_WRITER = WriterProperties(compression="ZSTD", compression_level=1)


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


def experiment_folder(log: Path, name: str) -> Path:
    """Where the tables of an experiment lie."""
    return log / name


class PairLog:
    """The log of one experiment. Not thread-safe.

    Args:
        folder: `<log>/<experiment>`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pairs: DeltaTable | None = None
        self._opened = 0  # the checkpoint before the handle
        self._standing: dict[str, int | None] = {}

    def positions(self, ids: Iterable[str], *, version: int | None = None) -> dict[str, int | None]:
        """Where the log stands, by `app_id`; None for the experiment's start. Thread-safe.

        Args:
            version: of the table of pairs, to ask about an earlier state; the newest if None.
        """
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            if table is not None and version is not None:
                table.load_as_version(version)
            return {name: None if table is None else table.transaction_version(name) for name in ids}

    def schema(self) -> pa.Schema:
        """The columns that the table of pairs has; none if it is not there yet."""
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            return pa.schema([] if table is None else table.schema().to_arrow())

    def recent_ids(self, place: str, digest: str, count: int) -> list[str]:
        """The ids of a candidate's last `count` requests in a place, oldest first, for telling duplicates."""
        name, _, partition = place.rpartition("/")
        with _translated(self._path("pairs")):
            table = self._open("pairs")
            reached = None if table is None else table.transaction_version(app_id(place, digest))
            if table is None or reached is None:
                return []
            rows = (
                table.to_pyarrow_dataset()
                .to_table(
                    columns={
                        "request_id": pa.dataset.field("request_id"),
                        "offset": pa.dataset.field("source", "offset"),
                        "line": pa.dataset.field("source", "line"),
                    },
                    filter=(pa.dataset.field("source", "partition") == partition)
                    & (pa.dataset.field("source", "name") == name)
                    & (pa.dataset.field("source", "offset") >= reached - count)
                    & (pa.dataset.field("candidate_digest") == digest),
                )
                .sort_by([("offset", "ascending"), ("line", "ascending")])
            )
            ids: list[str] = rows.column("request_id")[-count:].to_pylist()
            return ids

    def commit(self, batch: Batch) -> None:
        """Appends a batch, exactly once.

        1. One table handle is kept. It is opened at assignment (`reopen`), after each checkpoint, and after
           any refused commit.
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
        if self._pairs is None or standing != self._standing:
            self._standing = standing
            self.reopen()
        self._append("dead_letters", batch.dead_letters, DEAD_LETTERS)
        self._append("ledger", batch.ledgers, LEDGER)
        transactions = [Transaction(name, at) for name, at in {**batch.reached, **batch.marks}.items()]
        # No retries of Delta's own: it would pass commits that nobody has checked, also a first one's rival.
        properties = CommitProperties(app_transactions=transactions, max_commit_retries=0)
        self._repeated("pairs", lambda: self._write_pairs(batch.pairs, properties), self.reopen)
        self._standing.update(batch.reached)
        if self._pairs is not None and self._pairs.version() // CHECKPOINT_EVERY != self._opened:
            self._pairs = None  # a checkpoint came: the next commit opens anew

    def record_run(self, rows: pa.Table) -> None:
        """Appends to `runs`.

        Raises:
            LogError: the log cannot be written.
        """
        self._append("runs", rows, RUNS)

    def reopen(self) -> None:
        """Opens the handle afresh and checks, on it, every position that reading stands at (step 2).

        Raises:
            FencedError: a position moved.
        """
        self._pairs = None
        with _translated(self._path("pairs")):
            table = self._open("pairs")
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
            writer_properties=_WRITER,
        )

    def _create(self, schema: pa.Schema) -> DeltaTable:
        """The `pairs` table, made with the schema of its first batch; another worker may be first."""
        try:
            table = DeltaTable.create(
                self._path("pairs"),
                schema,
                mode="error",
                partition_by=PARTITION_BY["pairs"],
                configuration={"delta.checkpointInterval": str(CHECKPOINT_EVERY)},
                description=f"gnomon pairs, schema {SCHEMA_VERSION}",
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
        self._opened = 0 if table is None else table.version() // CHECKPOINT_EVERY

    def _append(self, name: str, rows: pa.Table, schema: pa.Schema) -> None:
        if not rows.num_rows:
            return

        def write() -> None:
            write_deltalake(
                self._path(name),
                rows.cast(schema),
                mode="append",
                partition_by=PARTITION_BY.get(name),
                writer_properties=_WRITER,
            )

        self._repeated(name, write, lambda: None)

    def _repeated(self, name: str, write: Callable[[], None], after_refusal: Callable[[], None]) -> None:
        """Writes to a table; again where Delta refused it for what another worker did meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        for attempt in itertools.count():
            with _translated(self._path(name)):
                try:
                    write()
                    return
                except CommitFailedError:
                    if time.monotonic() > deadline:
                        raise
            time.sleep(random.uniform(0, PAUSE_S * 2 ** min(attempt, 6)))
            after_refusal()

    def _open(self, name: str) -> DeltaTable | None:
        try:
            return DeltaTable(self._path(name))
        except TableNotFoundError as exc:
            if _DENIED in str(exc):
                raise  # it may well be there
            return None

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


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
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
        raise LogError(path, f"the log at {path} could not be used: {advice}") from exc
