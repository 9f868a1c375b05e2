"""Whether the data can carry a verdict at all: accounts that balance, features that were served, coverage."""

from __future__ import annotations

from gnomon_diff.comparison import Comparison
from gnomon_diff.settings import Policy

SKEWED_MIN = 3
"""Requests of the noise sample that must show skew before a share of them means anything."""


def invalid_because(comparison: Comparison, policy: Policy) -> list[str]:
    """Why the data cannot carry a verdict, in words that say what to mend; empty where it can."""
    accounts, coverage = comparison.accounts, comparison.coverage
    if not accounts.rows:
        return ["there are no pairs: replay some traffic first (`gnomon replay`)"]
    reasons = []
    if accounts.missing is None:
        reasons.append(
            "some mirrored records are not in the log, and the traffic cannot be read to tell whether they are "
            "pending: make it reachable, then ask again"
        )
    elif accounts.missing > policy.missing.max_frac * accounts.mirrored:
        reasons.append(
            f"{accounts.missing} of {accounts.mirrored} mirrored records are unaccounted for: find them before "
            "reading anything below"
        )
    reasons += [
        f"the accounts do not balance: {line.name}, {line.left} against {line.right}"
        for line in accounts.balances
        if line.balanced is False
    ]
    if accounts.seen is None and policy.require_ledger:
        reasons.append("the traffic has no ledger, and the policy requires one")
    if coverage.frac is not None and coverage.frac < policy.coverage.min_frac:
        reasons.append(
            f"only {coverage.frac:.1%} of the traffic is in the log; the policy asks for "
            f"{policy.coverage.min_frac:.0%}"
        )
    disagreement = comparison.disagreement
    skew = disagreement.skew
    if skew is not None and skew > policy.skew.max and skew * disagreement.noise_n >= SKEWED_MIN:
        reasons.append(
            f"the primary, run again, differs from what it served on {skew:.1%} of requests more than from "
            f"itself (limit {policy.skew.max:.1%}): the captured features are not those it saw"
        )
    return reasons
