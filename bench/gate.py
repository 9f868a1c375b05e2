"""What the gate decides, and what asking it costs: `judge` on made-up days, many times.

python bench/gate.py [--runs 1000]

Days are drawn as in the statistics notes: about 900 requests each, a lognormal effect of the day on the rate,
so that the design effect by day is 1 (independent requests) to 27 (the flights), or days that remember the day
before (AR). The limit is 5 %; the true rate is at the limit, at a half and a quarter of it, and at twice. A
run has 28 days and is asked after each; the table has the share of runs promoted and rejected by day 14, 21
and 28. At the limit both are errors, and the notes' figures by day 30 stand beside them. A primary that is
never the same, as its own candidate, must not be rejected.
"""

from __future__ import annotations

import argparse
import datetime
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from gnomon_diff import compare, judge
from gnomon_diff.comparison import Comparison, Day, Latency, SegmentKey
from gnomon_diff.settings import (
    Accuracy,
    Critical,
    ErrorRate,
    Excess,
    LatencyP95,
    Policy,
    RawDisagreement,
    Segments,
)
from gnomon_replay.settings import Experiment

DAYS, LOOKS, PER_DAY, LIMIT, NOISE_FRAC = 28, (14, 21, 28), 900, 0.05, 0.05
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
WHOLE = Segments(by=())
RAW = Policy(disagreement_raw=RawDisagreement(max=LIMIT), segments=WHOLE)
EXCESS = Policy(disagreement=Excess(max_excess=LIMIT), segments=WHOLE)
RATIO = Policy(error_rate=ErrorRate(max_increase_rel=0.25))
NO_SUMS = {
    field.name: 0.0
    for field in msgspec.structs.fields(Day)
    if field.name not in ("start", "segment", "whole", "critical_errors")
}

Sums = dict[str, np.ndarray]
Run = tuple[Sums, Callable[[int], dict[str, Any]]]  # the sums by day, and what else is known by a day


def day_rows(sums: Sums, segment: SegmentKey | None = None) -> list[Day]:
    """Whole days with these sums."""
    columns = [
        dict(zip(sums, map(float, values), strict=True)) for values in zip(*sums.values(), strict=True)
    ]
    return [
        Day(
            start=START + datetime.timedelta(days=index),
            segment=segment,
            whole=True,
            critical_errors=0,
            **NO_SUMS | column,
        )
        for index, column in enumerate(columns)
    ]


def comparison(empty: Comparison, days: list[Day], **disagreement: Any) -> Comparison:
    """A sound comparison with these days."""
    pairs = round(sum(day.pairs for day in days if day.segment is None))
    return msgspec.structs.replace(
        empty,
        days=days,
        accounts=msgspec.structs.replace(
            empty.accounts, mirrored=pairs, paired=pairs, predicted=pairs, rows=pairs
        ),
        disagreement=msgspec.structs.replace(empty.disagreement, **disagreement),
    )


def effects(rng: np.random.Generator, deff: float, rate: float, ar: float = 0.0) -> np.ndarray:
    """Factors of daily rates, of mean 1, that make for that design effect where the rate is `rate`."""
    sigma2 = math.log1p((deff - 1) * (1 - rate) / (rate * PER_DAY))
    z = rng.standard_normal(DAYS)
    for day in range(1, DAYS):
        z[day] = ar * z[day - 1] + math.sqrt(1 - ar * ar) * z[day]
    return np.exp(math.sqrt(sigma2) * z - sigma2 / 2)


def nothing_else(_: int) -> dict[str, Any]:
    return {}


def flags(rng: np.random.Generator, *, rate: float, deff: float, ar: float = 0.0) -> Run:
    """Requests, of which a share near `rate` is flagged."""
    pairs = rng.poisson(PER_DAY, DAYS)
    flagged = rng.binomial(pairs, np.minimum(rate * effects(rng, deff, LIMIT, ar), 1))
    return {"pairs": pairs, "rows": pairs, "flags": flagged, "noise_rows": pairs * NOISE_FRAC}, nothing_else


def errors(rng: np.random.Generator, *, ratio: float, deff: float) -> Run:
    """A tenth of all requests fail, of the candidate's `ratio` times as many, on the same days."""
    pairs = rng.poisson(PER_DAY, DAYS)
    rates = np.minimum(0.1 * effects(rng, deff, 0.1), 0.7)
    return {
        "pairs": pairs,
        "primary_errors": rng.binomial(pairs, rates),
        "candidate_errors": rng.binomial(pairs, np.minimum(ratio * rates, 1)),
    }, nothing_else


def stochastic(rng: np.random.Generator) -> Run:
    """A primary two runs of which differ on 6 % of requests, against itself; f as in the contract."""
    pairs = rng.poisson(PER_DAY, DAYS)
    day = np.repeat(np.arange(DAYS), pairs)
    chance = rng.beta(0.05, 0.2, len(day))
    s, a, a_again, c, c_again = rng.random((5, len(day))) < chance
    noise = ((a != a_again).astype(float) + (c != c_again)) / 2
    skew = (s != a).astype(float) - (a != a_again)
    sampled = rng.random(len(day)) < NOISE_FRAC

    def upto(look: int) -> dict[str, Any]:
        some = sampled & (day < look)
        return {
            "noise_n": int(some.sum()),
            "noise": float(noise[some].mean()),
            "skew": float(skew[some].mean()),
        }

    return {
        "pairs": pairs,
        "rows": pairs,
        "flags": np.bincount(day, s != c, DAYS),
        "noise_rows": np.bincount(day, sampled, DAYS),
        "noise_total": np.bincount(day, sampled * (noise + skew), DAYS) / NOISE_FRAC,
    }, upto


def outcomes(empty: Comparison, policy: Policy, runs: Iterator[Run]) -> np.ndarray:
    """The day that promoted, the day that rejected and whether it was ever INVALID: a row a run, inf for never."""
    found = []
    for sums, upto in runs:
        days = day_rows(sums)
        promoted = rejected = invalid = math.inf
        for look in LOOKS:  # REJECT is recomputed for every day by then
            verdict = judge(comparison(empty, days[:look], **upto(look)), policy)
            if verdict.verdict == "PROMOTE":
                promoted = min(promoted, look)
            if verdict.verdict == "INVALID":
                invalid = look
            if verdict.verdict == "REJECT":
                rejected = verdict.look or look
                break
        found.append((promoted, rejected, invalid))
    return np.array(found)


def decisions(empty: Comparison, runs: int) -> None:
    """Prints how often each kind of traffic is promoted and rejected."""
    worlds: list[tuple[str, Policy, Callable[[np.random.Generator], Run], str]] = []
    for name, more, note in (
        ("iid", {"deff": 1}, "0 / .010"),
        ("deff 5", {"deff": 5}, ".0001 / .005"),
        ("deff 27", {"deff": 27}, ".008 / .006"),
        ("deff 27, AR .3", {"deff": 27, "ar": 0.3}, ".036 / .034"),
    ):
        for share, at in ((1, "the limit"), (0.5, "half"), (0.25, "a quarter"), (2, "twice")):
            worlds.append(
                (
                    f"{name}, at {at}",
                    RAW,
                    lambda rng, m=more, s=share: flags(rng, rate=LIMIT * s, **m),
                    note if share == 1 else "",
                )
            )
    worlds.append(
        ("deff 27, E_t alone, at the limit", EXCESS, lambda rng: flags(rng, rate=LIMIT, deff=27), "")
    )
    worlds.append(("error ratio, at the limit", RATIO, lambda rng: errors(rng, ratio=1.25, deff=11), ""))
    worlds.append(("error ratio 1, limit 1.25", RATIO, lambda rng: errors(rng, ratio=1.0, deff=11), ""))
    worlds.append(("stochastic primary against itself", EXCESS, stochastic, ""))
    print(
        f"{runs} runs of {DAYS} days, alpha .05; standard error at .05: {math.sqrt(0.05 * 0.95 / runs):.4f}"
    )
    print(
        f"{'':38}promoted by 14    21    28   rejected by 14    21    28  invalid  median day  note: false P / R"
    )
    for seed, (name, policy, draw, note) in enumerate(worlds):
        rng = np.random.default_rng([seed, runs])
        found = outcomes(empty, policy, (draw(rng) for _ in range(runs)))
        promoted, rejected = (
            [f"{(found[:, column] <= day).mean():6.4f}" for day in LOOKS] for column in (0, 1)
        )
        decided = found[:, :2].min(axis=1)
        median = f"{np.median(decided):.0f}" if np.isfinite(np.median(decided)) else "-"
        invalid = np.isfinite(found[:, 2]).mean()
        print(
            f"{name:38}      {' '.join(promoted)}        {' '.join(rejected)}   {invalid:6.4f}  {median:>10}  {note}",
            flush=True,
        )


def cost(empty: Comparison) -> None:
    """Prints the CPU time of one call."""
    rng = np.random.default_rng(1)
    policy = Policy(
        disagreement=Excess(max_excess=LIMIT),
        error_rate=ErrorRate(max_increase_rel=0.05, max_increase_abs=0.001),
        latency_p95=LatencyP95(max_increase_rel=0.5),
        accuracy=Accuracy(max_decrease_rel=0.1),
        critical_errors=Critical(),
        segments=Segments(min_segment_frac=0),
    )
    print("\nCPU of one call of judge, all criteria by day and segment")
    for segments, days, timed in ((0, 20, 0), (50, 20, 0), (50, 28, 20_000), (1000, 28, 0)):
        rows = []
        for number in range(segments):
            pairs = rng.poisson(200, days)
            key = SegmentKey(feature="features.carrier", kind="value", value=f"{number}")
            rows.append(
                (
                    key,
                    {
                        "pairs": pairs,
                        "rows": pairs,
                        "flags": rng.binomial(pairs, 0.02),
                        "noise_rows": pairs / 20,
                    },
                )
            )
        pairs = rng.poisson(200 * max(segments, 5), days)
        sums = {
            "pairs": pairs,
            "rows": pairs,
            "flags": rng.binomial(pairs, 0.02),
            "noise_rows": pairs / 20,
            "candidate_errors": rng.binomial(pairs, 0.002),
            "primary_errors": rng.binomial(pairs, 0.002),
        }
        found = comparison(
            empty, [*day_rows(sums), *(day for key, own in rows for day in day_rows(own, key))]
        )
        times = np.exp(rng.normal(7, 0.5, (timed, 2))).round().astype(int)
        found = msgspec.structs.replace(found, latency=_latency(times) if timed else None)
        judge(found, policy)
        began = time.process_time()
        for _ in range(10):
            judge(found, policy)
        spent = (time.process_time() - began) / 10
        print(f"  {segments:5} segments x {days} days, {timed:6} timed requests  {1000 * spent:6.1f} ms")


def _latency(times: np.ndarray) -> Latency:
    return Latency(
        n=len(times),
        threads=1,
        quantiles=[],
        pairs_us=[(int(primary), int(candidate)) for primary, candidate in times],
        ratio_p95=1.0,
        ratio_low=None,
        ratio_high=None,
        reason=None,
        served_n=0,
        served_p95_us=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="how many runs of each kind of traffic")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(name="bench", task="binary", positive="late")
        empty = compare(
            Path(folder), experiment, RAW, candidate_version="3.3", candidate_digest="sha256:bench"
        )
    decisions(empty, args.runs)
    cost(empty)


if __name__ == "__main__":
    main()
