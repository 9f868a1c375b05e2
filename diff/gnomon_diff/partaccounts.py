"""The accounts of a part: of a window, closed at its own first and last numbers; of a condition, only what it pairs.

What a ledger counts is all that a process saw, and a condition asks for what only a pair has: so neither says how many
requests a part should have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gnomon_replay.pending import Pending

from gnomon_diff.accounts import account_line, mirrored_line, unknown_line
from gnomon_diff.comparison import Accounts, Balance, ErrorKind, Process
from gnomon_diff.part import Part
from gnomon_diff.questions import Questions

NO_SEEN = "a ledger counts all that a process saw, not a window of it"


def ask_part_accounts(
    questions: Questions,
    part: Part,
    overview: Mapping[str, Any],
    rows: Mapping[str, Any],
    errors: Sequence[ErrorKind],
    pending: Pending | None,
) -> Accounts:
    """The accounts of a part.

    Args:
        overview, rows: the answers to `overview` and to `part_rows`.
        pending: None when the traffic could not be reached.
    """
    found = [] if part.where is not None else questions.ask("part_processes").to_pylist()
    processes = [_process(row, reached=pending is not None) for row in found]
    paired, predicted, missed = (overview[name] for name in ("pairs", "predicted", "missed_duplicates"))
    failed = {error.kind: error.n for error in errors if error.side == "candidate"}
    duplicates = rows["flagged"] + missed
    reasons = Counter(reason for row in found for reason in row["reasons"] or ())
    known = part.where is None
    missing = [process.missing for process in processes]
    lines: list[Balance] = []
    if known:
        lines = [unknown_line("seen", NO_SEEN), *mirrored_line(processes, rows["unnumbered"])]
    return Accounts(
        seen=None,
        not_selected=None,
        mirrored=sum(process.mirrored for process in processes),
        dropped={},
        pending=sum(row["pending"] for row in found) if known and pending is not None else None,
        missing=sum(n or 0 for n in missing) if known and None not in missing else None,
        removed=sum(process.removed for process in processes),
        outside=sum(process.outside for process in processes),
        paired=paired,
        predicted=predicted,
        errors=failed,
        duplicates=duplicates,
        missed_duplicates=missed,
        rows=rows["rows"],
        dead_letters=dict(sorted(reasons.items())),
        unnumbered=rows["unnumbered"],
        processes=processes,
        without_ledger=[],
        balances=[
            *lines,
            account_line("paired", paired, predicted + sum(failed.values())),
            account_line("rows", rows["rows"], paired + duplicates),
        ],
    )


def _process(row: Mapping[str, Any], *, reached: bool) -> Process:
    mirrored = row["last_seq"] - row["first_seq"] + 1
    missing = mirrored - row["placed"]
    return Process(
        process=row["process"],
        mirrored=mirrored,
        in_pairs=row["in_pairs"],
        in_dead_letters=row["in_dead_letters"],
        removed=row["removed"],
        pending=row["pending"] if reached else None,
        missing=missing if reached or not missing else None,
        upto_seq=None,
        seen=None,
        not_selected=None,
        dropped=None,
        closed=False,
        outside=row["outside"],
    )
