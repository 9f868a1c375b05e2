"""Traffic from Parquet files: records with contract 1's names, one partition, positions are row numbers.

Rows are counted over all files, in order of their names from the first. So files that were read must stay as they
are, and new ones sort behind them; one that sorts before a file already read is refused.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from gnomon_capture.errors import TrafficError, UsageError

from gnomon_replay.rows import COLUMNS, lines_of
from gnomon_replay.traffic import Frame, Keeper, Stream

READ_ROWS = 5_000
POLL_S = 0.2


class ParquetSource:
    """Reads the files that a glob names.

    Args:
        base: what the glob is relative to.
        glob: of files, `requests/*.parquet`.
        experiment: positions are kept under its name.

    Raises:
        TrafficError: there is no such file, or one is no Parquet file with records.
    """

    def __init__(self, base: Path, glob: str, experiment: str) -> None:
        self._base = base
        self._glob = glob
        self._stream = Stream(f"parquet:{experiment}", None)
        self._place = self._stream.place("")
        self._rows: dict[Path, int] = {}  # of each file that was seen, in order
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._at = 0
        if not self._files():
            raise TrafficError(self.name, f"there is no file {base / glob}; correct [traffic] from")

    @property
    def name(self) -> str:
        """As it was written."""
        return f"parquet:{self._glob}"

    def start(self, keeper: Keeper) -> None:
        keeper.given([self._place])

    def read(self, timeout_s: float) -> list[Frame]:
        deadline = time.monotonic() + timeout_s
        while True:
            with self._errors():
                batch = next(self._batches, None)
            if batch is not None and batch.num_rows:
                offset, self._at = self._at, self._at + batch.num_rows
                data = b"".join(lines_of(batch))
                return [Frame(self._stream, "", offset, self._at, data, by_line=True)]
            if batch is None:
                left = deadline - time.monotonic()
                if self._at < self._total():
                    self._batches = self._from(self._at)
                elif left <= 0:
                    return []
                else:
                    time.sleep(min(left, POLL_S))

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        if self._place in positions:
            self._at = positions[self._place] or 0
            self._batches = self._from(self._at)

    def ends(self) -> dict[str, int]:
        return {self._place: self._total()}

    def starts(self) -> dict[str, int]:
        return {self._place: 0}

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        """By the records' `ts`."""
        number = 0
        for batch in self._from(0, ["ts"]):
            for ts in batch.column("ts").to_pylist():
                if ts is not None and _moment(ts) >= moment:
                    return {self._place: number}
                number += 1
        return {self._place: number}

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        self._batches = iter(())

    def _files(self) -> list[Path]:
        found = (
            sorted(path for path in self._base.glob(self._glob) if path.is_file())
            if not Path(self._glob).is_absolute()
            else sorted(Path("/").glob(self._glob.lstrip("/")))
        )
        seen = list(self._rows)
        for path in found:
            if seen and path < seen[-1] and path not in self._rows:
                raise UsageError(
                    f"{path} sorts before {seen[-1].name}, which was there before; give new files names that sort behind"
                )
        return found

    def _total(self) -> int:
        with self._errors():
            for path in self._files():
                if path not in self._rows:
                    self._rows[path] = _rows_of(path)
        return sum(self._rows.values())

    def _from(self, row: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of the rows from this one on; whole row groups before it are not read."""
        self._total()
        for path, rows in list(self._rows.items()):
            if row >= rows:
                row -= rows
                continue
            with self._errors(), pq.ParquetFile(path) as file:
                groups = list(range(file.num_row_groups))
                while groups and row >= file.metadata.row_group(groups[0]).num_rows:
                    row -= file.metadata.row_group(groups.pop(0)).num_rows
                known = [name for name in file.schema_arrow.names if name in (columns or COLUMNS)]
                for batch in file.iter_batches(READ_ROWS, row_groups=groups, columns=known):
                    skipped = min(row, batch.num_rows)
                    row -= skipped
                    if skipped < batch.num_rows:
                        yield batch.slice(skipped)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as exc:
            raise TrafficError(
                self.name,
                f"{self.name} cannot be read: {str(exc).splitlines()[0]}; are all of these Parquet files?",
            ) from exc


def _rows_of(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        missing = {"request_id", "ts"} - set(file.schema_arrow.names)
        if missing or not {"features", "payload"} & set(file.schema_arrow.names):
            raise UsageError(
                f"{path} has no column {', '.join(sorted(missing)) or '`features` or `payload`'}; records are rows "
                "with the columns request_id, ts, features (a struct) or payload, and what else a record may have"
            )
        rows: int = file.metadata.num_rows
        return rows


def _moment(ts: datetime.datetime | str) -> datetime.datetime:
    from gnomon_capture.record import parse_ts

    if isinstance(ts, str):
        return parse_ts(ts)
    return ts if ts.tzinfo is not None else ts.replace(tzinfo=datetime.UTC)
