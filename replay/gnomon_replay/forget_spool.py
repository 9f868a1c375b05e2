"""One key's lines in a spool made blank, where they stand: positions are numbers of lines, and stay.

Nothing grows or shrinks or is renamed, so a process may be writing the same file and a worker may be reading it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from gnomon_capture.segments import CLOSED, PART, spool_errors

from gnomon_replay.delta import append
from gnomon_replay.pairs import LEDGER
from gnomon_replay.removal import removed_rows


class _Origin(msgspec.Struct):
    process: Any = None
    seq: Any = None


class _Line(msgspec.Struct):
    key: Any = None
    origin: _Origin | None = None


@dataclass(frozen=True)
class _Found:
    """A line of the key's: where it stands, without its newline, and its number if it has one."""

    begin: int
    length: int
    origin: tuple[str, int] | None


def find_in_spool(folder: Path, keys: Sequence[str]) -> int:
    """How many lines of a spool are the key's; none if there is no such folder.

    Raises:
        TrafficError: a file cannot be read.
    """
    with _errors(folder):
        return sum(len(list(_lines_of(path, keys))) for path in _files(folder))


def blank_spool(folder: Path, keys: Sequence[str], ledger: Path) -> int:
    """Overwrites the key's lines with spaces, after their numbers were written as removed; how many there were.

    Args:
        keys: one key, in each form that it may stand in.
        ledger: the log's table for the numbers.

    Raises:
        TrafficError: a file cannot be read or written.
        LogError: the numbers cannot be written; nothing was overwritten.
    """
    with _errors(folder):
        found = {path: list(_lines_of(path, keys)) for path in _files(folder)}
    numbers: dict[str, list[Any]] = {}
    for lines in found.values():
        for line in lines:
            if line.origin is not None:
                numbers.setdefault(line.origin[0], []).append(np.array([line.origin[1]], np.int64))
    append(ledger, "ledger", removed_rows(numbers), LEDGER)
    with _errors(folder):
        for path, lines in found.items():
            _blank(path, lines)
    return sum(len(lines) for lines in found.values())


def _blank(path: Path, lines: Sequence[_Found]) -> None:
    if not lines:
        return
    # A part that was closed since has lost that ending.
    closed = path.with_name(path.name.removesuffix(".part"))
    descriptor = os.open(path if path.exists() else closed, os.O_WRONLY)
    try:
        for line in lines:
            os.pwrite(descriptor, b" " * line.length, line.begin)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    """Every file of the spool, those that are still being written too."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.name.endswith((CLOSED, PART)) and path.is_file())


def spelt(key: str) -> list[bytes]:
    """The ways in which JSON writers spell a key: as it is or in ASCII, with or without a slash escaped."""
    forms = (msgspec.json.encode(key), json.dumps(key).encode())
    return list(dict.fromkeys([*forms, *(form.replace(b"/", rb"\/") for form in forms)]))


def _lines_of(path: Path, keys: Sequence[str]) -> Iterator[_Found]:
    decoder = msgspec.json.Decoder(_Line)
    quoted = [form for key in keys for form in spelt(key)]
    begin = 0
    with path.open("rb") as file:
        for line in file:
            text = line.removesuffix(b"\n")
            whole = line.endswith(b"\n")
            try:
                record = decoder.decode(text)
                theirs, origin = record.key in keys, record.origin
            except (msgspec.DecodeError, UnicodeDecodeError):  # no record, but it may name the key
                theirs, origin = whole and any(key in text for key in quoted), None
            if theirs:
                yield _Found(begin, len(text), _number(origin))
            begin += len(line)


def _number(origin: _Origin | None) -> tuple[str, int] | None:
    if origin is None or not isinstance(origin.process, str) or not isinstance(origin.seq, int):
        return None
    return origin.process, origin.seq


def _errors(folder: Path) -> Any:
    return spool_errors(f"spool:{folder}", "read or write", "may this user read and write there?")
