"""Text that becomes part of a query: every name and value is quoted here, whatever it is called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cache

import duckdb


def identifier(name: str) -> str:
    """A name as DuckDB reads it: quotes around it, those inside doubled.

    >>> print(identifier('say "hi"!'))
    "say ""hi""!"
    """
    return '"' + name.replace('"', '""') + '"'


def plain_identifier(name: str) -> str:
    """A name as people write it: quoted only where DuckDB needs it.

    >>> print(plain_identifier('carrier'), plain_identifier('order'), plain_identifier('Air line'))
    carrier "order" "Air line"
    """
    plain = re.fullmatch("[a-z_][a-z0-9_]*", name) and name not in _keywords()
    return name if plain else identifier(name)


@cache
def _keywords() -> frozenset[str]:
    with duckdb.connect() as connection:
        rows = connection.sql(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        ).fetchall()
    return frozenset(name for (name,) in rows)


def literal(text: str) -> str:
    """A string as DuckDB reads it: a quote is doubled, nothing else has a meaning inside.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def path(file: str) -> str:
    """A file's path as DuckDB's readers take it: nothing in it is a wildcard.

    >>> path("logs/a*b")
    'logs/a[*]b'
    """
    return "".join(f"[{char}]" if char in "*?[" else char for char in file)


def number(value: float) -> str:
    """A DOUBLE as DuckDB reads it, bit for bit. Without an exponent it would be a DECIMAL.

    >>> number(0.1), number(1e-7), number(5), number(math.inf)
    ('0.1e0', '1e-07', '5.0e0', "'inf'::DOUBLE")
    """
    value = float(value)
    if not math.isfinite(value):
        return f"'{value}'::DOUBLE"
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def numbers(values: Iterable[float]) -> str:
    """A list of DOUBLEs.

    >>> numbers([1, 2.5])
    '[1.0e0, 2.5e0]::DOUBLE[]'
    """
    return f"[{', '.join(number(value) for value in values)}]::DOUBLE[]"
