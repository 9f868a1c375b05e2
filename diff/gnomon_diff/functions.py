"""What DuckDB asks Python: JSON by path, and a distance of the user's own.

Both run in this process, a batch of some thousand pairs of answers at a time, and only for answers that are not
equal as they stand. A user's function is code of the one who asks, over answers that are in the log already: it
has this process's rights and memory, and a crash in it ends the command (with status 4), never a replay.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from gnomon_capture.errors import UsageError

from gnomon_diff.jsondiff import differences
from gnomon_diff.quoting import literal
from gnomon_diff.reading import Log, readable
from gnomon_diff.rules import DISTANCE_FUNCTION, JSON_FUNCTION, Rule

DIFFERENCES = pa.list_(pa.struct([("path", pa.string()), ("kind", pa.string())]))
Distance = Callable[[Sequence[Any], Sequence[Any]], Sequence[float]]


def register(connection: duckdb.DuckDBPyConnection, rule: Rule) -> None:
    """Gives a connection the functions that a rule's SQL calls.

    Raises:
        UsageError: the user's function cannot be imported.
    """
    if rule.by_path:
        _create(connection, JSON_FUNCTION, lambda a, b: _by_path(rule, a, b), "VARCHAR", _STRUCTS)
    if rule.settings.callable is not None:
        distance = _imported(rule.settings.callable, rule.folder)
        kind = "DOUBLE" if rule.answer_field == "score" else "VARCHAR"
        _create(connection, DISTANCE_FUNCTION, lambda a, b: _distances(rule, distance, a, b), kind, "DOUBLE")


_STRUCTS = "STRUCT(path VARCHAR, kind VARCHAR)[]"


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    function: Callable[..., Any],
    takes: str,
    gives: str,
) -> None:
    connection.create_function(
        name,
        function,
        [takes, takes],
        gives,
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )


def settle(connection: duckdb.DuckDBPyConnection, log: Log, candidate: str) -> None:
    """Asks Python once for all further questions: a table `pairs` of one candidate hides the view of that name.

    Where no Python is needed, nothing happens.

    Raises:
        UsageError: the user's function failed.
        LogError: the log's files changed or broke.
    """
    if not log.rule.in_python:
        return
    with readable(log.folder):
        try:
            connection.execute(
                f"CREATE TEMP TABLE pairs AS FROM main.pairs WHERE candidate_digest = {literal(candidate)}"
            )
        except duckdb.InvalidInputException as exc:
            if "Python exception" not in str(exc):
                raise
            what = str(exc).strip().splitlines()[0].rpartition("UDF: ")[2]
            raise UsageError(
                f"[disagreement] distance = {log.rule.settings.distance!r} failed: {what}"
            ) from exc


def declared(rule: Rule) -> dict[str, Any]:
    """What `[disagreement]` sets, and the sha256 of the file that a user's function is from."""
    settings = rule.settings.declared
    if rule.settings.callable is None:
        return settings
    module = sys.modules[_imported(rule.settings.callable, rule.folder).__module__]
    file = getattr(module, "__file__", None)
    return settings | ({"sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {})


def _by_path(rule: Rule, a: pa.Array, b: pa.Array) -> pa.Array:
    found = [
        None if one is None or other is None else _distinct(rule, one, other)
        for one, other in zip(a.to_pylist(), b.to_pylist(), strict=True)
    ]
    return pa.array(found, DIFFERENCES)


def _distinct(rule: Rule, one: str, other: str) -> list[dict[str, str]]:
    """Each path and kind once, in the order of the first answer."""
    try:
        kinds = dict.fromkeys(
            (each.path, each.kind)
            for each in differences(json.loads(one), json.loads(other), rule.settings.paths)
        )
    except RecursionError:  # too deep to be walked, and not equal as they stand
        kinds = {("$", "value"): None}
    return [{"path": path, "kind": kind} for path, kind in kinds]


def _distances(rule: Rule, distance: Distance, a: pa.Array, b: pa.Array) -> pa.Array:
    firsts, seconds = a.to_pylist(), b.to_pylist()
    there = [
        index
        for index, (one, other) in enumerate(zip(firsts, seconds, strict=True))
        if one is not None and other is not None
    ]
    read: Callable[[Any], Any] = json.loads if rule.answer_field == "output" else lambda value: value
    name = rule.settings.callable
    found = (
        list(distance([read(firsts[index]) for index in there], [read(seconds[index]) for index in there]))
        if there
        else []
    )
    if len(found) != len(there):
        raise ValueError(f"{name} gave {len(found)} distances for {len(there)} pairs of answers")
    answer: list[float | None] = [None] * len(firsts)
    for index, value in zip(there, found, strict=True):
        one = float(value)
        if math.isnan(one):
            raise ValueError(f"{name} gave NaN for {firsts[index]!r:.60} and {seconds[index]!r:.60}")
        answer[index] = one
    return pa.array(answer, pa.float64())


def _imported(name: str, folder: Path | None) -> Distance:
    module, _, function = name.partition(":")
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as exc:  # what a module does as it is imported is its own
        raise UsageError(
            f"[disagreement] distance = {name!r} cannot be loaded: {type(exc).__name__}: {exc}; it is looked for "
            f"beside the configuration first"
        ) from exc
    if not callable(found):
        raise UsageError(f"[disagreement] distance = {name!r} is no function")
    return found  # type: ignore[no-any-return]
