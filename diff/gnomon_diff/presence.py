"""Null and default rates of every feature: day against day, served version against served version."""

from __future__ import annotations

from collections.abc import Sequence

from gnomon_diff.columns import Column
from gnomon_diff.comparison import Filled, Presence
from gnomon_diff.questions import Questions
from gnomon_diff.quoting import identifier, literal
from gnomon_diff.window import Window, epoch_us

MOST_VERSIONS = 20
_NUMBERS = "(0, -1, -99, -999, -9999)"
_WORDS = ("", "unknown", "none", "null", "nan", "n/a", "na", "missing", "default", "-", "?")


def ask_presence(questions: Questions, columns: Sequence[Column], window: Window) -> Presence | None:
    """The rates; None where there are no features or no pairs."""
    features = [column for column in columns if (column.origin or "").startswith("features.")]
    if not features:
        return None
    answer = questions.ask(
        "presence",
        start_us=str(epoch_us(window.start)),
        nulls=", ".join(f"count(*) FILTER ({_null(column)})" for column in features),
        defaults=", ".join(f"count(*) FILTER ({_default(column)})" for column in features),
    ).to_pylist()
    days = [row for row in answer if not row["by_version"] and row["block"] >= 0]
    versions = [row for row in answer if row["by_version"]][:MOST_VERSIONS]
    everything = [row for row in answer if not row["by_version"]]
    if not everything:
        return None
    return Presence(
        n=sum(row["n"] for row in everything),
        days=[window.begin(row["block"]) for row in days],
        day_n=[row["n"] for row in days],
        versions=[row["version"] for row in versions],
        version_n=[row["n"] for row in versions],
        columns=[
            Filled(
                column=column.origin or column.name,
                nulls=sum(row["nulls"][at] for row in everything),
                defaults=sum(row["defaults"][at] for row in everything),
                day_nulls=[row["nulls"][at] for row in days],
                day_defaults=[row["defaults"][at] for row in days],
                version_nulls=[row["nulls"][at] for row in versions],
                version_defaults=[row["defaults"][at] for row in versions],
            )
            for at, column in enumerate(features)
        ],
    )


def _null(column: Column) -> str:
    name = identifier(column.name)
    return f"{name} IS NULL OR isnan({name})" if column.type == "DOUBLE" else f"{name} IS NULL"


def _default(column: Column) -> str:
    name = identifier(column.name)
    if column.type in ("DOUBLE", "BIGINT"):
        return f"{name} IN {_NUMBERS}"
    if column.type == "VARCHAR":
        return f"lower(trim({name})) IN ({', '.join(map(literal, _WORDS))})"
    return "false"  # of a flag no value stands for none
