"""One key's rows taken out of everything that lies here: pairs, dead letters, labels, and the spool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from gnomon_capture.errors import UsageError

from gnomon_replay.delta import open_table, repeated, rows_in, translated
from gnomon_replay.forget_spool import blank_spool, find_in_spool, spelt
from gnomon_replay.maintenance import READERS_H, vacuum
from gnomon_replay.removal import columns_of, count_rows, delete_joined, remove_rows

PASSES = 3
"""A worker may append the key's rows while they are deleted: so often it is looked again."""
_TABLES = ("pairs", "dead_letters")
_VIEWED = (".html", ".json", ".txt")


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, or would be.

    Attributes:
        pairs, dead_letters, labels: rows.
        spool_lines: lines of spools that were made blank.
        old_files: files with such rows that left the disk at once.
        old_files_h: hours that the others stay for those who are reading them; 0 if none do.
        left: rows that came while they were deleted and are still there.
        mentions: reports, records and what models printed that name the key, and are not changed.
    """

    pairs: int
    dead_letters: int
    labels: int
    spool_lines: int
    old_files: int
    old_files_h: int
    left: int
    mentions: list[str]


def find(folder: Path, keys: Sequence[str], spools: Sequence[Path]) -> Forgotten:
    """What `forget` would delete.

    Args:
        folder: `<log>/<experiment>`.
        keys: one key, in each form that it may stand in: as it is, and as redaction left it.
        spools: folders of spools.

    Raises:
        LogError, TrafficError: the log or a spool cannot be read.
    """
    chosen = _chosen(keys)
    return Forgotten(
        pairs=count_rows(folder, "pairs", chosen["pairs"]),
        dead_letters=count_rows(folder, "dead_letters", chosen["dead_letters"]),
        labels=len(_labels(folder, _request_ids(folder, keys))),
        spool_lines=sum(find_in_spool(spool, keys) for spool in spools),
        old_files=0,
        old_files_h=0,
        left=0,
        mentions=_mentions(folder, keys),
    )


def forget(
    folder: Path, keys: Sequence[str], spools: Sequence[Path], *, vacuum_now: bool = False
) -> Forgotten:
    """Deletes one key's rows, and writes into `ledger/` which numbers they had, so that the accounts balance.

    The spool comes first, so that no worker reads from it what is being deleted; labels before the pairs that
    say whose they are. Interrupted, it may be run again.

    Args:
        folder, keys, spools: as for `find`.
        vacuum_now: delete old files at once; a report that is being made just then fails.

    Raises:
        LogError, TrafficError: the log or a spool cannot be read or written; what was deleted is accounted for.
    """
    chosen = _chosen(keys)
    lines = sum(blank_spool(spool, keys, folder / "ledger") for spool in spools)
    labels = _forget_labels(folder, _request_ids(folder, keys))
    rows = dict.fromkeys(_TABLES, 0)
    for _ in range(PASSES):
        for name in _TABLES:
            rows[name] += remove_rows(folder, name, chosen[name])
        left = sum(count_rows(folder, name, chosen[name]) for name in _TABLES)
        if not left:
            break
    readers_h = 0 if vacuum_now else READERS_H
    old_files = sum(vacuum(folder / name, readers_h) for name in (*_TABLES, "labels"))
    return Forgotten(
        pairs=rows["pairs"],
        dead_letters=rows["dead_letters"],
        labels=labels,
        spool_lines=lines,
        old_files=old_files,
        old_files_h=readers_h if rows["pairs"] + rows["dead_letters"] + labels else 0,
        left=left,
        mentions=_mentions(folder, keys),
    )


def _chosen(keys: Sequence[str]) -> dict[str, ds.Expression]:
    """Which rows of each table are the key's: of dead letters also those whose line names it and whose key could
    not be read."""
    if not keys or not all(keys):
        raise UsageError("an empty key is no key: requests without one cannot be told apart")
    theirs = pc.field("key").isin(list(keys))
    named = pc.scalar(False)
    for key in keys:
        for form in spelt(key):
            named = named | pc.match_substring(pc.field("bytes"), form)
    unread = pc.field("key").is_null() & pc.field("bytes").is_valid()
    return {"pairs": theirs, "dead_letters": theirs | (unread & named)}


def _request_ids(folder: Path, keys: Sequence[str]) -> list[str]:
    """The ids of all requests of the key that are in the log."""
    ids: set[str] = set()
    for name, rows in _chosen(keys).items():
        with translated(folder / name):
            table = open_table(folder / name)
            if table is not None:
                for part in rows_in(table, folder / name, columns_of(name), rows):
                    ids.update(part.column("request_id").to_pylist())
    return sorted(ids - {None})


def _labels(folder: Path, request_ids: Sequence[str]) -> list[str]:
    """Which labels of these requests there are, by request, one for each row."""
    with translated(folder / "labels"):
        table = open_table(folder / "labels")
        if table is None or not request_ids:
            return []
        chosen = pc.field("request_id").isin(list(request_ids))
        return [
            request_id
            for part in rows_in(table, folder / "labels", ["request_id"], chosen)
            for request_id in part.column("request_id").to_pylist()
        ]


def _forget_labels(folder: Path, request_ids: Sequence[str]) -> int:
    deleted = 0

    def attempt() -> None:
        nonlocal deleted
        deleted = 0
        labels = _labels(folder, request_ids)
        table = open_table(folder / "labels")
        if labels and table is not None:
            theirs = pa.table({"request_id": sorted(set(labels))})
            deleted = delete_joined(table, theirs, "target.request_id = source.request_id")

    repeated(folder / "labels", attempt)
    return deleted


def _mentions(folder: Path, keys: Sequence[str]) -> list[str]:
    """Files for people that have the key in them."""
    found = []
    for part in ("reports", "decisions", "output"):
        for path in sorted((folder / part).rglob("*")):
            if path.suffix in _VIEWED and path.is_file():
                data = path.read_bytes()
                if any(key.encode() in data for key in keys):
                    found.append(str(path))
    return found
