"""Reading CSV: rows with their line number, and what each column's text stands for."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from gnomon_capture.errors import UsageError

from gnomon_replay.importing.files import Tell, open_binary
from gnomon_replay.importing.settings import ImportSettings
from gnomon_replay.importing.skips import SkipError

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z", re.ASCII)
_WORDS: dict[str, Any] = {"true": True, "false": False}
_NAN = frozenset({"nan", "NaN", "NAN"})


def csv_header(path: Path, settings: ImportSettings) -> list[str]:
    """The names in the first line.

    Raises:
        UsageError: there is none, one stands twice, or another separator seems to be meant.
    """
    with open_binary(path) as file:
        reader = csv.reader(_decoded(file), delimiter=settings.separator)
        header = [name.strip() for name in next(reader, [])]
    if not header:
        raise UsageError(f"{path} is empty; the first line of a CSV names its columns")
    if len(header) == 1 and (other := next((mark for mark in ";\t|," if mark in header[0]), None)):
        shown = {"\t": "$'\\t'"}.get(other, f"'{other}'")
        raise UsageError(f"{path} has one column, {header[0][:60]!r}; is --separator {shown} meant?")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UsageError(f"{path} names the column {twice[0]!r} twice; rename one")
    return header


def csv_rows(path: Path, settings: ImportSettings, tell: Tell) -> Iterator[tuple[int, Any]]:
    """Line number and values of each row, as the text that stands there; an empty one is None."""
    header = csv_header(path, settings)
    csv.field_size_limit(1 << 24)  # a payload may be longer than the library's 128 KiB
    with open_binary(path) as file:
        reader = csv.reader(_decoded(file), delimiter=settings.separator, strict=True)
        next(reader)
        while True:
            first = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                yield first, SkipError("bad_row", f"not CSV: {exc}")
                continue
            tell(file.tell())
            if not values:
                continue
            if len(values) != len(header):
                yield first, SkipError("bad_row", f"{len(values)} values for {len(header)} columns")
                continue
            if any("\udc80" <= mark <= "\udcff" for value in values if not value.isascii() for mark in value):
                yield first, SkipError("bad_row", "not UTF-8")
                continue
            yield first, {name: value or None for name, value in zip(header, values, strict=True)}


def csv_types(path: Path, settings: ImportSettings) -> dict[str, Callable[[str], Any]]:
    """How each column's text becomes a value, decided by all of its rows: numbers, booleans, or text.

    A column is one of numbers only if every value is one as JSON writes it, so `007` stays text.
    """
    number: dict[str, bool] = {}
    boolean: dict[str, bool] = {}
    for _, row in csv_rows(path, settings, lambda _: None):
        if isinstance(row, SkipError):
            continue
        for name, value in row.items():
            if value is None:
                continue
            if number.get(name, True):
                number[name] = bool(_JSON_NUMBER.match(value)) or value in _NAN
            if boolean.get(name, True):
                boolean[name] = value.lower() in _WORDS
    types: dict[str, Callable[[str], Any]] = {}
    for name in number:
        if name in settings.text:
            continue
        if number[name]:
            types[name] = number_of
        elif boolean[name]:
            types[name] = lambda value: _WORDS[value.lower()]
    return types


def number_of(text: str) -> int | float:
    """A number as JSON writes it, or NaN."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def plain_value(text: str) -> Any:
    """A value in a row of CSV without a header: a number if JSON would write it so, else text."""
    text = text.strip()
    return number_of(text) if _JSON_NUMBER.match(text) or text in _NAN else text or None


def _decoded(file: IO[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
