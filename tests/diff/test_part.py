"""Windows and conditions: the figures are those of the part, its accounts close, and a condition is nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from gnomon_capture.errors import UsageError
from gnomon_diff import compare, open_log
from gnomon_diff.comparison import Comparison, from_json, to_json
from gnomon_diff.part import Part, _expression, checked
from gnomon_diff.settings import Excess, Policy, Segments
from gnomon_replay.settings import Experiment

from .conftest import DIGEST, START, Planted, WriteLog

POLICY = Policy(disagreement=Excess(max_excess=0.05), segments=Segments(by=("features.carrier",)))
FROM = datetime.datetime(2026, 3, 3, 0, 0, tzinfo=datetime.UTC)
TO = datetime.datetime(2026, 3, 11, 0, 0, tzinfo=datetime.UTC)
WHERE = "carrier = 'MQ' AND delay > 0"

Compared = Callable[..., Comparison]


@pytest.fixture(scope="module")
def compared(planted: Planted, experiment: Experiment, now: datetime.datetime) -> Compared:
    def of(**options: Any) -> Comparison:
        return compare(
            planted.folder,
            experiment,
            POLICY,
            candidate_digest=DIGEST,
            pending=planted.pending,
            now=now,
            **{"examples": 5, **options},
        )

    return of


@pytest.fixture(scope="module")
def windowed(compared: Compared) -> Comparison:
    return compared(from_ts=FROM, to_ts=TO)


def answered(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those with an answer on both sides, and whether these differ."""
    seen = pairs["served_label"].notna() | pairs["served_score"].notna() | pairs["served_error"].notna()
    label = pairs["served_label"].where(seen, pairs["primary_label"])
    error = pairs["served_error"].where(seen, pairs["primary_error"])
    good = error.isna() & pairs["candidate_error"].isna() & label.notna() & pairs["candidate_label"].notna()
    score = pairs["served_score"].where(seen, pairs["primary_score"])
    strange = [each.notna() & ~each.between(0, 1) for each in (score, pairs["candidate_score"])]
    return pairs.assign(flip=(label != pairs["candidate_label"]) | (strange[0] != strange[1]))[good]


def inside(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs[(pairs["ts"] >= FROM) & (pairs["ts"] < TO)]


def test_every_figure_of_a_window_is_of_its_requests_alone(windowed: Comparison, planted: Planted) -> None:
    pairs = inside(planted.pairs)
    both = answered(pairs)
    assert 0 < len(pairs) < len(planted.pairs)
    assert (windowed.disagreement.n, windowed.disagreement.flips) == (len(both), both["flip"].sum())
    assert windowed.accounts.paired == len(pairs)
    assert sum(flip.n for flip in windowed.flips) == len(both)
    assert sum(map(sum, windowed.coverage.hours_of_week)) == len(pairs)
    assert windowed.correctness is not None and windowed.correctness.n == len(pairs)
    assert (windowed.subject.first_ts, windowed.subject.last_ts) == (pairs["ts"].min(), pairs["ts"].max())
    assert sum(error.n for error in windowed.errors if error.side == "candidate") == (
        pairs["candidate_error"].notna().sum()
    )
    assert {example.request_id for example in windowed.examples} <= set(pairs["request_id"])
    assert windowed.part is not None
    assert (windowed.part.from_ts, windowed.part.to_ts, windowed.part.where) == (FROM, TO, None)


def test_a_windows_days_begin_and_end_with_it(windowed: Comparison, planted: Planted) -> None:
    days = [day for day in windowed.days if day.segment is None]
    with_traffic = inside(planted.pairs)["ts"].dt.floor("D").unique()
    assert [day.start for day in days] == [
        moment for moment in pd.date_range(FROM, TO, inclusive="left") if moment in with_traffic
    ]
    # The log has been read past the window's end, so that its last day is whole.
    assert days[-1].whole and days[0].start == FROM
    assert windowed.disagreement.days == sum(day.whole for day in days)


def test_a_windows_accounts_close_at_its_own_first_and_last_numbers(
    windowed: Comparison, planted: Planted
) -> None:
    accounts = windowed.accounts
    rows = inside(planted.rows[planted.rows["origin_process"].notna()])
    assert [line.balanced for line in accounts.balances] == [None, True, True, True]
    for process in accounts.processes:
        mine = set(rows.loc[rows["origin_process"] == process.process, "origin_seq"].astype(int))
        between = set(range(min(mine), max(mine) + 1))
        places = planted.sent[process.process]
        assert process.mirrored == len(between)
        assert process.in_pairs == len(mine)
        assert process.in_dead_letters == len((places["dead"] & between) - mine)
        assert process.removed == len((places["removed"] & between) - mine)
        assert process.missing == len((places["missing"] & between) - mine)
        assert process.pending == 0
        assert process.outside == len((places["pairs"] & between) - mine)
    assert len(accounts.processes) == 3
    assert accounts.missing == sum(process.missing or 0 for process in accounts.processes) > 0
    assert sum(accounts.dead_letters.values()) == sum(one.in_dead_letters for one in accounts.processes)
    assert (accounts.seen, accounts.dropped, windowed.coverage.frac) == (None, {}, None)
    assert accounts.rows == len(inside(planted.rows))


def test_a_window_of_everything_says_what_the_whole_says(compared: Compared) -> None:
    whole = compared(inputs=False)  # what is measured of all the traffic only is left out
    wide = compared(from_ts=START.to_pydatetime() - datetime.timedelta(days=9))
    for name in ("disagreement", "flips", "segments", "days", "shifts", "correctness", "scores", "errors"):
        assert getattr(wide, name) == getattr(whole, name), name
    assert whole.part is None


def test_a_condition_leaves_only_its_requests_and_accounts_that_apply(
    compared: Compared, planted: Planted
) -> None:
    found = compared(where=WHERE)
    delay = pd.to_numeric(planted.pairs["features.delay"])
    # To DuckDB NaN is more than any number, to IEEE 754 it is not.
    pairs = planted.pairs[(planted.pairs["features.carrier"] == "MQ") & ((delay > 0) | delay.isna())]
    pairs = pairs[pairs["features.delay"].map(lambda value: value is not None)]
    both = answered(pairs)
    assert (found.disagreement.n, found.disagreement.flips) == (len(both), both["flip"].sum())
    accounts = found.accounts
    assert accounts.paired == len(pairs)
    assert (accounts.seen, accounts.missing, accounts.pending, accounts.processes) == (None, None, None, [])
    assert [(line.name, line.balanced) for line in accounts.balances] == [("paired", True), ("rows", True)]
    assert found.coverage.frac is None
    assert found.part is not None
    assert found.part.where == "((carrier = 'MQ') AND (delay > 0))"
    assert found.part.pairs_of_all >= len(planted.pairs)


def test_a_window_and_a_condition_hold_together(compared: Compared, planted: Planted) -> None:
    found = compared(where="carrier = 'MQ'", from_ts=FROM, to_ts=TO)
    pairs = inside(planted.pairs)
    assert found.accounts.paired == (pairs["features.carrier"] == "MQ").sum()


def test_two_windows_each_keep_their_figures_and_the_shift_is_between_them(
    compared: Compared, planted: Planted, windowed: Comparison
) -> None:
    late = datetime.datetime(2026, 3, 12, tzinfo=datetime.UTC)
    found = compared(from_ts=late, against=(FROM, TO))
    other = found.against
    assert other is not None
    assert other.disagreement == windowed.disagreement
    assert other.correctness == windowed.correctness
    assert (other.pairs, other.part) == (windowed.accounts.paired, windowed.part)
    [carrier] = [shift for shift in found.shifts if shift.column == "features.carrier"]
    then, now = inside(planted.rows), planted.rows[planted.rows["ts"] >= late]
    then, now = (rows[~rows["duplicate"]] for rows in (then, now))
    assert (carrier.n_then, carrier.n_now) == (len(then), len(now))
    assert "new" in carrier.new_values
    assert from_json(to_json(found, None)).comparison == found
    older = msgspec.to_builtins(found)
    del older["part"], older["against"]
    assert msgspec.convert(older, Comparison).part is None  # an older document


def test_a_part_without_requests_is_empty(compared: Compared) -> None:
    found = compared(where="carrier = 'nobody'")
    assert (found.accounts.paired, found.disagreement.n, found.days) == (0, 0, [])


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("true) OR (true", "no condition"),
        ("true)) --", "no condition"),
        ("true) UNION (SELECT * FROM pairs WHERE true", "no condition"),
        ("true; SELECT 1", "2 statements"),
        ("true; COPY pairs TO 'x.csv'", "2 statements"),
        ("true UNION SELECT * FROM pairs", "goes on after it"),
        ("true LIMIT 1", "goes on after it"),
        ("true ORDER BY 1", "goes on after it"),
        ("true GROUP BY ALL", "goes on after it"),
        ("true QUALIFY true", "goes on after it"),
        ("true USING SAMPLE 1%", "goes on after it"),
        ("weight IN (SELECT 1)", "a query in it"),
        ("EXISTS (FROM '/etc/passwd')", "a query in it"),
        ("weight = (SELECT count(*) FROM read_text('/etc/passwd'))", ""),
        ("(WITH x AS (COPY (SELECT 1) TO 'x.csv') SELECT true)", ""),
        ("row_number() OVER () = 1", "more than its columns"),
        ("weight = ?", "more than its columns"),
        ("COLUMNS(*)", "more than its columns"),
        ("count(*) > 1", "WHERE"),
        ("unnest([true])", ""),
        ("getenv('HOME') = 'x'", "does not exist"),
        ("ts > now()", "write the value itself"),
        ("day = CURRENT_DATE", "write the value itself"),
        ("random() < 0.5", "write the value itself"),
        ("uuid() = request_id", "write the value itself"),
        ("weight", "true or false"),
        ("carier = 'MQ'", "Did you mean carrier?"),
        ("select", "no condition"),
    ],
)
def test_what_is_no_condition_is_refused(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        checked(open_log(planted.folder), condition)
    assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        ("carrier = 'a'')) --'", "(carrier = 'a'')) --')"),
        ("carrier = 'MQ' -- ) OR true", "(carrier = 'MQ')"),
        ("carrier IN ('MQ', 'AA') /* ) */ AND NOT disagrees", None),
        ("hour(ts) BETWEEN 6 AND 9 AND attribute_region IS NOT NULL", None),
        ("true", "true"),
    ],
)
def test_a_condition_is_written_again_from_what_was_parsed(condition: str, written: str | None) -> None:
    again = _expression(condition)
    assert written is None or again == written
    assert _expression(again) == again


def test_a_column_may_have_the_name_of_a_function(tmp_path: Path, write_log: WriteLog) -> None:
    rows = pd.DataFrame([{"request_id": "r1", "ts": START, "features.age": 31.0, "features.user": "x"}])
    log = open_log(write_log(tmp_path / "log", rows, features={"age": "double", "user": "string"}))
    assert checked(log, "age > 30 AND \"user\" = 'x'") == "((age > 30) AND (\"user\" = 'x'))"


def test_a_window_has_a_time_zone_and_an_order() -> None:
    with pytest.raises(UsageError, match="time zone"):
        Part(from_ts=FROM.replace(tzinfo=None))
    with pytest.raises(UsageError, match="before it begins"):
        Part(from_ts=TO, to_ts=FROM)
