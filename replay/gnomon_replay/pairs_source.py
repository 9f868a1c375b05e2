"""Traffic from an earlier log: next week's candidate on last week's requests.

Each request of the log's `pairs` comes once, whatever candidates were run on it, with its id, time, service, key,
attributes, weight, features or payload, and what users were given. Rows marked as duplicates are left out: the
earlier log has accounted for them. Left out too is the number that the capturing process gave (`origin`): its
ledgers, and what became a dead letter, are in the accounts of the earlier log, and would be missing here. So the
new log says that its records are not numbered, and the completeness of the capture is read in the earlier report.

A place is one of the earlier log's, and a position its offset there. Both outlive compaction, and what is still
being appended comes behind.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from gnomon_capture.errors import TrafficError

from gnomon_replay.rows import COLUMNS, lines_of
from gnomon_replay.traffic import Frame, Keeper, Stream

READ_ROWS = 10_000
POLL_S = 1.0


class PairsSource:
    """Reads the requests of a log.

    Args:
        folder: `<log>/<experiment>` of the earlier experiment.

    Raises:
        TrafficError: there is no log, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = str(folder / "pairs")
        self._version = -1
        self._connection = duckdb.connect(config={"python_enable_replacements": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._ends: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._streams: dict[str, Stream] = {}
        self._keeper: Keeper | None = None
        self._known: set[str] = set()
        self._at: dict[str, int] = {}
        self._rows: Iterator[tuple[str, str, int, list[bytes]]] = iter(())
        self._look()

    @property
    def name(self) -> str:
        """As it was written, but for the folder it is relative to."""
        return f"pairs:{self._folder}"

    def start(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._discover()

    def read(self, timeout_s: float) -> list[Frame]:
        deadline = time.monotonic() + timeout_s
        while True:
            frames = []
            lines = 0
            while lines < READ_ROWS and (message := next(self._rows, None)) is not None:
                name, part, offset, found = message
                frames.append(
                    Frame(self._streams[name], part, offset, offset + 1, b"".join(found), by_line=False)
                )
                self._at[frames[-1].place] = offset + 1
                lines += len(found)
            if frames:
                return frames
            self._look()
            self._discover()
            if any(self._at.get(place, end) < end for place, end in self._ends.items()):
                self._rows = self._messages()
            elif (left := deadline - time.monotonic()) > 0:
                time.sleep(min(left, POLL_S))
            else:
                return []

    def rewind(self, positions: Mapping[str, int | None]) -> None:
        self._at.update((place, position or 0) for place, position in positions.items())
        self._rows = iter(())  # asked for anew by the next read

    def ends(self) -> dict[str, int]:
        self._look()
        return dict(self._ends)

    def starts(self) -> dict[str, int]:
        return dict(self._starts)

    def at_time(self, moment: datetime.datetime) -> dict[str, int]:
        """By the requests' `ts`."""
        self._look()
        found = dict(self._ends)
        for name, part, offset in self._ask(
            "SELECT source.name, source.partition, min(source.offset) FROM earlier WHERE NOT duplicate AND ts >= $1 "
            "GROUP BY ALL",
            [moment],
        ):
            found[self._stream(name).place(part)] = offset
        return found

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        self._rows = iter(())
        self._connection.close()

    def _stream(self, name: str) -> Stream:
        """Named by the earlier experiment and its traffic: the folder may move."""
        if name not in self._streams:
            self._streams[name] = Stream(f"pairs:{self._folder.name}:{name}", None)
        return self._streams[name]

    def _discover(self) -> None:
        new = [place for place in self._ends if place not in self._known]
        if new and self._keeper is not None:
            self._known.update(new)
            self._keeper.given(new)

    def _look(self) -> None:
        """Opens the newest version of the log, if it is another."""
        with self._errors():
            table = DeltaTable(self._path)
            if table.version() == self._version:
                return
            self._rows = iter(())
            self._connection.register("earlier", table.to_pyarrow_dataset())
            self._version = table.version()
        for name, part, first, last in self._ask(
            "SELECT source.name, source.partition, min(source.offset), max(source.offset) FROM earlier "
            "WHERE NOT duplicate GROUP BY ALL ORDER BY ALL"
        ):
            place = self._stream(name).place(part)
            self._starts[place], self._ends[place] = first, last + 1

    def _messages(self) -> Iterator[tuple[str, str, int, list[bytes]]]:
        """The lines of each message from where reading stands, in order."""
        places = [
            (name, place.rpartition("/")[2], at)
            for name, stream in self._streams.items()
            for place, at in self._at.items()
            if place.startswith(f"{stream.name}/")
        ]
        wanted = [name for name in COLUMNS if name != "origin"]
        with self._errors():
            present = set(self._connection.sql("FROM earlier LIMIT 0").columns)
            columns = ", ".join(f'"{name}"' for name in wanted if name in present)
            columns_of = ("n", "p", "a")
            wanted_from = {name: [place[at] for place in places] for at, name in enumerate(columns_of)}
            self._connection.register("places", pa.table(wanted_from))
            reader = self._connection.sql(
                f"SELECT {columns}, source FROM earlier JOIN places "
                "ON source.name = n AND source.partition = p AND source.offset >= a WHERE NOT duplicate "
                "QUALIFY row_number() OVER (PARTITION BY source ORDER BY replayed_at, candidate_digest) = 1 "
                "ORDER BY source.name, source.partition, source.offset, source.line"
            ).to_arrow_reader(READ_ROWS)
        rows = (
            (source["name"], source["partition"], source["offset"], line)
            for batch in self._batches(reader)
            for source, line in zip(batch.column("source").to_pylist(), lines_of(batch), strict=True)
        )
        for (name, part, offset), group in groupby(rows, key=lambda row: row[:3]):
            yield name, part, offset, [row[3] for row in group]

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._errors():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    def _ask(self, sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        self._rows = iter(())  # a connection answers one question at a time
        with self._errors():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
            return rows

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TableNotFoundError as exc:
            raise TrafficError(
                self.name,
                f"there is no log at {self._folder}; name the folder of an earlier experiment's log, <log>/<experiment>",
            ) from exc
        except (DeltaError, duckdb.Error, pa.ArrowException, OSError) as exc:
            raise TrafficError(
                self.name, f"{self.name} cannot be read: {str(exc).strip().splitlines()[0]}"
            ) from exc
