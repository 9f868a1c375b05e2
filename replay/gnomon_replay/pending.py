"""What stands in the traffic and is not yet in the log, counted outside any consumer group."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
from gnomon_capture.record import BadRecordError, Request, decode_line, is_ledger

from gnomon_replay.arrowread import read_frames
from gnomon_replay.pairs import ORIGIN
from gnomon_replay.traffic import Frame, Source

READ_TIMEOUT_S = 5.0
_ORIGIN_ONLY = pj.ParseOptions(
    explicit_schema=pa.schema([("origin", ORIGIN)]), unexpected_field_behavior="ignore"
)


@dataclass(frozen=True)
class Pending:
    """Requests past the log's positions.

    Attributes:
        records: how many.
        seqs: their numbers, by capturing process; of those that are numbered.
        places: those that have something pending.
    """

    records: int
    seqs: Mapping[str, Sequence[int]]
    places: frozenset[str]


def count_pending(source: Source, positions: Callable[[list[str]], Mapping[str, int | None]]) -> Pending:
    """Reads the traffic from the log's positions to its present ends.

    Args:
        source: opened without a group; it is read, so it must not be used for anything else.
        positions: where the log stands, by place.

    Raises:
        TrafficError: it cannot be read.
    """
    ends, starts = source.ends(), source.starts()
    at = {part: max(position or 0, starts[part]) for part, position in positions(list(ends)).items()}
    open_parts = frozenset(part for part, end in ends.items() if at[part] < end)
    seqs: dict[str, list[int]] = {}
    records = 0
    if open_parts:
        source.start(_Nobody())
        source.rewind(at)
        while any(at[part] < ends[part] for part in open_parts):
            frames = source.read(READ_TIMEOUT_S)
            if not frames:
                break  # offsets have gaps: what is left holds no message
            for frame in frames:
                if frame.place in at:  # others came after we looked at the ends
                    at[frame.place] = frame.next_position
                    records += _numbers(frame, seqs)
    return Pending(records, seqs, open_parts)


class _Nobody:
    """A keeper for reading outside a group, where places stay whose they are."""

    def given(self, places: list[str]) -> None:
        pass

    def taken(self, places: list[str]) -> None:
        pass

    def lost(self, places: list[str]) -> None:
        pass


def _numbers(frame: Frame, seqs: dict[str, list[int]]) -> int:
    """Adds the numbers of a frame's requests to `seqs`; returns how many requests there are."""
    if frame.is_arrow:
        return _numbers_of_rows(frame, seqs)
    lines = [line for line in frame.data.split(b"\n") if line.strip() and not is_ledger(line)]
    if not lines:
        return 0
    try:
        joined = b"\n".join(lines)
        options = pj.ReadOptions(use_threads=False, block_size=len(joined) + 1)
        column = pj.read_json(io.BytesIO(joined), options, _ORIGIN_ONLY).column("origin")
        origins = [] if len(column) != len(lines) else column.to_pylist()
    except (pa.ArrowInvalid, UnicodeDecodeError):
        origins = []
    if not origins:
        origins = [_origin(line) for line in lines]
    _add(origins, seqs)
    return len(lines)


def _numbers_of_rows(frame: Frame, seqs: dict[str, list[int]]) -> int:
    rows = 0
    for run in read_frames([frame], lambda frame, why: None):
        rows += len(run)
        _add(run.origins(), seqs)
    return rows


def _add(origins: Iterable[Any], seqs: dict[str, list[int]]) -> None:
    for origin in origins:
        if origin is not None and origin["process"] is not None and origin["seq"] is not None:
            seqs.setdefault(origin["process"], []).append(origin["seq"])


def _origin(line: bytes) -> dict[str, str | int] | None:
    try:
        record = decode_line(line, max_bytes=len(line))
        origin = record.origin if isinstance(record, Request) else None
    except BadRecordError as exc:
        origin = exc.origin
    return None if origin is None else {"process": origin.process, "seq": origin.seq}
