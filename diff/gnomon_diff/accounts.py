"""The accounts: from what was seen to what was paired, every term counted on its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from gnomon_replay.pending import Pending

from gnomon_diff.comparison import Accounts, Balance, ErrorKind, Process
from gnomon_diff.questions import Questions

_UNREACHED = "the traffic could not be reached: what is missing may be pending"
_NOT_NUMBERED = "the producers do not number their records"
_NO_LEDGER = "no ledger: how much was seen is not known"

NO_NUMBERS = "(SELECT NULL::VARCHAR AS process, NULL::BIGINT AS seq WHERE false)"


def numbers_table(numbers: Mapping[str, Sequence[int]]) -> pa.Table:
    """The numbers of records by process, as the question `processes` reads them."""
    parts = [
        pa.table({"process": pa.array([process] * len(seqs), pa.string()), "seq": pa.array(seqs, pa.int64())})
        for process, seqs in sorted(numbers.items())
    ]
    empty = pa.table({"process": pa.array([], pa.string()), "seq": pa.array([], pa.int64())})
    return pa.concat_tables([empty, *parts])


def ask_accounts(
    questions: Questions,
    overview: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    errors: Sequence[ErrorKind],
    pending: Pending | None,
) -> Accounts:
    """Asks for what the ledgers and the numbers say, and closes the accounts.

    Args:
        overview, rows: the answers to these questions.
        errors: by side and kind.
        pending: None when the traffic could not be reached.
    """
    windowed = pending is not None and pending.windowed
    placed = questions.ask("processes").to_pylist()
    processes = [_process(row, reached=pending is not None, windowed=windowed) for row in placed]
    paired, predicted, missed = (overview[name] for name in ("pairs", "predicted", "missed_duplicates"))
    failed = {error.kind: error.n for error in errors if error.side == "candidate"}
    dead_letters = {row["reason"]: row["n"] for row in questions.ask("dead_letters").to_pylist()}
    with_ledger = [process for process in processes if process.seen is not None]
    duplicates = sum(row["flagged"] for row in rows) + missed
    in_log = sum(row["rows"] for row in rows)
    unnumbered = sum(row["unnumbered"] for row in rows)
    return Accounts(
        seen=sum(process.seen or 0 for process in with_ledger) if with_ledger else None,
        not_selected=sum(process.not_selected or 0 for process in with_ledger) if with_ledger else None,
        mirrored=sum(process.mirrored for process in processes),
        dropped=_added(process.dropped or {} for process in processes),
        pending=None if pending is None else pending.records,
        missing=_sum_if_known(process.missing for process in processes),
        removed=sum(process.removed for process in processes),
        outside=sum(process.outside for process in processes),
        paired=paired,
        predicted=predicted,
        errors=failed,
        duplicates=duplicates,
        missed_duplicates=missed,
        rows=in_log,
        dead_letters=dead_letters,
        unnumbered=unnumbered,
        processes=processes,
        without_ledger=[process.process for process in processes if process.seen is None],
        balances=[
            *_balances(processes, unnumbered),
            account_line("paired", paired, predicted + sum(failed.values())),
            account_line("rows", in_log, paired + duplicates),
        ],
    )


def coverage_frac(accounts: Accounts) -> float | None:
    """Distinct numbered records in the log / (mirrored + dropped); None where nothing is numbered. Of a window, what
    was mirrored in it."""
    numbered = sum(process.in_pairs for process in accounts.processes)
    sent = accounts.mirrored - accounts.outside + sum(accounts.dropped.values())
    return numbered / sent if sent else None


def _process(row: Mapping[str, Any], *, reached: bool, windowed: bool) -> Process:
    """One process. Beyond its last ledger, and without one, only what arrived or is pending is known to be sent."""
    placed, first, last = row["placed"] or 0, row["first_seq"], row["last_seq"]
    has_ledger = row["upto_seq"] is not None
    if has_ledger:
        mirrored = row["mirrored"] + (row["after_ledger"] or 0)
        missing = row["upto_seq"] + 1 - (row["upto_ledger"] or 0)
    elif not windowed:
        mirrored = last - first + 1
        missing = mirrored - placed
    elif row["begin_seq"] is None:
        mirrored, missing = placed, 0
    else:  # what other candidates found before the window has a place, and leaves no gap
        mirrored = last - row["begin_seq"] + 1 + row["before_begin"]
        missing = mirrored - placed
    outside = row["edge"] or 0
    if windowed and has_ledger:
        # All numbers before the first inside, or all there are; less those that have a place of another kind.
        begin, sent = row["begin_seq"], row["upto_seq"] + 1
        if begin is None:
            head = sent - (row["upto_ledger"] or 0)
        else:
            head = max(0, min(begin, sent) - row["before_begin"])
        outside += head
        missing -= head
    return Process(
        process=row["process"],
        mirrored=mirrored,
        in_pairs=row["in_pairs"] or 0,
        in_dead_letters=row["in_dead_letters"] or 0,
        removed=row["removed"] or 0,
        pending=(row["pending"] or 0) if reached else None,
        missing=missing if reached or not missing else None,
        upto_seq=row["upto_seq"],
        seen=row["seen"] + (row["after_ledger"] or 0) if has_ledger else None,
        not_selected=row["not_selected"],
        dropped=dict(row["dropped"] or []) if has_ledger else None,
        closed=bool(row["closed"]),
        outside=outside,
    )


def _balances(processes: Sequence[Process], unnumbered: int) -> list[Balance]:
    """`seen` and `mirrored` over all processes, then those single processes for which one does not balance."""
    with_ledger = [process for process in processes if process.seen is not None]
    if not with_ledger and (processes or unnumbered):
        lines = [unknown_line("seen", _NO_LEDGER)]
    else:
        both = [_seen(process) for process in with_ledger]
        lines = [account_line("seen", sum(left for left, _ in both), sum(right for _, right in both))]
    whole, *single = mirrored_line(processes, unnumbered)
    seen = [account_line(f"seen by {process.process}", *_seen(process)) for process in with_ledger]
    return [*lines, whole, *(line for line in seen if not line.balanced), *single]


def mirrored_line(processes: Sequence[Process], unnumbered: int) -> list[Balance]:
    """Of all processes, then of those single ones for which it does not balance."""
    places = [_places(process) for process in processes]
    mirrored = sum(process.mirrored for process in processes)
    if not processes and unnumbered:
        line = unknown_line("mirrored", _NOT_NUMBERED)
    elif None in places:
        line = unknown_line("mirrored", _UNREACHED, mirrored)
    else:
        line = account_line("mirrored", mirrored, sum(place or 0 for place in places))
    single = [
        account_line(f"mirrored by {process.process}", process.mirrored, place)
        for process, place in zip(processes, places, strict=True)
        if place is not None
    ]
    return [line, *(line for line in single if not line.balanced)]


def _seen(process: Process) -> tuple[int, int]:
    dropped = sum((process.dropped or {}).values())
    return process.seen or 0, (process.not_selected or 0) + process.mirrored + dropped


def _places(process: Process) -> int | None:
    """How many of its records have a place: here, removed, pending, missing or outside the window; None where that is not known."""
    if process.missing is None:
        return None
    return (
        process.in_pairs
        + process.in_dead_letters
        + process.removed
        + (process.pending or 0)
        + process.missing
        + process.outside
    )


def account_line(name: str, left: int, right: int) -> Balance:
    """One whose sides are both known."""
    return Balance(name=name, left=left, right=right, balanced=left == right, reason=None)


def unknown_line(name: str, reason: str, left: int | None = None) -> Balance:
    """One of which a side cannot be known."""
    return Balance(name=name, left=left, right=None, balanced=None, reason=reason)


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items()))


def _sum_if_known(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value or 0 for value in known)
