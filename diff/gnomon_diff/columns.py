"""The columns of the views, each with its meaning: its name, its type, what it says, and the expression over the
stored table that it is. Features and attributes add their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from gnomon_replay.pairs import ANSWERS, CRITICAL_KINDS, OUTPUT, UNREPRODUCED

from gnomon_diff.quoting import identifier, literal
from gnomon_diff.rules import Answer, Rule

Stored = tuple[str, str, str, str]  # name, type, expression, meaning


@dataclass(frozen=True)
class Column:
    """One column of a view.

    Attributes:
        name: as queries write it, unquoted.
        type: DuckDB's.
        sql: the expression over the stored table.
        meaning: for people.
        origin: `features.<name>` or `attributes.<name>`, where it is one.
    """

    name: str
    type: str
    sql: str
    meaning: str
    origin: str | None = None


def pair_columns(schema: pa.Schema, rule: Rule) -> tuple[Column, ...]:
    """The columns of `pairs` for a table of this schema, whose answers differ by this rule.

    An attribute is `attribute_<name>`; a feature goes by its own name, or by `feature_<name>` where a column has
    that name already. Names that differ only in case are the same to DuckDB.
    """
    columns = documented([*_REQUEST, *_answers(), *_compared(rule), *SOURCE, *ORIGIN, *_REPLAY])
    taken = {column.name.lower() for column in (*columns, *documented(DUPLICATE))}
    for struct, prefix in (("attributes", "attribute_"), ("features", "")):
        for field in fields_of(schema, struct):
            name = prefix + field.name
            while name.lower() in taken:
                name = ("feature_" if struct == "features" else "attribute_") + name
            taken.add(name.lower())
            column = Column(
                name,
                duckdb_type(field.type),
                f"struct_extract({struct}, {literal(field.name)})",
                f"{struct[:-1]} of the request",
                f"{struct}.{field.name}",
            )
            columns = (*columns, column)
    return columns


def fields_of(schema: pa.Schema, struct: str) -> list[pa.Field]:
    """The fields of `features` or `attributes` in a table's schema; without those that DuckDB cannot name."""
    if struct not in schema.names:
        return []
    named = [field for field in schema.field(struct).type if field.name and "\0" not in field.name]
    return [field for field in named if field.type in _PLAIN]


def documented(stored: Iterable[Stored]) -> tuple[Column, ...]:
    """Columns as the tables below write them."""
    return tuple(Column(name, kind, sql, meaning) for name, kind, sql, meaning in stored)


def duckdb_type(kind: pa.DataType) -> str:
    """The name of DuckDB's type for one of Arrow's.

    >>> duckdb_type(pa.struct([("a b", pa.float64()), ("c", pa.list_(pa.string()))]))
    'STRUCT("a b" DOUBLE, "c" VARCHAR[])'
    """
    if pa.types.is_struct(kind):
        fields = ", ".join(f"{identifier(field.name)} {duckdb_type(field.type)}" for field in kind)
        return f"STRUCT({fields})"
    if pa.types.is_map(kind):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.item_type)})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE"
    return _PLAIN[kind]


_PLAIN = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
    pa.date32(): "DATE",
}


# `served` null means that users' answer was not seen. Asking its fields instead of the struct reads less than half.
_STAND_IN = (
    "(served.label IS NULL AND served.score IS NULL AND served.output IS NULL AND served.error IS NULL)"
)
_ANSWERED = '(CASE WHEN {stand_in} THEN "primary".{field} ELSE served.{field} END)'
_SERVED = {field.name: _ANSWERED.format(stand_in=_STAND_IN, field=field.name) for field in OUTPUT}
_NO_ERROR = f"({_SERVED['error']} IS NULL AND candidate.error IS NULL)"

_MEANINGS = {
    "version": "the model's version",
    "label": "the answer, in canonical form",
    "score": "P(positive); of a regression the value",
    "scores": "probabilities in the order of the classes",
    "output": "JSON text: a ranking's ids, best first, or any JSON",
    "latency_us": "microseconds; only of requests that were run alone and timed",
    "error": "kind of error: exception, timeout, crash, out_of_memory, wrong_rows, wrong_type, nan_output",
    "message": "the error's text; `unfetched: …` names features that a candidate's hook could not fetch",
}
_SIDES = {
    "served": "what users got",
    "primary": "the primary, run out of band",
    "primary_again": "the primary, a second time (noise sample)",
    "candidate": "the candidate",
    "candidate_again": "the candidate, a second time (noise sample)",
}


def _answers() -> list[Stored]:
    columns: list[Stored] = []
    for side in ANSWERS:
        for field in OUTPUT:
            sql = f"{identifier(side)}.{identifier(field.name)}"
            meaning = f"{_SIDES[side]}: {_MEANINGS[field.name]}"
            if side == "served":
                sql = _SERVED[field.name]
            if (side, field.name) == ("served", "latency_us"):
                sql, meaning = "served.latency_us", "what users waited, microseconds; never compared"
            columns.append((f"{side}_{field.name}", duckdb_type(field.type), sql, meaning))
    return columns


_REQUEST: Sequence[Stored] = [
    ("request_id", "VARCHAR", "request_id", "the caller's id, or a UUIDv7"),
    ("ts", "TIMESTAMP WITH TIME ZONE", "ts", "when it was served, UTC"),
    ("day", "DATE", "day", "the UTC date of ts"),
    ("service", "VARCHAR", "service", "the service that was asked"),
    ("key", "VARCHAR", "key", "what makes requests depend on each other: a user, a device"),
    ("weight", "DOUBLE", "weight", "1 / the probability with which configured selection mirrored it"),
    ("payload", "VARCHAR", "payload", "JSON text, where the request has no features"),
]


def _side(name: str) -> Answer:
    return lambda field: f"{identifier(name)}.{field}"


def _users(field: str) -> str:
    return _SERVED[field]


def _compared(rule: Rule) -> list[Stored]:
    """What follows from the answers of a row, by the rule."""
    served, primary, primary_again = _side("served"), _side("primary"), _side("primary_again")
    candidate, candidate_again = _side("candidate"), _side("candidate_again")
    differ = f"CASE WHEN {_NO_ERROR} THEN {rule.differ(_users, candidate)} END"
    itself = [
        f"({rule.differ(one, again)})::INTEGER"
        for one, again in ((primary, primary_again), (candidate, candidate_again))
    ]
    sampled = f"({differ}) IS NOT NULL"
    columns = [
        (
            "stand_in",
            "BOOLEAN",
            _STAND_IN,
            "users' answer was not seen: the served_ columns are the primary's own run",
        ),
        (
            "disagrees",
            "BOOLEAN",
            differ,
            f"the candidate's answer and the one served differ, which is where {rule.words}; NULL where either failed or has no "
            f"{rule.answer_field}",
        ),
        (
            "difference",
            "VARCHAR",
            f"CASE WHEN {_NO_ERROR} THEN {rule.kind(_users, candidate)} END",
            "what kind of disagreement it is, the first by the rule; NULL where there is none",
        ),
        (
            "score_delta",
            "DOUBLE",
            f"candidate.score - {_SERVED['score']}",
            "candidate_score - served_score",
        ),
        (
            "candidate_critical",
            "BOOLEAN",
            f"coalesce(candidate.error IN ({', '.join(literal(kind) for kind in CRITICAL_KINDS)})"
            f" AND NOT starts_with(coalesce(candidate.message, ''), {literal(UNREPRODUCED)}), false)",
            "the candidate crashed, hung or ran out of memory, and did so again with the request alone",
        ),
        (
            "noise",
            "DOUBLE",
            f"CASE WHEN {sampled} THEN ({itself[0]} + {itself[1]}) / 2e0 END",
            "noise sample: half for each model that disagrees with itself; NULL off the sample",
        ),
        (
            "skew",
            "INTEGER",
            f"CASE WHEN {sampled} AND NOT {_STAND_IN} AND {itself[1]} IS NOT NULL"
            f" THEN ({rule.differ(served, primary)})::INTEGER - {itself[0]} END",
            "noise sample: (served ≠ primary) - (primary ≠ primary_again); NULL off the sample and of stand-ins",
        ),
    ]
    pairs_of_answers = (
        ("", "", _users, candidate),
        ("primary_", "the primary against itself (noise sample): ", primary, primary_again),
        ("candidate_", "the candidate against itself (noise sample): ", candidate, candidate_again),
    )
    for prefix, who, one, other in pairs_of_answers:
        if rule.by_path:
            columns.append(
                (
                    f"{prefix}differences",
                    "STRUCT(path VARCHAR, kind VARCHAR)[]",
                    f"CASE WHEN {_NO_ERROR} THEN {rule.differences(one, other)} END",
                    f"{who or 'served against candidate: '}each path that differs, and how; "
                    "value, type, missing, extra, order or length",
                )
            )
        columns += [
            (
                prefix + measure.column,
                "DOUBLE",
                f"CASE WHEN {_NO_ERROR} THEN {measure.sql(one, other)} END",
                f"{who or 'served against candidate: '}{measure.name}",
            )
            for measure in rule.measures()
        ]
    return columns


SOURCE: Sequence[Stored] = [
    ("source_name", "VARCHAR", "source.name", "the traffic's name"),
    ("source_topic", "VARCHAR", "source.topic", "Kafka's topic"),
    ("source_partition", "VARCHAR", "source.partition", "Kafka's partition, or the spool's process"),
    ("source_offset", "BIGINT", "source.offset", "of the message, or the number of the line in the spool"),
    ("source_line", "INTEGER", "source.line", "within the message"),
]

ORIGIN: Sequence[Stored] = [
    ("origin_process", "VARCHAR", "origin.process", "the capturing process"),
    ("origin_seq", "BIGINT", "origin.seq", "its number among those that the process sent, from 0"),
]

_REPLAY: Sequence[Stored] = [
    ("primary_digest", "VARCHAR", "primary_digest", "of the primary's model that was run out of band"),
    ("candidate_digest", "VARCHAR", "candidate_digest", "of the candidate's model; tells candidates apart"),
    (
        "noise_frac",
        "DOUBLE",
        "noise_frac",
        "the probability with which the row was drawn for the noise sample",
    ),
    ("threads", "INTEGER", "threads", "of each model's host"),
    ("replayed_at", "TIMESTAMP WITH TIME ZONE", "replayed_at", "when the candidate was asked"),
    ("schema_version", "INTEGER", "schema_version", "of the row"),
]

DUPLICATE: Sequence[Stored] = [
    (
        "duplicate",
        "BOOLEAN",
        "coalesce(duplicate, false)",
        "its request_id stood earlier in the same partition",
    ),
]

_LATEST = "(loaded_at, row)"
LABELS: Sequence[Stored] = [
    ("request_id", "VARCHAR", "request_id", "the request"),
    ("label", "VARCHAR", f"arg_max_null(label, {_LATEST})", "the true label, in canonical form"),
    ("value", "DOUBLE", f"arg_max_null(value, {_LATEST})", "the true value (regression)"),
    (
        "labelled_at",
        "TIMESTAMP WITH TIME ZONE",
        f"arg_max_null(labelled_at, {_LATEST})",
        "when it became known, if the file says so",
    ),
    ("loaded_at", "TIMESTAMP WITH TIME ZONE", "max(loaded_at)", "when it was loaded"),
]

DEAD_LETTERS: Sequence[Stored] = [
    ("request_id", "VARCHAR", "request_id", "if it could be read"),
    ("key", "VARCHAR", '"key"', "if it could be read"),
    ("reason", "VARCHAR", "reason", "malformed, oversize, missing_field, wrong_type or feature_type"),
    ("detail", "VARCHAR", "detail", "what was expected where"),
    ("day", "DATE", "day", "the UTC date of reading"),
    ("read_at", "TIMESTAMP WITH TIME ZONE", "read_at", "when it was read"),
    ("schema_version", "INTEGER", "schema_version", "of the row"),
]

LEDGER: Sequence[Stored] = [
    ("process", "VARCHAR", "process", "the capturing process"),
    ("ts", "TIMESTAMP WITH TIME ZONE", "ts", "when it was written"),
    ("upto_seq", "BIGINT", "upto_seq", "the last number sent; -1 for none"),
    ("seen", "BIGINT", "seen", "requests that the process saw"),
    ("mirrored", "BIGINT", "mirrored", "of these, sent into the traffic"),
    ("not_selected", "BIGINT", "not_selected", "left out by configured selection"),
    ("dropped", "MAP(VARCHAR, BIGINT)", "dropped", "lost before they were sent, by reason"),
    ("closed", "BOOLEAN", "closed", "the process ended in order"),
    ("removed_from_seq", "BIGINT", "removed.from_seq", "what `forget` or retention took: first number"),
    ("removed_to_seq", "BIGINT", "removed.to_seq", "last number, inclusive"),
    ("schema_version", "INTEGER", "schema_version", "of the row"),
]

DECISIONS: Sequence[Stored] = [
    ("number", "BIGINT", "number", "from 0, without gaps"),
    ("made_at", "TIMESTAMP WITH TIME ZONE", "made_at", "when it was made"),
    ("verdict", "VARCHAR", "verdict", "PROMOTE, REJECT, HOLD or INVALID"),
    ("reason", "VARCHAR", "reason", "one sentence"),
    ("look", "BIGINT", "look", "whole days of the look that decided; NULL before the first"),
    ("days", "BIGINT", "days", "whole days there were"),
    ("candidate_version", "VARCHAR", "candidate_version", "of the candidate"),
    ("candidate_digest", "VARCHAR", "candidate_digest", "of the candidate's model"),
    ("primary_digest", "VARCHAR", "primary_digest", "of the primary's model"),
    ("policy_digest", "VARCHAR", "policy_digest", "of the rules"),
    ("valid_until", "TIMESTAMP WITH TIME ZONE", "valid_until", "when a PROMOTE expires"),
    ("comparison_digest", "VARCHAR", "comparison_digest", "of the comparison.json it was made from"),
    ("human", "VARCHAR", "human::VARCHAR", "JSON text: who decided or overrode; NULL while nobody did"),
    ("previous", "VARCHAR", "previous", "digest of the record before"),
]
