"""The accounts: each case of what may happen to a numbered record, small enough to count by hand."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gnomon_diff import compare
from gnomon_diff.comparison import Accounts, Balance, Comparison
from gnomon_diff.settings import Critical, Policy
from gnomon_replay.pending import Pending
from gnomon_replay.settings import Experiment

from .conftest import START, WriteLog

NOTHING = Pending(0, {}, frozenset())
Compare = Callable[..., Comparison]


@pytest.fixture
def compared(tmp_path: Path, write_log: WriteLog, experiment: Experiment) -> Compare:
    """Compares a log of the records with these numbers, by process."""

    def run(
        numbers: dict[str | None, Sequence[int]],
        *,
        ledger: Sequence[dict[str, Any]] = (),
        dead: Sequence[tuple[str, int]] = (),
        pending: Pending | None = NOTHING,
    ) -> Comparison:
        rows = pd.DataFrame(
            [
                {"origin_process": process, "origin_seq": seq, "source_partition": process or "old"}
                for process, seqs in numbers.items()
                for seq in seqs
            ],
            columns=["origin_process", "origin_seq", "source_partition"],
        )
        rows = rows.assign(
            request_id=[f"r{index}" for index in range(len(rows))],
            ts=START,
            served_label="late",
            candidate_label="late",
        )
        rows["ts"] = pd.Series([START] * len(rows), dtype="datetime64[us, UTC]")
        folder = write_log(
            tmp_path / "log",
            rows,
            ledger=[{"ts": datetime.datetime(2026, 3, 3, tzinfo=datetime.UTC), **row} for row in ledger],
            dead_letters=[
                {
                    "source": {"partition": process, "offset": seq},
                    "origin": {"process": process, "seq": seq},
                    "reason": "wrong_type",
                    "day": datetime.date(2026, 3, 3),
                }
                for process, seq in dead
            ],
        )
        return compare(folder, experiment, Policy(critical_errors=Critical()), pending=pending)

    return run


def ledger(process: str, upto: int, **more: Any) -> dict[str, Any]:
    counts = {
        "upto_seq": upto,
        "mirrored": upto + 1,
        "seen": upto + 1,
        "not_selected": 0,
        "dropped": [],
        "closed": True,
    }
    return {"process": process, **counts, **more}


def lines(accounts: Accounts) -> dict[str, tuple[int | None, int | None, bool | None]]:
    return {line.name: (line.left, line.right, line.balanced) for line in accounts.balances}


def test_all_here(compared: Compare) -> None:
    found = compared(
        {"a": [0, 1, 2]}, ledger=[ledger("a", 2, seen=10, not_selected=5, dropped=[("full", 2)])]
    )
    accounts = found.accounts
    assert lines(accounts) == {
        "seen": (10, 10, True),
        "mirrored": (3, 3, True),
        "paired": (3, 3, True),
        "rows": (3, 3, True),
    }
    assert (accounts.missing, accounts.pending, accounts.dropped) == (0, 0, {"full": 2})
    assert found.coverage.frac == 3 / 5


def test_a_gap_below_the_ledger_is_missing_and_one_above_is_not(compared: Compare) -> None:
    accounts = compared({"a": [0, 2, 3, 7]}, ledger=[ledger("a", 4)]).accounts
    assert accounts.missing == 2  # 1 and 4; 5 and 6 may be on their way
    assert lines(accounts)["mirrored"] == (6, 6, True)
    assert accounts.seen == 6


def test_the_first_numbers_may_be_missing(compared: Compare) -> None:
    assert compared({"a": [3, 4]}, ledger=[ledger("a", 4)]).accounts.missing == 3


def test_a_process_without_a_ledger_is_counted_between_its_first_and_last(compared: Compare) -> None:
    accounts = compared({"a": [5, 6, 9]}).accounts
    [process] = accounts.processes
    assert (process.mirrored, process.missing, process.seen) == (5, 2, None)
    assert (accounts.seen, accounts.not_selected, accounts.without_ledger) == (None, None, ["a"])
    assert accounts.balances[0] == Balance(
        name="seen", left=None, right=None, balanced=None, reason="no ledger: how much was seen is not known"
    )
    assert lines(accounts)["mirrored"] == (5, 5, True)


def test_seen_is_known_for_those_that_have_a_ledger(compared: Compare) -> None:
    accounts = compared({"a": [0, 1], "b": [0]}, ledger=[ledger("a", 1, seen=7, not_selected=5)]).accounts
    assert (accounts.seen, accounts.mirrored, accounts.without_ledger) == (7, 3, ["b"])
    assert lines(accounts)["seen"] == (7, 7, True)


def test_a_ledger_whose_records_are_all_missing(compared: Compare) -> None:
    accounts = compared({"a": [0]}, ledger=[ledger("a", 0), ledger("b", 9)]).accounts
    assert [(process.process, process.missing) for process in accounts.processes] == [("a", 0), ("b", 10)]
    assert lines(accounts)["mirrored"] == (11, 11, True)


def test_a_ledger_that_sent_nothing(compared: Compare) -> None:
    accounts = compared({}, ledger=[ledger("a", -1, seen=4, not_selected=4)]).accounts
    assert lines(accounts)["seen"] == (4, 4, True)
    assert (accounts.mirrored, accounts.missing) == (0, 0)


def test_the_last_ledger_counts_and_an_unclosed_process_is_said(compared: Compare) -> None:
    accounts = compared(
        {"a": [0, 1, 2]}, ledger=[ledger("a", 0), ledger("a", 2, closed=False), ledger("a", 1)]
    ).accounts
    [process] = accounts.processes
    assert (process.upto_seq, process.closed) == (2, False)


def test_a_record_in_several_places_counts_once(compared: Compare) -> None:
    removed = {"process": "a", "removed": {"from_seq": 2, "to_seq": 5}}
    pending = Pending(3, {"a": [4, 5, 6]}, frozenset({"a"}))
    accounts = compared(
        {"a": [0, 1, 1]},
        dead=[("a", 1), ("a", 2), ("a", 2)],
        pending=pending,
        ledger=[ledger("a", 7), removed, removed],
    ).accounts
    [process] = accounts.processes
    assert (process.in_pairs, process.in_dead_letters, process.removed, process.pending) == (2, 1, 3, 1)
    assert (process.missing, process.mirrored) == (1, 8)
    assert (accounts.pending, accounts.rows, accounts.paired) == (3, 3, 3)
    assert lines(accounts)["mirrored"] == (8, 8, True)


def test_without_the_traffic_what_is_missing_may_be_pending(compared: Compare) -> None:
    accounts = compared(
        {"a": [0, 2], "b": [0]}, ledger=[ledger("a", 2), ledger("b", 0)], pending=None
    ).accounts
    assert (accounts.pending, accounts.missing) == (None, None)
    assert [process.missing for process in accounts.processes] == [None, 0]
    line = accounts.balances[1]
    assert (line.name, line.left, line.right, line.balanced) == ("mirrored", 4, None, None)
    assert line.reason is not None and "could not be reached" in line.reason


def test_without_the_traffic_nothing_missing_is_nothing_missing(compared: Compare) -> None:
    accounts = compared({"a": [0, 1]}, ledger=[ledger("a", 1)], pending=None).accounts
    assert (accounts.pending, accounts.missing) == (None, 0)
    assert lines(accounts)["mirrored"] == (2, 2, True)


def test_a_ledger_that_does_not_add_up_is_named(compared: Compare) -> None:
    wrong = [ledger("a", 1, seen=9, not_selected=1), ledger("b", 0, seen=5, not_selected=10)]
    accounts = compared({"a": [0, 1], "b": [0]}, ledger=wrong).accounts
    found = lines(accounts)
    assert found["seen by a"] == (9, 3, False)
    assert found["seen by b"] == (5, 11, False)
    assert found["seen"] == (14, 14, True)  # which is why each process is looked at by itself


def test_a_ledger_that_mirrored_more_than_it_numbered_is_named(compared: Compare) -> None:
    accounts = compared({"a": [0, 1]}, ledger=[ledger("a", 1, mirrored=5, seen=5)]).accounts
    assert lines(accounts)["mirrored"] == (5, 2, False)
    assert lines(accounts)["mirrored by a"] == (5, 2, False)


def test_records_without_numbers_cannot_be_accounted_for(compared: Compare) -> None:
    found = compared({None: [None, None]})
    accounts = found.accounts
    assert (accounts.unnumbered, accounts.mirrored, accounts.processes) == (2, 0, [])
    assert [(line.name, line.balanced) for line in accounts.balances] == [
        ("seen", None),
        ("mirrored", None),
        ("paired", True),
        ("rows", True),
    ]
    assert found.coverage.frac is None


def test_an_empty_log_balances(compared: Compare) -> None:
    found = compared({})
    assert all(line.balanced for line in found.accounts.balances)
    assert found.coverage.frac is None
    assert (found.accounts.seen, found.accounts.mirrored) == (None, 0)


def test_numbers_as_large_as_they_get(compared: Compare) -> None:
    top = 2**63 - 2
    accounts = compared({"a": [top]}, ledger=[ledger("a", top)]).accounts
    assert (accounts.mirrored, accounts.missing) == (top + 1, top)
