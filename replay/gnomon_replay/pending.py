"""What stands in the traffic and is not in the log, counted outside any consumer group: not yet, or because it lies
before a window."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
from gnomon_capture.record import BadRecordError, Request, decode_line, is_ledger

from gnomon_replay.arrowread import read_frames
from gnomon_replay.pairs import ORIGIN
from gnomon_replay.traffic import Frame, Onlooker, Source

READ_TIMEOUT_S = 5.0
EDGE = 1000
"""So many positions before a window its records' numbers are looked at: far more than are under way at one time."""
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
        windowed: the candidate began behind the traffic's start. What lies before is not its own.
        outside: numbers just before the window, likewise. Where records of one process lie in several partitions,
            some of these are higher than the first inside. Numbers further before are not looked at.
    """

    records: int
    seqs: Mapping[str, Sequence[int]]
    places: frozenset[str]
    windowed: bool = False
    outside: Mapping[str, Sequence[int]] = field(default_factory=dict)


def count_pending(
    source: Source,
    positions: Callable[[list[str]], Mapping[str, int | None]],
    begins: Callable[[list[str]], Mapping[str, int | None]] = lambda places: {},
) -> Pending:
    """Reads the traffic from the log's positions to its present ends; and a little before each window.

    Args:
        source: opened without a group; it is read, so it must not be used for anything else.
        positions: where the log stands, by place.
        begins: where a window began, by place; None where there is none.

    Raises:
        TrafficError: it cannot be read.
    """
    ends, starts = source.ends(), source.starts()
    places = list(ends)
    at = {place: max(position or 0, starts[place]) for place, position in positions(places).items()}
    windows = {place: begin for place, begin in begins(places).items() if begin}
    open_places = frozenset(place for place, end in ends.items() if at[place] < end)
    edges = {place: max(starts[place], begin - EDGE) for place, begin in windows.items()}
    if open_places or edges:
        source.start(Onlooker())
    records, seqs = _read(source, at, ends, ends)
    _, outside = _read(source, edges, windows, ends)
    return Pending(records, seqs, open_places, bool(windows), outside)


def _read(
    source: Source, begins: Mapping[str, int], upto: Mapping[str, int], ends: Mapping[str, int]
) -> tuple[int, dict[str, list[int]]]:
    """How many records lie between these positions, and their numbers by process."""
    at = dict(begins)
    seqs: dict[str, list[int]] = {}
    records = 0
    if any(at[place] < upto[place] for place in at):
        source.rewind({**ends, **at})  # at its end, a place that is not asked for brings nothing
        while any(at[place] < upto[place] for place in at):
            frames = source.read(READ_TIMEOUT_S)
            if not frames:
                break  # offsets have gaps: what is left holds no message
            for frame in frames:
                if frame.place in at:  # others came after we looked at the ends
                    at[frame.place] = frame.next_position
                    if frame.offset < upto[frame.place]:
                        records += _numbers(frame, seqs, upto[frame.place])
    return records, seqs


def _numbers(frame: Frame, seqs: dict[str, list[int]], end: int) -> int:
    """Adds the numbers of a frame's requests before `end` to `seqs`; returns how many requests there are."""
    count = end - frame.offset if frame.by_line else None
    if frame.is_arrow:
        return _numbers_of_rows(frame, seqs, count)
    lines = [line for line in frame.data.split(b"\n")[:count] if line.strip() and not is_ledger(line)]
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


def _numbers_of_rows(frame: Frame, seqs: dict[str, list[int]], count: int | None) -> int:
    origins = [each for run in read_frames([frame], lambda frame, why: None) for each in run.origins()][
        :count
    ]
    _add(origins, seqs)
    return len(origins)


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
