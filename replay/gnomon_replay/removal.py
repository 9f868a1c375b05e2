"""Rows taken out of the log, with what the accounts need: which numbers of which process are gone.

The numbers go into `ledger/` before the rows go: a crash between the two leaves a record that is in the log and
called removed, and the accounts count it where it is. Only rows that stood in the version whose numbers were
written are deleted: a commit that comes between makes Delta refuse, and both steps are done again. One day at a
time, so that workers who append to today are in the way of today's rows only.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from gnomon_replay.delta import WRITER, append, open_table, repeated, rows_in, translated
from gnomon_replay.pairs import LEDGER, SCHEMA_VERSION

PLACE = ("name", "partition", "offset", "line")
"""The fields of `source` that name a line of the traffic."""


def days_of(table: DeltaTable) -> list[datetime.date]:
    """The days that a table has files of; none for a table that is not kept by day."""
    if "day" not in table.metadata().partition_columns:
        return []
    return sorted({datetime.date.fromisoformat(part["day"]) for part in table.partitions() if part["day"]})


def columns_of(name: str) -> list[str]:
    """What is read of `pairs` or `dead_letters` to choose rows, and to account for them."""
    return ["key", "origin", "source", "request_id", *(["bytes"] if name == "dead_letters" else [])]


def count_rows(folder: Path, name: str, chosen: ds.Expression) -> int:
    """How many rows of `pairs` or `dead_letters` are chosen."""
    with translated(folder / name):
        table = open_table(folder / name)
        if table is None:
            return 0
        return sum(part.num_rows for part in rows_in(table, folder / name, columns_of(name), chosen))


def remove_rows(folder: Path, name: str, chosen: ds.Expression) -> int:
    """Deletes the chosen rows of `pairs` or `dead_letters`, and writes which numbers they had; how many they were.

    Args:
        folder: `<log>/<experiment>`.

    Raises:
        LogError: the log cannot be read or written; what was deleted so far is accounted for.
    """
    return sum(_remove(folder, name, day, chosen) for day in _days(folder / name))


def remove_days(folder: Path, name: str, before: datetime.date) -> int:
    """The same for all rows of the days before one."""
    return sum(_remove(folder, name, day, None) for day in _days(folder / name) if day < before)


def delete_joined(table: DeltaTable, rows: pa.Table, on: str) -> int:
    """Deletes the rows of a table that match one of `rows`; how many they were.

    Args:
        table: Delta refuses if somebody wrote what might have to be deleted since this was opened.
        on: how they match, a predicate about `target` and `source`.
    """
    merge = table.merge(
        rows, predicate=on, source_alias="source", target_alias="target", writer_properties=WRITER
    )
    deleted: int = merge.when_matched_delete().execute()["num_target_rows_deleted"]
    return deleted


def _days(path: Path) -> list[datetime.date]:
    with translated(path):
        table = open_table(path)
        return [] if table is None else days_of(table)


def _remove(folder: Path, name: str, day: datetime.date, chosen: ds.Expression | None) -> int:
    removed = 0

    def attempt() -> None:
        nonlocal removed
        removed = 0
        table = open_table(folder / name)
        if table is None:
            return
        numbers: dict[str, list[npt.NDArray[np.int64]]] = {}
        places: list[pa.Table] = []
        count = 0
        for part in rows_in(table, folder / name, columns_of(name), chosen, day):
            count += part.num_rows
            _collect(part.column("origin").combine_chunks(), numbers)
            if chosen is not None:
                places.append(_places(part.column("source").combine_chunks()))
        if count:
            append(folder / "ledger", "ledger", removed_rows(numbers), LEDGER)
            that_day = f"day = DATE '{day.isoformat()}'"
            if chosen is None:
                table.delete(that_day)
            else:
                same_place = " AND ".join(f"target.source['{field}'] = source.{field}" for field in PLACE)
                rows = pa.concat_tables(places).group_by(list(PLACE)).aggregate([])
                delete_joined(table, rows, f"target.{that_day} AND {same_place}")
        removed = count

    repeated(folder / name, attempt)
    return removed


def _places(sources: pa.StructArray) -> pa.Table:
    return pa.table({field: sources.field(field) for field in PLACE})


def _collect(origins: pa.StructArray, numbers: dict[str, list[npt.NDArray[np.int64]]]) -> None:
    """Adds the numbers of a batch to those of its processes."""
    processes, seqs = origins.field("process"), origins.field("seq")
    numbered = pc.and_(pc.is_valid(processes), pc.is_valid(seqs))
    # A struct's own null does not show in its fields everywhere.
    numbered = pc.and_(numbered, pc.is_valid(origins))
    processes, seqs = processes.filter(numbered).dictionary_encode(), seqs.filter(numbered).to_numpy()
    codes = processes.indices.to_numpy()
    for code, process in enumerate(processes.dictionary.to_pylist()):
        numbers.setdefault(process, []).append(seqs[codes == code])


def removed_rows(numbers: dict[str, list[npt.NDArray[np.int64]]]) -> pa.Table:
    """Rows of `ledger/` that name these numbers, by process, as ranges with both ends in them.

    >>> rows = removed_rows({"web": [np.array([4, 5, 9]), np.array([5, 6])]})
    >>> [row["removed"] for row in rows.to_pylist()]
    [{'from_seq': 4, 'to_seq': 6}, {'from_seq': 9, 'to_seq': 9}]
    """
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        {
            "process": process,
            "ts": now,
            "removed": {"from_seq": int(first), "to_seq": int(last)},
            "schema_version": SCHEMA_VERSION,
        }
        for process, parts in sorted(numbers.items())
        for first, last in _ranges(np.unique(np.concatenate(parts)))
    ]
    return pa.Table.from_pylist(rows, schema=LEDGER)


def _ranges(seqs: npt.NDArray[np.int64]) -> Iterator[tuple[np.int64, np.int64]]:
    if len(seqs):
        cuts = np.flatnonzero(np.diff(seqs) > 1)
        yield from zip(seqs[[0, *(cuts + 1)]], seqs[[*cuts, -1]], strict=True)
