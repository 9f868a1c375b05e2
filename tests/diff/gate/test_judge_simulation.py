"""Seeded simulations through `judge` itself: how often it decides wrongly at the limit, and how often at all.

Expected figures are those of statistics_dependence.md (by day 28-30, alpha .05), with three standard errors of
this many runs. bench/gate.py runs the same at full size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gnomon_diff import judge
from gnomon_diff.settings import ErrorRate, Excess, Policy, RawDisagreement, Segments

LOOKS, PER_DAY, RATE, LIMIT = (14, 21, 28), 900, 0.05, 0.05
RAW = Policy(disagreement_raw=RawDisagreement(max=LIMIT), segments=Segments(by=()))
EXCESS = Policy(disagreement=Excess(max_excess=LIMIT), segments=Segments(by=()))


def day_effects(rng: np.random.Generator, deff: float, *, rate: float = RATE, days: int = 28) -> np.ndarray:
    """Lognormal factors of daily rates, of mean 1, with that design effect at PER_DAY requests."""
    sigma2 = math.log1p((deff - 1) * (1 - rate) / (rate * PER_DAY))
    return np.exp(math.sqrt(sigma2) * rng.standard_normal(days) - sigma2 / 2)


def outcome(
    gate: Any, policy: Policy, sums: dict[str, np.ndarray], noise: Any = None
) -> tuple[int | None, int | None]:
    """The look that first promoted, and the day that rejected, of a run of 28 days that is asked every day."""
    days = gate.days(28, **sums)
    promoted = rejected = None
    for look in LOOKS:
        so_far = {} if noise is None else noise(look)
        verdict = judge(
            gate.comparison(days[:look], disagreement=so_far), policy
        )  # REJECT is recomputed from day 1
        assert verdict.verdict != "INVALID"
        if verdict.verdict == "REJECT":
            return promoted, verdict.look
        if verdict.verdict == "PROMOTE":
            promoted = promoted or look
    return promoted, rejected


def runs(
    gate: Any, policy: Policy, seed: int, n: int, deff: float, rate: float = RATE
) -> tuple[np.ndarray, np.ndarray]:
    """Looks that promoted and days that rejected (inf: none), where answers differ at `rate`."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        pairs = rng.poisson(PER_DAY, 28)
        rates = np.minimum(rate * day_effects(rng, deff), 1)
        found.append(outcome(gate, policy, {"pairs": pairs, "flags": rng.binomial(pairs, rates)}))
    promoted, rejected = np.array([[math.inf if at is None else at for at in run] for run in found]).T
    return promoted, rejected


def at_most(share: float, n: int) -> float:
    """The note's share and three standard errors of n runs."""
    return share + 3 * math.sqrt(share * (1 - share) / n)


def test_at_the_limit_the_gate_seldom_decides(gate: Any) -> None:
    """Design effect 27: the note has false PROMOTE .008, false REJECT .005."""
    n = 300
    promoted, rejected = runs(gate, RAW, 1, n, deff=27)
    assert np.isfinite(promoted).mean() <= at_most(0.008, n)
    assert np.isfinite(rejected).mean() <= at_most(0.006, n)


def test_at_the_limit_independent_requests_never_promote_it(gate: Any) -> None:
    """Design effect 1: 0 and .010."""
    n = 200
    promoted, rejected = runs(gate, RAW, 2, n, deff=1)
    assert not np.isfinite(promoted).any()
    assert np.isfinite(rejected).mean() <= at_most(0.011, n)


def test_at_a_quarter_of_the_limit_it_promotes_by_day_14(gate: Any) -> None:
    """The note: .97 to 1 everywhere."""
    for policy in (RAW, EXCESS):
        promoted, rejected = runs(gate, policy, 3, 100, deff=27, rate=RATE / 4)
        assert (promoted == 14).mean() >= 0.90
        assert not np.isfinite(rejected).any()


def test_at_twice_the_limit_it_rejects_within_weeks(gate: Any) -> None:
    """Design effect 27: median 11 days, 90 % 18."""
    promoted, rejected = runs(gate, RAW, 4, 100, deff=27, rate=2 * RATE)
    assert not np.isfinite(promoted).any()
    assert 9 <= np.median(rejected) <= 13
    assert np.quantile(rejected, 0.9) <= 22


def test_errors_at_the_relative_limit_are_seldom_within_or_beyond(gate: Any) -> None:
    """Paired, each day's errors rising and falling together, so that their difference is nearly normal: REJECT is
    by E_t alone, and errs by up to alpha there."""
    rng = np.random.default_rng(5)
    policy = Policy(error_rate=ErrorRate(max_increase_rel=0.25))
    n, found = 200, []
    for _ in range(n):
        pairs = rng.poisson(PER_DAY, 28)
        rates = np.minimum(0.1 * day_effects(rng, 11, rate=0.1), 0.7)
        primary, candidate = rng.binomial(pairs, rates), rng.binomial(pairs, np.minimum(1.25 * rates, 1))
        found.append(
            outcome(gate, policy, {"pairs": pairs, "primary_errors": primary, "candidate_errors": candidate})
        )
    promoted, rejected = np.array([[at is not None for at in run] for run in found]).T
    assert promoted.mean() <= at_most(0.026, n)
    assert rejected.mean() <= at_most(0.05, n)


def stochastic(rng: np.random.Generator, noise_frac: float = 0.05) -> tuple[dict[str, np.ndarray], Any]:
    """A primary that is never the same, as its own candidate: what users got and four runs of each request.

    f = ((A ≠ A') + (C ≠ C'))/2 + (S ≠ A) − (A ≠ A') on the noise sample, as in the contract.
    """
    n = rng.poisson(PER_DAY, 28)
    day = np.repeat(np.arange(28), n)
    chance = rng.beta(0.05, 0.2, len(day))  # of the answer "late"; a tenth of all pairs of runs differ
    s, a, a_again, c, c_again = rng.random((5, len(day))) < chance
    noise = ((a != a_again).astype(float) + (c != c_again)) / 2
    skew = (s != a).astype(float) - (a != a_again)
    sampled = rng.random(len(day)) < noise_frac

    def by_day(values: np.ndarray) -> np.ndarray:
        return np.bincount(day, values, minlength=28)

    def upto(look: int) -> dict[str, float]:
        some = sampled & (day < look)
        return {
            "noise_n": int(some.sum()),
            "noise": float(noise[some].mean()),
            "skew": float(skew[some].mean()),
        }

    sums = {
        "pairs": n,
        "flags": by_day(s != c),
        "noise_rows": by_day(sampled),
        "noise_total": by_day(sampled * (noise + skew)) / noise_frac,
    }
    return sums, upto


def test_a_stochastic_primary_against_itself_ends_in_promote_or_hold(gate: Any) -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(120):
        sums, upto = stochastic(rng)
        assert sums["flags"].sum() / sums["pairs"].sum() > 0.05  # raw disagreement is beyond the limit
        found.append(outcome(gate, EXCESS, sums, upto))
    promoted, rejected = np.array([[math.inf if at is None else at for at in run] for run in found]).T
    assert not np.isfinite(rejected).any()
    assert (
        np.isfinite(promoted).mean() >= 0.9
    )  # the rest waits: skew within chance, but over its limit so far
