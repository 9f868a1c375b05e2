"""A part of the traffic: a window of time, or the requests for which a condition in SQL holds."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import duckdb
from gnomon_capture.errors import UsageError

from gnomon_diff.columns import pair_columns
from gnomon_diff.quoting import literal
from gnomon_diff.reading import Log
from gnomon_diff.sqlgate import nodes, one_select, query

MOVING_FUNCTIONS = {
    "age", "ago", "current_catalog", "current_database", "current_date", "current_localtime",
    "current_localtimestamp", "current_query", "current_role", "current_schema", "current_schemas", "current_setting",
    "current_time", "current_timestamp", "current_user", "get_current_time", "get_current_timestamp", "getvariable",
    "in_search_path", "localtime", "localtimestamp", "now", "session_user", "today", "transaction_timestamp",
    "txid_current", "user",
}  # fmt: skip
"""What answers differently at another time or in another session, beside what DuckDB itself calls volatile. A comparison
asks many questions, all of which must mean the same requests, tomorrow too."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which requests are compared. All by default.

    Attributes:
        from_ts, to_ts: requests served at or after, and before; with a time zone. None: no bound.
        where: a condition on the columns of the view `pairs`, as `checked` gives it; None: all.
    """

    from_ts: datetime.datetime | None = None
    to_ts: datetime.datetime | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        for name, moment in (("from", self.from_ts), ("to", self.to_ts)):
            if moment is not None and moment.tzinfo is None:
                raise UsageError(f"the window's `{name}` names no time zone; write it with one, such as UTC")
        if self.from_ts is not None and self.to_ts is not None and self.from_ts >= self.to_ts:
            raise UsageError(f"the window ends ({self.to_ts}) before it begins ({self.from_ts})")

    @property
    def is_whole(self) -> bool:
        """It leaves nothing out."""
        return not self.windowed and self.where is None

    @property
    def windowed(self) -> bool:
        """It has a bound in time."""
        return self.from_ts is not None or self.to_ts is not None

    def moved_to(self, from_ts: datetime.datetime | None, to_ts: datetime.datetime | None) -> Part:
        """The same condition in another window."""
        return replace(self, from_ts=from_ts, to_ts=to_ts)

    def condition(self, and_also: str) -> str:
        """What a WHERE says over `pairs` or `all_pairs`.

        >>> Part(where="carrier = 'MQ'").condition("candidate_digest = 'x'")
        "candidate_digest = 'x' AND (carrier = 'MQ')"
        """
        found = [and_also]
        if self.from_ts is not None:
            found.append(f"ts >= {_moment(self.from_ts)}")
        if self.to_ts is not None:
            found.append(f"ts < {_moment(self.to_ts)}")
        if self.where is not None:
            found.append(f"({self.where})")
        return " AND ".join(found)


def _moment(moment: datetime.datetime) -> str:
    return f"{literal(moment.astimezone(datetime.UTC).isoformat())}::TIMESTAMPTZ"


def checked(log: Log, where: str) -> str:
    """A condition, if it is one and nothing else, as DuckDB writes it again from the tree that it parsed.

    It passes the gate of `gnomon sql` and more: one expression over the columns of `pairs`, with no query inside it,
    and no function that answers differently at another time. What goes into other queries is never the user's text.

    Raises:
        UsageError: it is none; with the reason, DuckDB's words and the nearest name where one is unknown.
        LogError: the log cannot be read.
    """
    if not where.strip():
        raise UsageError("the condition is empty; write one, such as --where \"carrier = 'MQ'\"")
    expression = _expression(
        where, {column.name.lower() for column in pair_columns(log.pairs.schema, log.rule)}
    )
    # Asked twice: a sum over rows may stand in a list of columns, and not in a condition.
    answer = query(
        log,
        f"SELECT any_value(kind) AS kind FROM (SELECT typeof({expression}) AS kind FROM pairs "
        f"WHERE ({expression}) IS NULL OR true LIMIT 1)",
    )
    [kind] = answer["kind"].to_pylist()
    if kind not in (None, "BOOLEAN"):  # None: no row tells; it has been bound all the same
        raise UsageError(f"a condition is true or false, and {where} is {kind}")
    return expression


def _expression(where: str, columns: Collection[str] = ()) -> str:
    with contextlib.closing(duckdb.connect()) as parser:
        parser.execute("SET enable_external_access = false")
        try:
            text = one_select(parser, f"SELECT * FROM pairs WHERE {where}")
            tree = _tree(parser, text)
            [node] = (statement["node"] for statement in tree["statements"])
            _require_condition(where, node, _bare(parser))
            _require_steady(node["where_clause"], columns, parser)
            written = parser.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()[0][0]
        except duckdb.Error as exc:
            raise UsageError(f"--where is no condition: {str(exc).strip().splitlines()[0]}") from exc
    return str(written).removeprefix("SELECT * FROM pairs WHERE ")


def _tree(parser: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return json.loads(parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])


def _bare(parser: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    [statement] = _tree(parser, "SELECT * FROM pairs WHERE true")["statements"]
    node: dict[str, Any] = statement["node"]
    return node


def _require_condition(where: str, node: dict[str, Any], bare: dict[str, Any]) -> None:
    """Nothing stands in the query but what stands in it with WHERE true, and a condition."""
    for name in {*node, *bare} - {"where_clause"}:
        if node.get(name) != bare.get(name):
            raise UsageError(f"--where is one condition, and {where!r} goes on after it; leave the rest out")
    for inner in nodes(node["where_clause"]):
        kind, category = inner.get("type"), inner.get("class")
        if category == "SUBQUERY" or (isinstance(kind, str) and kind.endswith("_NODE")):
            raise UsageError(
                f"--where is a condition on one request, and {where!r} has a query in it; ask by `gnomon sql` instead"
            )
        if category in ("WINDOW", "PARAMETER", "STAR"):
            raise UsageError(
                f"--where is a condition on one request, and {where!r} has more than its columns"
            )


def _require_steady(condition: Any, columns: Collection[str], parser: duckdb.DuckDBPyConnection) -> None:
    called = {
        str(node["function_name"]).lower()
        for node in nodes(condition)
        if isinstance(node.get("function_name"), str)
    }
    # Some are called without parentheses, where no column has the name.
    names = [node["column_names"] for node in nodes(condition) if isinstance(node.get("column_names"), list)]
    called |= {str(path[0]).lower() for path in names if len(path) == 1} & MOVING_FUNCTIONS - {*columns}
    volatile = {
        name
        for (name,) in parser.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE' OR has_side_effects"
        ).fetchall()
    }
    moving = sorted(called & (MOVING_FUNCTIONS | volatile))
    if moving:
        raise UsageError(
            f"{moving[0]} answers differently from one question to the next, so that the figures of a report would not "
            "be about the same requests; write the value itself"
        )


def part_of(
    log: Log, from_ts: datetime.datetime | None, to_ts: datetime.datetime | None, where: str | None
) -> Part:
    """The part that these name, its condition checked.

    Raises:
        UsageError: a moment names no time zone, the window ends before it begins, or `where` is no condition.
        LogError: the log cannot be read.
    """
    whole = Part(from_ts=from_ts, to_ts=to_ts)
    return whole if where is None else Part(from_ts=from_ts, to_ts=to_ts, where=checked(log, where))
