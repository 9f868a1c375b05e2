"""Whether the search for slices finds what is there, and how often it reports what is not.

python bench/slices.py [--seeds 200] [--only none edge pair triple]

Each seed makes 28 days of traffic and goes through binning, search and test as a comparison does. Requests depend
on each other: a day's weather multiplies how often the models differ and moves one of the features, and 800 keys,
a few of them heavy (Pareto), carry two features and their own multiplier. Both models are noisy: they disagree
with themselves, and the noise floor is known from a sample of 5 % only. The limit is 5 points above it.

- `none`: the models differ on 1.5 % of requests; two single values are decoys at 4.5 %, within the limit.
- `edge`: everything differs exactly as often as the limit allows, so that whatever is confirmed is false.
- `pair`: 2 % of the traffic, where one carrier meets one range of distance, differs by 30 points; elsewhere
  that carrier does not differ at all, so that no single value stands out beside the decoys.
- `triple`: 2 % of the traffic, where a carrier of two, an evening hour and a weight meet, differs by 30 points.

A confirmed slice is false if the models differ on it, on average over days and keys like these, by no more than
the limit. The planted one is found if a confirmed slice shares at least half of the union of both.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from gnomon_diff.binning import ask_bins
from gnomon_diff.columns import Column
from gnomon_diff.comparison import SliceSearch
from gnomon_diff.daysums import ask_days
from gnomon_diff.disagreement import disagreement
from gnomon_diff.questions import Questions
from gnomon_diff.settings import Excess, Policy
from gnomon_diff.slices import ALPHA, ask_slices
from gnomon_diff.window import Window

DAYS, PER_DAY, KEYS, LIMIT, NOISE_FRAC = 28, 3000, 800, 0.05, 0.05
PRIMARY_NOISE, CANDIDATE_NOISE = 0.02, 0.005  # how often a run gives another answer
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
SCENARIOS = ("none", "edge", "pair", "triple")
FEATURES = {
    "carrier": "VARCHAR",
    "region": "VARCHAR",
    "device": "VARCHAR",
    "hour": "DOUBLE",
    "distance": "DOUBLE",
    "wind": "DOUBLE",
    "weight_kg": "DOUBLE",
    "express": "BOOLEAN",
}
POLICY = Policy(disagreement=Excess(max_excess=LIMIT))

Mask = np.ndarray


@dataclass(frozen=True)
class Traffic:
    """Made-up pairs.

    Attributes:
        pairs: as the view has them.
        excess: of each request, its expected disagreement above the noise floor, over days and keys like these.
        of_these_keys: the same over days like these, the keys being what they are.
        planted: the requests of the planted slice; none in `none` and `edge`.
    """

    pairs: pa.Table
    excess: np.ndarray
    of_these_keys: np.ndarray
    planted: Mask


@dataclass(frozen=True)
class Outcome:
    """What one seed came to: confirmed slices, false ones among them, the planted one found."""

    proposed: int
    confirmed: int
    false: int
    false_of_these_keys: int
    found: bool
    best_single: float


def traffic(scenario: str, seed: int) -> Traffic:
    """28 days of requests; see above."""
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    n = DAYS * PER_DAY
    seconds = np.sort(rng.uniform(0, DAYS * 86_400, n))
    day, hour = (seconds // 86_400).astype(int), np.floor(seconds % 86_400 / 3600)
    activity = rng.pareto(1.5, KEYS) + 0.2
    key = rng.choice(KEYS, n, p=activity / activity.sum())
    weather = rng.lognormal(-(0.6**2) / 2, 0.6, DAYS)[day]
    temper = rng.lognormal(-(0.7**2) / 2, 0.7, KEYS)[key]
    carrier = rng.choice([f"C{i}" for i in range(8)], n, p=[0.2, 0.12, 0.13, 0.15, 0.1, 0.1, 0.12, 0.08])
    region = np.array([f"R{i}" for i in range(6)])[rng.integers(0, 6, KEYS)][key]
    device = np.array(["ios", "android", "web"])[rng.integers(0, 3, KEYS)][key]
    distance = np.round(rng.lognormal(6.2, 0.8, n))
    wind = np.round(np.abs(rng.normal(6, 3, DAYS)[day] + rng.normal(0, 2, n)), 1)
    weight_kg = np.where(rng.random(n) < 0.05, np.nan, np.round(rng.gamma(4, 10, n), 1))
    express = rng.random(n) < 0.15

    floor = PRIMARY_NOISE * (1 - PRIMARY_NOISE) + CANDIDATE_NOISE * (1 - CANDIDATE_NOISE)
    mixed = PRIMARY_NOISE * (1 - CANDIDATE_NOISE) + CANDIDATE_NOISE * (1 - PRIMARY_NOISE)
    differ = np.full(n, 0.015)
    differ[(carrier == "C6") | express] = 0.045  # the decoys: within the limit, the top of any GROUP BY
    planted = np.zeros(n, bool)
    if scenario == "edge":
        differ[:] = (LIMIT + floor - mixed) / (1 - 2 * mixed)
    elif scenario == "pair":
        planted = (carrier == "C1") & (distance >= 300) & (distance < 460)
        differ[carrier == "C1"] = 0.0
    elif scenario == "triple":
        planted = np.isin(carrier, ["C1", "C2"]) & (hour >= 17) & (hour < 24) & (weight_kg >= 48)
    differ[planted] = 0.3
    # Over days and keys the multipliers average 1; on planted requests they would exceed a probability.
    chance = np.where(planted, differ, np.minimum(differ * weather * temper, 0.9))

    truth = rng.random(n) < 0.3
    moved = truth ^ (rng.random(n) < chance)
    served, a, again = (truth ^ (rng.random(n) < PRIMARY_NOISE) for _ in range(3))
    c, c_again = (moved ^ (rng.random(n) < CANDIDATE_NOISE) for _ in range(2))
    sampled = rng.random(n) < NOISE_FRAC
    table = pa.table(
        {
            "request_id": [f"q{index}" for index in range(n)],
            "key": [f"k{index}" for index in key],
            "ts": pa.array((seconds * 1e6).astype(np.int64) + int(START.timestamp() * 1e6), pa.timestamp("us", "UTC")),
            "weight": np.ones(n),
            "noise_frac": np.full(n, NOISE_FRAC),
            "disagrees": served != c,
            "noise": pa.array(((a != again).astype(float) + (c != c_again)) / 2, mask=~sampled),
            "skew": pa.array((served != a).astype(int) - (a != again), mask=~sampled),
            "carrier": carrier,
            "region": region,
            "device": device,
            "hour": hour,
            "distance": distance,
            "wind": wind,
            "weight_kg": weight_kg,
            "express": express,
        }
    )  # fmt: skip
    over_days = np.where(planted, differ, np.minimum(differ * temper, 0.9))
    excess, of_these_keys = (mixed + share * (1 - 2 * mixed) - floor for share in (differ, over_days))
    return Traffic(table, excess, of_these_keys, planted)


def searched(made: Traffic) -> tuple[SliceSearch, list[Mask]]:
    """The search and test as a comparison runs them, and the rows of each slice."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("made", made.pairs)
        connection.execute(
            "CREATE TABLE pairs AS SELECT *, NULL AS candidate_error, NULL AS served_error, false AS "
            "candidate_critical, 'x' AS candidate_label, 'x' AS served_label FROM made"
        )
        connection.execute("CREATE TABLE labels (request_id VARCHAR, label VARCHAR)")
        questions = Questions(connection, Path("."))
        questions.about(pairs="pairs", weight="1")
        columns = [Column(name, kind, name, "", f"features.{name}") for name, kind in FEATURES.items()]
        window = Window(START, START + datetime.timedelta(days=DAYS))
        sums = ask_days(questions, window, [])
        found = disagreement(sums)
        bins = ask_bins(questions, columns, made.pairs.num_rows)
        search = ask_slices(questions, bins, window, sums, found, POLICY)
        masks = [
            connection.sql(f"SELECT coalesce({one.predicate}, false) AS inside FROM made").fetchnumpy()[
                "inside"
            ]
            for one in search.slices
        ]
    return search, [np.asarray(mask, bool) for mask in masks]


def outcome(made: Traffic) -> Outcome:
    """One seed's."""
    search, masks = searched(made)
    confirmed = [mask for one, mask in zip(search.slices, masks, strict=True) if one.confirmed]
    flips = made.pairs["disagrees"].to_numpy().astype(float)
    return Outcome(
        proposed=search.proposed,
        confirmed=len(confirmed),
        false=sum(made.excess[mask].mean() <= LIMIT + 1e-9 for mask in confirmed),
        false_of_these_keys=sum(made.of_these_keys[mask].mean() <= LIMIT + 1e-9 for mask in confirmed),
        found=any(shared(mask, made.planted) >= 0.5 for mask in confirmed),
        best_single=best_single(made, flips),
    )


def shared(one: Mask, other: Mask) -> float:
    """Rows of both over rows of either."""
    either = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / either) if either else 0.0


def best_single(made: Traffic, flips: np.ndarray) -> float:
    """How much of the planted slice the top of the GROUP BYs by one feature's value shares with it."""
    best, top = -1.0, np.zeros(len(flips), bool)
    for name in FEATURES:
        column = made.pairs[name].to_numpy(zero_copy_only=False)
        if column.dtype.kind == "f":
            column = np.searchsorted(np.nanquantile(column, np.arange(1, 8) / 8), column, side="right")
        for value in np.unique(column):
            mask = column == value
            if mask.mean() >= 0.005 and flips[mask].mean() > best:
                best, top = flips[mask].mean(), mask
    return shared(top, made.planted)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    options = parser.parse_args(arguments)
    print(
        f"{options.seeds} seeds, {DAYS} days of {PER_DAY} requests, false discovery rate aimed at {ALPHA:g}"
    )
    print(
        "scenario  proposed  confirmed  any false  FDR    FDR of these keys  found  top GROUP BY is it  CPU s"
    )
    for scenario in options.only:
        before = time.process_time()
        outcomes = [outcome(traffic(scenario, seed)) for seed in range(options.seeds)]
        rate, of_these = (
            np.mean([false / max(one.confirmed, 1) for one, false in zip(outcomes, falses, strict=True)])
            for falses in ([one.false for one in outcomes], [one.false_of_these_keys for one in outcomes])
        )
        print(
            f"{scenario:8} {np.mean([one.proposed for one in outcomes]):9.1f}"
            f" {np.mean([one.confirmed for one in outcomes]):10.2f}"
            f" {np.mean([one.false > 0 for one in outcomes]):10.3f}   {rate:.4f} {of_these:18.4f}"
            f" {np.mean([one.found for one in outcomes]):6.3f}"
            f" {np.mean([one.best_single >= 0.5 for one in outcomes]):19.3f}"
            f" {(time.process_time() - before) / options.seeds:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
