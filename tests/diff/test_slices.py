"""Slices through a comparison: their figures against pandas, their SQL through users' gate, and planted defects."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gnomon_diff import compare
from gnomon_diff.comparison import Comparison, SliceSearch, from_json, to_json
from gnomon_diff.evidence import DayCriterion, reject_log_e, rule_bounds
from gnomon_diff.settings import Excess, Policy, RawDisagreement, Segments
from gnomon_diff.sqlgate import query
from gnomon_replay.settings import Experiment

BENCH = Path(__file__).parents[2] / "bench" / "slices.py"
DIGEST = "sha256:candidate"
DAYS, PER_DAY, LIMIT = 29, 450, 0.04
NOISE_FRAC = 0.2


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_slices", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Four weeks in which one carrier on long routes differs; both models are noisy, keys heavy, weights two."""
    rng = np.random.default_rng(20260309)
    n = DAYS * PER_DAY
    ts = pd.Timestamp("2026-03-02T07:00:00", tz="UTC") + pd.to_timedelta(
        np.sort(rng.uniform(0, DAYS * 86_400, n)).round(3), unit="s"
    )
    frame = pd.DataFrame({"request_id": [f"r{index}" for index in range(n)], "ts": ts})
    activity = rng.pareto(1.5, 300) + 0.2
    key = rng.choice(300, n, p=activity / activity.sum())
    frame["key"] = pd.Series([f"k{index}" for index in key], dtype=object).where(rng.random(n) < 0.9, None)
    frame["weight"] = rng.choice([1.0, 2.0], n)
    frame["features.carrier"] = rng.choice(["AA", "it's", "MQ", None], n, p=[0.4, 0.35, 0.2, 0.05])
    frame["features.distance"] = np.round(rng.lognormal(6.2, 0.8, n)).astype(object)
    frame.loc[rng.random(n) < 0.03, "features.distance"] = float("nan")
    frame.loc[rng.random(n) < 0.03, "features.distance"] = None
    frame["attributes.carrier"] = frame["features.carrier"]  # a twin
    frame["attributes.region"] = np.array(["eu", "us"])[rng.integers(0, 2, 300)][key]
    weather = rng.lognormal(-0.18, 0.6, DAYS + 1)[(ts - ts[0]) // pd.Timedelta(days=1)]
    long = frame["features.distance"].astype(float) >= 500
    chance = np.minimum(0.02 * weather, 0.9)
    chance[(frame["features.carrier"] == "MQ") & long] = 0.4
    label = rng.random(n) < 0.4
    moved = label ^ (rng.random(n) < chance)
    sampled = rng.random(n) < NOISE_FRAC
    for side, base, noise, there in (
        ("served", label, 0.02, np.ones(n, bool)),
        ("primary", label, 0.02, sampled),
        ("primary_again", label, 0.02, sampled),
        ("candidate", moved, 0.01, np.ones(n, bool)),
        ("candidate_again", moved, 0.01, sampled),
    ):
        labels = np.where(base ^ (rng.random(n) < noise), "late", "on time")
        frame[f"{side}_label"] = pd.Series(labels, dtype=object).where(there, None)
    frame["noise_frac"] = NOISE_FRAC
    return frame


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, write_log: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slices") / "trial"
    write_log(path, frame, features={"carrier": "string", "distance": "double"})
    return path


def compared(folder: Path, experiment: Experiment, policy: Policy, **more: Any) -> Comparison:
    now = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
    return compare(
        folder, experiment, policy, candidate_version="3.3", candidate_digest=DIGEST, now=now, **more
    )


EXCESS = Policy(disagreement=Excess(max_excess=LIMIT))


@pytest.fixture(scope="module")
def found(folder: Path, experiment: Experiment) -> Comparison:
    return compared(folder, experiment, EXCESS)


def searched(comparison: Comparison) -> SliceSearch:
    assert comparison.slices is not None
    return comparison.slices


def test_the_planted_slice_is_confirmed_and_the_only_one(found: Comparison) -> None:
    search = searched(found)
    confirmed = [one for one in search.slices if one.confirmed]
    assert [one.predicate for one in confirmed] == [
        "carrier = 'MQ' AND distance >= 500 AND NOT isnan(distance)"
    ]
    assert confirmed[0].lift is not None and confirmed[0].lift > 5
    assert search.test_days == 14 and search.measure == "excess" and search.limit == LIMIT
    assert search.proposed == len(search.slices)


def inside(frame: pd.DataFrame) -> pd.Series:
    return (frame["features.carrier"] == "MQ") & (frame["features.distance"].astype(float) >= 500)


def keys_left(folder: Path) -> set[str]:
    """Keys of the half that is left for the test, which md5 of the key decides."""
    rows = query(
        folder,
        "SELECT DISTINCT coalesce(key, request_id) AS k FROM pairs "
        "WHERE md5('slices:' || coalesce(key, request_id)) >= '8'",
    )
    return set(rows["k"].to_pylist())


def test_its_figures_are_what_pandas_counts(found: Comparison, frame: pd.DataFrame, folder: Path) -> None:
    one = searched(found).slices[0]
    rows = frame[inside(frame)]
    flips = rows["served_label"] != rows["candidate_label"]
    assert (one.n, one.flips) == (len(rows), flips.sum())
    rest = frame[~inside(frame)]
    rest_rate = (rest["served_label"] != rest["candidate_label"]).mean()
    assert one.lift == pytest.approx(flips.mean() / rest_rate)
    assert one.share == pytest.approx(len(rows) / len(frame))

    day_0 = pd.Timestamp("2026-03-02T08:00:00", tz="UTC")  # the first full hour
    day = (rows["ts"] - day_0) // pd.Timedelta(days=1)
    key = rows["key"].fillna(rows["request_id"])
    kept = key.isin(keys_left(folder)) & (day % 2 == 1) & day.between(0, 27)
    a, again, c, c_again = (
        rows[f"{side}_label"] for side in ("primary", "primary_again", "candidate", "candidate_again")
    )
    f = ((a != again).astype(float) + (c != c_again)) / 2
    f += (rows["served_label"] != a).astype(float) - (a != again)
    f = f.where(a.notna(), 0)
    weight = rows["weight"]
    sums = (
        pd.DataFrame({"rows": weight, "flags": weight * flips, "noise": weight * f / NOISE_FRAC, "day": day})[
            kept
        ]
        .groupby("day")
        .sum()
        .reindex(range(1, 28, 2), fill_value=0.0)
    )
    assert (one.test_n, one.test_flips) == (kept.sum(), flips[kept].sum())
    assert one.test_rate == pytest.approx(sums["flags"].sum() / sums["rows"].sum())
    excess = sums["flags"] - sums["noise"]
    assert one.excess == pytest.approx(excess.sum() / sums["rows"].sum())
    log_e = reject_log_e(DayCriterion.excess(LIMIT), excess, sums["rows"])[-1]
    assert one.log_e == pytest.approx(log_e)
    search = searched(found)
    assert log_e >= np.log(search.proposed / (search.alpha * 1))  # e-BH with one confirmed of K
    assert one.level == pytest.approx(1 - search.alpha * 1 / search.proposed)
    [bounds] = rule_bounds(DayCriterion.excess(0.5), excess, sums["rows"], alpha=1 - one.level)
    assert one.excess_low == pytest.approx(bounds.low)
    assert one.excess_low > LIMIT


def test_no_row_of_the_search_is_in_the_test(found: Comparison, folder: Path) -> None:
    sql = {one.figure: one.sql for one in found.queries}
    assert "md5('slices:' || coalesce(\"key\", request_id)) < '8'" in sql["searched"]
    assert "md5('slices:' || coalesce(\"key\", request_id)) >= '8'" in sql["slices"]
    days = sql["searched"].split("whole_day IN (")[1].split(")")[0].split(", ")
    assert [int(day) for day in days] == list(range(0, 28, 2))
    assert searched(found).searched_n + searched(found).test_n < found.disagreement.n / 1.8


def test_every_predicate_is_sql_that_users_may_run_and_counts_the_same(
    found: Comparison, folder: Path
) -> None:
    assert searched(found).slices
    for one in searched(found).slices:
        sql = f"SELECT count(*) AS n, count(*) FILTER (disagrees) AS flips FROM pairs WHERE {one.predicate}"
        assert query(folder, sql).to_pylist() == [{"n": one.n, "flips": one.flips}]


def test_an_attribute_that_repeats_a_feature_is_not_searched_twice(found: Comparison) -> None:
    assert all("attribute_carrier" not in one.predicate for one in searched(found).slices)
    assert {s.key.feature for s in found.segments} >= {"features.carrier", "attributes.carrier"}


def test_the_verdict_knows_nothing_of_them(found: Comparison, folder: Path, experiment: Experiment) -> None:
    plain = compared(folder, experiment, EXCESS, explain=False, examples=0)
    assert plain.slices is None
    assert plain.days == found.days
    assert not any(segment.judged for segment in found.segments if segment.key.kind == "range")
    kept = [segment for segment in found.segments if segment.key.feature != "features.distance"]
    assert kept == plain.segments


def test_a_comparison_with_slices_is_read_back_as_it_was_written(found: Comparison) -> None:
    assert from_json(to_json(found, None)).comparison == found


def test_without_a_noise_floor_the_rate_itself_is_tested(
    frame: pd.DataFrame, experiment: Experiment, write_log: Any, tmp_path: Path
) -> None:
    blind = frame.drop(columns=[name for name in frame if name.startswith(("primary", "candidate_again"))])
    folder = write_log(
        tmp_path / "trial",
        blind.assign(primary_digest=None),
        features={"carrier": "string", "distance": "double"},
    )
    search = searched(compared(folder, experiment, Policy(disagreement_raw=RawDisagreement(max=0.1))))
    assert (search.measure, search.limit) == ("rate", 0.1)
    first = search.slices[0]
    assert first.confirmed and first.excess is None and first.low is not None and first.low > 0.1


def test_segments_own_limit_comes_first(folder: Path, experiment: Experiment) -> None:
    policy = Policy(
        disagreement=Excess(max_excess=0.2),
        segments=Segments(by=("features.carrier",), disagreement=Excess(max_excess=0.03)),
    )
    assert searched(compared(folder, experiment, policy)).limit == 0.03


def test_before_fourteen_test_days_they_are_counted_and_not_tested(
    frame: pd.DataFrame, experiment: Experiment, write_log: Any, tmp_path: Path
) -> None:
    half = frame[frame["ts"] < frame["ts"].min() + pd.Timedelta(days=15)]
    folder = write_log(tmp_path / "trial", half, features={"carrier": "string", "distance": "double"})
    search = searched(compared(folder, experiment, EXCESS))
    assert search.test_days == 7
    assert search.slices[0].predicate.startswith("carrier = 'MQ' AND distance >= 500")
    for one in search.slices:
        assert (one.confirmed, one.low, one.high, one.excess_low, one.log_e) == (None,) * 5
        assert one.test_n > 0 and one.test_rate is not None
        assert one.reason == "a test takes 14 odd whole days, there are 7"


def test_examples_are_drawn_from_every_flip_inside_the_slice_and_outside(
    found: Comparison, frame: pd.DataFrame, folder: Path, experiment: Experiment
) -> None:
    [place] = {one.place for one in found.examples if one.place}
    assert place == searched(found).slices[0].predicate
    strata = pd.Series([(one.stratum, one.place is not None) for one in found.examples]).value_counts()
    assert len(strata) == 4 and strata.max() - strata.min() <= 1 and strata.sum() == 50
    ids = set(frame.loc[inside(frame), "request_id"])
    assert all((one.request_id in ids) == (one.place is not None) for one in found.examples)
    again = compared(folder, experiment, EXCESS)
    other = compared(folder, experiment, EXCESS, seed=1)
    assert again.examples == found.examples
    assert other.examples_seed == 1
    drawn = [{one.request_id for one in one_of.examples} for one_of in (found, other)]
    assert len(drawn[0] & drawn[1]) < 10
    first = frame[frame["served_label"] != frame["candidate_label"]]["request_id"].head(50)
    assert len(drawn[0] & set(first)) < 10


@pytest.mark.parametrize("scenario", ["pair", "triple", "none", "edge"])
def test_planted_slices_are_found_and_others_are_not(bench: ModuleType, scenario: str) -> None:
    """Two seeds of each; `bench/slices.py` measures the rates."""
    outcomes = [bench.outcome(bench.traffic(scenario, seed)) for seed in (1, 2)]
    planted = scenario in ("pair", "triple")
    assert [one.found for one in outcomes] == [planted, planted]
    assert [one.false for one in outcomes] == [0, 0]
    assert [one.best_single < 0.5 for one in outcomes] == [True, True]  # no GROUP BY of one feature finds it
