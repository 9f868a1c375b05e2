"""Reading a log's rows: NDJSON, Parquet, Delta (CSV: `csvfile`); which of them a file is; its digest."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from gnomon_capture.errors import UsageError

from gnomon_replay.importing.settings import Format
from gnomon_replay.importing.skips import SkipError

Row = dict[str, Any]
Tell = Callable[[int], None]
"""Told how many bytes (of a table: rows) have been read."""

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"

_KNOWN = "a log is CSV, NDJSON (.ndjson, .jsonl, .json), Parquet, or the folder of a Delta table; name it by --format"


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes; of a Delta table: of its identity and version.

    Raises:
        UsageError: it cannot be read.
    """
    if path.is_dir():
        table = open_delta(path)
        return hashlib.sha256(f"delta:{table.metadata().id}:{table.version()}".encode()).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        raise UsageError(f"there is no file {path}") from exc
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc


def format_of(path: Path) -> Format:
    """What a log is, by its beginning and its name.

    Raises:
        UsageError: neither says it.
    """
    if path.is_dir():
        if not (path / "_delta_log").is_dir():
            raise UsageError(f"{path} is a folder, and no Delta table (it has no _delta_log); name its files")
        names = {field.name for field in open_delta(path).schema().fields}
        return "databricks" if {"databricks_request_id", "request", "response"} <= names else "delta"
    with open_binary(path) as file:
        beginning = file.read(1 << 16)
    if beginning[:4] == _PARQUET:
        names = set(_parquet(path).schema_arrow.names)
        return "databricks" if {"databricks_request_id", "request", "response"} <= names else "parquet"
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".ndjson", ".jsonl", ".json")) or beginning.lstrip()[:1] == b"{":
        first = beginning.lstrip().partition(b"\n")[0]
        if b'"captureData"' in first:
            return "sagemaker"
        return "kserve" if b'"specversion"' in first else "ndjson"
    if name.endswith((".csv", ".tsv", ".txt")):
        return "csv"
    raise UsageError(f"{path}: its name does not say what it is; {_KNOWN}")


@contextlib.contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked if it is gzip.

    Raises:
        UsageError: it is not there, cannot be read, or is torn.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            with gzip.open(file) if packed else contextlib.nullcontext(file) as plain:
                yield plain  # type: ignore[misc]  # unpacked it reads as one
    except FileNotFoundError as exc:
        raise UsageError(f"there is no file {path}") from exc
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise UsageError(f"{path} is torn: {exc}") from exc
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc


def lines_of(path: Path, tell: Tell) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank."""
    done = 0
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            done += len(line)
            tell(done)
            if line.strip():
                yield number, line


def json_rows(path: Path, tell: Tell) -> Iterator[tuple[int, Any]]:
    """Number and object of each line; a SkipError in its place where it is none."""
    for number, line in lines_of(path, tell):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as exc:
            yield number, SkipError("bad_row", f"not JSON: {exc}")
            continue
        yield number, value if isinstance(value, dict) else SkipError("bad_row", "not a JSON object")


def flat_rows(path: Path, tell: Tell) -> Iterator[tuple[int, Any]]:
    """As `json_rows`, the keys of objects within joined by dots."""
    for number, value in json_rows(path, tell):
        yield number, value if isinstance(value, SkipError) else flatten(value)


def flatten(value: dict[str, Any], prefix: str = "") -> Row:
    """An object without objects in it.

    >>> flatten({"a": 1, "b": {"c": 2, "d": {"e": [3]}}})
    {'a': 1, 'b.c': 2, 'b.d.e': [3]}
    """
    flat: Row = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat.update(flatten(inner, f"{prefix}{name}."))
        else:
            flat[prefix + name] = inner
    return flat


def parquet_rows(path: Path, tell: Tell) -> Iterator[tuple[int, Row]]:
    """Row number, from 1, and values. Structs' fields are joined by dots."""
    import pyarrow as pa

    number = 0
    try:
        with _parquet(path) as file:
            for batch in file.iter_batches(batch_size=2000):
                for row in batch.to_pylist():
                    number += 1
                    yield number, flatten(row)
                tell(number)
    except (pa.ArrowInvalid, OSError) as exc:
        raise UsageError(f"{path} cannot be read as Parquet: {str(exc).splitlines()[0]}") from exc


def delta_rows(path: Path, tell: Tell) -> Iterator[tuple[int, Row]]:
    """As `parquet_rows`, over the files of a Delta table in the order of their names."""
    import pyarrow as pa
    from deltalake.exceptions import DeltaError
    from pyarrow.dataset import FileSystemDataset

    number = 0
    try:
        dataset = open_delta(path).to_pyarrow_dataset()
        fragments = sorted(dataset.get_fragments(), key=lambda fragment: fragment.path)
        ordered = FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)
        for batch in ordered.to_batches(batch_size=2000):
            for row in batch.to_pylist():
                number += 1
                yield number, flatten(row)
            tell(number)
    except (pa.ArrowInvalid, DeltaError, OSError) as exc:
        raise UsageError(
            f"{path} cannot be read as a Delta table: {str(exc).splitlines()[0]}; export it as Parquet"
        ) from exc


def open_delta(path: Path) -> Any:
    """The newest version of a Delta table.

    Raises:
        UsageError: it is none.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(str(path))
    except (DeltaError, OSError) as exc:
        raise UsageError(f"{path} cannot be read as a Delta table: {str(exc).splitlines()[0]}") from exc


def total_of(path: Path, kind: Format) -> int:
    """How much there is to read, in what the reader tells: bytes, or rows; 0 where that is not known."""
    if path.is_dir():
        return sum(action["num_records"] or 0 for action in _actions(path))
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning == _PARQUET:
        return int(_parquet(path).metadata.num_rows)
    return 0 if beginning[:2] == _GZIP else path.stat().st_size


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as exc:
        raise UsageError(f"{path} cannot be read as Parquet: {str(exc).splitlines()[0]}") from exc


def _actions(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa

    return list(pa.table(open_delta(path).get_add_actions(flatten=True)).to_pylist())
