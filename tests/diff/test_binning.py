"""Bins: round edges near the quantiles, a code for every value, and predicates that mean the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from gnomon_diff.binning import (
    MOST_VALUES,
    RANK_SLACK,
    Bins,
    ask_bins,
    drawn_sql,
    readable_edges,
    round_between,
)
from gnomon_diff.columns import Column
from gnomon_diff.comparison import SegmentKey
from gnomon_diff.questions import Questions
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: float(f"{x:.6g}"))


@given(NUMBERS, NUMBERS)
def test_the_roundest_number_lies_above_low_and_up_to_high(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        edge = round_between(low, high)
        assert low < edge <= high


@pytest.mark.parametrize(
    ("low", "high", "edge"),
    [(187, 231, 200), (401, 499, 450), (0, 1, 1), (0.11, 0.19, 0.15), (-40, -31, -35), (999, 1001, 1000), (-1, 1, 0)],
)  # fmt: skip
def test_round_means_a_multiple_of_1_2_or_5(low: float, high: float, edge: float) -> None:
    assert round_between(low, high) == pytest.approx(edge, abs=1e-12)


@pytest.mark.parametrize("law", ["lognormal", "normal", "uniform"])
def test_each_edge_is_near_its_quantile_and_short_to_write(law: str) -> None:
    rng = np.random.default_rng(3)
    values = {
        "lognormal": rng.lognormal(6.2, 0.8, 20_000),
        "normal": rng.normal(-3, 40, 20_000),
        "uniform": rng.random(20_000),
    }[law]
    edges = readable_edges(values)
    assert len(edges) == 7
    for index, edge in enumerate(edges, start=1):
        assert abs(np.mean(values < edge) - index / 8) <= RANK_SLACK + 1e-3
        assert len(f"{edge:.12g}".strip("-0.").replace(".", "")) <= 2


def test_a_value_that_holds_most_of_the_rows_gets_a_bin_of_its_own() -> None:
    values = np.concatenate([np.zeros(700), np.random.default_rng(1).lognormal(3, 1, 300)])
    edges = readable_edges(values)
    assert all(edge > 0 for edge in edges)
    assert np.mean(values < edges[0]) == pytest.approx(0.7, abs=1e-9)


ROWS: list[dict[str, Any]] = [
    {"x": x, "text": text, "few": few, "flag": flag, "big": big}
    for x, text, few, flag, big in zip(
        [*np.round(np.random.default_rng(2).normal(0, 30, 400), 1).tolist(), None, math.nan, math.inf, -math.inf] * 3,
        ["it's", "", "order", None, "ß%_", "it's"] * 202,
        [0.0, 1.0, 2.5, None, math.nan, 1.0] * 202,
        [True, False, None, False, False, True] * 202,
        [2**60 + k for k in (0, 1, 2, 5, 5, 1)] * 202,
        strict=True,
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def cut() -> tuple[duckdb.DuckDBPyConnection, dict[str, Bins]]:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE pairs (request_id VARCHAR, x DOUBLE, text VARCHAR, few DOUBLE, flag BOOLEAN, big BIGINT)"
    )
    connection.executemany(
        "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?)",
        [[f"r{index}", *row.values()] for index, row in enumerate(ROWS)],
    )
    questions = Questions(connection, Path("."))
    questions.about(pairs="pairs")
    kinds = {"x": "DOUBLE", "text": "VARCHAR", "few": "DOUBLE", "flag": "BOOLEAN", "big": "BIGINT"}
    columns = [Column(name, kind, name, "", f"features.{name}") for name, kind in kinds.items()]
    return connection, {one.column: one for one in ask_bins(questions, columns, len(ROWS))}


def test_every_feature_is_cut_as_its_values_ask(cut: tuple[Any, dict[str, Bins]]) -> None:
    bins = cut[1]
    assert set(bins) == {"x", "text", "few", "flag", "big"}
    assert len(bins["x"].edges) == 7 and bins["x"].nan
    assert set(bins["text"].values) == {"it's", "", "order", "ß%_"}
    assert bins["few"].values == (0.0, 1.0, 2.5) and bins["few"].nan
    assert set(bins["flag"].values) == {True, False}
    assert bins["big"].values == tuple(2**60 + k for k in (0, 1, 2, 5))  # exact, beyond a double


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


@pytest.mark.parametrize("name", ["x", "text", "few", "flag", "big"])
def test_a_code_is_the_bin_that_python_puts_the_value_in(cut: tuple[Any, dict[str, Bins]], name: str) -> None:
    connection, bins = cut[0], cut[1][name]
    codes = [code for (code,) in connection.sql(f"SELECT {bins.sql('p')} FROM pairs AS p").fetchall()]
    for row, code in zip(ROWS, codes, strict=True):
        value = row[name]
        if is_missing(value):
            assert code == bins.size
        elif bins.edges:
            assert code == sum(value >= edge for edge in bins.edges)
        else:
            assert code == bins.values.index(value)


@pytest.mark.parametrize("name", ["x", "text", "few", "flag", "big"])
def test_a_predicate_is_true_for_the_rows_of_its_bins_and_no_others(
    cut: tuple[Any, dict[str, Bins]], name: str
) -> None:
    connection, bins = cut[0], cut[1][name]
    every = range(bins.size + 1)
    sets = [{code} for code in every] + [
        {*range(low, high), *extra}
        for low in range(bins.size)
        for high in range(low + 1, bins.size + 1)
        for extra in ((), (bins.size,))
    ]
    for chosen in sets:
        predicate = bins.predicate(chosen)
        rows = connection.sql(
            f"SELECT {bins.sql()} AS code, coalesce({predicate} AND true, false) FROM pairs"
        ).fetchall()
        assert {code for code, inside in rows if inside} == chosen & {code for code, _ in rows}, predicate
        assert all(inside == (code in chosen) for code, inside in rows), predicate


def test_a_value_that_was_never_seen_is_pooled() -> None:
    bins = Bins("features.c", "c", "VARCHAR", values=("a", "b"), pooled=True)
    rows = duckdb.sql(f"SELECT {bins.sql()}, {bins.predicate([2])} FROM (VALUES ('z')) AS t(c)").fetchall()
    assert rows == [(2, True)]
    assert bins.key(2) == SegmentKey(feature="features.c", kind="other", value=None)
    assert bins.key(3) == SegmentKey(feature="features.c", kind="missing", value=None)


def test_bins_are_named_for_people() -> None:
    bins = Bins("features.km", "km", "DOUBLE", edges=(0.5, 200.0, 1e6))
    assert [bins.key(code).value for code in range(4)] == [
        "under 0.5",
        "0.5 to 200",
        "200 to 1000000",
        "1000000 or more",
    ]


def test_an_id_is_not_cut_and_of_many_values_the_most_frequent_are() -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE pairs AS SELECT 'r' || i AS request_id, 'u' || i AS id, "
        "'v' || floor(sqrt(i))::INT AS many, 1.5::DOUBLE AS constant FROM range(4000) AS t(i)"
    )
    questions = Questions(connection, Path("."))
    questions.about(pairs="pairs")
    columns = [
        Column("id", "VARCHAR", "id", "", "features.id"),
        Column("many", "VARCHAR", "many", "", "attributes.many"),
        Column("constant", "DOUBLE", "constant", "", "features.constant"),
    ]
    [bins] = ask_bins(questions, columns, 4000)
    assert bins.feature == "attributes.many"
    assert set(bins.values) == {
        f"v{k}" for k in range(62 - MOST_VALUES + 1, 63)
    }  # v62 has 125 rows, v63 fewer


def test_a_share_of_rows_is_drawn_whatever_their_order() -> None:
    sql = "SELECT list(r ORDER BY r) FROM (SELECT 'r' || i AS r FROM range(20000) AS t(i) ORDER BY {order}) WHERE {drawn}"
    drawn = drawn_sql("r", 0.1)
    one, other = (duckdb.sql(sql.format(order=order, drawn=drawn)).fetchall() for order in ("i", "hash(i)"))
    assert one == other
    assert 1800 < len(one[0][0]) < 2200
    assert drawn_sql("r", 1.0) == "true"


def test_without_a_number_texts_are_cut_all_the_same() -> None:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE pairs AS SELECT 'r' || i AS request_id, 'v' || i % 2 AS c FROM range(90) AS t(i)"
    )
    questions = Questions(connection, Path("."))
    questions.about(pairs="pairs")
    [bins] = ask_bins(questions, [Column("c", "VARCHAR", "c", "", "features.c")], 90)
    assert set(bins.values) == {"v0", "v1"}
