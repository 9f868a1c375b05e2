"""Whether the data can carry a verdict at all: accounts that balance, coverage, features that were served."""

from __future__ import annotations

import math
from typing import NamedTuple

from gnomon_diff.comparison import Accounts, Comparison, Disagreement
from gnomon_diff.settings import Policy
from gnomon_diff.wording import many, percent

CHANCE_SD = 3.09
"""How many standard deviations are beyond chance: one-sided .001 (as for design effects; statistics.md, 6)."""


def invalid_because(comparison: Comparison, policy: Policy) -> list[str]:
    """Why the data cannot carry a verdict, in words that say what to mend; empty where it can."""
    accounts, coverage = comparison.accounts, comparison.coverage
    if comparison.part is not None:
        return ["this is a part of the traffic, chosen by whoever asked, and a verdict is about all of it"]
    if not accounts.rows:
        return ["there is no data yet: `gnomon replay` reads the traffic and fills the log"]
    reasons = []
    if accounts.missing is None:
        reasons.append(
            "some mirrored records are not in the log, and the traffic cannot be read to tell whether they are "
            "pending: make it reachable, then ask again"
        )
    elif accounts.missing > policy.missing.max_frac * accounts.mirrored:
        reasons.append(
            f"{accounts.missing:,} of {many(accounts.mirrored, 'mirrored record')} are unaccounted for: find them "
            "before reading anything below"
        )
    reasons += [
        f"the accounts do not balance: {line.name}, {line.left:,} against {line.right:,}"
        for line in accounts.balances
        if line.balanced is False
    ]
    unaccounted = _without_ledger(accounts)
    if policy.require_ledger and unaccounted:
        reasons.append(f"the policy requires a ledger, and {unaccounted}")
    if coverage.frac is not None and coverage.frac < policy.coverage.min_frac:
        pending = (
            f": {accounts.pending:,} are pending, `gnomon replay` reads them" if accounts.pending else ""
        )
        reasons.append(
            f"only {percent(coverage.frac)} of the traffic is in the log, of at least "
            f"{percent(policy.coverage.min_frac)}{pending}"
        )
    skew = skew_over(comparison.disagreement, policy)
    if skew is not None and skew.beyond_chance:
        reasons.append(f"{skew.said}: the captured features are not those it saw")
    return reasons


class Skew(NamedTuple):
    """Serving skew over its limit, in words; by more than chance makes of so few requests, or not."""

    said: str
    beyond_chance: bool


def skew_over(disagreement: Disagreement, policy: Policy) -> Skew | None:
    """Serving skew, where it is over its limit.

    Its standard deviation is at most that of a request's 1, where the primary differs from what it served and
    not from itself, or -1, the other way round: of these there are at most as many as it differs from itself,
    which is at most twice the noise floor.
    """
    skew, n = disagreement.skew, disagreement.noise_n
    if skew is None or not n or skew <= policy.skew.max:
        return None
    sd = math.sqrt((skew + 4 * (disagreement.noise or 0.0)) / n)
    said = (
        f"the primary, run again, differs from what it served on {percent(skew)} of {many(n, 'request')} more than "
        f"from itself, of at most {percent(policy.skew.max)}"
    )
    return Skew(said, skew - CHANCE_SD * sd > policy.skew.max)


def _without_ledger(accounts: Accounts) -> str | None:
    """Which of the traffic has no ledger, in words."""
    if accounts.seen is None:
        return "the traffic has none"
    if accounts.without_ledger:
        return f"none came from {', '.join(accounts.without_ledger[:3])}"
    if accounts.unnumbered:
        return f"{many(accounts.unnumbered, 'pair')} came from producers that do not number their records"
    return None
