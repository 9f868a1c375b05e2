"""What keeps a log small over the years: retention, compaction, and old files let go of.

Workers, readers and a second maintenance may be at work at the same time. A compaction is a commit like any
rival's: a worker's append is refused, opens anew, finds its position where it was, and writes again.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from gnomon_replay.delta import WRITER, open_table, repeated, rows_in, translated
from gnomon_replay.removal import days_of, remove_days
from gnomon_replay.settings import ReplaySettings

TABLES = ("pairs", "dead_letters", "ledger", "labels")
TARGET_BYTES = 128 << 20
"""Of a compacted file."""
LOCK = ".compaction.lock"
READERS_H = 1
"""Hours for which files that are no longer in the table stay, for those who are reading it."""
ORPHANS_H = 24
"""Hours after which a file that never came into the table is taken for a killed worker's, not a living one's."""


class Maintained(msgspec.Struct, frozen=True, kw_only=True):
    """What a maintenance did.

    Attributes:
        files_before, files_after: of each table that is there.
        files_deleted: old files taken off the disk.
        rows_expired: rows older than `keep_days`, by table.
        letters_emptied: dead letters whose bytes were let go of.
        busy: tables that somebody else was rewriting; left for the next time.
    """

    files_before: dict[str, int]
    files_after: dict[str, int]
    files_deleted: int
    rows_expired: dict[str, int]
    letters_emptied: int
    busy: list[str]


def maintain(folder: Path, settings: ReplaySettings, *, now: datetime.datetime | None = None) -> Maintained:
    """Applies retention, joins small files, and deletes files that no reader needs any more.

    Args:
        folder: `<log>/<experiment>`; one that is not there is nothing to do.
        settings: `keep_days` and `dead_letter_bytes_days`.
        now: whence ages are counted.

    Raises:
        LogError: the log cannot be read or written; what was done so far stays, and it may be run again.
    """
    today = (now or datetime.datetime.now(datetime.UTC)).date()
    before = {name: _files(folder / name) for name in TABLES}
    expired = {} if settings.keep_days is None else _expire(folder, today, settings.keep_days)
    emptied = _empty_letters(folder, today - datetime.timedelta(days=settings.dead_letter_bytes_days))
    with _alone(folder) as alone:
        busy = [name for name in TABLES if before[name] and not (alone and _compact(folder / name))]
    deleted = sum(vacuum(folder / name) for name in TABLES)
    after = {name: _files(folder / name) for name in TABLES}
    return Maintained(
        files_before={name: count for name, count in before.items() if count is not None},
        files_after={name: count for name, count in after.items() if count is not None},
        files_deleted=deleted,
        rows_expired=expired,
        letters_emptied=emptied,
        busy=busy,
    )


def vacuum(path: Path, readers_h: int = READERS_H) -> int:
    """Deletes a table's old files; how many they were.

    Args:
        readers_h: hours that files are kept after they left the table.
    """
    deleted = 0
    with translated(path):
        table = open_table(path)
        if table is None:
            return 0
        # Of the marks that the table keeps, which a file that is still being written has none of; then, a day
        # later, whatever lies there and is in no version: a killed worker's, or one whose mark has expired.
        for hours, full in ((readers_h, False), (ORPHANS_H, True)):
            waiting = table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=full)
            there = [name for name in waiting if (path / name).exists()]
            if there:  # each vacuum is two commits, which workers have to look at
                table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=full)
            deleted += len(there)
    return deleted


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other compaction is at work; keeps others off until it ends, or its process does.

    Delta does not: it takes a compaction for a commit that changes no data, and of two that began at the same
    version both are let in, with all rows doubled.
    """
    if not folder.is_dir():
        yield False
        return
    with translated(folder):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _compact(path: Path) -> bool:
    """Joins small files, each day's by themselves; False if somebody else was rewriting the same."""
    with translated(path):
        table = open_table(path)
        if table is None or not _has_small_files(table):
            return True
        try:
            table.optimize.compact(target_size=TARGET_BYTES, writer_properties=WRITER)
        except CommitFailedError:
            return False
    return True


def crowd(folder: Path) -> int:
    """How many files of `pairs` there are beyond one a day: each makes every opening dearer."""
    with translated(folder / "pairs"):
        table = open_table(folder / "pairs")
        return 0 if table is None else table.get_add_actions().num_rows - len(days_of(table))


def _has_small_files(table: DeltaTable) -> bool:
    """Whether some partition has two files that would fit into one."""
    smallest: dict[str, int] = {}
    actions = table.get_add_actions()
    sizes = actions.column("size_bytes").to_pylist()
    for path, size in zip(actions.column("path").to_pylist(), sizes, strict=True):
        partition = path.rpartition("/")[0]
        if partition in smallest and size + smallest[partition] <= TARGET_BYTES:
            return True
        smallest[partition] = min(size, smallest.get(partition, size))
    return False


def _expire(folder: Path, today: datetime.date, keep_days: int) -> dict[str, int]:
    """Deletes what is older than so many days, of each table; labels by when they were loaded."""
    cutoff = today - datetime.timedelta(days=keep_days)
    expired = {name: remove_days(folder, name, cutoff) for name in ("pairs", "dead_letters")}
    expired["labels"] = _expire_labels(folder / "labels", cutoff)
    return {name: count for name, count in expired.items() if count}


def _expire_labels(path: Path, cutoff: datetime.date) -> int:
    midnight = f"arrow_cast('{cutoff.isoformat()}T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    deleted = 0

    def attempt() -> None:
        nonlocal deleted
        table = open_table(path)
        if table is not None:
            deleted = table.delete(f"loaded_at < {midnight}", writer_properties=WRITER)["num_deleted_rows"]

    repeated(path, attempt)
    return deleted


def _empty_letters(folder: Path, cutoff: datetime.date) -> int:
    """Lets go of the bytes of dead letters that were read before `cutoff`; how many had some."""
    path = folder / "dead_letters"
    emptied = 0
    with translated(path):
        table = open_table(path)
        days = [] if table is None else [day for day in days_of(table) if day < cutoff]

    def empty(day: datetime.date) -> None:
        nonlocal emptied
        table = open_table(path)
        if table is None:
            return
        parts = rows_in(table, path, ["bytes"], pc.is_valid(pc.field("bytes")), day)
        if any(part.num_rows for part in parts):
            done = table.update(
                predicate=f"day = DATE '{day.isoformat()}' AND bytes IS NOT NULL",
                updates={"bytes": "NULL"},
                writer_properties=WRITER,
            )
            emptied += done["num_updated_rows"]

    for day in days:
        repeated(path, partial(empty, day))
    return emptied


def _files(path: Path) -> int | None:
    """How many files a table has; None if there is none."""
    with translated(path):
        table = open_table(path)
        return None if table is None else table.get_add_actions().num_rows
