"""What makes the data unable to carry a verdict, and what merely holds it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from gnomon_diff import judge
from gnomon_diff.comparison import Balance
from gnomon_diff.settings import Coverage, Excess, Missing, Policy, Segments, Skew

POLICY = Policy(disagreement=Excess(max_excess=0.05), segments=Segments(by=()))


def sound(gate: Any, **changes: Any) -> Any:
    return gate.comparison(gate.days(14, flags=[9, 11] * 7), **changes)


def test_sound_data_carry_a_verdict(gate: Any) -> None:
    assert judge(sound(gate), POLICY).verdict == "PROMOTE"


def test_an_empty_log_says_what_to_do(gate: Any) -> None:
    assert judge(gate.empty, POLICY).reason == (
        "No verdict: there is no data yet: `gnomon replay` reads the traffic and fills the log."
    )


@pytest.mark.parametrize(
    ("missing", "allowed", "verdict"),
    [(0, 0, "PROMOTE"), (1, 0, "INVALID"), (14, 0.001, "PROMOTE"), (15, 0.001, "INVALID")],
)
def test_what_is_missing_of_the_mirrored_records_is_invalid_beyond_what_is_allowed(
    gate: Any, missing: int, allowed: float, verdict: str
) -> None:
    policy = msgspec.structs.replace(POLICY, missing=Missing(max_frac=allowed))
    found = judge(sound(gate, accounts={"missing": missing}), policy)
    assert found.verdict == verdict
    if verdict == "INVALID":
        assert found.reason == (
            f"No verdict: {missing} of 14,000 mirrored records are unaccounted for: find them before reading "
            "anything below."
        )


def test_what_may_be_missing_or_pending_is_invalid_until_the_traffic_can_be_read(gate: Any) -> None:
    verdict = judge(sound(gate, accounts={"missing": None, "pending": None}), POLICY)
    assert verdict.verdict == "INVALID"
    assert "the traffic cannot be read" in verdict.reason


def test_a_line_that_does_not_balance_is_invalid_and_one_that_cannot_be_known_is_not(gate: Any) -> None:
    known = Balance(name="rows", left=14_100, right=14_000, balanced=False, reason=None)
    unknown = Balance(name="seen", left=None, right=None, balanced=None, reason="no ledger")
    assert judge(sound(gate, accounts={"balances": [unknown]}), POLICY).verdict == "PROMOTE"
    verdict = judge(sound(gate, accounts={"balances": [unknown, known]}), POLICY)
    assert (verdict.verdict, verdict.reason) == (
        "INVALID",
        "No verdict: the accounts do not balance: rows, 14,100 against 14,000.",
    )


@pytest.mark.parametrize(
    ("frac", "verdict"), [(None, "PROMOTE"), (1.0, "PROMOTE"), (0.9, "PROMOTE"), (0.899, "INVALID")]
)
def test_too_little_of_the_traffic_is_invalid(gate: Any, frac: float | None, verdict: str) -> None:
    coverage = msgspec.structs.replace(gate.empty.coverage, frac=frac)
    found = judge(sound(gate, coverage=coverage, accounts={"pending": 1500}), POLICY)
    assert found.verdict == verdict
    if verdict == "INVALID":
        assert found.reason == (
            "No verdict: only 89.9% of the traffic is in the log, of at least 90%: 1,500 are pending, "
            "`gnomon replay` reads them."
        )
    assert judge(
        sound(gate, coverage=coverage), msgspec.structs.replace(POLICY, coverage=Coverage(min_frac=0))
    ).verdict == ("PROMOTE")


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ({"seen": None}, "the traffic has none"),
        ({"seen": 14_000, "without_ledger": ["web-1", "web-2"]}, "none came from web-1, web-2"),
        ({"seen": 14_000, "unnumbered": 1}, "1 pair came from producers that do not number their records"),
        ({"seen": 14_000}, None),
    ],
)
def test_a_policy_may_require_that_everything_has_a_ledger(
    gate: Any, accounts: Any, words: str | None
) -> None:
    comparison = sound(gate, accounts=accounts)
    assert judge(comparison, POLICY).verdict == "PROMOTE"
    verdict = judge(comparison, msgspec.structs.replace(POLICY, require_ledger=True))
    assert verdict.verdict == ("PROMOTE" if words is None else "INVALID")
    if words is not None:
        assert verdict.reason == f"No verdict: the policy requires a ledger, and {words}."


# ---- serving skew ----


def test_skew_beyond_chance_is_invalid(gate: Any) -> None:
    """A primary that never differs from itself, and from what it served on 31 of 700."""
    verdict = judge(sound(gate, disagreement={"skew": 31 / 700, "noise": 0.0, "noise_n": 700}), POLICY)
    assert verdict.verdict == "INVALID"
    assert verdict.reason == (
        "No verdict: the primary, run again, differs from what it served on 4.43% of 700 requests more than from "
        "itself, of at most 1%: the captured features are not those it saw."
    )


def test_skew_over_its_limit_that_may_be_chance_holds(gate: Any) -> None:
    verdict = judge(sound(gate, disagreement={"skew": 9 / 700, "noise": 0.0, "noise_n": 700}), POLICY)
    assert verdict.verdict == "HOLD"
    assert verdict.reason == (
        "Not yet: the primary, run again, differs from what it served on 1.29% of 700 requests more than from "
        "itself, of at most 1%; that may be chance, and more pairs will tell."
    )
    assert judge(sound(gate, disagreement={"skew": 7 / 700, "noise_n": 700}), POLICY).verdict == "PROMOTE"
    higher = msgspec.structs.replace(POLICY, skew=Skew(max=0.02))
    assert judge(sound(gate, disagreement={"skew": 9 / 700, "noise_n": 700}), higher).verdict == "PROMOTE"


def test_a_primary_that_is_never_the_same_is_seldom_taken_for_skewed(gate: Any) -> None:
    """S, A, A' are three runs of one stochastic primary: its skew is chance alone, 2.2 % (one sd) on 635 requests."""
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(400):
        served, again, twice = rng.random((3, 635)) < 0.2
        skew = float(np.mean((served != again).astype(int) - (again != twice)))
        noise = float(np.mean(again != twice)) / 2
        disagreement = {"skew": skew, "noise": noise, "noise_n": 635}
        outcomes.append(judge(sound(gate, disagreement=disagreement), POLICY).verdict)
    assert outcomes.count("INVALID") <= 3  # of 400, at .001
    assert outcomes.count("PROMOTE") > 200


def test_several_reasons_stand_in_one_sentence(gate: Any) -> None:
    coverage = msgspec.structs.replace(gate.empty.coverage, frac=0.5)
    reason = judge(sound(gate, accounts={"missing": 2}, coverage=coverage), POLICY).reason
    assert reason == (
        "No verdict: 2 of 14,000 mirrored records are unaccounted for: find them before reading anything below; only 50% "
        "of the traffic is in the log, of at least 90%."
    )
